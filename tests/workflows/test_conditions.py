"""What runs after which failure: the files' own needs and conditions, evaluated by act, with the work taken out.

Here even the called workflow is one plain job, because act ends a run whose called workflow failed, where GitHub goes
on to jobs with `always()`. A cancel cannot be tried: act begins no job after one.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from scripts.rehearsal.supervisor import SYSTEM_PATH
from tests.workflows.act import Event, Machine, Run, find_processes, run_event
from tests.workflows.hollow import WORKFLOWS, Fates, hollow, read_jobs, read_workflow, step_name

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0" * 40
PUSH = {"ref": "refs/heads/main", "after": COMMIT, "deleted": False}
FORWARD = ["Plan", "Keep the baseline", "Deploy", "Verify", "Promote", "Bake"]
PUSHED: Mapping[str, str] = MappingProxyType({})  # a push has no inputs
CHECKS = sorted({*read_jobs("checks.yml")} - {"required"})
CLI, FETCH = "./.github/actions/vercel-cli", "Fetch the build"
ALWAYS = ["Report", "Keep the journal"]


@dataclass(frozen=True)
class World:
    """What a job's condition may look at, as it may have come about; act can neither cancel a run nor a job."""

    targets: str
    checks: str
    build: str
    cancelled: bool = False

    def substitute(self, condition: str) -> str:
        """Write this world's values into a condition.

        Raises:
            LookupError: the condition does not look at one of them.
        """
        values = {
            "vars.SLIPWAY_TARGETS": f"'{self.targets}'",
            "needs.checks.result": f"'{self.checks}'",
            "needs.build.result": f"'{self.build}'",
            "cancelled()": str(self.cancelled).lower(),
        }
        for name, value in values.items():
            if name not in condition:
                raise LookupError(f"{name} is not in {condition}")
            condition = condition.replace(name, value)
        return condition


def run_hollow(
    folder: Path, name: str, fates: Fates, *, targets: str = "render", inputs: Mapping[str, str] = PUSHED
) -> Run:
    """Run a workflow with the work taken out: on a push, or by hand where there are inputs."""
    return run_hollowed(folder, hollow(read_workflow(WORKFLOWS / name), fates), targets=targets, inputs=inputs)


def run_hollowed(folder: Path, workflow: Mapping[str, Any], *, targets: str, inputs: Mapping[str, str] = PUSHED) -> Run:
    """Run a workflow that has no work in it: on a push, or by hand where there are inputs."""
    path = folder / "repository" / ".github" / "workflows" / "hollow.yml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(workflow))
    ours = {"PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}", "PYTHONPATH": str(ROOT)}  # for a step that is real
    machine = Machine(folder / "machine", folder, folder, ours)
    variables = {"SLIPWAY_TARGETS": targets} if targets else {}
    name, payload = ("workflow_dispatch", {"inputs": dict(inputs)}) if inputs else ("push", PUSH)
    event = Event(name, payload, variables=variables)
    return asyncio.run(run_event(machine, folder / "repository", event))


def run_release(folder: Path, *failing: str, targets: str = "render") -> Run:
    """Run release.yml with steps that fail."""
    return run_hollow(folder, "release.yml", Fates(failing={*failing}), targets=targets)


def test_all_well(tmp_path: Path) -> None:
    """After a release that passes there is no rollback and no recovery; without Vercel, nothing of Vercel's."""
    run = run_release(tmp_path)
    assert run.jobs == {"commit": "success", "checks": "success", "release": "success"}
    assert [*run.steps("release")][-8:] == [*FORWARD, *ALWAYS]
    assert not {CLI, FETCH} & {*run.steps("release")}


@pytest.mark.parametrize("targets", ["vercel", "render,vercel"])
def test_with_vercel_there_is_a_build(tmp_path: Path, targets: str) -> None:
    """Where Vercel is a target, the build comes between checks and release, which fetches it and has the CLI."""
    run = run_release(tmp_path, targets=targets)
    assert run.jobs == {"commit": "success", "checks": "success", "build": "success", "release": "success"}
    assert [*run.steps("release")][-10:] == [CLI, FETCH, *FORWARD, *ALWAYS]


