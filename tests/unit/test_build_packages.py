"""What may be in a bundle: only files that requirements.txt names by hash. Each way past that is tried here."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from scripts.building.packages import (
    Locked,
    NotComparableError,
    Pin,
    fits,
    judge_packages,
    read_requirements,
    read_uv_lock,
)

ROOT = Path(__file__).resolve().parents[2]
GOOD, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
WHEEL = "tiny-1.0-py3-none-any.whl"
RUNTIME = (Pin("vercel-runtime", "0.1", frozenset({GOOD})),)
LOCK = f"""
version = 1

[[package]]
name = "app"
version = "0.1.0"
source = {{ virtual = "." }}
dependencies = [{{ name = "tiny" }}]

[[package]]
name = "tiny"
version = "1.0"
source = {{ registry = "https://index.example/simple" }}
sdist = {{ url = "https://files.example/tiny-1.0.tar.gz", hash = "{OTHER}" }}
wheels = [
    {{ url = "https://files.example/{WHEEL}", hash = "{GOOD}" }},
    {{ url = "https://files.example/tiny-1.0-cp313-cp313-win_amd64.whl", hash = "{OTHER}" }},
]
"""


def judge(
    *,
    pins: str = f"tiny==1.0 \\\n    --hash={GOOD}\n",
    lock: str = LOCK,
    installed: Mapping[str, str] | None = None,
    python: str = "3.13",
) -> str:
    """Judge and give the reason, after the outcome."""
    found = {"tiny": "1.0", "vercel-runtime": "0.1"} if installed is None else installed
    verdict = judge_packages(read_requirements(pins), read_uv_lock(lock), found, RUNTIME, python)
    return f"{verdict.exit_code}: {verdict.reason}"


def test_a_bundle_of_named_files_passes() -> None:
    """A bundle passes if each file that fits this kind of machine has a hash that requirements.txt names."""
    assert judge() == "0: 2 packages, each by a hash that requirements.txt names"


def test_a_falsified_hash_is_refused() -> None:
    """A file whose hash requirements.txt does not name is refused, with package, version, file and hash."""
    told = judge(pins=f"tiny==1.0 --hash={OTHER}\n")
    assert told == f"10: tiny 1.0: {WHEEL} has {GOOD}, which requirements.txt does not name"


def test_one_named_hash_does_not_cover_another_file() -> None:
    """Each file that could be taken needs a named hash of its own: which one is taken is the builder's choice."""
    better = LOCK.replace("tiny-1.0-cp313-cp313-win_amd64.whl", "tiny-1.0-cp313-cp313-manylinux_2_28_x86_64.whl")
    assert judge(lock=better).startswith("10: tiny 1.0: tiny-1.0-cp313-cp313-manylinux_2_28_x86_64.whl")


def test_another_pin_is_refused() -> None:
    """A version that requirements.txt does not pin is refused, with both versions."""
    assert judge(pins=f"tiny==1.1 --hash={GOOD}\n").startswith(
        "10: tiny 1.0 was installed, and requirements.txt pins 1.1"
    )


def test_an_extra_package_is_refused() -> None:
    """A package that requirements.txt does not name is refused, whatever its hash is."""
    told = judge(pins=f"small==1.0 ; sys_platform == 'win32' --hash={GOOD}\n")
    assert told == "10: tiny 1.0 was installed, and requirements.txt does not name it"


def test_what_no_lock_names_must_not_be_in_the_bundle() -> None:
    """A package on disk that neither lock names is refused."""
    told = judge(installed={"tiny": "1.0", "stowaway": "3"})
    assert told == "10: stowaway 3 is in the bundle, and neither requirements.txt nor the runtime names it"


def test_what_is_on_disk_is_what_was_locked() -> None:
    """A package on disk of another version than the locked one is refused, the builder's runtime included."""
    assert judge(installed={"tiny": "1.1"}) == "10: tiny 1.1 is in the bundle, and 1.0 was locked"
    assert judge(installed={"tiny": "1.0", "vercel-runtime": "9"}).startswith("10: vercel-runtime 9 is in the bundle")


def test_a_package_that_is_missing_is_named() -> None:
    """A package of requirements.txt that is not in the bundle is named."""
    told = judge(pins=f"tiny==1.0 --hash={GOOD}\nsmall==2 --hash={GOOD}\n")
    assert told == "10: small 2 of requirements.txt is not in the bundle"


