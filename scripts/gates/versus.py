"""Compares the speed of HEAD with another commit's: both are built and run here, by turns, until a look decides.

Decides when enough was measured and what keeps it from being a pass: users who are slower than the service, requests
that fail. Whether HEAD is slower is judged in `scripts.gates.slower`, one epoch is measured in `scripts.gates.epochs`.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import httpx

from scripts.client import Client
from scripts.clock import Clock, SystemClock
from scripts.errors import ConfigError, PlatformError, UsageError
from scripts.gates.crowd import Crowd, split
from scripts.gates.epochs import BLOCK_S, NotReadyError, Track, measure_epoch
from scripts.gates.measuring import LOCUSTFILE
from scripts.gates.order import Order
from scripts.gates.recorded import SIDES, Epoch, Run, as_lines, ratios_of
from scripts.gates.slower import LOOKS, MOST_EPOCHS, estimate, judge_epochs
from scripts.probe import Witness
from scripts.rehearsal.commits import GitError, UnknownCommitError, find_commit, git
from scripts.rehearsal.supervisor import BuildFailedError, Instance, Supervisor
from scripts.release import Sha, short
from scripts.verdict import Outcome, Verdict

USERS = (8, 4, 2, 1)
CLIENT_LIMIT = 0.6  # of a core: beyond it too little of a slowdown could be seen in throughput and p50
CLIENT_SATURATED = 0.7  # the same in the whole run, with room for noise
TRIALS = 3  # blocks of each side, for each number of users
EPOCHS_FILE = "epochs.jsonl"


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
    if workers < 1 or (users is not None and users < workers):
        raise UsageError("--workers is 1 or more, and --users at least as many", means="Nothing was measured.")
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
    except GitError as error:
        raise UsageError(
            f"--against: HEAD and {against!a} have no commit in common here",
            means="Nothing was measured.",
            next_step="git fetch --unshallow (in Actions: checkout with fetch-depth: 0)",
        ) from error
    return Versus({"base": Sha(base), "head": Sha(head)}, users, workers, output)


async def compare(order: Order, versus: Versus, clock: Clock | None = None) -> Run | str:
    """Measure until a look decides and give the run; or why there is nothing to compare with, where base cannot serve.

    Raises:
        PlatformError: HEAD cannot serve, or a user got no answer.
        ConfigError: the locustfile is broken.
    """
    client = Client(clock := clock or SystemClock(), httpx.HTTPTransport())  # a transport: no proxy of the machine's
    with tempfile.TemporaryDirectory(prefix="slipway-load-") as name:
        folder = Path(name)
        try:
            async with Supervisor(order.root, folder, await _shared_requirements(order.root, versus)) as supervisor:
                witness = Witness(client, clock, (order.check,), 1)
                artifacts = {side: await supervisor.build(versus.commits[side]) for side in SIDES}
                track = Track(order, clock, supervisor, witness, artifacts, random.Random())  # noqa: S311 - an order
                return await _measure(track, versus, folder)
        except BuildFailedError as error:
            raise PlatformError(f"a commit cannot be built: {error}", means="Nothing was compared.") from error
        except NotReadyError as error:
            if error.side == "base":
                return f"the commit before the change does not start: {error.error}"
            raise error.error from error
        finally:
            client.close()


async def _shared_requirements(root: Path, versus: Versus) -> str:
    """Give the requirements for which the running environment is used: those that all three have, else none.

    Where they differ each commit gets an environment of its own, from its own lock by its own buildCommand.
    """
    told = {await _show(root, commit, "requirements.txt") for commit in versus.commits.values()}
    here = root / "requirements.txt"
    told.add(here.read_text(encoding="utf-8") if here.is_file() else "")
    return told.pop() if len(told) == 1 else ""


async def _show(root: Path, commit: str, path: str) -> str:
    try:
        return await git("-C", str(root), "show", f"{commit}:{path}")
    except GitError:
        return ""


async def _measure(track: Track, versus: Versus, folder: Path) -> Run | str:
    locustfile, users, client = await _choose_users(track, versus, folder)
    if users is None:
        return f"no users that both commits can serve: {track.why.get('base') or track.why.get('head')}"
    track.order.say(
        f"comparing {short(versus.commits['head'])} with {short(versus.commits['base'])}: {users} users without a pause"
        f" in {versus.workers} process{'es' if versus.workers > 1 else ''}, which take {client:.0%} of a core"
    )
    start_s = track.clock.monotonic()
    epochs: list[Epoch] = []
    versus.output.mkdir(parents=True, exist_ok=True)
    file = versus.output / EPOCHS_FILE
    file.write_text("", encoding="utf-8")
    async with Crowd(locustfile, split(users, versus.workers), track.order.environment, folder) as crowd:
        while (comparison := judge_epochs(ratios_of(epochs))).outcome is None:
            epochs.append(await measure_epoch(track, crowd, len(epochs) + 1))
            with file.open("a", encoding="utf-8") as lines:
                lines.write(as_lines(epochs[-1]))
            _tell(track, epochs)
    run = Run(
        versus.commits,
        users,
        versus.workers,
        track.clock.monotonic() - start_s,
        tuple(epochs),
        comparison,
        track.times,
    )
    return replace(run, faults=tuple(find_faults(track, run)))


def _tell(track: Track, epochs: list[Epoch]) -> None:
    told = ", ".join(map(str, estimate(ratios_of(epochs))))
    following = next((look for look in LOOKS if look >= len(epochs)), MOST_EPOCHS)
    track.order.say(f"epoch {len(epochs)}, a look at {following}: {told}")


async def _choose_users(track: Track, versus: Versus, folder: Path) -> tuple[Path, int | None, float]:
    """Calibrate: take the locustfile that both commits can serve, and as many users as the machine can make.

    The base's comes first: the head's may ask for what the base does not have yet.
    """
    places = [folder / "base-locustfile.py", track.order.root / LOCUSTFILE]
    places[0].write_text(await _show(track.order.root, versus.commits["base"], str(LOCUSTFILE)), encoding="utf-8")
    counts = (versus.users,) if versus.users else tuple(max(each, versus.workers) for each in USERS)
    instances = await track.start("calibration")
    try:
        for place in places:
            if place.read_text(encoding="utf-8").strip():
                users, client = await _calibrate(track, place, counts, instances, versus.workers, folder)
                if users is not None:
                    return place, users, client
    finally:
        await track.stop(instances)
    return places[-1], None, 0.0


async def _calibrate(
    track: Track,
    locustfile: Path,
    counts: Sequence[int],
    instances: Mapping[str, Instance],
    workers: int,
    folder: Path,
) -> tuple[int | None, float]:
    """Give the most users whose process leaves the service to be the slower one, and what of a core it takes.

    The busiest block counts, since whatever else the machine does only makes the process look idler. None where
    requests fail; the fewest where even they take too much, which the run will say.
    """
    for users in counts:
        try:
            async with Crowd(locustfile, split(users, workers), track.order.environment, folder) as crowd:
                await crowd.meet({side: instance.url for side, instance in instances.items()})
                blocks = [(side, await crowd.play(side, BLOCK_S, seed)) for seed in range(TRIALS) for side in SIDES]
        except ConfigError:
            if locustfile == track.order.root / LOCUSTFILE:
                raise
            return None, 0.0
        track.why.update({side: block.why[0] for side, block in blocks if block.why})
        if any(block.failures > track.order.load.error_rate * block.requests for _, block in blocks):
            return None, 0.0
        client = max(block.client for _, block in blocks)
        if client <= CLIENT_LIMIT:
            break
    return users, client


def find_faults(track: Track, run: Run) -> Iterator[str]:
    """Say what keeps the comparison from being a pass."""
    for side in SIDES:
        if track.failed[side] > track.order.load.error_rate * track.asked[side]:
            why = track.why.get(side, "no reason is known")
            yield f"{track.failed[side]} of {track.asked[side]} requests to {side} failed: {why}"
    client = median(epoch.sides[side].client for epoch in run.epochs for side in SIDES)
    if client > CLIENT_SATURATED:
        yield f"the users' process takes {client:.0%} of a core: it, and not the service, may be what is measured"


def verdict_of(run: Run) -> Verdict:
    """Give the verdict of a comparison: what keeps it from being a pass makes one inconclusive."""
    verdict = run.comparison.verdict
    if not run.faults or verdict.outcome is Outcome.FAIL:
        return verdict
    step = "look at what fails; where the users are the limit, give them --workers or a machine with more cores"
    return Verdict(Outcome.INCONCLUSIVE, "; ".join([*run.faults, verdict.reason]), step)
