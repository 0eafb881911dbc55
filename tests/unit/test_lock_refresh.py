"""`lock refresh` on a tiny checkout: what is too young waits, what is vulnerable is told, and the locks stay right."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from scripts.errors import PlatformUnreachable
from scripts.gates.lock import check, refresh
from scripts.gates.pins import NOTHING_NEWER, read_pins
from tests.osv import Osv, vulnerability
from tests.package_index import Hashes, PackageIndex
from tests.unit.fakes import START
from tests.unit.locked import NOBODY, PACKAGES, VERSIONS, Checkout, right_checkout

pytestmark = pytest.mark.slow

H11 = VERSIONS["h11"]
ONE, TWO, THREE, FOUR = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)
OLD = {f"{name}=={version}": "2020-01-01T00:00:00Z" for name, version in VERSIONS.items()}
NEWER: Hashes = {**PACKAGES, "h11": {"99.0": {ONE, TWO}, "98.0": {THREE}, **PACKAGES["h11"]}}


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """Make a checkout whose locks are right."""
    with right_checkout(tmp_path) as made:
        yield made


def ago(days: float) -> str:
    """Give the moment that many days ago as PEP 700 writes it."""
    return (START - timedelta(days=days)).isoformat().replace("+00:00", "Z")


def renew(
    checkout: Checkout,
    packages: Hashes,
    uploaded: Mapping[str, str] | None,
    *,
    days: int = 7,
    needs: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Refresh from an index that has these packages; give the exit code and the table. What is written is right."""
    times = None if uploaded is None else {**OLD, **uploaded}
    checkout.out.truncate(0)
    checkout.out.seek(0)
    with PackageIndex(packages=packages, uploaded=times, needs=needs) as checkout.index:
        before = checkout.files()
        code = refresh(checkout.gate, None, days)
        if code:
            assert checkout.files() == before
        else:
            assert check(checkout.gate, resolve=True) == 0, checkout.err.getvalue()
    return code, checkout.out.getvalue()


def pinned(checkout: Checkout) -> dict[str, str]:
    """Give the versions of all locks."""
    return {pin.name: pin.version for path in checkout.root.rglob("*.txt") for pin in read_pins(path.read_text())}


@pytest.mark.parametrize(
    ("uploaded", "days", "taken"),
    [
        ({"h11==99.0": ago(1), "h11==98.0": ago(10)}, 7, "98.0"),
        ({"h11==99.0": ago(7), "h11==98.0": ago(10)}, 7, "99.0"),
        ({"h11==99.0": ago(6.9), "h11==98.0": ago(6.9)}, 7, H11),
        ({"h11==99.0": ago(300), TWO: ago(1), "h11==98.0": ago(10)}, 7, "98.0"),
        ({"h11==98.0": ago(10)}, 7, "98.0"),
        ({"h11==99.0": ago(1), "h11==98.0": ago(10)}, 0, "99.0"),
        (None, 7, H11),
        (None, 0, "99.0"),
    ],
    ids=[
        *("the newest is young", "just old enough", "all are young", "a young wheel on an old release"),
        *("the newest of unknown age", "no cooldown", "an index without times", "without times or cooldown"),
    ],
)
def test_what_is_too_young_waits(checkout: Checkout, uploaded: Mapping[str, str] | None, days: int, taken: str) -> None:
    """The newest version that is old enough is taken, with the rest held back and told; without one the pin stays."""
    code, table = renew(checkout, NEWER, uploaded, days=days)
    assert code == 0
    assert pinned(checkout)["h11"] == taken
    assert ("Held back" in table) is (taken != "99.0")
    known = uploaded is not None and "h11==99.0" in uploaded
    if taken != "99.0":
        age = f"{1 if taken == '98.0' else 6} day" if known else "age unknown"
        assert f"| `h11` | `99.0` | {age}" in table
    assert table.startswith(NOTHING_NEWER) is (taken == H11)
    assert f"`{H11}` → `{taken}`" in table or taken == H11


def test_a_pin_that_is_young_already_stays(checkout: Checkout) -> None:
    """No pin is taken away or lowered for its age."""
    code, table = renew(checkout, NEWER, {f"h11=={H11}": ago(0.1), "h11==98.0": ago(1), "h11==99.0": ago(1)})
    assert (code, pinned(checkout)["h11"]) == (0, H11)
    assert table.startswith(NOTHING_NEWER)


def test_what_fixes_a_vulnerability_does_not_wait(checkout: Checkout) -> None:
    """A young version that an advisory names as the fix of the present pin is taken at once, which the table tells."""
    known = {f"h11=={H11}": [vulnerability("h11", "PYSEC-1", "98.0")], "h11==98.0": [vulnerability("h11", "PYSEC-2")]}
    with Osv(known) as osv:
        checkout.more["PIP_AUDIT_OSV_URL"] = osv.url
        code, table = renew(checkout, NEWER, {"h11==99.0": ago(1), "h11==98.0": ago(2)})
    assert (code, pinned(checkout)["h11"]) == (0, "98.0")
    assert "| `h11` | `99.0` | 1 day old |" in table
    assert "| `h11` | `98.0` | 2 days old, fixes `PYSEC-1` |" in table
    assert "| `h11` | `98.0` | `PYSEC-2` | nothing yet |" in table
    assert "Not audited" not in table
    assert "warn   h11==98.0: PYSEC-2, fixed nowhere yet" in checkout.err.getvalue()


