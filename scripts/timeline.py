"""What happened when, from the journal: the stages as spans, the changes of each target as moments. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from scripts.foreign import for_mermaid
from scripts.journal import Event, Kind
from scripts.release import Sha, Stage, parse_sha, short
from scripts.report import LOST
from scripts.state import CANCEL, DEPLOY, PROMOTE, ROLL_BACK
from scripts.verdict import Outcome

SHOWN_EVENTS = {Kind.INTENT: "asked for", Kind.DONE: "accepted", Kind.FAILED: "refused", Kind.PROOF: "proven"}
ACTIONS = {DEPLOY: "deploy", PROMOTE: "promote", ROLL_BACK: "roll back", CANCEL: "cancel"}
MOST_MOMENTS = 60  # in a diagram
MOST_SPANS = 30
TAGS: Mapping[str, str] = {Outcome.PASS: "done", LOST: "active"}


@dataclass(frozen=True)
class Span:
    """One run of a stage; `outcome` is "lost" where it never ended, and `end` then the last that is known of it."""

    stage: Stage
    begin: datetime
    end: datetime
    outcome: str = LOST

    @property
    def seconds(self) -> float:
        """How long it took; a clock that was set back makes no negative time."""
        return max(0.0, (self.end - self.begin).total_seconds())


@dataclass(frozen=True)
class Moment:
    """One step of a change of a target."""

    at: datetime
    target: str
    what: str  # words of ours
    kind: Kind
    commit: Sha | None


def spans_of(events: Iterable[Event]) -> list[Span]:
    """Give every run of a stage, in the order in which they began; one that was lost ends where the next one begins."""
    spans: list[Span] = []
    for event in events:
        if event.kind is Kind.STAGE_ENDED:
            _end(spans, event)
        elif spans and spans[-1].outcome == LOST:
            spans[-1] = replace(spans[-1], end=max(spans[-1].end, event.at))
        if event.kind is Kind.STAGE_STARTED:
            spans.append(Span(Stage(event.text("stage")), event.at, event.at))
    return spans


def _end(spans: list[Span], event: Event) -> None:
    stage, outcome = Stage(event.text("stage")), Outcome(event.text("outcome"))
    for place in reversed(range(len(spans))):
        if spans[place].stage is stage and spans[place].outcome == LOST:
            spans[place] = replace(spans[place], end=event.at, outcome=outcome)
            return
    spans.append(Span(stage, event.at, event.at, outcome))


def tell_end(span: Span) -> str:
    """Say how a run of a stage ended, and how long it took, which of a lost one nobody knows."""
    took = "" if span.outcome == LOST else f"{span.seconds:.1f} s"
    return took if span.outcome == Outcome.PASS else f"{span.outcome} {took}".strip()


def moments_of(events: Iterable[Event]) -> list[Moment]:
    """Give what was asked for, accepted, refused and proven, in order."""
    return [_moment(event) for event in events if event.kind in SHOWN_EVENTS]


def _moment(event: Event) -> Moment:
    action = "" if event.kind is Kind.PROOF else ACTIONS.get(event.text("action"), "change")
    staged = " before users are on it" if event.kind is Kind.PROOF and event.fields.get("staged") else ""
    what = f"{action} {SHOWN_EVENTS[event.kind]}{staged}".strip()
    return Moment(event.at, event.target, what, event.kind, parse_sha(event.fields.get("commit")))


def both_ends[Row](rows: Sequence[Row], most: int) -> tuple[list[Row], int]:
    """Give the first and the last rows, and how many between them are left out."""
    if len(rows) <= most:
        return list(rows), 0
    first = most // 2
    return [*rows[:first], *rows[len(rows) - (most - first) :]], len(rows) - most


def render_mermaid(events: Sequence[Event]) -> str:
    """Give the run as a Gantt diagram: the stages, and for each target its changes; empty where no stage began.

    Only words of ours, ids of commits and moments go in: https://mermaid.js.org/syntax/gantt.html
    """
    spans, _ = both_ends(spans_of(events), MOST_SPANS)
    moments, _ = both_ends(moments_of(events), MOST_MOMENTS)
    if not spans:
        return ""
    lines = ["gantt", "    dateFormat x", "    axisFormat %H:%M:%S", "    todayMarker off", "    section stages"]
    lines += [_span_line(span) for span in spans]
    for name in dict.fromkeys(moment.target for moment in moments):
        lines.append(f"    section {for_mermaid(name)}")
        lines += [_moment_line(moment) for moment in moments if moment.target == name]
    return "\n".join(lines) + "\n"


def _span_line(span: Span) -> str:
    begin = _ms(span.begin)
    end = max(begin, _ms(span.end))
    return f"    {span.stage} {tell_end(span)} :{TAGS.get(span.outcome, 'crit')}, {begin}, {end}"


def _moment_line(moment: Moment) -> str:
    commit = f" {short(moment.commit)}" if moment.commit else ""
    tags = "crit, milestone" if moment.kind is Kind.FAILED else "milestone"
    return f"    {moment.what}{commit} :{tags}, {_ms(moment.at)}, 0ms"


def _ms(at: datetime) -> int:
    return max(0, round(at.timestamp() * 1000))
