"""A repository as GitHub keeps it: a bare git repository, its pull requests, and the routes that change them.

It refuses what GitHub refuses, with GitHub's statuses and words. HTTP, and what goes wrong with it, is not its affair.
Facts: https://docs.github.com/en/rest/git, https://docs.github.com/en/rest/pulls.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

Json = dict[str, object]
TOKEN = "ghs_token-that-nobody-may-read"
REPOSITORY = "octo-org/slipway"
ACTOR = ("github-actions[bot]", "41898282+github-actions[bot]@users.noreply.github.com")
LONGEST_BODY = 65536  # characters


class Refusal(Exception):
    """An answer that is not 2xx."""

    def __init__(self, status: int, message: str, *errors: Json) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "status": str(status), **({"errors": list(errors)} if errors else {})}


@dataclass
class Pull:
    """A pull request."""

    number: int
    title: str
    body: str
    head: str
    base: str
    state: str = "open"


@dataclass(frozen=True)
class Request:
    """What a route is given: what its pattern caught, the query, the payload."""

    caught: tuple[str, ...]
    query: Mapping[str, str]
    payload: Json

    def text(self, name: str) -> str:
        """Give a text that must be there."""
        value = self.payload.get(name)
        if not isinstance(value, str):
            raise Refusal(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return value


@dataclass
class Hosted:
    """One repository and how it is set up; `git` is a bare repository."""

    git: Path
    name: str = REPOSITORY
    token: str = TOKEN
    rights: set[str] = field(default_factory=lambda: {"contents", "pull-requests"})
    may_open_pulls: bool = True
    protected: tuple[str, ...] = ()
    pulls: list[Pull] = field(default_factory=list)
    url: str = ""
    _known: dict[object, str] = field(default_factory=dict)

    def know(self, what: object, find: Callable[[], str]) -> str:
        """Give what never changes, such as what an id names, and find it once: each process costs milliseconds."""
        if what not in self._known:
            self._known[what] = find()
        return self._known[what]

    def run_git(self, *words: str, told: bytes = b"", index: str = "") -> str:
        """Run git on the repository, with nobody's own configuration; raises CalledProcessError."""
        name, address = ACTOR
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_DIR": str(self.git),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_NAME": name for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": address for who in ("AUTHOR", "COMMITTER")},
            **({"GIT_INDEX_FILE": index} if index else {}),
        }
        ran = subprocess.run(["git", *words], input=told, env=environment, capture_output=True, check=True)
        return ran.stdout.decode().removesuffix("\n")

    def head_of(self, branch: str) -> str:
        """Give the commit of a branch, empty where there is no such branch."""
        loose = self.git / "refs" / "heads" / branch  # read as the file that it is, for the same reason
        if loose.is_file():
            return loose.read_text().strip()
        packed = self.git / "packed-refs"
        rows = [line.split(" ") for line in packed.read_text().splitlines()] if packed.is_file() else []
        return next((row[0] for row in rows if row[1:] == [f"refs/heads/{branch}"]), "")

    def try_git(self, *words: str) -> str:
        """Give what git says, empty where it fails."""
        try:
            return self.run_git(*words)
        except subprocess.CalledProcessError:
            return ""

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, object]:
        """Answer one request as GitHub does; the names of the headers are in lower case."""
        place = urlsplit(target)
        try:
            self._admit(place.path, headers)
            route, caught = _find_route(f"{method} {self.short(place.path)}")
            self._allow(route.right)
            words = {name: values[-1] for name, values in parse_qs(place.query).items()}
            return route.status, route.answer(self, Request(caught, words, _payload(body)))
        except Refusal as refusal:
            return refusal.status, refusal.body

    def short(self, path: str) -> str:
        """Give a path without what every one of this repository begins with."""
        return path.removeprefix(f"/repos/{self.name}")

    def _admit(self, path: str, headers: Mapping[str, str]) -> None:
        if not headers.get("user-agent"):
            raise Refusal(403, "Request forbidden by administrative rules.")
        if headers.get("authorization") != f"Bearer {self.token}":
            raise Refusal(401, "Bad credentials")
        if self.short(path) == path:
            raise Refusal(404, "Not Found")

    def _allow(self, right: str) -> None:
        if right and right not in self.rights:
            raise Refusal(403, "Resource not accessible by integration")

    def guard(self, branch: str, *, force: bool) -> None:
        """Refuse what a rule of the repository keeps from the job's token."""
        if any(fnmatch.fnmatch(branch, pattern) for pattern in self.protected):
            what = (
                "Cannot force-push to this branch" if force else "Cannot create ref due to creations being restricted."
            )
            raise Refusal(422, f"Repository rule violations found\n\n{what}")

    def shown(self, pull: Pull) -> Json:
        """Give a pull request as the API does."""
        owner = self.name.partition("/")[0]
        head, base = (
            {"label": f"{owner}:{ref}", "ref": ref, "sha": self.head_of(ref), "repo": {"full_name": self.name}}
            for ref in (pull.head, pull.base)
        )
        told: Json = {"number": pull.number, "html_url": f"{self.url}/{self.name}/pull/{pull.number}"}
        return {**told, "state": pull.state, "title": pull.title, "body": pull.body, "head": head, "base": base}


