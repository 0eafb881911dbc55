"""The lock gate on a tiny checkout, with the real pip-compile and a package index on loopback."""

import argparse
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scripts.errors import ConfigError, PlatformError, PlatformUnreachable, UsageError
from scripts.gates.fingerprint import FILE
from scripts.gates.lock import check, pin, refresh, run
from scripts.gates.lockfiles import LOCKS, ROOT, write_all
from scripts.gates.pins import NOTHING_NEWER, read_pins
from scripts.gates.resolving import clean_environment, compile_command, told_by
from tests.package_index import PackageIndex
from tests.unit.locked import LOCKED, OURS, PACKAGES, VERSIONS, Checkout, right_checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Make a checkout whose locks are right."""
    with right_checkout(tmp_path) as made:
        yield made


def test_right_locks_pass(checkout: Checkout) -> None:
    """Locks that are what the .in files give pass, nothing is touched, and how to get the fingerprint is said."""
    before = checkout.files()
    assert check(checkout.gate) == 0, checkout.err.getvalue()
    assert checkout.files() == before
    assert checkout.err.getvalue().startswith("ok     lock: requirements.txt, scripts/requirements.txt, requirements-d")
    assert f"; `python3 -m scripts lock` would write {FILE}" in checkout.err.getvalue()


IDNA = f"idna=={VERSIONS['idna']}"
H11 = f"h11=={VERSIONS['h11']}"
DRIFTS: dict[str, tuple[str, str, str, str, str]] = {
    "package added": ("requirements.in", "h11\n", "h11\nidna\n", "requirements.txt", f"+{IDNA}"),
    "package removed": ("requirements.in", "h11\n", "", "requirements.txt", f"-{H11}"),
    "bound that the pin is not in": ("requirements.in", "h11\n", f"h11<{VERSIONS['h11']}\n", "", "h11<"),
    "asked for by name too": (
        *("scripts/requirements.in", "httpcore\n", "httpcore\nh11\n"),
        *("scripts/requirements.txt", "+    #   -r scripts/requirements.in"),
    ),
    "comment by hand": (
        "requirements.txt",
        "# via -r requirements.in",
        "# via me",
        "requirements.txt",
        "-    # via me",
    ),
    "line ends": ("requirements.txt", "#\n", "#\r\n", "requirements.txt", "-#\\r"),
    "package of nobody": (
        *("requirements-dev.txt", "    # via -r requirements-dev.in\n"),
        f"    # via -r requirements-dev.in\n{IDNA} --hash=sha256:{min(OURS['idna'][VERSIONS['idna']])}\n",
        *("requirements-dev.txt", f"-{IDNA}"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_red(checkout: Checkout, drift: str) -> None:
    """What a .in file gives and its lock has not, or the other way round, is red and shown; nothing is written."""
    path, old, new, lock, shown = DRIFTS[drift]
    checkout.replace(path, old, new)
    before = checkout.files()
    assert check(checkout.gate) == 10
    told = checkout.err.getvalue()
    assert f"  {lock} is not what" in told if lock else "  requirements.in cannot be resolved" in told
    assert shown in told
    assert "Next: " in told.splitlines()[-1]
    assert "python3 -m scripts lock" in told.splitlines()[-1]
    assert checkout.files() == before


HASH = min(OURS["h11"][VERSIONS["h11"]])
HASHES: dict[str, tuple[str, str, str]] = {
    "falsified hash": (HASH, "9" * 64, "is of no file that the index has: " + "9" * 64),
    "hash of another package": (HASH, min(OURS["idna"][VERSIONS["idna"]]), "of no file that the index has"),
    "falsified version": (f"{H11} ", "h11==0.0.1 ", "h11==0.0.1: the index names no file of it"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", HASHES)
def test_falsified_lock_is_red_and_mended(checkout: Checkout, change: str) -> None:
    """A hash or a version that the index does not know is red although pip-compile keeps it, and `lock` mends it."""
    right = checkout.files()
    old, new, told = HASHES[change]
    for path in ("requirements.txt", "scripts/requirements.txt"):
        checkout.replace(path, old, new)
    assert check(checkout.gate) == 10
    assert told.replace("is of", "are of") in checkout.err.getvalue()
    assert pin(checkout.gate) == 0
    (checkout.root / FILE).unlink()
    assert checkout.files() == right


@pytest.mark.slow
def test_fewer_hashes_are_right(checkout: Checkout) -> None:
    """A hash that is left out is no fault while one of the others installs here: an old version may get new files."""
    lines = (checkout.root / "requirements-dev.txt").read_text().splitlines(keepends=True)
    hashes = [line for line in lines if "--hash" in line]
    assert len(hashes) > 1
    checkout.replace("requirements-dev.txt", hashes[0], "")
    fewer = checkout.files()
    assert check(checkout.gate) == 0
    assert pin(checkout.gate) == 0
    (checkout.root / FILE).unlink()
    assert checkout.files() == fewer


@pytest.mark.slow
def test_second_lock_changes_nothing(checkout: Checkout) -> None:
    """`lock` makes the locks that `check` wants, from nothing too, and a second one changes no byte."""
    checkout.mark()
    right = checkout.files()
    for path in [*LOCKED, FILE]:
        (checkout.root / path).unlink()
    for _ in range(2):
        assert pin(checkout.gate) == 0
        assert checkout.files() == right


@pytest.mark.slow
def test_our_own_locks_stay_as_they_are(tmp_path: Path) -> None:
    """Our own three locks are right, and `lock` changes no byte of them, with an index that has their pins only."""
    with PackageIndex() as index:
        ours = Checkout(tmp_path, index)
        for path in [".python-version", *(f"{name}.{end}" for name in LOCKS for end in ("in", "txt"))]:
            ours.write(path, (ROOT / path).read_text())
        ours.mark()
        before = ours.files()
        assert check(ours.gate, resolve=True) == 0, ours.err.getvalue()
        assert pin(ours.gate) == 0
        assert refresh(ours.gate, None) == 0
        assert ours.files() == before
        assert ours.out.getvalue().startswith(f"{NOTHING_NEWER}\n**Not audited:** ")


@pytest.mark.slow
def test_from_the_command_line() -> None:
    """`lock check` asks the index that PIP_INDEX_URL names, whatever pip is set to."""
    with PackageIndex() as index:
        environment = {
            **os.environ,
            "PIP_INDEX_URL": index.url,
            "PIP_CONFIG_FILE": os.devnull,
            "GITHUB_ACTIONS": "true",
        }
        command = [sys.executable, str(ROOT / "scripts"), "lock", "check"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert ran.stderr.startswith("ok     lock: ")
    assert "/simple/h11/" in index.requests


@pytest.mark.slow
def test_nothing_of_the_machine_gets_into_a_lock(checkout: Checkout, tmp_path: Path) -> None:
    """No index, link or host of this machine's settings is asked for, or is in a lock; nor is its own index."""
    settings = tmp_path / "marker-pip.conf"
    with PackageIndex(packages=PACKAGES) as other:
        settings.write_text(f"[global]\nextra-index-url = {other.url}\nfind-links = {tmp_path}\n")
        (tmp_path / ".config" / "pip").mkdir(parents=True)
        shutil.copy(settings, tmp_path / ".config" / "pip" / "pip.conf")
        checkout.more |= {"PIP_CONFIG_FILE": str(settings), "HOME": str(tmp_path), "PIP_EXTRA_INDEX_URL": other.url}
        checkout.more |= {
            "PIP_FIND_LINKS": str(tmp_path),
            "PIP_TRUSTED_HOST": "marker.example",
            "PIP_NO_BINARY": ":all:",
        }
        checkout.more |= {
            "UV_INDEX_URL": other.url,
            "PIP_TOOLS_EMIT_INDEX_URL": "1",
            "CUSTOM_COMPILE_COMMAND": "marker",
        }
        checkout.write("requirements.in", "h11\nidna\n")
        assert pin(checkout.gate) == 0, checkout.err.getvalue()
    text = b"".join(checkout.files().values()).decode()
    assert f"idna=={VERSIONS['idna']}" in text
    assert other.requests == []
    for mark in ("127.0.0.1", "marker", str(tmp_path), "://", "--find-links"):
        assert mark not in text


