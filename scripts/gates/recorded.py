"""What a comparison measured, as values and as lines of a file: an epoch's log ratio of each metric, head over base.

A line is `{"epoch": 1, "metric": "throughput", "log_ratio": -0.012}`; other keys are allowed and not read.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.errors import UsageError
from scripts.gates.slower import BY_NAME, METRICS, Comparison, Ratios

SIDES = ("base", "head")
LARGEST = 20.0  # a log ratio: beyond it the two are 500 million times apart, and a file is wrong


@dataclass(frozen=True)
class Figures:
    """What one service did in one epoch."""

    requests: int
    per_s: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float  # of the service, for each request
    client: float  # the busiest users' process: its CPU seconds a second


@dataclass(frozen=True)
class Epoch:
    """One epoch: the log ratio of each metric, and what either service did."""

    number: int
    ratios: Mapping[str, float]
    sides: Mapping[str, Figures]


@dataclass(frozen=True)
class Run:
    """A whole comparison: which commits, with how many users, each epoch, and how it was judged.

    `times` counts the answers of each side by milliseconds, over all epochs. `faults` are what keeps it from being a
    pass, a sentence each; `base_fails` says that one of them is about the base's own requests.
    """

    commits: Mapping[str, str]
    users: int
    workers: int
    measured_s: float
    epochs: tuple[Epoch, ...]
    comparison: Comparison
    times: Mapping[str, Counter[float]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    base_fails: bool = False


def ratios_of(epochs: Iterable[Epoch]) -> Ratios:
    """Give the log ratios by metric, in the order of the epochs."""
    rows = [epoch.ratios for epoch in epochs]
    return {metric.name: [row[metric.name] for row in rows] for metric in METRICS}


def as_lines(epoch: Epoch) -> str:
    """Give an epoch as lines."""
    rows = ({"epoch": epoch.number, "metric": name, "log_ratio": value} for name, value in epoch.ratios.items())
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def read_epochs(path: Path) -> Ratios:
    """Read the log ratios of a file, by metric.

    Raises:
        UsageError: it cannot be read, or a line is broken; or an epoch lacks a metric that others have.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{path} cannot be read: {reason}", next_step="name a file of recorded epochs") from error
    found: dict[str, dict[int, float]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            _take(found, line, f"{path}, line {number}")
    return dict(_whole(found, path))


def _take(found: dict[str, dict[int, float]], line: str, where: str) -> None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    match row:
        case {"epoch": int(epoch), "metric": str(metric), "log_ratio": int() | float() as value}:
            pass
        case _:
            raise _broken(where, 'no {"epoch": 1, "metric": "throughput", "log_ratio": -0.012}')
    if metric not in BY_NAME:
        raise _broken(where, f"{metric[:40]!a} is no metric; there are {', '.join(BY_NAME)}")
    if isinstance(epoch, bool) or isinstance(value, bool) or epoch < 1 or not abs(value) <= LARGEST:
        raise _broken(where, f"an epoch from 1 on and a log ratio within ±{LARGEST:g} are needed")
    if epoch in found.setdefault(metric, {}):
        raise _broken(where, f"{metric} of epoch {epoch} stands there twice")
    found[metric][epoch] = float(value)


def _whole(found: Mapping[str, Mapping[int, float]], path: Path) -> Iterator[tuple[str, Sequence[float]]]:
    last = max((epoch for rows in found.values() for epoch in rows), default=0)
    if not last:
        raise UsageError(f"{path} holds no epoch", means="Nothing was judged.", next_step="record some: load --against")
    if last > sum(map(len, found.values())):
        raise _broken(str(path), "the epochs are not numbered from 1 on without a gap")
    for metric, rows in found.items():
        missing = [epoch for epoch in range(1, last + 1) if epoch not in rows]
        if missing:
            raise _broken(str(path), f"epoch {missing[0]} has no {metric}")
        yield metric, [rows[epoch] for epoch in range(1, last + 1)]


def _broken(where: str, what: str) -> UsageError:
    return UsageError(f"{where}: {what}", means="Nothing was judged.", next_step="mend the file")


def log_ratio(head: float, base: float) -> float:
    """Give ln(head / base); of nothing measured on a side there is none.

    Raises:
        ValueError: a figure is not positive.
    """
    if head <= 0 or base <= 0:
        raise ValueError("nothing was measured")
    return math.log(head / base)
