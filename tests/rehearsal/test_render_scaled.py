"""Several instances replaced one by one, a service that sleeps, deploys that cross, and an API that refuses."""

import asyncio
import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.rehearsal.clouds.refusals import ApiErrors
from scripts.rehearsal.clouds.render import Kind, Overlap, Status
from scripts.rehearsal.edge import Edge
from tests.rehearsal.tiny_service import QUICK, UNHEALTHY, Tiny, tiny_cloud


def commits(edge: Edge) -> list[str]:
    """Give the commits behind the edge, one for each instance."""
    return sorted(upstream.commit for upstream in edge.upstreams)


async def watch(edge: Edge, seen: list[tuple[str, ...]]) -> None:
    """Note what is behind the edge whenever it changes."""
    while True:
        now = tuple(commits(edge))
        if not seen or seen[-1] != now:
            seen.append(now)
        await asyncio.sleep(0.002)


def test_instances_are_replaced_one_by_one(tmp_path: Path) -> None:
    """Never fewer than before, old and new beside each other for a while; live when the last one is replaced."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, instances=3) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            assert commits(tiny.edge) == [old] * 3
            assert (await tiny.api("GET")).json()["serviceDetails"]["numInstances"] == 3
            seen: list[tuple[str, ...]] = []
            watching = asyncio.create_task(watch(tiny.edge, seen))
            assert (await tiny.deploy(new)).status is Status.LIVE
            assert commits(tiny.edge) == [new] * 3
            watching.cancel()
            assert min(map(len, seen)) == 3
            assert all(0 <= later.count(new) - earlier.count(new) <= 1 for earlier, later in pairwise(seen))
            assert any(0 < row.count(old) < 3 for row in seen)
            await tiny.until(lambda: tiny.kinds(old).count(Kind.INSTANCE_STOPPED) == 3)

    asyncio.run(rehearse())


def test_a_replacement_that_fails_half_way_turns_back(tmp_path: Path) -> None:
    """When a later instance does not start, the deploy has failed, and the old release has all its places again."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, start_limit_s=2.0), instances=3) as tiny:
            old = tiny.repository.commit("old")
            new = tiny.repository.commit("new", start="sh -c 'mkdir taken && exec python -I service.py'")
            await tiny.cloud.first_deploy(old)
            deploy = await tiny.deploy(new)
            assert deploy.status is Status.UPDATE_FAILED
            await tiny.until(lambda: commits(tiny.edge) == [old] * 3)
            assert (await tiny.version())["commit"] == old

    asyncio.run(rehearse())


def test_an_instance_that_ends_is_replaced_alone(tmp_path: Path) -> None:
    """The others keep the traffic meanwhile."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, instances=2) as tiny:
            commit = tiny.repository.commit("only")
            await tiny.cloud.first_deploy(commit)
            first = {upstream.instance_id for upstream in tiny.edge.upstreams}
            pid = (await tiny.version())["pid"]
            os.kill(pid, signal.SIGKILL)
            await tiny.until(lambda: len(tiny.edge.upstreams) == 1)
            assert (await tiny.version())["commit"] == commit
            await tiny.until(lambda: len(tiny.edge.upstreams) == 2)
            assert len(first & {upstream.instance_id for upstream in tiny.edge.upstreams}) == 1
            assert Kind.TRAFFIC_STOPPED not in tiny.kinds()

    asyncio.run(rehearse())


def test_old_instances_may_keep_their_traffic(tmp_path: Path) -> None:
    """A fault: one old instance is forgotten, and answers for ever beside the new ones."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, instances=2) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            tiny.faults.old_instances_kept = 1
            assert (await tiny.deploy(new)).status is Status.LIVE
            assert sorted(commits(tiny.edge)) == sorted([old, new, new])

    asyncio.run(rehearse())


def test_live_may_be_said_before_there_is_traffic(tmp_path: Path) -> None:
    """A fault: live is said, and the old release goes on answering for a moment."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            tiny.faults.live_early_s = 0.5
            assert (await tiny.deploy(new)).status is Status.LIVE
            assert (await tiny.version())["commit"] == old
            await tiny.until(lambda: commits(tiny.edge) == [new])
            live, switched = tiny.events(Kind.LIVE, new)[0], tiny.events(Kind.TRAFFIC_SWITCHED, new)[0]
            assert switched.monotonic_s - live.monotonic_s >= 0.5

    asyncio.run(rehearse())


def test_a_request_wakes_a_service_that_sleeps(tmp_path: Path) -> None:
    """All who ask meanwhile wait for the one start, and are answered."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            await tiny.cloud.first_deploy(commit)
            await tiny.cloud.sleep()
            assert commits(tiny.edge) == []
            told = await asyncio.gather(*(tiny.version() for _ in range(5)))
            assert {row["commit"] for row in told} == {commit}
            assert len({row["pid"] for row in told}) == 1
            assert tiny.kinds().count(Kind.INSTANCE_STARTED) == 2

    asyncio.run(rehearse())


