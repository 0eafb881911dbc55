"""Parse, wire, call one stage, print, exit. The only reader of the environment.

Imports inside functions keep `--help` fast, and keep a verb from loading what only another one needs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Never

from scripts.arguments import TOOL_VERBS, build_parser

if TYPE_CHECKING:
    from scripts.config import Config
    from scripts.console import Console
    from scripts.redaction import Secret
    from scripts.stage import Ports, Verdicts
    from scripts.verdict import Verdict
    from scripts.wiring import Given

Environment = Mapping[str, str]


def main(words: list[str], environment: Environment | None = None) -> int:
    """Run one verb and give its exit code."""
    environment = os.environ if environment is None else environment
    arguments = build_parser().parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    if arguments.verb in TOOL_VERBS or arguments.verb == "resolve":
        return _run_tool(arguments, environment)
    return _guarded(arguments, environment)


def _interrupt(*_: object) -> Never:
    """Turn SIGTERM into what SIGINT is: the stage journals that it was interrupted, and exits 130."""
    raise KeyboardInterrupt


def _run_tool(arguments: argparse.Namespace, environment: Environment) -> int:
    from scripts.errors import SlipwayError

    try:
        return _tool(arguments.verb)(arguments, environment)
    except SlipwayError as error:
        print(f"error  {error}", file=sys.stderr)  # noqa: T201 - no console yet, and no secrets here
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def _tool(verb: str) -> Callable[[argparse.Namespace, Environment], int]:
    """Give what runs a tool; each is imported only where it is asked for."""
    name = {
        "build": "scripts.build",
        "check": "scripts.gates.check",
        "coverage": "scripts.gates.coverage",
        "judge": "scripts.judging.command",
        "load": "scripts.gates.load",
        "lint": "scripts.gates.lint",
        "lock": "scripts.gates.lock",
        "propose": "scripts.propose",
        "rehearse": "scripts.rehearsal.command",
        "required": "scripts.gates.required",
        "resolve": "scripts.resolve",
        "simulate": "scripts.simulating.command",
    }.get(verb, "scripts.gates.testing")
    run: Callable[[argparse.Namespace, Environment], int] = importlib.import_module(name).run
    return run


def _guarded(arguments: argparse.Namespace, environment: Environment) -> int:
    """Run a stage verb; whatever it raises becomes a clear end, and no output holds a secret."""
    from scripts.console import Console
    from scripts.errors import SlipwayError
    from scripts.redaction import Redactor
    from scripts.wiring import configure

    console = Console(actions=environment.get("GITHUB_ACTIONS") == "true")
    try:
        config, secrets = configure(arguments, environment)
        console = Console(Redactor(secrets.values()), actions=environment.get("GITHUB_ACTIONS") == "true")
        console.mask(secrets)
        return _run_stage(arguments, environment, config, secrets, console)
    except SlipwayError as error:
        console.fail(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.say("interrupted")
        return 130
    except Exception:  # noqa: BLE001 - a bug: its traceback, redacted, and exit 1
        console.say(traceback.format_exc())
        return 1


def _run_stage(
    arguments: argparse.Namespace,
    environment: Environment,
    config: Config,
    secrets: Mapping[str, Secret],
    console: Console,
) -> int:
    from scripts.client import Client
    from scripts.clock import SystemClock
    from scripts.wiring import Given, wire

    client = Client(SystemClock())
    given = Given(arguments, environment, config, secrets, console, client)
    try:
        match arguments.verb:
            case "report":
                from scripts.tell import tell

                return tell(given)
            case "doctor":
                from scripts.doctor import doctor

                return doctor(given)
            case _:
                return _judge(given, wire(given))
    finally:
        client.close()


def _judge(given: Given, ports: Ports) -> int:
    """Run a stage, or say what it would do; the exit code is its verdict's."""
    from scripts.summary import append_summary, render_dry_run

    arguments, console = given.arguments, given.console
    if getattr(arguments, "dry_run", False):
        text = _preview(given, ports)
        with contextlib.suppress(OSError):  # it is on stdout too
            append_summary(given.environment, render_dry_run(console.redact(text)))
        console.result({"version": 1, "stage": arguments.verb, "preview": text} if arguments.json else text)
        return 0
    verdict = _stage(arguments, given.environment, ports)
    told = {"version": 1, "stage": arguments.verb, "outcome": verdict.outcome, "reason": verdict.reason}
    console.result({**told, "exit_code": verdict.exit_code} if arguments.json else verdict.outcome)
    return verdict.exit_code


def _preview(given: Given, ports: Ports) -> str:
    from scripts import by_hand
    from scripts.preview import preview

    if by_hand.is_asked(given.arguments):
        return by_hand.preview(ports, by_hand.order_of(given.arguments, given.environment))
    return preview(given.arguments.verb, ports.state(), ports.config.release.on_unproven)


def _stage(arguments: argparse.Namespace, environment: Environment, ports: Ports) -> Verdict:
    from scripts import bake, by_hand, deploy, plan, promote, recover, rollback, verify
    from scripts.release import STAGES, Stage
    from scripts.stage import run_stage
    from scripts.wiring import lost_release, planned_release

    stages: Mapping[str, Callable[[Ports], Verdicts]] = {
        "deploy": deploy.deploy,
        "verify": verify.verify,
        "promote": promote.promote,
        "bake": bake.bake,
        "rollback": rollback.roll_back,
        "recover": lambda given: recover.recover(given, lost_release(arguments, environment, given), never_began=empty),
    }
    empty = arguments.verb == "recover" and _kept_nothing(arguments)
    if by_hand.is_asked(arguments):
        return by_hand.roll_back_by_hand(ports, by_hand.order_of(arguments, environment))
    if arguments.verb == "plan":
        release = planned_release(arguments, environment, ports)
        plan.prepare_folder(ports, release)
        return run_stage(ports, Stage.PLAN, lambda given: plan.plan(given, release, again=arguments.again))
    stage = Stage(arguments.verb)
    verdict = run_stage(ports, stage, stages[arguments.verb])
    if stage in STAGES and stage is not Stage.BAKE:  # after the last one the rollback step does it
        rollback.send_back(ports, stage)
    return verdict


def _kept_nothing(arguments: argparse.Namespace) -> bool:
    """Take up what the jobs before kept; tell whether it is certain that they kept nothing."""
    from scripts.kept import adopt

    return arguments.kept is not None and not adopt(arguments.kept, arguments.state) and arguments.fetched == "success"
