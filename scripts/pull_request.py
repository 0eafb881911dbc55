"""Put a branch and its pull request in place on GitHub, each only where it is missing.

So a run that was cut off is completed by the next one, and one with nothing new changes nothing. Whether what is
proposed may be is decided before (`scripts.proposal`); its checks are started by a person. Facts: GitHub's REST API
reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from urllib.parse import urlencode

from scripts.client import Answer, expect_object
from scripts.clock import Deadline
from scripts.errors import ConfigError, PlatformError
from scripts.github import SAID, GitHub
from scripts.release import Sha, parse_sha

BASE, BRANCH, TITLE = "main", "slipway/newer-pins", "Newer pins"
THE_BRANCH = f"the branch {BRANCH}"
FORBIDDEN, NOT_FOUND, UNPROCESSABLE = 403, 404, 422
FREE = (
    f"let this job create and force-push {BRANCH} (Settings → Rules, Settings → Branches), and have no branch `slipway`"
)
ALLOW = "turn on Settings → Actions → General → Allow GitHub Actions to create and approve pull requests"
PULLS_RIGHT = "give the job the right `pull-requests: write`"
AGAIN = "run the job again: it completes what is missing and repeats nothing"


@dataclass(frozen=True)
class Proposal:
    """What is proposed: the commit that it builds on, the changed files by path, and the text to go with them."""

    base: Sha
    files: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Pull:
    """An open pull request."""

    number: int
    url: str
    title: object
    body: object


@dataclass(frozen=True)
class Desk:
    """Where it is proposed, and until when GitHub is asked."""

    github: GitHub
    repository: str
    deadline: Deadline

    def ask(
        self, method: str, path: str, what: str, payload: object = None, fine: AbstractSet[int] = frozenset()
    ) -> Answer:
        """Ask GitHub about the repository, within the deadline."""
        return self.github.ask(method, path, what, self.deadline, payload, fine)


def propose(desk: Desk, proposal: Proposal) -> str:
    """Put branch and pull request in place where they are missing; give the URL, or nothing if main has it all.

    Raises:
        ConfigError: a setting of the repository is in the way.
        PlatformError: GitHub did not do it.
    """
    try:
        base_tree, _ = fetch_commit(desk, proposal.base)
        tree = make_tree(desk, base_tree, proposal.files)
        if tree == base_tree:
            return ""
        place_branch(desk, proposal.base, tree)
        return place_pull(desk, proposal.body)
    except PlatformError as error:
        error.means = error.means or "Branch or pull request may be missing."
        error.next_step = error.next_step or AGAIN
        raise


def fetch_commit(desk: Desk, commit: Sha) -> tuple[Sha, list[Sha]]:
    """Read the tree of a commit and its parents."""
    what = f"the commit {commit}"
    told = expect_object(desk.ask("GET", f"/git/commits/{commit}", what), what)
    parents = told.get("parents")
    return _sha(told.get("tree"), what), [_sha(row, what) for row in parents] if isinstance(parents, list) else []


def make_tree(desk: Desk, base_tree: Sha, files: Mapping[str, str]) -> Sha:
    """Give the tree that is the base's with the changed files in it."""
    what = "the new files"
    rows = [{"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()]
    return _sha(desk.ask("POST", "/git/trees", what, {"base_tree": base_tree, "tree": rows}).json(), what)


def place_branch(desk: Desk, base: Sha, tree: Sha) -> None:
    """Make the branch one commit on the base, whatever it was before; one that is this already is left alone."""
    head = fetch_head(desk)
    if head is not None and fetch_commit(desk, head) == (tree, [base]):
        return
    told = {"message": TITLE, "tree": tree, "parents": [base]}  # without an author GitHub names and signs the job's own
    commit = _sha(desk.ask("POST", "/git/commits", "the commit", told).json(), "the commit")
    if head is not None or not _create_branch(desk, commit):
        _move_branch(desk, commit)


def fetch_head(desk: Desk) -> Sha | None:
    """Read where the branch is; nothing where there is none."""
    answer = desk.ask("GET", f"/git/ref/heads/{BRANCH}", THE_BRANCH, fine={NOT_FOUND})
    return None if answer.status == NOT_FOUND else _sha(_at(answer.json(), "object"), THE_BRANCH)


def _create_branch(desk: Desk, commit: Sha) -> bool:
    """Create the branch, or say that somebody has by now."""
    told = {"ref": f"refs/heads/{BRANCH}", "sha": commit}
    answer = desk.ask("POST", "/git/refs", THE_BRANCH, told, {UNPROCESSABLE})
    if answer.status == UNPROCESSABLE and "already exists" in _said(answer):
        return False
    _need_branch(answer)
    return True


def _move_branch(desk: Desk, commit: Sha) -> None:
    told = {"sha": commit, "force": True}
    _need_branch(desk.ask("PATCH", f"/git/refs/heads/{BRANCH}", THE_BRANCH, told, {UNPROCESSABLE}))


def _need_branch(answer: Answer) -> None:
    if answer.status == UNPROCESSABLE:
        raise ConfigError(f"GitHub, {THE_BRANCH}: {_said(answer)}", means="Nothing was proposed.", next_step=FREE)


def place_pull(desk: Desk, body: str) -> str:
    """Open the pull request, or bring the open one's text up to date; give its URL, or nothing if it would be empty."""
    pull = fetch_pull(desk)
    if pull is None:
        return _open_pull(desk, body)
    if (pull.title, str(pull.body).replace("\r\n", "\n")) != (TITLE, body):
        desk.ask("PATCH", f"/pulls/{pull.number}", "the pull request's text", {"title": TITLE, "body": body})
    return pull.url


def fetch_pull(desk: Desk) -> Pull | None:
    """Read the open pull request of the branch; each is looked at, since GitHub ignores a filter it cannot read."""
    what = "the open pull requests"
    head = f"{desk.repository.partition('/')[0]}:{BRANCH}"
    query = urlencode({"head": head, "state": "open", "base": BASE})
    rows = desk.ask("GET", f"/pulls?{query}", what).json()
    if not isinstance(rows, list):
        raise PlatformError(f"GitHub, {what}: expected a list, got {str(rows)[:SAID]!r}")
    pulls = [_pull(row, what) for row in rows if _is_ours(row, desk.repository)]
    return pulls[0] if pulls else None


def _is_ours(row: object, repository: str) -> bool:
    head, base = _at(row, "head"), _at(row, "base")
    where = str(_at(_at(head, "repo"), "full_name"))
    told = (_at(row, "state"), _at(head, "ref"), _at(base, "ref"), where.casefold())
    return told == ("open", BRANCH, BASE, repository.casefold())


def _open_pull(desk: Desk, body: str) -> str:
    what = "a new pull request"
    told = {"title": TITLE, "head": BRANCH, "base": BASE, "body": body}
    answer = desk.ask("POST", "/pulls", what, told, {FORBIDDEN, UNPROCESSABLE})
    said = _said(answer)
    if answer.status == FORBIDDEN:
        setting = "not permitted to create" in said
        means = "The branch is there, without a pull request."
        raise ConfigError(f"{what} is forbidden: {said}", means=means, next_step=ALLOW if setting else PULLS_RIGHT)
    if answer.status == UNPROCESSABLE:
        if "No commits between" in said:  # it was merged while this ran
            return ""
        raise PlatformError(f"GitHub, {what}: {said}")
    return _pull(answer.json(), what).url


def _at(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _sha(value: object, what: str) -> Sha:
    """Give an object's id.

    Raises:
        PlatformError: it is none.
    """
    if (sha := parse_sha(_at(value, "sha"))) is None:
        raise PlatformError(f"GitHub, {what}: expected an object with an id, got {str(value)[:SAID]!r}")
    return sha


def _pull(row: object, what: str) -> Pull:
    number, url = _at(row, "number"), _at(row, "html_url")
    if type(number) is not int or not isinstance(url, str) or not re.fullmatch(r"https?://[!-~]+", url):
        raise PlatformError(f"GitHub, {what}: expected a number and an address, got {str(row)[:SAID]!r}")
    return Pull(number, url, _at(row, "title"), _at(row, "body"))


def _said(answer: Answer) -> str:
    """Give GitHub's own words about what it refused, on one line."""
    told = answer.json()
    errors = _at(told, "errors")
    rows = [_at(row, "message") or _at(row, "field") for row in errors] if isinstance(errors, list) else []
    said = ": ".join(str(text) for text in [_at(told, "message"), *rows] if text)
    return " ".join(said.split())[:SAID] or f"answered {answer.status}"
