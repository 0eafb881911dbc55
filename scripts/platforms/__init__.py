"""The platforms: plain modules behind one Protocol. A platform says what it says; nobody here believes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from scripts.client import Answer
from scripts.clock import Deadline
from scripts.redaction import Redactor, Secret
from scripts.release import Baseline, Deployment, DeployState, Sha


@dataclass(frozen=True)
class History:
    """What a platform tells of a service: its deployments, newest first, and how it is set.

    `moving_to` is the deployment that the platform is giving the users to at this moment. `pinned` means that an
    operator's rollback keeps new deployments from users until one is promoted. `undone` are commits that the platform
    itself tells were rolled back, the last time `rolled_back_at`. `moved_from` is the deployment that the last move
    took the users from. `hindrance` says why no release can begin here.
    """

    deployments: tuple[Deployment, ...]
    instances: int | None = None
    suspended: bool = False
    moving_to: str | None = None
    pinned: bool = False
    undone: frozenset[Sha] = frozenset()
    rolled_back_at: datetime | None = None
    moved_from: str | None = None
    hindrance: str = ""

    @property
    def current(self) -> Deployment | None:
        """The deployment that the platform calls live."""
        return next((row for row in self.deployments if row.state is DeployState.LIVE), None)

    def find(self, deployment_id: str | None) -> Deployment | None:
        """Give a deployment by its id."""
        return next((row for row in self.deployments if row.id is not None and row.id == deployment_id), None)

    def new_since(self, known: frozenset[str], commit: Sha) -> Deployment | None:
        """Give the newest deployment of a commit that was not there before; ids are compared, since clocks differ."""
        rows = (row for row in self.deployments if row.commit == commit and row.id not in known)
        return next(rows, None)


class Platform(Protocol):
    """What a release asks of a platform; every call has a deadline and raises only errors of our tree.

    `stages`: a new deployment is at a URL of its own, and users are on it only when it is promoted.
    """

    name: str
    stages: bool

    @property
    def blind(self) -> Platform | None:
        """The same platform without what its API key is for, where a rollback is possible so too; else None."""
        ...

    def fetch_history(self, deadline: Deadline) -> History | None:
        """Read the deployments; None where no key allows to look."""
        ...

    def fetch_deployment(self, deployment_id: str, deadline: Deadline) -> Deployment:
        """Read one deployment."""
        ...

    def deploy(self, commit: Sha, deadline: Deadline) -> Deployment:
        """Ask for a commit to be deployed, once."""
        ...

    def promote(self, deployment: Deployment, deadline: Deadline) -> None:
        """Give it user traffic, where the platform has not done so already."""
        ...

    def roll_back(self, to: Baseline, deadline: Deadline) -> tuple[Deployment, str]:
        """Ask for the baseline to serve again; give the deployment that does so and a warning, empty if none."""
        ...

    def cancel(self, deployment: Deployment, deadline: Deadline) -> None:
        """Ask for a deployment not to go live; that it has ended is to be read afterwards."""
        ...


def hide(secrets: Iterable[Secret], answer: Answer) -> Answer:
    """Give an answer without the secrets that it repeats: a platform's words are told in errors, and cut off there."""
    body = Redactor(secrets)(answer.body.decode(errors="surrogateescape"))
    return replace(answer, body=body.encode(errors="surrogateescape"))
