"""The step summary: what it says, that it stays within GitHub's limit, and that no foreign text breaks out of it."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts.evidence import Answered, Counts, Evidence, Watch, read_evidence
from scripts.journal import Event, Kind
from scripts.release import Stage
from scripts.report import NOTHING, TITLES, Result
from scripts.state import replay
from scripts.summary import NEXT, NO_JOURNAL, append_summary, render_dry_run, render_markdown, tell_answers, tell_counts
from scripts.timeline import MOST_MOMENTS, both_ends, render_mermaid, spans_of
from scripts.verdict import CANDIDATE, Outcome, Sample
from tests.unit import journals
from tests.unit.fakes import START
from tests.unit.journals import NASTY, Story, rename, spoil
from tests.unit.stories import (
    ASKED,
    BACK,
    BAD,
    OLD,
    PLANNED,
    REFUSED,
    RELEASE,
    STANDS,
    STORIES,
    event,
    proven,
    stage,
)

FEW = settings(max_examples=20)
LIMIT = 1024 * 1024  # bytes that GitHub shows of a step
STATEMENT = re.compile(r"    [A-Za-z0-9. -]+ :(done|active|crit|milestone|crit, milestone), \d+, (\d+|0ms)")
HEAD = ["gantt", "    dateFormat x", "    axisFormat %H:%M:%S", "    todayMarker off", "    section stages"]


def summary(story: Story) -> str:
    """Give the summary of a release, evidence included."""
    return render_markdown(story.events, read_evidence(story.folder, story.events, replay(story.events)))


def diagram(text: str) -> list[str]:
    """Give the lines of the one diagram in a summary."""
    (found,) = re.findall(r"^```mermaid\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found).splitlines()


def bars(line: str) -> int:
    """Count the bars that end a cell, as GitHub's Markdown does: an escaped one ends none."""
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))


@pytest.mark.parametrize(("events", "result"), STORIES.values(), ids=STORIES)
def test_the_summary_says_the_result(events: Sequence[Event], result: Result) -> None:
    """The step summary begins with what became of the release, as release.json says it."""
    title = render_markdown(events).splitlines()[0]
    if RELEASE in events:
        assert title == f"## {TITLES[result].format(new='aaaaaaa', old='bbbbbbb', broken='render')}"
    else:
        assert title == f"## {NOTHING}"


@pytest.mark.parametrize(("events", "state"), STANDS.values(), ids=STANDS)
def test_the_summary_says_where_a_target_stands(events: Sequence[Event], state: str) -> None:
    """The table has the state of each target as release.json has it."""
    lines = render_markdown(events).splitlines()
    assert any(line.startswith("| render |") and f"| {state} |" in line for line in lines)


def test_without_a_journal() -> None:
    """Where no stage got as far as a plan, that is said."""
    assert render_markdown([]) == f"## {NOTHING}\n\n{NO_JOURNAL}\n"


def test_a_stage_that_failed_before_there_was_a_release_is_told() -> None:
    """Where a stage ended before anything was planned, its reason is there, and not that there is no journal."""
    text = render_markdown(stage(Stage.PLAN, Outcome.ERROR, reason="no such commit"))
    assert text.startswith(f"## {NOTHING}\n")
    assert "| plan | **error** | no such commit | 2.0 |" in text
    assert NO_JOURNAL not in text
    assert "| target |" not in text


def test_the_summary() -> None:
    """The summary has targets, stages, a timeline and the next command."""
    events = [*BAD, *BACK, proven(OLD), *stage(Stage.ROLLBACK, Outcome.PASS, 10, next_step="run `recover`")]
    lines = render_markdown(events).splitlines()
    assert "| render | `bbbbbbb` | `aaaaaaa` | went back | `bbbbbbb` |" in lines
    assert "| bake | **fail** | why | 2.0 |" in lines
    assert "| rollback | **pass** | why | 2.0 |" in lines
    assert "- 05:06:07 render: `aaaaaaa` deploy asked for" in lines
    assert "- 05:06:07 render: `bbbbbbb` roll back accepted" in lines
    assert "- 05:06:07 render: `bbbbbbb` proven" in lines
    assert lines[-1] == r"**Next:** run \`recover\`"


