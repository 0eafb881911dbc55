"""The verb `judge`: the judge of a release over recorded samples, to look back at one, or to tune."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from scripts.errors import UsageError
from scripts.foreign import plain
from scripts.judging.judge import Limits
from scripts.judging.recorded import Answer, judge_samples
from scripts.samples import read_samples
from scripts.verdict import Verdict, worst


def run(arguments: argparse.Namespace, _: Mapping[str, str]) -> int:
    """Judge each file, and give the exit code of the worst verdict.

    Raises:
        UsageError: a file cannot be read or has a broken line, before anything is judged; or a limit is none.
    """
    limits = _limits(arguments)
    recorded = [(path, read_samples(path)) for path in arguments.samples]
    verdicts = []
    for path, samples in recorded:
        answer = judge_samples(samples, limits)
        print(json.dumps(answer.as_json()) if arguments.json else _line(str(path), answer), flush=True)  # noqa: T201
        verdicts.append(Verdict(answer.verdict, answer.reason))
    return worst(verdicts).exit_code


def _limits(arguments: argparse.Namespace) -> Limits:
    limits = Limits(arguments.least_s, arguments.most_s, arguments.error_rate)
    if not 0 < limits.least_s <= limits.most_s <= 86_400:
        raise _refused(f"--least-s {limits.least_s:g} and --most-s {limits.most_s:g}", "0 < least ≤ most ≤ 86400")
    if not 1e-6 <= limits.error_rate < 0.5:
        raise _refused(f"--error-rate {limits.error_rate:g}", "a share from 0.000001 to 0.5, such as 0.001")
    return limits


def _refused(what: str, allowed: str) -> UsageError:
    return UsageError(f"{what}: needed is {allowed}", means="Nothing was judged.", next_step="give other limits")


def _line(name: str, answer: Answer) -> str:
    return f"{answer.verdict} {plain(name)} at {answer.at_s:g} s: {answer.reason} (log E = {answer.log_e:.1f})"
