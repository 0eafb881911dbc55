"""The page: one whole HTML file without scripts, its pictures within their frames, foreign text as text."""

import itertools
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts.evidence import Answered, Counts, Evidence, Watch, read_evidence
from scripts.journal import Event, Kind
from scripts.page import MOST_EVENTS, POLICY, render_page
from scripts.picture import MOST_FAILURES, MOST_POINTS, MOST_WATCHES, Axis, render_gantt, render_probes, thin, ticks
from scripts.release import Stage
from scripts.report import NOTHING
from scripts.state import replay
from scripts.verdict import BASELINE, CANDIDATE, CURRENT, Outcome, Sample
from tests.unit import journals
from tests.unit.fakes import START
from tests.unit.journals import NASTY, Story, rename, spoil
from tests.unit.stories import PLANNED, RELEASE, STORIES, event, stage

FEW = settings(max_examples=20)
VOID = {"meta", "br"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "span", "br", "code", "time"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary"),
    *("svg", "path", "rect", "text"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class"),
    *("xmlns", "viewbox", "role", "aria-label", "x", "y", "width", "height", "rx", "d", "text-anchor"),
}
SVG = "{http://www.w3.org/2000/svg}"


@dataclass
class Reader(HTMLParser):
    """Read a page as a browser would, and note what is in it."""

    found: Counter[str] = field(default_factory=Counter)
    attributes: set[str] = field(default_factory=set)
    text: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start."""
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one that has no end."""
        self.found[tag] += 1
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        """Close the last one that is open, and no other."""
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        """Note a comment: there is none."""
        self.found["comment"] += 1

    def handle_data(self, data: str) -> None:
        """Note what is read."""
        self.text.append(data)


def read(page: str) -> Reader:
    """Read a page to its end, and see that it is whole, and holds nothing that acts or comes from elsewhere."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert set(reader.found) <= ALLOWED
    assert reader.attributes <= ATTRIBUTES
    assert not re.search(r"url\(|@import|expression", page.split("</style>")[0])
    return reader


def page_of(story: Story) -> str:
    """Give the page of a release."""
    return render_page(story.events, read_evidence(story.folder, story.events, replay(story.events)))


def pictures(page: str) -> list[ET.Element]:
    """Give the pictures of a page."""
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]  # noqa: S314 - our own


STEPS = re.compile(r"([MmHhVvLlAaZz])|(-?\d*\.?\d+(?:e-?\d+)?)")
TAKES = {"M": 2, "L": 2, "H": 1, "V": 1, "A": 7, "Z": 0}


def walk(path: str) -> Iterator[tuple[float, float]]:
    """Give every point that a path goes through."""
    numbers: list[float] = []
    x = y = 0.0
    command = ""
    for letter, number in STEPS.findall(path):
        if letter:
            assert not numbers, f"{command} has too few numbers"
            command = letter
        else:
            numbers.append(float(number))
        if len(numbers) < TAKES[command.upper()] or command in "Zz":
            continue
        relative = (x, y) if command.islower() else (0.0, 0.0)
        if command.upper() == "H":
            x = relative[0] + numbers[0]
        elif command.upper() == "V":
            y = relative[1] + numbers[0]
        else:
            x, y = relative[0] + numbers[-2], relative[1] + numbers[-1]
        numbers = []
        yield x, y


def points(picture: ET.Element) -> Iterator[tuple[float, float]]:
    """Give every coordinate of a picture."""
    for part in picture.iter():
        if part.tag == f"{SVG}path":
            yield from walk(part.attrib["d"])
        elif part.tag in {f"{SVG}rect", f"{SVG}text"}:
            x, y = float(part.attrib["x"]), float(part.attrib["y"])
            yield x, y
            yield x + float(part.get("width", 0)), y + float(part.get("height", 0))


def in_frame(picture: ET.Element) -> None:
    """See that nothing of a picture lies outside its view box."""
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    outside = [(x, y) for x, y in points(picture) if not (-0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1)]
    assert outside == []


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Story]:
    """Give releases with every end."""
    folder = tmp_path_factory.mktemp("stories")
    return {
        "good": journals.good(folder / "good"),
        "rolled back": journals.bad(folder / "back"),
        "still broken": journals.bad(folder / "broken", "render", "vercel", proven=["render"]),
        "lost": journals.lost(folder / "lost"),
        "by hand": journals.by_hand(folder / "hand"),
    }


TITLES = {
    "good": "a1b2c3d is released and proven",
    "rolled back": "a1b2c3d was bad and was rolled back; 0f9e8d7 is proven to serve again",
    "still broken": "STILL BROKEN: what serves on vercel is not proven; a person is needed now",
    "lost": "a1b2c3d was bad and was rolled back; 0f9e8d7 is proven to serve again",
    "by hand": "a1b2c3d was rolled back by hand; 0f9e8d7 is proven to serve again",
}


@pytest.mark.parametrize("name", TITLES)
def test_the_page(told: dict[str, Story], name: str) -> None:
    """Every page is whole, says its title, and has its pictures, all within their frames."""
    page = page_of(told[name])
    reader = read(page)
    assert f">{TITLES[name]}</h1>" in page
    assert f'content="{POLICY}"' in page
    watched = 0 if name == "by hand" else len(replay(told[name].events).targets)
    assert reader.found["svg"] == 1 + len(replay(told[name].events).targets) + watched
    for picture in pictures(page):
        in_frame(picture)


@pytest.mark.parametrize(("events", "result"), STORIES.values(), ids=STORIES)
def test_every_story_has_a_page(events: Sequence[Event], result: str) -> None:
    """Wherever a journal ends, there is a whole page of it."""
    page = render_page(events)
    read(page)
    assert f'<h1 class="{result}">' in page
    for picture in pictures(page):
        in_frame(picture)


def test_without_a_journal() -> None:
    """Where nothing was released, the page says so."""
    page = render_page([])
    assert NOTHING in read(page).text
    assert pictures(page) == []


def test_every_kind_of_event_is_told(told: dict[str, Story]) -> None:
    """Each event of the journal is a row, with its moment, its target and what it says."""
    note = event(Kind.NOTE, "render", text="auto-deploy is off")
    events = [*told["lost"].events, *told["rolled back"].events, note]
    assert {row.kind for row in events} == set(Kind)
    reader = read(render_page(events))
    seen = Counter(reader.text)
    for kind in Kind:
        assert seen[kind.replace("_", " ")] >= sum(row.kind is kind for row in events)
    assert any("text: auto-deploy is off" in text for text in reader.text)
    assert any("answered 500" in text for text in reader.text)


def test_a_very_long_journal_is_cut() -> None:
    """Of a very long journal the first and the last events are shown, and how many are not."""
    many = [event(Kind.NOTE, "render", number, text="x" * 100_000) for number in range(MOST_EVENTS + 5)]
    page = render_page([RELEASE, *many])
    assert f"{MOST_EVENTS + 6} events; 6 between the first and the last ones are left out" in page
    assert len(page) < 1_000_000
    assert page.count("<time>") == MOST_EVENTS


def test_who_asked_and_why(told: dict[str, Story]) -> None:
    """A rollback by hand names the person and the reason."""
    page = page_of(told["by hand"])
    assert "<p>Asked for by <strong>kim</strong>: checkout is slow since noon</p>" in page
    assert "Asked for" not in page_of(told["good"])


def test_the_evidence_leaves_out_what_nobody_knows(told: dict[str, Story]) -> None:
    """A row of which no target has anything is not there; the others are, for each target."""
    hand, broken = (page_of(told[name]) for name in ("by hand", "still broken"))
    assert "<td>probes in the bake</td>" not in hand
    assert "<td>probes on the way back</td><td>0 of 24 failed, 12 before it answered</td><td>–</td>" in broken
    assert "Evidence" not in render_page(PLANNED, [Evidence("render")])


def rows(count: int, arm: str = CANDIDATE, *, ok: bool = True, ms: float = 12.0) -> list[Sample]:
    """Make probes, a tenth of a second apart."""
    return [Sample(number / 10, "ready", arm, ms, ok=ok) for number in range(count)]


def test_probes_are_told_apart() -> None:
    """Who answered and what failed is seen by shape and by class; what was not timed is in a lane of its own."""
    samples = [*rows(3), *rows(2, CURRENT), *rows(4, BASELINE), *rows(1, ok=False), *rows(1, CURRENT, ok=False)]
    drawn = render_probes(Evidence("render", (Watch("bake", tuple(samples)),)))
    marks = {part.attrib["class"]: part.attrib["d"].count("M") for part in ET.fromstring(drawn).iter(f"{SVG}path")}  # noqa: S314
    assert {name: marks[name] for name in ("own", "other", "was", "own bad", "other bad")} == {
        "own": 3,
        "other": 2,
        "was": 4,
        "own bad": 1,
        "other bad": 1,
    }
    lanes = {y for ms in (0.0, 0.5, 1.0, 1e9) for _, y in own_points(rows(1, ms=ms))}
    assert len(lanes) == 3  # not timed, at the lowest line, at the highest


def own_points(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Give where the probes of a picture lie."""
    drawn = render_probes(Evidence("render", (Watch("bake", tuple(samples)),)))
    (path,) = [part for part in ET.fromstring(drawn).iter(f"{SVG}path") if part.get("class") == "own"]  # noqa: S314
    return [(round(x), round(y)) for x, y in walk(path.attrib["d"])]


def test_each_watch_is_a_panel(told: dict[str, Story]) -> None:
    """The watches stand side by side, named, in their order, and do not overlap."""
    story = told["rolled back"]
    _, _, picture = pictures(page_of(story))
    panels = [part for part in picture.iter(f"{SVG}rect") if part.get("class") == "panel"]
    edges = [(float(part.attrib["x"]), float(part.attrib["x"]) + float(part.attrib["width"])) for part in panels]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(edges))
    names = [part.text for part in picture.iter(f"{SVG}text")]
    assert [name for name in names if name in {"baseline", "verify", "bake", "rollback"}] == [
        "baseline",
        "verify",
        "bake",
        "rollback",
    ]


