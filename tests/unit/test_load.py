"""The load gate: what is asked of the configuration, how locust's figures are read, and when they are enough."""

import io
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.config import Config, LoadSection, parse
from scripts.console import Console
from scripts.errors import ConfigError, PlatformError, SlipwayError
from scripts.gates.load import as_json, tell, told_of_objectives
from scripts.gates.measuring import find_faults, locust_command
from scripts.gates.objectives import LEAST_REQUESTS, judge_load
from scripts.gates.order import choose_check, plan_order, read_config, secrets_in
from scripts.gates.stats import Endpoint, Stats, percentile_ms, read_stats
from scripts.gates.tables import append_summary, as_markdown, as_text
from scripts.redaction import Redactor
from scripts.rehearsal.blueprint import Blueprint
from scripts.verdict import Check, Sample

ROOT = Path(__file__).resolve().parents[2]
LIMITS = LoadSection(p95_ms=200, error_rate=0.01, least_per_s=50)
ROW: Mapping[str, object] = {
    "name": "/api/items",
    "method": "GET",
    "last_request_timestamp": 1012.0,
    "start_time": 1000.0,
    "num_requests": 4,
    "num_none_requests": 1,
    "num_failures": 2,
    "response_times": {"1": 2, "12": 1},
}
WELL = Sample(0, "ready", "candidate", 1, ok=True)
SICK = Sample(0, "ready", "candidate", 1, ok=False, reason="no answer (ConnectError)")
READY = Check("ready", "/health/ready")


def measured(requests: int = 1000, failures: int = 0, slow: int = 0, window_s: float = 10) -> Stats:
    """Give figures of one endpoint: so many answers in 200 ms, and `slow` of them in 201."""
    times = Counter({200.0: requests - slow, 201.0: slow})
    return Stats(window_s, (Endpoint("GET /", requests, failures, times),))


@pytest.mark.parametrize(
    ("stats", "wrong"),
    [
        (measured(), []),
        (measured(failures=10), []),
        (measured(failures=11), ["error rate: 1.1 %, and at most 1 % was asked for"]),
        (measured(slow=50), []),
        (measured(slow=51), ["p95: 201 ms, and at most 200 ms was asked for"]),
        (measured(window_s=20), []),
        (measured(window_s=20.1), ["throughput: 49.75/s, and at least 50/s was asked for"]),
        (measured(LEAST_REQUESTS, window_s=1), []),
        (measured(LEAST_REQUESTS - 1, window_s=1), ["requests: 99, and at least 100 was asked for"]),
        (measured(failures=1000, slow=1000, window_s=100), ["error rate: 100 %", "p95: 201 ms", "throughput: 10/s"]),
        (Stats(10), ["requests: 0,", "error rate: unknown,", "p95: unknown,", "throughput: 0/s,"]),
        (Stats(10, measured().endpoints, ("the service ended with 7",)), ["the service ended with 7"]),
    ],
)
def test_each_limit_is_kept_up_to_itself(stats: Stats, wrong: list[str]) -> None:
    """A figure at its limit passes, one beyond fails with its reason, and every broken limit is told."""
    judged = judge_load(stats, LIMITS)
    assert len(judged.reasons) == len(wrong)
    assert all(reason.startswith(start) for reason, start in zip(judged.reasons, wrong, strict=True))
    assert judged.verdict.exit_code == (10 if wrong else 0)


@given(
    st.integers(0, LEAST_REQUESTS - 1), st.floats(0.001, 3600), st.floats(0.001, 60_000), st.floats(0.001, 1_000_000)
)
def test_no_evidence_never_passes(requests: int, window_s: float, p95_ms: float, per_s: float) -> None:
    """Too few requests fail, whatever the limits are."""
    limits = LoadSection(p95_ms=p95_ms, least_per_s=per_s, error_rate=0.499)
    assert judge_load(measured(requests, window_s=window_s), limits).verdict.exit_code == 10


