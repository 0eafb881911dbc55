"""The processes in which locust's users run, spoken to and added up. What runs in each is `scripts.gates.users`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scripts.errors import ConfigError, PlatformError
from scripts.gates.measuring import LOCUSTFILE
from scripts.rehearsal.children import Child, end_child, last_lines, start_child

ANSWER_LIMIT_S = 60.0  # for one block, whose last answers have 20 s
WORKERS = 1_000  # at most: each has numbers of its own to make its choices from
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class UsersOf:
    """Whose users: the checkout that their locustfile is in; and in how many processes they run."""

    checkout: Path
    workers: int


@dataclass(frozen=True)
class Block:
    """What the users of one service measured in a block; `client`: what the busiest process took of a core."""

    requests: int
    failures: int
    seconds: float
    client: float
    times_ms: tuple[float, ...]
    why: tuple[str, ...] = ()


class Crowd:
    """The users of two services, in one process or several; on exit none of them runs any more."""

    def __init__(self, users: UsersOf, environment: Mapping[str, str], folder: Path) -> None:
        self._users, self._environment, self._folder = users, environment, folder
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        """Start the processes; they wait."""
        try:
            for number in range(self._users.workers):
                self._children.append(await self._start(number))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self, number: int) -> Child:
        # -P and PYTHONPATH: `scripts` is ours, and what the locustfile imports is of its own checkout.
        return await start_child(
            [sys.executable, "-P", "-m", "scripts.gates.users", str(self._users.checkout / LOCUSTFILE)],
            environment={**self._environment, "HOME": str(self._folder), "PYTHONPATH": str(ROOT)},
            folder=self._users.checkout,
            log=self._folder / f"users-{number}.log",
            talks=True,
        )

    async def __aexit__(self, *_: object) -> None:
        """End them."""
        await asyncio.gather(*(end_child(child, 0) for child in self._children))

    async def meet(self, groups: Mapping[str, tuple[str, int]]) -> None:
        """Let new users come to the service of each group, so many of them at work at a time; raises as `play`."""
        shares = {name: split(count, self._users.workers) for name, (_, count) in groups.items()}
        await self._tell(
            [
                {"do": "meet", "groups": {name: (url, shares[name][number]) for name, (url, _) in groups.items()}}
                for number in range(self._users.workers)
            ]
        )

    async def part(self) -> None:
        """Let them go; raises as `play`."""
        await self._tell([{"do": "part"}] * self._users.workers)

    async def play(self, group: str, seconds: float, seed: int) -> Block:
        """Let the users of one group ask without a pause for so long.

        Raises:
            PlatformError: a user got no answer, or a process ended.
            ConfigError: the locustfile is broken.
        """
        answers = await self._tell(
            [
                {"do": "block", "group": group, "seconds": seconds, "seed": seed * WORKERS + number}
                for number in range(self._users.workers)
            ]
        )
        return add_up(answers)

    async def _tell(self, commands: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
        asking = (
            self._ask(child, json.dumps(command).encode() + b"\n")
            for child, command in zip(self._children, commands, strict=True)
        )
        try:
            return await asyncio.wait_for(asyncio.gather(*asking), ANSWER_LIMIT_S)
        except TimeoutError as error:
            raise PlatformError(f"the users did not answer within {ANSWER_LIMIT_S:g} s") from error

    async def _ask(self, child: Child, line: bytes) -> dict[str, object]:
        stdin, stdout = child.process.stdin, child.process.stdout
        if stdin is None or stdout is None:
            raise TypeError("a process with pipes is needed")
        try:
            stdin.write(line)
            await stdin.drain()
            told = await stdout.readline()
        except (BrokenPipeError, ConnectionResetError):
            told = b""
        if not told:
            await child.process.wait()
            raise ConfigError(
                f"the users' process ended with {child.process.returncode}\n{last_lines(child.log)}".rstrip(),
                means="Nothing was compared.",
                next_step=f"mend {LOCUSTFILE}",
            )
        answer: dict[str, object] = json.loads(told)
        if trouble := answer.get("trouble"):
            raise PlatformError(str(trouble), means="Nothing is known of the service: this is not a pass.")
        return answer


def split(users: int, workers: int) -> tuple[int, ...]:
    """Give how many users each process has: as even as can be."""
    return tuple(users // workers + (number < users % workers) for number in range(workers))


def add_up(answers: Sequence[Mapping[str, object]]) -> Block:
    """Add up what several processes measured at the same time; raises what `read` does."""
    rows = [read(answer) for answer in answers]
    return Block(
        sum(row.requests for row in rows),
        sum(row.failures for row in rows),
        max(row.seconds for row in rows),
        max(row.client for row in rows),
        tuple(time for row in rows for time in row.times_ms),
        tuple(reason for row in rows for reason in row.why),
    )


def read(answer: Mapping[str, object]) -> Block:
    """Read what one process measured.

    Raises:
        PlatformError: it makes no sense.
    """
    match answer:
        case {
            "requests": int(requests),
            "failures": int(failures),
            "seconds": float(seconds),
            "cpu_s": float(cpu_s),
            "times_ms": list(times_ms),
            "why": list(why),
        }:
            return Block(
                requests, failures, seconds, cpu_s / seconds, tuple(map(float, times_ms)), tuple(map(str, why))
            )
        case _:
            raise PlatformError("the users' process answered nonsense", means="Nothing was compared.")
