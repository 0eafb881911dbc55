"""One epoch of a comparison: both services are started anew, and asked by turns on the same machine.

Two processes of the same code differ by more than a per cent, so each epoch has new ones. Within it base and head take
turns in short blocks, in pairs, the order in each pair by chance: what the machine does meanwhile hits both alike.
Throughput and latency are those of as many users as leave the service to be what is slow. CPU time for each request is
that of a service that is busy: of one that sleeps between requests it is mostly what waking costs, which is noise. What
an epoch gives is a log ratio for each metric, the median over its pairs; what it means is `scripts.gates.slower`'s.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from scripts.clock import Clock, Deadline
from scripts.errors import PlatformError
from scripts.gates.cpu import cpu_seconds
from scripts.gates.crowd import Block, Crowd
from scripts.gates.measuring import until_ready
from scripts.gates.order import Order
from scripts.gates.recorded import SIDES, Epoch, Figures, log_ratio
from scripts.gates.stats import percentile_ms
from scripts.probe import Witness
from scripts.rehearsal.supervisor import Artifact, Instance, Supervisor
from scripts.verdict import Check

PAIRS = 6
BLOCK_S = 0.2
BUSY_USERS = 8
BUSY = "-busy"  # behind the name of a side: the group of so many users
WARM_UP_S = 0.3
GRACE_S = 5.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Turn:
    """One turn of one side: what the users measured; and the CPU seconds of the service, and for how many requests."""

    block: Block
    cpu_s: float
    cpu_requests: int


@dataclass
class Track:
    """What is carried on which an epoch runs: how the two are built, started and asked; and what was seen of all."""

    order: Order
    clock: Clock
    supervisor: Supervisor
    witness: Witness
    artifacts: Mapping[str, Artifact]
    checks: Mapping[str, Check]
    chance: random.Random
    times: Mapping[str, Counter[float]] = field(default_factory=lambda: {side: Counter[float]() for side in SIDES})
    asked: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    why: dict[str, str] = field(default_factory=dict)

    async def start(self, name: str) -> dict[str, Instance]:
        """Start both services, in an order by chance, and wait until both are ready; `name` is that of their logs."""
        instances: dict[str, Instance] = {}
        for side in self.chance.sample(SIDES, len(SIDES)):
            artifact = self.artifacts[side]
            variables = {**self.order.environment, **artifact.blueprint.variables, "PATH": artifact.path}
            instances[side] = await self.supervisor.start(artifact, variables, instance_id=f"{side}-{name}")
        for side, instance in instances.items():
            try:
                order = replace(self.order, check=self.checks[side])
                deadline = Deadline.after(self.clock, self.order.ready_limit_s)
                await until_ready(order, instance, self.witness, deadline)
            except PlatformError as error:
                await self.stop(instances)
                raise NotReadyError(side, error) from error
        return instances

    async def stop(self, instances: Mapping[str, Instance]) -> None:
        """End both."""
        await asyncio.gather(*(self.supervisor.stop(each, GRACE_S) for each in instances.values()))

    def forget(self) -> None:
        """Begin to count anew."""
        self.why.clear()
        for seen in (self.asked, self.failed):
            seen.clear()
        for times in self.times.values():
            times.clear()

    async def turn(self, crowd: Crowd, side: str, instance: Instance, users: int, seed: int) -> Turn:
        """Put the users on one of the services for a block, and count what comes of it."""
        block, cpu_s = await self._play(crowd, side, side, instance, seed)
        self.times[side].update(two_digits(each) for each in block.times_ms)
        if users >= BUSY_USERS:
            return Turn(block, cpu_s, block.requests)
        busy, busy_s = await self._play(crowd, side, side + BUSY, instance, seed)
        return Turn(block, busy_s, busy.requests)

    async def _play(self, crowd: Crowd, side: str, group: str, instance: Instance, seed: int) -> tuple[Block, float]:
        before_s = cpu_seconds(instance.child.process.pid)
        block = await crowd.play(group, BLOCK_S, seed)
        self.asked[side] += block.requests
        self.failed[side] += block.failures
        if block.why:
            self.why.setdefault(side, block.why[0])
        return block, cpu_seconds(instance.child.process.pid) - before_s


class NotReadyError(Exception):
    """A service that was built and never ready; `side` says which, `error` how it ended."""

    def __init__(self, side: str, error: PlatformError) -> None:
        super().__init__(side)
        self.side, self.error = side, error


def groups_of(instances: Mapping[str, Instance], users: int) -> dict[str, tuple[str, int]]:
    """Give the groups of users: some for each side, and many where those are few."""
    groups = {side: (instance.url, users) for side, instance in instances.items()}
    busy = {side + BUSY: (instance.url, BUSY_USERS) for side, instance in instances.items()}
    return groups if users >= BUSY_USERS else {**groups, **busy}


async def measure_epoch(track: Track, crowd: Crowd, number: int, users: int) -> Epoch:
    """Start both, warm them up, let them take turns, end both.

    Raises:
        NotReadyError: one of them was never ready.
        PlatformError: a user got no answer, or none at all was measured.
    """
    instances = await track.start(str(number))
    try:
        await crowd.meet(groups_of(instances, users))
        for side in track.chance.sample(SIDES, len(SIDES)):
            await crowd.play(side if users >= BUSY_USERS else side + BUSY, WARM_UP_S, number)
        seeds = (number * PAIRS + pair for pair in range(PAIRS))
        pairs = [await _pair(track, crowd, instances, users, seed) for seed in seeds]
        await crowd.part()
    finally:
        await track.stop(instances)
    return as_epoch(number, pairs)


async def _pair(
    track: Track, crowd: Crowd, instances: Mapping[str, Instance], users: int, seed: int
) -> dict[str, Turn]:
    sides = track.chance.sample(SIDES, len(SIDES))
    return {side: await track.turn(crowd, side, instances[side], users, seed) for side in sides}


def as_epoch(number: int, pairs: Sequence[Mapping[str, Turn]]) -> Epoch:
    """Give the epoch of its pairs: for each metric the median over the pairs of the log ratio.

    Raises:
        PlatformError: a service answered nothing in one of the blocks.
    """
    figures = {side: [side_figures([pair[side]]) for pair in pairs] for side in SIDES}
    metrics = {"throughput": "per_s", "p50": "p50_ms", "cpu": "cpu_ms", "p95": "p95_ms"}
    try:
        ratios = {
            name: median(
                log_ratio(getattr(head, field_), getattr(base, field_))
                for base, head in zip(figures["base"], figures["head"], strict=True)
            )
            for name, field_ in metrics.items()
        }
    except ValueError as error:
        raise PlatformError(
            f"epoch {number}: in one of the blocks a service answered nothing, or ended",
            means="Nothing is known of it: this is not a pass.",
        ) from error
    return Epoch(number, ratios, {side: side_figures([pair[side] for pair in pairs]) for side in SIDES})


def side_figures(turns: Sequence[Turn]) -> Figures:
    """Add turns up."""
    times = Counter(time for turn in turns for time in turn.block.times_ms)
    requests = sum(turn.block.requests for turn in turns)
    return Figures(
        requests,
        requests / sum(turn.block.seconds for turn in turns),
        percentile_ms(times, 0.5) or 0.0,
        percentile_ms(times, 0.95) or 0.0,
        1000 * sum(turn.cpu_s for turn in turns) / (sum(turn.cpu_requests for turn in turns) or 1),
        max(turn.block.client for turn in turns),
    )


def two_digits(ms: float) -> float:
    """Round to two digits, as locust does for what it keeps."""
    return float(f"{ms:.2g}")