@pytest.mark.parametrize(
    ("marker", "passes"),
    [
        ("sys_platform == 'win32'", True),
        ("python_version < '3.13'", True),
        ("platform_machine == 'aarch64'", True),
        ("sys_platform == 'linux'", False),
        ("python_version >= '3.13'", False),
    ],
)
def test_a_marker_may_excuse_a_missing_package(marker: str, *, passes: bool) -> None:
    """A package may be missing if its marker says that it is for another system or another Python."""
    told = judge(pins=f"tiny==1.0 --hash={GOOD}\nsmall==2 ; {marker} --hash={GOOD}\n")
    assert told.startswith("0:") == passes


def test_a_file_without_a_hash_is_refused() -> None:
    """A file of which the builder's lock tells no hash cannot be compared, so it does not pass."""
    told = judge(lock=LOCK.replace(f', hash = "{GOOD}"', ""))
    assert told == f"10: tiny 1.0: {WHEEL} has no hash, which requirements.txt does not name"


def test_a_package_built_from_source_is_refused() -> None:
    """Where no wheel fits, something was built here, and what came out has no hash."""
    told = judge(lock=LOCK.replace(WHEEL, "tiny-1.0-cp313-cp313-macosx_11_0_arm64.whl"))
    assert told.startswith("10: tiny 1.0: no wheel in the uv.lock fits Python 3.13 on Linux")


def test_nothing_to_compare_is_no_pass() -> None:
    """An empty lock is no evidence."""
    assert judge(pins="", lock="package = []", installed={}).startswith("10: no package could be compared")


def test_versions_are_compared_and_not_their_spelling() -> None:
    """2026.1.4 and 2026.01.04 are one version, and names differ in case and dashes."""
    verdict = judge_packages(
        read_requirements(f"Tiny_Thing==2026.01.04 --hash={GOOD}"),
        (Locked("tiny-thing", "2026.1.4", {"tiny_thing-2026.1.4-py3-none-any.whl": GOOD}),),
        {"tiny-thing": "2026.1.4"},
        RUNTIME,
        "3.13",
    )
    assert verdict.passed


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("a-1-cp313-cp313-linux_x86_64.whl", True),
        ("a-1-cp39-abi3-manylinux_2_99_x86_64.whl", True),
        ("a-1-1build-py3-none-any.whl", True),
        ("not a wheel", True),
        ("a-1-cp314-cp314-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp314-abi3-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp313-cp313t-manylinux_2_17_x86_64.whl", False),
        ("a-1-cp313-cp313-manylinux_2_17_aarch64.whl", False),
        ("a-1-cp313-cp313-musllinux_1_2_x86_64.whl", False),
        ("a-1-cp313-cp313-win_amd64.whl", False),
        ("a-1-py2-none-any.whl", False),
        ("a-1-pp311-pypy311_pp73-manylinux_2_17_x86_64.whl", False),
    ],
)
def test_which_wheels_could_be_taken(filename: str, *, expected: bool) -> None:
    """A wheel counts if Python 3.13 on Linux x86-64 could install it; in doubt it does."""
    assert fits(filename, "3.13") is expected


@pytest.mark.parametrize(
    "line",
    [
        "tiny==1.0",
        f"tiny>=1.0 --hash={GOOD}",
        f"tiny==1.* --hash={GOOD}",
        f"tiny --hash={GOOD}",
        f"tiny @ https://files.example/tiny.whl --hash={GOOD}",
        "-r other.txt",
        "--index-url https://index.example",
        "./local",
        f"tiny==1.0 --hash=md5:{'1' * 32}",
    ],
)
def test_a_lock_that_pins_nothing_cannot_be_compared(line: str) -> None:
    """Every line of requirements.txt must be one version with a sha256; anything else is refused, and not skipped."""
    with pytest.raises(NotComparableError):
        read_requirements(line)


def test_all_hashes_of_a_line_are_read() -> None:
    """A pin has every hash of its line, however the line is broken, and comments are no pins."""
    text = f"# a\ntiny[extra]==1.0 ; python_version > '3' \\\n    --hash={GOOD} \\\n    --hash={OTHER}\n    # via x\n"
    (pin,) = read_requirements(text)
    assert (pin.name, pin.version, pin.hashes) == ("tiny", "1.0", frozenset({GOOD, OTHER}))


@pytest.mark.parametrize("text", ["", "{", "package = 3", "[[package]]\nname = 'a'", "[[package]]\nsource = 1"])
def test_an_unreadable_uv_lock_cannot_be_compared(text: str) -> None:
    """A uv.lock of another shape is refused."""
    with pytest.raises(NotComparableError):
        read_uv_lock(text)


def test_the_runtime_is_pinned_as_the_cli_wants_it() -> None:
    """The pins beside the CLI name the runtime by hash."""
    (pin,) = read_requirements((ROOT / ".github" / "vercel-cli" / "runtime.txt").read_text())
    assert pin.name == "vercel-runtime"
    assert pin.hashes
