"""release.yml, run as it is by act against an emulated Render and an emulated Vercel, with the real Vercel CLI."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scripts.rehearsal.clone import harmless
from scripts.rehearsal.clouds.render import Trigger
from scripts.rehearsal.clouds.vercel import Job
from scripts.report import Result
from tests.workflows.act import Machine
from tests.workflows.pushes import CHECKS, fails_a_fifth, find_leaks, push, read_result
from tests.workflows.tiny_on_both import ON_BOTH, Both, missing, tiny_on_both, with_node
from tests.workflows.tiny_release import SERVICE_FILE, our_blobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.skipif(bool(missing()), reason=missing())]


def play(folder: Path, scene: Callable[[Both], Awaitable[None]]) -> None:
    """Play a scene with both platforms up."""

    async def whole() -> None:
        async with tiny_on_both(folder) as both:
            await scene(both)

    asyncio.run(whole())


def test_good_commit_is_released_on_both(tmp_path: Path, machine: Machine) -> None:
    """A good commit is built, deployed to both, verified, promoted on Vercel by one request, and proven on both."""
    machine = with_node(machine)

    async def scene(both: Both) -> None:
        commit = await both.tiny.commit(SERVICE_FILE, harmless)
        run = await push(both.tiny, machine, commit, secrets=both.secrets, variables=ON_BOTH)
        assert await both.tiny.blobs(commit) == our_blobs()
        assert run.jobs == {**CHECKS, "build": "success", "release": "success"}
        assert both.serving == (commit, commit)
        assert both.tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit)]
        assert [(job.kind, job.to_id) for job in both.vercel.jobs] == [(Job.PROMOTE, both.vercel.deployments[-1].id)]
        assert (len(both.vercel.deployments), both.vercel.unknown_requests) == (2, ())
        assert read_result(machine) == Result.ROLLED_OUT
        assert (run.exit_code, run.left_running, find_leaks(machine, run)) == (0, [], [])

    play(tmp_path, scene)


def test_bad_commit_goes_back_on_both(tmp_path: Path, machine: Machine) -> None:
    """A commit that fails a fifth of its requests is given to users, seen in bake, and goes back on both as one."""
    machine = with_node(machine)

    async def scene(both: Both) -> None:
        tiny = both.tiny
        commit = await tiny.commit(SERVICE_FILE, fails_a_fifth)
        run = await push(tiny, machine, commit, secrets=both.secrets, variables=ON_BOTH)
        assert run.jobs == {**CHECKS, "build": "success", "release": "failure", "recover": "success"}
        assert both.serving == (tiny.baseline, tiny.baseline)
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit), (Trigger.ROLLBACK, tiny.baseline)]
        old, new = both.vercel.deployments
        moves = [(job.kind, job.to_id) for job in both.vercel.jobs]
        assert moves == [(Job.PROMOTE, new.id), (Job.ROLLBACK, old.id)]
        assert (new.commit, both.vercel.pinned, both.vercel.unknown_requests) == (commit, True, ())
        assert read_result(machine) == Result.ROLLED_BACK
        assert (run.exit_code, run.left_running, find_leaks(machine, run)) == (1, [], [])

    play(tmp_path, scene)


def forgets_its_commit(source: str) -> str:
    """Make the function name no commit; nothing that the checks look at."""
    baked = "BAKED.read_text().strip() if BAKED.is_file() else "
    assert baked in source
    return source.replace(baked, "")


def test_failed_build_touches_neither(tmp_path: Path, machine: Machine) -> None:
    """Where what was built does not answer with its commit, no job with secrets begins: neither platform is asked."""
    machine = with_node(machine)

    async def scene(both: Both) -> None:
        tiny, asked = both.tiny, len(both.vercel.requests)
        commit = await tiny.commit(SERVICE_FILE, forgets_its_commit)
        run = await push(tiny, machine, commit, secrets=both.secrets, variables=ON_BOTH)
        assert run.jobs == {**CHECKS, "build": "failure"}
        assert run.exit_statuses("build") == ["exit status 10"]
        assert (both.serving, tiny.asked_for) == ((tiny.baseline, tiny.baseline), [])
        assert (len(both.vercel.requests), run.left_running) == (asked, [])

    play(tmp_path, scene)
