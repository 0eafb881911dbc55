"""release.yml, run as it is by act against an emulated Render and an emulated Vercel, with the real Vercel CLI."""

from pathlib import Path

import pytest

from scripts.rehearsal.changes import harmless
from scripts.rehearsal.clouds.render import Trigger
from scripts.rehearsal.clouds.vercel import Job
from scripts.report import Result
from tests.workflows.act import Machine, Run
from tests.workflows.pushes import CHECKS, REASON, dispatch, fails_a_fifth, find_leaks, push, read_result
from tests.workflows.scenes import play_on_both
from tests.workflows.tiny_on_both import ON_BOTH, Both, missing
from tests.workflows.tiny_release import SERVICE_FILE, our_blobs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.skipif(bool(missing()), reason=missing())]
ON_VERCEL = {"SLIPWAY_TARGETS": "vercel"}
WELL = {"rollback": "success"}
FORM = {"target": "all", "to": "", "reason": REASON, "dry-run": "false"}


def test_good_commit_is_released_on_both(machine: Machine, wheels: Path) -> None:
    """A good commit is built, deployed to both, verified, promoted on Vercel by one request, and proven on both."""

    async def scene(both: Both, machine: Machine) -> None:
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

    play_on_both(machine, wheels, scene)


def test_bad_commit_goes_back_on_both(machine: Machine, wheels: Path) -> None:
    """A commit that fails a fifth of its requests is given to users, seen in bake, and goes back on both as one."""

    async def scene(both: Both, machine: Machine) -> None:
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

    play_on_both(machine, wheels, scene)


def forgets_its_commit(source: str) -> str:
    """Make the function name no commit; nothing that the checks look at."""
    baked = "BAKED.read_text().strip() if BAKED.is_file() else "
    assert baked in source
    return source.replace(baked, "")


def test_failed_build_touches_neither(machine: Machine, wheels: Path) -> None:
    """Where what was built does not answer with its commit, no job with secrets begins: neither platform is asked."""

    async def scene(both: Both, machine: Machine) -> None:
        tiny, asked = both.tiny, len(both.vercel.requests)
        commit = await tiny.commit(SERVICE_FILE, forgets_its_commit)
        run = await push(tiny, machine, commit, secrets=both.secrets, variables=ON_BOTH)
        assert run.jobs == {**CHECKS, "build": "failure"}
        assert run.exit_statuses("build") == ["exit status 10"]
        assert (both.serving, tiny.asked_for) == ((tiny.baseline, tiny.baseline), [])
        assert (len(both.vercel.requests), run.left_running) == (asked, [])

    play_on_both(machine, wheels, scene)


def test_vercel_alone(machine: Machine, wheels: Path) -> None:
    """Where Vercel is the only target, Render is neither asked for a deploy nor for what it serves."""

    async def scene(both: Both, machine: Machine) -> None:
        commit = await both.tiny.commit(SERVICE_FILE, harmless)
        secrets = {name: value for name, value in both.secrets.items() if name.startswith("VERCEL_")}
        run = await push(both.tiny, machine, commit, secrets=secrets, variables=ON_VERCEL)
        assert run.jobs == {**CHECKS, "build": "success", "release": "success"}
        assert both.serving == (both.tiny.baseline, commit)
        assert both.tiny.asked_for == []
        assert read_result(machine) == Result.ROLLED_OUT

    play_on_both(machine, wheels, scene)


def test_rollbacks_by_hand_on_both(machine: Machine, wheels: Path) -> None:
    """By hand one target goes back to a deploy id, then all to one commit, where the first one is only proven."""

    async def scene(both: Both, machine: Machine) -> None:
        tiny, old = both.tiny, both.tiny.baseline
        commit = await tiny.commit(SERVICE_FILE, harmless)
        run = await push(tiny, machine, commit, secrets=both.secrets, variables=ON_BOTH)
        assert (run.exit_code, both.serving) == (0, (commit, commit))
        first = both.vercel.deployments[0].id

        async def by_hand(name: str, **inputs: str) -> Run:
            form = {**FORM, **{key.replace("_", "-"): value for key, value in inputs.items()}}
            again = machine.again(name)
            return await dispatch(tiny, again, "rollback.yml", form, secrets=both.secrets, variables=ON_BOTH)

        assert ((await by_hand("dry", dry_run="true")).jobs, both.serving) == (WELL, (commit, commit))
        assert ((await by_hand("one", target="vercel", to=first)).jobs, both.serving) == (WELL, (commit, old))
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit)]
        assert ((await by_hand("all")).jobs, both.serving) == (WELL, (old, old))
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit), (Trigger.ROLLBACK, old)]
        assert [(job.kind, job.to_id) for job in both.vercel.jobs if job.kind is Job.ROLLBACK] == [
            (Job.ROLLBACK, first)
        ]
        assert read_result(machine.again("all"), "rollback-1") == Result.ROLLED_BACK

    play_on_both(machine, wheels, scene)
