"""Whether a lock's hashes are of files that an index has; the index's pages, right, torn and foreign."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from packaging.tags import sys_tags

from scripts.errors import ConfigError, PlatformError, PlatformUnreachable, SlipwayError
from scripts.gates.cooldown import ages_of
from scripts.gates.hashes import hashes_for, judge_hashes, known_of
from scripts.gates.index import JSON, LARGEST_PAGE, Index
from scripts.gates.pins import Pin
from tests.unit.fakes import START, FakeClock, Reply, Script

HERE = str(next(iter(sys_tags())))
WHEEL, OTHER, SDIST, NEWER = "a" * 64, "b" * 64, "c" * 64, "d" * 64
FILES = {
    f"one-1.0-{HERE}.whl": WHEEL,
    "one-1.0-cp27-cp27m-win32.whl": OTHER,
    "one-1.0.tar.gz": SDIST,
    "one-1.1-py3-none-any.whl": NEWER,
    "one-1.0.exe": "e" * 64,
    "one.whl": "f" * 64,
    "": "0" * 64,
}
PAGES = {"one": FILES, "none": {}}


@pytest.mark.parametrize(
    ("hashes", "told"),
    [
        ({WHEEL, OTHER, SDIST}, ""),
        ({WHEEL}, ""),
        ({OTHER, SDIST}, "one==1.0: none of its hashes is of a wheel that can be installed here"),
        ({SDIST}, "one==1.0: none of its hashes is of a wheel that can be installed here"),
        ({WHEEL, "9" * 64}, f"one==1.0: 1 of its 2 hashes are of no file that the index has: {'9' * 64}"),
        ({WHEEL, NEWER}, f"one==1.0: 1 of its 2 hashes are of no file that the index has: {NEWER}"),
        ({"e" * 64, WHEEL}, f"one==1.0: 1 of its 2 hashes are of no file that the index has: {'e' * 64}"),
    ],
)
def test_hashes_are_of_files_of_the_version(hashes: set[str], told: str) -> None:
    """A hash of no wheel or archive of the very version is red; fewer than the index has are not while one installs."""
    found = judge_hashes("a.txt", [Pin("one", "1.0", frozenset(hashes))], PAGES)
    assert found == ([f"a.txt: {told}"] if told else [])


@pytest.mark.parametrize(
    ("marker", "red"),
    [('sys_platform == "nowhere"', False), ('python_version >= "3"', True), ("nonsense ==", True), ("x < 1", True)],
)
def test_what_is_for_elsewhere_need_not_install_here(marker: str, red: bool) -> None:
    """A pin for another machine may have no wheel for this one; a marker that cannot be read excuses nothing."""
    assert bool(judge_hashes("a.txt", [Pin("one", "1.0", frozenset({OTHER}), marker)], PAGES)) is red


@pytest.mark.parametrize("name", ["none", "unknown"])
def test_version_that_the_index_does_not_have_is_red(name: str) -> None:
    """No evidence is no pass: a pin of which the index names no file is told."""
    assert "names no file of it" in judge_hashes("a.txt", [Pin(name, "1.0", frozenset({WHEEL}))], PAGES)[0]
    assert "names no file of it" in judge_hashes("a.txt", [Pin("one", "junk", frozenset({WHEEL}))], PAGES)[0]


def test_one_version_has_many_spellings() -> None:
    """Zeros that a file's name has and a pin has not make no other version."""
    pages = {"certs": {"certs-2026.01.04-py3-none-any.whl": WHEEL, "certs-2026.1.4.post1-py3-none-any.whl": OTHER}}
    assert known_of(Pin("certs", "2026.1.4"), pages).all == {WHEEL}


def test_right_hashes_are_kept_and_wrong_ones_renewed() -> None:
    """Hashes of a pin that stays are kept while they are right; else, and for a new version, all that there are."""
    every = {WHEEL, OTHER, SDIST}
    pin, newer = Pin("one", "1.0"), Pin("one", "1.1")
    for present, given in [({WHEEL}, {WHEEL}), ({WHEEL, "9" * 64}, every), ({SDIST}, every), (set(), every)]:
        before = [Pin("one", "1.0", frozenset(present))]
        assert dict(hashes_for([pin], before, PAGES)) == {("one", "1.0"): given}
        assert dict(hashes_for([newer], before, PAGES)) == {("one", "1.1"): {NEWER}}
    assert dict(hashes_for([Pin("unknown", "1")], [], PAGES)) == {("unknown", "1"): set()}


