"""What became of a release, from its journal alone."""

import itertools
import json
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from scripts.journal import Event, Kind
from scripts.release import Stage
from scripts.report import BY_HAND, NOTHING, TITLES, Result, as_json, from_and_to, judge_result, title_of, write_json
from scripts.state import RunState, replay
from scripts.verdict import Outcome
from tests.unit import journals
from tests.unit.fakes import START
from tests.unit.stories import (
    ASKED,
    BACK,
    BAD,
    BASELINE,
    NEW,
    OLD,
    PLANNED,
    RELEASE,
    STANDS,
    STORIES,
    UNPROVEN,
    event,
    proven,
    stage,
)


@pytest.mark.parametrize(("events", "result"), STORIES.values(), ids=STORIES)
def test_result(events: Sequence[Event], result: Result) -> None:
    """Each story has its one word, and what is not known to have ended well is still broken."""
    assert judge_result(replay(events)) is result


def test_every_result_has_a_story() -> None:
    """No word of release.json is without a story that leads to it."""
    assert {result for _, result in STORIES.values()} == set(Result)
    assert set(TITLES) == set(Result)


def test_a_deploy_that_nobody_saw_is_not_called_blocked() -> None:
    """Where the hook gave no answer and the candidate was proven to serve, a held release is not "never started"."""
    events = [*PLANNED, ASKED, *stage(Stage.DEPLOY), proven(NEW), *stage(Stage.VERIFY)]
    held = [*events, *stage(Stage.BAKE, Outcome.INCONCLUSIVE), *stage(Stage.ROLLBACK, reason="held")]
    assert judge_result(replay(held)) is Result.STILL_BROKEN


def test_release_json() -> None:
    """release.json says the commit, the run, the result, from and to of each target, and each stage."""
    events = [*BAD, *BACK, proven(OLD), *stage(Stage.ROLLBACK, Outcome.PASS, 10)]
    told = json.loads(json.dumps(as_json(replay(events))))
    assert {name: told[name] for name in ("version", "commit", "run_id", "started_at", "result")} == {
        "version": 1,
        "commit": NEW,
        "run_id": "7-1",
        "started_at": START.isoformat(),
        "result": "rolled_back_to",
    }
    assert told["targets"] == {
        "render": {
            "from": OLD,
            "from_deploy": "dep-1",
            "to": NEW,
            "to_deploy": "dep-2",
            "state": "went back",
            "rolled_back": True,
            "proven": OLD,
        }
    }
    assert [row["stage"] for row in told["stages"]] == ["plan", "deploy", "verify", "promote", "bake", "rollback"]
    assert told["stages"][-2:] == [
        {
            "stage": "bake",
            "outcome": "fail",
            "reason": "why",
            "exit_code": 10,
            "started_at": START.isoformat(),
            "duration_s": 2.0,
        },
        {
            "stage": "rollback",
            "outcome": "pass",
            "reason": "why",
            "exit_code": 0,
            "started_at": (START + timedelta(seconds=10)).isoformat(),
            "duration_s": 2.0,
        },
    ]


def test_release_json_of_nothing() -> None:
    """Without a journal release.json is whole, and says that nothing started."""
    assert as_json(RunState()) == {
        "version": 1,
        "commit": None,
        "run_id": None,
        "started_at": None,
        "by": None,
        "why": None,
        "result": "never_started",
        "targets": {},
        "stages": [],
    }


def test_release_json_of_a_target_that_was_not_asked() -> None:
    """A target that was only planned has no `to`, and a lost stage has no duration."""
    told = as_json(replay([event(Kind.STAGE_STARTED, stage=Stage.PLAN), RELEASE, BASELINE]))
    row = {"from": OLD, "from_deploy": "dep-1", "to": None, "to_deploy": None, "rolled_back": False, "proven": None}
    assert told["targets"] == {"render": {**row, "state": "untouched"}}
    assert told["stages"] == [
        {
            "stage": "plan",
            "outcome": "lost",
            "reason": "the run was lost in this stage",
            "exit_code": None,
            "started_at": START.isoformat(),
            "duration_s": None,
        }
    ]


def test_release_json_of_a_target_without_a_baseline() -> None:
    """A target of which nothing was written down before it was asked is told without a `from`."""
    told = as_json(replay([RELEASE, ASKED]))
    row = {"from": None, "from_deploy": None, "to": NEW, "to_deploy": None, "rolled_back": False, "proven": None}
    assert told["targets"] == {"render": {**row, "state": "not known"}}


@pytest.mark.parametrize(("events", "state"), STANDS.values(), ids=STANDS)
def test_where_a_target_stands(events: Sequence[Event], state: str) -> None:
    """Each story has one state of its target; doubt is told as such."""
    targets = json.loads(json.dumps(as_json(replay(events))))["targets"]
    assert targets["render"]["state"] == state


