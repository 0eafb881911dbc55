"""The verb `required`: nothing but the success of every gate is a pass."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.arguments import build_parser
from scripts.cli import main
from scripts.gates.jobs import GATES, command_of
from scripts.gates.required import WORKFLOW, find_line

ROOT = Path(__file__).resolve().parents[2]
NAMES = [gate.name for gate in GATES]
GOOD: dict[str, object] = {name: {"result": "success", "outputs": {}} for name in NAMES}


def needs(**results: object) -> str:
    """Give GitHub's needs, all good but these; None leaves a job out."""
    told = {**GOOD, **{name: {"result": result, "outputs": {}} for name, result in results.items()}}
    return json.dumps({name: value for name, value in told.items() if results.get(name, "") is not None})


def test_all_good_is_a_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """Every gate passed: a line for each, and exit 0."""
    assert main(["required"], {"NEEDS": needs()}) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == [f"ok     {name}" for name in NAMES]
    assert lines[-1].startswith("ok     required: 6 of 6 jobs passed (")


@pytest.mark.parametrize(
    ("given", "bad"),
    [
        *((needs(**{name: "failure"}), name) for name in NAMES),
        (needs(lint="cancelled"), "lint"),
        (needs(load="skipped"), "load"),
        (needs(lint=None), "lint"),
        (needs(lint="Success"), "lint"),
        (needs(lint="neutral"), "lint"),
        (needs(lint="success "), "lint"),
        (needs(lint=""), "lint"),
        (needs(lint=True), "lint"),
        (needs(lint=["success"]), "lint"),
        (needs(lint={"result": "success"}), "lint"),
        (needs(lint="missing"), "lint"),
        (json.dumps({**GOOD, "lint": "success"}), "lint"),
        (json.dumps({**GOOD, "lint": None}), "lint"),
        (json.dumps({**GOOD, "lint": {"outputs": {"result": "success"}}}), "lint"),
        (needs(stranger="success"), "stranger"),
        (needs(stranger="skipped"), "stranger"),
        (needs(**{"": "success"}), ""),
        ("{}", NAMES[0]),
    ],
)
def test_anything_else_is_red(capsys: pytest.CaptureFixture[str], given: str, bad: str) -> None:
    """A job that failed, was cancelled or skipped, is missing or unknown is named, and the gate ends with 10."""
    assert main(["required"], {"NEEDS": given}) == 10
    err = capsys.readouterr().err
    assert f"fail   {bad}: " in err
    assert f"ok     {bad}\n" not in err


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "  ",
        "{",
        needs()[:-1],
        "[]",
        "null",
        '"success"',
        "success success",
        '{"lint": {"result": "failure"}, "lint": {"result": "success"}}',
        '{"lint": {"result": "failure", "result": "success"}}',
        "[" * 100_000,
        '{"lint": ' + "1" * 5000 + "}",
    ],
)
def test_torn_needs_are_exit_2(capsys: pytest.CaptureFixture[str], given: str | None) -> None:
    """What cannot be read is no pass: exit 2 with what to write in the workflow, and no part of it is repeated."""
    assert main(["required"], {} if given is None else {"NEEDS": given}) == 2
    err = capsys.readouterr().err
    assert "next: in the job's env: `NEEDS: ${{ toJSON(needs) }}`" in err
    assert "success" not in err


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: str(gate.name))
def test_the_command_is_told(capsys: pytest.CaptureFixture[str], gate: object) -> None:
    """A red gate comes with a command for a laptop that the real parser takes, and it is the next step."""
    (found,) = [each for each in GATES if each is gate]
    assert main(["required"], {"NEEDS": needs(**{found.name: "failure"})}) == 10
    err = capsys.readouterr().err
    assert f"       on a laptop: {command_of(found)}\n" in err
    assert err.endswith(f"next   {command_of(found)}\n")
    for command in command_of(found).split("; "):
        words = command.split()
        assert words[:3] == ["python3", "-m", "scripts"]
        build_parser().parse_args(words[3:])


