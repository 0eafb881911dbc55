"""The load gate on real services with a real locust: it measures, it is red where it must be, and leaves nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import tomli_w

from scripts.arguments import build_parser
from scripts.errors import ConfigError, PlatformError
from scripts.gates.load import run
from scripts.gates.measuring import measure
from scripts.gates.objectives import judge_load
from scripts.gates.order import Order, plan_order, read_config

pytestmark = pytest.mark.measures
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 20.0

SERVICE = """
import asyncio, itertools, os, sys
numbers = itertools.count()
async def app(scope, receive, send):
    if scope["type"] == "http":
        number, status = next(numbers), 200
        FAULT
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"19")]})
        await send({"type": "http.response.body", "body": b'{"status": "ready"}'})
"""

USERS = """
from locust import FastHttpUser, constant, task
class Reader(FastHttpUser):
    wait_time = constant(0.01)
    @task
    def read(self):
        self.client.get("/api/items?limit=5", name="/api/items")
"""


FRESH = """
version = 1
[render]
url = "https://CHANGE-ME.onrender.com"
[[checks]]
name = "ready"
path = "/health/ready"
"""

START = "exec uvicorn service:app --host $HOST --port $PORT --no-access-log"
type Load = Mapping[str, float]

SHORT: Load = {"users": 5, "duration_s": 1, "warmup_s": 0, "p95_ms": 200}


def checkout(folder: Path, fault: str = "pass", users: str = USERS, start: str = START, load: Load = SHORT) -> Path:
    """Make a repository of a service with one fault, users of it, and a slipway.toml that still names no URL."""
    written = {
        "service.py": SERVICE.replace("FAULT", fault),
        "render.yaml": f"services:\n- type: web\n  startCommand: '{start}'\n",
        "slipway.toml": with_load(tomllib.loads(FRESH), {**SHORT, **load}),
        "tests/load/locustfile.py": users,
    }
    for name, content in written.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def with_load(table: Mapping[str, object], load: Load) -> str:
    """Give the text of a slipway.toml with a section for the load, whether or not it had one."""
    return tomli_w.dumps({**table, "load": load})


def order_for(root: Path, say: Callable[[str], None] = print) -> Order:
    """Give what `load` would measure there."""
    return plan_order(root, read_config(root / "slipway.toml"), {"PATH": os.environ["PATH"]}, say)


def still_running(root: Path) -> list[str]:
    """Name the processes that run in a folder or have it on their command line, which `ps` tells everywhere."""
    told = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in told.splitlines() if str(root) in line or _works_in(line.split()[0], root)]


def _works_in(pid: str, root: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink().is_relative_to(root) and int(pid) != os.getpid()
    except OSError:  # gone meanwhile, somebody else's, or no Linux
        return False


def test_this_service_bears_its_users(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This repository's service and users pass with its own checks, whether or not its URL is filled in."""
    monkeypatch.chdir(ROOT)
    config, summary = tmp_path / "slipway.toml", tmp_path / "summary.md"
    config.write_text(
        with_load(
            tomllib.loads((ROOT / "slipway.toml").read_text()), {**SHORT, "users": 80, "duration_s": 2, "p95_ms": 5000}
        )
    )
    environment = {"PATH": os.environ["PATH"], "GITHUB_STEP_SUMMARY": str(summary)}
    code = run(build_parser().parse_args(["load", "--json", "--config", str(config)]), environment)
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (code, told["ok"], told["reasons"]) == (0, True, []), err
    assert told["figures"]["requests"] >= 100
    assert told["limits"]["users"] == 80
    assert "ok     load: requests" in err
    assert "| GET /api/items/{id} |" in summary.read_text()


SICK = "status = 503; print('no database', flush=True)"


@pytest.mark.parametrize(
    ("start", "limit_s", "expected"),
    [
        ("echo waiting; exec sleep 60", 0.4, "no answer.*waiting"),
        pytest.param(START, 4, "expected status 200, got 503.*no database", marks=pytest.mark.slow),
    ],
)
def test_a_service_that_is_never_ready(tmp_path: Path, start: str, limit_s: float, expected: str) -> None:
    """No load is put on a service whose check fails: exit 12, with the check and the service's last words."""
    order = order_for(checkout(tmp_path, SICK, start=start))
    with pytest.raises(PlatformError, match=f"(?s)not ready within {limit_s:g} s: /health/ready: {expected}") as caught:
        asyncio.run(measure(replace(order, ready_limit_s=limit_s)))
    assert caught.value.exit_code == 12
    assert still_running(tmp_path) == []


