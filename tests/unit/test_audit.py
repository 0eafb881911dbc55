"""Known vulnerabilities: what pip-audit says is read strictly, and an audit that was not made says so."""

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.gates import audit as module
from scripts.gates.audit import UNREACHED, Audit, Vulnerability, audit, read_report, render_audit, tell
from scripts.gates.pins import Pin
from tests.osv import Osv, vulnerability
from tests.unit.locked import NOBODY

A = "a" * 64
ONE, TWO = Pin("one", "1.0", frozenset({A})), Pin("two", "2.0", frozenset({A}), 'sys_platform == "nowhere"')
ASKED = [("one", "1.0"), ("two", "2.0")]
WELL: list[dict[str, object]] = [
    {"name": "one", "version": "1.0", "vulns": []},
    {"name": "two", "version": "2.0", "vulns": []},
]
VULN: dict[str, object] = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": ["GHSA-x", "CVE-2026-1"]}
ILL: list[dict[str, object]] = [{"name": "One", "version": "1.0.0", "vulns": [VULN]}, WELL[1]]
FOUND = (Vulnerability("one", "1.0.0", ("PYSEC-1", "CVE-2026-1"), ("1.1",)),)


def report(rows: object) -> bytes:
    """Make a report of pip-audit."""
    return json.dumps({"dependencies": rows, "fixes": []}).encode()


def test_reads_what_is_known() -> None:
    """A vulnerability is read with its id, its CVEs and what fixes it; that there are none needs every pin's answer."""
    assert read_report(report(WELL), ASKED, found_any=False) == Audit()
    told = read_report(report([{**ILL[0], "version": "1.0"}, ILL[1]]), ASKED, found_any=True)
    assert told == Audit((Vulnerability("one", "1.0", ("PYSEC-1", "CVE-2026-1"), ("1.1",)),))
    assert read_report(report([]), [], found_any=False) == Audit()


@pytest.mark.parametrize(
    ("rows", "found_any", "told"),
    [
        (WELL[:1], False, "1 of 2 packages: two"),
        ([], False, "2 of 2 packages: one, two"),
        ([WELL[0], {"name": "two", "skip_reason": "not found"}], False, "1 of 2 packages: two"),
        ([{"name": each, "skip_reason": "x"} for each in ("one", "two")], False, "2 of 2 packages: one, two"),
        ([*WELL, WELL[0]], False, "is not of these pins"),
        ([WELL[0], {**WELL[1], "version": "2.1"}], False, "is not of these pins"),
        ([*WELL, {"name": "three", "version": "3", "vulns": []}], False, "is not of these pins"),
        (WELL, True, "not how it ended"),
        ([{**ILL[0], "version": "1.0"}, ILL[1]], False, "not how it ended"),
    ],
)
def test_an_audit_that_is_not_whole_says_so(rows: object, *, found_any: bool, told: str) -> None:
    """A pin that was skipped, left out or never asked for, or an exit code that says otherwise, is no clean audit."""
    audited = read_report(report(rows), ASKED, found_any=found_any)
    assert told in audited.trouble
    assert "No known" not in render_audit(audited)


NO_LIST: list[object] = [None, {}, "x", [None], [{}], [[]]]
NO_ROW: list[object] = [None, 3, [], {}, {"name": 3}, {"name": ""}, {"name": "one"}]
NO_VERSION: list[object] = [None, 1.0, "", ["1.0"]]
NO_VULNERABILITY: list[dict[str, object]] = [{"id": 3}, {"id": ""}, {"fix_versions": None}, {"aliases": [None]}]
TORN = [
    *(b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"dependencies": {}}', b'{"dependencies": null}', b"{}"),
    *(report([row]) for row in NO_ROW),
    *(report([{"name": "one", "version": version, "vulns": []}]) for version in NO_VERSION),
    *(report([{"name": "one", "version": "1.0", "vulns": vulns}]) for vulns in NO_LIST),
    *(report([{"name": "one", "version": "1.0", "vulns": [{**VULN, **wrong}]}]) for wrong in NO_VULNERABILITY),
]