@dataclass(frozen=True)
class Route:
    """Which calls it answers, the right that the token must have, the status of success, and the answer."""

    pattern: str
    right: str
    status: int
    answer: Callable[[Hosted, Request], object]


def _find_route(call: str) -> tuple[Route, tuple[str, ...]]:
    for route in ROUTES:
        if match := re.fullmatch(route.pattern, call):
            return route, match.groups()
    raise Refusal(404, "Not Found")


def _payload(body: bytes) -> Json:
    try:
        payload = json.loads(body or b"{}")
    except ValueError as error:
        raise Refusal(400, "Problems parsing JSON") from error
    if not isinstance(payload, dict):
        raise Refusal(400, "Body should be a JSON object")
    return payload


def _show_commit(api: Hosted, sha: str) -> Json:
    try:
        told = api.know(sha, lambda: api.run_git("cat-file", "commit", sha))
    except subprocess.CalledProcessError as error:
        raise Refusal(404, "Not Found") from error
    head, _, message = told.partition("\n\n")
    rows = [row.partition(" ") for row in head.split("\n")]
    found: dict[str, list[Json]] = {kind: [{"sha": v} for k, _, v in rows if k == kind] for kind in ("tree", "parent")}
    return {"sha": sha, "message": message, "tree": found["tree"][0], "parents": found["parent"]}


def _get_commit(api: Hosted, request: Request) -> object:
    return _show_commit(api, request.caught[0])


def _get_ref(api: Hosted, request: Request) -> object:
    branch = request.caught[0]
    if not (sha := api.head_of(branch)):
        raise Refusal(404, "Not Found")
    return _show_ref(branch, sha)


def _show_ref(branch: str, sha: str) -> Json:
    return {"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": sha}}


def _post_tree(api: Hosted, request: Request) -> object:
    rows = request.payload.get("tree")
    if not isinstance(rows, list) or not rows:
        raise Refusal(422, 'Invalid request.\n\n"tree" wasn\'t supplied.')
    files, base = tuple(_entry(row) for row in rows), str(request.payload.get("base_tree", ""))
    try:
        return {"sha": api.know((base, files), lambda: _write_tree(api, base, files))}
    except subprocess.CalledProcessError as error:
        raise Refusal(404, "Not Found") from error