def test_the_summary_of_a_first_release() -> None:
    """Where nothing served and nothing was asked, the table says so, and there is no timeline."""
    first = event(Kind.BASELINE, "render", commit=None, deployment_id=None, first=True)
    text = render_markdown([event(Kind.STAGE_STARTED, stage=Stage.PLAN), RELEASE, first])
    assert "| render | `nothing` | `not asked` | untouched | `unknown` |" in text
    assert "| plan | **lost** | the run was lost in this stage |  |" in text
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
        *stage(Stage.RECOVER, Outcome.PASS, 3, next_step=" "),
    ]
    assert render_markdown(events).splitlines()[-1] == "**Next:** second"


def test_who_asked_and_why(tmp_path: Path) -> None:
    """A rollback by hand names the person and the reason, as text."""
    text = summary(journals.by_hand(tmp_path, "k_m", "slow | since <noon>"))
    assert text.startswith("## a1b2c3d was rolled back by hand; 0f9e8d7 is proven to serve again\n")
    assert r"Asked for by **k\_m**: slow \| since \<noon\>" in text
    assert "| render | `a1b2c3d` | `0f9e8d7` | went back | `0f9e8d7` |" in text


def test_nobody_asked_for_a_release(tmp_path: Path) -> None:
    """What nobody asked for by hand names nobody."""
    assert "Asked for" not in summary(journals.good(tmp_path))


def test_a_rollback_by_hand_that_had_nothing_to_do() -> None:
    """Where nothing had to go back there is nothing to mend either."""
    order = event(Kind.RELEASE, commit=OLD, run_id="1", started_at=START.isoformat(), targets=[], by="kim", why="x")
    events = [*PLANNED[:1], order, PLANNED[-1], PLANNED[1], proven(OLD), *stage(Stage.ROLLBACK)]
    text = render_markdown(events)
    assert text.startswith("## nothing had to be rolled back; bbbbbbb serves\n")
    assert "**Next:**" not in text


def test_the_evidence(tmp_path: Path) -> None:
    """A row for each target says what answered, what was sent and failed in each watch, what failed most, how fast."""
    story = journals.bad(tmp_path, "render", "vercel", proven=["render"])
    render, vercel = [line for line in summary(story).splitlines() if "in a row" in line]
    assert render.startswith("| render | `0f9e8d7`, 8 answers in a row from 1 instance (…-2-x7k9q) | 0 of 200 failed |")
    assert "| 0 of 24 failed, 36 before it answered | 0 of 140 failed | 0 of 24 failed, 12 before" in render
    assert re.search(r"\| \d+ / \d+ ms \(before: \d+ / \d+ ms\) \|$", render)
    assert re.search(r"\| \d+ of 140 failed \| – \| items: \d+ of \d+ failed \|", vercel)


def test_evidence_that_is_not_there() -> None:
    """A target of which nothing is known has no row, and without any row there is no table."""
    assert "last proof" not in render_markdown(PLANNED, [Evidence("render")])
    text = render_markdown(PLANNED, [Evidence("render", planned=Counts(10, 1))])
    assert "| render | none | 1 of 10 failed | – | – | – | none | – |" in text


def test_probes_that_were_not_read_are_told() -> None:
    """Where there were too many probes to read, the summary says so."""
    watch = Watch("bake", (Sample(1, "ready", CANDIDATE, 1, ok=True),))
    assert "Not every probe of render was read" in render_markdown(PLANNED, [Evidence("render", (watch,), cut=True)])


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (None, "–"),
        (Counts(9, 0), "0 of 9 failed"),
        (Counts(9, 2, 4), "2 of 9 failed, 4 before it answered"),
        (Counts(0, 0, 4), "it never answered 4 probes"),
        (Counts(0, 0), "0 of 0 failed"),
    ],
)
def test_how_counts_are_told(counts: Counts | None, told: str) -> None:
    """Nothing known, and a commit that never answered, are not told as none failed."""
    assert tell_counts(counts) == told


@pytest.mark.parametrize(
    ("answers", "instances", "told"),
    [
        (1, 0, "1 answer"),
        (3, 0, "3 answers in a row"),
        (3, 1, "3 answers in a row from 1 instance"),
        (2, 2, "2 answers in a row from 2 instances"),
    ],
)
def test_how_answers_are_told(answers: int, instances: int, told: str) -> None:
    """One is not several."""
    assert tell_answers(answers, instances) == told


