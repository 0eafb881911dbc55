"""The product on a real PostgreSQL, as several processes: what is to happen once happens once."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from app.webhooks import sign
from tests.integration.servers import ADMIN, Service, issue_key, migrate, running_service, wait_for

SECRET = "webhook-secret-of-the-tests"
METRICS = {"Authorization": "Bearer metrics-token-of-the-tests"}


@pytest.fixture
def service(url: str) -> Iterator[Service]:
    """Run the service as two workers."""
    migrate(url)
    with running_service(
        DATABASE_URL=url,
        ADMIN_TOKEN=ADMIN,
        WEBHOOK_SECRET=SECRET,
        METRICS_TOKEN=METRICS["Authorization"].removeprefix("Bearer "),
        WEB_CONCURRENCY="2",
    ) as service:
        yield service


def deliver(service: Service, body: bytes, header: str) -> int:
    """Deliver an event over a connection of its own; how it is answered."""
    return httpx.post(
        f"{service.url}/webhooks/payments", content=body, headers={"Stripe-Signature": header}, timeout=20
    ).status_code


def test_a_delivery_that_comes_at_once_is_heard_once(service: Service) -> None:
    """Of sixteen same deliveries at the same time one is heard; of sixteen new ones of that event none counts again."""
    key = issue_key(service.url)
    key_id = key["Authorization"].split("_")[1]
    paid = {"key_id": key_id, "plan": "pro"}
    now = int(time.time())
    body = json.dumps({"id": "evt_1", "type": "subscription.changed", "created": now, "data": paid}).encode()
    header = f"t={now},v1={sign(SECRET, now, body)}"
    others = [f"t={now - back},v1={sign(SECRET, now - back, body)}" for back in range(1, 17)]
    with ThreadPoolExecutor(16) as pool:
        assert Counter(pool.map(lambda sent: deliver(service, body, sent), [header] * 16)) == {200: 1, 409: 15}
        assert Counter(pool.map(lambda sent: deliver(service, body, sent), others)) == {200: 16}
    assert httpx.get(f"{service.url}/api/usage", headers=key).json()["plan"] == "pro"


def test_a_revoked_key_is_refused_by_all(service: Service) -> None:
    """A key that one worker revoked is good on none: nothing about it is remembered."""
    key = issue_key(service.url)
    admin = {"Authorization": f"Bearer {ADMIN}"}
    assert {httpx.get(f"{service.url}/api/usage", headers=key).status_code for _ in range(8)} == {200}
    key_id = key["Authorization"].split("_")[1]
    assert httpx.delete(f"{service.url}/api/keys/{key_id}", headers=admin).status_code == 204
    assert {httpx.get(f"{service.url}/api/usage", headers=key).status_code for _ in range(8)} == {401}


def test_workers_count_together(service: Service) -> None:
    """Whichever worker is asked for metrics tells what both have answered; the folder that it is in goes with them."""
    for _ in range(20):
        httpx.get(f"{service.url}/api/items/1")
    wanted = 'http_request_duration_seconds_count{method="GET",route="/api/items/{item_id}",status="200"} 20.0'

    def counted() -> bool:
        return all(wanted in httpx.get(f"{service.url}/metrics", headers=METRICS).text for _ in range(6))

    assert wait_for(counted) < 5
    folder = service.log.parent
    assert [*folder.glob("slipway-metrics-*")]
    service.terminate()
    service.process.wait(10)
    assert not [*folder.glob("slipway-metrics-*")]
