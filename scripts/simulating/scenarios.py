"""The releases that are simulated, and what is promised of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scripts.simulating.world import Fault

BOTH = (True, False)


@dataclass(frozen=True)
class Scenario:
    """A kind of release; `bad` says whether it is to be rolled back, `paired` how it can be watched."""

    name: str
    fault: Fault
    bad: bool
    paired: tuple[bool, ...] = BOTH
    rates: tuple[int, ...] = (10, 50)
    noise: Mapping[str, float] = field(default_factory=dict)  # what differs from the usual noise


PAIRED = (True,)  # without the old release beside it nothing is said about times
SLOWLY = (10,)
SCENARIOS = (
    Scenario("no change", Fault(), bad=False),
    Scenario("every request fails", Fault(errors=1.0), bad=True),
    Scenario("20 % errors", Fault(errors=0.2), bad=True),
    Scenario("5 % errors", Fault(errors=0.05), bad=True),
    Scenario("2 % errors", Fault(errors=0.02), bad=True),
    Scenario("1 % errors", Fault(errors=0.01), bad=True),
    Scenario("one endpoint of five fails", Fault(errors=1.0, endpoint="search"), bad=True),
    Scenario("one instance of three fails", Fault(errors=1 / 3), bad=True),
    Scenario("errors from 20 s on, 20 %", Fault(errors=0.2, from_s=20), bad=True),
    Scenario("×1.5", Fault(times=1.5), bad=True, paired=PAIRED),
    Scenario("×2", Fault(times=2.0), bad=True, paired=PAIRED),
    Scenario("×2 on one endpoint of five", Fault(times=2.0, endpoint="search"), bad=True, paired=PAIRED),
    Scenario("a tenth ×5", Fault(times=5.0, slow_share=0.1), bad=True, paired=PAIRED),
    Scenario("1 % errors in both", Fault(errors=0.01, shared=True), bad=False),
    Scenario("5 % errors in both", Fault(errors=0.05, shared=True), bad=False),
    Scenario(
        "5 % errors in both from 10 s on", Fault(0.05, shared=True, from_s=10), bad=False, paired=PAIRED, rates=SLOWLY
    ),
    Scenario(
        "all fail in both from 10 s on", Fault(1.0, shared=True, from_s=10), bad=False, paired=PAIRED, rates=SLOWLY
    ),
    Scenario(
        "2 % errors in both, in runs of half a second",
        Fault(errors=0.02, shared=True, memory_s=0.5),
        bad=False,
        rates=SLOWLY,
    ),
    Scenario("drift of ±50 %", Fault(), bad=False, paired=PAIRED, rates=SLOWLY, noise={"drift": 0.5}),
    Scenario("what lasts for seconds, ±10 %", Fault(), bad=False, paired=PAIRED, rates=SLOWLY, noise={"wobble": 0.1}),
    Scenario("a third takes ×4 in both", Fault(), bad=False, paired=PAIRED, rates=SLOWLY, noise={"heavy": 0.33}),
    Scenario("slow start: ×4 for 4 s", Fault(times=4.0, to_s=4.0), bad=False, paired=PAIRED, rates=SLOWLY),
    Scenario("an outage of 2 s", Fault(errors=1.0, from_s=12.0, to_s=14.0), bad=False, rates=SLOWLY),
)
BY_NAME: Mapping[str, Scenario] = {row.name: row for row in SCENARIOS}
