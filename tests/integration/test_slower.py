"""Whether a change makes a service slower, on real commits, real services and locust's real users.

`SLIPWAY_REPEAT=10 python3 -m scripts test --all -- tests/integration/test_slower.py` plays what is slow ten times.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil
import pytest

from scripts.arguments import build_parser
from scripts.errors import ConfigError, PlatformError, UsageError
from scripts.gates import calibrating, versus
from scripts.gates.cpu import cpu_seconds
from scripts.gates.load import run
from scripts.gates.recorded import Run
from scripts.gates.sides import Left, Versus, plan_versus
from scripts.gates.slower import Finding
from scripts.gates.versus import compare, verdict_of
from scripts.rehearsal.clone import ENTRY
from scripts.release import Sha
from scripts.verdict import Outcome
from tests.integration.test_load import SERVICE, USERS, checkout, order_for, still_running

pytestmark = pytest.mark.measures
ROOT = Path(__file__).resolve().parents[2]
TIMES = range(int(os.environ.get("SLIPWAY_REPEAT", "1")))
AT_MOST_S = 100.0  # of measuring

# A layer around the service, in which a request takes longer: it waits, as for a database, or it computes.
LAYER = """

class _Layer:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http" and not scope["path"].startswith("/health"):
            WORK
        await self.app(scope, receive, send)


