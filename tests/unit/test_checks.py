"""Named checks: how long they may take, how often they ask, and what they tell."""

import asyncio

import pytest

from app.checks import Check, CheckFailed, Checks, Finding
from app.health import judge_readiness
from app.lifecycle import Phase

pytestmark = pytest.mark.anyio
WELL = Finding(well=True, told="ok")
ILL = Finding(well=False, told="gone")


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the servers do."""
    return "asyncio"


class Asked:
    """Counts how often it is asked, answers after a while, and fails as told."""

    def __init__(self, after_s: float = 0.0, error: Exception | None = None, told: str | None = None) -> None:
        self.times, self._after_s, self._error, self._told = 0, after_s, error, told

    async def __call__(self) -> str | None:
        """Answer."""
        self.times += 1
        await asyncio.sleep(self._after_s)
        if self._error:
            raise self._error
        return self._told


@pytest.mark.parametrize(
    ("ask", "finding"),
    [
        (Asked(), WELL),
        (Asked(told="in this process alone"), Finding(well=True, told="in this process alone")),
        (Asked(error=CheckFailed("the schema is behind")), Finding(well=False, told="the schema is behind")),
        (Asked(error=OSError("password hunter2 refused")), Finding(well=False, told="failed: OSError")),
        (Asked(after_s=60), Finding(well=False, told="no answer within 0.05 s")),
    ],
)
async def test_what_a_check_finds(ask: Asked, finding: Finding) -> None:
    """A check that fails, or does not answer in time, is not well; a driver's own words are not told."""
    assert await Checks([Check("it", ask, limit_s=0.05)]).ask() == {"it": finding}
    optional = (await Checks([Check("it", ask, required=False, limit_s=0.05)]).ask())["it"]
    assert (optional.well, optional.told) == (True, finding.told)


async def test_however_many_ask_each_is_asked_once() -> None:
    """Many who ask at once, or within a second of each other, share one answer; then it is asked anew."""
    ask = Asked(after_s=0.02)
    checks = Checks([Check("it", ask)], shared_s=0.1)
    await asyncio.gather(*(checks.ask() for _ in range(50)))
    await checks.ask()
    assert ask.times == 1
    await asyncio.sleep(0.12)
    await checks.ask()
    assert ask.times == 2


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    """A client that leaves while it waits does not fail those who wait for the same answer."""
    checks = Checks([Check("it", Asked(after_s=0.05))])
    first, second = asyncio.create_task(checks.ask()), asyncio.create_task(checks.ask())
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == {"it": WELL}


@pytest.mark.parametrize(
    ("phase", "findings", "status", "startup"),
    [
        (Phase.STARTING, {}, "starting", "pending"),
        (Phase.STARTING, {"database": ILL}, "starting", "pending"),
        (Phase.READY, {}, "ready", "ok"),
        (Phase.READY, {"database": WELL, "redis": WELL}, "ready", "ok"),
        (Phase.READY, {"database": WELL, "redis": ILL}, "failing", "ok"),
        (Phase.STOPPING, {"database": WELL}, "stopping", "ok"),
        (Phase.STOPPING, {"database": ILL}, "stopping", "ok"),
    ],
)
def test_readiness(phase: Phase, findings: dict[str, Finding], status: str, startup: str) -> None:
    """Ready is who has opened everything, is well and is not about to stop; the answer names what is not."""
    told = judge_readiness(phase, findings)
    assert told.status == status
    assert told.checks == {"startup": startup, **{name: finding.told for name, finding in findings.items()}}
