"""What may stand between users and a service, and answer in its place: a cache, a page for visitors, a limit.

Each is put at an `Edge` as its `front`. What it does is wrong on purpose; nothing here knows of releases.
"""

from __future__ import annotations

import time
from collections import defaultdict

from scripts.rehearsal.edge import Ask, Front
from scripts.rehearsal.wire import Answer, Request

HTML = [(b"content-type", b"text/html; charset=utf-8")]
PAGE = Answer(200, HTML, b"<!doctype html><title>Welcome</title><h1>It works!</h1>")
WRONG_BODY = Answer(200, [(b"content-type", b"application/json")], b'{"status": "maintenance"}')
TOO_MANY = Answer(429, [(b"content-type", b"text/plain"), (b"retry-after", b"1")], b"too many requests")


def caching(seconds: float, *, tells_age: bool) -> Front:
    """Answer GETs from what was answered before, by path alone, for that long after this began.

    It is set up badly: parameters do not count, and `cache-control` is not looked at. One that does not tell the age
    of an answer cannot be told from the service.
    """
    kept: dict[bytes, Answer] = {}
    until_s = time.monotonic() + seconds

    async def front(request: Request, ask: Ask) -> Answer:
        path = request.target.partition(b"?")[0]
        if request.method != "GET" or time.monotonic() >= until_s:
            return await ask(request)
        if path not in kept:
            kept[path] = await ask(request)
            return kept[path]
        answer = kept[path]
        age = [(b"age", b"7")] if tells_age else []
        return Answer(answer.status, [*answer.headers, *age], answer.body)

    return front


def always(answer: Answer) -> Front:
    """Give everybody the same answer, whatever was asked."""

    async def front(_: Request, __: Ask) -> Answer:
        return answer

    return front


def limiting(rate_per_s: int, agent: bytes) -> Front:
    """Answer 429 to requests of one client beyond a rate; `agent` is how its `user-agent` begins."""
    sent: defaultdict[int, int] = defaultdict(int)

    async def front(request: Request, ask: Ask) -> Answer:
        if any(name == b"user-agent" and value.startswith(agent) for name, value in request.headers):
            second = int(time.monotonic())
            sent[second] += 1
            if sent[second] > rate_per_s:
                return TOO_MANY
        return await ask(request)

    return front
