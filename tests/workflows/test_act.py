"""The workflow files, run as they are by act against an emulated Render, and judged by what that platform saw.

act masks nothing here, so a secret that a step prints would be seen. There is no network but the loopback.
"""

import functools
import socket
from pathlib import Path

import pytest

from scripts.__main__ import read_installed, read_pins
from scripts.rehearsal.changes import Change, harmless
from scripts.rehearsal.clouds.render import Trigger
from scripts.rehearsal.clouds.render_values import AutoDeploy
from scripts.report import Result
from tests.workflows.act import MASK, Machine, cancel_run, step_begun
from tests.workflows.cut_off import may_be_cut_off, play_cut_off
from tests.workflows.pushes import (
    CHECKS,
    GREEN,
    RELEASE_LOCK,
    breaks_a_lint_rule,
    dispatch,
    fails_a_fifth,
    fails_its_test,
    find_leaks,
    propose,
    push,
    read_result,
    title,
)
from tests.workflows.scenes import play
from tests.workflows.tiny_release import API_KEY, HOOK_KEY, SERVICE_FILE, TEST_FILE, Tiny, our_blobs


def test_there_is_no_network() -> None:
    """A scene can call nobody but its own machine, where the kernel allows that it is cut off."""

    def scene() -> None:
        with pytest.raises(OSError, match="unreachable"):
            socket.create_connection(("192.0.2.1", 80), timeout=2)

    if not may_be_cut_off():
        pytest.skip("no network namespace can be made here: the scenes run with the network of this machine")
    play_cut_off(scene)


def test_jobs_with_secrets_have_the_release_lock_only(python_beside_secrets: Path) -> None:
    """What the runs below show of a release, they show without the service's packages and without test tools."""
    (packages,) = python_beside_secrets.parent.glob("lib/python*/site-packages")
    assert {*read_installed([str(packages)])} - {"pip"} == {*read_pins([RELEASE_LOCK.read_text()])}


@pytest.mark.slow
def test_good_commit_is_released(machine: Machine) -> None:
    """A push of a good commit is checked, deployed by one call of the hook, proven, reported and journaled."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        commit = await tiny.commit(SERVICE_FILE, harmless)
        run = await push(tiny, machine, commit)
        assert await tiny.blobs(commit) == our_blobs()
        assert run.jobs == {**CHECKS, "release": "success"}
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit)]
        assert tiny.cloud.serving_commit == commit
        assert read_result(machine) == Result.ROLLED_OUT
        assert run.commands("summary", "release")[-1].startswith(title(Result.ROLLED_OUT, commit, tiny.baseline))
        assert run.commands("add-path", "release") == [str(machine.python_beside_secrets)] * 2
        assert HOOK_KEY in run.commands(MASK, "release")
        assert (run.exit_code, run.left_running, find_leaks(machine, run)) == (0, [], [])

    play(machine, scene)


def test_bad_commit_is_rolled_back(machine: Machine) -> None:
    """A commit that fails a fifth of its requests goes back by one rollback, which the second job proves again."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        commit = await tiny.commit(SERVICE_FILE, fails_a_fifth)
        run = await push(tiny, machine, commit)
        assert run.jobs == {**CHECKS, "release": "failure", "recover": "success"}
        assert run.steps("release")["Roll back"] == "success"
        assert run.steps("recover")["Recover"] == "success"
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit), (Trigger.ROLLBACK, tiny.baseline)]
        assert tiny.cloud.serving_commit == tiny.baseline
        assert tiny.cloud.service.auto_deploy is AutoDeploy.OFF
        assert read_result(machine) == Result.ROLLED_BACK
        for job in ("release", "recover"):
            assert run.commands("summary", job)[-1].startswith(title(Result.ROLLED_BACK, commit, tiny.baseline))
        assert (run.exit_code, run.left_running, find_leaks(machine, run)) == (1, [], [])

    play(machine, scene)


@pytest.mark.slow
def test_red_checks_release_nothing(machine: Machine) -> None:
    """Where a test fails, no job that has secrets begins, and the platform is asked for nothing."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        run = await push(tiny, machine, await tiny.commit(TEST_FILE, fails_its_test))
        red = {job: result for job, result in run.jobs.items() if result != "success"}
        assert red == {"unit": "failure", "required": "failure"}
        assert not {"build", "release", "recover"} & {*run.jobs}
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([], tiny.baseline)

    play(machine, scene)


@pytest.mark.slow
def test_without_targets_nothing_is_released(machine: Machine) -> None:
    """In a fresh copy of the template, where no variable names a target, a push runs nothing at all."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        run = await push(tiny, machine, await tiny.commit(SERVICE_FILE, harmless), variables={})
        assert (run.exit_code, run.jobs) == (0, {})
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([], tiny.baseline)

    play(machine, scene)


