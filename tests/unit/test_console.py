"""The only voice: what a person sees, what the runner is told, and that neither sees a secret."""

import io
import json
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts.console import Console
from scripts.redaction import Redactor, Secret

KEY = "aB3-xYz9Q"
HOOK = f"https://api.render.com/deploy/srv-abc?key={KEY}"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


class Heard:
    """A console with what it printed."""

    def __init__(self, *secrets: str, actions: bool = False) -> None:
        self._err, self._out = io.StringIO(), io.StringIO()
        redact = Redactor(Secret(secret) for secret in secrets)
        self.console = Console(redact, actions=actions, err=self._err, out=self._out)

    @property
    def err(self) -> str:
        """What went to stderr."""
        return self._err.getvalue()

    @property
    def out(self) -> str:
        """What went to stdout."""
        return self._out.getvalue()

    @property
    def lines(self) -> list[str]:
        """The lines on stderr, as a runner splits them."""
        return self.err.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def test_progress_and_result_are_apart() -> None:
    """Progress goes to stderr and the result alone to stdout."""
    heard = Heard()
    heard.console.say("plan")
    heard.console.state("render", "deploy dep-1 is live")
    heard.console.warn("no key")
    heard.console.fail("broken")
    heard.console.result("pass")
    assert heard.out == "pass\n"
    assert heard.lines == ["plan", "  render   deploy dep-1 is live", "warn   no key", "error  broken", ""]


def test_the_standard_streams_are_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Without other streams a console prints to the process's own."""
    console = Console()
    console.say("progress")
    console.result("result")
    assert capsys.readouterr() == ("result\n", "progress\n")


@pytest.mark.parametrize(
    ("outcome", "word"),
    [("pass", "ok    "), ("fail", "fail  "), ("inconclusive", "unsure"), ("error", "error "), ("odd", "odd   ")],
)
def test_an_end_has_verdict_reason_and_duration(outcome: str, word: str) -> None:
    """A stage's end is one plain line with its verdict, its reason and how long it took."""
    heard = Heard()
    heard.console.end("verify", outcome, "it answers", 2.345)
    assert heard.err == f"{word} verify: it answers (2.3 s)\n"


@pytest.mark.parametrize("value", [{"a": "ü"}, ["a"], 5, None])
def test_a_result_that_is_not_text_is_one_json_object(value: object) -> None:
    """A value is printed as one line of JSON."""
    heard = Heard()
    heard.console.result(value)
    assert json.loads(heard.out) == value
    assert heard.out.count("\n") == 1


def test_a_value_of_ours_in_a_result_becomes_text() -> None:
    """What JSON does not know is printed as text, a secret as its mark."""
    heard = Heard()
    heard.console.result({"token": Secret("abcd1234")})
    assert json.loads(heard.out) == {"token": "[redacted]"}


def test_annotations() -> None:
    """On a runner warnings, errors and stages that did not pass are annotations too; a pass is not."""
    heard = Heard(actions=True)
    heard.console.warn("no key")
    heard.console.fail("broken")
    heard.console.end("bake", "fail", "5 of 9", 1)
    heard.console.end("bake", "inconclusive", "little", 1)
    heard.console.end("bake", "error", "blind", 1)
    heard.console.end("bake", "pass", "fine", 1)
    heard.console.say("more")
    assert [line for line in heard.lines if line.startswith("::")] == [
        "::warning title=slipway::no key",
        "::error title=slipway::broken",
        "::error title=bake%3A fail::5 of 9",
        "::error title=bake%3A inconclusive::little",
        "::error title=bake%3A error::blind",
    ]


def test_no_annotations_elsewhere() -> None:
    """Without a runner nothing looks like a command to one."""
    heard = Heard()
    heard.console.warn("no key")
    heard.console.end("bake", "fail", "5 of 9", 1)
    heard.console.mask({"HOOK": Secret(HOOK)})
    assert "::" not in heard.err


def test_annotations_are_escaped() -> None:
    """A text cannot end its command or begin another: line ends and per cents are encoded, in a title more."""
    heard = Heard(actions=True)
    heard.console.end("a:b,c%\n", "fail", "50 %\r\n::set-output name=a::b", 1)
    (command,) = [line for line in heard.lines if line.startswith("::error")]
    assert command == "::error title=a%3Ab%2Cc%25%0A%3A fail::50 %25%0D%0A::set-output name=a::b"


