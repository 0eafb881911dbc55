"""The functions of all deployments: started by a first request, kept, started again after they died, stopped idle.

What starts one is `scripts.function`. Which function a request is for is decided elsewhere.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scripts.errors import ConfigError
from scripts.function import Function, FunctionFailedError
from scripts.rehearsal.clouds.vercel_values import Deployment, Kind, VercelTimes, new_id
from scripts.rehearsal.wire import Answer, Client, Request

STOP_LIMIT_S = 2.0

type Note = Callable[[Kind, Deployment, str], None]


@dataclass(eq=False)
class _Kept:
    """A function that was started, and what is going on in it."""

    function: Function
    deployment: Deployment
    in_flight: int = 0
    noted_url: str = ""
    used_s: float = field(default_factory=time.monotonic)


class Functions:
    """Runs functions, logs below a folder; `most` are kept running. `note` is told of starts and stops."""

    def __init__(self, folder: Path, times: VercelTimes, most: int, note: Note) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._times = times
        self._most = most
        self._note = note
        # No connection is kept: over a kept one a request that ends the function would be sent to the next one too.
        self._client = Client(answer_limit_s=times.function_answer_limit_s)
        self._kept: dict[tuple[str, Path], _Kept] = {}

    @property
    def running(self) -> int:
        """How many functions run."""
        return sum(1 for kept in self._kept.values() if kept.function.alive)

    async def ask(self, deployment: Deployment, folder: Path, request: Request) -> Answer:
        """Let a function answer, started first if it does not run; 500 as the platform says it where it cannot."""
        kept = self._find(deployment, folder)
        kept.in_flight += 1
        try:
            return await self._ask(kept, request)
        except TimeoutError:
            return failed(504, "FUNCTION_INVOCATION_TIMEOUT")
        except (FunctionFailedError, ConfigError, OSError) as error:
            self._note(Kind.INSTANCE_STOPPED, deployment, str(error))
            return failed(500, "FUNCTION_INVOCATION_FAILED")
        finally:
            kept.in_flight -= 1
            kept.used_s = time.monotonic()

    async def keep_few(self) -> None:
        """Stop what has been idle for long, and the longest idle ones if too many run; none that is answering."""
        idle = sorted((each for each in self._kept.items() if not each[1].in_flight), key=lambda each: each[1].used_s)
        deadline_s = time.monotonic() - self._times.function_idle_s
        surplus = len(self._kept) - self._most
        for number, (key, kept) in enumerate(idle):
            if number < surplus or kept.used_s < deadline_s:
                del self._kept[key]
                await self._stop(kept)

    async def close(self) -> None:
        """Stop every function."""
        kept, self._kept = tuple(self._kept.values()), {}
        await asyncio.gather(*(self._stop(each) for each in kept))
        self._client.close()

    def _find(self, deployment: Deployment, folder: Path) -> _Kept:
        key = (deployment.id, folder)
        if key not in self._kept:
            self._kept[key] = _Kept(self._make(deployment, folder), deployment)
        return self._kept[key]

    def _make(self, deployment: Deployment, folder: Path) -> Function:
        log = self._folder / f"{deployment.id}-{folder.stem}.log"
        variables = {"VERCEL_URL": deployment.host, "VERCEL_DEPLOYMENT_ID": deployment.id}
        return Function(folder, log, variables, limit_s=self._times.function_start_limit_s)

    async def _ask(self, kept: _Kept, request: Request) -> Answer:
        """Ask a running function; one that died before it was asked is started again, as for any cold start."""
        url = await self._start(kept)
        try:
            return await self._client.ask(url, request)
        except ConnectionRefusedError:
            if kept.function.url == url:  # otherwise another request has restarted it already
                kept.noted_url = ""
                await kept.function.stop(0)
            return await self._client.ask(await self._start(kept), request)

    async def _start(self, kept: _Kept) -> str:
        url = await kept.function.start()
        if kept.noted_url != url:  # only the first of those who waited for one start
            kept.noted_url = url
            self._note(Kind.INSTANCE_STARTED, kept.deployment, url)
        return url

    async def _stop(self, kept: _Kept) -> None:
        was_alive = kept.function.alive
        await kept.function.stop(STOP_LIMIT_S)
        if was_alive:
            self._note(Kind.INSTANCE_STOPPED, kept.deployment, "")


def failed(status: int, code: str) -> Answer:
    """Make the page that Vercel shows when a function gave no answer (vercel.com/docs/errors)."""
    ray = new_id("iad1::")
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"cache-control", b"public, max-age=0, must-revalidate"),
        (b"x-vercel-error", code.encode()),
        (b"x-vercel-id", ray.encode()),
    ]
    return Answer(status, headers, f"A server error has occurred\n\n{code}\n\n{ray}\n".encode())
