"""Random releases with real processes: a random commit, platform and moment to be cut off, and what must hold then."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from scripts.rehearsal.book.drill import Drill, shipped
from scripts.rehearsal.book.machine import cut
from scripts.rehearsal.book.platforms import api_down
from scripts.rehearsal.changes import Change, crashes_at_start, ends_after, fails_a_fifth, hangs, harmless, leaks
from scripts.rehearsal.clouds.render import Faults
from scripts.rehearsal.observe import Facts, Seen
from scripts.rehearsal.play import Played
from scripts.release import Stage
from scripts.report import Result

COMMITS: Mapping[str, Change] = {
    "a good commit": harmless,
    "one that fails a fifth": fails_a_fifth,
    "one that fails on import": crashes_at_start,
    "one that hangs": hangs,
    "one that leaks": leaks,
    "one that dies": ends_after(6),
}
PLATFORMS: Mapping[str, Callable[[], Faults]] = {
    "": Faults,
    "live is said early": lambda: Faults(live_early_s=2),
    "live is said and not so": lambda: Faults(live_without_traffic=True),
    "the hook names no deploy": lambda: Faults(hook_answers_202=True),
    "the build is slow": lambda: Faults(build_extra_s=3),
    "rollbacks are not done": lambda: Faults(rollback_without_traffic=True),
}
CUT_IN = (Stage.PLAN, Stage.DEPLOY, Stage.VERIFY, Stage.BAKE, Stage.ROLLBACK)
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
WINDOWS = {"verify": {"deadline_s": 6}, "rollback": {"deadline_s": 12}, "bake": {"least_s": 12, "most_s": 25}}


def draw_drill(seed: str) -> Drill:
    """Draw a run; the same seed gives the same one, but for the moments of real processes."""
    chance = random.Random(seed)  # noqa: S311 - the same on every machine is what is wanted
    commit = chance.choice(["a good commit", *COMMITS])
    platform = chance.choice(["", "", *PLATFORMS])
    told = [commit, platform]
    drill = Drill(
        seed, "", shipped(), COMMITS[commit], faults=PLATFORMS[platform], windows=WINDOWS, linger_s=4, judge=find_lies
    )
    if chance.random() < 0.3:
        stage, seconds = chance.choice(CUT_IN[1:]), round(chance.uniform(1, 6), 1)
        drill = replace(drill, interludes={stage: api_down(stage, seconds)})
        told.append(f"the API is down for {seconds:g} s from {stage} on")
    if chance.random() < 0.6:
        stage, number, after_s = chance.choice(CUT_IN), chance.choice(NUMBERS), round(chance.uniform(0, 4), 1)
        drill = replace(drill, meddle=cut(stage, number, after_s))
        told.append(f"{number.name} {after_s:g} s into {stage}")
    return replace(drill, what=", ".join(filter(None, told)), group="chaos")


def find_lies(drill: Drill, facts: Facts, seen: Seen) -> list[str]:
    """Give what is claimed and not so: of what serves, of a success, and of what no run may leave behind."""
    lies = list(facts.troubles)
    claims = {Result.ROLLED_OUT: "candidate", Result.ROLLED_BACK: "baseline", Result.NEVER_STARTED: "baseline"}
    claimed = claims.get(seen.result)
    lies += [f"{name} serves the {word}, and {seen.result} is claimed" for name, word in _others(seen, claimed)]
    if seen.result is Result.SUPERSEDED:
        lies.append("nobody else moved anything, and superseded is claimed")
    if seen.result is Result.STILL_BROKEN and seen.exit_code == 0:
        lies.append("exit 0, and still_broken is claimed")
    if seen.result is Result.ROLLED_OUT and drill.change is not harmless:
        lies.append(f"a false green: {drill.what}")
    if seen.result is not Result.STILL_BROKEN:
        lies += [f"{site.name}: what serves changed by itself" for site in facts.sites if not site.lingered]
    calm = drill.meddle is None and not drill.interludes and drill.faults is Faults
    if calm and drill.change is harmless and seen.result is not Result.ROLLED_OUT:
        lies.append("a good release on good platforms was not rolled out")
    return lies


def _others(seen: Seen, claimed: str | None) -> list[tuple[str, str]]:
    return [(name, word) for name, word in seen.serving.items() if claimed is not None and word != claimed]


def render_real(seed: str, played: Sequence[Played]) -> str:
    """Give a line for each run, and how many lied."""
    lines = []
    for row in played:
        end = f"exit {row.seen.exit_code}, {row.seen.result}"
        lines.append(f"{'LIES' if row.wrong else 'ok  '} {row.drill.name}: {end}; {row.drill.what}")
    lies = sum(bool(row.wrong) for row in played)
    return "\n".join(
        [*lines, "", f"{len(played)} random runs with real processes, seed {seed}: {lies} claimed what was not so"]
    )
