"""What becomes of instances on the emulated Render: drained, killed, replaced, and none left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.rehearsal.clouds.render import Kind, Status
from tests.rehearsal.tiny_service import (
    QUICK,
    SERVICE,
    UNHEALTHY,
    groups_started,
    make_repository,
    runs,
    tiny_cloud,
)

STUBBORN = SERVICE.replace("    sys.exit(0)\n", "")
# The leader ends at SIGTERM; what it started ignores it.
WITH_CHILD = SERVICE.replace(
    "server = http",
    "import subprocess\n"
    "child = subprocess.Popen([sys.executable, '-I', '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); "
    "time.sleep(99)'])\n"
    "server = http",
)


def test_old_instance_is_drained_then_told_to_stop(tmp_path: Path) -> None:
    """The old instance runs on for the drain time after the switch, then gets SIGTERM and is gone."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, drain_s=0.6)) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            group, instance_id = (await tiny.version())["pid"], tiny.edge.upstreams[0].instance_id
            await tiny.deploy(new)
            assert runs(group)
            await tiny.until(lambda: Kind.INSTANCE_STOPPED in tiny.kinds(old))
            switched, stopped = tiny.events(Kind.TRAFFIC_SWITCHED, new), tiny.events(Kind.INSTANCE_STOPPED, old)
            assert stopped[0].monotonic_s - switched[0].monotonic_s >= 0.6
            assert not runs(group)
            assert (tiny.folder / f"{instance_id}.log").read_text().endswith("SIGTERM\n")

    asyncio.run(rehearse())


@pytest.mark.parametrize(("service", "at_least_s"), [(STUBBORN, 0.6), (WITH_CHILD, 0.0)], ids=["leader", "its child"])
def test_what_ignores_sigterm_is_killed(tmp_path: Path, service: str, at_least_s: float) -> None:
    """SIGKILL ends the whole process group: a leader after the shutdown delay, its children once the leader is gone."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, drain_s=0.0)) as tiny:
            old, new = tiny.repository.commit("old", service=service), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            group = (await tiny.version())["pid"]
            await tiny.deploy(new)
            await tiny.until(lambda: Kind.INSTANCE_STOPPED in tiny.kinds(old))
            switched, stopped = tiny.events(Kind.TRAFFIC_SWITCHED, new), tiny.events(Kind.INSTANCE_STOPPED, old)
            assert stopped[0].monotonic_s - switched[0].monotonic_s >= at_least_s
            assert not runs(group)

    asyncio.run(rehearse())


def test_ended_instance_is_replaced(tmp_path: Path) -> None:
    """When the serving process ends by itself, a new instance of the same artifact takes over without further delay."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, restart_after_s=60.0)) as tiny:
            await tiny.cloud.first_deploy(tiny.repository.commit("only"))
            before = await tiny.version()
            os.kill(before["pid"], signal.SIGKILL)
            await tiny.until(lambda: tiny.kinds().count(Kind.TRAFFIC_SWITCHED) == 2)
            after = await tiny.version()
            assert after["commit"] == before["commit"]
            assert after["pid"] != before["pid"]

    asyncio.run(rehearse())


def test_unhealthy_instance_loses_traffic_then_restarts(tmp_path: Path) -> None:
    """A serving instance whose checks fail loses the traffic and is replaced later; a short trouble is forgiven."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, restart_after_s=1.5)) as tiny:
            await tiny.cloud.first_deploy(tiny.repository.commit("only"))
            switch = next(tiny.folder.glob("build-1-*/")) / "unhealthy"
            pid = (await tiny.version())["pid"]
            switch.touch()
            await tiny.until(lambda: Kind.TRAFFIC_STOPPED in tiny.kinds())
            assert (await tiny.client.get(tiny.edge.url)).status_code == 502
            switch.unlink()
            await tiny.until(lambda: tiny.cloud.serving_commit is not None)
            assert (await tiny.version())["pid"] == pid
            switch.touch()
            await tiny.until(lambda: Kind.INSTANCE_STOPPED in tiny.kinds())
            switch.unlink()
            await tiny.until(lambda: tiny.cloud.serving_commit is not None)
            assert (await tiny.version())["pid"] != pid
            stops = [event.monotonic_s for event in tiny.cloud.events if event.kind is Kind.TRAFFIC_STOPPED]
            assert len(stops) == 2
            assert not runs(pid)

    asyncio.run(rehearse())


def test_restart_replaces_the_instance(tmp_path: Path) -> None:
    """A restart by the API brings a new instance of the live artifact, without a new deploy and without an outage."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            await tiny.cloud.first_deploy(tiny.repository.commit("only"))
            before = (await tiny.version())["pid"]
            assert (await tiny.api("POST", "/restart")).status_code == 200
            await tiny.until(lambda: tiny.kinds().count(Kind.TRAFFIC_SWITCHED) == 2)
            assert (await tiny.version())["pid"] != before
            assert Kind.TRAFFIC_STOPPED not in tiny.kinds()
            await tiny.until(lambda: not runs(before))
            assert len(tiny.cloud.deploys) == 1

    asyncio.run(rehearse())