def _write_tree(api: Hosted, base: str, files: tuple[tuple[str, str, str], ...]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        blobs = _write_blobs(api, Path(folder), [content for _, _, content in files])
        lines = [f"{mode} {blob}\t{path}\n" for (path, mode, _), blob in zip(files, blobs, strict=True)]
        index = str(Path(folder) / "index")
        if base:
            api.run_git("read-tree", base, index=index)
        api.run_git("update-index", "--add", "--index-info", told="".join(lines).encode(), index=index)
        return api.run_git("write-tree", index=index)


def _entry(row: Json) -> tuple[str, str, str]:
    path, mode, content = (row.get(name) for name in ("path", "mode", "content"))
    if not isinstance(path, str) or {"", ".", "..", ".git"} & set(path.split("/")):
        raise Refusal(422, "tree.path contains a malformed path component")
    if not isinstance(mode, str) or mode not in {"100644", "100755", "120000"} or not isinstance(content, str):
        raise Refusal(422, "Must supply a valid tree.mode, and either tree.sha or tree.content")
    return path, mode, content


def _write_blobs(api: Hosted, folder: Path, contents: list[str]) -> list[str]:
    for number, content in enumerate(contents):
        (folder / str(number)).write_bytes(content.encode())
    paths = "".join(f"{folder / str(number)}\n" for number in range(len(contents)))
    return api.run_git("hash-object", "-w", "--no-filters", "--stdin-paths", told=paths.encode()).split("\n")


def _post_commit(api: Hosted, request: Request) -> object:
    tree, parents = request.text("tree"), request.payload.get("parents", [])
    if not isinstance(parents, list):
        raise Refusal(422, 'Invalid request.\n\n"parents" is no array.')
    words = [word for parent in parents for word in ("-p", str(parent))]
    try:
        sha = api.run_git("commit-tree", *words, tree, told=request.text("message").encode())
    except subprocess.CalledProcessError as error:
        raise Refusal(422, "Tree SHA does not exist") from error
    rows = [{"sha": parent} for parent in parents]
    return {"sha": sha, "message": request.text("message"), "tree": {"sha": tree}, "parents": rows}


def _post_ref(api: Hosted, request: Request) -> object:
    ref, sha = request.text("ref"), request.text("sha")
    branch = ref.removeprefix("refs/heads/")
    if branch == ref:
        raise Refusal(422, "Reference name must start with 'refs/' and contain at least one other '/'.")
    if api.head_of(branch):
        raise Refusal(422, "Reference already exists")
    api.guard(branch, force=False)
    return _set_ref(api, branch, sha)


def _patch_ref(api: Hosted, request: Request) -> object:
    branch, sha = request.caught[0], request.text("sha")
    if not (head := api.head_of(branch)):
        raise Refusal(422, "Reference does not exist")
    api.guard(branch, force=True)
    if request.payload.get("force") is not True and api.run_git("rev-list", "--count", f"{sha}..{head}") != "0":
        raise Refusal(422, "Update is not a fast forward")
    return _set_ref(api, branch, sha)


def _set_ref(api: Hosted, branch: str, sha: str) -> Json:
    if not sha.strip("0"):  # git would delete the reference
        raise Refusal(422, "Object does not exist")
    try:
        api.run_git("update-ref", f"refs/heads/{branch}", sha)
    except subprocess.CalledProcessError as error:
        known = api.try_git("cat-file", "-t", sha) == "commit"
        raise Refusal(422, "Reference update failed" if known else "Object does not exist") from error
    return _show_ref(branch, sha)


def _get_pulls(api: Hosted, request: Request) -> object:
    query, owner = request.query, api.name.partition("/")[0]
    state, base, head = query.get("state", "open"), query.get("base"), query.get("head", "")
    rows = [pull for pull in api.pulls if state in {"all", pull.state} and base in {None, pull.base}]
    if ":" in head:  # GitHub ignores a filter without the owner
        rows = [pull for pull in rows if f"{owner}:{pull.head}" == head]
    return [api.shown(pull) for pull in reversed(rows)]


def _post_pull(api: Hosted, request: Request) -> object:
    if not api.may_open_pulls:
        raise Refusal(403, "GitHub Actions is not permitted to create or approve pull requests.")
    title, head, base = (request.text(name) for name in ("title", "head", "base"))
    body = _text_of_pull(request)
    for name, branch in (("head", head), ("base", base)):
        if not api.head_of(branch):
            raise Refusal(422, "Validation Failed", {"resource": "PullRequest", "field": name, "code": "invalid"})
    custom: Json = {"resource": "PullRequest", "code": "custom"}
    if any((pull.head, pull.base, pull.state) == (head, base, "open") for pull in api.pulls):
        owner = api.name.partition("/")[0]
        raise Refusal(
            422, "Validation Failed", {**custom, "message": f"A pull request already exists for {owner}:{head}."}
        )
    if api.run_git("rev-list", "--count", f"refs/heads/{base}..refs/heads/{head}") == "0":
        raise Refusal(422, "Validation Failed", {**custom, "message": f"No commits between {base} and {head}"})
    api.pulls.append(Pull(len(api.pulls) + 1, title, body, head, base))
    return api.shown(api.pulls[-1])


def _text_of_pull(request: Request) -> str:
    body = str(request.payload.get("body") or "")
    if len(body) > LONGEST_BODY:
        error: Json = {"resource": "Issue", "code": "custom", "field": "body"}
        raise Refusal(422, "Validation Failed", {**error, "message": "body is too long (maximum is 65536 characters)"})
    return body


def _patch_pull(api: Hosted, request: Request) -> object:
    found = [pull for pull in api.pulls if str(pull.number) == request.caught[0]]
    if not found:
        raise Refusal(404, "Not Found")
    if "title" in request.payload:
        found[0].title = request.text("title")
    if "body" in request.payload:
        found[0].body = _text_of_pull(request)
    return api.shown(found[0])


ROUTES = (
    Route(r"GET /git/commits/([0-9a-f]{40})", "", 200, _get_commit),
    Route(r"GET /git/ref/heads/(.+)", "", 200, _get_ref),
    Route(r"POST /git/trees", "contents", 201, _post_tree),
    Route(r"POST /git/commits", "contents", 201, _post_commit),
    Route(r"POST /git/refs", "contents", 201, _post_ref),
    Route(r"PATCH /git/refs/heads/(.+)", "contents", 200, _patch_ref),
    Route(r"GET /pulls", "", 200, _get_pulls),
    Route(r"POST /pulls", "pull-requests", 201, _post_pull),
    Route(r"PATCH /pulls/([0-9]+)", "pull-requests", 200, _patch_pull),
)
