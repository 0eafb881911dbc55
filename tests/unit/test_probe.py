"""What a witness sees: deviations from a check, the commit that answers, and a rate that does not depend on answers."""

import threading
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.client import Answer, Client
from scripts.clock import Deadline
from scripts.identity import Seen
from scripts.probe import VERSION, Observation, Watched, Witness, watch_side_by_side
from scripts.release import Sha
from scripts.verdict import BASELINE, CANDIDATE, CURRENT, Check
from tests.unit.fakes import FakeClock, Line, Reply, Script

NEW = Sha("0123456789abcdef0123456789abcdef01234567")
URL = "https://api.example.com/base"
READY = Check("ready", "/health/ready", json={"status": "ready"})
ITEMS = Check("items", "/items?limit=5", method="POST", status=201, headers={"x-a": "b"}, timeout_s=2.5, critical=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)

Work = Callable[[], None]


def inline(work: Work) -> None:
    """Run a probe where it is started."""
    work()


def witness(script: Script, *checks: Check, clock: FakeClock | None = None) -> Witness:
    """Make a witness that asks a script."""
    clock = clock or FakeClock()
    return Witness(Client(clock, script.transport), clock, checks, 10, inline)


def ask(line: Line) -> Seen:
    """Ask `/version` of a server that gives one answer."""
    return witness(Script(line)).ask_version(URL)


def run(check: Check, line: Line) -> tuple[bool, str]:
    """Run a check against a server that gives one answer; give whether it held, and why not."""
    sample = witness(Script(line)).run(URL, check)
    return sample.ok, sample.reason


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (Reply(json={"commit": NEW}), Seen(NEW)),
        (Reply(json={"commit": NEW.upper(), "instance": "i1"}), Seen(NEW, "i1")),
        (Reply(json={"commit": NEW, "instance": ""}), Seen(NEW)),
        (Reply(json={"commit": NEW, "instance": 5}), Seen(NEW)),
        (Reply(json={"commit": NEW}, headers={"age": "0"}), Seen(NEW)),
        (Reply(json={"commit": NEW}, headers={"age": ""}), Seen(NEW)),
        (Reply(json={"commit": NEW}, headers={"Age": "1"}), Seen(None, reason="a cache answered, 1 s old")),
        (
            Reply(json={"commit": NEW}, headers={"age": "x" * 99}),
            Seen(None, reason=f"a cache answered, {'x' * 9} s old"),
        ),
        (Reply(404, json={"commit": NEW}), Seen(None, reason="/version answered 404", answered=True)),
        (Reply(404, headers={"age": "5"}), Seen(None, reason="a cache answered, 5 s old")),
        (Reply(500, json={"commit": NEW}), Seen(None, reason="/version answered 500")),
        (Reply(502, body=b"<html>"), Seen(None, reason="/version answered 502")),
        (Reply(302, headers={"location": "/"}), Seen(None, reason="/version answered 302")),
        (Reply(201, json={"commit": NEW}), Seen(None, reason="/version answered 201")),
        (httpx.ConnectError("refused"), Seen(None, reason="no answer (ConnectError)")),
        (httpx.ReadTimeout("slow"), Seen(None, reason="no answer (ReadTimeout)")),
    ],
)
def test_version(line: Line, seen: Seen) -> None:
    """Only a fresh 200 that names a full commit names one; what was seen instead is told, and a 404 is an answer."""
    assert ask(line) == seen


@pytest.mark.parametrize(
    "body", [{}, [], "a", {"commit": None}, {"commit": NEW[:7]}, {"commit": NEW + "0"}, {"commit": 5}]
)
def test_version_without_a_full_commit(body: object) -> None:
    """A service that answers without a full commit, such as a placeholder page, names none."""
    assert ask(Reply(json=body)) == Seen(None, reason="/version named no full commit", answered=True)
    assert ask(Reply(body=b"<html>starting</html>")).commit is None


@given(JSON, st.sampled_from([200, 404, 500]))
def test_any_answer_of_version_is_read(body: object, status: int) -> None:
    """Whatever a service answers, it either names a full commit or says why not, and never raises."""
    seen = ask(Reply(status, json=body))
    assert (seen.commit is None) == bool(seen.reason)


def test_version_is_asked_past_every_cache() -> None:
    """Each request for `/version` has a parameter of its own and asks caches to keep out."""
    script = Script(Reply(json={"commit": NEW}), Reply(json={"commit": NEW}))
    asking = witness(script)
    asking.ask_version(URL, 1.5)
    asking.ask_version(URL)
    first, second = script.requests
    assert first.url.path == "/base/version"
    marks = [request.url.params["slipway"] for request in script.requests]
    assert marks[0] != marks[1]
    assert first.headers["cache-control"] == "no-cache"
    assert (first.extensions["timeout"]["read"], second.extensions["timeout"]["read"]) == (1.5, VERSION.timeout_s)


