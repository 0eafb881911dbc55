"""An emulated GitHub on loopback: the REST routes that a proposal needs, and whatever can go wrong with a call.

What goes wrong is set by the test: `faults` by call, such as `{"POST /pulls": Fault(502)}`, and `lost_from`, the number
of the call from which on nothing is answered. How a call that goes well ends is `tests.github_repository`'s affair.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.github_repository import Hosted

FOREVER_S = 600.0  # more than any client waits; a server that closes does not


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a call: another answer, or with status 0 none at all, after a wait.

    With `acted` the call is carried out first, and only its answer is another one.
    """

    status: int = 0
    message: str = ""
    body: object = None
    hang_s: float = 0.0
    acted: bool = False


@dataclass
class GitHubApi(Hosted):
    """A repository, what goes wrong with the calls, and which there were, as `METHOD /path` below the repository."""

    faults: dict[str, Fault] = field(default_factory=dict)
    lost_from: int = 0  # counted from 1; 0: never
    lost_acted: bool = False  # that call was carried out, and only its answer was lost
    calls: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    _one_by_one: threading.Lock = field(default_factory=threading.Lock)

    def take(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, object] | None:
        """Answer one request, or give nothing where the client gets no answer."""
        call = f"{method} {self.short(urlsplit(target).path)}"
        with self._one_by_one:
            self.calls.append(call)
            fault = self._fault(call)
            answer = self.answer(method, target, headers, body) if not fault or fault.acted else None
        if fault is None:
            return answer
        self.closing.wait(fault.hang_s)
        told = fault.body if fault.body is not None else {"message": fault.message, "status": str(fault.status)}
        return (fault.status, told) if fault.status else None

    @property
    def transport(self) -> httpx.MockTransport:
        """The same without a socket, for tests that make many calls."""

        def answer(request: httpx.Request) -> httpx.Response:
            told = self.take(request.method, request.url.raw_path.decode(), request.headers, request.content)
            if told is None:
                raise httpx.RemoteProtocolError("no answer", request=request)
            return httpx.Response(told[0], content=json.dumps(told[1]))

        return httpx.MockTransport(answer)

    def _fault(self, call: str) -> Fault | None:
        number = len(self.calls)
        if self.lost_from and number >= self.lost_from:
            return Fault(acted=self.lost_acted and number == self.lost_from)
        return self.faults.get(call)


class Handler(BaseHTTPRequestHandler):
    """HTTP round a `GitHubApi`; a connection is for one request."""

    api: GitHubApi

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.api.take(self.command, self.path, headers, body)
        if answer is None:
            return
        status, told = answer
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=utf-8")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - the names are those of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        """Stay silent."""


class Server(ThreadingHTTPServer):
    """A server whose threads end with the program."""

    daemon_threads = True


@contextmanager
def emulated_github(api: GitHubApi) -> Iterator[GitHubApi]:
    """Serve an emulated GitHub on a free port of loopback; its address is `api.url`, for GITHUB_API_URL."""
    handler = type("Serving", (Handler,), {"api": api})
    with Server(("127.0.0.1", 0), handler) as server:
        api.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield api
        finally:
            api.closing.set()  # what hangs is let go
            server.shutdown()
            thread.join()


def make_bare(source: Path, folder: Path) -> Path:
    """Make a bare repository of what a checkout has committed."""
    words = ("clone", "--quiet", "--bare", "--no-local", "--template=")  # one pack and no hooks: it may be copied often
    subprocess.run(["git", *words, str(source), str(folder)], check=True)
    return folder
