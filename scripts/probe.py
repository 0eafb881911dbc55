"""Observe a service: which commit answers, and whether its checks hold. Nothing here decides.

Probes are sent at a fixed rate whether or not earlier ones were answered (an open loop): a service that slows down is
asked as often as one that does not.
"""

from __future__ import annotations

import itertools
import queue
import random
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from scripts.client import Answer, Client
from scripts.clock import Clock, Deadline
from scripts.identity import Seen
from scripts.release import parse_sha
from scripts.verdict import CANDIDATE, CURRENT, Check, Sample

VERSION = Check(name="version", path="/version")
BLOCK_S = 1.0
NOT_FOUND = 404
LONGEST_SHOWN = 60  # characters
NO_CONNECTION_FREE = "PoolTimeout"  # httpx: what hangs before it has taken every connection


@dataclass(frozen=True)
class Observation:
    """One probe's sample, and the commit it saw where it asked for one; `sent` says whether it left this machine."""

    sample: Sample
    seen: Seen | None = None
    sent: bool = True


@dataclass(frozen=True)
class Watched:
    """A service that is probed; at `beside` the current release answers too, and is asked at the same moments."""

    witness: Witness
    url: str
    beside: str = ""


@dataclass(frozen=True)
class Block:
    """What came back in about a second, of each service; `late_s` is how much behind its rate the prober was."""

    answers: tuple[list[Observation], ...]
    late_s: float


def start_thread(work: Callable[[], None]) -> None:
    """Run on a thread that never keeps the process alive: what hangs must not delay a rollback, or the end."""
    threading.Thread(target=work, daemon=True).start()


@dataclass(frozen=True)
class Probe:
    """What is to be asked: the next check of a watch, by its number; `pair` joins two that are sent together."""

    url: str
    number: int
    arm: str
    started_s: float
    pair: int | None = None


