"""The Vercel CLI as a child process, with real small children: found, without secrets, bounded, killed whole."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.errors import ConfigError
from scripts.platforms.vercel_cli import (
    LARGEST_OUTPUT,
    Ended,
    cli_environment,
    cli_tool,
    find_cli,
    run_cli,
)

PYTHON = (sys.executable, "-I", "-S", "-c")
PINNED = Path(__file__).parents[2] / ".github" / "vercel-cli"
SECRETS = {
    "VERCEL_TOKEN": "t",
    "VERCEL_ORG_ID": "o",
    "VERCEL_PROJECT_ID": "p",
    "GITHUB_TOKEN": "g",
    "RENDER_API_KEY": "r",
}


def run(code: str, folder: Path, limit_s: float = 20, environment: dict[str, str] | None = None) -> Ended:
    """Run a line of Python as if it were the CLI."""
    return run_cli(PYTHON, (code,), folder=folder, environment=environment or {}, limit_s=limit_s)


def program(path: Path, text: str) -> Path:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def is_running(process_id: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(process_id: int) -> bool:
    """Wait a little for a killed process to be gone."""
    until = time.monotonic() + 5
    while is_running(process_id) and time.monotonic() < until:
        time.sleep(0.01)
    return not is_running(process_id)


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc")


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_a_run_is_told_as_it_was(code: int, tmp_path: Path) -> None:
    """Exit code, stdout and stderr are told apart, and the folder is the working folder."""
    text = f"import os,sys; print(os.getcwd()); print('é', file=sys.stderr); sys.exit({code})"
    told = run(text, tmp_path, environment={"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"})
    assert (told.exit_code, told.stdout.strip()) == (code, str(tmp_path.resolve()))
    assert told.stderr.strip()


@pytest.fixture
def open_stdin() -> Iterator[None]:
    """Give this process an input that never ends, as a terminal's does not."""
    reading, writing = os.pipe()
    before = os.dup(0)
    os.dup2(reading, 0)
    yield
    os.dup2(before, 0)
    for descriptor in (reading, writing, before):
        os.close(descriptor)


@pytest.mark.usefixtures("open_stdin")
def test_nothing_can_be_asked(tmp_path: Path) -> None:
    """A question meets the end of input and cannot hang."""
    told = run("import sys; print(repr(sys.stdin.read()))", tmp_path, limit_s=10)
    assert (told.exit_code, told.stdout) == (0, "''\n")


def test_the_environment_is_exactly_the_given_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of our own reaches the child."""
    monkeypatch.setenv("VERCEL_TOKEN", "our own")
    told = run("import json,os; print(json.dumps(dict(os.environ)))", tmp_path, environment={"A": "1"})
    seen = json.loads(told.stdout)
    assert seen.pop("A") == "1"
    assert "VERCEL_TOKEN" not in seen
    assert set(seen) <= {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"}  # Python's and macOS's own


FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
{then}
"""


@needs_proc
@pytest.mark.parametrize(("then", "code"), [("time.sleep(60)", None), ("sys.exit(3)", 3)])
def test_nothing_of_a_run_stays(then: str, code: int | None, tmp_path: Path) -> None:
    """At its limit the whole group is killed, and what a run left behind after its own end is killed too."""
    start = time.monotonic()
    told = run(FAMILY.format(then=then), tmp_path, limit_s=1 if code is None else 20)
    assert told.exit_code == code
    assert gone(int(told.stdout))
    assert time.monotonic() - start < 15


@needs_proc
def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C, and every other exception while the CLI runs, kills the group and goes on."""
    note = tmp_path / "pids"
    code = FAMILY.format(then=f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(60)")
    with alarm(2), pytest.raises(KeyboardInterrupt):
        run(code, tmp_path, limit_s=30)
    assert gone(int(note.read_text(encoding="utf-8")))


class alarm:  # noqa: N801 - reads as a verb
    """Raise KeyboardInterrupt in the main thread after some seconds, as Ctrl-C does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    @staticmethod
    def _ring(*_: object) -> None:
        raise KeyboardInterrupt


@needs_proc
def test_a_process_that_left_the_group_does_not_hold_us(tmp_path: Path) -> None:
    """What has a session of its own may keep the output open; that is not waited for."""
    code = FAMILY.replace('"])', '"], start_new_session=True)').format(then="sys.exit(0)")
    start = time.monotonic()
    told = run(code, tmp_path)
    os.kill(int(told.stdout), signal.SIGKILL)
    assert told.exit_code == 0
    assert time.monotonic() - start < 15


