"""The three commands of the Vercel CLI that change something: their words, their environment, and how one run is told.

Facts: the CLI's code. What a command was to do, the API is asked afterwards.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from scripts.config import VercelSection
from scripts.platforms.vercel_answers import COMMIT, SIZE
from scripts.platforms.vercel_api import TOKEN
from scripts.platforms.vercel_cli import Ended
from scripts.redaction import Redactor, Secret
from scripts.release import Sha

DEPLOY_S = 300  # seconds that the CLI may take to upload and to create a deployment
MOVE_S = 60  # seconds that it may take to ask for a promotion or a rollback
LAST_LINES = 5
LINE = 200  # characters

Tool = Callable[[Sequence[str], Path, Mapping[str, str], float], Ended]
"""Run the CLI: its words, the folder, what is added to its environment, the seconds it may take."""


class Built(Protocol):
    """What was built from a commit, to be deployed as it is."""

    @property
    def archive_bytes(self) -> int:
        """Give its size."""
        ...

    def unpack(self, into: Path) -> None:
        """Write its files."""
        ...


class Commands:
    """The CLI with the credentials of one project, which are in its environment and nowhere else."""

    def __init__(self, tool: Tool, secrets: Mapping[str, Secret], settings: VercelSection) -> None:
        self._tool = tool
        self._token = secrets[TOKEN]
        self._redact = Redactor(secrets.values())
        self._settings = settings

    def deploy(self, built: Built, commit: Sha, limit_s: float) -> Ended:
        """Upload what was built as a production deployment that no domain points to.

        With `--no-wait` the CLI ends once the deployment is created. Otherwise it would wait for its end and for
        domains that nobody assigns, and be wrong about both.
        """
        meta = (f"{COMMIT}={commit}", f"{SIZE}={built.archive_bytes}")
        words = ["deploy", "--prebuilt", "--prod", "--skip-domain", "--archive=tgz", "--no-wait", "--yes"]
        with tempfile.TemporaryDirectory(prefix="slipway-deploy-", ignore_cleanup_errors=True) as folder:
            built.unpack(Path(folder))
            return self._run([*words, *(part for pair in meta for part in ("--meta", pair))], folder, limit_s, DEPLOY_S)

    def move(self, verb: str, deployment_id: str, limit_s: float) -> Ended:
        """Ask for a promotion or a rollback to a deployment.

        With `--timeout=0` the CLI ends once it has asked; otherwise it would poll, for ever in a rolling release.
        `--yes` would build a preview anew, so a preview never comes here.
        """
        with tempfile.TemporaryDirectory(prefix="slipway-move-", ignore_cleanup_errors=True) as folder:
            return self._run([verb, deployment_id, "--yes", "--timeout=0"], folder, limit_s, MOVE_S)

    def tell(self, ended: Ended) -> str:
        """Say how a run ended, with its last lines, for a person."""
        how = "was killed at its limit" if ended.exit_code is None else f"ended with exit code {ended.exit_code}"
        lines = (line.strip().removeprefix("> ") for line in _plain(self._redact(ended.stderr)).splitlines())
        once = dict.fromkeys(line for line in lines if line and not line.startswith("Vercel CLI "))
        said = [line[:LINE] for line in once][-LAST_LINES:]
        return f"the Vercel CLI {how}" + (f": {' / '.join(said)}" if said else " and said nothing")

    def _run(self, words: Sequence[str], folder: str, limit_s: float, most_s: float) -> Ended:
        # Without --scope promote and rollback look in the token's own team: VERCEL_ORG_ID is for deploy only.
        credentials = {
            TOKEN: self._token.reveal(),
            "VERCEL_ORG_ID": self._settings.org_id,
            "VERCEL_PROJECT_ID": self._settings.project_id,
        }
        command = [*words, "--scope", self._settings.team]
        return self._tool(command, Path(folder), credentials, min(limit_s, most_s))


def printed_host(ended: Ended) -> str:
    """Give the host of the deployment that the CLI printed; empty if it printed none."""
    found = re.findall(r"https?://([A-Za-z0-9.-]+(?::\d+)?)", _plain(ended.stdout))
    return found[-1] if found else ""


def _plain(text: str) -> str:
    """Give a text without what moves a cursor or colours."""
    return re.sub(r"[^\n\x20-\x7e\xa0-\uffff]", "", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))
