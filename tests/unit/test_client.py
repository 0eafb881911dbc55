"""The one HTTP client: what is asked again, how long it waits, and what its errors say."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.client import AGENT, LARGEST_BODY, PROBE_CONNECTIONS, RETRIES, Answer, Client, expect_object
from scripts.clock import Deadline, SystemClock
from scripts.errors import OutcomeUnknown, PlatformError, PlatformUnreachable
from tests.unit.fakes import FakeClock, Line, Reply, Script

KEY = "aB3-_xYz9Q"
URL = f"https://api.render.com/deploy/srv-abc123?key={KEY}"
WHAT = "Render, testing"
BACKOFF = [0.5, 1.0, 2.0, 4.0]
SENT: list[httpx.HTTPError] = [
    httpx.ReadTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.WriteError("reset"),
    httpx.WriteTimeout("slow"),
    httpx.RemoteProtocolError("server disconnected"),
    httpx.DecodingError("not gzip"),
]
NOT_SENT: list[httpx.HTTPError] = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("slow"),
    httpx.PoolTimeout("full"),
    httpx.UnsupportedProtocol("ftp"),
]


def ask(
    script: Script, method: str, *, clock: FakeClock | None = None, within_s: float = 1000, timeout_s: float = 15
) -> Answer:
    """Send one request to a script, with a deadline."""
    clock = clock or FakeClock()
    client = Client(clock, script.transport)
    return client.request(method, URL, what=WHAT, deadline=Deadline.after(clock, within_s), timeout_s=timeout_s)


def named(error: Exception) -> str:
    """Name a parameter after its error."""
    return type(error).__name__


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 400, 401, 404, 409, 428, 430, 499])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_an_answer_is_given_as_it_is(method: str, status: int) -> None:
    """An answer that is not worth repeating is given at once, whatever it means."""
    script = Script(Reply(status, body=b"body", headers={"X-Name": "value"}))
    answer = ask(script, method)
    assert (answer.status, answer.body, answer.headers["x-name"], answer.error) == (status, b"body", "value", "")
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 501, 502, 503, 504, 599])
def test_get_is_asked_again_on_trouble(status: int) -> None:
    """A GET is repeated on 429 and on every 5xx, until it is answered."""
    script, clock = Script(Reply(status), Reply(status), Reply(200)), FakeClock()
    assert ask(script, "GET", clock=clock).status == 200
    assert clock.pauses == BACKOFF[:2]


@pytest.mark.parametrize("error", [*SENT, *NOT_SENT], ids=named)
def test_get_is_asked_again_without_an_answer(error: Exception) -> None:
    """A GET is repeated whenever nothing came back."""
    script, clock = Script(error, error, Reply(200)), FakeClock()
    assert ask(script, "GET", clock=clock).status == 200
    assert clock.pauses == BACKOFF[:2]


def test_repeats_are_bounded_by_number() -> None:
    """After the last try the answer is given, and pauses double from half a second."""
    script, clock = Script(*[Reply(502)] * (RETRIES + 1)), FakeClock()
    assert ask(script, "GET", clock=clock).status == 502
    assert clock.pauses == BACKOFF


@pytest.mark.parametrize("error", [*SENT, *NOT_SENT], ids=named)
def test_get_gives_up_as_unreachable(error: Exception) -> None:
    """A GET that is never answered ends as unreachable, exit 12, and never as an unknown outcome."""
    script = Script(*[error] * (RETRIES + 1))
    with pytest.raises(PlatformUnreachable) as caught:
        ask(script, "GET")
    assert caught.type is PlatformUnreachable
    assert caught.value.exit_code == 12
    assert caught.value.__cause__ is error
    assert len(script.requests) == RETRIES + 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_change_is_asked_again_only_where_it_was_refused(method: str, status: int) -> None:
    """A change is repeated on 429 and 503, because the platform then certainly did not act."""
    script = Script(Reply(status), Reply(201))
    assert ask(script, method).status == 201
    assert len(script.requests) == 2


@pytest.mark.parametrize("status", [500, 502, 504, 428, 430])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_change_is_not_asked_again_where_it_may_have_been_done(method: str, status: int) -> None:
    """A change that was answered with any other status is never sent twice."""
    script = Script(Reply(status))
    assert ask(script, method).status == status
    assert len(script.requests) == 1


@pytest.mark.parametrize("error", NOT_SENT, ids=named)
def test_change_is_asked_again_when_it_was_not_sent(error: Exception) -> None:
    """A change is repeated where no connection was made, and ends as unreachable when none ever is."""
    script = Script(error, Reply(201))
    assert ask(script, "POST").status == 201
    with pytest.raises(PlatformUnreachable) as caught:
        ask(Script(*[error] * (RETRIES + 1)), "POST")
    assert caught.type is PlatformUnreachable


@pytest.mark.parametrize("error", SENT, ids=named)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_change_without_an_answer_is_unknown(method: str, error: Exception) -> None:
    """A change that was sent and not answered may have been carried out: it is said, and not sent again."""
    script = Script(error)
    with pytest.raises(OutcomeUnknown, match=f"^{WHAT}: sent, but not answered") as caught:
        ask(script, method)
    assert len(script.requests) == 1
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("status", "headers", "pause_s"),
    [
        (429, {"retry-after": "7"}, 7),
        (503, {"Retry-After": "7"}, 7),
        (500, {"retry-after": "7"}, 7),
        (429, {"ratelimit-reset": "9"}, 9),
        (429, {"ratelimit-reset": "9", "retry-after": "7"}, 7),
        (503, {"ratelimit-reset": "9"}, 0.5),
        (429, {"retry-after": "0"}, 0.5),
        (429, {"retry-after": "soon"}, 0.5),
        (429, {"retry-after": "-3"}, 0.5),
        (429, {"retry-after": "1.5"}, 0.5),
        (429, {"retry-after": ""}, 0.5),
        (429, {"retry-after": "soon", "ratelimit-reset": "9"}, 9),
        (429, {}, 0.5),
    ],
)
def test_the_platforms_pause_is_obeyed(status: int, headers: dict[str, str], pause_s: float) -> None:
    """`Retry-After`, and at 429 Render's `Ratelimit-Reset`, say how long to wait; nonsense in them is passed over."""
    clock = FakeClock()
    ask(Script(Reply(status, headers=headers), Reply(200)), "GET", clock=clock)
    assert clock.pauses == [pause_s]


