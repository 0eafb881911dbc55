"""How the project on Vercel is set, judged from what GET /v9/projects/{id} answers, and from vercel.json.

Fields, as in "Find a project by id or name" of Vercel's REST API reference: `accountId`, `autoAssignCustomDomains`,
`framework`, `gitProviderOptions.createDeployments`, `id`, `link`, `name`, `passwordProtection`, `paused`,
`protectionBypass`, `rollingRelease`, `ssoProtection.deploymentType`, `trustedIps`. All but the ids and the name may be
missing, and then have never been set; a field of another form than documented is one that cannot be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scripts.config import VercelSection
from scripts.doctoring.finding import Finding, Level, Subject
from scripts.doctoring.reading import Row, at, text
from scripts.platforms.vercel import BYPASS
from scripts.redaction import SHOWN

RELEASED = "main"  # the branch that release.yml ships
FASTAPI = "fastapi"
STRANGE = "Vercel tells it in a form that is not known"
PREVIEWS_ONLY = "preview"  # of ssoProtection.deploymentType: what is staged for production is open
EVERYTHING = "all"  # the production domain too

PROJECT = Subject(
    "vercel",
    "project",
    "What is built goes to this project, and to no other.",
    "copy vercel.project_id and vercel.org_id from the settings of project and team",
)
FRAMEWORK = Subject(
    "vercel",
    "framework",
    "Without it Vercel's builder publishes the source as static files, and ends well.",
    'put "framework": "fastapi" into vercel.json, or choose FastAPI in the project\'s settings',
)
GIT = Subject(
    "vercel",
    "git",
    "A push would be deployed by Vercel itself: past every gate, and after a rollback the bad commit again.",
    'put "git": {"deploymentEnabled": false} into vercel.json, or disconnect the repository',
)
ROLLING = Subject(
    "vercel",
    "rolling-releases",
    "A promotion would give users in shares, over hours, and be proven by chance.",
    "turn them off: project settings, Rolling Releases",
)
PAUSED = Subject("vercel", "state", "A paused project answers nobody.", "resume it in the project's settings")
PINNED = Subject(
    "vercel",
    "pin",
    "After a rollback new deployments get no users until one is promoted; the next release lifts it.",
    "nothing to do if a rollback was meant; else promote a deployment in the dashboard",
)
PROTECTION = Subject(
    "vercel",
    "protection",
    "A staged deployment is verified at its own URL; behind Deployment Protection that needs the bypass.",
    f"make it in project settings, Deployment Protection, Bypass for Automation, and set it as {BYPASS}",
)
SETTINGS = (PROJECT, FRAMEWORK, GIT, ROLLING, PAUSED, PINNED, PROTECTION)


@dataclass(frozen=True)
class Expected:
    """What configuration and repository say; `bypass`: there is a secret for it. `where` ends sentences on secrets."""

    settings: VercelSection
    vercel_json: Mapping[str, object]
    bypass: bool
    where: str = ""


def judge_project(project: Row, expected: Expected) -> Iterator[Finding]:
    """Judge every setting, once it is the right project that tells them."""
    ids = judge_ids(project, expected.settings)
    yield ids
    if ids.level is Level.FAIL:
        return
    yield judge_framework(project, expected.vercel_json)
    yield judge_git(project, expected.vercel_json)
    yield judge_rolling(at(project, "rollingRelease"))
    yield judge_paused(at(project, "paused"))
    yield judge_pinned(at(project, "autoAssignCustomDomains"))
    yield judge_protection(project, bypass=expected.bypass, where=expected.where)


def judge_ids(project: Row, settings: VercelSection) -> Finding:
    """Judge whether it is the project that was asked for, by its id, in the team that was."""
    found, owner = text(project, "id"), text(project, "accountId")
    if found != settings.project_id:
        return PROJECT.fail(f"is {found or 'without an id'}, and slipway.toml says {settings.project_id}")
    if not owner:
        return PROJECT.unseen("Vercel does not tell whose it is")
    says = f"is {text(project, 'name')} ({found}) of {owner}"
    return PROJECT.judge(owner == settings.org_id, says, f", and slipway.toml says {settings.org_id}")


def judge_framework(project: Row, vercel_json: Mapping[str, object]) -> Finding:
    """Judge what the source is built as; what vercel.json says wins over the project's settings."""
    if "framework" in vercel_json:
        named = vercel_json["framework"]
        return FRAMEWORK.judge(named == FASTAPI, f"of vercel.json is {named or 'none'}")
    found = at(project, "framework")
    if isinstance(found, str) or found is None:
        return FRAMEWORK.judge(found == FASTAPI, f"of the project is {found or 'none'}, and vercel.json names none")
    return FRAMEWORK.unseen(STRANGE)


