"""Measure the service beside bare FastAPI, by turns and on the same machine; exit 1 where a limit is not kept.

The same route (`/health/live`) is served by both, each a process of uvicorn with uvloop and httptools and without an
access log of uvicorn's own. Eight connections ask without a pause, in short blocks, the order in each pair by chance.
What it does not show: a route that works, a database, several workers, a network.
"""

import asyncio
import contextlib
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

ROOT = Path(__file__).resolve().parents[1]
PAIRS, BLOCK_S, CONNECTIONS, WARM_UP_S = 40, 0.5, 8, 1.0
LEAST_RATE, MOST_P99, MOST_IMPORT = 0.90, 1.25, 1.30
STARTS = 9
SIDES = {"bare": "benchmarks.bare:app", "ours": "app.main:app"}
IMPORTS = {"bare": "import benchmarks.smallest", "ours": "import app.main"}


@dataclass
class Blocks:
    """What one side answered: requests a second of each block, and milliseconds of each request."""

    rates: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)


@contextlib.asynccontextmanager
async def serving(module: str, socket: Path) -> AsyncIterator[None]:
    """Serve an application on a socket of the file system, so that no port can be taken; end it with the block."""
    words = [
        "-m",
        "uvicorn",
        module,
        "--uds",
        str(socket),
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
    ]
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{socket}.db"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, "--log-level", "error", cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():  # noqa: ASYNC240 - it waits for nothing
            if process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{module} did not start")
            await asyncio.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def ask(socket: Path, until: float, into: Blocks) -> int:
    """Ask over one connection until a moment of the monotonic clock; give how many answers came."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    count = 0
    try:
        while (began := time.monotonic()) < until:
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: service\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"not 200: {head[:60]!r}")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            into.times_ms.append((time.monotonic() - began) * 1000)
            count += 1
    finally:
        writer.close()
    return count


async def play(socket: Path, seconds: float, into: Blocks) -> None:
    """Play one block, and note its rate."""
    began = time.monotonic()
    counts = await asyncio.gather(*(ask(socket, began + seconds, into) for _ in range(CONNECTIONS)))
    into.rates.append(sum(counts) / (time.monotonic() - began))


async def measure_requests(folder: Path) -> dict[str, Blocks]:
    """Let both sides answer by turns."""
    sockets = {name: folder / name for name in SIDES}
    async with contextlib.AsyncExitStack() as stack:
        for name, module in SIDES.items():
            await stack.enter_async_context(serving(module, sockets[name]))
        for socket in sockets.values():
            await play(socket, WARM_UP_S, Blocks())
        told = {name: Blocks() for name in SIDES}
        for _ in range(PAIRS):
            for name in random.sample([*SIDES], 2):
                await play(sockets[name], BLOCK_S, told[name])
    return told


def measure_imports() -> dict[str, list[float]]:
    """Start Python and import each side, by turns; the seconds of each start."""
    told: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(STARTS):
        for name in random.sample([*IMPORTS], 2):
            began = time.monotonic()
            subprocess.run([sys.executable, "-c", IMPORTS[name]], cwd=ROOT, check=True)
            told[name].append(time.monotonic() - began)
    return told


def rows(requests: dict[str, Blocks], imports: dict[str, list[float]]) -> Iterator[tuple[str, float, bool]]:
    """Give each ratio of ours to bare, and whether its limit is kept."""
    pairs = zip(requests["ours"].rates, requests["bare"].rates, strict=True)
    rate = statistics.median(ours / bare for ours, bare in pairs)
    yield f"requests a second (at least {LEAST_RATE:g})", rate, rate >= LEAST_RATE
    p99 = percentile(requests["ours"].times_ms) / percentile(requests["bare"].times_ms)
    yield f"p99 (at most {MOST_P99:g})", p99, p99 <= MOST_P99
    start = min(imports["ours"]) / min(imports["bare"])
    yield f"import with all features off (at most {MOST_IMPORT:g})", start, start <= MOST_IMPORT


def percentile(times_ms: Sequence[float]) -> float:
    """Give the 99th percentile."""
    return statistics.quantiles(times_ms, n=100)[98]


def main() -> int:
    """Measure, print the ratios, and give the exit code."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        requests = asyncio.run(measure_requests(Path(folder)))
    found = list(rows(requests, measure_imports()))
    for name, blocks in requests.items():
        each = f"{statistics.median(blocks.rates):.0f} requests a second, p99 {percentile(blocks.times_ms):.2f} ms"
        print(f"{name}: {each}, {len(blocks.times_ms)} requests")  # noqa: T201
    for name, ratio, kept in found:
        print(f"{'ok  ' if kept else 'fail'} {name}: {ratio:.3f}")  # noqa: T201
    return 0 if all(kept for _, _, kept in found) else 1


if __name__ == "__main__":
    sys.exit(main())
