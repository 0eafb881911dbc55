"""The process in which locust's users run: those of two services by turns, a block of time each.

Run as `python -m scripts.gates.users LOCUSTFILE USERS`. It reads a command a line on stdin, a JSON object, and answers
each with one on stdout:

    {"do": "meet", "sides": {"base": URL, "head": URL}}    new users for each service; they wait at a gate -> {}
    {"do": "block", "side": "base", "seconds": .25, "seed": 7}    the gate of one side is open for so long
        -> {"requests": …, "failures": …, "seconds": …, "cpu_s": …, "times_ms": […], "why": […]}
    {"do": "part"}    the users go -> {}

It is locust's own users and sessions, with the locustfile's tasks; only their pauses are replaced by the gate: a user
who pauses measures the pause. A block ends when the last answer is there. What it means is for others to decide.
"""

from __future__ import annotations

import locust  # isort: skip  # first: it puts gevent's in place of sockets, threads and clocks

import itertools
import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from gevent import Greenlet, sleep, spawn
from gevent.event import Event
from locust.env import Environment
from locust.util.load_locustfile import load_locustfile

LAST_ANSWERS_S = 20.0  # after a block, or a first visit: a service that keeps a user waiting for longer is no service
SHOWN_REASONS = 3


class Side:
    """The users of one service, and the gate that they wait at."""

    def __init__(self, url: str, classes: Sequence[type[locust.User]], count: int) -> None:
        self._url, self._open, self._all_wait = url, Event(), Event()
        self._waiting, self._count = 0, count
        self.times_ms: list[float] = []
        self.why: list[str] = []
        environment: Any = Environment(user_classes=list(classes), host=url)  # its events have no types
        environment.events.request.add_listener(self._hear)
        environment.events.user_error.add_listener(self._stumble)
        chosen = itertools.islice(itertools.cycle(by_weight(classes)), count)
        self._greenlets: list[Greenlet[..., None]] = [spawn(self._gated(each)(environment).run) for each in chosen]

    def _gated(self, user: type[locust.User]) -> type[locust.User]:
        return type(user.__name__, (user,), {"wait_time": self._pause, "host": self._url})

    def _pause(self, *_: object) -> float:
        """Stand in for the pause between two tasks: none while the gate is open."""
        if not self._open.is_set():
            self._waiting += 1
            if self._waiting == self._count:
                self._all_wait.set()
            self._open.wait()
            self._waiting -= 1
        return 0.0

    def _hear(self, request_type: str, name: str, response_time: float, exception: object, **_: object) -> None:
        self.times_ms.append(response_time)
        if exception is not None:
            self.why.append(f"{request_type} {name}: {exception}")

    def _stumble(self, exception: BaseException, **_: object) -> None:
        self.why.append(f"the locustfile raised {type(exception).__name__}: {exception}")

    def settle(self) -> None:
        """Wait until every user is at the gate.

        Raises:
            TimeoutError: one waits for an answer that does not come.
        """
        if not self._all_wait.wait(LAST_ANSWERS_S):
            raise TimeoutError(f"a user waited for an answer for more than {LAST_ANSWERS_S:g} s")

    def play(self, seconds: float) -> dict[str, Any]:
        """Open the gate for so long, and tell what was measured until the last answer."""
        self.times_ms, self.why = [], []
        self._all_wait.clear()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        self._open.set()
        sleep(seconds)
        self._open.clear()
        self.settle()
        return {
            "requests": len(self.times_ms),
            "failures": len(self.why),
            "seconds": time.perf_counter() - start_s,
            "cpu_s": time.process_time() - start_cpu_s,
            "times_ms": [round(each, 3) for each in self.times_ms],
            "why": self.why[:SHOWN_REASONS],
        }

    def end(self) -> None:
        """Let the users go."""
        for greenlet in self._greenlets:
            greenlet.kill(block=False)


def by_weight(classes: Sequence[type[locust.User]]) -> Iterator[type[locust.User]]:
    """Give each class as often as its weight says, spread evenly: of 4 to 1 the one comes third."""
    places = [
        ((number + 0.5) / each.weight, order, each)
        for order, each in enumerate(classes)
        for number in range(int(each.weight))
    ]
    return (each for _, _, each in sorted(places, key=lambda row: row[:2]))


def serve(classes: Sequence[type[locust.User]], count: int, commands: TextIO, answers: TextIO) -> None:
    """Carry out the commands until there are no more."""
    sides: dict[str, Side] = {}
    for line in commands:
        command = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            match command["do"]:
                case "meet":
                    sides = {name: Side(url, classes, count) for name, url in command["sides"].items()}
                    for side in sides.values():
                        side.settle()
                case "block":
                    random.seed(command["seed"])  # both sides of a pair are asked for the same things
                    answer = sides[command["side"]].play(command["seconds"])
                case _:
                    for side in sides.values():
                        side.end()
        except TimeoutError as error:
            answer = {"trouble": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(words: Sequence[str]) -> None:
    """Load the locustfile, and serve."""
    users, _ = load_locustfile(str(Path(words[0])))
    classes = [each for each in users.values() if not each.abstract and each.weight > 0]
    serve(classes, int(words[1]), sys.stdin, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