@pytest.mark.parametrize("step", ["Build", "Keep the build"])
def test_failed_build_touches_nothing(tmp_path: Path, step: str) -> None:
    """After a failed build, or one that was not kept, neither the release nor its recovery begins."""
    assert run_release(tmp_path, step, targets="render,vercel").jobs == {
        "commit": "success",
        "checks": "success",
        "build": "failure",
    }


@pytest.mark.parametrize("step", [CLI, FETCH])
def test_what_vercel_needs_is_there_before_anything_changes(tmp_path: Path, step: str) -> None:
    """Without the CLI or the build no target is planned, none is deployed to, and nothing has to be recovered."""
    run = run_release(tmp_path, f"release: {step}", targets="render,vercel")
    assert run.jobs == {"commit": "success", "checks": "success", "build": "success", "release": "failure"}
    assert not {*FORWARD} & {*run.steps("release")}


def test_recovery_does_without_the_cli(tmp_path: Path) -> None:
    """Where the CLI cannot be installed after a lost release, the recovery runs all the same."""
    run = run_release(tmp_path, "Bake", f"recover: {CLI}", targets="vercel")
    assert run.jobs == {
        "commit": "success",
        "checks": "success",
        "build": "success",
        "release": "failure",
        "recover": "success",
    }
    assert (run.steps("recover")[CLI], run.steps("recover")["Recover"]) == ("failure", "success")


ENDS = ("success", "failure", "cancelled", "skipped")
WORLDS = [
    World(targets, checks, build, cancelled)
    for targets in ("", "render", "vercel", "render,vercel")
    for checks in ENDS
    for build in ENDS
    for cancelled in (False, True)
]
BEGINS = {
    World("render", "success", "skipped"),
    World("vercel", "success", "success"),
    World("render,vercel", "success", "success"),
}


def test_release_begins_on_green_checks_and_the_build_its_targets_need(tmp_path: Path) -> None:
    """Of all ways in which checks and build may end, in a run that was cancelled or not, one per target starts it."""
    condition = read_jobs("release.yml")["release"]["if"]
    steps = [{"run": "true"}]
    jobs = {
        f"world-{number}": {"if": world.substitute(condition), "runs-on": "ubuntu-24.04", "steps": steps}
        for number, world in enumerate(WORLDS)
    }
    begun = run_hollowed(tmp_path, {"name": "Worlds", "on": "push", "jobs": jobs}, targets="").jobs
    assert {world for number, world in enumerate(WORLDS) if f"world-{number}" in begun} == BEGINS


@pytest.mark.parametrize("stage", ["Deploy", "Verify", "Promote", "Bake"])
def test_a_failed_stage_is_rolled_back_and_recovered(tmp_path: Path, stage: str) -> None:
    """Once the deploy has begun, a failure ends the way forward, begins the rollback, and another job makes sure."""
    run = run_release(tmp_path, stage)
    assert run.jobs == {"commit": "success", "checks": "success", "release": "failure", "recover": "success"}
    begun = FORWARD[: FORWARD.index(stage) + 1]
    assert [*run.steps("release")][-len(begun) - 3 :] == [*begun, "Roll back", *ALWAYS]


@pytest.mark.parametrize("stage", ["Plan", "Keep the baseline"])
def test_nothing_is_recovered_where_nothing_changed(tmp_path: Path, stage: str) -> None:
    """A release that ended before its deploy began changed nothing, so no second job wakes anybody."""
    run = run_release(tmp_path, stage)
    assert run.jobs == {"commit": "success", "checks": "success", "release": "failure"}
    assert "Deploy" not in run.steps("release")


@pytest.mark.parametrize("failing", [{"Bake", "Roll back"}, {"Bake", "Keep the journal"}, {"Bake", "Report"}])
def test_recovery_follows_whatever_else_fails(tmp_path: Path, failing: set[str]) -> None:
    """A failed rollback, report or upload does not keep the second job from looking at production."""
    run = run_release(tmp_path, *failing)
    assert run.jobs["release"] == "failure"
    assert run.steps("recover")["Recover"] == "success"
    assert {*ALWAYS} <= {*run.steps("release")}


@pytest.mark.parametrize("step", ["release: Report", "release: Keep the journal"])
def test_what_is_proven_is_not_recovered(tmp_path: Path, step: str) -> None:
    """A release whose bake has passed stays, also where its report or its journal could not be kept."""
    run = run_release(tmp_path, step)
    assert run.jobs == {"commit": "success", "checks": "success", "release": "failure"}