def test_output_is_bounded(tmp_path: Path) -> None:
    """Of a flood the end is kept, and the child never waits for a reader."""
    told = run("import sys; sys.stdout.write('x' * 5_000_000 + 'end'); sys.stderr.write('é' * 1_000_000)", tmp_path)
    assert told.exit_code == 0
    assert len(told.stdout) == LARGEST_OUTPUT
    assert told.stdout.endswith("xend")
    assert len(told.stderr) <= LARGEST_OUTPUT


@pytest.mark.parametrize("command", ["/nowhere/node", "/"])
def test_what_cannot_be_started_is_a_setting(command: str, tmp_path: Path) -> None:
    """A CLI that cannot be started is exit 2 with the next step."""
    with pytest.raises(ConfigError, match="cannot be started") as caught:
        run_cli((command,), (), folder=tmp_path, environment={}, limit_s=5)
    assert "npm ci" in caught.value.next_step


def test_no_secret_is_passed_on(tmp_path: Path) -> None:
    """Of the environment only what finds programs, certificates and the network is passed on, and no one's login."""
    passed = {"PATH": "/bin", "LANG": "C", "HTTPS_PROXY": "http://127.0.0.1:1", "no_proxy": "*", "UV_OFFLINE": "1",
              "PIP_CERT": "/c", "NODE_EXTRA_CA_CERTS": "/c", "NODE_OPTIONS": "--require=/guard.cjs"}  # fmt: skip
    dropped = {**SECRETS, "CLAUDECODE": "1", "XDG_DATA_DIRS": "/usr/share", "HOME": "/home/me", "FORCE_COLOR": "1"}
    told = cli_environment({**passed, **dropped}, tmp_path)
    assert {name: told[name] for name in passed} == passed
    assert not set(told) & (set(dropped) - {"HOME"})
    folders = {Path(told[name]) for name in told if name == "HOME" or name.startswith("XDG_")}
    assert all(folder.is_relative_to(tmp_path) and folder.is_dir() for folder in folders)
    quiet = {"CI", "VERCEL_TELEMETRY_DISABLED", "NO_UPDATE_NOTIFIER", "NO_COLOR"}
    assert {told[name] for name in quiet} == {"1"}
    assert told["VERCEL_CLI_USE_NATIVE_BINARY"] == "0"


@pytest.mark.parametrize(
    ("api_url", "written"),
    [
        ("https://api.vercel.com", None),
        ("https://api.vercel.com/", None),
        ("http://127.0.0.1:8123", {"api": "http://127.0.0.1:8123"}),
    ],
)
def test_another_api_is_written_where_the_cli_looks(
    api_url: str, written: dict[str, str] | None, tmp_path: Path
) -> None:
    """Only another API than Vercel's own needs a file; there is no variable for it."""
    told = cli_environment({}, tmp_path, api_url)
    file = Path(told["XDG_DATA_HOME"]) / "com.vercel.cli" / "config.json"
    assert (json.loads(file.read_text(encoding="utf-8")) if file.exists() else None) == written


@pytest.fixture
def install(tmp_path: Path) -> Path:
    """Make an installed CLI of version 1.2.3, and a Node 22 in `bin`."""
    program(tmp_path / "bin" / "node", "echo v22.1.0")
    package = tmp_path / "cli" / "node_modules" / "vercel"
    program(package / "dist" / "vc.js", "echo ran")
    write(tmp_path / "cli" / "package.json", {"dependencies": {"vercel": "1.2.3"}})
    write(package / "package.json", {"version": "1.2.3", "bin": {"vercel": "./dist/vc.js"}})
    return tmp_path


def write(path: Path, value: object) -> None:
    """Write JSON."""
    path.write_text(json.dumps(value), encoding="utf-8")


def find(install: Path) -> tuple[str, ...]:
    """Look for the CLI with only `bin` on the path."""
    return find_cli(install / "cli", {"PATH": str(install / "bin"), **SECRETS})


def test_the_pinned_cli_is_found(install: Path) -> None:
    """The command is Node and the CLI's own file."""
    entry = install / "cli" / "node_modules" / "vercel" / "dist" / "vc.js"
    assert find(install) == (str(install / "bin" / "node"), str(entry))


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("echo v18.20.4", "says v18.20.4"),
        ("echo v19.9.9", "says v19.9.9"),
        ("echo hello", "says hello"),
        ("exit 3", "says nothing, exit code 3"),
    ],
)
def test_an_old_node_is_refused(says: str, words: str, install: Path) -> None:
    """Node under 20, or what is no Node, is exit 2 and says what was found."""
    program(install / "bin" / "node", says)
    with pytest.raises(ConfigError, match=words) as caught:
        find(install)
    assert "install Node 20" in caught.value.next_step


@pytest.mark.parametrize("says", ["echo v20.0.0", "echo v24.1.0"])
def test_a_new_node_will_do(says: str, install: Path) -> None:
    """Node 20 and everything newer will do."""
    program(install / "bin" / "node", says)
    assert find(install)


