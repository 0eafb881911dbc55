"""What happens to the tiny repository, good and bad changes to it, and how to read what came of it."""

import json
import time
from collections.abc import Mapping
from typing import Any

from scripts.release import Sha, short
from scripts.report import TITLES, Result
from tests.workflows.act import Event, Machine, Meanwhile, Run, run_event
from tests.workflows.tiny_release import ROOT, SECRETS, Tiny

RELEASE_LOCK = ROOT / "scripts" / "requirements.txt"
SERVICE_LOCK = ROOT / "requirements.txt"
RUNTIME_LOCK = ROOT / ".github" / "vercel-cli" / "runtime.txt"
GATES = ("lock", "lint", "unit", "integration", "load", "coverage", "required")
GREEN = dict.fromkeys(GATES, "success")
CHECKS = {"commit": "success", **GREEN}  # of a release, which first says which commit it is
REASON = "`$(id)` <b>it</b> | is <!channel> bad"  # text that must be shown as text
ON_RENDER = {"SLIPWAY_TARGETS": "render"}


def fails_a_fifth(source: str) -> str:
    """Make every fifth answer outside `/health` a 500, never the first, and only where a platform runs it.

    Nothing that the checks could see: they would not let it through.
    """
    good = "return 200"
    bad = 'return 500 if COMMIT and number % 5 == 4 and not path.startswith("/health") else 200'
    assert good in source
    return source.replace(good, bad)


def fails_its_test(source: str) -> str:
    """Make a test expect what is not so."""
    assert "== 200" in source
    return source.replace("== 200", "== 201")


def breaks_a_lint_rule(source: str) -> str:
    """Import something and use it nowhere."""
    return source.replace("import os\n", "import os\nimport sys\n")


async def push(
    tiny: Tiny,
    machine: Machine,
    commit: str,
    meanwhile: Meanwhile | None = None,
    *,
    secrets: Mapping[str, str] | None = None,
    variables: Mapping[str, str] = ON_RENDER,
) -> Run:
    """Push a commit to main: secrets and variables are set up, unless others are given."""
    payload = {
        "ref": "refs/heads/main",
        "after": commit,
        "deleted": False,
        "head_commit": {"id": commit},
        "repository": {"pushed_at": int(time.time())},
    }
    event = Event("push", payload, tiny.secrets if secrets is None else secrets, variables)
    return await run_event(machine, tiny.folder, event, meanwhile)


async def dispatch(
    tiny: Tiny,
    machine: Machine,
    workflow: str,
    inputs: Mapping[str, str],
    *,
    secrets: Mapping[str, str] | None = None,
    variables: Mapping[str, str] = ON_RENDER,
) -> Run:
    """Start a workflow by hand on main: secrets and variables are set up, unless others are given."""
    payload = {"ref": "refs/heads/main", "inputs": dict(inputs), "repository": {"pushed_at": "2026-01-01T00:00:00Z"}}
    event = Event("workflow_dispatch", payload, tiny.secrets if secrets is None else secrets, variables, workflow)
    return await run_event(machine, tiny.folder, event)


async def roll_back(tiny: Tiny, machine: Machine, **inputs: str) -> Run:
    """Start rollback.yml by hand on Render; what is not given is as the form has it."""
    form = {"target": "all", "to": "", "reason": REASON, "dry-run": "false"}
    given = {name.replace("_", "-"): value for name, value in inputs.items()}
    return await dispatch(tiny, machine, "rollback.yml", {**form, **given})


async def propose(tiny: Tiny, machine: Machine, commit: str) -> Run:
    """Open a pull request with a commit, in a repository that has secrets and variables."""
    payload = {"number": 1, "pull_request": {"number": 1, "head": {"sha": commit}, "base": {"ref": "main"}}}
    return await run_event(machine, tiny.folder, Event("pull_request", payload, tiny.secrets, ON_RENDER))


def find_leaks(machine: Machine, run: Run) -> list[str]:
    """Name what holds a secret: what the run showed, and every file that it left, artifacts included."""
    files = [path for path in machine.folder.rglob("*") if path.is_file() and path not in machine.private]
    seen = {"the log": run.shown} | {str(path): path.read_bytes().decode(errors="replace") for path in files}
    return [name for name, text in seen.items() if any(secret in text for secret in SECRETS)]


def read_result(machine: Machine, kept: str = "release-1-journal") -> Any:
    """Read what the kept journal's report says became of the release."""
    return json.loads((machine.artifacts / kept / "release.json").read_text())["result"]


def title(result: Result, new: str, old: str) -> str:
    """Give the first line that the step summary must have."""
    return f"## {TITLES[result].format(new=short(Sha(new)), old=short(Sha(old)))}\n"
