"""Watch the candidate once users are on it, and stop at the first proof: of bad, or of good enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from scripts.identity import LEAST_ANSWERS, Identity
from scripts.judging.judge import Judge, Judgement, Limits
from scripts.probe import Block, Observation, Watched, watch_side_by_side
from scripts.release import Baseline, Sha, short
from scripts.samples import append_samples, begin_watch
from scripts.stage import HEARTBEAT_S, Ports, Target, Verdicts, planned
from scripts.state import TargetState
from scripts.verdict import BASELINE, CANDIDATE, Outcome, Sample, Verdict, failed, superseded_by
from scripts.verify import claim_of

BESIDE_S = 5.0  # in which all checks must hold at the old release's own address: nobody watches meanwhile
LATE_S = 0.5  # behind its rate, from which on the prober itself is what is slow


def bake(ports: Ports) -> Verdicts:
    """Watch every target, side by side; in a release that is one unit the first that is proven bad ends it."""
    state = ports.state()
    release = planned(state)
    going = ports.going()
    beside = {target.name: find_beside(ports, target, state.targets[target.name].baseline) for target in going}
    watches = [
        Watch.begin(ports, target, release.commit, state.targets[target.name], beside[target.name]) for target in going
    ]
    verdicts: dict[str, Verdict] = {}
    for block in _blocks(ports, watches):
        for watch, answers in zip(watches, block.answers, strict=True):
            if not watch.bad:
                verdicts[watch.target.name] = watch.take(ports, answers, late_s=block.late_s)
        if all(watch.ended for watch in watches) or (release.together and any(watch.bad for watch in watches)):
            break
    return verdicts


def _blocks(ports: Ports, watches: list[Watch]) -> Iterator[Block]:
    longest = ports.deadline(ports.config.bake.most_s + 5)  # the last block decides before this
    watched = [Watched(watch.target.witness, watch.target.url, watch.beside) for watch in watches]
    return watch_side_by_side(watched, CANDIDATE, 0.0, longest)  # each watch has a beginning of its own


def verified_samples(seconds: tuple[Mapping[str, tuple[int, int]], ...]) -> Iterator[list[Sample]]:
    """Give what `verify` counted as samples, second by second; it does not tell how long they took."""
    for number, second in enumerate(seconds):
        yield [
            Sample(float(number), name, CANDIDATE, 0.0, ok=place >= bad, reason="failed under verify" * (place < bad))
            for name, (sent, bad) in second.items()
            for place in range(sent)
        ]


def baseline_samples(ports: Ports, target: Target, baseline: Baseline | None) -> list[Sample]:
    """Give the baseline's samples; where their file is lost, what the journal counted, without times."""
    rows = begin_watch(ports.folder, target.name)
    if rows or baseline is None or not baseline.failures_by_s:
        return rows
    names = [check.name for check in target.witness.deciding]
    each, seconds = max(1, baseline.probes // len(baseline.failures_by_s)), len(baseline.failures_by_s)
    return [
        Sample(float(second - seconds), names[place % len(names)], BASELINE, 0.0, ok=place >= bad)
        for second, bad in enumerate(baseline.failures_by_s)
        for place in range(max(each, bad))
    ]


def find_beside(ports: Ports, target: Target, baseline: Baseline | None) -> str:
    """Give the address at which the current release answers beside the candidate, well; empty for none.

    One that answers but may not be asked, or only for its own host, would make every failure look shared.
    """
    if baseline is None or not baseline.url or not baseline.proven:
        return ""
    seen = target.witness.ask_version(baseline.url)
    why = seen.reason or ("" if seen.commit == baseline.commit else f"commit {short(seen.commit)} answered")
    until = ports.deadline(BESIDE_S)
    for check in target.witness.deciding:
        row = None if why else target.witness.run(baseline.url, check)
        why = row.reason if row else why
        why = why or ("it answers too slowly" if until.passed else "")
    if why:
        ports.console.state(target.name, f"the old release cannot be asked beside it ({why}): failures alone decide")
        return ""
    ports.console.state(target.name, f"{short(baseline.commit)} answers beside it: both are asked at the same time")
    return baseline.url


@dataclass
class Watch:
    """One target's watch: the bets on it, and which commit answers."""

    target: Target
    judge: Judge
    identity: Identity
    known: frozenset[Sha]
    instances: int
    start_s: float  # of the samples' time: before the bake by as long as `verify` saw the candidate
    begin_s: float
    beside: str
    beat_s: float
    second: int  # the last one that was judged, counted as the samples are
    unsent: int = 0
    end: Verdict | None = None  # stands while other targets are watched, unless it turns out to be bad
    bad: bool = False

    @classmethod
    def begin(cls, ports: Ports, target: Target, commit: Sha, state: TargetState, beside: str) -> Watch:
        """Start with what `verify` saw of the candidate: errors count from its first answer."""
        baseline, settings = state.baseline, ports.config.bake
        before_s = float(len(state.verified))
        limits = Limits(before_s + settings.least_s, before_s + settings.most_s, ports.config.objectives.error_rate)
        judge = Judge([check.name for check in target.witness.deciding], limits)
        judge.learn(row for row in baseline_samples(ports, target, baseline) if row.endpoint in judge.endpoints)
        for number, second in enumerate(verified_samples(state.verified), 1):
            judge.observe(float(number), second)
            append_samples(ports.folder, target.name, second)
        claim = claim_of(commit, target, baseline)
        now = ports.clock.monotonic()
        return cls(
            target,
            judge,
            Identity(commit),
            claim.known,
            claim.instances,
            now - before_s,
            now,
            beside,
            now,
            len(state.verified) - 1,
        )

    def take(self, ports: Ports, block: list[Observation], *, late_s: float = 0.0) -> Verdict:
        """Take one second's probes and say where the target stands."""
        rows = sorted((row for row in block if row.sent), key=lambda row: row.sample.t_s)
        self.unsent += len(block) - len(rows)
        for row in rows:
            own = row.seen if row.sample.arm == CANDIDATE else None
            self.identity = self.identity.observe(own) if own else self.identity
        now = ports.clock.monotonic()
        # What is written down lies in the second that it was judged in, so that `judge` sees what was seen here.
        self.second = max(round(now - self.start_s) - 1, self.second)
        moments = (min(max(row.sample.t_s - self.start_s, self.second), self.second + 0.999) for row in rows)
        samples = [replace(row.sample, t_s=t_s) for row, t_s in zip(rows, moments, strict=True)]
        starved = late_s > LATE_S
        if not starved:
            append_samples(ports.folder, self.target.name, samples, ports.console.redact)
        judgement = self.judge.observe(self.second + 1.0, samples, starved=starved)
        if now - self.beat_s >= HEARTBEAT_S:
            self.beat_s = now
            ports.console.state(self.target.name, f"{judgement.reason}; log E = {judgement.log_e:.1f}")
        verdict = self._combine(judgement, timed_out=now - self.begin_s >= ports.config.bake.most_s)
        self.bad = verdict.outcome is Outcome.FAIL
        return verdict

    @property
    def ended(self) -> bool:
        """Whether it has its verdict."""
        return self.bad or self.end is not None

    def _combine(self, found: Judgement, *, timed_out: bool) -> Verdict:
        name = self.target.name
        told = f"{found.reason}; {self.unsent} could not be sent" if self.unsent else found.reason
        if self.identity.stranger_row >= LEAST_ANSWERS and self.identity.stranger not in self.known:
            return superseded_by(f"{name} answers as {short(self.identity.stranger)}")
        if found.outcome is Outcome.FAIL:
            return failed(f"{name}: {told}")
        if self.end is not None:
            return self.end
        if found.outcome is Outcome.PASS and not self.identity.proven(self.instances):
            seen = self.identity.describe(self.instances)
            late = failed(f"{name}: not every answer is the candidate's: {seen}")
            return late if timed_out else Verdict(Outcome.INCONCLUSIVE, f"{name}: {seen}")
        outcome = found.outcome or Outcome.INCONCLUSIVE
        verdict = Verdict(outcome, f"{name}: {told}", environment=found.environment)
        self.end = verdict if found.outcome else None
        return verdict
