"""The webhook: what is told, when, that nothing foreign acts in it, and that its URL is in no message."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts.client import Client
from scripts.foreign import GAP
from scripts.journal import Event, Kind
from scripts.redaction import Secret
from scripts.release import Stage
from scripts.report import Result
from scripts.state import replay
from scripts.verdict import Outcome
from scripts.webhook import LIMIT_S, TOLD, judge_news, post, render_text, run_url
from tests.unit import journals
from tests.unit.fakes import FakeClock, Reply, Script
from tests.unit.journals import NASTY, rename, spoil
from tests.unit.stories import BAD, PLANNED, RELEASE, UNPROVEN, event, stage

FEW = settings(max_examples=25)
PATH = "/services/T0SECRET/B0SECRET/x8Kq2LmP"
RUN = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o-1/r.x", "GITHUB_RUN_ID": "17"}


class Chat(BaseHTTPRequestHandler):
    """A chat that does with a message what its server was told to."""

    behaviour: str
    got: list[bytes]
    hung: threading.Event

    def do_POST(self) -> None:
        """Take a message, and answer, or not."""
        self.got.append(self.rfile.read(int(self.headers["content-length"])))
        if self.behaviour == "hang":
            self.hung.wait(5)
            return
        self.send_response(int(self.behaviour))
        if self.behaviour == "302":
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        """Stay silent."""


@pytest.fixture
def chat(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[bytes]]]:
    """Run a chat that behaves as the test says; give its URL and what it got."""
    monkeypatch.setenv("no_proxy", "*")

    class Behaving(Chat):
        behaviour = request.param
        got: list[bytes] = []  # noqa: RUF012 - one list for each server
        hung = threading.Event()

    with ThreadingHTTPServer(("127.0.0.1", 0), Behaving) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{PATH}", Behaving.got
        finally:
            Behaving.hung.set()
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("chat", "trouble", "tries"),
    [
        ("200", "", 1),
        ("204", "", 1),
        ("302", "the webhook answered 302", 1),
        ("404", "the webhook answered 404", 1),
        ("500", "the webhook answered 500", 2),
        ("hang", "the webhook: sent, but not answered (ReadTimeout)", 2),
    ],
    indirect=["chat"],
)
def test_what_a_chat_may_do(chat: tuple[str, list[bytes]], trouble: str, tries: int) -> None:
    """A message is sent once, once more where the server failed or hung; a redirect is not followed."""
    url, got = chat
    try_s = 0.1 if trouble.endswith("(ReadTimeout)") else 4
    client = Client(FakeClock())
    try:
        assert post(client, FakeClock(), Secret(url), "what became of it – ⚓", try_s) == trouble
    finally:
        client.close()
    assert [json.loads(body) for body in got] == [{"text": "what became of it – ⚓"}] * tries


@pytest.mark.parametrize(
    ("lines", "trouble"),
    [
        ([Reply(500), Reply(200)], ""),
        ([httpx.ReadTimeout("no"), Reply(200)], ""),
        ([httpx.ConnectError("no"), Reply(200)], ""),
        ([Reply(503), Reply(429), Reply(200)], ""),
        ([Reply(500), Reply(500)], "the webhook answered 500"),
        ([Reply(500), Reply(403)], "the webhook answered 403"),
        ([Reply(410)], "the webhook answered 410"),
    ],
)
def test_it_is_tried_once_more(lines: Sequence[Reply | Exception], trouble: str) -> None:
    """What may pass is tried again, with a pause; what will not is not."""
    script, clock = Script(*lines), FakeClock()
    assert post(Client(clock, script.transport), clock, Secret("https://chat.example" + PATH), "x") == trouble
    assert script.asked == [f"POST {PATH}"] * len(lines)


def test_it_has_an_end() -> None:
    """A server that is never reached keeps nobody waiting longer than the limit."""
    clock = FakeClock()

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no", request=request)

    trouble = post(Client(clock, httpx.MockTransport(refuse)), clock, Secret("https://chat.example" + PATH), "x")
    assert trouble == "the webhook: no answer (ConnectError)"
    assert clock.passed_s <= LIMIT_S


def test_no_try_without_time() -> None:
    """Where the first try took all the time there is, there is no second one that could only fail."""
    clock, tries = FakeClock(), 0

    def hang(request: httpx.Request) -> httpx.Response:
        nonlocal tries
        tries += 1
        clock.advance(LIMIT_S)
        raise httpx.ReadTimeout("no", request=request)

    trouble = post(Client(clock, httpx.MockTransport(hang)), clock, Secret("https://chat.example" + PATH), "x")
    assert (trouble, tries) == ("the webhook: sent, but not answered (ReadTimeout)", 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://chat.example/x",
        "http://127.0.0.1.chat.example/x",
        "ftp://127.0.0.1/x",
        "chat.example/x",
        "https://",
        "https:///x",
        "https://[::1",
        "https://chat.example:99999/x",
        "https://chat.example/a b",
        "https://chat.example/a\nx: y",
        "javascript:alert(1)",
        "no",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    """Only https is spoken, and http with this machine; anything else is a trouble that does not name it."""
    script, clock = Script(), FakeClock()
    assert post(Client(clock, script.transport), clock, Secret(url), "x") == "its URL is not one: https is needed"
    assert script.requests == []


@pytest.mark.parametrize("url", ["https://chat.example/x", "http://localhost:1/x", "http://[::1]:1/x"])
def test_a_url_that_is_one(url: str) -> None:
    """Https anywhere, and http with this machine."""
    script, clock = Script(Reply(200)), FakeClock()
    assert post(Client(clock, script.transport), clock, Secret(url), "x") == ""


@pytest.mark.parametrize(
    "host", ["x" * 70 + ".example", "-.example", "xn--a.example", "%41.example", "ex\u2100mple.com"]
)
def test_a_host_that_no_request_can_be_made_for(host: str) -> None:
    """Where the client refuses the URL, that is a trouble, and the URL is not in it."""
    clock = FakeClock()
    trouble = post(Client(clock, Script(*[Reply(404)] * 2).transport), clock, Secret(f"https://{host}{PATH}"), "x")
    assert trouble
    assert "SECRET" not in trouble
    assert host not in trouble


def told(result: str) -> Event:
    """Make the note that a result was told."""
    return event(Kind.NOTE, text=TOLD + result)


BACK, BROKEN = Result.ROLLED_BACK, Result.STILL_BROKEN
NEWS: dict[str, tuple[list[Event], Result, bool]] = {
    "rolled back": ([], BACK, True),
    "still broken": ([], BROKEN, True),
    "rolled out": ([], Result.ROLLED_OUT, False),
    "never started": ([], Result.NEVER_STARTED, False),
    "superseded": ([], Result.SUPERSEDED, False),
    "rolled back, again": ([told(BACK)], BACK, False),
    "still broken, again": ([told(BROKEN)], BROKEN, False),
    "still broken after all": ([told(BACK)], BROKEN, True),
    "rolled back after all": ([told(BROKEN)], BACK, True),
    "to and fro": ([told(BACK), told(BROKEN)], BACK, True),
    "well after all": ([told(BROKEN)], Result.ROLLED_OUT, True),
    "well, again": ([told(BROKEN), told(Result.ROLLED_OUT)], Result.ROLLED_OUT, False),
    "another note": ([event(Kind.NOTE, "render", text="auto-deploy is off")], BACK, True),
    "another release": ([told(BACK), RELEASE], BACK, True),
    "well, another release": ([told(BROKEN), RELEASE], Result.ROLLED_OUT, False),
}


@pytest.mark.parametrize(("notes", "result", "news"), NEWS.values(), ids=NEWS)
def test_what_is_news(notes: list[Event], result: Result, news: bool) -> None:
    """What went wrong is told once, and what then became of it too; what went well without that is not."""
    assert judge_news([RELEASE, *notes], result) is news


def test_the_text(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It says what became of it, where, why, what to do, and where to look."""
    story = journals.bad(tmp_path_factory.mktemp("x"), "render", "vercel", proven=["render"])
    assert render_text(replay(story.events), RUN).splitlines() == [
        "STILL BROKEN: what serves on vercel is not proven; a person is needed now",
        "render: 0f9e8d7 → a1b2c3d, went back",
        "vercel: 0f9e8d7 → a1b2c3d, not known",
        "Why: vercel: items failed 23 of 91 times; that is no accident at 0.1 % (log E = 7.3)",
        "Why: vercel: 0f9e8d7 was not proven to answer within 900 s",
        "Next: open the platform's dashboard now",
        "https://github.com/o-1/r.x/actions/runs/17",
    ]


