"""The workflow files as data: what they must say, whoever runs them."""

import json
import re
from pathlib import Path

import pytest
import yaml

from scripts.arguments import ACCOUNT_VERBS, STAGE_VERBS, TOOL_VERBS
from scripts.gates.jobs import GATES
from tests.workflows.hollow import ROOT, WORKFLOWS, read_jobs
from tests.workflows.rules import CLI_FOLDER, INSTALL_CLI, INSTALL_LOCKS, OURS, RULES, File

ACTIONS = sorted((ROOT / ".github" / "actions").rglob("action.yml"))
FILES = [*ACTIONS, *sorted(WORKFLOWS.glob("*.yml"))]
CLI = ROOT / ".github" / "vercel-cli"
PIN = "a/b@" + "0" * 40

JOB = "{name: x, permissions: {}, timeout-minutes: 5, runs-on: ubuntu-24.04"
RED = [
    ("pins", "jobs:\n  x:\n    uses: a/b@v7\n"),
    ("pins", "jobs:\n  x:\n    uses: a/b@main # v7\n"),
    ("pins", f"jobs:\n  x:\n    uses: {PIN}\n"),
    ("pins", f"jobs:\n  x:\n    steps:\n      - uses: {PIN[:-1]} # v7.0.0\n"),
    ("pins", "runs:\n  steps: [{uses: a/b@v7}]\n"),
    ("pins", "jobs: {x: {services: {db: {image: postgres}}}}"),
    ("pins", "jobs: {x: {services: {db: {image: 'postgres:17@sha256:0'}}}}"),
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
    ("installs", "jobs: {x: {steps: [{run: npm ci --ignore-scripts}]}}"),
    ("installs", f"jobs: {{x: {{steps: [{{run: '{INSTALL_CLI.replace('--ignore-scripts ', '')}'}}]}}}}"),
    ("installs", f"jobs: {{x: {{steps: [{{run: '{INSTALL_CLI} && npx vercel'}}]}}}}"),
    ("installs", f"jobs: {{x: {{steps: [{{run: '{INSTALL_CLI}'}}]}}}}"),
    ("installs", f"jobs: {{x: {{steps: [{{run: '{INSTALL_LOCKS}', working-directory: {CLI_FOLDER}}}]}}}}"),
    ("installs", "runs: {steps: [{run: python -m pip install -r requirements.txt}]}"),
    ("installs", "runs: {steps: [{run: 'true\n\n  pip install httpx'}]}"),
    ("company", "jobs: {x: {environment: p, container: python, steps: []}}"),
    ("company", "jobs: {x: {environment: p, services: {db: {image: postgres}}, steps: []}}"),
    ("company", "jobs: {x: {environment: p, uses: ./x.yml}}"),
    ("company", "jobs: {x: {environment: p, steps: [{run: make}]}}"),
    ("company", "jobs: {x: {environment: p, steps: [{uses: ./.github/actions/setup}]}}"),
    ("company", "jobs: {x: {environment: p, steps: [{uses: ./.github/actions/other}]}}"),
    ("company", f"jobs: {{x: {{environment: p, steps: [{{uses: {PIN}}}]}}}}"),
    *(
        ("company", f"jobs: {{x: {{{read}, steps: [{{uses: ./.github/actions/setup, with: {{locks: {locks}}}}}]}}}}")
        for read in ("environment: p", "env: {A: '${{ secrets.A }}'}")
        for locks in ("requirements.txt", "scripts/requirements.txt requirements.txt")
    ),
    ("company", "jobs: {x: {permissions: {contents: write}, steps: [{run: make}]}}"),
    ("verbs", "jobs: {x: {steps: [{run: exec python -m scripts deploi}]}}"),
    ("verbs", "jobs: {x: {steps: [{run: exec python -m scripts deploy --now}]}}"),
    ("verbs", "jobs: {x: {steps: [{run: python -m scripts deploy}]}}"),
    ("verbs", "jobs: {x: {steps: [{run: 'exec python -m scripts plan\n\n  exec python -m scripts deploy'}]}}"),
    *(
        ("values", f"jobs: {{x: {{steps: [{{run: 'exec python -m scripts plan {words}', env: {{A: a}}}}]}}}}")
        for words in ("--commit=$A", '--commit "$A"', '"$A"', '--commit="$B"', '--commit="x$A"')
    ),
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


def test_verbs_of_ours_are_in_the_files() -> None:
    """The rules have something to look at: every verb is called, but those that are for a laptop alone."""
    text = "".join(path.read_text() for path in FILES)
    verbs = {*STAGE_VERBS, *ACCOUNT_VERBS, *TOOL_VERBS} - {"check", "judge", "simulate"}
    missing = [verb for verb in verbs if not re.search(rf"-m scripts {verb}\b", text)]
    assert missing == []


def test_required_needs_every_other_job() -> None:
    """The one check that branch protection requires waits for every other job, and runs whatever became of them."""
    jobs = read_jobs("checks.yml")
    required = jobs.pop("required")
    assert sorted(required["needs"]) == sorted(jobs)
    assert required["if"] == "always()"
    assert required["steps"][-1]["env"] == {"NEEDS": "${{ toJSON(needs) }}"}
    assert not any("continue-on-error" in each for job in jobs.values() for each in (job, *job["steps"]))


def test_the_list_of_gates_is_that_of_the_jobs() -> None:
    """`check` runs on a laptop what the jobs run, with the same words and limits, and each waits for the same."""
    jobs = read_jobs("checks.yml")
    assert [gate.name for gate in GATES] == jobs["required"]["needs"] == [*jobs][:-1]
    for gate in GATES:
        job = jobs[gate.name]
        (run,) = [step["run"] for step in job["steps"] if "run" in step]
        assert run.removeprefix("exec python -m scripts ").split()[: len(gate.words)] == list(gate.words)
        assert ("$AGAINST" in run) is gate.against
        assert job["timeout-minutes"] == gate.minutes
        assert tuple(job.get("needs", ())) == gate.needs


def test_setup_installs_by_hash_only() -> None:
    """What is installed is a wheel that a lock names by hash, and nothing that it brings along."""
    action = yaml.safe_load((ROOT / ".github" / "actions" / "setup" / "action.yml").read_text())
    (run,) = [step["run"] for step in action["runs"]["steps"] if "run" in step]
    words = run.replace("\n", " ").split()
    assert "install" in words
    assert {"--require-hashes", "--only-binary", "--no-deps"} <= {*words}
    assert words[words.index("--only-binary") + 1] == ":all:"


def test_actions_of_ours_install_and_do_nothing_else() -> None:
    """The actions that jobs with secrets may use are these two, and each ends with one install of what a lock names."""
    assert {f"./{path.parent.relative_to(ROOT)}" for path in ACTIONS} == {*OURS}
    runs = [step["run"] for path in ACTIONS for step in File.read(path).steps if "run" in step]
    assert sorted(run.strip().splitlines()[-1] for run in runs) == [INSTALL_CLI, INSTALL_LOCKS]


def test_the_cli_is_one_version_by_hash() -> None:
    """The CLI is pinned, and its lock agrees and has a strong hash of every package."""
    package, lock = (json.loads((CLI / name).read_text()) for name in ("package.json", "package-lock.json"))
    root, *others = lock["packages"].values()
    (version,) = package["dependencies"].values()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert root["dependencies"] == package["dependencies"] == {"vercel": version}
    assert lock["packages"]["node_modules/vercel"]["version"] == version
    assert [each for each in others if not each.get("integrity", "").startswith("sha512-")] == []


def test_node_is_young_enough_and_not_from_a_cache() -> None:
    """Node is a version that the CLI's package allows; what runs beside secrets comes from no cache."""
    needed = json.loads((CLI / "package.json").read_text())["engines"]["node"]
    (node,) = [step for path in ACTIONS for step in File.read(path).steps if "setup-node@" in step.get("uses", "")]
    assert int(node["with"]["node-version"]) >= int(needed.removeprefix(">="))
    assert (node["with"]["package-manager-cache"], "cache" in node["with"]) == (False, False)
