"""The parts of `build`: what goes in, the builder's surroundings, what may have been installed, what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.release import Sha

ROOT = Path(__file__).resolve().parents[2]
BUILD_LIMIT_S = 600.0


@dataclass(frozen=True)
class Order:
    """What to build: a commit of any clone, and the paths of it that make the function.

    `root` is where the pinned CLI is, `environment` what the builder may inherit from. With `cache`, a folder, a
    commit whose included paths were built before is not built again: for rehearsals only.
    """

    repository: Path
    commit: Sha
    include: tuple[str, ...]
    environment: Mapping[str, str]
    say: Callable[[str], None]
    root: Path = ROOT
    cache: Path | None = None
    limit_s: float = BUILD_LIMIT_S
