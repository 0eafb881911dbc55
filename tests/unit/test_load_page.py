"""The page of a comparison: one whole HTML file without scripts, pictures within their frames, foreign text as text."""

import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts.gates.load_page import MOST_FAULTS, kind_of, render_load_page, render_table, title_of
from scripts.gates.load_plots import Label, change_at, keep_apart, render_ratios, tell_change, ticks
from scripts.gates.load_spread import ms_ticks, render_strips, render_times, tell_figure, three
from scripts.gates.recorded import Epoch, Figures, Run, ratios_of
from scripts.gates.slower import BY_NAME, LOOKS, METRICS, Comparison, Finding, Measured, Metric, judge_epochs
from scripts.gates.tables import as_markdown, as_text
from scripts.page import POLICY
from scripts.verdict import Outcome
from tests.unit.journals import NASTY

FEW = settings(max_examples=10)
COMMITS = {"base": "0f9e8d7" + "6" * 33, "head": "a1b2c3d" + "4" * 33}
VOID = {"meta"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "code", "ul", "li", "div"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "svg", "desc", "path", "rect", "text"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "scope", "title", "id", "role", "aria-labelledby"),
    *("viewbox", "x", "y", "width", "height", "d", "text-anchor"),
}
WOBBLE = (0.004, -0.006, 0.002, -0.001, 0.007, -0.003, 0.005, -0.008)


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
        """Note an element that is to be closed."""
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        assert not any("://" in (value or "") for name, value in attrs if name != "title")

    def handle_endtag(self, tag: str) -> None:
        """Close the last one that is open, and no other."""
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        """Note a comment: there is none."""
        self.found["comment"] += 1

    def handle_data(self, data: str) -> None:
        """Note what is read."""
        self.text.append(data)

    @property
    def read(self) -> str:
        """What a person reads, on one line."""
        return " ".join(" ".join(self.text).split())


def read(page: str) -> Reader:
    """Read a page to its end: it is whole, and nothing in it acts, comes from elsewhere or lies outside its picture."""
    page.encode()
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    assert set(reader.found) <= ALLOWED
    assert reader.attributes <= ATTRIBUTES
    assert not re.search(r"<script|url\(|@import", page)
    for picture in pictures(page):
        in_frame(picture)
        assert [part.attrib["id"] for part in picture[:2]] == picture.attrib["aria-labelledby"].split()
        assert [part.tag for part in picture[:2]] == ["title", "desc"]
        assert all(part.text for part in picture[:2])
    names = re.findall(r' id="(.*?)"', page)
    assert len(names) == len(set(names))
    return reader


def pictures(page: str) -> list[ET.Element]:
    """Give the pictures of a page."""
    return [ET.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]  # noqa: S314 - our own


def drawn(picture: str, kind: str) -> list[str]:
    """Give the paths of a picture that have a class."""
    return [part.attrib["d"] for part in ET.fromstring(picture).iter("path") if part.get("class") == kind]  # noqa: S314


def corners(path: str) -> Iterator[tuple[float, float]]:
    """Give the points that a path names by their place: every upper case step."""
    x = y = 0.0
    for step, told in re.findall(r"([MLHV])([-\d. ]+)", path):
        numbers = [float(number) for number in told.split()]
        x = x if step == "V" else numbers[0]
        y = y if step == "H" else numbers[-1]
        yield x, y


def in_frame(picture: ET.Element) -> None:
    """See that every coordinate of a picture is a number within its view box."""
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    places = [place for part in picture.iter("path") for place in corners(part.attrib["d"])]
    for part in (*picture.iter("rect"), *picture.iter("text")):
        x, y = float(part.attrib["x"]), float(part.attrib["y"])
        places += [(x, y), (x + float(part.get("width", 0)), y + float(part.get("height", 0)))]
    outside = [(x, y) for x, y in places if not (-0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1)]
    assert places
    assert outside == []