@pytest.mark.slow
def test_refresh_takes_what_is_newer(checkout: Checkout, tmp_path: Path) -> None:
    """`refresh` takes newer versions with all their hashes, tells them in a table, and leaves locks that are right."""
    newer = {"h11": {"99.0": frozenset({"1" * 64, "2" * 64}), **PACKAGES["h11"]}}
    with PackageIndex(packages={**PACKAGES, **newer}) as checkout.index:
        assert check(checkout.gate) == 0
        assert pin(checkout.gate) == 0
        assert refresh(checkout.gate, tmp_path / "newer.md") == 0, checkout.err.getvalue()
        table = (tmp_path / "newer.md").read_text()
        row = f"| `h11` | `{VERSIONS['h11']}` → `99.0` **major** | `requirements.txt`, `scripts/requirements.txt` |"
        assert table.splitlines()[2:4] == [row, ""]
        assert checkout.out.getvalue() == table
        (pinned,) = read_pins((checkout.root / "requirements.txt").read_text())
        assert pinned.hashes == {"1" * 64, "2" * 64}
        assert check(checkout.gate) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("h11\nnowhere\n", "No matching distribution found for nowhere"),
        ("h11==1\nh11==2\n", "h11"),
        ("httpcore\nh11<0.1\n", "h11<0.1"),
        ("h11 ==\n", "Invalid requirement"),
        ("-r elsewhere.in\n", "Could not open requirements file"),
        ("--nonsense\n", "no such option"),
    ],
)
def test_source_that_cannot_be_resolved_is_red(checkout: Checkout, source: str, told: str) -> None:
    """A conflict, a package that is not there or a broken line is a finding, in pip's own words, and no traceback."""
    checkout.write("requirements.in", source)
    before = checkout.files()
    assert (pin if "nowhere" in source else check)(checkout.gate) == 10
    text = checkout.err.getvalue()
    assert "  requirements.in cannot be resolved:" in text
    assert told in text
    assert "Traceback" not in text
    assert checkout.files() == before


