"""Runs the workflow files as they are, by act on this machine: no GitHub, no containers, no network.

The steps are real processes. Standing in for GitHub are a small local folder for each remote action and a folder for
artifacts. act ignores concurrency, permissions, environments, the filters under `on` and the time limits of jobs, and
when a called workflow fails, the caller's later jobs never begin, whatever their `if`: what depends on any of these
is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from scripts.rehearsal.children import Child, end_child, start_child
from scripts.rehearsal.supervisor import SYSTEM_PATH
from tests.workflows.rules import RELEASE_LOCK
from tests.workflows.stand_ins import write_stand_ins

ACT = Path(sys.executable).with_name("act")
RUN_LIMIT_S = 200.0
GONE_LIMIT_S = 2.0
Meanwhile = Callable[[int], Awaitable[None]]
MASK = "add-mask"


@dataclass(frozen=True)
class Machine:
    """What a run may use: a folder for all that it writes, the folders of two interpreters, and what else is there."""

    folder: Path
    python_beside_secrets: Path
    python_of_checks: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> Path:
        """Where uploaded artifacts are, each in a folder of its name."""
        return self.folder / "artifacts"

    @property
    def log(self) -> Path:
        """Everything that act wrote."""
        return self.folder / "act.log"

    def reaching(self, index_url: str) -> Machine:
        """Give the machine with a package index that its jobs can ask."""
        return replace(self, environment={**self.environment, "PIP_INDEX_URL": index_url})

    def again(self, name: str) -> Machine:
        """Give a machine that is the same but new, for another run."""
        return replace(self, folder=self.folder.with_name(name))

    @property
    def private(self) -> frozenset[Path]:
        """The files that nobody but the machine may read: what it was told, and the log with the masks asked for."""
        return frozenset({self.log, self.folder / "told" / "secrets"})


@dataclass(frozen=True)
class Event:
    """Something that GitHub tells of, and what the repository has set up for its workflows."""

    name: str
    payload: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    workflow: str = ""  # the one file that it is for, where several would be started


@dataclass(frozen=True)
class Run:
    """How act ended, what it recorded, and which processes it left behind."""

    exit_code: int
    records: Sequence[Mapping[str, Any]]
    left_running: Sequence[int]

    @property
    def jobs(self) -> dict[str, str]:
        """How each job ended, by its id; one that never began is not among them."""
        return {row["jobID"]: row["jobResult"] for row in self.records if "jobResult" in row}

    def steps(self, job: str) -> dict[str, str]:
        """How each step of a job ended, by its name; one that was skipped is not among them."""
        rows = [row for row in self.records if row.get("jobID") == job and "stepResult" in row]
        return {row["step"]: row["stepResult"] for row in rows if row.get("stage") == "Main"}

    def commands(self, name: str, job: str) -> list[str]:
        """What the steps of a job told the runner by a workflow command, or by the file of the step summary."""
        rows = [row for row in self.records if row.get("jobID") == job and row.get("command") == name]
        return [str(row.get("arg") or row.get("content")) for row in rows]

    def exit_statuses(self, job: str) -> list[str]:
        """How the failed steps of a job ended, in act's words."""
        return [row["msg"] for row in self.records if row.get("jobID") == job and row["msg"].startswith("exit status")]

    @property
    def shown(self) -> str:
        """Everything that a person could read, that is, without the commands by which steps ask for masks."""
        return "\n".join(json.dumps(row, ensure_ascii=False) for row in self.records if row.get("command") != MASK)


async def run_event(machine: Machine, repository: Path, event: Event, meanwhile: Meanwhile | None = None) -> Run:
    """Let an event happen to a repository and run the workflows that it starts; whatever happens, nothing runs on.

    `meanwhile` is what else happens while they run; it is told act's process id, and ends with the run. act's own
    masking is off, so that what the steps really print can be seen.

    Raises:
        TimeoutError: the workflows took longer than `RUN_LIMIT_S`.
    """
    child = await start_child(
        _command(machine, repository, event),
        environment=_environment(machine, repository),
        folder=repository,
        log=machine.log,
    )
    beside = asyncio.ensure_future(meanwhile(child.process.pid)) if meanwhile else None
    try:
        async with asyncio.timeout(RUN_LIMIT_S):
            exit_code = await child.process.wait()
        left_running = find_processes(machine)
    finally:
        if beside:
            beside.cancel()
        await _end(child, machine)
    if beside and beside.done() and not beside.cancelled():
        beside.result()  # what went wrong there, if anything did
    return Run(exit_code, _records(machine.log), left_running)