def test_the_text_by_hand(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A rollback by hand also says who asked for it, and why."""
    story = journals.by_hand(tmp_path_factory.mktemp("x"), why="<!here> it is `slow`")
    lines = render_text(replay(story.events), {}).splitlines()
    assert lines[:2] == [
        "a1b2c3d was rolled back by hand; 0f9e8d7 is proven to serve again",
        "render: a1b2c3d → 0f9e8d7, went back",
    ]
    assert "Asked for by kim: &lt;!here&gt; it is 'slow'" in lines


def test_a_lost_stage_is_a_reason() -> None:
    """Where a run was lost, that is why."""
    lost = [*BAD[:-2], event(Kind.STAGE_STARTED, stage=Stage.BAKE)]
    assert "Why: the run was lost in this stage" in render_text(replay(lost), {}).splitlines()


def test_the_text_of_a_journal_that_is_lost() -> None:
    """Where nothing is known but that nothing was proven, that is told."""
    text = render_text(replay(stage(Stage.RECOVER, Outcome.FAIL, reason="no journal", **UNPROVEN)), {})
    assert text.startswith("STILL BROKEN: what serves on production is not proven")
    assert "Why: no journal" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITHUB_RUN_ID", ""),
        ("GITHUB_RUN_ID", "17/../.."),
        ("GITHUB_RUN_ID", "17\n<!channel>"),
        ("GITHUB_RUN_ID", "17\n"),
        ("GITHUB_RUN_ID", "\N{ARABIC-INDIC DIGIT ONE}"),
        ("GITHUB_REPOSITORY", "o/r/x"),
        ("GITHUB_REPOSITORY", "o|<!here>/r"),
        ("GITHUB_SERVER_URL", "javascript:x"),
        ("GITHUB_SERVER_URL", ""),
    ],
)
def test_an_address_that_is_none(name: str, value: str) -> None:
    """Outside a run, and where a part of it is not what it should be, there is no address."""
    assert run_url({**RUN, name: value}) == ""


TEXTS = st.text(max_size=60) | st.sampled_from(NASTY)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> list[list[Event]]:
    """Give a release that is still broken on one of two targets, and a rollback by hand."""
    folder = tmp_path_factory.mktemp("stories")
    broken = journals.bad(folder / "broken", "render", "vercel", proven=["render"])
    return [broken.events, journals.by_hand(folder / "hand").events, list(PLANNED)]


@FEW
@given(text=TEXTS, name=TEXTS, place=st.integers(0, 2))
@example(text="\ud800", name="<@U1>", place=0)
def test_nothing_foreign_acts(stories: list[list[Event]], text: str, name: str, place: int) -> None:
    """Whatever others wrote, a message is short, keeps its lines, calls nobody, links nowhere and opens no code."""
    told = render_text(replay(rename(spoil(stories[place], text), "render", name)), RUN)
    assert json.dumps({"text": told}).encode()
    assert len(told) < 4000
    assert len(told.splitlines()) <= 8
    own, _, link = told.rpartition("\n")
    assert link == "https://github.com/o-1/r.x/actions/runs/17"
    assert not re.search(rf"[<>`]|&(?!amp;|lt;|gt;)|@(?!{GAP})|://|\u202e", own)