def figures(slowdown: float = 0.0) -> Figures:
    """Give what a service did in an epoch, slower by so much, in p95 by half of it."""
    factor = 1 + slowdown
    return Figures(2000, 800 / factor, 2.5 * factor, 5.0 * (1 + slowdown / 2), 1.25 * factor, 0.5)


def epoch(number: int, slowdown: float) -> Epoch:
    """Give an epoch in which the head was slower by so much, in p95 by half of it."""
    size = math.log1p(slowdown) + WOBBLE[number % len(WOBBLE)]
    ratios = {"throughput": -size, "p50": size, "cpu": size, "p95": size / 2}
    return Epoch(number, ratios, {"base": figures(), "head": figures(slowdown)})


def made(slowdown: float = 0.0, epochs: int = 8, *faults: str) -> Run:
    """Give a comparison with such a slowdown, judged by the real judge."""
    rows = tuple(epoch(number, slowdown) for number in range(1, epochs + 1))
    times = {"base": Counter({2.5: 90, 5.0: 8, 40.0: 2}), "head": Counter({2.5 * (1 + slowdown): 90, 5.0: 10})}
    return Run(COMMITS, 2, 1, 24.8, rows, judge_epochs(ratios_of(rows)), times, faults)


def given_as(outcome: Outcome | None, finding: Finding = Finding.UNCLEAR, *faults: str, epochs: int = 24) -> Run:
    """Give a run with such an outcome, and one metric that it comes from."""
    measured = (Measured(BY_NAME["p50"], finding, -0.2 if finding is Finding.FASTER else 0.041, 0.5, ruled_out=False),)
    return replace(made(0.0, epochs), comparison=Comparison(epochs, outcome, measured), faults=faults)


SLOW, SAME, EARLY = made(0.12), made(0.0), made(0.1, 3)
LONGER = replace(given_as(None, epochs=8), epochs=made(0.0, 11).epochs)
EMPTY = Run({}, 0, 0, 0.0, (), Comparison(0, None))


@pytest.mark.parametrize(
    ("run", "title", "kind"),
    [
        (SLOW, "Slower: throughput −10.7 %, p50 +12.0 %, CPU per request +12.0 %", Outcome.FAIL),
        (SAME, "Not slower", Outcome.PASS),
        (given_as(Outcome.PASS, Finding.FASTER), "Faster: p50 −20.0 %", Outcome.PASS),
        (given_as(Outcome.FAIL, Finding.SLOWER, "a", "b"), "Slower: p50 +4.1 %; 2 faults", Outcome.FAIL),
        (made(0.0, 8, "x"), "Not a pass: not slower, but 1 fault", Outcome.INCONCLUSIVE),
        (given_as(Outcome.PASS, Finding.FASTER, "a"), "Not a pass: faster: p50 −20.0 %, but 1 fault", "inconclusive"),
        (given_as(Outcome.INCONCLUSIVE), "Inconclusive: p50 could not be told from noise", "inconclusive"),
        (given_as(Outcome.ERROR), "Inconclusive: p50 could not be told from noise", "inconclusive"),
        (EARLY, "Inconclusive: stopped after 3 epochs, before a look decided", "inconclusive"),
        (made(0.1, 1), "Inconclusive: stopped after 1 epoch, before a look decided", "inconclusive"),
        (LONGER, "Inconclusive: stopped after 11 epochs, before a look decided", "inconclusive"),
        (EMPTY, "Inconclusive: nothing was measured", "inconclusive"),
        (replace(EMPTY, comparison=Comparison(8, Outcome.PASS)), "Inconclusive: nothing was measured", "inconclusive"),
        (replace(EMPTY, comparison=Comparison(8, Outcome.FAIL)), "Inconclusive: nothing was measured", "inconclusive"),
        (
            replace(EMPTY, comparison=Comparison(8, Outcome.PASS), faults=("x",)),
            "Inconclusive: nothing was measured; 1 fault",
            "inconclusive",
        ),
    ],
)
def test_the_verdict_is_said_first(run: Run, title: str, kind: str) -> None:
    """The title says slower, faster, not slower or inconclusive; with a fault or of nothing it is never a pass."""
    assert title_of(run) == title
    assert kind_of(run) == kind
    page = render_load_page(run)
    assert f'<h1 class="{kind}">' in page
    assert title in read(page).read
    assert f'content="{POLICY}"' in page


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (SLOW, "the one after 8 epochs decided"),
        (EARLY, "none: the first is after 8 epochs"),
        (given_as(None, epochs=13), "after 8, 12 epochs: none decided"),
        (given_as(Outcome.INCONCLUSIVE), "after 8, 12, 16, 24 epochs, the last one: none decided"),
        (EMPTY, "none: the first is after 8 epochs"),
    ],
)
def test_whether_a_look_decided(run: Run, told: str) -> None:
    """The page says which look decided, or how many did not."""
    assert f"<td>{told}</td>" in render_load_page(run)