@pytest.mark.parametrize(("asked_s", "requests"), [(9, 2), (11, 1)])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pause_past_the_deadline_is_not_waited_for(method: str, asked_s: int, requests: int) -> None:
    """A pause that ends before the deadline is waited for; of a longer one the answer is given at once."""
    script, clock = Script(Reply(429, headers={"retry-after": str(asked_s)}), Reply(200)), FakeClock()
    answer = ask(script, method, clock=clock, within_s=10)
    assert len(script.requests) == requests
    assert answer.status == (200 if requests == 2 else 429)
    assert clock.passed_s == (asked_s if requests == 2 else 0)


def test_get_stops_at_the_deadline() -> None:
    """Tries that were not answered end with the deadline, even where tries are left."""

    def slow(request: httpx.Request) -> httpx.Response:
        clock.advance(8)
        raise httpx.ReadTimeout("slow", request=request)

    script, clock = Script(slow, slow, slow), FakeClock()
    with pytest.raises(PlatformUnreachable, match="no answer"):
        ask(script, "GET", clock=clock, within_s=12)
    assert len(script.requests) == 2


@pytest.mark.parametrize(("within_s", "timeout_s", "limit_s"), [(100, 15, 15), (4, 15, 4), (15, 15, 15)])
def test_one_request_never_waits_past_the_deadline(within_s: float, timeout_s: float, limit_s: float) -> None:
    """A request's own limit is the lesser of its time-out and what is left of the deadline."""
    script = Script(Reply(200))
    ask(script, "GET", within_s=within_s, timeout_s=timeout_s)
    assert script.requests[0].extensions["timeout"] == dict.fromkeys(("connect", "read", "write", "pool"), limit_s)