def test_a_service_that_ends_at_its_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told at once with the service's last words, in the annotation, the summary and the result for tools too."""
    checkout(tmp_path, start="echo ::warning::no settings; echo s3cret-word; exit 7")
    monkeypatch.chdir(tmp_path)
    summary = tmp_path / "summary.md"
    environment = {
        "PATH": os.environ["PATH"],
        "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(summary),
        "API_TOKEN": "s3cret-word",
    }
    code = run(build_parser().parse_args(["load", "--json"]), environment)
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (code, told["ok"], told["figures"], told["limits"]["users"]) == (12, False, None, 5)
    assert "ended with 7 before it was ready" in told["reasons"][0]
    assert "::error title=slipway::the service ended with 7" in err
    assert not [line for line in err.splitlines() if line.startswith("::warning")]
    assert "Load: not measured" in summary.read_text()
    assert "s3cret-word" not in out + err + summary.read_text()


@pytest.mark.parametrize("missing", ["locust", "locustfile.py"])
def test_without_locust_or_users_nothing_is_started(tmp_path: Path, missing: str) -> None:
    """What is missing is named, before any process is started: exit 2."""
    order = order_for(checkout(tmp_path, start="touch started"))
    if missing == "locust":
        order = replace(order, programs=tmp_path)
    else:
        (tmp_path / "tests" / "load" / missing).unlink()
    with pytest.raises(ConfigError, match=f"{missing} is not there") as caught:
        asyncio.run(measure(order))
    assert caught.value.exit_code == 2
    assert not (tmp_path / "started").exists()


BREAKS = USERS.replace("self.client", "{}[self].client")
BREAKS_LATE = f"{USERS}        if self.environment.stats.num_requests > 200: raise KeyError\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "users", "load", "expected"),
    [
        ("pass", USERS, {}, []),
        ("status = 500 if number % 10 == 9 else 200", USERS, {}, ["error rate: "]),
        ("await asyncio.sleep(0.3 if number > 9 else 0)", USERS, {"least_per_s": 1}, ["requests: ", "p95: 3"]),
        ("if number == 50: os._exit(7)", USERS, {}, ["the service ended with 7 under the load", "error rate: "]),
        ("if number > 200: await asyncio.sleep(60)", USERS, {}, ["after the load /health/ready fails: no answer"]),
        ("pass", USERS.replace("0.01", "1"), {}, ["requests: ", "throughput: "]),
        ("pass", BREAKS, {}, ["tests/load/locustfile.py raised", "requests: 0,"]),
        ("pass", BREAKS_LATE, {}, ["tests/load/locustfile.py raised"]),
    ],
)
def test_what_the_gate_must_see(tmp_path: Path, fault: str, users: str, load: Load, expected: list[str]) -> None:
    """Errors, slowness, a death, a stall, too few requests and users that break are each red, and named."""
    order = order_for(checkout(tmp_path, fault, users, load=load))
    judged = judge_load(asyncio.run(measure(order)), order.load)
    assert still_running(tmp_path) == []
    assert judged.verdict.exit_code == (10 if expected else 0), judged.reasons
    for start in expected:
        assert [reason for reason in judged.reasons if reason.startswith(start)], judged.reasons


@pytest.mark.slow
@pytest.mark.parametrize("users", ["import nothing_of_that_name\n", "def f(:\n", "x = 1\n", "raise SystemExit(0)\n"])
def test_a_locustfile_that_cannot_be_loaded(tmp_path: Path, users: str) -> None:
    """It is told with locust's last words: exit 2, and nothing is left."""
    with pytest.raises(ConfigError, match="measured nothing") as caught:
        asyncio.run(measure(order_for(checkout(tmp_path, users=users))))
    assert caught.value.exit_code == 2
    assert caught.value.next_step == "mend tests/load/locustfile.py"
    assert still_running(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["starting", "under load"])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    """A signal, also one that comes twice, ends locust and the service: exit 130, without a traceback."""
    fault = "status = 503" if moment == "starting" else "pass"
    root = checkout(tmp_path, fault, load={"duration_s": 600})
    with subprocess.Popen(
        [sys.executable, str(ROOT / "scripts"), "load"], cwd=root, stderr=subprocess.PIPE, text=True
    ) as running:
        wanted = "uvicorn" if moment == "starting" else "bin/locust"
        wait_for(lambda: any(wanted in line for line in still_running(root)))
        running.send_signal(number)
        running.send_signal(number)
        _, told = running.communicate(timeout=LIMIT_S)
    assert (running.returncode, "Traceback" in told) == (130, False), told
    assert still_running(root) == []


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
