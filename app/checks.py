"""Named checks with a time limit each, whose results are shared for a moment: who asks often asks no more often.

A health check that a platform, an edge and a person ask at once must not become load on what it asks about.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

LIMIT_S = 0.75  # with SHARED_S under the 2 s after which a failure is to be seen; all checks run at once
COLD_LIMIT_S = 5.0  # where the first question also loads what it needs, since nothing is done before it
SHARED_S = 1.0
OK = "ok"


class CheckFailed(Exception):
    """What is checked is not well; the message is shown to whoever asks, so it holds no secret and no address."""


@dataclass(frozen=True)
class Check:
    """A question to something that the service needs: `ask` returns a word where it is well, and raises where not.

    What is not `required` is told and decides nothing.
    """

    name: str
    ask: Callable[[], Awaitable[str | None]]
    required: bool = True
    limit_s: float = LIMIT_S


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    well: bool
    told: str


class Checks:
    """All checks of the service; however many ask, each is asked once in `shared_s` seconds."""

    def __init__(self, checks: Iterable[Check] = (), *, shared_s: float = SHARED_S) -> None:
        self._checks = tuple(checks)
        self._shared_s = shared_s
        self._asking: asyncio.Task[Mapping[str, Finding]] | None = None
        self._until = 0.0

    async def ask(self) -> Mapping[str, Finding]:
        """Give what each check found, at most `shared_s` seconds ago."""
        if self._asking is None or (self._asking.done() and time.monotonic() >= self._until):
            self._asking = asyncio.create_task(self._ask_all())
        return await asyncio.shield(self._asking)  # who gives up must not take the answer from the others

    def forget(self) -> None:
        """Ask anew at once: what was found before no longer holds."""
        self._asking = None

    async def _ask_all(self) -> Mapping[str, Finding]:
        found = await asyncio.gather(*map(_ask, self._checks))
        self._until = time.monotonic() + self._shared_s
        return {check.name: finding for check, finding in zip(self._checks, found, strict=True)}


async def _ask(check: Check) -> Finding:
    try:
        async with asyncio.timeout(check.limit_s):
            return Finding(well=True, told=await check.ask() or OK)
    except TimeoutError:
        told = f"no answer within {check.limit_s:g} s"
    except CheckFailed as error:
        told = str(error)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises means: not well; its text may hold an address
        told = f"failed: {type(error).__name__}"
    return Finding(well=not check.required, told=told)
