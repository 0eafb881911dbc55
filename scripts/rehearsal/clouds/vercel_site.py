"""One deployment as the web sees it: at its own URL, perhaps protected, and behind the production domain.

Which deployment has the domain is not decided here. Bodies are held whole.
"""

import mimetypes
import secrets
from collections.abc import Callable, Mapping

from starlette.requests import Request as Asked

from scripts.rehearsal.clouds.vercel_functions import Functions, failed
from scripts.rehearsal.clouds.vercel_output import Found, Output
from scripts.rehearsal.clouds.vercel_values import Deployment, State, new_id
from scripts.rehearsal.edge import Message, Receive, Send, end_to_end
from scripts.rehearsal.wire import Answer, Headers, Request

BYPASS_HEADER = "x-vercel-protection-bypass"
HTML = (b"content-type", b"text/html; charset=utf-8")
LOGIN_PAGE = b"<!doctype html><html><title>Authentication Required</title><h1>Authentication Required</h1></html>"

type Look = Callable[[], Deployment]
type Served = Callable[[Message, Receive, Send], object]


class Site:
    """Serves the files and functions of one deployment once it is ready; without `bypass` its URL is open."""

    def __init__(self, look: Look, functions: Functions, bypass: str | None) -> None:
        self._look = look
        self._functions = functions
        self._bypass = bypass
        self._output: Output | None = None

    async def public(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer at the deployment's own URL, which is protected if a bypass secret is set."""
        asked = Asked(scope, receive)
        if self._bypass is None or _same(asked.headers.get(BYPASS_HEADER, ""), self._bypass):
            await _send(send, await self._answer(asked))
        else:
            await _send(send, Answer(401, [HTML], LOGIN_PAGE))

    async def production(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer behind the production domain, which is never protected."""
        await _send(send, await self._answer(Asked(scope, receive)))

    async def _answer(self, asked: Asked) -> Answer:
        deployment = self._look()
        if deployment.state is not State.READY:
            return Answer(
                404, [HTML, (b"x-vercel-error", b"DEPLOYMENT_NOT_FOUND")], b"The deployment could not be found"
            )
        self._output = self._output or Output(deployment.output)
        found = self._output.find(asked.method, asked.url.path)
        answer = await self._answer_by(found, deployment, asked)
        extra = [(name.encode(), value.encode()) for name, value in found.headers.items()]
        return Answer(found.status or answer.status, [*answer.headers, *extra], answer.body)

    async def _answer_by(self, found: Found, deployment: Deployment, asked: Asked) -> Answer:
        if found.file:
            kind = mimetypes.guess_type(found.file.name)[0] or "application/octet-stream"
            return Answer(200, [(b"content-type", kind.encode())], found.file.read_bytes())
        if not found.function:
            return failed(found.status or 404, "NOT_FOUND") if not found.status or found.status >= 400 else NOTHING
        request = await _passed_on(asked, found.path, deployment)
        answer = await self._functions.ask(deployment, found.function, request)
        return Answer(answer.status, [*end_to_end(answer.headers), *_traced(answer.headers)], answer.body)


NOTHING = Answer(200, [], b"")


async def _passed_on(asked: Asked, path: str, deployment: Deployment) -> Request:
    """Make the request that the function gets: the path that the routes name, and Vercel's own headers."""
    query: bytes = asked.scope["query_string"]
    headers = [each for each in end_to_end(asked.scope["headers"]) if each[0] != BYPASS_HEADER.encode()]
    added: Mapping[str, str] = {
        "x-forwarded-host": asked.headers.get("host", ""),
        "x-forwarded-proto": "http",
        "x-vercel-deployment-url": deployment.host,
    }
    wired = [*headers, *((name.encode(), value.encode()) for name, value in added.items())]
    target = asked.scope["raw_path"] if path == asked.url.path else path.encode()
    return Request(asked.method, target + (b"?" + query if query else b""), wired, await asked.body())


def _traced(headers: Headers) -> Headers:
    return [] if any(name == b"x-vercel-id" for name, _ in headers) else [(b"x-vercel-id", new_id("iad1::").encode())]


def _same(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode(), expected.encode())


async def _send(send: Send, answer: Answer) -> None:
    headers = [*answer.headers, (b"server", b"Vercel")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