def test_what_was_compared_and_what_it_does_not_show() -> None:
    """Commits in short with the full one to point at, users, processes, epochs, seconds, and the limits of it all."""
    page = render_load_page(replace(SLOW, users=3, workers=2))
    for side, short in (("base", "0f9e8d7"), ("head", "a1b2c3d")):
        assert f'<code title="{COMMITS[side]}">{short}</code>' in page
    told = read(page).read
    assert "3 users on each, without a pause, in 2 processes" in told
    assert "8 epochs, 24.8 s; 16,000 and 16,000 requests; the users' busiest process took 0.50 CPU seconds" in told
    assert "where it is 10 % in throughput, 10 % in p50 or 5 % in CPU per request" in told
    assert "p95 counts from 20 % on only" in told
    assert "1 user on each, without a pause, in 1 process" in read(render_load_page(replace(SLOW, users=1))).read
    assert "base → head unknown → unknown" in read(render_load_page(EMPTY)).read


def row_of(page: str, name: str) -> list[str]:
    """Give the cells of a row of the figures."""
    found = re.search(rf'<tr><th scope="row">{name}</th>(.*?)</tr>', page)
    assert found
    return [unescape(cell).replace("\xa0", " ") for cell in re.findall(r"<td>(.*?)</td>", found[1])]


def test_the_figures() -> None:
    """A column for each metric: both medians, change, the limit of an alarm, what is ruled out, p and the finding."""
    page = render_load_page(SLOW)
    assert row_of(page, "base") == ["800/s", "2.50 ms", "1.25 ms", "5.00 ms"]
    assert row_of(page, "head") == ["714/s", "2.80 ms", "1.40 ms", "5.30 ms"]
    assert row_of(page, "change") == ["−10.7 %", "+12.0 %", "+12.0 %", "+5.8 %"]
    assert row_of(page, "alarm from") == ["−2.9 %", "+3.0 %", "+3.0 %", "+20.0 %"]
    assert row_of(page, "ruled out") == ["−9.1 %: no", "+10.0 %: no", "+5.0 %: no", "+30.0 %: yes"]
    assert row_of(page, "p")[0] == "0.0039"
    assert row_of(page, "finding") == [f"<strong>{word}</strong>" for word in ("slower",) * 3 + ("not slower",)]


def test_before_the_first_look_nothing_is_known() -> None:
    """Without a look there is no p and nothing is ruled out; what was not measured is said to be that."""
    page = render_load_page(EARLY)
    assert row_of(page, "p") == row_of(page, "ruled out") == ["–"] * 4
    assert row_of(page, "finding") == ["<strong>unclear</strong>"] * 4
    nothing = render_load_page(EMPTY)
    assert row_of(nothing, "finding") == ["not measured"] * 4
    for name in ("base", "head", "change", "p", "ruled out"):
        assert row_of(nothing, name) == ["–"] * 4


def test_a_tiny_p_is_no_zero() -> None:
    """A p below a ten-thousandth is told as that."""
    (row,) = given_as(None).comparison.measured
    page = render_load_page(replace(SAME, comparison=Comparison(8, None, (replace(row, p=1e-7),))))
    assert row_of(page, "p") == ["–", "< 0.0001", "–", "–"]
    read(page)


