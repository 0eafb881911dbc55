"""Outputs of the builder kept for another commit whose included paths are the same, so that a rehearsal builds once.

Honest because the commit is in one file of the function only: that one is written anew, and whatever comes out is
packed, started and asked like any other build. A release never uses this.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.building.pack import OUTPUT, find_functions
from scripts.building.source import Source, identify
from scripts.building.surroundings import Tools

UV_CACHE = Path(".vercel") / "python" / "cache"


@dataclass(frozen=True)
class Kept:
    """A place for one output, in a folder that a caller gives to several builds."""

    place: Path

    @classmethod
    async def find(cls, cache: Path, repository: Path, source: Source, include: tuple[str, ...], tools: Tools) -> Kept:
        """Give the place for what these tools make of these paths."""
        paths = await identify(repository, source.commit, include)
        key = "\n".join((paths, *include, tools.cli_version, tools.runtime.read_text(encoding="utf-8")))
        return cls(cache / hashlib.sha256(key.encode()).hexdigest())

    def restore(self, source: Source) -> bool:
        """Put the kept output into a source's folder, with the source's own commit in it; False where there is none."""
        if not self.place.is_dir():
            return False
        output = source.folder / OUTPUT
        shutil.copytree(self.place, output, symlinks=True)
        for function in find_functions(output):
            shutil.copyfile(source.folder / source.baked, function / source.baked)
        return True

    def store(self, source: Source) -> None:
        """Keep the output of a source; of two builds at the same time the first is kept."""
        self.place.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix="part-", dir=self.place.parent))
        try:
            shutil.copytree(source.folder / OUTPUT, part, symlinks=True, dirs_exist_ok=True)
            if not self.place.exists():
                part.rename(self.place)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def share_downloads(cache: Path, folder: Path) -> None:
    """Let the builder, which insists on a package cache inside its folder, use one that outlives it."""
    shared = cache / "uv"
    shared.mkdir(parents=True, exist_ok=True)
    (folder / UV_CACHE).parent.mkdir(parents=True, exist_ok=True)
    (folder / UV_CACHE).symlink_to(shared.resolve(), target_is_directory=True)