@pytest.mark.parametrize(
    ("times", "share", "expected"),
    [
        ({}, 0.95, None),
        ({7.0: 1}, 0.95, 7.0),
        ({1.0: 95, 9.0: 5}, 0.95, 1.0),
        ({1.0: 94, 9.0: 6}, 0.95, 9.0),
        ({9.0: 1, 1.0: 1}, 0.5, 1.0),
        ({100.0: 1, 20.0: 1, 3.0: 1}, 0.5, 20.0),
    ],
)
def test_percentiles(times: dict[float, int], share: float, expected: float | None) -> None:
    """A percentile is the nearest rank, by number and not by spelling; nothing has none."""
    assert percentile_ms(Counter(times), share) == expected


def test_figures_are_read() -> None:
    """Requests, failures and times come from every row, and the window from the first moment to the last answer."""
    later = {**ROW, "method": "POST", "start_time": 1001.0, "last_request_timestamp": 1013.5}
    stats = read_stats(json.dumps([ROW, later]), 10)
    assert (stats.requests, stats.failures, stats.error_rate, stats.window_s) == (8, 4, 0.5, 13.5)
    assert stats.times == Counter({1.0: 4, 12.0: 2})
    assert [row.name for row in stats.endpoints] == ["GET /api/items", "POST /api/items"]


def test_a_stalled_service_has_no_fine_rate() -> None:
    """Answers of the first seconds only are counted over all the time that was asked for."""
    assert read_stats(json.dumps([{**ROW, "last_request_timestamp": 1001.0}]), 10).per_s == 0.4
    assert read_stats("[]", 10) == Stats(10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "3",
        "{}x",
        '{"a": 1}',
        "[3]",
        "[null]",
        "[" * 100_000,
        *(json.dumps([{name: value for name, value in ROW.items() if name != left_out}]) for left_out in ROW),
        *(
            json.dumps([{**ROW, name: value}])
            for name, value in [
                ("num_requests", "4"),
                ("num_requests", True),
                ("num_requests", 4.0),
                ("num_requests", 5),
                ("num_failures", -1),
                ("num_failures", 5),
                ("response_times", [1]),
                ("response_times", {"fast": 3}),
                ("response_times", {"-1": 3}),
                ("response_times", {"nan": 3}),
                ("response_times", {"inf": 3}),
                ("response_times", {"1": None}),
                ("last_request_timestamp", None),
                ("last_request_timestamp", math.nan),
                ("start_time", math.inf),
                ("start_time", "now"),
            ]
        ),
    ],
)
def test_figures_that_make_no_sense_are_none(text: str) -> None:
    """Torn or contradictory figures are an error of the environment, and never a pass."""
    with pytest.raises(PlatformError, match="cannot be read") as caught:
        read_stats(text, 10)
    assert caught.value.exit_code == 12


@pytest.mark.parametrize(
    ("code", "after", "ended", "raised", "expected"),
    [
        (0, WELL, None, False, []),
        (3, WELL, None, False, []),
        (3, WELL, None, True, ["tests/load/locustfile.py raised an exception"]),
        (1, WELL, None, False, ["locust ended with 1"]),
        (0, SICK, None, False, ["after the load /health/ready fails: no answer (ConnectError)"]),
        (0, SICK, 0, False, ["the service ended with 0 under the load"]),
        (2, WELL, -9, True, ["the service ended with -9", "tests/load/locustfile.py raised", "locust ended with 2"]),
    ],
)
def test_what_went_wrong_beside_the_figures(
    code: int, after: Sample, ended: int | None, raised: bool, expected: list[str]
) -> None:
    """A service gone or sick, a locustfile that raised and a locust that broke are faults beside fine figures."""
    found = list(find_faults(code, READY, after, ended, raised=raised))
    assert len(found) == len(expected)
    assert all(fault.startswith(start) for fault, start in zip(found, expected, strict=True))


FRESH = """
version = 1
[release]
targets = ["render", "vercel"]
[render]
url = "https://CHANGE-ME.onrender.com"
[vercel]
url = "https://CHANGE-ME.vercel.app"
[load]
users = 7
[[checks]]
name = "ready"
path = "/health/ready"
"""


def test_the_fresh_template_is_enough(tmp_path: Path) -> None:
    """Where releases go may still be a placeholder, on either platform; the limits and checks are the file's own."""
    path = tmp_path / "slipway.toml"
    path.write_text(FRESH)
    assert read_config(path).load.users == 7
    assert [check.name for check in read_config(path).checks] == ["ready"]


