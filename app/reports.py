"""Reports of what went wrong to Sentry, where SENTRY_DSN is set: with the commit, and without what a client sent.

No headers, cookies, queries, bodies or local variables: each of them may hold a key. What is left is the route, the
error and where in the code it was. https://docs.sentry.io/platforms/python/data-management/data-collected/
"""

import asyncio
from typing import Any

from app.identity import Identity
from app.settings import Settings, SettingsError

FLUSH_LIMIT_S = 2.0
OFF: Any = {"mode": "off"}


class Reports:
    """The client of Sentry: a resource of the lifecycle, which sends what is left at the end."""

    name = "reports"

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._client: Any = None
        if settings.sentry_dsn:
            self._client = start(settings.sentry_dsn.get_secret_value(), identity)

    async def open(self) -> None:
        """Do nothing: what fails before the start is over is to be reported too."""

    async def close(self) -> None:
        """Send what is left."""
        if self._client:
            await asyncio.to_thread(self._client.flush, FLUSH_LIMIT_S)


def start(dsn: str, identity: Identity) -> Any:
    """Start to report; give the client.

    Raises:
        SettingsError: the DSN is none.
    """
    import sentry_sdk
    from sentry_sdk.utils import BadDsn

    try:
        sentry_sdk.init(
            dsn,
            release=identity.commit,
            server_name=identity.instance,
            max_breadcrumbs=0,  # they hold URLs and log lines
            trace_propagation_targets=[],  # what we call is to know nothing of this
            data_collection={
                "user_info": False,
                "cookies": OFF,
                "http_headers": {"request": OFF},
                "http_bodies": [],
                "url_query_params": OFF,
                "database_query_data": False,
                "stack_frame_variables": False,
            },
        )
    except BadDsn:
        raise SettingsError("The service cannot start:\n  SENTRY_DSN: it is no DSN: https://…@…/…") from None
    return sentry_sdk.get_client()
