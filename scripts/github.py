"""GitHub's REST API for one repository, asked with the token of a job. Facts: GitHub's REST API reference."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Never

from scripts.client import Answer, Client
from scripts.clock import Deadline
from scripts.errors import ConfigError, OutcomeUnknown, PlatformError, PlatformUnreachable
from scripts.platforms import hide
from scripts.redaction import Secret

API = "https://api.github.com"
API_VERSION = "2022-11-28"
TOO_MANY, SERVER_ERROR = 429, 500
SAID = 200  # characters of GitHub's own words that are told


class GitHub:
    """One repository; `api_url` as GITHUB_API_URL tells it, `repository` as OWNER/NAME."""

    def __init__(self, client: Client, token: Secret, repository: str, api_url: str = API) -> None:
        self._client = client
        self._token = token
        self._url = f"{api_url}/repos/{repository}"

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        deadline: Deadline,
        payload: object = None,
        fine: AbstractSet[int] = frozenset(),
    ) -> Answer:
        """Ask about the repository; `fine` are the statuses beside 2xx that the caller can read.

        Raises:
            ConfigError: the token may not.
            PlatformUnreachable: no answer within the deadline; OutcomeUnknown where something may have changed.
            PlatformError: it was refused.
        """
        headers = {
            "authorization": f"Bearer {self._token.reveal()}",
            "accept": "application/vnd.github+json",
            "x-github-api-version": API_VERSION,
        }
        name, url = f"GitHub, {what}", self._url + path
        answer = self._client.request(method, url, what=name, deadline=deadline, headers=headers, payload=payload)
        answer = hide([self._token], answer)
        if not 200 <= answer.status < 300 and answer.status not in fine:
            _refuse(answer, name, changes=method != "GET")
        return answer


def _refuse(answer: Answer, name: str, *, changes: bool) -> Never:
    body = answer.json()
    said = str(body.get("message", ""))[:SAID] if isinstance(body, dict) else ""
    what = f"{name}: answered {answer.status}" + (f" ({said})" if said else "")
    if answer.status in {401, 403}:
        raise ConfigError(what, means="The job's token has no such right.", next_step="look at the job's permissions")
    if answer.status >= SERVER_ERROR:
        raise OutcomeUnknown(what) if changes else PlatformUnreachable(what)
    raise PlatformUnreachable(what) if answer.status == TOO_MANY else PlatformError(what)
