"""Releases that are too young: how old one is, what may be taken, and the limits under which nothing else is."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from scripts.gates.audit import Vulnerability
from scripts.gates.cooldown import (
    Ages,
    Release,
    Rule,
    Waiting,
    ages_of,
    describe_age,
    judge_ages,
    judge_waiting,
    plan_limits,
    read_fixes,
    render_waiting,
    tell_waiting,
    versions_in,
)
from tests.unit.fakes import START


def ages(**days: float | None) -> dict[str, Ages]:
    """Make the ages of one package, `one`, by version, with `_` for the point."""
    return {"one": {Version(text[1:].replace("_", ".")): age for text, age in days.items()}}


def ago(days: float) -> datetime:
    """Give the moment that many days ago."""
    return START - timedelta(days=days)


def test_a_release_is_as_old_as_its_newest_file() -> None:
    """A wheel that is added to an old release makes it young; where one file's time is unknown, so is its age."""
    uploads = {
        "one-1.0.tar.gz": ago(300),
        "one-1.0-py3-none-any.whl": ago(2),
        "one-2.0-py3-none-any.whl": ago(9.5),
        "one-2.0.zip": ago(8),
        "one-3.0.zip": ago(8),
        "one-3.0-py3-none-any.whl": None,
        "one-3.0.tar.gz": ago(30),
        "one-4.0.zip": ago(-1),
        "one-2026.01.04.zip": ago(1),
        "one-5.0.exe": ago(1),
        "nonsense": None,
    }
    assert ages_of(uploads, START) == {
        Version("1.0"): 2,
        Version("2.0"): 8,
        Version("3.0"): None,
        Version("4.0"): -1,
        Version("2026.1.4"): 1,
    }


@pytest.mark.parametrize(
    ("age", "days", "young"),
    [
        (7.0, 7, False),
        (6.999, 7, True),
        (None, 7, True),
        (0.0, 0, False),
        (-1.0, 0, True),
        (-1.0, 7, True),
        (1e9, 10**30, True),
        (3.0, 3, False),
    ],
)
def test_what_is_too_young(age: float | None, days: int, *, young: bool) -> None:
    """A release of exactly the days may be taken; a younger one, one of tomorrow and one of unknown age may not."""
    found = judge_ages(Rule(days), {"one": "1.0"}, ages(v1_0=age))
    assert found == ([Release("one", "1.0", age)] if young else [])


@pytest.mark.parametrize("version", ["2.0", "nonsense", "1.0.post1"])
def test_a_version_that_the_index_does_not_list_is_too_young(version: str) -> None:
    """No evidence is no age: neither for a version without files nor for one that cannot be read."""
    assert judge_ages(Rule(7), {"one": version}, ages(v1_0=100)) == [Release("one", version, None)]
    assert judge_ages(Rule(7), {"two": version}, ages(v1_0=100)) == [Release("two", version, None)]


@pytest.mark.parametrize("age", [0.5, None])
def test_a_pin_that_is_there_never_waits(age: float | None) -> None:
    """A pin that a lock has already stays, however young it is, or whatever its spelling."""
    assert judge_ages(Rule(7, {"one": "1.0"}), {"one": "1.0.0"}, ages(v1_0=age)) == []


def test_a_fix_need_not_wait() -> None:
    """The versions that an advisory names may be taken at once, and none that came after them."""
    fixes = read_fixes([Vulnerability("one", "1.0", ("PYSEC-1", "CVE-1"), ("1.1", "nonsense", "2.0"))])
    rule = Rule(7, {"one": "1.0"}, fixes)
    for version, young in (("1.1", False), ("2.0", False), ("1.1.1", True), ("2.1", True)):
        found = judge_ages(rule, {"one": version}, ages(v1_1=1, v2_0=None, v1_1_1=1, v2_1=1))
        assert bool(found) is young, version
    assert judge_ages(rule, {"two": "1.1"}, {})


def allowed(limits: str, version: str) -> bool:
    """Say whether constraints let a version of `one` through, prereleases too."""
    found = [Requirement(line) for line in limits.splitlines()]
    return all(each.specifier.contains(version, prereleases=True) for each in found if each.name == "one")


def test_limits_bar_the_young_and_keep_the_pin() -> None:
    """Under the limits each old enough version from the pin on can be taken, and none that is young or lower."""
    known = ages(v0_9=900, v1_0=1, v1_1=30, v1_2=None, v2_0rc1=1, v2_0=3)
    limits = plan_limits(Rule(7, {"one": "1.0"}), {"one": "2.0"}, known)
    assert limits == "one>=1.0,!=1.2,!=2.0rc1,!=2.0\n"
    assert [each for each in ("0.9", "1.0", "1.1", "1.2", "2.0rc1", "2.0") if allowed(limits, each)] == ["1.0", "1.1"]


def test_where_no_time_is_known_only_the_pin_is_left() -> None:
    """Of a package whose index tells no times every other version is barred."""
    limits = plan_limits(Rule(7, {"one": "1.0"}), {"one": "2.0"}, ages(v0_9=None, v1_0=None, v1_1=None, v2_0=None))
    assert [each for each in ("0.9", "1.0", "1.1", "2.0") if allowed(limits, each)] == ["1.0"]


