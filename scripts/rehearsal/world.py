"""Everything that a drill plays on: the clone, the cloud, the edge, the users, the configuration of the pipeline."""

from __future__ import annotations

import contextlib
import secrets
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from scripts.config import SECRET_IN_HEADER, TARGETS, Config, parse
from scripts.errors import ConfigError
from scripts.platforms.vercel import BYPASS
from scripts.probe import VERSION
from scripts.rehearsal.book.drill import Drill
from scripts.rehearsal.clone import commit_change, make_clone
from scripts.rehearsal.clouds.render import RenderCloud, Times
from scripts.rehearsal.clouds.vercel import VercelCloud, VercelTimes
from scripts.rehearsal.edge import Edge
from scripts.rehearsal.kit import Kit, included
from scripts.rehearsal.sniffer import marks_of
from scripts.rehearsal.traffic import Endpoint
from scripts.release import Sha

SCALE = 1 / 120  # of the platform's own times
CANDIDATE = "the candidate"

# The windows of a real release, shortened; the code is the same.
WINDOWS: Mapping[str, Mapping[str, float]] = {
    "baseline": {"duration_s": 4},
    "deploy": {"deadline_s": 30, "poll_s": 0.2},
    "verify": {"deadline_s": 10},
    "bake": {"least_s": 10, "most_s": 25},
    "rollback": {"deadline_s": 15},
    "probe": {"rate_per_s": 25},
}

# Of [release] nothing is the user's own: what a drill ends in is stated for these.
AS_IN_THE_BOOK = {"together": True, "on_unproven": "roll_back"}


@dataclass(frozen=True)
class Site:
    """What one target is to the world: a public URL, and the platform behind it."""

    name: str
    edge: Edge
    cloud: RenderCloud | VercelCloud


@dataclass(frozen=True)
class World:
    """One drill's world, up and serving the baseline."""

    baseline: str
    candidate: str
    clone: Path
    sites: tuple[Site, ...]
    config: Path
    secrets: Mapping[str, str]
    endpoints: tuple[Endpoint, ...]
    error_rate: float  # that the configuration promises to stay below
    outage: Path  # where this file is, a release that was made to need it fails

    @property
    def cloud(self) -> RenderCloud:
        """The emulated Render."""
        return next(site.cloud for site in self.sites if isinstance(site.cloud, RenderCloud))

    @property
    def vercel(self) -> VercelCloud:
        """The emulated Vercel."""
        return next(site.cloud for site in self.sites if isinstance(site.cloud, VercelCloud))


@asynccontextmanager
async def build(root: Path, folder: Path, drill: Drill, kit: Kit | None = None) -> AsyncIterator[World]:
    """Clone the repository, make the drill's commit, and bring the old release up as a person would.

    With a kit, on Vercel too.
    """
    clone = folder / "clone"
    baseline = await make_clone(kit.repository if kit else root, clone)
    outage = folder / "outage"
    if drill.setting.old:
        baseline = await commit_change(clone, "the old release", drill.setting.old(outage))
        kit = await kit.of_another(root, clone, Sha(baseline), folder / "old") if kit else None
    candidate = await commit_change(clone, CANDIDATE, drill.change, drill.file)
    async with contextlib.AsyncExitStack() as stack:
        render, given, section = await _open_render(stack, root, clone, folder, drill)
        sites = [render]
        sections: dict[str, dict[str, Any]] = {"render": dict(section)}
        if kit is not None:
            vercel, its_own, section = await _open_vercel(stack, folder, drill, kit)
            sections["vercel"] = {**section, "include": list(included(root / "slipway.toml"))}
            sites, given = [*sites, vercel], given | its_own
        table = with_sections(root / "slipway.toml", sections, drill.windows)
        path = folder / "slipway.toml"
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
        if not drill.setting.first:
            await _serve_baseline(sites, baseline, kit)
        config = parse(table)
        _look_for_secrets(sites, given)
        yield World(
            baseline,
            candidate,
            clone,
            tuple(sites),
            path,
            given,
            users_endpoints(config),
            config.objectives.error_rate,
            outage,
        )


