"""`rehearse --keep`: both emulated platforms stay up until they are interrupted, to be talked to by hand."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
from pathlib import Path

from scripts.console import Console
from scripts.rehearsal.book.drill import Drill, shipped
from scripts.rehearsal.kit import Kit
from scripts.rehearsal.runner import PACKAGE
from scripts.rehearsal.world import World, build
from scripts.release import STAGES, Stage

PRIVATE = 0o600
KEPT = Drill("kept", "a good commit that is not shipped yet", shipped())


async def keep(root: Path, folder: Path, console: Console, kit: Kit | None) -> int:
    """Bring the old release up, say how to talk to everything, and wait for SIGINT or SIGTERM; exit 0."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with build(root, folder, KEPT, kit) as world:
        _write_secrets(world, folder / "secrets.env")
        _write_release(world, folder, kit.node_options if kit else "")
        console.result(render_guide(world, folder))
        await ended.wait()
        console.say("stopping everything that was started")
    return 0


def _write_secrets(world: World, path: Path) -> None:
    lines = [f"{name}={shlex.quote(value)}" for name, value in sorted(world.secrets.items())]
    path.touch(PRIVATE)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_release(world: World, folder: Path, node_options: str) -> None:
    """Write a script that does what the workflow does; its words name another commit than the last one."""
    run = f"{shlex.quote(sys.executable)} {shlex.quote(str(PACKAGE))}"
    place = f"--config {shlex.quote(str(world.config))} --state {shlex.quote(str(folder / 'state'))}"
    builds = {Stage.PLAN, Stage.DEPLOY} if len(world.sites) > 1 else set()
    word = ' --commit "${1:-$(git rev-parse HEAD)}"'
    built = f" --build {shlex.quote(str(folder / 'build'))}"
    commands = [
        f"{run} {stage} {place}{word if stage is Stage.PLAN else ''}{built if stage in builds else ''}"
        for stage in STAGES
    ]
    lines = [
        "#!/bin/sh",
        f"cd {shlex.quote(str(world.clone))} || exit 2",
        f"set -a; . {shlex.quote(str(folder / 'secrets.env'))}; set +a",
    ]
    if builds:
        lines.append(f"export NODE_OPTIONS={shlex.quote(node_options)}")
        config = f"--config {shlex.quote(str(world.config))}"
        lines.append(f"{run} build {config} --output {shlex.quote(str(folder / 'build'))}{word} || exit")
    lines += [" && ".join(commands), "code=$?", f'[ "$code" = 0 ] || {run} rollback {place}', 'exit "$code"']
    path = folder / "release.sh"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o700)


def render_guide(world: World, folder: Path) -> str:
    """Say where everything is, and what to do with it."""
    lines = [f"{site.name:<10} {site.edge.url}   API {site.cloud.api_url}" for site in world.sites]
    return "\n".join(
        [
            *lines,
            f"serves     {world.baseline[:7]}; {world.candidate[:7]} is ready to be shipped",
            f"repository {world.clone}: commit there what you like to see released",
            f"release    {folder / 'release.sh'} [COMMIT]",
            f"secrets    {folder / 'secrets.env'}, made up for this rehearsal",
            "end        Ctrl-C: everything stops, and the folder is removed",
        ]
    )