def page(files: Mapping[str, str]) -> bytes:
    """Make a page of the simple API's JSON."""
    rows = [
        {"filename": name, "url": f"https://x/{name}", "hashes": {"sha256": sha256}} for name, sha256 in files.items()
    ]
    return json.dumps({"meta": {"api-version": "1.0"}, "name": "one", "files": rows}).encode()


def links(files: Mapping[str, str]) -> bytes:
    """Make a page of the simple API's HTML."""
    rows = "".join(f'<a href="../../x/{name}#sha256={sha256}">{name}</a><br>' for name, sha256 in files.items())
    return f"<!DOCTYPE html><html><body>{rows}<a>no link</a><a href='x.whl'>no hash</a></body></html>".encode()


def answer(body: bytes, kind: str = JSON, status: int = 200) -> Reply:
    """Make an answer of an index."""
    return Reply(status, body=body, headers={"content-type": kind})


def ask(*lines: Reply | Exception, clock: FakeClock | None = None) -> Mapping[str, str]:
    """Ask an index that answers so for one package."""
    script = Script(*lines)
    with Index("https://index.example/simple/", {}, clock or FakeClock(), script.transport) as index:
        found = index.fetch_pages(["one"])["one"]
    assert set(script.asked) == {"GET /simple/one/"}
    return found


def test_reads_both_forms_of_a_page() -> None:
    """The files are the same from JSON and from HTML; of those without a sha256 nothing is known."""
    files = {"one-1.0-py3-none-any.whl": WHEEL, "one-1.0+local.tar.gz": SDIST}
    assert ask(answer(page(files))) == files
    assert ask(answer(links(files), "text/html; charset=utf-8")) == files
    assert ask(answer(links({"one-1.0%2Blocal.tar.gz": SDIST}), "text/html")) == {"one-1.0+local.tar.gz": SDIST}
    upper = json.dumps({"files": [{"filename": "one", "hashes": {"sha256": WHEEL.upper()}}, {"filename": "two"}, 3]})
    assert ask(answer(upper.encode())) == {"one": WHEEL}


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        ("2026-01-02T03:04:05.678901Z", datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, 0, UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, 0, UTC)),
        ("2026-01-02T03:04:05", None),
        ("2026-01-02", None),
        ("yesterday", None),
        ("99999-01-02T03:04:05Z", None),
        ("2026-01-02T03:04:05Z" * 1000, None),
        ("", None),
        (1_767_323_045, None),
        (None, None),
        ({}, None),
        ([], None),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_reads_when_a_file_was_uploaded(told: object, moment: datetime | None) -> None:
    """A time of upload is one with a zone; of anything else, and on a page of links, none is known."""
    row = {"filename": "one-1.0.zip", "hashes": {"sha256": WHEEL}, "upload-time": told}
    for line, when in (
        (answer(json.dumps({"files": [row]}).encode()), moment),
        (answer(links({"one-1.0.zip": WHEEL}), "text/html"), None),
        (answer(page({"one-1.0.zip": WHEEL})), None),
    ):
        script = Script(line)
        with Index("https://index.example/simple/", {}, FakeClock(), script.transport) as index:
            assert index.fetch_uploads(["one", "one"]) == {"one": {"one-1.0.zip": when}}
            assert index.fetch_pages(["one"]) == {"one": {"one-1.0.zip": WHEEL}}
        assert len(script.requests) == 1  # what is judged and what is written rest on one answer


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_times_at_the_end_of_time_are_ages_too(moment: str) -> None:
    """A time of upload that no clock reaches is very old, or not there yet, and no error."""
    script = Script(
        answer(
            json.dumps(
                {"files": [{"filename": "one-1.0.zip", "hashes": {"sha256": WHEEL}, "upload-time": moment}]}
            ).encode()
        )
    )
    with Index("https://index.example/simple/", {}, FakeClock(), script.transport) as index:
        (age,) = ages_of(index.fetch_uploads(["one"])["one"], START).values()
    assert age is not None
    assert (age > 7) is moment.startswith("0001")


