"""What became of a release, from its journal alone."""

import itertools
import json
import re
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scripts.journal import Event, Kind
from scripts.release import Sha, Stage
from scripts.report import TITLES, Result, as_json, judge_result, render_markdown, write_json
from scripts.state import RunState, replay
from scripts.verdict import EXIT_CODES, Outcome
from tests.unit.fakes import START, UNHURRIED

NEW, OLD = Sha("a" * 40), Sha("b" * 40)
CELLS = 5  # bars of a row of four cells; a target's row has one cell more


def event(kind: Kind, target: str = "", at_s: float = 0, /, **fields: object) -> Event:
    """Make an event some seconds after the start."""
    return Event(START + timedelta(seconds=at_s), kind, target, fields)


def stage(name: Stage, outcome: Outcome = Outcome.PASS, at_s: float = 0, /, **fields: object) -> list[Event]:
    """Make the start of a stage and its end two seconds later."""
    row = {"stage": name, "outcome": outcome, "reason": "why", "exit_code": EXIT_CODES[outcome], **fields}
    row["targets"] = {"render": dict(row)}
    return [event(Kind.STAGE_STARTED, "", at_s, stage=name), event(Kind.STAGE_ENDED, "", at_s + 2, **row)]


RELEASE = event(Kind.RELEASE, commit=NEW, run_id="7-1", started_at=START.isoformat(), targets=["render"])
BASELINE = event(Kind.BASELINE, "render", commit=OLD, deployment_id="dep-1", proven=True, healthy=True)
PLANNED = [*stage(Stage.PLAN), RELEASE, BASELINE]
ASKED = event(Kind.INTENT, "render", action="deploy", commit=NEW, known=["dep-1"])
ACCEPTED = event(Kind.DONE, "render", action="deploy", id="dep-2", commit=NEW, state="queued")
REFUSED = event(Kind.FAILED, "render", action="deploy", reason="no such commit")
BACK = [
    event(Kind.INTENT, "render", action="roll_back", commit=OLD, known=["dep-1", "dep-2"]),
    event(Kind.DONE, "render", action="roll_back", id="dep-3", commit=OLD, state="queued"),
]


def ended_as(state: str) -> Event:
    """Make the platform's end of the candidate."""
    return event(Kind.DEPLOYMENT, "render", action="deploy", id="dep-2", commit=NEW, state=state, detail=state)


def proven(commit: Sha) -> Event:
    """Make the proof that a commit serves."""
    return event(Kind.PROOF, "render", commit=commit)


LIVE = [*PLANNED, ASKED, ACCEPTED, ended_as("live"), *stage(Stage.DEPLOY)]
VERIFIED = [*LIVE, proven(NEW), *stage(Stage.VERIFY), *stage(Stage.PROMOTE)]
BAD = [*VERIFIED, *stage(Stage.BAKE, Outcome.FAIL)]
UNPROVEN = {"not_proven": True, "exit_code": 13}

