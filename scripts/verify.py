"""Prove that a commit is the one that answers, from every instance, and that the checks hold."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from scripts.clock import Deadline
from scripts.identity import LEAST_ANSWERS, Identity
from scripts.journal import Kind
from scripts.probe import VERSION
from scripts.release import Baseline, Sha, short
from scripts.samples import PROOFS, append_samples
from scripts.stage import Ports, Target, Verdicts, planned, side_by_side
from scripts.state import TargetState
from scripts.verdict import CANDIDATE, CURRENT, Sample, Verdict, failed, passed, superseded_by


def verify(ports: Ports) -> Verdicts:
    """Prove the candidate on every target: at a URL of its own, where the platform keeps users from it until then."""
    state = ports.state()
    commit = planned(state).commit
    proofs = {
        target.name: functools.partial(_verify_target, ports, target, state.targets[target.name], commit)
        for target in ports.going()
    }
    return side_by_side(ports, proofs)


def _verify_target(ports: Ports, target: Target, state: TargetState, commit: Sha) -> Verdict:
    deployment = state.deploy.deployment if state.deploy else None
    staged = deployment is not None and deployment.url != "" and state.promote is None
    place = replace(target, url=deployment.url) if staged and deployment else target
    return prove_candidate(ports, place, claim_of(commit, target, state.baseline), staged=staged)


def prove_candidate(ports: Ports, target: Target, claim: Claim, *, staged: bool = False) -> Verdict:
    """Prove a claim within verify's deadline, and write the proof down; `staged` means that no user is there yet."""
    proof = prove(ports, target, claim, ports.deadline(ports.config.verify.deadline_s))
    if proof.proven:
        journal_proof(ports, target, proof, staged=staged)
    return judge_proof(target.name, proof, ports.config.verify.deadline_s)


@dataclass(frozen=True)
class Claim:
    """What is to be proven: that a commit answers from that many instances.

    `known` are the commits that may answer meanwhile; three answers in a row of any other end the proof. Answers of
    `old_instances` do not count: they served before the change that is to be proven.
    """

    commit: Sha
    instances: int
    known: frozenset[Sha]
    old_instances: frozenset[str] = frozenset()


def claim_of(commit: Sha, target: Target, baseline: Baseline | None) -> Claim:
    """Claim that the candidate serves, from as many instances as the platform or the configuration names."""
    known = frozenset(filter(None, (commit, baseline.commit if baseline else None)))
    return Claim(commit, baseline.instances if baseline else target.instances, known)


@dataclass(frozen=True)
class Proof:
    """What was seen when a commit had to be proven."""

    identity: Identity
    instances: int
    rows: Counter[str] = field(default_factory=Counter)
    trouble: str = ""
    stranger: Sha | None = None
    samples: list[Sample] = field(default_factory=list)

    @property
    def identified(self) -> bool:
        """Whether the commit answers from every instance."""
        return self.identity.proven(self.instances)

    @property
    def proven(self) -> bool:
        """Whether it does, and every critical check held three times in a row."""
        return self.identified and not self.trouble and not self.stranger


def checks_hold(ports: Ports, target: Target, deadline: Deadline) -> str:
    """Run the checks of a service that cannot name its commit; give what is wrong at the end, empty for nothing."""
    nobody = Claim(Sha(""), target.instances, frozenset())
    return prove(ports, target, nobody, deadline, lambda proof: not proof.trouble).trouble


def _whole(proof: Proof) -> bool:
    return proof.proven or proof.stranger is not None


def prove(
    ports: Ports, target: Target, claim: Claim, deadline: Deadline, enough: Callable[[Proof], bool] = _whole
) -> Proof:
    """Ask `/version` and every check, round after round, until all is proven, a stranger answers, or time is up."""
    proof = Proof(Identity(claim.commit), claim.instances, Counter(), "no check has run yet")
    start_s = ports.clock.monotonic()
    try:
        while not deadline.passed:
            proof = _round(ports, target, claim, proof, start_s)
            if enough(proof):
                return proof
            deadline.pause(1 / ports.config.probe.rate_per_s)
        return proof
    finally:
        append_samples(ports.folder, target.name, proof.samples, ports.console.redact, PROOFS)


def _round(ports: Ports, target: Target, claim: Claim, proof: Proof, start_s: float) -> Proof:
    seen = target.witness.ask_version(target.url)
    if seen.instance in claim.old_instances:
        seen = replace(seen, commit=None, reason="an instance from before the change answered")
    identity = proof.identity.observe(seen)
    t_s = ports.clock.monotonic() - start_s
    begun = any(sample.arm == CANDIDATE for sample in proof.samples)
    arm = CANDIDATE if identity.row or (begun and not seen.commit) else CURRENT
    proof.samples.append(Sample(t_s, VERSION.name, arm, 0.0, seen.commit is not None, seen.reason))
    rows, trouble = Counter(proof.rows), ""
    for check in target.witness.checks:
        sample = replace(target.witness.run(target.url, check), t_s=t_s, arm=arm)
        proof.samples.append(sample)
        rows[check.name] = rows[check.name] + 1 if sample.ok else 0
        if check.critical and rows[check.name] < LEAST_ANSWERS:
            trouble = trouble or f"{check.name}: {sample.reason or 'not yet three times in a row'}"
    strange = identity.stranger_row >= LEAST_ANSWERS and identity.stranger not in claim.known
    return Proof(identity, proof.instances, rows, trouble, identity.stranger if strange else None, proof.samples)


def judge_proof(name: str, proof: Proof, limit_s: float) -> Verdict:
    """Say what a proof, or the lack of one, means for the release."""
    commit = short(proof.identity.expected)
    if proof.stranger:
        return superseded_by(f"{name} answers as {short(proof.stranger)}")
    if not proof.identified:
        seen = proof.identity.describe(proof.instances)
        return failed(f"{name}: {commit} was not proven to answer within {limit_s:g} s: {seen}")
    if proof.trouble:
        return failed(f"{name}: {commit} answers, but its checks did not hold within {limit_s:g} s: {proof.trouble}")
    return passed(f"{name}: {commit} answers, {proof.identity.describe(proof.instances)}; the checks hold")


def journal_proof(ports: Ports, target: Target, proof: Proof, *, staged: bool = False) -> None:
    """Write down that a commit was proven to serve; `staged`, at a URL that no user knows."""
    ports.journal.append(
        Kind.PROOF,
        target.name,
        commit=proof.identity.expected,
        staged=staged,
        answers=proof.identity.row,
        instances=sorted(proof.identity.instances),
        seconds=count_by_second(proof.samples, [check.name for check in target.witness.deciding]),
    )


def count_by_second(samples: Iterable[Sample], deciding: Collection[str]) -> list[dict[str, list[int]]]:
    """Count the candidate's probes, [sent, failed] by endpoint for each second: the bake's bets begin with them."""
    seconds: dict[int, dict[str, list[int]]] = {}
    for sample in samples:
        if sample.arm == CANDIDATE and sample.endpoint in deciding:
            row = seconds.setdefault(int(sample.t_s), {}).setdefault(sample.endpoint, [0, 0])
            row[0] += 1
            row[1] += not sample.ok
    return [seconds[second] for second in sorted(seconds)]
