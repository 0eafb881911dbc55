"""The journal: what is written is read, a kill in the middle of a line loses that line only, and no secret is in it."""

import json
import os
import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.errors import PlatformError, UsageError
from scripts.journal import NAME, Event, Journal, Kind, archive
from scripts.redaction import Redactor, Secret
from scripts.release import DeployState, Release, Sha
from tests.unit.fakes import START, FakeClock

SECRET = "rnd_5Zq8wKx1"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def journal_in(folder: Path, *secrets: str) -> Journal:
    """Open a journal in a folder, with secrets that it must not hold."""
    return Journal(folder, FakeClock(), Redactor(Secret(secret) for secret in secrets))


def append_raw(journal: Journal, text: bytes) -> None:
    """Write bytes as a killed run may have left them."""
    with journal.path.open("ab") as file:
        file.write(text)


def torn(journal: Journal) -> bytes:
    """Give half of an event's line, as a kill in the middle of a write leaves it."""
    return journal.path.read_bytes().splitlines()[0][:25]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow past a size, as a full disk does: the last write is cut short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_journal_is_no_events(tmp_path: Path) -> None:
    """Where nothing was written there are no events, and reading makes no file."""
    journal = journal_in(tmp_path / "state")
    assert journal.read() == []
    assert not (tmp_path / "state").exists()


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Every kind of event comes back in order, with its time, target and fields."""
    clock = FakeClock()
    journal = Journal(tmp_path / "deep" / "state", clock, Redactor())
    for number, kind in enumerate(Kind):
        journal.append(kind, "render", number=number, text="ü | \n\\", none=None, rows=["a"])
        clock.advance(1.5)
    events = journal.read()
    assert [event.kind for event in events] == list(Kind)
    assert [(event.at - START).total_seconds() for event in events] == [1.5 * place for place in range(len(Kind))]
    assert events[3].target == "render"
    assert events[3].fields == {"number": 3, "text": "ü | \n\\", "none": None, "rows": ["a"]}


def test_values_of_ours_become_plain(tmp_path: Path) -> None:
    """Times, sets, tuples and states are written as text and lists; a set in an order that never changes."""
    journal = journal_in(tmp_path)
    release = Release(Sha("a" * 40), "1-1", datetime(2026, 1, 2, tzinfo=UTC), ("render",))
    journal.append(Kind.RELEASE, **asdict(release))
    journal.append(Kind.INTENT, "render", known=frozenset({"b", "a"}), ids={"d", "c"}, state=DeployState.LIVE)
    first, second = journal.read()
    assert first.fields["started_at"] == "2026-01-02T00:00:00+00:00"
    assert first.fields["targets"] == ["render"]
    assert second.fields == {"known": ["a", "b"], "ids": ["c", "d"], "state": "live"}


def test_what_does_not_belong_is_not_written(tmp_path: Path) -> None:
    """A value that is not ours to write, a secret above all, is refused before the file is touched."""
    journal = journal_in(tmp_path)
    with pytest.raises(TypeError, match="Secret does not go into the journal"):
        journal.append(Kind.NOTE, token=Secret(SECRET))
    assert not journal.path.exists()


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (5, "5"), (None, ""), (False, "False")])
def test_a_field_as_text(value: object, text: str) -> None:
    """A field is given as text; one that is null or missing is empty."""
    event = Event(START, Kind.NOTE, fields={"name": value})
    assert (event.text("name"), event.text("other")) == (text, "")


def test_one_event_is_one_line(tmp_path: Path) -> None:
    """A line end within a text does not end the event's line."""
    journal = journal_in(tmp_path)
    journal.append(Kind.NOTE, text="a\nb\r\n\u2028c")
    journal.append(Kind.NOTE, text="d")
    assert journal.path.read_bytes().count(b"\n") == 2
    assert [event.text("text") for event in journal.read()] == ["a\nb\r\n\u2028c", "d"]


@given(st.lists(st.tuples(st.sampled_from(Kind), TEXTS, TEXTS), max_size=5), st.data())
@settings(max_examples=40)
def test_a_kill_loses_the_last_line_only(rows: list[tuple[Kind, str, str]], data: st.DataObject) -> None:
    """Wherever a file ends, every whole line of it is read, and the torn one is passed over."""
    with tempfile.TemporaryDirectory() as folder:
        journal = journal_in(Path(folder))
        for kind, target, text in rows:
            journal.append(kind, target, text=text)
        whole = journal.path.read_bytes() if rows else b""
        end = data.draw(st.integers(0, len(whole)))
        journal.path.write_bytes(whole[:end])
        # A line that lacks nothing but its line end is whole.
        lines = sum(len(line) <= end for line in _ends(whole))
        told = [(event.kind, event.target, event.text("text")) for event in journal.read()]
    assert told == rows[:lines]


