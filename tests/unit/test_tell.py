"""The verb `report`: everything that it tells, and that none of it costs another or the exit code."""

import argparse
import io
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from scripts.client import Client
from scripts.config import parse
from scripts.console import Console
from scripts.errors import UsageError
from scripts.journal import Journal, Kind
from scripts.redaction import Redactor, Secret
from scripts.release import Stage
from scripts.report import Result, judge_result
from scripts.state import replay
from scripts.tell import PAGE, tell
from scripts.webhook import TOLD
from scripts.wiring import WEBHOOK, Given
from tests.unit import journals
from tests.unit.fakes import FakeClock
from tests.unit.journals import NASTY, OLD, Story, spoil

URL = "https://chat.example/services/T0SECRET/B0SECRET/x8Kq2LmP"
TABLE: dict[str, object] = {
    "version": 1,
    "release": {"targets": ["render"]},
    "render": {"url": "https://api.example.com"},
    "vercel": {"url": "https://v.example.com", "team": "t", "org_id": "o", "project_id": "p"},
    "checks": [{"name": "ready", "path": "/"}],
}


@dataclass
class Report:
    """The verb, as a workflow calls it: with outputs, a summary, and a chat that answers."""

    folder: Path
    secret: str = URL
    status: int = 200
    json: bool = False
    table: Mapping[str, object] = field(default_factory=lambda: TABLE)
    messages: list[str] = field(default_factory=list)
    out: io.StringIO = field(default_factory=io.StringIO)
    err: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        """Name the files of the runner."""
        self.state = self.folder / "state"
        self.runner = self.folder / "runner"
        self.runner.mkdir(exist_ok=True)
        self.environment = {
            "GITHUB_STEP_SUMMARY": str(self.runner / "summary.md"),
            "GITHUB_OUTPUT": str(self.runner / "outputs"),
            "GITHUB_ACTIONS": "true",
        }

    def run(self) -> int:
        """Run the verb once; what it prints is added to what was printed before."""
        secrets = {WEBHOOK: Secret(self.secret)} if self.secret else {}
        console = Console(Redactor(secrets.values()), actions=True, err=self.err, out=self.out)
        client = Client(FakeClock(), httpx.MockTransport(self._answer))
        arguments = argparse.Namespace(state=self.state, json=self.json)
        return tell(Given(arguments, self.environment, parse(self.table), secrets, console, client))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.status == 200:
            self.messages.append(json.loads(request.content)["text"])
        return httpx.Response(self.status, text=str(request.url))

    @property
    def notes(self) -> list[str]:
        """What the journal says was told."""
        rows = Journal(self.state, FakeClock(), str).read()
        return [row.text("text").removeprefix(TOLD) for row in rows if row.kind is Kind.NOTE]

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the step."""
        lines = (self.runner / "outputs").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def written(self) -> str:
        """Everything that can be read afterwards."""
        files = [path.read_text() for path in self.folder.rglob("*") if path.is_file()]
        return "\n".join([self.out.getvalue(), self.err.getvalue(), *files])


def broken(folder: Path) -> Story:
    """Write a release that is still broken on one of two targets."""
    return journals.bad(folder / "state", "render", "vercel", proven=["render"])


def back(folder: Path) -> Story:
    """Write one that went back."""
    return journals.bad(folder / "state")


def good(folder: Path) -> Story:
    """Write one that went well."""
    return journals.good(folder / "state")


TELLINGS: dict[str, tuple[Callable[[Path], object], Result, str, bool]] = {
    "nothing": (lambda folder: None, Result.NEVER_STARTED, "", False),
    "good": (good, Result.ROLLED_OUT, "", False),
    "back": (back, Result.ROLLED_BACK, "::warning title=slipway::a1b2c3d was bad and was rolled back", True),
    "broken": (broken, Result.STILL_BROKEN, "::error title=slipway::STILL BROKEN: what serves on vercel", True),
    "by hand": (
        lambda folder: journals.by_hand(folder / "state"),
        Result.ROLLED_BACK,
        "::warning title=slipway::a1b2c3d was rolled back by hand",
        True,
    ),
}


@pytest.mark.parametrize(("write", "result", "annotation", "told"), TELLINGS.values(), ids=TELLINGS)
def test_a_report(tmp_path: Path, write: Callable[[Path], object], result: Result, annotation: str, told: bool) -> None:
    """Each end is told on stdout, in release.json, summary, page, outputs, annotations; a bad one to the chat."""
    write(tmp_path)
    report = Report(tmp_path)
    assert report.run() == 0
    assert json.loads((report.state / "release.json").read_text())["result"] == result
    assert report.outputs == {"url": "https://api.example.com", "result": result}
    assert (report.runner / "summary.md").read_text() == report.out.getvalue().removesuffix("\n")
    assert f'<h1 class="{result}">' in (report.state / PAGE).read_text()
    lines = [line for line in report.err.getvalue().splitlines() if line.startswith("::")]
    assert [line.startswith(annotation) for line in lines] == ([True] if annotation else [])
    assert len(report.messages) == told
    assert report.notes == ([result] if told else [])
    assert not list(tmp_path.rglob("*.part"))


def test_as_json(tmp_path: Path) -> None:
    """With `--json` stdout is what release.json has, and the summary is what it always is."""
    back(tmp_path)
    report = Report(tmp_path, json=True)
    report.run()
    assert json.loads(report.out.getvalue()) == json.loads((report.state / "release.json").read_text())
    assert (report.runner / "summary.md").read_text().startswith("## a1b2c3d was bad")


def test_outside_of_a_workflow(tmp_path: Path) -> None:
    """Without a runner and without a webhook there is stdout, release.json and the page."""
    back(tmp_path)
    report = Report(tmp_path, secret="")
    report.environment = {}
    assert report.run() == 0
    assert (list(report.runner.iterdir()), report.messages, report.notes) == ([], [], [])
    assert {path.name for path in report.state.iterdir()} >= {"release.json", PAGE}


def test_the_url_is_the_first_targets(tmp_path: Path) -> None:
    """The address that the workflow shows is that of the first target."""
    report = Report(tmp_path, table={**TABLE, "release": {"targets": ["vercel", "render"]}})
    report.run()
    assert report.outputs["url"] == "https://v.example.com"


def test_the_page_has_what_was_told(tmp_path: Path) -> None:
    """The page is written last, so that the chat's news are in it; the pictures are those of the probes."""
    back(tmp_path)
    report = Report(tmp_path)
    report.run()
    page = (report.state / PAGE).read_text()
    assert f"{TOLD}{Result.ROLLED_BACK}" in page
    assert "Probes of render" in page


