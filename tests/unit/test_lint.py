"""The verb `lint`: every linter is called, what one finds is told once and red, and so is one that did not look."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts.console import Console
from scripts.gates.findings import Finding, merge
from scripts.gates.lint import ANNOTATED, Ended, Order, Report, judge_end, judge_reports, lint
from scripts.gates.linters import TOOLS, Tool

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {tool.name: tool for tool in TOOLS}
RUFF = BY_NAME["ruff check"]
FOR_WORKFLOWS = ("actionlint", "workflow schema", "zizmor")

INJECTED = """\
name: Injected
on: pull_request
permissions: {}
concurrency:
  group: injected
  cancel-in-progress: true
jobs:
  greet:
    name: greet
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - run: echo ${{ github.event.pull_request.title }}
"""

# What each linter writes, as far as it is read.
OUTPUTS: dict[str, Any] = {
    "ruff check": [
        {"code": "F401", "filename": "/tree/app/a.py", "message": "unused", "location": {"row": 3, "column": 8}}
    ],
    "ruff format": [
        {"code": "unformatted", "filename": "/tree/a.py", "message": "would be", "location": {"row": 2, "column": 1}}
    ],
    "mypy": {
        "file": "app/a.py",
        "line": 3,
        "column": 7,
        "message": "wrong",
        "hint": "see there",
        "code": "arg-type",
        "severity": "error",
    },
    "actionlint": [
        {
            "message": "shellcheck reported issue in this script: SC2086:info:1:6: Double quote",
            "filepath": ".github/workflows/a.yml",
            "line": 8,
            "column": 9,
            "kind": "shellcheck",
        }
    ],
    "zizmor": [
        {
            "ident": "template-injection",
            "desc": "code injection",
            "ignored": False,
            "locations": [
                {
                    "symbolic": {
                        "kind": kind,
                        "annotation": f"{kind} words",
                        "key": {"Local": {"verbatim_path": ".github/workflows/a.yml"}},
                    },
                    "concrete": {"location": {"start_point": {"row": row, "column": 22}}},
                }
                for kind, row in (("Hidden", 1), ("Primary", 7))
            ],
        }
    ],
    "workflow schema": {
        "errors": [
            {
                "filename": ".github/workflows/a.yml",
                "path": "$.jobs",
                "message": "not valid",
                "best_match": {"path": "$.jobs.b.steps", "message": "3 is no array"},
            }
        ],
        "parse_errors": [],
    },
}
READ_AS = {
    "ruff check": "app/a.py:3:8: unused [F401] (ruff check)",
    "ruff format": "a.py:2:1: not formatted: ruff format a.py [unformatted] (ruff format)",
    "mypy": "app/a.py:3:8: wrong (see there) [arg-type] (mypy)",
    "actionlint": ".github/workflows/a.yml:8:9: Double quote [SC2086] (actionlint)",
    "zizmor": ".github/workflows/a.yml:8:23: code injection: Primary words [template-injection] (zizmor)",
    "workflow schema": ".github/workflows/a.yml:1: $.jobs.b.steps: 3 is no array [schema] (workflow schema)",
}
NOTHING = {"mypy": "", "workflow schema": '{"status": "ok", "errors": []}'}


def found(rule: str = "E1", tool: str = "one", message: str = "wrong", line: int = 1, path: str = "a.py") -> Finding:
    """Make a finding."""
    return Finding(path, line, 1, rule, message, tool)


def read_lines(text: str, _root: Path, tool: str) -> list[Finding]:
    """Read what the linters of these tests write: a finding's message in each line that begins with a dash."""
    lines = text.splitlines()
    if any(not line.startswith("- ") for line in lines):
        raise ValueError("torn")
    return [found(tool=tool, message=line[2:], line=number) for number, line in enumerate(lines, 1)]


