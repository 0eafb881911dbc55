"""A package index on loopback that knows exactly what locks name: with it pip resolves and installs without a network.

It speaks the simple API in HTML (PEP 503) with metadata beside the files (PEP 658, PEP 714), where it is told times of
uploads also in JSON (PEP 691, PEP 700), and the JSON that pip-compile reads hashes from. A hash of the locks whose
wheel is not here belongs to a wheel with a made-up name, which can be resolved and cannot be downloaded.
"""

from __future__ import annotations

import hashlib
import html
import importlib.metadata
import json
import re
import threading
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.txt", "scripts/requirements.txt", "requirements-dev.txt")
PINNED = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)|--hash=sha256:([0-9a-f]{64})", re.MULTILINE)
LOOPBACK = "127.0.0.1"
# Of all tags that fit everywhere the last choice: a real wheel of the same version, also a pure one, goes before it.
MADE_UP = "py30-none-any"
MISSING = (404, "text/plain", b"")
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"

Hashes = Mapping[str, Mapping[str, Collection[str]]]  # by name and version


def read_hashes(texts: Iterable[str]) -> Hashes:
    """Read what locks name: by package and version the sha256 of its files, those of all the texts together."""
    found: dict[str, dict[str, set[str]]] = {}
    for text in texts:
        files: set[str] = set()
        for name, version, sha256 in PINNED.findall(text):
            if name:
                files = found.setdefault(normal(name), {}).setdefault(version, set())
            else:
                files.add(sha256)
    return found


def read_locks(root: Path = ROOT) -> Hashes:
    """Read what the three locks of a checkout name."""
    return read_hashes((root / name).read_text(encoding="utf-8") for name in LOCKS)