@given(TEXTS)
def test_an_annotation_is_one_line_that_says_the_text(text: str) -> None:
    """Whatever its text, an annotation is one line, and a runner that decodes it has the text again."""
    assume("::" not in text and "##[" not in text)
    heard = Heard(actions=True)
    heard.console.warn(text)
    before, _, command = heard.err.partition("::warning title=slipway::")
    assert before == f"warn   {text}\n"
    assert command.count("\n") == 1
    assert "\r" not in command
    decoded = command.removesuffix("\n").replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    assert decoded == text


@pytest.mark.parametrize(
    "text",
    ["bad\n::stop-commands::x", "bad\r\n  ::add-mask::live", "::error::bad", "a\n\n\u2003::error::bad", "a ##[error]b"],
)
def test_no_text_is_a_command(text: str) -> None:
    """On a runner no line of a foreign text begins as a workflow command does."""
    heard = Heard(actions=True)
    heard.console.say(text)
    heard.console.state("render", text)
    heard.console.result(text)
    printed = [*heard.lines, *heard.out.splitlines()]
    assert not [line for line in printed if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("text", ["a\n::error::b", "::error::b", "##[error]b"])
def test_a_text_is_left_alone_elsewhere(text: str) -> None:
    """Without a runner a text is printed as it is."""
    heard = Heard()
    heard.console.say(text)
    heard.console.result(text)
    assert (heard.err, heard.out) == (f"{text}\n", f"{text}\n")


def test_half_of_a_pair_in_a_result_is_printed() -> None:
    """A platform's message with half of a surrogate pair in it does not end a stage with a traceback."""
    heard = Heard()
    heard.console.result({"reason": "bad \ud800"})
    assert heard.out.isascii()


def test_a_hooks_key_is_masked() -> None:
    """A runner knows the secrets that it gave, but has to be told the key inside a hook's URL."""
    heard = Heard(HOOK, "rnd_1234", actions=True)
    heard.console.mask({"HOOK": Secret(HOOK), "KEY": Secret("rnd_1234")})
    assert heard.err == f"::add-mask::{KEY}\n"


@pytest.mark.parametrize("key", ["ab%cd\nef", "ab%25cd"])
def test_a_mask_is_escaped(key: str) -> None:
    """What a runner decodes from the mask is the key itself, on one line."""
    heard = Heard(actions=True)
    heard.console.mask({"HOOK": Secret(f"https://api.render.com/deploy/srv-abc?key={quote(key, safe='')}")})
    (line, _) = heard.lines
    masked = line.removeprefix("::add-mask::")
    assert masked.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%") == key


@pytest.mark.parametrize("actions", [False, True])
def test_no_secret_is_printed(actions: bool) -> None:
    """Nothing that is printed holds a secret, on either stream, as a line, an annotation or JSON."""
    heard = Heard(HOOK, "rnd_1234", actions=actions)
    text = f"POST {HOOK} with rnd_1234 and {KEY}"
    heard.console.say(text)
    heard.console.state("render", text)
    heard.console.end("bake", "fail", text, 1)
    heard.console.warn(text)
    heard.console.fail(text)
    heard.console.result(text)
    heard.console.result({"text": text})
    printed = heard.err + heard.out
    assert KEY not in printed
    assert "rnd_1234" not in printed
    assert printed.count("[redacted]") == 3 * (10 if actions else 7)


@pytest.mark.parametrize("secret", ['pass"word', "back\\slash"])
def test_no_secret_is_printed_escaped(secret: str) -> None:
    """A secret with a quote or a backslash is not in a JSON result either."""
    heard = Heard(secret)
    heard.console.result({"reason": f"token {secret}"})
    assert secret not in json.loads(heard.out)["reason"]


def test_lines_of_a_file_are_marked_in_actions_only() -> None:
    """An annotation names file and lines, escaped and redacted; without a runner nothing is written."""
    for actions in (True, False):
        heard = Heard(KEY, actions=actions)
        heard.console.annotate("warning", f"two\nlines {KEY}", path="app/x,y.py", line=3, end_line=7, title="a: b")
        marked = "::warning title=a%3A b,file=app/x%2Cy.py,line=3,endLine=7::two%0Alines [redacted]\n"
        assert heard.err == (marked if actions else "")
