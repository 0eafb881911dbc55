"""What earlier attempts of a run kept, and which of it a recovery goes on from."""

from pathlib import Path

import pytest

from scripts.clock import SystemClock
from scripts.errors import UsageError
from scripts.journal import Journal, Kind
from scripts.kept import Kept, adopt, choose
from scripts.release import Stage
from scripts.state import replay

NEW, OLD = "a" * 40, "b" * 40


def keep(folder: Path, attempt: int, *, whole: bool) -> None:
    """Write what an attempt keeps: a plan that passed, and with `whole` a deploy that was refused."""
    journal = Journal(folder, SystemClock(), str)
    journal.append(Kind.STAGE_STARTED, stage=Stage.PLAN)
    journal.append(
        Kind.RELEASE, commit=NEW, run_id=f"77-{attempt}", started_at="2026-01-02T03:04:05+00:00", targets=["render"]
    )
    journal.append(Kind.BASELINE, "render", commit=OLD, deployment_id="dep-1", proven=True, healthy=True)
    journal.append(Kind.STAGE_ENDED, stage=Stage.PLAN, outcome="pass", reason="fine", exit_code=0)
    if whole:
        journal.append(Kind.STAGE_STARTED, stage=Stage.DEPLOY)
        journal.append(Kind.STAGE_ENDED, stage=Stage.DEPLOY, outcome="error", reason="no", exit_code=12)


def read_attempt(state: Path) -> tuple[int, int]:
    """Give which attempt's journal is in a state folder, and how many events it has."""
    events = Journal(state, SystemClock(), str).read()
    release = replay(events).release
    return (release.attempt if release else 0), len(events)


@pytest.mark.parametrize(
    ("kept", "due"),
    [
        ({"release-1-baseline": (1, False)}, (1, 4)),
        ({"release-1-baseline": (1, False), "release-1-journal": (1, True)}, (1, 6)),
        # The second attempt lost its machine: the first one's journal would tell that nothing was asked for.
        ({"release-1-baseline": (1, False), "release-1-journal": (1, True), "release-2-baseline": (2, False)}, (2, 4)),
        ({"release-9-journal": (9, True), "release-10-baseline": (10, False)}, (10, 4)),
        ({".": (3, True)}, (3, 6)),  # one artifact alone is unpacked without a folder of its own
    ],
)
def test_the_newest_attempt_tells(tmp_path: Path, kept: dict[str, tuple[int, bool]], due: tuple[int, int]) -> None:
    """The newest attempt's files are taken up, its journal rather than its baseline, and no other attempt's."""
    for name, (attempt, whole) in kept.items():
        keep(tmp_path / "kept" / name, attempt, whole=whole)
    (tmp_path / "kept" / "samples-render.jsonl").write_text("")
    assert adopt(tmp_path / "kept", tmp_path / "state")
    assert read_attempt(tmp_path / "state") == due


def test_a_journal_that_is_there_stays(tmp_path: Path) -> None:
    """What the state folder has is not replaced."""
    keep(tmp_path / "state", 1, whole=True)
    keep(tmp_path / "kept", 2, whole=False)
    assert adopt(tmp_path / "kept", tmp_path / "state")
    assert read_attempt(tmp_path / "state") == (1, 6)


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_was_kept(tmp_path: Path, *, exists: bool) -> None:
    """Without a journal, in an empty folder or in none, there is nothing to take up, and nothing is written."""
    if exists:
        (tmp_path / "kept" / "release-1-journal").mkdir(parents=True)
        (tmp_path / "kept" / "release-1-journal" / "release.json").write_text("{}")
    assert not adopt(tmp_path / "kept", tmp_path / "state")
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("text", ["", "torn", "[]\n{}\n", '{"at": "x"}\n'])
def test_what_cannot_be_read_is_passed_over(tmp_path: Path, text: str) -> None:
    """A torn journal beside a whole baseline costs nothing; alone it is exit 2, since nobody knows what it told."""
    (tmp_path / "torn" / "release-2-journal").mkdir(parents=True)
    (tmp_path / "torn" / "release-2-journal" / "journal.jsonl").write_text(text)
    with pytest.raises(UsageError, match="cannot be read"):
        adopt(tmp_path / "torn", tmp_path / "state")
    keep(tmp_path / "torn" / "release-2-baseline", 2, whole=False)
    assert adopt(tmp_path / "torn", tmp_path / "state")
    assert read_attempt(tmp_path / "state") == (2, 4)


def test_links_are_not_followed(tmp_path: Path) -> None:
    """What an artifact links to outside itself does not get into the state folder."""
    keep(tmp_path / "kept", 1, whole=False)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "kept" / "samples-render.jsonl").symlink_to(tmp_path / "secret")
    assert adopt(tmp_path / "kept", tmp_path / "state")
    assert {path.name for path in (tmp_path / "state").iterdir()} == {"journal.jsonl"}


def test_choice() -> None:
    """The attempt goes before the number of events; nothing readable gives nothing."""
    here = Path()
    assert choose([Kept(here, 1, 90), None, Kept(here, 2, 4)]) == Kept(here, 2, 4)
    assert choose([None]) is None
