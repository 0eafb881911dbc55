"""What a function is built from: the included paths of one commit, in a clean folder, with the commit baked in."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scripts.errors import ConfigError, UsageError
from scripts.rehearsal.commits import GitError, git
from scripts.release import Sha, short

BAKED = "baked_commit.txt"
REQUIREMENTS = "requirements.txt"
# Vercel's builder takes the first of these that it finds, and then ignores requirements.txt.
INSTEAD_OF_REQUIREMENTS = ("pyproject.toml", "uv.lock", "pylock.toml", "Pipfile", "Pipfile.lock")
# Where @vercel/python looks for a FastAPI application.
ENTRIES = tuple(
    f"{folder}{name}.py"
    for folder in ("", "src/", "app/", "api/")
    for name in ("app", "index", "server", "main", "wsgi", "asgi")
)


@dataclass(frozen=True)
class Source:
    """An exported commit; `entry` is the module with the application, relative to the folder."""

    folder: Path
    commit: Sha
    entry: PurePosixPath
    left_out: tuple[str, ...]

    @property
    def baked(self) -> PurePosixPath:
        """The file that holds the commit, relative to the folder."""
        return self.entry.with_name(BAKED)


async def export(repository: Path, commit: Sha, include: Sequence[str], folder: Path) -> Source:
    """Put the included paths of a commit into a folder that does not exist yet, and bake the commit in.

    A file whose name begins with `.env` is left out, because the builder would put it into the function.

    Raises:
        UsageError: there is no such commit.
        ConfigError: a path is not in the commit, or the function could not be built from what is.
    """
    archive = folder.with_suffix(".tar")
    await _archive(repository, commit, include, archive)
    left_out = _unpack(archive, folder)
    archive.unlink()
    source = Source(folder, commit, _find_entry(folder), left_out)
    _check(source)
    (folder / source.baked).write_text(f"{commit}\n", encoding="utf-8")
    return source


async def identify(repository: Path, commit: Sha, include: Sequence[str]) -> str:
    """Give an id that two commits share only if all of the included paths are the same."""
    listed = await git("-C", str(repository), "--literal-pathspecs", "ls-tree", "-r", "-z", commit, "--", *include)
    return hashlib.sha256(listed.encode()).hexdigest()


async def _archive(repository: Path, commit: Sha, include: Sequence[str], archive: Path) -> None:
    at = ("-C", str(repository), "--literal-pathspecs")
    try:
        await git(*at, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError as error:
        what = f"commit {short(commit)} is not in {repository}"
        raise UsageError(what, means="Nothing was built.", next_step="`git fetch`, or correct the id") from error
    missing = [path for path in include if not await _holds(at, commit, path)]
    if missing:
        raise ConfigError(
            f"commit {short(commit)} does not hold {', '.join(missing)}, which [vercel].include names",
            means="The function would lack it, so nothing was built.",
            next_step="commit it, or correct [vercel].include in slipway.toml",
        )
    try:
        await git(*at, "archive", "--format=tar", f"--output={archive}", commit, "--", *include)
    except GitError as error:
        raise UsageError(f"commit {short(commit)} cannot be exported: {error}") from error


async def _holds(at: Iterable[str], commit: Sha, path: str) -> bool:
    return bool(await git(*at, "ls-tree", "--name-only", commit, "--", path))


def _unpack(archive: Path, folder: Path) -> tuple[str, ...]:
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        secret = [row for row in members if any(part.startswith(".env") for part in PurePosixPath(row.name).parts)]
        try:
            tar.extractall(folder, [row for row in members if row not in secret], filter="data")
        except tarfile.TarError as error:
            what = f"the commit holds something that cannot be exported: {error}"
            raise ConfigError(what, means="Nothing was built.", next_step="remove it from [vercel].include") from error
    return tuple(row.name for row in secret if not row.isdir())


def _find_entry(folder: Path) -> PurePosixPath:
    for name in (*_configured(folder / "vercel.json"), *ENTRIES):
        if name.endswith(".py") and (folder / name).is_file():
            return PurePosixPath(name)
    raise ConfigError(
        "no entry module was found among the included paths",
        means=f"Vercel takes the first of {', '.join(ENTRIES[:6])} in the root, src, app or api.",
        next_step="name the module's folder in [vercel].include in slipway.toml",
    )


def _configured(file: Path) -> tuple[str, ...]:
    """Give the functions that vercel.json names."""
    try:
        table = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        return tuple(table.get("functions", {}))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ConfigError(f"vercel.json cannot be read: {error}", next_step="mend vercel.json") from error


def _check(source: Source) -> None:
    """Refuse what the builder would accept and build something else from."""
    if not (source.folder / REQUIREMENTS).is_file():
        what = f"{REQUIREMENTS} is not among the included paths"
        means = "Without it nobody knows what may be installed, so nothing was built."
        raise ConfigError(what, means=means, next_step="python3 -m scripts lock, and name it in [vercel].include")
    wrong = [name for name in INSTEAD_OF_REQUIREMENTS if (source.folder / name).exists()]
    if wrong:
        what = f"[vercel].include names {wrong[0]}"
        means = f"Vercel's builder would install what it says and ignore {REQUIREMENTS}; nothing was built."
        raise ConfigError(what, means=means, next_step=f"take {wrong[0]} out of [vercel].include in slipway.toml")