def test_news_are_told_once(tmp_path: Path) -> None:
    """The recovery's report has the same journal: it tells what changed, and nothing that was told."""
    story = broken(tmp_path)
    report = Report(tmp_path)
    assert [report.run(), report.run()] == [0, 0]
    assert [text.split(":")[0] for text in report.messages] == ["STILL BROKEN"]
    story.begin(Stage.RECOVER)
    story.prove("render", OLD)
    story.prove("vercel", OLD)
    story.end(Stage.RECOVER, reason="both answer again")
    assert [report.run(), report.run()] == [0, 0]
    assert [text.split(";")[0] for text in report.messages[1:]] == ["a1b2c3d was bad and was rolled back"]
    assert report.notes == [Result.STILL_BROKEN, Result.ROLLED_BACK]


def test_what_was_told_changes_nothing_else(tmp_path: Path) -> None:
    """The note in the journal is no part of what the release is."""
    story = back(tmp_path)
    before = replay(story.events)
    Report(tmp_path).run()
    assert replay(story.events) == before
    assert len(story.events) == len(story.journal.path.read_text().splitlines())


@pytest.mark.parametrize("status", [302, 404])
def test_a_chat_that_refuses(tmp_path: Path, status: int) -> None:
    """What could not be told is a warning; the exit code stays, and the next report tries again."""
    back(tmp_path)
    report = Report(tmp_path, status=status)
    assert report.run() == 0
    assert f"{WEBHOOK}: the webhook answered {status}" in report.err.getvalue()
    assert report.notes == []
    report.status = 200
    report.run()
    assert len(report.messages) == 1


@pytest.mark.parametrize(
    "secret", ["http://chat.example/x8Kq2LmP", "chat-x8Kq2LmP", "deploy", "https://[x8Kq2LmP", "pass"]
)
def test_a_url_that_is_none(tmp_path: Path, secret: str) -> None:
    """A webhook that is no URL, whatever else it may be, is a warning that does not show it."""
    back(tmp_path)
    report = Report(tmp_path, secret=secret)
    assert report.run() == 0
    assert f"{WEBHOOK}: its URL is not one" in report.err.getvalue()
    assert "x8Kq2LmP" not in report.written()
    assert json.loads((report.state / "release.json").read_text())["result"] == Result.ROLLED_BACK


