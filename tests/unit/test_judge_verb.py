"""`judge`: recorded samples are judged as a release is; a broken line is named, and nothing is judged then."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from scripts.cli import main
from scripts.errors import PlatformError
from scripts.samples import append_samples, read_samples
from scripts.verdict import BASELINE, CANDIDATE, CURRENT, Sample

Line = Mapping[str, object]


def line(t_s: float, **other: object) -> dict[str, object]:
    """Make a line of a good answer."""
    return {"t_s": t_s, "endpoint": "/api/items", "arm": CANDIDATE, "ms": 12.5, "ok": True, **other}


def written(path: Path, lines: Iterable[Line | str]) -> Path:
    """Write a file of samples."""
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines), "utf-8")
    return path


def watch_of(seconds: int, **other: object) -> list[dict[str, object]]:
    """Make ten answers a second."""
    return [line(number / 10, **other) for number in range(10 * seconds)]


def judge(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Run the verb."""
    code = main(["judge", *map(str, words)], {})
    told = capsys.readouterr()
    return code, told.out, told.err


def test_each_file_has_its_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of several files there is one answer a line, in order, and the exit code is that of the worst."""
    good = written(tmp_path / "good.jsonl", watch_of(60))
    bad = written(tmp_path / "bad.jsonl", watch_of(60, ok=False, reason="status 500"))
    short = written(tmp_path / "short.jsonl", watch_of(5))
    code, out, _ = judge(capsys, good, bad, short, "--json")
    told = [json.loads(each) for each in out.splitlines()]
    assert code == 10
    assert [(row["version"], row["verdict"], row["at_s"]) for row in told] == [
        (1, "pass", 32.0),
        (1, "fail", 4.0),
        (1, "inconclusive", 5.0),
    ]
    assert [set(row) for row in told] == [{"version", "verdict", "at_s", "reason", "streams", "log_e"}] * 3
    assert "most often /api/items: status 500" in told[1]["reason"]
    assert told[2]["reason"].startswith("the samples end after 5 s: ")
    assert told[1]["log_e"] > 6.9
    names = [(row["name"], row["endpoint"]) for row in told[1]["streams"]]
    assert names == [(name, where) for name in ("errors", "latency", "tail") for where in (None, "/api/items")]
    code, out, _ = judge(capsys, good)
    assert (code, out.split()[0]) == (0, "pass")
    assert judge(capsys, short)[0] == 11


def test_no_samples_are_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty file, and one with nothing but a baseline, are inconclusive."""
    empty = written(tmp_path / "empty.jsonl", [])
    before = written(tmp_path / "before.jsonl", [line(-1.0, arm=BASELINE)])
    code, out, _ = judge(capsys, empty, before, "--json")
    assert code == 11
    assert [json.loads(each)["verdict"] for each in out.splitlines()] == ["inconclusive"] * 2


def test_lines_end_where_json_ends_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A separator inside a text does not end a line; what a reason hides is not printed."""
    told = json.dumps(
        {**line(0.0), "note": "a\u2028b\u0085c", "ok": False, "reason": "\x1b[2Jgone\n"}, ensure_ascii=False
    )
    code, out, _ = judge(capsys, written(tmp_path / "odd.jsonl", [told]))
    assert code == 11
    assert "\x1b" not in out
    assert len(out.splitlines()) == 1


def test_seconds_without_an_answer_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Time goes on where nothing is recorded: two minutes with an answer at each end are inconclusive."""
    path = written(tmp_path / "gap.jsonl", [line(0.0), line(150.0)])
    code, out, _ = judge(capsys, path, "--json")
    assert (code, json.loads(out)["at_s"]) == (11, 120.0)


