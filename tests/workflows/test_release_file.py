"""release.yml as data: the order of its stages, what it waits for, and what is there beside the secrets."""

import tomllib
from typing import Any

import pytest

from scripts.building import BUILD_LIMIT_S
from scripts.config import PLACEHOLDER, TARGETS, Config, parse
from scripts.function import START_LIMIT_S
from scripts.gates.order import read_config
from scripts.release import STAGES, Stage
from scripts.stage import READ_S
from tests.workflows.hollow import ROOT, WORKFLOWS, read_jobs, read_workflow
from tests.workflows.rules import RELEASE_LOCK, File

LOOKS = 10  # at what a platform says, beside the deadlines, for each target
SETUP_S = 300  # checkout, Python, Node, and what is installed
CLI_ACTION = "./.github/actions/vercel-cli"
VERCEL_IS_A_TARGET = "contains(vars.SLIPWAY_TARGETS, 'vercel')"
WEBHOOK = "SLIPWAY_WEBHOOK_URL"
SECRETS = ("RENDER_DEPLOY_HOOK_URL", "RENDER_API_KEY", "VERCEL_TOKEN", "VERCEL_AUTOMATION_BYPASS_SECRET")


def test_checks_come_first_and_get_no_secrets() -> None:
    """Pull requests and releases call the same checks and hand them no secret; build and release wait for them."""
    calls = [read_jobs(name)["checks"] for name in ("pull-request.yml", "release.yml")]
    assert {call["uses"] for call in calls} == {"./.github/workflows/checks.yml"}
    assert not any("secrets" in call for call in calls)
    jobs = read_jobs("release.yml")
    needs = {name: jobs[name]["needs"] for name in ("checks", "build", "release", "recover")}
    assert needs == {
        "checks": "commit",
        "build": ["commit", "checks"],
        "release": ["commit", "checks", "build"],
        "recover": ["commit", "release"],
    }


def test_one_commit_is_checked_built_planned_and_recovered() -> None:
    """The full commit that the first job named is what every later one is told, and what each check checks out."""
    jobs, named = read_jobs("release.yml"), "${{ needs.commit.outputs.commit }}"
    assert jobs["checks"]["with"] == {"commit": named}
    for job in ("build", "release", "recover"):
        steps = [step for step in jobs[job]["steps"] if "--commit=" in step.get("run", "")]
        assert [step["env"]["COMMIT"] for step in steps] == [named]
    checks = read_jobs("checks.yml")
    checks.pop("required")  # it judges the others, by the workflow's own commit
    checkouts = [step for job in checks.values() for step in job["steps"] if "checkout@" in str(step)]
    assert {step["with"]["ref"] for step in checkouts} == {"${{ inputs.commit }}"}
    (resolve,) = [step for step in jobs["commit"]["steps"] if "run" in step]
    assert jobs["commit"]["outputs"] == {
        name: f"${{{{ steps.{resolve['id']}.outputs.{name} }}}}" for name in ("commit", "started_at")
    }


def test_code_beside_secrets_is_the_workflows_own() -> None:
    """Whatever commit is released, a job with secrets checks out the commit of the workflow, and its whole history."""
    for name in ("release.yml", "rollback.yml"):
        for job in File.read(WORKFLOWS / name).secret_jobs.values():
            (checkout,) = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
            assert not {"ref", "repository", "path"} & {*checkout["with"]}


def test_a_running_release_is_never_cancelled() -> None:
    """A newer run waits, the newest of those that wait goes next, and a doctor is none of them."""
    groups = {name: read_workflow(WORKFLOWS / name)["concurrency"] for name in ("release.yml", "rollback.yml")}
    assert not any(group["cancel-in-progress"] for group in groups.values())
    assert groups["release.yml"]["group"] == "${{ inputs.mode == 'doctor' && 'doctor' || 'release' }}"
    assert groups["rollback.yml"]["group"] == "${{ inputs.dry-run && 'rollback-dry-run' || 'rollback' }}"
    assert read_workflow(WORKFLOWS / "pull-request.yml")["concurrency"]["cancel-in-progress"] is True


def test_doctor_looks_at_both_environments() -> None:
    """The doctor sees what each environment that releases or rolls back gives it, and is the whole run."""
    jobs = read_jobs("release.yml")
    used = {environment_of(job) for name, job in jobs.items() if "environment" in job and name != "doctor"}
    assert set(jobs["doctor"]["strategy"]["matrix"]["environment"]) == used
    assert jobs["doctor"]["if"] == "inputs.mode == 'doctor'"
    assert jobs["commit"]["if"] == "inputs.mode != 'doctor' && vars.SLIPWAY_TARGETS != ''"
    assert environment_of(read_jobs("rollback.yml")["rollback"]) == "production-rollback"


def environment_of(job: dict[str, Any]) -> str:
    """Give the name of a job's environment."""
    environment = job["environment"]
    return str(environment["name"] if isinstance(environment, dict) else environment)


