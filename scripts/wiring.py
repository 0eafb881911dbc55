"""From arguments, environment and slipway.toml to what a stage gets: targets, adapters, secrets, the release itself."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scripts.artifact import read_artifact
from scripts.checkout import Checkout
from scripts.client import Client
from scripts.clock import SystemClock
from scripts.config import Config, VercelSection, load
from scripts.console import Console
from scripts.errors import UsageError
from scripts.journal import Journal
from scripts.platforms import render, vercel
from scripts.platforms.render import Render
from scripts.platforms.vercel import Vercel, bypass_headers
from scripts.platforms.vercel_cli import cli_tool
from scripts.probe import Witness
from scripts.redaction import Secret, read_secrets
from scripts.release import Release, Sha, short
from scripts.stage import Ports, Target

Environment = Mapping[str, str]
WEBHOOK = "SLIPWAY_WEBHOOK_URL"
GITHUB_TOKEN = "GITHUB_TOKEN"
CLI = Path(__file__).resolve().parents[1] / ".github" / "vercel-cli"


def configure(arguments: argparse.Namespace, environment: Environment) -> tuple[Config, dict[str, Secret]]:
    """Read slipway.toml and the secrets that the verb needs; `doctor` tells itself which are missing.

    Raises:
        ConfigError: a fault in the file, or a secret that is missing.
    """
    config = _with_targets(load(arguments.config), arguments, environment)
    if arguments.verb == "report":
        return config, read_secrets(environment, {}, {WEBHOOK: "where a rollback is told"})
    required = dict.fromkeys(config.secret_names(), "a check's header in slipway.toml names it")
    optional: dict[str, str] = {}
    for name, platform in (("render", render), ("vercel", vercel)):
        if name in config.release.targets:
            required |= platform.REQUIRED
            optional |= platform.OPTIONAL
    if arguments.verb == "doctor":
        return config, read_secrets(environment, {}, {**required, **optional, GITHUB_TOKEN: "the job's own token"})
    return config, read_secrets(environment, required, optional)


def _with_targets(config: Config, arguments: argparse.Namespace, environment: Environment) -> Config:
    """Give the configuration for what is released here, or for the one target that a rollback by hand names."""
    if environment.get("SLIPWAY_TARGETS", "").strip():
        config = config.with_targets(environment["SLIPWAY_TARGETS"])
    named = getattr(arguments, "target", "all")
    if named == "all":
        return config
    if named not in config.release.targets:
        raise UsageError(
            f"--target {named} is not released: the targets are {', '.join(config.release.targets)}",
            means="Nothing was changed.",
            next_step="name one of them, or all",
        )
    return config.with_targets(named, "--target")


@dataclass(frozen=True)
class Given:
    """What one call of the command line brings."""

    arguments: argparse.Namespace
    environment: Environment
    config: Config
    secrets: Mapping[str, Secret]
    console: Console
    client: Client


def wire(given: Given) -> Ports:
    """Give a stage what it may touch.

    Raises:
        UsageError: what is to be staged on Vercel was not built, or from another commit.
    """
    clock = SystemClock()
    checkout = Checkout(Path.cwd())
    artifact_bytes = 0
    if given.arguments.verb == "plan" and "vercel" in given.config.release.targets:
        commit = commit_of(given.arguments, given.environment, checkout)
        artifact_bytes = read_artifact(given.arguments.build, commit).archive_bytes
    return Ports(
        config=given.config,
        targets=tuple(_target(given, name) for name in given.config.release.targets),
        journal=Journal(given.arguments.state, clock, given.console.redact),
        clock=clock,
        console=given.console,
        checkout=checkout,
        folder=given.arguments.state,
        artifact_bytes=artifact_bytes,
    )


def _target(given: Given, name: str) -> Target:
    """Give one target, with the adapter of its platform and what asks its service."""
    config, secrets = given.config, given.secrets
    checks, rate_per_s = config.checks_with(secrets), config.probe.rate_per_s
    if name == "vercel" and config.vercel is not None:
        witness = Witness(given.client, SystemClock(), checks, rate_per_s, headers=bypass_headers(secrets))
        return Target(name, _vercel(given, config.vercel), config.vercel.url, 1, witness)
    assert config.render is not None, "the configuration has a section for each target"  # noqa: S101
    witness = Witness(given.client, SystemClock(), checks, rate_per_s)
    platform = Render(given.client, secrets, config.render.api_url)
    return Target(name, platform, config.render.url, config.render.instances, witness)


def _vercel(given: Given, settings: VercelSection) -> Vercel:
    built = getattr(given.arguments, "build", Path("build"))
    tool = cli_tool(CLI, given.environment, settings.api_url)
    return Vercel(given.client, given.secrets, settings, tool, functools.partial(read_artifact, built))


def lost_release(arguments: argparse.Namespace, environment: Environment, ports: Ports) -> Release | None:
    """Give what a lost run was to ship; a second attempt's cannot be told from the first one's, so then nothing."""
    commit = arguments.commit or environment.get("GITHUB_SHA")
    known = environment.get("SLIPWAY_RUN_STARTED", "").strip() and commit
    first = environment.get("GITHUB_RUN_ATTEMPT", "1") == "1"
    return planned_release(arguments, environment, ports) if known and first else None


def planned_release(arguments: argparse.Namespace, environment: Environment, ports: Ports) -> Release:
    """Give what is to be released, by which run, and since when it was asked for."""
    commit = commit_of(arguments, environment, ports.checkout)
    run = environment.get("GITHUB_RUN_ID")
    run_id = f"{run}-{environment.get('GITHUB_RUN_ATTEMPT', '1')}" if run else f"local-{os.getpid()}"
    started_at = read_time(environment.get("SLIPWAY_RUN_STARTED", "")) or datetime.now(UTC)
    return Release(commit, run_id, started_at, ports.names, ports.config.release.together)


def commit_of(arguments: argparse.Namespace, environment: Environment, checkout: Checkout) -> Sha:
    """Give the commit that was named, by the command line or by GitHub; else the checkout's own.

    Raises:
        UsageError: there is none of that name, or a workflow run is to ship one that is not on its branch.
    """
    refuse_other_branch(environment)
    head = environment.get("GITHUB_SHA")
    commit = checkout.resolve(getattr(arguments, "commit", None) or head or "HEAD")
    if head and commit != head and not checkout.descends(checkout.resolve(head), commit):
        raise UsageError(
            f"{short(commit)} is not on {environment.get('GITHUB_REF_NAME') or short(Sha(head))}",
            means="Only what was merged is released, so nothing was started.",
            next_step="merge it, or name a commit that `git log main` shows",
        )
    return commit


def refuse_other_branch(environment: Environment) -> None:
    """Refuse a run that a person started on another branch than main: GitHub's form offers all of them.

    Raises:
        UsageError: it is one.
    """
    branch = environment.get("GITHUB_REF_NAME", "")
    if environment.get("GITHUB_EVENT_NAME") == "workflow_dispatch" and branch != "main":
        raise UsageError(
            f"this run was started on {branch or 'no branch'}, and releases and rollbacks are made from main",
            means="Nothing was started.",
            next_step="start it again, with `Use workflow from` set to main",
        )


def read_time(text: str) -> datetime | None:
    """Read the moment a run was asked for: GitHub gives seconds since 1970 in a push event, ISO 8601 elsewhere."""
    text = text.strip()
    if not text:
        return None
    try:
        moment = datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SLIPWAY_RUN_STARTED is not a time: {text[:40]!r}", means="Nothing was started.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
