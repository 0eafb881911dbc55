"""Time, passed in: the wall clock for what is written down, the monotonic one for every wait."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a stage knows of time; tests bring one that does not wait."""

    def now(self) -> datetime:
        """Give the time of day, UTC."""
        ...

    def monotonic(self) -> float:
        """Give seconds that never go backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Give the time of day, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds that never go backwards."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; a negative time is no time."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True)
class Deadline:
    """A moment on a clock's monotonic scale after which nothing waits any more."""

    clock: Clock
    at_s: float

    @classmethod
    def after(cls, clock: Clock, seconds: float) -> Deadline:
        """Give the deadline that many seconds from now."""
        return cls(clock, clock.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at_s - self.clock.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left_s <= 0

    def pause(self, seconds: float) -> None:
        """Sleep that long, but never past the deadline."""
        self.clock.sleep(min(seconds, self.left_s))
