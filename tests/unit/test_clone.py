"""The bad commits of a rehearsal: what is sick in them is sick for everyone who asks, and from when it says."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from scripts.rehearsal.changes import FIRST_WELL, fails_a_fifth, fails_on_vercel

Application = Callable[..., Any]


def changed(change: Callable[[str], str]) -> Application:
    """Give the application of a tiny entry module after a change."""
    names: dict[str, Any] = {}
    exec(change("async def app(scope, receive, send):\n    await send({'status': 200})\n"), names)  # noqa: S102 - ours
    application: Application = names["app"]
    return application


def asked(application: Application, path: str, times: int) -> list[bool]:
    """Ask that many times; True for each 500."""
    answers: list[bool] = []

    async def send(message: dict[str, Any]) -> None:
        if "status" in message:
            answers.append(message["status"] == 500)

    async def ask() -> None:
        for _ in range(times):
            await application({"type": "http", "path": path}, None, send)

    asyncio.run(ask())
    return answers


def test_a_fifth_of_the_answers_are_sick_and_the_first_are_not() -> None:
    """In every two dozen answers there are some: no second looks well by luck."""
    answers = asked(changed(fails_a_fifth), "/version", 5_000)
    assert not any(answers[:FIRST_WELL])
    assert sum(answers) == pytest.approx((5_000 - FIRST_WELL) / 5, rel=0.01)
    assert all(3 <= sum(answers[start : start + 24]) <= 6 for start in range(FIRST_WELL, 4_900))


@pytest.mark.parametrize("stride", range(1, 8))
def test_whoever_asks_regularly_meets_the_share(stride: int) -> None:
    """A prober that gets each third answer, between users who get the others, sees a fifth of its own fail too."""
    answers = asked(changed(fails_a_fifth), "/version", 5_000)[FIRST_WELL:]
    mine = answers[::stride]
    assert sum(mine) / len(mine) == pytest.approx(0.2, rel=0.05)
    assert all(1 <= sum(mine[start : start + 24]) <= 9 for start in range(len(mine) - 24))


def test_the_health_check_stays_well() -> None:
    """Neither does it take a turn away from the others."""
    application = changed(fails_a_fifth)
    assert not any(asked(application, "/health/ready", 100))
    assert any(asked(application, "/version", FIRST_WELL + 30))


def test_what_is_wholly_sick_is_so_from_its_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the platform's own variable is set."""
    monkeypatch.delenv("VERCEL", raising=False)
    assert not any(asked(changed(fails_on_vercel), "/api/items", 30))
    monkeypatch.setenv("VERCEL", "1")
    assert all(asked(changed(fails_on_vercel), "/api/items", 30))
    assert not any(asked(changed(fails_on_vercel), "/version", 30))
