"""A release as one HTML file, for a phone at night: no scripts, nothing from elsewhere, every foreign text escaped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from scripts.curves import render_bets
from scripts.evidence import WAY_BACK, Evidence
from scripts.foreign import for_html
from scripts.journal import Event
from scripts.judging.curve import tell
from scripts.picture import render_gantt, render_probes, shown_watches
from scripts.release import Stage, short
from scripts.report import (
    from_and_to,
    judge_result,
    names_of,
    outcome_of,
    reason_of,
    seconds_of,
    state_of,
    title_of,
)
from scripts.state import RunState, TargetState, replay
from scripts.summary import (
    MOST_TARGETS,
    NAME,
    NO_JOURNAL,
    NO_REASON,
    SOMEBODY,
    UNKNOWN,
    own_next_step,
    tell_answers,
    tell_counts,
    tell_latency,
    told_next_step,
)
from scripts.timeline import both_ends
from scripts.verdict import BASELINE

MOST_EVENTS = 1000
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --dim: #59636e; --back: #fff; --soft: #f3f5f7; --line: #d5dae0;
  --good: #1a7f37; --bad: #c62828; --odd: #a15c00; --own: #1f6feb; --was: #6e7781; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ed; --dim: #9aa4af; --back: #0f1318; --soft: #1a2027;
  --line: #333c46; --good: #3fb950; --bad: #ff6b63; --odd: #e3a33b; --own: #58a6ff; --was: #8b949e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 56rem; background: var(--back); color: var(--text);
  font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .5rem; padding: .75rem 1rem; border-left: .4rem solid var(--odd);
  background: var(--soft); border-radius: .3rem; }
h1.rolled_out { border-color: var(--good); } h1.still_broken { border-color: var(--bad); }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p { margin: .5rem 0; } p.dim, span.dim, figcaption { color: var(--dim); font-size: .875rem; }
table { width: 100%; border-collapse: collapse; font-size: .875rem; }
th, td { padding: .35rem .5rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--dim); font-weight: 600; } td.number { white-space: nowrap; }
td.text { overflow-wrap: anywhere; }
code, time { font-family: ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; font-size: .92em; }
time, .word, td code { white-space: nowrap; }
.pass { color: var(--good); } .fail { color: var(--bad); } .error, .inconclusive, .lost { color: var(--odd); }
figure { margin: 0; } svg { display: block; width: 100%; height: auto; }
svg text { font-size: 14px; fill: var(--text); } svg text.dim { fill: var(--dim); } svg text.inside { fill: #fff; }
.grid { stroke: var(--line); fill: none; } .panel { fill: var(--soft); } .bar { fill: var(--odd); }
.bar.pass { fill: #1a7f37; } .bar.fail { fill: #c62828; } .bar.error, .bar.inconclusive { fill: #8f5200; }
.bar.lost { fill: var(--soft); stroke: var(--odd); stroke-dasharray: 4 3; }
.mark { stroke: var(--own); stroke-width: 2; } .mark.intent { fill: var(--back); } .mark.done { fill: var(--own); }
.mark.failed { stroke: var(--bad); stroke-width: 3; fill: none; }
.mark.proof { stroke: var(--good); fill: var(--good); }
.own, .was { fill: none; stroke: var(--own); stroke-width: 5; stroke-linecap: round; } .was { stroke: var(--was); }
.other { fill: none; stroke: var(--odd); stroke-width: 1.5; } .bad { stroke: var(--bad); stroke-width: 2.2; }
.other.bad { stroke: var(--odd); }
.key { display: inline-block; width: 1.1em; text-align: center; font-weight: 700; } .key.k-own { color: var(--own); }
.key.k-was { color: var(--was); } .key.k-other { color: var(--odd); } .key.k-bad { color: var(--bad); }
.key.k-good { color: var(--good); } .key.k-odd { color: var(--odd); }
.bet { fill: none; stroke-width: 1.8; } .bet.errors { stroke: var(--bad); } .bet.latency { stroke: var(--odd); }
.bet.tail { stroke: var(--was); } .bet.sum { stroke: var(--own); stroke-width: 3.5; }
.proof { stroke: var(--bad); stroke-dasharray: 6 4; fill: none; }
summary { cursor: pointer; padding: .4rem 0; }
@media (max-width: 40rem) { svg text { font-size: 20px; } body { padding: .75rem; } }
"""
STEPS_KEY = (("own", "○", "asked for"), ("own", "●", "accepted"), ("bad", "×", "refused"), ("good", "◆", "proven"))
BETS_KEY = (
    ("own", "━", "all together"),
    ("bad", "─", "failures"),
    ("odd", "─", "slower pairs"),
    ("was", "─", "slow answers"),
)
PROBES_KEY = (
    ("was", "●", "baseline"),
    ("own", "●", "the commit to be proven"),
    ("other", "□", "another one, before it answered or beside it"),
    ("bad", "×", "failed"),
)


