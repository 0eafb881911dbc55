"""The verb `check` with real processes: small programs stand in for the gates, run by the command lines of the list."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from coverage import CoverageData

from scripts.arguments import build_parser
from scripts.console import Console
from scripts.gates import check
from scripts.gates.against import Base
from scripts.gates.jobs import GATES
from scripts.gates.side_by_side import Ended, Ground, Result

ROOT = Path(__file__).resolve().parents[2]
NAMES = [gate.name for gate in GATES]
SECRET = "rnd_5Zq8wKx1"
AT_ONCE = ("lock", "lint", "unit", "integration")

# A gate: it notes when it runs, and does what its story says. What it starts is in a session of its own.
STAND_IN = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

words = sys.argv[1:]
name = words[2] if words[0] == "test" else words[0]
story = json.loads(Path("stories.json").read_text()).get(name, {})
note = {"name": name, "words": words, "pid": os.getpid(), "data": os.environ.get("COVERAGE_FILE"), "from": time.time()}

def tell():
    note["until"], note["nice"] = time.time(), os.getpriority(os.PRIO_PROCESS, 0)
    Path("new-" + name).write_text(json.dumps(note))
    os.replace("new-" + name, "ran-" + name)

if story.get("deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if story.get("starts"):
    left = subprocess.Popen([sys.executable, "-ISc", "import time; time.sleep(60)"], start_new_session=True)
    note["left"] = left.pid
tell()
print(story.get("says", "all is well"), flush=True)
if Path(os.environ.get("COVERAGE_FILE", "/")).is_relative_to(Path.cwd()):  # not whoever measures these tests
    Path(os.environ["COVERAGE_FILE"]).write_text(name)
latest = time.time() + 20
while not all(os.path.exists("ran-" + other) for other in story.get("meets", ())):
    if time.time() > latest:
        sys.exit("the others never came")
    time.sleep(0.01)
time.sleep(story.get("seconds", 0))
tell()
if story.get("killed"):
    os.kill(os.getpid(), 9)
sys.exit(story.get("code", 0))
"""

# The real verb, from the command line on, for a repository elsewhere.
CHECK = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from scripts.cli import main
from scripts.gates import check
check.ROOT, check.HERE = Path.cwd(), check.GATES
sys.exit(main(["check", *sys.argv[1:]]))
"""


@dataclass(frozen=True)
class Tree:
    """A repository whose gates are stand-ins."""

    root: Path

    def tells(self, **stories: Mapping[str, object]) -> None:
        """Say what becomes of which gate."""
        (self.root / "stories.json").write_text(json.dumps(stories))

    def ran(self, name: str) -> dict[str, Any]:
        """Give what a gate noted; empty where it never ran."""
        path = self.root / f"ran-{name}"
        told: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return told

    @property
    def pids(self) -> list[int]:
        """Every process that was started, and what it left."""
        told = [self.ran(name) for name in NAMES]
        return [pid for row in told for pid in (row.get("pid"), row.get("left")) if pid]

    def check(self, *words: str, **environment: str) -> int:
        """Run the verb in this process."""
        settings = {"PATH": os.defpath, **environment}
        return check.run(build_parser().parse_args(["check", *words]), settings)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    """Make a repository in which every gate passes at once."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "__main__.py").write_text(STAND_IN)
    monkeypatch.setattr(check, "ROOT", tmp_path)
    monkeypatch.setattr(check, "HERE", GATES)  # a shard would have its gate's name here
    tree = Tree(tmp_path)
    tree.tells()
    before = {number: signal.getsignal(number) for number in check.SIGNALS}
    yield tree
    for number, handler in before.items():  # the loop's end took them away from what measures coverage
        signal.signal(number, handler)
    for pid in tree.pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run_with(tree: Tree, ground: Ground, *, fail_fast: bool = True, python: str = sys.executable) -> dict[str, Ended]:
    """Run the list with other patience, or another Python."""
    runs = [replace(run, command=(python, *run.command[1:])) for run in check.plan_runs(GATES, Base(), tree.root)]
    with check.own_folder(tree.root / check.FOLDER):
        rows, _ = asyncio.run(check.run_until_stopped(runs, ground, Console(), fail_fast=fail_fast))
    return {row.name: row for row in rows}


def is_running(pid: int) -> bool:
    """Whether a process is there; one that only waits to be reaped is not."""
    try:
        os.kill(pid, 0)
        return sys.platform != "linux" or b") Z " not in Path(f"/proc/{pid}/stat").read_bytes()
    except (ProcessLookupError, FileNotFoundError):
        return False


def results_of(out: str) -> dict[str, str]:
    """Read the table."""
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    return {row[0]: row[1] for row in rows[1:]}


