"""Text that others wrote, made fit to be shown: it stays one line, in its place, and is read as text wherever it goes.

What goes into a report comes from services, platforms and people: none of it may end a table's cell, open an element,
begin a diagram's statement or call a channel.
"""

from __future__ import annotations

import html
import re
import unicodedata

LONGEST = 400  # characters
IN_MARKDOWN = re.compile(r"[\\|`*_\[\]<>&~$]")
GAP = "\u200b"  # seen by nobody; parts what would be read as a name or as a link


def plain(text: str, limit: int = LONGEST) -> str:
    """Give a text as one line of what can be seen, cut to a limit.

    Without this a lone surrogate ends the report with an error of encoding, and marks of direction let one line read as
    another.
    """
    read = text[: 4 * limit]
    seen = read if read.isprintable() else "".join(map(_visible, read))
    words = " ".join(seen.split())
    whole = len(words) <= limit and len(text) <= 4 * limit
    return words if whole else words[: limit - 1] + "…"


def _visible(mark: str) -> str:
    kind = unicodedata.category(mark)
    if kind == "Cc":
        return " "
    return "" if kind.startswith("C") else mark


def for_markdown(text: str, limit: int = LONGEST) -> str:
    """Keep a text inside its table cell, and from being read as Markdown, HTML or mathematics."""
    return IN_MARKDOWN.sub(r"\\\g<0>", plain(text, limit))


def for_html(text: str, limit: int = LONGEST) -> str:
    """Keep a text from being read as an element or an attribute's end."""
    return html.escape(plain(text, limit))


def for_slack(text: str, limit: int = LONGEST) -> str:
    """Keep a text from calling anybody, linking anywhere or opening code.

    `<!channel>` and links are written in angle brackets (https://api.slack.com/docs/message-formatting); what takes the
    same messages elsewhere also reads a plain `@all`.
    """
    told = html.escape(plain(text, limit), quote=False).replace("`", "'")
    return told.replace("@", f"@{GAP}").replace("://", f":{GAP}//")


def for_mermaid(text: str, limit: int = 40) -> str:
    """Keep of a text what can stand in a diagram: letters, digits, points and dashes, of which no statement is made."""
    return re.sub(r"[^A-Za-z0-9.-]+", " ", plain(text, limit)).strip() or "unnamed"
