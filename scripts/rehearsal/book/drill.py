"""What a drill states: what is broken, which stage must catch it, and what must be true at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.rehearsal.changes import Change, harmless
from scripts.rehearsal.clone import ENTRY
from scripts.rehearsal.clouds.render import Faults, Overlap
from scripts.rehearsal.clouds.vercel import VercelFaults
from scripts.rehearsal.scene import Act, Meddle
from scripts.release import Stage
from scripts.report import Result

if TYPE_CHECKING:
    from scripts.rehearsal.observe import Facts, Seen

BOTH = ("render", "vercel")

type Windows = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Expected:
    """What must be seen. `stage` stops the release; limits are seconds, None where nothing is to be timed.

    `serving` is "candidate", "baseline", "neither" or the word of another commit, on every target but those that
    `except_on` names. `recovered_s` counts from the decision to the last proof, beyond the platforms' own time for a
    rollback. `told` must stand in what the release said.
    """

    stage: str | None
    exit_code: int
    serving: str
    result: Result
    user_failures: int = 0
    detected_s: float | None = None
    recovered_s: float | None = None
    except_on: Mapping[str, str] = field(default_factory=dict)
    told: str = ""

    def serving_on(self, target: str) -> str:
        """Give what must serve on a target at the end."""
        return self.except_on.get(target, self.serving)


@dataclass(frozen=True)
class Setting:
    """What the emulated Render is like before anything happens.

    `old`: a change that the release that serves has too. `first`: nothing serves yet.
    """

    instances: int = 1
    keep_artifacts: int = 2
    overlap: Overlap = Overlap.WAIT
    reads_per_minute: int | None = None
    old: Callable[[Path], Change] | None = None
    first: bool = False


@dataclass(frozen=True)
class Drill:
    """One rehearsed fault: in the commit, in a platform, between it and its users, of people, or in the runner.

    `meddle` runs beside the release and must come to its end before it does; an interlude runs between two stages.
    `needs` are the targets that it is played on, and `everywhere` adds all others that are rehearsed; `where` is the
    one with the fault, if it is not in all. `group` is the class of fault under which its figures are told.
    """

    name: str
    what: str
    expected: Expected
    change: Change = harmless
    group: str = ""
    faults: Callable[[], Faults] = Faults
    vercel_faults: Callable[[], VercelFaults] = VercelFaults
    windows: Windows = field(default_factory=dict)
    setting: Setting = Setting()
    meddle: Meddle | None = None
    interludes: Mapping[Stage, Meddle] = field(default_factory=dict)
    act: Act | None = None
    artifacts_lost: bool = False
    clock_off_s: float = 0.0  # of the runner's wall clock
    users_per_s: float = 30.0  # on each target, on average
    alone: bool = False  # nothing else is played meanwhile
    linger_s: float = 0.0  # watched after the end: nothing may change by itself
    file: Path = ENTRY  # of the change
    judge: Callable[[Drill, Facts, Seen], list[str]] | None = None  # instead of `expected`
    needs: tuple[str, ...] = ("render",)
    everywhere: bool = False
    where: str | None = None

    def plays_on(self, target: str) -> bool:
        """Whether it is played on a target that is rehearsed."""
        return self.everywhere or target in self.needs


def shipped(user_failures: int = 0) -> Expected:
    """It is a good release, or the trouble is nothing that a release must fail for."""
    return Expected(None, 0, "candidate", Result.ROLLED_OUT, user_failures)


def never_started(stage: str, exit_code: int = 10, user_failures: int = 0, told: str = "") -> Expected:
    """The old release has served all the time, and that is proven."""
    return Expected(stage, exit_code, "baseline", Result.NEVER_STARTED, user_failures, told=told)


def went_back(
    stage: str,
    exit_code: int = 10,
    user_failures: int = 0,
    *,
    detected_s: float | None = None,
    recovered_s: float | None = 10,
    told: str = "",
) -> Expected:
    """Every target is on the old release again, soon after the decision."""
    return Expected(stage, exit_code, "baseline", Result.ROLLED_BACK, user_failures, detected_s, recovered_s, told=told)
