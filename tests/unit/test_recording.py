"""What is recorded of a drill: by the second, by who answered, with the evidence at the moment when it was had."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.rehearsal.edge import Edge
from scripts.rehearsal.recording import Mark, Recorder, Tick
from scripts.rehearsal.runner import Ran
from scripts.rehearsal.traffic import Outcome, Traffic
from scripts.release import Stage

OLD, NEW, THEIRS = "b" * 40, "a" * 40, "c" * 40


class Bench:
    """A drill that stands still: an edge and users of which a test says what they saw, and a runner's folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.25
        monkeypatch.setattr(time, "monotonic", lambda: self.now_s)
        self.edge = Edge()
        self.users = Traffic("http://127.0.0.1:9", [])
        self.cloud = SimpleNamespace(events=[])
        self.runner = SimpleNamespace(begun=[], ran=[], state=folder / "state", folder=folder)
        site = SimpleNamespace(name="render", edge=self.edge, cloud=self.cloud)
        world = SimpleNamespace(baseline=OLD, candidate=NEW, sites=(site,), error_rate=0.001)
        scene: Any = SimpleNamespace(world=world, runner=self.runner, words={THEIRS: "theirs"})
        self.recorder = Recorder(scene, {"render": self.users})

    def answer(self, commit: str, times: int = 1) -> None:
        """Let the edge have passed answers on."""
        for _ in range(times):
            self.edge._count(commit)

    def request(self, failure: str = "", ms: float = 4.0) -> None:
        """Let a user have asked."""
        self.users._note(Outcome(self.now_s, "/", failure, ms))

    def sample(self, folder: Path, rows: list[tuple[float, bool]], arm: str = "candidate") -> None:
        """Let the pipeline have written samples."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "samples-render.jsonl").open("a") as file:
            for t_s, ok in rows:
                row = {"t_s": t_s, "endpoint": "ready", "arm": arm, "ms": 3.0, "ok": ok, "commit": "", "reason": ""}
                file.write(json.dumps(row) + "\n")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Begin a drill at a quarter of a second."""
    return Bench(tmp_path, monkeypatch)


def test_seconds_of_users_and_answers_are_the_same(bench: Bench) -> None:
    """What users sent and who answered anybody stand in one tick, told by the words for the commits."""
    bench.now_s = 1003.5
    bench.answer(OLD, 2)
    bench.answer(NEW)
    bench.answer("d" * 40)
    for failure, ms in (("", 2.0), ("", 3.0), ("status 500", 40.0)):
        bench.request(failure, ms)
    bench.now_s = 1004.0
    bench.answer(THEIRS)
    bench.request()
    site = bench.recorder.look().sites[0]
    assert site.ticks == (
        Tick(2.75, 3, 1, 3.0, 40.0, {"baseline": 2, "candidate": 1, "neither": 1}),
        Tick(3.75, 1, 0, 4.0, 4.0, {"theirs": 1}),
    )
    assert (site.sent, site.failed) == (4, 1)


def test_the_last_seconds_alone(bench: Bench) -> None:
    """A screen asks for what it shows; how many failed in all is told all the same."""
    for second in range(20):
        bench.now_s = 1001.0 + second
        bench.request("refused" if second == 0 else "")
    site = bench.recorder.look(last_s=5).sites[0]
    assert [tick.t_s for tick in site.ticks] == [14.75, 15.75, 16.75, 17.75, 18.75, 19.75]
    assert (site.sent, site.failed) == (20, 1)


def test_stages_run_and_end(bench: Bench) -> None:
    """A stage that has begun is there at once; how it ended follows, also of two runners at the same time."""
    bench.runner.begun = [(Stage.PLAN, 1001.0), (Stage.PLAN, 1002.0), (Stage.DEPLOY, 1004.0)]
    bench.runner.ran = [Ran(Stage.PLAN, 10, 1002.0, 1002.5), Ran(Stage.PLAN, 0, 1001.0, 1003.0)]
    rows = [(row.stage, row.begin_s, row.end_s, row.exit_code) for row in bench.recorder.look().stages]
    assert rows == [("plan", 0.75, 2.75, 0), ("plan", 1.75, 2.25, 10), ("deploy", 3.75, None, None)]


def test_what_the_platform_did_since(bench: Bench) -> None:
    """What it did before the drill is not a part of it."""
    for at_s, kind, commit in ((900.0, "live", OLD), (1001.25, "build_started", NEW), (1002.25, "suspended", None)):
        bench.cloud.events.append(SimpleNamespace(monotonic_s=at_s, kind=kind, commit=commit))
    assert bench.recorder.look().sites[0].marks == (Mark(1.0, "build_started", "candidate"), Mark(2.0, "suspended", ""))


def test_evidence_stands_where_it_was_had(bench: Bench) -> None:
    """Samples count from the candidate's first answer; the bake's last second is where it ended, or now."""
    bench.sample(bench.runner.state, [(-3 + second / 10, True) for second in range(30)], "baseline")
    bench.sample(bench.runner.state, [(second / 10, second % 2 == 0) for second in range(80)])
    assert bench.recorder.look().sites[0].bets == ()  # nothing was baked
    bench.runner.begun = [(Stage.BAKE, 1010.25)]
    bench.now_s = 1021.25
    growing = bench.recorder.look().sites[0].bets
    assert (growing[0].t_s, growing[-1].t_s) == (14.0, 21.0)
    assert growing[-1].log10_e > 3 > growing[0].log10_e
    bench.runner.ran = [Ran(Stage.BAKE, 10, 1010.25, 1020.25)]
    assert bench.recorder.look().sites[0].bets[-1].t_s == 20.0


def test_evidence_outlives_the_machine(bench: Bench) -> None:
    """Where the journal is fetched anew, and with nothing at all, what was seen before stays."""
    bench.runner.begun, bench.runner.ran = [(Stage.BAKE, 1001.0)], [Ran(Stage.BAKE, 10, 1001.0, 1004.0)]
    kept = bench.runner.folder / "kept" / "release"
    bench.sample(kept, [(0.5, False), (1.5, False)])
    before = bench.recorder.look().sites[0].bets
    assert len(before) == 2
    (kept / "samples-render.jsonl").unlink()
    assert bench.recorder.look().sites[0].bets == before
