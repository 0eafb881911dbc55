"""Play a drill: the release, its users and whoever meddles with both, and gather what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx

from scripts.clock import SystemClock
from scripts.console import Console
from scripts.errors import SlipwayError
from scripts.journal import Event, Journal
from scripts.rehearsal.book.drill import Drill
from scripts.rehearsal.clouds.render import RenderCloud, Trigger
from scripts.rehearsal.clouds.vercel import Job, VercelCloud
from scripts.rehearsal.kit import Kit
from scripts.rehearsal.observe import Facts, Seen, SiteFacts, compare, observe
from scripts.rehearsal.recording import Recorder
from scripts.rehearsal.runner import Ran, Runner
from scripts.rehearsal.scene import Scene
from scripts.rehearsal.sniffer import find_in_files, marks_of, watched_processes
from scripts.rehearsal.traffic import Endpoint, Traffic
from scripts.rehearsal.world import Site, World, build

SETTLED, SWIFT_S, SETTLE_LIMIT_S = 12, 0.1, 10.0  # so many answers in a row, each within that

WRONG_CLOCK = """
import datetime
import time

_time, _datetime = time.time, datetime.datetime
time.time = lambda: _time() + OFF_S


class _Wrong(_datetime):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=OFF_S)


datetime.datetime = _Wrong
"""


@dataclass(frozen=True)
class Played:
    """A drill, and what came of it."""

    drill: Drill
    facts: Facts
    seen: Seen
    wrong: Sequence[str]

    def as_json(self) -> dict[str, object]:
        """Give the drill's part of the result; what is told of one commit is told where all targets agree."""
        seen = self.seen
        return {
            "name": self.drill.name,
            "expected": asdict(self.drill.expected),
            "seen": asdict(seen),
            "ok": not self.wrong,
            "wrong": list(self.wrong),
            "exit_code": seen.exit_code,
            "serving_before": _agreed(site.serving_before for site in self.facts.sites),
            "serving_after": _agreed(site.serving_after for site in self.facts.sites),
            "detected_s": seen.detected_s,
            "recovered_s": seen.recovered_s,
            "platform_rollback_s": seen.platform_rollback_s,
            "user_requests": seen.user_requests,
            "user_failures": seen.user_failures,
            "targets": {site.name: _site_json(site) for site in self.facts.sites},
        }


def _agreed(commits: Iterable[str | None]) -> str | None:
    found = set(commits)
    return found.pop() if len(found) == 1 else None


def _site_json(site: SiteFacts) -> dict[str, object]:
    names = ("serving_before", "serving_after", "user_requests", "user_failures")
    return {name: getattr(site, name) for name in names}


def nobody(_: Recorder) -> None:
    """Look at nothing."""


async def play(
    drill: Drill,
    root: Path,
    folder: Path,
    console: Console,
    kit: Kit | None = None,
    watched_by: Callable[[Recorder], None] = nobody,
) -> Played:
    """Play one drill in an empty folder; with a kit, on both platforms. `watched_by` gets what there is to be seen."""
    console.say(f"drill  {drill.name}: {drill.what}")
    async with build(root, folder, drill, kit) as world:
        names = " and ".join(site.name for site in world.sites)
        rate = f"{drill.users_per_s:g} user requests/s{' each' if len(world.sites) > 1 else ''}"
        console.say(f"  shipping {world.candidate[:7]} over {world.baseline[:7]} to {names}, {rate}")
        facts = await release_in(world, drill, folder, console, kit, watched_by)
    seen = observe(facts, drill.where)
    if drill.clock_off_s:
        seen = replace(seen, detected_s=None)  # by a clock that is wrong
    wrong = (drill.judge or compare)(drill, facts, seen)
    for line in wrong:
        console.say(f"  not as stated: {line}")
    console.say(f"{'fail  ' if wrong else 'ok    '} {drill.name}")
    return Played(drill, facts, seen, wrong)


