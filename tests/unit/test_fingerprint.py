"""The locks' fingerprint: what it is of, when it holds, and where it is not looked at."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.errors import PlatformUnreachable
from scripts.gates import fingerprint
from scripts.gates.fingerprint import FILE, NONE, holds, is_ci, read_sources, render_fingerprint
from scripts.gates.lock import check, pin
from scripts.gates.lockfiles import ROOT, paths
from tests.unit.locked import LOCKED, NOBODY, OURS, SOURCES, VERSIONS, Checkout, right_checkout

HASH = min(OURS["h11"][VERSIONS["h11"]])
FALSE = {
    "pin": (f"h11=={VERSIONS['h11']} ", "h11==0.0.1 ", "h11==0.0.1: the index names no file of it"),
    "hash": (HASH, "9" * 64, "of no file that the index has: " + "9" * 64),
}
CI = [{"CI": "true"}, {"GITHUB_ACTIONS": "true"}, {"CI": "1"}, {"CI": " TRUE "}, {"CI": "false", "GITHUB_ACTIONS": "x"}]
LAPTOPS: list[dict[str, str]] = [{}, {"CI": ""}, {"CI": "false", "GITHUB_ACTIONS": "false"}, {"CI": "0"}]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Make a checkout whose locks are right, with a fingerprint that holds."""
    with right_checkout(tmp_path) as made:
        made.mark()
        yield made


def locks_of(checkout: Checkout) -> dict[str, bytes]:
    """Read the locks."""
    return {path: (checkout.root / path).read_bytes() for path in LOCKED}


def test_on_a_laptop_nobody_is_asked_while_it_holds(checkout: Checkout) -> None:
    """Where nothing has changed since the locks were resolved, `check` passes without index or pip-compile."""
    checkout.more["PATH"] = "/nowhere"
    before = checkout.files()
    assert check(checkout.gate) == 0
    assert "nothing changed since they were resolved" in checkout.err.getvalue().splitlines()[-1]
    assert checkout.index.requests == []
    assert checkout.files() == before


@pytest.mark.parametrize("ci", [*CI, None], ids=str)
def test_under_ci_or_when_told_the_index_is_asked(checkout: Checkout, ci: dict[str, str] | None) -> None:
    """Under CI a fingerprint spares nothing, since its author could have made it for any lock; nor with --resolve."""
    checkout.more |= {**(ci or {}), "PIP_INDEX_URL": NOBODY}
    with pytest.raises(PlatformUnreachable):
        check(checkout.gate, resolve=ci is None)


@pytest.mark.parametrize("environment", LAPTOPS, ids=str)
def test_what_a_laptop_is(environment: dict[str, str]) -> None:
    """A machine that does not say it is CI is none; what might say so is one."""
    assert not is_ci(environment)
    assert all(is_ci(each) for each in CI)


@pytest.mark.slow
@pytest.mark.parametrize("what", FALSE)
def test_falsified_lock_with_a_fingerprint_of_its_own(checkout: Checkout, what: str) -> None:
    """A false pin, or hash, with the fingerprint made anew is red under CI; a laptop believes it, as documented."""
    old, new, told = FALSE[what]
    checkout.falsify(old, new)
    assert check(checkout.gate) == 0
    checkout.more["GITHUB_ACTIONS"] = "true"
    assert check(checkout.gate) == 10
    assert told.replace("is of", "are of") in checkout.err.getvalue()


def test_falsified_lock_without_its_fingerprint_is_resolved(checkout: Checkout) -> None:
    """A lock that was changed alone has another fingerprint, so the index is asked on a laptop too."""
    checkout.replace("requirements.txt", HASH, "9" * 64)
    checkout.more["PIP_INDEX_URL"] = NOBODY
    with pytest.raises(PlatformUnreachable):
        check(checkout.gate)


