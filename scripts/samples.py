"""Every probe of a release, one JSON object a line, beside its journal: written by a release, read back by `judge`.

`samples-<target>.jsonl` has what was judged: the baseline, and the candidate from its first answer on. What was asked
to prove which commit serves is in `proofs-<target>.jsonl`.

A line is `{"t_s": 3.2, "endpoint": "ready", "arm": "candidate", "ms": 12.5, "ok": true, "pair": 17}`; other keys are
allowed, and not judged. `t_s` is when the answer was there, in seconds since the first probe of the candidate.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from scripts.errors import PlatformError, UsageError
from scripts.foreign import plain
from scripts.verdict import ARMS, BASELINE, Sample

LONGEST_S, SLOWEST_MS = 86_400.0, 86_400_000.0
MOST_ENDPOINTS = 200
SAMPLES, PROOFS = "samples", "proofs"
FORM = '{"t_s": 3.2, "endpoint": "ready", "arm": "candidate", "ms": 12.5, "ok": true}'


def path_of(folder: Path, target: str, kind: str = SAMPLES) -> Path:
    """Give the file of a target: of what was judged, or of what was asked for a proof."""
    return folder / f"{kind}-{target}.jsonl"


def append_samples(
    folder: Path,
    target: str,
    samples: Iterable[Sample],
    redact: Callable[[str], str] = lambda text: text,
    kind: str = SAMPLES,
) -> None:
    """Add samples to the file of a target.

    A reason may repeat what a service echoes: `redact` takes the secrets out.

    Raises:
        PlatformError: the disk did not take them (exit 12), so what is judged could not be shown.
    """
    path = path_of(folder, target, kind)
    lines = [json.dumps(_row(sample, redact)) for sample in samples]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
    except OSError as error:
        raise PlatformError(
            f"the samples {path} could not be written: {error.strerror}",
            means="What is judged here could not be shown to anybody.",
            next_step="free the disk or choose another folder with --state, then run `recover`",
        ) from error


def _row(sample: Sample, redact: Callable[[str], str]) -> dict[str, object]:
    told = {"t_s": round(sample.t_s, 3), "ms": round(sample.ms, 2), "reason": redact(sample.reason)}
    row = {**asdict(sample), **told}
    return row if sample.pair is not None else {name: value for name, value in row.items() if name != "pair"}


def begin_watch(folder: Path, target: str) -> list[Sample]:
    """Give the baseline's samples of a release; none where the file is lost or broken.

    What an earlier watch of the candidate added is put away, so that the file holds one watch.
    """
    path = path_of(folder, target)
    try:
        rows = read_samples(path)
    except UsageError:
        rows = []
    baseline = [row for row in rows if row.arm == BASELINE]
    if path.is_file() and len(baseline) < len(path.read_bytes().splitlines()):
        path.replace(path.with_name(f"earlier-{path.name}"))
        append_samples(folder, target, baseline)
    return baseline


def read_samples(path: Path) -> list[Sample]:
    """Read recorded samples strictly, in the order of the lines.

    Raises:
        UsageError: the file cannot be read, or a line is broken: which one, and what is wrong with it.
    """
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{path} cannot be read: {reason}", next_step="name a file of recorded samples") from error
    samples: list[Sample] = []
    pairs: Counter[tuple[int, str]] = Counter()
    for number, line in enumerate(lines, 1):
        if line.strip():
            fault = _take(samples, pairs, line)
            if fault:
                raise _broken(path, number, fault)
    if len({row.endpoint for row in samples}) > MOST_ENDPOINTS:
        raise _broken(path, len(lines), f"more than {MOST_ENDPOINTS} endpoints")
    return samples


def _take(samples: list[Sample], pairs: Counter[tuple[int, str]], line: str) -> str:
    """Add the sample of a line; give what is wrong with it, empty for nothing."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return f"no JSON object such as {FORM}"
    match row:
        case {"t_s": int() | float() as t_s, "endpoint": str(name), "arm": str(arm), "ms": int() | float() as ms} if (
            isinstance(row.get("ok"), bool) and not isinstance(t_s, bool) and not isinstance(ms, bool)
        ):
            pass
        case _:
            return f"no {FORM}"
    pair, reason = row.get("pair"), row.get("reason", "")
    fault = _deviation(t_s, name, arm, ms) or _wrong_pair(pair, arm, pairs)
    if not fault and samples and math.floor(t_s) < math.floor(samples[-1].t_s):
        fault = f"time goes backwards, from second {math.floor(samples[-1].t_s)} to {math.floor(t_s)}"
    if not fault:
        samples.append(Sample(float(t_s), name, arm, float(ms), row["ok"], plain(str(reason))[:200], pair))
    return fault


def _deviation(t_s: float, name: str, arm: str, ms: float) -> str:
    if not name.isprintable() or not 0 < len(name) <= 200:
        return "an endpoint has a name of at most 200 characters that can be printed"
    if arm not in ARMS:
        return f"{arm[:40]!a} is no arm; there are {', '.join(ARMS)}"
    if not -LONGEST_S <= t_s <= LONGEST_S or not 0 <= ms <= SLOWEST_MS:  # not a number, too
        return "t_s within a day and ms from 0 to a day are needed"
    if (arm == BASELINE) is not (t_s < 0):
        return f"t_s is negative for the {BASELINE} and for nothing else"
    return ""


def _wrong_pair(pair: object, arm: str, pairs: Counter[tuple[int, str]]) -> str:
    if pair is None:
        return ""
    if not isinstance(pair, int) or isinstance(pair, bool) or arm == BASELINE:
        return "a pair is a number, and joins a candidate and a current answer"
    pairs[pair, arm] += 1
    return f"pair {pair} has two answers of the {arm}" if pairs[pair, arm] > 1 else ""


def _broken(path: Path, number: int, what: str) -> UsageError:
    return UsageError(f"{path}, line {number}: {what}", means="Nothing was judged.", next_step="mend the file")
