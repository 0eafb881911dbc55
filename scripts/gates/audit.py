"""Known vulnerabilities of pins, as pip-audit learns them from OSV (https://google.github.io/osv.dev/post-v1-query/).

An audit that was not made, or not of every pin, says so: nothing found is an answer only where everything was asked.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from scripts.foreign import for_markdown, plain
from scripts.gates.pins import Pin, code

AUDITOR = Path(sys.executable).parent / "pip-audit"
LIMIT_S = 60.0  # for all pins; OSV answers for one in a tenth of a second
SOCKET_LIMIT_S = 10
LARGEST_REPORT = 16 * 1024 * 1024  # bytes
SHOWN = 160  # characters of pip-audit's own words
UNREACHED = "the vulnerability service cannot be reached"
OFFLINE = re.compile(r"(?i)connection ?error|connect to|timeout")
ENDS = {0: False, 1: True}  # exit code: whether it found any

# What pip-audit may see of the machine: enough to reach the service, which may be another one that speaks OSV's API.
PASSED_ON = (
    *("PATH", "PIP_AUDIT_OSV_URL", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"),
)


@dataclass(frozen=True)
class Vulnerability:
    """One known vulnerability of a pin: its ids, and the versions that are without it."""

    name: str
    version: str
    ids: tuple[str, ...]
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """What is known of some pins, and why it may not be all."""

    found: tuple[Vulnerability, ...] = ()
    trouble: str = ""


class TornReport(ValueError):
    """What pip-audit wrote is no report."""


def audit(pins: Collection[Pin], environment: Mapping[str, str], limit_s: float = LIMIT_S) -> Audit:
    """Ask for the known vulnerabilities of pins, within a limit; nothing is installed or resolved for it."""
    with tempfile.TemporaryDirectory(prefix="slipway-audit-") as name:
        folder = Path(name)
        asked = {(pin.name, pin.version): pin for pin in pins}
        lines = (_line(pin) for pin in asked.values() if pin.hashes)
        (folder / "pins.txt").write_text("".join(lines), encoding="utf-8")
        with (folder / "report").open("wb") as report, (folder / "log").open("wb") as log:
            try:
                ended = subprocess.run(
                    _command(folder),
                    env=_environment(environment, folder),
                    stdin=subprocess.DEVNULL,
                    stdout=report,
                    stderr=log,
                    timeout=limit_s,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return Audit(trouble=f"no end within {limit_s:.0f} s")
            except OSError as error:
                return Audit(trouble=f"pip-audit cannot be started: {error.strerror}")
        return _read(folder, ended.returncode, asked.keys())


def _line(pin: Pin) -> str:
    """Give a pin without its marker: one for another machine is audited too."""
    return f"{pin.name}=={pin.version}" + "".join(f" --hash=sha256:{each}" for each in sorted(pin.hashes)) + "\n"


def _command(folder: Path) -> list[str]:
    options = ["--disable-pip", "--require-hashes", "--vulnerability-service", "osv", "--timeout", str(SOCKET_LIMIT_S)]
    options += ["--format", "json", "--desc", "off", "--aliases", "on", "--progress-spinner", "off"]
    return [str(AUDITOR), *options, "--cache-dir", str(folder / "cache"), "--requirement", str(folder / "pins.txt")]


def _environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    passed_on = {key: environment[key] for key in PASSED_ON if environment.get(key)}
    if certificates := environment.get("PIP_CERT"):
        passed_on.setdefault("REQUESTS_CA_BUNDLE", certificates)
    return {**passed_on, "PIP_CONFIG_FILE": os.devnull, "HOME": str(folder)}


def _read(folder: Path, end: int, asked: Collection[tuple[str, str]]) -> Audit:
    with (folder / "report").open("rb") as file:
        report = file.read(LARGEST_REPORT + 1)
    if end in ENDS and report and len(report) <= LARGEST_REPORT:
        return read_report(report, asked, found_any=ENDS[end])
    log = (folder / "log").read_bytes()[-LARGEST_REPORT:].decode("utf-8", "replace").split("\n")
    said = next((line for line in reversed(log) if line.strip()), "it said nothing")
    what = UNREACHED if end == 1 and OFFLINE.search(said) else f"pip-audit ended with {end}"
    return Audit(trouble=f"{what}: {plain(said, SHOWN)}")


def read_report(report: bytes, asked: Collection[tuple[str, str]], *, found_any: bool) -> Audit:
    """Read pip-audit's JSON, and hold it against the pins that were asked for and against how it ended."""
    try:
        told = json.loads(report)
        rows = [_entry(row) for row in _list(told, "dependencies")]
    except (ValueError, RecursionError):
        return Audit(trouble="what pip-audit wrote is no report")
    found = tuple(each for _, vulnerabilities in rows for each in vulnerabilities)
    answered = Counter(pin for pin, _ in rows if pin)
    wanted = {(name, _spelling(version)) for name, version in asked}
    if bool(found) != found_any or max(answered.values(), default=0) > 1 or not answered.keys() <= wanted:
        return Audit(found, "what pip-audit wrote is not of these pins, or not how it ended")
    missing = sorted(name for name, _ in wanted - answered.keys())
    return Audit(found, f"{len(missing)} of {len(wanted)} packages: {', '.join(missing)}" if missing else "")


