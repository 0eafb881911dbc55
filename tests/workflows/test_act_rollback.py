"""rollback.yml, run as it is by act against an emulated Render: by hand, also while main is broken."""

import pytest

from scripts.rehearsal.changes import harmless
from scripts.rehearsal.clouds.render import Trigger
from scripts.rehearsal.clouds.render_values import AutoDeploy
from scripts.report import Result
from tests.workflows.act import Machine, Run
from tests.workflows.pushes import REASON, find_leaks, read_result, roll_back
from tests.workflows.scenes import play
from tests.workflows.tiny_release import SERVICE_FILE, Tiny

KEPT = "rollback-1"
WELL, BADLY = {"rollback": "success"}, {"rollback": "failure"}


async def release(tiny: Tiny) -> str:
    """Bring a new commit up, as a release before did; give it."""
    commit = await tiny.commit(SERVICE_FILE, harmless)
    service = tiny.cloud.service
    deploy = service.request(await service.find_commit(commit), Trigger.DEPLOY_HOOK)
    await tiny.cloud.ended(deploy.id)
    assert tiny.cloud.serving_commit == commit
    return commit


async def break_main(tiny: Tiny) -> None:
    """Merge a service that cannot start and a lock that nobody can install."""
    await tiny.commit(SERVICE_FILE, lambda _: "this is no Python\n")
    await tiny.commit("requirements.txt", lambda _: "nothing==that-exists\n")


def says(run: Run, text: str) -> bool:
    """Tell whether the step summary has a text."""
    return any(text in summary for summary in run.commands("summary", "rollback"))


def test_goes_back_while_main_is_broken(machine: Machine) -> None:
    """With app and lock broken on main, a dry run says what would be done, and the next run does it and proves it."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        commit = await release(tiny)
        await break_main(tiny)
        dry = await roll_back(tiny, machine.again("dry"), dry_run="true")
        assert (dry.jobs, tiny.asked_for) == (WELL, [(Trigger.DEPLOY_HOOK, commit)])
        assert says(dry, "## Dry run: nothing was changed\n\n- because nektos/act asked for it: ")
        assert says(dry, f"go back from {commit[:7]}")
        assert not says(dry, REASON)
        assert "Report" not in dry.steps("rollback")

        run = await roll_back(tiny, machine)
        assert run.jobs == WELL
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit), (Trigger.ROLLBACK, tiny.baseline)]
        assert (tiny.cloud.serving_commit, tiny.cloud.service.auto_deploy) == (tiny.baseline, AutoDeploy.OFF)
        assert read_result(machine, KEPT) == Result.ROLLED_BACK
        assert says(run, "nektos/act")  # who: what act calls the person
        assert not says(run, REASON)
        assert (run.exit_code, run.left_running, find_leaks(machine, run)) == (0, [], [])

    play(machine, scene)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["commit", "deploy"])
def test_goes_back_to_what_is_named(machine: Machine, kind: str) -> None:
    """A commit by its short id, or a deploy by its own, is gone back to where it has served, and nothing else."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        second = await release(tiny)
        deploy = tiny.cloud.deploys[-1].id
        await release(tiny)
        run = await roll_back(tiny, machine, target="render", to=second[:10] if kind == "commit" else deploy)
        assert (run.jobs, tiny.cloud.serving_commit) == (WELL, second)
        assert tiny.asked_for[-1] == (Trigger.ROLLBACK, second)
        assert says(run, second[:7])

    play(machine, scene)


@pytest.mark.slow
def test_what_cannot_be_gone_back_to_is_refused(machine: Machine) -> None:
    """What is unknown, never served here or was rolled back is refused; what is no longer kept ends as not proven."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        await release(tiny)
        bad = await release(tiny)
        gone = await roll_back(tiny, machine.again("gone"), to=tiny.cloud.deploys[0].id)
        assert (gone.jobs, gone.exit_statuses("rollback")[0]) == (BADLY, "exit status 13")
        assert tiny.cloud.serving_commit == bad
        assert read_result(machine.again("gone"), KEPT) == Result.STILL_BROKEN

        assert (await roll_back(tiny, machine.again("first"))).jobs == WELL
        serves, never = await release(tiny), await tiny.commit(SERVICE_FILE, harmless)
        asked = tiny.asked_for
        refused = {"bad": bad, "never": never, "unknown": "f" * 40, "nonsense": "--help", "no-deploy": "dep-nothing"}
        for name, to in refused.items():
            run = await roll_back(tiny, machine.again(name), to=to)
            assert (name, run.jobs, run.exit_statuses("rollback")[0]) == (name, BADLY, "exit status 2")
        assert (tiny.asked_for, tiny.cloud.serving_commit) == (asked, serves)

    play(machine, scene)


@pytest.mark.slow
@pytest.mark.parametrize("reason", ["", "   "])
def test_reason_is_required(machine: Machine, reason: str) -> None:
    """Without a reason nothing is changed."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        commit = await release(tiny)
        run = await roll_back(tiny, machine, reason=reason)
        assert (run.jobs, run.exit_statuses("rollback")[0]) == (BADLY, "exit status 2")
        assert tiny.cloud.serving_commit == commit

    play(machine, scene)