def test_release_runs_the_stages_in_order() -> None:
    """The steps are the stages in their order, then the rollback, then the report."""
    commands = [step["run"] for step in read_jobs("release.yml")["release"]["steps"] if "run" in step]
    stages = (*STAGES, Stage.ROLLBACK, Stage.REPORT)
    assert [command.split()[:5] for command in commands] == [
        f"exec python -m scripts {stage}".split() for stage in stages
    ]


def test_baseline_is_kept_before_anything_changes() -> None:
    """The baseline is kept between plan and deploy, the journal at the end; `recover` lays it over the first."""
    steps = read_jobs("release.yml")["release"]["steps"]
    uploads = [place for place, step in enumerate(steps) if step.get("uses", "").startswith("actions/upload-artifact@")]
    baseline, journal = (steps[place] for place in uploads)
    assert " plan " in steps[uploads[0] - 1]["run"]
    assert steps[uploads[0] + 1]["run"].endswith(" deploy")
    assert "if" not in baseline
    assert baseline["with"]["if-no-files-found"] == "error"
    assert (steps[-1], journal["if"]) == (journal, "always()")
    assert all(step["with"]["include-hidden-files"] is True for step in (baseline, journal))
    names = [step["with"]["name"] for step in (baseline, journal)]
    assert names == [f"release-${{{{ github.run_attempt }}}}-{what}" for what in ("baseline", "journal")]


def test_recovery_is_told_what_was_kept() -> None:
    """It fetches what each attempt kept, whatever there is, and is told whether that could be looked at."""
    (fetch,) = find_steps("recover", "actions/download-artifact")
    assert (fetch["continue-on-error"], fetch["with"]) == (True, {"pattern": "release-*", "path": "kept"})
    (recover,) = [step for step in read_jobs("release.yml")["recover"]["steps"] if step.get("name") == "Recover"]
    assert "--kept kept " in recover["run"]
    assert recover["env"]["FETCHED"] == f"${{{{ steps.{fetch['id']}.outcome }}}}"
    kept = [step for step in read_jobs("release.yml")["recover"]["steps"] if "upload-artifact@" in step.get("uses", "")]
    assert not any(step["with"]["name"].startswith("release-") for step in kept)


def find_steps(job: str, action: str) -> list[dict[str, Any]]:
    """Find the steps of a job of release.yml that use an action."""
    steps = read_jobs("release.yml")[job]["steps"]
    return [step for step in steps if step.get("uses", "").partition("@")[0] == action]


def test_what_was_built_is_what_is_deployed() -> None:
    """The build is uploaded whole or not at all, and fetched to where `deploy` looks before anything is planned."""
    (upload,) = find_steps("build", "actions/upload-artifact")
    (fetch,) = find_steps("release", "actions/download-artifact")
    assert upload["with"] == {"name": "build", "path": "build", "if-no-files-found": "error", "overwrite": True}
    assert fetch["with"] == {"name": "build", "path": "build"}
    build, steps = (read_jobs("release.yml")[job]["steps"] for job in ("build", "release"))
    assert [step["run"] for step in build if "run" in step] == ['exec python -m scripts build --commit="$COMMIT"']
    assert build[-1] == upload
    assert [step["name"] for step in steps if "name" in step][:2] == ["Fetch the build", "Plan"]


def test_without_vercel_there_is_no_trace_of_it() -> None:
    """Where Vercel is no target nothing is built or fetched, and neither Node nor the CLI is installed."""
    jobs = read_jobs("release.yml")
    assert jobs["build"]["if"] == VERCEL_IS_A_TARGET
    only_there = [*find_steps("release", "actions/download-artifact"), *find_steps("release", CLI_ACTION)]
    only_there += find_steps("recover", CLI_ACTION)
    assert [step.get("if") for step in only_there] == [VERCEL_IS_A_TARGET] * 3


def test_no_failure_of_a_stage_is_passed_over() -> None:
    """No step of the release may fail unnoticed, and the rollback follows a failure as well as a cancel."""
    steps = read_jobs("release.yml")["release"]["steps"]
    assert not any("continue-on-error" in step for step in steps)
    conditions = {step.get("name", step.get("uses")): step["if"] for step in steps if "if" in step}
    assert conditions == {
        CLI_ACTION: VERCEL_IS_A_TARGET,
        "Fetch the build": VERCEL_IS_A_TARGET,
        "Roll back": "failure() || cancelled()",
        "Report": "always()",
        "Keep the journal": "always()",
    }


def test_recovery_does_without_the_cli() -> None:
    """Where the CLI cannot be installed, `recover` still begins: it says what is missing, and Render goes back."""
    jobs = (read_jobs("release.yml")["recover"], read_jobs("rollback.yml")["rollback"])
    steps = [step for job in jobs for step in job["steps"] if step.get("uses") == CLI_ACTION]
    assert [(step["continue-on-error"], step["timeout-minutes"] <= 5) for step in steps] == [(True, True)] * 2


def test_recovery_follows_a_failure_and_a_cancel() -> None:
    """The second job begins after a failed, cancelled or lost release, but not before a deploy or after a bake."""
    jobs = read_jobs("release.yml")
    began, ended, changed, unproven = jobs["recover"]["if"].split(" && ")
    assert began == "always()"
    assert ended == """contains(fromJSON('["failure","cancelled"]'), needs.release.result)"""
    assert changed == "needs.release.outputs.deploy != 'skipped'"
    assert unproven == "needs.release.outputs.bake != 'success'"
    assert jobs["release"]["outputs"] == {stage: f"${{{{ steps.{stage}.outcome }}}}" for stage in ("deploy", "bake")}
    for stage in ("deploy", "bake"):
        (step,) = [step for step in jobs["release"]["steps"] if step.get("id") == stage]
        assert step["run"] == f"exec python -m scripts {stage}"


def test_release_starts_on_main_only() -> None:
    """A push to main releases, and a person; whether it does depends on a condition that replaces `success()`."""
    workflow = read_workflow(WORKFLOWS / "release.yml")
    assert workflow["on"]["push"] == {"branches": ["main"]}
    assert {*workflow["on"]} == {"push", "workflow_dispatch"}
    assert " && !cancelled() && " in workflow["jobs"]["release"]["if"]


def test_environments_are_two() -> None:
    """A release may wait for a reviewer; its recovery has an environment of its own, which nobody has to approve."""
    found = {name: environment_of(job) for name, job in read_jobs("release.yml").items() if "environment" in job}
    assert (found["release"], found["recover"]) == ("production", "production-rollback")
    assert {*found} == {"release", "recover", "doctor"}


def test_jobs_with_secrets_install_the_release_lock_only() -> None:
    """Beside production secrets, and where a job may write, there is no package of the service and no test tool."""
    locks = {}
    for path in WORKFLOWS.glob("*.yml"):
        for name, job in File.read(path).secret_jobs.items():
            locks[name] = [step["with"]["locks"] for step in job["steps"] if "locks" in step.get("with", {})]
    assert locks == {name: [RELEASE_LOCK] for name in ("release", "recover", "doctor", "rollback", "propose")}


JOBS = [("release.yml", job) for job in ("release", "recover", "doctor")] + [("rollback.yml", "rollback")]


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_secrets_reach_only_the_steps_that_need_them(name: str, job: str) -> None:
    """Every stage gets every secret of the platforms by its name, the report where to tell; nothing else any."""
    for step in read_jobs(name)[job]["steps"]:
        found = {key: value for key, value in step.get("env", {}).items() if "secrets." in value}
        reports = step.get("run", "").endswith(" report")
        due = ((WEBHOOK,) if reports else SECRETS) if "run" in step else ()
        assert found == {name: f"${{{{ secrets.{name} }}}}" for name in due}, step


DEFAULTS = parse({"version": 1, "render": {"url": "https://example.com"}, "checks": [{"name": "a", "path": "/"}]})


def read_own() -> tuple[Config, int]:
    """Read slipway.toml whether or not it is filled in, and count what it can release to."""
    path = ROOT / "slipway.toml"
    table = tomllib.loads(path.read_text())
    filled_in = {name for name in TARGETS if name in table and PLACEHOLDER not in str(table[name])}
    return read_config(path), len({*filled_in, *table.get("release", {}).get("targets", ["render"])})


@pytest.mark.parametrize("by_default_to", [1, 2, None])
def test_deadlines_fit_into_the_jobs(by_default_to: int | None) -> None:
    """A job's time limit never cuts off a stage that is still within its own deadline, by default and as set here.

    One is deployed to after the other, and where they go alone, each goes back by itself; all else is side by side.
    """
    config, targets = (DEFAULTS, by_default_to) if by_default_to else read_own()
    jobs, why = read_jobs("release.yml"), "raise timeout-minutes of the job, or lower a deadline in slipway.toml"
    prove_s = config.verify.deadline_s
    plan_s = prove_s + config.baseline.duration_s
    promote_s = 2 * prove_s  # until the platform says so, and until the service does
    back_s = max(config.rollback.deadline_s, prove_s) + LOOKS * READ_S
    before_s = config.rollback.deadline_s  # to rebuild a lost baseline, or to stop what is on its way
    once_s = SETUP_S + plan_s + prove_s + promote_s + config.bake.most_s
    assert once_s + targets * (config.deploy.deadline_s + back_s) <= jobs["release"]["timeout-minutes"] * 60, why
    assert SETUP_S + before_s + back_s <= jobs["recover"]["timeout-minutes"] * 60, why
    by_hand = read_jobs("rollback.yml")["rollback"]
    assert SETUP_S + READ_S + prove_s + before_s + back_s <= by_hand["timeout-minutes"] * 60, why


def test_build_fits_into_its_job() -> None:
    """The time limit of the build job leaves the builder its own, and the function time to start and answer."""
    needed_s = SETUP_S + BUILD_LIMIT_S + 2 * START_LIMIT_S
    assert needed_s <= read_jobs("release.yml")["build"]["timeout-minutes"] * 60