def test_many_watches_and_probes_are_thinned() -> None:
    """Of very many probes some are drawn, the failures first; of many watches the first and the last."""
    watch = Watch("bake", (*rows(20_000), *rows(3, ok=False)))
    drawn = render_probes(Evidence("render", (watch,) * 9))
    picture = ET.fromstring(drawn)  # noqa: S314
    assert sum(part.get("class") == "panel" for part in picture.iter(f"{SVG}rect")) == MOST_WATCHES
    marks = [part for part in picture.iter(f"{SVG}path") if part.get("class") in {"own", "own bad"}]
    assert sum(part.attrib["d"].count("M") for part in marks) <= MOST_POINTS + MOST_WATCHES * 4
    assert sum(part.get("class") == "own bad" and part.attrib["d"].count("M") == 3 for part in marks) == MOST_WATCHES
    assert "3 parts in between are not drawn" in render_page(PLANNED, [Evidence("render", (watch,) * 9)])
    in_frame(picture)


@pytest.mark.parametrize(("bad", "kept"), [(MOST_FAILURES, MOST_FAILURES), (MOST_FAILURES + 1, MOST_FAILURES)])
def test_failures_are_thinned_last(bad: int, kept: int) -> None:
    """However few are drawn, a failure is left out only where there are hundreds."""
    assert len(thin(rows(bad, ok=False), 0.0)) == kept


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 5, [0, 1, 2, 3, 4, 5]),
        (0.5, 12, [5, 10]),
        (100, 160, [105, 120, 135, 150]),
        (7, 7, [7]),
        (0, 864_000, [0, 172_800, 345_600, 518_400, 691_200, 864_000]),
    ],
)
def test_ticks_are_few_and_round(low: float, high: float, found: list[float]) -> None:
    """A time axis has at most six marks, at round moments inside it."""
    assert ticks(low, high) == found


