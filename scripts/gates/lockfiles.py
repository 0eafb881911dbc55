"""The locks as files of a checkout: which there are, and how they are read and written; and what a finding is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.clock import Clock
from scripts.console import Console
from scripts.errors import UsageError
from scripts.interpreters import read_wanted

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements", "scripts/requirements", "requirements-dev")  # in this order: each keeps to those before it
MEND = "python3 -m scripts lock"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in a line, and what shows it."""

    what: str
    detail: str = ""
    next_step: str = MEND


@dataclass(frozen=True)
class Gate:
    """A checkout, and what its locks are judged with."""

    root: Path
    environment: Mapping[str, str]
    console: Console
    clock: Clock


def expect_python(root: Path) -> None:
    """Refuse another Python than the locks are made for: what a package needs depends on it."""
    running, wanted = f"{sys.version_info.major}.{sys.version_info.minor}", read_wanted(root)
    if running != wanted:
        raise UsageError(
            f"the locks are made for Python {wanted}, as .python-version says, and this is {running}",
            means="It would give others.",
            next_step=f"install Python {wanted}, remove .venv, then run the command again",
        )


def expect_sources(root: Path) -> None:
    """Refuse a checkout without its .in files."""
    for path in paths("in"):
        read_bytes(root, path)


def paths(suffix: str) -> list[str]:
    """Give the path of each lock, or of each .in file."""
    return [f"{name}.{suffix}" for name in LOCKS]


def read_bytes(root: Path, path: str, absent: bytes | None = None) -> bytes:
    """Read a file as it is, its line ends too.

    Raises:
        UsageError: it is missing, and nothing stands for it, or it cannot be read.
    """
    try:
        return (root / path).read_bytes()
    except OSError as error:
        if absent is not None and isinstance(error, FileNotFoundError):
            return absent
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            means="Without it the locks cannot be judged.",
            next_step=MEND if path.endswith(".txt") else f"git checkout -- {path}",
        ) from error


def write_all(files: Mapping[Path, str]) -> None:
    """Write files, all or none, by drafts and renames, so that no reader sees half of one.

    Raises:
        UsageError: one cannot be written.
    """
    drafts = {path: path.with_name(f"{path.name}.part") for path in files}
    try:
        for path, draft in drafts.items():
            draft.write_bytes(files[path].encode())
        for path, draft in drafts.items():
            draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"{', '.join(path.name for path in files)} cannot be written: {error.strerror}",
            means="The locks are as they were.",
            next_step="look at the folder's rights and at the free space",
        ) from error
    finally:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink()
