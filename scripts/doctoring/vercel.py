"""The Vercel account: token, team, project, production domain, and the deployment that serves.

Requests, as in Vercel's REST API reference: GET /v2/user, /v9/projects/{id}, /v9/projects/{id}/domains/{domain}. The
team is read at /teams/{id}, where the CLI reads it. Production domain and deployments are read as a release does.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from scripts.client import Client
from scripts.config import VercelSection
from scripts.doctoring.finding import Finding, Subject
from scripts.doctoring.reading import Budget, Reader, Row, at, attempt, looked, reached, text
from scripts.doctoring.service import UNKNOWN, Live
from scripts.doctoring.vercel_project import PROJECT, SETTINGS, Expected, judge_project
from scripts.platforms.vercel import BYPASS, bypass_headers
from scripts.platforms.vercel_answers import identify, read_deployment
from scripts.platforms.vercel_api import TOKEN as TOKEN_NAME
from scripts.platforms.vercel_api import VercelApi
from scripts.probe import Witness
from scripts.redaction import Secret
from scripts.release import Deployment, short

REACH_FURTHER = frozenset({"pro", "enterprise"})  # plans with which a rollback reaches any deployment that served

TOKEN = Subject(
    "vercel",
    "token",
    "Nothing can be deployed, promoted or rolled back without it, and nothing of the project be checked here.",
    f"make a token for the one team under Account Settings, Tokens, and set it as the secret {TOKEN_NAME}",
)
API = Subject(
    "vercel",
    "api",
    "What is not seen is not known to be well.",
    "look at Vercel's status page and at this machine's network, then run doctor again",
)
TEAM = Subject(
    "vercel",
    "team",
    "Promotion and rollback are asked for in the team of that slug, and refused in any other.",
    "copy vercel.team from the URL of the team's dashboard, and vercel.org_id from the team's settings",
)
PLAN = Subject(
    "vercel",
    "plan",
    "On the Hobby plan a rollback reaches the previous production deployment only.",
    "choose the Pro plan, or live with it",
)
DOMAIN = Subject(
    "vercel",
    "domain",
    "A promotion moves the domains of the project: users of any other address would stay where they are.",
    "add it under project settings, Domains, for Production, or mend vercel.url in slipway.toml",
)
WAY_BACK = Subject(
    "vercel",
    "way-back",
    "A rollback needs a deployment that served users.",
    "let the first release be watched by a person",
)
SUBSTATE = Subject(
    "vercel",
    "substate",
    "Without readySubstate a deployment that served cannot be told from one that was only staged.",
    "look whether Vercel's API tells it; without it no rollback to an older deployment is possible",
)
OWN_URL = Subject(
    "vercel",
    "own-url",
    "A release is verified at the deployment's own URL, before users are on it: it must let the pipeline in.",
    f"look at project settings, Deployment Protection, and at the secret {BYPASS}",
)
SUBJECTS = (TOKEN, API, TEAM, PLAN, *SETTINGS, DOMAIN, WAY_BACK, SUBSTATE, OWN_URL)


@dataclass
class VercelAccount:
    """One project, and what the platform says is live once it was looked at."""

    client: Client
    budget: Budget
    secrets: Mapping[str, Secret]
    expected: Expected
    live: Live = UNKNOWN

    @property
    def settings(self) -> VercelSection:
        """The configuration."""
        return self.expected.settings

    def examine(self) -> Iterator[Finding]:
        """Look at the token, and at all that it may see."""
        token = self.secrets.get(TOKEN_NAME)
        if token is None:
            yield TOKEN.fail(f"is not given{self.expected.where}: {TOKEN_NAME} is not set")
        else:
            yield from reached(API, self._ask(token))

    def _ask(self, token: Secret) -> Iterator[Finding]:
        hidden = [self.secrets[name] for name in (TOKEN_NAME, BYPASS) if name in self.secrets]
        reader = Reader(self.client, self.budget, "Vercel", self.settings.api_url, token, hidden)
        user, why = attempt(lambda: reader.read("/v2/user", "reading the user"))
        if user is None:
            yield TOKEN.fail(f"is refused: {why}")
            return
        yield judge_user(user)
        api = VercelApi(self.client, token, self.settings)
        yield from looked([TEAM, PLAN], functools.partial(self._look_at_team, reader, user))
        yield from self._look_at_project(reader)
        yield from looked([WAY_BACK, SUBSTATE], functools.partial(self._look_at_serving, api))
        yield from looked([DOMAIN], functools.partial(self._look_at_domain, reader))
        if self.live.deployment is not None:
            yield self._look_at_own_url(self.live.deployment)

    def _team(self) -> dict[str, str]:
        return {"teamId": self.settings.org_id} if self._has_team else {}

    @property
    def _has_team(self) -> bool:
        return self.settings.org_id.startswith("team_")

    def _look_at_team(self, reader: Reader, user: Row) -> Iterator[Finding]:
        """Look at the team, or at the person whose own account takes its place."""
        if not self._has_team:
            person = at(user, "user")
            yield judge_team({"id": at(person, "id"), "slug": at(person, "username")}, self.settings)
            yield judge_plan(text(person, "billing", "plan"))
            return
        team = reader.read(f"/teams/{self.settings.org_id}", "reading the team")
        yield judge_team(team, self.settings)
        yield judge_plan(text(team, "billing", "plan"))

    def _look_at_project(self, reader: Reader) -> Iterator[Finding]:
        path = f"/v9/projects/{self.settings.project_id}"
        project, why = attempt(lambda: reader.read(path, "reading the project", self._team()))
        if project is None:
            yield PROJECT.fail(f"{self.settings.project_id} cannot be used with this token: {why}")
        else:
            yield from judge_project(project, self.expected)

    def _look_at_domain(self, reader: Reader) -> Iterator[Finding]:
        host = urlsplit(self.settings.url).netloc
        path = f"/v9/projects/{self.settings.project_id}/domains/{quote(host, safe='')}"
        found = reader.find(path, "reading the domain", self._team())
        if found is None and self.live.deployment is not None:
            yield DOMAIN.warn(
                f"{host} is none of the project's domains, and points to {self.live.deployment.id} all the same"
            )
        else:
            yield judge_domain(found, host, self.settings.project_id)

    def _look_at_serving(self, api: VercelApi) -> Iterator[Finding]:
        """Look at the deployment that the production domain points to, as a release does."""
        serving_id = api.fetch_serving_id(self.budget.call())
        if serving_id is None:
            self.live = Live(known=True)
            yield WAY_BACK.warn("does not exist yet: the production domain points to no deployment of the project")
            return
        rows = api.fetch_rows(self.budget.call())
        row = next((row for row in rows if identify(row) == serving_id), None)
        row = row or api.fetch_row(serving_id, self.budget.call())
        deployment = read_deployment(row, serving_id)
        self.live = Live(known=True, deployment=deployment)
        yield judge_way_back(deployment)
        yield judge_substate(text(row, "readySubstate"))

    def _look_at_own_url(self, deployment: Deployment) -> Finding:
        if not deployment.url:
            return OWN_URL.unseen(f"{deployment.id} has none")
        witness = Witness(self.client, self.budget.clock, (), 1, headers=bypass_headers(self.secrets))
        seen = witness.ask_version(deployment.url, max(0.001, self.budget.left_s))
        if seen.commit:
            return OWN_URL.ok(f"{deployment.url} lets the pipeline in, and names {short(seen.commit)}")
        if seen.answered:
            return OWN_URL.warn(f"{deployment.url} lets the pipeline in, and what serves has no /version")
        return OWN_URL.fail(f"{deployment.url} does not let the pipeline in: {seen.reason}")


def judge_user(user: Row) -> Finding:
    """Judge whether the token is somebody's."""
    name = text(user, "user", "username") or text(user, "user", "id")
    return TOKEN.ok(f"is valid, of {name}") if name else TOKEN.unseen("Vercel names no user for it")


