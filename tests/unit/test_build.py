"""The parts of a build that need no network: what goes in, what may have been installed, what comes out."""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest

from scripts import build
from scripts.building import indexes
from scripts.building.builder import compare_packages
from scripts.building.keep import Kept
from scripts.building.pack import (
    OUTPUT,
    find_functions,
    judge_output,
    measure,
    pack,
    prune,
    read_installed,
    read_python,
)
from scripts.building.source import Source, export, identify
from scripts.building.surroundings import Tools, builder_environment
from scripts.errors import ConfigError, UsageError
from scripts.release import Sha

WHO = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
INCLUDE = ("app", "requirements.txt", "vercel.json", ".python-version")
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
HASH = f"sha256:{'1' * 64}"
LOCK = f"""
[[package]]
name = "tiny"
version = "1.0"
source = {{ registry = "https://index.example/simple" }}
wheels = [{{ url = "https://files.example/tiny-1.0-py3-none-any.whl", hash = "{HASH}" }}]
"""


@pytest.fixture(autouse=True)
def own_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep git from what the machine or a hook that runs us has set."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GITHUB_SHA"):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *words: str) -> str:
    """Run git and give what it prints."""
    done = subprocess.run(["git", "-C", str(folder), *WHO, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, files: Mapping[str, str]) -> Sha:
    """Commit files and give the id."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "-m", "files")
    return Sha(git(folder, "rev-parse", "HEAD"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with a service in it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(
        folder,
        {
            "app/main.py": "app = 1\n",
            "app/other.py": "",
            "requirements.txt": f"tiny==1.0 --hash={HASH}\n",
            "vercel.json": '{"framework": "fastapi", "functions": {"app/main.py": {}}}',
            ".python-version": "3.13\n",
            ".env": "SECRET=1\n",
            "scripts/release.py": "",
            "tests/test_app.py": "",
        },
    )
    return folder


def head(folder: Path) -> Sha:
    """Give the id of HEAD."""
    return Sha(git(folder, "rev-parse", "HEAD"))


def export_head(repository: Path, into: Path, include: tuple[str, ...] = INCLUDE) -> Source:
    """Export HEAD of a repository."""
    return asyncio.run(export(repository, head(repository), include, into))


def files(folder: Path) -> set[str]:
    """List the files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# What goes in


def test_only_the_included_paths_are_exported(repository: Path, tmp_path: Path) -> None:
    """The build folder holds the included paths and the baked commit, and nothing else."""
    source = export_head(repository, tmp_path / "into")
    expected = {"app/main.py", "app/other.py", "app/baked_commit.txt", "requirements.txt", "vercel.json"}
    assert files(source.folder) == expected | {".python-version"}
    assert files(tmp_path) >= {"into/app/main.py"}
    assert not (tmp_path / "into.tar").exists()


def test_the_commit_is_baked_in(repository: Path, tmp_path: Path) -> None:
    """The full commit is in baked_commit.txt beside the entry module."""
    source = export_head(repository, tmp_path / "into")
    assert (source.folder / "app" / "baked_commit.txt").read_text().strip() == head(repository)


def test_a_commit_is_exported_and_not_the_work_tree(repository: Path, tmp_path: Path) -> None:
    """What is built is what was committed, whatever lies about since."""
    (repository / "app" / "main.py").write_text("changed")
    (repository / "app" / "new.py").write_text("")
    source = export_head(repository, tmp_path / "into")
    assert (source.folder / "app" / "main.py").read_text() == "app = 1\n"
    assert not (source.folder / "app" / "new.py").exists()


def test_no_env_file_is_exported(repository: Path, tmp_path: Path) -> None:
    """A committed .env file never gets into a function, however deep it is, and that is said."""
    commit(repository, {"app/.env": "SECRET=1", "app/deep/.env.local": "SECRET=2", "app/.envs/prod": "SECRET=3"})
    source = export_head(repository, tmp_path / "into")
    assert not [name for name in files(source.folder) if ".env" in name]
    assert set(source.left_out) == {"app/.env", "app/deep/.env.local", "app/.envs/prod"}


def test_a_missing_path_is_named(repository: Path, tmp_path: Path) -> None:
    """Every included path that the commit lacks is in the error, and nothing is exported."""
    with pytest.raises(ConfigError, match="does not hold lib, static/a"):
        export_head(repository, tmp_path / "into", (*INCLUDE, "lib", "static/a"))
    assert not (tmp_path / "into").exists()


def test_a_path_is_no_pattern(repository: Path, tmp_path: Path) -> None:
    """A star in an included path is a star: it does not bring what it happens to match."""
    with pytest.raises(ConfigError, match="does not hold te"):
        export_head(repository, tmp_path / "into", (*INCLUDE, "te*"))


def test_an_unknown_commit_is_a_usage_error(repository: Path, tmp_path: Path) -> None:
    """A commit that is not in the repository is named."""
    with pytest.raises(UsageError, match="fffffff"):
        asyncio.run(export(repository, Sha("f" * 40), INCLUDE, tmp_path / "into"))


@pytest.mark.parametrize("name", ["pyproject.toml", "uv.lock", "Pipfile"])
def test_what_the_builder_prefers_to_the_lock_is_refused(repository: Path, tmp_path: Path, name: str) -> None:
    """A file that would make the builder ignore requirements.txt is refused before the build."""
    commit(repository, {name: ""})
    with pytest.raises(ConfigError, match=rf"names {re.escape(name)}"):
        export_head(repository, tmp_path / "into", (*INCLUDE, name))


def test_without_requirements_nothing_is_built(repository: Path, tmp_path: Path) -> None:
    """Without a requirements.txt there is nothing to compare with."""
    with pytest.raises(ConfigError, match=r"requirements\.txt is not among"):
        export_head(repository, tmp_path / "into", ("app", "vercel.json"))


@pytest.mark.parametrize(
    ("paths", "entry"),
    [
        ({"main.py": ""}, "main.py"),
        ({"src/server.py": ""}, "src/server.py"),
        ({"api/index.py": "", "app/asgi.py": ""}, "app/asgi.py"),
        ({"lib/web.py": "", "main.py": "", "vercel.json": '{"functions": {"lib/web.py": {}}}'}, "lib/web.py"),
    ],
)
def test_the_entry_module_is_found_as_vercel_finds_it(tmp_path: Path, paths: dict[str, str], entry: str) -> None:
    """The entry module is the function that vercel.json names, else the first of Vercel's usual places."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, {**paths, "requirements.txt": "x"})
    source = export_head(folder, tmp_path / "into", (*paths, "requirements.txt"))
    assert source.entry == PurePosixPath(entry)
    assert source.baked.parent == source.entry.parent


@pytest.mark.parametrize("text", ["[]", "{", '{"functions": 3}'])
def test_a_broken_vercel_json_is_a_clear_error(repository: Path, tmp_path: Path, text: str) -> None:
    """A vercel.json that says nonsense is told before the CLI is asked."""
    commit(repository, {"vercel.json": text})
    with pytest.raises(ConfigError, match=r"vercel\.json cannot be read"):
        export_head(repository, tmp_path / "into")


def test_without_an_entry_nothing_is_built(repository: Path, tmp_path: Path) -> None:
    """Where no entry module is among the paths, the error says where it is looked for."""
    with pytest.raises(ConfigError, match="no entry module"):
        export_head(repository, tmp_path / "into", ("requirements.txt", "scripts"))


def test_an_id_of_the_paths_tells_them_apart(repository: Path) -> None:
    """Commits share an id of their paths if the paths are the same, and only then."""

    def now() -> str:
        return asyncio.run(identify(repository, head(repository), INCLUDE))

    first = now()
    commit(repository, {"tests/test_app.py": "changed"})
    assert now() == first
    commit(repository, {"app/other.py": "changed"})
    assert now() != first


@pytest.mark.parametrize(
    ("text", "version"), [("3.13\n", "3.13"), ("3.12.4", "3.12"), ("# x\ncpython-3.14\n", "3.14"), ("", "3.12")]
)
def test_the_python_version_is_read(text: str, version: str) -> None:
    """The minor version counts; without one Vercel takes 3.12."""
    assert read_python(text) == version


# What comes out


def make_output(folder: Path, *, functions: int = 1) -> Source:
    """Make what a builder leaves: functions with a vendored package, and files that name the machine."""
    source = Source(folder, Sha("a" * 40), PurePosixPath("app/main.py"), ())
    output = folder / OUTPUT
    for number in range(functions):
        function = output / "functions" / f"f{number}.func"
        info = function / "_vendor" / "tiny-1.0.dist-info"
        info.mkdir(parents=True)
        (function / "app").mkdir()
        (function / ".vc-config.json").write_text('{"runtime": "python3.13", "handler": "a.b"}')
        (function / "app" / "main.py").write_text("app = 1")
        (function / "app" / "baked_commit.txt").write_text("a" * 40)
        (info / "METADATA").write_text("Metadata-Version: 2.4\nName: Tiny\nVersion: 1.0\n\nName: body\n")
        (info / "RECORD").write_text("../../../bin/tiny,sha256=x,3\ntiny/__init__.py,sha256=y,1\n")
        seeded = function / "_vendor" / "pip-26.3.dist-info"
        seeded.mkdir()
        (seeded / "METADATA").write_text("Name: pip\nVersion: 26.3\n")
        (function / "_vendor" / "pip").mkdir()
    (output / "diagnostics").mkdir(parents=True)
    (output / "diagnostics" / "cli_traces.json").write_text("1")
    (output / "builds.json").write_text(json.dumps({"target": "production", "argv": ["/usr/bin/node"], "builds": []}))
    (output / "config.json").write_text('{"version": 3}')
    (folder / "vercel.json").write_text("{}")
    return source


def test_one_function_of_the_entry_module_passes(tmp_path: Path) -> None:
    """An output with one Python function that holds entry module and commit passes."""
    assert judge_output(tmp_path / OUTPUT, make_output(tmp_path)).passed


def test_static_files_are_no_function(tmp_path: Path) -> None:
    """An output without a Python function would be the source, published; the CLI ends with 0 there."""
    source = make_output(tmp_path, functions=0)
    verdict = judge_output(tmp_path / OUTPUT, source)
    assert verdict.exit_code == 10
    assert "published as static files" in verdict.reason
    assert "fastapi" in verdict.next_step


def test_no_output_is_no_function(tmp_path: Path) -> None:
    """A builder that left nothing did not pass."""
    source = Source(tmp_path, Sha("a" * 40), PurePosixPath("main.py"), ())
    assert judge_output(tmp_path / OUTPUT, source).exit_code == 10


def test_two_functions_are_refused(tmp_path: Path) -> None:
    """Of two functions only one would be proven."""
    verdict = judge_output(tmp_path / OUTPUT, make_output(tmp_path, functions=2))
    assert (verdict.exit_code, "2 functions (f0.func, f1.func)" in verdict.reason) == (10, True)


def test_a_function_without_the_commit_is_refused(tmp_path: Path) -> None:
    """A function that lost the baked commit could never prove what it is."""
    source = make_output(tmp_path)
    (find_functions(tmp_path / OUTPUT)[0] / source.baked).unlink()
    assert "lacks app/baked_commit.txt" in judge_output(tmp_path / OUTPUT, source).reason


def test_what_is_not_for_the_deployment_is_removed(tmp_path: Path) -> None:
    """Seeded pip, diagnostics, and names and hashes of the machine's own files are not in the artifact."""
    make_output(tmp_path)
    (function,) = find_functions(tmp_path / OUTPUT)
    prune(tmp_path / OUTPUT, function)
    assert read_installed(function) == {"tiny": "1.0"}
    assert not (function / "_vendor" / "pip").exists()
    assert (function / "_vendor" / "tiny-1.0.dist-info" / "RECORD").read_text() == "tiny/__init__.py,sha256=y,1\n"
    assert not (tmp_path / OUTPUT / "diagnostics").exists()
    assert json.loads((tmp_path / OUTPUT / "builds.json").read_text()) == {"target": "production"}


def test_the_same_tree_gives_the_same_archive(tmp_path: Path) -> None:
    """Two trees with the same content give the same bytes, whenever and in whatever order they were written."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_output(tmp_path / name)
    (tmp_path / "two" / "vercel.json").touch()
    for path in sorted((tmp_path / "two").rglob("*"), reverse=True):
        os.utime(path, (1, 1))
    os.link(tmp_path / "two" / OUTPUT / "config.json", tmp_path / "second name")
    for name in ("one", "two"):
        pack(tmp_path / name, tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_the_archive_holds_what_the_cli_needs(tmp_path: Path) -> None:
    """The archive holds the output and vercel.json, each file with its content and its mode, and no owner."""
    make_output(tmp_path)
    (function,) = find_functions(tmp_path / OUTPUT)
    (function / "tool").write_text("#!/bin/sh")
    (function / "tool").chmod(0o775)
    os.link(function / "tool", function / "tool2")
    (function / "app" / "link.py").symlink_to("main.py")
    pack(tmp_path, tmp_path / "archive")
    with tarfile.open(tmp_path / "archive") as archive:
        archive.extractall(tmp_path / "into", filter="data")
        rows = archive.getmembers()
    unpacked = tmp_path / "into" / OUTPUT / "functions" / "f0.func"
    assert files(tmp_path / "into") == {str(Path(row.name)) for row in rows}
    assert files(tmp_path / "into" / OUTPUT) == files(tmp_path / OUTPUT)
    assert (tmp_path / "into" / "vercel.json").is_file()
    assert [(unpacked / name).read_text() for name in ("tool", "tool2", "app/link.py")] == ["#!/bin/sh"] * 2 + [
        "app = 1"
    ]
    assert (unpacked / "tool").stat().st_mode & 0o111
    assert {(row.uid, row.gid, row.uname, row.mtime) for row in rows} == {(0, 0, "", 0)}


def test_a_bundle_is_measured(tmp_path: Path) -> None:
    """The size of a function is the sum of its files' bytes."""
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"45")
    assert measure(tmp_path) == 5


