"""The last step of a build: the archive and then, as the sign that all of it is there, build.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from scripts.artifact import ARCHIVE, DESCRIPTION, Artifact


def withdraw(output: Path) -> None:
    """Remove an earlier artifact, build.json first: a build that fails leaves none behind that could be shipped."""
    for name in (DESCRIPTION, ARCHIVE):
        (output / name).unlink(missing_ok=True)


def publish(packed: Path, artifact: Artifact) -> None:
    """Put the archive into the artifact's folder, and then its description, each by a rename."""
    artifact.folder.mkdir(parents=True, exist_ok=True)
    part = artifact.archive.with_suffix(".part")
    shutil.copyfile(packed, part)
    part.replace(artifact.archive)
    description = artifact.folder / DESCRIPTION
    part = description.with_suffix(".part")
    part.write_text(json.dumps(artifact.as_json(), indent=2) + "\n", encoding="utf-8")
    part.replace(description)
