"""Which lines a change adds, and which of them the tests covered.

What git calls the change begins where HEAD left the other commit, and ends in the files as they lie here: on a laptop
what is not committed yet counts too, since that is what the tests ran. A line counts as the statement that it is part
of. diff-cover reads git's answer; whether the covered share is enough is judged here, without rounding.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diff_cover.diff_reporter import GitDiffReporter  # type: ignore[import-untyped]
from diff_cover.git_diff import GitDiffError  # type: ignore[import-untyped]

from scripts.checkout import Checkout
from scripts.errors import UsageError
from scripts.foreign import plain
from scripts.gates.covered import Covered, Sum, first_lines, package_of
from scripts.release import Sha, short
from scripts.verdict import Verdict, failed, passed

LIMIT_S = 60
SHOWN = 20  # files of the table
PYTHON = "*.py"
UNKNOWN = "Which lines the change adds is not known: this is not a pass."
DEEPER = "`git fetch --unshallow`, or fetch that commit; in a workflow: actions/checkout with fetch-depth: 0"
NAMES = ("-z", "--no-ext-diff", "--find-renames", "--relative")
# A user's settings and the repository's attributes may change a diff's form, or have it left out as binary.
PATCH = (
    *("--no-ext-diff", "--find-renames", "--relative", "--text", "--no-textconv", "--no-color", "--submodule=short"),
    *("--unified=0", "--src-prefix=a/", "--dst-prefix=b/"),
)

type Run = tuple[int, int]  # the first line and the last one


@dataclass(frozen=True)
class Change:
    """The commit that the change began at, and the lines that it adds, by file; a file with none is left out."""

    since: Sha
    lines: Mapping[str, frozenset[int]]


@dataclass(frozen=True)
class Changed:
    """A file, how many of the statements that the change touched are covered, and the new lines that are not."""

    name: str
    sum: Sum
    uncovered: Sequence[Run] = ()


def fetch_change(root: Path, against: str, packages: Sequence[str]) -> Change:
    """Ask git which lines of the packages' Python files were added since HEAD left a commit, committed or not.

    Raises:
        UsageError: the folder is no checkout, or its history does not reach back to where HEAD left that commit.
    """
    since = _merge_base(root, against)
    names = _git(root, "diff", *NAMES, "--name-only", since, "--", PYTHON)
    patch = _git(root, "diff", *PATCH, since, "--", PYTHON)
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", PYTHON)
    known, new = (_measured(names, packages), _measured(untracked, packages))
    lines = {
        **read_patch(patch.decode(errors="replace"), known, packages),
        **{name: _all_lines(root / name) for name in new},
    }
    return Change(since, {name: lines[name] for name in sorted(lines) if lines[name]})


def _git(root: Path, *words: str) -> bytes:
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", *words], cwd=root, capture_output=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"git {words[0]} did not run: {error.__class__.__name__}"
        raise UsageError(message, means=UNKNOWN, next_step="install git, and run this in a checkout") from error
    if answer.returncode != 0:
        told = plain(answer.stderr.decode(errors="replace")) or f"exit code {answer.returncode}"
        step = "run this in a git checkout, and see what git says there"
        raise UsageError(f"git {words[0]} failed: {told}", means=UNKNOWN, next_step=step)
    return answer.stdout


def _merge_base(root: Path, against: str) -> Sha:
    try:
        commit = Checkout(root).resolve(against)
    except UsageError:
        _git(root, "rev-parse", "--is-inside-work-tree")  # where that is what is wrong, it is what is said
        raise
    try:
        return Sha(_git(root, "merge-base", commit, "HEAD").decode().strip())
    except UsageError as error:
        raise UsageError(
            f"HEAD and {plain(against)} ({short(commit)}) have no commit in common here",
            means=UNKNOWN,
            next_step=DEEPER,
        ) from error


def _measured(names: bytes, packages: Sequence[str]) -> list[str]:
    told = [name.decode(errors="replace") for name in names.split(b"\0") if name]
    return [name for name in told if package_of(name, packages)]


def _all_lines(path: Path) -> frozenset[int]:
    if not path.is_file():
        return frozenset()  # an editor's lock is a link to nothing
    try:
        return frozenset(range(1, len(path.read_bytes().splitlines()) + 1))
    except OSError as error:
        step = "mend its rights, or delete it"
        raise UsageError(f"{path} cannot be read: {error.strerror}", means=UNKNOWN, next_step=step) from error


def read_patch(patch: str, names: Collection[str], packages: Sequence[str]) -> dict[str, frozenset[int]]:
    """Give the added lines by file of the packages; `names` is what git itself says has changed there.

    Raises:
        UsageError: the patch does not tell of the same files.
    """
    reporter = GitDiffReporter("", git_diff=_Patch(patch), ignore_staged=True, ignore_unstaged=True)
    try:
        changed = [str(name) for name in reporter.src_paths_changed() if package_of(name, packages)]
        lines = {name: frozenset[int](reporter.lines_changed(name)) for name in changed}
    except (GitDiffError, ValueError) as error:
        raise UsageError(f"git's diff cannot be read: {plain(str(error))}", means=UNKNOWN) from error
    odd = sorted(lines.keys() ^ set(names))
    if odd:
        raise UsageError(
            f"git's diff cannot be read where it tells of {plain(odd[0])!r}",
            means=UNKNOWN,
            next_step="give the file a name, and folders, of letters, digits, - and _",
        )
    return lines


class _Patch:
    """The part of diff-cover's git that it asks for a patch."""

    range_notation = "..."

    def __init__(self, patch: str) -> None:
        # diff-cover takes `\ No newline at end of file` for a line of the file, and counts on from there.
        self._lines = [line for line in patch.split("\n") if not line.startswith("\\")]

    def diff_committed(self, _against: str) -> str:
        return "\n".join(self._lines)