def test_a_check_is_sent_as_it_is_written() -> None:
    """A check goes with the method, path, query, headers and time-out that it says, and nothing is added to its URL."""
    script = Script(Reply(201))
    witness(script).run(URL, ITEMS)
    (request,) = script.requests
    assert (request.method, str(request.url)) == ("POST", f"{URL}/items?limit=5")
    assert (request.headers["x-a"], request.headers["cache-control"]) == ("b", "no-cache")
    assert request.extensions["timeout"]["read"] == 2.5


def test_a_check_may_say_what_caches_do() -> None:
    """A header of the check's own takes the place of ours."""
    script = Script(Reply())
    witness(script).run(URL, Check("a", "/", headers={"cache-control": "max-age=5"}))
    assert script.requests[0].headers["cache-control"] == "max-age=5"


@pytest.mark.parametrize(
    ("check", "line", "reason"),
    [
        (Check("a", "/"), Reply(200), ""),
        (Check("a", "/"), Reply(200, body=b"not JSON"), ""),
        (Check("a", "/"), Reply(201), "expected status 200, got 201"),
        (Check("a", "/", status=404), Reply(404), ""),
        (Check("a", "/", status=404), Reply(200), "expected status 404, got 200"),
        (Check("a", "/"), Reply(302), "expected status 200, got 302"),
        (Check("a", "/"), httpx.ReadTimeout("slow"), "no answer (ReadTimeout)"),
        (READY, Reply(json={"status": "ready", "more": 1}), ""),
        (READY, Reply(json={"status": "ready"}, headers={"age": "0"}), ""),
        (READY, Reply(json={"status": "ready"}, headers={"age": "7"}), "a cache answered, 7 s old"),
        (READY, Reply(json={"status": "starting"}), "expected status = 'ready', got 'starting'"),
        (READY, Reply(json={}), "expected status = 'ready', got None"),
        (READY, Reply(json=["ready"]), "expected status = 'ready', got None"),
        (READY, Reply(body=b"ready"), "expected status = 'ready', got None"),
        (READY, Reply(503, json={"status": "ready"}), "expected status 200, got 503"),
        (Check("a", "/", json={"a.b.c": 1}), Reply(json={"a": {"b": {"c": 1}}}), ""),
        (Check("a", "/", json={"a.b.c": 1}), Reply(json={"a": {"b": 1}}), "expected a.b.c = 1, got None"),
        (Check("a", "/", json={"a.b": 1}), Reply(json={"a.b": 1}), "expected a.b = 1, got None"),
        (Check("a", "/", json={"n": 1.5}), Reply(json={"n": 1.5}), ""),
        (Check("a", "/", json={"n": 1}), Reply(json={"n": 1.0}), ""),
        (Check("a", "/", json={"ok": True}), Reply(json={"ok": True}), ""),
        (Check("a", "/", json={"ok": True}), Reply(json={"ok": "true"}), "expected ok = True, got 'true'"),
        (Check("a", "/", json={"x": 1, "y": 2}), Reply(json={"x": 1, "y": 3}), "expected y = 2, got 3"),
    ],
)
def test_deviations(check: Check, line: Line, reason: str) -> None:
    """A check holds when status and every expected value are met; otherwise the first deviation is told."""
    assert run(check, line) == (not reason, reason)


@pytest.mark.parametrize(("length", "shown"), [(58, True), (59, False), (500, False)])
def test_a_long_value_is_not_told(length: int, shown: bool) -> None:
    """What came is shown whole or not at all: of a secret that is cut, what is left would not be known as one."""
    _, reason = run(READY, Reply(json={"status": "x" * length}))
    assert ("x" * length in reason, "xx" in reason) == (shown, shown)
    assert len(reason) < 120


@pytest.mark.parametrize(("expected", "got"), [(True, 1), (False, 0), (1, True)])
def test_a_number_is_not_a_truth_value(expected: object, got: object) -> None:
    """An expected `true` is not met by 1, since JSON tells them apart."""
    assert run(Check("a", "/", json={"ok": expected}), Reply(json={"ok": got}))[0] is False


@given(JSON, st.sampled_from(["a", "a.b", ".", ""]))
def test_any_answer_can_be_held_against_an_expectation(body: object, name: str) -> None:
    """No answer makes a check raise, and one that fails always has a reason."""
    ok, reason = run(Check("a", "/", json={name: "never this long"}), Reply(json=body))
    assert ok == (not reason)
    assert not ok


