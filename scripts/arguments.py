"""What the command line may say: the verbs in the order of a release, then the tools, and what each takes."""

from __future__ import annotations

import argparse
from pathlib import Path

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
ACCOUNT_VERBS = {
    "resolve": "say which commit is to be released: it is known here, and on main",
    "doctor": "see whether the accounts are set up so that a release and a rollback can work; changes nothing",
}
TOOL_VERBS = {
    "build": "build what Vercel gets from the commit, without any secret, and prove what is in it",
    "rehearse": "ship good and bad commits to an emulated cloud on this machine",
    "test": "run the tests",
    "check": "run on this machine what a pull request runs, side by side",
    "load": "put load on the service: does it keep its objectives, is it slower than another commit",
    "judge": "judge recorded samples with the judge of a release",
    "simulate": "simulate releases, and count how often the judge is wrong",
    "coverage": "add up what the tests covered and hold it against the floors",
    "lint": "run every linter and the type checker",
    "lock": "pin the requirements anew, check that they are, or take newer ones",
    "required": "say whether every job of a run passed, and how to see on a laptop why not",
    "propose": "open a pull request with newer locks",
}
CHANGES = {"deploy", "promote", "rollback", "recover"}


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
    for name, text in ACCOUNT_VERBS.items():
        _add_account(verbs.add_parser(name, help=text, description=text), name)
    _add_tools(verbs)
    return parser


