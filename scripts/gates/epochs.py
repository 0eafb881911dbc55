"""One epoch of a comparison: both services are started anew, and asked by turns on the same machine.

Two processes of the same code differ by more than a per cent, so each epoch has new ones. Within it base and head take
turns in short blocks, in pairs, the order in each pair by chance: what the machine does meanwhile hits both alike. What
an epoch gives is a log ratio for each metric, the median over its pairs. What that means is `scripts.gates.slower`'s.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

PAIRS = 6
BLOCK_S = 0.25
WARM_UP_S = 0.3
GRACE_S = 5.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Turn:
    """One block of one side: what the users measured, and the CPU seconds of the service meanwhile."""

    block: Block
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.block.requests / self.block.seconds


@dataclass
class Track:
    """What is carried on which an epoch runs: how the two are built, started and asked; and what was seen of all."""

    order: Order
    clock: Clock
    supervisor: Supervisor
    witness: Witness
    artifacts: Mapping[str, Artifact]
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
        deadline = Deadline.after(self.clock, self.order.ready_limit_s)
        for side, instance in instances.items():
            try:
                await until_ready(self.order, instance, self.witness, deadline)
            except PlatformError as error:
                raise NotReadyError(side, error) from error
        return instances

    async def stop(self, instances: Mapping[str, Instance]) -> None:
        """End both."""
        await asyncio.gather(*(self.supervisor.stop(each, GRACE_S) for each in instances.values()))

    async def turn(self, crowd: Crowd, side: str, instance: Instance, seed: int) -> Turn:
        """Put the users on one of the services for a block, and count what comes of it."""
        before_s = cpu_seconds(instance.child.process.pid)
        block = await crowd.play(side, BLOCK_S, seed)
        self.asked[side] += block.requests
        self.failed[side] += block.failures
        self.times[side].update(two_digits(each) for each in block.times_ms)
        if block.why:
            self.why.setdefault(side, block.why[0])
        return Turn(block, cpu_seconds(instance.child.process.pid) - before_s)


class NotReadyError(Exception):
    """A service that was built and never ready; `side` says which, `error` how it ended."""

    def __init__(self, side: str, error: PlatformError) -> None:
        super().__init__(side)
        self.side, self.error = side, error


async def measure_epoch(track: Track, crowd: Crowd, number: int) -> Epoch:
    """Start both, warm them up, let them take turns, end both.

    Raises:
        NotReadyError: one of them was never ready.
        PlatformError: a user got no answer, or none at all was measured.
    """
    instances = await track.start(str(number))
    try:
        await crowd.meet({side: instance.url for side, instance in instances.items()})
        for side in SIDES:
            await crowd.play(side, WARM_UP_S, number)
        pairs = [await _pair(track, crowd, instances, number * PAIRS + pair) for pair in range(PAIRS)]
    finally:
        await track.stop(instances)
    return as_epoch(number, pairs)


async def _pair(track: Track, crowd: Crowd, instances: Mapping[str, Instance], seed: int) -> dict[str, Turn]:
    sides = track.chance.sample(SIDES, len(SIDES))
    return {side: await track.turn(crowd, side, instances[side], seed) for side in sides}


def as_epoch(number: int, pairs: Sequence[Mapping[str, Turn]]) -> Epoch:
    """Give the epoch of its pairs: for each metric the median over the pairs of the log ratio.

    Raises:
        PlatformError: a service answered nothing in one of the blocks.
    """
    figures = {side: [figures_of([pair[side]]) for pair in pairs] for side in SIDES}
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
            f"epoch {number}: in one of the blocks a service answered nothing",
            means="Nothing is known of it: this is not a pass.",
        ) from error
    return Epoch(number, ratios, {side: figures_of([pair[side] for pair in pairs]) for side in SIDES})


def figures_of(turns: Sequence[Turn]) -> Figures:
    """Add turns up."""
    times = Counter(time for turn in turns for time in turn.block.times_ms)
    requests = sum(turn.block.requests for turn in turns)
    return Figures(
        requests,
        requests / sum(turn.block.seconds for turn in turns),
        percentile_ms(times, 0.5) or 0.0,
        percentile_ms(times, 0.95) or 0.0,
        1000 * sum(turn.cpu_s for turn in turns) / requests if requests else 0.0,
        max(turn.block.client for turn in turns),
    )


def two_digits(ms: float) -> float:
    """Round to two digits, as locust does for what it keeps."""
    return float(f"{ms:.2g}")