def test_a_lock_that_is_wrong_by_itself_is_red_whatever_the_fingerprint_says(checkout: Checkout) -> None:
    """Texts are judged by themselves also where the fingerprint holds: an index, a missing hash, versions at odds."""
    checkout.replace("requirements.txt", "#    python3", "--index-url https://user:hunter2@x.example\n#    python3")
    checkout.mark()
    assert check(checkout.gate) == 10
    assert "--index-url is an option" in checkout.err.getvalue()
    assert "hunter2" not in checkout.err.getvalue()
    assert checkout.index.requests == []


CHANGES = {
    **{path: (path, "\n# more\n") for path in SOURCES},
    **{path: (path, "\n# more\n") for path in LOCKED},
    "python": (".python-version", "\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_of_every_byte(checkout: Checkout, change: str) -> None:
    """Any change of a .in file, a lock or .python-version makes it another one."""
    assert holds(checkout.root, locks_of(checkout))
    path, more = CHANGES[change]
    (checkout.root / path).write_bytes((checkout.root / path).read_bytes() + more.encode())
    assert not holds(checkout.root, locks_of(checkout))
    checkout.mark()
    assert holds(checkout.root, locks_of(checkout))


def test_another_pip_tools_is_another_fingerprint() -> None:
    """The pinned pip-tools is a line of the lock that the fingerprint is of."""
    locks = {path: (ROOT / path).read_bytes() for path in paths("txt")}
    sources = read_sources(ROOT, locks)
    (pinned,) = [line for line in locks["requirements-dev.txt"].splitlines() if line.startswith(b"pip-tools==")]
    other = {**locks, "requirements-dev.txt": locks["requirements-dev.txt"].replace(pinned, b"pip-tools==99.0 \\")}
    assert render_fingerprint(sources, locks) != render_fingerprint(sources, other)


def test_ours_is_of_our_own_files() -> None:
    """Our fingerprint is of our three .in files and .python-version, beside the locks."""
    assert set(read_sources(ROOT, paths("txt"))) == {*paths("in"), ".python-version"}


@pytest.mark.parametrize(
    "torn",
    [b"", b"sha256:", b"\xff\xfe\x00", b"sha256:" + b"0" * 64, b"x" * 10_000_000, None, NONE.encode()],
    ids=lambda value: f"{value!r:.20}",
)
def test_a_torn_one_does_not_hold(checkout: Checkout, torn: bytes | None) -> None:
    """A fingerprint that is cut off, of other bytes, huge, or a folder is as good as none."""
    text = (checkout.root / FILE).read_bytes()
    (checkout.root / FILE).unlink()
    if torn is None:
        (checkout.root / FILE).mkdir()
    else:
        (checkout.root / FILE).write_bytes(torn)
    assert not holds(checkout.root, locks_of(checkout))
    if torn is not None:
        for part in (text[:-1], text + b"\n", text.replace(b"\n", b"\r\n"), text.upper(), text[1:]):
            (checkout.root / FILE).write_bytes(part)
            assert not holds(checkout.root, locks_of(checkout))


@pytest.mark.parametrize(
    "line",
    [
        *("-e .", "./folder", "folder/x", "x @ file:///srv/x.whl", "https://x.example/x.whl", "x.whl", "x.tar.gz"),
        *("file:x", "${WHERE}", "x==${V}", "-c https://x.example/c.txt", "-r ../../outside.in", "-r /etc/x.in"),
        *("--index-url https://x.example", "-c missing.txt", "-f wheels", "x \\", "git+ssh://x", "C:\\x", "\udcff"),
    ],
)
def test_what_rests_on_more_than_can_be_seen_has_none(checkout: Checkout, line: str) -> None:
    """An address, a folder, a variable or a file that is not there may change unseen, so no fingerprint ever holds."""
    source = checkout.root / "requirements.in"
    source.write_bytes(source.read_bytes() + line.encode("utf-8", "surrogateescape") + b"\n")
    checkout.mark()
    assert NONE in (checkout.root / FILE).read_text()
    assert not holds(checkout.root, locks_of(checkout))


@pytest.mark.parametrize(
    "line",
    [
        *("x", "x==1.0", "x[a,b] >= 1, <2", "x>=1;python_version<'3.13'", "X.y_z-1~=2.0  # see https://x.example"),
        *("", "  # -e .", "zope.testing", "x (>=1)", 'x ; sys_platform == "win32"', "x!=1.*"),
    ],
)
def test_plain_requirements_have_one(checkout: Checkout, line: str) -> None:
    """Names, extras, versions, markers and comments rest on nothing else."""
    source = checkout.root / "requirements.in"
    source.write_text(f"{source.read_text()}{line}\n")
    checkout.mark()
    assert holds(checkout.root, locks_of(checkout))


@pytest.mark.parametrize("word", ["-c ", "-r ", "--constraint=", "--requirement ", "-c"])
def test_a_file_that_is_named_is_part_of_it(checkout: Checkout, word: str) -> None:
    """What a .in file names counts as it does, wherever that lies, also in a circle."""
    checkout.write("scripts/more.txt", "-r ../requirements.in\nx<2\n")
    checkout.replace("requirements.in", "h11\n", f"h11\n{word}scripts/more.txt\n")
    checkout.mark()
    assert holds(checkout.root, locks_of(checkout))
    checkout.replace("scripts/more.txt", "x<2", "x<3")
    assert not holds(checkout.root, locks_of(checkout))


@given(
    st.dictionaries(st.sampled_from("abc"), st.binary(max_size=4)),
    st.dictionaries(st.text("abc ", max_size=3), st.binary(max_size=4)),
)
def test_other_files_are_another_fingerprint(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    """No byte can move from a name to a content or from one file to the next unseen."""
    same = render_fingerprint({"x": b"", **one}, {}) == render_fingerprint({"x": b"", **two}, {})
    assert same == ({"x": b"", **one} == {"x": b"", **two})


@pytest.mark.slow
def test_lock_writes_it(checkout: Checkout) -> None:
    """`lock` writes it with the locks, a second one changes nothing, and then a laptop asks nobody."""
    marked = checkout.files()
    (checkout.root / FILE).unlink()
    (checkout.root / "requirements.txt").unlink()
    for told in (f"written: requirements.txt, {FILE}", "nothing changed"):
        assert pin(checkout.gate) == 0
        assert told in checkout.err.getvalue().splitlines()[-1]
        assert checkout.files() == marked


@pytest.mark.slow
def test_source_that_is_changed_meanwhile_is_seen(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .in file that is edited while the locks are made is none that they were made from."""
    answer = checkout.index.answer

    def edit(path: str, accept: str) -> tuple[int, str, bytes | Path]:
        checkout.write("requirements.in", "h11\nidna\n")
        return answer(path, accept)

    (checkout.root / FILE).unlink()
    monkeypatch.setattr(checkout.index, "answer", edit)
    assert pin(checkout.gate) == 0
    assert not holds(checkout.root, locks_of(checkout))


def test_it_imports_the_standard_library_alone() -> None:
    """The job that proposes newer pins has rights, and the small lock only."""
    tree = ast.parse(Path(fingerprint.__file__).read_text())
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {str(name).partition(".")[0] for name in found} <= sys.stdlib_module_names


def test_a_check_that_asks_nobody_loads_nothing_slow(checkout: Checkout) -> None:
    """Neither the client nor the resolver is loaded where the fingerprint holds: that would take most of the time."""
    code = f"""
import io, sys
from pathlib import Path
from scripts.clock import SystemClock
from scripts.console import Console
from scripts.gates.lock import check
from scripts.gates.lockfiles import Gate
assert check(Gate(Path({str(checkout.root)!r}), {{}}, Console(err=io.StringIO()), SystemClock())) == 0
slow = {{"httpx", "piptools", "pip", "pydantic", "pip_audit"}} & sys.modules.keys()
assert not slow, slow
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
