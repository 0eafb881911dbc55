"""Parse, wire, call one stage, print, exit. The only reader of the environment.

Imports inside functions keep `--help` fast, and keep a verb from loading what only another one needs.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from scripts.config import Config
    from scripts.console import Console
    from scripts.redaction import Secret
    from scripts.stage import Ports, Verdicts
    from scripts.verdict import Verdict

Environment = Mapping[str, str]
VERSION = "slipway 1"

STAGE_VERBS = {
    "plan": "see what serves, and decide whether this release may go; changes nothing",
    "deploy": "put the commit on each target",
    "verify": "prove that the commit is the one that answers, and healthy",
    "promote": "give it user traffic",
    "bake": "watch it under user traffic, to the first proof",
    "rollback": "go back where the journal says so, and prove it",
    "recover": "after a lost run: put production on a proven release, or say that it is not",
    "report": "say what became of the release",
}
TOOL_VERBS = {
    "build": "build what Vercel gets from the commit, without any secret, and prove what is in it",
    "rehearse": "ship good and bad commits to an emulated cloud on this machine",
    "test": "run the tests",
    "lint": "run every linter and the type checker",
    "lock": "pin the requirements anew",
}
CHANGES = {"deploy", "promote", "rollback", "recover"}


def main(words: list[str], environment: Environment | None = None) -> int:
    """Run one verb and give its exit code."""
    environment = os.environ if environment is None else environment
    arguments = build_parser().parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    if arguments.verb in TOOL_VERBS:
        return _run_tool(arguments, environment)
    return _guarded(arguments, environment)


def build_parser() -> argparse.ArgumentParser:
    """Give the parser: the verbs in the order of a release, then the tools."""
    parser = argparse.ArgumentParser(
        prog="python3 -m scripts",
        description="Ship a commit, prove that it serves, haul it back when it does not.",
        epilog="exit codes: 0 pass, 1 a bug, 2 usage or configuration, 10 failed or superseded, 11 inconclusive, "
        "12 a platform or the environment is at fault, 13 rollback not proven, 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    for name, text in STAGE_VERBS.items():
        _add_stage(verbs.add_parser(name, help=text, description=text), name)
    _add_tools(verbs)
    return parser


def _add_stage(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--config", type=Path, default=Path("slipway.toml"), help="the configuration (%(default)s)")
    parser.add_argument("--state", type=Path, default=Path(".slipway"), help="the journal's folder (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    if name in {"plan", "deploy"}:
        parser.add_argument("--build", type=Path, default=Path("build"), help="the folder of `build` (%(default)s)")
    if name == "plan":
        parser.add_argument("--commit", help="what to release (GITHUB_SHA, else HEAD)")
        parser.add_argument("--again", action="store_true", help="ship it although it was rolled back or is older")
    if name in CHANGES:
        parser.add_argument("--dry-run", action="store_true", help="print what would be done and touch nothing")


def _add_tools(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parsers = {name: verbs.add_parser(name, help=text, description=text) for name, text in TOOL_VERBS.items()}
    build = parsers["build"]
    build.add_argument("--config", type=Path, default=Path("slipway.toml"), help="the configuration (%(default)s)")
    build.add_argument("--commit", help="what to build (GITHUB_SHA, else HEAD)")
    build.add_argument("--output", type=Path, default=Path("build"), help="where the result goes (%(default)s)")
    build.add_argument("--json", action="store_true", help="one JSON object on stdout")
    rehearse = parsers["rehearse"]
    rehearse.add_argument("--drill", default="good,errors", help="names, comma-separated, or all (%(default)s)")
    rehearse.add_argument("--targets", help="render, or render,vercel (both where Node 20 is there)")
    rehearse.add_argument("--list", action="store_true", help="name the drills and stop")
    rehearse.add_argument("--json", action="store_true", help="one JSON object on stdout")
    rehearse.add_argument("--repeat", type=int, default=1, help="run each drill that many times (%(default)s)")
    test = parsers["test"]
    test.add_argument("--all", action="store_true", help="also what takes longer than eight minutes")
    test.add_argument("pytest", nargs="*", help="words for pytest, after --")
    parsers["lock"].add_argument("--upgrade", action="store_true", help="take the newest versions")


def _interrupt(*_: object) -> Never:
    """Turn SIGTERM into what SIGINT is: the stage journals that it was interrupted, and exits 130."""
    raise KeyboardInterrupt


def _run_tool(arguments: argparse.Namespace, environment: Environment) -> int:
    from scripts.errors import SlipwayError

    try:
        if arguments.verb == "rehearse":
            from scripts.rehearsal.command import rehearse

            return rehearse(arguments, environment)
        if arguments.verb == "build":
            from scripts.build import run_build

            return run_build(arguments, environment)
        from scripts.gates.tools import run_tool

        return run_tool(arguments, environment)
    except SlipwayError as error:
        print(f"error  {error}", file=sys.stderr)  # noqa: T201 - no console yet, and no secrets here
        return error.exit_code
    except KeyboardInterrupt:
        return 130


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

    if arguments.verb == "report":
        return _report(arguments, environment, console)
    client = Client(SystemClock())
    try:
        ports = wire(Given(arguments, environment, config, secrets, console, client))
        if getattr(arguments, "dry_run", False):
            from scripts.preview import preview

            text = preview(arguments.verb, ports.state(), config.release.on_unproven)
            console.result({"version": 1, "stage": arguments.verb, "preview": text} if arguments.json else text)
            return 0
        verdict = _stage(arguments, environment, ports)
    finally:
        client.close()
    told = {"version": 1, "stage": arguments.verb, "outcome": verdict.outcome, "reason": verdict.reason}
    console.result({**told, "exit_code": verdict.exit_code} if arguments.json else verdict.outcome)
    return verdict.exit_code


def _stage(arguments: argparse.Namespace, environment: Environment, ports: Ports) -> Verdict:
    from scripts import bake, deploy, plan, promote, recover, rollback, verify
    from scripts.release import STAGES, Stage
    from scripts.stage import run_stage
    from scripts.wiring import lost_release, planned_release

    stages: Mapping[str, Callable[[Ports], Verdicts]] = {
        "deploy": deploy.deploy,
        "verify": verify.verify,
        "promote": promote.promote,
        "bake": bake.bake,
        "rollback": rollback.roll_back,
        "recover": lambda given: recover.recover(given, lost_release(arguments, environment, given)),
    }
    if arguments.verb == "plan":
        release = planned_release(arguments, environment, ports)
        plan.prepare_folder(ports, release)
        return run_stage(ports, Stage.PLAN, lambda given: plan.plan(given, release, again=arguments.again))
    stage = Stage(arguments.verb)
    verdict = run_stage(ports, stage, stages[arguments.verb])
    if stage in STAGES and stage is not Stage.BAKE:  # after the last one the rollback step does it
        rollback.send_back(ports, stage)
    return verdict


def _report(arguments: argparse.Namespace, environment: Environment, console: Console) -> int:
    from scripts.clock import SystemClock
    from scripts.journal import Journal
    from scripts.report import render_markdown, write_json
    from scripts.state import replay

    events = Journal(arguments.state, SystemClock(), console.redact).read()
    told = write_json(arguments.state, replay(events))
    text = render_markdown(events)
    summary = environment.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    console.result(told if arguments.json else text)
    return 0