@pytest.mark.parametrize(
    ("given", "may_skip", "code"),
    [
        ({"load": "skipped"}, ["load"], 0),
        ({"load": "skipped"}, ["lint"], 10),
        ({"load": "skipped", "lint": "skipped"}, ["load"], 10),
        ({"load": "skipped", "lint": "skipped"}, ["load", "lint"], 0),
        ({"load": "failure"}, ["load"], 10),
        ({"load": "cancelled"}, ["load"], 10),
        ({"load": None}, ["load"], 10),
        ({"load": "success"}, ["load"], 0),
        (dict.fromkeys(NAMES, "skipped"), NAMES, 10),
        ({"stranger": "skipped"}, ["stranger"], 2),
        ({}, ["lin"], 2),
        ({}, [""], 2),
    ],
)
def test_only_a_named_skip_is_fine(given: dict[str, object], may_skip: list[str], code: int) -> None:
    """A skip is excused for the job that is named, and nothing but a skip; a name that is no gate is refused."""
    words = [word for name in may_skip for word in ("--may-skip", name)]
    assert main(["required", *words], {"NEEDS": needs(**given)}) == code


def test_a_skip_is_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """A job that may be skipped and was is told as skipped, not as ok."""
    assert main(["required", "--may-skip", "load"], {"NEEDS": needs(load="skipped")}) == 0
    err = capsys.readouterr().err
    assert "skip   load\n" in err
    assert "5 of 6 jobs passed, and 1 may be skipped" in err


def test_in_actions_it_is_marked_and_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each red gate is an annotation, and the step's summary has a row for each job."""
    summary = tmp_path / "summary.md"
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    assert main(["required"], {**actions, "NEEDS": needs(lint="failure", load="skipped")}) == 10
    marks = [line for line in capsys.readouterr().err.splitlines() if line.startswith("::error")]
    titles = [re.findall("title=([^,:]+)", mark) for mark in marks]
    assert titles == [["lint"], ["load"], ["required%3A fail"]]
    assert "file=.github/workflows/checks.yml,line=" in marks[0]
    assert marks[0].endswith("::lint: it failed; on a laptop: python3 -m scripts lint")
    text = summary.read_text()
    assert text.startswith("## Required: not passed\n\n2 of 6 jobs did not pass: lint, load\n")
    assert [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| ")][1:] == [
        [f"| {name}", "fail" if name in {"lint", "load"} else "ok"] for name in NAMES
    ]


def test_torn_needs_are_summed_up_too(tmp_path: Path) -> None:
    """Where nothing could be judged the summary says so."""
    summary = tmp_path / "summary.md"
    assert main(["required"], {"GITHUB_STEP_SUMMARY": str(summary), "NEEDS": "{"}) == 2
    assert summary.read_text().startswith("## Required: not known\n")


HOSTILE = ["x\n::error::y", "<img src=x>", "a|b", "##[error]z", "\x1b[31mred", "%0A::warning::x", "s" * 10_000]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["name", "result"])
def test_foreign_words_stay_words(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, place: str) -> None:
    """A job's name or result can neither be a workflow command, nor end a table's cell, nor flood the log."""
    given = needs(**({text: "success"} if place == "name" else {"lint": text}))
    summary = tmp_path / "summary.md"
    actions = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    assert main(["required"], {**actions, "NEEDS": given}) == 10
    err = capsys.readouterr().err
    commands = [line for line in err.splitlines() if line.lstrip().startswith("::") or "##[" in line]
    assert [
        line for line in commands if not line.startswith("::error title=") and not line.startswith("::error file=")
    ] == []
    assert "\x1b" not in err
    assert max(map(len, err.splitlines())) < 400
    rows = [line for line in summary.read_text().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(NAMES) + (place == "name")
    assert re.search(r"(?<!\\)<", summary.read_text()) is None


@pytest.mark.parametrize(
    ("workflow", "line"),
    [
        ("jobs:\n  lock:\n    x: 1\n  lint:\n", 4),
        ("jobs:\n  lock:\n    lint:\n", 1),
        ("", 1),
        ("  lint: # why\n", 1),
        ("  lint:  \n", 1),
        ("x:\n  lin.:\n  lint:", 3),
    ],
)
def test_the_job_is_found_in_its_file(workflow: str, line: int) -> None:
    """A mark is put where the workflow begins the job; where that is not found, on the first line."""
    assert find_line(workflow, "lint") == line


def test_every_gate_has_its_line() -> None:
    """The jobs of checks.yml are found."""
    text = (ROOT / WORKFLOW).read_text()
    found = [find_line(text, name) for name in NAMES]
    assert found == sorted({*found})
    assert 1 not in found


def test_it_needs_nothing_installed() -> None:
    """The verb runs beside the small lock: nothing that it imports comes from a package."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import scripts.gates.required; print(*sys.path, sep='\\n')"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "site-packages" not in ran.stdout
