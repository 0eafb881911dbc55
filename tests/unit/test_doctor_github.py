"""`doctor` on a repository on GitHub: every finding, well and not well, and by nothing else."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.doctoring import github
from scripts.doctoring.github_rules import PRODUCTION as ENVIRONMENT
from scripts.doctoring.github_rules import judge_branches, judge_existence, judge_required, judge_waiting
from tests.unit.fake_accounts import Change, World, all_of, drop, fault, forget, names, only, put, visit

AREA = "github"
API = "api.github.com/repos/acme/shop"
PRODUCTION, ROLLBACK = 0, 1
ENVIRONMENTS = ("production", "production-branches", "production-rollback", "production-rollback-rules")
ALL_UNSEEN = {f"github {name}": "warn" for name in (*ENVIRONMENTS, "production-rollback-branches")}
CONTEXT = "checks / required"


def environment(number: int, *path: str | int, to: Any) -> Any:
    """Change an environment."""
    return put("environments", "environments", number, *path, to=to)


def without(name: str) -> Any:
    """Take an environment away."""

    def act(world: World) -> None:
        kept = [row for row in world.environments["environments"] if row["name"] != name]
        world.environments = {"total_count": len(kept), "environments": kept}

    return act


def rule(kind: str, **keys: Any) -> Any:
    """Put a protection rule on the environment of rollbacks."""
    return environment(ROLLBACK, "protection_rules", to=[{"id": 1, "type": "branch_policy"}, {"type": kind, **keys}])


def patterns(*rows: dict[str, str]) -> Any:
    """Let these branches use the environment of releases."""
    return put("policies", "production", to={"total_count": len(rows), "branch_policies": list(rows)})


def protection(contexts: list[str], level: str = "non_admins") -> dict[str, Any]:
    """Make classic protection as GET /branches/main tells it."""
    return {"enabled": True, "required_status_checks": {"enforcement_level": level, "contexts": contexts, "checks": []}}


NO_RULES = put("rules", to=[])
CHANGES = (
    Change("no token", forget("GITHUB_TOKEN"), {"github token": "warn"}),
    Change(
        "no repository",
        drop("environment", "GITHUB_REPOSITORY"),
        {"github token": "warn", "render repository": "warn"},
    ),
    Change(
        "a strange repository",
        put("environment", "GITHUB_REPOSITORY", to="acme/shop/../../user"),
        {"github token": "fail", "render repository": "fail"},
    ),
    Change(
        "in the clear",
        put("environment", "GITHUB_API_URL", to="http://ghe.example/api/v3"),
        {"github token": "fail"},
    ),
    Change("a wrong token", put("secrets", "GITHUB_TOKEN", to="ghs_other"), {"github token": "fail"}),
    Change("a token of others", put("repository", to=None), {"github token": "fail"}),
    Change("another repository", put("repository", "full_name", to="acme/other"), {"github token": "fail"}),
    Change("no name", put("repository", to={}), {"github token": "fail"}),
    Change("GitHub is down", fault("api.github.com/.*", httpx.Response(502)), {"github api": "fail"}),
    Change("GitHub is silent", fault("api.github.com/.*", httpx.ConnectTimeout("x")), {"github api": "fail"}),
    Change("the rules are down", fault(f"{API}/rules/.*", httpx.Response(500)), {"github api": "fail"}),
    Change("environments are refused", fault(f"{API}/environments", httpx.Response(403)), ALL_UNSEEN),
    Change("no production", without("production"), {"github production": "fail"}),
    Change("no production-rollback", without("production-rollback"), {"github production-rollback": "fail"}),
    Change(
        "a list that is cut off",
        all_of(without("production"), put("environments", "total_count", to=101)),
        {"github production": "warn"},
    ),
    Change("reviewers", rule("required_reviewers", reviewers=[{}]), {"github production-rollback-rules": "fail"}),
    Change("a timer", rule("wait_timer", wait_timer=5), {"github production-rollback-rules": "fail"}),
    Change("a custom rule", rule("gatekeeper"), {"github production-rollback-rules": "warn"}),
    Change(
        "rules not told",
        environment(ROLLBACK, "protection_rules", to=None),
        {"github production-rollback-rules": "warn"},
    ),
    Change(
        "any branch",
        environment(PRODUCTION, "deployment_branch_policy", to=None),
        {"github production-branches": "fail"},
    ),
    Change(
        "any branch rolls back",
        environment(ROLLBACK, "deployment_branch_policy", to=None),
        {"github production-rollback-branches": "fail"},
    ),
    Change(
        "protected branches",
        environment(
            PRODUCTION, "deployment_branch_policy", to={"protected_branches": True, "custom_branch_policies": False}
        ),
        {"github production-branches": "warn"},
    ),
    Change("a second branch", patterns({"name": "main"}, {"name": "dev"}), {"github production-branches": "fail"}),
    Change("a pattern", patterns({"name": "main*"}), {"github production-branches": "fail"}),
    Change("a tag", patterns({"name": "main", "type": "tag"}), {"github production-branches": "fail"}),
    Change("no branch", patterns(), {"github production-branches": "fail"}),
    Change("patterns are hidden", put("policies", "production", to=None), {"github production-branches": "warn"}),
    Change(
        "patterns are cut off",
        put("policies", "production", "total_count", to=200),
        {"github production-branches": "warn"},
    ),
    Change("no rule", NO_RULES, {"github required-check": "warn"}),
    Change(
        "no rule, no protection",
        all_of(NO_RULES, put("branch", "protected", to=False)),
        {"github required-check": "fail"},
    ),
    Change(
        "another check",
        all_of(NO_RULES, put("branch", "protection", to=protection(["required"]))),
        {"github required-check": "warn"},
    ),
    Change(
        "not enforced",
        all_of(NO_RULES, put("branch", "protection", to=protection([CONTEXT], "off"))),
        {"github required-check": "warn"},
    ),
    Change("rules are hidden", put("rules", to=None), {"github required-check": "warn"}),
    Change(
        "rules are hidden, and no protection",
        all_of(put("rules", to=None), put("branch", "protected", to=False)),
        {"github required-check": "warn"},
    ),
    Change(
        "no branch main",
        all_of(NO_RULES, put("branch", to=None)),
        {"github required-check": "warn"},
    ),
    Change("no variable", put("environment", "SLIPWAY_TARGETS", to=" "), {"github targets": "warn"}),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for the files of every world here."""
    return tmp_path_factory.mktemp("doctor")


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_each_change_is_found(change: Change, folder: Path) -> None:
    """One thing that is wrong is one finding that is not ok, and the exit code follows the worst."""
    world = World().narrowed(AREA)
    change.act(world)
    seen = visit(world, folder)
    assert seen.unwell_in(AREA) == only(AREA, change.unwell)
    assert seen.code == (10 if "fail" in seen.unwell.values() else 0)