@pytest.mark.parametrize("torn", TORN, ids=lambda value: f"{value!r:.60}")
def test_torn_report_is_no_audit(torn: bytes) -> None:
    """What is cut off or of the wrong kind is told as such, and never taken for an audit that found nothing."""
    for found_any in (True, False):
        assert read_report(torn, ASKED, found_any=found_any) == Audit(trouble="what pip-audit wrote is no report")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*VULN, *WELL[0]]), inner, max_size=4),
    max_leaves=8,
)


@given(JSON, st.booleans())
def test_any_json_is_read_without_an_error(rows: object, found_any: bool) -> None:
    """Whatever JSON there is, it is an audit or it says why not."""
    assert read_report(report(rows), ASKED, found_any=found_any).trouble


def test_asks_for_each_pin_once() -> None:
    """Each pin is asked for, one for another machine too; what is known of it comes back, and nothing is installed."""
    known = {"two==2.0": [vulnerability("two", "PYSEC-1", "2.1", "1.9", aliases=["CVE-2026-1"])]}
    with Osv(known) as osv:
        told = audit([ONE, TWO, ONE], {"PIP_AUDIT_OSV_URL": osv.url, "PATH": os.environ["PATH"]})
    assert told == Audit((Vulnerability("two", "2.0", ("PYSEC-1", "CVE-2026-1"), ("1.9", "2.1")),))
    assert sorted(osv.asked) == ["one==1.0", "two==2.0"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({}, Audit()),
        ({"one==1.0": [vulnerability("one", "GHSA-1")]}, Audit((Vulnerability("one", "1.0", ("GHSA-1",)),))),
        ({"one==1.1": [vulnerability("one", "GHSA-1")]}, Audit()),
        ({"one==1.0": [{**vulnerability("one", "X"), "withdrawn": "2026-01-01T00:00:00Z"}]}, Audit()),
    ],
)
def test_what_the_service_knows(known: Mapping[str, list[dict[str, object]]], told: Audit) -> None:
    """What is known of the very versions is found, what was withdrawn is not."""
    with Osv(known) as osv:
        assert audit([ONE, TWO], {"PIP_AUDIT_OSV_URL": osv.url}) == told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (404, b"{}"), (403, b"<html>"), (200, b"{"), (200, b""), (200, b"[3]"), (200, b'{"vulns": [{}]}')],
)
def test_service_that_is_down_or_talks_nonsense(status: int, body: bytes) -> None:
    """A refusal, a fault or a torn answer of the service is an audit that was not made."""
    with Osv(status=status, body=body) as osv:
        told = audit([ONE], {"PIP_AUDIT_OSV_URL": osv.url})
    assert told.trouble.startswith("pip-audit ended with 1: ")
    assert not told.found


@pytest.mark.slow
def test_service_that_cannot_be_reached() -> None:
    """Offline, the audit says that it was not made."""
    told = audit([ONE], {"PIP_AUDIT_OSV_URL": NOBODY})
    assert told.trouble.startswith(f"{UNREACHED}: ")
    assert "**Not audited:**" in render_audit(told)