def test_an_axis_never_leads_outside() -> None:
    """What lies beyond the ends is drawn at the end; where all values are one there is one place."""
    axis = Axis(10, 20, 100, 300)
    assert [axis.at(value) for value in (-1e9, 10, 15, 20, 1e9)] == [100, 100, 200, 300, 300]
    assert Axis(5, 5, 100, 300).at(5) == 100


@pytest.mark.parametrize("gap", [timedelta(0), timedelta(seconds=1), timedelta(days=3), timedelta(days=300_000)])
def test_a_run_of_any_length_is_drawn(gap: timedelta) -> None:
    """Whether all came at once or centuries apart, bars, marks and words stay in the frame."""
    first, last = stage(Stage.PLAN, Outcome.ERROR)
    late = [Event(START + gap, row.kind, "", row.fields) for row in (first, last)]
    asked = Event(START + gap, Kind.INTENT, "render", {"action": "deploy"})
    picture = ET.fromstring(render_gantt([first, last, asked, *late]))  # noqa: S314
    in_frame(picture)


MOMENTS = st.floats(-1e9, 1e9, allow_nan=False)
SAMPLES = st.builds(
    Sample,
    MOMENTS,
    st.just("x"),
    st.sampled_from([CANDIDATE, CURRENT, BASELINE, "?"]),
    st.floats(0, 1e9),
    ok=st.booleans(),
)