def test_no_change_is_sent_after_the_deadline() -> None:
    """When the deadline has come no change is begun any more, since nobody would wait for what becomes of it."""
    clock, sent_at = FakeClock(), list[float]()

    def refuse(request: httpx.Request) -> httpx.Response:
        sent_at.append(clock.passed_s)
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(PlatformUnreachable):
        ask(Script(refuse, refuse), "POST", clock=clock, within_s=0.25)
    assert all(moment < 0.25 for moment in sent_at)


def test_the_body_is_json_with_our_name() -> None:
    """A payload goes as JSON, headers are kept, and the platform sees who asks."""
    script, clock = Script(Reply(200), Reply(200)), FakeClock()
    client = Client(clock, script.transport)
    deadline = Deadline.after(clock, 10)
    client.request("PATCH", URL, what=WHAT, deadline=deadline, headers={"a": "b"}, payload={"autoDeploy": "no"})
    client.request("POST", URL, what=WHAT, deadline=deadline)
    first, second = script.requests
    assert (first.content, first.headers["content-type"], first.headers["a"]) == (
        b'{"autoDeploy": "no"}',
        "application/json",
        "b",
    )
    assert first.headers["user-agent"] == AGENT
    assert (second.content, "content-type" in second.headers) == (b"", False)


@pytest.mark.parametrize(("size", "accepted"), [(LARGEST_BODY, True), (LARGEST_BODY + 1, False)])
def test_a_body_is_bounded(size: int, accepted: bool) -> None:
    """A body of four mebibytes is read, one byte more is refused."""
    answer = Client(FakeClock(), Script(Reply(200, body=b"x" * size)).transport).probe(URL, timeout_s=5)
    assert (answer.status, len(answer.body)) == ((200, size) if accepted else (0, 0))
    assert answer.error == ("" if accepted else "DecodingError")


def test_an_endless_body_is_left_early() -> None:
    """A body without an end is read no further than the bound."""
    given_parts = 0

    def parts() -> Iterator[bytes]:
        nonlocal given_parts
        while True:
            given_parts += 1
            yield b"x" * 65536

    script = Script(lambda _: httpx.Response(200, content=parts()))
    assert Client(FakeClock(), script.transport).probe(URL, timeout_s=5).error == "DecodingError"
    assert given_parts == LARGEST_BODY // 65536 + 1


@pytest.mark.parametrize(("part_s", "status"), [(0.9, 200), (1.1, 0)])
def test_a_slow_body_is_left_at_the_limit(part_s: float, status: int) -> None:
    """A body that drips is read for as long as the request may take, and no longer."""
    clock = FakeClock()

    def drip() -> Iterator[bytes]:
        for _ in range(5):
            clock.advance(part_s)
            yield b"x"

    answer = Client(clock, Script(lambda _: httpx.Response(200, content=drip())).transport).probe(URL, timeout_s=5)
    assert answer.status == status
    assert answer.error == ("" if status else "ReadTimeout")
    assert clock.passed_s <= 5.5


def test_a_slow_body_of_a_change_is_an_unknown_outcome() -> None:
    """A change whose answer never ends was sent, so its outcome is unknown."""
    clock = FakeClock()

    def drip() -> Iterator[bytes]:
        while True:
            clock.advance(1)
            yield b"x"

    with pytest.raises(OutcomeUnknown, match="ReadTimeout"):
        ask(Script(lambda _: httpx.Response(200, content=drip())), "POST", clock=clock)


def leaking(kind: type[httpx.RequestError]) -> Line:
    """Make an error whose own text has the URL, as one of another version might."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise kind(f"could not ask {request.url}", request=request)

    return fail


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.UnsupportedProtocol])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_errors_hold_no_url(method: str, kind: type[httpx.RequestError]) -> None:
    """An error is named by its type, never by its text, which may hold a URL and so a key."""
    with pytest.raises(PlatformUnreachable) as caught:
        ask(Script(*[leaking(kind)] * (RETRIES + 1)), method)
    told = f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert KEY not in told
    assert "api.render.com" not in told
    assert f"({kind.__name__})" in told


def test_errors_of_the_system_are_told() -> None:
    """Where the system says why, its words are in the message."""
    error = httpx.ConnectError("refused")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    answer = Client(FakeClock(), Script(error).transport).probe(URL, timeout_s=5)
    assert answer.error == "ConnectError: Connection refused"


def test_a_refused_connection_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real refused connection says that it was refused, since "ConnectError" alone helps nobody."""
    monkeypatch.setenv("no_proxy", "*")
    client = Client(SystemClock())
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    answer = client.probe(f"http://127.0.0.1:{port}/", timeout_s=5)
    client.close()
    assert "refused" in answer.error


