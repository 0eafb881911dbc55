"""Servers that never come to an end, end too soon or say too much: no request is longer than it may be."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from scripts.client import GRACE_S, LARGEST_BODY, Client
from scripts.clock import Deadline, SystemClock
from scripts.errors import OutcomeUnknown, PlatformError, SlipwayError

LIMIT_S = 0.25
SLACK_S = 1.5  # of a machine that does other work
OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n"

type Behaviour = Callable[[socket.socket, threading.Event], None]


def dripping(head: bytes) -> Behaviour:
    """Send a beginning, and then a byte at a time, for ever."""

    def behave(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(head)
        while not over.wait(0.05):
            peer.sendall(b"x")

    return behave


def sending(*parts: bytes, then_wait: bool = False) -> Behaviour:
    """Send so much, and close, or say nothing any more."""

    def behave(peer: socket.socket, over: threading.Event) -> None:
        for part in parts:
            peer.sendall(part)
        if then_wait:
            over.wait()

    return behave


def endless(head: bytes, part: bytes) -> Behaviour:
    """Send as fast as the other side takes it, for ever."""

    def behave(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(head)
        while not over.is_set():
            peer.sendall(part)

    return behave


HOSTILE: dict[str, Behaviour] = {
    "silent": sending(then_wait=True),
    "closes at once": sending(),
    "drips a status line": dripping(b"HTTP/1.1 2"),
    "drips a header": dripping(OK + b"X-Name: "),
    "drips a body": dripping(OK + LENGTH % 1_000_000),
    "drips chunks": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n"),
    "endless body": endless(OK + b"\r\n", b"x" * 65536),
    "endless headers": endless(OK, b"X-Name: value\r\n" * 100),
    "huge body": sending(OK + LENGTH % (LARGEST_BODY + 1), b"x" * (LARGEST_BODY + 1)),
    "bomb": sending(
        OK + b"Content-Encoding: gzip\r\n", LENGTH % len(bomb := gzip.compress(b"\0" * (16 * LARGEST_BODY))), bomb
    ),
    "not gzip": sending(OK + b"Content-Encoding: gzip\r\n" + LENGTH % 4, b"abcd"),
    "too short": sending(OK + LENGTH % 100, b"{}"),
    "not HTTP": sending(b"\x16\x03\x01\x02\x00" * 100),
    "nonsense status": sending(b"HTTP/1.1 abc OK\r\n\r\n"),
    "early hints for ever": endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "nonsense headers": sending(OK + b"\0: \xff\r\n\r\n"),
}


@contextmanager
def server(behave: Behaviour) -> Iterator[str]:
    """Let every connection be treated so, once a request has begun; give the URL."""
    over = threading.Event()

    def treat(peer: socket.socket) -> None:
        with peer, suppress(OSError):
            peer.recv(65536)
            behave(peer, over)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                peer, _ = listener.accept()
                threading.Thread(target=treat, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Give the client as a release has it."""
    monkeypatch.setenv("no_proxy", "*")
    client = Client(SystemClock())
    yield client
    client.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_probe_ends_and_has_failed(client: Client, name: str) -> None:
    """Nothing is raised, no answer is made up, and the next one is not kept waiting."""
    with server(HOSTILE[name]) as url:
        began = time.monotonic()
        answer = client.probe(f"{url}/version", timeout_s=LIMIT_S)
        took_s = time.monotonic() - began
    assert answer.error
    assert answer.status == 0
    assert took_s < LIMIT_S + GRACE_S + SLACK_S


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_ends_with_its_deadline(client: Client, method: str, name: str) -> None:
    """Reading is given up on, a change has an outcome that is not known, and neither takes longer than it may."""
    with server(HOSTILE[name]) as url:
        began = time.monotonic()
        deadline = Deadline.after(SystemClock(), 2 * LIMIT_S)
        with pytest.raises(SlipwayError) as caught:
            client.request(method, f"{url}/services", what="reading", deadline=deadline, timeout_s=LIMIT_S)
        took_s = time.monotonic() - began
    assert isinstance(caught.value, OutcomeUnknown if method == "POST" else PlatformError)
    assert took_s < 2 * LIMIT_S + GRACE_S + SLACK_S