@FEW
@given(st.lists(st.lists(SAMPLES, min_size=1, max_size=12), max_size=8))
@example([[Sample(0.0, "x", CANDIDATE, 0.0, ok=True)]])
@example([[Sample(1e9, "x", CANDIDATE, 1e9, ok=True)], [Sample(-1e9, "x", "?", 1e-300, ok=False)]])
def test_every_probe_is_in_the_frame(watches: list[list[Sample]]) -> None:
    """Whatever was measured, it is drawn inside."""
    drawn = render_probes(Evidence("render", tuple(Watch("bake", tuple(rows)) for rows in watches)))
    assert bool(drawn) is bool(watches)
    if drawn:
        in_frame(ET.fromstring(drawn))  # noqa: S314


TEXTS = st.text(max_size=60) | st.sampled_from(NASTY)


@FEW
@given(text=TEXTS, name=st.sampled_from(["still broken", "lost", "by hand"]))
@example(text="\ud800", name="lost")
def test_no_text_of_the_journal_breaks_out(told: dict[str, Story], text: str, name: str) -> None:
    """Whatever service, platform or person wrote: the page has the same elements, and can be written."""
    watch = Watch("bake", (Sample(1, text, CANDIDATE, 1, ok=False), Sample(1, text, text, 1, ok=True)))
    answered = Answered(None, 2, (text, text))
    page, plain = (
        render_page(spoil(told[name].events, told_text), [Evidence("render", (watch,), answered, Counts(2, 1))])
        for told_text in (text, "why")
    )
    assert page.encode()
    found, own = read(page).found, read(plain).found
    assert {tag: number for tag, number in found.items() if tag not in {"p", "strong"}} == {
        tag: number for tag, number in own.items() if tag not in {"p", "strong"}
    }
    assert len(page) < 300_000


@FEW
@given(text=TEXTS.filter(str.strip))
@example(text='"><script>alert(1)</script>')
def test_no_name_of_a_target_breaks_out(told: dict[str, Story], text: str) -> None:
    """Whatever a target is called, the page has the same elements."""
    watch = Watch(text, (Sample(1, "ready", CANDIDATE, 1, ok=True),))
    page, plain = (
        render_page(rename(told["lost"].events, "render", name), [Evidence(name, (watch,))]) for name in (text, "web")
    )
    assert read(page).found == read(plain).found
    for picture in pictures(page):
        in_frame(picture)