@pytest.mark.parametrize("error", [*SENT, *NOT_SENT], ids=named)
def test_a_probe_never_raises_and_never_repeats(error: Exception) -> None:
    """A probe that fails is an observation: status 0, the reason, and how long it took."""

    def fail(_: httpx.Request) -> httpx.Response:
        clock.advance(0.25)
        raise error

    clock, script = FakeClock(), Script(fail)
    answer = Client(clock, script.transport).probe(URL, timeout_s=5)
    assert (answer.status, answer.ms, answer.body) == (0, 250, b"")
    assert answer.error == type(error).__name__


@pytest.mark.parametrize("status", [200, 302, 404, 429, 500, 503])
def test_a_probe_gives_every_answer_once(status: int) -> None:
    """A probe gives the first answer, follows no redirect, and measures its time."""

    def answer_late(_: httpx.Request) -> httpx.Response:
        clock.advance(0.125)
        return httpx.Response(status, headers={"location": "https://elsewhere.example/"}, content=b"{}")

    clock, script = FakeClock(), Script(answer_late)
    answer = Client(clock, script.transport).probe(URL, method="HEAD", headers={"a": "b"}, timeout_s=5)
    assert (answer.status, answer.ms, answer.json()) == (status, 125, {})
    assert (script.requests[0].method, script.requests[0].headers["a"]) == ("HEAD", "b")
    assert script.requests[0].extensions["timeout"]["read"] == 5


@pytest.mark.parametrize(
    ("url", "headers"),
    [("https://api.example.com/\x01", {}), ("//localhost/", {}), ("https://api.example.com/", {"x-name": "Müller"})],
    ids=["control character", "no scheme", "header not ASCII"],
)
def test_a_probe_that_cannot_be_sent_is_an_observation(url: str, headers: dict[str, str]) -> None:
    """A URL or a header that httpx refuses is a failed probe, not a bug of ours with a traceback."""
    assert Client(FakeClock(), Script(Reply(200)).transport).probe(url, headers=headers, timeout_s=5).status == 0


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("url", "headers"), [(URL, {"authorization": "Bearer rnd_abc…"}), (f"{URL}\x01", {})], ids=["header", "URL"]
)
def test_a_key_that_is_not_ascii_is_not_a_bug(method: str, url: str, headers: dict[str, str]) -> None:
    """A key that was copied with an ellipsis is an error of our tree, not exit 1: nothing is sent, now or later."""
    clock, script = FakeClock(), Script(Reply(200))
    client = Client(clock, script.transport)
    with pytest.raises(PlatformError, match="not sent") as caught:
        client.request(method, url, what=WHAT, deadline=Deadline.after(clock, 9), headers=headers)
    assert caught.type is PlatformError
    assert (script.requests, clock.pauses) == ([], [])
    assert not {KEY, "rnd_abc"} & set(re.findall(r"[\w-]+", str(caught.value)))


def test_a_probe_after_the_end_is_an_observation() -> None:
    """A probe on a thread that outlives its stage finds the client closed, and does not end in a traceback."""
    client = Client(FakeClock(), Script().transport)
    client.close()
    assert client.probe(URL, timeout_s=5).error == "RuntimeError"


def test_no_cookie_is_kept() -> None:
    """A balancer's cookie is never sent back: answers over fresh connections have to reach every instance."""
    script = Script(Reply(200, headers={"set-cookie": "stick=instance-1"}), Reply(200))
    client = Client(FakeClock(), script.transport)
    for _ in range(2):
        client.probe("https://api.example.com/version", timeout_s=5, fresh=True)
    assert "cookie" not in script.requests[1].headers


