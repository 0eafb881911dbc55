"""Bad input of every verb: a spoilt file, variable or word ends in our words and exit 2, and nothing is half-done."""

import contextlib
import io
import signal
import threading
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scripts.arguments import STAGE_VERBS
from scripts.cli import main
from scripts.config import load
from scripts.errors import ConfigError
from tests.unit.test_broken_answers import spoilt
from tests.unit.test_cli import HOOK_URL, Refusing, configuration, make_checkout

SECRET = "marker-aB3xYz9Q"
FEW = 40  # of each verb: there are many
READS_CONFIG = [*STAGE_VERBS, "doctor", "build"]
CODES = {2, 10, 11, 12, 13}  # what a verb may end with where nothing can be done
QUICK = """
[baseline]
duration_s = 0.2
[deploy]
deadline_s = 1
[verify]
deadline_s = 1
[rollback]
deadline_s = 1
"""
VARIABLES = (
    *("RENDER_DEPLOY_HOOK_URL", "RENDER_API_KEY", "VERCEL_TOKEN", "VERCEL_AUTOMATION_BYPASS_SECRET"),
    *("SLIPWAY_TARGETS", "SLIPWAY_RUN_STARTED", "SLIPWAY_WEBHOOK_URL", "SLIPWAY_ENVIRONMENT"),
    *("GITHUB_SHA", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_REF_NAME", "GITHUB_EVENT_NAME", "GITHUB_ACTOR"),
    *("GITHUB_ACTIONS", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL"),
)
WORDS = st.text(st.characters(exclude_characters="\0"), max_size=30) | st.sampled_from(
    [
        "",
        " ",
        "-",
        "--",
        "HEAD",
        "HEAD~1",
        "0" * 40,
        "a" * 41,
        "../..",
        "\udcff",
        "\x1b[31m",
        "render,render",
        "NaN",
        "true",
    ]
)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    said: str


@dataclass(frozen=True)
class Stand:
    """A checkout, and a platform on loopback that refuses."""

    folder: Path
    url: str
    asked: list[str]

    def table(self) -> dict[str, Any]:
        """Give a configuration with every section, and every URL on loopback."""
        ids = {"team": "acme", "org_id": "team_1", "project_id": "prj_1"}
        vercel = {"url": self.url, "api_url": self.url, **ids}
        plain = tomllib.loads(configuration(int(self.url.rpartition(":")[2])) + QUICK)
        return {**plain, "release": {"targets": ["render", "vercel"]}, "vercel": vercel, "load": {"users": 2}}

    def run(self, words: list[str], environment: Mapping[str, str]) -> Ran:
        """Run a command in this process, in the checkout."""
        said = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                code = main(words, environment)
            except SystemExit as end:  # argparse
                code = end.code if isinstance(end.code, int) else 1
        return Ran(code, said.getvalue())


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Make the checkout, and let the platform answer."""
    folder = tmp_path_factory.mktemp("checkout")
    make_checkout(folder)
    before = signal.getsignal(signal.SIGTERM)

    class Handler(Refusing):
        asked: list[str] = []  # noqa: RUF012 - one list for each server

        def _answer(self) -> None:
            type(self).asked.append(f"{self.command} {self.path}")
            self.send_error(401)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names are those of http.server

    with pytest.MonkeyPatch.context() as patch, ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        patch.setenv("no_proxy", "*")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield Stand(folder, f"http://127.0.0.1:{server.server_port}", Handler.asked)
        finally:
            server.shutdown()
            thread.join()
            signal.signal(signal.SIGTERM, before)


@st.composite
def broken_files(draw: st.DrawFn, table: dict[str, Any]) -> bytes:
    """Give the bytes of a configuration: one place of it is anything, or it is cut off, or has a byte changed."""
    for _ in range(draw(st.integers(1, 2))):
        table = draw(spoilt(table).filter(lambda value: isinstance(value, dict)))
    try:
        data = tomli_w.dumps(table).encode()
    except (TypeError, ValueError, AttributeError):  # TOML has no null, and no number of that size
        data = b"version = 1\n[render"
    place = draw(st.integers(0, max(0, len(data) - 1)))
    return draw(st.sampled_from([data, data, data, data[:place], data[:place] + b"\xff" + data[place:]]))


def is_refused(path: Path) -> bool:
    """Whether it is no configuration: some of what is drawn is one."""
    try:
        load(path)
    except ConfigError:
        return True
    return False


@pytest.mark.parametrize("verb", READS_CONFIG)
@settings(max_examples=FEW)
@given(data=st.data())
def test_a_broken_configuration_is_refused(stand: Stand, verb: str, data: st.DataObject) -> None:
    """What cannot be a configuration is told by every verb with what is to be mended, before anything is asked."""
    path = stand.folder / "broken.toml"
    path.write_bytes(data.draw(broken_files(stand.table())))
    assume(is_refused(path))
    before = len(stand.asked)
    ran = stand.run([verb, "--config", str(path)], {"RENDER_DEPLOY_HOOK_URL": HOOK_URL})
    assert ran.code == 2, ran.said
    assert "broken.toml" in ran.said
    assert "Traceback" not in ran.said
    assert len(stand.asked) == before
    assert not (stand.folder / ".slipway").exists()


@pytest.mark.parametrize("verb", STAGE_VERBS)
@settings(max_examples=FEW)
@given(data=st.data())
def test_any_environment_ends_in_our_words(
    stand: Stand, verb: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the variables hold, a verb ends with a code of ours, without a traceback, and shows no secret."""
    path = stand.folder / "quick.toml"
    path.write_text(tomli_w.dumps(stand.table()))
    environment = data.draw(st.dictionaries(st.sampled_from(VARIABLES), WORDS, max_size=5))
    for name in data.draw(st.sets(st.sampled_from(["RENDER_API_KEY", "VERCEL_TOKEN"]))):
        environment[name] = SECRET + environment.get(name, "")
    if data.draw(st.booleans()):
        environment["RENDER_DEPLOY_HOOK_URL"] = HOOK_URL
    state = tmp_path_factory.mktemp("state")
    ran = stand.run([verb, "--config", str(path), "--state", str(state)], environment)
    assert ran.code in (CODES | {0} if verb in {"report", "rollback", "recover"} else CODES), ran.said  # of nothing
    assert "Traceback" not in ran.said
    assert SECRET not in ran.said
    assert "\x1b" not in ran.said


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--commit"],
        ["recover", "--commit"],
        ["recover", "--kept"],
        ["rollback", "--reason", "it is bad", "--to"],
        ["rollback", "--reason", "it is bad", "--target"],
        ["deploy", "--dry-run"],
        ["resolve", "--commit"],
    ],
    ids=" ".join,
)
@settings(max_examples=FEW)
@given(word=WORDS)
def test_any_word_ends_in_our_words(stand: Stand, words: list[str], word: str) -> None:
    """What a person may type for a commit, a target or a folder is taken or refused, and never a traceback."""
    path = stand.folder / "words.toml"
    path.write_text(configuration(int(stand.url.rpartition(":")[2])) + QUICK)
    named = [] if words[0] == "resolve" else ["--config", str(path), "--state", str(stand.folder / "no-state")]
    environment = {"RENDER_DEPLOY_HOOK_URL": HOOK_URL, "RENDER_API_KEY": SECRET}
    ran = stand.run([words[0], *named, *words[1:-1], f"{words[-1]}={word}"], environment)
    assert ran.code in (CODES if words[0] in {"plan", "rollback"} else CODES | {0}), ran.said
    if ran.code == 0:
        assert words[0] == "resolve" or "nothing" in ran.said
    assert "Traceback" not in ran.said
    assert SECRET not in ran.said