def test_no_node_is_refused(install: Path) -> None:
    """Without Node on PATH it is exit 2, and the next step is to install it."""
    (install / "bin" / "node").unlink()
    with pytest.raises(ConfigError, match="Node is not on PATH") as caught:
        find(install)
    assert "install Node 20" in caught.value.next_step


@pytest.mark.parametrize(
    ("file", "value", "words"),
    [
        ("node_modules/vercel/package.json", None, "nothing is installed"),
        ("node_modules/vercel/package.json", {"version": "1.2.4"}, "1.2.3 is needed in .*, and 1.2.4 is installed"),
        ("node_modules/vercel/package.json", {"version": "1.2.3"}, "incomplete"),
        ("node_modules/vercel/package.json", {"version": "1.2.3", "bin": {"vercel": "gone.js"}}, "incomplete"),
        ("node_modules/vercel/package.json", [], "nothing is installed"),
        ("package.json", None, "pins no version"),
        ("package.json", {"dependencies": {}}, "pins no version"),
    ],
)
def test_another_cli_than_the_pinned_one_is_refused(file: str, value: object, words: str, install: Path) -> None:
    """A CLI that is missing, incomplete or of another version than the pinned one is exit 2 with the command to run."""
    path = install / "cli" / file
    path.unlink()
    if value is not None:
        write(path, value)
    with pytest.raises(ConfigError, match=words) as caught:
        find(install)
    assert caught.value.exit_code == 2
    wanted = "cd .github/vercel-cli && npm ci --ignore-scripts"
    assert caught.value.next_step == (wanted if "node_modules" in file else "take the file from the template")


def test_the_tool_runs_with_what_is_added_and_leaves_no_folder(install: Path, tmp_path: Path) -> None:
    """A run has the clean environment and what the adapter adds, in a home of its own that is gone afterwards."""
    seen = tmp_path / "seen"
    program(install / "bin" / "node", f'[ "$1" = --version ] && echo v22.0.0 && exit; env > {seen}; echo "$@"')
    tool = cli_tool(install / "cli", {"PATH": f"{install / 'bin'}:/usr/bin:/bin", **SECRETS})
    told = tool(("promote", "dpl_1"), tmp_path, {"VERCEL_TOKEN": "added"}, 10)
    assert told.stdout.split()[1:] == ["promote", "dpl_1"]
    environment = dict(line.split("=", 1) for line in seen.read_text(encoding="utf-8").splitlines() if "=" in line)
    assert environment["VERCEL_TOKEN"] == "added"
    assert not {"GITHUB_TOKEN", "RENDER_API_KEY"} & set(environment)
    assert not Path(environment["HOME"]).exists()


def test_the_tool_is_looked_for_only_when_it_runs(tmp_path: Path) -> None:
    """Who only reads needs no Node."""
    tool = cli_tool(tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(ConfigError, match="Node is not on PATH"):
        tool(("--version",), tmp_path, {}, 10)


@pytest.fixture
def real() -> None:
    """Skip where the pinned CLI is not installed."""
    try:
        find_cli(PINNED, os.environ)
    except ConfigError as error:
        pytest.skip(error.what)


@pytest.mark.usefixtures("real")
def test_the_real_cli_says_its_version(tmp_path: Path) -> None:
    """The pinned CLI runs in the clean environment and is the version that package.json pins."""
    told = cli_tool(PINNED, os.environ)(("--version",), tmp_path, {}, 60)
    pinned = json.loads((PINNED / "package.json").read_text(encoding="utf-8"))["dependencies"]["vercel"]
    assert (told.exit_code, told.stdout.strip()) == (0, pinned)


def test_the_lock_names_no_registry() -> None:
    """The CLI's lock has a hash for every package and no address, so that any registry that npm is set to will do."""
    lock = json.loads((PINNED / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: row for name, row in lock["packages"].items() if name}
    assert not [name for name, row in packages.items() if "resolved" in row]
    assert not [name for name, row in packages.items() if "integrity" not in row and not row.get("inBundle")]
    pinned = json.loads((PINNED / "package.json").read_text(encoding="utf-8"))["dependencies"]["vercel"]
    assert packages["node_modules/vercel"]["version"] == pinned


def test_the_clis_compiled_twins_are_never_installed() -> None:
    """No compiled twin of the CLI is in the lock: it would run without the guard that NODE_OPTIONS loads."""
    lock = json.loads((PINNED / "package-lock.json").read_text(encoding="utf-8"))
    twins = {row.get("name") for name, row in lock["packages"].items() if "/vc-native-" in name}
    assert twins == {"ms"}
