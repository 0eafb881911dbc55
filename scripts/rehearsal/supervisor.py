"""Builds commits and runs instances of them as real processes.

When to build, start and stop, and which instance gets traffic, is the platform's decision, not made here.
"""

import asyncio
import contextlib
import itertools
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scripts.rehearsal.blueprint import Blueprint, BlueprintError, read_blueprint, with_exec
from scripts.rehearsal.children import Child, end_child, last_lines, run_child, start_child
from scripts.rehearsal.commits import GitError, check_out

SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
LAST_GRACE_S = 2.0  # on exit: long enough for coverage to write its data
MEASURED = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")  # how coverage finds the processes it has to measure
REACHING_PACKAGES = (
    *("PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_CACHE_DIR", "SSL_CERT_FILE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)


@dataclass(frozen=True, eq=False)
class Artifact:
    """A commit that is built and can be started; `path` is the PATH that finds its dependencies."""

    commit: str
    folder: Path
    blueprint: Blueprint
    path: str
    log: Path


@dataclass(frozen=True, eq=False)
class Instance:
    """A started artifact; it may not listen yet, or may have ended."""

    id: str
    artifact: Artifact
    url: str
    child: Child
    reservation: socket.socket

    @property
    def commit(self) -> str:
        """The commit that runs."""
        return self.artifact.commit

    @property
    def running(self) -> bool:
        """Whether the process that was started has not ended."""
        return self.child.running


class BuildFailedError(RuntimeError):
    """A commit that could not be built, with the last lines of its output."""


class PreDeployFailedError(RuntimeError):
    """A pre-deploy command that failed, with the last lines of its output."""


class Supervisor:
    """Builds and runs commits of one repository below a work folder; on exit nothing of it runs any more.

    `requirements` is the text of the requirements.txt that the running interpreter's environment was installed from.
    A database that a Blueprint asks for is a file of SQLite: one for all commits where they `share_databases`, as on a
    platform, else one for each.
    """

    def __init__(
        self,
        repository: Path,
        folder: Path,
        requirements: str,
        *,
        build_limit_s: float = 7200,
        share_databases: bool = False,
    ) -> None:
        self._share_databases = share_databases
        self._repository = repository
        self._folder = folder
        self._requirements = requirements
        self._build_limit_s = build_limit_s
        self._home = folder / "home"
        self._numbers = itertools.count(1)
        self._instances: set[Instance] = set()

    async def __aenter__(self) -> Self:
        self._home.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self.stop(instance, LAST_GRACE_S) for instance in tuple(self._instances)))

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Every instance that was started and not stopped."""
        return tuple(self._instances)

    async def build(self, commit: str) -> Artifact:
        """Check a commit out and install what it needs; raises BuildFailedError.

        The running environment is used as it is when the commit's requirements.txt is byte for byte the one that it
        was installed from; otherwise the commit's own buildCommand runs in a new virtual environment.
        """
        folder = self._folder / f"build-{next(self._numbers)}-{commit[:12]}"
        log = folder.with_suffix(".log")
        blueprint = await self._source(commit, folder)
        if _read(folder / "requirements.txt") == self._requirements:
            log.write_text("requirements.txt is the one of the running environment: buildCommand skipped\n")
            return Artifact(commit, folder, blueprint, f"{Path(sys.executable).parent}:{SYSTEM_PATH}", log)
        artifact = Artifact(commit, folder, blueprint, f"{folder}.venv/bin:{SYSTEM_PATH}", log)
        await self._install(artifact)
        return artifact

    async def start(self, artifact: Artifact, environment: Mapping[str, str], *, instance_id: str) -> Instance:
        """Start an instance on a free port, its output in `<instance_id>.log` of the work folder.

        The commit's own variables win over our defaults, and `environment`, PORT and HOST win over both.
        """
        with contextlib.ExitStack() as undo:
            port, reservation = _reserve_port()
            undo.enter_context(reservation)
            child = await start_child(
                ["/bin/sh", "-c", with_exec(artifact.blueprint.start_command)],
                environment={**self._environment(artifact), **environment, "PORT": str(port), "HOST": "127.0.0.1"},
                folder=artifact.folder,
                log=self._folder / f"{instance_id}.log",
            )
            undo.pop_all()
        instance = Instance(instance_id, artifact, f"http://127.0.0.1:{port}", child, reservation)
        self._instances.add(instance)
        return instance

    async def prepare(self, artifact: Artifact, environment: Mapping[str, str], *, limit_s: float) -> None:
        """Run the artifact's pre-deploy command to its end; raises PreDeployFailedError."""
        command = artifact.blueprint.pre_deploy_command
        try:
            code = await run_child(
                ["/bin/sh", "-c", command],
                environment={**self._environment(artifact), **environment},
                folder=artifact.folder,
                log=artifact.log,
                limit_s=limit_s,
            )
        except TimeoutError as error:
            raise PreDeployFailedError(f"{command} took longer than {limit_s:g} s") from error
        if code != 0:
            raise PreDeployFailedError(f"{command} ended with {code}:\n{last_lines(artifact.log)}")

    async def stop(self, instance: Instance, kill_after_s: float) -> None:
        """Send SIGTERM, and SIGKILL to the whole process group after `kill_after_s` seconds; wait until it is gone."""
        try:
            await end_child(instance.child, kill_after_s)
        finally:
            self._instances.discard(instance)
            instance.reservation.close()

    async def _source(self, commit: str, folder: Path) -> Blueprint:
        try:
            await check_out(self._repository, commit, folder)
            return read_blueprint(_read(folder / "render.yaml"))
        except (GitError, BlueprintError) as error:
            raise BuildFailedError(str(error)) from error

    async def _install(self, artifact: Artifact) -> None:
        venv = f"{artifact.folder}.venv"
        environment = self._environment(artifact) | {"VIRTUAL_ENV": venv} | _inherited(REACHING_PACKAGES)
        for command in ([sys.executable, "-m", "venv", venv], ["/bin/sh", "-c", artifact.blueprint.build_command]):
            await self._build_step(command, environment, artifact)

    async def _build_step(self, command: list[str], environment: Mapping[str, str], artifact: Artifact) -> None:
        try:
            code = await run_child(
                command,
                environment=environment,
                folder=artifact.folder,
                log=artifact.log,
                limit_s=self._build_limit_s,
            )
        except TimeoutError as error:
            raise BuildFailedError(f"the build took longer than {self._build_limit_s:g} s") from error
        if code != 0:
            raise BuildFailedError(f"{shlex.join(command)} ended with {code}:\n{last_lines(artifact.log)}")

    def _environment(self, artifact: Artifact) -> dict[str, str]:
        """Make the whole environment of a child: nothing of ours leaks into the service, as on the platform."""
        return {
            "PATH": artifact.path,
            "HOME": str(self._home),
            "LANG": "C.UTF-8",
            **_inherited(MEASURED),
            **artifact.blueprint.variables,
            **{key: self._database(artifact, name) for key, name in artifact.blueprint.databases.items()},
        }

    def _database(self, artifact: Artifact, name: str) -> str:
        place = self._folder / name if self._share_databases else f"{artifact.folder}-{name}"
        return f"sqlite:///{place}.db"


def _reserve_port() -> tuple[int, socket.socket]:
    """Find a free port and, on Linux, hold it: otherwise any outgoing connection may be given it before the service is.

    A bound socket that does not listen lets another one bind and listen, if both have SO_REUSEADDR (socket(7)).
    Elsewhere that is refused, so there the port is only found.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    if sys.platform != "linux":
        holder.close()
    return port, holder


def _read(path: Path) -> str:
    return path.read_bytes().decode(errors="replace") if path.is_file() else ""


def _inherited(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}
