"""The step summary of a release, as GitHub's Markdown.

A step may write 1 MiB, beyond which GitHub shows nothing of it: every text and every list here has its limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scripts.evidence import WAY_BACK, Counts, Evidence, Latency
from scripts.foreign import for_markdown
from scripts.journal import Event
from scripts.judging.curve import render_line, tell
from scripts.release import Stage, short
from scripts.report import (
    NOTHING,
    Result,
    from_and_to,
    judge_result,
    names_of,
    outcome_of,
    reason_of,
    seconds_of,
    state_of,
    title_of,
)
from scripts.state import RunState, TargetState, replay
from scripts.timeline import Moment, both_ends, moments_of, render_mermaid
from scripts.verdict import BASELINE

MOST_ROWS = 200  # of the timeline
MOST_TARGETS = 20
NAME = 40  # characters
UNKNOWN = "–"
SOMEBODY, NO_REASON = "somebody", "no reason was given"
NO_JOURNAL = "There is no journal: no stage got as far as a plan."

NEXT: Mapping[Result, str] = {
    Result.ROLLED_OUT: "",
    Result.ROLLED_BACK: "ship a fix, or `git revert` the commit and push; the same commit is refused from now on",
    Result.NEVER_STARTED: "mend what blocked it and push",
    Result.SUPERSEDED: "look at who moved production, then release again from main",
    Result.STILL_BROKEN: "look at the service, then start the workflow Roll back (here: `python3 -m scripts recover`)",
}


def render_markdown(events: Iterable[Event], evidence: Sequence[Evidence] = ()) -> str:
    """Give the summary: result, from and to, stages, timeline, evidence, the next command."""
    rows = list(events)
    state = replay(rows)
    if not rows:
        return f"## {NOTHING}\n\n{NO_JOURNAL}\n"
    lines = [f"## {for_markdown(title_of(state))}", "", *_asked_by(state)]
    lines += _table_of_targets(state) + _table_of_stages(state)
    lines += _timeline(rows) + _table_of_evidence(evidence) + _next_command(state)
    return "\n".join(lines) + "\n"


def _asked_by(state: RunState) -> list[str]:
    release = state.release
    if release is None or not release.by_hand:
        return []
    return [
        f"Asked for by **{for_markdown(release.by, NAME) or SOMEBODY}**: {for_markdown(release.why) or NO_REASON}",
        "",
    ]


def _table_of_targets(state: RunState) -> list[str]:
    lines = ["| target | from | to | state | proven to serve |", "|---|---|---|---|---|"] if names_of(state) else []
    for name in names_of(state)[:MOST_TARGETS]:
        old, new = from_and_to(state, name)
        proven = short(state.targets.get(name, TargetState()).proven)
        lines.append(f"| {for_markdown(name, NAME)} | `{old}` | `{new}` | {state_of(state, name)} | `{proven}` |")
    return [*lines, ""]


def _table_of_stages(state: RunState) -> list[str]:
    lines = ["| stage | verdict | reason | seconds |", "|---|---|---|---|"] if state.stages else []
    for stage, row in state.stages.items():
        seconds = seconds_of(row)
        took = "" if seconds is None else f"{seconds:.1f}"
        lines.append(f"| {stage} | **{outcome_of(row)}** | {for_markdown(reason_of(row))} | {took} |")
    return [*lines, ""]


def _timeline(events: Sequence[Event]) -> list[str]:
    moments, left_out = both_ends(moments_of(events), MOST_ROWS)
    if not moments:
        return []
    lines = [_line(moment) for moment in moments]
    if left_out:
        lines.insert(MOST_ROWS // 2, f"- … {left_out} more are in the journal")
    folded = ["<details><summary>Timeline (UTC)</summary>", "", *lines, "", "</details>", ""]
    diagram = render_mermaid(events)
    return ["```mermaid", *diagram.splitlines(), "```", "", *folded] if diagram else folded


def _line(moment: Moment) -> str:
    commit = f" `{short(moment.commit)}`" if moment.commit else ""
    return f"- {moment.at:%H:%M:%S} {for_markdown(moment.target, NAME)}:{commit} {moment.what}"


def _table_of_evidence(evidence: Sequence[Evidence]) -> list[str]:
    rows = [row for row in evidence if row.answered or row.planned or row.watches]
    if not rows:
        return []
    head = "| target | last proof | baseline | verify | bake | way back | most failures | p50 / p95 of good answers |"
    lines = [
        head,
        "|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(_cells(row))} |" for row in rows[:MOST_TARGETS]),
    ]
    cut = [for_markdown(row.target, NAME) for row in rows[:MOST_TARGETS] if row.cut]
    more = ["", f"Not every probe of {' and '.join(cut)} was read: there are too many."] if cut else []
    return [*lines, *more, "", *_curves(rows[:MOST_TARGETS])]


def _curves(evidence: Sequence[Evidence]) -> list[str]:
    """Give how the evidence against the release grew, a line for each target."""
    rows = [row for row in evidence if row.curve]
    lines = [f"- {for_markdown(row.target, NAME)} `{render_line(row.curve)}` {tell(row.curve)}" for row in rows]
    return ["Evidence against the release (a full bar is proof):", "", *lines, ""] if lines else []


def _cells(row: Evidence) -> list[str]:
    stages = (BASELINE, Stage.VERIFY, Stage.BAKE)
    counts = [tell_counts(row.counts(stage)) for stage in stages]
    told = [for_markdown(row.target, NAME), _proof(row), *counts, tell_counts(row.counts(*WAY_BACK)), _worst(row)]
    return [*told, _latencies(row)]


def _proof(row: Evidence) -> str:
    """Say what answered, and how often in a row; an id of an instance is cut to what tells it apart."""
    answered = row.answered
    if answered is None:
        return "none"
    ids = ", ".join(f"…{for_markdown(name[-8:])}" for name in answered.instances[:3])
    return f"`{short(answered.commit)}`, {tell_answers(answered.answers, len(answered.instances))}" + (
        f" ({ids})" if ids else ""
    )


def tell_answers(answers: int, instances: int) -> str:
    """Say how often a commit answered in a row, and from how many instances."""
    row = f"{answers} answers in a row" if answers != 1 else "1 answer"
    return f"{row} from {instances} instance{'s' if instances != 1 else ''}" if instances else row


def tell_counts(counts: Counts | None) -> str:
    """Say how many probes failed; a proof has also those that came before the commit answered."""
    if counts is None:
        return UNKNOWN
    if counts.before and not counts.sent:
        return f"it never answered {counts.before} probes"
    told = f"{counts.failed} of {counts.sent} failed"
    return f"{told}, {counts.before} before it answered" if counts.before else told


def _worst(row: Evidence) -> str:
    worst = row.worst(Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)
    if worst is None:
        return "none"
    name, counts = worst
    return f"{for_markdown(name, NAME)}: {tell_counts(counts)}"


def _latencies(row: Evidence) -> str:
    before, now = row.latency(BASELINE), row.latency(Stage.BAKE) or row.latency(Stage.VERIFY, Stage.PROMOTE)
    return f"{tell_latency(now)} (before: {tell_latency(before)})" if now or before else UNKNOWN


def tell_latency(latency: Latency | None) -> str:
    """Give p50 and p95."""
    return f"{latency.p50_ms:.0f} / {latency.p95_ms:.0f} ms" if latency else UNKNOWN


def told_next_step(state: RunState) -> str:
    """Give the next step that the last stage with one names: a foreign text, empty where there is none."""
    steps = [row.verdict.next_step.strip() for row in state.stages.values() if row.verdict]
    return next((step for step in reversed(steps) if step), "")


def own_next_step(state: RunState) -> str:
    """Give the result's own next step, as Markdown; empty where nothing is left to do."""
    result = judge_result(state)
    settled = result is Result.NEVER_STARTED and state.release is not None and state.release.by_hand
    return "" if settled else NEXT[result]


def render_dry_run(text: str) -> str:
    """Give the summary of a dry run: a point for each line of what would be done."""
    lines = [f"- {for_markdown(line)}" for line in text.splitlines()[:MOST_ROWS]]
    return "\n".join(["## Dry run: nothing was changed", "", *lines]) + "\n"


def append_summary(environment: Mapping[str, str], text: str) -> None:
    """Add to the summary of the workflow's step; without a runner there is nobody to read."""
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)


def _next_command(state: RunState) -> list[str]:
    step = for_markdown(told_next_step(state)) or own_next_step(state)
    return [f"**Next:** {step}"] if step else []
