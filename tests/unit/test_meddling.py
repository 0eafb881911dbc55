"""What meddles with a drill does what it says: moments are waited for, signals sent, files torn, commits made."""

import asyncio
import resource
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scripts.clock import SystemClock
from scripts.errors import UsageError
from scripts.journal import Journal, Kind
from scripts.rehearsal.book import between, machine, people, platforms
from scripts.rehearsal.book.load import RELEASES, ten_in_a_row
from scripts.rehearsal.changes import harmless
from scripts.rehearsal.clone import ENTRY, commit_change, make_clone
from scripts.rehearsal.clouds.refusals import ApiErrors
from scripts.rehearsal.clouds.render import Faults
from scripts.rehearsal.fronts import PAGE, always
from scripts.rehearsal.runner import Ran, Runner
from scripts.rehearsal.scene import Scene
from scripts.release import Stage

OLD, NEW = "b" * 40, "a" * 40


class FakeEdge:
    """An edge that notes what is done to it."""

    def __init__(self) -> None:
        self.front: Any = None
        self.done: list[str] = []
        self.answered: set[str] = set()

    def first_answer(self, commit: str) -> float | None:
        """Give when a commit first answered."""
        return 1.0 if commit in self.answered else None

    async def break_connections(self) -> None:
        """Note it."""
        self.done.append("broken")

    async def come_up(self) -> None:
        """Note it."""
        self.done.append("up")


class FakeRender:
    """An emulated Render that notes what people ask of it."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.asked: list[tuple[str, str]] = []

    async def deploy_by_hand(self, commit: str) -> None:
        """Note it."""
        self.asked.append(("deploy", commit))

    def roll_back_by_hand(self, commit: str) -> None:
        """Note it."""
        self.asked.append(("roll back", commit))

    async def sleep(self) -> None:
        """Note it."""
        self.asked.append(("sleep", ""))

    async def suspend(self) -> None:
        """Note it."""
        self.asked.append(("suspend", ""))


@pytest.fixture(name="scene")
def fixture_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Give a scene whose world is noted, in a clone of one file; waiting takes no time."""
    clone = tmp_path / "clone"
    (clone / ENTRY).parent.mkdir(parents=True)
    (clone / ENTRY).write_text("app = None\n")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
        names = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(clone), *names, *words], check=True)
    edge, render = FakeEdge(), FakeRender()
    world: Any = SimpleNamespace(
        candidate=NEW,
        baseline=OLD,
        clone=clone,
        cloud=render,
        sites=[SimpleNamespace(name="render", edge=edge, cloud=render)],
        outage=tmp_path / "outage",
    )
    runner = Runner(clone, tmp_path / "slipway.toml", tmp_path / "runner", {}, lambda _: None)
    rest = asyncio.sleep
    monkeypatch.setattr("asyncio.sleep", lambda seconds: rest(min(seconds, 0.01)))
    return Scene(world, runner)


def do(meddling: Awaitable[object]) -> None:
    """Let somebody meddle, to the end."""

    async def wait() -> None:
        await meddling

    asyncio.run(wait())


def journal_of(scene: Scene) -> Journal:
    """Give the journal of the run that the scene is about."""
    return Journal(scene.runner.state, SystemClock(), str)


def begin(scene: Scene, *stages: Stage) -> None:
    """Write down that stages began."""
    for stage in stages:
        journal_of(scene).append(Kind.STAGE_STARTED, stage=stage)


@contextmanager
def program(scene: Scene, verb: str, code: str = "import time; time.sleep(60)") -> Iterator[subprocess.Popen[bytes]]:
    """Let a program be what a stage runs."""
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as running:
        scene.runner.processes[verb] = running.pid
        try:
            yield running
        finally:
            scene.runner.processes.pop(verb, None)
            running.kill()


def edge_of(scene: Scene) -> FakeEdge:
    """Give what stands in front."""
    edge: Any = scene.edge("render")
    assert isinstance(edge, FakeEdge)
    return edge


