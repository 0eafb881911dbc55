"""The files that were uploaded, kept by content: what is stored twice is stored once, and so is what is unpacked.

An upload is a file of the deployment, or a part of one archive with all of them (`vercel deploy --archive=tgz`).
"""

import asyncio
import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SHA1 = re.compile(r"[0-9a-f]{40}")
ARCHIVE_PART = re.compile(r"\.vercel/source\.tgz\.part(\d+)")
UPLOAD_LIMIT_BYTES = 250 * 1024 * 1024
OUTPUT = PurePosixPath(".vercel/output")

type Fill = Callable[[Path], None]


class RefusedUploadError(Exception):
    """Something about an upload or a list of files that the API does not take."""


@dataclass(frozen=True)
class Listed:
    """One file as the request for a deployment lists it; its content is named by `sha1`."""

    path: str
    sha1: str
    mode: int


class Files:
    """Uploads and unpacked deployments below one folder; `trees`, where they are shared, is elsewhere."""

    def __init__(self, folder: Path, trees: Path | None = None) -> None:
        self.made: list[Path] = []
        self._uploads = folder / "uploads"
        self._trees = trees or folder / "trees"
        self._work = folder / "work"
        for each in (self._uploads, self._trees, self._work):
            each.mkdir(parents=True, exist_ok=True)

    async def store(self, sha1: str, size: int, content: AsyncIterable[bytes]) -> None:
        """Keep an upload; raises RefusedUploadError if its digest or size is another."""
        if not SHA1.fullmatch(sha1):
            raise RefusedUploadError("x-now-digest is not a SHA-1")
        received = hashlib.sha1(usedforsecurity=False)
        total = 0
        with tempfile.NamedTemporaryFile(dir=self._work, delete_on_close=False) as taken:
            async for piece in content:
                received.update(piece)
                total += len(piece)
                if total > UPLOAD_LIMIT_BYTES:
                    raise RefusedUploadError(f"over {UPLOAD_LIMIT_BYTES} bytes")
                taken.write(piece)
            taken.flush()
            if (received.hexdigest(), total) != (sha1, size):
                raise RefusedUploadError(f"expected {sha1} of {size} bytes, got {received.hexdigest()} of {total}")
            shutil.copyfile(taken.name, self._uploads / sha1)

    def missing(self, listed: Sequence[Listed]) -> list[str]:
        """Tell the digests of the files that were never uploaded."""
        return sorted({each.sha1 for each in listed if not (self._uploads / each.sha1).is_file()})

    async def unpack(self, listed: Sequence[Listed]) -> Path:
        """Give the `.vercel/output` of a deployment; raises RefusedUploadError if there is none."""
        named = "\n".join(sorted(f"{each.sha1} {each.mode} {each.path}" for each in listed))
        key = hashlib.sha256(named.encode()).hexdigest()
        return await asyncio.to_thread(self._unpacked, key, lambda into: self._lay_out(listed, into))

    async def adopt(self, source: Path) -> Path:
        """Take a built `.vercel/output`, or an archive that holds one; raises RefusedUploadError."""
        return await asyncio.to_thread(self._adopted, source)

    def _adopted(self, source: Path) -> Path:
        key = hashlib.sha256(source.read_bytes()).hexdigest() if source.is_file() else ""
        return self._unpacked(key, lambda into: _copy_in(source, into))

    def _unpacked(self, key: str, fill: Fill) -> Path:
        """Give the tree of what is named by `key`, unpacked once; without a key it is unpacked each time."""
        link = self._trees / f"of-{key}"
        if key and link.exists():
            return link.resolve()
        with tempfile.TemporaryDirectory(dir=self._work, ignore_cleanup_errors=True) as work:
            fill(Path(work))
            output = Path(work) / OUTPUT
            if not (output / "config.json").is_file():
                raise RefusedUploadError("the deployment holds no .vercel/output/config.json")
            tree = self._trees / _digest(output)
            if not tree.exists():
                output.rename(tree)
                self.made.append(tree)
            if key:
                link.symlink_to(tree.name)
            return tree.resolve()

    def _lay_out(self, listed: Sequence[Listed], into: Path) -> None:
        parts = sorted((each for each in listed if ARCHIVE_PART.fullmatch(each.path)), key=_part_number)
        if parts:
            _extract(self._joined([each.sha1 for each in parts], into), into)
        for each in (each for each in listed if each not in parts):
            path = into / _inside(each.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._uploads / each.sha1, path)
            path.chmod(0o755 if each.mode & 0o100 else 0o644)

    def _joined(self, parts: Sequence[str], into: Path) -> Path:
        archive = into / "source.tgz"
        with archive.open("wb") as whole:
            for sha1 in parts:
                whole.write((self._uploads / sha1).read_bytes())
        return archive


def _copy_in(source: Path, into: Path) -> None:
    if source.is_file():
        _extract(source, into)
    else:
        shutil.copytree(source, into / OUTPUT, symlinks=True)


def _extract(archive: Path, into: Path) -> None:
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(into, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RefusedUploadError(f"the archive cannot be unpacked: {error}") from error


def _part_number(part: Listed) -> int:
    found = ARCHIVE_PART.fullmatch(part.path)
    return int(found[1]) if found else 0


def _inside(path: str) -> PurePosixPath:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise RefusedUploadError(f"{path} is not a path inside the deployment")
    return parts


def _digest(tree: Path) -> str:
    """Name a tree by its paths, their modes and what is in them."""
    total = hashlib.sha256()
    for path in sorted(_leaves(tree)):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        runs = b"l" if path.is_symlink() else b"x" if path.stat().st_mode & 0o100 else b"-"
        name = str(path.relative_to(tree)).encode()
        total.update(b"%s %d %s %d\n" % (runs, len(name), name, len(content)) + content)
    return total.hexdigest()[:32]


def _leaves(tree: Path) -> Iterator[Path]:
    return (path for path in tree.rglob("*") if path.is_symlink() or not path.is_dir())
