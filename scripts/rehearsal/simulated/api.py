"""What a platform's API in memory does with every call: outages, refusals, answers that get lost, and cuts."""

from __future__ import annotations

from collections.abc import Callable

from scripts.errors import OutcomeUnknown, PlatformUnreachable, SlipwayError
from scripts.rehearsal.simulated.moments import Cut, StillClock

RETRIES_S = 7.5  # what the client spends on an API that does not answer


class Api:
    """The part that is the same for every platform; the attributes, which a platform sets, are its faults."""

    clock: StillClock
    cut: Cut
    unknown_outcome: dict[str, bool]  # method: whether it was carried out all the same
    refuses: dict[str, SlipwayError]
    down_after: dict[str, float]  # method: seconds without an API once it is carried out
    interrupted_in: str  # the method that is carried out, and whose answer the run does not live to see
    outages: list[tuple[float, float]]
    mutations: list[tuple[str, str]]
    _events: list[tuple[float, Callable[[], object]]]

    def _advance(self) -> None:
        """Let happen what was to happen until now."""
        raise NotImplementedError

    def at(self, moment_s: float, event: Callable[[], object]) -> None:
        """Let something happen at a moment."""
        self._events.append((moment_s, event))
        self._events.sort(key=lambda pair: pair[0])

    def asked(self, method: str) -> list[str]:
        """Give the arguments of every mutation of one kind."""
        return [argument for name, argument in self.mutations if name == method]

    def api_is_down(self, seconds: float, *, from_s: float | None = None) -> None:
        """Let the API, not the service, be unreachable for a while."""
        begin = self.clock.now_s if from_s is None else from_s
        self.outages.append((begin, begin + seconds))

    def _begin_call(self) -> None:
        self.cut.tick()
        self._advance()
        if any(begin <= self.clock.now_s < end for begin, end in self.outages):
            self.clock.sleep(RETRIES_S)
            raise PlatformUnreachable("the API does not answer")

    def _mutate[T](self, method: str, argument: str, act: Callable[[], T]) -> T:
        self._begin_call()
        if method in self.refuses:
            raise self.refuses[method]
        if method in self.unknown_outcome and not self.unknown_outcome[method]:
            raise OutcomeUnknown(f"{method}: sent, but not answered")
        self.mutations.append((method, argument))
        given = act()
        if method in self.down_after:
            self.api_is_down(self.down_after[method])
        if method == self.interrupted_in:
            self.interrupted_in = ""
            raise KeyboardInterrupt
        self.cut.tick()
        if method in self.unknown_outcome:
            raise OutcomeUnknown(f"{method}: sent, but not answered")
        return given
