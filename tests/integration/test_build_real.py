"""Builds by the real CLI and its real builder. Node may reach loopback only; uv reaches the package index."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from scripts.artifact import read_artifact
from scripts.build import Built, build_artifact
from scripts.building import Order
from scripts.building.surroundings import CLI_FOLDER, RUNTIME, find_tools
from scripts.config import VercelSection
from scripts.errors import ConfigError
from scripts.release import Sha

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
INCLUDE: tuple[str, ...] = VercelSection.model_fields["include"].default
WHO = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
GUARD = """
const net = require("net");
const connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...words) {
  const asked = [].concat(words[0])[0];
  const host = asked && typeof asked === "object" ? asked.host : typeof words[1] === "string" ? words[1] : "localhost";
  if (!(asked && asked.path) && host && !["127.0.0.1", "::1", "localhost"].includes(host)) {
    throw new Error("the CLI may not reach " + host);
  }
  return connect.apply(this, words);
};
"""

Build = Callable[..., Built]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Need the pinned CLI."""
    try:
        find_tools(ROOT, os.environ)
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep downloads from one test to the next."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """See that a build leaves no temporary file and no process with its folder."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []
    assert running_in(folder) == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository that holds the service as it lies here."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in INCLUDE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    commit(folder, {})
    return folder


@pytest.fixture
def build(repository: Path, tmp_path: Path, temporary: Path) -> Build:
    """Build HEAD of the repository into `build`."""
    guard = tmp_path / "guard.cjs"
    guard.write_text(GUARD)
    environment = {**os.environ, "NODE_OPTIONS": f"--require={guard}", "VERCEL_TOKEN": "never-passed-on"}

    def run(cache: Path | None = None, root: Path = ROOT) -> Built:
        order = Order(repository, head(repository), INCLUDE, environment, print, root=root, cache=cache)
        return asyncio.run(build_artifact(order, tmp_path / "build"))

    return run


def git(folder: Path, *words: str) -> str:
    """Run git and give what it prints."""
    done = subprocess.run(["git", "-C", str(folder), *WHO, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, files: Mapping[str, str]) -> None:
    """Commit files."""
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "a commit")


def head(folder: Path) -> Sha:
    """Give the id of HEAD."""
    return Sha(git(folder, "rev-parse", "HEAD"))