@pytest.mark.parametrize(
    "line",
    [
        answer(b"{", JSON),
        answer(b"[]", JSON),
        answer(b"[" * 100_000, JSON),
        answer(b'{"files": {}}', JSON),
        answer(b'{"files": null}', JSON),
        answer(b"\xff\xfe", JSON),
        answer(b"<html><body>Please sign in</body></html>", "text/html"),
        answer(b"<![junk[<!DOCTYPE", "text/html"),
        answer(page(FILES), "application/json"),
        answer(page(FILES), ""),
        answer(b"", JSON, 401),
        answer(b"", JSON, 403),
        answer(b"", "text/html\r\n::error::x", 204),
        answer(b"", JSON, 404),
        answer(b'{"files": []}', JSON),
    ],
)
def test_nonsense_is_an_error_and_no_finding(line: Reply) -> None:
    """A torn page, a login's, a refusal, or an index that knows nothing at all says nothing about the locks."""
    with pytest.raises(PlatformError) as caught:
        ask(line)
    assert caught.value.exit_code == 12
    assert "index.example" not in str(caught.value)
    assert "\r" not in str(caught.value)


def test_asks_three_times() -> None:
    """An index that is busy is asked again, after a pause; at the third time it is given up."""
    clock = FakeClock()
    busy, lost = Reply(503), httpx.ConnectError("https://user:hunter2@index.example")
    assert ask(busy, lost, answer(page(FILES)), clock=clock) == FILES
    assert clock.pauses == [0.5, 1.0]
    troubles: list[tuple[Reply | Exception, str]] = [
        (lost, "no answer (ConnectError)"),
        (Reply(429), "status 429"),
        (Reply(500), "status 500"),
    ]
    for trouble, told in troubles:
        with pytest.raises(PlatformUnreachable, match=r"the package index on one") as caught:
            ask(trouble, trouble, trouble)
        assert told in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_index_that_drips_or_floods_is_given_up() -> None:
    """A page that takes longer than a minute, or is larger than any, is no answer."""
    clock = FakeClock()

    class Drip(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            while True:
                clock.advance(20)
                yield b"{"

    class Flood(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            while True:
                yield bytes(LARGEST_PAGE // 2)

    for stream in (Drip, Flood):
        transport = httpx.MockTransport(lambda _, kind=stream: httpx.Response(200, stream=kind()))
        with Index("https://index.example", {}, clock, transport) as index, pytest.raises(PlatformUnreachable):
            index.reach()


def test_package_that_the_index_does_not_know_has_no_files() -> None:
    """One package that is unknown among known ones is a finding about that one."""

    def serve(request: httpx.Request) -> httpx.Response:
        known = request.url.path == "/one/"
        return httpx.Response(200 if known else 404, content=page(FILES), headers={"content-type": JSON})

    with Index("https://index.example", {}, FakeClock(), httpx.MockTransport(serve)) as index:
        assert index.fetch_pages(["gone", "one"]) == {"gone": {}, "one": FILES}
        assert index.fetch_pages([]) == {}
        index.reach()


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("file:///srv/simple", {}),
        ("index.example/simple", {}),
        ("https://user:hunter2@index.example:port/simple", {}),
        ("https://index.example/simple", {"PIP_CERT": "/nowhere/ca.pem"}),
        ("https://index.example/simple", {"REQUESTS_CA_BUNDLE": __file__}),
    ],
)
def test_settings_that_cannot_be_are_named(url: str, environment: Mapping[str, str]) -> None:
    """An address that is none, or certificates that cannot be read, end with exit 2 and without the address."""
    with pytest.raises(SlipwayError) as caught, Index(url, environment, FakeClock()) as index:
        index.reach()
    assert isinstance(caught.value, ConfigError)
    assert "hunter2" not in str(caught.value)


def test_a_folder_of_certificates_will_do(tmp_path: Path) -> None:
    """Certificates may be a folder, as pip takes them."""
    with Index("https://index.example", {"PIP_CERT": str(tmp_path)}, FakeClock()):
        pass
