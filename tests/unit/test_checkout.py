"""Which commits there are and which descends from which, asked of real git."""

import subprocess
from pathlib import Path

import pytest

from scripts.checkout import Checkout
from scripts.errors import UsageError
from scripts.release import Sha

UNKNOWN = Sha("f" * 40)
WHO = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")


@pytest.fixture(autouse=True)
def own_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep git from what the machine or a hook that runs us has set."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *words: str) -> str:
    """Run git and give what it prints."""
    done = subprocess.run(["git", "-C", str(folder), *WHO, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, message: str) -> Sha:
    """Make a commit and give its id."""
    git(folder, "commit", "--allow-empty", "--quiet", "-m", message)
    return Sha(git(folder, "rev-parse", "HEAD"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with `main` and nothing else."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def test_every_name_of_a_commit_is_resolved(repository: Path) -> None:
    """A full id, a short one, a branch, a tag, HEAD and an expression stand for the full commit."""
    first, second = commit(repository, "first"), commit(repository, "second")
    git(repository, "tag", "--annotate", "v1", "-m", "a tag", first)
    checkout = Checkout(repository)
    for text in (first, first[:8], first.upper(), "v1", "HEAD~1", "main^"):
        assert checkout.resolve(text) == first
    for text in (second, second[:7], "main", "HEAD", "refs/heads/main"):
        assert checkout.resolve(text) == second


def test_a_folder_inside_the_checkout_will_do(repository: Path) -> None:
    """A command may be run in any folder of the work tree."""
    only = commit(repository, "only")
    (repository / "inside").mkdir()
    assert Checkout(repository / "inside").resolve("HEAD") == only


@pytest.mark.parametrize("text", [UNKNOWN, "fffffff", "no-such-branch", "", "--all", "-h", "HEAD..HEAD", "main main"])
def test_what_is_no_commit_is_refused(repository: Path, text: str) -> None:
    """What stands for no commit here is refused with its name and a way out, also where it looks like an option."""
    commit(repository, "only")
    with pytest.raises(UsageError, match="is not in this checkout") as caught:
        Checkout(repository).resolve(text)
    assert repr(text) in caught.value.what
    assert caught.value.exit_code == 2
    assert "git fetch" in caught.value.next_step


def test_a_file_is_not_a_commit(repository: Path) -> None:
    """The id of something that is not a commit is refused, though git knows it."""
    (repository / "file").write_text("text")
    blob = git(repository, "hash-object", "-w", "file")
    commit(repository, "only")
    with pytest.raises(UsageError, match="is not in this checkout"):
        Checkout(repository).resolve(blob)


@pytest.mark.parametrize("name", ["empty", "none"])
def test_a_folder_without_git_has_no_commits(tmp_path: Path, name: str) -> None:
    """Outside a checkout, or where there is no folder, no commit is known."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="is not in this checkout"):
        Checkout(tmp_path / name).resolve("HEAD")


def test_git_that_is_missing_is_told(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git cannot be run, the way out is to install it."""
    only = commit(repository, "only")
    monkeypatch.setenv("PATH", "/nowhere")
    for ask in (lambda: Checkout(repository).resolve("HEAD"), lambda: Checkout(repository).descends(only, only)):
        with pytest.raises(UsageError, match="did not run: FileNotFoundError") as caught:
            ask()
        assert "install git" in caught.value.next_step


def test_descent(repository: Path) -> None:
    """A commit descends from itself and from what is in its history, and from nothing else."""
    first, second = commit(repository, "first"), commit(repository, "second")
    git(repository, "switch", "--quiet", "--create", "side", first)
    side = commit(repository, "side")
    git(repository, "merge", "--quiet", "--no-ff", "-m", "merge", "main")
    merge = Sha(git(repository, "rev-parse", "HEAD"))
    checkout = Checkout(repository)
    for new, old in ((first, first), (second, first), (merge, first), (merge, second), (merge, side)):
        assert checkout.descends(new, old)
    for new, old in ((first, second), (second, side), (side, second), (second, merge)):
        assert not checkout.descends(new, old)


def test_an_ancestor_that_is_not_here_is_none(repository: Path) -> None:
    """A commit that a whole checkout does not have is not in anybody's history."""
    only = commit(repository, "only")
    assert not Checkout(repository).descends(only, UNKNOWN)
    assert not Checkout(repository).descends(UNKNOWN, only)


def test_a_shallow_checkout_does_not_answer(repository: Path, tmp_path: Path) -> None:
    """A shallow clone says that it is one instead of "does not descend"; what it can see it still answers."""
    first, second, third = commit(repository, "first"), commit(repository, "second"), commit(repository, "third")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=2", repository.as_uri(), str(shallow))
    checkout = Checkout(shallow)
    assert checkout.descends(third, second)
    for new, old in ((third, first), (second, third)):
        with pytest.raises(UsageError, match="this checkout is shallow") as caught:
            checkout.descends(new, old)
        assert caught.value.exit_code == 2
        assert "fetch-depth: 0" in caught.value.next_step
    git(shallow, "fetch", "--quiet", "--unshallow")
    assert checkout.descends(third, first)
    assert not checkout.descends(second, third)