def judge_team(team: Row, settings: VercelSection) -> Finding:
    """Judge whether id and slug of the configuration are of one team."""
    found, slug = text(team, "id"), text(team, "slug")
    if not found or not slug:
        return TEAM.unseen("Vercel tells no id and slug of it")
    known = (found, slug) == (settings.org_id, settings.team)
    return TEAM.judge(known, f"is {slug} ({found})", f", and slipway.toml says {settings.team} ({settings.org_id})")


def judge_plan(plan: str) -> Finding:
    """Judge what is paid for (`billing.plan` of the team)."""
    if not plan:
        return PLAN.unseen("Vercel does not tell it to this token")
    return PLAN.ok(f"is {plan}") if plan in REACH_FURTHER else PLAN.warn(f"is {plan}")


def judge_domain(domain: Row | None, host: str, project_id: str) -> Finding:
    """Judge whether the production domain is one that a promotion moves."""
    if domain is None:
        return DOMAIN.fail(f"{host} is none of the project's domains")
    if text(domain, "projectId") != project_id:
        return DOMAIN.unseen(f"Vercel tells no project for {host}, or another one")
    if at(domain, "verified") is not True:
        return DOMAIN.fail(f"{host} is not verified")
    for name in ("redirect", "gitBranch", "customEnvironmentId"):
        if found := at(domain, name):
            return DOMAIN.fail(f"{host} is not a production domain: its {name} is {found}")
    return DOMAIN.ok(f"{host} belongs to the project")


def judge_way_back(deployment: Deployment) -> Finding:
    """Judge whether the next release could go back to what serves."""
    if deployment.commit is None:
        return WAY_BACK.warn(f"is not sure: {deployment.id} serves, and no commit is told of it")
    return WAY_BACK.ok(f"exists: {deployment.id} of {short(deployment.commit)} serves, and a release can go back to it")


def judge_substate(substate: str) -> Finding:
    """Judge whether a deployment that served is told from a staged one."""
    return SUBSTATE.ok(f"of what serves is {substate}") if substate else SUBSTATE.warn("of what serves is not told")
