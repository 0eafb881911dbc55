"""What the locks were made from, and the locks, as one sha256 in a committed file: has any of it changed since?

It spares a laptop the resolving, and proves nothing to anybody else: whoever falsifies a lock can make its fingerprint
anew. So it is never looked at under CI, where the locks are always resolved. Standard library only: the job that
proposes newer pins makes the file beside its secrets.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
import re
from collections.abc import Collection, Mapping
from pathlib import Path

FILE = ".lock-fingerprint"
PYTHON = ".python-version"
LARGEST = 4096  # bytes; ours has a comment and a line
TOLD = "# Of the .in files, the locks and .python-version: while it holds, `lock check` on a laptop resolves nothing."
NONE = "none: the .in files rest on more than the files that can be seen"

COMMENT = re.compile(r"(?:^|\s+)#.*$")
NAMES_A_FILE = re.compile(r"(?:-[rc]|--requirement|--constraint)[ =]?\s*([\w./-]+)")
# A name, extras, versions, a marker: nothing that leads to an address, a variable or a folder of this machine.
REQUIREMENT = re.compile(
    r"(?![^\s\[;<>=!~]*\.(?:whl|zip|tar|tgz|tbz|txz|tlz)\b)"
    r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[\w\s,.-]*\])?\s*(?:[(;<>=!~][^@/\\$:]*)?"
)

Files = Mapping[str, bytes]  # content by path below the root


def read_sources(root: Path, locks: Collection[str]) -> Files:
    """Read what locks are made from: each one's .in file, what those name, and .python-version.

    Nothing at all where a part is out of sight: a file that is missing, an address, a folder, a variable. Read it
    before the locks are made: of what is changed meanwhile the fingerprint then does not hold.
    """
    found: dict[str, bytes] = {}
    due = [PYTHON, *(f"{path.removesuffix('.txt')}.in" for path in locks)]
    while due:
        path = due.pop()
        if path in found or path in locks:
            continue
        content = _read(root / path)
        named = [] if path == PYTHON else _named_in(path, content)
        if content is None or named is None:
            return {}
        found[path] = content
        due += named
    return found


def _read(file: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        return file.read_bytes()
    return None


def _named_in(path: str, content: bytes | None) -> list[str] | None:
    """Give the files that a .in file names; None where it names something else."""
    try:
        lines = [COMMENT.sub("", line).strip() for line in (content or b"").decode().splitlines()]
    except UnicodeDecodeError:
        return None
    named = []
    for line in filter(None, lines):
        if match := NAMES_A_FILE.fullmatch(line):
            named.append(posixpath.normpath(posixpath.join(posixpath.dirname(path), match[1])))
        elif not REQUIREMENT.fullmatch(line):
            return None
    return None if any(name.startswith(("/", "../")) for name in named) else named


def render_fingerprint(sources: Files, locks: Files) -> str:
    """Give the file's text; the pinned pip-tools is in it as a line of a lock. Without sources it never holds."""
    if not sources:
        return f"{TOLD}\n{NONE}\n"
    digest = hashlib.sha256()
    for path, content in sorted({**sources, **locks}.items()):
        digest.update(f"{len(path)} {path} {len(content)} ".encode() + content)  # lengths: no byte can change files
    return f"{TOLD}\nsha256:{digest.hexdigest()}\n"


def holds(root: Path, locks: Files) -> bool:
    """Say whether the committed fingerprint is that of what is here; a torn, strange or missing one is not."""
    sources = read_sources(root, locks)
    return bool(sources) and read_fingerprint(root) == render_fingerprint(sources, locks)


def read_fingerprint(root: Path) -> str:
    """Give the committed file's text, empty where there is none that can be read."""
    with contextlib.suppress(OSError), (root / FILE).open("rb") as file:
        return file.read(LARGEST).decode("utf-8", "replace")
    return ""


def is_ci(environment: Mapping[str, str]) -> bool:
    """Say whether this is a run of CI; what merely might be one counts as one."""
    told = (environment.get(name, "").strip().lower() for name in ("CI", "GITHUB_ACTIONS"))
    return any(value not in {"", "0", "false", "no"} for value in told)
