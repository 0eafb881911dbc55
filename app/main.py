"""Put the service together: settings, state, routes, errors. `app.main:app` is what uvicorn and Vercel load."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from app import baskets, health, items, keys, metrics, quotes, usage, webhooks
from app.checks import COLD_LIMIT_S, LIMIT_S, Check, Checks
from app.counters import Counters
from app.database import Database
from app.envelope import Envelope
from app.identity import Identity
from app.lifecycle import Lifecycle
from app.limits import LimitExceeded, answer_limit_exceeded
from app.logs import DELAY_S, AccessLog
from app.metrics import Metrics
from app.problems import answer_in_problems
from app.rates import Rates
from app.reports import Reports
from app.settings import Settings

PAGES = ("/docs", "/redoc")
PARTS = (health, items, baskets, quotes, usage, keys, webhooks, metrics)


class Service(FastAPI):
    """A FastAPI application in an envelope: a layer outside of all others, those that FastAPI adds itself too."""

    enclose: Callable[[ASGIApp], ASGIApp]

    def build_middleware_stack(self) -> ASGIApp:
        """Make what a request passes through, from the outside in."""
        return self.enclose(super().build_middleware_stack())


def create_app(
    settings: Settings | None = None, identity: Identity | None = None, access: AccessLog | None = None
) -> Service:
    """Make the application; what is not given is read from the environment, once.

    Raises:
        SettingsError: the environment is wrong.
    """
    settings = settings or Settings.from_environment()
    identity = identity or Identity.from_environment(os.environ)
    reports = Reports(settings, identity)  # before the application is made, which it looks into
    app = Service(
        title="Slipway reference service",
        version="1",
        lifespan=serve,
        # Behind a proxy a redirect from /path/ to /path would name http:// and the inner host.
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.identity = identity
    app.state.database = database = Database(settings)
    app.state.counters = counters = Counters(settings)
    app.state.rates = rates = Rates(settings)
    limit_s = COLD_LIMIT_S if settings.serverless else LIMIT_S
    app.state.checks = checks = Checks(
        [
            Check(database.name, database.check, limit_s=limit_s),
            Check(counters.name, counters.check, required=settings.redis_required, limit_s=limit_s),
        ]
    )
    app.state.lifecycle = Lifecycle([reports, database, counters, rates], checks.forget)
    app.state.access = access = access or AccessLog(identity.commit, delay_s=0 if settings.vercel else DELAY_S)
    app.state.metrics = told = Metrics(settings.metrics_token) if settings.metrics_token else None
    app.enclose = lambda inner: Envelope(
        inner,
        limit_s=settings.request_limit_s,
        most_bytes=settings.max_body_bytes,
        tell=told.after(access.tell) if told else access.tell,
        pages=PAGES,
    )
    for part in PARTS:
        app.include_router(part.router)
    app.state.routes = [route for part in PARTS for route in part.router.routes]
    app.exception_handler(LimitExceeded)(answer_limit_exceeded)
    _allow_origins(app, settings)
    answer_in_problems(app)
    return app


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[None]:
    """Hold what the service needs from its start to its end."""
    lifecycle: Lifecycle = app.state.lifecycle
    access: AccessLog = app.state.access
    async with lifecycle.running():
        yield
    access.flush()


def _allow_origins(app: FastAPI, settings: Settings) -> None:
    if settings.cors_origins:  # without one the layer would cost every request, and allow nothing
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=settings.cors_credentials,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "X-Request-ID"),
            expose_headers=("X-Request-ID", "Location", "RateLimit", "RateLimit-Policy", "Retry-After"),
        )


app = create_app()
