"""Limits that instances share through a real Redis, and what happens where it goes away."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from tests.integration.servers import (
    ADMIN,
    Service,
    forget_rates,
    issue_key,
    migrate,
    running_service,
    status,
    wait_for,
)
from tests.services import Redis

WITHIN_S = 2.0
ALONE = "limits are counted in each process alone"
QUOTE = {"lines": [{"item_id": 1, "quantity": 1}]}


@pytest.fixture
def instances(url: str, redis_url: str) -> Iterator[list[Service]]:
    """Run two instances on one database and one Redis."""
    migrate(url)
    with ExitStack() as stack:
        one = {"DATABASE_URL": url, "REDIS_URL": redis_url, "ADMIN_TOKEN": ADMIN}
        yield [stack.enter_context(running_service(**one)) for _ in range(2)]


def ask_both(instances: list[Service], key: dict[str, str], times: int, *, method: str, path: str) -> Counter[int]:
    """Ask both instances by turns, eight at once; what was answered."""
    json = QUOTE if method == "POST" else None
    with httpx.Client(headers=key, timeout=20) as client, ThreadPoolExecutor(8) as pool:
        return Counter(
            pool.map(
                lambda number: client.request(method, instances[number % 2].url + path, json=json).status_code,
                range(times),
            )
        )


def test_instances_share_one_rate(instances: list[Service]) -> None:
    """Sixty requests a minute are sixty on both together, however they come."""
    key = issue_key(instances[0].url)
    assert ask_both(instances, key, 200, method="GET", path="/api/usage") == {200: 60, 429: 140}


def test_instances_share_one_quota(instances: list[Service]) -> None:
    """A hundred quotes a month are a hundred on both together, and each of them is kept."""
    key = issue_key(instances[0].url)
    asked: Counter[int] = Counter()
    with httpx.Client(headers={"Authorization": f"Bearer {ADMIN}"}) as admin:
        assert admin.get(f"{instances[1].url}/api/keys").json()["keys"][0]["plan"] == "free"
    for _ in range(3):  # the rate would end it after sixty
        forget_rates(instances[0])
        asked += ask_both(instances, key, 50, method="POST", path="/api/quotes")
    assert asked == {201: 100, 429: 50}
    forget_rates(instances[0])
    told = httpx.get(f"{instances[1].url}/api/usage", headers=key).json()
    assert (told["quotes_used"], told["quotes_allowed"]) == (100, 100)
    first = httpx.get(f"{instances[0].url}/api/quotes?limit=100", headers=key).json()
    assert (len(first["quotes"]), first["next"]) == (100, None)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_redis_the_service_goes_on(url: str, own_redis: Redis, how: str) -> None:
    """Cut off from Redis it is not ready, says so, and serves all the same, as fast; then it comes back."""
    migrate(url)
    with (
        ExitStack() as stack,
        running_service(DATABASE_URL=url, REDIS_URL=own_redis.url, REDIS_REQUIRED="true", ADMIN_TOKEN=ADMIN) as service,
        httpx.Client(base_url=service.url, headers=issue_key(service.url, "pro"), timeout=10) as client,
    ):
        assert client.get("/api/usage").status_code == 200
        if how == "frozen":
            stack.enter_context(own_redis.frozen())
        else:
            own_redis.stop()
            stack.callback(own_redis.start)
        unready_s = wait_for(lambda: status(service, "/health/ready") == 503)
        assert unready_s < WITHIN_S
        assert ALONE in client.get("/health/ready").json()["checks"]["redis"]
        assert status(service, "/health/live") == 200
        times = []
        for _ in range(30):
            began = time.monotonic()
            assert client.get("/api/usage").status_code == 200
            times.append(time.monotonic() - began)
            time.sleep(0.05)
        assert max(times) < 1.5
        assert len([one for one in times if one > 0.2]) <= 4  # it asks Redis again once a second, and no more often
        stack.close()
        assert wait_for(lambda: status(service, "/health/ready") == 200) < WITHIN_S


def test_redis_that_is_not_required(url: str) -> None:
    """Where it is not required an instance without its Redis starts, is ready, and says what that means."""
    migrate(url)
    with running_service(DATABASE_URL=url, REDIS_URL="redis://127.0.0.1:1/0", REDIS_REQUIRED="false") as service:
        told = httpx.get(f"{service.url}/health/ready")
        assert (told.status_code, told.json()["checks"]["redis"]) == (200, f"unreachable: {ALONE}")
        assert "Redis does not answer" in service.log.read_text()
