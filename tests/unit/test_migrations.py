"""Which migrations a release brings that nobody runs, asked of real git."""

import subprocess
from pathlib import Path

import pytest

from scripts.checkout import Checkout
from scripts.migrations import warn_of_pending
from scripts.release import Sha

FOLDER = "app/migrations/versions"
WHO = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
BLUEPRINT = "services:\n  - type: web\n    preDeployCommand: python -m app.migrate # first\n"
HOOKLESS = "services:\n  - type: web\n    # preDeployCommand: python -m app.migrate\n    preDeployCommand:\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty repository that nothing of the machine has a say in."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    """Run git and give what it prints."""
    return subprocess.run(
        ["git", "-C", str(folder), *WHO, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


def commit(repository: Path, files: dict[str, str]) -> Sha:
    """Commit files; the commit."""
    for name, content in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "a change")
    return Sha(git(repository, "rev-parse", "HEAD"))


def warn(repository: Path, serving: Sha | None, candidate: Sha, *targets: str, folder: str = FOLDER) -> str:
    """Give the warning."""
    return warn_of_pending(
        Checkout(repository / "app"),  # a folder of it will do
        folder,
        serving=serving,
        candidate=candidate,
        first=serving is None,
        targets=targets or ("vercel",),
    )


def test_what_is_new_is_named(repository: Path) -> None:
    """New files of the folder are pending, whatever else changed; files that Python needs are no migrations."""
    old = commit(repository, {f"{FOLDER}/0001_a.py": "", "render.yaml": BLUEPRINT})
    new = commit(repository, {f"{FOLDER}/0001_a.py": "# changed", "app/x.py": "", f"{FOLDER}/__init__.py": ""})
    assert warn(repository, old, new) == ""
    newer = commit(repository, {f"{FOLDER}/0002_b.py": "", f"{FOLDER}/0003_c.sql": "", f"{FOLDER}/notes.txt": ""})
    told = warn(repository, old, newer)
    assert told.startswith("2 migrations come with this commit (0002_b.py, 0003_c.sql), and no deploy runs them")
    assert "python -m app.migrate" in told
    assert warn(repository, newer, newer) == ""
    assert warn(repository, newer, old) == ""
    assert warn(repository, new, newer, folder="") == ""


def test_a_deploy_that_runs_them_needs_no_warning(repository: Path) -> None:
    """Render's pre-deploy command does it, for Vercel beside it too; one that is a comment or empty does not."""
    old = commit(repository, {"app/x.py": ""})
    bare = commit(repository, {f"{FOLDER}/0001_a.py": "", "render.yaml": HOOKLESS})
    does = commit(repository, {"render.yaml": BLUEPRINT})
    assert warn(repository, old, bare, "render").startswith("a migration comes with this commit (0001_a.py)")
    assert warn(repository, old, does, "vercel") != ""
    assert (warn(repository, old, does, "render"), warn(repository, old, does, "render", "vercel")) == ("", "")


def test_what_cannot_be_seen_is_not_claimed(repository: Path) -> None:
    """On a first release all are pending; where what serves is unknown, or not in this checkout, nothing is said."""
    new = commit(repository, {f"{FOLDER}/0001_a.py": ""})
    assert "0001_a.py" in warn(repository, None, new)
    assert warn(repository, Sha("f" * 40), new) == ""
    unknown = warn_of_pending(
        Checkout(repository), FOLDER, serving=None, candidate=new, first=False, targets=["vercel"]
    )
    assert unknown == ""
