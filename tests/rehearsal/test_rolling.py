"""A new release of this service takes the place of the one before, under load: nobody notices."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from scripts.rehearsal.clone import commit_change, make_clone
from scripts.rehearsal.clouds.render import Faults, RenderCloud, Status, Times
from scripts.rehearsal.edge import Edge
from scripts.rehearsal.traffic import Endpoint, Traffic

ROOT = Path(__file__).resolve().parents[2]
RATE_PER_S = 200.0
TIMES = range(int(os.environ.get("SLIPWAY_REPEAT", "1")))
BASKET = {"lines": [{"item_id": 5, "quantity": 2}]}
ENDPOINTS = (
    Endpoint("/api/items?limit=5", accept=lambda page: len(page["items"]) == 5),
    Endpoint("/api/items/7", accept=lambda item: item["id"] == 7),
    Endpoint("/api/prices", method="POST", body=BASKET, accept=lambda told: told["total_cents"] == 9900),
    Endpoint("/version"),
    Endpoint("/health/ready"),
)


@pytest.mark.slow
@pytest.mark.parametrize("nth", TIMES)
def test_a_rolling_update_fails_no_request(tmp_path: Path, nth: int) -> None:
    """Two hundred requests a second, over kept connections and new ones, are all answered as they should be."""

    async def rehearse() -> tuple[int, Counter[str], set[str]]:
        clone = tmp_path / "clone"
        old = await make_clone(ROOT, clone)
        new = await commit_change(clone, "a new release", lambda source: source + f"\nNTH = {nth}\n")
        async with (
            Edge() as edge,
            RenderCloud(
                repository=clone,
                folder=tmp_path / "work",
                edge=edge,
                times=Times().scaled(1 / 120),
                faults=Faults(),
                api_key="key",
                hook_key="hook",
                requirements=(ROOT / "requirements.txt").read_text(),
            ) as cloud,
        ):
            first = await cloud.first_deploy(old)
            async with Traffic(edge.url, ENDPOINTS, RATE_PER_S) as traffic:
                await asyncio.sleep(1)
                cloud.service.request(await cloud.service.find_commit(new), first.trigger)
                released = await cloud.ended(cloud.deploys[-1].id)
                await asyncio.sleep(3)  # the old instance drains, gets its signal and ends
            seen = Counter(outcome.failure for outcome in traffic.outcomes if outcome.failure)
            return traffic.requests, seen, {released.status, *(deploy.status for deploy in cloud.deploys)}

    requests, failures, states = asyncio.run(rehearse())
    assert failures == Counter()
    assert requests > 4 * RATE_PER_S
    assert states == {Status.LIVE, Status.DEACTIVATED}
