"""The book of all bets on one release: fed with a second of answers at a time, it says where each stream stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scripts.judging.betting import log_sum
from scripts.judging.habits import Old
from scripts.judging.streams import ERRORS, PAIRS, SLOW, Beside, Events, Pair, Shift, Waiting, Worse
from scripts.verdict import CANDIDATE, CURRENT, Sample

LEAST_TOLERATED_SLOW, MOST_TOLERATED_SLOW = 0.03, 0.5
BAD_ERRORS, BAD_ENDPOINT, BAD_SLOW = 0.02, 0.25, 0.10
BAD_TIMES, BAD_TIMES_ENDPOINT = 1.5, 2.0
SHARED_LEAST, SHARED_SHARE, SHARED_SLOW_SHARE = 2, 0.1, 0.2
SHARES = {ERRORS: (0.35, 0.15), PAIRS: (0.15, 0.15), SLOW: (0.10, 0.10)}  # pooled, and of all endpoints together


@dataclass(frozen=True)
class Stream:
    """Where the bets of one stream stand; `endpoint` is empty for all of them together."""

    name: str
    endpoint: str
    share: float
    log_e: float
    told: str


class Book:
    """All bets on one release, of the endpoints named; `error_rate` is the share of requests that may fail."""

    def __init__(self, endpoints: Sequence[str], error_rate: float) -> None:
        self.endpoints = tuple(endpoints)
        self.old = Old(self.endpoints)
        self.why: Counter[str] = Counter()
        self.shared_s = 0  # seconds in which both failed
        self._error_rate = error_rate
        self._errors = {"": Events(ERRORS, BAD_ERRORS)}
        self._slow = {"": Events(SLOW, BAD_SLOW)}
        self._shift = {"": Shift(BAD_TIMES)}
        for name in self.endpoints:
            self._errors[name] = Events(ERRORS, BAD_ENDPOINT)
            self._slow[name] = Events(SLOW, BAD_SLOW)
            self._shift[name] = Shift(BAD_TIMES_ENDPOINT)
        self._beside = Beside(error_rate)
        self._waiting = Waiting()
        self._old_sent: Counter[str] = Counter()
        self._old_good: Counter[str] = Counter()

    def take(self, rows: Sequence[Sample], *, times_too: bool) -> None:
        """Take the answers of a second, in any order; `times_too`: the service has warmed up."""
        new = sorted((row for row in rows if row.arm == CANDIDATE), key=_in_order)
        old = sorted((row for row in rows if row.arm == CURRENT), key=_in_order)
        pairs = self._waiting.match([*new, *old], CANDIDATE)
        self._take_beside(new, old, pairs)
        shared = self._take_errors(new, old)
        if times_too:
            self._take_slow(new, old)
            self._take_pairs(pairs)
        self.old.observe(old, settled=times_too, shared=shared)
        self._old_sent.update(row.endpoint for row in old)
        self._old_good.update(row.endpoint for row in old if row.ok)

    def _take_beside(
        self, new: Sequence[Sample], old: Sequence[Sample], pairs: Sequence[tuple[Sample, Sample]]
    ) -> None:
        """Bet on which of them fails alone; of answers that are no pairs as if none failed together."""
        if pairs:
            alone = [(not own.ok, not other.ok) for own, other in pairs if own.ok is not other.ok]
            self._beside.observe(len(pairs), sum(bad for bad, _ in alone), sum(bad for _, bad in alone))
        elif new and old:
            both = min(len(new), len(old))
            counts = (sum(not row.ok for row in rows) * both / len(rows) for rows in (new, old))
            self._beside.observe(both, *counts)

    def _take_errors(self, new: Sequence[Sample], old: Sequence[Sample]) -> bool:
        """Bet on the failures of a second, unless both fail, more than is usual: then it is shared trouble."""
        bad, old_bad = [row for row in new if not row.ok], sum(not row.ok for row in old)
        self.why.update(f"{row.endpoint}: {row.reason or 'failed'}" for row in bad)
        usual = self.old.pooled.failing.tolerated(0.0)
        if bad and old_bad >= max(SHARED_LEAST, (usual + SHARED_SHARE) * len(old)):
            self.shared_s += 1
            return True
        pooled = self.old.pooled.failing.tolerated(self._error_rate)
        sent, failed = Counter(row.endpoint for row in new), Counter(row.endpoint for row in bad)
        self._errors[""].observe(len(new), len(bad), pooled)
        for name, habits in self.old.by_endpoint.items():
            self._errors[name].observe(sent[name], failed[name], habits.failing.tolerated(pooled))
        return False

    def _take_slow(self, new: Sequence[Sample], old: Sequence[Sample]) -> None:
        """Bet on the slow answers of a second, where the old release answers beside it, well and not slow itself."""
        well = {row.endpoint for row in old} - {row.endpoint for row in old if not row.ok}
        beside = [row for row in old if row.endpoint in well]
        usual = _tolerated_slow(self.old.pooled.slow.bound)
        slow_too = sum(bool(self.old.is_slow(row)) for row in beside)
        if slow_too >= max(SHARED_LEAST, (usual + SHARED_SLOW_SHARE) * len(beside)):
            return
        rows = [row for row in new if row.ok and row.endpoint in well]
        known = [(row.endpoint, slow) for row in rows if (slow := self.old.is_slow(row)) is not None]
        sent, late = Counter(name for name, _ in known), Counter(name for name, slow in known if slow)
        self._slow[""].observe(sent.total(), late.total(), usual)
        for name, habits in self.old.by_endpoint.items():
            self._slow[name].observe(sent[name], late[name], _tolerated_slow(habits.slow.bound))

    def _take_pairs(self, pairs: Sequence[tuple[Sample, Sample]]) -> None:
        """Bet on which of each pair was slower, of those that were both answered well."""
        rows = [
            Pair(new.endpoint, new.ms, old.ms, self.old.by_endpoint[new.endpoint].pace.spread)
            for new, old in pairs
            if new.ok and old.ok and new.endpoint == old.endpoint
        ]
        if rows:
            self._shift[""].observe(rows)
            for name in self.endpoints:
                self._shift[name].observe([row for row in rows if row.endpoint == name])

    @property
    def log_e(self) -> float:
        """The logarithm of E, the mean of all streams' money by their shares: an e-value however they hang together."""
        return log_sum([(share, bets.fine.log_money) for _, _, share, bets in self._bets()])

    def log_e_of(self, name: str) -> float:
        """Give the logarithm of the money of one stream, pooled and by endpoint, as if there were no other."""
        return log_sum(
            [(share / sum(SHARES[name]), bets.fine.log_money) for kind, _, share, bets in self._bets() if kind == name]
        )

    @property
    def log_e_without_errors(self) -> float:
        """The same, had nobody won or lost on failures."""
        rows = ((name, share, bets) for name, _, share, bets in self._bets())
        return log_sum([(share, 0.0 if name == ERRORS else bets.fine.log_money) for name, share, bets in rows])

    @property
    def fails_more(self) -> bool:
        """Whether it fails more often than the old release at the same time; so too, where that one never fails."""
        return self._beside.proven

    @property
    def fails_alike(self) -> bool:
        """Whether the old release fails at least half as often at the same time."""
        return 2 * self._beside.old_failed >= self._beside.new_failed

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Where each stream stands."""
        return tuple(
            Stream(name, place, share, bets.fine.log_money, self.tell(name, place))
            for name, place, share, bets in self._bets()
        )

    def _bets(self) -> Iterator[tuple[str, str, float, Worse]]:
        all_bets: Mapping[str, Mapping[str, Worse]]
        all_bets = {ERRORS: self._errors, PAIRS: self._shift, SLOW: self._slow}
        for name, by_endpoint in all_bets.items():
            pooled, each = SHARES[name]
            for endpoint, bets in by_endpoint.items():
                yield name, endpoint, each / max(1, len(self.endpoints)) if endpoint else pooled, bets

    def open_questions(self) -> Iterator[str]:
        """Give what is so bad that it must be ruled out before a release passes, and is not."""
        for name, bets in self._errors.items():
            if not bets.ruled_out:
                yield f"{bets.bar:.0%} errors on {name or 'all endpoints'} not ruled out"
        if 2 * self._old_good.total() < max(1, self._old_sent.total()):
            return  # an old release that does not answer is nothing to compare times with
        if self._slow[""].sent and not self._slow[""].ruled_out:
            yield f"{self._slow[''].bar:.0%} slow answers not ruled out"
        if self._shift[""].pairs:
            for name, shift in self._shift.items():
                answers = 2 * self._old_good[name] >= self._old_sent[name]  # of the old release, on this endpoint
                if not shift.ruled_out and answers:
                    yield f"{name or 'all endpoints'} ×{shift.bad_times:g} slower not ruled out"

    def tell(self, name: str = ERRORS, endpoint: str = "") -> str:
        """Say what a stream saw."""
        where = f" of {endpoint}" if endpoint else ""
        if name == PAIRS:
            shift = self._shift[endpoint]
            return f"answers{where} take ×{shift.times:.2f} as long as the current release's ({shift.pairs} pairs)"
        bets = (self._errors if name == ERRORS else self._slow)[endpoint]
        share = f"{bets.events / max(1, bets.sent):.1%}, tolerated {bets.tolerated:.2%}"
        if name == SLOW:
            return f"{bets.events} of {bets.sent} answers{where} are three times as slow as usual ({share})"
        text = f"{bets.events} of {bets.sent} probes{where} failed"
        if not bets.events:
            return text
        reasons = (why for why, _ in self.why.most_common() if not endpoint or why.startswith(f"{endpoint}: "))
        return f"{text} ({share}), most often {next(reasons, '')}"


def _tolerated_slow(bound: float) -> float:
    return min(MOST_TOLERATED_SLOW, max(LEAST_TOLERATED_SLOW, bound))


def _in_order(row: Sample) -> tuple[float, str, int, float, bool]:
    return (row.t_s, row.endpoint, -1 if row.pair is None else row.pair, row.ms, row.ok)