def test_the_table_for_a_terminal() -> None:
    """The same is given as rows, the head first, and fits both as text and as Markdown."""
    rows = render_table(SLOW.comparison, SLOW.epochs)
    assert rows == [
        ("metric", "base", "head", "change", "finding"),
        ("throughput", "800/s", "714/s", "−10.7 %", "slower"),
        ("p50", "2.50 ms", "2.80 ms", "+12.0 %", "slower"),
        ("CPU per request", "1.25 ms", "1.40 ms", "+12.0 %", "slower"),
        ("p95", "5.00 ms", "5.30 ms", "+5.8 %", "not slower"),
    ]
    assert "throughput       800/s    714/s    −10.7 %  slower" in as_text(rows)
    assert "| p50 | 2.50 ms | 2.80 ms | +12.0 % | slower |" in as_markdown(rows)
    assert render_table(EMPTY.comparison, ()) == [
        rows[0],
        *((metric.title, "–", "–", "–", "not measured") for metric in METRICS),
    ]


def test_figures_are_those_of_the_judged_epochs() -> None:
    """What came after the look is in no median: the change knows nothing of it."""
    later = [replace(epoch(number, 3.0), number=number) for number in range(9, 25)]
    rows = render_table(SLOW.comparison, [*SLOW.epochs, *later])
    assert rows == render_table(SLOW.comparison, SLOW.epochs)


@pytest.mark.parametrize("run", [SLOW, SAME, EARLY, made(0.1, 1), given_as(Outcome.INCONCLUSIVE)])
def test_every_run_has_six_pictures(run: Run) -> None:
    """Each metric epoch by epoch, the times of the answers, and the strips."""
    assert read(render_load_page(run)).found["svg"] == 6


def test_without_epochs_there_are_no_pictures() -> None:
    """Where nothing was measured nothing is drawn, and the page is whole."""
    assert read(render_load_page(EMPTY)).found["svg"] == 0
    assert read(render_load_page(replace(SLOW, times={}))).found["svg"] == 5
    one = replace(SLOW, times={"head": SLOW.times["head"]})
    assert len(drawn(render_times(one), "head")) == len(drawn(render_times(SLOW), "head")) == 2
    assert len(drawn(render_times(one), "base")) == 1  # of the key alone


def test_a_picture_of_the_epochs() -> None:
    """Each epoch is a mark, of another shape where it is slow; the lines are zero, the limit and the estimate."""
    picture = render_ratios(SLOW, BY_NAME["throughput"])
    assert len(drawn(picture, "dot slower")) == 8
    assert len(drawn(render_ratios(SLOW, BY_NAME["p95"]), "dot")) == 8
    assert drawn(picture, "dot slower")[0][-10:] != drawn(render_ratios(SLOW, BY_NAME["p95"]), "dot")[0][-10:]
    zero, limit, estimate = (next(corners(drawn(picture, kind)[0]))[1] for kind in ("zero", "limit", "estimate"))
    assert zero < limit < estimate  # downwards: a throughput is slow where it is small
    up = render_ratios(SLOW, BY_NAME["p50"])
    zero, limit, estimate = (next(corners(drawn(up, kind)[0]))[1] for kind in ("zero", "limit", "estimate"))
    assert zero > limit > estimate
    for word in ("slower", "faster", "alarm", "−2.9 %", "estimate", "−10.7 %", "decided"):
        assert f">{word}</text>" in picture


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_slow_side_is_the_one_that_is_marked(metric: Metric) -> None:
    """What is slow enough for an alarm lies on the marked ground, at whose end it says so, and nothing else does."""
    picture = render_ratios(replace(SLOW, epochs=(*SLOW.epochs, epoch(9, 0.6), epoch(10, -0.2))), metric)
    root = ET.fromstring(picture)  # noqa: S314
    (ground,) = root.iter("rect")
    low = float(ground.attrib["y"])
    high = low + float(ground.attrib["height"])
    words = {part.text: float(part.attrib["y"]) for part in root.iter("text")}
    nearest = {word: min(abs(words[word] - low), abs(words[word] - high)) for word in ("slower", "faster")}
    assert nearest["slower"] < 10 < nearest["faster"]
    slow, other = (
        [y for kind in kinds for path in drawn(picture, kind) for _, y in corners(path)]
        for kinds in (("dot slower", "dot slower later"), ("dot", "dot later"))
    )
    assert slow
    assert other
    assert all(low <= y <= high for y in slow)
    assert not any(low < y < high for y in other)