def _ends(data: bytes) -> list[bytes]:
    """Give the beginning of a file up to each line's end."""
    places = [place for place, byte in enumerate(data) if byte == ord("\n")]
    return [data[:place] for place in places]


def test_a_stage_begins_after_a_torn_line(tmp_path: Path) -> None:
    """The next run begins on a line of its own, so its first event is not lost with the torn one."""
    journal = journal_in(tmp_path)
    journal.append(Kind.INTENT, "render", action="deploy")
    append_raw(journal, torn(journal))
    journal.append(Kind.STAGE_STARTED, stage="rollback")
    journal.append(Kind.NOTE, text="more")
    assert [event.kind for event in journal.read()] == [Kind.INTENT, Kind.STAGE_STARTED, Kind.NOTE]


def test_runs_may_be_killed_more_than_once(tmp_path: Path) -> None:
    """Each of several kills loses its own line, the last one at the end of the file too."""
    journal = journal_in(tmp_path)
    for stage in ("deploy", "rollback", "recover"):
        journal.append(Kind.STAGE_STARTED, stage=stage)
        append_raw(journal, torn(journal))
    assert [event.text("stage") for event in journal.read()] == ["deploy", "rollback", "recover"]


def test_a_journal_of_one_torn_line_is_empty(tmp_path: Path) -> None:
    """A run that was killed in its very first event has left no event."""
    journal = journal_in(tmp_path)
    append_raw(journal, b'{"at": "2026-')
    assert journal.read() == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"at": "2026-03-04T05:06:07+00:00", "event": "done", "tar',
        b"not JSON",
        b"[]",
        b"5",
        b"\xff\xfe",
        b'{"event": "note", "target": ""}',
        b'{"at": "never", "event": "note", "target": ""}',
        b'{"at": 5, "event": "note", "target": ""}',
        b'{"at": "2026-03-04T05:06:07+00:00", "event": "unheard-of", "target": ""}',
        b'{"at": "2026-03-04T05:06:07+00:00", "event": "note"}',
    ],
)
def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path, line: bytes) -> None:
    """A line that is no event, with others after it, stops what needs the journal, with its number and a way out."""
    journal = journal_in(tmp_path)
    journal.append(Kind.INTENT, "render", action="deploy")
    append_raw(journal, line + b"\n")
    assert [event.kind for event in journal.read()] == [Kind.INTENT]
    journal.append(Kind.DONE, "render", action="deploy")
    with pytest.raises(UsageError, match="line 2 is not a journal event") as caught:
        journal.read()
    assert caught.value.exit_code == 2
    assert "recover" in caught.value.next_step


def test_one_healed_line_does_not_heal_another(tmp_path: Path) -> None:
    """A torn line that a new run followed does not excuse one that something else followed, nor two in a row."""
    journal = journal_in(tmp_path)
    journal.append(Kind.NOTE)
    append_raw(journal, b"torn")
    journal.append(Kind.STAGE_STARTED, stage="deploy")
    append_raw(journal, b"torn\ntorn")
    journal.append(Kind.STAGE_STARTED, stage="rollback")
    with pytest.raises(UsageError, match="line 2"):
        journal.read()


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    """An empty line is no event and no fault."""
    journal = journal_in(tmp_path)
    journal.append(Kind.NOTE, text="a")
    append_raw(journal, b"\n  \n")
    journal.append(Kind.NOTE, text="b")
    assert [event.text("text") for event in journal.read()] == ["a", "b"]


def test_a_folder_that_cannot_be_written_stops_the_change(tmp_path: Path) -> None:
    """A journal that cannot be written is exit 12 with a way out, because no change is made that is not journaled."""
    (tmp_path / "file").write_text("in the way")
    journal = journal_in(tmp_path / "file" / "state")
    with pytest.raises(PlatformError, match="could not be written: ") as caught:
        journal.append(Kind.INTENT, "render", action="deploy")
    assert caught.value.exit_code == 12
    assert str(journal.path) in caught.value.what
    assert "--state" in caught.value.next_step
    assert isinstance(caught.value.__cause__, OSError)