@pytest.mark.slow
def test_missing_secret_is_named(machine: Machine) -> None:
    """Without the deploy hook the plan ends with 2 and says its name; nothing is deployed, and nothing is recovered."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        commit = await tiny.commit(SERVICE_FILE, harmless)
        run = await push(tiny, machine, commit, secrets={"RENDER_API_KEY": API_KEY})
        assert run.jobs == {**CHECKS, "release": "failure"}
        assert (run.steps("release")["Plan"], run.exit_statuses("release")[0]) == ("failure", "exit status 2")
        assert "RENDER_DEPLOY_HOOK_URL" in run.commands("error", "release")[0]
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([], tiny.baseline)
        assert find_leaks(machine, run) == []

    play(machine, scene)


@pytest.mark.slow
def test_cancelled_release_goes_back(machine: Machine) -> None:
    """A run that is cancelled in the bake puts production back on the commit that served, in a step of the same job."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        commit = await tiny.commit(SERVICE_FILE, harmless)
        run = await push(tiny, machine, commit, functools.partial(cancel_run, machine, "Bake"))
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, commit), (Trigger.ROLLBACK, tiny.baseline)]
        assert tiny.cloud.serving_commit == tiny.baseline
        assert run.steps("release")["Bake"] != "success"
        assert run.steps("release")["Roll back"] == "success"
        assert read_result(machine) == Result.ROLLED_BACK
        assert (run.left_running, find_leaks(machine, run)) == ([], [])

    play(machine, scene)


@pytest.mark.slow
def test_superseded_run_stops(machine: Machine) -> None:
    """Where a person ships another commit during the bake, their commit stands: the run takes nothing back."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        theirs = await tiny.commit(SERVICE_FILE, harmless)
        ours = await tiny.commit(SERVICE_FILE, harmless)

        async def ship_theirs(_: int) -> None:
            await step_begun(machine, "Bake")
            tiny.cloud.service.request(await tiny.cloud.service.find_commit(theirs), Trigger.MANUAL)

        run = await push(tiny, machine, ours, ship_theirs)
        assert run.jobs["release"] == "failure"
        assert run.exit_statuses("release")[0] == "exit status 10"
        assert tiny.asked_for == [(Trigger.DEPLOY_HOOK, ours), (Trigger.MANUAL, theirs)]
        assert tiny.cloud.serving_commit == theirs
        assert read_result(machine) == Result.SUPERSEDED

    play(machine, scene)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "red"),
    [(SERVICE_FILE, harmless, set()), (SERVICE_FILE, breaks_a_lint_rule, {"lint", "required"})],
    ids=["green", "red"],
)
def test_pull_request_is_judged_by_one_check(machine: Machine, name: str, change: Change, red: set[str]) -> None:
    """On a pull request the checks run, the required one is red as soon as another is, and nothing else begins."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        run = await propose(tiny, machine, await tiny.commit(name, change))
        assert run.jobs == {job: "failure" if job in red else "success" for job in GREEN}
        assert (tiny.asked_for, find_leaks(machine, run)) == ([], [])

    play(machine, scene)


@pytest.mark.slow
def test_doctor_looks_and_changes_nothing(machine: Machine) -> None:
    """By hand with the mode doctor both environments' accounts are looked at; what is wrong here is said, and red.

    Here auto-deploy is on, and the service is connected to a folder of this machine.
    """

    async def scene(tiny: Tiny, machine: Machine) -> None:
        run = await dispatch(tiny, machine, "release.yml", {"mode": "doctor", "commit": "", "again": "false"})
        assert (run.jobs, run.exit_statuses("doctor")) == ({"doctor": "failure"}, ["exit status 10"] * 2)
        told = "".join(run.commands("summary", "doctor"))
        assert all(f"in the environment {name}: 2 of" in told for name in ("production", "production-rollback"))
        assert all(told.count(f"| **fail** | render | {name} ") == 2 for name in ("auto-deploy", "repository"))
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([], tiny.baseline)
        assert (run.left_running, find_leaks(machine, run)) == ([], [])

    play(machine, scene)


@pytest.mark.slow
def test_release_by_hand_of_an_older_commit(machine: Machine) -> None:
    """By hand an older commit of main is checked, deployed and proven, while the pipeline's code is main's own."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        older = await tiny.commit(SERVICE_FILE, harmless)
        await tiny.commit(TEST_FILE, fails_its_test)
        form = {"mode": "release", "commit": older[:12], "again": "false"}
        run = await dispatch(tiny, machine, "release.yml", form)
        assert run.jobs == {**CHECKS, "release": "success"}
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([(Trigger.DEPLOY_HOOK, older)], older)
        assert read_result(machine) == Result.ROLLED_OUT

    play(machine, scene)


@pytest.mark.slow
def test_refresh_finds_nothing_newer(machine: Machine) -> None:
    """Where the index has nothing newer, the locks stay as they are and no pull request is asked for."""

    async def scene(tiny: Tiny, machine: Machine) -> None:
        run = await dispatch(tiny, machine, "refresh-lock.yml", {})
        assert (run.exit_code, run.jobs) == (0, {"refresh": "success", "propose": "success"})
        locks = machine.artifacts / "locks"
        assert (locks / "scripts" / "requirements.txt").read_bytes() == RELEASE_LOCK.read_bytes()
        assert (locks / "newer-pins.md").is_file()

    play(machine, scene)