def test_the_estimate_reaches_as_far_as_was_judged() -> None:
    """The line of the estimate ends between the last judged epoch and the next one."""
    picture = render_ratios(LONGER, BY_NAME["p50"])
    end = list(corners(drawn(picture, "estimate")[0]))[-1][0]
    eighth, ninth = (next(corners(path))[0] for path in (drawn(picture, "dot")[7], drawn(picture, "dot later")[0]))
    assert eighth < end < ninth


@pytest.mark.parametrize("epochs", [1, 2, 8, 9, 13, 16, 17, 24, 25, 60, 200])
@pytest.mark.parametrize("scale", [0.001, 0.37, 1.0, 1000.0])
def test_no_word_lies_on_another(epochs: int, scale: float) -> None:
    """Along a line of a picture the words keep apart, however many epochs there are and however long answers take."""
    times = Counter({scale * 1.07**number: 1 for number in range(epochs * 2)})
    run = replace(given_as(Outcome.INCONCLUSIVE, epochs=epochs), times={"base": times})
    for picture in (render_ratios(run, METRICS[0]), render_times(run)):
        lines: dict[str, list[tuple[float, float]]] = {}
        for part in ET.fromstring(picture).iter("text"):  # noqa: S314
            wide = 6.4 * len(part.text or "")
            left = float(part.attrib["x"]) - wide * {"start": 0, "middle": 0.5, "end": 1}[part.attrib["text-anchor"]]
            lines.setdefault(part.attrib["y"], []).append((left, left + wide))
        for row in lines.values():
            assert all(before[1] <= after[0] for before, after in itertools.pairwise(sorted(row)))


def test_what_is_all_alike_lies_in_the_middle() -> None:
    """Where each answer took as long and each epoch was the same, the marks are in the middle, not at an edge."""
    run = replace(SAME, times={"base": Counter({2.5: 9})})
    ((x, _), *_) = corners(drawn(render_times(run), "mark base")[0])
    assert x == pytest.approx((46 + 346) / 2, abs=1)
    strips = render_strips(run, METRICS[:1])
    assert {x for path in drawn(strips, "mark base") for x, _ in corners(path)} == {(46 + 282) / 2}


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_counts_for_nothing(odd: float) -> None:
    """A figure that is no number is left out of medians and strips; the others are as they were."""
    lost = replace(SLOW.epochs[0], sides={"base": replace(figures(), per_s=odd), "head": figures(0.12)})
    run = replace(SLOW, epochs=(lost, *SLOW.epochs[1:]))
    assert render_table(run.comparison, run.epochs) == render_table(SLOW.comparison, SLOW.epochs)
    before, after = (drawn(render_strips(each, METRICS[:1]), "mark base") for each in (SLOW, run))
    assert after == before[1:]


@pytest.mark.parametrize("epochs", [0, 1, 7, 8, 9, 12, 16, 23, 24, 30])
def test_the_looks_are_marked(epochs: int) -> None:
    """A look is a line after its epoch, and the one that decided is another one; there is none before the eighth."""
    run = given_as(Outcome.FAIL, Finding.SLOWER, epochs=epochs)
    picture = render_ratios(run, METRICS[0])
    reached = [look for look in LOOKS if look <= epochs]
    decided = epochs in LOOKS
    assert bool(picture) is (epochs > 0)
    if picture:
        assert len(drawn(picture, "look")) == len(reached) - decided
        assert len(drawn(picture, "look decided")) == decided
        assert picture.count(">decided<") == decided