def test_suspended_service_is_off(tmp_path: Path) -> None:
    """A suspended service runs nothing, cancels what is under way and refuses deploys."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, build_overhead_s=0.3)) as tiny:
            commit = tiny.repository.commit("only")
            await tiny.cloud.first_deploy(commit)
            await tiny.hook(commit)
            await tiny.cloud.suspend()
            assert tiny.cloud.serving_commit is None
            assert not any(map(runs, groups_started(tiny.folder)))
            assert tiny.cloud.deploys[1].status is Status.CANCELED
            assert (await tiny.hook(commit)).status_code == 409

    asyncio.run(rehearse())


def test_nothing_runs_after_the_exit(tmp_path: Path) -> None:
    """After the cloud's end nothing runs: the serving instance, one that drains, one that starts, one with children."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, drain_s=30.0)) as tiny:
            commits = [tiny.repository.commit(str(n), service=text) for n, text in enumerate((SERVICE, WITH_CHILD))]
            starting = tiny.repository.commit("never healthy", service=UNHEALTHY)
            await tiny.cloud.first_deploy(commits[0])
            await tiny.deploy(commits[1])
            await tiny.hook(starting)
            await tiny.until(lambda: len(groups_started(tiny.folder)) == 3)
            assert all(map(runs, groups_started(tiny.folder)))

    asyncio.run(rehearse())
    groups = groups_started(tmp_path / "work")
    assert len(groups) == 3
    assert not any(map(runs, groups))


def test_nothing_runs_after_a_cancellation(tmp_path: Path) -> None:
    """When the rehearsal is cancelled in the middle of a deploy, nothing is left running, and it ends as cancelled."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            await tiny.cloud.first_deploy(tiny.repository.commit("old"))
            await tiny.hook(tiny.repository.commit("never healthy", service=UNHEALTHY))
            await tiny.until(lambda: len(groups_started(tiny.folder)) == 2)
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # there is a task here
            await asyncio.sleep(60)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(rehearse())
    groups = groups_started(tmp_path / "work")
    assert len(groups) == 2
    assert not any(map(runs, groups))


def test_what_the_rehearsal_raises_stays_as_it_is(tmp_path: Path) -> None:
    """An error raised beside a running service comes out as itself, not as one of a group."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            await tiny.cloud.first_deploy(tiny.repository.commit("only"))
            raise LookupError("ours")

    with pytest.raises(LookupError, match="ours"):
        asyncio.run(rehearse())


REHEARSAL = """
import asyncio, sys
from pathlib import Path
from tests.rehearsal.tiny_service import tiny_cloud

async def main():
    async with tiny_cloud(Path(sys.argv[1])) as tiny:
        await tiny.cloud.first_deploy(sys.argv[2])
        print((await tiny.version())["pid"], flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills the children of a killed parent")
def test_nothing_runs_after_a_kill(tmp_path: Path) -> None:
    """When the rehearsal itself is killed and no code of it runs any more, its service is gone too."""
    commit = make_repository(tmp_path / "repository").commit("only")
    command = [sys.executable, "-c", REHEARSAL, str(tmp_path), commit]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env=os.environ | {"PYTHONPATH": "."}, stdout=subprocess.PIPE) as running:
        assert running.stdout
        group = int(running.stdout.readline())
        assert runs(group)
        running.kill()

    async def until_gone() -> None:
        async with asyncio.timeout(5):
            while runs(group):  # noqa: ASYNC110  # the kernel sets no event
                await asyncio.sleep(0.02)

    try:
        asyncio.run(until_gone())
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)  # a failing test must not leave it either