def test_a_sample_has_its_measurements() -> None:
    """A sample has the check's name, the arm, and the milliseconds that the answer took."""

    def late(_: httpx.Request) -> httpx.Response:
        clock.advance(0.25)
        return httpx.Response(200)

    clock = FakeClock()
    sample = witness(Script(late), clock=clock).run(URL, Check("a", "/"))
    assert (sample.endpoint, sample.arm, sample.ms, sample.t_s, sample.ok) == ("a", CANDIDATE, 250, 0.0, True)


def test_a_version_that_was_seen_decides_its_sample() -> None:
    """A probe of `/version` fails for the reason that no commit was seen, though its status was right."""
    answer = Answer(200, 1.0, b"{}")
    sample = Witness.judge_answer(VERSION, answer, BASELINE, 2.0, Seen(None, reason="named none"))
    assert (sample.ok, sample.reason, sample.arm, sample.t_s) == (False, "named none", BASELINE, 2.0)
    assert Witness.judge_answer(VERSION, answer, BASELINE, 2.0, Seen(NEW)).ok


def test_what_decides() -> None:
    """The critical checks decide, and `/version`, which every release must answer."""
    assert witness(Script(), READY, ITEMS).deciding == (READY, VERSION)
    assert witness(Script()).deciding == (VERSION,)


