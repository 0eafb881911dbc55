"""The process in which locust's users run: those of two services by turns, a block of time each.

Run as `python -P -m scripts.gates.users LOCUSTFILE`. It reads a command a line on stdin, a JSON object, and answers
each with one on stdout:

    {"do": "meet", "groups": {"base": [URL, 2], …}}    new users for each group, two of them at work at a time -> {}
    {"do": "block", "group": "base", "seconds": .25, "seed": 7}    the gate of one group is open for so long
        -> {"requests": …, "failures": …, "seconds": …, "cpu_s": …, "times_ms": […], "why": […]}
    {"do": "part"}    the users go -> {}

It is locust's own users and sessions, with the locustfile's tasks and listeners; only their pauses are replaced by the
gate: a user who pauses measures the pause. A block ends when the last answer is there. What it means is for others to
decide.
"""

from __future__ import annotations

import locust  # isort: skip  # first: it puts gevent's in place of sockets, threads and clocks

import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from gevent import Greenlet, getcurrent, joinall, sleep, spawn
from gevent.event import Event
from gevent.lock import Semaphore
from locust.env import Environment
from locust.user.task import TaskSet
from locust.util.load_locustfile import load_locustfile

EVENTS: Any = locust.events  # they have no types
LAST_ANSWERS_S = 20.0  # after a block, or a first visit: a service that keeps a user waiting for longer is no service
LEAVE_S = 2.0
MOST_USERS = 50  # waiting for their turn, so that each class is among them
SHOWN_REASONS = 3


class Group:
    """The users of one service, so many of them at work at a time, and the gate that they wait at.

    There are more users than may be at work, each class as often as its weight says: a lighter class has its turn too.
    """

    def __init__(self, url: str, classes: Sequence[type[locust.User]], at_once: int) -> None:
        self._open, self._all_wait, self._turns = Event(), Event(), Semaphore(at_once)
        self._at_work: set[object] = set()
        self._waiting = 0
        self.times_ms: list[float] = []
        self.why: list[str] = []
        self._ended: list[str] = []
        self._environment: Any = Environment(user_classes=list(classes), host=url, events=locust.events)
        cycle = list(by_weight(classes))
        chosen = [cycle[number % len(cycle)] for number in range(max(at_once, min(len(cycle), MOST_USERS)))]
        self._there = len(chosen)
        self._users = [type(each.__name__, (each,), {"host": url})(self._environment) for each in chosen]
        for user in self._users:
            user.gate = self
        self._greenlets: list[Greenlet[..., None]] = []

    def come(self) -> None:
        """Let the users come and pay a first visit, and wait until each is at the gate; raises what `settle` does."""
        EVENTS.init.fire(environment=self._environment, runner=None, web_ui=None)
        EVENTS.test_start.fire(environment=self._environment)
        for user in self._users:
            greenlet = spawn(user.run)
            greenlet.link(self._leave)
            self._greenlets.append(greenlet)
        self.settle()

    def pause(self) -> None:
        """Stand in for the pause between two tasks: wait for the gate, then for one's turn."""
        me = getcurrent()
        self._rest(me)
        sleep(0)  # else whoever gives up a turn takes it again at once, and nobody else ever has one
        while True:
            if not self._open.is_set():
                self._waiting += 1
                self._see_whether_all_wait()
                self._open.wait()
                self._waiting -= 1
            self._turns.acquire()
            self._at_work.add(me)
            if self._open.is_set():
                return
            self._rest(me)

    def _rest(self, me: object) -> None:
        if me in self._at_work:
            self._at_work.remove(me)
            self._turns.release()

    def _leave(self, greenlet: Greenlet[..., None]) -> None:
        """Count a user who ended by itself, and say so: from then on there is less load."""
        self._ended.append(f"a user ended: {greenlet.exception!r}" if greenlet.exception else "a user ended")
        self._rest(greenlet)
        self._there -= 1
        self._see_whether_all_wait()

    def _see_whether_all_wait(self) -> None:
        if self._waiting >= self._there:
            self._all_wait.set()

    def settle(self) -> None:
        """Wait until every user is at the gate.

        Raises:
            TimeoutError: one waits for an answer that does not come.
        """
        if not self._all_wait.wait(LAST_ANSWERS_S):
            raise TimeoutError(f"a user was at work for more than {LAST_ANSWERS_S:g} s after its time")

    def play(self, seconds: float) -> dict[str, Any]:
        """Open the gate for so long, and tell what was measured until the last answer."""
        self.times_ms, self.why = [], []
        self._all_wait.clear()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        self._open.set()
        sleep(seconds)
        self._open.clear()
        self._see_whether_all_wait()
        self.settle()
        self.why = [*self._ended, *self.why]
        return {
            "requests": len(self.times_ms),
            "failures": len(self.why),
            "seconds": time.perf_counter() - start_s,
            "cpu_s": time.process_time() - start_cpu_s,
            "times_ms": [round(each, 3) for each in self.times_ms],
            "why": self.why[:SHOWN_REASONS],
        }

    def end(self) -> None:
        """Let the users go, each with its last words."""
        EVENTS.test_stop.fire(environment=self._environment)
        for greenlet in self._greenlets:
            greenlet.unlink(self._leave)
            greenlet.kill(locust.exception.StopUser, block=False)
        joinall(self._greenlets, timeout=LEAVE_S)


