"""Each fault of the emulated Render does what it says."""

import asyncio
from pathlib import Path

import pytest

from scripts.rehearsal.clouds.render import Status
from tests.rehearsal.tiny_service import (
    QUICK,
    groups_started,
    runs,
    tiny_cloud,
)


@pytest.mark.parametrize("by", ["hook", "api"])
def test_fault_live_without_traffic(tmp_path: Path, by: str) -> None:
    """With `live_without_traffic` a deploy is said to be live, and users still get the old commit."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            first = await tiny.cloud.first_deploy(old)
            tiny.faults.live_without_traffic = True
            await (tiny.hook(new) if by == "hook" else tiny.api("POST", "/deploys", commitId=new))
            deploy = await tiny.cloud.ended(tiny.cloud.deploys[-1].id)
            assert deploy.status is Status.LIVE
            assert tiny.cloud.deploys[0].status is Status.DEACTIVATED
            await asyncio.sleep(QUICK.drain_s * 2)
            assert (await tiny.version())["commit"] == old
            back = (await tiny.api("POST", "/rollback", deployId=first.id)).json()["id"]
            assert (await tiny.cloud.ended(back)).status is Status.LIVE
            await tiny.until(lambda: sum(map(runs, groups_started(tiny.folder))) == 1)
            assert (await tiny.version())["commit"] == old

    asyncio.run(rehearse())


def test_fault_rollback_without_traffic(tmp_path: Path) -> None:
    """With `rollback_without_traffic` a rollback is said to be live, and users still get the bad commit."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            first = await tiny.cloud.first_deploy(old)
            await tiny.deploy(new)
            tiny.faults.rollback_without_traffic = True
            back = (await tiny.api("POST", "/rollback", deployId=first.id)).json()["id"]
            assert (await tiny.cloud.ended(back)).status is Status.LIVE
            assert (await tiny.version())["commit"] == new

    asyncio.run(rehearse())


def test_fault_slow_build(tmp_path: Path) -> None:
    """With `build_extra_s` a build takes that much longer, and no longer when the fault is gone."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            one, two = tiny.repository.commit("one"), tiny.repository.commit("two")
            tiny.faults.build_extra_s = 0.8
            slow = await tiny.cloud.first_deploy(one)
            tiny.faults.build_extra_s = 0.0
            quick = await tiny.deploy(two)
            slow_s, quick_s = ((each.updated_at - each.created_at).total_seconds() for each in (slow, quick))
            assert slow_s >= 0.8 > quick_s

    asyncio.run(rehearse())


def test_fault_hook_without_id(tmp_path: Path) -> None:
    """With `hook_answers_202` the hook tells no id, and the deploy goes live all the same."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            tiny.faults.hook_answers_202 = True
            answer = await tiny.hook(commit)
            assert (answer.status_code, answer.content) == (202, b"")
            assert (await tiny.cloud.ended(tiny.cloud.deploys[0].id)).status is Status.LIVE

    asyncio.run(rehearse())


def test_fault_cancel_ignored(tmp_path: Path) -> None:
    """With `cancel_ignored` a cancel is answered 200, and the deploy goes live all the same."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            tiny.faults.cancel_ignored = True
            deploy_id = (await tiny.hook(commit)).json()["deploy"]["id"]
            answer = await tiny.api("POST", f"/deploys/{deploy_id}/cancel")
            assert (answer.status_code, answer.json()["status"]) == (200, "build_in_progress")
            assert (await tiny.cloud.ended(deploy_id)).status is Status.LIVE

    asyncio.run(rehearse())


def test_fault_api_down(tmp_path: Path) -> None:
    """With `api_down` the API answers 503, the hook and the service work; it is back when the fault is gone."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            tiny.faults.api_down = True
            assert (await tiny.api("GET")).status_code == 503
            assert (await tiny.deploy(commit)).status is Status.LIVE
            tiny.faults.api_down = False
            assert (await tiny.api("GET")).status_code == 200

    asyncio.run(rehearse())
