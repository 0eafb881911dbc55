"""Compares the speed of HEAD with another commit's: both are built and run here, by turns, until a look decides.

Decides when enough was measured and what keeps it from being a pass: users who are slower than the service, requests
that fail. Whether HEAD is slower is judged in `scripts.gates.slower`, one epoch is measured in `scripts.gates.epochs`,
how many users there are is found in `scripts.gates.calibrating`.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import httpx

from scripts.client import Client
from scripts.clock import Clock, SystemClock
from scripts.gates.calibrating import USERS, Calibrated, choose_users
from scripts.gates.crowd import Crowd
from scripts.gates.epochs import NotReadyError, Track, measure_epoch
from scripts.gates.order import Order
from scripts.gates.recorded import SIDES, Epoch, Run, as_lines, ratios_of
from scripts.gates.sides import EPOCHS_FILE, Left, Versus, build_sides, check_of, shared_requirements
from scripts.gates.slower import LOOKS, MOST_EPOCHS, estimate, judge_epochs
from scripts.probe import Witness
from scripts.rehearsal.supervisor import Supervisor
from scripts.release import short
from scripts.verdict import Outcome, Verdict

CLIENT_SATURATED = 0.7  # of a core: beyond it too little of a slowdown can be seen in throughput and p50
LONGEST_S = 600.0  # of measuring: a service that takes long to start would else outlast its job
BUILD_LIMIT_S = 600.0


async def compare(order: Order, versus: Versus, clock: Clock | None = None) -> Run | Left:
    """Measure until a look decides and give the run; or why there is none.

    Raises:
        PlatformError: HEAD cannot serve, or a user got no answer.
        ConfigError: the locustfile is broken.
    """
    client = Client(clock := clock or SystemClock(), httpx.HTTPTransport())  # a transport: no proxy of the machine's
    with tempfile.TemporaryDirectory(prefix="slipway-load-") as name:
        folder = Path(name)
        shared = await shared_requirements(order.root, versus)
        try:
            async with Supervisor(order.root, folder, shared, build_limit_s=BUILD_LIMIT_S) as supervisor:
                artifacts = await build_sides(supervisor, versus)
                if isinstance(artifacts, Left):
                    return artifacts
                witness = Witness(client, clock, (order.check,), 1)
                checks = {side: check_of(order, artifact) for side, artifact in artifacts.items()}
                track = Track(order, clock, supervisor, witness, artifacts, checks, random.Random())  # noqa: S311
                return await _compare(track, versus, folder)
        finally:
            client.close()


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
    if isinstance(chosen, Left):
        return chosen
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
    start_s, users = track.clock.monotonic(), chosen.users
    epochs: list[Epoch] = []
    async with Crowd(chosen.whose, track.order.environment, folder) as crowd:
        while (comparison := judge_epochs(ratios_of(epochs))).outcome is None:
            if track.clock.monotonic() - start_s > LONGEST_S:
                break
            epochs.append(await measure_epoch(track, crowd, len(epochs) + 1, users))
            _tell(track, epochs)
            if fewer := _fewer(versus, users, epochs):
                track.order.say(f"the users' process is too busy: it begins again with {fewer} at a time")
                users = fewer
                epochs.clear()
                track.forget()
            lines = "".join(map(as_lines, epochs))
            (versus.output / EPOCHS_FILE).write_text(lines, encoding="utf-8")
    measured_s = track.clock.monotonic() - start_s
    run = Run(
        commits=versus.commits,
        users=users,
        workers=versus.workers,
        measured_s=measured_s,
        epochs=tuple(epochs),
        comparison=comparison,
        times=track.times,
    )
    return replace(run, faults=tuple(find_doubts(track, run)), base_fails="base" in failing(track))


def _fewer(versus: Versus, users: int, epochs: list[Epoch]) -> int | None:
    """Give how many users to go on with where these are the limit: on a busy machine the calibration saw too little.

    It looks at nothing but the users, so that it favours neither commit.
    """
    if versus.users is not None or client_share(epochs) <= CLIENT_SATURATED:
        return None
    return next((each for each in USERS if versus.workers <= each < users), None)


def client_share(epochs: Sequence[Epoch]) -> float:
    """Give what the users' process takes of a core, the median over epochs and sides; 0.0 before the first one."""
    shares = [epoch.sides[side].client for epoch in epochs for side in SIDES]
    return median(shares) if shares else 0.0


def _tell(track: Track, epochs: list[Epoch]) -> None:
    told = ", ".join(map(str, estimate(ratios_of(epochs))))
    following = next((look for look in LOOKS if look >= len(epochs)), MOST_EPOCHS)
    track.order.say(f"epoch {len(epochs)}, a look at {following}: {told}")


def find_doubts(track: Track, run: Run) -> Iterator[str]:
    """Say what keeps the comparison from being a pass."""
    for side in failing(track):
        why = track.why.get(side, "no reason is known")
        yield f"{track.failed[side]} of {track.asked[side]} requests to {side} failed: {why}"
    client = client_share(run.epochs)
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
    if not run.faults or (verdict.outcome is Outcome.FAIL and not run.base_fails):
        return verdict
    step = "look at what fails; where the users are the limit, give them --workers and a machine with more cores"
    return Verdict(Outcome.INCONCLUSIVE, "; ".join([*run.faults, verdict.reason]), step)
