"""What deployments, the production domain and faults do on the emulated Vercel, asked by its API."""

import asyncio
import dataclasses
import io
import json
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from scripts.rehearsal.clouds.vercel import (
    ApiErrors,
    Job,
    JobStatus,
    Kind,
    Plan,
    State,
    VercelFaults,
    VercelTimes,
)
from scripts.rehearsal.clouds.vercel_files import Files, Listed, RefusedUploadError
from scripts.rehearsal.clouds.vercel_output import BadOutputError, Output
from tests.rehearsal.tiny_vercel import BYPASS, NEW, OLD, QUICK, sha1_of, tiny_vercel, write_output


def test_promotion_moves_the_users(tmp_path: Path) -> None:
    """A deployment without the domain is staged at its own URL; promoted, it has the users."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            first = await tiny.first()
            deployment = await tiny.deploy()
            said = (await tiny.api("GET", f"/v13/deployments/{deployment.host}")).json()
            assert (said["readyState"], said["readySubstate"], said["alias"]) == ("READY", "STAGED", [])
            assert said["aliasAssigned"]
            assert said["meta"]["slipwayCommit"] == NEW
            assert (await tiny.version(), await tiny.version(deployment.host)) == (OLD, NEW)
            assert (await tiny.move("promote", deployment)).status_code == 201
            assert (await tiny.version(), tiny.cloud.serving_commit) == (NEW, NEW)
            assert await tiny.version(first.host) == OLD
            said = (await tiny.api("GET", f"/v13/deployments/{deployment.id}")).json()
            assert (said["readySubstate"], said["alias"]) == ("PROMOTED", [tiny.cloud.production_host])
            kinds = [Kind.REQUESTED, Kind.BUILD_STARTED, Kind.READY, Kind.PROMOTE_REQUESTED, Kind.LIVE]
            assert tiny.kinds(NEW) == kinds
            assert tiny.kinds(OLD)[-1] is Kind.DEACTIVATED
            moments = [event.monotonic_s for event in tiny.cloud.events]
            assert all(before <= after for before, after in pairwise(moments))

    asyncio.run(rehearse())


def test_the_alias_names_what_serves(tmp_path: Path) -> None:
    """The production alias is unknown before the first release, then names the deployment that has the users."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            path = f"/v4/aliases/{tiny.cloud.production_host}"
            query = {"projectId": tiny.cloud.settings.project_id}
            assert (await tiny.api("GET", path, params=query)).status_code == 404
            first = await tiny.first()
            alias = (await tiny.api("GET", path, params=query)).json()
            assert (alias["alias"], alias["deploymentId"]) == (tiny.cloud.production_host, first.id)
            assert {"projectId", "uid", "created"} <= set(alias)
            assert (await tiny.api("GET", f"/v4/aliases/{first.host}")).status_code == 404

    asyncio.run(rehearse())


