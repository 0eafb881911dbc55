"""Drills side by side: as many as may be, one build at a time, and the end of one is the end of all."""

import asyncio

import pytest

from scripts.rehearsal.playing import Lanes

pytestmark = pytest.mark.anyio


class Watch:
    """Plays numbers, and sees which are played at once."""

    def __init__(self, builds: list[bool]) -> None:
        self.builds = builds
        self.now: set[int] = set()
        self.order: list[int] = []
        self.most = self.most_builds = 0
        self.ended: list[int] = []

    async def play(self, place: int) -> str:
        """Take a few turns."""
        self.order.append(place)
        self.now.add(place)
        self.most = max(self.most, len(self.now))
        self.most_builds = max(self.most_builds, sum(self.builds[row] for row in self.now))
        try:
            for _ in range(3 + 4 * self.builds[place]):
                await asyncio.sleep(0)
        finally:
            self.now.remove(place)
            self.ended.append(place)
        return f"row {place}"


@pytest.mark.parametrize("jobs", [1, 2, 3, 20])
async def test_all_are_played_in_lanes(jobs: int) -> None:
    """Each once, as many at once as there are lanes, never two builds; rows come in the order of the book."""
    watch = Watch([False, True, False, True, True, False, False, False])
    rows = await Lanes(watch.builds).run(jobs, watch.play)
    assert rows == [f"row {place}" for place in range(8)]
    assert sorted(watch.order) == list(range(8))
    assert watch.most == min(jobs, 6)  # five without a build, and one with
    assert watch.most_builds == 1
    assert watch.order[0] == 1


async def test_only_builds_are_played_one_after_the_other() -> None:
    """Lanes without anything to do wait, and end."""
    watch = Watch([True, True, True])
    assert len(await Lanes(watch.builds).run(3, watch.play)) == 3
    assert watch.most == 1


async def test_nothing_is_to_be_played() -> None:
    """Where all are played alone there is nothing for the lanes."""
    assert await Lanes([]).run(3, Watch([]).play) == []


async def test_an_error_ends_all() -> None:
    """What is being played comes to its own end, and nothing new begins."""
    watch = Watch([False] * 6)

    async def play(place: int) -> str:
        if place == 1:
            await asyncio.sleep(0)
            raise RuntimeError("a bug")
        return await watch.play(place)

    with pytest.raises(RuntimeError, match="a bug"):
        await Lanes(watch.builds).run(3, play)
    assert watch.now == set()
    assert 5 not in watch.order


async def test_a_cancel_ends_all() -> None:
    """An interrupt reaches each of them once."""
    watch = Watch([False] * 6)
    playing = asyncio.ensure_future(Lanes(watch.builds).run(2, watch.play))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert watch.now == set()
    assert len(watch.order) == 2
