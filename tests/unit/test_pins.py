"""What a lock says by itself, held against pip's own reading of it, and what changed from one to another."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pip._internal.req.req_file import preprocess

from scripts.gates.lockfiles import LOCKS
from scripts.gates.pins import (
    NOTHING_NEWER,
    Change,
    Pin,
    bare,
    compare,
    judge_texts,
    read_pins,
    render_diff,
    render_table,
    with_hashes,
    without_hashes,
)

ROOT = Path(__file__).resolve().parents[2]
OURS = {f"{name}.txt": (ROOT / f"{name}.txt").read_text() for name in LOCKS}
A, B = "a" * 64, "b" * 64
GOOD = f"#\n# made\n#\none==1.0 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n    # via -r requirements.in\n"


def test_our_locks_are_right_by_themselves() -> None:
    """Our locks have no option, no index and no link, a hash for each pin, and each package at one version."""
    assert judge_texts(OURS) == []
    assert not [line for text in OURS.values() for line in text.splitlines() if "://" in line]
    assert all("#    python3 -m scripts lock\n" in text for text in OURS.values())


def test_release_path_needs_httpx_and_pydantic_only() -> None:
    """The lock of the jobs that hold secrets asks for httpx and pydantic, and for nothing else by itself."""
    lines = (ROOT / "scripts" / "requirements.in").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "-c"))] == ["httpx", "pydantic"]


@pytest.mark.parametrize("path", OURS)
def test_hashes_go_out_of_a_lock_and_back(path: str) -> None:
    """A lock without its hashes, given them again, is the lock byte for byte."""
    stripped = without_hashes(OURS[path])
    assert "--hash" not in stripped
    assert [pin.name for pin in read_pins(stripped)] == [pin.name for pin in read_pins(OURS[path])]
    assert with_hashes(stripped, {(pin.name, pin.version): pin.hashes for pin in read_pins(OURS[path])}) == OURS[path]


def test_reads_pins() -> None:
    """A pin is read with all its hashes and its marker, its name in one spelling."""
    text = GOOD + f'Two_b==2!1.0rc1 ; sys_platform == "win32" \\\n    --hash=sha256:{B}\n'
    one, two = read_pins(text)
    assert one == Pin("one", "1.0", frozenset({A, B}))
    assert two == Pin("two-b", "2!1.0rc1", frozenset({B}), 'sys_platform == "win32"')
    assert bare(text) == 'one==1.0\ntwo-b==2!1.0rc1 ; sys_platform == "win32"\n'


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--index-url https://user:hunter2@index.example/simple", "--index-url is an option of a machine"),
        ("--extra-index-url=https://user:hunter2@index.example/simple", "--extra-index-url is an option"),
        ("-i https://user:hunter2@index.example", "-i is an option"),
        ("--find-links /home/hunter2/wheels", "--find-links is an option"),
        ("--trusted-host hunter2.example", "--trusted-host is an option"),
        ("--no-binary :all:", "--no-binary is an option"),
        ("-r hunter2.txt", "-r is an option"),
        ("-e .", "-e is an option"),
        ("two @ https://user:hunter2@files.example/two.whl", "'two' begins a line that is no pin"),
        ("https://user:hunter2@files.example/two.whl", "'https' begins a line"),
        ("./hunter2.whl", "'.' begins a line"),
        ("two>=1.0", "'two' begins a line"),
        ("two[hunter2]==1.0", "'two' begins a line"),
        ("two==1.*", "'two' begins a line"),
        ("two===1.0", "'two' begins a line"),
        (f"two==1.0 --hash=sha256:{A[:-1]}", "'two' begins a line"),
        (f"two==1.0 --hash=sha256:{A}{A}", "'two' begins a line"),
        (f"two==1.0 --hash=md5:{A[:32]}", "'two' begins a line"),
        (f"two==1.0 --hash=sha256:{A} --index-url https://hunter2.example", "'two' begins a line"),
        (f"two==1.0 --hash=sha256:{A} \\\n--index-url https://hunter2.example", "'two' begins a line"),
        (f"two==1.0 --hash=sha256:{A}\x0c-i https://hunter2.example", "-i is an option"),
        (f"two==1.0 --hash=sha256:{A}\u2028-i https://hunter2.example", "-i is an option"),
        (f"tw\u043e==1.0 --hash=sha256:{A}", "'tw\\u043e' begins a line"),
        ("${hunter2}", "'' begins a line"),
        ("two==1.0", "two==1.0 has no hash"),
        ("two==1.0 \\", "two==1.0 has no hash"),
        (f"One==1.0 --hash=sha256:{A}", "one is pinned twice"),
    ],
)
def test_line_that_is_no_pin_is_red(line: str, told: str) -> None:
    """An option, a link, a range, a broken or missing hash in a lock is told, without what may be a password."""
    (trouble,) = judge_texts({"requirements.txt": f"{GOOD}{line}\n"})
    assert trouble.startswith(f"requirements.txt: {told}")
    assert "hunter2" not in trouble


def test_versions_that_differ_are_red() -> None:
    """A package at two versions in locks that are installed together is told with both and where they are."""
    texts = {"a.txt": GOOD, "b.txt": GOOD, "c.txt": GOOD.replace("==1.0", "==1.1")}
    assert judge_texts(texts) == ["one has not one version: 1.0 in a.txt and b.txt, 1.1 in c.txt"]


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [f"one==1.0 --hash=sha256:{A}", "two==2 \\", f"    --hash=sha256:{B}", "# why \\", "-i x", "\\"]
        ),
        st.text("ab=# \\\t\r\x0c\x85\u2028$-@", max_size=8),
    ),
    max_size=8,
)


@given(LINES, st.sampled_from(["\n", "\r\n", "\r", "\x0b"]))
@example(["# why \\", "-i x"], "\n")
@example(["two==2 \\", "# why", f"--hash=sha256:{B}"], "\n")
def test_reads_a_lock_as_pip_does(lines: list[str], end: str) -> None:
    """Where nothing is told of a lock, pip reads from it the same packages, and no other line."""
    text = end.join(lines)
    told = judge_texts({"a.txt": text})
    asked = [line.strip() for _, line in preprocess(text) if line.strip()]
    if not told:
        assert [line.split("==")[0] for line in asked] == [pin.name for pin in read_pins(text)]
        assert not [line for line in asked if line.startswith("-")]


def test_change_shows_names_before_hashes() -> None:
    """A difference names the packages; the hashes of them only where nothing else differs."""
    added = GOOD + f"two==2.0 \\\n    --hash=sha256:{A}\n    # via one\n"
    shown = render_diff("requirements.txt", GOOD, added)
    assert "+two==2.0" in shown.splitlines()
    assert "--hash" not in shown
    assert f"-    --hash=sha256:{B}" in render_diff("r", GOOD, GOOD.replace(f" \\\n    --hash=sha256:{B}", ""))


def test_difference_is_bounded_and_one_line_each() -> None:
    """A difference has at most forty lines, each cut, and no mark of a terminal or of a line's end."""
    huge = "".join(f"x{number}==1\x1b[31m\r::error::\u2028{'y' * 500}\n" for number in range(500))
    lines = render_diff("requirements.txt", huge, GOOD).splitlines()
    assert len(lines) == 41
    assert lines[-1].startswith("  and ")
    assert all(len(line) < 250 and line.isprintable() for line in lines)