def test_a_job_can_be_followed(tmp_path: Path) -> None:
    """The project tells its last job, pending, in progress, succeeded, and the domain moves only with its end."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            first, deployment = await tiny.first(), await tiny.deploy()
            moving = asyncio.create_task(tiny.move("promote", deployment))
            seen: list[tuple[str, str | None]] = []
            while not moving.done():
                job = (await tiny.project())["lastAliasRequest"]
                if job and (not seen or seen[-1][0] != job["jobStatus"]):
                    seen.append((job["jobStatus"], tiny.cloud.serving_commit))
            assert seen[-1][1] == (NEW if seen[-1][0] == "succeeded" else OLD)
            assert [status for status, _ in seen if status != "succeeded"] == ["pending", "in-progress"]
            assert all(commit == OLD for status, commit in seen if status != "succeeded")
            job = (await tiny.project())["lastAliasRequest"]
            assert job | {"requestedAt": 0} == {
                "fromDeploymentId": first.id,
                "toDeploymentId": deployment.id,
                "jobStatus": "succeeded",
                "requestedAt": 0,
                "type": "promote",
            }
            assert abs(job["requestedAt"] / 1000 - tiny.cloud.events[0].at.timestamp()) < 60

    asyncio.run(rehearse())


def test_rollback_pins_and_promotion_unpins(tmp_path: Path) -> None:
    """A rollback keeps new deployments from the domain until one is promoted."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            first, second = await tiny.first(), await tiny.deploy()
            await tiny.move("promote", second)
            assert (await tiny.project())["autoAssignCustomDomains"] is True
            assert (await tiny.move("rollback", first)).status_code == 201
            assert await tiny.version() == OLD
            assert (await tiny.project())["autoAssignCustomDomains"] is False
            await tiny.deploy("c" * 40, autoAssignCustomDomains=True)
            assert await tiny.version() == OLD
            await tiny.move("promote", second)
            assert (await tiny.project())["autoAssignCustomDomains"] is True
            await tiny.deploy("d" * 40, autoAssignCustomDomains=True)
            assert await tiny.version() == "d" * 40
            assert [job.kind for job in tiny.cloud.jobs] == [Job.PROMOTE, Job.ROLLBACK, Job.PROMOTE]

    asyncio.run(rehearse())


def test_rollback_needs_one_that_served(tmp_path: Path) -> None:
    """A rollback to a deployment that never had the domain is refused; the list tells the candidates."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            first, second, staged = await tiny.first(), await tiny.deploy(), await tiny.deploy("c" * 40)
            await tiny.move("promote", second)
            assert (await tiny.move("rollback", staged)).status_code == 400
            assert await tiny.version() == NEW
            query = {"projectId": tiny.cloud.settings.project_id, "target": "production", "limit": "2"}
            rows = (await tiny.api("GET", "/v6/deployments", params=query)).json()["deployments"]
            assert [row["uid"] for row in rows] == [staged.id, second.id]
            rows = (await tiny.api("GET", "/v6/deployments", params=query | {"limit": "20"})).json()["deployments"]
            assert {row["uid"] for row in rows if row["isRollbackCandidate"]} == {first.id}
            assert [row["readySubstate"] for row in rows] == ["STAGED", "PROMOTED", "PROMOTED"]
            assert all(row["created"] == row["createdAt"] > 1e12 and row["aliasAssigned"] for row in rows)

    asyncio.run(rehearse())


@pytest.mark.parametrize(("plan", "reached"), [(Plan.HOBBY, 402), (Plan.PRO, 201)])
def test_the_plan_limits_how_far_back(tmp_path: Path, plan: Plan, reached: int) -> None:
    """The free plan rolls back to the previous production deployment and no further; the paid one to any."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path, plan=plan) as tiny:
            first, second, third = await tiny.first(), await tiny.deploy(), await tiny.deploy("c" * 40)
            await tiny.move("promote", second)
            await tiny.move("promote", third)
            assert (await tiny.move("rollback", first)).status_code == reached
            if plan is Plan.HOBBY:
                assert (await tiny.move("rollback", second)).status_code == 201
                assert await tiny.version() == NEW

    asyncio.run(rehearse())


def test_a_newer_job_replaces_one_that_hangs(tmp_path: Path) -> None:
    """A promotion that never ends leaves the users where they are, and a rollback puts an end to it."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            first, deployment = await tiny.first(), await tiny.deploy()
            tiny.cloud.faults = VercelFaults(alias_never_assigned=True)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(tiny.move("promote", deployment), 0.5)
            assert (await tiny.project())["lastAliasRequest"]["jobStatus"] == "in-progress"
            assert await tiny.version() == OLD
            assert (await tiny.move("rollback", first)).status_code == 201
            job = (await tiny.project())["lastAliasRequest"]
            assert (job["type"], job["jobStatus"]) == ("rollback", "skipped")
            assert await tiny.version() == OLD

    asyncio.run(rehearse())


def test_without_skip_domain_it_goes_live(tmp_path: Path) -> None:
    """A production deployment that is to have the domain gets it when it is ready."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            await tiny.first()
            deployment = await tiny.deploy(autoAssignCustomDomains=True)
            assert await tiny.version() == NEW
            assert tiny.cloud.production == deployment
            preview = await tiny.deploy("c" * 40, target=None)
            assert (await tiny.move("promote", preview)).status_code == 400
            assert await tiny.version() == NEW

    asyncio.run(rehearse())