def test_epochs_after_the_look_are_drawn_as_that() -> None:
    """What was measured after the look is hollow, and says that it was not judged."""
    run = replace(SLOW, epochs=(*SLOW.epochs, epoch(9, 0.12), epoch(10, 0.0)))
    picture = render_ratios(run, BY_NAME["p50"])
    assert len(drawn(picture, "dot slower")) == 8
    assert len(drawn(picture, "dot slower later")) == len(drawn(picture, "dot later")) == 1
    assert "epoch 10: +0.2 %, not judged" in picture


def test_pictures_are_told_in_words() -> None:
    """Who cannot see a picture hears its figures."""
    words = {picture[0].text: str(picture[1].text) for picture in pictures(render_load_page(SLOW))}
    assert "in 8 epochs: −10.2 %, −10.9 %," in words["throughput by epoch"]
    assert "estimate is −10.7 %: slower. An alarm asks for −2.9 % or worse." in words["throughput by epoch"]
    assert "base: 100 answers, p50 2.50 ms, p95 5.00 ms, the slowest 40.0 ms" in words["How long the answers took"]
    strips = words["throughput and CPU per request of each epoch"]
    assert "throughput: base from 800/s to 800/s, median 800/s; head from 714/s" in strips
    half = replace(SLOW, epochs=tuple(replace(row, sides={"head": figures()}) for row in SLOW.epochs))
    assert "base was not measured" in render_strips(half, METRICS[:1])
    many = replace(SLOW, epochs=SLOW.epochs * 4)
    assert "and 8 more. The" in render_ratios(many, METRICS[0])


def test_the_distribution_is_drawn_as_it_is() -> None:
    """The steps rise from nothing to all, and are at a half where half the answers were there."""
    run = replace(SLOW, times={"base": Counter({1.0: 50, 10.0: 50}), "head": Counter({1.0: 1, 10.0: 99})})
    picture = render_times(run)
    places = list(corners(drawn(picture, "base")[1]))
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)
    assert (places[0][1], places[-1][1]) == (188, 34)
    assert sum(y == (188 + 34) / 2 for _, y in places) == 2  # a level from 1 to 10 ms
    assert 'text-anchor="start">p50 1.00 → 10.0 ms<' in picture  # on the left, since the steps are on the right
    assert 'text-anchor="end">p50 2.50 → 2.80 ms<' in render_times(SLOW)
    assert "p95 10.0 → 10.0 ms" in picture


def test_very_many_times_are_a_small_picture() -> None:
    """However many times there are, a step is half a point of the axis; a few slow ones do not press the others."""
    times = Counter({1 + number / 1000: 1 for number in range(20_000)})
    picture = render_times(replace(SLOW, times={"base": times, "head": Counter({**times, 1e12: 3})}))
    assert len(picture) < 40_000
    assert "10 ms" in picture
    assert "1e+" not in picture.split("</desc>")[1]


@pytest.mark.parametrize("value", [20.0, -20.0, 1e308, -1e308, math.inf, -math.inf, math.nan, 0.0, -0.0, 5e-324])
def test_ratios_of_any_size_are_drawn(value: float) -> None:
    """An epoch that is far off, or no number at all, breaks no picture; of nothing but such there is none."""
    odd = Epoch(1, {metric.name: value for metric in METRICS}, {})
    for rows in ((odd,), (odd, *SLOW.epochs), (odd,) * 8):
        run = replace(SLOW, epochs=rows)
        reader = read(render_load_page(run))
        assert reader.found["svg"] >= (1 if math.isnan(value) and SLOW.epochs[0] not in rows else 4)
        assert "nan" not in reader.read


@pytest.mark.parametrize("change", [1e300, math.inf, -1.0, -2.0, -1 + 1e-16, 0.0])
def test_estimates_of_any_size_are_told(change: float) -> None:
    """A change of any size has its words and its place."""
    row = Measured(METRICS[0], Finding.UNCLEAR, change, 1.0, ruled_out=False)
    read(render_load_page(replace(SLOW, comparison=Comparison(8, None, (row,)))))


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-300, 1e300, math.inf, math.nan, 999.6, 1000.0, 123_456_789.0])
def test_figures_of_any_size_are_drawn(value: float) -> None:
    """Figures that are all alike, nothing, or no numbers break no picture."""
    same = Figures(0, value, value, value, value, value)
    rows = tuple(replace(row, sides={"base": same, "head": same}) for row in SLOW.epochs)
    page = read(
        render_load_page(replace(SLOW, epochs=rows, times={"base": Counter({value: 3}), "head": Counter({1.0: 0})}))
    )
    assert not re.search(r"\b(nan|inf)\b", page.read)


