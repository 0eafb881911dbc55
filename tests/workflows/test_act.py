"""The workflow files, run as they are by act against an emulated Render, and judged by what that platform saw.

act masks nothing here, so a secret that a step prints would be seen.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.__main__ import read_installed, read_pins
from scripts.rehearsal.clone import Change, harmless
from scripts.rehearsal.clouds.render import Trigger
from scripts.rehearsal.clouds.render_values import AutoDeploy
from scripts.rehearsal.supervisor import REACHING_PACKAGES, SYSTEM_PATH
from scripts.release import Sha, short
from scripts.report import TITLES, Result
from tests.workflows.act import MASK, Event, Machine, Run, run_event
from tests.workflows.tiny_release import API_KEY, HOOK_KEY, ROOT, SERVICE_FILE, TEST_FILE, Tiny, our_blobs, tiny_release

RELEASE_LOCK = ROOT / "scripts" / "requirements.txt"
INSTALL = ["-I", "-m", "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement"]
CHECKS = {"lint": "success", "test": "success", "required": "success"}
ON_RENDER = {"SLIPWAY_TARGETS": "render"}


@pytest.fixture(scope="session")
def python_beside_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with what the jobs with secrets may install, and nothing else; give its `bin`."""
    folder = tmp_path_factory.mktemp("beside-secrets") / "venv"
    subprocess.run([sys.executable, "-I", "-m", "venv", folder], check=True)
    reaching = {name: os.environ[name] for name in REACHING_PACKAGES if name in os.environ}
    made = subprocess.run(
        [folder / "bin" / "python", *INSTALL, RELEASE_LOCK],
        env={"PATH": SYSTEM_PATH, "HOME": str(folder), **reaching},
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip(f"the release lock cannot be installed here: {made.stderr.strip()[-300:]}")
    return folder / "bin"


@pytest.fixture
def machine(tmp_path: Path, python_beside_secrets: Path) -> Machine:
    """Give a machine on which workflows can run."""
    return Machine(tmp_path / "machine", python_beside_secrets, Path(sys.executable).parent)


def fails_a_fifth(source: str) -> str:
    """Make every fifth answer outside `/health` a 500; nothing that the checks look at."""
    good, bad = "return 200", 'return 500 if number % 5 == 0 and not path.startswith("/health") else 200'
    assert good in source
    return source.replace(good, bad)


def fails_its_test(source: str) -> str:
    """Make a test expect what is not so."""
    assert "== 200" in source
    return source.replace("== 200", "== 201")


def breaks_a_lint_rule(source: str) -> str:
    """Import something and use it nowhere."""
    return source.replace("import os\n", "import os\nimport sys\n")


async def push(tiny: Tiny, machine: Machine, commit: str, **given: Mapping[str, str]) -> Run:
    """Push a commit to main: secrets and variables are set up, unless others are given."""
    payload = {
        "ref": "refs/heads/main",
        "after": commit,
        "deleted": False,
        "head_commit": {"id": commit},
        "repository": {"pushed_at": int(time.time())},
    }
    set_up = {"secrets": tiny.secrets, "variables": ON_RENDER, **given}
    return await run_event(machine, tiny.folder, Event("push", payload, **set_up))


async def propose(tiny: Tiny, machine: Machine, commit: str) -> Run:
    """Open a pull request with a commit, in a repository that has secrets and variables."""
    payload = {"number": 1, "pull_request": {"number": 1, "head": {"sha": commit}, "base": {"ref": "main"}}}
    return await run_event(machine, tiny.folder, Event("pull_request", payload, tiny.secrets, ON_RENDER))


def play(folder: Path, scene: Callable[[Tiny], Awaitable[None]]) -> None:
    """Play a scene with the tiny release up."""

    async def whole() -> None:
        async with tiny_release(folder) as tiny:
            await scene(tiny)

    asyncio.run(whole())


def find_leaks(machine: Machine, run: Run) -> list[str]:
    """Name what holds a secret: what the run showed, and every file that it left, artifacts included."""
    files = [path for path in machine.folder.rglob("*") if path.is_file() and path not in machine.private]
    seen = {"the log": run.shown} | {str(path): path.read_bytes().decode(errors="replace") for path in files}
    return [name for name, text in seen.items() if HOOK_KEY in text or API_KEY in text]


def read_result(machine: Machine) -> Any:
    """Read what the kept journal's report says became of the release."""
    return json.loads((machine.artifacts / "journal" / "release.json").read_text())["result"]


def title(result: Result, new: str, old: str) -> str:
    """Give the first line that the step summary must have."""
    return f"## {TITLES[result].format(new=short(Sha(new)), old=short(Sha(old)))}\n"


def test_jobs_with_secrets_have_the_release_lock_only(python_beside_secrets: Path) -> None:
    """What the runs below show of a release, they show without the service's packages and without test tools."""
    (packages,) = python_beside_secrets.parent.glob("lib/python*/site-packages")
    assert {*read_installed([str(packages)])} - {"pip"} == {*read_pins([RELEASE_LOCK.read_text()])}


def test_good_commit_is_released(tmp_path: Path, machine: Machine) -> None:
    """A push of a good commit is checked, deployed by one call of the hook, proven, reported and journaled."""

    async def scene(tiny: Tiny) -> None:
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

    play(tmp_path, scene)


def test_bad_commit_is_rolled_back(tmp_path: Path, machine: Machine) -> None:
    """A commit that fails a fifth of its requests goes back by one rollback, which the second job proves again."""

    async def scene(tiny: Tiny) -> None:
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

    play(tmp_path, scene)


@pytest.mark.slow
def test_red_checks_release_nothing(tmp_path: Path, machine: Machine) -> None:
    """Where a test fails, no job that has secrets begins, and the platform is asked for nothing."""

    async def scene(tiny: Tiny) -> None:
        run = await push(tiny, machine, await tiny.commit(TEST_FILE, fails_its_test))
        assert run.jobs == {**CHECKS, "test": "failure", "required": "failure"}
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([], tiny.baseline)

    play(tmp_path, scene)


@pytest.mark.slow
def test_without_targets_nothing_is_released(tmp_path: Path, machine: Machine) -> None:
    """In a fresh copy of the template, where no variable names a target, a push is checked and that is all."""

    async def scene(tiny: Tiny) -> None:
        run = await push(tiny, machine, await tiny.commit(SERVICE_FILE, harmless), variables={})
        assert (run.exit_code, run.jobs) == (0, CHECKS)
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([], tiny.baseline)

    play(tmp_path, scene)


@pytest.mark.slow
def test_missing_secret_is_named(tmp_path: Path, machine: Machine) -> None:
    """Without the deploy hook the plan ends with 2 and says its name; nothing is deployed, and nothing is recovered."""

    async def scene(tiny: Tiny) -> None:
        commit = await tiny.commit(SERVICE_FILE, harmless)
        run = await push(tiny, machine, commit, secrets={"RENDER_API_KEY": API_KEY})
        assert run.jobs == {**CHECKS, "release": "failure"}
        assert (run.steps("release")["Plan"], run.exit_statuses("release")[0]) == ("failure", "exit status 2")
        assert "RENDER_DEPLOY_HOOK_URL" in run.commands("error", "release")[0]
        assert (tiny.asked_for, tiny.cloud.serving_commit) == ([], tiny.baseline)
        assert find_leaks(machine, run) == []

    play(tmp_path, scene)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "red"),
    [(SERVICE_FILE, harmless, set()), (SERVICE_FILE, breaks_a_lint_rule, {"lint", "required"})],
    ids=["green", "red"],
)
def test_pull_request_is_judged_by_one_check(
    tmp_path: Path, machine: Machine, name: str, change: Change, red: set[str]
) -> None:
    """On a pull request the checks run, the required one is red as soon as another is, and nothing else begins."""

    async def scene(tiny: Tiny) -> None:
        run = await propose(tiny, machine, await tiny.commit(name, change))
        assert run.jobs == {job: "failure" if job in red else "success" for job in CHECKS}
        assert (tiny.asked_for, find_leaks(machine, run)) == ([], [])

    play(tmp_path, scene)
