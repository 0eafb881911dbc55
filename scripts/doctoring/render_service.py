"""How the service on Render is set, judged from what GET /services/{id} answers.

Every field read here is one of `service` and `webServiceDetails` in Render's OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scripts.doctoring.files import Blueprint
from scripts.doctoring.finding import Finding, Subject
from scripts.doctoring.reading import Row, at, host_of, text

RELEASED = "main"  # the branch that release.yml ships
DETAILS = "serviceDetails"
NOT_TOLD = "Render does not tell it"
SEARCH = "by a search of its lines"

TYPE = Subject(
    "render",
    "type",
    "Only a web service that is built from a repository can be told to deploy a commit, and be asked for it.",
    "make a web service from render.yaml (New, Blueprint), and use its hook",
)
SUSPENDED = Subject("render", "service", "Nothing can be deployed to it.", "resume it in the dashboard")
AUTO_DEPLOY = Subject(
    "render",
    "auto-deploy",
    "A push would ship what no gate has passed, and after a rollback bring the bad commit back.",
    "turn it off: Settings, Build & Deploy, Auto-Deploy",
)
HEALTH = Subject(
    "render",
    "health-check",
    "Without a path any open port counts as healthy: users meet a service that still starts, or is broken.",
    "set Settings, Health Checks to a path that only a ready service answers, the one in render.yaml",
)
REGION = Subject(
    "render",
    "region",
    "A region is fixed once a service is made, so render.yaml would make another service, elsewhere.",
    "name the service's own region in render.yaml",
)
ADDRESS = Subject(
    "render",
    "url",
    "Behind any other name than the service's own may be another service: its answers would prove nothing.",
    "see that render.url of slipway.toml is this service's own address, or a custom domain of it",
)
PLAN = Subject(
    "render",
    "plan",
    "A free service sleeps after 15 idle minutes and keeps two artifacts: a rollback reaches one release back.",
    "choose a paid instance type, or live with it",
)
INSTANCES = Subject(
    "render",
    "instances",
    "A release is proven when every instance answers: with too few expected, an old one stays unseen.",
    "put the number into render.instances of slipway.toml",
)
REPOSITORY = Subject(
    "render",
    "repository",
    "The hook deploys commits of the repository that the service is connected to.",
    "connect the service to this repository: Settings, Build & Deploy, Repository",
)
BRANCH = Subject(
    "render",
    "branch",
    "Releases are of main, and a deploy from the dashboard would ship another branch.",
    "set Settings, Build & Deploy, Branch to main",
)
SETTINGS = (TYPE, SUSPENDED, AUTO_DEPLOY, HEALTH, REGION, ADDRESS, PLAN, INSTANCES, REPOSITORY, BRANCH)


@dataclass(frozen=True)
class Expected:
    """What the repository says that the service is like; `repository` is empty where it is not known."""

    url: str
    instances: int
    critical_paths: tuple[str, ...]
    blueprint: Blueprint
    repository: str = ""
    server_url: str = "https://github.com"


def judge_service(service: Row, expected: Expected) -> Iterator[Finding]:
    """Judge every setting."""
    yield judge_type(service)
    yield judge_suspended(service)
    yield judge_auto_deploy(service)
    yield judge_health(at(service, DETAILS, "healthCheckPath"), expected)
    yield judge_region(text(service, DETAILS, "region"), expected.blueprint.region)
    yield judge_address(text(service, DETAILS, "url"), expected.url)
    yield judge_plan(text(service, DETAILS, "plan"))
    yield judge_instances(service, expected.instances)
    yield judge_repository(text(service, "repo"), expected)
    yield judge_branch(text(service, "branch"))


def judge_type(service: Row) -> Finding:
    """Judge whether it is a web service that is built from a repository."""
    kind, runtime = text(service, "type"), text(service, DETAILS, "runtime")
    if kind not in {"", "web_service"}:
        return TYPE.fail(f"is {kind}, not web_service")
    if runtime == "image" or at(service, "imagePath"):
        return TYPE.fail("is a service that runs an image: no commit can be deployed to it")
    return TYPE.ok(f"is {kind}, built with {runtime}") if kind and runtime else TYPE.unseen(NOT_TOLD)


def judge_suspended(service: Row) -> Finding:
    """Judge whether it may run at all."""
    match at(service, "suspended"):
        case "not_suspended":
            return SUSPENDED.ok("is not suspended")
        case "suspended":
            return SUSPENDED.fail("is suspended")
        case _:
            return SUSPENDED.unseen(NOT_TOLD)


def judge_auto_deploy(service: Row) -> Finding:
    """Judge whether a push is deployed by Render itself; the older of the two fields has only yes and no."""
    said, trigger = text(service, "autoDeploy"), text(service, "autoDeployTrigger")
    if said not in {"", "no"} or trigger not in {"", "off"}:
        return AUTO_DEPLOY.fail(f"is on: autoDeploy {said or 'not told'}, autoDeployTrigger {trigger or 'not told'}")
    return AUTO_DEPLOY.ok("is off") if said or trigger else AUTO_DEPLOY.unseen(NOT_TOLD)


def judge_health(path: object, expected: Expected) -> Finding:
    """Judge the path by which Render decides that an instance may have users."""
    if not isinstance(path, str):
        return HEALTH.unseen(NOT_TOLD)
    if not path.strip():
        return HEALTH.fail("has no path")
    in_file = expected.blueprint.health_path
    if in_file and path != in_file:
        return HEALTH.warn(f"asks {path}, and render.yaml says {in_file} ({SEARCH})")
    if path in expected.critical_paths or path.startswith("/health"):
        return HEALTH.ok(f"asks {path}")
    return HEALTH.warn(f"asks {path}, which is no critical check of slipway.toml: does a broken service fail it?")


def judge_region(region: str, in_file: str) -> Finding:
    """Judge where it runs."""
    if not region:
        return REGION.unseen(NOT_TOLD)
    if region == in_file:
        return REGION.ok(f"is {region}, as in render.yaml ({SEARCH})")
    return REGION.warn(f"is {region}, and render.yaml says {in_file or 'nothing, or several things'} ({SEARCH})")


def judge_address(url: str, expected: str) -> Finding:
    """Judge whether the public URL of the configuration is this service's own."""
    if not host_of(url):
        return ADDRESS.unseen(NOT_TOLD)
    if host_of(url) == host_of(expected):
        return ADDRESS.ok(f"is {url}, as in slipway.toml")
    return ADDRESS.warn(f"is {url}, and slipway.toml says {expected}: is that a custom domain of this service?")