def test_no_log_line_holds_the_key(caplog: pytest.LogCaptureFixture) -> None:
    """The hook's key never reaches a log, whatever level somebody sets."""
    with caplog.at_level(logging.DEBUG):
        ask(Script(Reply(200)), "POST")
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("body", "value"),
    [(b'{"a": 1}', {"a": 1}), (b"[1]", [1]), (b"null", None), (b"", None), (b"<html>", None), (b"\xff", None)],
)
def test_json_of_an_answer(body: bytes, value: object) -> None:
    """A body that is not JSON is nothing, and never an exception."""
    assert Answer(200, 1.0, body).json() == value


def test_json_that_is_too_deep_is_nothing() -> None:
    """A body that would exhaust the parser is not JSON for us."""
    assert Answer(200, 1.0, b"[" * 200_000).json() is None


@given(st.binary(max_size=40))
def test_json_never_raises(body: bytes) -> None:
    """No body of a foreign server makes reading it fail."""
    Answer(200, 1.0, body).json()


def test_expect_object_gives_the_object() -> None:
    """A JSON object is given as it is."""
    assert expect_object(Answer(200, 1.0, b'{"a": 1}'), WHAT) == {"a": 1}


@pytest.mark.parametrize("body", [b"[]", b"null", b"", b"<html>gateway</html>", b'"text"'])
def test_expect_object_refuses_anything_else(body: bytes) -> None:
    """Anything but a JSON object is nonsense, exit 12, with what came instead."""
    with pytest.raises(PlatformError, match=f"^{WHAT}: expected a JSON object, got b") as caught:
        expect_object(Answer(218, 1.0, body), WHAT)
    assert caught.value.exit_code == 12
    assert "218" in str(caught.value)


class Counting(BaseHTTPRequestHandler):
    """Answers everything, keeps connections open, and notes on which one each request came."""

    protocol_version = "HTTP/1.1"
    seen: list[int]

    def _answer(self) -> None:
        type(self).seen.append(self.client_address[1])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names are those of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        """Stay silent."""


class Server(ThreadingHTTPServer):
    """A server whose threads end with the test, and that takes many connections at once."""

    daemon_threads = True
    request_queue_size = 2 * PROBE_CONNECTIONS


@contextmanager
def serving(answers: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server on loopback; give its URL."""
    with Server(("127.0.0.1", 0), answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def counting() -> Iterator[tuple[str, list[int]]]:
    """Run a server on loopback; give its URL and the ports that requests came from."""

    class Handler(Counting):
        seen: list[int] = []  # noqa: RUF012 - one list for each server

    with serving(Handler) as url:
        yield url, Handler.seen


def test_a_change_uses_a_connection_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads share a kept connection; each change, and each probe that asks for it, opens a new one."""
    monkeypatch.setenv("no_proxy", "*")
    clock = SystemClock()
    client = Client(clock)
    with counting() as (url, ports):
        for method in ("GET", "GET", "POST", "POST", "PATCH", "GET"):
            client.request(method, url, what=WHAT, deadline=Deadline.after(clock, 10))
        for fresh in (True, True, False):
            client.probe(url, timeout_s=5, fresh=fresh)
        client.close()
    reads = {ports[0], ports[1], ports[5], ports[8]}
    changes = [ports[2], ports[3], ports[4], ports[6], ports[7]]
    assert len(reads) == 1
    assert len(set(changes)) == len(changes)
    assert reads.isdisjoint(changes)


def test_probes_that_hang_do_not_hold_a_change_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change finds a connection though every one that probes may have is taken by a probe that hangs."""
    monkeypatch.setenv("no_proxy", "*")
    arrived, over = threading.Semaphore(0), threading.Event()

    class Hanging(Counting):
        seen: list[int] = []  # noqa: RUF012 - one list for each server

        def do_GET(self) -> None:
            arrived.release()
            over.wait(20)
            self._answer()

    clock = SystemClock()
    client = Client(clock)
    with serving(Hanging) as url:
        for _ in range(PROBE_CONNECTIONS):
            threading.Thread(target=client.probe, args=(url,), kwargs={"timeout_s": 20, "fresh": True}).start()
        assert all(arrived.acquire(timeout=20) for _ in range(PROBE_CONNECTIONS))
        try:
            assert client.request("POST", url, what=WHAT, deadline=Deadline.after(clock, 5)).status == 200
        finally:
            over.set()