@pytest.mark.slow
def test_service_that_is_silent_is_not_waited_for() -> None:
    """A service that never answers is given up at the limit."""
    with Osv() as osv:
        osv.silent = True
        assert audit([ONE], {"PIP_AUDIT_OSV_URL": osv.url}, limit_s=1.5) == Audit(trouble="no end within 2 s")


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (None, "pip-audit cannot be started: No such file or directory"),
        ("echo '{'; exit 0", "what pip-audit wrote is no report"),
        ("exit 0", "pip-audit ended with 0: it said nothing"),
        ("echo '{\"dependencies\": []}'; echo why >&2; exit 2", "pip-audit ended with 2: why"),
        ("printf 'why\\n::error::x\\033[31m\\n\\n' >&2; exit 1", "pip-audit ended with 1: ::error::x [31m"),
        ("echo 'requests.exceptions.ReadTimeout: x' >&2; exit 1", f"{UNREACHED}: requests.exceptions.ReadTimeout: x"),
        ("echo 'Could not connect to OSV' >&2; exit 1", f"{UNREACHED}: Could not connect to OSV"),
        ("kill -9 $$", "pip-audit ended with -9: it said nothing"),
        ("exec sleep 60", "no end within 0 s"),
    ],
)
def test_auditor_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, told: str) -> None:
    """Whatever becomes of pip-audit itself, the audit was not made, and why is one line."""
    auditor = tmp_path / "pip-audit"
    monkeypatch.setattr(module, "AUDITOR", auditor)
    if script is not None:
        auditor.write_text(f"#!/bin/sh\n{script}\n")
        auditor.chmod(stat.S_IRWXU)
    limit_s = 0.2 if script == "exec sleep 60" else 20
    assert audit([ONE], {"PATH": os.environ["PATH"]}, limit_s) == Audit(trouble=told)


def test_sees_nothing_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip-audit gets the service and the way to it, none of the machine's settings, and writes into no home."""
    auditor, seen = tmp_path / "pip-audit", tmp_path / "seen"
    auditor.write_text(f"#!/bin/sh\nenv > {seen}\necho $@ >> {seen}\n")
    auditor.chmod(stat.S_IRWXU)
    monkeypatch.setattr(module, "AUDITOR", auditor)
    given = {"PIP_AUDIT_FORMAT": "columns", "PIP_CONFIG_FILE": "/x", "HOME": "/x", "TOKEN": "hunter2", "PIP_CERT": "/c"}
    audit([ONE], {**given, "PATH": "/bin:/usr/bin", "PIP_AUDIT_OSV_URL": "http://osv.example"})
    told = seen.read_text()
    assert "PIP_AUDIT_OSV_URL=http://osv.example\n" in told
    assert "REQUESTS_CA_BUNDLE=/c\n" in told
    assert f"PIP_CONFIG_FILE={os.devnull}\n" in told
    assert "--disable-pip --require-hashes" in told
    for mark in ("PIP_AUDIT_FORMAT", "hunter2", "HOME=/x"):
        assert mark not in told


@given(st.text(), st.text(), st.text(), st.text())
def test_table_cannot_be_broken(name: str, version: str, identity: str, trouble: str) -> None:
    """Whatever a service calls a vulnerability, it is code in a cell, and trouble is one line of text."""
    told = render_audit(Audit((Vulnerability(name, version, (identity,), (version,)),), f"x{trouble}"))
    first, _, *_, row = told.rstrip("\n").split("\n")
    assert first.startswith("**Not audited:** x")
    cell = r"`[A-Za-z0-9._!+/?-]*`"
    assert re.fullmatch(rf"\| {cell} \| {cell} \| {cell} \| {cell} \|", row)


def test_what_a_person_is_told() -> None:
    """Each vulnerability is a line with what fixes it, and so is an audit that was not made; a clean one is silent."""
    found = (*FOUND, Vulnerability("two", "2.0", ("GHSA-1\n::error::",)))
    assert list(tell(Audit(found, "offline"))) == [
        "not audited: offline",
        "one==1.0.0: PYSEC-1, CVE-2026-1, fixed in 1.1",
        "two==2.0: GHSA-1 ::error::, fixed nowhere yet",
    ]
    assert list(tell(Audit())) == []
    assert render_audit(Audit()) == "No known vulnerabilities, says pip-audit.\n"
    assert render_audit(Audit(found)).splitlines()[-1] == "| `two` | `2.0` | `GHSA-1???error??` | nothing yet |"