def test_the_secret_is_nowhere(tmp_path: Path) -> None:
    """Where the URL of the webhook stands in the journal, and comes back from the chat, no output has it."""
    story = broken(tmp_path)
    leaked = spoil(story.events, f"see {URL}?a=1&b=<2>")
    story.journal.path.unlink()
    for event in leaked:
        story.journal.append(event.kind, event.target, **event.fields)
    source = story.journal.path.read_text()
    for status in (404, 200):
        report = Report(tmp_path, status=status)
        assert report.run() == 0
        shown = report.written().replace(source, "") + "".join(report.messages)
        assert "x8Kq2LmP" not in shown
        assert "T0SECRET" not in shown


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    """A broken line in the middle is an error: nothing is told of what nobody knows."""
    story = back(tmp_path)
    lines = story.journal.path.read_bytes().splitlines(keepends=True)
    story.journal.path.write_bytes(lines[0] + b"torn\n" + b"".join(lines[1:]))
    report = Report(tmp_path)
    with pytest.raises(UsageError, match="line 2"):
        report.run()
    assert (report.messages, list(report.runner.iterdir())) == ([], [])


def test_a_torn_line_is_left_to_the_next_stage(tmp_path: Path) -> None:
    """Behind a line that a kill cut off nothing is written down, or the recovery could not read the journal."""
    story = broken(tmp_path)
    with story.journal.path.open("ab") as file:
        file.write(b'{"at": "2026-03-04T05:')
    report = Report(tmp_path)
    assert report.run() == 0
    assert (len(report.messages), report.notes) == (1, [])
    story.begin(Stage.RECOVER)
    assert judge_result(replay(story.events)) is Result.STILL_BROKEN


@pytest.mark.parametrize("name", ["release.json.part", f"{PAGE}.part"])
def test_a_file_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    """What cannot be written is a warning, and everything else is told."""
    back(tmp_path)
    report = Report(tmp_path)
    (report.state / name).mkdir()
    assert report.run() == 0
    assert f"{name.removesuffix('.part')} could not be written: Is a directory" in report.err.getvalue()
    assert (len(report.messages), report.outputs["result"]) == (1, Result.ROLLED_BACK)


@pytest.mark.parametrize("name", ["GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"])
def test_a_runner_that_takes_nothing(tmp_path: Path, name: str) -> None:
    """Where the runner's file cannot be written, that is a warning, and everything else is told."""
    back(tmp_path)
    report = Report(tmp_path)
    report.environment[name] = str(tmp_path)
    assert report.run() == 0
    assert "could not be written" in report.err.getvalue()
    assert len(report.messages) == 1
    assert (report.state / PAGE).exists()


def test_a_journal_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the journal cannot be written, what was told is a warning, not an error."""
    back(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    report = Report(tmp_path)
    assert report.run() == 0
    assert "could not be written" in report.err.getvalue()
    assert (len(report.messages), report.notes) == (1, [])


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nothing_foreign_stops_it(tmp_path: Path, text: str) -> None:
    """Whatever others wrote into the journal, it is told, and no line of it is a command to the runner."""
    story = journals.by_hand(tmp_path / "state")
    events = spoil(story.events, text)
    story.journal.path.unlink()
    for event in events:
        story.journal.append(event.kind, event.target, **event.fields)
    report = Report(tmp_path)
    assert report.run() == 0
    assert len(report.messages) == 1
    commands = [line for line in report.err.getvalue().splitlines() if line.lstrip().startswith("::")]
    assert [line.split("::")[1] for line in commands] == ["warning title=slipway"]
    assert not [line for line in report.out.getvalue().splitlines() if line.lstrip().startswith("::")]


def test_a_moment_without_a_zone(tmp_path: Path) -> None:
    """A journal that a person mended, with a moment that names no zone, is read as UTC."""
    story = back(tmp_path)
    text = story.journal.path.read_text()
    story.journal.path.write_text(text.replace("+00:00", "", 1))
    assert Report(tmp_path).run() == 0


def test_no_reader_sees_half_of_the_page(tmp_path: Path) -> None:
    """However often it is written, whoever reads the page finds all of it."""
    back(tmp_path)
    report = Report(tmp_path)
    report.run()
    done = threading.Event()
    ends: set[str] = set()

    def read() -> None:
        while not done.is_set():
            ends.add((report.state / PAGE).read_text()[-8:])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(10):
        report.run()
    done.set()
    reader.join()
    assert ends == {"</html>\n"}