def normal(name: str) -> str:
    """Give a package's name in the spelling of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Served:
    """One file of the index: its name, its hash, its metadata, and where its content is, if anywhere."""

    version: str
    filename: str
    sha256: str
    metadata: bytes
    content: Path | None = None

    def row(self, base: str, uploaded: str | None) -> dict[str, object]:
        """Give the file as PEP 691 lists it; without a time of upload the index does not tell."""
        told = {"sha256": hashlib.sha256(self.metadata).hexdigest()}
        row = {"filename": self.filename, "url": f"{base}/files/{self.filename}", "hashes": {"sha256": self.sha256}}
        times = {"upload-time": uploaded} if uploaded else {}
        return {**row, "core-metadata": told, "dist-info-metadata": told, "size": 1, "yanked": False, **times}

    @property
    def link(self) -> str:
        """The file's line on its package's page."""
        told = f"sha256={hashlib.sha256(self.metadata).hexdigest()}"
        return (
            f'<a href="/files/{html.escape(self.filename)}#sha256={self.sha256}" data-core-metadata="{told}" '
            f'data-dist-info-metadata="{told}">{html.escape(self.filename)}</a><br>'
        )


class PackageIndex:
    """Serve the pins of our locks, or those of `packages`, on a free port of this machine alone.

    With a folder of wheels, a listed hash that is one of theirs has that wheel's name and content. With times of
    uploads, by `name==version` or by the sha256 of one file, whoever asks for JSON gets it. What is not installed here
    needs nothing, or by `name==version` one requirement.
    """

    def __init__(
        self,
        wheels: Path | None = None,
        *,
        packages: Hashes | None = None,
        uploaded: Mapping[str, str] | None = None,
        needs: Mapping[str, str] | None = None,
    ) -> None:
        packages = read_locks() if packages is None else packages
        real = {} if wheels is None else {_sha256(path): path for path in sorted(wheels.glob("*.whl"))}
        self.requests: list[str] = []
        self._uploaded = uploaded
        self._pages = {name: tuple(_files(name, versions, real, needs or {})) for name, versions in packages.items()}
        self._files = {file.filename: file for page in self._pages.values() for file in page}
        self._port = 0

    @property
    def base(self) -> str:
        """The URL under which everything is, without a slash at the end."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def url(self) -> str:
        """The URL that pip and uv take as their index."""
        return f"{self.base}/simple/"

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._server = ThreadingHTTPServer((LOOPBACK, 0), partial(_Handler, self))
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, accept: str = "") -> tuple[int, str, bytes | Path]:
        """Give status, kind and body for a path."""
        self.requests.append(path)
        match path.strip("/").split("/"):
            case [*_, "simple", name] if name in self._pages and self._uploaded is not None and SIMPLE_JSON in accept:
                return 200, SIMPLE_JSON, self._listing(name, self._uploaded)
            case [*_, "simple", name] if name in self._pages:
                return 200, "text/html; charset=utf-8", self._page(name)
            case [*_, name, "json"] if name in self._pages:
                return 200, "application/json", self._json(name)
            case ["files", filename]:
                return self._file(filename)
            case _:
                return MISSING

    def _page(self, name: str) -> bytes:
        links = "\n".join(file.link for file in self._pages[name])
        return f"<!DOCTYPE html><html><head><title>{name}</title></head><body>\n{links}\n</body></html>".encode()

    def _listing(self, name: str, uploaded: Mapping[str, str]) -> bytes:
        files = self._pages[name]
        times = (uploaded.get(file.sha256) or uploaded.get(f"{name}=={file.version}") for file in files)
        rows = [file.row(self.base, time) for file, time in zip(files, times, strict=True)]
        versions = list(dict.fromkeys(file.version for file in files))
        return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "versions": versions, "files": rows}).encode()

    def _json(self, name: str) -> bytes:
        """Give what pip-compile reads hashes from, by the links as they stand on the page; others it would download."""
        releases: dict[str, list[object]] = {}
        for file in self._pages[name]:
            link = f"{self.base}/files/{file.filename}#sha256={file.sha256}"
            told = {"url": link, "digests": {"sha256": file.sha256}}
            releases.setdefault(file.version, []).append({**told, "packagetype": "bdist_wheel"})
        return json.dumps({"releases": releases}).encode()

    def _file(self, filename: str) -> tuple[int, str, bytes | Path]:
        if file := self._files.get(filename.removesuffix(".metadata")):
            if filename.endswith(".metadata"):
                return 200, "application/octet-stream", file.metadata
            if file.content:
                return 200, "application/octet-stream", file.content
        return MISSING


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections, of which pip would otherwise make one for each of 200 requests
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet: else each answer waits 40 ms for an acknowledgement

    def __init__(self, index: PackageIndex, *rest: object) -> None:
        self._index = index
        super().__init__(*rest)  # type: ignore[arg-type]  # handed through as the server gives them

    def do_GET(self) -> None:
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        self._send(with_body=False)

    def _send(self, *, with_body: bool) -> None:
        status, kind, body = self._index.answer(self.path.partition("?")[0], self.headers.get("accept", ""))
        content = body.read_bytes() if isinstance(body, Path) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        # The next index may get the same port: without this pip would take its own copies for the new one's answers.
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: the requests are kept."""


def _files(
    name: str, versions: Mapping[str, Iterable[str]], real: Mapping[str, Path], needs: Mapping[str, str]
) -> Iterable[Served]:
    for version, hashes in versions.items():
        need = needs.get(f"{name}=={version}")
        told = _metadata(name, version) + (f"Requires-Dist: {need}\n".encode() if need else b"")
        stem = f"{name.replace('-', '_')}-{version}"
        for number, sha256 in enumerate(sorted(hashes), 1):
            if path := real.get(sha256):
                yield Served(version, path.name, sha256, _metadata_in(path), path)
            else:
                yield Served(version, f"{stem}-{number}-{MADE_UP}.whl", sha256, told)


def _metadata(name: str, version: str) -> bytes:
    """Take the metadata of what is installed here; of anything else only that it needs nothing."""
    try:
        installed = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    if installed is not None and installed.version == version:
        return (installed.read_text("METADATA") or "").encode()
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()


def _metadata_in(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (entry for entry in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry))
        return archive.read(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