STORIES: dict[str, tuple[Sequence[Event], Result]] = {
    "nothing": ([], Result.NEVER_STARTED),
    "planned": (PLANNED, Result.NEVER_STARTED),
    "plan failed": ([*stage(Stage.PLAN, Outcome.FAIL), RELEASE, BASELINE], Result.NEVER_STARTED),
    "refused": ([*PLANNED, ASKED, REFUSED, *stage(Stage.DEPLOY, Outcome.ERROR)], Result.NEVER_STARTED),
    "asked and lost": ([*PLANNED, ASKED], Result.STILL_BROKEN),
    "live and lost": (LIVE, Result.STILL_BROKEN),
    "verified and lost": (VERIFIED, Result.STILL_BROKEN),
    "bake lost": ([*VERIFIED, event(Kind.STAGE_STARTED, stage=Stage.BAKE)], Result.STILL_BROKEN),
    "baked": ([*VERIFIED, *stage(Stage.BAKE)], Result.ROLLED_OUT),
    "baked and recovered": ([*VERIFIED, *stage(Stage.BAKE), *stage(Stage.RECOVER)], Result.ROLLED_OUT),
    "baked, then found not to serve": (
        [*VERIFIED, *stage(Stage.BAKE), *stage(Stage.RECOVER, Outcome.FAIL, 9, **UNPROVEN)],
        Result.STILL_BROKEN,
    ),
    "bad": (BAD, Result.STILL_BROKEN),
    "rolled back": ([*BAD, *BACK, proven(OLD), *stage(Stage.ROLLBACK)], Result.ROLLED_BACK),
    "rolled back by recover": ([*BAD, *BACK, proven(OLD), *stage(Stage.RECOVER)], Result.ROLLED_BACK),
    "rollback not proven": ([*BAD, *BACK, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, **UNPROVEN)], Result.STILL_BROKEN),
    "rollback lost": ([*BAD, *BACK, event(Kind.STAGE_STARTED, stage=Stage.ROLLBACK)], Result.STILL_BROKEN),
    "rollback passed without proof": ([*BAD, *BACK, *stage(Stage.ROLLBACK)], Result.STILL_BROKEN),
    "not proven, then recovered": (
        [
            *[*BAD, *BACK, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, **UNPROVEN)],
            *[proven(OLD), *stage(Stage.RECOVER, Outcome.PASS, 20)],
        ],
        Result.ROLLED_BACK,
    ),
    "recovered, then not proven": (
        [
            *[*BAD, *BACK, proven(OLD), *stage(Stage.RECOVER, Outcome.PASS, 9)],
            *stage(Stage.ROLLBACK, Outcome.FAIL, 20, **UNPROVEN),
        ],
        Result.STILL_BROKEN,
    ),
    "build failed": (
        [
            *[*PLANNED, ASKED, ACCEPTED, ended_as("failed"), *stage(Stage.DEPLOY, Outcome.FAIL)],
            *[proven(OLD), *stage(Stage.ROLLBACK)],
        ],
        Result.NEVER_STARTED,
    ),
    "cancelled, old one nameless": (
        [*PLANNED, ASKED, ACCEPTED, ended_as("canceled"), *stage(Stage.ROLLBACK)],
        Result.NEVER_STARTED,
    ),
    "held": ([*VERIFIED, *stage(Stage.BAKE, Outcome.INCONCLUSIVE), *stage(Stage.ROLLBACK)], Result.STILL_BROKEN),
    "superseded": ([*LIVE, *stage(Stage.VERIFY, Outcome.FAIL, 5, superseded=True)], Result.SUPERSEDED),
    "superseded, then nothing to do": (
        [*LIVE, *stage(Stage.VERIFY, Outcome.FAIL, 5, superseded=True), *stage(Stage.RECOVER)],
        Result.SUPERSEDED,
    ),
}


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


@pytest.mark.parametrize(("events", "result"), STORIES.values(), ids=STORIES)
def test_the_summary_says_the_result(events: Sequence[Event], result: Result) -> None:
    """The step summary begins with what became of the release, as release.json says it."""
    title = render_markdown(events).splitlines()[0]
    if RELEASE in events:
        assert title == f"## {TITLES[result].format(new='aaaaaaa', old='bbbbbbb', broken='render')}"
    else:
        assert title == "## Nothing was released"


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


STANDS: dict[str, tuple[Sequence[Event], str]] = {
    "planned": (PLANNED, "untouched"),
    "nothing written down": ([RELEASE], "untouched"),
    "refused": ([*PLANNED, ASKED, REFUSED], "untouched"),
    "asked and lost": ([*PLANNED, ASKED], "not known"),
    "build failed": ([*PLANNED, ASKED, ended_as("failed")], "kept the old release"),
    "staged": ([*PLANNED, ASKED, ended_as("staged")], "kept the old release"),
    "staged, promotion refused": (
        [
            *[*PLANNED, ASKED, ended_as("staged"), event(Kind.INTENT, "render", action="promote")],
            event(Kind.FAILED, "render", action="promote", reason="no"),
        ],
        "kept the old release",
    ),
    "staged, promotion asked": (
        [*PLANNED, ASKED, ended_as("staged"), event(Kind.INTENT, "render", action="promote")],
        "not known",
    ),
    "proven at a URL of its own": (
        [*PLANNED, ASKED, ended_as("staged"), event(Kind.PROOF, "render", commit=NEW, staged=True)],
        "kept the old release",
    ),
    "serves": (VERIFIED, "serves the new release"),
    "superseded": ([*VERIFIED, *stage(Stage.BAKE, Outcome.FAIL, superseded=True)], "left to someone else"),
    "going back": ([*BAD, *BACK], "not known"),
    "went back": ([*BAD, *BACK, proven(OLD), *stage(Stage.ROLLBACK)], "went back"),
    "not proven back": ([*BAD, *BACK, *stage(Stage.ROLLBACK, Outcome.FAIL, 9, **UNPROVEN)], "not known"),
    "never looked at": ([RELEASE, *stage(Stage.RECOVER, Outcome.FAIL, 9, **UNPROVEN)], "not known"),
    "no longer serves": ([*VERIFIED, *stage(Stage.RECOVER, Outcome.FAIL, 9, **UNPROVEN)], "not known"),
}


