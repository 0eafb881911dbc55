"""The edge: what it passes on, what it hides, and what a switch of traffic does to users."""

import asyncio
import time
from pathlib import Path

import httpx
import pytest

from scripts.rehearsal.edge import Edge
from scripts.rehearsal.fronts import PAGE, always, caching, limiting
from scripts.rehearsal.sniffer import find_in_files, marks_of, watched_processes
from scripts.rehearsal.traffic import Endpoint, Traffic
from scripts.rehearsal.wire import BODY_LIMIT_BYTES
from tests.rehearsal.upstreams import echo, nowhere, raw, read_head


def test_request_and_answer_pass_through() -> None:
    """Method, path, query, headers, body and status pass through, and Host stays the public one."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            answer = await client.post(f"{edge.url}/a%2Fb/c?q=1&q=%20", content=b"body", headers={"x-own": "kept"})
            said = answer.json()
            assert answer.status_code == 201
            assert answer.headers.get_list("x-seen") == ["1", "2"]
            assert (said["method"], said["target"], said["body"]) == ("POST", "/a%2Fb/c?q=1&q=%20", "body")
            assert ["host", edge.url.removeprefix("http://")] in said["headers"]
            assert ["x-own", "kept"] in said["headers"]

    asyncio.run(rehearse())


def test_headers_of_one_connection_stay_there() -> None:
    """Hop-by-hop headers, and those that Connection names, are passed in neither direction."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        lines = b"connection: close, x-private\r\nkeep-alive: timeout=1\r\nx-private: 1\r\nx-public: 1\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + lines + b"\r\n")

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, raw(talk) as rude, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            headers = {"connection": "keep-alive, x-private", "te": "trailers", "x-private": "1"}
            said = (await client.get(edge.url, headers=headers)).json()
            assert not {"connection", "te", "x-private"} & {name for name, _ in said["headers"]}
            edge.route_to([rude])
            answer = await client.get(edge.url)
            assert not {"keep-alive", "x-private"} & set(answer.headers)
            assert "x-public" in answer.headers

    asyncio.run(rehearse())


def test_the_edge_does_not_tell_the_release() -> None:
    """The edge adds no header of its own, so that only the service can tell which commit answered."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async def rehearse() -> None:
        async with Edge() as edge, raw(talk) as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            assert set((await client.get(edge.url)).headers) == {"content-length"}

    asyncio.run(rehearse())


def test_no_upstream_is_a_placeholder() -> None:
    """Without an upstream, and with one that refuses the connection, users get 502 and a page that is no answer."""

    async def rehearse() -> None:
        async with Edge() as edge, httpx.AsyncClient(trust_env=False) as client:
            for upstreams in ([], [nowhere()]):
                edge.route_to(upstreams)
                answer = await client.get(f"{edge.url}/version")
                assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
                assert "502" in answer.text
            assert edge.first_answer("none") is None

    asyncio.run(rehearse())


def test_an_upstream_that_is_too_slow_is_a_502() -> None:
    """An upstream without an answer at the deadline is a 502 and has not answered."""

    async def rehearse() -> None:
        async with (
            Edge(answer_limit_s=0.2) as edge,
            echo("slow", delay_s=0.6) as upstream,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            edge.route_to([upstream])
            assert (await client.get(edge.url)).status_code == 502
            assert edge.first_answer("slow") is None

    asyncio.run(rehearse())


def test_a_body_over_the_limit_is_refused() -> None:
    """A body over the limit is a 413 and does not reach the service; one at the limit passes."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            assert (await client.post(edge.url, content=b"x" * (BODY_LIMIT_BYTES // 2))).status_code == 201
            assert (await client.post(edge.url, content=b"x" * (BODY_LIMIT_BYTES + 1))).status_code == 413
            answers = edge.answers("a")
            assert answers
            assert answers.count == 1

    asyncio.run(rehearse())


def test_upstreams_are_asked_in_turn() -> None:
    """With two upstreams each gets half of the requests."""

    async def rehearse() -> None:
        async with Edge() as edge, echo("a") as a, echo("b") as b, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([a, b])
            commits = [(await client.get(edge.url)).json()["commit"] for _ in range(6)]
            assert sorted(commits) == ["a"] * 3 + ["b"] * 3

    asyncio.run(rehearse())


