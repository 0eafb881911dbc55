"""The start of every verb, run for real on throw-away checkouts with wheels made here: no network, no patching."""

import ast
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts import __main__ as start
from scripts import environment, interpreters

SCRIPTS = Path(__file__).parents[2] / "scripts"
SOURCES = [SCRIPTS / name for name in ("__main__.py", "environment.py", "interpreters.py")]
BASE = str(getattr(sys, "_base_executable", sys.executable))  # not a venv: it has none of our pins
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
CLI = """
import json, os, sys
def main(arguments):
    seen = {"prefix": sys.prefix, "path": sys.path, "cwd": os.getcwd(), "stdin": sys.stdin.read()}
    print(json.dumps({"arguments": arguments, **seen}))
    return 0
"""
# Runs the file as if on an old Python, whose own version therefore does not count.
AS_OLD_PYTHON = "import runpy, sys; sys.version_info = (3, 9, 18, 'final', 0); "
AS_WINDOWS = "import runpy, sys; sys.modules['fcntl'] = None; "
INTERRUPT = "import os; os.kill(os.getpid(), 2)"
RUN_FOLDER = "sys.argv[0] = sys.argv.pop(1); runpy.run_path(sys.argv[0], run_name='__main__')"


@dataclass(frozen=True)
class Checkout:
    """A project of three locks with one package each, and the index folder with their wheels."""

    root: Path

    @property
    def venv(self) -> Path:
        """Where the file may make an environment."""
        return self.root / ".venv"

    @property
    def stamp(self) -> Path:
        """What says whose the environment is, and whether it is finished."""
        return self.venv / "slipway-stamp.json"

    @property
    def finished(self) -> list[str]:
        """The locks of which the stamp says that the environment has them."""
        return list(environment.read_stamp(self.venv).locks)

    def settings(self, **more: str) -> dict[str, str]:
        """Return all that a run sees: nothing of ours, and an empty home."""
        home = str(self.root.parent / "home")
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.root / "wheels"), "PIP_RETRIES": "0"}
        return {"PATH": "/nowhere", "HOME": home, "LC_ALL": "C.UTF-8", **index, **more}

    def start(self, *command: str, **settings: str) -> "subprocess.Popen[str]":
        """Start a command and leave it running."""
        return subprocess.Popen(
            command,
            cwd=self.root.parent,
            env=self.settings(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, *arguments: str, python: str = BASE) -> list[str]:
        """Return the command line of a verb."""
        return [python, "-E", str(self.root / "scripts"), *arguments]

    def run(self, *arguments: str, python: str = BASE, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a verb from another folder than the root."""
        return self.call(*self.command(*arguments, python=python), **settings)

    def call(self, *command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run any command to its end."""
        env = self.settings(**settings)
        return subprocess.run(
            command, cwd=self.root.parent, env=env, input="typed", capture_output=True, text=True, check=False
        )

    def need(self, *names: str) -> environment.Need:
        """Return what `.venv` shall hold, for a call of ours instead of a run."""
        locks = {name: (self.root / name).read_text() for name in names}
        return environment.Need(self.venv, locks, start.unmet_pins)

    def provide(self, *names: str) -> str:
        """Make `.venv` hold the locks, in this process."""
        return environment.provide(self.root, self.need(*names).locks, start.unmet_pins)

    def pin(self, lock: str, name: str, version: str = "1.0") -> None:
        """Build a wheel and make it the one package of a lock."""
        digest = hashlib.sha256(make_wheel(self.root / "wheels", name, version).read_bytes()).hexdigest()
        (self.root / lock).write_text(f"# made by the test\n{name}=={version} \\\n    --hash=sha256:{digest}\n")


def make_wheel(folder: Path, name: str, version: str) -> Path:
    """Write a small wheel; what it requires is in no index, and a lock is complete without."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: absent\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashes = {path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for path, text in content.items()}
    record = [f"{path},sha256={hashes[path].decode().rstrip('=')},{len(text)}" for path, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return wheel


def make_checkout(folder: Path) -> Checkout:
    """Write a checkout without a .venv."""
    checkout = Checkout(folder / "checkout")
    (checkout.root / "scripts").mkdir(parents=True)
    (folder / "home").mkdir()
    for source in SOURCES:
        shutil.copy(source, checkout.root / "scripts")
    (checkout.root / "scripts" / "__init__.py").touch()
    (checkout.root / "scripts" / "cli.py").write_text(CLI)
    (checkout.root / ".python-version").write_text(f" {MINOR}.0 \n")
    checkout.pin("requirements.txt", "the_service")
    checkout.pin("scripts/requirements.txt", "the_release")
    checkout.pin("requirements-dev.txt", "the_tools")
    return checkout


@pytest.fixture(scope="module", autouse=True)
def interruptible() -> Iterator[None]:
    """A shell makes what it starts with `&` ignore SIGINT, and so would all that the tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    """A checkout as cloned."""
    return make_checkout(tmp_path)


@dataclass(frozen=True)
class FirstRun:
    """The first release verb in a checkout, on an old Python, with a broken shim before a newer Python on PATH."""

    checkout: Checkout
    newer: Path
    result: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    """Build once; only to be looked at and copied."""
    checkout = make_checkout(tmp_path_factory.mktemp("first"))
    shims, newer = checkout.root.parent / "shims", checkout.root.parent / "newer"
    executable(shims / f"python{MINOR}", "exit 127")
    newer.mkdir()
    (newer / f"python{MINOR}").symlink_to(BASE)
    code = AS_OLD_PYTHON + "sys.executable = ''; " + RUN_FOLDER
    result = checkout.call(BASE, "-c", code, str(checkout.root / "scripts"), "plan", PATH=f"{shims}:{newer}")
    assert result.returncode == 0, result.stderr
    return FirstRun(checkout, newer, result)


def copy_or_link(source: str, target: str) -> None:
    """Copy a file, but link those of pip: they are many, and nothing writes to them."""
    if "/site-packages/pip" in source:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


@pytest.fixture
def built(first_run: FirstRun, tmp_path: Path) -> Checkout:
    """A checkout whose .venv holds the release lock, with a file in it that a new .venv would not have."""
    first = first_run.checkout
    shutil.copytree(first.root.parent, tmp_path, symlinks=True, dirs_exist_ok=True, copy_function=copy_or_link)
    checkout = Checkout(tmp_path / "checkout")
    checkout.stamp.write_text(checkout.stamp.read_text().replace(str(first.root), str(checkout.root)))
    (checkout.venv / "kept").touch()
    return checkout


@pytest.fixture
def within(built: Checkout, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    """A built checkout, and this process with the settings of a run in it."""
    for name, value in built.settings().items():
        monkeypatch.setenv(name, value)
    return built


@pytest.fixture
def silent_index() -> Iterator[socket.socket]:
    """A package index that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


def url_of(server: socket.socket) -> dict[str, str]:
    """Return the settings that send pip to a server."""
    return {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": f"http://127.0.0.1:{server.getsockname()[1]}/simple"}


def wait_for_line(run: "subprocess.Popen[str]", words: str) -> None:
    """Read a run's stderr up to the line that holds the words."""
    assert run.stderr is not None
    assert any(words in line for line in run.stderr), f"ended without saying: {words}"


def executable(path: Path, script: str) -> Path:
    """Write a shell script that poses as a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_parses_on_the_python_that_a_machine_may_have(source: Path) -> None:
    """What runs before there is an environment has no syntax that is younger than Python 3.9."""
    ast.parse(source.read_text(), feature_version=(3, 9))


def imports_of(source: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("__main__", {"scripts.environment", "scripts.interpreters", "scripts.cli"}),
        ("environment", {"scripts.interpreters"}),
        ("interpreters", set()),
    ],
)
def test_it_imports_only_what_every_python_has(name: str, ours: set[str]) -> None:
    """What runs before there is an environment needs the standard library only, and knows only what lies below it."""
    imported = imports_of(SCRIPTS / f"{name}.py")
    assert {module for module in imported if module.partition(".")[0] not in sys.stdlib_module_names} == ours


def test_both_agree_on_the_oldest_python() -> None:
    """The oldest Python that may run a verb is the oldest that may make an environment: else the two never meet."""
    assert start.OLDEST == interpreters.OLDEST


@pytest.mark.parametrize(
    ("line", "small"),
    [
        ("", True),
        ("--help", True),
        ("-h", True),
        ("--version", True),
        ("plan", True),
        ("--json rollback --to x", True),
        ("rehearse --help", True),
        ("rehearse", False),
        ("test -- --help", False),
        ("-v lint", False),
        ("plans", False),
    ],
)
def test_only_the_release_path_and_help_do_with_the_release_lock(line: str, small: bool) -> None:
    """A release verb, help and no verb need one lock; any other verb, known or not, needs all three."""
    assert start.needed_locks(line.split()) == (("scripts/requirements.txt",) if small else start.ALL_LOCKS)


@pytest.mark.parametrize(
    ("pin", "folder", "met"),
    [
        ("a-b==1.0", "a_b-1.0.dist-info", True),
        ("a.b[c,d]==1.0 \\", "A_B-1.0.dist-info", True),
        ("certifi==2026.1.4", "certifi-2026.01.04.dist-info", True),
        ("a==1.0+local", "a-1.0+local.dist-info", True),
        ("a==1.0", "a-1.0.1.dist-info", False),
        ("a==1.10", "a-1.1.dist-info", False),
        ("a==1.0", "a-1.0.egg-info", False),
        ("a==1.0", "ab-1.0.dist-info", False),
        ("a==1.0 ; python_version < '3'", "b-1.0.dist-info", True),
        ("a==1.0 ; python_version < '3'", "a-1.1.dist-info", False),
        ("# a==1.0\n    # via a==1.0", "b-1.0.dist-info", True),
    ],
)
def test_a_pin_is_met_by_exactly_its_version(tmp_path: Path, pin: str, folder: str, met: bool) -> None:
    """Names compare by PEP 503, versions exactly; a pin with a marker may be absent, but not of another version."""
    (tmp_path / folder).mkdir()
    assert (not start.unmet_pins([pin], [str(tmp_path / "missing"), str(tmp_path)])) is met


def test_the_first_folder_on_the_path_counts(tmp_path: Path) -> None:
    """A pinned version behind another one is not what an import gets, so it does not count."""
    for folder, version in (("first", "2"), ("second", "1")):
        (tmp_path / folder / f"a-{version}.dist-info").mkdir(parents=True)
    assert start.unmet_pins(["a==1"], [str(tmp_path / "first"), str(tmp_path / "second")]) == ["a"]


@pytest.mark.parametrize(
    ("stamp", "why"),
    [
        ({}, ""),
        ({"locks": {"x": "1"}}, ""),
        ({"locks": {"x": "1", "y": "2", "z": "old"}}, ""),
        ({"locks": {"x": "0"}}, "changed: x"),
        ({"prefix": "/elsewhere/.venv"}, "moved here from /elsewhere/.venv"),
        ({"wanted": "3.12"}, ".python-version now says 3.13"),
    ],
)
def test_a_stamp_holds_for_its_locks_its_place_and_its_python(stamp: dict[str, Any], why: str) -> None:
    """A lock that changed, another folder or another wanted Python make .venv anew; a lock it never had does not."""
    due = environment.Stamp({"x": "1", "y": "2"}, "", "3.13", "/here/.venv")
    found = environment.judge_stamp(due._replace(python="3.13.0", **stamp), due)
    assert (why in found) if why else (not found)


def test_a_shim_that_fails_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first Python on PATH may be a shim that leads nowhere: the real one behind it is found."""
    executable(tmp_path / "pyenv/shims/python3.99", "echo 'pyenv: python3.99: command not found' >&2; exit 127")
    real = executable(tmp_path / "pyenv/versions/3.99.1/bin/python3.99", "echo 3.99.1; echo $0")
    monkeypatch.setenv("PATH", f"{tmp_path}/pyenv/shims")
    assert interpreters.choose_python("3.99", interpreters.find_pythons("3.99")).path == str(real)


def test_another_python_does_where_the_wanted_one_is_absent(capsys: pytest.CaptureFixture[str]) -> None:
    """A Python of 3.12 or later is used in place of the wanted one, and that is said."""
    assert interpreters.choose_python("3.99", [BASE]).version.startswith(f"{MINOR}.")
    assert "no Python 3.99" in capsys.readouterr().err


def test_without_a_python_it_lists_what_it_tried(fresh: Checkout) -> None:
    """Where no Python fits, exit 2 names each candidate with its trouble and says how to get one."""
    tools = fresh.root.parent / "tools"
    executable(tools / "python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    executable(tools / "python3.12", "echo 'Traceback' >&2; echo 'No module named ensurepip' >&2; exit 1")
    executable(tools / "python3", "echo 3.11.2; echo $0")
    old = fresh.root.parent / "old"
    old.symlink_to(executable(tools / "python3.9", "echo 3.9.18; echo $0"))
    hide = f"sys.executable = {str(old)!r}; "
    result = fresh.call(
        BASE, "-c", AS_OLD_PYTHON + hide + RUN_FOLDER, str(fresh.root / "scripts"), "plan", PATH=str(tools)
    )
    assert result.returncode == 2, result.stderr
    assert "python3.13: exit 127: pyenv: python3.13: command not found" in result.stderr
    assert "python3.12: exit 1: No module named ensurepip" in result.stderr
    assert "python3: version 3.11.2" in result.stderr
    assert "old: version 3.9.18" in result.stderr
    assert "uv python install" in result.stderr
    assert not fresh.venv.exists()


@pytest.fixture
def mine(fresh: Checkout) -> Path:
    """An environment that somebody else made, with the release pin in it."""
    folder = fresh.root.parent / "mine"
    subprocess.run([BASE, "-m", "venv", "--without-pip", str(folder)], check=True)
    with zipfile.ZipFile(fresh.root / "wheels" / "the_release-1.0-py3-none-any.whl") as wheel:
        for name in wheel.namelist():
            wheel.extract(name, folder / "lib" / f"python{MINOR}" / "site-packages")
    return folder


def test_an_environment_that_has_the_pins_is_used_as_it_is(fresh: Checkout, mine: Path) -> None:
    """In CI or an activated environment nothing is made, and help takes less than 0.2 s."""
    durations_s = []
    for _ in range(5):
        began = time.perf_counter()
        result = fresh.run("--help", python=str(mine / "bin" / "python"))
        durations_s.append(time.perf_counter() - began)
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout)["prefix"] == str(mine)
    assert not fresh.venv.exists()
    assert min(durations_s) < 0.2, durations_s


def test_an_environment_of_an_old_python_is_not_used(fresh: Checkout, mine: Path) -> None:
    """The pins alone do not make an environment fit: its Python must be one that we support."""
    hide = "sys.executable = ''; "
    python = str(mine / "bin" / "python")
    result = fresh.call(python, "-c", AS_OLD_PYTHON + hide + RUN_FOLDER, str(fresh.root / "scripts"), "plan")
    assert (result.returncode, result.stdout) == (2, "")
    assert "no Python of 3.12 or later" in result.stderr


def test_an_old_python_makes_the_environment_with_a_newer_one(first_run: FirstRun) -> None:
    """Started on Python 3.9 with a broken shim first on PATH, it makes .venv with the next Python that runs."""
    said = first_run.result.stderr
    assert json.loads(first_run.result.stdout)["prefix"] == str(first_run.checkout.venv)
    assert f"making .venv with Python {MINOR}." in said
    assert "(once; again only when a lock changes)" in said
    assert f"home = {first_run.newer}" in (first_run.checkout.venv / "pyvenv.cfg").read_text()


def test_a_current_venv_is_only_used(built: Checkout) -> None:
    """The second start says nothing, installs nothing, needs no network, and keeps folder, stdin and arguments."""
    result = built.run("plan", "--note", "a b", PIP_FIND_LINKS="/nowhere")
    assert (result.returncode, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    assert said["prefix"] == str(built.venv)
    assert said["arguments"] == ["plan", "--note", "a b"]
    assert said["cwd"] == str(built.root.parent)
    assert said["stdin"] == "typed"


def test_our_modules_shadow_no_others(built: Checkout) -> None:
    """The root is importable and `scripts/` itself is not, or its `client` would be everybody's `client`."""
    path = json.loads(built.run("plan").stdout)["path"]
    assert path[0] == str(built.root)
    assert str(built.root / "scripts") not in path


def test_it_runs_as_a_module_from_the_root(built: Checkout) -> None:
    """`python3 -m scripts` in the root is the same command."""
    result = subprocess.run(
        [BASE, "-m", "scripts", "plan"],
        cwd=built.root,
        env=built.settings(),
        input="",
        capture_output=True,
        text=True,
    )
    assert json.loads(result.stdout)["prefix"] == str(built.venv), result.stderr


def test_a_path_of_the_caller_does_not_shadow_the_pins(built: Checkout) -> None:
    """With another version of a pinned package on PYTHONPATH, the pinned one is what runs."""
    (built.root.parent / "mine" / "the_release-9.dist-info").mkdir(parents=True)
    command = [str(built.venv / "bin" / "python"), str(built.root / "scripts"), "plan"]
    result = built.call(*command, PYTHONPATH=str(built.root.parent / "mine"))
    assert (result.returncode, result.stderr) == (0, "")


def test_a_verb_that_needs_more_completes_the_venv(built: Checkout) -> None:
    """After a release verb, `test` adds the other locks in place, whatever settings would lead pip elsewhere."""
    elsewhere = str(built.root.parent / "elsewhere")
    settings = {"PIP_TARGET": elsewhere, "PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "PYTHONHOME": elsewhere}
    result = built.run("test", **settings)
    assert result.returncode == 0, result.stderr
    assert "completing .venv" in result.stderr
    assert (built.venv / "kept").exists()
    assert len(built.finished) == 3
    assert built.run("lint", PIP_FIND_LINKS="/nowhere").stderr == ""


def test_a_changed_lock_makes_the_venv_anew(within: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    """When a needed lock changed, .venv is made anew and holds what the lock now says, and that once."""
    within.pin("scripts/requirements.txt", "the_release", "2.0")
    python = within.provide("scripts/requirements.txt")
    said = capsys.readouterr().err
    assert "changed: scripts/requirements.txt" in said
    assert ".venv is ready after" in said
    assert not (within.venv / "kept").exists()
    (info,) = within.venv.glob("lib/*/site-packages/the_*.dist-info")
    assert info.stem == "the_release-2.0"
    assert within.provide("scripts/requirements.txt") == python == str(within.venv / "bin" / "python")
    assert capsys.readouterr().err == ""


def test_a_package_changed_by_hand_is_noticed(built: Checkout) -> None:
    """A pinned package that is gone from .venv is a reason to make it anew, whatever the stamp says."""
    need, stamp = built.need(*start.ALL_LOCKS), environment.read_stamp(built.venv)
    assert environment.judge_venv(stamp, need) == ""
    (info,) = built.venv.glob("lib/*/site-packages/the_release-1.0.dist-info")
    shutil.rmtree(info)
    assert environment.judge_venv(stamp, need) == "not as locked any more: the-release"


def test_a_venv_whose_python_is_gone_is_noticed(built: Checkout) -> None:
    """A .venv whose base interpreter was removed is a reason to make it anew."""
    (built.venv / "bin" / "python").unlink()
    (built.venv / "bin" / "python").symlink_to("/nowhere/python")
    assert "is gone: No such file" in environment.judge_venv(environment.read_stamp(built.venv), built.need())


def entries(folder: Path) -> dict[str, str]:
    """Return what lies below a path, with the content of small files."""
    return {str(path): path.read_text() if path.suffix == ".cfg" else "" for path in [folder, *folder.rglob("*")]}


def test_a_venv_of_somebody_else_is_left_alone(fresh: Checkout, mine: Path) -> None:
    """A .venv that we did not make is not wiped: exit 2 says so, that nothing was changed, and what to do."""
    mine.rename(fresh.venv)
    before = entries(fresh.venv)
    result = fresh.run("lint")
    assert (result.returncode, result.stdout) == (2, "")
    what, means, then = result.stderr.splitlines()
    assert what.startswith(f"slipway: {fresh.venv} exists and was not made by Slipway")
    assert "Nothing was changed" in means
    assert "Activate an environment" in then
    assert "rename or remove .venv" in then
    assert entries(fresh.venv) == before


@pytest.mark.parametrize(
    ("script", "ours"),
    [
        ("true", True),
        ("mkdir .venv", True),
        ("mkdir .venv; touch .venv/slipway-stamp.json", True),
        ("mkdir .venv; echo '{' > .venv/slipway-stamp.json; touch .venv/pyvenv.cfg", True),
        ("mkdir .venv; touch .venv/pyvenv.cfg", False),
        ("touch .venv", False),
        ("ln -s nowhere .venv", False),
        ("mkdir other; touch other/slipway-stamp.json; ln -s other .venv", False),
    ],
)
def test_a_venv_is_ours_by_its_stamp(tmp_path: Path, script: str, ours: bool) -> None:
    """Only nothing, an empty folder and a folder with our stamp, finished or not, may be made anew."""
    subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, check=True)
    assert environment.is_ours(tmp_path / ".venv") is ours


def test_a_build_killed_at_any_step_is_known_as_ours(built: Checkout) -> None:
    """SIGKILL while the old .venv is gone and the new one is half made leaves it ours: the next run makes it anew."""
    (built.root / ".python-version").write_text("3.99")
    poses = 'if [ "$2" = -c ]; then echo 3.99.1; echo $0; exit; fi\n'
    python = executable(built.root.parent / "tools" / "python3.99", poses + "touch $4/half; kill -9 $PPID")
    killed = built.run("plan", PATH=f"{python.parent}:/usr/bin:/bin")
    assert killed.returncode == -signal.SIGKILL
    assert {path.name for path in built.venv.iterdir()} == {"half", built.stamp.name}
    executable(python, poses + "echo no space left; exit 1")
    result = built.run("plan", PATH=str(python.parent))
    assert result.returncode == 2
    assert "making .venv with Python 3.99.1 from scripts/requirements.txt (the one here has no stamp" in result.stderr
    assert "  no space left\n" in result.stderr
    assert [path.name for path in built.venv.iterdir()] == [built.stamp.name]


def test_a_wrong_hash_is_named(within: Checkout) -> None:
    """A package that is not the locked one is refused with words that say so, and leaves .venv unfinished."""
    make_wheel(within.root / "wheels", "the_tools", "1.0").write_bytes(b"another file")
    with pytest.raises(interpreters.SetupError, match=r"(?s)does not have the hash.*the_tools"):
        within.provide(*start.ALL_LOCKS)
    assert within.finished == []


@pytest.mark.parametrize(
    ("content", "trouble"),
    [("the_release==2.0\n", "Hashes are required"), (None, "No matching distribution found for the_sdist")],
    ids=["no hash", "no wheel"],
)
def test_only_wheels_with_a_hash_are_installed(built: Checkout, content: str | None, trouble: str) -> None:
    """A lock without hashes is refused, and so is a source archive: building it would run code beside the secrets."""
    built.stamp.write_text(built.stamp.read_text().replace("scripts/requirements.txt", "another lock"))
    make_wheel(built.root / "wheels", "the_release", "2.0")
    sdist = built.root / "wheels" / "the_sdist-1.0.tar.gz"
    with tarfile.open(sdist, "w:gz") as archive:
        archive.add(built.root / "requirements.txt", "the_sdist-1.0/PKG-INFO")
    locked = f"the_sdist==1.0 --hash=sha256:{hashlib.sha256(sdist.read_bytes()).hexdigest()}\n"
    (built.root / "scripts" / "requirements.txt").write_text(content or locked)
    result = built.run("plan")
    assert (result.returncode, result.stdout) == (2, "")
    assert trouble in result.stderr


def test_what_pip_said_is_shown(built: Checkout) -> None:
    """When pip cannot get a package, exit 2 shows the end of what it said, without a traceback of ours."""
    result = built.run("test", PIP_FIND_LINKS="/nowhere")
    assert (result.returncode, result.stdout) == (2, "")
    assert "No matching distribution found for the_" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_lock_does_not_hide_how_it_is_mended(built: Checkout) -> None:
    """`lock` needs the lock that it mends: if that cannot be installed, take the last good one from git first."""
    (built.root / "requirements-dev.txt").write_text("<<<<<<< HEAD\n")
    result = built.run("lock")
    assert (result.returncode, result.stdout) == (2, "")
    assert "Invalid requirement: '<<<<<<< HEAD'" in result.stderr
    assert "take its last good version from git, then: python3 -m scripts lock" in result.stderr


def test_what_pip_reports_is_not_believed(within: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """When pip ends well but installed nothing, that is an error, not a run without its packages."""
    monkeypatch.setenv("PIP_DRY_RUN", "1")
    with pytest.raises(interpreters.SetupError, match=r"pip reports success, but \.venv lacks the-service, the-tools"):
        within.provide(*start.ALL_LOCKS)
    assert within.finished == []


def test_a_missing_lock_is_a_configuration_error(fresh: Checkout) -> None:
    """Without a lock there is nothing to install: exit 2 names it and how to bring it back."""
    (fresh.root / "requirements-dev.txt").unlink()
    result = fresh.run("test")
    assert result.returncode == 2
    assert "checkout -- requirements.txt scripts/requirements.txt requirements-dev.txt" in result.stderr
    assert not fresh.venv.exists()


def test_windows_is_refused(fresh: Checkout) -> None:
    """Where there is no fcntl, exit 2 says in one line that Linux or macOS is needed."""
    result = fresh.call(BASE, "-c", AS_WINDOWS + RUN_FOLDER, str(fresh.root / "scripts"), "plan")
    assert result.returncode == 2
    assert "Linux or macOS" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_two_at_once_build_once(built: Checkout) -> None:
    """Of two runs that wait for a third, each says so once; one completes .venv and the other finds it ready."""
    command = built.command("test")
    with built.start(*command) as one, built.start(*command) as other:
        with environment.sole_builder(built.root):
            for run in (one, other):
                wait_for_line(run, "waiting for another run, which is making .venv")
        said = sorted(run.communicate()[1] for run in (one, other))
    assert (one.returncode, other.returncode) == (0, 0)
    assert said[0] == ""
    assert "completing .venv" in said[1]
    assert "waiting" not in said[1]


def test_an_interrupted_install_is_made_anew(built: Checkout, silent_index: socket.socket) -> None:
    """SIGINT during the install ends pip too, exits 130 without a traceback; the next run makes .venv anew."""
    with built.start(*built.command("test"), **url_of(silent_index)) as run:
        connection, _ = silent_index.accept()
        with connection:
            run.send_signal(signal.SIGINT)
            _, stderr = run.communicate()
            connection.settimeout(5)
            while connection.recv(4096):  # ends when pip is gone
                pass
    assert run.returncode == 130
    assert stderr.endswith("slipway: interrupted\n")
    assert "Traceback" not in stderr
    assert built.finished == []
    result = built.run("plan")
    assert "no stamp of a finished build" in result.stderr
    assert json.loads(result.stdout)["prefix"] == str(built.venv)
    assert not (built.venv / "kept").exists()


def test_a_killed_run_is_unfinished_and_its_pip_is_waited_for(built: Checkout, silent_index: socket.socket) -> None:
    """After SIGKILL pip is still writing: the next run waits for its end, then sees that .venv is unfinished."""
    with built.start(*built.command("test"), **url_of(silent_index)) as killed:
        connection, _ = silent_index.accept()
        killed.kill()
    assert built.finished == []
    with connection, built.start(*built.command("plan")) as run:
        wait_for_line(run, "waiting for another run")
        connection.close()
        silent_index.close()
        wait_for_line(run, "no stamp of a finished build")
        run.send_signal(signal.SIGINT)
        run.communicate()
    assert run.returncode == 130


@pytest.mark.parametrize("moment", ["contextlib", "scripts.environment", "scripts.cli"])
def test_an_interrupt_while_importing_is_no_bug(fresh: Checkout, mine: Path, moment: str) -> None:
    """SIGINT while the first, a later or the verb's own module is imported exits 130 in one line, no traceback."""
    name = moment.removeprefix("scripts.")  # run as a folder, what lies in it comes before the standard library
    (fresh.root / "scripts" / f"{name}.py").write_text(INTERRUPT)
    python = BASE if name == "environment" else str(mine / "bin" / "python")
    result = fresh.run("plan", python=python)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "slipway: interrupted\n")


def test_an_interrupt_while_handing_over_is_no_bug(built: Checkout) -> None:
    """SIGINT while the Python of .venv boots, before a line of ours runs, exits 130 in one line as well."""
    boot = built.venv / f"lib/python{MINOR}/site-packages/sitecustomize.py"
    boot.write_text(f"import sys\nif sys.orig_argv[-1] == 'plan':\n    {INTERRUPT}\n")
    result = built.run("plan")
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "slipway: interrupted\n")


def test_an_interrupt_while_waiting_is_no_bug(fresh: Checkout) -> None:
    """SIGINT while another run makes .venv exits 130 without a traceback, and the other run is left alone."""
    with environment.sole_builder(fresh.root), fresh.start(*fresh.command("plan")) as run:
        wait_for_line(run, "waiting for another run")
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate()
    assert (run.returncode, stderr) == (130, "slipway: interrupted\n")


def test_only_an_interrupt_ends_in_130(capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody caught keeps its traceback, unless it is an interrupt."""
    start.end(ValueError, ValueError("a bug"), None)
    assert capsys.readouterr().err == "ValueError: a bug\n"
    with pytest.raises(SystemExit, match="130"):
        start.end(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_an_interrupted_step_is_ended(fresh: Checkout) -> None:
    """SIGINT to us alone ends the step of the build too, so that nothing goes on writing."""
    more_than_a_pipe_holds = "head -c 200000 /dev/zero | tr '\\0' '\\n'"  # so we are reading when the signal comes
    script = f"{more_than_a_pipe_holds}; kill -INT {os.getpid()}; exec sleep 60"
    began = time.monotonic()
    with environment.sole_builder(fresh.root) as guard, pytest.raises(KeyboardInterrupt):
        environment.run_step(["/bin/sh", "-c", script], guard)
    assert time.monotonic() - began < 30


def test_what_is_in_the_way_is_told(fresh: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .venv that cannot be made, for whatever reason, is told with what it means; no reason is a traceback."""
    monkeypatch.setattr(sys, "path", [])
    fresh.venv.touch()
    assert "was not made by Slipway" in start.prepare(["lint"], fresh.root)
    assert "Look at the free space and the rights" in start.hand_over(["lint"], {}, fresh.root / "missing")


def test_a_current_python_goes_on_to_the_verb(
    fresh: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An interpreter that has the pins runs the verb itself, and one without a lock to judge by does not."""
    monkeypatch.setattr(sys, "path", [str(fresh.root / "scripts"), *sys.path])
    lock = fresh.root / "scripts" / "requirements.txt"
    lock.write_text(f"pytest=={pytest.__version__}")
    assert start.is_current([lock.read_text()])
    with pytest.raises(SystemExit, match="0"):
        start.main(["--version"], fresh.root)
    assert capsys.readouterr().out == "slipway 1\n"
    assert sys.path[0] == str(fresh.root)
    assert str(fresh.root / "scripts") not in sys.path
    lock.unlink()
    assert start.main(["--version"], fresh.root) == 2
    assert "a lock cannot be read" in capsys.readouterr().err


def older_python() -> str | None:
    """Return a Python of this machine that is too old for our verbs, but not for their start."""
    for python in interpreters.find_pythons("3.9"):
        if interpreters.probe_python(python).trouble.startswith(("version 3.9.", "version 3.10.", "version 3.11.")):
            return python
    return None


def test_it_runs_on_an_older_python(fresh: Checkout) -> None:
    """A real Python of 3.9 to 3.11, not only its grammar, gets as far as making .venv."""
    python = older_python()
    if python is None:
        pytest.skip("this machine has no Python of 3.9 to 3.11")
    fresh.venv.touch()
    for command in (fresh.command("plan", python=python), [python, "-m", "scripts", "plan"]):
        result = fresh.call(*command, PYTHONPATH=str(fresh.root))
        assert "was not made by Slipway" in result.stderr
