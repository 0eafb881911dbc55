"""The command line: what each verb takes, which exit code each end has, and that no output holds a secret."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.arguments import ACCOUNT_VERBS, CHANGES, STAGE_VERBS, TOOL_VERBS, VERSION, build_parser
from scripts.cli import main
from scripts.clock import SystemClock
from scripts.journal import Journal, Kind
from scripts.redaction import Redactor
from scripts.release import STAGES, Stage

ROOT = Path(__file__).parents[2]
HOOK_KEY, API_KEY = "hk-aB3xYz9Q", "rnd_5Zq8wKx1"
HOOK_URL = f"https://api.render.com/deploy/srv-abc123?key={HOOK_KEY}"
NEW, OLD = "a" * 40, "b" * 40
VERBS = (*STAGE_VERBS, *ACCOUNT_VERBS, *TOOL_VERBS)
NEEDS_SECRETS = [verb for verb in STAGE_VERBS if verb != "report"]
SECRETS = {"RENDER_DEPLOY_HOOK_URL": HOOK_URL}
WITH_KEY = {**SECRETS, "RENDER_API_KEY": API_KEY}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Refusing(BaseHTTPRequestHandler):
    """A platform that knows no key, and repeats the one that it was sent."""

    asked: list[str]

    def _answer(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        body = json.dumps({"message": f"bad key {self.headers['authorization']}"}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names are those of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        """Stay silent."""


@dataclass(frozen=True)
class Place:
    """A git checkout with a configuration whose every URL is a server on loopback that refuses."""

    folder: Path
    head: str
    asked: list[str]
    capsys: pytest.CaptureFixture[str]

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.folder / "slipway.toml"

    @property
    def state(self) -> Path:
        """The journal's folder."""
        return self.folder / ".slipway"

    @property
    def journal(self) -> Journal:
        """The journal."""
        return Journal(self.state, SystemClock(), Redactor())

    def run(self, *words: str, environment: Mapping[str, str] = WITH_KEY) -> Ran:
        """Run a command in this process, in the checkout."""
        self.capsys.readouterr()
        code = main(list(words), environment)
        printed = self.capsys.readouterr()
        return Ran(code, printed.out, printed.err)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Give every file with its content and its time."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}

    def plan(self) -> None:
        """Write the journal of a release that was planned."""
        journal = self.journal
        journal.append(Kind.STAGE_STARTED, stage=Stage.PLAN)
        journal.append(Kind.RELEASE, commit=NEW, run_id="1-1", started_at="2026-01-02T03:04:05Z", targets=["render"])
        journal.append(Kind.BASELINE, "render", commit=OLD, deployment_id="dep-1", proven=True, healthy=True)
        journal.append(Kind.STAGE_ENDED, stage=Stage.PLAN, outcome="pass", reason="fine", exit_code=0)

    def begin(self) -> None:
        """Write on: the hook was called and answered."""
        self.journal.append(Kind.INTENT, "render", action="deploy", commit=NEW, known=["dep-1"])
        self.journal.append(Kind.DONE, "render", action="deploy", id="dep-2", commit=NEW, state="queued")


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """Give the process its own SIGTERM back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def refusing() -> Iterator[tuple[int, list[str]]]:
    """Run the refusing platform; give its port and what it was asked."""

    class Handler(Refusing):
        asked: list[str] = []  # noqa: RUF012 - one list for each server

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_port, Handler.asked
        finally:
            server.shutdown()
            thread.join()


def make_checkout(folder: Path) -> str:
    """Make a repository with one commit, and give its id."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    git = ("git", "-C", str(folder), *who)
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "only"], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def configuration(port: int) -> str:
    """Give a configuration of which every URL is on loopback."""
    url = f"http://127.0.0.1:{port}"
    return f"""
version = 1
[render]
url = "{url}"
api_url = "{url}/v1"
[[checks]]
name = "ready"
path = "/health/ready"
"""