def fake(folder: Path, name: str, script: str) -> Tool:
    """Write a linter of sh."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return Tool(name, (name,), read_lines)


def run_lint(order: Order, *, actions: bool = False, summary: Path | None = None) -> tuple[int, str]:
    """Lint, and give the exit code with what was said."""
    said = io.StringIO()
    environment = {"PATH": os.environ["PATH"], "GITHUB_ACTIONS": str(actions).lower()}
    environment |= {"GITHUB_STEP_SUMMARY": str(summary)} if summary else {}
    code = lint(order, Console(actions=actions, err=said), environment)
    return code, said.getvalue()


@pytest.fixture
def fakes(tmp_path: Path) -> Callable[..., Order]:
    """Give what makes an order of linters of sh, by name and script."""

    def make(limit_s: float = 20.0, at_once: int = 2, **scripts: str) -> Order:
        tools = [fake(tmp_path, name, script) for name, script in scripts.items()]
        return Order(tmp_path, tools, (), tmp_path, limit_s, at_once)

    return make


def test_every_linter_is_installed() -> None:
    """Each linter, and what it calls, comes from the lock, not from the machine."""
    for tool in TOOLS:
        for name in (tool.command[0], *tool.beside):
            assert (Path(sys.executable).parent / name).exists()


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_a_linter_writes_is_read(name: str) -> None:
    """Place, rule and words of a finding are those that the linter gave, with paths below the root."""
    (finding,) = BY_NAME[name].read(json.dumps(OUTPUTS[name]), Path("/tree"), name)
    assert finding.text == READ_AS[name]


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize(
    "cut", ["", "[", "null", "3", '"text"', "{}", '[{"code": 3}]', "[[]]", "Traceback: no", "[" * 9999]
)
def test_torn_output_is_no_pass(name: str, cut: str) -> None:
    """Output that is not the linter's own fails with any exit code; mypy alone is silent where it finds nothing."""
    tool = BY_NAME[name]
    for code in (0, 1):
        report = judge_end(tool, Ended(code, cut, "last words"), Path("/tree"))
        silent = name == "mypy" and not cut and code == 0
        assert (report.state, "last words" in report.broken) == (("ok", False) if silent else ("fail", True))


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("code", [0, 1, 2, 3, 11, 14, 15, -9, 127])
def test_an_exit_code_without_findings_is_no_pass(name: str, code: int) -> None:
    """Only 0 passes with nothing found; findings fail with any code, and one that does not go with them is said."""
    tool = BY_NAME[name]
    empty = judge_end(tool, Ended(code, NOTHING.get(name, "[]"), ""), Path("/tree"))
    full = judge_end(tool, Ended(code, json.dumps(OUTPUTS[name]), ""), Path("/tree"))
    assert (empty.state == "ok", bool(empty.broken)) == (code == 0, code != 0)
    assert (full.state, len(full.findings)) == ("fail", 1)
    assert bool(full.broken) == (code not in {0, *tool.found})


def test_a_note_is_no_finding() -> None:
    """A note of mypy by itself is nothing to mend, and yet no pass where mypy says that something was wrong."""
    note = json.dumps({**OUTPUTS["mypy"], "severity": "note"})
    states = [judge_end(BY_NAME["mypy"], Ended(code, note, ""), Path("/tree")).state for code in (0, 1)]
    assert states == ["ok", "fail"]


def test_what_zizmor_was_told_to_ignore_is_no_finding() -> None:
    """A finding that zizmor's configuration turns off is not told."""
    (row,) = OUTPUTS["zizmor"]
    assert judge_end(BY_NAME["zizmor"], Ended(0, json.dumps([{**row, "ignored": True}]), ""), Path("/")).state == "ok"


@pytest.mark.parametrize(
    ("findings", "told"),
    [
        ([found(), found()], ["[E1] (one)"]),
        ([found(), found(line=2)], ["[E1] (one)", "[E1] (one)"]),
        ([found(), found(message="also wrong")], ["[E1] (one)", "[E1] (one)"]),
        ([found(), found(tool="two", message="Wrong")], ["[E1] (one, two)"]),
        (
            [found("name-defined", "mypy", "no x"), found("F821", "ruff", "what x")],
            ["[name-defined, F821] (mypy, ruff)"],
        ),
        ([found("F821", "ruff", "x"), found("F821", "ruff", "y"), found("name-defined", "mypy", "z")], 2),
        (
            [found("syntax-check", "actionlint", "a"), found("schema", "schema", "b")],
            ["[syntax-check, schema] (actionlint, schema)"],
        ),
        (
            [
                found("expression", "actionlint", "x is potentially untrusted"),
                found("template-injection", "zizmor", "y"),
            ],
            1,
        ),
        ([found("expression", "actionlint", "no such property"), found("template-injection", "zizmor", "y")], 2),
        ([found("SC2086", "actionlint", "a"), found("schema", "schema", "b")], 2),
    ],
)
def test_the_same_trouble_is_told_once(findings: list[Finding], told: list[str] | int) -> None:
    """What two linters find on one line is one finding that names both; other troubles and other lines stay."""
    merged = merge(findings)
    if isinstance(told, int):
        assert len(merged) == told
    else:
        assert [finding.text.removeprefix(finding.place).partition(" [")[2] for finding in merged] == [
            words.lstrip("[") for words in told
        ]