def test_a_builder_without_a_lock_is_refused(tmp_path: Path) -> None:
    """Where the builder left no uv.lock, what it installed cannot be compared, and does not pass."""
    make_output(tmp_path)
    (tmp_path / "requirements.txt").write_text(f"tiny==1.0 --hash={HASH}\n")
    tools = Tools(("node",), "1", Path("uv"), tmp_path / "runtime.txt")
    tools.runtime.write_text(f"vercel-runtime==0.1 --hash={HASH}\n")
    (function,) = find_functions(tmp_path / OUTPUT)
    prune(tmp_path / OUTPUT, function)
    assert "no uv.lock" in compare_packages(tmp_path, function, tools, "3.13").reason
    (tmp_path / "uv.lock").write_text("nonsense")
    assert compare_packages(tmp_path, function, tools, "3.13").exit_code == 10
    (tmp_path / "uv.lock").write_text(LOCK)
    assert compare_packages(tmp_path, function, tools, "3.13").passed


def test_a_kept_output_gets_the_commit_of_its_source(tmp_path: Path) -> None:
    """An output that is used for another commit names that one, and the kept one stays as it was."""
    (tmp_path / "one").mkdir()
    first = make_output(tmp_path / "one")
    kept = Kept(tmp_path / "cache" / "key")
    kept.store(first)
    kept.store(first)
    second = Source(tmp_path / "two", Sha("b" * 40), first.entry, ())
    (second.folder / "app").mkdir(parents=True)
    (second.folder / second.baked).write_text(second.commit)
    assert kept.restore(second)
    (function,) = find_functions(second.folder / OUTPUT)
    assert (function / second.baked).read_text() == second.commit
    (function,) = find_functions(kept.place)
    assert (function / first.baked).read_text() == first.commit
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["key"]