@pytest.mark.parametrize(("events", "state"), STANDS.values(), ids=STANDS)
def test_where_a_target_stands(events: Sequence[Event], state: str) -> None:
    """Each story has one state of its target, the same in release.json and in the summary; doubt is told as such."""
    targets = json.loads(json.dumps(as_json(replay(events))))["targets"]
    assert targets["render"]["state"] == state
    assert any(
        line.startswith("| render |") and f"| {state} |" in line for line in render_markdown(events).splitlines()
    )


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


def test_the_summary() -> None:
    """The summary has targets, stages, a timeline and the next command."""
    events = [*BAD, *BACK, proven(OLD), *stage(Stage.ROLLBACK, Outcome.PASS, 10, next_step="run `recover`")]
    lines = render_markdown(events).splitlines()
    assert "| render | `bbbbbbb` | `aaaaaaa` | went back | `bbbbbbb` |" in lines
    assert "| bake | **fail** | why | 2.0 |" in lines
    assert "| rollback | **pass** | why | 2.0 |" in lines
    assert "- 05:06:07 render: deploy `aaaaaaa` asked for" in lines
    assert "- 05:06:07 render: roll_back `bbbbbbb` accepted" in lines
    assert "- 05:06:07 render: commit `bbbbbbb` proven" in lines
    assert lines[-1] == r"**Next:** run \`recover\`"


def test_the_summary_of_a_first_release() -> None:
    """Where nothing served and nothing was asked, the table says so, and there is no timeline."""
    first = event(Kind.BASELINE, "render", commit=None, deployment_id=None, first=True)
    text = render_markdown([event(Kind.STAGE_STARTED, stage=Stage.PLAN), RELEASE, first])
    assert "| render | `nothing` | `not asked` | untouched | `unknown` |" in text
    assert r"| plan | **lost** | the run was lost in this stage |  |" in text
    assert "Timeline" not in text
    assert text.endswith("**Next:** mend what blocked it and push\n")


def test_the_summary_of_a_release_without_targets() -> None:
    """A release of which no baseline was written down had nothing before it."""
    assert render_markdown([RELEASE]).startswith("## aaaaaaa was blocked before it served users; nothing still serves")


def test_the_last_next_step_counts() -> None:
    """Of several stages the last one with a next step says what to do."""
    events = [
        *PLANNED,
        *stage(Stage.BAKE, Outcome.FAIL, 1, next_step="first"),
        *stage(Stage.ROLLBACK, Outcome.FAIL, 2, next_step="second"),
        *stage(Stage.RECOVER, Outcome.PASS, 3, next_step=""),
    ]
    assert render_markdown(events).splitlines()[-1] == "**Next:** second"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a | b", r"a \| b"),
        ("a\nb\r\n\tc  d", "a b c d"),
        ("`code` *bold* _it_", r"\`code\` \*bold\* \_it\_"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
        ("<script>", r"\<script\>"),
        ("back\\|slash", r"back\\\|slash"),
        ("\u2028new\x85line\x0b", "new line"),
    ],
)
def test_a_reason_is_escaped(text: str, cell: str) -> None:
    """A reason is shown as text: it is neither Markdown nor HTML, and stays in its cell and on its line."""
    assert f"| bake | **fail** | {cell} | 2.0 |" in render_markdown(
        [RELEASE, *stage(Stage.BAKE, Outcome.FAIL, reason=text)]
    )


def bars(line: str) -> int:
    """Count the bars that end a cell, as GitHub's Markdown does: an escaped one ends none."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))


@UNHURRIED
@given(st.text(max_size=60), st.text(max_size=60))
@example(" ", " ")
def test_no_text_of_the_journal_breaks_the_tables(reason: str, step: str) -> None:
    """Whatever a reason or a next step says, each row has its own cells, and no line is added or opens HTML."""
    plain = render_markdown([RELEASE, *stage(Stage.BAKE, Outcome.FAIL, 0, reason="why", next_step="do")])
    text = render_markdown([RELEASE, *stage(Stage.BAKE, Outcome.FAIL, 0, reason=reason, next_step=step)])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [bars(row) for row in rows] == [CELLS + 1] * 3 + [CELLS] * 3
    assert len(text.splitlines()) == len(plain.splitlines())
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>`\[]", rows[-1] + text.splitlines()[-1])


def test_the_timeline_has_no_empty_commit() -> None:
    """What was asked for without a commit is told without one."""
    cancel = event(Kind.INTENT, "render", action="cancel", id="dep-2")
    text = render_markdown([*PLANNED, ASKED, REFUSED, cancel])
    assert "``" not in text