@pytest.mark.parametrize("missing", [{}, {"p50": 0.01}])
def test_an_epoch_that_lacks_a_metric(missing: Mapping[str, float]) -> None:
    """What an epoch does not have is left out, and the others stay in their place."""
    rows = (replace(SLOW.epochs[0], ratios=missing), *SLOW.epochs[1:])
    picture = render_ratios(replace(SLOW, epochs=rows), METRICS[0])
    assert drawn(picture, "dot slower") == drawn(render_ratios(SLOW, METRICS[0]), "dot slower")[1:]


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.0, "0.0 %"),
        (-0.0004, "0.0 %"),
        (0.0006, "+0.1 %"),
        (-0.123, "−12.3 %"),
        (8.99, "+899.0 %"),
        (9.0, "×10"),
        (-0.89, "−89.0 %"),
        (-0.9, "÷10"),
        (math.expm1(20), "×4.9e8"),
        (math.expm1(-20), "÷4.9e8"),
        (-1.0, "−100.0 %"),
        (1e300, "×1.0e300"),
        (math.inf, "unknown"),
        (math.nan, "unknown"),
    ],
)
def test_changes_in_words(share: float, told: str) -> None:
    """A change is told in per cent, and from tenfold on as a factor; a zero has no sign."""
    assert tell_change(share) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (2.1, "2.10"),
        (99.96, "100.0"),
        (1234.5, "1,234"),
        (1e-9, "0.0000"),
        (1e9, "1.0e+09"),
    ],
)
def test_numbers_have_three_digits(value: float, told: str) -> None:
    """A figure is told to three digits, of a thousand and more to the unit."""
    assert three(value) == told


def test_a_figure_that_nobody_knows() -> None:
    """What is not known, or no number, is a dash."""
    assert tell_figure(None, "p50") == tell_figure(math.nan, "cpu") == tell_figure(math.inf, "p95") == "–"


@pytest.mark.parametrize(
    ("name", "slowdown", "told"),
    [("throughput", 0.1, "−9.1 %"), ("p50", 0.1, "+10.0 %"), ("throughput", 1.0, "−50.0 %"), ("p95", 0.2, "+20.0 %")],
)
def test_a_slowdown_as_a_change(name: str, slowdown: float, told: str) -> None:
    """A throughput is divided by a slowdown, and all others are multiplied."""
    assert tell_change(change_at(BY_NAME[name], slowdown)) == told


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (-0.035, 0.035, ["−2 %", "+0 %", "+2 %"]),
        (-0.14, 0.05, ["−10 %", "−5 %", "+0 %", "+5 %"]),
        (-0.99, 0.99, ["−50 %", "+0 %", "+50 %", "+100 %", "+150 %"]),
        (-1.0, 1.1, ["÷2", "+0 %", "×2"]),
        (-23.0, 23.0, ["÷1.0e6", "+0 %", "×1.0e6"]),
    ],
)
def test_the_scale_of_changes(low: float, high: float, told: list[str]) -> None:
    """A scale has a few round changes: in per cent, or as factors where it is wide."""
    assert [words for _, words in ticks(low, high)] == told


