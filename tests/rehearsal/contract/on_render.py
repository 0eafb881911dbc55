"""Render as the suite sees it: its adapter, and a tiny service with real processes on the emulated cloud."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.client import Client
from scripts.platforms.render import HOOK, KEY, Render
from scripts.redaction import Secret
from scripts.release import Sha
from tests.rehearsal.contract.beside import Beside, beside
from tests.rehearsal.contract.front import Front, open_front
from tests.rehearsal.contract.ground import Ground, Traits
from tests.rehearsal.tiny_service import API_KEY, HOOK_KEY, Tiny, tiny_cloud

HELD_S = 60.0
NO_BLUEPRINT = "'"  # a start command that makes render.yaml no YAML, so that the build ends before it begins


@dataclass(frozen=True)
class Stage:
    """The cloud and the front before it."""

    tiny: Tiny
    front: Front


class RenderGround(Ground):
    """A service on the emulated Render."""

    traits = Traits(stages=False, rollback_is_a_deploy=True, rollback_pins=False, key=KEY, deploy_key=HOOK)

    def __init__(self, stage: Beside[Stage]) -> None:
        super().__init__()
        self._stage = stage
        self._tiny = stage.value.tiny
        self.front = stage.value.front
        self._hook = f"{self.front.url}/deploy/{self._tiny.cloud.service_id}?key="
        self.secrets = {HOOK: Secret(self._hook + HOOK_KEY), KEY: Secret(API_KEY)}

    def make(self, client: Client, secrets: Mapping[str, Secret]) -> Render:
        """Make the adapter."""
        return Render(client, secrets, f"{self.front.url}/v1")

    def first(self, commit: Sha) -> str:
        """Bring a first release up."""
        return self._stage.call(self._tiny.cloud.first_deploy(commit)).id

    def commit(self, message: str) -> Sha:
        """Make a commit that can be deployed."""
        return Sha(self._tiny.repository.commit(message))

    def broken(self) -> Sha:
        """Make a commit that cannot be built."""
        return Sha(self._tiny.repository.commit("broken", start=NO_BLUEPRINT))

    def hold_builds(self) -> None:
        """Let no deployment end from now on."""
        self._tiny.faults.build_extra_s = HELD_S

    def release_builds(self) -> None:
        """Let deployments end again."""
        self._tiny.faults.build_extra_s = 0.0

    def suspend(self) -> None:
        """Suspend the service."""
        self._stage.call(self._tiny.cloud.suspend())

    def wrong(self, name: str) -> str:
        """Give a secret that is well formed and wrong."""
        return f"{self._hook}wrong-hook-key" if name == HOOK else "rnd_wrong"

    @property
    def serving(self) -> str | None:
        """The commit that the edge gives users to."""
        return self._tiny.cloud.serving_commit


@contextlib.contextmanager
def render_ground(folder: Path) -> Iterator[Ground]:
    """Open an emulated Render that keeps two builds."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Stage]:
        async with tiny_cloud(folder) as tiny, open_front(tiny.cloud.api_url.removesuffix("/v1")) as front:
            yield Stage(tiny, front)

    with beside(opened()) as stage, contextlib.closing(RenderGround(stage)) as ground:
        yield ground