def judge_git(project: Row, vercel_json: Mapping[str, object]) -> Finding:
    """Judge whether Vercel deploys a push to the released branch by itself."""
    if _stops_git(at(vercel_json, "git", "deploymentEnabled")):
        return GIT.ok("deployments are turned off in vercel.json")
    link, created = at(project, "link"), at(project, "gitProviderOptions", "createDeployments")
    if created == "disabled":
        return GIT.ok("deployments are turned off in the project's settings")
    if link is None:
        return GIT.ok("is not connected")
    if not isinstance(link, Mapping):
        return GIT.unseen(STRANGE)
    names = "/".join(filter(None, (text(link, "org"), text(link, "repo"))))
    return GIT.fail(f"deployments are on: the project is connected to {names or 'a repository'}")


def _stops_git(enabled: object) -> bool:
    return enabled is False or at(enabled, RELEASED) is False


def judge_rolling(rolling: object) -> Finding:
    """Judge whether a promotion moves all users at once."""
    if rolling is None or rolling == {} or at(rolling, "enabled") is False:
        return ROLLING.ok("are off")
    return ROLLING.fail("are on") if isinstance(rolling, Mapping) else ROLLING.unseen(STRANGE)


def judge_paused(paused: object) -> Finding:
    """Judge whether the project answers at all."""
    if paused is True:
        return PAUSED.fail("is paused")
    return PAUSED.ok("is not paused") if paused is None or paused is False else PAUSED.unseen(STRANGE)


def judge_pinned(assigned: object) -> Finding:
    """Judge whether an operator's rollback holds what serves."""
    if assigned is False:
        return PINNED.warn("is set: what serves stays until a deployment is promoted")
    return PINNED.ok("is not set") if assigned is None or assigned is True else PINNED.unseen(STRANGE)


def judge_protection(project: Row, *, bypass: bool, where: str) -> Finding:
    """Judge whether what is staged can be asked by the pipeline, and what serves by its users."""
    kinds = [name for name in ("ssoProtection", "passwordProtection", "trustedIps") if at(project, name) is not None]
    scopes = {text(project, name, "deploymentType") for name in kinds}
    told = f"{', '.join(kinds)}, for {', '.join(sorted(filter(None, scopes))) or 'what is not told'}"
    if not kinds:
        return PROTECTION.ok("is off" + (", so that the bypass is not needed" if bypass else ""))
    if not bypass and scopes == {PREVIEWS_ONLY}:
        return PROTECTION.warn(f"is on ({told}): what is staged for production should be open without a bypass")
    if not bypass:
        return PROTECTION.fail(f"is on ({told}), and {BYPASS} is not set{where}")
    return _judge_bypass(at(project, "protectionBypass"), told, everything=EVERYTHING in scopes)


def _judge_bypass(known: object, told: str, *, everything: bool) -> Finding:
    """Judge the bypass by those of the project, which are told as keys; ours was hidden in the answer."""
    if isinstance(known, Mapping) and SHOWN not in known:
        return PROTECTION.fail(f"is on ({told}), and {BYPASS} is none of the project's bypasses")
    if everything:
        return PROTECTION.warn(
            f"is on ({told}): users of the production domain must log in too", "choose Standard Protection"
        )
    if not isinstance(known, Mapping):
        return PROTECTION.unseen(f"it is on ({told}), and the project's bypasses are not told")
    return PROTECTION.ok(f"is on ({told}), and the bypass is one of the project's")
