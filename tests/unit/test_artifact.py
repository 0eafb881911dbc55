"""What `deploy` takes from a build: only the archive that build.json names, of the commit that is released."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from scripts.artifact import Artifact, hash_file, read_artifact
from scripts.building.publish import publish, withdraw
from scripts.errors import UsageError
from scripts.release import Sha

COMMIT = Sha("a" * 40)
OTHER = Sha("b" * 40)


def make(folder: Path, names: tuple[str, ...] = (".vercel/output/config.json",)) -> Artifact:
    """Publish an artifact that holds those files."""
    packed = folder / "packed"
    with tarfile.open(packed, "w:gz") as archive:
        for name in names:
            row = tarfile.TarInfo(name)
            row.size = 2
            archive.addfile(row, io.BytesIO(b"{}"))
    artifact = Artifact(
        folder=folder / "build",
        commit=COMMIT,
        sha256=hash_file(packed),
        archive_bytes=packed.stat().st_size,
        bundle_bytes=2,
        packages=1,
        cli="1.2.3",
        python="3.13",
    )
    publish(packed, artifact)
    return artifact


def test_what_was_published_is_read(tmp_path: Path) -> None:
    """A published artifact is read as it was, and nothing else is in its folder."""
    made = make(tmp_path)
    assert read_artifact(tmp_path / "build", COMMIT) == made
    assert {path.name for path in (tmp_path / "build").iterdir()} == {"build.json", "vercel.tar.gz"}


def test_the_description_is_the_one_that_others_read(tmp_path: Path) -> None:
    """build.json has the keys of version 1 and no path of the machine that built."""
    made = make(tmp_path)
    assert json.loads((tmp_path / "build" / "build.json").read_text()) == {
        "version": 1,
        "commit": COMMIT,
        "archive": "vercel.tar.gz",
        "sha256": made.sha256,
        "archive_bytes": made.archive_bytes,
        "bundle_bytes": 2,
        "packages": 1,
        "cli": "1.2.3",
        "python": "3.13",
    }


def test_an_artifact_of_another_commit_is_refused(tmp_path: Path) -> None:
    """Only the commit that is released may be deployed."""
    make(tmp_path)
    with pytest.raises(UsageError, match="is of commit aaaaaaa, and bbbbbbb is to be released"):
        read_artifact(tmp_path / "build", OTHER)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    """An archive that is not the one that was built, by a single byte, is not unpacked."""
    made = make(tmp_path)
    data = bytearray(made.archive.read_bytes())
    data[-1] ^= 1
    made.archive.write_bytes(data)
    with pytest.raises(UsageError, match=f"build.json names {made.sha256}"):
        read_artifact(tmp_path / "build", COMMIT)


def test_a_missing_archive_is_refused(tmp_path: Path) -> None:
    """A description without its archive is no artifact."""
    make(tmp_path).archive.unlink()
    with pytest.raises(UsageError, match=r"vercel\.tar\.gz cannot be read"):
        read_artifact(tmp_path / "build", COMMIT)


def test_no_build_is_a_clear_error(tmp_path: Path) -> None:
    """Without a build the error names the verb that makes one."""
    with pytest.raises(UsageError, match=r"build\.json cannot be read[\s\S]*python3 -m scripts build"):
        read_artifact(tmp_path / "build", COMMIT)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"commit": "a" * 39},
        {"archive": "../elsewhere.tar.gz"},
        {"sha256": 1},
        {"packages": -1},
        {"bundle_bytes": True},
        {"archive_bytes": "8"},
        {"cli": ""},
        {"python": None},
    ],
)
def test_a_description_that_says_nonsense_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """A description of another version, without a full commit, or with a wrong kind of value is not believed."""
    make(tmp_path)
    file = tmp_path / "build" / "build.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UsageError):
        read_artifact(tmp_path / "build", COMMIT)


@pytest.mark.parametrize("text", ["", "[]", "{", "\udcff"])
def test_a_broken_description_is_refused(tmp_path: Path, text: str) -> None:
    """A description that is no JSON object is refused."""
    make(tmp_path)
    (tmp_path / "build" / "build.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError):
        read_artifact(tmp_path / "build", COMMIT)


def test_the_archive_is_unpacked(tmp_path: Path) -> None:
    """The files of the archive are where the CLI looks for them."""
    make(tmp_path).unpack(tmp_path / "into")
    assert (tmp_path / "into" / ".vercel" / "output" / "config.json").read_text() == "{}"


@pytest.mark.parametrize("name", ["../outside", "a/../../outside"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    """An archive that names a place outside of the folder is not unpacked there."""
    made = make(tmp_path, (name,))
    with pytest.raises(UsageError, match="cannot be unpacked"):
        made.unpack(tmp_path / "into")
    assert not (tmp_path / "outside").exists()


def test_a_broken_archive_is_a_clear_error(tmp_path: Path) -> None:
    """An archive that ends early cannot be unpacked, and the error says so."""
    made = make(tmp_path)
    made.archive.write_bytes(made.archive.read_bytes()[:30])
    with pytest.raises(UsageError, match="cannot be unpacked"):
        made.unpack(tmp_path / "into")


def test_withdrawing_leaves_nothing_that_could_be_shipped(tmp_path: Path) -> None:
    """After a withdrawal there is neither description nor archive, and a second one does no harm."""
    made = make(tmp_path)
    withdraw(made.folder)
    withdraw(made.folder)
    assert list(made.folder.iterdir()) == []