app = _Layer(app)
"""
WAIT_MS = 40
WAITS = "import asyncio; await asyncio.sleep({ms} / 1000)"
COMPUTES = "import time; end = time.thread_time() + {ms} / 1000\n            while time.thread_time() < end: pass"


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, as somebody."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


def commit(folder: Path, changes: dict[str, str]) -> str:
    """Commit files, and give the commit."""
    for name, content in changes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "add", "-A")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "change")
    return git(folder, "rev-parse", "HEAD").strip()


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Give a repository of a tiny service and its users, with one commit; at the end nothing of it runs."""
    folder = tmp_path / "repository"
    folder.mkdir()
    checkout(folder)
    git(folder, "init", "--quiet", "-b", "main")
    commit(folder, {})
    yield folder
    assert still_running(folder) == []


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Path]:
    """Give a clone of this repository; at the end nothing of it runs."""
    folder = tmp_path / "repository"
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)], check=True)
    yield folder
    assert still_running(folder) == []


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a comparison end after its first epoch, undecided."""
    monkeypatch.setattr(versus, "LONGEST_S", 0.5)


@pytest.fixture(scope="session")
def computing_ms(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Measure how much CPU time a request takes where the layer computes for half a millisecond."""
    folder = tmp_path_factory.mktemp("computing") / "repository"
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder)], check=True)
    with_layer(folder, COMPUTES.format(ms=0.5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versus, "LONGEST_S", 10.0)
        found = compared(folder, "HEAD")
    assert isinstance(found, Run), found
    return median(epoch.sides["base"].cpu_ms for epoch in found.epochs)


def compared(folder: Path, against: str = "HEAD~1", users: int | None = None) -> Run | Left:
    """Compare HEAD with another commit."""
    said: list[str] = []

    async def work() -> Run | Left:
        order = order_for(folder, said.append)
        return await compare(order, await plan_versus(folder, against, users, 1, folder.parent / "out"))

    return asyncio.run(work())


def with_layer(folder: Path, work: str) -> str:
    """Commit the service with a layer around it."""
    source = (folder / ENTRY).read_text().partition("\n\nclass _Layer")[0].rstrip() + "\n"
    return commit(folder, {str(ENTRY): source + LAYER.replace("WORK", work)})


def findings(found: Run | Left) -> dict[str, Finding]:
    """Give what was found of each metric, and tell the run to whoever repeats it."""
    assert isinstance(found, Run), found
    told = ", ".join(map(str, found.comparison.measured))
    outcome = verdict_of(found).outcome
    sys.stderr.write(f"\n{outcome}: {len(found.epochs)} epochs, {found.measured_s:.1f} s: {told} {found.faults}\n")
    return {row.metric.name: row.finding for row in found.comparison.measured}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("nth", TIMES)
def test_identical_code_is_no_alarm(service: Path, nth: int) -> None:
    """The same service twice: no alarm."""
    commit(service, {"NOTES": f"{nth}"})
    found = compared(service)
    assert Finding.SLOWER not in findings(found).values()
    assert isinstance(found, Run)
    assert verdict_of(found).outcome is Outcome.PASS


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("nth", TIMES)
def test_a_tenth_slower_is_found(service: Path, nth: int) -> None:
    """A service that waits a tenth longer is slower, and it is seen within the time that is promised.

    It waits so long that the users do not saturate it: where they do, a longer wait costs them nothing.
    """
    with_layer(service, WAITS.format(ms=WAIT_MS))
    with_layer(service, WAITS.format(ms=WAIT_MS * 1.1))
    found = compared(service)
    told = findings(found)
    assert Finding.SLOWER in {told["throughput"], told["p50"]}
    assert isinstance(found, Run)
    assert (verdict_of(found).exit_code, found.measured_s <= AT_MOST_S) == (10, True)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("nth", TIMES)
def test_a_twentieth_more_cpu_is_found(service: Path, computing_ms: float, nth: int) -> None:
    """A request that takes 5 % more CPU time is found, by that time or by what it costs the users."""
    with_layer(service, COMPUTES.format(ms=0.5))
    with_layer(service, COMPUTES.format(ms=0.5 + 0.05 * computing_ms))
    found = compared(service)
    assert Finding.SLOWER in findings(found).values()
    assert isinstance(found, Run)
    assert (verdict_of(found).exit_code, found.measured_s <= AT_MOST_S) == (10, True)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("nth", TIMES)
def test_a_fifth_faster_is_told(service: Path, nth: int) -> None:
    """A service that waits a fifth less is faster, and passes."""
    with_layer(service, WAITS.format(ms=WAIT_MS))
    with_layer(service, WAITS.format(ms=WAIT_MS * 0.8))
    found = compared(service)
    told = findings(found)
    assert (told["throughput"], told["p50"]) == (Finding.FASTER, Finding.FASTER)
    assert isinstance(found, Run)
    assert verdict_of(found).outcome is Outcome.PASS


def test_cpu_time_is_that_of_a_process_and_its_children() -> None:
    """What a child used counts, and a process that is gone used nothing."""
    burn = "import time\nwhile time.process_time() < .2: pass\n"
    wrapped = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn + 'input()'!r}])"
    with subprocess.Popen([sys.executable, "-c", wrapped], stdin=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 20
        while cpu_seconds(parent.pid) < 0.2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert cpu_seconds(parent.pid) < 2
        parent.communicate(b"\n")
    assert cpu_seconds(parent.pid) == 0.0


@pytest.mark.parametrize(
    ("against", "users", "workers", "expected"),
    [
        ("nothing", None, 1, "'nothing' is no commit"),
        ("--output=x", None, 1, "is no commit"),
        ("HEAD", None, 0, "--workers is 1 or more"),
        ("HEAD", 1, 2, "--users at least as many"),
        ("other", None, 1, "no commit in common"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, against: str, users: int | None, workers: int, expected: str) -> None:
    """A commit that is not there, or has nothing in common with HEAD, and numbers without sense: exit 2."""
    git(tmp_path, "init", "--quiet", "-b", "other")
    commit(tmp_path, {})
    git(tmp_path, "checkout", "--quiet", "--orphan", "main")
    commit(tmp_path, {"a": "b"})
    with pytest.raises(UsageError, match=expected):
        asyncio.run(plan_versus(tmp_path, against, users, workers, tmp_path))


def test_the_base_is_where_head_left_the_other(tmp_path: Path) -> None:
    """What the other branch did meanwhile is not compared."""
    git(tmp_path, "init", "--quiet", "-b", "main")
    left = commit(tmp_path, {})
    git(tmp_path, "checkout", "--quiet", "-b", "change")
    head = commit(tmp_path, {"a": "b"})
    git(tmp_path, "checkout", "--quiet", "main")
    commit(tmp_path, {"c": "d"})
    git(tmp_path, "checkout", "--quiet", "change")
    planned = asyncio.run(plan_versus(tmp_path, "main", None, 1, tmp_path))
    assert planned == Versus({"base": Sha(left), "head": Sha(head)}, None, 1, tmp_path)


WORKS = "pass"
DEAF = "if scope['path'] == '/api/items': status = 500"


def test_a_base_that_does_not_start_is_no_bar(tiny: Path) -> None:
    """A change that mends what does not start is held against the objectives alone, and that is said."""
    commit(tiny, {"service.py": "raise RuntimeError('broken')\n"})
    commit(tiny, {"service.py": SERVICE.replace("FAULT", WORKS)})
    told = compared(tiny)
    assert isinstance(told, Left)
    assert told.outcome is Outcome.PASS
    assert "the commit before the change does not start" in told.reason
    assert "broken" in told.reason


@pytest.mark.usefixtures("brief")
def test_a_comparison_that_takes_too_long_is_no_pass(tiny: Path) -> None:
    """Where a look is not reached in time what was measured is kept, and the answer is inconclusive."""
    commit(tiny, {"service.py": SERVICE.replace("FAULT", "await asyncio.sleep(0.004)")})
    found = compared(tiny, "HEAD")
    assert isinstance(found, Run)
    assert (found.users, len(found.epochs), verdict_of(found).exit_code) == (8, 1, 11)
    assert "took longer than 0.5 s" in verdict_of(found).reason
    for figures in found.epochs[0].sides.values():
        assert 0 < figures.per_s < 8 / 0.004
        assert figures.p95_ms >= figures.p50_ms >= 4
        assert figures.cpu_ms > 0
    assert len((tiny.parent / "out" / "epochs.jsonl").read_text().splitlines()) == 4


def test_a_head_that_does_not_start_is_an_error(tiny: Path) -> None:
    """It cannot be measured, and so does not pass."""
    commit(tiny, {"service.py": "raise RuntimeError('broken')\n"})
    with pytest.raises(PlatformError, match="broken"):
        compared(tiny)


@pytest.mark.slow
def test_a_base_that_cannot_serve_its_own_users_is_no_bar(tiny: Path) -> None:
    """Where the requests fail before the change there is nothing to compare with; it is said which."""
    commit(tiny, {"service.py": SERVICE.replace("FAULT", DEAF)})
    told = compared(tiny, "HEAD")
    assert isinstance(told, Left)
    assert told.outcome is Outcome.PASS
    assert "base cannot serve its own users: base: GET /api/items" in told.reason


@pytest.mark.slow
def test_a_head_that_fails_the_users_of_the_base_is_no_pass(tiny: Path) -> None:
    """A change after which requests fail that were served before is inconclusive, whatever its own users ask."""
    commit(tiny, {"service.py": SERVICE.replace("FAULT", DEAF)})
    told = compared(tiny)
    assert isinstance(told, Left)
    assert told.outcome is Outcome.INCONCLUSIVE
    assert "HEAD does not serve the users that the base serves: head: GET /api/items" in told.reason


@pytest.mark.usefixtures("brief")
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_users_for_what_is_new_are_those_of_the_base(tiny: Path) -> None:
    """A change that brings an endpoint, and users of it, is compared by the users that the base has."""
    new = SERVICE.replace(
        "FAULT", "await asyncio.sleep(0.003); status = 404 if 'new' in scope['path'] and not NEW else 200"
    )
    commit(tiny, {"service.py": f"NEW = False\n{new}"})
    users = {"tests/load/locustfile.py": USERS.replace("/api/items?limit=5", "/new")}
    commit(tiny, {"service.py": f"NEW = True\n{new}", **users})
    found = compared(tiny)
    assert isinstance(found, Run)
    assert [fault for fault in found.faults if "took longer" not in fault] == []
    assert found.comparison.epochs == 1


ODD_USERS = """
import random
from locust import FastHttpUser, TaskSet, between, constant, events, task

print("hello from the locustfile")
HEARD = []

@events.test_start.add_listener
def begin(environment, **_):
    HEARD.append(environment.host)

class Tasks(TaskSet):
    wait_time = constant(30)

    @task
    def read(self):
        assert HEARD
        self.client.get("/api/items?limit=5", name="/api/items")

class Reader(FastHttpUser):
    weight = 9
    wait_time = between(30, 60)
    tasks = [Tasks]

class Seldom(FastHttpUser):
    @task
    def read(self):
        print("seldom")
        self.client.get("/api/seldom", name="/api/seldom")
"""


@pytest.mark.usefixtures("brief")
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_locustfiles_of_all_kinds(tiny: Path) -> None:
    """What they print, task sets with pauses of their own, listeners and users without a pause or seldom are borne."""
    slow = "await asyncio.sleep(0.03 if scope['path'] == '/api/seldom' else 0.003)"
    commit(tiny, {"service.py": SERVICE.replace("FAULT", slow), "tests/load/locustfile.py": ODD_USERS})
    found = compared(tiny, "HEAD", users=1)
    assert isinstance(found, Run)
    assert [fault for fault in found.faults if "took longer" not in fault] == []
    assert found.times["head"].total() > 100
    assert max(found.times["head"]) > 25  # the light class is asked too, though only one user is at work at a time


@pytest.mark.slow
def test_a_broken_locustfile_is_told(tiny: Path) -> None:
    """Where neither commit's can be loaded it is exit 2 with the last words."""
    commit(tiny, {"tests/load/locustfile.py": "raise RuntimeError('no users')\n"})
    commit(tiny, {"a": "b"})
    with pytest.raises(ConfigError, match="no users"):
        compared(tiny)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_verb(tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`load --against` measures both ways, writes epochs and page, and `load judge` gives the same verdict of them."""
    commit(tiny, {"service.py": SERVICE.replace("FAULT", "await asyncio.sleep(0.002)")})
    commit(tiny, {"service.py": SERVICE.replace("FAULT", "await asyncio.sleep(0.004)")})
    monkeypatch.chdir(tiny)
    summary = tiny.parent / "summary.md"
    environment = {"PATH": os.environ["PATH"], "GITHUB_STEP_SUMMARY": str(summary)}
    out = tiny.parent / "out"
    words = ["load", "--against", "HEAD~1", "--output", str(out), "--json"]
    code = run(build_parser().parse_args(words), environment)
    told = json.loads(capsys.readouterr().out)
    assert (code, told["ok"], told["comparison"]["verdict"]) == (10, False, "fail")
    assert told["figures"]["requests"] >= 100
    assert "slower: throughput" in summary.read_text()
    assert "<svg" in (out / "page.html").read_text()
    code = run(build_parser().parse_args(["load", "judge", str(out / "epochs.jsonl"), "--json"]), {})
    again = json.loads(capsys.readouterr().out)
    assert (code, again["comparison"]) == (10, told["comparison"])


def test_judge_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """`load judge` without a file, and a file without `judge`, are exit 2."""
    assert run(build_parser().parse_args(["load", "judge"]), {}) == 2
    assert "needs a file" in capsys.readouterr().err
    assert run(build_parser().parse_args(["load", "measure", "x"]), {}) == 2
    assert "goes with `load judge`" in capsys.readouterr().err


@pytest.mark.usefixtures("brief")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_users_who_are_the_limit_are_no_pass(tiny: Path) -> None:
    """Where the users' process is busier than the service, what is measured is the users: inconclusive, exit 11."""
    found = compared(tiny, "HEAD", users=8)
    assert isinstance(found, Run)
    assert [fault for fault in found.faults if "users' process takes" in fault]
    assert verdict_of(found).exit_code == 11


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_calibration_on_a_busy_machine_is_mended(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it took too many users for the process that they run in, the comparison begins again with fewer."""
    monkeypatch.setattr(calibrating, "CLIENT_LIMIT", 2.0)
    monkeypatch.setattr(versus, "LONGEST_S", 16.0)
    said: list[str] = []
    order = order_for(tiny, said.append)

    async def work() -> Run | Left:
        return await compare(order, await plan_versus(tiny, "HEAD", None, 1, tiny.parent / "out"))

    found = asyncio.run(work())
    assert isinstance(found, Run)
    assert found.users < 8
    assert any("begins again with 4 at a time" in line for line in said)
    lines = (tiny.parent / "out" / "epochs.jsonl").read_text().splitlines()
    assert len(lines) == 4 * len(found.epochs)
    assert found.times["head"].total() == sum(epoch.sides["head"].requests for epoch in found.epochs)


@pytest.mark.usefixtures("brief")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_users_in_two_processes(tiny: Path) -> None:
    """With two workers each side's requests come from two processes, and are added up."""
    commit(tiny, {"service.py": SERVICE.replace("FAULT", "await asyncio.sleep(0.005)")})

    async def work() -> Run | Left:
        said: list[str] = []
        order = order_for(tiny, said.append)
        found = await compare(order, await plan_versus(tiny, "HEAD", 4, 2, tiny.parent / "out"))
        assert "4 at a time without a pause in 2 processes" in said[0]
        return found

    found = asyncio.run(work())
    assert isinstance(found, Run)
    figures = found.epochs[0].sides["head"]
    assert 2 / 0.005 < figures.per_s < 4 / 0.005  # more than one process's two could ask
    assert [fault for fault in found.faults if "took longer" not in fault] == []


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_comparison_leaves_nothing(tiny: Path, number: signal.Signals) -> None:
    """A signal in the middle of an epoch ends both services and the users: exit 130, without a traceback."""
    commit(tiny, {"service.py": SERVICE.replace("FAULT", "await asyncio.sleep(0.002)")})
    words = [sys.executable, str(ROOT / "scripts"), "load", "--against", "HEAD", "--output", str(tiny.parent / "out")]
    with subprocess.Popen(words, cwd=tiny, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "epoch 1," in line:
                break
        deadline = time.monotonic() + 20
        while len(before := descendants(running.pid)) < 3:  # the next epoch's
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(number)
        running.send_signal(number)
        told = running.stderr.read()
        running.wait(20)
    assert (running.returncode, "Traceback" in told) == (130, False), told
    assert [pid for pid in before if psutil.pid_exists(pid)] == []


def descendants(pid: int) -> list[int]:
    """Give the processes that one has started, and theirs."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
