"""Every probe of a release, one JSON object a line, beside its journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from scripts.verdict import Sample


def append_samples(
    folder: Path, target: str, samples: Iterable[Sample], redact: Callable[[str], str] = lambda text: text
) -> None:
    """Add samples to `samples-<target>.jsonl`; they are evidence for people, so nothing is decided from this file.

    A reason may repeat what a service echoes: `redact` takes the secrets out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(_row(sample, redact)) for sample in samples]
    with (folder / f"samples-{target}.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)


def _row(sample: Sample, redact: Callable[[str], str]) -> dict[str, object]:
    told = {"t_s": round(sample.t_s, 3), "ms": round(sample.ms, 2), "reason": redact(sample.reason)}
    return {**asdict(sample), **told}
