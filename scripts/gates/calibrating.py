"""Finds whose users both commits can serve, and how many of them leave the service to be what is slow."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.errors import ConfigError, PlatformError
from scripts.gates.crowd import Crowd, UsersOf
from scripts.gates.epochs import BLOCK_S, Track
from scripts.gates.measuring import LOCUSTFILE
from scripts.gates.recorded import SIDES
from scripts.gates.sides import Left
from scripts.rehearsal.supervisor import Instance
from scripts.verdict import Outcome

USERS = (8, 4, 2, 1)  # at a time
CLIENT_LIMIT = 0.6  # of a core; in a service that is as quick as its users' process, one user takes half of one
TRIALS = 3  # blocks of each side, for each number of users


@dataclass(frozen=True)
class Calibrated:
    """Whose users, how many at a time, and what of a core the busiest of their processes takes."""

    whose: UsersOf
    users: int
    client: float


@dataclass
class Tried:
    """What a trial gave: requests and failures by side, why they failed, and the busiest process's share of a core."""

    asked: Counter[str] = field(default_factory=Counter[str])
    failed: Counter[str] = field(default_factory=Counter[str])
    why: dict[str, str] = field(default_factory=dict)
    client: float = 0.0

    def failing(self, error_rate: float) -> list[str]:
        """Give the sides that cannot serve these users."""
        return [side for side in SIDES if self.failed[side] > error_rate * self.asked[side] or not self.asked[side]]


async def choose_users(
    track: Track, users: int | None, workers: int, instances: Mapping[str, Instance], folder: Path
) -> Calibrated | Left:
    """Give the users of the base's locustfile, else of HEAD's; or why there are none that both commits can serve.

    The base's come first: HEAD's may ask for what the base does not have yet. Where the base cannot serve its own
    users there is nothing to compare with; where only HEAD cannot, that is no pass.
    """
    counts = (users,) if users else tuple(dict.fromkeys(max(each, workers) for each in USERS))
    reasons: dict[str, str] = {}
    for side in SIDES:
        whose = UsersOf(track.artifacts[side].folder, workers)
        if (whose.checkout / LOCUSTFILE).is_file():
            found = await _choose_count(track, whose, counts, instances, folder)
            if isinstance(found, Calibrated):
                return found
            reasons[side] = found
    if not reasons or "base" not in reasons:
        return Left(f"base has no {LOCUSTFILE}; of HEAD's: {reasons.get('head', 'there is none')}")
    if reasons["base"].startswith("base:"):
        return Left(f"base cannot serve its own users: {reasons['base']}")
    return Left(f"HEAD does not serve the users that the base serves: {reasons['base']}", Outcome.INCONCLUSIVE)


async def _choose_count(
    track: Track, whose: UsersOf, counts: Sequence[int], instances: Mapping[str, Instance], folder: Path
) -> Calibrated | str:
    """Give the most users whose process leaves the service to be the slower one; or which side fails, and why.

    The fewest, where even they take too much: the run will say so. The busiest block counts, since whatever else the
    machine does only makes the process look idler.
    """
    found: Calibrated | str = "base: nobody asked"
    for users in counts:
        try:
            tried = await _try(track, whose, users, instances, folder)
        except (PlatformError, ConfigError) as error:
            if isinstance(error, ConfigError) and whose.checkout == track.artifacts["head"].folder:
                raise
            return f"head or base: {error.what}"
        bad = tried.failing(track.order.load.error_rate)
        if bad:
            found = f"{bad[0]}: {tried.why.get(bad[0], 'no answer')}"
        elif tried.client <= CLIENT_LIMIT or users == counts[-1]:
            return Calibrated(whose, users, tried.client)
    return found


async def _try(track: Track, whose: UsersOf, users: int, instances: Mapping[str, Instance], folder: Path) -> Tried:
    tried, seeds = Tried(), itertools.count(users * TRIALS)
    async with Crowd(whose, track.order.environment, folder) as crowd:
        await crowd.meet({side: (instance.url, users) for side, instance in instances.items()})
        for seed in itertools.islice(seeds, TRIALS):
            for side in SIDES:
                block = await crowd.play(side, BLOCK_S, seed)
                tried.asked[side] += block.requests
                tried.failed[side] += block.failures
                tried.client = max(tried.client, block.client)
                if block.why:
                    tried.why.setdefault(side, block.why[0])
        await crowd.part()
    return tried