class Recorder:
    """Notes when each probe is started, and runs none before it is asked to."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.times_s: list[float] = []
        self.works: list[Work] = []

    def __call__(self, work: Work) -> None:
        """Take a probe."""
        self.times_s.append(self._clock.passed_s)
        self.works.append(work)


def always(request: httpx.Request) -> httpx.Response:
    """Answer as a healthy service, whatever is asked."""
    return httpx.Response(200, json={"status": "ready", "commit": NEW, "asked": request.url.path})


def watched(clock: FakeClock, spawn: Callable[[Work], None], seconds: float, rate: float) -> list[list[Observation]]:
    """Watch a healthy service for some seconds."""
    asking = Witness(Client(clock, httpx.MockTransport(always)), clock, (READY, ITEMS), rate, spawn)
    return list(asking.watch(URL, CANDIDATE, clock.monotonic(), Deadline.after(clock, seconds)))


@pytest.mark.parametrize(("rate", "seconds"), [(10, 5), (1, 3), (100, 2), (4, 3)])
def test_the_rate_is_kept_when_nothing_is_answered(rate: float, seconds: float) -> None:
    """Probes are started at the rate though not one of them has been answered, and each second gives what came back."""
    clock = FakeClock()
    recorder = Recorder(clock)
    blocks = watched(clock, recorder, seconds, rate)
    assert recorder.times_s == pytest.approx([number / rate for number in range(int(rate * seconds))])
    assert blocks == [[]] * int(seconds)


def test_the_rate_is_kept_when_the_caller_is_slow() -> None:
    """A caller that takes long over a second delays no more than the probes of that time: they are made up for."""
    clock = FakeClock()
    recorder = Recorder(clock)
    asking = Witness(Client(clock, httpx.MockTransport(always)), clock, (READY,), 10, recorder)
    number = 0
    for number, _ in enumerate(asking.watch(URL, CANDIDATE, clock.monotonic(), Deadline.after(clock, 10)), 1):
        clock.advance(2.5 if number == 2 else 0)
    assert number == 10
    assert len(recorder.works) == 100
    late = [moment - place / 10 for place, moment in enumerate(recorder.times_s)]
    assert max(late) == pytest.approx(2.5)
    assert late[-1] == pytest.approx(0)


def test_answers_that_come_late_are_not_lost() -> None:
    """A probe that is answered seconds later is in the second in which it came back."""
    clock = FakeClock()
    recorder = Recorder(clock)
    asking = Witness(Client(clock, httpx.MockTransport(always)), clock, (READY,), 2, recorder)
    blocks = []
    for block in asking.watch(URL, CANDIDATE, clock.monotonic() - 7, Deadline.after(clock, 4)):
        blocks.append([row.sample.endpoint for row in block])
        if len(blocks) == 2:
            for work in recorder.works:
                work()
    assert [sorted(block) for block in blocks] == [[], [], ["ready", "ready", "version", "version"], []]


def test_probes_take_turns_and_are_timed() -> None:
    """Each deciding check is asked once a round, samples count from the given moment, `/version` tells the commit."""
    clock = FakeClock()
    clock.advance(3)
    started_s = clock.monotonic() - 3
    asking = Witness(Client(clock, httpx.MockTransport(always)), clock, (READY, ITEMS), 4, inline)
    blocks = list(asking.watch(URL, BASELINE, started_s, Deadline.after(clock, 2)))
    assert [len(block) for block in blocks] == [4, 4]
    rows = [row for block in blocks for row in block]
    rounds = [sorted(row.sample.endpoint for row in rows[first : first + 2]) for first in range(0, 8, 2)]
    assert rounds == [["ready", "version"]] * 4
    assert [row.sample.t_s for row in rows] == [3 + number / 4 for number in range(8)]
    assert {row.sample.arm for row in rows} == {BASELINE}
    assert {(row.sample.endpoint, row.seen) for row in rows} == {("ready", None), ("version", Seen(NEW))}
    assert all(row.sample.ok for row in rows)


def test_no_check_is_always_asked_at_the_same_place() -> None:
    """A balancer that gives turns to as many instances as there are checks is asked each check at each of them."""
    clock = FakeClock()
    asking = Witness(
        Client(clock, httpx.MockTransport(always)), clock, (READY, replace(READY, name="second")), 10, inline
    )
    rows = [row for block in asking.watch(URL, BASELINE, 0.0, Deadline.after(clock, 20)) for row in block]
    names = [check.name for check in asking.deciding]
    for name in names:
        places = {number % len(names) for number, row in enumerate(rows) if row.sample.endpoint == name}
        assert places == set(range(len(names)))


def test_a_pair_is_sent_together_in_an_order_by_chance() -> None:
    """Where the old release answers beside, each probe has its twin at the same moment; neither is always the first."""
    clock, asked = FakeClock(), []

    def noting(request: httpx.Request) -> httpx.Response:
        asked.append((clock.monotonic(), request.url.host))
        return always(request)

    asking = Witness(Client(clock, httpx.MockTransport(noting)), clock, (READY, ITEMS), 10, inline)
    service = Watched(asking, "https://new.test", "https://old.test")
    blocks = list(watch_side_by_side([service], CANDIDATE, clock.monotonic(), Deadline.after(clock, 8)))
    rows = [row.sample for block in blocks for row in block.answers[0]]
    by_arm = {arm: {row.pair: row.endpoint for row in rows if row.arm == arm} for arm in (CANDIDATE, CURRENT)}
    assert by_arm[CANDIDATE] == by_arm[CURRENT]
    assert set(by_arm[CURRENT]) == set(range(80))
    first = [host for _, host in asked[::2]]
    assert [moment for moment, _ in asked[::2]] == [moment for moment, _ in asked[1::2]]
    assert 10 < first.count("new.test") < 70  # wrong by chance once in 10¹²


def test_a_prober_that_is_late_says_so() -> None:
    """How much behind its rate the prober was in a second is told with it."""
    clock = FakeClock()
    asking = Witness(Client(clock, httpx.MockTransport(always)), clock, (READY,), 10, Recorder(clock))
    late = []
    for block in watch_side_by_side([Watched(asking, URL)], CANDIDATE, 0, Deadline.after(clock, 5)):
        late.append(block.late_s)
        clock.advance(0.7 if len(late) == 2 else 0)
    assert late == pytest.approx([0, 0, 0.6, 0, 0])  # what was done meanwhile took 0.7 s, until the next was due 0.1


def test_a_watch_whose_time_is_over_asks_nothing() -> None:
    """Where no time is left, no probe is sent."""
    clock = FakeClock()
    recorder = Recorder(clock)
    assert watched(clock, recorder, 0, 10) == []
    assert recorder.works == []


def test_probes_never_keep_the_process_alive() -> None:
    """A probe is started on a daemon thread, so that one that hangs does not delay a rollback."""
    clock, ran = FakeClock(), threading.Event()
    threads: list[threading.Thread] = []

    def answer(_: httpx.Request) -> httpx.Response:
        threads.append(threading.current_thread())
        ran.set()
        return httpx.Response(200)

    asking = Witness(Client(clock, httpx.MockTransport(answer)), clock, (), 1)
    list(asking.watch(URL, CANDIDATE, 0, Deadline.after(clock, 1)))
    assert ran.wait(10)
    threads[0].join(10)
    assert threads[0].daemon
    assert threads[0] is not threading.main_thread()


def test_a_watch_ends_at_its_deadline() -> None:
    """At a rate of less than one a second, a watch ends when its time is over and not when the next probe is due."""
    clock = FakeClock()
    watched(clock, Recorder(clock), 5, 0.125)
    assert clock.passed_s == pytest.approx(5)


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_watch_gives_every_answer_that_came_back(seconds: float) -> None:
    """No answer that came back is lost at the end: a window of half a second is evidence too."""
    blocks = watched(FakeClock(), inline, seconds, 10)
    assert sum(map(len, blocks)) == 10 * seconds