@given(st.floats(-24, -0.03), st.floats(0.03, 24))
@FEW
def test_a_scale_is_never_crowded(low: float, high: float) -> None:
    """However wide it is, a scale has its zero and at most six marks, all within."""
    found = ticks(low, high)
    assert 1 <= len(found) <= 6
    assert any(value == 0 for value, _ in found)
    assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in found)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0.0, 2.0, [1, 10, 100]),
        (0.3, 1.35, [2, 5, 10, 20]),
        (0.31, 0.62, [3, 4]),
        (0.32, 0.38, [10**0.32, 10**0.38]),
        (-3.0, 7.0, [10**-3, 10**7]),
    ],
)
def test_the_scale_of_times(low: float, high: float, found: list[float]) -> None:
    """A logarithmic scale has round times, as many as fit; where there is none it has its ends."""
    assert ms_ticks(low, high) == pytest.approx(found)


@given(st.lists(st.tuples(st.floats(0, 200), st.integers(1, 2)), max_size=5))
@FEW
def test_words_never_lie_on_words(rows: list[tuple[float, int]]) -> None:
    """However near each other the lines are, their words stay apart and within the plot."""
    labels = [Label(at, ("x",) * lines, "dim") for at, lines in rows]
    placed = keep_apart(labels, 30.0, 200.0)
    assert sorted(map(id, labels)) == sorted(id(label) for _, label in placed)
    assert all(top + label.height <= after + 1e-9 for (top, label), (after, _) in itertools.pairwise(placed))
    assert all(top >= 30 - 1e-9 and top + label.height <= 200 + 1e-9 for top, label in placed)


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (MOST_FAULTS, MOST_FAULTS), (MOST_FAULTS + 1, MOST_FAULTS + 1)])
def test_very_many_faults_are_cut(count: int, shown: int) -> None:
    """Each fault is told, up to a number; then how many more there are."""
    page = render_load_page(replace(SAME, faults=("the service failed",) * count))
    assert page.count("<li>") == shown
    assert ("and 1 more" in page) is (count > MOST_FAULTS)


TEXTS = st.text(max_size=60) | st.sampled_from(NASTY)
RATIOS = st.floats(-25, 25) | st.sampled_from([0.0, math.nan, math.inf])


@FEW
@given(text=TEXTS)
@example(text='"><script src="https://evil.example/x.js"></script><img src=x onerror=y>')
@example(text="\ud800\x00\x1b[31m &lt;b&gt; '")
def test_no_foreign_text_breaks_out(text: str) -> None:
    """Whatever commits are called and faults say: the page has the same elements, and can be written."""
    page, plain = (
        render_load_page(replace(SLOW, commits={"base": told, "head": told}, faults=(told,)))
        for told in (text, "a1b2c3d")
    )
    found, own = read(page).found, read(plain).found
    assert {tag: number for tag, number in found.items() if tag != "code"} == {
        tag: number for tag, number in own.items() if tag != "code"
    }
    assert len(page) < 60_000


@FEW
@given(
    rows=st.lists(st.tuples(RATIOS, st.floats(1e-6, 1e9), st.floats(0, 1e9)), max_size=30),
    times=st.dictionaries(st.floats(0, 1e9), st.integers(0, 1000), max_size=20),
    outcome=st.sampled_from([None, *Outcome]),
    judged=st.integers(0, 30),
    change=st.floats(-1, 1e9),
)
def test_every_run_has_a_whole_page(
    rows: Sequence[tuple[float, float, float]],
    times: Mapping[float, int],
    outcome: Outcome | None,
    judged: int,
    change: float,
) -> None:
    """Whatever was measured: the page is whole, and its pictures lie within their frames."""
    epochs = tuple(
        Epoch(
            number,
            {metric.name: ratio for metric in METRICS},
            {"base": Figures(1, one, one, other, one, 0.1), "head": Figures(1, other, one, other, other, 0.1)},
        )
        for number, (ratio, one, other) in enumerate(rows, 1)
    )
    measured = tuple(Measured(metric, Finding.UNCLEAR, change, 0.5, ruled_out=False) for metric in METRICS)
    sides = {"base": Counter(times), "head": Counter({ms * 2: count for ms, count in times.items()})}
    run = Run(COMMITS, 2, 1, 1.0, epochs, Comparison(judged, outcome, measured), sides)
    read(render_load_page(run))
    assert len(render_table(run.comparison, run.epochs)) == 5