async def step_begun(machine: Machine, step: str) -> None:
    """Wait until a step of this name has begun to say something."""
    while not _says_something(machine, step):  # noqa: ASYNC110 - a file sets no event
        await asyncio.sleep(0.1)


def _says_something(machine: Machine, step: str) -> bool:
    return any(row.get("step") == step and row.get("raw_output") for row in _records(machine.log))


async def cancel_run(machine: Machine, step: str, process: int) -> None:
    """Cancel a run as GitHub does it, when a step of this name has begun: the runner is interrupted."""
    await step_begun(machine, step)
    os.kill(process, signal.SIGINT)


def _command(machine: Machine, repository: Path, event: Event) -> list[str]:
    told = machine.folder / "told"
    told.mkdir(parents=True)
    (told / "event.json").write_text(json.dumps(event.payload))
    (told / "secrets").write_text(_lines(event.secrets))
    (told / "variables").write_text(_lines(event.variables))
    options = ["--json", "--insecure-secrets", "--rm", "--no-cache-server", "--pull=false"]
    files = ["--eventpath", "event.json", "--secret-file", "secrets", "--var-file", "variables"]
    files = [word if word.startswith("--") else str(told / word) for word in files]
    only = ["--workflows", str(repository / ".github" / "workflows" / event.workflow)] if event.workflow else []
    return [
        str(ACT),
        event.name,
        *only,
        *("--platform", "ubuntu-24.04=-self-hosted"),
        *options,
        *files,
        *write_stand_ins(repository, machine.folder / "actions"),
    ]


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _environment(machine: Machine, repository: Path) -> dict[str, str]:
    """Make the whole environment of act, which its steps inherit: nothing of ours, and nowhere to download from."""
    home, temporary = machine.folder / "home", machine.folder / "temporary"
    for folder in (home, temporary, machine.artifacts):
        folder.mkdir(parents=True)
    return {
        "PATH": SYSTEM_PATH,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TMPDIR": str(temporary),
        "LANG": "C.UTF-8",
        "DOCKER_HOST": "unix:///nonexistent.sock",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "REPOSITORY": str(repository),
        "ARTIFACTS": str(machine.artifacts),
        "PYTHON_BESIDE_SECRETS": str(machine.python_beside_secrets),
        "PYTHON_OF_CHECKS": str(machine.python_of_checks),
        "JOBS_ON_RELEASE_LOCK": " ".join(_jobs_on_release_lock(repository)),
        **machine.environment,
    }


def _jobs_on_release_lock(repository: Path) -> Iterator[str]:
    for path in (repository / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        yield from (name for name, job in jobs.items() if "environment" in job or _installs_release_lock(job))


def _installs_release_lock(job: Mapping[str, Any]) -> bool:
    return any(step.get("with", {}).get("locks") == RELEASE_LOCK for step in job.get("steps", []))


def _records(log: Path) -> list[Mapping[str, Any]]:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [_record(line) for line in lines]


def _record(line: str) -> Mapping[str, Any]:
    with contextlib.suppress(ValueError):  # act's last words are no JSON, nor is a line that is being written
        if isinstance(record := json.loads(line), dict):
            return record
    return {"msg": line}


async def _end(child: Child, machine: Machine) -> None:
    """Kill act, and then what it started: act gives each step a session of its own."""
    await end_child(child, 0)
    deadline = time.monotonic() + GONE_LIMIT_S
    while (left := find_processes(machine)) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        await asyncio.sleep(0.02)


def find_processes(machine: Machine) -> list[int]:
    """Find what runs on the machine, by the variable that every process there inherits; nothing without a /proc."""
    mark = f"\0ARTIFACTS={machine.artifacts}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or somebody else's
            if mark in b"\0" + (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found
