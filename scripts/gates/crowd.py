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
from scripts.rehearsal.children import Child, end_child, last_lines, start_child

ANSWER_LIMIT_S = 60.0  # for one block, whose last answers have 20 s
ROOT = Path(__file__).resolve().parents[2]


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

    def __init__(self, locustfile: Path, counts: Sequence[int], environment: Mapping[str, str], folder: Path) -> None:
        self._locustfile, self._counts = locustfile, counts
        self._environment, self._folder = environment, folder
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        """Start the processes; they wait."""
        for number, count in enumerate(self._counts):
            child = await start_child(
                [sys.executable, "-m", "scripts.gates.users", str(self._locustfile), str(count)],
                environment={**self._environment, "HOME": str(self._folder), "PYTHONPATH": str(ROOT)},
                folder=self._folder,
                log=self._folder / f"users-{number}.log",
                talks=True,
            )
            self._children.append(child)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End them."""
        await asyncio.gather(*(end_child(child, 0) for child in self._children))

    async def meet(self, urls: Mapping[str, str]) -> None:
        """Let new users come to each service and pay a first visit; raises what `play` does."""
        await self._tell({"do": "part"})
        await self._tell({"do": "meet", "sides": dict(urls)})

    async def play(self, side: str, seconds: float, seed: int) -> Block:
        """Let the users of one service ask without a pause for so long.

        Raises:
            PlatformError: a user got no answer, or a process ended.
            ConfigError: the locustfile is broken.
        """
        answers = await self._tell({"do": "block", "side": side, "seconds": seconds, "seed": seed})
        return _add_up(answers)

    async def _tell(self, command: Mapping[str, object]) -> list[dict[str, object]]:
        line = json.dumps(command).encode() + b"\n"
        try:
            return await asyncio.wait_for(
                asyncio.gather(*(self._ask(child, line) for child in self._children)), ANSWER_LIMIT_S
            )
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
                next_step=f"mend {self._locustfile.name}",
            )
        answer: dict[str, object] = json.loads(told)
        if trouble := answer.get("trouble"):
            raise PlatformError(str(trouble), means="Nothing is known of the service: this is not a pass.")
        return answer


def split(users: int, workers: int) -> tuple[int, ...]:
    """Give how many users each process has: as even as can be, and none without any."""
    workers = max(1, min(users, workers))
    return tuple(users // workers + (number < users % workers) for number in range(workers))


def _add_up(answers: Sequence[Mapping[str, object]]) -> Block:
    rows = [_read(answer) for answer in answers]
    return Block(
        sum(row.requests for row in rows),
        sum(row.failures for row in rows),
        max(row.seconds for row in rows),
        max(row.client for row in rows),
        tuple(time for row in rows for time in row.times_ms),
        tuple(reason for row in rows for reason in row.why),
    )


def _read(answer: Mapping[str, object]) -> Block:
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
