"""A package index, asked which files it has of a package, the sha256 of each, and when it was uploaded.

The simple API names them, as JSON (PEP 691, with times since PEP 700) or as a page of links (PEP 503), without times:
https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Self
from urllib.parse import unquote

import httpx

from scripts.clock import Clock
from scripts.errors import ConfigError, PlatformError, PlatformUnreachable
from scripts.redaction import Secret

JSON = "application/vnd.pypi.simple.v1+json"
ACCEPT = f"{JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
LARGEST_PAGE = 32 * 1024 * 1024  # bytes; a package with ten thousand files has 7 MB
PAGE_LIMIT_S = 60.0
TRIES = 3
FIRST_PAUSE_S = 0.5
AT_ONCE = 8
UNREACHED = "Without the index nobody knows whether the locks are right."
TRY_AGAIN = "look at the network and at PIP_INDEX_URL, then run the command again"
CERTIFICATES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

Pages = Mapping[str, Mapping[str, str]]  # by package: the sha256 by file name
Uploads = Mapping[str, datetime | None]  # by file name: when; None where the index does not tell


@dataclass(frozen=True)
class File:
    """A file that the index has: its sha256, and when it was uploaded, where the index tells."""

    sha256: str
    uploaded: datetime | None = None


Page = Mapping[str, File]


class Index:
    """A package index, asked for what it knows of packages; `transport` is the seam for tests."""

    def __init__(
        self, url: str, environment: Mapping[str, str], clock: Clock, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._base, self._clock = str(_parse(url)).rstrip("/"), clock
        self._pages: dict[str, Page] = {}
        self._client = httpx.Client(
            transport=transport,
            verify=_tls(environment) if transport is None else False,
            timeout=PAGE_LIMIT_S / 2,
            headers={"accept": ACCEPT},
            follow_redirects=True,
        )

    def __enter__(self) -> Self:
        """Give the index itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        self._client.close()

    def reach(self) -> None:
        """See that the index answers, whether it has what is asked for or not; raises what `fetch_pages` does."""
        self._fetch_page("pip")

    def fetch_pages(self, names: Collection[str]) -> Pages:
        """Ask what there is of each package; one that the index does not know has no files.

        Raises:
            PlatformUnreachable: no answer within three tries.
            PlatformError: an answer that is no page of a package; or an index that knows none of them.
        """
        self._fetch_all(names)
        pages = {name: {file: each.sha256 for file, each in self._pages[name].items()} for name in names}
        if pages and not any(pages.values()):
            raise PlatformError(
                f"the package index knows none of {len(pages)} packages", means=UNREACHED, next_step=TRY_AGAIN
            )
        return pages

    def fetch_uploads(self, names: Collection[str]) -> Mapping[str, Uploads]:
        """Ask when each file of each package was uploaded; raises what `fetch_pages` does for a package."""
        self._fetch_all(names)
        return {name: {file: each.uploaded for file, each in self._pages[name].items()} for name in names}

    def _fetch_all(self, names: Collection[str]) -> None:
        """Ask for each package once: what is judged and what is written must rest on the same answer."""
        due = [name for name in dict.fromkeys(names) if name not in self._pages]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            self._pages |= zip(due, threads.map(self._fetch_page, due), strict=True)

    def _fetch_page(self, name: str) -> Page:
        for attempt in range(TRIES):
            try:
                status, kind, body = self._get(f"{self._base}/{name}/")
            except httpx.HTTPError as error:
                trouble = f"no answer ({type(error).__name__})"
            else:
                if status < httpx.codes.INTERNAL_SERVER_ERROR and status != httpx.codes.TOO_MANY_REQUESTS:
                    return _read_page(name, status, kind, body)
                trouble = f"status {status}"
            if attempt + 1 < TRIES:
                self._clock.sleep(FIRST_PAUSE_S * 2**attempt)
        raise PlatformUnreachable(f"the package index on {name}: {trouble}", means=UNREACHED, next_step=TRY_AGAIN)

    def _get(self, url: str) -> tuple[int, str, bytes]:
        """Ask once, within size and time: without this an index that drips bytes holds the gate for ever."""
        until = self._clock.monotonic() + PAGE_LIMIT_S
        with self._client.stream("GET", url) as response:
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > LARGEST_PAGE or self._clock.monotonic() > until:
                    raise httpx.ReadTimeout("too large or too slow", request=response.request)
            return response.status_code, response.headers.get("content-type", ""), bytes(body)


def _parse(url: str, name: str = "PIP_INDEX_URL") -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:  # its text and its cause hold the address, and so perhaps a password
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"}:
        raise ConfigError(f"{name} is no http address", means="Nothing was resolved.", next_step="mend it, or unset it")
    return parsed


def secrets_in(url: str, name: str = "PIP_INDEX_URL") -> list[Secret]:
    """Give what in the address that a variable holds nobody may read: its password, or the token in place of a user.

    Raises:
        ConfigError: it is no address.
    """
    parsed = _parse(url, name)
    return [Secret(text) for text in (parsed.password or parsed.username,) if text]


def _tls(environment: Mapping[str, str]) -> ssl.SSLContext:
    file = next((environment[name] for name in CERTIFICATES if environment.get(name)), "")
    try:
        if file and Path(file).is_dir():
            return ssl.create_default_context(capath=file)
        return ssl.create_default_context(cafile=file) if file else httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"the certificates of {' or '.join(CERTIFICATES)} cannot be read",
            means="The package index was not asked.",
            next_step="name a file that has them, or unset it",
        ) from error


def _read_page(name: str, status: int, kind: str, body: bytes) -> Page:
    if status == httpx.codes.NOT_FOUND:
        return {}
    if status == httpx.codes.OK:
        with_type = kind.partition(";")[0].strip().lower()
        files = _files_of_json(body) if with_type == JSON else _files_of_html(with_type, body)
        if files is not None:
            return files
    raise PlatformError(
        f"the package index on {name}: expected a page of files, got status {status} and {kind[:60]!a}",
        means=UNREACHED,
        next_step=TRY_AGAIN,
    )


def _files_of_json(body: bytes) -> Page | None:
    try:
        page = json.loads(body)
    except (ValueError, RecursionError):
        return None
    files = page.get("files") if isinstance(page, dict) else None
    return dict(filter(None, map(_file_of_json, files))) if isinstance(files, list) else None


def _file_of_json(file: object) -> tuple[str, File] | None:
    match file:
        case {"filename": str(filename), "hashes": {"sha256": str(sha256)}, **rest}:
            return filename, File(sha256.lower(), _time(rest.get("upload-time")))
        case _:
            return None


def _time(value: object) -> datetime | None:
    """Read a moment as PEP 700 writes it, in UTC; one without a zone, or any other value, is none."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _files_of_html(kind: str, body: bytes) -> Page | None:
    if kind not in {"text/html", "application/vnd.pypi.simple.v1+html"}:
        return None
    links = _Links()
    try:
        links.feed(body.decode("utf-8", "replace"))
    except AssertionError:  # a marked section that the parser does not know
        return None
    return links.files or None  # a page without one is a portal's or a login's: no word on what the package has


class _Links(HTMLParser):
    """The files that a page links, by the sha256 in each link's fragment (PEP 503)."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, File] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        link = dict(attributes).get("href") if tag == "a" else None
        path, _, sha256 = (link or "").partition("#sha256=")
        if sha256:
            self.files[unquote(path.partition("?")[0]).rpartition("/")[2]] = File(sha256.lower())