async def _open_render(
    stack: contextlib.AsyncExitStack, root: Path, clone: Path, folder: Path, drill: Drill
) -> tuple[Site, dict[str, str], dict[str, str]]:
    """Give the site, its secrets, and its section of slipway.toml."""
    edge = await stack.enter_async_context(Edge())
    api_key = f"rnd_{secrets.token_hex(16)}"
    cloud = RenderCloud(
        repository=clone,
        folder=folder / "render",
        edge=edge,
        times=Times().scaled(SCALE),
        faults=drill.faults(),
        api_key=api_key,
        hook_key=secrets.token_hex(16),
        requirements=(root / "requirements.txt").read_text(encoding="utf-8"),
        keep_artifacts=drill.setting.keep_artifacts,
        instances=drill.setting.instances,
        overlap=drill.setting.overlap,
        reads_per_minute=drill.setting.reads_per_minute,
    )
    await stack.enter_async_context(cloud)
    given = {"RENDER_DEPLOY_HOOK_URL": cloud.hook_url, "RENDER_API_KEY": api_key}
    return Site("render", edge, cloud), given, {"url": edge.url, "api_url": cloud.api_url}


async def _open_vercel(
    stack: contextlib.AsyncExitStack, folder: Path, drill: Drill, kit: Kit
) -> tuple[Site, dict[str, str], dict[str, str]]:
    """Give the site, its secrets, and its section of slipway.toml."""
    edge = await stack.enter_async_context(Edge())
    token, bypass = secrets.token_hex(12), secrets.token_hex(16)
    cloud = VercelCloud(
        folder=folder / "vercel",
        trees=kit.trees,
        edge=edge,
        times=VercelTimes().scaled(SCALE),
        faults=drill.vercel_faults(),
        token=token,
        bypass=bypass,
    )
    await stack.enter_async_context(cloud)
    given = {"VERCEL_TOKEN": token, "VERCEL_AUTOMATION_BYPASS_SECRET": bypass}
    ids = {"team": cloud.settings.team, "org_id": cloud.settings.org_id, "project_id": cloud.settings.project_id}
    return Site("vercel", edge, cloud), given, {"url": edge.url, "api_url": cloud.api_url, **ids}


def _look_for_secrets(sites: Sequence[Site], given: Mapping[str, str]) -> None:
    """Let each place look for what is not its own: no secret is the service's, and none of a platform's another's."""
    marks = marks_of(given)
    for site in sites:
        own = f"{site.name.upper()}_"
        asked = {BYPASS} if BYPASS.startswith(own) else set()  # it goes with every probe of Vercel
        site.edge.sniffer.marks = {name: mark for name, mark in marks.items() if name not in asked}
        site.cloud.sniffer.marks = {name: mark for name, mark in marks.items() if not name.startswith(own)}


async def _serve_baseline(sites: Sequence[Site], baseline: str, kit: Kit | None) -> None:
    for site in sites:
        if isinstance(site.cloud, RenderCloud):
            await site.cloud.first_deploy(baseline)
        elif kit is not None:
            await site.cloud.first_deploy(kit.artifact.archive, baseline)


def rehearsed(path: Path, url: str, api_url: str, settings: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Give the user's own configuration for an emulated Render alone."""
    return with_sections(path, {"render": {"url": url, "api_url": api_url}}, settings)


def with_sections(
    path: Path, sections: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Give the user's own configuration with the emulated clouds' sections and shorter windows.

    Raises:
        ConfigError: the file is not there or not TOML, or says something that is not allowed.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}", next_step=f"mend {path.name}") from error
    table = {name: value for name, value in table.items() if name not in {"release", *TARGETS}}
    table |= {"release": {"targets": list(sections), **AS_IN_THE_BOOK}}
    table |= {name: dict(values) for name, values in sections.items()}
    parse(table, path.name)  # before it is changed: a fault is then told as the file's own
    for name, values in (*WINDOWS.items(), *settings.items()):
        table[name] = {**table.get(name, {}), **values}
    return table | {"checks": _without_secrets(table["checks"])}


def _without_secrets(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out the checks that need a secret: a made-up one would fail them, and the real one has no place here."""
    kept = [each for each in checks if not any(map(SECRET_IN_HEADER.search, each.get("headers", {}).values()))]
    return kept if any(each.get("critical", True) for each in kept) else [{"name": "answers", "path": VERSION.path}]


def users_endpoints(config: Config) -> tuple[Endpoint, ...]:
    """Give what users call: the checks that only read, and `/version`."""
    reads = [check for check in config.checks if check.method == "GET" and not check.headers]
    return (*(Endpoint(check.path, status=check.status) for check in reads), Endpoint(VERSION.path))