def test_cancel(tmp_path: Path) -> None:
    """A deployment can be cancelled until it has ended, and then never becomes ready."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path, faults=VercelFaults(stuck_in_queue=True)) as tiny:
            output = write_output(tmp_path / "x", NEW)
            files = {
                f".vercel/output/{name}": (output / name).read_bytes() for name in ("config.json", "static/version")
            }
            for content in files.values():
                await tiny.upload(content)
            created = (await tiny.create(files)).json()
            assert created["readyState"] == "QUEUED"
            await asyncio.sleep(QUICK.queued_s * 4)
            assert tiny.find(created["id"]).state is State.QUEUED
            said = await tiny.api("PATCH", f"/v12/deployments/{created['id']}/cancel")
            assert (said.status_code, said.json()["readyState"]) == (200, "CANCELED")
            assert (await tiny.api("PATCH", f"/v12/deployments/{created['id']}/cancel")).status_code == 400
            assert (await tiny.client.get(f"http://{created['url']}/version")).status_code == 404

    asyncio.run(rehearse())


def test_files_are_stored_by_content(tmp_path: Path) -> None:
    """Missing files are named by digest, wrong ones refused, and deployments of equal content share theirs."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            content = b'{"version": 3}'
            files = {".vercel/output/config.json": content}
            refused = await tiny.create(files)
            assert refused.status_code == 400
            assert refused.json()["error"]["code"] == "missing_files"
            assert refused.json()["error"]["missing"] == [sha1_of(content)]
            assert (await tiny.upload(content, sha1="0" * 40)).status_code == 400
            assert (await tiny.upload(content, size=3)).status_code == 400
            assert (await tiny.create(files)).status_code == 400
            assert (await tiny.upload(content)).status_code == 200
            one, two = (await tiny.create(files)).json()["id"], (await tiny.create(files)).json()["id"]
            assert tiny.find(one).output == tiny.find(two).output
            assert one != two

    asyncio.run(rehearse())


def archive_of(output: Path) -> bytes:
    """Pack an output as `--archive=tgz` does."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(output, ".vercel/output")
    return packed.getvalue()


def test_archive_parts_are_joined_and_unpacked(tmp_path: Path) -> None:
    """An archive in parts is the same deployment as its single files."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            single = await tiny.deploy()
            packed = archive_of(write_output(tmp_path / "again", NEW))
            files = {".vercel/source.tgz.part2": packed[50:], ".vercel/source.tgz.part1": packed[:50]}
            for content in files.values():
                await tiny.upload(content)
            created = (await tiny.create(files)).json()
            assert tiny.find(created["id"]).output == single.output

    asyncio.run(rehearse())


def test_what_clouds_share_is_unpacked_once(tmp_path: Path) -> None:
    """The same archive, adopted or uploaded again, is the same tree, and was made by the first that had it."""
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(archive_of(write_output(tmp_path / "built", NEW)))
    other = tmp_path / "other.tgz"
    other.write_bytes(archive_of(write_output(tmp_path / "else", OLD)))

    async def rehearse() -> None:
        one, two = (Files(tmp_path / name, tmp_path / "trees") for name in ("one", "two"))
        trees = [await files.adopt(archive) for files in (one, two, one)]
        assert len(set(trees)) == 1
        assert (one.made, two.made) == ([trees[0]], [])
        again = await two.adopt(other)
        assert again not in trees
        assert two.made == [again]
        assert [await files.adopt(tmp_path / "built" / ".vercel" / "output") for files in (one, two)] == [trees[0]] * 2

    asyncio.run(rehearse())


