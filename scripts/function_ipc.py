"""The socket on which a function says that it listens, what it logs, and why it cannot start.

The messages are Vercel's own: JSON, each ended by a zero byte. What follows from them is decided by `scripts.function`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOCKET_LIMIT_BYTES = 100  # sun_path has 108 on Linux and 104 on macOS
MESSAGE_LIMIT_BYTES = 8 * 1024 * 1024


class Channel:
    """One instance's socket, in a temporary folder of its own; `port` is set when the instance listens."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.path = folder / "ipc"
        self.port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._log = log
        self._server: asyncio.Server | None = None
        self._readers: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, log: Path) -> Channel:
        """Listen in a new temporary folder."""
        channel = cls(_short_folder(), log)
        try:
            channel._server = await asyncio.start_unix_server(
                channel._read, str(channel.path), limit=MESSAGE_LIMIT_BYTES
            )
        except BaseException:
            shutil.rmtree(channel.folder, ignore_errors=True)
            raise
        return channel

    async def close(self) -> None:
        """Stop listening and take the folder away."""
        self.port.cancel()
        if self._server is not None:
            self._server.close()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read as long as the function speaks: one that nobody listens to blocks when the buffer is full."""
        task = asyncio.current_task()
        if task is not None:
            self._readers.add(task)
            task.add_done_callback(self._readers.discard)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
                while True:
                    self._take((await reader.readuntil(b"\0"))[:-1])
        finally:
            writer.close()

    def _take(self, text: bytes) -> None:
        try:
            message = json.loads(text)
            kind, payload = message["type"], message.get("payload", {})
            if kind == "server-started" and not self.port.done():
                self.port.set_result(int(payload["httpPort"]))
            elif kind == "log":
                self._write(_logged(payload))
        except (ValueError, KeyError, TypeError, AttributeError):
            self._write(f"unreadable message of the runtime: {text[:200]!r}\n")

    def _write(self, text: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else f"{text}\n")


def _logged(payload: Mapping[str, Any]) -> str:
    return base64.b64decode(payload["message"]).decode(errors="replace")


def _short_folder() -> Path:
    """Make a folder whose sockets have a path that is short enough, also where TMPDIR is deep."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-"))
    if len(str(folder / "ipc").encode()) <= SOCKET_LIMIT_BYTES:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="slipway-", dir="/tmp"))  # mkdtemp makes it ours alone