def test_findings_are_in_the_order_of_the_files() -> None:
    """Findings are sorted by file and line, by number, whoever found them."""
    merged = merge([found(line=10), found(path="b.py"), found(line=9, tool="two")])
    assert [finding.place for finding in merged] == ["a.py:9:1", "a.py:10:1", "b.py:1:1"]


@pytest.mark.parametrize(
    ("reports", "passes"),
    [
        ([], False),
        ([Report("a", skipped="no file")], False),
        ([Report("a"), Report("b", skipped="no file")], True),
        ([Report("a"), Report("b", broken="died")], False),
        ([Report("a"), Report("b", [found()])], False),
    ],
)
def test_nothing_looked_at_is_no_pass(reports: list[Report], passes: bool) -> None:
    """It passes if somebody looked, nobody found anything, and nobody failed to look."""
    findings = [finding for report in reports for finding in report.findings]
    assert judge_reports(reports, findings).passed == passes


def test_good_linters_pass(fakes: Callable[..., Order], tmp_path: Path) -> None:
    """Where nothing is found each linter has its line, and the exit code is 0."""
    code, said = run_lint(fakes(one="exit 0", two="exit 0"), summary=tmp_path / "summary")
    assert code == 0
    assert [line.partition("(")[0].strip() for line in said.splitlines()] == [
        "ok     one",
        "ok     two",
        "ok     lint: nothing found by 2 linters",
    ]
    assert "nothing found" in (tmp_path / "summary").read_text()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo '- bad'; exit 1", "fail   one: 1 finding ("),
        ("echo '- bad'", "fail   one: 1 finding ("),
        ("exit 1", "ended with 1, which is no answer"),
        ("echo '- bad'; echo the reason >&2; exit 2", "ended with 2, which is no answer\n  - bad\n  the reason"),
        ("echo '- bad'; echo cut", "ended with 0, and what it wrote is not readable\n  - bad\n  cut"),
        ("printf '\\377\\033[2J'", "not readable"),
        ("kill -9 $$", "ended with -9"),
    ],
)
def test_a_linter_that_finds_or_fails_is_red(fakes: Callable[..., Order], script: str, words: str) -> None:
    """Findings, a strange end and torn output fail, are named with the last lines, and others go on."""
    code, said = run_lint(fakes(one=script, two="exit 0"))
    assert code == 10
    assert words in said
    assert "ok     two" in said
    assert "\033" not in said


@pytest.mark.parametrize(
    "script", ["exec sleep 60", pytest.param("sleep 60 & exit 0", marks=pytest.mark.slow)], ids=["itself", "its child"]
)
def test_a_linter_that_does_not_end_is_red(fakes: Callable[..., Order], script: str) -> None:
    """A linter that hangs, or leaves behind what could still write, is ended at its time limit and fails."""
    code, said = run_lint(fakes(limit_s=0.2, one=script))
    assert (code, "fail   one: did not end within 0.2 s" in said) == (10, True)


@pytest.mark.parametrize("broken", ["missing", "no program", "beside"])
def test_a_linter_that_cannot_run_is_red(fakes: Callable[..., Order], tmp_path: Path, broken: str) -> None:
    """A linter that is not installed, is no program, or lacks what it would silently do without, fails."""
    order = fakes(one="exit 0")
    match broken:
        case "missing":
            (tmp_path / "one").unlink()
        case "no program":
            (tmp_path / "one").write_bytes(b"\x00\x01")
        case _:
            order = dataclasses.replace(order, tools=[dataclasses.replace(order.tools[0], beside=("shellcheck",))])
    code, said = run_lint(order)
    assert code == 10
    assert "is not installed" in said or "cannot be started" in said