def test_a_static_file_is_one_that_is_there(tmp_path: Path) -> None:
    """No way leads out of the folder, and what is no file is none."""
    output = write_output(tmp_path / "built", NEW)
    (output / "static" / "deep").mkdir(parents=True)
    (output / "static" / "deep" / "page.txt").write_text("page")
    served = Output(output)
    found = served.find("GET", "/deep/page.txt")
    assert found.file is not None
    assert found.file.read_text() == "page"
    for path in ("/deep", "/deep/../../config.json", "/deep/../deep/page.txt", "//deep/page.txt/x"):
        assert served.find("GET", path).file is None


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", ".vercel/output/../../../outside"])
def test_no_file_leaves_its_folder(tmp_path: Path, path: str) -> None:
    """A file that would be written outside the deployment is refused, also one inside an archive."""
    files = Files(tmp_path / "files")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo(path if path.startswith("..") else f"../{path}"))

    async def store(content: bytes) -> str:
        async def pieces() -> Any:
            yield content

        await files.store(sha1_of(content), len(content), pieces())
        return sha1_of(content)

    async def rehearse() -> None:
        listed = Listed(path, await store(b"x"), 0o644)
        with pytest.raises(RefusedUploadError):
            await files.unpack([listed])
        archive = Listed(".vercel/source.tgz.part1", await store(packed.getvalue()), 0o644)
        with pytest.raises(RefusedUploadError):
            await files.unpack([archive])

    asyncio.run(rehearse())
    assert not list(tmp_path.rglob("outside"))


def test_protection(tmp_path: Path) -> None:
    """With a bypass secret a deployment's own URL answers 401 to who does not send it; the domain is open."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path, bypass=BYPASS) as tiny:
            first = await tiny.first()
            for headers in ({}, {"x-vercel-protection-bypass": "wrong"}):
                refused = await tiny.client.get(f"http://{first.host}/version", headers=headers)
                assert (refused.status_code, refused.headers["content-type"][:9]) == (401, "text/html")
            assert await tiny.version(first.host, **{"x-vercel-protection-bypass": BYPASS}) == OLD
            assert await tiny.version() == OLD

    asyncio.run(rehearse())


def test_api_checks_token_and_team(tmp_path: Path) -> None:
    """A wrong token, no team and a strange team are forbidden; a strange project is unknown."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            project = f"/v9/projects/{tiny.cloud.settings.project_id}"
            for answer in (
                await tiny.api("GET", project, token="wrong"),
                await tiny.api("GET", project, team="team_strange"),
                await tiny.api("GET", project, team=""),
            ):
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
            assert (await tiny.api("GET", project, team=tiny.cloud.settings.team)).status_code == 200
            assert (await tiny.api("GET", "/v9/projects/prj_strange")).status_code == 404
            assert not tiny.cloud.unknown_requests

    asyncio.run(rehearse())


