"""Decide whether this release may go: what serves now, what would be rolled back to, and no way back by accident.

`plan` changes nothing. What it sees becomes the baseline, to which a bad release returns.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime

from scripts.errors import ConfigError, PlatformError, UsageError
from scripts.identity import LEAST_ANSWERS, Identity
from scripts.journal import Kind, archive
from scripts.migrations import warn_of_pending
from scripts.platforms import History
from scripts.probe import Observation
from scripts.release import Baseline, Deployment, Release, Sha, Stage, short
from scripts.samples import append_samples
from scripts.stage import READ_S, Ports, Target, Verdicts, ids, side_by_side
from scripts.state import RunState
from scripts.verdict import BASELINE, Verdict, failed, passed, superseded_by, worst

JUST_BEFORE_S = -0.001
TOO_MANY = "429"
MOST_LIMITED = 0.02  # of the baseline's probes
LOOKS_WITHOUT_VERSION = 5  # answers without a commit, in a row, after which a service is taken to have no /version


def plan(ports: Ports, release: Release, *, again: bool) -> Verdicts:
    """Look at every target, write down the baselines, and say whether the release may go."""
    if ports.state().moved:
        stands = passed(f"{short(release.commit)} was planned before and has begun; its baseline stands")
        return {target.name: stands for target in ports.targets}
    ports.journal.append(Kind.RELEASE, **asdict(release))
    looks = {
        target.name: functools.partial(_plan_target, ports, target, release, again=again) for target in ports.targets
    }
    return side_by_side(ports, looks)


def refuse_other_release(state: RunState, release: Release) -> None:
    """Keep the journal of a release that has begun: what serves now may be its candidate, and a rollback needs it.

    Raises:
        UsageError: the state folder belongs to another release, which has not ended.
    """
    if state.moved and state.release is not None and state.release.commit != release.commit:
        raise UsageError(
            f"the state folder holds the release of {short(state.release.commit)}, which has begun and not ended",
            means="Its journal is what a rollback needs, so it is not overwritten.",
            next_step="finish it (`recover`, then `report`), or name another folder with --state",
        )


def _plan_target(ports: Ports, target: Target, release: Release, *, again: bool) -> Verdict:
    history = target.platform.fetch_history(ports.deadline(READ_S))
    baseline, answering = observe_baseline(ports, target, history)
    ports.journal.append(Kind.BASELINE, **asdict(baseline))
    ports.console.state(target.name, describe(baseline))
    if history is None:
        ports.console.warn(f"{target.name}: without an API key, commits that were rolled back before are not known")
    if history is not None and history.pinned:
        ports.console.warn(f"{target.name}: an operator's rollback pins what serves; this release's promotion lifts it")
    if pending := _pending(ports, release, baseline):
        ports.console.warn(f"{target.name}: {pending}")
        ports.journal.append(Kind.NOTE, target.name, text=pending)
    if target.platform.stages and ports.artifact_bytes:
        ports.console.state(target.name, compare_sizes(ports.artifact_bytes, history))
    verdict = judge_state(target.name, history, baseline, answering)
    if not verdict.passed or again:
        return verdict
    return worst([verdict, _judge_way(ports, release, history, baseline)])


def _pending(ports: Ports, release: Release, baseline: Baseline) -> str:
    return warn_of_pending(
        ports.checkout,
        ports.config.release.migrations,
        serving=baseline.commit,
        candidate=release.commit,
        first=baseline.first,
        targets=[target.name for target in ports.targets],
    )


def observe_baseline(ports: Ports, target: Target, history: History | None) -> tuple[Baseline, Sha | None]:
    """See what serves: platform and `/version`, then the checks for the baseline window.

    The second value is the commit that answered last, three times in a row, whether or not that proves it.
    """
    live = history.current if history else None
    instances = (history.instances if history else None) or target.instances
    identity = _identify(ports, target, instances, serves=live is not None or history is None)
    answered = identity is not None and identity.proven(instances)
    commit = identity.expected if identity and answered else (live.commit if live else None)
    observations = [] if live is None and identity is None and history is not None else list(_watch(ports, target))
    _refuse_limits(target.name, observations)
    first = live is None and identity is None and not any(row.sample.ok for row in observations)
    baseline = Baseline(
        target=target.name,
        commit=commit,
        deployment_id=live.id if live else None,
        proven=answered and (live is None or live.commit in {None, commit}),
        instances=instances,
        instance_ids=tuple(sorted(identity.instances)) if identity else (),
        healthy=_healthy(observations),
        first=first,
        probes=len(observations),
        failures_by_s=_failures_by_second(observations),
        known=tuple(sorted(ids(history))),
        url=live.url if live and target.platform.stages else "",
    )
    return baseline, identity.expected if identity and identity.row >= LEAST_ANSWERS else None


def _identify(ports: Ports, target: Target, instances: int, *, serves: bool) -> Identity | None:
    """Ask `/version` until one commit is proven, or it is plain that none is named; a sleeping service may wake."""
    deadline = ports.deadline(ports.config.verify.deadline_s)
    identity: Identity | None = None
    nameless = 0
    while not deadline.passed and not (identity and identity.proven(instances)):
        seen = target.witness.ask_version(target.url, max(0.1, min(10.0, deadline.left_s)))
        if seen.commit:
            nameless = 0
            identity = identity if identity and identity.expected == seen.commit else Identity(seen.commit)
        else:
            nameless += 1
        identity = identity.observe(seen) if identity else None
        if nameless >= LOOKS_WITHOUT_VERSION and (seen.answered or not serves):
            break
        deadline.pause(1 / ports.config.probe.rate_per_s)
    return identity


def _watch(ports: Ports, target: Target) -> Iterator[Observation]:
    window = ports.deadline(ports.config.baseline.duration_s)
    rows: list[Observation] = []
    for block in target.witness.watch(target.url, BASELINE, window.at_s, window):
        rows += block
    rows = sorted((_before(row) for row in rows), key=lambda row: row.sample.t_s)
    append_samples(ports.folder, target.name, [row.sample for row in rows], ports.console.redact)
    yield from rows


def _refuse_limits(name: str, observations: list[Observation]) -> None:
    """Refuse a release whose proofs would be refused themselves.

    Raises:
        ConfigError: something between limits our probes.
    """
    limited = sum(row.sample.reason.endswith(TOO_MANY) for row in observations)
    if limited > MOST_LIMITED * len(observations):
        raise ConfigError(
            f"{name}: {limited} of {len(observations)} probes were answered 429: something limits how often we ask",
            means="Nothing was deployed: neither a release nor a rollback could be proven.",
            next_step="let probes through (user-agent slipway/1), or lower [probe] rate_per_s in slipway.toml",
        )


def _before(row: Observation) -> Observation:
    """Let an answer that came after the window count as its end: a baseline's time is negative."""
    return replace(row, sample=replace(row.sample, t_s=min(row.sample.t_s, JUST_BEFORE_S)))