def test_the_diagram(tmp_path: Path) -> None:
    """Each stage is a bar, done, critical or active as it ended; each change a milestone in its target's section."""
    lines = diagram(summary(journals.bad(tmp_path, "render", "vercel", proven=["render"])))
    assert lines[: len(HEAD)] == HEAD
    start = round(START.timestamp() * 1000)
    assert f"    plan 21.0 s :done, {start}, {start + 21000}" in lines
    assert any(line.startswith("    bake fail 14.0 s :crit, ") for line in lines)
    assert any(line.startswith("    rollback fail 7.5 s :crit, ") for line in lines)
    sections = [line for line in lines if line.startswith("    section ")]
    assert sections == ["    section stages", "    section render", "    section vercel"]
    marks = [line.split(" :")[0].strip() for line in lines[lines.index("    section vercel") + 1 :]]
    assert marks == [
        "deploy asked for a1b2c3d",
        "deploy accepted a1b2c3d",
        "proven a1b2c3d",
        "roll back asked for 0f9e8d7",
        "roll back accepted 0f9e8d7",
    ]


def test_a_lost_stage_is_active_up_to_the_next_one(tmp_path: Path) -> None:
    """A stage that never ended is drawn up to the next one, without a duration; a refusal is critical."""
    lines = diagram(summary(journals.lost(tmp_path)))
    lost, recover = (next(line for line in lines if line.startswith(f"    {name}")) for name in ("bake", "recover"))
    assert re.fullmatch(r"    bake lost :active, \d+, (\d+)", lost)
    assert lost.rsplit(", ")[-1] == recover.split(", ")[1]
    assert any(line.startswith("    roll back refused :crit, milestone, ") for line in lines)


def test_a_stage_that_ran_twice_is_drawn_twice() -> None:
    """Each run of a stage has its own bar, and its own end."""
    events = [*stage(Stage.PLAN, Outcome.FAIL), *stage(Stage.PLAN, Outcome.PASS, 10)]
    assert [(span.outcome, span.seconds) for span in spans_of(events)] == [(Outcome.FAIL, 2.0), (Outcome.PASS, 2.0)]


def test_an_end_without_a_beginning() -> None:
    """A stage of which only the end was written down, as a rebuilt journal has it, takes no time."""
    (span,) = spans_of([stage(Stage.PLAN)[1]])
    assert (span.stage, span.outcome, span.seconds) == (Stage.PLAN, Outcome.PASS, 0.0)


def test_a_clock_that_went_back() -> None:
    """Where the clock was set back in a stage, its bar ends where it began, and no moment is before 1970."""
    begin, end = stage(Stage.PLAN)
    back = [begin, Event(START - timedelta(hours=1), end.kind, "", end.fields)]
    assert re.search(r"plan 0\.0 s :done, (\d+), \1\n", render_mermaid(back))
    old = datetime(1969, 1, 1, tzinfo=START.tzinfo)
    assert "plan lost :active, 0, 0" in render_mermaid([Event(old, begin.kind, "", begin.fields)])


@pytest.mark.parametrize(("size", "kept", "left_out"), [(0, 0, 0), (4, 4, 0), (5, 4, 1), (100, 4, 96)])
def test_both_ends(size: int, kept: int, left_out: int) -> None:
    """Of a long list the first and the last are kept, and how many are missing is known."""
    rows, missing = both_ends(range(size), 4)
    assert (len(rows), missing) == (kept, left_out)
    assert rows == [*range(size)] if not missing else [0, 1, size - 2, size - 1]


def test_a_very_long_journal_stays_within_the_limit() -> None:
    """Ten thousand changes, each text of 100 kB, a thousand targets: the summary is a fraction of what GitHub shows."""
    long = "x" * 100_000
    many = [f"t{number}" for number in range(1000)]
    release = event(
        Kind.RELEASE,
        commit=RELEASE.fields["commit"],
        run_id=long,
        started_at=START.isoformat(),
        targets=many,
        by=long,
        why=long,
    )
    changes = [event(Kind.FAILED, many[number % 1000], action="deploy", reason=long) for number in range(10_000)]
    stages = [row for name in Stage for row in stage(name, Outcome.FAIL, reason=long, next_step=long)] * 40
    rows = [Evidence(name, planned=Counts(1, 1), answered=Answered(None, 1, (long,) * 9)) for name in many]
    text = render_markdown([release, *changes, *stages], rows)
    assert len(text.encode()) < LIMIT / 8
    assert "9800 more are in the journal" in text
    assert len(diagram(text)) < 2 * MOST_MOMENTS + 60
    assert len("\n".join(diagram(text))) < 50_000  # Mermaid draws no longer text