def render_page(events: Iterable[Event], evidence: Sequence[Evidence] = ()) -> str:
    """Give the whole page."""
    rows = list(events)
    state = replay(rows)
    body = [f'<h1 class="{judge_result(state)}">{for_html(title_of(state))}</h1>', *_about(state)]
    if rows:
        body += [*_targets(state), *_stages(state), *_gantt(rows)]
        body += [*_evidence(evidence), *_bets(evidence), *_probes(evidence), *_journal(rows)]
    else:
        body.append(f"<p>{NO_JOURNAL}</p>")
    head = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{for_html(title_of(state))}</title><style>{STYLE}</style></head><body>",
    ]
    return "\n".join([*head, *body, "</body></html>"]) + "\n"


def _about(state: RunState) -> list[str]:
    step = for_html(told_next_step(state) or own_next_step(state).replace("`", ""))
    lines = [f"<p><strong>Next:</strong> {step}</p>"] if step else []
    if (release := state.release) is None:
        return lines
    why = for_html(release.why) or NO_REASON
    asked = f"<p>Asked for by <strong>{for_html(release.by, NAME) or SOMEBODY}</strong>: {why}</p>"
    run = f"Run {for_html(release.run_id, NAME)}, {release.started_at.isoformat(' ', 'minutes')}"
    return [*([asked] if release.by_hand else []), *lines, f'<p class="dim">{run}</p>']


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Give a table; the cells bring their own element."""
    names = "".join(f"<th>{name}</th>" for name in head)
    return [
        f"<table><thead><tr>{names}</tr></thead><tbody>",
        *(f"<tr>{''.join(row)}</tr>" for row in rows),
        "</tbody></table>",
    ]


def _cell(told: str, kind: str = "") -> str:
    return f'<td class="{kind}">{told}</td>' if kind else f"<td>{told}</td>"


def _targets(state: RunState) -> list[str]:
    rows = [_target(state, name) for name in names_of(state)[:MOST_TARGETS]]
    return ["<h2>Targets</h2>", *_table(("target", "from", "to", "state", "proven"), rows)] if rows else []


def _target(state: RunState, name: str) -> list[str]:
    old, new = from_and_to(state, name)
    proven = short(state.targets.get(name, TargetState()).proven)
    codes = [_cell(f"<code>{part}</code>") for part in (old, new)]
    return [_cell(for_html(name, NAME)), *codes, _cell(state_of(state, name)), _cell(f"<code>{proven}</code>")]


def _stages(state: RunState) -> list[str]:
    rows = []
    for stage, row in state.stages.items():
        seconds, outcome = seconds_of(row), outcome_of(row)
        took = "" if seconds is None else f"{seconds:.1f}"
        verdict = _cell(f'<strong class="{outcome}">{outcome}</strong>')
        rows.append([_cell(stage), verdict, _cell(for_html(reason_of(row)), "text"), _cell(took, "number")])
    return ["<h2>Stages</h2>", *_table(("stage", "verdict", "reason", "s"), rows)] if rows else []


def _key(rows: Iterable[tuple[str, str, str]]) -> str:
    items = (f'<span class="key k-{kind}">{mark}</span> {told}' for kind, mark, told in rows)
    return " &ensp;".join(f'<span class="word">{item}</span>' for item in items)


def _gantt(events: Sequence[Event]) -> list[str]:
    drawn = render_gantt(events)
    caption = f"<figcaption>UTC. {_key(STEPS_KEY)}</figcaption>"
    return ["<h2>When</h2><figure>", drawn, f"{caption}</figure>"] if drawn else []


def _bets(evidence: Iterable[Evidence]) -> list[str]:
    lines = []
    for row in list(evidence)[:MOST_TARGETS]:
        if drawn := render_bets(row.curve, row.target):
            told = f"{_key(BETS_KEY)}<br>Evidence against the release: {tell(row.curve)}. 1000 is proof."
            name = for_html(row.target, NAME)
            lines += [f"<h2>Bets on {name}</h2><figure>", drawn, f"<figcaption>{told}</figcaption></figure>"]
    return lines


def _probes(evidence: Iterable[Evidence]) -> list[str]:
    lines = []
    for row in list(evidence)[:MOST_TARGETS]:
        if drawn := render_probes(row):
            lines += [f"<h2>Probes of {for_html(row.target, NAME)}</h2><figure>", drawn, _probes_caption(row)]
    return lines


def _probes_caption(row: Evidence) -> str:
    left_out = len(row.watches) - len(shown_watches(row))
    notes = [
        "Each part counts from its own beginning, the baseline up to its end; a proof does not time /version.",
        f"{left_out} parts in between are not drawn." if left_out else "",
        "There are more probes than were read." if row.cut else "",
    ]
    return f"<figcaption>{_key(PROBES_KEY)}<br>{' '.join(filter(None, notes))}</figcaption></figure>"


def _evidence(evidence: Sequence[Evidence]) -> list[str]:
    """Give the evidence with a column for each target: there are few of them, and a phone is narrow."""
    columns = [_column(row) for row in evidence[:MOST_TARGETS] if row.answered or row.planned or row.watches]
    if not columns:
        return []
    names = [name for name in columns[0] if any(column[name] != UNKNOWN for column in columns)]
    rows = [[_cell(name), *(_cell(column[name]) for column in columns)] for name in names[1:]]
    return ["<h2>Evidence</h2>", *_table(["", *(column["target"] for column in columns)], rows)]


def _column(row: Evidence) -> dict[str, str]:
    answered, worst = row.answered, row.worst(Stage.VERIFY, Stage.PROMOTE, Stage.BAKE)
    ids = ", ".join(for_html(name, NAME) for name in answered.instances[:5]) if answered else ""
    proof = (
        f"<code>{short(answered.commit)}</code>, {tell_answers(answered.answers, len(answered.instances))}"
        if answered
        else "none"
    )
    return {
        "target": for_html(row.target, NAME),
        "last proof": f'{proof}<br><span class="dim">{ids}</span>' if ids else proof,
        "probes in the baseline": tell_counts(row.counts(BASELINE)),
        "probes in verify": tell_counts(row.counts(Stage.VERIFY)),
        "probes in the bake": tell_counts(row.counts(Stage.BAKE)),
        "probes on the way back": tell_counts(row.counts(*WAY_BACK)),
        "most failures": f"{for_html(worst[0], NAME)}: {tell_counts(worst[1])}" if worst else UNKNOWN,
        "p50 / p95 before": tell_latency(row.latency(BASELINE)),
        "p50 / p95 in verify": tell_latency(row.latency(Stage.VERIFY, Stage.PROMOTE)),
        "p50 / p95 in the bake": tell_latency(row.latency(Stage.BAKE)),
    }


def _journal(events: Sequence[Event]) -> list[str]:
    shown, left_out = both_ends(events, MOST_EVENTS)
    rows = [_event(event) for event in shown]
    more = f"; {left_out} between the first and the last ones are left out" if left_out else ""
    table = _table(("UTC", "event", "target", "what"), rows)
    return [f"<h2>Journal</h2><details><summary>{len(events)} events{more}</summary>", *table, "</details>"]


def _event(event: Event) -> list[str]:
    fields = [f"{name}: {_told(value)}" for name, value in event.fields.items() if _worth_telling(name, value)]
    when = _cell(f"<time>{event.at:%H:%M:%S}</time>")
    kind = _cell(event.kind.replace("_", " "), "word")
    return [when, kind, _cell(for_html(event.target, NAME)), _cell(for_html("; ".join(fields)) or UNKNOWN, "text")]


def _worth_telling(name: str, value: object) -> bool:
    """Leave out what the tables above have, and what is empty."""
    return name != "seconds" and not isinstance(value, dict) and value not in (None, "", [], False)


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
