"""Starts the service of a checkout as production does, puts locust's users on it, and gives what they measured.

What the figures mean is decided in `scripts.gates.objectives`.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx

from scripts.building.blocking import to_the_end
from scripts.client import Client
from scripts.clock import Clock, Deadline, SystemClock
from scripts.errors import ConfigError, PlatformError
from scripts.gates.order import Order
from scripts.gates.stats import Stats, read_stats
from scripts.probe import Witness
from scripts.rehearsal.children import last_lines, run_child
from scripts.rehearsal.supervisor import Artifact, Instance, Supervisor
from scripts.verdict import Check, Sample

LOCUSTFILE = Path("tests") / "load" / "locustfile.py"
POLL_S = 0.1
LAST_ANSWERS_S = 10  # for users to get the answers that they wait for: dropped, the slowest would not be counted
LOCUST_LIMIT_S = 60.0  # beyond its own time, for a busy machine
TRACEBACK = "Traceback (most recent call last)"
SOMETHING_FAILED = 3  # locust's exit code for failed requests and exceptions; its own faults are 1 and 2


async def measure(order: Order, clock: Clock | None = None) -> Stats:
    """Start the service, put the users on it, and leave nothing running.

    Raises:
        ConfigError: locust is not there, or the locustfile is broken.
        PlatformError: the service was never ready, or locust gave no figures.
    """
    _require(order)
    client = Client(clock := clock or SystemClock(), httpx.HTTPTransport())  # a transport: no proxy of the machine's
    with tempfile.TemporaryDirectory(prefix="slipway-load-") as folder:
        try:
            async with Supervisor(order.root, Path(folder), "") as supervisor:
                log = Path(folder) / "build.log"
                artifact = Artifact("checkout", order.root, order.blueprint, order.environment["PATH"], log)
                variables = {**order.environment, **order.blueprint.variables}
                instance = await supervisor.start(artifact, variables, instance_id="service")
                witness = Witness(client, clock, (order.check,), 1)
                await until_ready(order, instance, witness, Deadline.after(clock, order.ready_limit_s))
                return await _put_load(order, instance, witness, Path(folder))
        finally:
            client.close()


def _require(order: Order) -> None:
    missing = [path for path in (order.programs / "locust", order.root / LOCUSTFILE) if not path.is_file()]
    if missing:
        raise ConfigError(
            f"{missing[0]} is not there",
            means="No users can be put on the service; nothing was started.",
            next_step="install requirements-dev.txt" if missing[0].name == "locust" else f"write {LOCUSTFILE}",
        )


async def until_ready(order: Order, instance: Instance, witness: Witness, deadline: Deadline) -> None:
    """Ask until the service is ready.

    Raises:
        PlatformError: it ended, or was not ready by the deadline.
    """
    reason = "nobody asked"
    while not deadline.passed:
        if not instance.running:
            raise _not_started(instance, f"ended with {instance.child.process.returncode} before it was ready")
        sample = await _ask(order, instance, witness)
        if sample.ok:
            return
        reason = sample.reason
        await asyncio.sleep(POLL_S)
    raise _not_started(instance, f"was not ready within {order.ready_limit_s:g} s: {order.check.path}: {reason}")


async def _ask(order: Order, instance: Instance, witness: Witness) -> Sample:
    return await to_the_end(witness.run, instance.url, order.check)


def _not_started(instance: Instance, what: str) -> PlatformError:
    return PlatformError(
        f"the service {what}\n{last_lines(instance.child.log)}".rstrip(),
        means="No load was put on it, so nothing is known of it: this is not a pass.",
        next_step="start it by hand: the startCommand of render.yaml, with HOST and PORT set",
    )


async def _put_load(order: Order, instance: Instance, witness: Witness, folder: Path) -> Stats:
    order.say(f"the service is ready: {order.load.users} users on it for {order.load.duration_s:g} s")
    log = folder / "locust.log"
    code = await _run_locust(order, instance.url, folder, log)
    stats = read_stats((folder / "stats.json").read_text(encoding="utf-8"), order.load.duration_s)
    after = await _ask(order, instance, witness)
    raised = code == SOMETHING_FAILED and (not stats.failures or TRACEBACK in log.read_text(errors="replace"))
    told = tuple(find_faults(code, order.check, after, instance.child.process.returncode, raised=raised))
    if told:
        order.say(f"locust's last lines:\n{last_lines(log)}")
    if told or stats.failures:
        order.say(f"the service's last lines:\n{last_lines(instance.child.log)}")
    return replace(stats, faults=told)


async def _run_locust(order: Order, url: str, folder: Path, log: Path) -> int:
    load = order.load
    limit_s = load.warmup_s + load.duration_s + LAST_ANSWERS_S + LOCUST_LIMIT_S
    try:
        code = await run_child(
            locust_command(order, url, folder / "stats"),
            environment={**order.environment, "HOME": str(folder), "LANG": "C.UTF-8"},
            folder=order.root,
            log=log,
            limit_s=limit_s,
        )
    except TimeoutError as error:
        raise PlatformError(f"locust did not end within {limit_s:g} s\n{last_lines(log)}") from error
    if code < 0:
        raise PlatformError(f"locust was killed by signal {-code}\n{last_lines(log)}".rstrip())
    if not (folder / "stats.json").is_file():
        raise ConfigError(
            f"locust ended with {code} and measured nothing\n{last_lines(log)}".rstrip(),
            means="Nothing is known of the service under load: this is not a pass.",
            next_step=f"mend {LOCUSTFILE}",
        )
    return code


def locust_command(order: Order, url: str, stats: Path) -> list[str]:
    """Give locust's command; what is counted begins when the last user has started, at the end of the warm-up."""
    load = order.load
    # Locust starts the first users at once and more each second, so the warm-up's end is one start more than seconds.
    per_s = math.ceil(load.users / (int(load.warmup_s) + 1))
    return [
        *(str(order.programs / "locust"), "--headless", "--only-summary", "--locustfile", str(order.root / LOCUSTFILE)),
        *("--host", url, "--users", str(load.users), "--spawn-rate", str(per_s)),
        *("--run-time", f"{math.ceil(load.warmup_s + load.duration_s)}s", "--stop-timeout", str(LAST_ANSWERS_S)),
        *(("--processes", str(order.workers)) if order.workers > 1 else ()),
        *("--reset-stats", "--exit-code-on-error", str(SOMETHING_FAILED), "--json-file", str(stats)),
    ]


def find_faults(code: int, check: Check, after: Sample, ended: int | None, *, raised: bool) -> Iterator[str]:
    """Say what went wrong beside the figures; `code` is locust's exit code, `ended` the service's, None while it runs.

    `raised` is whether the locustfile did: locust counts no exception in it as a failed request.
    """
    if ended is not None:
        yield f"the service ended with {ended} under the load"
    elif not after.ok:
        yield f"after the load {check.path} fails: {after.reason}"
    if raised:
        yield f"{LOCUSTFILE} raised an exception"
    if code not in {0, SOMETHING_FAILED}:
        yield f"locust ended with {code}"
