"""Compares the speed of HEAD with another commit's: both are built and run here, by turns, until a look decides.

Decides when enough was measured and what keeps it from being a pass: users who are slower than the service, requests
that fail. Whether HEAD is slower is judged in `scripts.gates.slower`, one epoch is measured in `scripts.gates.epochs`,
how many users there are is found in `scripts.gates.calibrating`.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import httpx

from scripts.client import Client
from scripts.clock import Clock, SystemClock
from scripts.errors import ConfigError, PlatformError, UsageError
from scripts.gates.calibrating import Calibrated, choose_users
from scripts.gates.crowd import WORKERS, Crowd
from scripts.gates.epochs import NotReadyError, Track, measure_epoch
from scripts.gates.order import Order, choose_check, read_config
from scripts.gates.recorded import SIDES, Epoch, Run, as_lines, ratios_of
from scripts.gates.slower import LOOKS, MOST_EPOCHS, estimate, judge_epochs
from scripts.probe import Witness
from scripts.rehearsal.blueprint import BlueprintError, read_blueprint
from scripts.rehearsal.commits import GitError, UnknownCommitError, find_commit, git
from scripts.rehearsal.supervisor import Artifact, BuildFailedError, Supervisor
from scripts.release import Sha, short
from scripts.verdict import Check, Outcome, Verdict

CLIENT_SATURATED = 0.7  # of a core: beyond it too little of a slowdown can be seen in throughput and p50
LONGEST_S = 600.0  # of measuring: a service that takes long to start would else outlast its job
BUILD_LIMIT_S = 600.0
EPOCHS_FILE, PAGE_FILE = "epochs.jsonl", "page.html"
OWN = "\0"  # no requirements.txt says this: each commit gets an environment of its own


@dataclass(frozen=True)
class Versus:
    """What is to be compared: the two commits, and what `--users` and `--workers` said; None means by calibration."""

    commits: Mapping[str, Sha]
    users: int | None
    workers: int
    output: Path


async def plan_versus(root: Path, against: str, users: int | None, workers: int, output: Path) -> Versus:
    """Give the two commits: HEAD, and the one where it left the other.

    Raises:
        UsageError: no such commit, or the two have nothing in common here; a number that makes no sense.
    """
    if not 1 <= workers <= WORKERS or (users is not None and users < workers):
        raise UsageError("--workers is 1 or more, and --users at least as many", means="Nothing was measured.")
    _empty(output)
    try:
        head = (await find_commit(root, "HEAD")).sha
        other = (await find_commit(root, against)).sha
        base = (await git("-C", str(root), "merge-base", other, head)).strip()
    except UnknownCommitError as error:
        raise UsageError(
            f"--against: {against!a} is no commit of this repository",
            means="Nothing was measured.",
            next_step="fetch it (in Actions: checkout with fetch-depth: 0), or name another",
        ) from error
    except (GitError, OSError, TimeoutError) as error:
        raise UsageError(
            f"--against: HEAD and {against!a} have no commit in common here",
            means="Nothing was measured.",
            next_step="git fetch --unshallow (in Actions: checkout with fetch-depth: 0)",
        ) from error
    return Versus({"base": Sha(base), "head": Sha(head)}, users, workers, output)


def _empty(output: Path) -> None:
    """Make the folder, and take away what an earlier comparison left there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in (EPOCHS_FILE, PAGE_FILE):
            (output / name).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output: {output} cannot be written: {error.strerror}", means="Nothing was measured."
        ) from error


@dataclass(frozen=True)
class Left:
    """Why there is no comparison, and what that means: a pass leaves it to the objectives."""

    reason: str
    outcome: Outcome = Outcome.PASS


async def compare(order: Order, versus: Versus, clock: Clock | None = None) -> Run | Left:
    """Measure until a look decides and give the run; or why there is none.

    Raises:
        PlatformError: HEAD cannot serve, or a user got no answer.
        ConfigError: the locustfile is broken.
    """
    client = Client(clock := clock or SystemClock(), httpx.HTTPTransport())  # a transport: no proxy of the machine's
    with tempfile.TemporaryDirectory(prefix="slipway-load-") as name:
        folder = Path(name)
        shared = await _shared_requirements(order.root, versus)
        try:
            async with Supervisor(order.root, folder, shared, build_limit_s=BUILD_LIMIT_S) as supervisor:
                artifacts: dict[str, Artifact] = {}
                for side in SIDES:
                    try:
                        artifacts[side] = await supervisor.build(versus.commits[side])
                    except (BuildFailedError, OSError, TypeError, AttributeError) as error:
                        if side == "base":
                            return Left(f"the commit before the change cannot be built: {error}")
                        raise PlatformError(f"HEAD cannot be built: {error}", means="It was not compared.") from error
                witness = Witness(client, clock, (order.check,), 1)
                checks = {side: _check_of(order, artifact) for side, artifact in artifacts.items()}
                track = Track(order, clock, supervisor, witness, artifacts, checks, random.Random())  # noqa: S311
                return await _compare(track, versus, folder)
        finally:
            client.close()


