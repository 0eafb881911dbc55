"""The package index on loopback: what it serves is what the locks name, and pip and uv can use it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from contextlib import closing, nullcontext
from http.client import HTTPConnection, HTTPResponse
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from scripts.gates.index import Index
from scripts.gates.lockfiles import LOCKS, ROOT
from tests.package_index import PackageIndex, normal, read_hashes, read_locks
from tests.unit.fakes import FakeClock

A, B = "a" * 64, "b" * 64
BIN = Path(sys.executable).parent


def connection_to(index: PackageIndex) -> HTTPConnection:
    """Make a connection to the index."""
    return HTTPConnection(index.base.removeprefix("http://"), timeout=10)


def fetch(
    index: PackageIndex, path: str, connection: HTTPConnection | None = None, *, method: str = "GET"
) -> tuple[HTTPResponse, bytes]:
    """Ask the index over the wire."""
    with closing(connection_to(index)) if connection is None else nullcontext(connection) as used:
        used.request(method, path)
        response = used.getresponse()
        return response, response.read()


def body_of(index: PackageIndex, path: str) -> bytes:
    """Give what the index has under a path, from memory or from a file."""
    status, _, body = index.answer(path)
    assert status == 200
    return body.read_bytes() if isinstance(body, Path) else body


def test_serves_what_our_locks_name() -> None:
    """Each package of our locks has a page with a wheel for each hash that they name, and nothing else."""
    ours = read_locks()
    with PackageIndex() as served, Index(served.url, {}, FakeClock()) as index:
        pages = index.fetch_pages(sorted(ours))
    assert {name: set(page.values()) for name, page in pages.items()} == {
        name: {sha256 for hashes in versions.values() for sha256 in hashes} for name, versions in ours.items()
    }
    for name, page in pages.items():
        wheels = [parse_wheel_filename(filename) for filename in page]
        assert {wheel[0] for wheel in wheels} == {name}
        assert {str(wheel[1]) for wheel in wheels} == set(ours[name])
    assert sorted(served.requests) == sorted(f"/simple/{name}/" for name in ours)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        ([], {}),
        (["# one==1\n    --hash=sha256:" + A], {}),
        (
            [f"One_x==1 \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n    # via two==3\n"],
            {"one-x": {"1": {A, B}}},
        ),
        ([f"one==1 ; python_version < '3' \\\n    --hash=sha256:{A}\n"], {"one": {"1": {A}}}),
        ([f"one==1 --hash=sha256:{A}", f"one==1 --hash=sha256:{B}"], {"one": {"1": {A, B}}}),
        ([f"one==1 --hash=sha256:{A}\none==2 --hash=sha256:{B}"], {"one": {"1": {A}, "2": {B}}}),
        ([f"one==1 --hash=sha256:{A[1:]}", "one\x00==2"], {"one": {"1": set()}}),
    ],
)
def test_reads_what_locks_name(texts: Sequence[str], found: object) -> None:
    """From locks come the hashes by package and version, of all of them together; from torn ones what is whole."""
    assert read_hashes(texts) == found


def test_is_of_this_machine_alone_and_ends() -> None:
    """It listens on loopback, on a port of its own, and not after its end."""
    with PackageIndex(packages={}) as one, PackageIndex(packages={}) as two:
        assert one.url != two.url
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/simple/", one.url)
        assert fetch(one, "/simple/")[0].status == 404
    with pytest.raises(ConnectionRefusedError):
        fetch(one, "/simple/")


def test_metadata_is_that_of_what_is_installed() -> None:
    """Beside a wheel is the metadata of the same version installed here, by its hash; of others only the name."""
    version = distribution("httpcore").version
    index = PackageIndex(packages={"httpcore": {version: [A], "0.0.1": [B]}, "not-here": {"1": [A]}})
    here = body_of(index, f"/files/httpcore-{version}-1-py30-none-any.whl.metadata")
    assert here.decode() == distribution("httpcore").read_text("METADATA")
    told = hashlib.sha256(here).hexdigest()
    assert f'data-core-metadata="sha256={told}"'.encode() in body_of(index, "/simple/httpcore/")
    assert f'data-dist-info-metadata="sha256={told}"'.encode() in body_of(index, "/simple/httpcore/")
    for name, other in (("httpcore", "0.0.1"), ("not-here", "1")):
        metadata = body_of(index, f"/files/{name.replace('-', '_')}-{other}-1-py30-none-any.whl.metadata")
        assert metadata.decode() == f"Metadata-Version: 2.1\nName: {name}\nVersion: {other}\n"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/simple/", "/simple/gone/", "/gone/json", "/files/gone.whl", "/files/one-1-1-py30-none-any.whl"),
        *("/files/../../../etc/passwd", "/files/%2e%2e/%2e%2e/etc/passwd", "/files//etc/passwd", "/simple/one/two"),
    ],
)
def test_knows_nothing_else(path: str) -> None:
    """What no lock names, and the content of a made-up wheel, is not there."""
    assert PackageIndex(packages={"one": {"1": [A]}}).answer(path)[0] == 404


def test_a_connection_is_kept() -> None:
    """One connection serves many requests, those for what is not there too, and a HEAD has no body."""
    with PackageIndex(packages={"one": {"1": [A]}}) as index, closing(connection_to(index)) as connection:
        connection.connect()
        socket = connection.sock
        missing = fetch(index, "/gone", connection)[0]
        found, body = fetch(index, "/simple/one/?x=1", connection)
        head, nothing = fetch(index, "/simple/one/", connection, method="HEAD")
        assert connection.sock is socket
    assert (missing.status, found.status, head.status) == (404, 200, 200)
    assert head.headers["content-length"] == str(len(body))
    assert nothing == b""
    assert index.requests == ["/gone", "/simple/one/", "/simple/one/"]


def make_wheel(folder: Path, name: str, needs: str = "") -> tuple[str, str]:
    """Make a wheel of one module, and give its file name and sha256."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "ANSWER = 42\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def test_real_wheels_are_served(tmp_path: Path) -> None:
    """A hash of a wheel in the folder has its name, its content and its metadata; one of none is made up."""
    filename, sha256 = make_wheel(tmp_path, "one", "Requires-Dist: two\n")
    make_wheel(tmp_path, "unlisted")
    with PackageIndex(tmp_path, packages={"one": {"1.0": [sha256, A]}}) as index:
        with Index(index.url, {}, FakeClock()) as reader:
            page = reader.fetch_pages(["one"])["one"]
        assert page[filename] == sha256
        assert set(page.values()) == {sha256, A}
        assert fetch(index, f"/files/{filename}")[1] == (tmp_path / filename).read_bytes()
        assert b"Requires-Dist: two" in fetch(index, f"/files/{filename}.metadata")[1]
        assert fetch(index, "/files/unlisted-1.0-py3-none-any.whl")[0].status == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--only-binary=:all:",
            "--require-hashes",
            "--no-deps",
            "--no-cache-dir",
        ],
        [str(BIN / "uv"), "pip", "install", "--only-binary=:all:", "--require-hashes", "--no-deps", "--no-cache"],
    ],
    ids=["pip", "uv"],
)
@pytest.mark.parametrize("made_up", ["0", "f"])
def test_a_lock_installs_from_it(tmp_path: Path, command: Sequence[str], made_up: str) -> None:
    """Both pip and uv install a lock from it by hash: they take the real wheel, whatever made-up ones are beside it."""
    _, sha256 = make_wheel(tmp_path, "one")
    hashes = [sha256, made_up * 64]
    lock, target = tmp_path / "lock.txt", tmp_path / "target"
    lock.write_text("one==1.0" + "".join(f" --hash=sha256:{each}" for each in hashes))
    with PackageIndex(tmp_path, packages={"one": {"1.0": hashes}}) as index:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}
        words = [*command, "--target", str(target), "-r", str(lock), "--index-url", index.url]
        ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (target / "one.py").read_text() == "ANSWER = 42\n"


