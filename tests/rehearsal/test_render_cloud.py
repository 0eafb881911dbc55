"""What deploys do on the emulated Render, with real processes."""

import asyncio
import sys
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.rehearsal.clouds.render import Kind, Status, Times, Trigger
from tests.rehearsal.tiny_service import (
    QUICK,
    UNHEALTHY,
    groups_started,
    runs,
    tiny_cloud,
)


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
            first_answer, switched = tiny.edge.first_answer(new), tiny.events(Kind.TRAFFIC_SWITCHED, new)[0]
            assert first_answer
            assert first_answer >= switched.monotonic_s
            assert tiny.kinds(new) == [
                Kind.REQUESTED,
                Kind.BUILD_STARTED,
                Kind.UPDATE_STARTED,
                Kind.INSTANCE_STARTED,
                Kind.TRAFFIC_SWITCHED,
                Kind.LIVE,
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
            assert environment.pop("DATABASE_URL") == f"sqlite:///{tiny.folder}/tiny.db"
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
            started = len(tiny.events(Kind.INSTANCE_STARTED, bad))
            assert started == len(tiny.events(Kind.INSTANCE_STOPPED, bad))
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
            assert len(tiny.events(Kind.INSTANCE_STARTED, new)) == 1

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
            assert len(tiny.events(Kind.BUILD_STARTED, old)) == 1
            assert (await tiny.api("GET")).json()["autoDeploy"] == "yes"

    asyncio.run(rehearse())


def test_a_deploy_is_prepared_first(tmp_path: Path) -> None:
    """The pre-deploy command runs between build and start, on the database of all deploys, and for a rollback too."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path) as tiny:
            note = 'echo "$RENDER_GIT_COMMIT" >> "${DATABASE_URL#sqlite:///}"'
            old, new = (tiny.repository.commit(name, prepare=f"'{note}'") for name in ("old", "new"))
            first = await tiny.cloud.first_deploy(old)
            await tiny.deploy(new)
            await tiny.cloud.ended((await tiny.api("POST", "/rollback", deployId=first.id)).json()["id"])
            assert (tiny.folder / "tiny.db").read_text().split() == [old, new, old]
            kinds = tiny.kinds(new)
            assert kinds.index(Kind.BUILD_STARTED) < kinds.index(Kind.PRE_DEPLOY_STARTED)
            assert kinds.index(Kind.PRE_DEPLOY_STARTED) < kinds.index(Kind.UPDATE_STARTED)

    asyncio.run(rehearse())


@pytest.mark.parametrize(("prepare", "told"), [("exit 3", "ended with 3"), ("sleep 60", "took longer than 0.5 s")])
def test_a_deploy_that_cannot_be_prepared_never_starts(tmp_path: Path, prepare: str, told: str) -> None:
    """A pre-deploy command that fails or hangs ends the deploy, and the old release goes on serving."""

    async def rehearse() -> None:
        async with tiny_cloud(tmp_path, times=replace(QUICK, pre_deploy_limit_s=0.5)) as tiny:
            old, new = tiny.repository.commit("old"), tiny.repository.commit("new", prepare=prepare)
            await tiny.cloud.first_deploy(old)
            deploy = await tiny.deploy(new)
            assert deploy.status is Status.PRE_DEPLOY_FAILED
            assert told in tiny.events(Kind.FAILED, new)[0].detail
            assert not tiny.events(Kind.INSTANCE_STARTED, new)
            assert (await tiny.version())["commit"] == old

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
            assert "no such package" in tiny.events(Kind.FAILED, bad)[0].detail
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