def running_in(folder: Path) -> list[str]:
    """List the processes whose working folder is below a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink().is_relative_to(folder):
                found.append(place.parent.name)
        except OSError:
            continue
    return found


def refused(built: Built, folder: Path) -> str:
    """Give the reason of a refusal, after a look that it left nothing to ship."""
    assert built.verdict.exit_code == 10
    assert built.artifact is None
    assert not (folder / "build").exists() or list((folder / "build").iterdir()) == []
    return built.verdict.reason


def test_a_build_is_its_commit_and_the_same_each_time(build: Build, repository: Path, tmp_path: Path) -> None:
    """A build has the packages of the lock, answers with its commit, and gives the same archive a second time."""
    first = build()
    assert first.verdict.passed, first.verdict.reason
    artifact = read_artifact(tmp_path / "build", head(repository))
    assert artifact == first.artifact
    assert head(repository)[:7] in first.verdict.reason
    pins = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert artifact.packages == len(pins) + 1  # and the runtime
    assert artifact.bundle_bytes > artifact.archive_bytes > 1_000_000
    again = build()
    assert again.artifact is not None
    assert again.artifact.sha256 == artifact.sha256


def test_a_kept_build_is_what_a_new_one_would_be(build: Build, repository: Path, cache: Path) -> None:
    """For another commit of the same paths a kept output gives the very archive that a new build gives."""
    assert build(cache).verdict.passed
    commit(repository, {"NOTES": "not of the function"})
    kept, new = build(cache), build()
    assert kept.artifact is not None
    assert new.artifact is not None
    assert "the same paths" in kept.verdict.reason
    assert "the same paths" not in new.verdict.reason
    assert (kept.artifact.commit, kept.artifact.sha256) == (head(repository), new.artifact.sha256)


def test_falsified_hashes_are_refused(build: Build, repository: Path, tmp_path: Path, cache: Path) -> None:
    """Where the lock names other hashes for a package, the builder builds all the same, and the build is refused."""
    text = (repository / "requirements.txt").read_text()
    before, after = text.split("\nidna==", 1)
    mine, rest = re.match(r"((?:.*\\\n)+.*\n)([\s\S]*)", after).groups()  # type: ignore[union-attr]
    false = re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", mine)
    commit(repository, {"requirements.txt": f"{before}\nidna=={false}{rest}"})
    told = refused(build(cache), tmp_path)
    assert re.fullmatch(r"idna [\d.]+: idna-[\d.]+-py3-none-any\.whl has sha256:\w{64}, which requirements.*", told)


def test_a_runtime_of_another_hash_is_refused(build: Build, tmp_path: Path, cache: Path) -> None:
    """What the builder adds by itself is installed only if it has the hash that is kept beside the CLI."""
    root = tmp_path / "root"
    (root / CLI_FOLDER).mkdir(parents=True)
    for name in ("package.json", "node_modules"):
        (root / CLI_FOLDER / name).symlink_to(ROOT / CLI_FOLDER / name)
    pins = (ROOT / CLI_FOLDER / RUNTIME).read_text()
    (root / CLI_FOLDER / RUNTIME).write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", pins))
    assert "Hash mismatch for `vercel-runtime" in refused(build(cache / "other", root), tmp_path)


def test_the_runtime_that_is_pinned_is_the_one_of_the_cli() -> None:
    """The pinned runtime is of the version that the pinned CLI asks for."""
    (builder,) = (ROOT / CLI_FOLDER / "node_modules" / "@vercel" / "python" / "dist").glob("index.js")
    wanted = re.search(r'VERCEL_RUNTIME_VERSION = "([\d.]+)"', builder.read_text())
    assert wanted is not None
    assert f"\nvercel-runtime=={wanted[1]} " in (ROOT / CLI_FOLDER / RUNTIME).read_text()


def test_a_function_that_dies_is_refused(build: Build, repository: Path, tmp_path: Path, cache: Path) -> None:
    """A function that cannot be imported is refused with its own last line, and an earlier artifact is gone."""
    assert build(cache).verdict.passed
    main = (repository / "app" / "main.py").read_text()
    commit(repository, {"app/main.py": f"{main}\nimport no_such_package\n"})
    assert "No module named 'no_such_package'" in refused(build(cache), tmp_path)


def test_a_function_of_another_commit_is_refused(build: Build, repository: Path, tmp_path: Path, cache: Path) -> None:
    """A function that reports another commit is refused with both."""
    identity = (repository / "app" / "identity.py").read_text()
    changed = identity.replace("commit=_full_sha(", f'commit="{"f" * 40}" or _full_sha(')
    assert changed != identity
    commit(repository, {"app/identity.py": changed})
    told = refused(build(cache), tmp_path)
    assert f"answers /version with commit '{'f' * 40}', and {head(repository)} was built" in told


def test_static_files_are_refused(build: Build, repository: Path, tmp_path: Path, cache: Path) -> None:
    """Where no framework is named the CLI ends with 0 and would publish the source; that is refused."""
    commit(repository, {"vercel.json": '{"framework": null}'})
    assert "published as static files" in refused(build(cache), tmp_path)


def test_an_interrupted_build_leaves_nothing(
    repository: Path, tmp_path: Path, temporary: Path, cache: Path, build: Build
) -> None:
    """A build that is interrupted while the builder runs ends it, and leaves no file, no process and no artifact."""
    assert build(cache).verdict.passed
    commit(repository, {"app/problems.py": (repository / "app" / "problems.py").read_text() + "\n"})

    async def play() -> None:
        order = Order(repository, head(repository), INCLUDE, os.environ, print, cache=cache)
        building = asyncio.ensure_future(build_artifact(order, tmp_path / "build"))
        while not running_in(temporary):  # noqa: ASYNC110  # what is waited for is another process
            await asyncio.sleep(0.05)
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
        assert running_in(temporary) == []

    asyncio.run(play())
    assert list((tmp_path / "build").iterdir()) == []