def test_requests_in_flight_finish_where_they_are() -> None:
    """After a switch, a request in flight still gets its answer from the old upstream, and is seen while it waits."""

    async def rehearse() -> None:
        async with (
            Edge() as edge,
            echo("old", delay_s=0.4) as old,
            echo("new") as new,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            edge.route_to([old])
            waiting = asyncio.create_task(client.get(edge.url))
            await asyncio.sleep(0.2)
            edge.route_to([new])
            assert edge.in_flight("instance-old") == 1
            assert (await client.get(edge.url)).json()["commit"] == "new"
            assert (await waiting).json()["commit"] == "old"
            assert edge.in_flight("instance-old") == 0

    asyncio.run(rehearse())


def test_first_answer_is_told() -> None:
    """The edge tells when a commit first answered a user, and how often and when last."""

    async def rehearse() -> None:
        async with Edge() as edge, echo("a") as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            assert edge.first_answer("a") is None
            before_s = time.monotonic()
            await client.get(edge.url)
            between_s = time.monotonic()
            await client.get(edge.url)
            first_s, answers = edge.first_answer("a"), edge.answers("a")
            assert first_s
            assert answers
            assert before_s <= first_s <= between_s <= answers.last_s
            assert answers.count == 2

    asyncio.run(rehearse())


def test_switching_fails_no_request() -> None:
    """Traffic switched back and forth under 200 requests a second fails none, over kept and over fresh connections."""

    async def rehearse() -> None:
        async with Edge() as edge, echo("a") as a, echo("b") as b:
            edge.route_to([a])
            async with Traffic(edge.url, [Endpoint("/", accept=lambda said: said["commit"] in "ab")], 200.0) as traffic:
                for upstream in (b, a, b, a, b):
                    await asyncio.sleep(0.25)
                    edge.route_to([upstream])
            answers = [edge.answers(commit) for commit in "ab"]
            assert all(each and each.count > 40 for each in answers)
            assert (traffic.failures, traffic.requests > 200) == (0, True)

    asyncio.run(rehearse())


@pytest.mark.parametrize("answers_per_connection", [1, 3])
def test_an_upstream_that_drops_kept_connections_fails_no_request(answers_per_connection: int) -> None:
    """An upstream that closes connections without a word between two requests costs no user an answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answers_per_connection):
            await read_head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await read_head(reader)

    async def rehearse() -> None:
        async with Edge() as edge, raw(talk) as upstream:
            edge.route_to([upstream])
            async with Traffic(edge.url, [Endpoint("/")], 200.0) as traffic:
                await asyncio.sleep(0.6)
            assert (traffic.failures, traffic.requests > 90) == (0, True)

    asyncio.run(rehearse())


def test_broken_connections_and_back() -> None:
    """Who connects gets nothing at all, while it is broken; afterwards the same URL answers again."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            url = edge.url
            assert (await client.get(url)).status_code == 200
            await edge.break_connections()
            for _ in range(3):
                with pytest.raises(httpx.TransportError):
                    await client.get(url)
            await edge.come_up()
            assert edge.url == url
            assert (await client.get(url)).status_code == 200

    asyncio.run(rehearse())


def test_a_request_waits_for_what_it_wakes() -> None:
    """While there is no upstream a request wakes the service, and is answered by it."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, httpx.AsyncClient(trust_env=False) as client:

            async def wake() -> None:
                await asyncio.sleep(0.1)
                edge.route_to([upstream])

            assert (await client.get(edge.url)).status_code == 502
            edge.on_request = wake
            assert (await client.get(edge.url)).status_code == 200

    asyncio.run(rehearse())


@pytest.mark.parametrize("tells_age", [True, False])
def test_a_cache_in_front(tells_age: bool) -> None:
    """What was answered once is answered again, whatever the parameters; of a POST nothing is kept, nor afterwards."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            edge.front = caching(0.5, tells_age=tells_age)
            first, again = [(await client.get(f"{edge.url}/a?q={number}")).json()["target"] for number in (1, 2)]
            assert first == again == "/a?q=1"
            answer = await client.get(f"{edge.url}/a")
            assert ("age" in answer.headers) is tells_age
            assert (await client.post(f"{edge.url}/a?q=3")).json()["target"] == "/a?q=3"
            await asyncio.sleep(0.5)
            assert (await client.get(f"{edge.url}/a?q=4")).json()["target"] == "/a?q=4"

    asyncio.run(rehearse())


def test_a_limit_in_front() -> None:
    """Beyond its rate one client gets 429, and others do not."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            edge.front = limiting(2, b"slipway")
            await asyncio.sleep(1 - time.monotonic() % 1)  # so that all come in the same second
            mine = [(await client.get(edge.url, headers={"user-agent": "slipway/1"})).status_code for _ in range(4)]
            others = [(await client.get(edge.url)).status_code for _ in range(4)]
            assert (mine, others) == ([200, 200, 429, 429], [200] * 4)
            edge.front = always(PAGE)
            answer = await client.get(f"{edge.url}/version")
            assert (answer.status_code, answer.headers["content-type"][:9]) == (200, "text/html")

    asyncio.run(rehearse())


def test_secrets_in_requests_are_seen() -> None:
    """In target, header or body, by the name of the secret; what is not looked for is not remembered."""

    async def rehearse() -> None:
        async with Edge() as edge, echo() as upstream, httpx.AsyncClient(trust_env=False) as client:
            edge.route_to([upstream])
            edge.sniffer.marks = marks_of({"HOOK": "http://a/deploy/srv?key=hk_1", "KEY": "rnd_2", "TOKEN": "tok_3"})
            await client.get(f"{edge.url}/fine", headers={"authorization": "Bearer other"})
            assert edge.sniffer.found == set()
            await client.get(f"{edge.url}/a?q=hk_1")
            await client.get(edge.url, headers={"authorization": "Bearer rnd_2"})
            await client.post(edge.url, content=b"x tok_3 y")
            assert edge.sniffer.found == {f"{name} is in a request to the service" for name in ("HOOK", "KEY", "TOKEN")}

    asyncio.run(rehearse())


def test_secrets_in_command_lines_and_files_are_seen(tmp_path: Path) -> None:
    """A program that is given one as a word, and a log that repeats one."""
    marks = marks_of({"KEY": "rnd_of_this_test"})
    (tmp_path / "runner-2").mkdir()
    (tmp_path / "runner-2" / "log").write_text("Bearer rnd_of_this_test")
    assert find_in_files(marks, tmp_path) == ["KEY is in runner-2/log"]

    async def watch() -> set[str]:
        async with watched_processes(marks) as seen:
            running = await asyncio.create_subprocess_exec("sh", "-c", "sleep 1.2; : rnd_of_this_test")
            await running.wait()
            return seen.found

    if Path("/proc/self/cmdline").exists():
        assert asyncio.run(watch()) == {"KEY is in a command line"}
