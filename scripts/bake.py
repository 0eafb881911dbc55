"""Watch the candidate once users are on it, and stop at the first proof: of bad, or of good enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts.identity import LEAST_ANSWERS, Identity
from scripts.judge import ErrorJudge, Judgement, tolerated_rate
from scripts.probe import CANDIDATE, Observation, watch_side_by_side
from scripts.release import Sha, short
from scripts.samples import append_samples
from scripts.stage import HEARTBEAT_S, Ports, Target, Verdicts, planned
from scripts.state import TargetState
from scripts.verdict import Outcome, Sample, Verdict, failed, superseded_by
from scripts.verify import claim_of


def bake(ports: Ports) -> Verdicts:
    """Watch every target, side by side; in a release that is one unit the first that is proven bad ends it."""
    state = ports.state()
    release = planned(state)
    watches = [Watch.begin(ports, target, release.commit, state.targets[target.name]) for target in ports.going()]
    verdicts: dict[str, Verdict] = {}
    for blocks in _blocks(ports, watches):
        for watch, block in zip(watches, blocks, strict=True):
            if not watch.bad:
                verdicts[watch.target.name] = watch.take(ports, block)
        if all(watch.ended for watch in watches) or (release.together and any(watch.bad for watch in watches)):
            break
    return verdicts


def _blocks(ports: Ports, watches: list[Watch]) -> Iterator[list[list[Observation]]]:
    start_s = ports.clock.monotonic()
    longest = ports.deadline(ports.config.bake.most_s + 5)  # the last block decides before this
    watched = [(watch.target.witness, watch.target.url) for watch in watches]
    return watch_side_by_side(watched, CANDIDATE, start_s, longest)


def _samples(second: Mapping[str, tuple[int, int]]) -> Iterator[Sample]:
    for name, (sent, bad) in second.items():
        for number in range(sent):
            ok = number >= bad
            yield Sample(0.0, name, CANDIDATE, 0.0, ok, "" if ok else "failed under verify")


@dataclass
class Watch:
    """One target's watch: the bets on its errors, and which commit answers."""

    target: Target
    judge: ErrorJudge
    identity: Identity
    known: frozenset[Sha]
    instances: int
    start_s: float
    beat_s: float
    carried: list[Sample]  # of the second that verify began and did not end: it counts with the first one here
    ended: bool = False
    bad: bool = False

    @classmethod
    def begin(cls, ports: Ports, target: Target, commit: Sha, state: TargetState) -> Watch:
        """Start with what `verify` saw of the candidate: errors count from its first answer."""
        baseline = state.baseline
        rate = tolerated_rate(baseline, ports.config.objectives.error_rate)
        claim = claim_of(commit, target, baseline)
        now = ports.clock.monotonic()
        names = [check.name for check in target.witness.deciding]
        judge = ErrorJudge(rate, names)
        for second in state.verified[:-1]:
            judge.observe(_samples(second))
        carried = [sample for second in state.verified[-1:] for sample in _samples(second)]
        return cls(target, judge, Identity(commit), claim.known, claim.instances, now, now, carried)

    def take(self, ports: Ports, block: list[Observation]) -> Verdict:
        """Take one second's probes and say where the target stands."""
        append_samples(ports.folder, self.target.name, [row.sample for row in block], ports.console.redact)
        self.judge.observe([*self.carried, *(row.sample for row in block)])
        self.carried = []
        for row in sorted(block, key=lambda row: row.sample.t_s):
            self.identity = self.identity.observe(row.seen) if row.seen else self.identity
        now = ports.clock.monotonic()
        bets = self.judge.judge(now - self.start_s, ports.config.bake.least_s, ports.config.bake.most_s)
        if now - self.beat_s >= HEARTBEAT_S:
            self.beat_s = now
            ports.console.state(self.target.name, f"{bets.reason}; log E = {bets.log_e:.1f}")
        verdict = self._combine(bets, timed_out=now - self.start_s >= ports.config.bake.most_s)
        self.bad = verdict.outcome is Outcome.FAIL
        return verdict

    def _combine(self, bets: Judgement, *, timed_out: bool) -> Verdict:
        name = self.target.name
        if self.identity.stranger_row >= LEAST_ANSWERS and self.identity.stranger not in self.known:
            self.ended = True
            return superseded_by(f"{name} answers as {short(self.identity.stranger)}")
        if bets.outcome is Outcome.FAIL:
            self.ended = True
            return failed(f"{name}: {bets.reason}")
        proven = self.identity.proven(self.instances)
        if bets.outcome is Outcome.PASS and not proven and not timed_out:
            return Verdict(Outcome.INCONCLUSIVE, f"{name}: {self.identity.describe(self.instances)}")
        if bets.outcome is Outcome.PASS and not proven:
            self.ended = True
            return failed(f"{name}: not every answer is the candidate's: {self.identity.describe(self.instances)}")
        self.ended = bets.outcome is not None
        return Verdict(bets.outcome or Outcome.INCONCLUSIVE, f"{name}: {bets.reason}")
