"""Migrations that come with a release: which, and whether anything runs them before its code serves.

Render runs them by `preDeployCommand`, which its free plan does not have; Vercel has nothing of the kind. The release
path has no YAML library, so render.yaml is searched for the line of that key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scripts.checkout import Checkout
from scripts.release import Sha

PRE_DEPLOY = re.compile(r"^\s+preDeployCommand:\s+[^\s#]", re.MULTILINE)
MIGRATION = re.compile(r"(?!__)[^/]+\.(?:py|sql)")


def warn_of_pending(
    checkout: Checkout, folder: str, *, serving: Sha | None, candidate: Sha, first: bool, targets: Iterable[str]
) -> str:
    """Say what is to be done before this release; empty where there is nothing, or the deploy does it.

    `serving` is the commit that serves now, where it is known; on a `first` release nothing serves, and no migration
    has run.
    """
    if not folder or (serving is None and not first) or _deploy_runs_them(checkout, candidate, targets):
        return ""
    before = frozenset[str]() if serving is None else checkout.list_files(serving, folder)
    after = checkout.list_files(candidate, folder)
    if before is None or after is None:
        return ""
    pending = sorted(name for name in after - before if MIGRATION.fullmatch(name))
    if not pending:
        return ""
    several = f"{len(pending)} migrations come" if len(pending) > 1 else "a migration comes"
    return (
        f"{several} with this commit ({', '.join(pending)}), and no deploy runs "
        f"{'them' if len(pending) > 1 else 'it'}: unless that is done, the candidate will not be ready; "
        "with DATABASE_URL set: python -m app.migrate"
    )


def _deploy_runs_them(checkout: Checkout, candidate: Sha, targets: Iterable[str]) -> bool:
    return "render" in targets and bool(PRE_DEPLOY.search(checkout.read_file(candidate, "render.yaml")))
