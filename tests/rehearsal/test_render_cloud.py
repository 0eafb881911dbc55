"""What deploys do on the emulated Render, with real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.rehearsal.clouds.render import Event, Kind, Status, Times, Trigger
from tests.rehearsal.tiny_service import QUICK, SERVICE, Tiny, groups_started, make_repository, runs, tiny_cloud

UNHEALTHY = SERVICE.replace("status = 500 if", "status = 503 if self.path == '/health' else 500 if")
STUBBORN = SERVICE.replace("    sys.exit(0)\n", "")
# The leader ends at SIGTERM; what it started ignores it.
WITH_CHILD = SERVICE.replace(
    "server = http",
    "import subprocess\n"
    "child = subprocess.Popen([sys.executable, '-I', '-c', 'import signal, time; signal.signal(15, signal.SIG_IGN); "
    "time.sleep(99)'])\n"
    "server = http",
)


def of_kind(tiny: Tiny, kind: Kind, commit: str) -> list[Event]:
    """List the events of one kind and commit."""
    return [event for event in tiny.cloud.events if event.kind is kind and event.commit == commit]


def test_hook_ships_a_commit(tmp_path: Path) -> None:
    """A deploy by the hook passes build and update, goes live, gets the traffic and deactivates the one before."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            first = await tiny.cloud.first_deploy(old)
            assert (first.status, first.trigger) == (Status.LIVE, Trigger.MANUAL)
            assert (await tiny.version())["commit"] == old
            deploy = await tiny.deploy(new)
            assert (deploy.status, deploy.trigger, deploy.commit.message) == (Status.LIVE, Trigger.DEPLOY_HOOK, "new")
            assert tiny.cloud.deploys[0].status is Status.DEACTIVATED
            assert tiny.cloud.serving_commit == new
            assert (await tiny.version())["commit"] == new
            first_answer, switched = tiny.edge.first_answer(new), of_kind(tiny, Kind.TRAFFIC_SWITCHED, new)[0]
            assert first_answer
            assert first_answer >= switched.monotonic_s
            assert tiny.kinds(new) == [
                Kind.REQUESTED,
                Kind.BUILD_STARTED,
                Kind.UPDATE_STARTED,
                Kind.INSTANCE_STARTED,
                Kind.LIVE,
                Kind.TRAFFIC_SWITCHED,
            ]

    asyncio.run(rehearse())


def test_environment_is_the_platforms_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service sees Render's variables and the plain ones of render.yaml, and nothing of the rehearsal's own."""
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OURS", "secret")

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("only")
            await tiny.cloud.first_deploy(commit)
            environment = (await tiny.version())["env"]
            instance_id = tiny.edge.upstreams[0].instance_id
            assert environment.pop("PATH").split(":")[0] == str(Path(sys.executable).parent)
            assert Path(environment.pop("HOME")).is_relative_to(tiny.folder)
            assert environment.pop("PORT") == tiny.edge.upstreams[0].url.rpartition(":")[2]
            environment.pop("LC_CTYPE", None)  # Python's own, PEP 538
            environment.pop("PWD", None)  # the shell's own
            assert environment == {
                "LANG": "C.UTF-8",
                "HOST": "127.0.0.1",
                "PLAIN": "plain",
                "RENDER": "true",
                "RENDER_GIT_COMMIT": commit,
                "RENDER_GIT_BRANCH": "main",
                "RENDER_EXTERNAL_URL": tiny.edge.url,
                "RENDER_SERVICE_ID": tiny.cloud.service_id,
                "RENDER_INSTANCE_ID": instance_id,
                "WEB_CONCURRENCY": "1",
            }

    asyncio.run(rehearse())


@pytest.mark.parametrize("broken", ["import nothing_of_this_name", UNHEALTHY], ids=["crashes", "unhealthy"])
def test_never_healthy_never_serves(tmp_path: Path, broken: str) -> None:
    """A commit that crashes at start or never gets healthy ends in update_failed, and the old release keeps serving."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, start_limit_s=1.0)) as tiny:
            old, bad = tiny.repository.commit("old"), tiny.repository.commit("bad", service=broken)
            await tiny.cloud.first_deploy(old)
            assert (await tiny.deploy(bad)).status is Status.UPDATE_FAILED
            assert tiny.cloud.deploys[0].status is Status.LIVE
            assert (await tiny.version())["commit"] == old
            assert tiny.edge.first_answer(bad) is None
            started = len(of_kind(tiny, Kind.INSTANCE_STARTED, bad))
            assert started == len(of_kind(tiny, Kind.INSTANCE_STOPPED, bad))
            assert started == 1 if broken is UNHEALTHY else started > 1  # one that ended is started again

    asyncio.run(rehearse())


