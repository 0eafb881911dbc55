"""The page of a rehearsal: whole without scripts or anything from elsewhere, and true to what was seen."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scripts.errors import UsageError
from scripts.rehearsal import plots
from scripts.rehearsal.command import check_place
from scripts.rehearsal.page import About, render_page
from scripts.rehearsal.play import Played
from scripts.rehearsal.recording import Mark, Recording, SiteRecording, StageRun, Tick
from tests.unit.journals import NASTY
from tests.unit.test_figures import BADLY, WELL
from tests.unit.test_screen import SEEN, SITE

ABOUT = About("c" * 40, "python3 -m scripts rehearse --drill good,errors", datetime(2026, 3, 4, 5, 6, tzinfo=UTC))
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Reads a page strictly: every element ends, and no two share an id."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.seen.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in {"src", "href", "xlink:href", "action"} and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it, and its end."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """It ends what is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        self.words.append(data)


def recorded(row: Played, recording: Recording = SEEN) -> Played:
    """Give a drill that was recorded."""
    return replace(row, facts=replace(row.facts, recording=recording))


def read(page: str) -> Reader:
    """Read a page to its end."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


PAGE = render_page([recorded(WELL), recorded(BADLY)], ABOUT)


def test_the_page_is_whole_and_alone() -> None:
    """No script, no link but to its own marks, no id twice, no colour of a stand-in."""
    reader = read(PAGE)
    assert "script" not in reader.seen
    assert all(link.startswith("#") for link in reader.links)
    assert len(set(reader.ids)) == len(reader.ids)
    assert reader.seen.count("svg") == 2
    assert "#0a0b" not in PAGE
    assert not re.search(r"https?://(?!www\.w3\.org/)", PAGE)


def test_it_tells_what_was_seen() -> None:
    """How many ended as stated, what is false, by which command, and for each drill what was stated and seen."""
    words = " ".join(read(PAGE).words)
    assert "1 of 2 drills ended as stated" in words
    assert re.search(r"False greens:\s+0 . False rollbacks:\s+0", words)
    assert ABOUT.command in words
    assert "ccccccc" in words
    assert "exit_code: expected 10, saw 13" in words
    assert "live candidate" in words
    for row in ("41 of 900", "5.2 s", "1.1 s, of which the platform's own 0.5 s", "render baseline, vercel candidate"):
        assert row in words


def test_classes_are_told_where_there_are_many() -> None:
    """A table and a plot, of which every dot is a drill."""
    page = render_page([WELL, *[recorded(BADLY)] * 4], ABOUT)
    assert "By what is at fault" in page
    assert read(page).seen.count("svg") == 5
    svg = plots.render_classes([recorded(BADLY)] * 4)
    assert svg.count("<use") >= 4 + 4 + 4
    assert plots.render_classes([WELL]) == ""


def test_only_what_is_wrong_is_open_where_there_are_many() -> None:
    """A reader of ninety drills looks for the red ones."""
    page = render_page([WELL, WELL, WELL, BADLY], ABOUT)
    assert page.count("<details open>") == 1


@pytest.mark.parametrize("text", NASTY)
def test_foreign_text_stays_text(text: str) -> None:
    """What stages said and what a drill is called opens no element."""
    row = replace(BADLY, wrong=(text,), facts=replace(BADLY.facts, said=f"one\n{text}\n"))
    clean = replace(BADLY, wrong=("x",), facts=replace(BADLY.facts, said="one\nx\n"))
    assert read(render_page([row], ABOUT)).seen == read(render_page([clean], ABOUT)).seen


def test_a_plot_has_a_row_for_each_thing() -> None:
    """Stages, and for each target answers, requests, latency, and evidence where there was any."""
    svg = ET.fromstring(plots.render_drill("errors", SEEN))  # noqa: S314 - our own
    words = [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert [word for word in words if "who answers" in word] == [
        f"{name}: who answers, and what the platform did" for name in ("render", "vercel")
    ]
    assert sum("requests a second" in word for word in words) == 2
    assert sum("dashed line is proof" in word for word in words) == 1
    used = set(re.findall(r"var\(--(\w+)\)", plots.render_drill("errors", SEEN)))
    assert used >= {"text", "dim", "line", "own", "was", "bad", "good"}
    assert {element.tag.rpartition("}")[2] for element in svg.iter()} >= {"path", "text", "clipPath"}


def test_the_same_recording_gives_the_same_plot() -> None:
    """Nothing in it is by chance, or of the moment when it was drawn."""
    assert plots.render_drill("errors", SEEN) == plots.render_drill("errors", SEEN)


@pytest.mark.parametrize(
    "recording",
    [
        Recording(),
        Recording(0.5, (StageRun("plan", 0.0),), (SiteRecording("render"),)),
        Recording(0.5, (), (SiteRecording("render", 1, 1, (Tick(-0.5, 1, 1, 5000.0, 5000.0),)),)),
        Recording(9.0, (), (replace(SITE, bets=(), marks=(Mark(1.0, "live", ""),)),)),
    ],
)
def test_little_makes_no_error(recording: Recording) -> None:
    """A drill that ended at once has a page too."""
    read(render_page([recorded(WELL, recording)], ABOUT))


def test_marks_that_are_told() -> None:
    """Only where traffic moved, or a deployment ended."""
    marks = [Mark(1.0, "build_started", "candidate"), Mark(2.0, "live", "candidate"), Mark(3.0, "failed", "")]
    assert [mark.what for mark in plots.worth_telling(marks)] == ["live", "failed"]


def test_a_place_for_the_page_is_looked_at_before(tmp_path: Path) -> None:
    """A folder is made; a file in its way, or a folder of that name, is refused before anything is played."""
    check_place(None)
    check_place(tmp_path / "new" / "page.html")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "page.html"):
        with pytest.raises(UsageError, match="cannot be written") as caught:
            check_place(path)
        assert caught.value.exit_code == 2
