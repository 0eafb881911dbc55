"""A rehearsal as one HTML file: its figures, and each drill by the second. No scripts, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from scripts.foreign import for_html, plain
from scripts.page import POLICY, STYLE
from scripts.rehearsal.figures import GROUP_HEAD, cells_of_drill, count_false, rows_of_groups
from scripts.rehearsal.play import Played
from scripts.rehearsal.plots import render_classes, render_drill, worth_telling
from scripts.rehearsal.recording import Mark

FEW = 3  # drills, that are shown at once
MOST_LINES = 150
MOST_MARKS = 40
OWN_STYLE = """
h1.pass { border-color: var(--good); } h1.fail { border-color: var(--bad); }
h1.pass, h1.fail { color: var(--text); text-wrap: balance; }
.wide { overflow-x: auto; } .wide.many table { min-width: 44rem; }
.wide.many td:nth-child(-n+5) { white-space: nowrap; }
td, th { white-space: normal; }
figure svg { max-width: 34rem; } svg text { font-family: inherit !important; }
details { border-bottom: 1px solid var(--line); } details > summary { padding: .55rem 0; }
details[open] > summary { font-weight: 600; }
pre { overflow-x: auto; font-size: .75rem; line-height: 1.4; background: var(--soft); padding: .75rem; }
.key.k-line { color: var(--line); } .wrong { color: var(--bad); }
"""
DRILL_KEY = (
    ("was", "█", "the old release"),
    ("own", "█", "the new one"),
    ("odd", "█", "another"),
    ("bad", "█", "nobody"),
)


@dataclass(frozen=True)
class About:
    """What was rehearsed, when, and by which command."""

    commit: str
    command: str
    at: datetime


def render_page(played: Sequence[Played], about: About) -> str:
    """Give the whole page."""
    wrong = sum(bool(row.wrong) for row in played)
    title = f"{len(played) - wrong} of {len(played)} drills ended as stated"
    head = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}{OWN_STYLE}</style></head><body>",
        f'<h1 class="{"fail" if wrong or not played else "pass"}">{title}</h1>',
    ]
    body = [*_about(played, about), *_classes(played), *_drills(played)]
    return "\n".join([*head, *body, "</body></html>"]) + "\n"


def _about(played: Sequence[Played], about: About) -> Iterator[str]:
    greens, returns = count_false(played)
    sent = sum(row.seen.user_requests for row in played)
    yield f"<p>False greens: <strong>{greens}</strong>. False rollbacks: <strong>{returns}</strong>. "
    yield f"{sent:,} user requests were sent.</p>"
    yield f'<p class="dim"><code>{for_html(about.command)}</code> at {for_html(about.commit[:7])}, '
    yield f"{about.at:%Y-%m-%d %H:%M} UTC. Emulated platforms, their own times shortened to 1/120.</p>"


def _classes(played: Sequence[Played]) -> Iterator[str]:
    if len(played) <= FEW:
        return
    yield "<h2>By what is at fault: median and worst</h2>"
    yield from _table(GROUP_HEAD, rows_of_groups(played))
    if drawn := render_classes(played):
        yield f"<figure>{drawn}<figcaption>Each dot is a drill.</figcaption></figure>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    many = " many" if len(head) > FEW else ""
    names = "".join(f"<th>{for_html(name)}</th>" for name in head)
    yield f'<div class="wide{many}"><table><thead><tr>{names}</tr></thead><tbody>'
    for row in rows:
        yield f"<tr>{''.join(f'<td>{for_html(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"


def _drills(played: Sequence[Played]) -> Iterator[str]:
    yield "<h2>Drills</h2>"
    for row in played:
        opened = " open" if row.wrong or len(played) <= FEW else ""
        mark = '<strong class="fail">not as stated</strong>' if row.wrong else '<span class="pass">as stated</span>'
        name = f"<strong>{for_html(row.drill.name)}</strong>: {for_html(row.drill.what)}"
        yield f"<details{opened}><summary>{name} &ensp;{mark}</summary>"
        yield from _drill(row)
        yield "</details>"


def _drill(row: Played) -> Iterator[str]:
    yield from (f'<p class="wrong">{for_html(line)}</p>' for line in row.wrong)
    yield from _table(("", "stated", "seen"), cells_of_drill(row))
    if drawn := render_drill(row.drill.name, row.facts.recording):
        yield f"<figure>{drawn}<figcaption>{_key()}{''.join(_marks(row))}</figcaption></figure>"
    if row.facts.said:
        lines = [line for line in row.facts.said.splitlines() if line.strip() and not line.startswith("{")]
        told = "\n".join(for_html(line) for line in lines[:MOST_LINES])
        more = f"\n… and {len(lines) - MOST_LINES} more" if len(lines) > MOST_LINES else ""
        yield f"<details><summary>What the stages said ({len(lines)} lines)</summary><pre>{told}{more}</pre></details>"


def _key() -> str:
    items = (
        f'<span class="word"><span class="key k-{kind}">{mark}</span> {told}</span>' for kind, mark, told in DRILL_KEY
    )
    return " &ensp;".join(items)


def _marks(row: Played) -> Iterator[str]:
    for site in row.facts.recording.sites:
        told = [_tell_mark(mark) for mark in worth_telling(site.marks)[:MOST_MARKS]]
        if told:
            yield f"<br>▴ {for_html(site.name)}: {for_html('; '.join(told), 2000)}"


def _tell_mark(mark: Mark) -> str:
    return f"{mark.t_s:.1f} s {plain(mark.what).replace('_', ' ')} {mark.word}".strip()