def _check_of(order: Order, artifact: Artifact) -> Check:
    """Give the check that tells when a commit is ready: its own, since HEAD's may ask for what base does not have."""
    try:
        return choose_check(read_config(artifact.folder / "slipway.toml"), artifact.blueprint)
    except ConfigError:
        return order.check


async def _shared_requirements(root: Path, versus: Versus) -> str:
    """Give the requirements for which the running environment is used: those that all three have, else none.

    Where they differ each commit gets an environment of its own, from its own lock by its own buildCommand.
    """
    commits = versus.commits.values()
    told = {await _show(root, commit, "requirements.txt") for commit in commits}
    here = root / "requirements.txt"
    told.add(here.read_bytes().decode("utf-8", "replace") if here.is_file() else "")
    commands = {_build_command(await _show(root, commit, "render.yaml")) for commit in commits}
    return told.pop() if len(told) == len(commands) == 1 else OWN


def _build_command(text: str) -> str:
    try:
        return read_blueprint(text).build_command
    except (BlueprintError, TypeError, AttributeError):
        return OWN


async def _show(root: Path, commit: str, path: str) -> str:
    try:
        return await git("-C", str(root), "show", f"{commit}:{path}")
    except GitError:
        return ""


async def _compare(track: Track, versus: Versus, folder: Path) -> Run | Left:
    try:
        instances = await track.start("calibration")
    except NotReadyError as error:
        if error.side == "base":
            return Left(f"the commit before the change does not start: {error.error}")
        raise error.error from error
    try:
        chosen = await choose_users(track, versus.users, versus.workers, instances, folder)
    finally:
        await track.stop(instances)
    if isinstance(chosen, str):
        return Left(chosen, Outcome.PASS if chosen.startswith("base") else Outcome.INCONCLUSIVE)
    track.order.say(
        f"comparing {short(versus.commits['head'])} with {short(versus.commits['base'])}: {chosen.users} at a time"
        f" without a pause in {versus.workers} process{'es' if versus.workers > 1 else ''},"
        f" which take {chosen.client:.0%} of a core"
    )
    try:
        return await _measure(track, versus, chosen, folder)
    except NotReadyError as error:
        raise error.error from error


async def _measure(track: Track, versus: Versus, chosen: Calibrated, folder: Path) -> Run:
    start_s = track.clock.monotonic()
    epochs: list[Epoch] = []
    file = versus.output / EPOCHS_FILE
    file.write_text("", encoding="utf-8")
    async with Crowd(chosen.whose, track.order.environment, folder) as crowd:
        while (comparison := judge_epochs(ratios_of(epochs))).outcome is None:
            if track.clock.monotonic() - start_s > LONGEST_S:
                break
            epochs.append(await measure_epoch(track, crowd, len(epochs) + 1, chosen.users))
            with file.open("a", encoding="utf-8") as lines:
                lines.write(as_lines(epochs[-1]))
            _tell(track, epochs)
    measured_s = track.clock.monotonic() - start_s
    run = Run(
        commits=versus.commits,
        users=chosen.users,
        workers=versus.workers,
        measured_s=measured_s,
        epochs=tuple(epochs),
        comparison=comparison,
        times=track.times,
    )
    return replace(run, faults=tuple(find_doubts(track, run)))


def _tell(track: Track, epochs: list[Epoch]) -> None:
    told = ", ".join(map(str, estimate(ratios_of(epochs))))
    following = next((look for look in LOOKS if look >= len(epochs)), MOST_EPOCHS)
    track.order.say(f"epoch {len(epochs)}, a look at {following}: {told}")


def find_doubts(track: Track, run: Run) -> Iterator[str]:
    """Say what keeps the comparison from being a pass."""
    for side in failing(track):
        why = track.why.get(side, "no reason is known")
        yield f"{track.failed[side]} of {track.asked[side]} requests to {side} failed: {why}"
    client = median(epoch.sides[side].client for epoch in run.epochs for side in SIDES)
    if client > CLIENT_SATURATED:
        yield f"the users' process takes {client:.0%} of a core: it, and not the service, may be what is measured"
    if run.comparison.outcome is None:
        yield f"{len(run.epochs)} epochs took longer than {LONGEST_S:g} s"


def failing(track: Track) -> list[str]:
    """Give the sides of which more requests failed than the objectives allow."""
    return [side for side in SIDES if track.failed[side] > track.order.load.error_rate * track.asked[side]]


def verdict_of(run: Run) -> Verdict:
    """Give the verdict of a comparison: what keeps it from being a pass makes one inconclusive.

    A slowdown that was found stays one, unless the base's requests fail: what fails may well be fast.
    """
    verdict = run.comparison.verdict
    base_fails = any("requests to base failed" in fault for fault in run.faults)
    if not run.faults or (verdict.outcome is Outcome.FAIL and not base_fails):
        return verdict
    step = "look at what fails; where the users are the limit, give them --workers and a machine with more cores"
    return Verdict(Outcome.INCONCLUSIVE, "; ".join([*run.faults, verdict.reason]), step)