def _add_stage(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--config", type=Path, default=Path("slipway.toml"), help="the configuration (%(default)s)")
    parser.add_argument("--state", type=Path, default=Path(".slipway"), help="the journal's folder (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    if name in {"plan", "deploy"}:
        parser.add_argument("--build", type=Path, default=Path("build"), help="the folder of `build` (%(default)s)")
    if name in {"plan", "recover"}:
        parser.add_argument("--commit", help="what is released (GITHUB_SHA, else HEAD)")
    if name == "recover":
        parser.add_argument("--kept", type=Path, help="what the jobs before kept, each in a folder of its own")
        parser.add_argument("--fetched", default="", help="`success`: all that they kept is in that folder")
    if name == "plan":
        _add_switch(parser, "--again", "ship it although it was rolled back or is older")
    if name in CHANGES:
        _add_switch(parser, "--dry-run", "print what would be done and touch nothing")
    if name == "rollback":
        _add_by_hand(parser.add_argument_group("by hand, without a release's journal"))


def _add_by_hand(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--reason", help="why; with it the rollback is one by hand")
    group.add_argument("--target", default="all", help="all, or one of the targets (%(default)s)")
    group.add_argument("--to", default="", help="a commit or a deploy id that served (the last proven release)")
    group.add_argument("--by", default="", help="who asks for it (GITHUB_ACTOR, else nobody)")


def _add_switch(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """Add a switch that a workflow can also give as true or false: an input of a dispatch is always there."""
    parser.add_argument(name, nargs="?", type=_switch, const=True, default=False, metavar="true|false", help=text)


def _switch(text: str) -> bool:
    if text.lower() not in {"true", "false", ""}:
        raise argparse.ArgumentTypeError(f"true or false, not {text!r}")
    return text.lower() == "true"


def _add_account(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    if name == "resolve":
        parser.add_argument("--commit", help="a full or short id (GITHUB_SHA, else HEAD)")
    if name == "doctor":
        parser.add_argument("--config", type=Path, default=Path("slipway.toml"), help="the configuration (%(default)s)")


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
    rehearse.add_argument(
        "--keep", action="store_true", help="leave both platforms running, and say how to talk to them"
    )
    rehearse.add_argument("--json", action="store_true", help="one JSON object on stdout")
    rehearse.add_argument("--report", type=Path, help="write a page with a plot of each drill there")
    rehearse.add_argument("--plain", action="store_true", help="lines instead of the live screen of a terminal")
    rehearse.add_argument("--jobs", type=int, default=1, help="play that many drills side by side (%(default)s)")
    rehearse.add_argument("--chaos", action="store_true", help="play random runs on platforms in memory instead")
    rehearse.add_argument("--real", action="store_true", help="with --chaos: with real processes, some 20 s a run")
    rehearse.add_argument("--runs", type=int, default=200, help="how many random runs (%(default)s)")
    rehearse.add_argument("--seed", help="what the random runs are drawn from (a random one)")
    rehearse.add_argument("--first", type=int, default=0, help="the number of the first of them (%(default)s)")
    rehearse.add_argument("--repeat", type=int, default=1, help="run each drill that many times (%(default)s)")
    test = parsers["test"]
    test.add_argument("--all", action="store_true", help="also the tests that are marked slow")
    test.add_argument("--part", choices=("unit", "integration"), help="tests/unit, or all the others (both)")
    test.add_argument("pytest", nargs="*", help="words for pytest, after --")
    check = parsers["check"]
    check.add_argument("--against", help="the commit that the change is for (where it left the default branch)")
    check.add_argument("--fail-fast", action="store_true", help="stop at the first gate that is red")
    check.add_argument("--json", action="store_true", help="one JSON object on stdout")
    _add_load(parsers["load"])
    _add_judge(parsers["judge"])
    _add_simulate(parsers["simulate"])
    coverage = parsers["coverage"]
    coverage.add_argument("data", nargs="*", type=Path, help="data files, or folders with them (.)")
    coverage.add_argument("--against", help="hold the lines added since HEAD left this commit against their floor")
    coverage.add_argument("--config", type=Path, default=Path("slipway.toml"), help="the configuration (%(default)s)")
    parsers["required"].add_argument("--may-skip", action="append", default=[], help="a job that may be skipped")
    lock = parsers["lock"]
    lock.add_argument("action", nargs="?", choices=("pin", "check", "refresh"), default="pin", help="(%(default)s)")
    lock.add_argument("--table", type=Path, help="where refresh writes what changed, as Markdown")
    lock.add_argument(
        "--cooldown-days", type=int, default=7, help="refresh takes no younger release, but fixes (%(default)s)"
    )
    lock.add_argument("--resolve", action="store_true", help="check asks the index also where nothing has changed")
    propose = parsers["propose"]
    propose.add_argument("--from", dest="source", type=Path, required=True, help="the folder with the newer locks")
    propose.add_argument("--table", type=Path, required=True, help="what changed, as Markdown")


def _add_load(load: argparse.ArgumentParser) -> None:
    load.add_argument("action", nargs="?", choices=("measure", "judge"), default="measure", help="(%(default)s)")
    load.add_argument("epochs", nargs="?", type=Path, help="recorded epochs for judge, a JSON object a line")
    load.add_argument("--against", help="also say whether HEAD is slower than where it left this commit")
    load.add_argument("--users", type=int, help="of the comparison, on each service (as many as the machine can make)")
    load.add_argument("--workers", type=int, default=1, help="processes that the users run in (%(default)s)")
    load.add_argument("--output", type=Path, default=Path(".slipway/load"), help="for epochs and page (%(default)s)")
    load.add_argument("--config", type=Path, default=Path("slipway.toml"), help="the configuration (%(default)s)")
    load.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _add_judge(judge: argparse.ArgumentParser) -> None:
    judge.add_argument("samples", nargs="+", type=Path, help="recorded samples, a JSON object a line")
    judge.add_argument("--least-s", type=float, default=30.0, help="no pass before (%(default)g)")
    judge.add_argument("--most-s", type=float, default=120.0, help="an end at the latest (%(default)g)")
    judge.add_argument("--error-rate", type=float, default=0.001, help="that is promised (%(default)g)")
    judge.add_argument("--json", action="store_true", help="one JSON object a line, for each file")


def _add_simulate(simulate: argparse.ArgumentParser) -> None:
    simulate.add_argument("--runs", type=int, help="of each line (3000 of releases that are fine, 500 of bad ones)")
    simulate.add_argument("--rate", type=int, choices=(10, 50), help="probes a second (both)")
    simulate.add_argument("--noise", choices=("typical", "harsh"), help="(both)")
    simulate.add_argument("--scenario", help="only lines whose name holds this")
    simulate.add_argument("--seed", help="another one than the published table's")
    simulate.add_argument("--json", action="store_true", help="one JSON object on stdout")