def test_a_clean_audit_and_one_that_was_not_made(checkout: Checkout) -> None:
    """That no vulnerability is known is said only where the service said so; either way what is newer is proposed."""
    with Osv() as osv:
        checkout.more["PIP_AUDIT_OSV_URL"] = osv.url
        code, table = renew(checkout, PACKAGES, {})
        assert (code, table) == (0, f"{NOTHING_NEWER}\nNo known vulnerabilities, says pip-audit.\n")
        assert len(osv.asked) == len(pinned(checkout))
    checkout.more["PIP_AUDIT_OSV_URL"] = NOBODY.replace("//", "//user:hunter2@")
    code, table = renew(checkout, NEWER, {"h11==99.0": ago(9)})
    assert (code, pinned(checkout)["h11"]) == (0, "99.0")
    assert "**Not audited:** " in table
    assert "warn   not audited: " in checkout.err.getvalue()
    assert "hunter2" not in table + checkout.err.getvalue()


def test_a_new_package_that_is_too_young_is_not_pinned(checkout: Checkout) -> None:
    """Where a .in file asks for what only has young releases, nothing is written, and it says how to go on."""
    checkout.replace("requirements.in", "h11\n", "h11\nyoung\n")
    for uploaded in ({"young==1": ago(1), "young==2": ago(2)}, {}):
        code, _ = renew(checkout, {**PACKAGES, "young": {"1": {ONE}, "2": {TWO}}}, uploaded)
        assert code == 10
        assert "refresh --cooldown-days 0" in checkout.err.getvalue().splitlines()[-1]
    code, _ = renew(checkout, {**PACKAGES, "young": {"1": {ONE}, "2": {TWO}}}, {"young==1": ago(9), "young==2": ago(2)})
    assert (code, pinned(checkout)["young"]) == (0, "1")


def test_what_needs_something_young_waits_with_it(checkout: Checkout) -> None:
    """A version that is old enough but needs a package that is too young waits too, and that is told."""
    packages = {**NEWER, "h11": {"99.0": {ONE}, **PACKAGES["h11"]}, "young": {"1": {TWO}}}
    uploaded = {"h11==99.0": ago(9), "young==1": ago(3)}
    code, table = renew(checkout, packages, uploaded, needs={"h11==99.0": "young"})
    assert (code, pinned(checkout)["h11"], "young" in pinned(checkout)) == (0, H11, False)
    assert "| `h11` | `99.0` | 9 days old, needs one that waits |" in table
    assert "| `young` | `1` | 3 days old |" in table


def test_nothing_is_lowered_for_what_waits(checkout: Checkout) -> None:
    """Where the old enough version of one package needs an older one of another, the pins stay as they are."""
    idna = VERSIONS["idna"]
    checkout.replace("requirements.in", "h11\n", "h11\nidna\n")
    assert renew(checkout, PACKAGES, {})[0] == 0
    packages = {
        **PACKAGES,
        "h11": {"99.0": {ONE}, "98.0": {TWO}, **PACKAGES["h11"]},
        "idna": {**PACKAGES["idna"], "0.1": {FOUR}},
    }
    uploaded = {"h11==99.0": ago(1), "h11==98.0": ago(9), "idna==0.1": ago(999)}
    code, _ = renew(checkout, packages, uploaded, needs={"h11==98.0": "idna<1"})
    assert code == 0
    assert (pinned(checkout)["h11"], pinned(checkout)["idna"]) == (H11, idna)


def test_a_pin_that_comes_into_another_lock_brings_its_hashes(checkout: Checkout) -> None:
    """A wheel that was just added to the release of a present pin gets into no lock that takes this pin now."""
    checkout.replace("requirements-dev.in", "iniconfig\n", "iniconfig\nh11\n")
    packages = {**PACKAGES, "h11": {H11: {*PACKAGES["h11"][H11], ONE}}}
    assert renew(checkout, packages, {ONE: ago(1)})[0] == 0
    (pin,) = [pin for pin in read_pins((checkout.root / "requirements-dev.txt").read_text()) if pin.name == "h11"]
    assert pin.hashes == PACKAGES["h11"][H11]


def test_an_index_that_is_lost_between_the_rounds(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index goes while it is resolved anew, that is no word on the locks, and they stay."""
    before = checkout.files()
    with PackageIndex(packages=NEWER, uploaded={**OLD, "h11==99.0": ago(1)}) as checkout.index:
        answer, seen = checkout.index.answer, checkout.index.requests

        def lose(path: str, accept: str) -> tuple[int, str, bytes | Path]:
            return answer(path, accept) if seen.count("/simple/idna/") == 0 and len(seen) < 25 else (500, "", b"")

        monkeypatch.setattr(checkout.index, "answer", lose)
        with pytest.raises(PlatformUnreachable):
            refresh(checkout.gate, None, 7)
    assert checkout.files() == before