@pytest.mark.slow
def test_index_that_is_lost_on_the_way_is_no_finding(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pip finds nothing because the index has gone, nothing is said of the .in files."""
    answer, seen = checkout.index.answer, checkout.index.requests

    def lose(path: str, accept: str) -> tuple[int, str, bytes | Path]:
        return answer(path, accept) if len(seen) < len(PACKAGES) else (500, "text/plain", b"")

    monkeypatch.setattr(checkout.index, "answer", lose)
    with pytest.raises(PlatformUnreachable):
        check(checkout.gate)


def unused_port() -> int:
    """Give a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("verb", [check, pin, lambda gate: refresh(gate, None)], ids=["check", "pin", "refresh"])
def test_index_that_cannot_be_reached(checkout: Checkout, verb: object) -> None:
    """Without the index nothing is known: exit 12, no word on the locks, and they stay as they are."""
    before = checkout.files()
    checkout.more["PIP_INDEX_URL"] = f"http://user:hunter2@127.0.0.1:{unused_port()}/simple"
    assert callable(verb)
    with pytest.raises(PlatformUnreachable, match="the package index on pip: no answer") as caught:
        verb(checkout.gate)
    assert caught.value.exit_code == 12
    assert "hunter2" not in f"{caught.value}{checkout.err.getvalue()}"
    assert checkout.files() == before


def test_index_that_knows_nothing_is_no_finding(checkout: Checkout) -> None:
    """An address under which there is no index is not taken for one in which every file was withdrawn."""
    checkout.more["PIP_INDEX_URL"] = f"{checkout.index.base}/files"
    with pytest.raises(PlatformError, match="knows none of 4 packages"):
        check(checkout.gate)


LINES: Sequence[tuple[str, str, str]] = [
    ("requirements.txt", "--index-url https://user:hunter2@index.example", "--index-url is an option of a machine"),
    ("requirements.txt", "x @ file:///hunter2", "'x' begins a line that is no pin"),
    ("requirements.txt", "x==1", "x==1 has no hash"),
    ("requirements-dev.txt", f"h11==0.1 --hash=sha256:{HASH}", "h11 has not one version"),
]


@pytest.mark.parametrize(("path", "line", "told"), LINES)
def test_lock_that_is_wrong_by_itself_is_red(checkout: Checkout, path: str, line: str, told: str) -> None:
    """What must not be in a lock is red without asking the index, told in Actions as an annotation, and not shown."""
    checkout.actions = True
    checkout.replace(path, "#    python3", f"{line}\n#    python3")
    assert check(checkout.gate) == 10
    text = checkout.err.getvalue()
    assert told in text
    assert "::error title=lock%3A fail::" in text
    assert "hunter2" not in text
    assert checkout.index.requests == []


@pytest.mark.parametrize(
    "path", [f"{name}.{end}" for name in LOCKS for end in ("txt", "in")] + ["requirements.txt/folder"]
)
def test_missing_file_is_said(checkout: Checkout, path: str) -> None:
    """A lock or a .in file that is not there, or is none, is a matter of usage: nothing is asked or judged."""
    file = checkout.root / path.removesuffix("/folder")
    file.unlink()
    if path.endswith("folder"):
        file.mkdir()
    with pytest.raises(UsageError, match=rf"{file.name} cannot be read") as caught:
        check(checkout.gate)
    assert caught.value.next_step
    assert checkout.index.requests == []


def test_other_python_is_refused(checkout: Checkout) -> None:
    """Locks are neither made nor judged by another Python than theirs: it gives others."""
    checkout.write(".python-version", "3.99\n")
    for verb in (check, pin):
        with pytest.raises(UsageError, match=r"made for Python 3\.99"):
            verb(checkout.gate)


def words(action: str, **given: object) -> argparse.Namespace:
    """Give what the command line says."""
    return argparse.Namespace(**{"action": action, "table": None, "resolve": False, "cooldown_days": 7, **given})


def test_table_has_a_place_to_go(checkout: Checkout) -> None:
    """A table that cannot be written is told before the work, and one without `refresh` is a mistake."""
    for place in (checkout.root, checkout.root / "nowhere" / "table.md"):
        with pytest.raises(UsageError, match="cannot be written"):
            refresh(checkout.gate, place)
    for action in ("pin", "check"):
        with pytest.raises(UsageError, match=f"not with {action}"):
            run(words(action, table=Path("table.md")), {})
    assert checkout.index.requests == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (words("refresh", cooldown_days=-1), "--cooldown-days -1 is less than none"),
        (words("refresh", cooldown_days=-(10**30)), "is less than none"),
        (words("refresh", resolve=True), "--resolve goes with check, not with refresh"),
        (words("pin", resolve=True), "--resolve goes with check, not with pin"),
    ],
)
def test_words_that_do_not_go_together(given: argparse.Namespace, told: str) -> None:
    """A cooldown of less than no days, or a word of another action, is a mistake: exit 2, and nothing is done."""
    with pytest.raises(UsageError, match=told) as caught:
        run(given, {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"})
    assert caught.value.exit_code == 2


def test_files_are_written_all_or_none(tmp_path: Path) -> None:
    """Where one file cannot be written the others stay as they are, and nothing is left beside them."""
    (tmp_path / "a").write_text("old")
    (tmp_path / "b.part").mkdir()
    (tmp_path / "b.part" / "in the way").write_text("")
    with pytest.raises(UsageError, match="a, b cannot be written"):
        write_all({tmp_path / "a": "new", tmp_path / "b": "new"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.part"]
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "PIP_AUDIT_OSV_URL"])
def test_address_that_is_none_is_refused(name: str) -> None:
    """A broken address of the index or the auditor ends with exit 2 before anything is done, and is not shown."""
    with pytest.raises(ConfigError, match=f"{name} is no http address") as caught:
        run(words("check"), {name: "ssh://user:hunter2@x"})
    assert "hunter2" not in str(caught.value)


def test_pip_sees_nothing_of_the_machine() -> None:
    """pip-compile gets the index that is named, and none of the machine's other settings of pip."""
    given = {
        "PATH": "/bin",
        "PIP_INDEX_URL": "https://user:pw@index.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://other.example/simple",
        "PIP_FIND_LINKS": "/srv",
        "PIP_CONFIG_FILE": "/etc/pip.conf",
        "PIP_CERT": "/ca.pem",
        "HTTPS_PROXY": "",
        "HOME": "/x",
    }
    assert clean_environment(given) == {
        "PATH": "/bin",
        "PIP_INDEX_URL": "https://user:pw@index.example/simple",
        "PIP_CERT": "/ca.pem",
        "PIP_CONFIG_FILE": os.devnull,
        "CUSTOM_COMPILE_COMMAND": "python3 -m scripts lock",
    }


def test_newer_pins_are_asked_for_only_when_wanted() -> None:
    """`lock` keeps the pins that still fit; `lock refresh` takes the newest."""
    assert "--upgrade" not in compile_command("requirements", upgrade=False)
    assert "--upgrade" in compile_command("requirements", upgrade=True)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", ""),
        ("one\n", "one"),
        ("Traceback (most recent call last):\n  a\nB: b\n    c ==\n      ~~\n", "B: b\n    c ==\n      ~~"),
        ("why\nTraceback (most recent call last):\n  File\nError: it\n", "why\nError: it"),
        ("Traceback (most recent call last):\n  a\nA\nTraceback (most recent call last):\nB: b\n", "B: b"),
        ("\n".join(map(str, range(99))), "\n".join(map(str, range(87, 99)))),
    ],
)
def test_failure_is_told_in_pips_words(log: str, told: str) -> None:
    """What pip-compile says before its traceback and at its end is told, in a dozen lines."""
    assert told_by(log) == told
