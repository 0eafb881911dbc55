"""What Prometheus reads at `/metrics`, where METRICS_TOKEN is set: how many requests came, and how long each took.

Several workers write to files that one of them adds up: https://prometheus.github.io/client_python/multiprocess/. The
library is imported where the setting asks for it, and not otherwise.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.admin import is_token, unauthorized

if TYPE_CHECKING:
    from pydantic import SecretStr

FILES = "PROMETHEUS_MULTIPROC_DIR"  # where the workers write; the library reads it when it is imported
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0)
Tell = Callable[[str, str | None, int, float, str], None]  # method, route, status, seconds, request id


class Metrics:
    """The metrics of one process, and how to write all of them down."""

    def __init__(self, token: "SecretStr") -> None:
        from prometheus_client import CollectorRegistry, Histogram

        self.token = token
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ("method", "route", "status"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )

    def after(self, tell: Tell) -> Tell:
        """Give what tells a request to `tell`, and then counts it."""

        def tell_and_count(method: str, route: str | None, status: int, seconds: float, request_id: str) -> None:
            tell(method, route, status, seconds, request_id)
            self._seconds.labels(method, route or "none", status).observe(seconds)

        return tell_and_count

    def write(self) -> tuple[bytes, str]:
        """Give the text of all workers, and its media type."""
        import os

        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = self._registry
        if FILES in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def write_metrics(request: Request, sent: Bearer) -> Response:
    """Write all metrics, for who has the token."""
    metrics: Metrics | None = request.app.state.metrics
    if metrics is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "This service has no metrics: METRICS_TOKEN is not set.")
    if sent is None or not is_token(sent.credentials, metrics.token):
        raise unauthorized("This needs the metrics token: Authorization: Bearer …")
    text, media_type = metrics.write()
    return Response(text, media_type=media_type)
