"""What the probes of a release showed of each target, for people: nothing is decided from it.

What was judged, the baseline and the bake, is in `samples-<target>.jsonl`, in seconds since the candidate was first
asked. What was asked for a proof (in `verify`, `promote` and on the way back) is in `proofs-<target>.jsonl`, each from
its own beginning and without the name of its stage: so the lines are parted where time starts anew, and each proof is
put beside the stage of the journal that it fits.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.errors import UsageError
from scripts.journal import Event, Kind
from scripts.judging.curve import Point, follow
from scripts.judging.judge import Limits
from scripts.release import Sha, Stage, parse_sha
from scripts.report import names_of
from scripts.samples import PROOFS, SAMPLES, path_of, read_samples
from scripts.state import RunState
from scripts.timeline import Span, spans_of
from scripts.verdict import BASELINE, CANDIDATE, Outcome, Sample

MOST_LINES = 100_000  # of one target; a bake at the highest rate, without end, is no reason to run out of memory
WATCHED = (Stage.VERIFY, Stage.PROMOTE, Stage.ROLLBACK, Stage.RECOVER)
WAY_BACK = (Stage.ROLLBACK, Stage.RECOVER)
PROOF = "proof"  # of which stage, is not known
IN_ORDER = (BASELINE, PROOF, Stage.VERIFY, Stage.PROMOTE, Stage.BAKE, *WAY_BACK)
LEEWAY_S = 1.0
MOST_BYTES = 20_000_000
ERROR_RATE = Limits().error_rate
LARGEST = 1e9
PAIR = (0, 1)  # sent, failed


@dataclass(frozen=True)
class Watch:
    """The probes of one watch, in the order in which they were written; `stage` says which, as far as is known."""

    stage: str
    samples: tuple[Sample, ...]

    @property
    def own(self) -> tuple[Sample, ...]:
        """What counts for the commit that was watched: in a proof not what answered before it."""
        return tuple(row for row in self.samples if row.arm in {CANDIDATE, BASELINE})

    @property
    def span_s(self) -> tuple[float, float]:
        """Its first and its last moment, in seconds since its own zero."""
        moments = [row.t_s for row in self.samples]
        return min(0.0, *moments), max(0.0, *moments)


@dataclass(frozen=True)
class Counts:
    """Probes sent and failed; `before` are those of a proof that came before the commit itself answered."""

    sent: int
    failed: int
    before: int = 0


@dataclass(frozen=True)
class Latency:
    """How long good answers took, in milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Answered:
    """The last proof that a commit serves."""

    commit: Sha | None
    answers: int
    instances: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """All that is known of one target; `cut` says that not every line of its file was read."""

    target: str
    watches: tuple[Watch, ...] = ()
    answered: Answered | None = None
    planned: Counts | None = None  # as the journal's baseline tells it
    proven: Mapping[str, Counts] = field(default_factory=dict)  # by stage, as the journal's proofs tell it
    cut: bool = False
    curve: tuple[Point, ...] = ()  # of the bets on the candidate

    def counts(self, *stages: str) -> Counts | None:
        """Count the probes of some stages; None where nothing is known of any."""
        if stages == (BASELINE,) and self.planned:
            return self.planned
        rows = [watch for watch in self.watches if watch.stage in stages]
        if not rows:
            return _add_up(self.proven[stage] for stage in stages if stage in self.proven)
        own = [row for watch in rows for row in watch.own]
        before = sum(len(watch.samples) - len(watch.own) for watch in rows if watch.stage != Stage.BAKE)
        return Counts(len(own), sum(not row.ok for row in own), before)

    def latency(self, *stages: str) -> Latency | None:
        """Give the latency of the good answers; a proof does not time `/version`, so those do not count."""
        timed = [row.ms for row in self._own(stages) if row.ok and row.ms > 0]
        return Latency(quantile(timed, 0.5), quantile(timed, 0.95)) if timed else None

    def worst(self, *stages: str) -> tuple[str, Counts] | None:
        """Give the endpoint of which the largest share failed; None where none did."""
        rows = sorted(self._own(stages), key=lambda row: row.endpoint)
        groups = {name: list(group) for name, group in itertools.groupby(rows, key=lambda row: row.endpoint)}
        counts = {name: Counts(len(group), sum(not row.ok for row in group)) for name, group in groups.items()}
        bad = [(name, row) for name, row in counts.items() if row.failed]
        return max(bad, key=lambda pair: pair[1].failed / pair[1].sent, default=None)

    def _own(self, stages: Iterable[str]) -> list[Sample]:
        return [row for watch in self.watches if watch.stage in stages for row in watch.own]


def _add_up(counts: Iterable[Counts]) -> Counts | None:
    rows = list(counts)
    return Counts(sum(row.sent for row in rows), sum(row.failed for row in rows)) if rows else None


