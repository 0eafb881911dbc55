"""Who this process is: which commit it runs, which deploy and which instance; `/version` tells it.

Read once, when the application is made. What the service is asked to do is in the other modules.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

COMMIT_VARIABLES = ("RENDER_GIT_COMMIT", "VERCEL_GIT_COMMIT_SHA", "SLIPWAY_COMMIT")

# Vercel sets no commit for a project without a connected repository, so its build leaves the commit beside the code.
# It goes before the variables: what was built before it was uploaded may be deployed from a checkout of another commit.
# The file is never in git, so where it exists it was made by the build of exactly this code.
BAKED_COMMIT = Path(__file__).with_name("baked_commit.txt")

FULL_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Identity:
    """Who this process is; `commit` is a full SHA, or None where nobody told, and so is `deploy`."""

    commit: str | None
    instance: str
    deploy: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], baked_commit: Path = BAKED_COMMIT) -> "Identity":
        """Read who we are; the first source that says anything about the commit is the one believed.

        Several workers of one Render instance share its RENDER_INSTANCE_ID; elsewhere each worker makes its own id.
        Render tells a process nothing about its deploy, so that id is Vercel's alone.
        """
        return cls(
            commit=_full_sha(_first_commit(environment, baked_commit)),
            instance=environment.get("RENDER_INSTANCE_ID") or uuid.uuid4().hex,
            deploy=environment.get("VERCEL_DEPLOYMENT_ID") or None,
        )


def _first_commit(environment: Mapping[str, str], baked_commit: Path) -> str:
    if baked_commit.is_file() and (value := baked_commit.read_text(errors="replace").strip()):
        return value
    return next((value for name in COMMIT_VARIABLES if (value := environment.get(name, "").strip())), "")


def _full_sha(value: str) -> str | None:
    # Half a SHA, or a branch, would be compared with the commit that was shipped, and taken for another release.
    return value.lower() if FULL_SHA.fullmatch(value.lower()) else None
