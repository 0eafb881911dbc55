"""The workflow files as data: what they must say, whoever runs them."""

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.config import Config, parse
from scripts.release import STAGES, Stage
from scripts.stage import READ_S
from tests.workflows.hollow import read_workflow
from tests.workflows.rules import RULES, File

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
FILES = sorted([*WORKFLOWS.glob("*.yml"), *(ROOT / ".github" / "actions").rglob("action.yml")])
RELEASE_LOCK = "scripts/requirements.txt"
LOOKS = 10  # at what a platform says, beside the deadlines, for each target
PIN = "a/b@" + "0" * 40

JOB = "{name: x, permissions: {}, timeout-minutes: 5, runs-on: ubuntu-24.04"
RED = [
    ("pins", "jobs:\n  x:\n    uses: a/b@v7\n"),
    ("pins", "jobs:\n  x:\n    uses: a/b@main # v7\n"),
    ("pins", f"jobs:\n  x:\n    uses: {PIN}\n"),
    ("pins", f"jobs:\n  x:\n    steps:\n      - uses: {PIN[:-1]} # v7.0.0\n"),
    ("pins", "runs:\n  steps: [{uses: a/b@v7}]\n"),
    ("rights", f"jobs: {{x: {JOB}}}}}"),
    ("rights", f"permissions: {{contents: read}}\njobs: {{x: {JOB}}}}}"),
    ("rights", "permissions: {}\njobs: {x: {name: x}}"),
    ("rights", "permissions: {}\njobs: {x: {permissions: write-all}}"),
    ("time limits", "jobs: {x: {runs-on: ubuntu-24.04}}"),
    ("credentials", f"jobs: {{x: {{steps: [{{uses: actions/checkout@{'0' * 40}}}]}}}}"),
    ("credentials", "jobs: {x: {steps: [{uses: actions/checkout@v7, with: {persist-credentials: true}}]}}"),
    ("credentials", "runs: {steps: [{uses: actions/checkout@v7, with: {fetch-depth: 0}}]}"),
    ("names", f"name: x\njobs: {{x: {JOB}}}}}"),
    ("names", f"concurrency: x\njobs: {{x: {JOB}}}}}"),
    ("names", "name: x\nconcurrency: x\njobs: {x: {runs-on: ubuntu-24.04}}"),
    ("injections", "jobs: {x: {steps: [{run: 'echo ${{ github.ref }}'}]}}"),
    ("injections", "runs: {steps: [{run: 'echo ${{ inputs.locks }}'}]}"),
    ("secrets", "jobs: {x: {steps: [{run: x, env: {A: '${{ secrets.A }}'}}]}}"),
    ("secrets", "jobs: {x: {environment: p, env: {A: '${{ secrets.A }}'}, steps: []}}"),
    ("secrets", "jobs: {x: {environment: p, steps: [{uses: a, with: {A: '${{ secrets.A }}'}}]}}"),
    ("secrets", "env: {A: '${{ secrets.A }}'}\njobs: {x: {environment: p, steps: []}}"),
    ("secrets", "jobs: {x: {uses: ./x.yml, secrets: inherit}}"),
    ("verbs", "jobs: {x: {steps: [{run: exec python -m scripts deploi}]}}"),
    ("verbs", "jobs: {x: {steps: [{run: exec python -m scripts deploy --now}]}}"),
    ("verbs", "jobs: {x: {steps: [{run: python -m scripts deploy}]}}"),
    ("verbs", "jobs: {x: {steps: [{run: 'exec python -m scripts plan\n\n  exec python -m scripts deploy'}]}}"),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / ".github")))
@pytest.mark.parametrize("rule", RULES)
def test_files_keep_the_rules(path: Path, rule: str) -> None:
    """Every workflow and every action keeps each rule: pins, rights, limits, credentials, secrets, command lines."""
    assert list(RULES[rule](File.read(path))) == []


@pytest.mark.parametrize(("rule", "text"), RED)
def test_rules_find_faults(tmp_path: Path, rule: str, text: str) -> None:
    """Each rule finds what it is there to find."""
    path = tmp_path / "red.yml"
    path.write_text(text)
    assert list(RULES[rule](File.read(path)))


