"""Runs blocking work beside the loop, to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def to_the_end[**P, T](work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run it in a thread; a cancelled caller waits for its end, or its files would go while it writes them."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
