"""Starts a built Vercel function as Vercel would: its own handler, a clean environment, a port told over a socket.

When to start and stop it, and what to send to its port, is decided by the caller: the build asks for `/version`, the
emulated Vercel proxies users. What is in the function is not looked at here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ConfigError
from scripts.function_ipc import Channel
from scripts.interpreters import find_pythons, probe_python
from scripts.rehearsal.children import Child, end_child, last_lines, start_child

START_LIMIT_S = 15.0
STOP_LIMIT_S = 5.0
SETTINGS = ".vc-config.json"
RUNTIME = re.compile(r"python(3\.\d+)")
HANDLER = re.compile(r"([A-Za-z_]\w*)\.[A-Za-z_]\w*")

# What every function finds, https://vercel.com/docs/environment-variables/system-environment-variables; never a secret.
VERCEL = {
    "VERCEL": "1",
    "VERCEL_ENV": "production",
    "VERCEL_TARGET_ENV": "production",
    "VERCEL_REGION": "iad1",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": ":UTC",
}


class FunctionFailedError(RuntimeError):
    """The function did not start; its text ends with the function's own last lines."""


class Function:
    """One instance of a built function, started when asked for, and again after it died.

    `folder` is the `*.func` folder, `log` a file that gets everything the function says, `variables` the project's
    environment variables, which win over Vercel's own.
    """

    def __init__(
        self, folder: Path, log: Path, variables: Mapping[str, str] | None = None, *, limit_s: float = START_LIMIT_S
    ) -> None:
        self._folder = folder
        self._log = log
        self._variables = dict(variables or {})
        self._limit_s = limit_s
        self._starting = asyncio.Lock()
        self._child: Child | None = None
        self._channel: Channel | None = None
        self.url = ""

    @property
    def alive(self) -> bool:
        """Whether it was started and its process has not ended."""
        return self._child is not None and self._child.running and bool(self.url)

    async def start(self) -> str:
        """Start it unless it is alive, and return its URL; callers at the same time share one start.

        Raises:
            FunctionFailedError: it could not be imported, ended, or said nothing for `limit_s` seconds.
            ConfigError: no Python of the version that it was built for.
        """
        async with self._starting:
            if not self.alive:
                await self._end(0)
                try:
                    await self._start()
                finally:
                    if not self.url:
                        await self._end(0)
            return self.url

    async def stop(self, kill_after_s: float = STOP_LIMIT_S) -> None:
        """Send SIGTERM, and SIGKILL to its whole group after `kill_after_s` seconds; nothing of it is left running."""
        async with self._starting:
            await self._end(kill_after_s)

    def last_lines(self, count: int = 15) -> str:
        """Give the end of what it said."""
        return last_lines(self._log, count) if self._log.is_file() else ""

    async def _start(self) -> None:
        settings = read_settings(self._folder)
        python = await asyncio.to_thread(find_python, settings.python)
        self._channel = channel = await Channel.open(self._log)
        self._child = await start_child(
            # Without -S and -s the packages of this machine's Python would hide that one is missing in the function.
            [python, "-S", "-s", "-c", f"import {settings.module}"],
            environment={
                **VERCEL,
                "HOME": str(channel.folder),
                "TMPDIR": str(channel.folder),  # on Vercel each instance has a /tmp of its own
                "VERCEL_IPC_PATH": str(channel.path),
                **settings.variables,
                **self._variables,
            },
            folder=self._folder,
            log=self._log,
        )
        self.url = f"http://127.0.0.1:{await self._port(channel, self._child)}"

    async def _port(self, channel: Channel, child: Child) -> int:
        ended = asyncio.ensure_future(child.process.wait())
        try:
            await asyncio.wait({ended, channel.port}, timeout=self._limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if channel.port.done():
            return channel.port.result()
        code = child.process.returncode
        what = f"said nothing for {self._limit_s:g} s" if code is None else f"ended with {code} before it listened"
        raise FunctionFailedError(f"the function {what}:\n{self.last_lines()}".strip())

    async def _end(self, kill_after_s: float) -> None:
        self.url = ""
        child, self._child = self._child, None
        channel, self._channel = self._channel, None
        try:
            if child is not None:
                await end_child(child, kill_after_s)
        finally:
            if channel is not None:
                await channel.close()


@contextlib.asynccontextmanager
async def serve_function(
    folder: Path, log: Path, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Function]:
    """Start a function and yield it; raises FunctionFailedError, and leaves nothing running."""
    function = Function(folder, log, variables)
    try:
        await function.start()
        yield function
    finally:
        await function.stop()


@dataclass(frozen=True)
class FunctionSettings:
    """What `.vc-config.json` says of a Python function: version, module to import, environment variables."""

    python: str
    module: str
    variables: Mapping[str, str]


def read_settings(folder: Path) -> FunctionSettings:
    """Read how a function is to be started; raises FunctionFailedError where it is no Python function."""
    try:
        table = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        python, handler = RUNTIME.fullmatch(table["runtime"]), HANDLER.fullmatch(table["handler"])
        variables = {str(name): str(value) for name, value in table.get("environment", {}).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FunctionFailedError(f"{folder.name}/{SETTINGS} cannot be read: {error}") from error
    if python is None or handler is None:
        raise FunctionFailedError(f"{folder.name} is no Python function: {str(table)[:200]}")
    return FunctionSettings(python[1], handler[1], variables)


@functools.cache
def find_python(minor: str) -> str:
    """Give the path of a real interpreter (no venv's) of a version such as 3.13.

    Raises:
        ConfigError: there is none on this machine.
    """
    for candidate in find_pythons(minor):
        python = probe_python(candidate, "ssl")
        if not python.trouble and python.version.startswith(f"{minor}."):
            return python.path
    raise ConfigError(
        f"no Python {minor} was found on this machine",
        means="The function is built for that version (.python-version), so no other one can build or start it.",
        next_step=f"uv python install {minor}, pyenv install {minor}, or actions/setup-python",
    )
