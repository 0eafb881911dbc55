"""What happened to the service: its deploys, its events, and the artifacts that can still be started."""

import asyncio
import time
from dataclasses import replace

from scripts.rehearsal.clouds.render_values import Deploy, Event, Kind, Status, Trigger, new_id, now
from scripts.rehearsal.commits import Commit
from scripts.rehearsal.supervisor import Artifact

_KIND_OF = {
    Status.QUEUED: Kind.QUEUED,
    Status.BUILD_IN_PROGRESS: Kind.BUILD_STARTED,
    Status.PRE_DEPLOY_IN_PROGRESS: Kind.PRE_DEPLOY_STARTED,
    Status.UPDATE_IN_PROGRESS: Kind.UPDATE_STARTED,
    Status.LIVE: Kind.LIVE,
    Status.DEACTIVATED: Kind.DEACTIVATED,
    Status.CANCELED: Kind.CANCELED,
    Status.BUILD_FAILED: Kind.FAILED,
    Status.PRE_DEPLOY_FAILED: Kind.FAILED,
    Status.UPDATE_FAILED: Kind.FAILED,
}
_WORK = frozenset({Status.BUILD_IN_PROGRESS, Status.UPDATE_IN_PROGRESS})


class History:
    """Deploys, oldest first, and events. `keep_artifacts` counts the artifacts kept, the live one's included."""

    def __init__(self, keep_artifacts: int) -> None:
        self.events: list[Event] = []
        self.live: str | None = None
        self._keep_artifacts = keep_artifacts
        self._deploys: dict[str, Deploy] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._successful: dict[str, Artifact] = {}

    @property
    def deploys(self) -> tuple[Deploy, ...]:
        """Every deploy, oldest first."""
        return tuple(self._deploys.values())

    @property
    def live_artifact(self) -> Artifact | None:
        """What the live deploy runs; None before the first."""
        return self._successful[self.live] if self.live else None

    def deploy(self, deploy_id: str) -> Deploy:
        """Find a deploy; raises KeyError."""
        return self._deploys[deploy_id]

    async def ended(self, deploy_id: str) -> Deploy:
        """Wait until a deploy is in a terminal status; raises KeyError."""
        await self._ended[deploy_id].wait()
        return self._deploys[deploy_id]

    def create(self, commit: Commit, trigger: Trigger) -> Deploy:
        """Create a deploy."""
        at = now()
        deploy = Deploy(new_id("dep-"), commit, trigger, Status.CREATED, at, at)
        self._deploys[deploy.id] = deploy
        self._ended[deploy.id] = asyncio.Event()
        self._note(Kind.REQUESTED, deploy, trigger.value)
        return deploy

    def move(self, deploy_id: str, status: Status, detail: str = "") -> None:
        """Move a deploy to another status; it starts with its build, or with its update if it needs no build."""
        before, at = self._deploys[deploy_id], now()
        self._deploys[deploy_id] = replace(
            before,
            status=status,
            updated_at=at,
            started_at=before.started_at or (at if status in _WORK else None),
            finished_at=before.finished_at or (at if status.terminal else None),
        )
        self._note(_KIND_OF[status], before, detail)
        if status.terminal:
            self._ended[deploy_id].set()

    def go_live(self, deploy_id: str, artifact: Artifact) -> None:
        """Make a deploy the live one; the one before it becomes deactivated."""
        previous, self.live = self.live, deploy_id
        self._successful[deploy_id] = artifact
        self.move(deploy_id, Status.LIVE)
        if previous:
            self.move(previous, Status.DEACTIVATED)

    def was_live(self, deploy_id: str) -> bool:
        """Tell whether a deploy is or was live."""
        return deploy_id in self._successful

    def kept_artifact(self, deploy_id: str) -> Artifact | None:
        """Find the artifact of a deploy that was live; None when it is no longer kept.

        Kept are the artifacts of the most recent successful deploys (render.com/docs/rollbacks, "Build retention").
        """
        newest_first = list(dict.fromkeys(reversed(self._successful.values())))
        artifact = self._successful[deploy_id]
        return artifact if artifact in newest_first[: self._keep_artifacts] else None

    def note(self, kind: Kind, *, commit: str | None = None, detail: str = "") -> None:
        """Write an event that is not about one deploy."""
        self.events.append(Event(time.monotonic(), now(), kind, commit=commit, detail=detail))

    def _note(self, kind: Kind, deploy: Deploy, detail: str = "") -> None:
        self.events.append(Event(time.monotonic(), now(), kind, deploy.id, deploy.commit.sha, detail))