def _spelling(version: str) -> str:
    try:
        return str(Version(version))
    except InvalidVersion:
        return version


def _entry(row: object) -> tuple[tuple[str, str] | None, list[Vulnerability]]:
    """Read one package: its pin, if it was audited, and what is known of it."""
    name = canonicalize_name(_text(row, "name"))
    if isinstance(row, dict) and "skip_reason" in row:
        return None, []
    version = _spelling(_text(row, "version"))
    return (name, version), [_vulnerability(name, version, each) for each in _list(row, "vulns")]


def _vulnerability(name: str, version: str, row: object) -> Vulnerability:
    aliases, fixed = _list(row, "aliases"), _list(row, "fix_versions")
    if not all(isinstance(each, str) for each in (*aliases, *fixed)):
        raise TornReport
    ids = [_text(row, "id"), *sorted(str(each) for each in aliases if str(each).startswith("CVE-"))]
    return Vulnerability(name, version, tuple(dict.fromkeys(ids)), tuple(map(str, fixed)))


def _list(value: object, key: str) -> list[object]:
    if isinstance(value, dict) and isinstance(found := value.get(key), list):
        return found
    raise TornReport


def _text(value: object, key: str) -> str:
    if isinstance(value, dict) and isinstance(found := value.get(key), str) and found:
        return found
    raise TornReport


def render_audit(audited: Audit) -> str:
    """Give what is known as Markdown: a table, and whether it is all."""
    parts = [f"**Not audited:** {for_markdown(audited.trouble)}\n"] if audited.trouble else []
    if audited.found:
        head = "Known vulnerabilities of these pins:\n\n| package | version | id | fixed in |\n|---|---|---|---|\n"
        parts.append(head + "".join(map(_row, audited.found)))
    return "\n".join(parts) or "No known vulnerabilities, says pip-audit.\n"


def _row(each: Vulnerability) -> str:
    ids, fixed = ", ".join(map(code, each.ids)), ", ".join(map(code, each.fixed)) or "nothing yet"
    return f"| {code(each.name)} | {code(each.version)} | {ids} | {fixed} |\n"


def tell(audited: Audit) -> Iterator[str]:
    """Give a line for each thing that a person should know."""
    if audited.trouble:
        yield f"not audited: {audited.trouble}"
    for each in audited.found:
        fixed = f"fixed in {', '.join(each.fixed)}" if each.fixed else "fixed nowhere yet"
        yield plain(f"{each.name}=={each.version}: {', '.join(each.ids)}, {fixed}")
