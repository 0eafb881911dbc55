"""Workflow files with the work taken out: jobs, needs, conditions and order stay, each step only passes or fails.

So what runs after which failure can be tried in a fraction of a second, by the same act that runs the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"
KEPT_OF_JOB = ("name", "needs", "if", "env", "outputs")
KEPT_OF_STEP = ("name", "id", "if", "continue-on-error")


def read_workflow(path: Path) -> dict[str, Any]:
    """Read a workflow file; YAML 1.1 takes the key `on` for a boolean."""
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in workflow.items()}


def read_jobs(name: str) -> dict[str, Any]:
    """Read the jobs of one of our workflows."""
    jobs: dict[str, Any] = read_workflow(WORKFLOWS / name)["jobs"]
    return jobs


@dataclass(frozen=True)
class Fates:
    """What becomes of what, by name: steps (or a job that has none) that fail or stay as they are, jobs skipped.

    A step of one job only is named `job: step`.
    """

    failing: Set[str] = frozenset()
    real: Set[str] = frozenset()
    skipped: Set[str] = frozenset()


def hollow(workflow: Mapping[str, Any], fates: Fates) -> dict[str, Any]:
    """Take the work out.

    Raises:
        LookupError: a name that is nowhere in the workflow, so that nothing would be tried.
    """
    jobs = {name: _hollow_job(name, job, fates) for name, job in workflow["jobs"].items()}
    steps = [(name, step["name"]) for name, job in jobs.items() for step in job["steps"]]
    names = {step for _, step in steps} | {f"{job}: {step}" for job, step in steps}
    if unknown := ((fates.failing | fates.real) - names) | (fates.skipped - {*jobs}):
        raise LookupError(f"nothing is named {', '.join(sorted(unknown))}")
    for name in fates.skipped:
        jobs[name]["if"] = False
    starts = workflow["on"] if "push" in workflow["on"] else "push"
    return {"name": "Hollow", "on": starts, "jobs": jobs}


def step_name(step: Mapping[str, Any]) -> str:
    """Give the name that act shows for a step."""
    return str(step.get("name") or step.get("uses") or step["run"])


def _hollow_job(name: str, job: Mapping[str, Any], fates: Fates) -> dict[str, Any]:
    kept = {key: job[key] for key in KEPT_OF_JOB if key in job}
    steps = [_hollow_step(name, step, fates) for step in job.get("steps", [{"name": name}])]
    return {**kept, "runs-on": "ubuntu-24.04", "steps": steps}


def _hollow_step(job: str, step: Mapping[str, Any], fates: Fates) -> dict[str, Any]:
    name = step_name(step)
    names = {name, f"{job}: {name}"}
    kept = {key: step[key] for key in KEPT_OF_STEP if key in step}
    if names & fates.real:
        return {**kept, "name": name, "run": step["run"], "env": step.get("env", {})}
    return {**kept, "name": name, "run": f"exit {int(bool(names & fates.failing))}"}
