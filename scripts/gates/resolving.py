"""What the .in files give, by pip-compile in a copy of them: it can neither change the checkout nor see the machine.

What passes into the copy is the pins that are to be kept, nothing else of a lock; hashes are `scripts.gates.hashes`'s.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import PlatformUnreachable
from scripts.gates.pins import Texts, bare

BIN = Path(sys.executable).parent
LIMIT_S = 300
SHOWN_LINES = 12
LONGEST_LINE = 300  # characters

# What pip-compile may see of the machine: enough to reach the index, nothing that it would write into a lock. The index
# is the one that PIP_INDEX_URL names, else pip's default: never one that only a pip.conf of this machine knows.
PASSED_ON = (
    *("PATH", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"),
)


@dataclass(frozen=True)
class Resolved:
    """What one .in file gives, without hashes; or why it gives nothing."""

    text: str
    trouble: str = ""


@dataclass(frozen=True)
class Resolver:
    """A running pip-compile: its process, what it writes, and where it says why it cannot."""

    process: subprocess.Popen[bytes]
    lock: Path
    log: Path

    def finish(self) -> Resolved:
        """Wait for its end.

        Raises:
            PlatformUnreachable: it took too long.
        """
        try:
            code = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise PlatformUnreachable(
                f"{self.lock.name}: not resolved within {LIMIT_S} s",
                means="The package index is slow, or the .in files leave too many choices.",
                next_step="look at the network, then run the command again",
            ) from error
        if code:
            return Resolved("", told_by(self.log.read_text(encoding="utf-8", errors="replace")))
        return Resolved(self.lock.read_bytes().decode("utf-8", "replace"))


@contextlib.contextmanager
def copied(root: Path, texts: Texts) -> Iterator[Path]:
    """Give a folder with the .in files, what they may name, and in place of each lock the pins that are to be kept."""
    with tempfile.TemporaryDirectory(prefix="slipway-lock-") as name:
        folder = Path(name).resolve()  # a path through a link would be named in the lock
        for part in {Path(path).parent for path in texts}:
            (folder / part).mkdir(exist_ok=True)
            for source in [*(root / part).glob("*.in"), *(root / part).glob("*.txt")]:
                shutil.copyfile(source, folder / part / source.name)
        for path, text in texts.items():
            (folder / path).write_text(bare(text), encoding="utf-8")
        yield folder


@contextlib.contextmanager
def resolving(
    folder: Path, name: str, environment: Mapping[str, str], *, upgrade: bool, limits: Path | None = None
) -> Iterator[Resolver]:
    """Run pip-compile over one .in file in a folder; it is gone at the end, whatever came in between."""
    log = folder / f"{Path(name).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            compile_command(name, upgrade=upgrade, limits=limits),
            cwd=folder,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Resolver(process, folder / f"{name}.txt", log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def compile_command(name: str, *, upgrade: bool, limits: Path | None = None) -> list[str]:
    """Give the pip-compile command for one file; no index, link or option of this machine gets into the lock.

    A file of limits is a constraints file of ours, and named in the comments of what it gives: no text for a lock.
    """
    options = ["--quiet", "--strip-extras", "--allow-unsafe"]
    options += ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"]
    options += ["--upgrade"] if upgrade else []
    options += ["--constraint", str(limits)] if limits else []
    return [str(BIN / "pip-compile"), *options, "--output-file", f"{name}.txt", f"{name}.in"]


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Give an environment in which pip has its defaults only, and the index that is named."""
    passed_on = {key: environment[key] for key in PASSED_ON if environment.get(key)}
    return {**passed_on, "PIP_CONFIG_FILE": os.devnull, "CUSTOM_COMPILE_COMMAND": "python3 -m scripts lock"}


def told_by(log: str) -> str:
    """Give what pip-compile says of its failure: what comes before its traceback, and the error after it."""
    lines = [line.rstrip()[:LONGEST_LINE] for line in log.splitlines() if line.strip()]
    traces = [number for number, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    if not traces:
        return "\n".join(lines[-SHOWN_LINES:])
    error = list(itertools.dropwhile(lambda line: line.startswith(" "), lines[traces[-1] + 1 :]))
    return "\n".join([*lines[: traces[0]][-SHOWN_LINES:], *error[:SHOWN_LINES]])
