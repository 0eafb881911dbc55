"""Counts that are forgotten after a while: in Redis for all instances together, else in this process alone.

A count lives for a fixed window that begins with its first request, so whoever stays within the limit is never refused,
and who does not gets twice the limit at most in a span as long as one window. Where Redis does not answer the service
goes on counting by itself: a limit that is too generous for a minute is better than an outage.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.checks import CheckFailed
from app.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("app.counters")

# In one step: the key could go between two of them, and one without an end would be counted up for ever.
COUNT = """
local used = redis.call('INCR', KEYS[1])
if used == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {used, redis.call('PTTL', KEYS[1])}
"""
PREFIX = "slipway:count:"
LIMIT_S = 0.25  # for each step of asking Redis; a request waits for it
AGAIN_S = 1.0  # after a failure Redis is not asked: its time limit would be added to every request
MOST_CONNECTIONS = 20
MOST_COUNTS = 10_000
ALONE = "limits are counted in each process alone"


@dataclass(frozen=True)
class Count:
    """How often something was counted in its window, this time too, and the seconds until the window ends."""

    used: int
    ends_in_s: float


class Counters:
    """The counters of one process: a resource of its lifecycle, and a check of its health."""

    name = "redis"

    def __init__(self, settings: Settings) -> None:
        self._url = settings.redis_url.get_secret_value() if settings.redis_url else ""
        self._required = settings.redis_required
        self._redis: Redis | None = None
        self._alone = CountersAlone()
        self._not_before = 0.0

    async def open(self) -> None:
        """Connect to Redis, where there is one to be.

        Raises:
            redis.exceptions.RedisError, OSError, TimeoutError: it is required and cannot be reached.
        """
        if not self._url:
            log.warning("REDIS_URL is not set: %s", ALONE)
            return
        self._redis = self._redis or make_client(self._url)
        try:
            await self._redis.ping()
        except failures():
            if self._required:
                raise
            log.warning("Redis does not answer: %s", ALONE)

    async def close(self) -> None:
        """Close every connection."""
        if self._redis:
            await self._redis.aclose()
            self._redis = None

    async def check(self) -> str | None:
        """Ask whether Redis answers; without one, say so.

        Raises:
            CheckFailed: it does not answer.
        """
        if not self._url:
            return f"not set: {ALONE}"
        if self._redis is None:
            raise CheckFailed("not open yet")
        try:
            await self._redis.ping()
        except failures():
            raise CheckFailed(f"unreachable: {ALONE}") from None
        return None

    async def count(self, name: str, window_s: int) -> Count:
        """Count one more of `name` in a window of so many seconds."""
        if self._redis and time.monotonic() >= self._not_before:
            try:
                used, left_ms = await self._redis.eval(COUNT, 1, PREFIX + name, window_s * 1000)
                return Count(used, max(left_ms, 0) / 1000)
            except failures() as error:
                self._not_before = time.monotonic() + AGAIN_S
                log.warning("Redis does not answer (%s): %s", type(error).__name__, ALONE)
        return self._alone.count(name, window_s)


class CountersAlone:
    """Counters in the memory of one process; of too many the oldest are forgotten."""

    def __init__(self, most: int = MOST_COUNTS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._counts: dict[str, tuple[int, float]] = {}

    def count(self, name: str, window_s: int) -> Count:
        """Count one more of `name` in a window of so many seconds."""
        now = self._clock()
        used, ends = self._counts.get(name, (0, 0.0))
        if now >= ends:
            self._counts.pop(name, None)
            used, ends = 0, now + window_s
            while len(self._counts) >= self._most:
                del self._counts[next(iter(self._counts))]  # the first that was put in: the one that began first
        self._counts[name] = (used + 1, ends)
        return Count(used + 1, min(window_s, ends - now))  # (now + 60) - now may be a hair more than 60


def make_client(url: str) -> "Redis":
    """Make a client that waits for nothing longer than its limit; nothing is connected yet."""
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as RedisConnectionError

    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=LIMIT_S,
        socket_timeout=LIMIT_S,
        socket_connect_timeout=LIMIT_S,
        # Once: a connection that a restart of Redis cut is made anew. What is late may have been counted.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )
    return Redis(connection_pool=pool)


def failures() -> tuple[type[Exception], ...]:
    """Give what is raised where Redis does not answer."""
    from redis.exceptions import RedisError

    return (RedisError, OSError, TimeoutError)
