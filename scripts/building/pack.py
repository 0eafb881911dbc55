"""What comes out of the builder: checked to be a function, rid of what must not be in it, packed the same each time."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tarfile
from collections.abc import Iterable, Mapping
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import canonicalize_name

from scripts.building.source import Source
from scripts.function import SETTINGS
from scripts.verdict import Verdict, failed, passed

OUTPUT = Path(".vercel") / "output"
VENDOR = "_vendor"
SEEDED = "pip"  # what `uv venv --seed` puts into every environment: the newest, whatever its hash
# What `vercel deploy --prebuilt` reads; the rest of builds.json names paths of the machine that built.
KEPT = ("target", "cliVersion", "detectedFramework", "error")
RUN_BY_THE_CLI = ("vercel.json",)  # read again by `vercel deploy`: regions, crons and their like


def find_functions(output: Path) -> list[Path]:
    """Give the folders of the Python functions that a build left."""
    settings = sorted((output / "functions").rglob(SETTINGS)) if (output / "functions").is_dir() else []
    return [file.parent for file in settings if '"python' in file.read_text(encoding="utf-8", errors="replace")]


def judge_output(output: Path, source: Source) -> Verdict:
    """Decide whether the builder made one Python function from the entry module; its exit code does not tell."""
    found = find_functions(output)
    if not found:
        return failed(
            "the builder made no Python function: the source would be published as static files",
            'set "framework": "fastapi" in vercel.json',
        )
    if len(found) > 1:
        names = ", ".join(function.name for function in found)
        return failed(f"the builder made {len(found)} functions ({names}), and one is expected")
    lacking = [str(path) for path in (source.entry, source.baked) if not (found[0] / path).is_file()]
    if lacking:
        return failed(f"the function lacks {' and '.join(lacking)}", "look at excludeFiles in vercel.json")
    return passed(found[0].name)


def prune(output: Path, function: Path) -> None:
    """Remove what is not for the deployment: the seeded pip, diagnostics, paths and times of this machine."""
    _forget_programs(function)
    shutil.rmtree(output / "diagnostics", ignore_errors=True)
    for path in (*function.glob(f"{VENDOR}/{SEEDED}"), *function.glob(f"{VENDOR}/{SEEDED}-[0-9]*.dist-info")):
        shutil.rmtree(path)
    file = output / "builds.json"
    told = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    kept = {name: told[name] for name in KEPT if name in told}
    file.write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")


def _forget_programs(function: Path) -> None:
    """Take the programs of the builder's environment, which are not in the bundle, out of each package's RECORD.

    Their hashes are of files that name the build folder, so no two builds would give the same archive.
    """
    for record in function.glob(f"{VENDOR}/*.dist-info/RECORD"):
        rows = record.read_text(encoding="utf-8").splitlines(keepends=True)
        record.write_text("".join(row for row in rows if not row.startswith("../")), encoding="utf-8")


def read_installed(function: Path) -> Mapping[str, str]:
    """Give the version of each package in the bundle."""
    found: dict[str, str] = {}
    for metadata in sorted((function / VENDOR).glob("*.dist-info/METADATA")):
        headers = HeaderParser().parsestr(metadata.read_text(encoding="utf-8", errors="replace"), headersonly=True)
        found[canonicalize_name(str(headers["Name"]))] = str(headers["Version"])
    return found


def measure(function: Path) -> int:
    """Add up the bytes of a function's files."""
    return sum(path.lstat().st_size for path in _files(function))


def pack(folder: Path, archive: Path) -> None:
    """Pack the output of a build folder; the same tree gives the same bytes."""
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        single = [folder / name for name in RUN_BY_THE_CLI if (folder / name).is_file()]
        for path in (*_files(folder / OUTPUT), *single):
            _add(tar, path, str(path.relative_to(folder)))


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    row = tar.gettarinfo(path, name)
    row.uid = row.gid = row.mtime = 0
    row.uname = row.gname = ""
    row.mode = 0o755 if row.mode & 0o100 else 0o644
    if row.islnk():  # a second name of a file that is already in: store it as a file, in whatever order they come
        row.type, row.linkname, row.size = tarfile.REGTYPE, "", path.stat().st_size
    if not row.isreg():
        tar.addfile(row)
        return
    with path.open("rb") as file:
        tar.addfile(row, file)


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


def read_python(text: str) -> str:
    """Give the version that `.python-version` asks for; without one Vercel takes 3.12."""
    found = re.search(r"^\s*(?:python-|cpython-)?(3\.\d+)", text, re.MULTILINE)
    return found[1] if found else "3.12"