TEXTS = st.text(max_size=60) | st.sampled_from(NASTY)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[list[Event]]:
    """Give a release that went wrong on one of two targets, a lost one and a rollback by hand."""
    folder = tmp_path_factory.mktemp("stories")
    pair = journals.bad(folder / "pair", "render", "vercel", proven=["render"])
    return [pair.events, journals.lost(folder / "lost").events, journals.by_hand(folder / "hand").events]


@FEW
@given(text=TEXTS, place=st.integers(0, 2))
@example(text="\ud800", place=0)
@example(text="```", place=1)
def test_no_text_of_the_journal_breaks_out(told: list[list[Event]], text: str, place: int) -> None:
    """Whatever others wrote: each row has its cells, the diagram its statements, and no line is new."""
    events = told[place]
    named = [Evidence("render", planned=Counts(2, 1), answered=Answered(None, 2, (text, text)))]
    check(render_markdown(spoil(events, text), named), render_markdown(spoil(events, "why"), named))


@FEW
@given(text=TEXTS.filter(str.strip))
@example(text="section click")
@example(text="`\n| x |")
def test_no_name_of_a_target_breaks_out(told: list[list[Event]], text: str) -> None:
    """Whatever a target is called, it stays in its cell, in its line and in its section."""
    events, plain = (rename(told[0], "render", name) for name in (text, "web"))
    check(
        render_markdown(events, [Evidence(text, planned=Counts(1, 0))]),
        render_markdown(plain, [Evidence("web", planned=Counts(1, 0))]),
    )


def check(text: str, plain: str) -> None:
    """Hold a summary with a foreign text in it against the same with a plain one."""
    lines, own = text.splitlines(), plain.splitlines()
    assert text.encode()
    assert [bars(line) for line in lines if line.startswith("|")] == [
        bars(line) for line in own if line.startswith("|")
    ]
    assert [line[:2] for line in lines if not line.startswith("*")] == [
        line[:2] for line in own if not line.startswith("*")
    ]
    assert [line for line in lines if "```" in line] == ["```mermaid", "```"]
    statements = diagram(text)
    assert statements[: len(HEAD)] == HEAD
    for line in statements[len(HEAD) :]:
        assert STATEMENT.fullmatch(line) or re.fullmatch(r"    section [A-Za-z0-9. -]+", line)
    foreign = [line for line in lines if "details" not in line and line not in statements]
    assert not [line for line in foreign if re.search(r"(?<!\\)(?:\\\\)*[<>\[]", line)]


def test_every_result_has_its_next_step() -> None:
    """No result is without a word on what to do, if only that there is nothing to do."""
    assert set(NEXT) == set(Result)


def test_the_timeline_has_no_empty_commit() -> None:
    """What was asked for without a commit is told without one."""
    cancel = event(Kind.INTENT, "render", action="cancel", id="dep-2")
    text = render_markdown([*PLANNED, ASKED, REFUSED, cancel])
    assert "- 05:06:07 render: cancel asked for" in text


def test_it_is_added_to_the_summary(tmp_path: Path) -> None:
    """What other steps wrote stays; without a runner nothing is written."""
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    append_summary({"GITHUB_STEP_SUMMARY": str(path)}, "more – ⚓\n")
    append_summary({}, "nothing")
    append_summary({"GITHUB_STEP_SUMMARY": ""}, "nothing")
    assert path.read_text(encoding="utf-8") == "before\nmore – ⚓\n"


def test_a_dry_run_is_points() -> None:
    """What a dry run says is a list of text, whatever a reason or a platform says in it."""
    told = render_dry_run("because <b>x</b> | `y` asked\nrender: would do nothing")
    assert told.splitlines()[0] == "## Dry run: nothing was changed"
    assert told.splitlines()[2:] == [r"- because \<b\>x\</b\> \| \`y\` asked", "- render: would do nothing"]