def test_pairs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the current release answers beside the new one, twice as slow is a fail."""
    rows = [line(number / 10 - 20, arm=BASELINE, ms=50 + number % 7) for number in range(200)]
    for number in range(600):
        rows += [
            line(number / 10, ms=100 + number % 7, pair=number),
            line(number / 10, ms=50 + number % 5, arm=CURRENT, pair=number),
        ]
    code, out, _ = judge(capsys, written(tmp_path / "slow.jsonl", rows))
    assert code == 10
    assert "as long as the current release's" in out


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("{", "no JSON object"),
        ("[1]", "no {"),
        ("[" * 100_000, "no JSON object"),
        (line(0.0, ok=1), "no {"),
        (line(0.0, ms="12"), "no {"),
        (line(0.0, ms=True), "no {"),
        (line(0.0, endpoint=""), "an endpoint has a name"),
        (line(0.0, endpoint="\ud800"), "characters that can be printed"),
        (line(0.0, endpoint="a\nb"), "characters that can be printed"),
        (line(0.0, arm="canary"), "'canary' is no arm; there are candidate, current, baseline"),
        ('{"t_s": NaN, "endpoint": "a", "arm": "candidate", "ms": 1, "ok": true}', "t_s within a day"),
        ('{"t_s": 1, "endpoint": "a", "arm": "candidate", "ms": NaN, "ok": true}', "ms from 0 to a day"),
        ('{"t_s": 1e999, "endpoint": "a", "arm": "candidate", "ms": 1, "ok": true}', "t_s within a day"),
        (line(1.0, ms=-1), "ms from 0 to a day"),
        (line(1.0, arm=BASELINE), "t_s is negative for the baseline and for nothing else"),
        (line(-1.0), "t_s is negative for the baseline and for nothing else"),
        (line(1.0, pair="17"), "a pair is a number"),
        (line(1.0, pair=4), "pair 4 has two answers of the candidate"),
        (line(0.5), "time goes backwards, from second 1 to 0"),
    ],
)
def test_a_broken_line_names_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: Line | str, told: str
) -> None:
    """What cannot be judged ends with exit 2, file, line and reason, before any file is judged."""
    good = written(tmp_path / "good.jsonl", watch_of(60))
    path = written(tmp_path / "broken.jsonl", [line(0.5), line(1.5, pair=4), "", broken])
    code, out, err = judge(capsys, good, path)
    assert (code, out) == (2, "")
    assert f"{path}, line 4: " in err
    assert told in err
    assert "Traceback" not in err


def test_a_file_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, a folder and bytes that are no text end with exit 2."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "", "bytes"):
        code, _, err = judge(capsys, tmp_path / name)
        assert (code, "cannot be read" in err) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("--least-s", "0"),
        ("--most-s", "10"),
        ("--least-s", "nan"),
        ("--error-rate", "0"),
        ("--error-rate", "1"),
        ("--error-rate", "1e-320"),
    ],
)
def test_limits_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, str]) -> None:
    """A limit that makes no sense ends with exit 2, and says what is needed."""
    code, _, err = judge(capsys, written(tmp_path / "good.jsonl", watch_of(60)), *words)
    assert (code, "needed is" in err) == (2, True)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """The samples of a release are lines that `judge` takes, secrets left out."""
    rows = [
        Sample(-0.25, "ready", BASELINE, 3.0, ok=True),
        Sample(0.125, "ready", CANDIDATE, 4.5, ok=False, reason="got hush", pair=1),
        Sample(0.125, "ready", CURRENT, 4.5, ok=True, pair=1),
    ]
    append_samples(tmp_path, "render", rows[:1])
    append_samples(tmp_path, "render", rows[1:], lambda text: text.replace("hush", "***"))
    told = read_samples(tmp_path / "samples-render.jsonl")
    assert [(row.t_s, row.arm, row.pair, row.reason) for row in told] == [
        (-0.25, BASELINE, None, ""),
        (0.125, CANDIDATE, 1, "got ***"),
        (0.125, CURRENT, 1, ""),
    ]


def test_samples_that_the_disk_does_not_take_are_an_error(tmp_path: Path) -> None:
    """Where they cannot be written it is said which and what to do, and nobody is shown a traceback."""
    (tmp_path / "samples-render.jsonl").mkdir()
    with pytest.raises(PlatformError, match="could not be written") as caught:
        append_samples(tmp_path, "render", [])
    assert caught.value.exit_code == 12
    assert "free the disk" in caught.value.next_step
