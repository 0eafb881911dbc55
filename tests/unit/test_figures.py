"""The figures of a rehearsal: a line for each drill, for a screen and for the step summary."""

import json
import re
from dataclasses import replace

import pytest

from scripts.rehearsal.book import DRILLS
from scripts.rehearsal.figures import HEAD, as_json, render_groups, render_markdown, render_table
from scripts.rehearsal.observe import Facts, Seen, SiteFacts
from scripts.rehearsal.play import Played
from scripts.report import Result
from tests.unit.journals import NASTY

GOOD = next(drill for drill in DRILLS if drill.name == "good")
ERRORS = next(drill for drill in DRILLS if drill.name == "errors")
SITE = SiteFacts("render", "b" * 40, "a" * 40, (), frozenset(), 1.0)
SEEN = Seen(None, 0, GOOD.expected.result, 3542, 0, None, None, None, {"render": "candidate"})
WELL = Played(GOOD, Facts("b" * 40, "a" * 40, (SITE,), (), ()), SEEN, ())
BADLY = Played(
    ERRORS,
    replace(WELL.facts, sites=(SITE, replace(SITE, name="vercel"))),
    Seen("bake", 13, ERRORS.expected.result, 900, 41, 5.21, 1.14, 0.5, {"render": "baseline", "vercel": "candidate"}),
    ("exit_code: expected 10, saw 13", "vercel: expected the baseline, saw candidate"),
)


def cells(line: str) -> list[str]:
    """Give the cells of a row."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_summary_has_a_row_for_each_drill() -> None:
    """Each row has the figures of the table on a screen, and what was not as stated is named below."""
    title, _, *rows = render_markdown([WELL, BADLY]).splitlines()
    assert title == "## 1 of 2 drills ended as stated"
    assert cells(rows[0]) == list(HEAD)
    assert cells(rows[2]) == [
        "good",
        "render",
        "nothing",
        "0",
        "candidate",
        r"rolled\_out",
        "-",
        "-",
        "0 of 3542",
        "ok",
    ]
    assert cells(rows[3]) == [
        "errors",
        "render+vercel",
        "bake",
        "13 (not 10)",
        "render baseline, vercel candidate (not baseline)",
        r"rolled\_back\_to",
        "5.2 s",
        "1.1 s",
        "41 of 900",
        "FAIL",
    ]
    assert rows[5:] == [
        r"- errors: exit\_code: expected 10, saw 13",
        "- errors: vercel: expected the baseline, saw candidate",
    ]


def test_a_summary_without_a_failure_is_its_table() -> None:
    """Where all ended as stated nothing is listed."""
    text = render_markdown([WELL])
    assert text.startswith("## 1 of 1 drills ended as stated\n")
    assert text.endswith("| ok |\n")


def test_the_table_has_the_same() -> None:
    """On a screen the same figures stand in columns."""
    lines = render_table([WELL, BADLY]).splitlines()
    assert [line.split()[0] for line in lines] == ["drill", "good", "errors", "1"]
    assert "13 (not 10)" in lines[2]
    assert lines[-1] == "1 of 2 drills ended as stated"


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nothing_breaks_out(text: str) -> None:
    """Whatever a drill saw, it stays on its line and is neither Markdown nor HTML."""
    lines = render_markdown([replace(BADLY, wrong=(text,))]).splitlines()
    assert len(lines) in {6, 7}
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>`\[|]", lines[6] if len(lines) > 6 else "")


def test_many_drills_are_told_by_what_is_at_fault() -> None:
    """Median and worst of each class, and how often a bad release passed or a good one was taken back."""
    green = replace(BADLY, seen=replace(SEEN, exit_code=0))
    back = replace(WELL, seen=replace(SEEN, result=Result.ROLLED_BACK, detected_s=3.0, recovered_s=2.5))
    text = render_groups([WELL, BADLY, green, back])
    assert "| commit | 2 of 4 | 4.1 s, 5.2 s | 1.8 s, 2.5 s | 1.6 s, 2.5 s | 41 of 900 (errors) |" in text
    assert "False greens: 1. False rollbacks: 1." in text
    told = as_json([WELL, BADLY, green, back])
    assert (told["as_stated"], told["false_greens"], told["false_rollbacks"]) == (2, 1, 1)
    assert json.loads(json.dumps(told))["groups"] == [
        {
            "name": "commit",
            "drills": 4,
            "as_stated": 2,
            "detected_s": [4.105, 5.21],
            "recovered_s": [1.82, 2.5],
            "beyond_platform_s": [1.57, 2.5],
            "most_failed": [41, 900, "errors"],
        }
    ]
    assert "False greens" not in render_table([WELL, BADLY])
    assert "False greens" in render_table([WELL] * 6)
    assert "False greens" in render_markdown([WELL] * 6)
