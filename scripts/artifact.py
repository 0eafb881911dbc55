"""What `build` leaves and `deploy` ships: one archive, and a build.json that names its commit and its sha256.

Part of the release path: an archive that is not the one build.json names, or of another commit, is never unpacked.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.errors import UsageError
from scripts.release import Sha, parse_sha, short

ARCHIVE = "vercel.tar.gz"
DESCRIPTION = "build.json"
VERSION = 1


@dataclass(frozen=True)
class Artifact:
    """A built commit in a folder; sizes in bytes, `packages` a count, `cli` and `python` the versions that made it."""

    folder: Path
    commit: Sha
    sha256: str
    archive_bytes: int
    bundle_bytes: int
    packages: int
    cli: str
    python: str

    @property
    def archive(self) -> Path:
        """The path of the archive."""
        return self.folder / ARCHIVE

    def as_json(self) -> dict[str, object]:
        """Give what build.json holds."""
        told = {name: value for name, value in asdict(self).items() if name != "folder"}
        return {"version": VERSION, "commit": told.pop("commit"), "archive": ARCHIVE, **told}

    def unpack(self, into: Path) -> None:
        """Unpack into a folder, which then holds what `vercel deploy --prebuilt` needs.

        Raises:
            UsageError: the archive is broken, or holds something that would be written elsewhere.
        """
        try:
            with tarfile.open(self.archive) as archive:
                archive.extractall(into, filter="data")
        except (OSError, EOFError, tarfile.TarError) as error:
            raise _unusable(self.archive, f"cannot be unpacked: {error}") from error


def read_artifact(folder: Path, commit: Sha) -> Artifact:
    """Read the artifact of a commit and compare the archive with its sha256.

    Raises:
        UsageError: it is missing, broken, not the archive that was built, or of another commit.
    """
    artifact = _parse(folder, _read(folder / DESCRIPTION))
    if artifact.commit != commit:
        what = f"is of commit {short(artifact.commit)}, and {short(commit)} is to be released"
        raise _unusable(folder / DESCRIPTION, what)
    found = hash_file(artifact.archive)
    if found != artifact.sha256:
        raise _unusable(artifact.archive, f"has sha256 {found}, and {DESCRIPTION} names {artifact.sha256}")
    return artifact


def hash_file(path: Path) -> str:
    """Give the sha256 of a file, in hex.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error


def _read(path: Path) -> Mapping[str, object]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unusable(path, f"cannot be read: {error}") from error
    if not isinstance(table, dict) or table.get("version") != VERSION:
        raise _unusable(path, f"is no build description of version {VERSION}")
    return table


def _parse(folder: Path, table: Mapping[str, object]) -> Artifact:
    commit = parse_sha(table.get("commit"))
    if commit is None or table.get("archive") != ARCHIVE:
        raise _unusable(folder / DESCRIPTION, "names no full commit, or another archive")
    return Artifact(
        folder=folder,
        commit=commit,
        sha256=_text(folder, table, "sha256"),
        archive_bytes=_count(folder, table, "archive_bytes"),
        bundle_bytes=_count(folder, table, "bundle_bytes"),
        packages=_count(folder, table, "packages"),
        cli=_text(folder, table, "cli"),
        python=_text(folder, table, "python"),
    )


def _text(folder: Path, table: Mapping[str, object], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise _unusable(folder / DESCRIPTION, f"says {key} = {value!r}, and a text is needed")
    return value


def _count(folder: Path, table: Mapping[str, object], key: str) -> int:
    value = table.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _unusable(folder / DESCRIPTION, f"says {key} = {value!r}, and a whole number is needed")
    return value


def _unusable(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path} {what}",
        means="There is no artifact that could be released on Vercel; nothing was changed.",
        next_step="python3 -m scripts build --commit SHA, or download the artifact of this run's build job again",
    )
