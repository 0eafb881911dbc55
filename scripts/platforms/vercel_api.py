"""One project on Vercel as its REST API tells it, and the errors of our tree for every refusal of the API."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Never
from urllib.parse import quote, urlencode, urlsplit

from scripts.client import Answer, Client, expect_object
from scripts.clock import Deadline
from scripts.config import VercelSection
from scripts.errors import ConfigError, OutcomeUnknown, PlatformError, PlatformUnreachable
from scripts.platforms import hide
from scripts.platforms.vercel_answers import (
    SAID,
    Project,
    Row,
    read_alias,
    read_failed_domains,
    read_project,
    read_rows,
)
from scripts.redaction import Secret

TOKEN = "VERCEL_TOKEN"
PAGE = 100  # the largest page; one is enough to know what serves and what served before
NOT_FOUND = 404
TOO_MANY = 429
SERVER_ERROR = 500


class VercelApi:
    """The requests of our own; promotions and rollbacks are asked for by the CLI."""

    def __init__(self, client: Client, token: Secret, settings: VercelSection) -> None:
        self._client = client
        self._token = token
        self._url = settings.api_url
        self._project = settings.project_id
        self._team = {"teamId": settings.org_id} if settings.org_id.startswith("team_") else {}
        self._domain = quote(urlsplit(settings.url).netloc, safe="")

    def fetch_project(self, deadline: Deadline) -> Project:
        """Read how the project is set.

        Raises:
            ConfigError: the token may not, or there is no such project.
        """
        what = "reading the project"
        answer = self._ask("GET", f"/v9/projects/{self._project}", what, deadline, fine={NOT_FOUND})
        if answer.status == NOT_FOUND:
            raise ConfigError(
                f"Vercel, {what}: there is no project {self._project} for this token",
                means="Nothing was changed.",
                next_step="copy vercel.project_id and vercel.org_id from the project's settings",
            )
        return read_project(expect_object(answer, f"Vercel, {what}"))

    def fetch_rows(self, deadline: Deadline) -> tuple[Row, ...]:
        """Read the newest production deployments, staged ones too."""
        query = {"projectId": self._project, "target": "production", "limit": str(PAGE)}
        return read_rows(self._ask("GET", "/v6/deployments", "reading the deployments", deadline, query).json())

    def fetch_serving_id(self, deadline: Deadline) -> str | None:
        """Read which deployment the production domain points to; None where it points to none of this project."""
        what, query = "reading the production domain", {"projectId": self._project}
        answer = self._ask("GET", f"/v4/aliases/{self._domain}", what, deadline, query, fine={NOT_FOUND})
        return None if answer.status == NOT_FOUND else read_alias(expect_object(answer, f"Vercel, {what}"))

    def find_row(self, name: str, deadline: Deadline) -> Row | None:
        """Read a deployment by its id or its host; None where there is none."""
        what = "reading the deployment"
        answer = self._ask("GET", f"/v13/deployments/{quote(name, safe='')}", what, deadline, fine={NOT_FOUND})
        return None if answer.status == NOT_FOUND else expect_object(answer, f"Vercel, {what}")

    def fetch_row(self, deployment_id: str, deadline: Deadline) -> Row:
        """Read a deployment by its id.

        Raises:
            PlatformError: there is none.
        """
        row = self.find_row(deployment_id, deadline)
        if row is None:
            raise PlatformError(f"Vercel has no deployment {deployment_id}: it was deleted, or is of another project")
        return row

    def fetch_failed_domains(self, verb: str, deadline: Deadline) -> str:
        """Read which domains the last promotion or rollback could not move; empty where that is not told."""
        path, query = f"/v9/projects/{self._project}/{verb}/aliases", {"failedOnly": "true", "limit": "20"}
        try:
            return read_failed_domains(self._ask("GET", path, "reading the failed domains", deadline, query).json())
        except (PlatformError, ConfigError):  # what failed is known already; this is only more about it
            return ""

    def cancel(self, deployment_id: str, deadline: Deadline) -> None:
        """Ask for a deployment to be cancelled; one that has ended meanwhile is refused with 400, which is fine."""
        path = f"/v12/deployments/{quote(deployment_id, safe='')}/cancel"
        self._ask("PATCH", path, "cancelling the deployment", deadline, fine={400})

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        deadline: Deadline,
        query: dict[str, str] | None = None,
        fine: AbstractSet[int] = frozenset(),
    ) -> Answer:
        asked = urlencode({**(query or {}), **self._team})
        url = f"{self._url}{path}" + (f"?{asked}" if asked else "")
        headers = {"authorization": f"Bearer {self._token.reveal()}", "accept": "application/json"}
        answer = self._client.request(method, url, what=f"Vercel, {what}", deadline=deadline, headers=headers)
        answer = hide([self._token], answer)
        if answer.status not in {200, *fine}:
            _refuse(answer, f"Vercel, {what}", changes=method != "GET")
        return answer


def _refuse(answer: Answer, name: str, *, changes: bool) -> Never:
    what = f"{name}: answered {answer.status}" + _words(answer)
    if answer.status in {401, 403}:
        raise ConfigError(
            what,
            means="The token is wrong, expired, or has no access to the team.",
            next_step=f"set {TOKEN} to a valid token for the team of vercel.org_id",
        )
    if answer.status >= SERVER_ERROR:
        raise OutcomeUnknown(what) if changes else PlatformUnreachable(what)
    raise PlatformUnreachable(what) if answer.status == TOO_MANY else PlatformError(what)


def _words(answer: Answer) -> str:
    body = answer.json()
    error = body.get("error") if isinstance(body, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    return f" ({said[:SAID]})" if isinstance(said, str) and said else ""
