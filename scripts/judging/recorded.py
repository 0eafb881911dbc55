"""Judge recorded samples with the judge of a release, second by second, to the first decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scripts.judging.book import Stream
from scripts.judging.judge import Judge, Judgement, Limits, seconds_of
from scripts.verdict import BASELINE, Outcome, Sample


@dataclass(frozen=True)
class Answer:
    """What the judge said of one watch, and when, in seconds since the first probe."""

    verdict: Outcome
    at_s: float
    reason: str
    streams: tuple[Stream, ...]
    log_e: float

    def as_json(self) -> dict[str, object]:
        """Give it as `judge --json` prints it."""
        streams = [
            {"name": row.name, "endpoint": row.endpoint or None, "share": round(row.share, 4)}
            | {"log_e": round(row.log_e, 3), "told": row.told}
            for row in self.streams
        ]
        told = {"version": 1, "verdict": str(self.verdict), "at_s": self.at_s, "reason": self.reason}
        return {**told, "streams": streams, "log_e": round(self.log_e, 3)}


def judge_samples(samples: Sequence[Sample], limits: Limits) -> Answer:
    """Judge one watch; what ends before a decision is inconclusive, and no samples are never a pass."""
    baseline = [row for row in samples if row.arm == BASELINE]
    watched = [row for row in samples if row.arm != BASELINE]
    judge = Judge(sorted({row.endpoint for row in watched}), limits)
    judge.learn(row for row in baseline if row.endpoint in judge.endpoints)
    found = Judgement(None, "no probe of the candidate", 0.0)
    for second, block in seconds_of(watched):
        found = judge.observe(second + 1.0, block)
        if found.outcome is not None:
            return Answer(found.outcome, judge.t_s, found.reason, judge.streams, found.log_e)
    reason = f"the samples end after {judge.t_s:g} s: {found.reason}"
    return Answer(Outcome.INCONCLUSIVE, judge.t_s, reason, judge.streams, found.log_e)