@pytest.mark.parametrize(
    ("optional", "exit_code", "words"), [(True, 0, "skip   one: there is no"), (False, 10, "fail   one")]
)
def test_a_linter_without_files_is_no_pass(
    fakes: Callable[..., Order], optional: bool, exit_code: int, words: str
) -> None:
    """A linter that finds no file to look at fails; one whose files need not be there is skipped, and said so."""
    order = fakes(one="exit 0", two="exit 0")
    first = dataclasses.replace(order.tools[0], files=("nothing/*.yml",), optional=optional)
    code, said = run_lint(dataclasses.replace(order, tools=[first, order.tools[1]]))
    assert (code, words in said) == (exit_code, True)


@pytest.mark.parametrize(("at_once", "looks", "exit_code"), [(2, 500, 0), (1, 3, 10)])
def test_linters_run_side_by_side(fakes: Callable[..., Order], at_once: int, looks: int, exit_code: int) -> None:
    """Two linters that wait for one another end where two may run at once, and not where one may."""
    meet = "touch {0}.here; for look in $(seq {2}); do [ -e {1}.here ] && exit 0; sleep 0.02; done; exit 1"
    order = fakes(at_once=at_once, one=meet.format("one", "two", looks), two=meet.format("two", "one", looks))
    assert run_lint(order)[0] == exit_code


def test_every_finding_is_annotated_and_none_ends_its_line(fakes: Callable[..., Order], tmp_path: Path) -> None:
    """In Actions the first findings are annotations, all are told and in the summary, and none is a command."""
    lines = "\n".join(f"- ::error::%0A|<b>{number}" for number in range(12))
    order = fakes(one=f"cat <<'END'\n{lines}\nEND\nexit 1")
    named = Tool(
        "one",
        ("one",),
        lambda text, root, tool: [
            dataclasses.replace(
                finding, path="::stop-commands::x", rule="a,line=9:b", message=f"{finding.message}\n::warning::x"
            )
            for finding in read_lines(text, root, tool)
        ],
    )
    code, said = run_lint(dataclasses.replace(order, tools=[named]), actions=True, summary=tmp_path / "summary")
    commands = [line for line in said.splitlines() if line.lstrip().startswith("::")]
    marks = [line for line in commands if "file=" in line]
    assert code == 10
    assert len(marks) == ANNOTATED
    assert all("file=%3A%3Astop-commands%3A%3Ax,line=" in line and "%250A" in line for line in marks)
    assert all("title=one%3A a%2Cline=9%3Ab," in line.replace("::", ",", 2) for line in marks)
    assert [line for line in commands if line not in marks] == [said.splitlines()[-1]]
    assert all(sum(f"<b>{number} " in line for line in said.splitlines()) == 1 for number in range(12))
    table = (tmp_path / "summary").read_text()
    assert table.count("stop-commands") == 12
    assert "<b>" not in table.replace("\\<b\\>", "")