def test_unknown_requests_are_kept(tmp_path: Path) -> None:
    """A path or method that no route is for answers 404 and is kept for a test to fail on."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            assert (await tiny.api("GET", "/v99/surprise")).status_code == 404
            assert (await tiny.api("DELETE", "/v2/user")).status_code == 404
            query = f"?teamId={tiny.cloud.settings.org_id}"
            assert tiny.cloud.unknown_requests == (f"GET /v99/surprise{query}", f"DELETE /v2/user{query}")

    asyncio.run(rehearse())


def test_a_failed_build_says_why(tmp_path: Path) -> None:
    """A deployment whose build fails ends in ERROR, its log holds the reason, it cannot be promoted."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path, faults=VercelFaults(deploy_ends_in_error=True)) as tiny:
            deployment = await tiny.deploy()
            said = (await tiny.api("GET", f"/v13/deployments/{deployment.id}")).json()
            assert (said["readyState"], said["errorCode"], said["aliasAssigned"]) == ("ERROR", "BUILD_FAILED", False)
            query = {"direction": "forward", "follow": "1", "format": "lines"}
            log = await tiny.api("GET", f"/v3/now/deployments/{deployment.id}/events", params=query)
            assert log.headers["transfer-encoding"] == "chunked"
            rows = [json.loads(line) for line in log.text.splitlines()]
            assert [said["errorMessage"] in row["text"] for row in rows if row.get("level") == "error"] == [True]
            assert (await tiny.move("promote", deployment)).status_code == 409

    asyncio.run(rehearse())


def test_an_output_that_cannot_be_served_fails_the_build(tmp_path: Path) -> None:
    """An output with a route that is not known here ends in ERROR, and is not served otherwise than meant."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            content = json.dumps({"version": 3, "routes": [{"src": "/a", "middlewarePath": "x"}]}).encode()
            await tiny.upload(content)
            created = (await tiny.create({".vercel/output/config.json": content})).json()
            ended = await tiny.cloud.ended(created["id"])
            assert ended.state is State.ERROR
            assert "middlewarePath" in ended.error

    asyncio.run(rehearse())


@pytest.mark.parametrize(
    ("fault", "verb", "status", "job"),
    [
        (VercelFaults(promote_refused=True), "promote", 409, None),
        (VercelFaults(promote_queued=True), "promote", 202, None),
        (VercelFaults(promote_skipped=True), "promote", 201, JobStatus.SKIPPED),
        (VercelFaults(promote_fails=True), "promote", 201, JobStatus.FAILED),
        (VercelFaults(promote_without_traffic=True), "promote", 201, JobStatus.SUCCEEDED),
        (VercelFaults(rollback_refused=True), "rollback", 409, None),
    ],
)
def test_faults_of_moves(tmp_path: Path, fault: VercelFaults, verb: str, status: int, job: JobStatus | None) -> None:
    """A move that is refused, queued, skipped, failed or without effect leaves the users where they were."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            first, second = await tiny.first(), await tiny.deploy()
            if verb == "rollback":
                await tiny.move("promote", second)
            serving, jobs = await tiny.version(), len(tiny.cloud.jobs)
            tiny.cloud.faults = fault
            assert (await tiny.move(verb, first if verb == "rollback" else second)).status_code == status
            assert await tiny.version() == serving
            assert [row.status for row in tiny.cloud.jobs[jobs:]] == ([job] if job else [])
            failed = await tiny.api("GET", f"/v9/projects/{tiny.cloud.settings.project_id}/{verb}/aliases")
            assert len(failed.json()["aliases"]) == (1 if job is JobStatus.FAILED else 0)

    asyncio.run(rehearse())