def test_all_pass_side_by_side(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """All gates pass: they run at once where they may, the parts' data is apart, and their output is not shown."""
    tree.tells(**{name: {"meets": AT_ONCE} for name in AT_ONCE})
    assert tree.check() == 0
    ran = {name: tree.ran(name) for name in NAMES}
    assert ran["coverage"]["from"] > max(ran["unit"]["until"], ran["integration"]["until"])
    assert ran["load"]["from"] > max(row["until"] for name, row in ran.items() if name != "load")
    assert [name for name, row in ran.items() if row["data"]] == ["unit", "integration"]
    folders = [tree.root / word for word in ran["coverage"]["words"][1:]]
    assert [(folder / ".coverage").read_text() for folder in folders] == ["unit", "integration"]
    assert ran["unit"]["nice"] == min(ran["integration"]["nice"] + 5, 19)
    told = capsys.readouterr()
    assert results_of(told.out) == dict.fromkeys(NAMES, "ok")
    assert "all is well" not in told.err
    assert re.search(r"^ok     lint \(\d\.\d s\)$", told.err, re.MULTILINE)
    assert "no default branch is known" in told.err
    assert (tree.root / ".slipway" / "check" / "lint.log").read_text() == "all is well\n"


def test_two_red_gates(tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two gates are red: both outputs are shown whole, as words and without a secret; all others ran; exit 10."""
    many = "\n".join(f"line {number}" for number in range(200))
    tree.tells(lint={"code": 10, "says": many}, lock={"code": 2, "says": f"\x1b[31mwhat now\x1b[0m\n::error::{SECRET}"})
    summary = tmp_path / "summary.md"
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "RENDER_API_KEY": SECRET}
    assert tree.check(**actions) == 10
    told = capsys.readouterr()
    assert results_of(told.out) == {**dict.fromkeys(NAMES, "ok"), "lint": "fail", "lock": "fail"}
    assert [line for line in told.err.splitlines() if line.startswith("  line ")] == [
        f"  line {number}" for number in range(200)
    ]
    assert "\n  what now\n  : :error::[redacted]\n" in told.err
    assert SECRET not in told.out + told.err + summary.read_text()
    assert "fail   lock: exit 2 (" in told.err
    assert ".slipway/check/lint.log:200" in told.out
    assert "4 of 6 gates passed; fail: lock, lint" in told.err
    assert told.err.endswith("next   python3 -m scripts lock check\n")
    assert "| lint | fail |" in summary.read_text()


@pytest.mark.parametrize(("code", "word"), [(11, "unsure"), pytest.param(12, "error", marks=pytest.mark.slow)])
def test_a_red_part_leaves_coverage_out(tree: Tree, capsys: pytest.CaptureFixture[str], code: int, word: str) -> None:
    """Where a part of the tests did not pass coverage is not run, never ok, and `--json` is one object that says so."""
    tree.tells(unit={"code": code})
    assert tree.check("--json") == code
    told = json.loads(capsys.readouterr().out)
    gates = {row["name"]: row for row in told["gates"]}
    assert (told["version"], told["exit_code"], told["against"]) == (1, code, None)
    assert (gates["unit"]["result"], gates["unit"]["exit_code"]) == (word, code)
    assert (gates["coverage"]["result"], gates["coverage"]["why"]) == ("not run", "unit did not pass")
    assert (gates["coverage"]["log"], tree.ran("coverage")) == (None, {})
    assert gates["load"]["result"] == "ok"


def test_fail_fast_stops_the_others(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """The first red gate ends the others with all that they started, deaf ones too; they are stopped, not ok."""
    slow = {"seconds": 60, "starts": True}
    tree.tells(lint={"code": 10, "meets": AT_ONCE}, lock=slow, unit=slow, integration={**slow, "deaf": True})
    check_ground = Ground(tree.root, {"PATH": os.defpath}, grace_s=0.2)
    begin = time.monotonic()
    ended = run_with(tree, check_ground)
    assert time.monotonic() - begin < 10
    assert {name: row.result for name, row in ended.items()} == {
        "lock": Result.STOPPED,
        "lint": Result.FAIL,
        "unit": Result.STOPPED,
        "integration": Result.STOPPED,
        "load": Result.NOT_RUN,
        "coverage": Result.NOT_RUN,
    }
    assert len(tree.pids) == 7
    assert [pid for pid in tree.pids if is_running(pid)] == []
    assert "stopped unit" in capsys.readouterr().err


def test_a_gate_without_end_is_red(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    """A heartbeat names what still runs, and for how long; what never ends is ended, and is a failure."""
    tree.tells(unit={"seconds": 60})
    ended = run_with(tree, Ground(tree.root, {"PATH": os.defpath}, grace_s=0.2, limit_s=0.5, heartbeat_s=0.1))
    assert re.search(r"^  running  .*\bunit \(0 s\)", capsys.readouterr().err, re.MULTILINE)
    assert (ended["unit"].result, ended["unit"].why) == (Result.FAIL, "it did not end within 0.5 s")
    assert ended["coverage"].result is Result.NOT_RUN
    assert [pid for pid in tree.pids if is_running(pid)] == []


@pytest.mark.parametrize("trouble", ["no such program", "no folder", "killed"])
def test_a_gate_that_never_judged_is_red(tree: Tree, trouble: str) -> None:
    """A gate that cannot be started, or is killed, is a failure; coverage is not run, and nothing else counts as ok."""
    tree.tells(unit={"killed": trouble == "killed"})
    ground = Ground(tree.root if trouble != "no folder" else tree.root / "nowhere", {"PATH": os.defpath})
    python = "/nowhere/python" if trouble == "no such program" else sys.executable
    ended = run_with(tree, ground, fail_fast=False, python=python)
    bad = ["unit"] if trouble == "killed" else ["lock", "lint", "unit", "integration", "load"]
    assert [name for name, row in ended.items() if row.result is Result.FAIL] == bad
    assert ended["coverage"].result is Result.NOT_RUN


def wait_for(path: Path, limit_s: float = 20.0) -> None:
    """Wait until a file is there."""
    deadline = time.monotonic() + limit_s
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP))]
)
def test_an_interrupt_leaves_nothing(tree: Tree, number: signal.Signals) -> None:
    """A signal ends the whole command line with 130: nothing is left running, and the summary is told all the same."""
    tree.tells(**{name: {"seconds": 60, "starts": True} for name in NAMES})
    command = [sys.executable, "-c", CHECK.format(root=str(ROOT))]
    with subprocess.Popen(
        command, cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        for name in AT_ONCE:
            wait_for(tree.root / f"ran-{name}")
        running.send_signal(number)
        out, err = running.communicate(timeout=20)
    assert running.returncode == 130, err
    assert set(results_of(out).values()) == {"stopped", "not run"}
    assert "interrupted check: interrupted; 0 of 6 gates passed" in err
    assert len(tree.pids) == 8
    assert [pid for pid in tree.pids if is_running(pid)] == []


@pytest.mark.slow
def test_a_killed_check_takes_its_gates_along(tree: Tree) -> None:
    """Where the check itself is killed its gates end too, though nobody can clean up any more (Linux)."""
    tree.tells(unit={"seconds": 60}, integration={"seconds": 60})
    command = [sys.executable, "-c", CHECK.format(root=str(ROOT))]
    with subprocess.Popen(command, cwd=tree.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        wait_for(tree.root / "ran-unit")
        wait_for(tree.root / "ran-integration")
        running.kill()
    time.sleep(0.5)
    assert [pid for pid in tree.pids if is_running(pid)] == []


@pytest.mark.slow
def test_side_by_side_is_shorter(tree: Tree) -> None:
    """Gates that wait, as integration does, take at most 60 % of the time that they take one after the other."""
    seconds = {"lock": 0.6, "lint": 0.6, "unit": 1.5, "integration": 2.0, "coverage": 0.1, "load": 0.1}
    tree.tells(**{name: {"seconds": each} for name, each in seconds.items()})
    begin = time.monotonic()
    ended = run_with(tree, Ground(tree.root, {"PATH": os.defpath}))
    together = time.monotonic() - begin
    begin = time.monotonic()
    for run in check.plan_runs(GATES, Base(), tree.root):
        settings = {"PATH": os.defpath, **run.settings}
        subprocess.run(run.command, cwd=tree.root, env=settings, check=True, stdout=subprocess.DEVNULL)
    assert {row.result for row in ended.values()} == {Result.OK}
    assert together / (time.monotonic() - begin) <= 0.6


@pytest.mark.slow
def test_the_parts_measure_apart(tmp_path: Path) -> None:
    """Both parts of the real `test` at once: each one's data has what its own tests ran, in their children too."""
    files = {
        "app/__init__.py": "",
        "app/unit.py": "one = 1\n",
        "app/integration.py": "one = 1\n",
        "app/child_of_unit.py": "one = 1\n",
        "app/child_of_integration.py": "one = 1\n",
        ".coveragerc": "[run]\nsource = app\nbranch = true\nparallel = true\npatch = subprocess\n",
        "pytest.ini": "[pytest]\npythonpath = .\naddopts = --import-mode=importlib\nmarkers = slow\n",
    }
    test = "import subprocess, sys\n\ndef test_it():\n    import app.{0}\n"
    test += "    subprocess.run([sys.executable, '-c', 'import app.child_of_{0}'], check=True)\n"
    for part in ("unit", "integration"):
        files[f"tests/{part}/test_it.py"] = test.format(part)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; from scripts.gates import testing"
    code += "; testing.ROOT = Path.cwd(); from scripts.cli import main; sys.exit(main(sys.argv[1:]))"
    rest = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    (tmp_path / check.FOLDER).mkdir(parents=True)
    started = []
    runs = [run for run in check.plan_runs(GATES, Base(), tmp_path) if run.settings]
    for run in runs:
        (tmp_path / check.FOLDER / f"coverage-{run.gate.name}").mkdir()
        command = [sys.executable, "-c", code, *run.gate.words]
        settings = {**rest, **run.settings}
        started.append(subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=subprocess.PIPE, text=True))
    told = {run.gate.name: process.communicate()[0] for run, process in zip(runs, started, strict=True)}
    assert [process.returncode for process in started] == [0, 0], told
    assert not (tmp_path / ".coverage").exists()
    for run in runs:
        data = CoverageData(run.settings["COVERAGE_FILE"])
        data.read()
        ran = {Path(name).stem for name in data.measured_files() if data.lines(name)}
        assert ran - {"__init__"} == {run.gate.name, f"child_of_{run.gate.name}"}
