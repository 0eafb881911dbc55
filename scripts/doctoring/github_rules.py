"""What GitHub answers of environments and of required checks, judged. Facts: GitHub's REST API reference.

An environment has `protection_rules` (`type` required_reviewers, wait_timer, branch_policy) and
`deployment_branch_policy`: null, or `protected_branches` or `custom_branch_policies` true. A rule of a branch has
`type` and `parameters`; a branch has `protected`, and of classic protection `protection.required_status_checks`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scripts.doctoring.finding import Finding, Subject
from scripts.doctoring.reading import Row, at, text

RELEASED = "main"  # the branch that release.yml ships
NEEDED = "checks / required"  # the job `required` of the called workflow, under the name of the job that calls it
STRANGE = "GitHub tells it in a form that is not known"
WHOLE_PAGE = 100

LIMIT = "A workflow of any other branch that may use it could read its secrets."
LIMIT_IT = "Settings, Environments: Deployment branches and tags, Selected, with the one branch main"
MAKE_IT = "make it: Settings, Environments, with the secrets of the README's table"
PRODUCTION = Subject("github", "production", "A release takes its secrets from this environment.", MAKE_IT)
BRANCHES = Subject("github", "production-branches", LIMIT, LIMIT_IT)
ROLLBACK = Subject(
    "github", "production-rollback", "Rollback and recovery take their secrets from this environment.", MAKE_IT
)
REVIEWERS = Subject(
    "github",
    "production-rollback-rules",
    "A rollback would wait for somebody, and nobody approves one at three in the morning.",
    "Settings, Environments, production-rollback: no required reviewers, no wait timer, no custom rule",
)
ROLLBACK_BRANCHES = Subject("github", "production-rollback-branches", LIMIT, LIMIT_IT)
REQUIRED = Subject(
    "github",
    "required-check",
    "A pull request that is red could be merged, and would stop in the next release instead.",
    f"require the check `{NEEDED}` on main: Settings, Rules, or Settings, Branches",
)


def find_environment(listed: object, name: str) -> Row | None:
    """Give an environment of the list; GitHub does not tell capital letters from small ones in their names."""
    rows = (row for row in _rows(at(listed, "environments")) if text(row, "name").lower() == name)
    return next(rows, None)


def judge_existence(subject: Subject, found: Row | None, listed: object) -> Finding:
    """Judge whether there is such an environment; a list that is cut off or none at all does not tell."""
    if found is not None:
        return subject.ok("exists")
    rows, total = at(listed, "environments"), at(listed, "total_count")
    if not isinstance(rows, list) or not isinstance(total, int) or total > len(rows):
        return subject.unseen(STRANGE if not isinstance(rows, list) else "the list of environments is not complete")
    return subject.fail("does not exist")


def judge_waiting(found: Row) -> Finding:
    """Judge whether a job of this environment begins at once."""
    rules = at(found, "protection_rules")
    if not isinstance(rules, list):
        return REVIEWERS.unseen(STRANGE)
    kinds = {text(rule, "type") for rule in rules}
    waits = sorted(kinds & {"required_reviewers", "wait_timer"})
    if waits:
        return REVIEWERS.fail(f"make it wait: {', '.join(waits)}")
    if strange := kinds - {"branch_policy"}:
        return REVIEWERS.warn(f"have a kind that is not known: {', '.join(sorted(strange)) or STRANGE}")
    return REVIEWERS.ok("let a rollback begin at once")


def judge_branches(subject: Subject, found: Row, policies: object) -> Finding:
    """Judge whether main alone may use an environment; `policies` are the patterns, where it has some."""
    if "deployment_branch_policy" not in found:
        return subject.unseen("GitHub does not tell it")
    policy = found["deployment_branch_policy"]
    if policy is None:
        return subject.fail("are not limited: any branch may use it")
    if at(policy, "protected_branches") is True:
        return subject.warn("are all protected ones: it is main alone only while no other branch is protected")
    if at(policy, "custom_branch_policies") is not True:
        return subject.unseen(STRANGE)
    return _judge_patterns(subject, policies)


def _judge_patterns(subject: Subject, policies: object) -> Finding:
    rows, total = at(policies, "branch_policies"), at(policies, "total_count")
    names = [f"{text(row, 'type') or 'branch'} {text(row, 'name')}" for row in _rows(rows)]
    if not isinstance(rows, list) or len(names) != len(rows):
        return subject.unseen(STRANGE)
    if total != len(rows) and names == [f"branch {RELEASED}"]:
        return subject.unseen("the list of branches is not complete")
    return subject.judge(names == [f"branch {RELEASED}"], f"are: {', '.join(names) or 'none'}")


def judge_required(rules: object, branch: object, hidden: str) -> Finding:
    """Judge whether main requires the check, by a ruleset or by classic protection; `hidden` says what was refused."""
    by_rule = NEEDED in _required_by_rules(rules)
    by_branch = NEEDED in _required_by_branch(branch)
    if by_rule or by_branch:
        return REQUIRED.ok(f"`{NEEDED}` is required on main by {'a ruleset' if by_rule else 'branch protection'}")
    if hidden:
        return REQUIRED.unseen(hidden)
    if (
        not isinstance(rules, list)
        or len(_rows(rules)) != len(rules)
        or len(rules) >= WHOLE_PAGE
        or not isinstance(at(branch, "protected"), bool)
    ):
        return REQUIRED.unseen(STRANGE)
    if at(branch, "protected") is True:
        return REQUIRED.unseen("main is protected, and this token is not told by what: look at it as an administrator")
    return REQUIRED.fail(f"`{NEEDED}` is not required on main: no ruleset asks for it, and main is not protected")


def _required_by_rules(rules: object) -> Iterator[str]:
    for rule in _rows(rules):
        if text(rule, "type") == "required_status_checks":
            for check in _rows(at(rule, "parameters", "required_status_checks")):
                yield text(check, "context")


def _required_by_branch(branch: object) -> Iterator[str]:
    """Give the checks of classic protection; `enforcement_level` off means that nothing is enforced."""
    checks = at(branch, "protection", "required_status_checks")
    if text(checks, "enforcement_level") == "off":
        return
    contexts = at(checks, "contexts")
    yield from (name for name in (contexts if isinstance(contexts, list) else []) if isinstance(name, str))
    for check in _rows(at(checks, "checks")):
        yield text(check, "context")


def _rows(value: object) -> list[Row]:
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []
