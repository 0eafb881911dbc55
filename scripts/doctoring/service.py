"""A service at its public URL, asked as a release asks it: does it answer what a release can prove itself by?

Only GETs are sent, and each of the configured checks once: how it does under traffic is for `bake` to see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scripts.client import Answer, Client
from scripts.config import SECRET_IN_HEADER, CheckSection, Config
from scripts.doctoring.finding import Finding, Subject
from scripts.doctoring.reading import Budget
from scripts.identity import LEAST_ANSWERS, Seen
from scripts.platforms import hide
from scripts.probe import VERSION, Witness
from scripts.redaction import Secret
from scripts.release import Deployment, Sha, short
from scripts.verdict import CANDIDATE

PAUSE_S = 0.2

SERVES = Subject(
    "",
    "version",
    "A release is proven by the full commit in the answers of /version, and by nothing else.",
    "see that the service runs, that the URL in slipway.toml leads to it, and that GET /version answers"
    ' {"commit": "<full SHA>", "instance": "<id>"}',
)
INSTANCE = Subject(
    "",
    "instance-ids",
    "With instance ids every instance is seen; without, several answers in a row are taken for all of them.",
    "let /version tell an id of its process, as app/ does",
)
NO_STORE = Subject(
    "",
    "no-store",
    "A cache between the service and its users could answer with another release's commit.",
    "let /version answer with Cache-Control: no-store",
)
AGREES = Subject(
    "",
    "platform",
    "Where platform and service disagree, a deploy is under way, or the URL leads somewhere else.",
    "wait for the deploy's end and run doctor again; else look where the URL leads",
)
CHECK = Subject(
    "",
    "check",
    "A critical check that fails now fails in every release, and takes it back.",
    "mend the service, or the check in slipway.toml",
)
SUBJECTS = (SERVES, INSTANCE, NO_STORE, AGREES, CHECK)


@dataclass(frozen=True)
class Live:
    """What a platform says is live; not `known` where it could not be asked."""

    known: bool = False
    deployment: Deployment | None = None

    @property
    def commit(self) -> Sha | None:
        """Its commit."""
        return self.deployment.commit if self.deployment else None


UNKNOWN = Live()


@dataclass(frozen=True)
class Service:
    """One target's service; `headers` go with every question, `where` ends sentences on secrets."""

    client: Client
    budget: Budget
    config: Config
    secrets: Mapping[str, Secret]
    target: str
    url: str
    live: Live
    headers: Mapping[str, str] = field(default_factory=dict)
    where: str = ""

    def examine(self) -> Iterator[Finding]:
        """Look at what answers."""
        seen = self._ask_version()
        commits = {each.commit for each in seen if each.commit}
        serves = bool(commits) or may_serve(seen, self.live)
        yield judge_version(self._about(SERVES), seen, self.live)
        if commits:
            yield judge_instance(self._about(INSTANCE), seen)
            yield judge_cache(self._about(NO_STORE), self._ask("/version", {}, VERSION.timeout_s))
            yield judge_agreement(self._about(AGREES), commits, self.live)
        for section in self.config.checks:
            yield self._check(section, serves=serves)

    def _about(self, subject: Subject, name: str = "") -> Subject:
        return replace(subject, area=self.target, name=name or subject.name)

    def _ask_version(self) -> list[Seen]:
        """Ask on fresh connections; each may take so long that a service that sleeps wakes up meanwhile."""
        witness = Witness(self.client, self.budget.clock, (), 1, headers=self.headers)
        seen = []
        for _ in range(LEAST_ANSWERS):
            seen.append(witness.ask_version(self.url, max(0.001, self.budget.left_s)))
            self.budget.call().pause(PAUSE_S)
        return seen

    def _ask(self, path: str, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Ask once; what the answer repeats of the secrets is hidden before a part of it is told."""
        sent = {"cache-control": "no-cache", **self.headers, **headers}
        limit_s = max(0.001, min(timeout_s, self.budget.left_s))
        answer = self.client.probe(self.url + path, headers=sent, timeout_s=limit_s)
        return hide(self.secrets.values(), answer)

    def _check(self, section: CheckSection, *, serves: bool) -> Finding:
        """Run a check, unless a secret for its headers is missing, or it could change something."""
        about = self._about(CHECK, f"check {section.name}")
        names = [name for value in section.headers.values() for name in SECRET_IN_HEADER.findall(value)]
        if missing := [name for name in names if name not in self.secrets]:
            return about.fail(
                f"cannot be asked: {', '.join(missing)} is not set{self.where}", f"set the secret {missing[0]}"
            )
        if section.method != "GET":
            return about.warn(f"was not asked: it is a {section.method}, and only GETs change nothing for certain")
        if self.budget.left_s <= 0:
            return about.unseen("the answers before it took all the time there was")
        check = self.config.model_copy(update={"checks": (section,)}).checks_with(self.secrets)[0]
        sample = Witness.judge_answer(check, self._ask(check.path, check.headers, check.timeout_s), CANDIDATE, 0.0)
        if sample.ok:
            return about.ok(f"answers {check.status} as expected")
        says = f"fails now: {sample.reason}"
        return about.fail(says) if check.critical and serves else about.warn(says)


def judge_version(about: Subject, seen: Sequence[Seen], live: Live) -> Finding:
    """Judge what answers; nothing at all is well only where nothing was ever released."""
    commits = {each.commit for each in seen if each.commit}
    reasons = "; ".join(dict.fromkeys(each.reason for each in seen if not each.commit))
    if len(commits) > 1:
        return about.warn(f"names {len(commits)} commits: {', '.join(sorted(short(each) for each in commits))}")
    if commits and not reasons:
        return about.ok(f"names {short(*commits)} in {len(seen)} answers over fresh connections")
    if commits:
        return about.warn(f"names {short(*commits)}, and not in every answer: {reasons}")
    if not may_serve(seen, live):
        nothing = "nothing was released yet" if live.known else "nothing was released yet, or the URL leads nowhere"
        return about.warn(f"names no commit: {nothing}: {reasons}")
    if any(each.answered for each in seen):
        return about.warn(f"is missing in what serves now, which cannot be proven: {reasons}")
    serving = live.deployment.id if live.deployment else "something"
    return about.fail(f"names no commit, and the platform says that {serving} serves: {reasons}")


def may_serve(seen: Sequence[Seen], live: Live) -> bool:
    """Tell whether users should be answered: the platform says so or, where it cannot be asked, something answers.

    A platform answers 404 itself where nothing is live, so that its own word comes first.
    """
    return live.deployment is not None if live.known else any(each.answered for each in seen)


def judge_instance(about: Subject, seen: Sequence[Seen]) -> Finding:
    """Judge whether answers tell which instance gave them."""
    named = {each.instance for each in seen if each.commit and each.instance}
    nameless = [each for each in seen if each.commit and not each.instance]
    if nameless:
        return about.warn(f"are missing in {len(nameless)} of {len(seen)} answers of /version")
    return about.ok(f"are told: {len(named)} seen in {len(seen)} answers")


def judge_cache(about: Subject, answer: Answer) -> Finding:
    """Judge whether a cache may keep the answer of /version."""
    if answer.status == 0:
        return about.unseen(f"no answer ({answer.error})")
    words = {word.strip().lower() for word in answer.headers.get("cache-control", "").split(",")}
    said = answer.headers.get("cache-control", "nothing")
    return about.ok("is said by /version") if "no-store" in words else about.warn(f"is not said: Cache-Control: {said}")


def judge_agreement(about: Subject, commits: set[Sha], live: Live) -> Finding:
    """Judge whether the platform's live deployment is what answers."""
    answered = ", ".join(sorted(short(each) for each in commits))
    if not live.known:
        return about.unseen("it could not be asked which commit is live")
    if live.deployment is not None and live.commit is None:
        return about.unseen(f"it names no commit for {live.deployment.id}, which is live")
    if live.deployment is None:
        return about.warn(f"says that nothing is live, and {answered} answers")
    says = f"says that {live.deployment.id} of {short(live.commit)} is live"
    return about.judge(commits == {live.commit}, says, f", and {answered} answers")