def test_every_rule_is_tried() -> None:
    """No rule is believed that has never found anything."""
    assert {rule for rule, _ in RED} == {*RULES}


def read_jobs(name: str) -> dict[str, Any]:
    """Read the jobs of one of our workflows."""
    jobs: dict[str, Any] = read_workflow(WORKFLOWS / name)["jobs"]
    return jobs


def test_verbs_of_ours_are_in_the_files() -> None:
    """The rules have something to look at: each stage, the linters and the tests are called by some workflow."""
    text = "".join(path.read_text() for path in FILES)
    missing = [verb for verb in (*Stage, "lint", "test") if f"-m scripts {verb}\n" not in text]
    assert missing == []


def test_required_needs_every_other_job() -> None:
    """The one check that branch protection requires waits for every other job, and runs whatever became of them."""
    jobs = read_jobs("checks.yml")
    required = jobs.pop("required")
    assert sorted(required["needs"]) == sorted(jobs)
    assert required["if"] == "always()"
    assert required["env"] == {"RESULTS": "${{ join(needs.*.result, ' ') }}"}
    assert not any("continue-on-error" in each for job in jobs.values() for each in (job, *job["steps"]))


@pytest.mark.parametrize(
    ("results", "passes"),
    [
        (("success",), True),
        (("success", "success", "success"), True),
        (("success", "failure"), False),
        (("failure", "success"), False),
        (("success", "skipped", "success"), False),
        (("cancelled", "success"), False),
        (("success", "cancelled"), False),
        (("skipped", "skipped"), False),
        (("success", "neutral"), False),
        (("successful",), False),
        ((), False),
    ],
)
def test_required_passes_only_on_success(results: tuple[str, ...], *, passes: bool) -> None:
    """Nothing but success of every job passes the required check: neither skipped, nor cancelled, nor no job at all."""
    (step,) = read_jobs("checks.yml")["required"]["steps"]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    ran = subprocess.run(command, env={"RESULTS": " ".join(results)}, capture_output=True, check=False, timeout=10)
    assert (ran.returncode == 0) is passes, ran.stderr


def test_checks_come_first_and_get_no_secrets() -> None:
    """Pull requests and releases call the same checks and hand them no secret; a release waits for all of them."""
    calls = [read_jobs(name)["checks"] for name in ("pull-request.yml", "release.yml")]
    assert {call["uses"] for call in calls} == {"./.github/workflows/checks.yml"}
    assert not any("secrets" in call or "with" in call for call in calls)
    assert read_jobs("release.yml")["release"]["needs"] == "checks"


def test_release_runs_the_stages_in_order() -> None:
    """The steps are the stages in their order, then the rollback, then the report."""
    commands = [step["run"] for step in read_jobs("release.yml")["release"]["steps"] if "run" in step]
    stages = (*STAGES, Stage.ROLLBACK, Stage.REPORT)
    assert commands == [f"exec python -m scripts {stage}" for stage in stages]


def test_baseline_is_kept_before_anything_changes() -> None:
    """The baseline is kept between plan and deploy, the journal at the end; `recover` lays it over the first."""
    steps = read_jobs("release.yml")["release"]["steps"]
    uploads = [place for place, step in enumerate(steps) if step.get("uses", "").startswith("actions/upload-artifact@")]
    baseline, journal = (steps[place] for place in uploads)
    assert steps[uploads[0] - 1]["run"].endswith(" plan")
    assert steps[uploads[0] + 1]["run"].endswith(" deploy")
    assert "if" not in baseline
    assert baseline["with"]["if-no-files-found"] == "error"
    assert (steps[-1], journal["if"], journal["with"]["overwrite"]) == (journal, "always()", True)
    assert all(step["with"]["include-hidden-files"] is True for step in (baseline, journal))
    fetched = read_jobs("release.yml")["recover"]["steps"][2:4]
    assert all(step["continue-on-error"] is True for step in fetched)
    for step, upload in zip(fetched, (baseline, journal), strict=True):
        assert step["with"].items() <= upload["with"].items()


