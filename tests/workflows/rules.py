"""What every workflow file and every composite action must keep to, as functions from a file to its faults."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.arguments import build_parser
from tests.workflows.hollow import read_workflow

USES = re.compile(r"^\s*(?:- )?uses:\s*(\S+)(.*)$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
VERSION = re.compile(r" # v\d+(\.\d+)*")
SECRET = re.compile(r"\bsecrets\b")
VERB = re.compile(r"python3? -m scripts\b(.*)")
VALUE = re.compile(r'"\$([A-Z_]+)"')
IMAGE = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
INSTALLER = re.compile(r"\b(pip|pipx|uv|poetry|conda|npm|npx|pnpm|yarn|corepack|apt|apt-get|snap|brew|curl|wget)\b")

RELEASE_LOCK = "scripts/requirements.txt"
INSTALL_CLI = "npm ci --ignore-scripts --no-audit --no-fund"
CLI_FOLDER = ".github/vercel-cli"
INSTALL_LOCKS = (
    "python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: --no-deps "
    '"${files[@]/#/--requirement=}"'
)
# What a job that reads secrets may use: actions of ours with exactly these inputs, and three of GitHub's.
OURS: Mapping[str, Mapping[str, str]] = {
    "./.github/actions/setup": {"locks": RELEASE_LOCK},
    "./.github/actions/vercel-cli": {},
}
THEIRS = frozenset(f"actions/{name}" for name in ("checkout", "upload-artifact", "download-artifact"))


@dataclass(frozen=True)
class File:
    """A workflow, or a composite action: its text, and what the text means."""

    name: str
    text: str
    data: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> File:
        """Read one file."""
        return cls(path.name, path.read_text(encoding="utf-8"), read_workflow(path))

    @property
    def jobs(self) -> Mapping[str, dict[str, Any]]:
        """The jobs by id; none in an action."""
        jobs: dict[str, dict[str, Any]] = self.data.get("jobs", {})
        return jobs

    @property
    def steps(self) -> Iterator[dict[str, Any]]:
        """The steps of all jobs, or of the action."""
        for job in self.jobs.values():
            yield from job.get("steps", [])
        yield from self.data.get("runs", {}).get("steps", [])

    @property
    def uses(self) -> list[str]:
        """What the jobs and steps use."""
        return [each["uses"] for each in (*self.jobs.values(), *self.steps) if "uses" in each]

    @property
    def secret_jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs that read secrets, or whose environment would let them, and those that may write, by id."""
        return {
            name: job
            for name, job in self.jobs.items()
            if "environment" in job or SECRET.search(str(job)) or "write" in str(job.get("permissions"))
        }


def find_floating(file: File) -> Iterator[str]:
    """A remote action is pinned to a full commit, with its version in a comment behind it; an image to its digest."""
    for job in file.jobs.values():
        images = [row["image"] for row in job.get("services", {}).values()]
        yield from (image for image in images if not IMAGE.fullmatch(image))
    lines = USES.findall(file.text)
    if sorted(use for use, _ in lines) != sorted(file.uses):
        yield "a `uses` that is not on a line of its own"
    for use, rest in lines:
        if not use.startswith("./") and not (PINNED.fullmatch(use) and VERSION.fullmatch(rest)):
            yield f"{use}{rest}"


def find_rights(file: File) -> Iterator[str]:
    """No right is given on top, and every job says which it needs."""
    if not file.jobs:
        return
    if file.data.get("permissions") != {}:
        yield "permissions"
    yield from (name for name, job in file.jobs.items() if not isinstance(job.get("permissions"), dict))


def find_endless(file: File) -> Iterator[str]:
    """Every job has a time limit; one that calls a workflow cannot, and the called one's have."""
    yield from (name for name, job in file.jobs.items() if "uses" not in job and "timeout-minutes" not in job)


def find_kept_credentials(file: File) -> Iterator[str]:
    """A checkout leaves no token behind."""
    for step in file.steps:
        kept = step.get("with", {}).get("persist-credentials") is not False
        if kept and step.get("uses", "").startswith("actions/checkout@"):
            yield step["uses"]


def find_unnamed(file: File) -> Iterator[str]:
    """Workflows and jobs have names, and a workflow says what happens to two runs at a time."""
    yield from (key for key in ("name", "concurrency") if file.jobs and key not in file.data)
    yield from (name for name, job in file.jobs.items() if "name" not in job)


def find_injections(file: File) -> Iterator[str]:
    """No value is written into a script: it reaches the shell through `env`."""
    yield from (step["run"] for step in file.steps if "${{" in step.get("run", ""))


def find_exposed_secrets(file: File) -> Iterator[str]:
    """A secret is seen only by the one step that needs it, in a job whose environment guards it."""
    allowed = 0
    for name, job in file.jobs.items():
        for step in job.get("steps", []):
            count = len(SECRET.findall(str(step.get("env", {}))))
            if count and "environment" not in job:
                yield name
            allowed += count
    if len(SECRET.findall(str(file.data))) != allowed:
        yield "outside the env of a step"


def find_installs(file: File) -> Iterator[str]:
    """Nothing is installed but what a lock names by hash, and no package's code runs to install it."""
    for step in file.steps:
        allowed = {INSTALL_CLI} if step.get("working-directory") == CLI_FOLDER else {INSTALL_LOCKS}
        lines = (line.strip() for line in step.get("run", "").splitlines())
        yield from (line for line in lines if INSTALLER.search(line) and line not in allowed)


def find_company(file: File) -> Iterator[str]:
    """Beside secrets there is the release path's lock, the CLI and our own command line; no container, nothing else."""
    for job in file.secret_jobs.values():
        yield from {"container", "services", "uses"} & {*job}
        yield from (str(step) for step in job.get("steps", []) if not _is_company(step))


def _is_company(step: Mapping[str, Any]) -> bool:
    if "run" in step:
        return VERB.search(step["run"]) is not None  # that there is no more in the line is another rule
    action, _, _ = step["uses"].partition("@")
    return action in THEIRS or (action in OURS and step.get("with", {}) == OURS[action])


def find_unparsable(file: File) -> Iterator[str]:
    """Every command line of ours is one that our parser takes, alone in its step, and replaces the shell."""
    for step in file.steps:
        found = VERB.search(step.get("run", ""))
        if not found:
            continue
        if not step["run"].startswith("exec python -m scripts ") or "\n" in step["run"].strip():
            yield step["run"]
        try:
            build_parser().parse_args(shlex.split(VALUE.sub("", found[1])))
        except SystemExit:
            yield step["run"]


def find_unset(file: File) -> Iterator[str]:
    """Every value that a command line of ours takes is quoted, stands behind its option, and is in the step's env."""
    for step in file.steps:
        found = VERB.search(step.get("run", ""))
        words = found[1].split() if found else []
        for word in words:
            if "$" not in word:
                continue
            option, _, value = word.partition("=")
            named = VALUE.fullmatch(value)
            if not option.startswith("--") or named is None or named[1] not in step.get("env", {}):
                yield word


RULES: Mapping[str, Callable[[File], Iterator[str]]] = {
    "pins": find_floating,
    "rights": find_rights,
    "time limits": find_endless,
    "credentials": find_kept_credentials,
    "names": find_unnamed,
    "injections": find_injections,
    "secrets": find_exposed_secrets,
    "installs": find_installs,
    "company": find_company,
    "verbs": find_unparsable,
    "values": find_unset,
}