def quantile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of the values does not exceed (the nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def read_evidence(
    folder: Path, events: Sequence[Event], state: RunState, error_rate: float = ERROR_RATE
) -> list[Evidence]:
    """Read what was seen of each target; without a file of probes, what the journal alone tells."""
    return [_evidence(folder, events, state, name, error_rate) for name in names_of(state)]


def _evidence(folder: Path, events: Sequence[Event], state: RunState, name: str, error_rate: float) -> Evidence:
    judged, cut = read_lines(folder, name, SAMPLES)
    asked, more = read_lines(folder, name, PROOFS)
    own = [event for event in events if event.target == name]
    spans = spans_of(events)
    target = state.targets.get(name)
    watches = [*judged_watches(judged, verified_seconds(spans, own)), *name_proofs(part(asked), spans, own)]
    baseline = target.baseline if target else None
    planned = Counts(baseline.probes, sum(baseline.failures_by_s)) if baseline and baseline.probes else None
    in_order = tuple(sorted(watches, key=lambda watch: IN_ORDER.index(watch.stage)))
    curve = draw_curve(path_of(folder, name), error_rate)
    return Evidence(name, in_order, _answered(own), planned, _proven(spans, own), cut or more, curve)


def verified_seconds(spans: Iterable[Span], own: Iterable[Event]) -> int:
    """Give how many seconds `verify` had counted when the bake began: the last proof before it tells."""
    begin = next((span.begin for span in spans if span.stage is Stage.BAKE), None)
    proofs = [event for event in own if event.kind is Kind.PROOF and begin is not None and event.at <= begin]
    seconds = proofs[-1].fields.get("seconds") if proofs else None
    return len(seconds) if isinstance(seconds, list) else 0


def draw_curve(path: Path, error_rate: float) -> tuple[Point, ...]:
    """Give how the bets on the candidate went; nothing where the file is lost or broken, or too large."""
    try:
        small = path.stat().st_size <= MOST_BYTES
        return follow(read_samples(path), error_rate) if small else ()
    except (OSError, ValueError, UsageError):
        return ()


def _answered(own: Iterable[Event]) -> Answered | None:
    last = next((event for event in reversed(list(own)) if event.kind is Kind.PROOF), None)
    if last is None:
        return None
    answers, instances = last.fields.get("answers"), last.fields.get("instances")
    named = tuple(map(str, instances)) if isinstance(instances, list) else ()
    return Answered(parse_sha(last.fields.get("commit")), answers if isinstance(answers, int) else 0, named)


def _proven(spans: Iterable[Span], own: Iterable[Event]) -> dict[str, Counts]:
    proofs = [event for event in own if event.kind is Kind.PROOF]
    told = {span.stage: [row for row in proofs if span.begin <= row.at <= span.end] for span in spans}
    return {stage: _count_proof(rows[-1]) for stage, rows in told.items() if rows}


def _count_proof(proof: Event) -> Counts:
    seconds = proof.fields.get("seconds")
    rows = [row for row in seconds if isinstance(row, dict)] if isinstance(seconds, list) else []
    pairs = [pair for row in rows for pair in row.values() if isinstance(pair, list) and len(pair) == len(PAIR)]
    sent, failed = ([pair[place] for pair in pairs if isinstance(pair[place], int)] for place in PAIR)
    return Counts(sum(sent), sum(failed))


def read_lines(folder: Path, name: str, kind: str = SAMPLES) -> tuple[list[Sample], bool]:
    """Read a target's probes, and whether there are more of them; what is no probe is passed over."""
    path = path_of(folder, name, kind)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) or not path.is_file():
        return [], False
    try:
        with path.open("rb") as file:
            lines = list(itertools.islice(file, MOST_LINES))
            more = bool(file.readline())
    except OSError:
        return [], False
    return [sample for line in lines if (sample := _parse(line))], more


def _parse(line: bytes) -> Sample | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not isinstance(row.get("ok"), bool):
        return None
    t_s, ms = (_number(row.get(name)) for name in ("t_s", "ms"))
    endpoint, arm = row.get("endpoint"), row.get("arm")
    if t_s is None or ms is None or not isinstance(endpoint, str) or not isinstance(arm, str):
        return None
    return Sample(t_s, endpoint, arm, max(0.0, ms), row["ok"])


def _number(value: object) -> float | None:
    """Give a number that can be drawn; JSON may also hold NaN, infinities and more digits than a float has."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST < value < LARGEST:
        return None
    return float(value)


def judged_watches(samples: Sequence[Sample], verified_s: float) -> Iterator[Watch]:
    """Part what was judged: the baseline, and each bake without the seconds that `verify` had seen before it."""
    before = tuple(row for row in samples if row.arm == BASELINE)
    if before:
        yield Watch(BASELINE, before)
    for rows in part(row for row in samples if row.arm != BASELINE):
        if own := tuple(row for row in rows if row.t_s >= verified_s):
            yield Watch(Stage.BAKE, own)


def part(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Part samples where time starts anew."""
    watches: list[list[Sample]] = []
    for sample in samples:
        if not watches or sample.t_s < watches[-1][-1].t_s:
            watches.append([])
        watches[-1].append(sample)
    return watches


def name_proofs(proofs: Iterable[list[Sample]], spans: Sequence[Span], own: Sequence[Event]) -> Iterator[Watch]:
    """Put each proof beside the stage that it was made in: in order, where it fits in.

    A stage that passed without writing a proof of this target down has asked it nothing.
    """
    runs = [span for span in spans if span.stage in WATCHED]
    for rows in proofs:
        place = next((place for place, run in enumerate(runs) if _fits(rows, run, own)), None)
        yield Watch(PROOF if place is None else runs[place].stage, tuple(rows))
        runs = runs if place is None else runs[place + 1 :]


def _fits(rows: Sequence[Sample], run: Span, own: Sequence[Event]) -> bool:
    proven = any(event.kind is Kind.PROOF and run.begin < event.at <= run.end for event in own)
    return (proven or run.outcome != Outcome.PASS) and rows[-1].t_s <= run.seconds + LEEWAY_S
