"""Read a platform's API for `doctor`: bounded GETs, and what they answer taken apart without believing its form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Never
from urllib.parse import urlencode, urlsplit

from scripts.client import Answer, Client, expect_object
from scripts.clock import Clock, Deadline
from scripts.doctoring.finding import Finding, Subject
from scripts.errors import ConfigError, PlatformError, PlatformUnreachable
from scripts.platforms import hide
from scripts.redaction import Secret

CALL_S = 20.0  # seconds that one question may take, with its repetitions
ACCOUNT_S = 60.0  # seconds for all questions to one account
SAID = 200  # characters of a platform's own words that are told
OK, NOT_FOUND, TOO_MANY, SERVER_ERROR = 200, 404, 429, 500

Row = Mapping[str, object]


class Budget:
    """How long one account may be asked."""

    def __init__(self, clock: Clock, seconds: float = ACCOUNT_S) -> None:
        self.clock = clock
        self._until = Deadline.after(clock, seconds)

    @property
    def left_s(self) -> float:
        """Seconds that the next question may take."""
        return min(CALL_S, self._until.left_s)

    def call(self) -> Deadline:
        """Give the deadline of the next question."""
        return Deadline.after(self.clock, self.left_s)


@dataclass(frozen=True)
class Reader:
    """A platform's API, asked with a token; `hidden` are the secrets that it may repeat in its answers."""

    client: Client
    budget: Budget
    platform: str
    url: str
    token: Secret
    hidden: Sequence[Secret]

    def read(self, path: str, what: str, query: Mapping[str, str] | None = None) -> Row:
        """Read an object.

        Raises:
            PlatformUnreachable: no answer within the deadline.
            ConfigError: the token may not.
            PlatformError: there is no such thing, or the answer is none.
        """
        found = self.find(path, what, query)
        if found is None:
            raise PlatformError(f"{self.platform}, {what}: answered 404")
        return found

    def find(self, path: str, what: str, query: Mapping[str, str] | None = None) -> Row | None:
        """Read an object; None where there is none. Raises as `read` does."""
        name = f"{self.platform}, {what}"
        asked = f"?{urlencode(query)}" if query else ""
        headers = {"authorization": f"Bearer {self.token.reveal()}", "accept": "application/json"}
        deadline = self.budget.call()
        answer = self.client.request("GET", self.url + path + asked, what=name, deadline=deadline, headers=headers)
        answer = hide(self.hidden, answer)
        if answer.status == NOT_FOUND:
            return None
        if answer.status != OK:
            refuse(answer, name)
        return expect_object(answer, name)


def refuse(answer: Answer, name: str) -> Never:
    """Raise the error of our tree for an answer that gives nothing to judge."""
    said = _words(answer.json())
    what = f"{name}: answered {answer.status}" + (f" ({said})" if said else "")
    if answer.status in {401, 403}:
        raise ConfigError(what)
    if answer.status == TOO_MANY or answer.status >= SERVER_ERROR:
        raise PlatformUnreachable(what)
    raise PlatformError(what)


def _words(body: object) -> str:
    said = at(body, "message") or at(body, "error", "message")
    return said[:SAID] if isinstance(said, str) else ""


def attempt[T](read: Callable[[], T]) -> tuple[T | None, str]:
    """Give what was read, or None and why the token may not see it or what it makes no sense of.

    Raises:
        PlatformUnreachable: there was no answer.
    """
    try:
        return read(), ""
    except PlatformUnreachable:
        raise
    except (ConfigError, PlatformError) as error:
        return None, error.what


def looked(subjects: Iterable[Subject], look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Give what a look finds; what the token may not see, or what makes no sense, is to be looked at by a person.

    Raises:
        PlatformUnreachable: there was no answer.
    """
    found, why = attempt(lambda: tuple(look()))
    yield from found if found is not None else (subject.unseen(why) for subject in subjects)


def reached(api: Subject, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Give findings, and whether the API answered: the first question without an answer is the last one."""
    try:
        yield from findings
    except PlatformUnreachable as error:
        yield api.fail(f"could not be reached, and what comes after was not looked at: {error.what}")
    else:
        yield api.ok("answers")


def host_of(url: str) -> str:
    """Give the host of a URL as it can be compared, with its port and without a password; empty where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    return f"{parts.hostname or ''}:{port}" if port else parts.hostname or ""


def at(value: object, *names: str) -> object:
    """Give what is at a path in JSON; None where any part of it is missing or no object."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text(value: object, *names: str) -> str:
    """Give the text at a path in JSON; empty where there is none."""
    found = at(value, *names)
    return found if isinstance(found, str) else ""
