"""What the suite needs of a platform: its adapter, the emulated cloud behind it, and in what platforms may differ."""

import abc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from scripts.client import Client
from scripts.clock import Clock, Deadline
from scripts.platforms import History, Platform
from scripts.redaction import Secret
from scripts.release import Baseline, Deployment, Sha
from tests.rehearsal.contract.front import Front

HURRY = 20


class HurriedClock:
    """A clock that runs `HURRY` times as fast as the wall's, so that nobody waits for pauses between two looks."""

    def now(self) -> datetime:
        """Give the time of day, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds that never go backwards."""
        return time.monotonic() * HURRY

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds) / HURRY)


@dataclass(frozen=True)
class Traits:
    """All that the suite lets platforms differ in.

    `stages`: a candidate waits without users until it is promoted. `rollback_is_a_deploy`: a rollback is a deployment
    of its own, else the old one serves again. `rollback_pins`: after it no new deployment gets users by itself.
    `key`, `deploy_key`: the variables of the secrets that API and deploy go by.
    """

    stages: bool
    rollback_is_a_deploy: bool
    rollback_pins: bool
    key: str
    deploy_key: str


class Ground(abc.ABC):
    """One service on one emulated platform, with a front before its API."""

    traits: Traits
    front: Front
    secrets: Mapping[str, Secret]

    def __init__(self) -> None:
        self.clock: Clock = HurriedClock()
        self._clients: dict[Clock, Client] = {}

    @abc.abstractmethod
    def make(self, client: Client, secrets: Mapping[str, Secret]) -> Platform:
        """Make the adapter."""

    @abc.abstractmethod
    def first(self, commit: Sha) -> str:
        """Bring a first release up, as if it had always been there, and give its deployment's id."""

    @abc.abstractmethod
    def commit(self, message: str) -> Sha:
        """Make a commit that can be deployed."""

    @abc.abstractmethod
    def broken(self) -> Sha:
        """Make a commit that cannot be built."""

    @abc.abstractmethod
    def hold_builds(self) -> None:
        """Let no deployment end from now on."""

    @abc.abstractmethod
    def release_builds(self) -> None:
        """Let deployments end again."""

    @abc.abstractmethod
    def suspend(self) -> None:
        """Stop the service, as its owner can."""

    @abc.abstractmethod
    def wrong(self, name: str) -> str:
        """Give a secret that is well formed and wrong."""

    @property
    @abc.abstractmethod
    def serving(self) -> str | None:
        """The commit that the edge gives users to."""

    def adapter(self, clock: Clock | None = None, **secrets: str) -> Platform:
        """Make an adapter, on another clock or with other secrets."""
        clock = clock or self.clock
        if clock not in self._clients:
            self._clients[clock] = Client(clock)
        others = {name: Secret(value) for name, value in secrets.items()}
        return self.make(self._clients[clock], {**self.secrets, **others})

    def close(self) -> None:
        """Close the connections of the adapters."""
        for client in self._clients.values():
            client.close()

    def limit(self, seconds: float = 400) -> Deadline:
        """Give a deadline by the ground's own clock."""
        return Deadline.after(self.clock, seconds)

    def history(self) -> History:
        """Read what the platform tells."""
        history = self.adapter().fetch_history(self.limit())
        assert history is not None
        return history

    def follow(self, deployment: Deployment) -> list[tuple[Deployment, str | None]]:
        """Read a deployment until it has ended; each time with the commit that users were on just before and after."""
        assert deployment.id is not None
        platform, deadline = self.adapter(), self.limit()
        seen = [(deployment, self.serving)]
        while not seen[-1][0].state.ended:
            assert not deadline.passed, seen[-1]
            seen.append((platform.fetch_deployment(deployment.id, deadline), self.serving))
            deadline.pause(0.2)
        return seen

    def ship(self, commit: Sha) -> Deployment:
        """Deploy and promote, as a release does, and give the deployment as it then is."""
        platform = self.adapter()
        ended = self.follow(platform.deploy(commit, self.limit()))[-1][0]
        platform.promote(ended, self.limit())
        assert ended.id is not None
        return platform.fetch_deployment(ended.id, self.limit())

    def baseline(self, deployment: Deployment | None = None) -> Baseline:
        """Give a deployment, or the current one, as what a release would go back to."""
        row = deployment or self.history().current
        assert row is not None
        return Baseline(self.adapter().name, row.commit, row.id, proven=True)


def wait_for(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until something holds; raises TimeoutError."""
    until_s = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError("it never held")
        time.sleep(0.01)
