"""The drill book: what is broken, which stage must catch it, and what must be true at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.errors import UsageError
from scripts.rehearsal.clone import Change, crashes_at_start, fails_a_fifth, harmless
from scripts.rehearsal.clouds.render import Faults
from scripts.release import Stage
from scripts.report import Result

LOST_IN_BAKE_S = 2.0  # how far into the bake the runner is killed


@dataclass(frozen=True)
class Expected:
    """What must be seen. `stage` stops the release; limits are seconds, None where nothing is to be timed.

    `recovered_s` counts from the decision to the proof, beyond the platform's own time for a rollback.
    """

    stage: Stage | None
    exit_code: int
    serving: str  # "candidate" or "baseline"
    result: Result
    user_failures: int = 0
    detected_s: float | None = None
    recovered_s: float | None = None


@dataclass(frozen=True)
class Drill:
    """One rehearsed fault: in the commit, in the platform, or in the runner."""

    name: str
    what: str
    change: Change
    expected: Expected
    faults: Callable[[], Faults] = Faults
    settings: dict[str, dict[str, float]] = field(default_factory=dict)
    kill_in: Stage | None = None
    linger_s: float = 0.0  # watched after the end: nothing may change by itself


BLOCKED = Expected(Stage.DEPLOY, 10, "baseline", Result.NEVER_STARTED)

DRILLS: tuple[Drill, ...] = (
    Drill("good", "a good commit", harmless, Expected(None, 0, "candidate", Result.ROLLED_OUT)),
    Drill("crashes-at-start", "the commit fails on import", crashes_at_start, BLOCKED),
    Drill(
        "errors",
        "a fifth of the answers are 500, the health check stays well",
        fails_a_fifth,
        Expected(Stage.BAKE, 10, "baseline", Result.ROLLED_BACK, user_failures=250, detected_s=8, recovered_s=3),
    ),
    Drill(
        "wrong-commit",
        "the platform says live, the old commit still answers",
        harmless,
        Expected(Stage.VERIFY, 10, "baseline", Result.ROLLED_BACK),
        faults=lambda: Faults(live_without_traffic=True),
        settings={"verify": {"deadline_s": 4}},
    ),
    Drill(
        "rollback-does-nothing",
        "the platform accepts the rollback of a bad commit and says live, the bad commit still answers",
        fails_a_fifth,
        Expected(Stage.BAKE, 13, "candidate", Result.STILL_BROKEN, user_failures=1500, detected_s=8),
        faults=lambda: Faults(rollback_without_traffic=True),
        settings={"rollback": {"deadline_s": 5}},
    ),
    Drill(
        "runner-killed",
        "the runner is lost in the bake; another one recovers from what was saved after the plan",
        harmless,
        Expected(Stage.BAKE, 0, "baseline", Result.ROLLED_BACK),
        kill_in=Stage.BAKE,
    ),
    Drill(
        "late-live",
        "the build takes so long that the deploy is given up; it must not go live afterwards",
        harmless,
        BLOCKED,
        faults=lambda: Faults(build_extra_s=6),
        settings={"deploy": {"deadline_s": 3}},
        linger_s=6,
    ),
)


def choose(names: str) -> list[Drill]:
    """Give the drills of a comma-separated list, or all.

    Raises:
        UsageError: a name that is not in the book.
    """
    if names.strip() == "all":
        return list(DRILLS)
    book = {drill.name: drill for drill in DRILLS}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in book]
    if unknown or not chosen:
        raise UsageError(
            f"there is no drill {unknown[0]!r}" if unknown else "no drill was named",
            means=f"The book has: {', '.join(book)}.",
            next_step="python3 -m scripts rehearse --list",
        )
    return [book[name] for name in chosen]