@pytest.mark.slow
@pytest.mark.parametrize("upgrade", [(), ("--upgrade",)], ids=["keep", "upgrade"])
def test_pip_compile_gives_our_locks(tmp_path: Path, upgrade: Sequence[str]) -> None:
    """With its own hashing, and with this index alone, pip-compile gives our three locks byte for byte."""
    for path in [f"{name}.{end}" for name in LOCKS for end in ("in", "txt")]:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes((ROOT / path).read_bytes())
    with PackageIndex() as index:
        own = {"PIP_INDEX_URL": index.url, "PIP_CONFIG_FILE": os.devnull, "HOME": str(tmp_path)}
        environment = {"PATH": os.environ["PATH"], "CUSTOM_COMPILE_COMMAND": "python3 -m scripts lock", **own}
        for name in LOCKS:
            words = [
                "--quiet",
                "--generate-hashes",
                "--strip-extras",
                "--allow-unsafe",
                "--no-emit-index-url",
                *upgrade,
            ]
            command = [str(BIN / "pip-compile"), *words, "--output-file", f"{name}.txt", f"{name}.in"]
            ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert ran.returncode == 0, ran.stderr
            assert (tmp_path / f"{name}.txt").read_text() == (ROOT / f"{name}.txt").read_text()
    assert not [path for path in index.requests if path.endswith(".whl")]


def test_json_links_are_those_of_the_page() -> None:
    """The links that pip-compile reads hashes by are those of the page: of others it would download the files."""
    index = PackageIndex(packages={"one": {"1": [A], "2": [B]}})
    releases = json.loads(body_of(index, "/pypi/one/json"))["releases"]
    assert json.loads(body_of(index, "/one/json"))["releases"] == releases
    for version, sha256 in (("1", A), ("2", B)):
        (file,) = releases[version]
        assert file["digests"] == {"sha256": sha256}
        assert f'href="{file["url"].removeprefix(index.base)}"'.encode() in body_of(index, "/simple/one/")


def test_times_of_uploads_are_told_to_who_asks_for_json() -> None:
    """Who asks for JSON learns when each file was uploaded, as far as it is known; who asks for HTML gets links."""
    times = {"one==1": "2026-01-01T00:00:00Z", B: "2026-02-02T00:00:00Z"}
    with PackageIndex(packages={"one": {"1": [A, B], "2": ["c" * 64]}}, uploaded=times) as index:
        with Index(index.url, {}, FakeClock()) as reader:
            uploads, pages = reader.fetch_uploads(["one"])["one"], reader.fetch_pages(["one"])["one"]
        told = {pages[name]: moment and moment.isoformat() for name, moment in uploads.items()}
        assert told == {A: "2026-01-01T00:00:00+00:00", B: "2026-02-02T00:00:00+00:00", "c" * 64: None}
        assert fetch(index, "/simple/one/")[0].headers.get_content_type() == "text/html"


def test_what_is_not_installed_may_need_something() -> None:
    """A made-up version needs what it is told to need."""
    index = PackageIndex(packages={"one": {"1": [A]}}, needs={"one==1": "two<2"})
    assert b"\nRequires-Dist: two<2\n" in body_of(index, "/files/one-1-1-py30-none-any.whl.metadata")


def test_names_have_one_spelling() -> None:
    """Names are asked for in the spelling of PEP 503."""
    assert [normal(name) for name in ("Foo.Bar", "foo__bar", "FOO-_.bar")] == ["foo-bar"] * 3
