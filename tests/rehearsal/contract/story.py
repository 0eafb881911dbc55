"""One service's story on a platform, told once and looked at by many cases: each chapter begins where another ended."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

import pytest

from scripts.errors import PlatformError
from scripts.platforms import History
from scripts.release import Baseline, Deployment, DeployState, Sha
from tests.rehearsal.contract.front import JSON, Weather
from tests.rehearsal.contract.ground import Ground, wait_for

PAUSE_S = 2
BUSY = Weather(429, b"{}", ((b"retry-after", str(PAUSE_S).encode()), JSON), count=1)


@dataclass(frozen=True)
class Scene:
    """What the platform tells at the end of a chapter, which commit users are on, and what has been asked so far."""

    history: History
    serving: str | None
    changes: int
    at: datetime


@dataclass(frozen=True)
class Deployed:
    """A deployment from the answer to its end, each time with the commit that users were on just then."""

    asked: Deployment
    listed: Deployment | None
    seen: list[tuple[Deployment, str | None]]
    scene: Scene

    @property
    def ended(self) -> Deployment:
        """The deployment as it was in the end."""
        return self.seen[-1][0]


@dataclass(frozen=True)
class Refused:
    """What the platform said no to."""

    error: PlatformError
    before: Scene
    after: Scene


class Story:
    """Chapters in order; a case that needs one has all before it told."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.waits_s: dict[str, float] = {}
        self.old, self.new, self.fix = (ground.commit(name) for name in ("old", "new", "fix"))

    def look(self) -> Scene:
        """See how things stand."""
        history = self.ground.history()
        return Scene(history, self.ground.serving, len(self.ground.front.changes), datetime.now(UTC))

    @cached_property
    def fresh(self) -> Scene:
        """Nothing was ever deployed."""
        return self.look()

    @cached_property
    def first(self) -> Scene:
        """The old release is the first that is ever released."""
        _told(self.fresh)
        self.ground.ship(self.old)
        return self.look()

    @cached_property
    def baseline(self) -> Baseline:
        """What is gone back to."""
        return self.ground.baseline(self.first.history.current)

    @cached_property
    def failed(self) -> Deployed:
        """A release cannot be built."""
        _told(self.first)
        return self._deploy(self.ground.broken())

    @cached_property
    def deployed(self) -> Deployed:
        """The new release is deployed, not promoted."""
        _told(self.failed)
        return self._deploy(self.new)

    @cached_property
    def promoted(self) -> Scene:
        """The new release is promoted."""
        self.ground.adapter().promote(self.deployed.ended, self.ground.limit())
        return self.look()

    @cached_property
    def back(self) -> tuple[Deployment, str, Scene]:
        """The old release is brought back; with the deployment that serves and the adapter's warning."""
        _told(self.promoted)
        return self._go_back()

    @cached_property
    def fixed(self) -> Scene:
        """A fix is released after that."""
        _told(self.back)
        self.ground.ship(self.fix)
        return self.look()

    @cached_property
    def again(self) -> Scene:
        """The fix is rolled back too, and then released once more, on purpose."""
        fix = self.fixed.history.current
        assert fix
        with self._busy("roll_back"):
            asked, _ = self.ground.adapter().roll_back(self.baseline, self.ground.limit())
        self.ground.follow(asked)
        if self.ground.traits.stages:
            self.ground.adapter().promote(fix, self.ground.limit())
        else:
            self.ground.ship(self.fix)
        return self.look()

    @cached_property
    def too_old(self) -> Refused:
        """What served two releases ago is out of reach, unless its commit is known and can be built anew."""
        _told(self.again)
        return self._refused(replace(self.deployed.ended, commit=None))

    @cached_property
    def never_served(self) -> Refused:
        """What could not be built cannot be gone back to."""
        _told(self.too_old)
        return self._refused(self.failed.ended)

    @cached_property
    def cancelled(self) -> Deployed:
        """A release is given up on its way."""
        _told(self.never_served)
        self.ground.hold_builds()

        def give_up(asked: Deployment) -> None:
            self.ground.adapter().cancel(asked, self.ground.limit())
            self.ground.release_builds()

        return self._deploy(self.ground.commit("given up"), give_up)

    @cached_property
    def end(self) -> Scene:
        """A last release, while the platform wants fewer requests, after which nothing moves any more."""
        _told(self.cancelled)
        platform, limit = self.ground.adapter(), self.ground.limit()
        with self._busy("fetch_history"):
            platform.fetch_history(limit)
        with self._busy("deploy"):
            asked = platform.deploy(self.ground.commit("last"), limit)
        ended = self.ground.follow(asked)[-1][0]
        with self._busy("cancel"):
            platform.cancel(replace(asked, state=DeployState.QUEUED), limit)
        platform.promote(ended, limit)
        return self.look()

    def _deploy(self, commit: Sha, then: Callable[[Deployment], object] = id) -> Deployed:
        known = frozenset(row.id for row in self.ground.history().deployments if row.id)
        asked = self.ground.adapter().deploy(commit, self.ground.limit())
        listed = self.ground.history().new_since(known, commit)
        then(asked)
        return Deployed(asked, listed, self.ground.follow(asked), self.look())

    @contextlib.contextmanager
    def _busy(self, what: str) -> Iterator[None]:
        """Let the platform refuse the first request as one too many, and note how long the act took."""
        start_s = self.ground.clock.monotonic()
        with self.ground.front.under(BUSY):
            yield
        self.waits_s[what] = self.ground.clock.monotonic() - start_s

    def _go_back(self) -> tuple[Deployment, str, Scene]:
        asked, warning = self.ground.adapter().roll_back(self.baseline, self.ground.limit())
        back = self.ground.follow(asked)[-1][0]
        wait_for(lambda: self.ground.serving == self.old)
        return back, warning, self.look()

    def _refused(self, deployment: Deployment) -> Refused:
        before = self.look()
        with pytest.raises(PlatformError) as raised:
            self.ground.adapter().roll_back(self.ground.baseline(deployment), self.ground.limit())
        return Refused(raised.value, before, self.look())


def _told(chapter: object) -> None:
    """Have a chapter told before this one: to name it is to tell it."""
    assert chapter is not None