async def release_in(
    world: World,
    drill: Drill,
    folder: Path,
    console: Console,
    kit: Kit | None = None,
    watched_by: Callable[[Recorder], None] = nobody,
) -> Facts:
    """Ship the drill's commit in a world that is up, with users on every target, and gather what was seen."""
    runner = Runner(
        world.clone,
        world.config,
        folder / "runner",
        world.secrets,
        lambda line: console.say(f"    {line}"),
        builds=kit is not None,
        node_options=kit.node_options if kit else "",
        built_before=kit.builds if kit else {},
        keeps_builds=kit.trees.with_name("builds") if kit else None,
        keeps_artifacts=not drill.artifacts_lost,
        variables=_wrong_clock(folder, drill.clock_off_s) if drill.clock_off_s else {},
    )
    scene = Scene(world, runner)
    runner.interludes.update({stage: functools.partial(meddle, scene) for stage, meddle in drill.interludes.items()})
    await asyncio.gather(*(settle(site.edge.url, world.endpoints) for site in world.sites))
    before = await _ask_all(world)
    marks = marks_of(world.secrets)
    async with contextlib.AsyncExitStack() as stack:
        processes = await stack.enter_async_context(watched_processes(marks))
        users = {
            site.name: await stack.enter_async_context(Traffic(site.edge.url, world.endpoints, drill.users_per_s))
            for site in world.sites
        }
        recorder = Recorder(scene, users)
        watched_by(recorder)
        ran, fault_came = await _act(drill, scene)
        after = await _ask_all(world)
        await asyncio.sleep(drill.linger_s)
        later = await _ask_all(world)
    recording = recorder.look()
    sites = [
        _site_facts(site, world.candidate, before[site.name], after[site.name], later[site.name], users[site.name])
        for site in world.sites
    ]
    runner = scene.runner
    places = [processes, *(site.edge.sniffer for site in world.sites), *(site.cloud.sniffer for site in world.sites)]
    found = sorted(what for place in places for what in place.found)
    unpacked = [tree for site in world.sites if isinstance(site.cloud, VercelCloud) for tree in site.cloud.unpacked]
    written = [what for place in (folder, *unpacked) for what in find_in_files(marks, place)]
    troubles = [f"a secret was seen: {what}" for what in [*found, *written]]
    journal, torn = _read_journal(runner)
    said = runner.log.read_text(encoding="utf-8", errors="replace")
    return Facts(
        world.baseline,
        world.candidate,
        sites,
        ran,
        journal,
        scene.words,
        fault_came,
        said,
        [*troubles, *torn],
        recording,
    )


def _read_journal(runner: Runner) -> tuple[list[Event], list[str]]:
    try:
        return Journal(runner.state, SystemClock(), str).read(), []
    except SlipwayError as error:
        return [], [f"the journal cannot be read: {error.what}"]


async def _act(drill: Drill, scene: Scene) -> tuple[list[Ran], bool]:
    """Play the release with whoever meddles with it; tell also whether the meddling came to its end."""
    meddling = asyncio.ensure_future(drill.meddle(scene)) if drill.meddle else None
    try:
        ran = await (drill.act(scene) if drill.act else scene.runner.release(scene.world.candidate))
    finally:
        came = meddling is None or meddling.done()
        if meddling and not came:
            meddling.cancel()
            await asyncio.wait({meddling})
    if meddling and came:
        meddling.result()
    return ran, came


def _wrong_clock(folder: Path, off_s: float) -> dict[str, str]:
    """Make a module that Python imports at its start, and that moves the time of day, and give its place."""
    place = folder / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(WRONG_CLOCK.replace("OFF_S", repr(off_s)), encoding="utf-8")
    return {"PYTHONPATH": str(place)}


def _site_facts(
    site: Site, candidate: str, before: str | None, after: str | None, later: str | None, users: Traffic
) -> SiteFacts:
    return SiteFacts(
        name=site.name,
        serving_before=before,
        serving_after=later,
        platform=site.cloud.events,
        rollbacks=rolled_back_to(site),
        first_answer_s=site.edge.first_answer(candidate),
        first_failure_s=users.first_failure_since(site.edge.first_answer(candidate)),
        user_requests=users.requests,
        user_failures=users.failures,
        failures=Counter(row.failure for row in users.outcomes if row.failure),
        lingered=later == after,
    )


def rolled_back_to(site: Site) -> frozenset[str]:
    """Give the ids of the deployments that the platform's rollbacks brought back."""
    if isinstance(site.cloud, RenderCloud):
        return frozenset(row.id for row in site.cloud.deploys if row.trigger is Trigger.ROLLBACK)
    return frozenset(row.to_id for row in site.cloud.jobs if row.kind is Job.ROLLBACK)


async def settle(url: str, endpoints: Sequence[Endpoint]) -> None:
    """Ask until a service answers swiftly: the drill's release is not its first, so its users meet no cold start.

    Comes back after `SETTLE_LIMIT_S` all the same: an old release may be sick.
    """
    swift, end_s = 0, time.monotonic() + SETTLE_LIMIT_S
    async with httpx.AsyncClient(trust_env=False, timeout=SETTLE_LIMIT_S) as client:
        while swift < SETTLED and time.monotonic() < end_s:
            began_s = time.monotonic()
            with contextlib.suppress(httpx.HTTPError):
                await client.get(f"{url}{endpoints[swift % len(endpoints)].path}")
            took_s = time.monotonic() - began_s
            swift = swift + 1 if took_s < SWIFT_S else 0


async def _ask_all(world: World) -> dict[str, str | None]:
    return {site.name: await ask_commit(site.edge.url) for site in world.sites}


async def ask_commit(url: str) -> str | None:
    """Ask the public URL which commit serves, as anybody can; a sick service is asked a few times."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        for _ in range(10):
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
                return str((await client.get(f"{url}/version")).raise_for_status().json()["commit"])
            await asyncio.sleep(0.1)
    return None
