"""Recorded epochs: what is written is read again, and what is broken names its line."""

import json
from pathlib import Path

import pytest

from scripts.errors import UsageError
from scripts.gates.recorded import Epoch, as_lines, log_ratio, ratios_of, read_epochs

GOOD = '{"epoch": 1, "metric": "throughput", "log_ratio": -0.012}'


def epoch(number: int) -> Epoch:
    """Make an epoch with all four metrics."""
    return Epoch(number, {"throughput": -0.01 * number, "p50": 0.02, "cpu": 0.0, "p95": 0.1}, {})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """A file of epochs gives their log ratios by metric, in the order of the epochs."""
    epochs = [epoch(number) for number in (1, 2, 3)]
    file = tmp_path / "epochs.jsonl"
    file.write_text("".join(map(as_lines, epochs)))
    assert read_epochs(file) == ratios_of(epochs)
    assert json.loads(file.read_text().splitlines()[0]) == {"epoch": 1, "metric": "throughput", "log_ratio": -0.01}


def test_the_order_of_lines_does_not_matter(tmp_path: Path) -> None:
    """Lines may come in any order, with blanks between, further keys and whole numbers."""
    file = tmp_path / "epochs.jsonl"
    second, first = (
        '{"epoch": 2, "metric": "p50", "log_ratio": 1, "by": "me"}',
        '{"epoch":1,"metric":"p50","log_ratio":0}',
    )
    file.write_text(f"{second}\n\n{first}")
    assert read_epochs(file) == {"p50": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds no epoch"),
        ("{", "line 1: no {"),
        (f"{GOOD}\nnull", "line 2: no {"),
        ("[" * 100_000, "line 1: no {"),
        (GOOD.replace("-0.012", '"-0.012"'), "line 1: no {"),
        (GOOD.replace("-0.012", "true"), "line 1: an epoch from 1 on"),
        (GOOD.replace("-0.012", "NaN"), "line 1: an epoch from 1 on"),
        (GOOD.replace("-0.012", "1e999"), "line 1: an epoch from 1 on"),
        (GOOD.replace("-0.012", "20.1"), "line 1: an epoch from 1 on"),
        (GOOD.replace('"epoch": 1', '"epoch": 0'), "line 1: an epoch from 1 on"),
        (GOOD.replace('"epoch": 1', '"epoch": true'), "line 1: an epoch from 1 on"),
        (GOOD.replace('"epoch": 1', '"epoch": 1.5'), "line 1: no {"),
        (GOOD.replace("throughput", "speed"), "'speed' is no metric"),
        (f"{GOOD}\n{GOOD}", "line 2: throughput of epoch 1 stands there twice"),
        (GOOD.replace('"epoch": 1', '"epoch": 2'), "without a gap"),
        (GOOD.replace('"epoch": 1', '"epoch": 99999999999'), "without a gap"),
        (f"{GOOD}\n{GOOD.replace('1,', '2,')}\n{GOOD.replace('throughput', 'p50')}", "epoch 2 has no p50"),
    ],
)
def test_a_broken_file_names_its_line(tmp_path: Path, text: str, expected: str) -> None:
    """What is no epoch ends it with where and why; nothing is judged."""
    file = tmp_path / "epochs.jsonl"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_epochs(file)
    assert expected in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, a folder, and one that is not text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("absent", ".", "binary"):
        with pytest.raises(UsageError, match="cannot be read"):
            read_epochs(tmp_path / name)


def test_nothing_measured_has_no_ratio() -> None:
    """A service that did nothing is not infinitely slow: there is no ratio."""
    assert log_ratio(2.0, 2.0) == 0
    for head, base in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="nothing"):
            log_ratio(head, base)
