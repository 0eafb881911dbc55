"""The two commits that are compared: which they are, and how each is built; a base may be none to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ConfigError, PlatformError, UsageError
from scripts.gates.crowd import WORKERS
from scripts.gates.order import Order, choose_check, read_config
from scripts.gates.recorded import SIDES
from scripts.rehearsal.blueprint import BlueprintError, read_blueprint
from scripts.rehearsal.commits import GitError, UnknownCommitError, find_commit, git
from scripts.rehearsal.supervisor import Artifact, BuildFailedError, Supervisor
from scripts.release import Sha
from scripts.verdict import Check, Outcome

EPOCHS_FILE, PAGE_FILE = "epochs.jsonl", "page.html"
OWN = "\0"  # no requirements.txt says this: each commit gets an environment of its own


@dataclass(frozen=True)
class Versus:
    """What is to be compared: the two commits, and what `--users` and `--workers` said; None means by calibration."""

    commits: Mapping[str, Sha]
    users: int | None
    workers: int
    output: Path


async def plan_versus(root: Path, against: str, users: int | None, workers: int, output: Path) -> Versus:
    """Give the two commits: HEAD, and the one where it left the other.

    Raises:
        UsageError: no such commit, or the two have nothing in common here; a number that makes no sense.
    """
    if not 1 <= workers <= WORKERS or (users is not None and users < workers):
        raise UsageError("--workers is 1 or more, and --users at least as many", means="Nothing was measured.")
    _empty(output)
    try:
        head = (await find_commit(root, "HEAD")).sha
        other = (await find_commit(root, against)).sha
        base = (await git("-C", str(root), "merge-base", other, head)).strip()
    except UnknownCommitError as error:
        raise UsageError(
            f"--against: {against!a} is no commit of this repository",
            means="Nothing was measured.",
            next_step="fetch it (in Actions: checkout with fetch-depth: 0), or name another",
        ) from error
    except (GitError, OSError, TimeoutError) as error:
        raise UsageError(
            f"--against: HEAD and {against!a} have no commit in common here",
            means="Nothing was measured.",
            next_step="git fetch --unshallow (in Actions: checkout with fetch-depth: 0)",
        ) from error
    return Versus({"base": Sha(base), "head": Sha(head)}, users, workers, output)


def _empty(output: Path) -> None:
    """Make the folder, and take away what an earlier comparison left there."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in (EPOCHS_FILE, PAGE_FILE):
            (output / name).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output: {output} cannot be written: {error.strerror}", means="Nothing was measured."
        ) from error


@dataclass(frozen=True)
class Left:
    """Why there is no comparison, and what that means: a pass leaves it to the objectives."""

    reason: str
    outcome: Outcome = Outcome.PASS


async def build_sides(supervisor: Supervisor, versus: Versus) -> dict[str, Artifact] | Left:
    """Build both; a base that cannot be built is nothing to compare with.

    Raises:
        PlatformError: HEAD cannot be built.
    """
    artifacts: dict[str, Artifact] = {}
    for side in SIDES:
        try:
            artifacts[side] = await supervisor.build(versus.commits[side])
        except (BuildFailedError, OSError, TypeError, AttributeError) as error:
            if side == "base":
                return Left(f"the commit before the change cannot be built: {error}")
            raise PlatformError(f"HEAD cannot be built: {error}", means="It was not compared.") from error
    return artifacts


def check_of(order: Order, artifact: Artifact) -> Check:
    """Give the check that tells when a commit is ready: its own, since HEAD's may ask for what base does not have."""
    try:
        return choose_check(read_config(artifact.folder / "slipway.toml"), artifact.blueprint)
    except ConfigError:
        return order.check


async def shared_requirements(root: Path, versus: Versus) -> str:
    """Give the requirements for which the running environment is used: those that all three have, else none.

    Where they differ each commit gets an environment of its own, from its own lock by its own buildCommand.
    """
    commits = versus.commits.values()
    told = {await _show(root, commit, "requirements.txt") for commit in commits}
    here = root / "requirements.txt"
    told.add(here.read_bytes().decode("utf-8", "replace") if here.is_file() else "")
    commands = {_build_command(await _show(root, commit, "render.yaml")) for commit in commits}
    return told.pop() if len(told) == len(commands) == 1 else OWN


def _build_command(text: str) -> str:
    try:
        return read_blueprint(text).build_command
    except (BlueprintError, TypeError, AttributeError):
        return OWN


async def _show(root: Path, commit: str, path: str) -> str:
    try:
        return await git("-C", str(root), "show", f"{commit}:{path}")
    except GitError:
        return ""