def test_every_finding_is_seen_both_ways(folder: Path) -> None:
    """No finding exists that is never well, or that nothing can make unwell."""
    known = names(github.SUBJECTS, "github")
    good = visit(World(), folder)
    assert {name for name in good.findings if name.startswith("github ")} == known
    assert {name for change in CHANGES for name in change.unwell if name.startswith("github ")} == known


WELL = (
    Change(
        "classic protection",
        all_of(NO_RULES, put("branch", "protection", to=protection([CONTEXT], "everyone"))),
        {},
    ),
    Change(
        "classic protection, rules hidden",
        all_of(put("rules", to=None), put("branch", "protection", to=protection([CONTEXT]))),
        {},
    ),
    Change("a ruleset, the branch hidden", put("branch", to=None), {}),
    Change(
        "reviewers of releases", environment(PRODUCTION, "protection_rules", to=[{"type": "required_reviewers"}]), {}
    ),
    Change("capital letters", environment(PRODUCTION, "name", to="Production"), {}),
    Change("an older server, whose patterns have no type", patterns({"name": "main"}), {}),
    Change("a slash at the end", put("environment", "GITHUB_API_URL", to="https://api.github.com/"), {}),
)


@pytest.mark.parametrize("change", WELL, ids=lambda change: change.name)
def test_what_is_well_another_way(change: Change, folder: Path) -> None:
    """The other ways to set a repository up well are well too."""
    world = World().narrowed(AREA)
    change.act(world)
    world.policies["Production"] = world.policies["production"]
    assert visit(world, folder).unwell_in(AREA) == {}


STRANGE: tuple[Any, ...] = (None, True, 7, "x", [], [7], [[]], {}, {"x": 1})


@pytest.mark.parametrize("value", STRANGE, ids=repr)
def test_a_strange_value_is_never_well(value: Any) -> None:
    """Answers of another form than documented are never well, and break nothing."""
    subject = ENVIRONMENT
    assert judge_existence(subject, None, value).level == "warn"
    assert judge_existence(subject, None, {"environments": value, "total_count": 5}).level == "warn"
    if value != []:
        assert judge_waiting({"protection_rules": value}).level == "warn"
    assert judge_branches(subject, {}, value).level == "warn"
    assert judge_branches(subject, {"deployment_branch_policy": value}, {}).level in {"warn", "fail"}
    custom = {"deployment_branch_policy": {"custom_branch_policies": True}}
    assert judge_branches(subject, custom, value).level == "warn"
    assert judge_branches(subject, custom, {"branch_policies": value}).level in {"warn", "fail"}
    assert judge_required(value, {"protected": value}, "").level in {"warn", "fail"}
    assert judge_required([{"type": "required_status_checks", "parameters": value}], value, "").level == "warn"
    assert judge_required([], {"protected": True, "protection": value}, "").level == "warn"


@pytest.mark.parametrize("name", ["required", "checks/required", "Checks / required", "checks / required "])
def test_a_check_of_nearly_the_name(name: str) -> None:
    """A check of another name can never report, or is another one: it is not taken for ours."""
    rules = [{"type": "required_status_checks", "parameters": {"required_status_checks": [{"context": name}]}}]
    assert judge_required(rules, {"protected": True}, "").level == "warn"


def test_the_token_goes_to_github_alone(folder: Path) -> None:
    """The job's token is sent to the API of the repository, and to no other host."""
    world = World()
    visit(world, folder)
    hosts = {request.url.host for request in world.requests if "ghs_" in request.headers.get("authorization", "")}
    assert hosts == {"api.github.com"}
