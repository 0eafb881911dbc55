"""The services beside a run: where the environment names a database or a cache, it answers, in its own protocol.

Without this a run whose services never came up would be as green as one that used them.
"""

import os
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import pytest

LIMIT_S = 5.0
SSL_REQUEST = struct.pack(">ii", 8, 80877103)  # https://www.postgresql.org/docs/current/protocol-message-formats.html
PROTOCOL_3 = 196608
LEAST, LARGEST = 5, 64 * 1024  # bytes of one message, with its length


class AnswerError(Exception):
    """What answered is not the service that was asked for, or will not serve."""


@dataclass(frozen=True)
class Place:
    """Where a service is, and as whom it is asked; nothing here is a secret."""

    host: str
    port: int
    user: str
    database: str


def check_service(url: str) -> str:
    """Say why the service that a URL names does not answer; empty where it does. The URL's password is never told."""
    try:
        parts = urlsplit(url)
        ask, port = PROTOCOLS[parts.scheme.partition("+")[0]]
        user = unquote(parts.username or "postgres")
        place = Place(parts.hostname or "", parts.port or port, user, unquote(parts.path.strip("/")) or user)
        if not place.host:
            return "no host is named"
    except (KeyError, ValueError):
        return f"no URL of {', '.join(PROTOCOLS)}"
    try:
        ask(place)
    except (AnswerError, OSError) as error:
        return f"{place.host}:{place.port}: {str(error) or type(error).__name__}"
    return ""


def ask_postgres(place: Place) -> None:
    """Ask for encryption, which S or N answers, then log in as far as the question for a password.

    Where encryption is offered, a refusal of the login in the clear (SQLSTATE 28) is an answer too.
    """
    with socket.create_connection((place.host, place.port), LIMIT_S) as connection:
        connection.sendall(SSL_REQUEST)
        offered = read(connection, 1)
    if offered not in {b"S", b"N"}:
        raise AnswerError(f"expected S or N, got {offered!r}")
    words = b"".join(word.encode() + b"\0" for word in ("user", place.user, "database", place.database, ""))
    with socket.create_connection((place.host, place.port), LIMIT_S) as connection:
        connection.sendall(struct.pack(">ii", 8 + len(words), PROTOCOL_3) + words)
        kind, length = struct.unpack(">ci", read(connection, 5))
        if not LEAST <= length <= LARGEST:
            raise AnswerError(f"expected a message, got {kind!r} and a length of {length}")
        body = read(connection, length - 4)
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    refused = kind == b"E" and offered == b"S" and fields.get(b"C", "").startswith("28")
    if kind != b"R" and not refused:
        raise AnswerError(fields.get(b"M", "refused") if kind == b"E" else f"expected R, got {kind!r}")


def ask_redis(place: Place) -> None:
    """Send a PING, which +PONG answers, or -NOAUTH where it wants a password first."""
    with socket.create_connection((place.host, place.port), LIMIT_S) as connection:
        connection.sendall(b"PING\r\n")
        answer = read(connection, 7)
    if answer not in {b"+PONG\r\n", b"-NOAUTH"}:
        raise AnswerError(f"expected +PONG, got {answer!r}")


def read(connection: socket.socket, count: int) -> bytes:
    """Read exactly so many bytes; the socket's own limit holds for each part."""
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise AnswerError(f"closed after {found!r:.60}")
        found += part
    return found


PROTOCOLS: Mapping[str, tuple[Callable[[Place], None], int]] = {
    "postgresql": (ask_postgres, 5432),
    "postgres": (ask_postgres, 5432),
    "redis": (ask_redis, 6379),
}


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_a_service_that_is_named_answers(name: str) -> None:
    """Where the variable is set, what it names answers; otherwise there is none to ask."""
    if name not in os.environ:
        pytest.skip(f"{name} is not set: no service was started beside this run")
    trouble = check_service(os.environ[name])
    if trouble:
        pytest.fail(f"{name}: {trouble}", pytrace=False)  # a trace would show the URL with its password


def message(kind: bytes, body: bytes) -> bytes:
    """Give a message of PostgreSQL's protocol."""
    return kind + struct.pack(">i", 4 + len(body)) + body


