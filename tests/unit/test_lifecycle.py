"""The service's first and last moments: what is opened, closed, and done with the signals of a platform."""

import asyncio
import signal

import pytest

from app.lifecycle import Lifecycle, Phase

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio, as the servers do."""
    return "asyncio"


class Noted:
    """A resource that notes what happens to it; opening fails as often as told, or waits for ever."""

    def __init__(
        self, name: str, notes: list[str], *, fails: int = 0, hangs: bool = False, sticks: bool = False
    ) -> None:
        self.name, self._notes = name, notes
        self._fails, self._hangs, self._sticks = fails, hangs, sticks

    async def open(self) -> None:
        """Open, in the end."""
        if self._hangs:
            await asyncio.Event().wait()
        self._fails -= 1
        if self._fails >= 0:
            raise OSError("not yet")
        self._notes.append(f"open {self.name}")

    async def close(self) -> None:
        """Close, or fail to."""
        self._notes.append(f"close {self.name}")
        if self._sticks:
            raise OSError("stuck")


def phase_of(lifecycle: Lifecycle) -> Phase:
    """Give the phase, which changes behind the back of a type checker."""
    return lifecycle.phase


async def turns_ready(lifecycle: Lifecycle) -> None:
    """Wait until the service is ready."""
    for _ in range(500):
        await asyncio.sleep(0.01)
        if phase_of(lifecycle) is Phase.READY:
            return
    raise TimeoutError


async def test_everything_is_closed_in_the_opposite_order() -> None:
    """What was opened first is closed last, also where another one does not close."""
    notes: list[str] = []
    lifecycle = Lifecycle([Noted("a", notes), Noted("b", notes, sticks=True)])
    async with lifecycle.running():
        await turns_ready(lifecycle)
    assert notes == ["open a", "open b", "close b", "close a"]
    assert phase_of(lifecycle) is Phase.STOPPING


async def test_without_resources_it_is_ready_at_once() -> None:
    """A service that needs nothing is ready for its first request."""
    lifecycle = Lifecycle()
    assert phase_of(lifecycle) is Phase.STARTING
    async with lifecycle.running():
        assert phase_of(lifecycle) is Phase.READY


async def test_what_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that comes up later than the service makes it ready later, and does not end it."""
    monkeypatch.setattr("app.lifecycle.AGAIN_S", 0.01)
    notes: list[str] = []
    lifecycle = Lifecycle([Noted("a", notes, fails=3)])
    async with lifecycle.running():
        assert phase_of(lifecycle) is Phase.STARTING
        await turns_ready(lifecycle)
    assert notes == ["open a", "close a"]


async def test_a_stop_before_the_end_of_the_start() -> None:
    """A service that is told to stop while it still opens something stops, and never turns ready."""
    lifecycle = Lifecycle([Noted("a", [], hangs=True)])
    async with asyncio.timeout(5), lifecycle.running():
        await asyncio.sleep(0.01)
        assert phase_of(lifecycle) is Phase.STARTING
    assert phase_of(lifecycle) is Phase.STOPPING


async def test_signals_make_it_unready_and_go_on() -> None:
    """The first signal turns the service unready before the server acts on it; the second one means: now."""
    passed: list[int] = []
    lifecycle = Lifecycle()
    before = signal.signal(signal.SIGTERM, lambda number, _: passed.append(number))
    try:
        async with lifecycle.running():
            signal.raise_signal(signal.SIGTERM)
            assert phase_of(lifecycle) is Phase.STOPPING
            signal.raise_signal(signal.SIGTERM)
        assert passed == [signal.SIGTERM, signal.SIGINT]
        signal.raise_signal(signal.SIGTERM)
        assert passed[2:] == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_server_without_the_main_thread_is_left_alone() -> None:
    """In another thread no signal can be listened to, and none is."""

    def run() -> Phase:
        async def play() -> Phase:
            lifecycle = Lifecycle()
            async with lifecycle.running():
                return lifecycle.phase

        return asyncio.run(play())

    assert await asyncio.to_thread(run) is Phase.READY