def test_the_file_of_this_repository_is_enough() -> None:
    """As it was shipped and however it was filled in since, the file tells when this service is ready."""
    assert plan_order(ROOT, read_config(ROOT / "slipway.toml"), {}, print).check.path.startswith("/")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read"),
        (b"version =", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"version = 1\nchecks = []\n", "no check is critical"),
        (
            b'version = 1\n[[checks]]\nname = "a"\npath = "/"\n[load]\nuser = 3\n',
            "load.user: unknown key; did you mean",
        ),
        (b'version = 1\nload = 3\n[[checks]]\nname = "a"\npath = "/"\n', "load = 3: input should be"),
    ],
)
def test_any_other_fault_of_the_configuration_is_told(tmp_path: Path, content: bytes | None, expected: str) -> None:
    """What load reads of slipway.toml is validated as everywhere: a fault ends with exit 2, and what it is."""
    path = tmp_path / "slipway.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_config(path)
    assert caught.value.exit_code == 2


def configuration(*checks: dict[str, object]) -> Config:
    """Give a configuration with these checks."""
    return parse({"version": 1, "render": {"url": "http://127.0.0.1:1"}, "checks": list(checks)})


SECRET = {"Authorization": "Bearer ${TOKEN}"}


@pytest.mark.parametrize(
    ("checks", "path", "chosen"),
    [
        ([{"name": "a", "path": "/a"}, {"name": "b", "path": "/b"}], "/h", "/a"),
        ([{"name": "a", "path": "/a", "critical": False}, {"name": "b", "path": "/b"}], "/h", "/b"),
        ([{"name": "a", "path": "/a", "headers": SECRET}, {"name": "b", "path": "/b"}], "/h", "/b"),
        ([{"name": "a", "path": "/a", "headers": {"x-plain": "1"}}], "/h", "/a"),
        ([{"name": "a", "path": "/a", "headers": SECRET}], "/h", "/h"),
        ([{"name": "a", "path": "/a", "headers": SECRET}], "", None),
    ],
)
def test_what_tells_that_the_service_is_ready(checks: list[dict[str, object]], path: str, chosen: str | None) -> None:
    """The first critical check that needs no secret, else Render's own; without either nothing is started."""
    config, blueprint = configuration(*checks), Blueprint("run", health_check_path=path)
    if chosen is None:
        with pytest.raises(ConfigError, match="without a secret"):
            choose_check(config, blueprint)
    else:
        assert choose_check(config, blueprint).path == chosen


def test_a_check_that_waits_long_is_asked_often() -> None:
    """The time-out of the check is cut, so that one that hangs at the start does not use up all the time."""
    asked = choose_check(configuration({"name": "a", "path": "/", "timeout_s": 60}), Blueprint("run"))
    assert asked.timeout_s == 5


@pytest.mark.parametrize(
    "text", [None, "", "services: 3", "services: [{type: web}]", "services:\n- {type: worker}", "{"]
)
def test_a_checkout_without_a_web_service(tmp_path: Path, text: str | None) -> None:
    """Without a render.yaml that starts a web service there is nothing to measure: exit 2."""
    if text is not None:
        (tmp_path / "render.yaml").write_text(text)
    with pytest.raises(SlipwayError, match=r"render\.yaml") as caught:
        plan_order(tmp_path, configuration({"name": "a", "path": "/"}), {}, print)
    assert caught.value.exit_code == 2