ASKS_PASSWORD = message(b"R", struct.pack(">i", 10) + b"SCRAM-SHA-256\0\0")
STARTING = message(b"E", b"SFATAL\0C57P03\0Mthe database system is starting up\0\0")
NO_DATABASE = message(b"E", b'SFATAL\0C3D000\0Mdatabase "app" does not exist\0\0')
ENCRYPTED_ONLY = message(b"E", b"SFATAL\0C28000\0Mno pg_hba.conf entry, no encryption\0\0")


class Answering(socketserver.BaseRequestHandler):
    """Gives the answer that the server has for the beginning of what was sent, and closes."""

    def handle(self) -> None:
        """Answer once."""
        sent = self.request.recv(1024)
        answers: Mapping[bytes, bytes] = self.server.answers  # type: ignore[attr-defined]
        self.request.sendall(next((answer for begin, answer in answers.items() if sent.startswith(begin)), b""))


@contextmanager
def serving(answers: Mapping[bytes, bytes]) -> Iterator[int]:
    """Serve such answers on a free loopback port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answering) as server:
        server.answers = answers  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("scheme", "answers", "trouble"),
    [
        ("postgresql", {SSL_REQUEST: b"N", b"": ASKS_PASSWORD}, ""),
        ("postgresql+psycopg", {SSL_REQUEST: b"S", b"": ASKS_PASSWORD}, ""),
        ("postgres", {SSL_REQUEST: b"S", b"": ENCRYPTED_ONLY}, ""),
        ("postgres", {SSL_REQUEST: b"N", b"": ENCRYPTED_ONLY}, "no encryption"),
        ("postgres", {SSL_REQUEST: b"S", b"": STARTING}, "is starting up"),
        ("postgres", {SSL_REQUEST: b"N", b"": NO_DATABASE}, 'database "app" does not exist'),
        ("postgres", {SSL_REQUEST: b"N", b"": b"R"}, "closed after"),
        ("postgres", {SSL_REQUEST: b"N", b"": message(b"E", b"\0")}, "refused"),
        ("postgres", {SSL_REQUEST: b"N", b"": struct.pack(">ci", b"R", -5)}, "expected a message"),
        ("postgres", {SSL_REQUEST: b"N", b"": struct.pack(">ci", b"E", 2**31 - 1)}, "expected a message"),
        ("postgres", {SSL_REQUEST: b"N"}, "closed after"),
        ("postgres", {SSL_REQUEST: b"H", b"": ASKS_PASSWORD}, "expected S or N, got b'H'"),
        ("postgres", {b"": b"+PONG\r\n"}, "expected S or N"),
        ("postgres", {}, "closed after b''"),
        ("redis", {b"PING\r\n": b"+PONG\r\n"}, ""),
        ("redis", {b"PING\r\n": b"-NOAUTH Authentication required.\r\n"}, ""),
        ("redis", {b"PING\r\n": b"-LOADING Redis is loading\r\n"}, "expected +PONG, got b'-LOADIN'"),
        ("redis", {b"": b"HTTP/1.1 400 Bad Request\r\n"}, "expected +PONG"),
        ("redis", {b"": b"+PON"}, "closed after b'+PON'"),
        ("redis", {}, "closed after b''"),
        ("rediss", {b"PING\r\n": b"+PONG\r\n"}, "no URL of"),
        ("mysql", {b"": b"N"}, "no URL of"),
        ("", {}, "no URL of"),
    ],
)
def test_only_the_service_itself_is_believed(scheme: str, answers: Mapping[bytes, bytes], trouble: str) -> None:
    """What answers nonsense, is not ready, or is another service is told; no message holds the URL's password."""
    with serving(answers) as port:
        told = check_service(f"{scheme}://user:s3cret-word@127.0.0.1:{port}/app")
    assert trouble in told
    assert bool(told) == bool(trouble)
    assert "s3cret-word" not in told


@pytest.mark.parametrize("scheme", sorted(PROTOCOLS))
def test_a_closed_port_is_red(scheme: str) -> None:
    """Where nothing listens, nothing answers."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        assert "refused" in check_service(f"{scheme}://127.0.0.1:{holder.getsockname()[1]}/app")


@pytest.mark.parametrize(
    "url", ["", "localhost:5432", "redis://127.0.0.1:99999", "redis://[half", "postgresql:///x", "redis:"]
)
def test_what_is_no_url_is_red(url: str) -> None:
    """A variable that is set and names nothing is told."""
    assert check_service(url)
