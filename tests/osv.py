"""A service of known vulnerabilities on loopback, as OSV answers.

Source: https://google.github.io/osv.dev/post-v1-query/
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

LOOPBACK = "127.0.0.1"
Known = Mapping[str, Sequence[Mapping[str, object]]]  # by name==version


def vulnerability(name: str, identity: str, *fixed: str, aliases: Sequence[str] = ()) -> dict[str, object]:
    """Make an entry in OSV's schema, for versions before those that are fixed."""
    events = [{"introduced": "0"}, *({"fixed": version} for version in fixed)]
    affected = {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {"id": identity, "summary": "<b>x</b>", "aliases": list(aliases), "affected": [affected]}


class Osv:
    """Serve what is known on a free port of this machine alone.

    `body`, where it is given, is the answer to everything; `silent` leaves every question without one.
    """

    def __init__(self, known: Known | None = None, *, status: int = 200, body: bytes | None = None) -> None:
        self.known, self.status, self.body = known or {}, status, body
        self.silent = False
        self.asked: list[str] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """The address that pip-audit takes."""
        return f"http://{LOOPBACK}:{self._server.server_port}/v1/query"

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._server = ThreadingHTTPServer((LOOPBACK, 0), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and let go of whoever still waits."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, question: bytes) -> bytes:
        """Give what is known of the package and version that are asked for; nothing is an empty object."""
        asked = json.loads(question)
        pin = f"{asked['package']['name']}=={asked['version']}"
        self.asked.append(pin)
        if self.silent:
            self.ended.wait()
        if self.body is not None:
            return self.body
        found = self.known.get(pin)
        return json.dumps({"vulns": found} if found else {}).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def __init__(self, osv: Osv, *rest: object) -> None:
        self._osv = osv
        super().__init__(*rest)  # type: ignore[arg-type]  # handed through as the server gives them

    def do_POST(self) -> None:
        body = self._osv.answer(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self._osv.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: the questions are kept."""
