"""Steady user traffic, counted: what the users of a service saw during a drill.

It is an open loop: requests leave at their own times, however slow the answers are, because users do not slow down.
They come by chance, as a Poisson process: at even gaps, in step with a prober, users would take all turns of some
instances behind a balancer, and the prober those of the others.
How many failures are too many is not decided here.
"""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from scripts.rehearsal.wire import Client, Request

IDLE_LIMIT_S = 30.0
ANSWER_LIMIT_S = 5.0
GRACE_S = 0.5  # added when stopping, so that what is in flight ends by its own limit and is counted as such


@dataclass(frozen=True)
class Endpoint:
    """A request that users send, and what they expect: a status and, if given, a JSON body that satisfies `accept`."""

    path: str
    method: str = "GET"
    status: int = 200
    accept: Callable[[Any], bool] | None = None
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """One request: when it was due (monotonic seconds), what went wrong (empty if nothing), how long it took."""

    sent_s: float
    path: str
    failure: str
    latency_ms: float


@dataclass(frozen=True)
class Second:
    """The requests that were due in one monotonic second; `latencies_ms` are sorted, those of failures included."""

    second: int
    sent: int
    failed: int
    reasons: Mapping[str, int]
    latencies_ms: tuple[float, ...]


class Traffic:
    """Sends `rate_per_s` requests a second, on average, to the endpoints in turn, half over kept connections.

    The other half come over fresh ones.

    A request is counted in the second in which it was due. One that could not be sent, because `in_flight_limit` were
    still waiting, has failed; so has one without an answer within `answer_limit_s` seconds, and one whose kept
    connection was broken by the other side.
    """

    def __init__(
        self,
        url: str,
        endpoints: Sequence[Endpoint],
        rate_per_s: float = 50.0,
        *,
        in_flight_limit: int = 1000,
        answer_limit_s: float = ANSWER_LIMIT_S,
    ) -> None:
        self._url = url
        self._endpoints = endpoints
        self._rate_per_s = rate_per_s
        self._in_flight_limit = in_flight_limit
        self._in_flight: set[asyncio.Task[None]] = set()
        self._outcomes: list[Outcome] = []
        self._by_second: dict[int, list[Outcome]] = {}
        self._failures = 0
        self._answer_limit_s = answer_limit_s
        self._clients = (
            Client(answer_limit_s=answer_limit_s, idle_limit_s=IDLE_LIMIT_S, resend=False),
            Client(answer_limit_s=answer_limit_s),
        )

    async def __aenter__(self) -> Self:
        self._driving = asyncio.create_task(self._drive())
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.stop()
        finally:
            for client in self._clients:
                client.close()

    async def stop(self) -> None:
        """Send nothing more and wait for the answers that are due; raises what broke the traffic itself, if any."""
        self._driving.cancel()
        ending = {self._driving, *self._in_flight}
        _, late = await asyncio.wait(ending, timeout=self._answer_limit_s + GRACE_S)
        for task in late:
            task.cancel()
        for ended in await asyncio.gather(*ending, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Every request that has ended, in the order of ending."""
        return tuple(self._outcomes)

    @property
    def requests(self) -> int:
        """How many requests have ended."""
        return len(self._outcomes)

    @property
    def failures(self) -> int:
        """How many of them failed."""
        return self._failures

    @property
    def by_second(self) -> tuple[Second, ...]:
        """The requests by the second in which they were due; a second without requests is not there."""
        return self.seconds_since(0)

    def seconds_since(self, second: int) -> tuple[Second, ...]:
        """Give the same from a second on."""
        return tuple(_summed(*row) for row in sorted(self._by_second.items()) if row[0] >= second)

    def first_failure_since(self, begin_s: float | None) -> float | None:
        """Give when the first request was due that failed, of those from a moment on; None for none, or no moment."""
        failed = (row.sent_s for row in self._outcomes if row.failure and begin_s is not None and row.sent_s >= begin_s)
        return min(failed, default=None)

    def failures_between(self, start_s: float, end_s: float) -> int:
        """Count the failures among requests that were due from `start_s` until before `end_s` (monotonic seconds)."""
        return sum(1 for outcome in self._outcomes if outcome.failure and start_s <= outcome.sent_s < end_s)

    async def _drive(self) -> None:
        due_s = time.monotonic()
        chance = random.Random(0)  # noqa: S311 - the same gaps in every drill
        for number in itertools.count():
            due_s += chance.expovariate(self._rate_per_s)
            await asyncio.sleep(due_s - time.monotonic())
            self._send(number, due_s)

    def _send(self, number: int, due_s: float) -> None:
        client = self._clients[number % 2]
        endpoint = self._endpoints[number // 2 % len(self._endpoints)]
        if len(self._in_flight) >= self._in_flight_limit:
            self._note(Outcome(due_s, endpoint.path, "not sent", 0.0))
            return
        task = asyncio.create_task(self._ask(client, endpoint, due_s))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _ask(self, client: Client, endpoint: Endpoint, due_s: float) -> None:
        failure = "unanswered"
        try:
            answer = await client.ask(self._url, _request(endpoint))
            failure = judge_answer(endpoint, answer.status, answer.body)
        except OSError as error:
            failure = type(error).__name__
        finally:
            self._note(Outcome(due_s, endpoint.path, failure, (time.monotonic() - due_s) * 1000))

    def _note(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._failures += bool(outcome.failure)
        self._by_second.setdefault(int(outcome.sent_s), []).append(outcome)


def judge_answer(endpoint: Endpoint, status: int, content: bytes) -> str:
    """Say what is wrong with an answer; nothing if it is as expected."""
    if status != endpoint.status:
        return f"status {status}"
    if not endpoint.accept:
        return ""
    try:
        body = json.loads(content)
    except ValueError:
        return "not JSON"
    try:
        return "" if endpoint.accept(body) else "unexpected body"
    except (LookupError, TypeError, AttributeError):  # the predicate expected another shape
        return "unexpected body"


def _request(endpoint: Endpoint) -> Request:
    if endpoint.body is None:
        return Request(endpoint.method, endpoint.path.encode())
    body = json.dumps(endpoint.body).encode()
    return Request(endpoint.method, endpoint.path.encode(), [(b"content-type", b"application/json")], body)


def _summed(second: int, outcomes: Sequence[Outcome]) -> Second:
    reasons = Counter(outcome.failure for outcome in outcomes if outcome.failure)
    latencies_ms = tuple(sorted(outcome.latency_ms for outcome in outcomes))
    return Second(second, len(outcomes), reasons.total(), dict(reasons), latencies_ms)