def _healthy(observations: list[Observation]) -> bool:
    """Whether the last answer of every check was good; `/version` is apart, since an adopted service may have none."""
    last = {row.sample.endpoint: row.sample.ok for row in observations if row.seen is None}
    return bool(last) and all(last.values())


def _failures_by_second(observations: list[Observation]) -> tuple[int, ...]:
    if not observations:
        return ()
    begin = observations[0].sample.t_s
    seconds = [0] * (int(observations[-1].sample.t_s - begin) + 1)
    for row in observations:
        seconds[int(row.sample.t_s - begin)] += not row.sample.ok
    return tuple(seconds)


def compare_sizes(now: int, history: History | None) -> str:
    """Say how large the artifact is, beside that of the deployment that serves."""
    live = history.current if history else None
    before = live.size_bytes if live else 0
    size = f"the artifact has {now / 1e6:.2f} MB"
    return f"{size}, {(now - before) / before:+.1%} against what serves" if before else size


def describe(baseline: Baseline) -> str:
    """Say what a baseline is, for a person."""
    if baseline.first:
        return "nothing serves yet: a first release, with nothing to go back to"
    state = "proven" if baseline.proven else "unproven: /version did not name its commit"
    health = f"{sum(baseline.failures_by_s)} of {baseline.probes} probes failed"
    return f"{short(baseline.commit)} serves, deploy {baseline.deployment_id or 'unknown'}, {state}; {health}"


