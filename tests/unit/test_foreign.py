"""Text that others wrote is shown as text, in its line and in its place."""

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scripts.foreign import GAP, LONGEST, for_html, for_markdown, for_mermaid, for_slack, plain
from tests.unit.journals import NASTY

ANY = st.text(max_size=60) | st.sampled_from(NASTY) | st.text("|\\`<>&@:/\n\u202e\ud800 a", max_size=30)
FEW = settings(max_examples=25)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a | b", r"a \| b"),
        ("a\nb\r\n\tc  d", "a b c d"),
        ("`code` *bold* _it_", r"\`code\` \*bold\* \_it\_"),
        ("[x](javascript:y)", r"\[x\](javascript:y)"),
        ("<script>", r"\<script\>"),
        ("back\\|slash", r"back\\\|slash"),
        ("\u2028new\x85line\x0b", "new line"),
        ("&lt; $x$ ~~y~~", r"\&lt; \$x\$ \~\~y\~\~"),
    ],
)
def test_in_markdown(text: str, cell: str) -> None:
    """It is neither Markdown nor HTML, and stays on its line."""
    assert for_markdown(text) == cell


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!channel> & <@U1>", f"&lt;!channel&gt; &amp; &lt;@{GAP}U1&gt;"),
        ("@all, `rm`", f"@{GAP}all, 'rm'"),
        ("see https://evil.example/x", f"see https:{GAP}//evil.example/x"),
        ('kim\'s "why"', 'kim\'s "why"'),
    ],
)
def test_in_slack(text: str, told: str) -> None:
    """It calls nobody, links nowhere and opens no code."""
    assert for_slack(text) == told


@pytest.mark.parametrize(("size", "shown"), [(LONGEST, LONGEST), (LONGEST + 1, LONGEST)])
def test_a_long_text_is_cut(size: int, shown: int) -> None:
    """One that is too long is cut, and that it was is seen; one that is just not too long is whole."""
    told = plain("x" * size)
    assert len(told) == shown
    assert told.endswith("…") is (size > LONGEST)


def test_what_is_cut_after_blanks_says_so() -> None:
    """Where only blanks were read of a text that goes on, it is not taken for an empty one."""
    assert plain(" " * 100_000 + "end") == "…"
    assert plain("   ") == ""


@FEW
@given(ANY)
@example("\ud800")
@example("\u202e")
def test_it_is_one_line_of_what_can_be_seen(text: str) -> None:
    """Whatever it holds, no control, no mark of direction and no half of a character is left, within the limit."""
    told = plain(text)
    assert len(told) <= LONGEST
    assert len(told.splitlines()) <= 1
    assert not any(unicodedata.category(mark).startswith("C") for mark in told)
    assert told.encode().decode() == told


@FEW
@given(ANY)
def test_nothing_gets_out(text: str) -> None:
    """Whatever it holds, it ends no cell, opens no element, makes no statement and calls nobody."""
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>`\[&$]", for_markdown(text))
    assert not re.search(r"[<>\"']|&(?!amp;|lt;|gt;|quot;|#x27;)", for_html(text))
    assert re.fullmatch(r"[A-Za-z0-9. -]+", for_mermaid(text))
    assert not re.search(rf"[<>`]|&(?!amp;|lt;|gt;)|@(?!{GAP})|://", for_slack(text))
