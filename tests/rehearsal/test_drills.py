"""The drill book, played for real: each drill ends as it states, and no secret is seen anywhere on the way."""

import asyncio
import io
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.console import Console
from scripts.rehearsal.book import DRILLS, GROUPS
from scripts.rehearsal.book.drill import Drill, never_started
from scripts.rehearsal.clone import commit_change
from scripts.rehearsal.kit import Kit, lacks
from scripts.rehearsal.observe import compare, observe
from scripts.rehearsal.play import Played, play, release_in
from scripts.rehearsal.playing import open_kit
from scripts.rehearsal.runner import Runner
from scripts.rehearsal.world import build
from scripts.release import Stage

ROOT = Path(__file__).resolve().parents[2]
CLI = ROOT / ".github" / "vercel-cli" / "node_modules"


@contextmanager
def watched_processes() -> Iterator[set[str]]:
    """Gather the command lines of every process on the machine, while the block runs."""
    lines: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    lines.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield lines
    finally:
        done.set()
        watcher.join()


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Build the function of HEAD once, where this machine can."""
    missing = lacks(os.environ)
    if missing or not CLI.is_dir():
        pytest.skip(missing or "the Vercel CLI is not installed: cd .github/vercel-cli && npm ci --ignore-scripts")
    folder = tmp_path_factory.mktemp("kit")
    return asyncio.run(open_kit(ROOT, folder, os.environ, Console(err=io.StringIO())))


# Of each class of fault; the whole book is played by `rehearse --drill all`, and weekly by drill.yml.
ON_RENDER = {
    *("good", "crashes-at-start", "errors", "one-of-three-bad"),
    *("wrong-commit", "mixed-for-ever", "rollback-does-nothing", "late-live"),
    *("api-down-at-rollback", "key-revoked", "target-not-kept", "asleep"),
    *("cached-for-a-while", "cut-off-until-the-rollback"),
    *("person-deploys-in-bake", "two-releases-at-once", "same-bad-commit-again", "dependency-down"),
    *("runner-killed", "killed-in-rollback", "journal-torn", "disk-full", "runner-slow", "clock-behind"),
}


def marked(names: set[str]) -> list[Any]:
    """Give the drills of the book with these names; all are slow, and one is played where secrets are looked for."""
    return [pytest.param(row, id=row.name, marks=pytest.mark.slow) for row in DRILLS if row.name in names]


def test_the_names_are_of_the_book() -> None:
    """What is played here is in the book, and every class of fault but the load is in it."""
    chosen = [row for row in DRILLS if row.name in ON_RENDER]
    assert {row.name for row in chosen} == ON_RENDER
    assert {row.group for row in chosen} == set(GROUPS) - {"Vercel", "load"}


@pytest.mark.parametrize("drill", marked(ON_RENDER))
def test_drill_on_render_ends_as_stated(drill: Drill, tmp_path: Path) -> None:
    """A drill of the book ends as the book states, with Render as the only target."""
    played: Played = asyncio.run(play(drill, ROOT, tmp_path, Console(err=io.StringIO())))
    assert played.wrong == []
    assert played.seen.user_requests > 100
    assert played.facts.targets == ("render",)


@pytest.mark.parametrize("drill", marked({row.name for row in DRILLS if row.plays_on("vercel")}))
def test_drill_on_both_ends_as_stated(drill: Drill, tmp_path: Path, kit: Kit) -> None:
    """A drill of the book ends as the book states on both platforms, by the real Vercel CLI."""
    played: Played = asyncio.run(play(drill, ROOT, tmp_path, Console(err=io.StringIO()), kit))
    assert played.wrong == []
    assert played.facts.targets == ("render", "vercel")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("targets", [pytest.param("render", marks=pytest.mark.slow), "render and vercel"])
def test_no_secret_is_seen(targets: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """No secret is in output, journal, report or process list of a whole release and rollback, on either platform."""
    kit: Kit | None = request.getfixturevalue("kit") if "vercel" in targets else None
    drill = next(row for row in DRILLS if row.name == ("vercel-fails-render-returns" if kit else "errors"))
    said = io.StringIO()

    async def run() -> tuple[list[str], list[str]]:
        async with build(ROOT, tmp_path, drill, kit) as world:
            facts = await release_in(world, drill, tmp_path, Console(err=said), kit)
            wrong = compare(drill, facts, observe(facts, drill.where))
            given = [value.partition("key=")[2] or value for value in world.secrets.values()]
            return given, wrong

    with watched_processes() as processes:
        secrets, wrong = asyncio.run(run())
    assert wrong == []
    assert len(secrets) == (4 if kit else 2)
    files = [path.read_text(errors="replace") for path in (tmp_path / "runner").rglob("*") if path.is_file()]
    names = {path.name for path in (tmp_path / "runner" / "state").iterdir()}
    assert {"journal.jsonl", "release.json", "samples-render.jsonl"} <= names
    assert any("scripts" in line for line in processes)
    assert any("vercel" in line and "promote" in line and "node" in line for line in processes) is (kit is not None)
    for secret, text in itertools.product(secrets, [said.getvalue(), *files, *processes]):
        assert secret not in text


@pytest.fixture(scope="session")
def release_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make an environment with `scripts/requirements.txt` and nothing else."""
    folder = tmp_path_factory.mktemp("release-path") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    words = ["--quiet", "--require-hashes", "--only-binary", ":all:", "--no-deps", "-r", "scripts/requirements.txt"]
    subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", *words], check=True, cwd=ROOT)
    return str(folder / "bin" / "python")


