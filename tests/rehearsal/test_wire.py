"""One request and one answer over HTTP/1.1, with upstreams that behave and upstreams that do not."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scripts.rehearsal.wire import (
    BODY_LIMIT_BYTES,
    Answer,
    BrokenAnswerError,
    Client,
    NothingReceivedError,
    Request,
)
from tests.rehearsal.upstreams import nowhere, raw, read_head

GET = Request("GET", b"/")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def ask_raw(answer: bytes, request: Request = GET, *, answer_limit_s: float = 5.0) -> Answer:
    """Ask an upstream that says these bytes and ends the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer)
        await writer.drain()

    async with raw(talk) as upstream:
        return await Client(answer_limit_s=answer_limit_s).ask(upstream.url, request)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nch\r\n5\r\nunked\r\n0\r\n\r\n", b"chunked"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"ok"),
    ],
    ids=["length", "until the end", "empty until the end", "chunked", "early hints"],
)
def test_every_framing_is_understood(said: bytes, expected: bytes) -> None:
    """A body ends where its length, its chunks or its connection end, and an interim answer is not the answer."""
    answer = asyncio.run(ask_raw(said))
    assert (answer.status, answer.body) == (200, expected)
    assert not any(name == b"link" for name, _ in answer.headers)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", NothingReceivedError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", BrokenAnswerError),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nch\r\n", BrokenAnswerError),
        (b"HTTP/1.1 200 OK\r\ncontent-", BrokenAnswerError),
        (b"SSH-2.0-OpenSSH\r\n", BrokenAnswerError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_LIMIT_BYTES + 1), BrokenAnswerError),
    ],
    ids=["nothing", "cut length", "cut chunks", "cut headers", "not HTTP", "too large"],
)
def test_what_is_no_answer_is_an_error(said: bytes, error: type[Exception]) -> None:
    """An answer that is missing, cut short, foreign or too large is an error, never a shorter answer."""
    with pytest.raises(error):
        asyncio.run(ask_raw(said))


def test_head_has_no_body() -> None:
    """The answer to a HEAD ends with its headers, although they announce a body."""
    answer = asyncio.run(ask_raw(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", Request("HEAD", b"/")))
    assert (answer.status, answer.body) == (200, b"")


def test_silence_has_a_deadline() -> None:
    """An upstream that says nothing is given up at the deadline."""

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def rehearse() -> None:
        async with raw(talk) as upstream:
            await Client(answer_limit_s=0.2).ask(upstream.url, GET)

    with pytest.raises(TimeoutError):
        asyncio.run(rehearse())


def test_refused_connection_is_an_error() -> None:
    """Where nobody listens, the answer is the system's own error."""
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(Client(answer_limit_s=1.0).ask(nowhere().url, GET))


def counting(answers_per_connection: int, connections: list[int]) -> Callable[..., Awaitable[None]]:
    """Make an upstream that answers so often and then closes without a word, and counts the requests that arrived."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(0)
        number = len(connections) - 1
        while True:
            await read_head(reader)
            connections[number] += 1
            if connections[number] > answers_per_connection:
                return
            writer.write(OK)

    return talk


@pytest.mark.parametrize(("idle_limit_s", "expected"), [(5.0, [3]), (0.0, [1, 1, 1])])
def test_connections_are_kept_only_if_asked_to(idle_limit_s: float, expected: list[int]) -> None:
    """A client that keeps connections uses one for requests in a row; one that does not opens one for each."""

    async def rehearse() -> list[int]:
        connections: list[int] = []
        async with raw(counting(9, connections)) as upstream:
            client = Client(answer_limit_s=5.0, idle_limit_s=idle_limit_s)
            for _ in range(3):
                await client.ask(upstream.url, GET)
            client.close()
        return connections

    assert asyncio.run(rehearse()) == expected


def test_a_kept_connection_that_died_is_no_error() -> None:
    """When a kept connection turns out to be closed, an idempotent request is sent again over a fresh one."""

    async def rehearse() -> list[int]:
        connections: list[int] = []
        async with raw(counting(1, connections)) as upstream:
            client = Client(answer_limit_s=5.0, idle_limit_s=5.0)
            for _ in range(4):
                assert (await client.ask(upstream.url, GET)).body == b"ok"
            client.close()
        return connections

    assert asyncio.run(rehearse()) == [2, 2, 2, 1]


def test_a_fresh_connection_that_dies_is_an_error() -> None:
    """A request is sent at most twice: if the fresh connection dies too, that is the answer."""

    async def rehearse() -> None:
        connections: list[int] = []
        async with raw(counting(0, connections)) as upstream:
            with pytest.raises(NothingReceivedError):
                await Client(answer_limit_s=5.0, idle_limit_s=5.0).ask(upstream.url, GET)
        assert connections == [1]

    asyncio.run(rehearse())


def test_a_connection_closed_while_idle_is_not_used() -> None:
    """A kept connection that was closed while nothing was on it is dropped, and does not need a second attempt."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)

    async def rehearse() -> None:
        async with raw(talk) as upstream:
            client = Client(answer_limit_s=5.0, idle_limit_s=5.0, resend=False)
            for _ in range(3):
                assert (await client.ask(upstream.url, GET)).body == b"ok"
                await asyncio.sleep(0.1)

    asyncio.run(rehearse())


def test_a_closing_answer_ends_its_connection() -> None:
    """After an answer that announces the end of its connection, nothing more is sent over it."""
    connections: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await read_head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        await reader.read()

    async def rehearse() -> None:
        async with raw(talk) as upstream:
            client = Client(answer_limit_s=2.0, idle_limit_s=5.0, resend=False)
            for _ in range(2):
                assert (await client.ask(upstream.url, GET)).body == b"ok"

    asyncio.run(rehearse())
    assert len(connections) == 2


def test_without_resend_a_broken_connection_is_an_error() -> None:
    """A client that is told not to send again reports a kept connection that broke."""

    async def rehearse() -> None:
        async with raw(counting(1, [])) as upstream:
            client = Client(answer_limit_s=5.0, idle_limit_s=5.0, resend=False)
            await client.ask(upstream.url, GET)
            with pytest.raises(NothingReceivedError):
                await client.ask(upstream.url, GET)

    asyncio.run(rehearse())


def test_what_is_not_idempotent_is_sent_once() -> None:
    """A POST never goes over a kept connection, because it could not be sent again if that was closed."""

    async def rehearse() -> list[int]:
        connections: list[int] = []
        async with raw(counting(1, connections)) as upstream:
            client = Client(answer_limit_s=5.0, idle_limit_s=5.0)
            for _ in range(3):
                assert (await client.ask(upstream.url, Request("POST", b"/"))).body == b"ok"
            client.close()
        return connections

    assert asyncio.run(rehearse()) == [1, 1, 1]
