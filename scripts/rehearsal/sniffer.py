"""Looks for secrets where they do not belong: in requests to somebody else, in command lines, in files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

LOOK_S = 0.5
PROCESSES = Path("/proc")  # Linux; elsewhere there is nothing to read


def marks_of(secrets: Mapping[str, str]) -> dict[str, bytes]:
    """Give what to look for, by the name of the secret; of a hook's URL its key is the secret."""
    return {name: (value.partition("key=")[2] or value).encode() for name, value in secrets.items()}


class Sniffer:
    """Remembers which of its marks were seen, and where."""

    def __init__(self, place: str) -> None:
        self.marks: Mapping[str, bytes] = {}
        self.found: set[str] = set()
        self._place = place

    def look(self, parts: Iterable[bytes]) -> None:
        """Look into what came, such as the target, the headers and the body of a request."""
        whole = b"\n".join(parts)
        self.found |= {f"{name} is in {self._place}" for name, mark in self.marks.items() if mark in whole}


def sniffed(app: ASGIApp, sniffer: Sniffer) -> ASGIApp:
    """Look into what is asked of an application: path, query and headers."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = (value for _, value in scope["headers"])
            sniffer.look([scope["path"].encode(), scope["query_string"], *headers])
        await app(scope, receive, send)

    return asked


@contextlib.asynccontextmanager
async def watched_processes(marks: Mapping[str, bytes]) -> AsyncIterator[Sniffer]:
    """Look at the command line of every process on the machine, twice a second."""
    sniffer = Sniffer("a command line")
    sniffer.marks = marks

    async def watch() -> None:
        while True:
            sniffer.look(_command_lines())
            await asyncio.sleep(LOOK_S)

    watching = asyncio.create_task(watch())
    try:
        yield sniffer
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def _command_lines() -> list[bytes]:
    lines = []
    for path in PROCESSES.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            lines.append(path.read_bytes())
    return lines


def find_in_files(marks: Mapping[str, bytes], folder: Path) -> list[str]:
    """Give the files of a drill's runners that hold a secret."""
    files = (path for place in sorted(folder.glob("runner*")) for path in sorted(place.rglob("*")) if path.is_file())
    return [
        f"{name} is in {path.relative_to(folder)}"
        for path in files
        for name, mark in marks.items()
        if mark in path.read_bytes()
    ]