def test_no_failure_of_a_stage_is_passed_over() -> None:
    """No step of the release may fail unnoticed, and the rollback follows a failure as well as a cancel."""
    steps = read_jobs("release.yml")["release"]["steps"]
    assert not any("continue-on-error" in step for step in steps)
    conditions = {step["name"]: step["if"] for step in steps if "if" in step}
    assert conditions == {"Roll back": "failure() || cancelled()", "Report": "always()", "Keep the journal": "always()"}


def test_recovery_follows_a_failure_and_a_cancel() -> None:
    """The second job begins after a release that failed, was cancelled or lost, unless its deploy never began."""
    jobs = read_jobs("release.yml")
    began, ended, changed = jobs["recover"]["if"].split(" && ")
    assert (jobs["recover"]["needs"], began) == ("release", "always()")
    assert ended == """contains(fromJSON('["failure","cancelled"]'), needs.release.result)"""
    assert changed == "needs.release.outputs.deploy != 'skipped'"
    assert jobs["release"]["outputs"] == {"deploy": "${{ steps.deploy.outcome }}"}
    (deploy,) = [step for step in jobs["release"]["steps"] if step.get("id") == "deploy"]
    assert deploy["run"] == "exec python -m scripts deploy"


def test_release_is_never_cut_short() -> None:
    """A newer push waits for a release that has begun; on a pull request it ends the older run."""
    assert read_workflow(WORKFLOWS / "release.yml")["concurrency"] == {"group": "release", "cancel-in-progress": False}
    assert read_workflow(WORKFLOWS / "pull-request.yml")["concurrency"]["cancel-in-progress"] is True


def test_release_starts_on_main_only() -> None:
    """Only a push to main releases, and only where a repository variable names the targets."""
    workflow = read_workflow(WORKFLOWS / "release.yml")
    assert workflow["on"] == {"push": {"branches": ["main"]}}
    assert workflow["jobs"]["release"]["if"] == "vars.SLIPWAY_TARGETS != ''"


def test_environments_are_two() -> None:
    """A release may wait for a reviewer; its recovery has an environment of its own, which nobody has to approve."""
    found = {name: job.get("environment") for name, job in read_jobs("release.yml").items()}
    assert found == {"checks": None, "release": "production", "recover": "production-rollback"}


def test_jobs_with_secrets_install_the_release_lock_only() -> None:
    """Beside production secrets nothing of the service and no test tool is installed, and no container is pulled."""
    for path in WORKFLOWS.glob("*.yml"):
        for job in read_jobs(path.name).values():
            if "environment" not in job:
                continue
            locks = [step["with"]["locks"] for step in job["steps"] if step.get("uses") == "./.github/actions/setup"]
            assert locks == [RELEASE_LOCK]
            assert not any("pip" in step.get("run", "") for step in job["steps"])
            assert not {"container", "services"} & {*job}


def test_setup_installs_by_hash_only() -> None:
    """What is installed is a wheel that a lock names by hash, and nothing that it brings along."""
    action = yaml.safe_load((ROOT / ".github" / "actions" / "setup" / "action.yml").read_text())
    (run,) = [step["run"] for step in action["runs"]["steps"] if "run" in step]
    words = run.replace("\n", " ").split()
    assert "install" in words
    assert {"--require-hashes", "--only-binary", "--no-deps"} <= {*words}
    assert words[words.index("--only-binary") + 1] == ":all:"


def read_config() -> Config:
    """Read slipway.toml as a user has it, whether or not its URL is filled in."""
    table = tomllib.loads((ROOT / "slipway.toml").read_text())
    return parse({**table, "render": {"url": "https://example.com"}})


def test_deadlines_fit_into_the_jobs() -> None:
    """A job's time limit never cuts off a stage that is still within its own deadline, whatever the targets."""
    config = read_config()
    plan_s = config.verify.deadline_s + config.baseline.duration_s
    forward_s = plan_s + config.deploy.deadline_s + config.verify.deadline_s
    back_s = max(config.rollback.deadline_s, config.verify.deadline_s) + LOOKS * READ_S
    jobs, targets = read_jobs("release.yml"), len(config.release.targets)
    assert targets * (forward_s + back_s) + config.bake.most_s <= jobs["release"]["timeout-minutes"] * 60
    assert targets * back_s <= jobs["recover"]["timeout-minutes"] * 60
