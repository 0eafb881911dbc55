"""The repository on GitHub: its environments, what `main` requires, and whether anything is released at all.

Answers, as in GitHub's REST API reference: "List environments", "List deployment branch policies", "Get rules for a
branch", "Get a branch". A job's token can read the first three; of classic branch protection it is told little.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from scripts.client import Client
from scripts.doctoring.finding import Finding, Subject
from scripts.doctoring.github_rules import (
    BRANCHES,
    PRODUCTION,
    RELEASED,
    REQUIRED,
    REVIEWERS,
    ROLLBACK,
    ROLLBACK_BRANCHES,
    find_environment,
    judge_branches,
    judge_existence,
    judge_required,
    judge_waiting,
)
from scripts.doctoring.reading import Budget, Row, at, attempt, host_of, looked, reached, refuse, text
from scripts.github import API as PUBLIC_API
from scripts.github import GitHub
from scripts.platforms.render import LOOPBACK
from scripts.redaction import Secret

REPOSITORY_NAME = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
PAGE = "?per_page=100"
SEEN_BY_US = frozenset({403, 404})

TOKEN = Subject(
    "github",
    "token",
    "Without it neither environments nor required checks of the repository can be seen.",
    "run doctor as a job of the repository, or set GITHUB_REPOSITORY=OWNER/NAME and GITHUB_TOKEN in this shell",
)
API = Subject(
    "github",
    "api",
    "What is not seen is not known to be well.",
    "look at GitHub's status page and at this machine's network, then run doctor again",
)
TARGETS = Subject(
    "github",
    "targets",
    "Without the variable SLIPWAY_TARGETS a push runs nothing: no checks, no release.",
    "set it to render, or render,vercel: Settings, Secrets and variables, Actions, Variables",
)
SUBJECTS = (TOKEN, API, PRODUCTION, BRANCHES, ROLLBACK, REVIEWERS, ROLLBACK_BRANCHES, REQUIRED, TARGETS)


@dataclass(frozen=True)
class GitHubAccount:
    """One repository; `environment` is the shell's."""

    client: Client
    budget: Budget
    token: Secret | None
    environment: Mapping[str, str]

    @property
    def repository(self) -> str:
        """OWNER/NAME, or nothing."""
        return self.environment.get("GITHUB_REPOSITORY", "").strip()

    @property
    def api_url(self) -> str:
        """Where the API is."""
        return self.environment.get("GITHUB_API_URL", "").strip().rstrip("/") or PUBLIC_API

    def examine(self) -> Iterator[Finding]:
        """Look at the repository, where it is known and there is a token for it."""
        if not self.repository or self.token is None:
            yield TOKEN.warn("was not looked at: GITHUB_REPOSITORY and GITHUB_TOKEN are not both set")
        elif not REPOSITORY_NAME.fullmatch(self.repository):
            yield TOKEN.fail("is of no use: GITHUB_REPOSITORY is not OWNER/NAME")
        elif not _is_safe(self.api_url):
            yield TOKEN.fail(f"was not sent: GITHUB_API_URL leads to {host_of(self.api_url) or 'nowhere'} in the clear")
        else:
            yield from reached(API, self._ask(GitHub(self.client, self.token, self.repository, self.api_url)))
            yield judge_targets(self.environment.get("SLIPWAY_TARGETS", "").strip())

    def _ask(self, github: GitHub) -> Iterator[Finding]:
        repository, why = attempt(lambda: self._read(github, "", "reading the repository"))
        if why:
            yield TOKEN.fail(f"does not see {self.repository}: {why}")
            return
        yield judge_name(repository, self.repository)
        environments = (PRODUCTION, BRANCHES, ROLLBACK, REVIEWERS, ROLLBACK_BRANCHES)
        yield from looked(environments, functools.partial(self._look_at_environments, github))
        yield from self._look_at_required(github)

    def _read(self, github: GitHub, path: str, what: str) -> object:
        """Read what is at a path. Raises as GitHub.ask does, for all that is not 2xx."""
        answer = github.ask("GET", path, what, self.budget.call(), fine=SEEN_BY_US)
        if answer.status in SEEN_BY_US:
            refuse(answer, f"GitHub, {what}")
        return answer.json()

    def _look_at_environments(self, github: GitHub) -> Iterator[Finding]:
        """Look at both; the list tells one that is missing from one that the token may not see."""
        listed = self._read(github, f"/environments{PAGE}", "reading the environments")
        for exists, branches in ((PRODUCTION, BRANCHES), (ROLLBACK, ROLLBACK_BRANCHES)):
            found = find_environment(listed, exists.name)
            yield judge_existence(exists, found, listed)
            if found is None:
                continue
            if exists is ROLLBACK:
                yield judge_waiting(found)
            yield from looked([branches], functools.partial(self._look_at_branches, github, branches, found))

    def _look_at_branches(self, github: GitHub, subject: Subject, found: Row) -> Iterator[Finding]:
        policies: object = None
        if at(found, "deployment_branch_policy", "custom_branch_policies") is True:
            path = f"/environments/{quote(text(found, 'name'), safe='')}/deployment-branch-policies{PAGE}"
            policies = self._read(github, path, f"reading who may use {subject.name}")
        yield judge_branches(subject, found, policies)

    def _look_at_required(self, github: GitHub) -> Iterator[Finding]:
        """Look at rulesets and at classic protection: either may require the check, and either may be hidden."""
        rules_path, branch_path = f"/rules/branches/{RELEASED}{PAGE}", f"/branches/{RELEASED}"
        rules, no_rules = attempt(lambda: self._read(github, rules_path, "reading the rules of main"))
        branch, no_branch = attempt(lambda: self._read(github, branch_path, "reading the branch main"))
        yield judge_required(rules, branch, "; ".join(filter(None, (no_rules, no_branch))))


def _is_safe(url: str) -> bool:
    return url.startswith("https://") or (url.startswith("http://") and host_of(url).partition(":")[0] in LOOPBACK)


def judge_name(repository: object, expected: str) -> Finding:
    """Judge whether the token was shown the repository that was asked for."""
    name = text(repository, "full_name")
    if not name:
        return TOKEN.fail(f"does not see {expected}: GitHub's answer names no repository")
    return TOKEN.judge(name.lower() == expected.lower(), f"sees {name}", f", asked for as {expected}")


def judge_targets(targets: str) -> Finding:
    """Judge whether a push releases anything."""
    return TARGETS.ok(f"are {targets}") if targets else TARGETS.warn("are not set here: SLIPWAY_TARGETS")
