"""User traffic: its rate, what it counts as a failure, and when."""

import asyncio
import time
from collections import Counter

import pytest

from scripts.rehearsal.edge import Edge
from scripts.rehearsal.traffic import Endpoint, Traffic, judge_answer
from tests.rehearsal.upstreams import echo, nowhere, raw, read_head


@pytest.mark.parametrize("delay_s", [0.0, 0.5])
def test_rate_does_not_depend_on_the_answers(delay_s: float) -> None:
    """Requests leave at their rate however slow the answers are, and each of them is waited for."""

    async def rehearse() -> None:
        async with echo(delay_s=delay_s) as upstream:
            start_s = time.monotonic()
            async with Traffic(upstream.url, [Endpoint("/")], 100.0) as traffic:
                await asyncio.sleep(1.0)
                sending_s = time.monotonic() - start_s
            assert traffic.failures == 0
            assert traffic.requests == pytest.approx(100 * sending_s, abs=35)  # by chance: 3.5 standard deviations
            slowest_ms = max(traffic.by_second[0].latencies_ms)
            assert slowest_ms >= delay_s * 1000

    asyncio.run(rehearse())


def test_half_of_the_users_keep_their_connection() -> None:
    """Half of the requests come over kept connections and half over fresh ones, whatever the endpoint."""

    async def rehearse() -> None:
        requests: list[int] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            requests.append(0)
            number = len(requests) - 1
            while True:
                await read_head(reader)
                requests[number] += 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        async with raw(talk) as upstream:
            async with Traffic(upstream.url, [Endpoint("/a"), Endpoint("/b")], 100.0) as traffic:
                await asyncio.sleep(1.0)
            assert sum(requests) == traffic.requests
            assert max(requests) > 30
            assert requests.count(1) == pytest.approx(traffic.requests / 2, abs=5)
            paths = Counter(outcome.path for outcome in traffic.outcomes)
            assert paths["/a"] == pytest.approx(paths["/b"], abs=2)

    asyncio.run(rehearse())


def test_an_outage_is_counted_when_it_happened() -> None:
    """Failures carry their reason and the second in which their request was due; before and after there are none."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream:
            edge.route_to([upstream])
            async with Traffic(edge.url, [Endpoint("/")], 100.0) as traffic:
                await asyncio.sleep(0.4)
                start_s = time.monotonic()
                edge.route_to([])
                await asyncio.sleep(0.5)
                edge.route_to([upstream])
                end_s = time.monotonic()
                await asyncio.sleep(0.4)
            assert traffic.failures == pytest.approx(50, abs=5)
            assert traffic.failures_between(start_s - 0.1, end_s + 0.1) == traffic.failures
            assert traffic.failures_between(0, start_s - 0.1) == 0
            assert traffic.first_failure_since(0) == pytest.approx(start_s, abs=0.1)
            assert traffic.first_failure_since(end_s + 0.2) is None
            assert traffic.first_failure_since(None) is None
            assert sum((Counter(second.reasons) for second in traffic.by_second), Counter()) == {
                "status 502": traffic.failures
            }
            assert sum(second.sent for second in traffic.by_second) == traffic.requests
            assert sum(second.failed for second in traffic.by_second) == traffic.failures

    asyncio.run(rehearse())


def test_a_refused_connection_is_a_failure() -> None:
    """When nobody listens, every request fails, with the class of the error as the reason."""

    async def rehearse() -> None:
        async with Traffic(nowhere().url, [Endpoint("/")], 100.0) as traffic:
            await asyncio.sleep(0.3)
        assert traffic.failures == traffic.requests > 10
        assert {outcome.failure for outcome in traffic.outcomes} == {"ConnectionRefusedError"}

    asyncio.run(rehearse())


def test_what_could_not_be_sent_has_failed() -> None:
    """When too many requests wait, further ones are counted as failed instead of being left out."""

    async def rehearse() -> None:
        async with echo(delay_s=1.0) as upstream:
            async with Traffic(upstream.url, [Endpoint("/")], 100.0, in_flight_limit=10) as traffic:
                await asyncio.sleep(0.5)
            reasons = Counter(outcome.failure for outcome in traffic.outcomes)
            assert reasons[""] == 10
            assert reasons["not sent"] == traffic.requests - 10 > 20

    asyncio.run(rehearse())


def test_stopping_waits_but_not_for_ever() -> None:
    """Stopping waits for what is in flight; what has no answer at the limit has failed, and is counted."""
    limit_s = 0.5

    async def talk(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def rehearse() -> None:
        async with raw(talk) as upstream:
            async with Traffic(upstream.url, [Endpoint("/")], 50.0, answer_limit_s=limit_s) as traffic:
                await asyncio.sleep(0.2)
                stopping_s = time.monotonic()
            assert time.monotonic() - stopping_s < limit_s + 1.0
            assert traffic.failures == traffic.requests > 5
            assert {outcome.failure for outcome in traffic.outcomes} == {"TimeoutError"}

    asyncio.run(rehearse())


@pytest.mark.parametrize(
    ("endpoint", "status", "content", "expected"),
    [
        (Endpoint("/"), 200, b"anything", ""),
        (Endpoint("/"), 201, b"", "status 201"),
        (Endpoint("/", status=404), 404, b"", ""),
        (Endpoint("/", accept=lambda body: body["ok"]), 200, b'{"ok": true}', ""),
        (Endpoint("/", accept=lambda body: body["ok"]), 200, b'{"ok": false}', "unexpected body"),
        (Endpoint("/", accept=lambda body: body["ok"]), 200, b"[]", "unexpected body"),
        (Endpoint("/", accept=lambda body: body["ok"]), 200, b"{}", "unexpected body"),
        (Endpoint("/", accept=lambda body: body["ok"]), 200, b"<html>", "not JSON"),
        (Endpoint("/", accept=lambda body: body["ok"]), 502, b'{"ok": true}', "status 502"),
    ],
)
def test_an_answer_is_judged_by_status_and_body(endpoint: Endpoint, status: int, content: bytes, expected: str) -> None:
    """An answer counts only with the expected status and, where one is expected, a body that satisfies the endpoint."""
    assert judge_answer(endpoint, status, content) == expected


def test_bodies_are_sent() -> None:
    """An endpoint with a body sends it as JSON."""

    async def rehearse() -> None:
        endpoint = Endpoint("/", "POST", 201, lambda said: said["body"] == '{"a": 1}', {"a": 1})
        async with echo() as upstream:
            async with Traffic(upstream.url, [endpoint], 100.0) as traffic:
                await asyncio.sleep(0.2)
            assert (traffic.failures, traffic.requests > 10) == (0, True)

    asyncio.run(rehearse())
