"""Append-only events round each change: what `rollback`, `recover` and the report read.

One JSON object a line, flushed to the disk before and after each mutation, so that a run killed at any moment can be
continued. A torn last line (the kill came in the middle of it) is passed over; a torn line elsewhere is an error.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from scripts.clock import Clock
from scripts.errors import PlatformError, UsageError
from scripts.redaction import redact_values

NAME = "journal.jsonl"


class Kind(enum.StrEnum):
    """What an event tells."""

    RELEASE = "release"  # which commit, by which run
    BASELINE = "baseline"  # what served on a target when it was planned
    STAGE_STARTED = "stage_started"
    STAGE_ENDED = "stage_ended"
    INTENT = "intent"  # a mutation is about to be asked for
    DONE = "done"  # the platform took it
    FAILED = "failed"  # the platform refused it
    DEPLOYMENT = "deployment"  # how a deployment ended
    PROOF = "proof"  # a commit was proven to serve on a target
    NOTE = "note"


@dataclass(frozen=True)
class Event:
    """One line of the journal."""

    at: datetime
    kind: Kind
    target: str = ""
    fields: Mapping[str, object] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Give a field as text, empty where it is missing."""
        value = self.fields.get(name)
        return "" if value is None else str(value)


class Journal:
    """The file of one release."""

    def __init__(self, folder: Path, clock: Clock, redact: Callable[[str], str]) -> None:
        self.path = folder / NAME
        self._clock = clock
        self._redact = redact
        self._lock = threading.Lock()  # targets may be at work side by side

    def append(self, kind: Kind, target: str = "", **fields: object) -> None:
        """Write one event and see it on the disk.

        Raises:
            PlatformError: the disk did not take it (exit 12): a change that cannot be journaled must not be made.
        """
        told = {name: redact_values(value, self._redact) for name, value in {"target": target, **fields}.items()}
        line = json.dumps({"at": self._clock.now().isoformat(), "event": kind, **told}, default=_plain) + "\n"
        try:
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                _write(self.path, _after_torn_line(self.path) + line.encode())
        except OSError as error:
            raise PlatformError(
                f"the journal {self.path} could not be written: {error.strerror}",
                means="No change is made that cannot be journaled.",
                next_step="free the disk or choose another folder with --state, then run `recover`",
            ) from error

    def read(self) -> list[Event]:
        """Give every event, oldest first; none where there is no journal yet.

        Raises:
            UsageError: a line that is not the last one is not an event.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().split(b"\n")
        events = [_parse(line) for line in lines if line.strip()]
        broken = [number for number, event in enumerate(events, 1) if event is None]
        torn = [number for number in broken if number < len(events)]
        if torn and not _healed(events, torn):
            raise UsageError(
                f"{self.path} line {torn[0]} is not a journal event",
                means="What this release did cannot be read from it.",
                next_step="run `python3 -m scripts recover` with an empty --state folder",
            )
        return [event for event in events if event is not None]


def _write(path: Path, data: bytes) -> None:
    """Add to a file and see it on the disk; where that fails leave no half of it, as far as the disk allows."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise


def _healed(events: list[Event | None], torn: list[int]) -> bool:
    """Whether every torn line was the last one when a later run began to write: the next event starts a stage."""
    followers = [events[number] for number in torn if number < len(events)]
    return all(event is not None and event.kind is Kind.STAGE_STARTED for event in followers)


def _after_torn_line(path: Path) -> bytes:
    """Give the line end that a killed writer left out: without it the next event would be lost with the torn one."""
    data = path.read_bytes()[-1:] if path.exists() else b""
    return b"\n" if data not in {b"", b"\n"} else b""


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset | tuple):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} does not go into the journal")


def _parse(line: bytes) -> Event | None:
    try:
        row = json.loads(line)
        at, kind, target = datetime.fromisoformat(row.pop("at")), Kind(row.pop("event")), row.pop("target")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Event(at, kind, str(target), row)


def archive(folder: Path) -> None:
    """Move an ended release's files into `past/`, so that the next one begins with an empty journal."""
    old = [path for path in folder.glob("*") if path.is_file()]
    if not old:
        return
    journal = folder / NAME
    stamp = datetime.fromtimestamp((journal if journal in old else old[0]).stat().st_mtime, UTC)
    past = folder / "past" / f"{stamp:%Y%m%dT%H%M%S%f}"
    past.mkdir(parents=True)
    for path in old:
        path.rename(past / path.name)
