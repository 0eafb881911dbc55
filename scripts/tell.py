"""The verb `report`: tell what became of the release, wherever somebody looks.

`release.json` and `page.html` beside the journal, the step summary, the step's outputs, an annotation, a webhook. What
cannot be written is a warning: no report may cost another one, and none is a reason to fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC

from scripts.clock import SystemClock
from scripts.console import Console
from scripts.errors import PlatformError
from scripts.evidence import read_evidence
from scripts.journal import Event, Journal, Kind
from scripts.page import render_page
from scripts.report import Result, as_json, judge_result, title_of, write_json, write_whole
from scripts.resolve import write_outputs
from scripts.state import RunState, replay
from scripts.summary import append_summary, render_markdown
from scripts.webhook import TOLD, judge_news, post, render_text
from scripts.wiring import WEBHOOK, Given

PAGE = "page.html"
STRUCTURE = frozenset({"stage", "outcome", "action", "state", "commit", "started_at"})  # read by us, never free text


def tell(given: Given) -> int:
    """Tell it; the exit code is 0 whatever became of the release.

    Raises:
        UsageError: the journal cannot be read.
    """
    console, folder = given.console, given.arguments.state
    journal = Journal(folder, SystemClock(), console.redact)
    events = read(journal, console.redact)
    state = replay(events)
    evidence = read_evidence(folder, events, state, given.config.objectives.error_rate)
    text = console.redact(render_markdown(events, evidence))
    _attempt(console, "release.json", lambda: write_json(folder, state))
    _attempt(console, "the step summary", lambda: append_summary(given.environment, text))
    _attempt(console, "the step's outputs", lambda: write_outputs(given.environment, _outputs(given, state)))
    _annotate(console, state)
    console.result(as_json(state) if given.arguments.json else text)
    _send(given, journal, events, state)
    _attempt(console, PAGE, lambda: write_whole(folder / PAGE, render_page(read(journal, console.redact), evidence)))
    return 0


def read(journal: Journal, redact: Callable[[str], str]) -> list[Event]:
    """Read the journal, with what other jobs did not know to be a secret taken out of it."""
    return [_cleaned(event, redact) for event in journal.read()]


def _cleaned(event: Event, redact: Callable[[str], str]) -> Event:
    fields = {name: _redacted(name, value, redact) for name, value in event.fields.items()}
    return replace(event, fields=fields, at=event.at if event.at.tzinfo else event.at.replace(tzinfo=UTC))


def _redacted(name: str, value: object, redact: Callable[[str], str]) -> object:
    match value:
        case str():
            return value if name in STRUCTURE else redact(value)
        case dict():
            return {key: _redacted(str(key), part, redact) for key, part in value.items()}
        case list():
            return [_redacted(name, part, redact) for part in value]
        case _:
            return value


def _attempt(console: Console, what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except OSError as error:
        console.warn(f"{what} could not be written: {error.strerror}")


def _outputs(given: Given, state: RunState) -> dict[str, str]:
    """Give what the workflow shows: where to look at the service, and what became of the release."""
    section = getattr(given.config, given.config.release.targets[0])
    return {"url": section.url, "result": judge_result(state)}


def _annotate(console: Console, state: RunState) -> None:
    match judge_result(state):
        case Result.ROLLED_BACK:
            console.warn(title_of(state))
        case Result.STILL_BROKEN:
            console.fail(title_of(state))
        case _:
            pass


def _send(given: Given, journal: Journal, events: list[Event], state: RunState) -> None:
    """Tell the webhook, where there is one and there are news, and write down that it was told."""
    secret, result = given.secrets.get(WEBHOOK), judge_result(state)
    if secret is None or not judge_news(events, result):
        return
    trouble = post(given.client, SystemClock(), secret, render_text(state, given.environment))
    if trouble:
        given.console.warn(f"the result was not told to {WEBHOOK}: {trouble}")
        return
    given.console.say(f"told   {result}")
    note_told(given.console, journal, result)


def note_told(console: Console, journal: Journal, result: Result) -> None:
    """Write down what was told, so that the next report of this release does not tell it again.

    Not behind a torn line: only a stage's start heals that, and after anything else the journal could not be read.
    """
    if not journal.path.read_bytes().endswith(b"\n"):
        return
    try:
        journal.append(Kind.NOTE, text=f"{TOLD}{result}")
    except PlatformError as error:
        console.warn(error.what)
