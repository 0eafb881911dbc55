"""Measure the service beside bare FastAPI, by turns and on the same machine; exit 1 where a limit is not kept.

The same routes are served by all sides, each a process of uvicorn with uvloop and httptools: one that reads the
database, which is SQLite, and one that does nothing at all, where whatever surrounds a request weighs most; the limit
for the requests a second is that of the first. The service runs as `python -m app` has it; bare FastAPI once without
any log, which the limits are for, and once with the access log that uvicorn writes unless told otherwise. Eight
connections ask without a pause, in short blocks, the order in each round by chance. The client does as little as it
can, so that it is the server that is at its limit. What is optional is imported when it is used; what that costs is
listed. What it does not show: several workers, a network, PostgreSQL.
"""

import asyncio
import contextlib
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

ROOT = Path(__file__).resolve().parents[1]
ROUNDS, BLOCK_S, CONNECTIONS, WARM_UP_S = 40, 0.5, 8, 1.0
WORKS, IDLES = "/api/items/5", "/health/live"
LEAST_RATE, MOST_P99, MOST_IMPORT = {WORKS: 0.90, IDLES: 0.0}, 1.25, 1.30
STARTS = 9
BARE, LOGGING, OURS = "bare", "bare with an access log", "ours"
SIDES = {
    BARE: ("benchmarks.bare:app", "--no-access-log", "--log-level", "error"),
    LOGGING: ("benchmarks.bare:app",),
    OURS: ("app.main:app", "--no-access-log", "--log-level", "error", "--no-server-header"),
}
# asyncio in both: no server runs without it.
IMPORTS = {BARE: "import asyncio, benchmarks.smallest", OURS: "import asyncio, app.main"}
FEATURES = {
    "database, SQLite": "sqlalchemy.ext.asyncio, aiosqlite, app.tables",
    "database, PostgreSQL": "sqlalchemy.ext.asyncio, asyncpg, app.tables",
    "migrations": "sqlalchemy.ext.asyncio, alembic.command",
    "limits over Redis": "redis.asyncio",
    "rates of an upstream": "httpx",
    "reports to Sentry": "sentry_sdk",
    "metrics": "prometheus_client",
}


@dataclass
class Blocks:
    """What one side answered: requests a second of each block, and milliseconds of each request."""

    rates: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)


@contextlib.asynccontextmanager
async def serving(side: str, socket: Path) -> AsyncIterator[None]:
    """Serve one side on a socket of the file system, so that no port can be taken; end it with the block."""
    words = ["-m", "uvicorn", *SIDES[side], "--uds", str(socket), "--loop", "uvloop", "--http", "httptools"]
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{socket}.db"}
    nowhere = subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, env=environment, stdout=nowhere, stderr=nowhere
    )
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():  # noqa: ASYNC240 - it waits for nothing
            if process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{side} did not start")
            await asyncio.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


class Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered, until a moment of the monotonic clock."""

    def __init__(self, path: str, until: float, into: Blocks) -> None:
        self._request = f"GET {path} HTTP/1.1\r\nHost: service\r\n\r\n".encode()
        self._until, self._into = until, into
        self._length, self._got, self._began = 0, 0, 0.0
        self.count = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Note the answer once all of it is here: all are as long as the first one."""
        if not self._length:
            head, _, _ = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                self.over.set_exception(RuntimeError(f"not 200: {head[:60]!r}"))
                return
            body = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self._length = len(head) + 4 + body
        self._got += len(data)
        if self._got < self._length:
            return
        now = time.monotonic()
        self._into.times_ms.append((now - self._began) * 1000)
        self.count += 1
        if now < self._until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """End; before its time that is an error."""
        if not self.over.done():
            early = time.monotonic() < self._until
            self.over.set_exception(RuntimeError("cut off")) if early else self.over.set_result(None)

    def _ask(self) -> None:
        self._got, self._began = 0, time.monotonic()
        self._transport.write(self._request)


