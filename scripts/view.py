"""What is known of a target when a person asks for a rollback: what platform and service say, and what that adds up to.

Pure, but for the questions to the checkout.
"""

from __future__ import annotations

from dataclasses import dataclass

from scripts.checkout import Checkout
from scripts.plan import rolled_back
from scripts.platforms import History
from scripts.release import Deployment, DeployState, Sha


@dataclass(frozen=True)
class View:
    """One target; `answers` is the commit that `/version` named several times in a row.

    `history` is None where no key allows to look. A platform that `stages` moves the users among its deployments.
    """

    name: str
    stages: bool
    history: History | None
    answers: Sha | None = None
    instances: int = 1

    @property
    def live(self) -> Deployment | None:
        """What the platform calls live."""
        return self.history.current if self.history else None

    @property
    def serving(self) -> Sha | None:
        """The commit that users get, by the platform's word; where it is not to be had, by the service's."""
        if self.history is None:
            return self.answers
        return self.live.commit if self.live else None

    @property
    def under_way(self) -> tuple[Deployment, ...]:
        """What will have the users unless somebody stops it, newest first."""
        if self.history is None:
            return ()
        if not self.stages:
            return tuple(row for row in self.history.deployments if not row.state.ended)
        moving = self.history.find(self.history.moving_to)
        return (moving,) if moving is not None and moving is not self.live else ()

    @property
    def undone(self) -> frozenset[Sha]:
        """The commits that were rolled back here."""
        return rolled_back(self.history)

    @property
    def served(self) -> tuple[Sha, ...]:
        """The commits that have served, newest first.

        Where users are moved, from the one that the last move took them from: a newer one that served was rolled back,
        and the platform remembers one rollback only.
        """
        rows = self.history.deployments if self.history else ()
        origin = self.history.find(self.history.moved_from) if self.history else None
        rows = rows[rows.index(origin) :] if origin is not None else rows
        return tuple(dict.fromkeys(row.commit for row in rows if row.commit and row.state.has_served))

    def find_served(self, commit: Sha | None) -> Deployment | None:
        """Give the newest deployment of a commit that has served."""
        rows = self.history.deployments if self.history and commit else ()
        return next((row for row in rows if row.commit == commit and row.state.has_served), None)

    def find_bad(self, to: Sha | None) -> Sha | None:
        """Give what has to go for a commit to serve; None where it serves, by the platform's word and the service's."""
        if to is None or self.serving != to:
            return self.serving
        return self.answers if self.answers != to and self.find_served(self.answers) else None

    def find_newer(self, checkout: Checkout) -> Sha | None:
        """Give what users get, or were to get last: where platform and service differ, the newer commit."""
        other = self.find_bad(self.serving)
        return other if other and self.serving and checkout.descends(other, self.serving) else self.serving

    def find_resting(self, checkout: Checkout) -> Sha | None:
        """Give the commit that a target keeps, has gone back to or is about to: it goes no further unasked."""
        coming = next(iter(self.under_way), None)
        if coming is not None and self.goes_back(coming, checkout):
            return coming.commit
        kept = coming is not None and coming.commit != self.serving
        return self.serving if kept or self._has_gone_back(checkout) else None

    def _has_gone_back(self, checkout: Checkout) -> bool:
        """Whether the last thing that happened was a return, or that a newer release was stopped.

        Else a second tap on the phone would take users off the very release that the first one gave back to them.
        """
        live = self.live
        if self.history is None or live is None:
            return False
        rows = self.history.deployments
        newer, older = rows[: rows.index(live)], rows[rows.index(live) + 1 :]
        stopped = [row for row in newer if row.state is DeployState.CANCELED]
        if self._by_rollback(live) or any(_is_older(live.commit, row.commit, checkout) for row in stopped):
            return True
        others = (row for row in older if row.state.has_served and row.commit != live.commit)
        before = self.history.find(self.history.moved_from) or next(others, None)
        return before is not None and _is_older(live.commit, before.commit, checkout)

    def goes_back(self, row: Deployment, checkout: Checkout) -> bool:
        """Whether what is under way is a return itself, by its kind or by its commit."""
        again = self.find_served(row.commit) is not None
        return self._by_rollback(row) or (again and _is_older(row.commit, self.serving, checkout))

    def _by_rollback(self, row: Deployment) -> bool:
        """Whether a rollback makes it live; where users are moved, the last move tells."""
        moved = self.stages and self.history is not None and self.history.rolled_back_at is not None
        return row.is_rollback or moved

    def tell(self, deployment_id: str | None) -> str:
        """Name a deployment of this target, for a person."""
        return f"{self.name} {deployment_id or 'unknown'}"


def _is_older(commit: Sha | None, other: Sha | None, checkout: Checkout) -> bool:
    return bool(commit and other and commit != other and checkout.descends(other, commit))
