"""The verb `rehearse`: play drills, and say for each what was expected and what was seen."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from scripts.console import Console
from scripts.errors import UsageError
from scripts.rehearsal import chaos_command
from scripts.rehearsal.book import GROUPS, choose
from scripts.rehearsal.book.drill import BOTH, Drill
from scripts.rehearsal.chaos_real import draw_drill, render_real
from scripts.rehearsal.clone import differs_from_head
from scripts.rehearsal.commits import git
from scripts.rehearsal.figures import as_json, render_markdown, render_table
from scripts.rehearsal.keep import keep
from scripts.rehearsal.kit import lacks
from scripts.rehearsal.play import Played
from scripts.rehearsal.playing import Lines, Show, open_kit, play_all
from scripts.report import write_whole
from scripts.summary import append_summary

ROOT = Path(__file__).resolve().parents[2]


def run(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Play the drills that were asked for; exit 0 only when every one ended as its book states.

    Raises:
        UsageError: an unknown drill, nothing to rehearse with, or no place for the report.
    """
    console = Console()
    if arguments.chaos and not arguments.real:
        return chaos_command.run(arguments, environment)
    if arguments.list:
        console.result(render_list())
        return 0
    if min(arguments.repeat, arguments.jobs) < 1 or shutil.which("git") is None:
        few = "--repeat and --jobs must be at least 1"
        what = few if min(arguments.repeat, arguments.jobs) < 1 else "git is not on the PATH"
        raise UsageError(what, means="Nothing was started.", next_step="python3 -m scripts rehearse --help")
    targets = choose_targets(arguments.targets, environment, console)
    if arguments.keep:
        return asyncio.run(_keep(targets, environment, console))
    check_place(arguments.report)
    if arguments.chaos:
        return _play_chaos(arguments, targets, environment, console)
    drills = [drill for drill in choose(arguments.drill, targets) for _ in range(arguments.repeat)]
    repeat = f" --repeat {arguments.repeat}" if arguments.repeat > 1 else ""
    words = f"--drill {arguments.drill}{repeat}"
    cli_version, played = _rehearse(drills, targets, environment, console, arguments, words)
    ok = all(not row.wrong for row in played)
    if arguments.json:
        told = {"version": 1, "targets": list(targets), "vercel_cli": cli_version}
        rows = [row.as_json() for row in played]
        console.result({**told, "ok": ok, "figures": as_json(played), "drills": rows})
    else:
        console.result(render_table(played))
    append_summary(environment, render_markdown(played))
    return 0 if ok else 10


def _play_chaos(
    arguments: argparse.Namespace, targets: Sequence[str], environment: Mapping[str, str], console: Console
) -> int:
    seed = arguments.seed or secrets.token_hex(4)
    drills = [draw_drill(f"{seed}/{arguments.first + number}") for number in range(arguments.runs)]
    drills = [replace(drill, everywhere="vercel" in targets) for drill in drills]
    words = f"--chaos --real --runs {arguments.runs} --seed {seed} --first {arguments.first}"
    _, played = _rehearse(drills, targets, environment, console, arguments, words)
    text = render_real(seed, played)
    told = {"version": 1, "seed": seed, "first": arguments.first, "runs": [row.as_json() for row in played]}
    console.result({**told, "ok": not any(row.wrong for row in played)} if arguments.json else text)
    append_summary(environment, f"## Chaos\n\n```\n{text}\n```\n")
    return 10 if any(row.wrong for row in played) else 0


def _rehearse(
    drills: Sequence[Drill],
    targets: Sequence[str],
    environment: Mapping[str, str],
    console: Console,
    arguments: argparse.Namespace,
    words: str,
) -> tuple[str | None, list[Played]]:
    """Play them, and write the page that was asked for."""
    if asyncio.run(differs_from_head(ROOT)):
        console.warn("uncommitted changes of the service are not rehearsed: a rehearsal ships commits")
    show = choose_show(len(drills), environment, console, plain=arguments.plain)
    cli_version, played = asyncio.run(play_all(drills, targets, ROOT, environment, show, arguments.jobs))
    if arguments.report:
        from scripts.rehearsal.page import About, render_page  # the plotting library takes a second to import

        jobs = f" --jobs {arguments.jobs}" if arguments.jobs > 1 else ""
        command = f"python3 -m scripts rehearse --targets {','.join(targets)} {words}{jobs}"
        head = asyncio.run(git("-C", str(ROOT), "rev-parse", "HEAD")).strip()
        write_whole(arguments.report, render_page(played, About(head, command, datetime.now(UTC))))
        console.say(f"the page is {arguments.report}")
    return cli_version, played


def choose_show(total: int, environment: Mapping[str, str], console: Console, *, plain: bool) -> Show:
    """Give a live screen in a terminal, and lines elsewhere, in CI, and where they were asked for."""
    terminal = sys.stderr.isatty() and environment.get("TERM", "dumb") != "dumb" and not environment.get("CI")
    if plain or not terminal:
        return Lines(console)
    from scripts.rehearsal.screen import Screen

    return Screen(total, sys.stderr)


def check_place(path: Path | None) -> None:
    """See that a file can be written, before half an hour is spent on what goes into it.

    Raises:
        UsageError: it cannot.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    except OSError as error:
        raise UsageError(
            f"--report {path} cannot be written: {error.strerror}",
            means="Nothing was started.",
            next_step="name a file in a folder of yours: --report rehearsal.html",
        ) from error


def render_list() -> str:
    """Name the drills, by what is at fault."""
    width = max(len(drill.name) for rows in GROUPS.values() for drill in rows)
    lines = []
    for name, rows in GROUPS.items():
        lines += ["", f"{name} ({len(rows)})", *(f"  {drill.name:<{width}}  {drill.what}" for drill in rows)]
    return "\n".join(lines[1:])


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


async def _keep(targets: Sequence[str], environment: Mapping[str, str], console: Console) -> int:
    with tempfile.TemporaryDirectory(prefix="slipway-") as name:
        folder = Path(name)
        (folder / "kit").mkdir()
        kit = await open_kit(ROOT, folder / "kit", environment, console) if "vercel" in targets else None
        return await keep(ROOT, folder, console, kit)