class House:
    """All groups, and which of them is asked just now: what is heard is its own."""

    def __init__(self, classes: Sequence[type[locust.User]]) -> None:
        self._classes = classes
        self._groups: dict[str, Group] = {}
        self._now: Group | None = None
        EVENTS.request.add_listener(self._hear)
        EVENTS.user_error.add_listener(self._stumble)

    def _hear(self, request_type: str, name: str, response_time: float, exception: object, **_: object) -> None:
        if self._now:
            self._now.times_ms.append(response_time or 0.0)
            if exception is not None:
                self._now.why.append(f"{request_type} {name}: {exception}")

    def _stumble(self, exception: BaseException, **_: object) -> None:
        if self._now:
            self._now.why.append(f"the locustfile raised {type(exception).__name__}: {exception}")

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out a command and give the answer."""
        match command["do"]:
            case "meet":
                for name, (url, at_once) in command["groups"].items():
                    self._now = self._groups[name] = Group(url, self._classes, at_once)
                    self._now.come()
            case "block":
                random.seed(command["seed"])  # both sides of a pair are asked for the same things
                self._now = self._groups[command["group"]]
                return self._now.play(command["seconds"])
            case _:
                for group in self._groups.values():
                    group.end()
                self._groups.clear()
        return {}


def by_weight(classes: Sequence[type[locust.User]]) -> Iterator[type[locust.User]]:
    """Give each class as often as its weight says, spread evenly: of 4 to 1 the one comes third."""
    places = [
        ((number + 0.5) / max(1, round(each.weight)), order, each)
        for order, each in enumerate(classes)
        for number in range(max(1, round(each.weight)))
    ]
    return (each for _, _, each in sorted(places, key=lambda row: row[:2]))


def serve(house: House, commands: TextIO, answers: TextIO) -> None:
    """Carry out the commands until there are no more."""
    for line in commands:
        try:
            answer = house.do(json.loads(line))
        except TimeoutError as error:
            answer = {"trouble": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _pause(tasks: Any) -> None:
    """Stand in for `wait` of every set of tasks, also of one with a pause of its own."""
    tasks.user.gate.pause()


def main(words: Sequence[str]) -> None:
    """Load the locustfile, and serve."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # what the locustfile prints is no answer
    TaskSet.wait = _pause  # type: ignore[method-assign]
    users, _ = load_locustfile(str(Path(words[0])))
    classes = [each for each in users.values() if not each.abstract and each.weight > 0]
    if not classes:
        sys.exit("no class of users is in it")
    serve(House(classes), sys.stdin, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