def test_moments_are_waited_for(scene: Scene) -> None:
    """The beginning of a stage, what it is about to ask for, and the first answer of a commit."""

    async def watch() -> list[str]:
        seen: list[str] = []

        async def note(name: str, moment: Any) -> None:
            await moment
            seen.append(name)

        tasks = [
            asyncio.ensure_future(note("bake", scene.begins(Stage.BAKE))),
            asyncio.ensure_future(note("rollback asked", scene.intends("roll_back"))),
            asyncio.ensure_future(note("serves", scene.serves(NEW))),
        ]
        begin(scene, Stage.PLAN)
        await asyncio.sleep(1)
        assert seen == []
        steps: list[Callable[[], None]] = [
            lambda: begin(scene, Stage.BAKE),
            lambda: journal_of(scene).append(Kind.INTENT, "render", action="roll_back"),
            lambda: edge_of(scene).answered.add(NEW),
        ]
        for step in steps:
            step()
            for _ in range(20):
                await asyncio.sleep(1)
        await asyncio.wait_for(asyncio.gather(*tasks), 5)
        return seen

    assert asyncio.run(watch()) == ["bake", "rollback asked", "serves"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cut_ends_what_runs(scene: Scene, number: signal.Signals) -> None:
    """The stage that began gets the signal; where nothing runs any more nothing happens."""
    begin(scene, Stage.DEPLOY)
    with program(scene, Stage.DEPLOY) as running:
        do(machine.cut(Stage.DEPLOY, number, 0.0)(scene))
        running.wait(10)
        assert running.returncode == -number
        scene.signal(signal.SIGKILL)


def test_a_machine_that_stands_still_goes_on(scene: Scene) -> None:
    """What is stopped again and again is not left stopped."""
    begin(scene, Stage.BAKE)
    with program(scene, Stage.BAKE, "import time; time.sleep(0.5)") as running:

        async def meddle() -> None:
            stuttering = asyncio.ensure_future(machine.stutter(0.2, 0.8)(scene))
            await asyncio.to_thread(running.wait, 30)
            scene.runner.processes.clear()
            await asyncio.wait_for(stuttering, 5)

        asyncio.run(meddle())
        assert running.returncode == 0


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits what another process may write")
def test_a_full_disk_takes_nothing_more(scene: Scene) -> None:
    """No file of what runs may grow beyond the largest one there is."""
    begin(scene, Stage.BAKE)
    size = (scene.runner.state / "journal.jsonl").stat().st_size
    with program(scene, Stage.BAKE) as running:
        do(machine.fill_disk(scene))
        assert resource.prlimit(running.pid, resource.RLIMIT_FSIZE) == (size, size)


def test_a_torn_journal_cannot_be_read(scene: Scene) -> None:
    """A line in its middle is no event any more."""
    begin(scene, Stage.PLAN, Stage.DEPLOY, Stage.VERIFY)
    journal_of(scene).append(Kind.NOTE, text="a note")
    do(machine.tear_journal(scene))
    with pytest.raises(UsageError, match="not a journal event"):
        journal_of(scene).read()


def test_what_stands_in_front_comes_and_goes(scene: Scene) -> None:
    """At once and for good, or from the first answer of the candidate on and for a while."""
    front = always(PAGE)
    do(between.put(lambda: front)(scene))
    assert edge_of(scene).front is front
    edge_of(scene).answered.add(NEW)
    do(between.put_when_it_serves(lambda: front, 3)(scene))
    assert edge_of(scene).front is None
    do(between.put_when_it_serves(lambda: front, None)(scene))
    assert edge_of(scene).front is front
    begin(scene, Stage.BAKE)
    do(between.cut_off(None)(scene))
    do(between.cut_off(1)(scene))
    assert edge_of(scene).done == ["broken", "broken", "up"]


def test_the_platform_is_made_to_fail(scene: Scene) -> None:
    """The API is down for good, or comes back; it refuses; the service sleeps, and is suspended."""

    async def outage() -> list[bool]:
        await platforms.api_down(Stage.PLAN, 0.01)(scene)
        seen = [scene.render.faults.api_down]
        await asyncio.to_thread(subprocess.run, ["sleep", "0.1"], check=True)
        await asyncio.sleep(1)
        return [*seen, scene.render.faults.api_down]

    assert asyncio.run(outage()) == [True, False]
    do(platforms.api_down(Stage.PLAN, None)(scene))
    assert scene.render.faults.api_down
    errors = ApiErrors(401)
    do(platforms.refusing(errors)(scene))
    assert scene.render.faults.api_errors is errors
    do(platforms.fall_asleep(scene))
    do(platforms.suspend(scene))
    assert asked(scene) == [("sleep", ""), ("suspend", "")]


def asked(scene: Scene) -> list[tuple[str, str]]:
    """Give what the platform was asked for by hand."""
    render: Any = scene.render
    assert isinstance(render, FakeRender)
    return render.asked


@pytest.mark.parametrize(
    ("meddle", "what"),
    [
        (people.deploys_in_bake, "deploy"),
        (people.deploys_while_it_builds, "deploy"),
        (people.deploys_before_plan, "deploy"),
        (people.rolls_back_in_bake, "roll back"),
    ],
)
def test_people_move_production(scene: Scene, meddle: Callable[[Scene], Any], what: str) -> None:
    """By a commit of their own, which has its word, or back to the old one."""
    begin(scene, Stage.BAKE)
    journal_of(scene).append(Kind.INTENT, "render", action="deploy")
    do(meddle(scene))
    theirs = list(scene.words)
    assert asked(scene) == [(what, theirs[0] if theirs else OLD)]
    assert set(scene.words.values()) <= {people.THEIRS}
    assert all(len(commit) == 40 and commit != NEW for commit in theirs)


def test_a_dependency_goes_down(scene: Scene) -> None:
    """A file stands for it, from the bake or from the rollback on."""
    begin(scene, Stage.BAKE)
    do(people.outage_from_bake(scene))
    assert scene.outage.exists()
    scene.outage.unlink()
    journal_of(scene).append(Kind.INTENT, "render", action="roll_back")
    do(people.outage_from_rollback(scene))
    assert scene.outage.exists()


class Played:
    """Stands for what a machine does with a release: it notes which machine ships what, and writes no file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *codes: int) -> None:
        self.ran: list[tuple[str, str]] = []
        self.codes = list(codes)
        played = self

        async def release(runner: Runner, commit: str) -> list[Ran]:
            played.ran.append((runner.folder.name, commit))
            Journal(runner.state, SystemClock(), str).append(Kind.STAGE_STARTED, stage=Stage.VERIFY)
            Journal(runner.state, SystemClock(), str).append(Kind.STAGE_STARTED, stage=Stage.ROLLBACK)
            return [Ran(Stage.BAKE, played.codes.pop(0) if played.codes else 0, 0, 1)]

        async def run(runner: Runner, stage: Stage, *_: str) -> Ran:
            played.ran.append((runner.folder.name, str(stage)))
            return Ran(stage, 0, 0, 1)

        monkeypatch.setattr(Runner, "release", release)
        monkeypatch.setattr(Runner, "run", run)


def test_two_machines(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second release beside the first, the same one again, another while the first goes back, two recoveries."""
    played = Played(monkeypatch)
    do(people.recovers_twice(scene))
    assert sorted(played.ran[1:]) == [("runner", "recover"), ("runner", "recover"), ("runner-2", "recover")]
    played.ran.clear()
    do(people.two_at_once(scene))
    theirs = next(iter(scene.words))
    assert played.ran == [("runner", NEW), ("runner-2", theirs)]
    assert scene.runner.folder.name == "runner"
    played.ran.clear()
    do(people.same_again(scene))
    assert played.ran == [("runner", NEW), ("runner-2", NEW)]
    assert scene.runner.folder.name == "runner-2"


def test_a_release_during_a_rollback(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins when the first one goes back, and is the one that is judged."""
    played = Played(monkeypatch)
    rows = asyncio.run(people.during_a_rollback(scene))
    assert [name for name, _ in played.ran] == ["runner", "runner-2"]
    assert [row.exit_code for row in rows] == [0]


def test_ten_releases_in_a_row(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a commit and a machine of its own; one that fails is the last."""
    played = Played(monkeypatch)
    asyncio.run(ten_in_a_row(scene))
    assert len({commit for _, commit in played.ran}) == len({name for name, _ in played.ran}) == RELEASES
    assert len(scene.words) == RELEASES - 1
    played.ran.clear()
    played.codes = [0, 10]
    scene.runner = scene.another_runner("runner")
    rows = asyncio.run(ten_in_a_row(scene))
    assert (len(played.ran), rows[-1].exit_code) == (2, 10)


def test_another_machine_knows_nothing_or_all(scene: Scene) -> None:
    """A second machine has a folder of its own, and the first one's journal only where it is given."""
    begin(scene, Stage.PLAN)
    stranger = scene.another_runner("runner-2")
    twin = scene.another_runner("runner-3", with_state=True)
    assert not stranger.state.exists()
    assert (twin.state / "journal.jsonl").read_bytes() == (scene.runner.state / "journal.jsonl").read_bytes()
    assert stranger.checkout == scene.runner.checkout


def test_what_was_built_of_a_commit_is_built_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first machine builds, and another one that ships the same commit takes it; what failed is kept by nobody."""
    codes, folder = [10, 0], scene.runner.folder.with_name("builds")
    folder.mkdir()

    async def run_verb(runner: Runner, verb: str, words: list[str], environment: Any) -> Ran:
        runner.built.mkdir(parents=True)
        (runner.built / "artifact.json").write_text(f"{words[words.index('--commit') + 1]} by {runner.folder.name}")
        return Ran(verb, codes.pop(0), 0, 9)

    monkeypatch.setattr(Runner, "_run_verb", run_verb)
    shared: dict[str, Path] = {}

    def machine(name: str) -> Runner:
        return replace(scene.runner, folder=folder.with_name(name), built_before=shared, keeps_builds=folder)

    assert asyncio.run(machine("failed").build(NEW)).exit_code == 10
    assert shared == {}
    assert asyncio.run(machine("first").build(NEW)).exit_code == 0
    second = machine("second")
    ran = asyncio.run(second.build(NEW))
    assert (ran.stage, ran.exit_code) == ("build", 0)
    assert (second.built / "artifact.json").read_text() == f"{NEW} by first"
    assert second.ran[-1] is ran
    assert codes == []


def test_the_same_change_is_the_same_commit(scene: Scene, tmp_path: Path) -> None:
    """In two clones of a repository, at different moments; another change, or name, is another one."""

    async def commits() -> list[str]:
        found = []
        for name, word in (("one", "x"), ("two", "x"), ("three", "y")):
            await make_clone(scene.world.clone, tmp_path / name)
            found.append(await commit_change(tmp_path / name, word, harmless))
        found.append(await commit_change(tmp_path / "one", "x", harmless))
        return found

    one, two, other, later = asyncio.run(commits())
    assert one == two
    assert len({one, other, later}) == 3