def test_a_full_disk_stops_the_change(tmp_path: Path) -> None:
    """A disk that takes only part of an event is exit 12, and the events before it are still read."""
    journal = journal_in(tmp_path)
    journal.append(Kind.NOTE, text="before")
    with file_size_limit(journal.path.stat().st_size + 20), pytest.raises(PlatformError, match="File too large"):
        journal.append(Kind.INTENT, "render", action="deploy")
    assert [event.text("text") for event in journal.read()] == ["before"]


def test_a_stage_that_ends_after_a_full_disk_can_be_read(tmp_path: Path) -> None:
    """What a stage writes after a failed write does not make the journal unreadable for the rollback."""
    journal = journal_in(tmp_path)
    journal.append(Kind.STAGE_STARTED, stage="deploy")
    with file_size_limit(journal.path.stat().st_size + 20), pytest.raises(PlatformError):
        journal.append(Kind.INTENT, "render", action="deploy")
    journal.append(Kind.STAGE_ENDED, stage="deploy", outcome="error")
    assert [event.kind for event in journal.read()] == [Kind.STAGE_STARTED, Kind.STAGE_ENDED]


def test_no_secret_is_written(tmp_path: Path) -> None:
    """Secrets and a hook's key are replaced on their way to the file, in every field."""
    hook = "https://api.render.com/deploy/srv-abc?key=aB3-xYz9Q"
    journal = journal_in(tmp_path, SECRET, hook)
    journal.append(Kind.FAILED, "render", reason=f"refused {SECRET}", url=hook, rows=["key aB3-xYz9Q"])
    journal.append(Kind.NOTE, SECRET, deep={"rows": ({"text": SECRET}, {SECRET})}, known=frozenset({hook}))
    written = journal.path.read_text()
    assert SECRET not in written
    assert "aB3-xYz9Q" not in written
    assert journal.read()[0].text("reason") == "refused [redacted]"


@pytest.mark.parametrize("secret", ['pass"word', "back\\slash", "tab\tbed"])
def test_no_secret_is_written_escaped(tmp_path: Path, secret: str) -> None:
    """A secret with a quote, a backslash or a control character is replaced too."""
    journal = journal_in(tmp_path, secret)
    journal.append(Kind.NOTE, text=f"token {secret}")
    assert secret not in journal.read()[0].text("text")


@pytest.mark.parametrize("secret", ["event", "stage_started", "2026", '": "'])
def test_a_weak_secret_does_not_destroy_the_journal(tmp_path: Path, secret: str) -> None:
    """A secret that happens to be a word of the journal's own does not keep a rollback from reading it."""
    journal = journal_in(tmp_path, secret)
    journal.append(Kind.STAGE_STARTED, stage="deploy")
    assert [event.kind for event in journal.read()] == [Kind.STAGE_STARTED]


def test_any_text_of_a_platform_is_written(tmp_path: Path) -> None:
    """A platform's message with half of a surrogate pair in it does not stop a stage's end from being written."""
    journal = journal_in(tmp_path)
    message = json.loads('"bad \\ud800"')
    journal.append(Kind.STAGE_ENDED, stage="deploy", outcome="error", reason=message)
    assert journal.read()[0].text("reason").startswith("bad ")


def test_archive_moves_the_files_of_an_ended_release(tmp_path: Path) -> None:
    """An ended release's files go into a folder of its own under `past`, so the next one has an empty journal."""
    for number in range(2):
        journal = journal_in(tmp_path)
        journal.append(Kind.NOTE, text=f"release {number}")
        (tmp_path / "release.json").write_text(str(number))
        os.utime(journal.path, (1_700_000_000 + number, 1_700_000_000 + number))
        archive(tmp_path)
        assert journal.read() == []
    pasts = sorted((tmp_path / "past").iterdir())
    assert [path.name for path in pasts] == ["20231114T221320000000", "20231114T221321000000"]
    for number, past in enumerate(pasts):
        assert {path.name for path in past.iterdir()} == {NAME, "release.json"}
        assert (past / "release.json").read_text() == str(number)
        assert journal_in(past).read()[0].text("text") == f"release {number}"
    assert [path.name for path in tmp_path.iterdir()] == ["past"]


def test_archive_of_a_folder_without_a_journal(tmp_path: Path) -> None:
    """Files without a journal, which a run killed early may leave, are moved too."""
    (tmp_path / "release.json").write_text("{}")
    archive(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["past"]
    assert [path.name for path in (tmp_path / "past").glob("*/*")] == ["release.json"]


def test_archive_of_nothing_makes_nothing(tmp_path: Path) -> None:
    """Where there is no journal nothing is moved and nothing is made."""
    archive(tmp_path)
    archive(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