def test_api_errors_begin_and_end(tmp_path: Path) -> None:
    """Refusals of the API hit only the requests they are for, as many as stated, and say when to retry."""

    async def rehearse() -> None:
        errors = ApiErrors(status=429, pattern="GET /v9", after=1, count=2, retry_after_s=7)
        async with tiny_vercel(tmp_path, faults=VercelFaults(api_errors=errors)) as tiny:
            path = f"/v9/projects/{tiny.cloud.settings.project_id}"
            answers = [await tiny.api("GET", path) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
            assert answers[1].headers["retry-after"] == "7"
            assert (await tiny.api("GET", "/v2/user")).status_code == 200

    asyncio.run(rehearse())


def test_api_goes_down_at_an_event(tmp_path: Path) -> None:
    """The API is down from the first event of a kind that a request has caused; users are still served."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            await tiny.first()
            tiny.cloud.faults = VercelFaults(api_down_after=Kind.LIVE)
            deployment = await tiny.deploy()
            assert (await tiny.move("promote", deployment)).status_code == 201
            assert (await tiny.api("GET", "/v2/user")).status_code == 503
            assert await tiny.version() == NEW

    asyncio.run(rehearse())


def test_rolling_release_is_told(tmp_path: Path) -> None:
    """A project with a rolling release says so, and that no stage of it is active."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            path = f"/v1/projects/{tiny.cloud.settings.project_id}/rolling-release"
            assert (await tiny.project())["rollingRelease"] is None
            assert (await tiny.api("GET", path)).status_code == 404
            tiny.cloud.faults = VercelFaults(rolling_release=True)
            assert (await tiny.project())["rollingRelease"]
            assert (await tiny.api("GET", path)).json()["rollingRelease"]["activeStage"] is None

    asyncio.run(rehearse())


def test_a_paused_project_serves_nobody(tmp_path: Path) -> None:
    """A paused project says so, and its domain does not answer."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path) as tiny:
            await tiny.first()
            await tiny.cloud.pause()
            assert (await tiny.project())["paused"] is True
            assert (await tiny.client.get(tiny.edge.url)).status_code == 502

    asyncio.run(rehearse())


def test_what_the_caller_raises_stays_as_it_is(tmp_path: Path) -> None:
    """An error within the cloud's block reaches the caller as the same error."""

    async def rehearse() -> None:
        async with tiny_vercel(tmp_path):
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        asyncio.run(rehearse())


def routes() -> Iterator[tuple[list[dict[str, Any]], str, int | None, str | None]]:
    """Give routes, a path, and the status and file that follow from them."""
    rewrite: dict[str, Any] = {"src": "/(.*)", "dest": "/pages/$1"}
    yield [], "/version", None, "version"
    yield [], "/nothing", 404, None
    yield [{"handle": "rewrite"}, rewrite], "/one", None, "pages/one"
    yield [{"handle": "rewrite"}, rewrite], "/version", None, "version"  # files come before rewrites
    yield [rewrite], "/one", None, "pages/one"
    yield [{"src": "/old", "status": 308, "headers": {"Location": "/new"}}], "/old", 308, None
    yield [{"handle": "error"}, {"src": "/.*", "status": 404, "dest": "/lost"}], "/nothing", 404, "lost"
    yield [{"src": "/one", "methods": ["POST"], "dest": "/version"}], "/one", 404, None
    yield [], "/../config.json", 404, None


@pytest.mark.parametrize(("table", "path", "status", "file"), list(routes()))
def test_routes(tmp_path: Path, table: list[dict[str, Any]], path: str, status: int | None, file: str | None) -> None:
    """Routes are followed in the phases of the Build Output API, and no path leaves the static files."""
    output = write_output(tmp_path, NEW, routes=table)
    for name in ("pages/one", "lost"):
        (output / "static" / name).parent.mkdir(exist_ok=True)
        (output / "static" / name).write_text(name)
    found = Output(output).find("GET", path)
    assert found.status == status
    assert found.file == (output / "static" / file if file else None)


@pytest.mark.parametrize("config", ["", "{}", '{"version": 2}', '{"version": 3, "routes": [{"src": "("}]}'])
def test_a_broken_output_is_refused(tmp_path: Path, config: str) -> None:
    """A config.json that is not one, or of another version, or with a broken route, is refused."""
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(BadOutputError):
        Output(tmp_path)


def test_no_scaled_time_is_below_its_floor() -> None:
    """Scaled times are the platform's own times the factor, and never less than real processes need."""
    nothing, tenth, whole = (VercelTimes().scaled(factor) for factor in (0.0, 0.1, 1.0))
    assert whole == VercelTimes()
    assert tenth.build_s == pytest.approx(VercelTimes().build_s / 10)
    assert nothing.function_start_limit_s >= 5
    assert all(value > 0 for value in dataclasses.asdict(nothing).values())