def measure_change(root: Path, change: Change, covered: Iterable[Covered]) -> list[Changed]:
    """Give the changed files that are measured; the others, and comments, are no statements of anybody's."""
    rows = [(row, change.lines[row.name]) for row in covered if row.name in change.lines]
    files = [weigh(row, first_lines(root / row.name, lines)) for row, lines in rows]
    return [file for file in files if file.sum.lines[1]]


def weigh(row: Covered, starts: Mapping[int, int]) -> Changed:
    """Hold the new lines of a file against what was covered; `starts` maps each to where its statement begins."""
    touched = set(starts.values())
    ran, missed = touched & row.executed, touched & row.missing
    lines = [line for line, start in starts.items() if start in missed]
    idle = {line for line, start in starts.items() if start not in ran | missed}
    return Changed(row.name, Sum((len(ran), len(ran) + len(missed))), find_runs(lines, idle))


def find_runs(lines: Iterable[int], between: Collection[int]) -> tuple[Run, ...]:
    """Join neighbouring lines, over those between them that are no statement: a comment, an empty line."""
    runs: list[Run] = []
    for line in sorted(lines):
        if runs and all(each in between for each in range(runs[-1][1] + 1, line)):
            runs[-1] = (runs[-1][0], line)
        else:
            runs.append((line, line))
    return tuple(runs)


def judge_change(change: Change, changed: Sequence[Changed], floor: int) -> Verdict:
    """Hold the new lines against their floor, in per cent; where nothing measured was changed, that is said."""
    total = sum((file.sum for file in changed), Sum())
    if not total.lines[1]:
        return passed(f"no line that is measured was added since {short(change.since)}")
    told = f"{total.percent} of the {total.lines[1]} lines added since {short(change.since)} are covered"
    if not total.reaches(floor):
        return failed(f"{told}, under the floor of {floor} %", "test the new lines that are named above")
    return passed(f"{told}, and {floor} % are asked for")


def render_change(changed: Sequence[Changed]) -> list[tuple[str, ...]]:
    """Give a row for each changed file, those that lack most first."""
    wanting = sorted(changed, key=lambda file: (file.sum.lines[0] - file.sum.lines[1], file.name))
    rows = [
        (plain(file.name), f"{file.sum.lines[0]} of {file.sum.lines[1]}", file.sum.percent, _ranges(file.uncovered))
        for file in wanting[:SHOWN]
    ]
    rest = [(f"and {len(changed) - SHOWN} more", "", "", "")] if len(changed) > SHOWN else []
    return [("changed", "new lines", "covered", "not covered"), *rows, *rest]


def _ranges(runs: Sequence[Run]) -> str:
    return plain(", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs))