def test_what_is_new_has_no_lower_limit_and_what_goes_down_may() -> None:
    """A package without a pin may be any old version; one that another lowers anyway may be lowered, to an old one."""
    known = ages(v0_8=900, v0_9=1, v1_0=1)
    assert plan_limits(Rule(7), {"one": "1.0"}, known) == "one!=0.9,!=1.0\n"
    assert plan_limits(Rule(7, {"one": "1.0"}), {"one": "0.9"}, known) == "one!=0.9\n"
    assert plan_limits(Rule(7, {"one": "1.0"}), {}, known) == "one>=1.0\n"
    assert plan_limits(Rule(7, {"one": "1.0+local"}), {"one": "1.0"}, {"one": {}}) == ""
    assert plan_limits(Rule(7, {"one": "1.0+local"}), {"one": "2.0"}, {"one": {}}) == "one>=1.0\n"
    assert plan_limits(Rule(7), {"one": "2.0"}, ages(v1_0=8)) == ""


VERSIONS = st.sampled_from(["0.1", "1.0", "1.0.0", "1.1rc1", "1.1", "2.0.dev1", "2!0.1"])


@given(
    st.dictionaries((VERSIONS | st.just("1.0+x")).map(Version), st.none() | st.integers(-1, 20).map(float)),
    VERSIONS,
    VERSIONS,
    st.integers(0, 9),
)
def test_limits_let_through_just_what_may_be_taken(known: Ages, present: str, free: str, days: int) -> None:
    """Whatever is known of a package, what passes the limits passes the judge, and the present pin passes both."""
    rule = Rule(days, {"one": present})
    limits = plan_limits(rule, {"one": free}, {"one": known})
    for version in known:
        if allowed(limits, str(version)):
            assert judge_ages(rule, {"one": str(version)}, {"one": known}) == []
    assert allowed(limits, present) or Version(free) < Version(present)


def test_what_waits_is_told() -> None:
    """Told are: what was not taken for its age, what waits for another, and what was taken early; not what is there."""
    rule = Rule(7, {"one": "1.0", "two": "1.0", "six": "1.0"}, {"six": {Version("1.1"): ("PYSEC-1",)}})
    free = {"one": "2.0", "two": "1.5", "three": "1.0", "six": "1.1"}
    taken = {"one": "1.0", "two": "1.0", "three": "1.0", "six": "1.1"}
    known: Mapping[str, Ages] = {
        "one": {Version("2.0"): 3.9, Version("1.0"): 1},
        "two": {Version("1.5"): 30},
        "three": {Version("1.0"): 9},
        "six": {Version("1.1"): None},
    }
    assert judge_waiting(rule, free, taken, known) == Waiting(
        (Release("one", "2.0", 3.9), Release("two", "1.5", 30, waits_for_another=True)),
        (Release("six", "1.1", None, ("PYSEC-1",)),),
    )


def test_as_markdown() -> None:
    """What waits and what did not are tables of their own; where nothing is young there is none."""
    held = (Release("one", "2.0", 1.2), Release("two", "1.5", None), Release("three", "3", 0.4), Release("x", "1", -2))
    early = (Release("six", "1.1", 2, ("PYSEC-1", "PYSEC-2")),)
    assert render_waiting(Waiting(), 7) == ""
    assert render_waiting(Waiting(held, early), 7).splitlines() == [
        "Held back, since a release waits 7 days:",
        "",
        "| package | version | age |",
        "|---|---|---|",
        "| `one` | `2.0` | 1 day old |",
        "| `two` | `1.5` | age unknown |",
        "| `three` | `3` | 0 days old |",
        "| `x` | `1` | 0 days old |",
        "",
        "Taken before their 7 days, since they fix a known vulnerability:",
        "",
        "| package | version | age |",
        "|---|---|---|",
        "| `six` | `1.1` | 2 days old, fixes `PYSEC-1`, `PYSEC-2` |",
    ]
    assert list(tell_waiting(Waiting(held, early))) == [
        "the index does not tell the age of what is newer of two: these wait"
    ]
    assert list(tell_waiting(Waiting(held[:1], early))) == []
    assert describe_age(Release("two", "1.5", 30, waits_for_another=True)) == "30 days old, needs one that waits"


@given(st.text(), st.text(), st.text())
def test_table_cannot_be_broken(name: str, version: str, identity: str) -> None:
    """Whatever an index or an advisory says, it is code in its cell."""
    row = render_waiting(Waiting(early=(Release(name, version, 1, (identity,)),)), 1).splitlines()[-1]
    cell = r"`[A-Za-z0-9._!+/?-]*`"
    assert re.fullmatch(rf"\| {cell} \| {cell} \| 1 day old, fixes {cell} \|", row)


def test_versions_of_all_locks_together() -> None:
    """The versions are those of all locks, a package once."""
    assert versions_in({"a": "one==1.0\ntwo==2.0\n", "b": "One==1.0\n"}) == {"one": "1.0", "two": "2.0"}
