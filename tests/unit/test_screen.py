"""The live screen: the same seconds above one another, what is bad is red, and the terminal is left as it was."""

import asyncio
import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console as RichConsole
from rich.text import Text

from scripts.console import Console
from scripts.rehearsal import command, strips
from scripts.rehearsal.playing import Lines
from scripts.rehearsal.recording import Bet, Mark, Recording, SiteRecording, StageRun, Tick
from scripts.rehearsal.screen import Screen, render_drill
from scripts.rehearsal.strips import Window
from tests.unit.test_figures import BADLY, WELL

NEW_TICK = Tick(0.75, 50, 0, 3.0, 9.0, {"candidate": 70})
TICKS = (
    Tick(-0.25, 30, 0, 3.0, 9.0, {"baseline": 40}),
    replace(NEW_TICK, t_s=0.75, answers={"baseline": 60, "candidate": 10}),
    replace(NEW_TICK, t_s=1.75),
    replace(NEW_TICK, t_s=3.75, sent=50, failed=25, p95_ms=1000.0),
    replace(NEW_TICK, t_s=4.75, answers={}, failed=50),
)
SITE = SiteRecording(
    "render",
    sent=230,
    failed=75,
    ticks=TICKS,
    marks=(Mark(0.5, "build_started", "candidate"), Mark(1.5, "live", "candidate")),
    bets=(Bet(3.0, -1.0), Bet(4.0, 1.0), Bet(5.0, 3.2)),
)
STAGES = (
    StageRun("plan", 0.0, 1.5, 0),
    StageRun("deploy", 1.5, 3.2, 10),
    StageRun("rollback", 3.2),
)
SEEN = Recording(5.4, STAGES, (SITE, replace(SITE, name="vercel", bets=())))


