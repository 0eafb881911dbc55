"""Tell a chat what became of a release, by a webhook that takes Slack's `{"text": …}`.

What is told is decided by `judge_news` and made by `render_text`; `post` sends it. A webhook that does not answer
changes nothing about the release.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from scripts.client import Client
from scripts.clock import Clock, Deadline
from scripts.config import LOOPBACK
from scripts.errors import PlatformError
from scripts.foreign import for_slack
from scripts.journal import Event, Kind
from scripts.redaction import Secret
from scripts.report import Result, from_and_to, names_of, reason_of, state_of, title_of
from scripts.state import RunState
from scripts.summary import NAME, NO_REASON, SOMEBODY, own_next_step, told_next_step

TOLD = "told: "  # before the result, in the journal's note
NEWS = frozenset({Result.ROLLED_BACK, Result.STILL_BROKEN})
LIMIT_S = 10.0  # for all tries together
TRY_S = 4.0
PAUSE_S = 1.0
MOST_TARGETS = 10
SERVER_ERROR = 500


def judge_news(events: Iterable[Event], result: Result) -> bool:
    """Say whether a result is to be told: a bad one, or any that differs from what was told of this release before."""
    before = None
    for event in events:
        if event.kind is Kind.RELEASE:
            before = None
        elif event.kind is Kind.NOTE and event.text("text").startswith(TOLD):
            before = event.text("text").removeprefix(TOLD)
    return result != before and (result in NEWS or before is not None)


def render_text(state: RunState, environment: Mapping[str, str]) -> str:
    """Give the message: what became of it, where, why, on whose wish, and where to look."""
    step = for_slack(told_next_step(state) or own_next_step(state))
    lines = [
        for_slack(title_of(state)),
        *(_target_line(state, name) for name in names_of(state)[:MOST_TARGETS]),
        *(f"Why: {for_slack(reason)}" for reason in _reasons(state)),
        *_asked_by(state),
        *([f"Next: {step}"] if step else []),
        run_url(environment),
    ]
    return "\n".join(line for line in lines if line)


def _asked_by(state: RunState) -> list[str]:
    release = state.release
    if release is None or not release.by_hand:
        return []
    return [f"Asked for by {for_slack(release.by, NAME) or SOMEBODY}: {for_slack(release.why) or NO_REASON}"]


def _target_line(state: RunState, name: str) -> str:
    old, new = from_and_to(state, name)
    return f"{for_slack(name, NAME)}: {old} → {new}, {state_of(state, name)}"


def _reasons(state: RunState) -> list[str]:
    """Give why it began, and why it could not be helped."""
    bad = [reason_of(row) for row in state.stages.values() if row.verdict is None or not row.verdict.passed]
    return list(dict.fromkeys([*bad[:1], *bad[-1:]]))


def run_url(environment: Mapping[str, str]) -> str:
    """Give the address of the workflow's run; empty outside of one."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (environment.get(name, "") for name in names)
    url = f"{server}/{repository}/actions/runs/{run}"
    return url if re.fullmatch(r"https?://[\w.:-]+(/[\w.-]+){2}/actions/runs/\d+", url, re.ASCII) else ""


def post(client: Client, clock: Clock, secret: Secret, text: str, try_s: float = TRY_S) -> str:
    """Send a message, once more where the server failed or did not answer; give what went wrong, empty for nothing.

    Told twice is better than never, so an outcome that is not known is a reason to repeat.
    """
    url = secret.reveal()
    if not _acceptable(url):
        return "its URL is not one: https is needed"
    deadline = Deadline.after(clock, LIMIT_S)
    trouble, again = _try(client, url, text, deadline, try_s)
    if again:
        deadline.pause(PAUSE_S)
    return _try(client, url, text, deadline, try_s)[0] if again and not deadline.passed else trouble


def _acceptable(url: str) -> bool:
    if re.search(r"[\s\x00-\x20\x7f]", url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def _try(client: Client, url: str, text: str, deadline: Deadline, timeout_s: float) -> tuple[str, bool]:
    """Send once; give what went wrong, and whether another try may help."""
    try:
        answer = client.request(
            "POST", url, what="the webhook", deadline=deadline, payload={"text": text}, timeout_s=timeout_s
        )
    except PlatformError as error:
        return error.what, True
    if 200 <= answer.status < 300:
        return "", False
    return f"the webhook answered {answer.status}", answer.status >= SERVER_ERROR