def test_cancel_during_build(tmp_path: Path) -> None:
    """A deploy cancelled while it is built ends at once, starts nothing, and the next one goes ahead."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, build_overhead_s=0.3)) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            await tiny.cloud.first_deploy(old)
            deploy_id = (await tiny.hook(new)).json()["deploy"]["id"]
            said = (await tiny.api("POST", f"/deploys/{deploy_id}/cancel")).json()
            assert said["status"] == "canceled"
            assert (await tiny.deploy(new)).status is Status.LIVE
            assert tiny.cloud.deploys[1].status is Status.CANCELED
            assert len(of_kind(tiny, Kind.INSTANCE_STARTED, new)) == 1

    asyncio.run(rehearse())


def test_cancel_during_start(tmp_path: Path) -> None:
    """A deploy cancelled while its instance starts leaves no instance behind."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, slow = tiny.repository.commit("old"), tiny.repository.commit("slow", service=UNHEALTHY)
            await tiny.cloud.first_deploy(old)
            deploy_id = (await tiny.hook(slow)).json()["deploy"]["id"]
            await tiny.until(lambda: len(groups_started(tiny.folder)) == 2)
            await tiny.api("POST", f"/deploys/{deploy_id}/cancel")
            await tiny.until(lambda: Kind.INSTANCE_STOPPED in tiny.kinds(slow))
            assert sum(map(runs, groups_started(tiny.folder))) == 1
            assert tiny.cloud.serving_commit == old

    asyncio.run(rehearse())


def test_rollback_skips_the_build(tmp_path: Path) -> None:
    """A rollback is a new deploy of the kept artifact: it builds nothing, serves the old commit, spares auto-deploy."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new")
            first = await tiny.cloud.first_deploy(old)
            await tiny.api("POST", "/deploys", commitId=new)
            await tiny.cloud.ended(tiny.cloud.deploys[1].id)
            said = (await tiny.api("POST", "/rollback", deployId=first.id)).json()
            deploy = await tiny.cloud.ended(said["id"])
            assert (deploy.status, deploy.trigger, deploy.commit.sha) == (Status.LIVE, Trigger.ROLLBACK, old)
            assert deploy.id != first.id
            assert (await tiny.version())["commit"] == old
            assert len(of_kind(tiny, Kind.BUILD_STARTED, old)) == 1
            assert (await tiny.api("GET")).json()["autoDeploy"] == "yes"

    asyncio.run(rehearse())


def test_artifacts_are_not_kept_for_ever(tmp_path: Path) -> None:
    """A deploy whose artifact is older than those kept cannot be rolled back to; a rollback renews its artifact."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, keep_artifacts=2) as tiny:
            one, two, three = (tiny.repository.commit(name) for name in ("one", "two", "three"))
            first = await tiny.cloud.first_deploy(one)
            second = await tiny.deploy(two)
            await tiny.cloud.ended((await tiny.api("POST", "/rollback", deployId=first.id)).json()["id"])
            third = await tiny.deploy(three)
            assert third.status is Status.LIVE
            refused = await tiny.api("POST", "/rollback", deployId=second.id)
            assert (refused.status_code, "no longer kept" in refused.text) == (400, True)
            assert (await tiny.api("POST", "/rollback", deployId=first.id)).status_code == 201

    asyncio.run(rehearse())


def test_newest_queued_deploy_is_next(tmp_path: Path) -> None:
    """While a deploy runs, the hook answers 202 without an id; the newest one waiting is next, others are canceled."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, build_overhead_s=0.4)) as tiny:
            commits = [tiny.repository.commit(name) for name in ("running", "dropped", "newest")]
            answers = [await tiny.hook(commit) for commit in commits]
            assert [(answer.status_code, bool(answer.content)) for answer in answers] == [
                (200, True),
                (202, False),
                (202, False),
            ]
            running, dropped, newest = tiny.cloud.deploys
            assert (dropped.status, newest.status) == (Status.CANCELED, Status.QUEUED)
            assert (await tiny.cloud.ended(running.id)).status is Status.LIVE
            assert (await tiny.cloud.ended(newest.id)).status is Status.LIVE
            assert (await tiny.version())["commit"] == commits[2]

    asyncio.run(rehearse())


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
            switched, stopped = of_kind(tiny, Kind.TRAFFIC_SWITCHED, new), of_kind(tiny, Kind.INSTANCE_STOPPED, old)
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
            switched, stopped = of_kind(tiny, Kind.TRAFFIC_SWITCHED, new), of_kind(tiny, Kind.INSTANCE_STOPPED, old)
            assert stopped[0].monotonic_s - switched[0].monotonic_s >= at_least_s
            assert not runs(group)

    asyncio.run(rehearse())


def test_other_requirements_are_really_built(tmp_path: Path) -> None:
    """With another requirements.txt the build command runs in an environment of its own, which the service uses."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, requirements="one") as tiny:
            same = tiny.repository.commit("same", requirements="one", build="'false'")
            build = "python -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'"
            other = tiny.repository.commit("other", requirements="two", build=f'"{build}"')
            await tiny.cloud.first_deploy(same)
            assert any("skipped" in log.read_text() for log in tiny.folder.glob("build-1-*.log"))
            assert (await tiny.deploy(other)).status is Status.LIVE
            assert (await tiny.version())["env"]["PATH"].split(":")[0].endswith(".venv/bin")

    asyncio.run(rehearse())


def test_failed_build_tells_why(tmp_path: Path) -> None:
    """A build command that fails ends the deploy in build_failed with its last words, and the old release serves."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            old = tiny.repository.commit("old")
            bad = tiny.repository.commit("bad", requirements="other", build="echo no such package && false")
            await tiny.cloud.first_deploy(old)
            assert (await tiny.deploy(bad)).status is Status.BUILD_FAILED
            assert "no such package" in of_kind(tiny, Kind.FAILED, bad)[0].detail
            assert tiny.cloud.serving_commit == old

    asyncio.run(rehearse())


def test_commit_without_web_service_fails_to_build(tmp_path: Path) -> None:
    """A commit whose render.yaml has no web service ends in build_failed."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            commit = tiny.repository.commit("no start command", start="''")
            with pytest.raises(RuntimeError, match=r"build_failed.*no startCommand"):
                await tiny.cloud.first_deploy(commit)

    asyncio.run(rehearse())


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


def test_ended_instance_is_replaced(tmp_path: Path) -> None:
    """When the serving process ends by itself, a new instance of the same artifact takes over."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
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

    asyncio.run(until_gone())
    assert not runs(group)


def test_scaled_times_keep_proportion_above_their_floors() -> None:
    """Scaled times are the platform's own in proportion, and never so short that a real process cannot follow."""
    real, scaled = Times(), Times().scaled(1 / 60)
    assert scaled.drain_s == pytest.approx(1.0)
    assert scaled.start_limit_s == pytest.approx(15.0)
    assert (scaled.health_interval_s, scaled.shutdown_delay_s) == (0.1, 2.0)
    assert Times().scaled(1.0) == real
    smallest = Times().scaled(0.0)
    order = ("health_interval_s", "health_limit_s", "restart_after_s", "start_limit_s", "build_limit_s")
    assert all(getattr(smallest, less) < getattr(smallest, more) for less, more in pairwise(order))
    assert all(getattr(smallest, each.name) <= getattr(real, each.name) for each in fields(Times))