def test_release_json_is_renamed_into_place(tmp_path: Path) -> None:
    """A reader who has the old file open keeps all of it, and no draft is left behind."""
    folder = tmp_path / "deep" / "state"
    told = write_json(folder, replay(BAD))
    path = folder / "release.json"
    assert json.loads(path.read_text()) == json.loads(json.dumps(told))
    with path.open() as reader:
        write_json(folder, replay(PLANNED))
        assert json.loads(reader.read())["result"] == "still_broken"
    assert json.loads(path.read_text())["result"] == "never_started"
    assert [found.name for found in folder.iterdir()] == ["release.json"]


def test_no_reader_sees_half_of_release_json(tmp_path: Path) -> None:
    """However often it is written, whoever reads it finds one whole object."""
    write_json(tmp_path, replay(BAD))
    done = threading.Event()
    seen: list[object] = []

    def read() -> None:
        while not done.is_set():
            seen.append(json.loads((tmp_path / "release.json").read_text())["version"])

    reader = threading.Thread(target=read)
    reader.start()
    for number in itertools.count():
        write_json(tmp_path, replay(BAD))
        if number >= 100 and seen:
            break
    done.set()
    reader.join()
    assert set(seen) == {1}


def test_a_draft_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    """Where the draft fails, the last release.json stays as it was."""
    write_json(tmp_path, replay(BAD))
    (tmp_path / "release.json.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_json(tmp_path, replay(PLANNED))
    assert json.loads((tmp_path / "release.json").read_text())["result"] == "still_broken"


ORDER = event(
    Kind.RELEASE, commit=NEW, run_id="7-1", started_at=START.isoformat(), targets=["render"], by="kim", why="slow"
)
ORDERED = [event(Kind.STAGE_STARTED, stage=Stage.PLAN), ORDER, BASELINE, stage(Stage.PLAN)[1]]
HANDS: dict[str, tuple[Sequence[Event], Result, str]] = {
    "gone": ([*ORDERED, *BACK, proven(OLD), *stage(Stage.ROLLBACK)], Result.ROLLED_BACK, "went back"),
    "not proven": (
        [*ORDERED, *BACK, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, **UNPROVEN)],
        Result.STILL_BROKEN,
        "not known",
    ),
    "nothing to do": ([*ORDERED, proven(OLD), *stage(Stage.ROLLBACK)], Result.NEVER_STARTED, "kept the old release"),
    "superseded": (
        [*ORDERED, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, superseded=True)],
        Result.SUPERSEDED,
        "left to someone else",
    ),
}


@pytest.mark.parametrize(("events", "result", "stands"), HANDS.values(), ids=HANDS)
def test_a_rollback_by_hand(events: Sequence[Event], result: Result, stands: str) -> None:
    """By hand, what is to go is the "from" and its destination the "to", and who asked for it, and why, is told."""
    state = replay(events)
    told = json.loads(json.dumps(as_json(state)))
    assert (told["result"], told["by"], told["why"]) == (result, "kim", "slow")
    assert told["targets"]["render"]["state"] == stands
    ways = {name: told["targets"]["render"][name] for name in ("from", "from_deploy", "to", "to_deploy")}
    assert ways == {"from": NEW, "from_deploy": None, "to": OLD, "to_deploy": "dep-1"}
    assert from_and_to(state, "render") == ("aaaaaaa", "bbbbbbb")
    titles = {**TITLES, **BY_HAND}
    assert title_of(state) == titles[result].format(new="aaaaaaa", old="bbbbbbb", broken="render")


def test_a_target_that_a_rollback_by_hand_leaves(tmp_path: Path) -> None:
    """By hand, a target that serves the destination already comes from there and goes there."""
    state = replay(journals.by_hand(tmp_path).events)
    ways = {name: from_and_to(state, name) for name in state.targets}
    assert ways == {"render": ("a1b2c3d", "0f9e8d7"), "vercel": ("0f9e8d7", "0f9e8d7")}
    assert as_json(state)["result"] == Result.ROLLED_BACK
    assert title_of(state) == "a1b2c3d was rolled back by hand; 0f9e8d7 is proven to serve again"


def test_a_recovery_that_knows_nothing_is_no_release_that_never_was() -> None:
    """Where `recover` found no journal and proved nothing, the title is not that nothing was released."""
    events = stage(Stage.RECOVER, Outcome.FAIL, 9, **UNPROVEN)
    assert judge_result(replay(events)) is Result.STILL_BROKEN
    assert title_of(replay(events)).startswith("STILL BROKEN: what serves on production")
    assert title_of(RunState()) == NOTHING
