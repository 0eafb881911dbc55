"""A fast stand-in for the Vercel CLI: what `deploy`, `promote` and `rollback` ask the API, with the adapter's options.

The requests are those of the CLI 60.1.3, which the suite holds it against. Left out: its repetitions of what failed.
"""

import hashlib
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

from scripts.platforms.vercel_cli import Ended

EXPECTED = {"missing_files"}
BANNER = "Vercel CLI 60.1.3 (Node.js 20)\n"
MOVES = {"promote": "v10", "rollback": "v9"}


class RefusedError(Exception):
    """The API refused, in its own words."""


@dataclass(frozen=True)
class StandIn:
    """The tool that the adapter is given."""

    api_url: str

    def __call__(self, words: Sequence[str], folder: Path, added: Mapping[str, str], limit_s: float) -> Ended:
        """Run a command, as the CLI would be run."""
        headers = {"authorization": f"Bearer {added['VERCEL_TOKEN']}"}
        with httpx.Client(base_url=self.api_url, headers=headers, trust_env=False) as client:
            run = _Run(client, monotonic() + limit_s, added["VERCEL_PROJECT_ID"], list(words), folder)
            try:
                return Ended(0, run.deploy() if words[0] == "deploy" else run.move(), BANNER)
            except RefusedError as error:
                return Ended(1, "", f"{BANNER}Error: {error}\n")
            except LookupError:
                return Ended(1, "", f"{BANNER}Error: Unexpected answer\n")
            except (httpx.TimeoutException, TimeoutError):
                return Ended(None, "", BANNER)
            except httpx.HTTPError as error:
                return Ended(1, "", f"{BANNER}Error: {type(error).__name__}\n")


@dataclass(frozen=True)
class _Run:
    client: httpx.Client
    until_s: float
    project: str
    words: list[str]
    folder: Path

    def deploy(self) -> str:
        team = self._scope()
        self._ask("GET", f"/v9/projects/{self.project}", params=team)
        archive = _archive(self.folder)
        digest = hashlib.sha1(archive, usedforsecurity=False).hexdigest()
        meta = [self.words[place + 1] for place, word in enumerate(self.words) if word == "--meta"]
        given = {
            "params": {**team, "skipAutoDetectionConfirmation": "1", "prebuilt": "1"},
            "json": {
                "name": "rehearsal",
                "project": self.project,
                "meta": dict(pair.split("=", 1) for pair in meta),
                "target": "production" if "--prod" in self.words else None,
                "source": "cli",
                "autoAssignCustomDomains": "--skip-domain" not in self.words,
                "version": 2,
                "files": [{"file": ".vercel/source.tgz.part1", "size": len(archive), "mode": 438, "sha": digest}],
            },
        }
        created = self._ask("POST", "/v13/deployments", **given)
        if "error" in created:
            sums = {"x-now-digest": digest, "x-now-size": str(len(archive))}
            self._ask("POST", "/v2/files", params=team, headers=sums, content=archive)
            created = self._ask("POST", "/v13/deployments", **given)
        return f"https://{created['url']}"

    def move(self) -> str:
        verb, deployment_id = self.words[:2]
        team = self._scope()
        self._ask("GET", f"/v13/deployments/{deployment_id}", params=team)
        self._ask("GET", f"/v9/projects/{self.project}", params=team)
        path = f"/{MOVES[verb]}/projects/{self.project}/{verb}/{deployment_id}"
        self._ask("POST", path, params=team, json={})
        return ""

    def _scope(self) -> dict[str, str]:
        slug = self.words[self.words.index("--scope") + 1]
        self._ask("GET", "/v2/user")
        teams = self._ask("GET", "/v1/teams")["teams"]
        return {"teamId": next(team["id"] for team in teams if team["slug"] == slug)}

    def _ask(self, method: str, path: str, **given: Any) -> Any:
        if (left_s := self.until_s - monotonic()) <= 0:
            raise TimeoutError
        answer = self.client.request(method, path, timeout=left_s, **given)
        try:
            body = answer.json()
            refused = answer.is_error and body["error"]["code"] not in EXPECTED
        except (ValueError, LookupError, TypeError) as error:
            raise RefusedError(f"Unexpected answer ({answer.status_code})") from error
        if refused:
            raise RefusedError(f"{body['error']['message']} ({answer.status_code})")
        return body


def _archive(folder: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder / ".vercel", ".vercel")
    return packed.getvalue()
