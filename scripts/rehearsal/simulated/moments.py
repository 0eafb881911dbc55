"""Time that does not wait, the moment at which a run is cut off, and the commits that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts.checkout import Checkout
from scripts.journal import Journal, Kind
from scripts.release import Sha, parse_sha

BEGIN = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
OLDER, OLD, NEW, NEWER, SIDE = (Sha(letter * 40) for letter in "abcde")
LINE = (OLDER, OLD, NEW, NEWER)


class Killed(BaseException):
    """The machine is gone: nothing after this is carried out, not even a journal entry."""


class Cut:
    """Count the calls that a run makes of the outside world, and end it at one of them."""

    def __init__(self) -> None:
        self.calls = 0
        self._at: int | None = None
        self._error: type[BaseException] = KeyboardInterrupt

    def arm(self, after_calls: int, error: type[BaseException]) -> None:
        """End the run at that call, counted from now."""
        self._at, self._error = self.calls + after_calls, error

    def disarm(self) -> bool:
        """Let everything after this live; say whether the cut never came."""
        waiting, self._at = self._at is not None, None
        return waiting

    def tick(self) -> None:
        """Count one call."""
        self.calls += 1
        if self._at is not None and self.calls >= self._at:
            self._at = None
            raise self._error


class StillClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self.now_s = 0.0

    def now(self) -> datetime:
        """Give the time of day."""
        return BEGIN + timedelta(seconds=self.now_s)

    def monotonic(self) -> float:
        """Give the seconds slept so far."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let that much time pass at once."""
        self._cut.tick()
        self.now_s += max(0.0, seconds)


class CutJournal(Journal):
    """A journal that a run can be cut at, just before and just after each line."""

    def __init__(self, folder: Path, clock: StillClock, cut: Cut) -> None:
        super().__init__(folder, clock, str)
        self._cut = cut

    def append(self, kind: Kind, target: str = "", **fields: object) -> None:
        """Write one event."""
        self._cut.tick()
        super().append(kind, target, **fields)
        self._cut.tick()


class DeadlyCut(Cut):
    """A cut after which, where the machine is gone, nothing of the run lives on: neither beside it nor later."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = False

    def tick(self) -> None:
        """Count one call, unless nobody lives to make it."""
        if self.dead:
            raise Killed
        try:
            super().tick()
        except Killed:
            self.dead = True
            raise

    def disarm(self) -> bool:
        """Let the next run live; say whether the cut never came."""
        self.dead = False
        return super().disarm()


@dataclass(frozen=True)
class StraightLine(Checkout):
    """A checkout whose history is one line of commits; any other commit descends from nothing."""

    def descends(self, commit: Sha, ancestor: Sha) -> bool:
        """Whether one commit comes after the other."""
        return commit in LINE and ancestor in LINE and LINE.index(commit) >= LINE.index(ancestor)


@dataclass(frozen=True)
class Line(StraightLine):
    """The line of commits, of which each is named by its full id."""

    def resolve(self, text: str) -> Sha:
        """Give the commit."""
        commit = parse_sha(text)
        if commit is None:
            raise ValueError(f"{text!r} is no full commit id")
        return commit
