"""What must be true after a release, whatever happened to it: what is claimed, held against what users get."""

from __future__ import annotations

from collections.abc import Iterable

from scripts.rehearsal.simulated.moments import NEW, OLD
from scripts.rehearsal.simulated.world import IS_OLD, LEFT, SERVES_NEW, PairWorld
from scripts.release import Stage


def find_untruths(world: PairWorld, code: int, *, alone: bool = True) -> list[str]:
    """Give what a recovery claims, as a whole and of each target, that is not what users get now and later.

    Unless `alone`, somebody else moves things too: what they put users on, or will, is no claim of ours.
    """
    states, users = world.states, world.users
    unverified = world.unverified if alone else []
    untrue = [f"users were put on {commit[:7]} before it was verified" for commit in unverified]
    if code not in {0, 13} and not (code == 10 and LEFT in states.values()):
        untrue.append(f"exit {code} says neither that production is proven nor that it is not")
    summary = world.summary.splitlines()
    for name, state in states.items():
        if not any(line.startswith(f"| {name} |") and f"| {state} |" in line for line in summary):
            untrue.append(f"{name}: the summary and release.json differ")
        if (state in IS_OLD and users[name] != {OLD}) or (state == SERVES_NEW and users[name] != {NEW}):
            untrue.append(f"{name} {state}, it is said, and users get {_told(users[name])}")
        if code == 0:
            untrue += _untruths_of_success(world, name, state, alone=alone)
    if code == 0 and LEFT not in states.values() and world.config.release.together and _differ(world):
        untrue.append("the targets of one release are on different commits")
    return untrue


def _untruths_of_success(world: PairWorld, name: str, state: str, *, alone: bool) -> list[str]:
    coming = world.clouds[name].on_its_way if alone else set()
    if state not in IS_OLD | {SERVES_NEW, LEFT}:
        return [f"{name} {state}, and the exit code is 0"]
    if state != LEFT and not coming <= world.users[name]:
        return [f"{name}: {_told(coming)} is still on its way"]
    return []


def find_false_success(world: PairWorld) -> list[str]:
    """Give the targets on which a release that passed does not serve."""
    wrong = (name for name, users in world.users.items() if users != {NEW})
    return [f"{name}: the release passed, and users get {_told(world.users[name])}" for name in wrong]


def recovered_again(world: PairWorld, code: int, *, alone: bool = True) -> list[str]:
    """Recover once more: nothing may be asked for again where all was well, and what is said stays true."""
    before = world.mutations
    again = find_untruths(world, world.run(Stage.RECOVER), alone=alone)
    if code == 0 and world.mutations != before:
        again.append("what was recovered is asked for again")
    return again


def _differ(world: PairWorld) -> bool:
    return len(set(map(frozenset, world.users.values()))) > 1


def _told(commits: Iterable[str]) -> str:
    return ", ".join(sorted(commit[:7] for commit in commits)) or "nothing"