@pytest.mark.parametrize(
    ("number", "sleeping"),
    [
        (signal.SIGINT, "echo $$ > pids.new; mv pids.new pids; exec sleep 60"),
        pytest.param(
            signal.SIGTERM, "sleep 60 & echo $! $$ > pids.new; mv pids.new pids; sleep 60", marks=pytest.mark.slow
        ),
    ],
)
def test_an_interrupt_ends_the_linters(tmp_path: Path, number: signal.Signals, sleeping: str) -> None:
    """Ctrl-C, and the runner's signal, end every linter with what it started, and the verb is not green."""
    fake(tmp_path, "one", sleeping)
    drive = (
        "import signal, sys; from pathlib import Path; from scripts.console import Console\n"
        "from scripts.gates.lint import Order, lint; from scripts.gates.linters import Tool\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)\n"  # ignored in the background
        "here = Path(sys.argv[1])\n"
        "lint(Order(here, [Tool('one', ('one',), lambda *_: [])], (), here), Console(), {})\n"
    )
    running = subprocess.Popen([sys.executable, "-c", drive, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        wait_until((tmp_path / "pids").exists)
        running.send_signal(number)
        assert running.wait(10) != 0
    finally:
        running.kill()
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        wait_until(partial(is_gone, pid))


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; what init has not reaped yet has."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not state.strip() or state.startswith("Z")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a repository of a workflow and a module."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".github" / "workflows").mkdir(parents=True)
    (tmp_path / "good.py").write_text('"""Good."""\n', encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, ""),
        ({"bad.py": "import os\n"}, "bad.py:1:8: `os` imported but unused"),
        ({"bad.py": "x = 'one'\n"}, "bad.py:1:5: not formatted: ruff format bad.py [unformatted] (ruff format)"),
        ({"bad.py": "def (\n"}, "[invalid-syntax] (ruff check, ruff format)"),
    ],
)
def test_real_ruff_is_read(tree: Path, files: dict[str, str], words: str) -> None:
    """What ruff itself finds is told with its place, and fails; a good tree passes."""
    for name, text in files.items():
        (tree / name).write_text(text, encoding="utf-8")
    code, said = run_lint(Order(tree, [RUFF, BY_NAME["ruff format"]], ()))
    assert (code, words in said) == (10 if files else 0, True)


def test_ruff_without_a_module_is_no_pass(tree: Path) -> None:
    """A configuration that hides every module from ruff is no way to pass."""
    (tree / "ruff.toml").write_text('exclude = ["*"]\n', encoding="utf-8")
    code, said = run_lint(Order(tree, [RUFF], ()))
    assert (code, "saw no file" in said) == (10, True)


@pytest.mark.parametrize("ending", ["yml", "yaml"])
def test_an_injected_workflow_is_red(tree: Path, ending: str) -> None:
    """A workflow that puts a pull request's title into a shell is found by the real linters, and told once."""
    (tree / ".github" / "workflows" / f"injected.{ending}").write_text(INJECTED, encoding="utf-8")
    code, said = run_lint(Order(tree, [BY_NAME[name] for name in ("actionlint", "zizmor")], ()))
    (told,) = [line for line in said.splitlines() if "template-injection" in line]
    assert code == 10
    assert told.startswith(f".github/workflows/injected.{ending}:13:")
    assert told.endswith("[expression, template-injection] (actionlint, zizmor)")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("echo ${{ github.event.pull_request.title }}", "echo $TITLE"), "[SC2086] (actionlint)"),
        (("    runs-on: ubuntu-24.04\n", ""), "(actionlint, workflow schema)"),
        (("name: Injected", "name: [Injected"), "zizmor: ended with 1"),
    ],
)
def test_a_wrong_workflow_is_red(tree: Path, change: tuple[str, str], words: str) -> None:
    """A careless script, a key that is missing and a file that is not YAML are each found by the real linters."""
    (tree / ".github" / "workflows" / "wrong.yml").write_text(INJECTED.replace(*change), encoding="utf-8")
    code, said = run_lint(Order(tree, [BY_NAME[name] for name in FOR_WORKFLOWS], ()))
    assert (code, words in said) == (10, True)


@pytest.mark.slow
def test_the_verb_is_red_in_a_copy_of_the_tree(tmp_path: Path) -> None:
    """In a copy of the project each linter finds what was put there for it, and each finding is told once."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".github" / "workflows" / "injected.yml").write_text(INJECTED, encoding="utf-8")
    (tmp_path / "app" / "bad.py").write_text("import os\nx : int = 'a'\n", encoding="utf-8")
    (tmp_path / "render.yaml").write_text("services: []\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "scripts"), "lint"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 10
    for path, words in (
        ("app/bad.py", "[F401] (ruff check)"),
        ("app/bad.py", "[unformatted] (ruff format)"),
        ("app/bad.py", "[assignment] (mypy)"),
        (".github/workflows/injected.yml", "template-injection] (actionlint, zizmor)"),
        ("render.yaml", "[schema] (settings)"),
    ):
        assert sum(line.startswith(f"{path}:") and line.endswith(words) for line in ran.stderr.splitlines()) == 1