@pytest.fixture
def place(
    tmp_path: Path,
    refusing: tuple[int, list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Place:
    """Make the checkout and be in it."""
    port, asked = refusing
    monkeypatch.setenv("no_proxy", "*")
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    head = make_checkout(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slipway.toml").write_text(configuration(port))
    return Place(tmp_path, head, asked, capsys)


def test_the_verbs_are_those_of_a_release_in_its_order() -> None:
    """The verbs begin with the stages of a release in order, then the ways back, the report and the tools."""
    names = [str(stage) for stage in STAGES]
    assert [*STAGE_VERBS, *ACCOUNT_VERBS] == [*names, "rollback", "recover", "report", "resolve", "doctor"]
    gates = ["test", "check", "load", "judge", "simulate", "coverage", "lint", "lock", "required"]
    assert [*TOOL_VERBS] == ["build", "rehearse", *gates, "propose"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_parsed(verb: str) -> None:
    """Each verb needs no other word, but for those that must be told what to propose, or to judge."""
    needed = {"propose": ["--from", "newer", "--table", "table.md"], "judge": ["samples.jsonl"]}
    words = needed.get(verb, [])
    assert build_parser().parse_args([verb, *words]).verb == verb


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help is printed on stdout, exit 0; the first page names every verb and every exit code."""
    with pytest.raises(SystemExit) as caught:
        main(words, {})
    assert caught.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("usage: python3 -m scripts")
    if len(words) == 1:
        assert all(verb in told for verb in VERBS)
        assert all(f"{code} " in told for code in (0, 1, 2, 10, 11, 12, 13, 130))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is printed, exit 0."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"], {})
    assert (caught.value.code, capsys.readouterr().out) == (0, f"{VERSION}\n")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["ship"],
        ["plan", "--force"],
        ["plan", "--dry-run"],
        ["verify", "--dry-run"],
        ["report", "--dry-run"],
        ["deploy", "--again"],
        ["deploy", "--commit", "HEAD"],
        ["rehearse", "--repeat", "often"],
        ["plan", "more"],
    ],
)
def test_what_is_not_a_command_is_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A verb or an option that does not exist is exit 2, with the usage on stderr."""
    with pytest.raises(SystemExit) as caught:
        main(words, {})
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: ")


def test_options() -> None:
    """Options have the documented defaults and values."""
    parse = build_parser().parse_args
    plan = parse(["plan"])
    assert (plan.config, plan.state, plan.json) == (Path("slipway.toml"), Path(".slipway"), False)
    assert (plan.commit, plan.again) == (None, False)
    other = parse(["plan", "--config", "a", "--state", "b", "--json", "--commit", "c", "--again"])
    assert (other.config, other.state, other.json, other.commit, other.again) == (Path("a"), Path("b"), True, "c", True)
    assert {verb: parse([verb, "--dry-run"]).dry_run for verb in CHANGES} == dict.fromkeys(CHANGES, True)
    assert parse(["test", "--all", "--", "-k", "x"]).pytest == ["-k", "x"]
    assert (parse(["rehearse"]).drill, parse(["rehearse"]).repeat, parse(["lock"]).action) == ("good,errors", 1, "pin")
    by_hand = parse(["rollback", "--reason", "r"])
    assert (by_hand.target, by_hand.to, by_hand.by, by_hand.dry_run) == ("all", "", "", False)
    assert parse(["rollback"]).reason is None


@pytest.mark.parametrize(
    ("word", "on"), [("--again", True), ("--again=true", True), ("--again=false", False), ("--again=", False)]
)
def test_switches_take_what_a_form_gives(word: str, *, on: bool) -> None:
    """A switch may be said alone, or with the value that a form of GitHub's has; on a push that value is empty."""
    assert build_parser().parse_args(["plan", word]).again is on


def test_switches_take_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """A value that is neither true nor false is usage, not a guess."""
    with pytest.raises(SystemExit) as caught:
        main(["rollback", "--dry-run=yes"], {})
    assert caught.value.code == 2
    assert "true or false, not 'yes'" in capsys.readouterr().err


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("verb", NEEDS_SECRETS)
def test_a_missing_secret(place: Place, verb: str, value: str | None) -> None:
    """A verb without its secret is exit 2 with the secret's name, and leaves no file."""
    before = place.files()
    ran = place.run(verb, environment={} if value is None else {"RENDER_DEPLOY_HOOK_URL": value})
    assert ran.code == 2
    assert "RENDER_DEPLOY_HOOK_URL is not set" in ran.err
    assert "Nothing was started." in ran.err
    assert (ran.out, place.files(), place.asked) == ("", before, [])


def test_a_missing_secret_of_a_check(place: Place) -> None:
    """A secret that a check's header names is required too, and named."""
    place.config.write_text(place.config.read_text() + 'headers = { authorization = "Bearer ${CHECK_TOKEN}" }\n')
    ran = place.run("deploy")
    assert ran.code == 2
    assert "CHECK_TOKEN is not set: a check's header" in ran.err
    ran = place.run("deploy", "--dry-run", environment={**SECRETS, "CHECK_TOKEN": "abcd"})
    assert ran.code == 0


def test_the_environment_of_the_process_is_the_default(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another environment the process's own is read."""
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("SLIPWAY_TARGETS", raising=False)
    monkeypatch.delenv("RENDER_DEPLOY_HOOK_URL", raising=False)
    assert main(["deploy", "--dry-run"]) == 2
    assert "RENDER_DEPLOY_HOOK_URL is not set" in place.capsys.readouterr().err
    monkeypatch.setenv("RENDER_DEPLOY_HOOK_URL", HOOK_URL)
    assert main(["deploy", "--dry-run"]) == 0


@pytest.mark.parametrize("verb", STAGE_VERBS)
def test_an_unknown_key(place: Place, verb: str) -> None:
    """A key that slipway.toml does not have is exit 2 for every verb, with the nearest one."""
    place.config.write_text("relase = 1\n" + place.config.read_text())
    ran = place.run(verb)
    assert ran.code == 2
    assert "error  slipway.toml: relase: unknown key; did you mean 'release'?" in ran.err
    assert "next: mend slipway.toml" in ran.err
    assert not place.state.exists()


def test_a_configuration_elsewhere(place: Place) -> None:
    """`--config` names another file, and one that is missing is exit 2 with its path."""
    assert place.run("report", "--config", "none.toml").code == 2
    other = place.folder / "other.toml"
    place.config.rename(other)
    assert place.run("report", "--config", "other.toml").code == 0


def test_a_hook_of_a_blueprint(place: Place) -> None:
    """A Blueprint's hook is exit 2, and is not shown."""
    ran = place.run("deploy", environment={"RENDER_DEPLOY_HOOK_URL": HOOK_URL.replace("srv-", "exs-")})
    assert ran.code == 2
    assert "Blueprint" in ran.err
    assert HOOK_KEY not in ran.err


@pytest.mark.parametrize("actions", ["true", "false"])
def test_a_bug(place: Place, actions: str) -> None:
    """What no error of ours describes is exit 1 with a traceback, in which no secret is."""
    place.plan()
    raw = {"at": "2026-01-02T03:04:05Z", "event": "stage_started", "target": "", "stage": f"{API_KEY} {HOOK_KEY}"}
    with place.journal.path.open("a") as file:
        file.write(json.dumps(raw) + "\n")
    ran = place.run("deploy", "--dry-run", environment={**WITH_KEY, "GITHUB_ACTIONS": actions})
    assert ran.code == 1
    assert "Traceback (most recent call last)" in ran.err
    assert "'[redacted] [redacted]' is not a valid Stage" in ran.err
    assert API_KEY not in ran.err
    assert HOOK_KEY not in ran.err.replace(f"::add-mask::{HOOK_KEY}\n", "")
    assert ran.out == ""


def test_a_platforms_words_are_redacted(place: Place) -> None:
    """A platform that repeats the key in its answer does not bring it into the output or the journal."""
    ran = place.run("plan", "--json")
    assert ran.code == 2
    assert "bad key Bearer [redacted]" in ran.err
    written = place.journal.path.read_text()
    assert "bad key Bearer [redacted]" in written
    assert API_KEY not in ran.err + ran.out + written


@pytest.fixture
def far_from_utc() -> Iterator[None]:
    """Be in a time zone that is not UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def started_at(place: Place) -> datetime:
    """Give when the planned release began, as the journal has it."""
    (release,) = [event for event in place.journal.read() if event.kind is Kind.RELEASE]
    return datetime.fromisoformat(release.text("started_at"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1767323045", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (" 1767323045\n", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_when_the_run_began(place: Place, text: str, moment: datetime) -> None:
    """The moment of the event is seconds since 1970 or ISO 8601, and UTC where it names no zone."""
    place.run("plan", environment={**WITH_KEY, "SLIPWAY_RUN_STARTED": text})
    assert started_at(place) == moment


@pytest.mark.parametrize("environment", [{}, {"SLIPWAY_RUN_STARTED": " "}])
def test_without_a_moment_the_run_begins_now(place: Place, environment: dict[str, str]) -> None:
    """Without the event's moment a run began when it was started."""
    before = datetime.now(UTC)
    place.run("plan", environment={**WITH_KEY, **environment})
    assert before <= started_at(place) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["yesterday", "-5", "1.5", "²", "9" * 13, "9" * 40, "2026-13-01"])
def test_a_moment_that_is_none(place: Place, text: str) -> None:
    """A moment that cannot be read is exit 2, before anything is written or asked."""
    ran = place.run("plan", environment={**WITH_KEY, "SLIPWAY_RUN_STARTED": text})
    assert ran.code == 2
    assert f"SLIPWAY_RUN_STARTED is not a time: {text!r}" in ran.err
    assert not place.state.exists()
    assert place.asked == []


@pytest.mark.parametrize(
    ("environment", "run_id"),
    [
        ({}, "local-PID"),
        ({"GITHUB_RUN_ID": "77"}, "77-1"),
        ({"GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "3"}, "77-3"),
    ],
)
def test_which_run_it_is(place: Place, environment: dict[str, str], run_id: str) -> None:
    """A release knows the run and the attempt that it belongs to."""
    place.run("plan", environment={**WITH_KEY, **environment})
    (release,) = [event for event in place.journal.read() if event.kind is Kind.RELEASE]
    assert release.text("run_id") == run_id.replace("PID", str(os.getpid()))
    assert release.text("commit") == place.head
    assert release.fields["targets"] == ["render"]


@pytest.mark.parametrize(
    ("words", "sha", "known"),
    [
        ((), "", True),
        ((), "HEAD", True),
        ((), NEW, False),
        (("--commit", "HEAD"), "", True),
        (("--commit", ""), "HEAD", True),
        (("--commit", "HEAD"), NEW, False),
        (("--commit", NEW), "HEAD", False),
    ],
)
def test_which_commit_it_is(place: Place, words: tuple[str, ...], sha: str, known: bool) -> None:
    """The commit is the option's, else the event's, else HEAD; one that is not here is exit 2 with nothing written."""
    ran = place.run("plan", *words, environment={**WITH_KEY, "GITHUB_SHA": sha})
    assert (f"commit {NEW!r} is not in this checkout" in ran.err) is not known
    assert place.state.exists() is known
    assert ran.code == 2


def commit_beside(folder: Path) -> tuple[str, str]:
    """Commit on main, and on a branch beside it; give both."""
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    found = []
    for branch in ("main", "beside"):
        for words in (
            ("checkout", "--quiet", "-B", branch),
            (*who, "commit", "--quiet", "--allow-empty", "-m", branch),
        ):
            subprocess.run(["git", "-C", str(folder), *words], check=True)
        head = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        )
        found.append(head.stdout.strip())
    return found[0], found[1]


def test_only_what_is_on_main_is_released(place: Place) -> None:
    """By hand an older commit of main is taken, by a short id too; one beside it is exit 2 and leaves nothing."""
    main_head, beside = commit_beside(place.folder)
    outputs = place.folder / "outputs"
    environment = {"GITHUB_SHA": main_head, "GITHUB_REF_NAME": "main", "GITHUB_OUTPUT": str(outputs)}
    refused = place.run("resolve", "--commit", beside, environment=environment)
    assert (refused.code, refused.out, outputs.exists()) == (2, "", False)
    assert f"{beside[:7]} is not on main" in refused.err
    assert place.run("plan", "--commit", beside, environment={**WITH_KEY, **environment}).code == 2
    taken = place.run("resolve", "--commit", place.head[:8], environment=environment)
    assert (taken.code, taken.out) == (0, f"{place.head}\n")
    assert outputs.read_text().splitlines()[0] == f"commit={place.head}"


@pytest.mark.parametrize(("started", "told"), [("1700000000", "2023-11-14T22:13:20+00:00"), ("", None)])
def test_resolve_says_since_when(place: Place, started: str, told: str | None) -> None:
    """A push says when it was; a run by hand begins now."""
    ran = place.run("resolve", "--json", environment={"GITHUB_SHA": place.head, "SLIPWAY_RUN_STARTED": started})
    answer = json.loads(ran.out)
    assert (ran.code, answer["version"], answer["commit"]) == (0, 1, place.head)
    assert answer["started_at"] == told or (told is None and datetime.fromisoformat(answer["started_at"]).tzinfo)


def test_a_plan_begins_with_an_empty_journal(place: Place) -> None:
    """A plan after a release that never moved anything puts its files aside."""
    place.run("plan")
    first = place.journal.path.read_bytes()
    place.run("plan")
    assert place.journal.path.read_bytes() != first
    (past,) = (place.state / "past").iterdir()
    assert (past / "journal.jsonl").read_bytes() == first
    assert len([event for event in place.journal.read() if event.kind is Kind.RELEASE]) == 1


def test_a_plan_keeps_the_journal_of_a_release_that_has_begun(place: Place) -> None:
    """The journal of another release that asked a platform for something is what its rollback needs: exit 2."""
    place.plan()
    place.begin()
    before = place.journal.path.read_bytes()
    ran = place.run("plan")
    assert ran.code == 2
    assert "the state folder holds the release of aaaaaaa, which has begun" in ran.err
    assert place.journal.path.read_bytes().startswith(before)
    assert not (place.state / "past").exists()


@pytest.mark.parametrize("verb", ["deploy", "verify", "promote", "bake"])
def test_a_stage_without_a_plan(place: Place, verb: str) -> None:
    """A stage that needs a plan says so, exit 2, and asks nobody."""
    ran = place.run(verb)
    assert ran.code == 2
    assert "there is no planned release" in ran.err
    assert (ran.out, place.asked) == ("", [])


@pytest.mark.parametrize(("verb", "code", "outcome"), [("rollback", 0, "pass"), ("recover", 13, "fail")])
def test_the_exit_code_is_the_verdicts(place: Place, verb: str, code: int, outcome: str) -> None:
    """A stage ends with its verdict's exit code, and stdout has the answer alone."""
    ran = place.run(verb)
    assert (ran.code, ran.out) == (code, f"{outcome}\n")
    assert f"{verb}: " in ran.err


@pytest.mark.parametrize(("verb", "code", "outcome"), [("rollback", 0, "pass"), ("recover", 13, "fail")])
def test_a_verdict_as_json(place: Place, verb: str, code: int, outcome: str) -> None:
    """With `--json` stdout is one versioned object that says the same as the exit code."""
    ran = place.run(verb, "--json")
    told = json.loads(ran.out)
    assert told.pop("reason")
    assert told == {"version": 1, "stage": verb, "outcome": outcome, "exit_code": code}
    assert ran.code == code


def test_on_a_runner(place: Place) -> None:
    """On a runner the hook's key is masked before anything else is said, and what failed is an annotation."""
    ran = place.run("recover", environment={**WITH_KEY, "GITHUB_ACTIONS": "true"})
    assert ran.err.splitlines()[0] == f"::add-mask::{HOOK_KEY}"
    assert "::error title=recover%3A fail::there is no journal" in ran.err
    assert ran.err.count(HOOK_KEY) == 1
    assert "::" not in place.run("recover").err


@pytest.mark.parametrize("verb", sorted(CHANGES))
@pytest.mark.parametrize("story", ["nothing", "planned", "begun"])
def test_a_dry_run_touches_nothing(place: Place, verb: str, story: str) -> None:
    """`--dry-run` says what would be done, exit 0; no file changes and nobody is asked, whatever the journal says."""
    if story != "nothing":
        place.plan()
    if story == "begun":
        place.begin()
    before = place.files()
    ran = place.run(verb, "--dry-run")
    assert ran.code == 0
    assert ran.out
    assert (place.files(), place.asked) == (before, [])


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("deploy", "render: would ask the platform to deploy aaaaaaa\n"),
        ("promote", "render: would give user traffic to aaaaaaa\n"),
        ("rollback", "render: would cancel or roll back the candidate, and prove that bbbbbbb serves\n"),
        ("recover", "render: would cancel or roll back the candidate, and prove that bbbbbbb serves\n"),
    ],
)
def test_a_dry_run_says_what_would_be_done(place: Place, verb: str, told: str) -> None:
    """A dry run names the target, the act and the commit."""
    place.plan()
    place.begin()
    assert place.run(verb, "--dry-run").out.endswith(told)


@pytest.mark.parametrize("verb", sorted(CHANGES))
def test_a_dry_run_as_json(place: Place, verb: str) -> None:
    """With `--json` stdout is one versioned object, for a dry run too."""
    assert json.loads(place.run(verb, "--dry-run", "--json").out)["version"] == 1


def test_a_report_without_a_journal(place: Place) -> None:
    """Without a journal, and without a secret, the report says that nothing was released, exit 0."""
    ran = place.run("report", environment={})
    assert ran.code == 0
    assert ran.out.startswith("## Nothing was released\n")
    assert json.loads((place.state / "release.json").read_text())["result"] == "never_started"
    assert place.asked == []


def test_a_report(place: Place) -> None:
    """A report goes to stdout, to release.json, and is added to the step summary."""
    place.plan()
    summary = place.folder / "summary.md"
    summary.write_text("before\n")
    ran = place.run("report", environment={"GITHUB_STEP_SUMMARY": str(summary)})
    assert ran.code == 0
    assert ran.out.startswith("## aaaaaaa was blocked before it served users; bbbbbbb still serves")
    assert summary.read_text() == "before\n" + ran.out.removesuffix("\n")


def test_a_report_as_json(place: Place) -> None:
    """With `--json` stdout is what release.json has."""
    place.plan()
    ran = place.run("report", "--json", environment={})
    assert json.loads(ran.out) == json.loads((place.state / "release.json").read_text())
    assert json.loads(ran.out)["version"] == 1


def test_a_journal_that_cannot_be_read(place: Place) -> None:
    """A journal with a broken line in its middle is exit 2 for the report too."""
    place.plan()
    lines = place.journal.path.read_bytes().splitlines(keepends=True)
    place.journal.path.write_bytes(lines[0] + b"torn\n" + b"".join(lines[1:]))
    ran = place.run("report", environment={})
    assert ran.code == 2
    assert "line 2 is not a journal event" in ran.err


def test_a_state_folder_that_cannot_be_written(place: Place) -> None:
    """Where the journal cannot be written nothing is asked, exit 12."""
    place.state.write_text("in the way")
    ran = place.run("plan", "--state", ".slipway/deeper")
    assert ran.code == 12
    assert "could not be written" in ran.err
    assert place.asked == []


@pytest.mark.parametrize("text", ["render", " render ", "", " "])
def test_targets_of_the_environment(place: Place, text: str) -> None:
    """A list of targets in the environment takes the place of the file's; a blank one does not."""
    place.run("plan", environment={**WITH_KEY, "SLIPWAY_TARGETS": text})
    (release,) = [event for event in place.journal.read() if event.kind is Kind.RELEASE]
    assert release.fields["targets"] == ["render"]


def test_a_target_of_the_environment_that_does_not_exist(place: Place) -> None:
    """A target that does not exist is exit 2 with its name."""
    ran = place.run("plan", environment={**WITH_KEY, "SLIPWAY_TARGETS": "vercle"})
    assert ran.code == 2
    assert "'vercle'" in ran.err
    assert not place.state.exists()


def test_a_wrong_target_is_blamed_on_the_environment(place: Place) -> None:
    """A target that came from the environment is told with the variable that has it."""
    assert "SLIPWAY_TARGETS" in place.run("plan", environment={**WITH_KEY, "SLIPWAY_TARGETS": "vercle"}).err


def test_sigterm_ends_a_stage_in_order(tmp_path: Path) -> None:
    """A cancelled run ends with 130 at once, and its journal says that the stage was interrupted."""
    with socket.socket() as deaf:  # takes connections and never answers
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        make_checkout(tmp_path)
        (tmp_path / "slipway.toml").write_text(configuration(deaf.getsockname()[1]))
        code = "import sys; from scripts.cli import main; sys.exit(main(sys.argv[1:]))"
        passed_on = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        with subprocess.Popen(
            [sys.executable, "-c", code, "plan"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **SECRETS, **passed_on},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            journal = Journal(tmp_path / ".slipway", SystemClock(), Redactor())
            until = time.monotonic() + 20
            while time.monotonic() < until and len(journal.read()) < 2 and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, ""), err
    assert "interrupted" in err
    last = journal.read()[-1]
    assert (last.kind, last.text("stage"), last.fields["exit_code"]) == (Kind.STAGE_ENDED, "plan", 130)


def test_the_tools_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A tool verb needs neither configuration nor secrets, and gives the tool's own exit code."""
    assert main(["rehearse", "--list"], {}) == 0
    assert "good" in capsys.readouterr().out


def test_an_error_of_a_tool(capsys: pytest.CaptureFixture[str]) -> None:
    """What a tool refuses is told in the beats of an error, with its exit code."""
    assert main(["rehearse", "--drill", "no-such-drill"], {}) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error  ")
    assert "no-such-drill" in printed.err


def test_a_release_that_never_began_is_no_alarm(place: Place) -> None:
    """Where it is certain that no baseline was kept, nothing was changed; where that could not be seen, it is 13."""
    keyless = {**SECRETS, "GITHUB_ACTIONS": "true"}
    never = place.run("recover", "--kept", "kept", "--fetched", "success", environment=keyless)
    assert (never.code, place.asked) == (0, [])
    shutil.rmtree(place.state)
    unknown = place.run("recover", "--kept", "kept", "--fetched", "failure", environment=keyless)
    assert unknown.code == 13


@pytest.mark.parametrize("words", [("resolve",), ("plan",), ("rollback", "--reason", "bad")])
@pytest.mark.parametrize(
    ("event", "branch", "refused"),
    [
        ("workflow_dispatch", "main", False),
        ("workflow_dispatch", "feature/x", True),
        ("workflow_dispatch", "", True),
        ("push", "main", False),
    ],
)
def test_runs_by_hand_are_of_main(
    place: Place, words: tuple[str, ...], event: str, branch: str, *, refused: bool
) -> None:
    """A run that a person started on another branch by mistake ends with 2 before anything is asked or written."""
    environment = {**WITH_KEY, "GITHUB_EVENT_NAME": event, "GITHUB_REF_NAME": branch}
    ran = place.run(*words, environment=environment)
    assert ("releases and rollbacks are made from main" in ran.err) is refused
    if refused:
        assert (ran.code, place.asked, place.state.exists()) == (2, [], False)