async def play(socket: Path, path: str, seconds: float, into: Blocks) -> None:
    """Play one block, and note its rate."""
    began = time.monotonic()
    loop = asyncio.get_running_loop()
    asking = [Asking(path, began + seconds, into) for _ in range(CONNECTIONS)]
    waiting = iter(asking)
    for _ in asking:
        await loop.create_unix_connection(lambda: next(waiting), str(socket))
    await asyncio.gather(*(one.over for one in asking))
    into.rates.append(sum(one.count for one in asking) / (time.monotonic() - began))


async def measure_requests(folder: Path, path: str) -> dict[str, Blocks]:
    """Let all sides answer on a path by turns."""
    sockets = {name: folder / f"{number}" for number, name in enumerate(SIDES)}
    async with contextlib.AsyncExitStack() as stack:
        for name, socket in sockets.items():
            await stack.enter_async_context(serving(name, socket))
        for socket in sockets.values():
            await play(socket, path, WARM_UP_S, Blocks())
        told = {name: Blocks() for name in SIDES}
        for _ in range(ROUNDS):
            for name in random.sample([*SIDES], len(SIDES)):
                await play(sockets[name], path, BLOCK_S, told[name])
    return told


def measure_imports() -> dict[str, list[float]]:
    """Start Python and import each side, by turns; the seconds of each start."""
    told: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(STARTS):
        for name in random.sample([*IMPORTS], len(IMPORTS)):
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", IMPORTS[name]], cwd=ROOT, check=True)
            told[name].append(time.monotonic() - began)
    return told


def measure_features() -> dict[str, float]:
    """Give what importing each optional part adds to the start, in milliseconds."""
    least = dict.fromkeys(("", *FEATURES), math.inf)
    for _ in range(STARTS):
        for name in random.sample([*least], len(least)):
            code = f"import app.main, {FEATURES[name]}" if name else "import app.main"
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
            least[name] = min(least[name], time.monotonic() - began)
    return {name: (least[name] - least[""]) * 1000 for name in FEATURES}


def rows(path: str, requests: dict[str, Blocks]) -> Iterator[tuple[str, float, bool]]:
    """Give each ratio of ours to bare on a path, and whether its limit is kept."""
    rate, least = ratio_of_rates(requests, BARE), LEAST_RATE[path]
    yield f"{path}: requests a second ({f'at least {least:g}' if least else 'no limit'})", rate, rate >= least
    yield f"{path}: requests a second, {LOGGING} (no limit)", ratio_of_rates(requests, LOGGING), True
    p99 = percentile(requests[OURS].times_ms) / percentile(requests[BARE].times_ms)
    yield f"{path}: p99 (at most {MOST_P99:g})", p99, p99 <= MOST_P99


def ratio_of_rates(requests: dict[str, Blocks], side: str) -> float:
    """Give the median, over the rounds, of our requests a second to those of another side."""
    rounds = zip(requests[OURS].rates, requests[side].rates, strict=True)
    return statistics.median(ours / theirs for ours, theirs in rounds)


def import_row(imports: dict[str, list[float]]) -> tuple[str, float, bool]:
    """Give the ratio of the starts, and whether its limit is kept."""
    start = min(imports[OURS]) / min(imports[BARE])
    return f"import with all features off (at most {MOST_IMPORT:g})", start, start <= MOST_IMPORT


def percentile(times_ms: Sequence[float]) -> float:
    """Give the 99th percentile."""
    return statistics.quantiles(times_ms, n=100)[98]


def main() -> int:
    """Measure, print the ratios, and give the exit code."""
    found: list[tuple[str, float, bool]] = []
    for path in (WORKS, IDLES):
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            requests = uvloop.run(measure_requests(Path(folder), path))
        for name, blocks in requests.items():
            each = f"{statistics.median(blocks.rates):.0f} requests a second, p99 {percentile(blocks.times_ms):.2f} ms"
            print(f"     {path}, {name}: {each}, {len(blocks.times_ms)} requests")  # noqa: T201
        found += rows(path, requests)
    found.append(import_row(measure_imports()))
    for what, ratio, kept in found:
        print(f"{'ok  ' if kept else 'fail'} {what}: {ratio:.3f}")  # noqa: T201
    for name, added_ms in measure_features().items():
        print(f"     {name}: + {added_ms:.0f} ms where it is used")  # noqa: T201
    return 0 if all(kept for _, _, kept in found) else 1


if __name__ == "__main__":
    sys.exit(main())