class Witness:
    """What asks a service; `headers` go with every probe, `spawn` starts one without waiting for it."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        checks: Sequence[Check],
        rate_per_s: float,
        spawn: Callable[[Callable[[], None]], None] = start_thread,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.checks = checks
        self.rate_per_s = rate_per_s
        self._client = client
        self._clock = clock
        self._spawn = spawn
        self._headers = headers or {}

    @property
    def deciding(self) -> tuple[Check, ...]:
        """The checks that decide: the critical ones, and `/version`, which every release must answer."""
        return (*(check for check in self.checks if check.critical), VERSION)

    def ask_version(self, url: str, timeout_s: float = VERSION.timeout_s) -> Seen:
        """Ask which commit serves, on a new connection, past every cache."""
        return self._seen(self._ask(url, VERSION, timeout_s, fresh=True))

    def run(self, url: str, check: Check) -> Sample:
        """Run one check now; the sample's time is left at 0."""
        return self.judge_answer(check, self._ask(url, check, check.timeout_s, fresh=False), CANDIDATE, 0.0)

    def watch(self, url: str, arm: str, started_s: float, until: Deadline) -> Iterator[list[Observation]]:
        """Watch one service; see `watch_side_by_side`."""
        for block in watch_side_by_side([Watched(self, url)], arm, started_s, until):
            yield block.answers[0]

    def send(self, probe: Probe, put: Callable[[Observation], None]) -> None:
        """Start a probe of the deciding checks, each once a round; what comes back is put."""

        def work() -> None:
            check = self._check_of(probe.number)
            answer = self._ask(probe.url, check, check.timeout_s, fresh=check is VERSION)
            seen = self._seen(answer) if check is VERSION else None
            t_s = self._clock.monotonic() - probe.started_s
            sample = replace(self.judge_answer(check, answer, probe.arm, t_s, seen), pair=probe.pair)
            put(Observation(sample, seen, sent=answer.error != NO_CONNECTION_FREE))

        self._spawn(work)

    def _check_of(self, number: int) -> Check:
        """Give the check of a probe: each round has an order of its own, the same for both arms of a pair.

        Always the same order would ask the same instance for the same check, where a balancer gives turns.
        """
        checks = self.deciding
        order = random.Random(number // len(checks)).sample(checks, len(checks))  # noqa: S311 - no secret
        return order[number % len(checks)]

    def _ask(self, url: str, check: Check, timeout_s: float, *, fresh: bool) -> Answer:
        """Send a probe; the unique parameter and the header keep a cache from answering for the service."""
        headers: Mapping[str, str] = {"cache-control": "no-cache", **self._headers, **check.headers}
        mark = f"{'&' if '?' in check.path else '?'}slipway={secrets.token_hex(6)}" if check is VERSION else ""
        target = url + check.path + mark
        return self._client.probe(target, method=check.method, headers=headers, timeout_s=timeout_s, fresh=fresh)

    @staticmethod
    def _seen(answer: Answer) -> Seen:
        if answer.status == 0:
            return Seen(None, reason=f"no answer ({answer.error})")
        if cached := _cached(answer):
            return Seen(None, reason=cached)
        if answer.status != VERSION.status:
            return Seen(None, reason=f"{VERSION.path} answered {answer.status}", answered=answer.status == NOT_FOUND)
        body = answer.json()
        commit = parse_sha(body.get("commit")) if isinstance(body, dict) else None
        if not isinstance(body, dict) or commit is None:
            return Seen(None, reason=f"{VERSION.path} named no full commit", answered=True)
        instance = body.get("instance")
        return Seen(commit, instance if isinstance(instance, str) and instance else None)

    @staticmethod
    def judge_answer(check: Check, answer: Answer, arm: str, t_s: float, seen: Seen | None = None) -> Sample:
        """Hold an answer against a check's expectation."""
        reason = seen.reason if seen else _deviation(check, answer)
        return Sample(t_s, check.name, arm, answer.ms, not reason, reason)


def watch_side_by_side(watched: Sequence[Watched], arm: str, started_s: float, until: Deadline) -> Iterator[Block]:
    """Probe several services at the same moments, at the rate of the first.

    Gives, about each second and at the end, what came back from each. `started_s` is the monotonic time that counts
    as 0 in the samples, whose own time is that of the answer.
    """
    clock, rate_per_s = until.clock, watched[0].witness.rate_per_s
    answers: list[queue.SimpleQueue[Observation]] = [queue.SimpleQueue() for _ in watched]
    begin = clock.monotonic()
    block_end, late_s = begin + BLOCK_S, 0.0
    for number in itertools.count():
        due_s = begin + number / rate_per_s
        clock.sleep(min(due_s, until.at_s) - clock.monotonic())
        late_s = max(late_s, clock.monotonic() - min(due_s, until.at_s))
        if clock.monotonic() >= block_end:
            yield Block(tuple(_drain(rows) for rows in answers), late_s)
            block_end, late_s = block_end + BLOCK_S, 0.0
        if due_s >= until.at_s or until.passed:
            break
        for service, rows in zip(watched, answers, strict=True):
            for probe in _probes(service, number, arm, started_s):
                service.witness.send(probe, rows.put)
    rest = tuple(_drain(rows) for rows in answers)
    if any(rest):
        yield Block(rest, late_s)


def _probes(service: Watched, number: int, arm: str, started_s: float) -> list[Probe]:
    """Give one probe, or the two of a pair in an order by chance: whoever is asked first must not be the faster one."""
    if not service.beside:
        return [Probe(service.url, number, arm, started_s)]
    pair = [
        Probe(service.url, number, arm, started_s, number),
        Probe(service.beside, number, CURRENT, started_s, number),
    ]
    return pair if secrets.randbelow(2) else pair[::-1]


def _deviation(check: Check, answer: Answer) -> str:
    """Say what differs from the expectation; empty where nothing does."""
    if answer.status == 0:
        return f"no answer ({answer.error})"
    if cached := _cached(answer):
        return cached
    if answer.status != check.status:
        return f"expected status {check.status}, got {answer.status}"
    if not check.json:
        return ""
    body = answer.json()
    wrong = [name for name, value in check.json.items() if not _same(_at(body, name), value)]
    return f"expected {wrong[0]} = {check.json[wrong[0]]!r}, got {_shown(_at(body, wrong[0]))}" if wrong else ""


def _shown(value: object) -> str:
    """Give a value of a foreign answer, whole or not at all: of a secret that is cut nobody would know the rest."""
    told = repr(value)
    return told if len(told) <= LONGEST_SHOWN else f"{len(told)} characters"


def _cached(answer: Answer) -> str:
    age = answer.headers.get("age", "0")
    return "" if age in {"", "0"} else f"a cache answered, {age[:9]} s old"


def _same(got: object, expected: object) -> bool:
    """Compare as JSON does: 1 is 1.0, but true is not 1."""
    return got == expected and isinstance(got, bool) is isinstance(expected, bool)


def _at(body: object, dotted: str) -> object:
    for part in dotted.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _drain(answers: queue.SimpleQueue[Observation]) -> list[Observation]:
    rows = []
    while not answers.empty():
        rows.append(answers.get_nowait())
    return rows