@pytest.mark.slow
def test_release_path_needs_only_its_own_lock(release_python: str, tmp_path: Path) -> None:
    """With only scripts/requirements.txt, and the service's requirements broken, a release is blocked and proven so."""
    drill = Drill("broken-lock", "the service's requirements cannot be installed", never_started(Stage.DEPLOY))

    async def run() -> tuple[list[tuple[str, int]], str | None, str]:
        async with build(ROOT, tmp_path, drill) as world:
            broken = await commit_change(
                world.clone, "a broken lock", lambda _: "no such thing ==\n", Path("requirements.txt")
            )
            world = replace(world, candidate=broken)
            runner = Runner(
                world.clone, world.config, tmp_path / "runner", world.secrets, lambda _: None, release_python
            )
            ran = await runner.release(world.candidate)
            return [(row.stage, row.exit_code) for row in ran], world.cloud.serving_commit, world.baseline

    ran, serving, baseline = asyncio.run(run())
    assert ran == [(Stage.PLAN, 0), (Stage.DEPLOY, 10), (Stage.ROLLBACK, 0), (Stage.RECOVER, 0)]
    assert serving == baseline


@pytest.mark.parametrize(
    ("name", "ran", "serves"),
    [
        pytest.param("good", [0, 0, 0, 0, 0], "candidate", marks=pytest.mark.slow),
        pytest.param("errors", [0, 0, 0, 0, 10, 0, 0], "baseline", marks=pytest.mark.slow),
        pytest.param("late-live", [0, 10, 0, 0], "baseline", marks=pytest.mark.slow),
    ],
)
def test_release_without_api_key(name: str, ran: list[int], serves: str, tmp_path: Path) -> None:
    """With the hook alone, a release is proven or rolled back by the service's own answers."""
    drill = next(row for row in DRILLS if row.name == name)

    async def run() -> tuple[list[int], str | None, str]:
        async with build(ROOT, tmp_path, drill) as world:
            hook_only = {key: value for key, value in world.secrets.items() if key != "RENDER_API_KEY"}
            runner = Runner(world.clone, world.config, tmp_path / "runner", hook_only, print)
            stages = await runner.release(world.candidate)
            await asyncio.sleep(drill.linger_s)
            return [row.exit_code for row in stages], world.cloud.serving_commit, getattr(world, serves)

    codes, serving, expected = asyncio.run(run())
    assert codes == ran
    assert serving == expected