def shown(width: int = 100, seen: Recording = SEEN, lines: tuple[str, ...] = ()) -> list[str]:
    """Draw a drill on a terminal of that width; give its lines."""
    console = RichConsole(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(render_drill("errors", "a fifth fails", seen, lines, width - 50))
    return capture.get().splitlines()


def line_of(name: str, lines: list[str]) -> str:
    """Give the first line that begins with a name, without the frame."""
    return next(line.strip("│ ") for line in lines if line.strip("│ ").startswith(name))


def test_a_drill_on_the_screen() -> None:
    """Both platforms, what serves, users a second and failed ones, the evidence, what was done, what was said."""
    lines = shown(lines=("    bake", "      render   it looks bad"))
    assert "errors" in lines[1]
    assert "a fifth fails" in lines[1]
    assert [line_of(name, lines).split()[0] for name in ("stages", "render", "vercel")] == [
        "stages",
        "render",
        "vercel",
    ]
    assert "candidate" in line_of("render", lines)
    assert "50/s, 75 of 230 failed" in line_of("failed", lines)
    assert "p50 3 ms, p95 1000 ms" in line_of("p95", lines)
    assert "1.58e+03 of 1000" in line_of("evidence", lines)
    assert "build started candidate 5 s ago; live candidate 4 s ago" in "\n".join(lines)
    assert "it looks bad" in "\n".join(lines)
    assert "rollback" in line_of("stages", lines)
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Nothing wraps, so that the screen does not jump."""
    long = replace(SEEN, now_s=500.0)
    for line in shown(width, long, ("x" * 500, "\x1b[2Jclear\rgone")):
        assert len(line) <= width
        assert "\x1b" not in line


def test_nothing_to_be_seen_yet() -> None:
    """Before the first second there is a frame, and no error."""
    assert "errors" in shown(seen=Recording())[1]
    assert "render" in "\n".join(shown(seen=Recording(0.2, (), (SiteRecording("render"),))))


def test_who_answered_is_a_colour_for_each_second() -> None:
    """The old release, both at once, the new one, a second without users, and nobody."""
    text = strips.strip_of_answers(TICKS, Window(0, 10))
    assert text.plain == "█▚█ █·"
    assert spans(text) == ["bright_black", "bright_black on blue", "blue", "", "blue", "red"]


def spans(text: Text) -> list[str]:
    """Give the style of each character."""
    styles = [""] * len(text.plain)
    for span in text.spans:
        styles[span.start : span.end] = [str(span.style)] * (span.end - span.start)
    return styles


def test_bars_are_as_high_as_what_they_tell() -> None:
    """A share of the requests, milliseconds on a logarithmic scale, and evidence of which a full bar is proof."""
    window = Window(0, 10)
    assert strips.strip_of_failures(TICKS, window).plain == "    ▅█"
    assert strips.strip_of_latency(TICKS, window).plain == "▄▄▄ █▄"
    bets = strips.strip_of_bets([*SITE.bets, Bet(6.0, 2.99)], window)
    assert bets.plain == "    ▅█▇"
    assert spans(bets)[5:] == ["bold red", "yellow"]


def test_a_strip_shows_the_last_seconds() -> None:
    """What began long ago moves out on the left, and the names of stages stay at their beginnings."""
    assert Window.ending(4.9, 10) == Window(0, 10)
    assert Window.ending(25.0, 10) == Window(16, 10)
    assert Window.ending(65.0, 61) == Window(36, 30, 2)
    stages = strips.strip_of_stages(STAGES, Window(0, 10), 5.4)
    assert stages.plain == "pdero     "
    long = (StageRun("bake", 0.0, 20.0, 0), StageRun("rollback", 20.0, None))
    text = strips.strip_of_stages(long, Window(16, 10), 25.9)
    assert text.plain == "bakerollb "
    wide = strips.strip_of_stages(STAGES, Window(0, 6, 2), 5.4)
    assert wide.plain == "pladeproll  "
    assert strips.strip_of_answers(TICKS[:2], Window(0, 6, 2)).plain == "██▚▚"


def test_a_stage_that_failed_is_red() -> None:
    """So it is found at a glance."""
    text = strips.strip_of_stages((StageRun("deploy", 0, 8, 10),), Window(0, 8), 9)
    assert set(spans(text)) == {strips.ENDED_BADLY}


def test_drills_come_and_go_on_the_screen() -> None:
    """Each that ended leaves a line, with what was not as stated; then nothing of the screen itself is left."""
    file = io.StringIO()
    screen = Screen(3, file)
    screen._rich = screen._live.console = RichConsole(file=file, force_terminal=True, width=100, height=40)
    recorder: Any = SimpleNamespace(look=lambda last_s: SEEN)

    async def rehearse() -> None:
        async with screen.shown():
            with screen.view("errors", "a fifth fails") as (console, watch):
                console.say("    plan")
                watch(recorder)
                await asyncio.sleep(0.05)
                screen._live.update(screen.render(), refresh=True)
            screen.end(WELL)
            screen.end(BADLY)
            screen.say("interrupted")

    asyncio.run(rehearse())
    told = file.getvalue()
    assert "a fifth fails" in told
    assert "0 of 3 drills played" in told
    after = told[told.rindex("interrupted") :]
    assert after.endswith("\x1b[2K")  # every line of the screen is erased
    assert "\x1b[?25h" in after  # and the cursor is back
    for line in ("good: exit 0, candidate serves, 0 of 3542", "errors: exit 13", "exit_code: expected 10, saw 13"):
        assert line in told


@pytest.mark.parametrize(
    ("environment", "terminal", "plain", "live"),
    [
        ({"TERM": "xterm"}, True, False, True),
        ({"TERM": "xterm"}, True, True, False),
        ({"TERM": "xterm"}, False, False, False),
        ({"TERM": "xterm", "CI": "true"}, True, False, False),
        ({"TERM": "dumb"}, True, False, False),
        ({}, True, False, False),
    ],
)
def test_a_screen_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, terminal: bool, plain: bool, live: bool
) -> None:
    """Elsewhere, in CI and where they were asked for, there are lines."""
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: terminal, write=lambda _: 0, flush=lambda: None))
    show = command.choose_show(2, environment, Console(), plain=plain)
    assert isinstance(show, Screen if live else Lines)
