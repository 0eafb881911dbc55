"""What a plan allows: requests in a minute, and quotes in a month."""

from dataclasses import dataclass
from typing import Literal

PlanName = Literal["free", "pro"]
MINUTE_S = 60


@dataclass(frozen=True)
class Plan:
    """A plan by its name."""

    name: PlanName
    requests_per_minute: int
    quotes_per_month: int


PLANS = {plan.name: plan for plan in (Plan("free", 60, 100), Plan("pro", 600, 10_000))}


def find_plan(name: str) -> Plan:
    """Give a plan by its name; one that only a newer release knows counts as the smallest, as after a rollback."""
    return next((plan for plan in PLANS.values() if plan.name == name), PLANS["free"])