def test_what_was_not_kept_is_built(tmp_path: Path) -> None:
    """Without a kept output there is nothing to restore."""
    source = Source(tmp_path, Sha("a" * 40), PurePosixPath("main.py"), ())
    assert not Kept(tmp_path / "nothing").restore(source)


# The builder's surroundings


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """Name tools that nobody runs."""
    return Tools(("node", "vc.js"), "1", tmp_path / "uv", tmp_path / "runtime.txt")


def test_the_builder_gets_no_secret(tmp_path: Path, tools: Tools) -> None:
    """No token, no person's home and nothing that the build does not need reaches the builder."""
    given = {"PATH": "/usr/bin", "HOME": "/home/me", "VERCEL_TOKEN": "t", "RENDER_API_KEY": "k", "UV_INDEX": "u"}
    made = builder_environment(tools, given, HERE, tmp_path)
    assert {"t", "k", "/home/me"}.isdisjoint(made.values())
    assert made["UV_INDEX"] == "u"
    assert made["HOME"].startswith(str(tmp_path))


def test_the_builder_takes_our_uv_and_builds_nothing(tmp_path: Path, tools: Tools) -> None:
    """Our uv and the right Python come first, none is downloaded, no source is built, and the runtime has a hash."""
    made = builder_environment(tools, {"PATH": "/usr/bin"}, HERE, tmp_path)
    programs, python, *_ = made["PATH"].split(":")
    assert (Path(programs) / "uv").readlink() == tools.uv
    assert (Path(python) / f"python{HERE}").exists()
    assert (made["UV_PYTHON_DOWNLOADS"], made["UV_NO_BUILD"]) == ("never", "1")
    assert made["UV_CONSTRAINT"] == str(tools.runtime)


