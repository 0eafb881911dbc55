"""Everything that a drill plays on: the clone, the cloud, the edge, the users, the configuration of the pipeline."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from scripts.config import SECRET_IN_HEADER, TARGETS, Config, parse
from scripts.errors import ConfigError
from scripts.probe import VERSION
from scripts.rehearsal.clone import commit_change, make_clone
from scripts.rehearsal.clouds.render import RenderCloud, Times
from scripts.rehearsal.drills import Drill
from scripts.rehearsal.edge import Edge
from scripts.rehearsal.traffic import Endpoint

SCALE = 1 / 120  # of the platform's own times
USERS_PER_S = 50.0

# The windows of a real release, shortened; the code is the same.
WINDOWS: Mapping[str, Mapping[str, float]] = {
    "baseline": {"duration_s": 4},
    "deploy": {"deadline_s": 30, "poll_s": 0.2},
    "verify": {"deadline_s": 10},
    "bake": {"least_s": 10, "most_s": 25},
    "rollback": {"deadline_s": 15},
    "probe": {"rate_per_s": 25},
}


@dataclass(frozen=True)
class World:
    """One drill's world, up and serving the baseline."""

    baseline: str
    candidate: str
    clone: Path
    cloud: RenderCloud
    edge: Edge
    config: Path
    secrets: Mapping[str, str]
    endpoints: tuple[Endpoint, ...]


@asynccontextmanager
async def build(root: Path, folder: Path, drill: Drill) -> AsyncIterator[World]:
    """Clone the repository, make the drill's commit, and bring the old release up as a person would."""
    clone = folder / "clone"
    baseline = await make_clone(root, clone)
    candidate = await commit_change(clone, drill.name, drill.change)
    requirements = (root / "requirements.txt").read_text(encoding="utf-8")
    api_key, hook_key = f"rnd_{secrets.token_hex(16)}", secrets.token_hex(16)
    async with (
        Edge() as edge,
        RenderCloud(
            repository=clone,
            folder=folder / "render",
            edge=edge,
            times=Times().scaled(SCALE),
            faults=drill.faults(),
            api_key=api_key,
            hook_key=hook_key,
            requirements=requirements,
        ) as cloud,
    ):
        table = rehearsed(root / "slipway.toml", edge.url, cloud.api_url, drill.settings)
        given = {"RENDER_DEPLOY_HOOK_URL": cloud.hook_url, "RENDER_API_KEY": api_key, **_secrets_of_checks(table)}
        path = folder / "slipway.toml"
        path.write_text(tomli_w.dumps(table), encoding="utf-8")
        endpoints = users_endpoints(parse(table))
        await cloud.first_deploy(baseline)
        yield World(baseline, candidate, clone, cloud, edge, path, given, endpoints)


def rehearsed(path: Path, url: str, api_url: str, settings: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Give the user's own configuration with the emulated cloud's URLs and shorter windows.

    Raises:
        ConfigError: the file is not there or not TOML.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path.name} cannot be read: {error}", next_step=f"mend {path.name}") from error
    table = {**table, **{name: {**table.get(name, {}), **values} for name, values in WINDOWS.items()}}
    for name, values in settings.items():
        table[name] = {**table[name], **values}
    table["release"] = {**table.get("release", {}), "targets": ["render"]}
    for other in set(TARGETS) - {"render"}:
        table.pop(other, None)
    table["render"] = {"url": url, "api_url": api_url}
    return table


def users_endpoints(config: Config) -> tuple[Endpoint, ...]:
    """Give what users call: the checks that only read, and `/version`."""
    reads = [check for check in config.checks if check.method == "GET" and not check.headers]
    return (*(Endpoint(check.path, status=check.status) for check in reads), Endpoint(VERSION.path))


def _secrets_of_checks(table: Mapping[str, Any]) -> dict[str, str]:
    """Give made-up values for the secrets that checks name: the real ones have no place in a rehearsal."""
    headers = [value for check in table.get("checks", []) for value in check.get("headers", {}).values()]
    return {name: secrets.token_hex(8) for value in headers for name in SECRET_IN_HEADER.findall(value)}
