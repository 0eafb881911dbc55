"""Every probe of a release, one JSON object a line, beside its journal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from scripts.verdict import Sample


def append_samples(folder: Path, target: str, samples: Iterable[Sample]) -> None:
    """Add samples to `samples-<target>.jsonl`; they are evidence for people, so nothing is decided from this file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({**asdict(row), "t_s": round(row.t_s, 3), "ms": round(row.ms, 2)}) for row in samples]
    with (folder / f"samples-{target}.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
