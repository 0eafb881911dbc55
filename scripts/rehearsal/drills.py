"""The drill book: what is broken, which stage must catch it, and what must be true at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.errors import UsageError
from scripts.rehearsal.clone import (
    ENTRY,
    Change,
    crashes_at_start,
    crashes_on_vercel,
    fails_a_fifth,
    fails_a_fifth_on_render,
    fails_a_fifth_on_vercel,
    fails_on_vercel,
    harmless,
    names_no_package,
)
from scripts.rehearsal.clouds.render import Faults
from scripts.rehearsal.clouds.vercel import VercelFaults
from scripts.rehearsal.runner import BUILD
from scripts.release import Stage
from scripts.report import Result

LOST_IN_BAKE_S = 2.0  # how far into the bake the runner is killed


@dataclass(frozen=True)
class Expected:
    """What must be seen. `stage` stops the release; limits are seconds, None where nothing is to be timed.

    `serving` is "candidate" or "baseline" on every target but those that `except_on` names. `recovered_s` counts from
    the decision to the last proof, beyond the platforms' own time for a rollback.
    """

    stage: str | None
    exit_code: int
    serving: str
    result: Result
    user_failures: int = 0
    detected_s: float | None = None
    recovered_s: float | None = None
    except_on: Mapping[str, str] = field(default_factory=dict)

    def serving_on(self, target: str) -> str:
        """Give what must serve on a target at the end."""
        return self.except_on.get(target, self.serving)


@dataclass(frozen=True)
class Drill:
    """One rehearsed fault: in the commit, in a platform, or in the runner.

    `needs` are the targets that it is played on, and `everywhere` adds all others that are rehearsed; `where` is the
    one with the fault, if it is not in all.
    """

    name: str
    what: str
    change: Change
    expected: Expected
    faults: Callable[[], Faults] = Faults
    settings: dict[str, dict[str, float]] = field(default_factory=dict)
    kill_in: Stage | None = None
    linger_s: float = 0.0  # watched after the end: nothing may change by itself
    file: Path = ENTRY  # of the change
    vercel_faults: Callable[[], VercelFaults] = VercelFaults
    needs: tuple[str, ...] = ("render",)
    everywhere: bool = False
    where: str | None = None

    def plays_on(self, target: str) -> bool:
        """Whether it is played on a target that is rehearsed."""
        return self.everywhere or target in self.needs


BLOCKED = Expected(Stage.DEPLOY, 10, "baseline", Result.NEVER_STARTED)

BOTH = ("render", "vercel")


def _went_back(stage: str, exit_code: int = 10, user_failures: int = 0) -> Expected:
    """Both targets are on the old release at the end, soon after the decision."""
    return Expected(stage, exit_code, "baseline", Result.ROLLED_BACK, user_failures, recovered_s=10)


VERCEL_DRILLS: tuple[Drill, ...] = (
    Drill(
        "vercel-build-fails",
        "a requirement that no index has: the function cannot be built, and Render is not touched",
        names_no_package,
        Expected(BUILD, 10, "baseline", Result.NEVER_STARTED),
        file=Path("requirements.txt"),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-function-dies-on-import",
        "the commit starts on Render and fails on import on Vercel: `build` starts the function and sees it",
        crashes_on_vercel,
        Expected(BUILD, 10, "baseline", Result.NEVER_STARTED),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-staged-errors",
        "the function answers 500 on Vercel only: seen at its staged URL, before any user",
        fails_on_vercel,
        _went_back(Stage.VERIFY),
        settings={"verify": {"deadline_s": 5}},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-deploy-false-success",
        "the CLI exits 0, and the deployment ends in ERROR",
        harmless,
        _went_back(Stage.DEPLOY),
        vercel_faults=lambda: VercelFaults(deploy_ends_in_error=True),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-promote-refused",
        "the platform refuses the promotion",
        harmless,
        _went_back(Stage.PROMOTE, 12),
        vercel_faults=lambda: VercelFaults(promote_refused=True),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-alias-never-assigned",
        "the promotion is accepted and never ends",
        harmless,
        _went_back(Stage.PROMOTE),
        vercel_faults=lambda: VercelFaults(alias_never_assigned=True),
        settings={"verify": {"deadline_s": 8}},
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "vercel-rollback-refused",
        "a bad commit on Vercel, and the platform refuses the rollback",
        fails_a_fifth_on_vercel,
        Expected(
            *(Stage.BAKE, 13, "baseline", Result.STILL_BROKEN),
            user_failures=1200,
            except_on={"vercel": "candidate"},
        ),
        vercel_faults=lambda: VercelFaults(rollback_refused=True),
        needs=BOTH,
        where="vercel",
    ),
    Drill(
        "render-fails-vercel-returns",
        "errors on Render only: the pair goes back as one",
        fails_a_fifth_on_render,
        _went_back(Stage.BAKE, user_failures=1000),
        needs=BOTH,
        where="render",
    ),
    Drill(
        "vercel-fails-render-returns",
        "errors on Vercel only: the pair goes back as one",
        fails_a_fifth_on_vercel,
        _went_back(Stage.BAKE, user_failures=500),
        needs=BOTH,
        where="vercel",
    ),
)

DRILLS: tuple[Drill, ...] = (
    Drill("good", "a good commit", harmless, Expected(None, 0, "candidate", Result.ROLLED_OUT), everywhere=True),
    Drill(
        "crashes-at-start",
        "the commit fails on import",
        crashes_at_start,
        BLOCKED,
    ),
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
        everywhere=True,
    ),
    Drill(
        "rollback-does-nothing",
        "the platform accepts the rollback of a bad commit and says live, the bad commit still answers",
        fails_a_fifth,
        Expected(Stage.BAKE, 13, "candidate", Result.STILL_BROKEN, user_failures=1500, detected_s=12),
        faults=lambda: Faults(rollback_without_traffic=True),
        settings={"rollback": {"deadline_s": 5}},
    ),
    Drill(
        "runner-killed",
        "the runner is lost in the bake; another one recovers from what was saved after the plan",
        harmless,
        Expected(Stage.BAKE, 0, "baseline", Result.ROLLED_BACK),
        kill_in=Stage.BAKE,
        everywhere=True,
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
    *VERCEL_DRILLS,
)


def choose(names: str, targets: Sequence[str] = BOTH) -> list[Drill]:
    """Give the drills of a comma-separated list, or all that can be played with these targets.

    Raises:
        UsageError: a name that is not in the book, or a drill that needs another target.
    """
    if names.strip() == "all":
        return [drill for drill in DRILLS if set(drill.needs) <= set(targets)]
    book = {drill.name: drill for drill in DRILLS}
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in book]
    if unknown or not chosen:
        raise UsageError(
            f"there is no drill {unknown[0]!r}" if unknown else "no drill was named",
            means=f"The book has: {', '.join(book)}.",
            next_step="python3 -m scripts rehearse --list",
        )
    short = next((name for name in chosen if not set(book[name].needs) <= set(targets)), None)
    if short is not None:
        raise UsageError(
            f"the drill {short!r} needs {' and '.join(book[short].needs)}",
            means=f"Only {', '.join(targets)} can be rehearsed here.",
            next_step="install Node 20 or newer, and rehearse with --targets render,vercel",
        )
    return [book[name] for name in chosen]
