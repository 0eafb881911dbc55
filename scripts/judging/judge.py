"""The decision, each second: it is worse, it may pass, or go on; and at the end, nobody knows, or who is at fault.

*fail*: the money of all bets together has grown a thousandfold. *pass*: it has not grown, and every "it is bad" is
refuted. Where the old release answers beside the new one, the times of both decide too, and trouble that both have is
not held against the new one. Where it does not, failures alone decide: drift cannot be told from a regression; an
answer that takes longer than its check allows is a failure everywhere. Pure: no clock, no IO.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from scripts.judging.book import Book, Stream
from scripts.judging.streams import ALPHA, ERRORS
from scripts.verdict import Outcome, Sample

WARM_UP_S = 5.0  # in which nothing is said about times
SHARED_S = 4  # of trouble in both: then it is said who is at fault
STARVED_SHARE = 0.25  # of the seconds, in which the prober itself was late
MOST_LOG = 700.0  # that math.exp takes


@dataclass(frozen=True)
class Limits:
    """When a watch may end and must, in seconds, and the share of requests that may fail by promise."""

    least_s: float = 30.0
    most_s: float = 120.0
    error_rate: float = 0.001


@dataclass(frozen=True)
class Judgement:
    """Where all bets stand: `outcome` None means go on."""

    outcome: Outcome | None
    reason: str
    log_e: float
    open_questions: tuple[str, ...] = ()
    environment: bool = False


class Judge:
    """Fed with a block of answers each second, of the new release and, where there are, of the old one beside it."""

    def __init__(self, endpoints: Sequence[str], limits: Limits) -> None:
        self.limits = limits
        self.t_s = 0.0
        self.starved_s = 0
        self._book = Book(endpoints, limits.error_rate)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that are judged."""
        return self._book.endpoints

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Where each stream stands."""
        return self._book.streams

    def log_e_of(self, name: str) -> float:
        """Give the logarithm of the money of a stream, of all endpoints and each."""
        return self._book.log_e_of(name)

    def learn(self, rows: Iterable[Sample]) -> None:
        """Learn the old release's habits from what it answered before: its baseline, second by second."""
        for _, block in by_second(rows):
            self._book.old.observe(block, settled=False)

    def observe(self, t_s: float, rows: Sequence[Sample], *, starved: bool = False) -> Judgement:
        """Take the answers of the second that ends `t_s` seconds after the first probe; their order does not matter.

        `starved`: the prober could not keep its rate, so the second says nothing about the service.

        Raises:
            ValueError: time went backwards, or an answer is of an endpoint that is not judged.
        """
        if not t_s >= self.t_s:  # not a number, too
            raise ValueError(f"time went from {self.t_s} to {t_s}")
        if unknown := {row.endpoint for row in rows} - set(self.endpoints):
            raise ValueError(f"no endpoint to judge: {min(unknown)}")
        warm = self.t_s >= WARM_UP_S
        self.t_s = t_s
        if starved:
            self.starved_s += 1
        else:
            self._book.take(rows, times_too=warm)
        return self.judge()

    def judge(self) -> Judgement:
        """Decide: fail at any time, pass from `least_s` on, and an end at `most_s`."""
        book, log_e = self._book, self._book.log_e
        proof = math.log(1 / ALPHA)
        if log_e >= proof and (book.fails_more or book.log_e_without_errors >= proof):
            return Judgement(Outcome.FAIL, f"{self._tell_proof()}, proven at {self.t_s:.0f} s", log_e)
        if self.t_s < self.limits.least_s:
            return Judgement(None, book.tell(), log_e)
        questions = tuple(book.open_questions())
        over = self.t_s >= self.limits.most_s
        alike = log_e >= proof and book.fails_alike
        if 2 * book.shared_s >= self.t_s or (over and (alike or book.shared_s >= SHARED_S)):
            told = f"environment or a shared dependency: the current release fails beside it; {book.tell()}"
            return Judgement(Outcome.ERROR, told, log_e, questions, environment=True)
        if log_e <= 0 and not questions:
            return Judgement(Outcome.PASS, book.tell(), log_e)
        if over and log_e >= proof:
            return Judgement(Outcome.FAIL, f"{self._tell_proof()}, proven at {self.t_s:.0f} s", log_e)
        if over and self.starved_s >= STARVED_SHARE * self.t_s:
            told = f"the runner was too busy to probe in {self.starved_s} of {self.t_s:.0f} s; {book.tell()}"
            return Judgement(Outcome.ERROR, told, log_e, questions)
        if over:
            doubt = "; ".join(questions) or f"evidence against it remains (E = {math.exp(min(log_e, MOST_LOG)):.2g})"
            return Judgement(Outcome.INCONCLUSIVE, f"{book.tell()} after {self.t_s:.0f} s; {doubt}", log_e, questions)
        return Judgement(None, book.tell(), log_e, questions)

    def _tell_proof(self) -> str:
        """Tell the stream that the proof is made of; where it is failures, all of them, and which are the most."""
        worst = max(self.streams, key=lambda row: math.log(row.share) + row.log_e)
        return self._book.tell() if worst.name == ERRORS else worst.told


def seconds_of(rows: Iterable[Sample]) -> Iterator[tuple[int, list[Sample]]]:
    """Give every second of a watch, from its first on, those without an answer too."""
    due = 0
    for second, block in by_second(rows):
        yield from ((empty, []) for empty in range(due, second))
        yield second, block
        due = second + 1


def by_second(rows: Iterable[Sample]) -> Iterator[tuple[int, list[Sample]]]:
    """Part samples into seconds, each with its number; seconds without any are left out."""
    block: list[Sample] = []
    second = 0
    for row in rows:
        now = math.floor(row.t_s)
        if block and now != second:
            yield second, block
            block = []
        second = now
        block.append(row)
    if block:
        yield second, block