def judge_state(name: str, history: History | None, baseline: Baseline, answering: Sha | None) -> Verdict:
    """Say whether the target is in a state in which a release can begin.

    Raises:
        PlatformError: the service is suspended.
        ConfigError: it is set so that no release of ours can work.
    """
    if history is not None and history.hindrance:
        raise ConfigError(f"{name}: {history.hindrance}", means="Nothing was deployed.")
    if history is not None and history.suspended:
        raise PlatformError(
            f"{name}: the service is suspended", means="Nothing was deployed.", next_step="resume it in the dashboard"
        )
    busy = _under_way(history) if history else None
    if busy is not None:
        return superseded_by(f"{name}: deploy {busy.id} of {short(busy.commit)} is {busy.state}")
    live = history.current if history else None
    if live is not None and live.commit is not None and answering not in {None, live.commit}:
        return superseded_by(f"{name} says {short(live.commit)} is live, but {short(answering)} answers")
    return passed(f"{name}: {describe(baseline)}")


def _under_way(history: History) -> Deployment | None:
    moving = history.find(history.moving_to)
    return moving or next((row for row in history.deployments if not row.state.ended), None)


def _judge_way(ports: Ports, release: Release, history: History | None, baseline: Baseline) -> Verdict:
    forward = baseline.commit is None or ports.checkout.descends(release.commit, baseline.commit)
    return judge_way(release, baseline, forward=forward, undone=rolled_back(history), latest=last_rollback(history))


def judge_way(
    release: Release, baseline: Baseline, *, forward: bool, undone: frozenset[Sha], latest: datetime | None
) -> Verdict:
    """Refuse a way back that nobody asked for: not a descendant, rolled back before, or begun before a rollback."""
    step = "to ship it all the same: the workflow Release by hand, with `again` (here: `plan --again`)"
    if not forward:
        return failed(f"{short(release.commit)} does not descend from {short(baseline.commit)}, which serves", step)
    if release.attempt > 1 and release.commit == baseline.commit:
        return failed(
            f"{short(release.commit)} serves already, put there by an earlier attempt of this run: it is no way back",
            f"look at it, then start the workflow Roll back, or push a fix; {step}",
        )
    if release.commit in undone:
        return failed(f"{short(release.commit)} was rolled back before", f"ship a fix; {step}")
    if latest is not None and release.started_at < latest and release.commit != baseline.commit:
        return failed(f"this run began before the rollback of {latest:%H:%M:%S} UTC", f"push a fix; {step}")
    return passed("the way is forward")


def rolled_back(history: History | None) -> frozenset[Sha]:
    """Give the commits that a rollback took out of service: what served just before each deployment of that kind."""
    rows = history.deployments if history else ()
    undone = set(history.undone) if history else set()
    for place, row in enumerate(rows):
        before = next((old for old in rows[place + 1 :] if old.state.has_served), None)
        if row.is_rollback and row.state.has_served and before and before.commit and before.commit != row.commit:
            undone.add(before.commit)
    return frozenset(undone)


def last_rollback(history: History | None) -> datetime | None:
    """Give when the newest rollback was asked for."""
    rows = history.deployments if history else ()
    asked = history.rolled_back_at if history else None
    return asked or next((row.created_at for row in rows if row.is_rollback and row.state.has_served), None)


def prepare_folder(ports: Ports, release: Release) -> None:
    """Put an ended release's files away, and keep those of one that has begun.

    Raises:
        UsageError: the state folder belongs to another release, which has not ended.
    """
    if may_start_afresh(ports.state()):
        archive(ports.folder)
    refuse_other_release(ports.state(), release)


def may_start_afresh(state: RunState) -> bool:
    """Whether the journal holds a release that has ended, or one that never moved anything."""
    ended = state.passed(Stage.BAKE) or state.passed(Stage.ROLLBACK) or state.passed(Stage.RECOVER)
    return bool(state.stages) and (ended or not state.moved)
