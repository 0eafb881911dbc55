"""Plays scenes: a tiny repository on its platforms, a machine for its runs, and no network but the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.package_index import PackageIndex, read_hashes, read_locks
from tests.workflows.act import Machine
from tests.workflows.cut_off import play_cut_off
from tests.workflows.pushes import RUNTIME_LOCK
from tests.workflows.tiny_on_both import Both, tiny_on_both, with_node
from tests.workflows.tiny_release import Tiny, tiny_release


def play(machine: Machine, scene: Callable[[Tiny, Machine], Awaitable[None]]) -> None:
    """Play a scene with the tiny repository on Render."""

    async def whole() -> None:
        with PackageIndex() as index:
            async with tiny_release(machine.folder.parent) as tiny:
                await scene(tiny, machine.reaching(index.url))

    play_cut_off(lambda: asyncio.run(whole()))


def play_on_both(machine: Machine, wheels: Path, scene: Callable[[Both, Machine], Awaitable[None]]) -> None:
    """Play a scene with the tiny repository on both platforms."""

    async def whole() -> None:
        runtime = read_hashes([RUNTIME_LOCK.read_text(encoding="utf-8")])
        with PackageIndex(wheels, packages={**read_locks(), **runtime}) as index:
            reaching = with_node(machine.reaching(index.url))
            async with tiny_on_both(machine.folder.parent, reaching.environment) as both:
                await scene(both, reaching)

    play_cut_off(lambda: asyncio.run(whole()))