def judge_plan(plan: str) -> Finding:
    """Judge what is paid for."""
    if not plan:
        return PLAN.unseen(NOT_TOLD)
    return PLAN.warn("is free") if plan == "free" else PLAN.ok(f"is {plan}")


def judge_instances(service: Row, expected: int) -> Finding:
    """Judge the number of instances; of a service that scales itself Render tells none that runs."""
    if at(service, DETAILS, "autoscaling", "enabled") is True:
        return INSTANCES.warn("are as many as Render's autoscaling decides")
    number = at(service, DETAILS, "numInstances")
    if not isinstance(number, int) or isinstance(number, bool):
        return INSTANCES.unseen(NOT_TOLD)
    if number == expected:
        return INSTANCES.ok(f"are {number}, as in slipway.toml")
    return INSTANCES.warn(f"are {number}, and slipway.toml says {expected}")


def judge_repository(repository: str, expected: Expected) -> Finding:
    """Judge what it is connected to."""
    if not repository:
        return REPOSITORY.unseen(NOT_TOLD)
    if not expected.repository:
        return REPOSITORY.warn(f"is {repository}: whether that is this one is not known without GITHUB_REPOSITORY")
    here = f"{expected.server_url}/{expected.repository}"
    return REPOSITORY.judge(_bare(repository) == _bare(here), f"is {repository}", f", and this one is {here}")


def _bare(url: str) -> str:
    """Give a repository's address as it can be compared: host and path, in small letters."""
    _, _, rest = url.lower().partition("://")
    return rest.rstrip("/").removesuffix(".git")


def judge_branch(branch: str) -> Finding:
    """Judge which branch it follows."""
    return BRANCH.judge(branch == RELEASED, f"is {branch}") if branch else BRANCH.unseen(NOT_TOLD)