def test_a_deploy_ends_the_sleep(tmp_path: Path) -> None:
    """What was asleep stays so when a new release takes its place, even if a request has begun to wake it."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            await tiny.cloud.sleep()
            asked = asyncio.create_task(tiny.version())
            await tiny.deploy(new)
            assert (await asked)["commit"] in {old, new}
            await tiny.until(lambda: commits(tiny.edge) == [new])
            await tiny.until(lambda: tiny.kinds(old).count(Kind.INSTANCE_STOPPED) == 2)
            assert commits(tiny.edge) == [new]

    asyncio.run(rehearse())


@pytest.mark.parametrize("overlap", Overlap)
def test_deploys_that_cross(tmp_path: Path, overlap: Overlap) -> None:
    """By Wait the newest queued one is next; by Override a new one cancels the one that runs."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, overlap=overlap) as tiny:
            first, second, third = (tiny.repository.commit(name) for name in ("one", "two", "three"))
            tiny.faults.build_extra_s = 0.5
            answers = [await tiny.hook(commit) for commit in (first, second, third)]
            assert [answer.status_code for answer in answers] == [200, 202, 202]
            ended = [await tiny.cloud.ended(deploy.id) for deploy in tiny.cloud.deploys]
            ran = Status.DEACTIVATED if overlap is Overlap.WAIT else Status.CANCELED
            assert [deploy.status for deploy in ended[1:]] == [Status.CANCELED, Status.LIVE]
            assert tiny.cloud.deploys[0].status is ran
            assert commits(tiny.edge) == [third]

    asyncio.run(rehearse())


async def statuses(tiny: Tiny, count: int) -> list[int]:
    """Read the service that many times."""
    return [(await tiny.api("GET")).status_code for _ in range(count)]


def test_the_api_has_a_limit(tmp_path: Path) -> None:
    """Beyond it everything is 429, with the seconds until the window ends."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, reads_per_minute=3) as tiny:
            tiny.repository.commit("only")
            assert await statuses(tiny, 5) == [200, 200, 200, 429, 429]
            refused = await tiny.api("GET")
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert refused.headers["ratelimit-remaining"] == "0"

    asyncio.run(rehearse())


def test_the_api_may_refuse(tmp_path: Path) -> None:
    """What is refused, with what status and how often, is a fault's choice; the hook can be refused too."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            tiny.faults.api_errors = ApiErrors(429, r"GET /v1/", after=1, count=2, retry_after_s=1)
            assert await statuses(tiny, 4) == [200, 429, 429, 200]
            tiny.faults.api_errors = ApiErrors(401, "POST /deploy/")
            assert (await tiny.hook(commit)).status_code == 401
            assert await statuses(tiny, 1) == [200]

    asyncio.run(rehearse())


def test_a_status_may_be_unknown(tmp_path: Path) -> None:
    """A fault: what is under way is told in a word that nobody knows; what has ended is told as it is."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            tiny.faults.unknown_status, tiny.faults.build_extra_s = "hibernating", 0.5
            asked = (await tiny.hook(new)).json()["deploy"]["id"]
            assert (await tiny.api("GET", f"/deploys/{asked}")).json()["status"] == "hibernating"
            listed = [row["deploy"]["status"] for row in (await tiny.api("GET", "/deploys")).json()]
            assert listed == ["hibernating", "live"]

    asyncio.run(rehearse())


def test_an_unhealthy_service_is_never_live(tmp_path: Path) -> None:
    """With several instances as with one: the first that does not become healthy ends the deploy."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, instances=2) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new", service=UNHEALTHY)
            await tiny.cloud.first_deploy(old)
            asked = (await tiny.hook(new)).json()["deploy"]["id"]
            await tiny.api("POST", f"/deploys/{asked}/cancel")
            assert (await tiny.cloud.ended(asked)).status is Status.CANCELED
            assert commits(tiny.edge) == [old, old]

    asyncio.run(rehearse())