def test_recovery_does_without_a_journal(tmp_path: Path) -> None:
    """Where the journal cannot be fetched, the recovery runs all the same, and says what is missing."""
    run = run_release(tmp_path, "Bake", "Fetch what was kept")
    assert run.steps("recover")["Recover"] == "success"


def test_unknown_commit_ends_it(tmp_path: Path) -> None:
    """Where the commit that is to be released is none of main's, nothing of it is even checked."""
    assert run_release(tmp_path, "Resolve").jobs == {"commit": "failure"}


@pytest.mark.parametrize("targets", ["", "render"])
def test_doctor_is_all_that_it_runs(tmp_path: Path, targets: str) -> None:
    """By hand with the mode doctor the accounts are looked at, also before any target is set, and nothing else runs."""
    run = run_hollow(tmp_path, "release.yml", Fates(), targets=targets, inputs={"mode": "doctor"})
    assert run.jobs == {"doctor": "success"}


def test_release_by_hand(tmp_path: Path) -> None:
    """By hand with the mode release the run is that of a push."""
    run = run_hollow(tmp_path, "release.yml", Fates(), inputs={"mode": "release", "commit": "", "again": "false"})
    assert run.jobs == {"commit": "success", "checks": "success", "release": "success"}


def test_red_checks_end_it(tmp_path: Path) -> None:
    """After red checks neither the release nor its recovery begins."""
    assert run_release(tmp_path, "checks").jobs == {"commit": "success", "checks": "failure"}


def test_no_targets_end_it(tmp_path: Path) -> None:
    """Without the variable that names the targets nothing runs at all."""
    assert run_release(tmp_path, targets="").jobs == {}


def run_required(folder: Path, failing: set[str], skipped: set[str]) -> str:
    """Run checks.yml with jobs that fail or are skipped, and only the required one real; say how that one ended."""
    jobs = read_jobs("checks.yml")
    steps = {job: [step for step in jobs[job]["steps"] if "if" not in step] for job in failing}
    last_steps = {f"{job}: {step_name(each[-1])}" for job, each in steps.items()}
    real = {f"required: {step_name(jobs['required']['steps'][-1])}"}
    return run_hollow(folder, "checks.yml", Fates(last_steps, real, skipped)).jobs["required"]


@pytest.mark.parametrize("job", CHECKS)
def test_required_is_red_with_any_other_job(tmp_path: Path, job: str) -> None:
    """The required check runs and fails when any other job failed, and also when one was only skipped."""
    assert run_required(tmp_path / "failed", {job}, set()) == "failure"
    assert run_required(tmp_path / "skipped", set(), {job}) == "failure"


def test_nothing_outlives_a_run_that_is_given_up(tmp_path: Path) -> None:
    """When act is stopped in the middle, the step that ran is gone too, and what it started, however stubborn."""
    if not Path("/proc").is_dir():
        pytest.skip("without /proc nothing of this can be seen")
    path = tmp_path / "repository" / ".github" / "workflows" / "endless.yml"
    path.parent.mkdir(parents=True)
    script = "(trap '' HUP INT TERM; touch \"$ARTIFACTS/begun\"; sleep 1000) & sleep 1000"
    job = {"runs-on": "ubuntu-24.04", "steps": [{"run": script}]}
    path.write_text(yaml.safe_dump({"name": "Endless", "on": "push", "jobs": {"endless": job}}))
    machine = Machine(tmp_path / "machine", tmp_path, tmp_path)

    async def give_up() -> int:
        running = asyncio.ensure_future(run_event(machine, tmp_path / "repository", Event("push", PUSH)))
        async with asyncio.timeout(20):
            while not (machine.artifacts / "begun").exists():  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.05)
        before = len(find_processes(machine))
        running.cancel()
        await asyncio.wait({running})
        return before

    assert asyncio.run(give_up()) > 2  # act, the step's shell, what that one started
    assert find_processes(machine) == []


def test_required_is_green_with_all_others(tmp_path: Path) -> None:
    """The required check passes when every other job did."""
    assert run_required(tmp_path, set(), set()) == "success"
