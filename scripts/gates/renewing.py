"""New texts for the locks: with the present pins that still fit, or with newer ones that are old enough.

Where something is too young, all is resolved again under limits, as often as that brings in other packages; then once
more without limits and with the versions found, since that is how a lock is checked.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.gates.audit import audit
from scripts.gates.cooldown import (
    Ages,
    Release,
    Rule,
    Versions,
    Waiting,
    ages_of,
    describe_age,
    judge_ages,
    judge_waiting,
    plan_limits,
    read_fixes,
    versions_in,
)
from scripts.gates.drift import find_unresolved, open_index
from scripts.gates.hashes import hashes_for, judge_hashes, names_of
from scripts.gates.index import Index
from scripts.gates.lockfiles import LOCKS, Finding, Gate, paths, read_bytes
from scripts.gates.pins import Texts, bare, judge_texts, read_pins, with_hashes
from scripts.gates.resolving import Resolved, copied, resolving

ROUNDS = 6  # each adds the packages that the one before brought in
NO_WAIT = "python3 -m scripts lock refresh --cooldown-days 0"
LIMITS = "limits"


@dataclass(frozen=True)
class Renewed:
    """The locks before and after; the same, where something was found that keeps them from being written."""

    old: Texts
    new: Texts
    found: Sequence[Finding] = ()
    waiting: Waiting = field(default_factory=Waiting)


@dataclass(frozen=True)
class Bench:
    """What the locks are made on: a copy of the .in files, the index, and the locks as they are."""

    gate: Gate
    folder: Path
    index: Index
    old: Texts

    def resolve(self, *, upgrade: bool, limits: str = "") -> tuple[Texts, list[Finding]]:
        """Resolve one lock after the other, since each keeps to those before; or tell what cannot be resolved."""
        file = self.folder / LIMITS
        file.write_text(limits, encoding="utf-8")
        resolved: list[Resolved] = []
        for name in LOCKS:
            given = file if limits else None
            environment = self.gate.environment
            with resolving(self.folder, name, environment, upgrade=upgrade, limits=given) as resolver:
                resolved.append(resolver.finish())
            if found := find_unresolved(self.index, resolved):
                return {}, found
        return dict(zip(self.old, (each.text for each in resolved), strict=True)), []

    def keep(self, texts: Texts) -> None:
        """Let the next resolution without upgrade keep these pins."""
        for path, text in texts.items():
            (self.folder / path).write_text(bare(text), encoding="utf-8")

    def fetch_ages(self, *versions: Versions) -> Mapping[str, Ages]:
        """Ask how old the releases of packages are."""
        names = sorted({name for each in versions for name in each})
        now = self.gate.clock.now()
        return {name: ages_of(uploads, now) for name, uploads in self.index.fetch_uploads(names).items()}


def renew(gate: Gate, *, upgrade: bool, cooldown_days: int = 0) -> Renewed:
    """Make the locks anew, and judge them; nothing is written into the checkout.

    Raises:
        PlatformError: the package index could not be reached, or answered nonsense.
    """
    old = {path: read_bytes(gate.root, path, absent=b"").decode("utf-8", "replace") for path in paths("txt")}
    with open_index(gate.environment, gate.clock) as index, copied(gate.root, old) as folder:
        index.reach()  # where there is no index, pip takes minutes to say that there is no such package
        bench = Bench(gate, folder, index, old)
        texts, found = bench.resolve(upgrade=upgrade)
        waiting = Waiting()
        if cooldown_days and not found:
            texts, found, waiting = _cool(bench, texts, cooldown_days)
        return Renewed(old, old, found) if found else replace(_complete(index, old, texts), waiting=waiting)


def _complete(index: Index, old: Texts, texts: Texts) -> Renewed:
    """Give the locks their hashes, and judge them as `check` does.

    A pin that comes into one lock takes the hashes that another has: the index's may be of files that are too young.
    """
    pages = index.fetch_pages(names_of(pin for text in texts.values() for pin in read_pins(text)))
    everywhere = [pin for text in old.values() for pin in read_pins(text)]
    new = {}
    for path, text in texts.items():
        hashes = dict(hashes_for(read_pins(text), [*everywhere, *read_pins(old[path])], pages))
        new[path] = with_hashes(text, hashes)
    wrong = judge_texts(new) or [each for path in new for each in judge_hashes(path, read_pins(new[path]), pages)]
    return Renewed(old, new, [Finding(each, next_step="ask for something else in the .in file") for each in wrong])


def _cool(bench: Bench, free: Texts, days: int) -> tuple[Texts, list[Finding], Waiting]:
    """Take of what is newer only what may be taken: texts, or why there are none, and what waits."""
    rule, wanted = Rule(days, versions_in(bench.old)), versions_in(free)
    texts, ages = free, bench.fetch_ages(wanted)
    if judge_ages(rule, wanted, ages):
        present = [pin for text in bench.old.values() for pin in read_pins(text)]
        rule = replace(rule, fixes=read_fixes(audit(present, bench.gate.environment).found))
    if judge_ages(rule, wanted, ages):
        ages = bench.fetch_ages(rule.present, wanted)
        texts, found = _resolve_limited(bench, rule, wanted, ages)
        if found:
            return {}, found, Waiting()
    taken = versions_in(texts)
    return texts, [], judge_waiting(rule, wanted, taken, {**ages, **bench.fetch_ages(taken)})


def _resolve_limited(
    bench: Bench, rule: Rule, wanted: Versions, ages: Mapping[str, Ages]
) -> tuple[Texts, list[Finding]]:
    """Resolve under limits until nothing is too young, then as a lock is checked; or tell why that is not to be had."""
    early: list[Release] = []
    for _ in range(ROUNDS):
        texts, found = bench.resolve(upgrade=True, limits=plan_limits(rule, wanted, ages))
        if found:
            return {}, [replace(each, next_step=_patience(rule)) for each in found]
        ages = {**ages, **bench.fetch_ages(versions_in(texts))}
        if not (early := judge_ages(rule, versions_in(texts), ages)):
            bench.keep(texts)
            texts, found = bench.resolve(upgrade=False)
            early = judge_ages(rule, versions_in(texts), ages)
            break
    return texts, [*found, *map(functools.partial(_too_young, rule), early)]


def _too_young(rule: Rule, release: Release) -> Finding:
    return Finding(f"{release.name}=={release.version} is too young: {describe_age(release)}", "", _patience(rule))


def _patience(rule: Rule) -> str:
    return f"wait until what is new is {rule.days} days old, or {NO_WAIT}"
