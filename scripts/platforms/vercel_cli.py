"""The pinned Vercel CLI as a child process: found, given a clean environment, run within a time and killed whole.

What its exit code means is decided elsewhere; it is not a verdict. Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scripts.errors import ConfigError

OLDEST_NODE = 20
PACKAGE = "vercel"
DEFAULT_API = "https://api.vercel.com"
LARGEST_OUTPUT = 256 * 1024  # bytes of each stream that are kept, from its end
PIECE = 8192
PROBE_LIMIT_S = 20
LAST_WORDS_S = 2  # for a stream to end once the group is killed: a process that left the group may still hold it
INSTALL = "cd .github/vercel-cli && npm ci --ignore-scripts"

# All that the CLI inherits: where programs and certificates are, which way to the network, how uv and pip are set.
# XDG_DATA_DIRS is left out on purpose: the CLI looks there for a login too.
PASSED_ON = re.compile(
    r"PATH|LANG|LC_[A-Z]+|TZ|TMPDIR"
    r"|(HTTP|HTTPS|ALL|NO)_PROXY|(http|https|all|no)_proxy"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS"
    r"|NODE_OPTIONS|UV_[A-Z0-9_]+|PIP_[A-Z0-9_]+"
)
QUIET: Mapping[str, str] = {
    "CI": "1",
    "VERCEL_TELEMETRY_DISABLED": "1",
    "NO_UPDATE_NOTIFIER": "1",
    "NO_COLOR": "1",
    # The package brings a native binary too, which would ignore NODE_OPTIONS and with it a guard on the network.
    "VERCEL_CLI_USE_NATIVE_BINARY": "0",
}
FOLDERS: Mapping[str, str] = {
    "HOME": ".",
    "XDG_DATA_HOME": "data",
    "XDG_CONFIG_HOME": "config",
    "XDG_CACHE_HOME": "cache",
    "XDG_STATE_HOME": "state",
}


@dataclass(frozen=True)
class Ended:
    """One run of the CLI; `exit_code` None: killed at its limit."""

    exit_code: int | None
    stdout: str
    stderr: str


def find_cli(folder: Path, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Give the command of the CLI that `folder` pins: Node's path and the path of the CLI's own file.

    Raises:
        ConfigError: no Node, one that is too old, or the CLI is not installed as pinned.
    """
    node = find_node(environment)
    pinned = _read_object(folder / "package.json").get("dependencies")
    version = pinned.get(PACKAGE) if isinstance(pinned, dict) else None
    if not isinstance(version, str):
        raise _not_ready(f"{folder / 'package.json'} pins no version of {PACKAGE}", "take the file from the template")
    package = folder / "node_modules" / PACKAGE
    described = _read_object(package / "package.json")
    if described.get("version") != version:
        found = described.get("version") or "nothing"
        raise _not_ready(f"the Vercel CLI {version} is needed in {folder}, and {found} is installed", INSTALL)
    return node, str(_entry(package, described))


def cli_environment(environment: Mapping[str, str], home: Path, api_url: str = DEFAULT_API) -> dict[str, str]:
    """Give the environment that the CLI runs in, without any secret and without a person's own login.

    `home` is an empty folder for this use only; folders are made in it, and the CLI's settings for another `api_url`.
    """
    folders = {name: home / part for name, part in FOLDERS.items()}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    if api_url.rstrip("/") != DEFAULT_API:  # there is no variable for it
        settings = folders["XDG_DATA_HOME"] / "com.vercel.cli"
        settings.mkdir(exist_ok=True)
        (settings / "config.json").write_text(json.dumps({"api": api_url.rstrip("/")}), encoding="utf-8")
    inherited = {name: value for name, value in environment.items() if PASSED_ON.fullmatch(name)}
    return {**inherited, **QUIET, **{name: str(path) for name, path in folders.items()}}


def run_cli(
    command: Sequence[str], words: Sequence[str], *, folder: Path, environment: Mapping[str, str], limit_s: float
) -> Ended:
    """Run the CLI with exactly this environment and nothing to read, and leave nothing of its group running.

    Raises:
        ConfigError: it cannot be started at all.
    """
    child = _start([*command, *words], folder, environment)
    try:
        ends = [_End(child.stdout), _End(child.stderr)]
        exit_code = _wait(child, limit_s)
    finally:
        _kill(child)
    stdout, stderr = (end.text() for end in ends)
    return Ended(exit_code, stdout, stderr)


def cli_tool(
    install: Path, environment: Mapping[str, str], api_url: str = DEFAULT_API
) -> Callable[[Sequence[str], Path, Mapping[str, str], float], Ended]:
    """Give the CLI as a function of words, folder, added environment and limit; it is looked for at each call."""

    def run(words: Sequence[str], folder: Path, added: Mapping[str, str], limit_s: float) -> Ended:
        command = find_cli(install, environment)
        with tempfile.TemporaryDirectory(prefix="slipway-cli-", ignore_cleanup_errors=True) as home:
            clean = cli_environment(environment, Path(home), api_url)
            return run_cli(command, words, folder=folder, environment={**clean, **added}, limit_s=limit_s)

    return run


class _End:
    """The last bytes of a stream; it is read to its end all the time, or the child would block on a full pipe."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        if self._stream is None:
            return
        with self._stream, contextlib.suppress(OSError):
            while piece := os.read(self._stream.fileno(), PIECE):
                self._kept += piece
                del self._kept[:-LARGEST_OUTPUT]

    def text(self) -> str:
        self._thread.join(LAST_WORDS_S)
        return bytes(self._kept).decode(errors="replace")


def _start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise _not_ready(f"the Vercel CLI cannot be started: {error.strerror}", INSTALL) from error


def _wait(child: subprocess.Popen[bytes], limit_s: float) -> int | None:
    try:
        return child.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the group, also behind a leader that has ended; macOS says EPERM where only zombies are left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def find_node(environment: Mapping[str, str]) -> str:
    """Give Node's path.

    Raises:
        ConfigError: there is none on PATH, or one that is too old.
    """
    path = environment.get("PATH", os.defpath)
    node = shutil.which("node", path=path)
    if node is None:
        raise _not_ready(
            "Node is not on PATH, and the Vercel CLI needs it", f"install Node {OLDEST_NODE} or newer, then: {INSTALL}"
        )
    told = run_cli((node,), ("--version",), folder=Path(node).parent, environment={"PATH": path}, limit_s=PROBE_LIMIT_S)
    version = re.match(r"v(\d+)\.", told.stdout)
    if version is None or int(version[1]) < OLDEST_NODE:
        said = told.stdout.strip()[:40] or f"nothing, exit code {told.exit_code}"
        raise _not_ready(
            f"the Vercel CLI needs Node {OLDEST_NODE} or newer; {node} --version says {said}",
            f"install Node {OLDEST_NODE} or newer, and see that it comes first on PATH",
        )
    return node


def _entry(package: Path, described: Mapping[str, object]) -> Path:
    programs = described.get("bin")
    name = programs.get(PACKAGE) if isinstance(programs, dict) else None
    entry = package / name if isinstance(name, str) else package
    if not entry.is_file():
        raise _not_ready(f"the Vercel CLI in {package} is incomplete", INSTALL)
    return entry


def _read_object(path: Path) -> dict[str, object]:
    """Read a JSON object; empty where the file is missing or holds anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _not_ready(what: str, next_step: str) -> ConfigError:
    return ConfigError(what, means="Nothing was started on Vercel.", next_step=next_step)
