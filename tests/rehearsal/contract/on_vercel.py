"""Vercel as the suite sees it: its adapter with a stand-in or the real CLI, and static files on the emulated cloud."""

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.client import Client
from scripts.config import VercelSection
from scripts.platforms.vercel import Vercel
from scripts.platforms.vercel_api import TOKEN as TOKEN_NAME
from scripts.platforms.vercel_cli import cli_tool
from scripts.platforms.vercel_commands import Tool
from scripts.redaction import Secret
from scripts.rehearsal.clouds.vercel import Plan, VercelFaults
from scripts.release import Sha
from tests.rehearsal.contract.beside import Beside, beside
from tests.rehearsal.contract.front import Front, open_front
from tests.rehearsal.contract.ground import Ground, Traits
from tests.rehearsal.contract.stand_in import StandIn
from tests.rehearsal.tiny_vercel import GUARD, ROOT, TOKEN, TinyVercel, command, tiny_vercel, write_output

MakeTool = Callable[[str], Tool]
BAD_ROUTE = [{"src": "/", "unheard_of": True}]


@dataclass(frozen=True)
class Stage:
    """The cloud and the front before it."""

    tiny: TinyVercel
    front: Front


@dataclass(frozen=True)
class Built:
    """One static file as what was built from a commit."""

    commit: Sha
    broken: bool
    archive_bytes: int = 4096

    def unpack(self, into: Path) -> None:
        """Write it."""
        write_output(into, self.commit, **({"routes": BAD_ROUTE} if self.broken else {}))


class VercelGround(Ground):
    """A project on the emulated Vercel."""

    traits = Traits(stages=True, rollback_is_a_deploy=False, rollback_pins=True, key=TOKEN_NAME, deploy_key=TOKEN_NAME)

    def __init__(self, stage: Beside[Stage], make_tool: MakeTool) -> None:
        super().__init__()
        self._stage = stage
        self._tiny = stage.value.tiny
        self.front = stage.value.front
        self._tool = make_tool(self.front.url)
        self._broken: set[Sha] = set()
        self.secrets = {TOKEN_NAME: Secret(TOKEN)}

    def make(self, client: Client, secrets: Mapping[str, Secret]) -> Vercel:
        """Make the adapter."""
        cloud = self._tiny.cloud
        settings = VercelSection(
            url=self._tiny.edge.url,
            team=cloud.settings.team,
            org_id=cloud.settings.org_id,
            project_id=cloud.settings.project_id,
            api_url=self.front.url,
        )
        return Vercel(client, secrets, settings, self._tool, lambda commit: Built(commit, commit in self._broken))

    def first(self, commit: Sha) -> str:
        """Bring a first release up."""
        return self._stage.call(self._tiny.first(commit)).id

    def commit(self, message: str) -> Sha:
        """Make a commit that can be deployed."""
        return Sha(hashlib.sha1(message.encode(), usedforsecurity=False).hexdigest())

    def broken(self) -> Sha:
        """Make a commit that cannot be built."""
        self._broken.add(commit := self.commit("broken"))
        return commit

    def hold_builds(self) -> None:
        """Let no deployment end from now on."""
        self._tiny.cloud.faults = VercelFaults(stuck_in_queue=True)

    def release_builds(self) -> None:
        """Let deployments end again."""
        self._tiny.cloud.faults = VercelFaults()

    def suspend(self) -> None:
        """Pause the project."""
        self._stage.call(self._tiny.cloud.pause())

    def wrong(self, name: str) -> str:
        """Give a secret that is well formed and wrong."""
        return f"wrong_{name.lower()}"

    @property
    def serving(self) -> str | None:
        """The commit that the edge gives users to."""
        return self._tiny.cloud.serving_commit


@contextlib.contextmanager
def vercel_ground(folder: Path, make_tool: MakeTool = StandIn) -> Iterator[Ground]:
    """Open an emulated Vercel whose plan reaches the previous deployment only."""

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Stage]:
        async with tiny_vercel(folder, plan=Plan.HOBBY) as tiny, open_front(tiny.cloud.api_url) as front:
            yield Stage(tiny, front)

    with beside(opened()) as stage, contextlib.closing(VercelGround(stage, make_tool)) as ground:
        yield ground


def real_cli(api_url: str) -> Tool:
    """Give the pinned CLI behind the guard; skips the test where Node or the CLI is not installed."""
    command()
    environment = {**os.environ, "NODE_OPTIONS": f"--require={GUARD}"}
    return cli_tool(ROOT / ".github" / "vercel-cli", environment, api_url)