def test_what_the_service_is_told_of_this_machine() -> None:
    """It gets its own variables, such as its database's, and nothing of the pipeline, the runner or the machine."""
    ours = dict.fromkeys(
        (
            *("HOME", "RENDER_API_KEY", "VERCEL_TOKEN", "GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "SLIPWAY_TARGETS"),
            *("LOCUST_USERS", "COVERAGE_FILE", "PYTHONPATH", "https_proxy", "HTTP_PROXY"),
        ),
        "ours",
    )
    given_to_it = {"DATABASE_URL": "postgresql://127.0.0.1/app", "HOMEPAGE": "x"}
    order = plan_order(ROOT, configuration({"name": "a", "path": "/"}), {**ours, **given_to_it, "PATH": "/bin"}, print)
    assert {name: value for name, value in order.environment.items() if name != "PATH"} == given_to_it
    assert order.environment["PATH"] == f"{order.programs}:/bin"


def test_what_the_service_repeats_holds_no_secret() -> None:
    """Values whose names say that they are secret, and a URL's password alone, are taken out of every output."""
    environment = {"DATABASE_URL": "postgresql://app:s3cret-word@db/app", "API_TOKEN": "t0ken-word", "LANG": "C.UTF-8"}
    redact = Redactor(secrets_in({**environment, "BAD_URL": "http://[half", "EMPTY_KEY": ""}))
    told = redact(f"refused s3cret-word with t0ken-word at {environment['DATABASE_URL']}, C.UTF-8")
    assert told == "refused [redacted] with [redacted] at [redacted], C.UTF-8"


@pytest.mark.parametrize(
    ("users", "warmup_s", "duration_s", "per_s", "time"),
    [(20, 2, 10, "7", "12s"), (5, 1.0, 3.0, "3", "4s"), (1, 0, 0.5, "1", "1s"), (20, 0, 10, "20", "10s")],
)
def test_the_last_user_starts_at_the_end_of_the_warm_up(
    users: int, warmup_s: float, duration_s: float, per_s: str, time: str
) -> None:
    """Locust starts `per_s` users at second 0, 1, 2 and so on, and counts from the last one on."""
    order = plan_order(ROOT, configuration({"name": "a", "path": "/"}), {}, print)
    load = LoadSection(users=users, warmup_s=warmup_s, duration_s=duration_s)
    words = locust_command(replace(order, load=load), "http://x", Path("stats"))
    asked = dict(pairwise(words))
    assert (asked["--spawn-rate"], asked["--run-time"], asked["--users"]) == (per_s, time, str(users))
    assert math.ceil(users / int(per_s)) - 1 <= warmup_s


def test_the_result_for_tools() -> None:
    """One versioned object: figures, limits, reasons; without figures it is never ok."""
    stats = measured(failures=11)
    told = as_json(stats, LIMITS, judge_load(stats, LIMITS).reasons)
    assert json.loads(json.dumps(told)) == {
        "version": 1,
        "ok": False,
        "figures": {
            "requests": 1000,
            "failures": 11,
            "error_rate": 0.011,
            "per_s": 100.0,
            "window_s": 10,
            "p50_ms": 200.0,
            "p95_ms": 200.0,
            "p99_ms": 200.0,
        },
        "limits": LIMITS.model_dump(),
        "reasons": ["error rate: 1.1 %, and at most 1 % was asked for"],
    }
    assert as_json(measured(), LIMITS, ())["ok"] is True
    assert as_json(None, None, ()) == {"version": 1, "ok": False, "figures": None, "limits": None, "reasons": []}


def test_names_from_the_locustfile_stay_text(tmp_path: Path) -> None:
    """A request's name is neither Markdown nor a workflow command, wherever it is shown."""
    evil = "GET /|<img src=x>\n::error::x\n# [click](http://evil)"
    stats = Stats(10, (Endpoint(evil, 1, 1, Counter({1.0: 1})),), (evil,))
    out, err = io.StringIO(), io.StringIO()
    summary = tmp_path / "summary.md"
    console = Console(actions=True, out=out, err=err)
    told = told_of_objectives(judge_load(stats, LIMITS), stats, LIMITS)
    tell(told, console, {"GITHUB_STEP_SUMMARY": str(summary)}, as_object=False)
    assert not [line for line in out.getvalue().splitlines() if line.lstrip().startswith("::")]
    text = summary.read_text()
    assert "## Load: not kept" in text
    assert not re.search(r"(?<!\\)(<img|\[click)|\n(::|# )", text)


def test_tables() -> None:
    """Columns are as wide as their widest cell, and a Markdown row has every cell; nobody to read: nothing written."""
    rows = [("a", "bb"), ("ccc", "d")]
    assert as_text(rows) == "a    bb\nccc  d"
    assert as_markdown(rows) == "| a | bb |\n|---|---|\n| ccc | d |"
    append_summary({}, "x")
