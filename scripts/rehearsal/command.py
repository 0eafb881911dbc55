"""The verb `rehearse`: play drills one after the other, and say for each what was expected and what was seen."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from scripts.clock import SystemClock
from scripts.console import Console
from scripts.errors import UsageError
from scripts.journal import Journal
from scripts.rehearsal.clone import differs_from_head, make_clone
from scripts.rehearsal.clouds.render import RenderCloud, Trigger
from scripts.rehearsal.clouds.vercel import Job
from scripts.rehearsal.drills import BOTH, DRILLS, LOST_IN_BAKE_S, Drill, choose
from scripts.rehearsal.figures import render_markdown, render_table
from scripts.rehearsal.kit import Kit, lacks, prepare
from scripts.rehearsal.observe import Facts, Seen, SiteFacts, compare, observe
from scripts.rehearsal.runner import Runner
from scripts.rehearsal.traffic import Traffic
from scripts.rehearsal.world import USERS_PER_S, Site, World, build
from scripts.release import Sha
from scripts.summary import append_summary

ROOT = Path(__file__).resolve().parents[2]


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


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Play the drills that were asked for; exit 0 only when every one ended as its book states.

    Raises:
        UsageError: an unknown drill, or nothing to rehearse with.
    """
    console = Console()
    if arguments.list:
        console.result("\n".join(f"{drill.name:<31} {drill.what}" for drill in DRILLS))
        return 0
    if arguments.repeat < 1 or shutil.which("git") is None:
        what = "--repeat must be at least 1" if arguments.repeat < 1 else "git is not on the PATH"
        raise UsageError(what, means="Nothing was started.", next_step="python3 -m scripts rehearse --help")
    targets = choose_targets(arguments.targets, environment, console)
    drills = [drill for drill in choose(arguments.drill, targets) for _ in range(arguments.repeat)]
    cli_version, played = asyncio.run(_play_all(drills, targets, environment, console))
    ok = all(not row.wrong for row in played)
    if arguments.json:
        told = {"version": 1, "targets": list(targets), "vercel_cli": cli_version}
        console.result({**told, "drills": [row.as_json() for row in played], "ok": ok})
    else:
        console.result(render_table(played))
    append_summary(environment, render_markdown(played))
    return 0 if ok else 10


def choose_targets(named: str | None, environment: Mapping[str, str], console: Console) -> tuple[str, ...]:
    """Give what is rehearsed: what was named, else both where this machine can, else Render alone.

    Raises:
        UsageError: there is no such target, or what it needs is not on this machine.
    """
    names = tuple(part.strip() for part in (named or ",".join(BOTH)).split(",") if part.strip())
    if not names or "render" not in names or len(set(names)) != len(names) or set(names) - set(BOTH):
        raise UsageError(
            f"--targets {named} cannot be rehearsed: render, or render,vercel",
            means="Nothing was started.",
            next_step="python3 -m scripts rehearse --targets render,vercel",
        )
    missing = lacks(environment) if "vercel" in names else ""
    if missing and named:
        raise UsageError(missing, means="Nothing was started.", next_step="or rehearse with --targets render")
    if missing:
        console.warn(f"Render alone is rehearsed: {missing}")
    return ("render",) if missing else tuple(sorted(names))


async def _play_all(
    drills: Sequence[Drill], targets: Sequence[str], environment: Mapping[str, str], console: Console
) -> tuple[str | None, list[Played]]:
    """Play each in a temporary folder; the first SIGINT or SIGTERM ends it in order, later ones change nothing."""
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended and task is not None:
            console.say("interrupted: stopping everything that was started")
            task.cancel()
        ended = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        return await _play_each(drills, targets, environment, console)
    except asyncio.CancelledError as error:
        if ended:
            raise KeyboardInterrupt from error
        raise


async def _play_each(
    drills: Sequence[Drill], targets: Sequence[str], environment: Mapping[str, str], console: Console
) -> tuple[str | None, list[Played]]:
    if await differs_from_head(ROOT):
        console.warn("uncommitted changes of the service are not rehearsed: a rehearsal ships commits")
    with tempfile.TemporaryDirectory(prefix="slipway-") as kept:
        needed = "vercel" in targets and any(drill.plays_on("vercel") for drill in drills)
        kit = await open_kit(ROOT, Path(kept), environment, console) if needed else None
        played = []
        for drill in drills:
            with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
                played.append(await play(drill, ROOT, Path(folder), console, kit if drill.plays_on("vercel") else None))
    return (kit.cli_version if kit else None), played


async def open_kit(root: Path, folder: Path, environment: Mapping[str, str], console: Console) -> Kit:
    """Prepare what a rehearsal of Vercel needs, from the repository's HEAD.

    Raises:
        SlipwayError: it is not to be had here.
    """
    console.say("building the function of the release that serves")
    head = await make_clone(root, folder / "clone")
    return await prepare(root, folder / "clone", Sha(head), folder, environment, lambda line: console.say(f"  {line}"))


async def play(drill: Drill, root: Path, folder: Path, console: Console, kit: Kit | None = None) -> Played:
    """Play one drill in an empty folder; with a kit, on both platforms."""
    console.say(f"drill  {drill.name}: {drill.what}")
    async with build(root, folder, drill, kit) as world:
        names = " and ".join(site.name for site in world.sites)
        rate = f"{USERS_PER_S:g} user requests/s each" if len(world.sites) > 1 else f"{USERS_PER_S:g} user requests/s"
        console.say(f"  shipping {world.candidate[:7]} over {world.baseline[:7]} to {names}, {rate}")
        facts = await release_in(world, drill, folder, console, kit)
    seen = observe(facts, drill.where)
    wrong = compare(drill, facts, seen)
    for line in wrong:
        console.say(f"  not as stated: {line}")
    console.say(f"{'fail  ' if wrong else 'ok    '} {drill.name}")
    return Played(drill, facts, seen, wrong)


async def release_in(world: World, drill: Drill, folder: Path, console: Console, kit: Kit | None = None) -> Facts:
    """Ship the drill's commit in a world that is up, with users on every target, and gather what was seen."""
    runner = Runner(
        world.clone,
        world.config,
        folder / "runner",
        world.secrets,
        lambda line: console.say(f"    {line}"),
        builds=kit is not None,
        node_options=kit.node_options if kit else "",
    )
    before = await _ask_all(world)  # also the first call that wakes a function: users of a service do not meet that
    async with contextlib.AsyncExitStack() as stack:
        users = {
            site.name: await stack.enter_async_context(Traffic(site.edge.url, world.endpoints, USERS_PER_S))
            for site in world.sites
        }
        ran = await runner.release(world.candidate, drill.kill_in, LOST_IN_BAKE_S)
        after = await _ask_all(world)
        await asyncio.sleep(drill.linger_s)
        later = await _ask_all(world)
    sites = [
        _site_facts(site, world.candidate, before[site.name], after[site.name], later[site.name], users[site.name])
        for site in world.sites
    ]
    journal = Journal(runner.state, SystemClock(), str).read()
    return Facts(world.baseline, world.candidate, sites, ran, journal)


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
        user_requests=users.requests,
        user_failures=users.failures,
        lingered=later == after,
    )


def rolled_back_to(site: Site) -> frozenset[str]:
    """Give the ids of the deployments that the platform's rollbacks brought back."""
    if isinstance(site.cloud, RenderCloud):
        return frozenset(row.id for row in site.cloud.deploys if row.trigger is Trigger.ROLLBACK)
    return frozenset(row.to_id for row in site.cloud.jobs if row.kind is Job.ROLLBACK)


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
