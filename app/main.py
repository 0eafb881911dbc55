"""Put the service together: settings, state, routes, errors. `app.main:app` is what uvicorn and Vercel load."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import health, items
from app.health import Phase
from app.items import ItemStore
from app.problems import answer_in_problems
from app.settings import Settings

MAX_BODY_BYTES = 64 * 1024


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application; without settings it reads them from the environment, once."""
    app = FastAPI(
        title="Slipway reference service",
        version="1",
        lifespan=serve,
        # Behind a proxy a redirect from /path/ to /path would name http:// and the inner host.
        redirect_slashes=False,
        # Without a limit one request may fill the memory of the instance.
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.settings = settings or Settings.from_environment(os.environ)
    app.state.items = ItemStore()
    app.state.phase = Phase.STARTING
    app.include_router(health.router)
    app.include_router(items.router)
    answer_in_problems(app)
    return app


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[None]:
    """Be ready from the end of start-up until shutdown begins.

    A database pool or a cache client is opened before the service calls itself ready, and closed in `finally`.
    """
    app.state.phase = Phase.READY
    try:
        yield
    finally:
        app.state.phase = Phase.STOPPING


app = create_app()