def test_settings_of_pip_are_read_in_its_order() -> None:
    """A variable goes before the setting of a command, and that before a global one."""
    text = (
        "global.index-url='https://a.example/simple'\n"
        "install.index-url='https://b.example/simple'\n"
        ":env:.find-links='/one\\n/two'\n"
        "global.find-links='/three'\n"
        "nonsense\n"
    )
    assert indexes.parse_pip_settings(text) == {"index-url": "https://b.example/simple", "find-links": "/one\n/two"}


def test_settings_of_pip_are_translated(tmp_path: Path) -> None:
    """Uv gets every place where pip looks, but for folders that do not exist, and compares all indexes."""
    settings = {
        "index-url": "https://a.example/simple",
        "extra-index-url": f"https://b.example/simple file://{tmp_path} file:///no/such/folder",
        "find-links": f"{tmp_path}\n/no/such/folder",
        "trusted-host": "a.example",
        "timeout": "5",
    }
    assert indexes.translate(settings) == {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_INDEX": f"https://b.example/simple file://{tmp_path}",
        "UV_FIND_LINKS": str(tmp_path),
        "UV_INSECURE_HOST": "a.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_without_settings_uv_keeps_its_own_defaults() -> None:
    """Where pip has no settings, uv gets none."""
    assert indexes.translate({}) == {}


def test_settings_of_uv_go_before_those_of_pip(tmp_path: Path) -> None:
    """Where uv is set up by variables nothing is translated; its file is found in the home that it is not given."""
    assert indexes.index_settings("no-such-python", {"UV_INDEX": "https://a.example", "HOME": str(tmp_path)}) == {}
    file = tmp_path / ".config" / "uv" / "uv.toml"
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert indexes.index_settings("no-such-python", {"HOME": str(tmp_path)}) == {"UV_CONFIG_FILE": str(file)}
    assert indexes.index_settings("no-such-python", {"HOME": "/", "XDG_CONFIG_HOME": str(tmp_path)}) == {}


# The verb


def arguments(folder: Path, config: str) -> argparse.Namespace:
    """Give the words of a command line."""
    file = folder / "slipway.toml"
    file.write_text(config)
    return argparse.Namespace(commit=None, config=file, output=folder / "build", json=False)


def test_without_a_vercel_section_nothing_is_built(tmp_path: Path) -> None:
    """A configuration without [vercel] is an error that names the section."""
    config = 'version = 1\n[render]\nurl = "https://a.example"\n[[checks]]\nname = "a"\npath = "/"\n'
    with pytest.raises(ConfigError, match=r"no \[vercel\] section"):
        build.run(arguments(tmp_path, config), {})