def lock(**versions: str) -> str:
    """Make a lock of some packages."""
    return "".join(f"{name}=={version} \\\n    --hash=sha256:{A}\n" for name, version in versions.items())


def test_what_changed() -> None:
    """The table has each package once, where it is, old and new, and marks a new major version and an older one."""
    old = {"a.txt": lock(one="1.9", two="2.0", gone="1"), "b.txt": lock(one="1.9", same="3", back="2.0")}
    new = {"a.txt": lock(one="2.0", two="2.1", new="0.1"), "b.txt": lock(one="2.0", same="3", back="1.0")}
    assert render_table(compare(old, new)).splitlines() == [
        "| package | version | in |",
        "|---|---|---|",
        "| `back` | `2.0` → `1.0` **older** | `b.txt` |",
        "| `gone` | removed: `1` | `a.txt` |",
        "| `new` | added: `0.1` | `a.txt` |",
        "| `one` | `1.9` → `2.0` **major** | `a.txt`, `b.txt` |",
        "| `two` | `2.0` → `2.1` | `a.txt` |",
    ]


@pytest.mark.parametrize(
    ("old", "new", "mark"),
    [
        ("1.9.9", "1.10.0", ""),
        ("1.9.9", "2.0.0", " **major**"),
        ("0.9", "1.0", " **major**"),
        ("2025.1", "1!1.0", " **major**"),
        ("1.0", "1.0rc1", " **older**"),
        ("x", "2.0", ""),
    ],
)
def test_major_versions_are_marked(old: str, new: str, mark: str) -> None:
    """A version is marked where its first number rises or where it is older, and not where it cannot be read."""
    row = render_table([Change("one", old, new, ("a.txt",))]).splitlines()[-1]
    assert row == f"| `one` | `{old}` → `{new}`{mark} | `a.txt` |"


def test_nothing_newer() -> None:
    """Without a change of a version there is no table, whatever became of the hashes."""
    assert render_table(compare({"a.txt": GOOD}, {"a.txt": GOOD.replace(A, "c" * 64)})) == NOTHING_NEWER


@given(st.text(), st.text(), st.text())
@example("`|`\n<img src=x>", "](https://x.example)", "@everyone #1")
@example("a\\", "\\|", "`")
def test_table_cannot_be_broken(name: str, version: str, file: str) -> None:
    """Whatever stands in a name, a version or a path, the table has its one row of three cells of code."""
    lines = render_table([Change(name, version, "2", (file,))]).splitlines()
    assert len(lines) == 3
    cell = r"`[A-Za-z0-9._!+/?-]*`"
    told = rf"(?:added: {cell}|{cell} → {cell}(?: \*\*(?:older|major)\*\*)?)"
    assert re.fullmatch(rf"\| {cell} \| {told} \| {cell} \|", lines[2])
