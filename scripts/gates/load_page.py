"""A comparison of two commits' speed as one HTML file, and as a table: no scripts, nothing from elsewhere.

What commits and faults say is foreign, and stays text. How it is drawn is left to `load_plots` and `load_spread`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from scripts.foreign import for_html, plain
from scripts.gates.load_plots import PLOT_STYLE, change_at, measured_of, render_ratios, tell_change
from scripts.gates.load_spread import render_strips, render_times, tell_median
from scripts.gates.recorded import SIDES, Epoch, Run
from scripts.gates.slower import BY_NAME, LOOKS, METRICS, MOST_EPOCHS, Comparison, Finding, Measured, Metric
from scripts.page import POLICY, STYLE
from scripts.verdict import Outcome

MOST_FAULTS = 20
UNKNOWN = "–"
NOT_MEASURED = "not measured"
STRIPS = (BY_NAME["throughput"], BY_NAME["cpu"])
OWN_STYLE = """
h1.pass, h1.fail, h1.inconclusive { color: var(--text); text-wrap: balance; }
h1.pass { border-color: var(--good); } h1.fail { border-color: var(--bad); }
li { overflow-wrap: anywhere; } tbody th { width: 24%; }
@media (max-width: 40rem) { table { font-size: .75rem; } th, td { padding-right: .3rem; } tbody th { width: auto; } }
.wide { overflow-x: auto; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.25rem 2rem; }
.plots figure { break-inside: avoid; }
@media print { :root { color-scheme: light; --text: #000; --dim: #444; --back: #fff; --soft: #fff; --line: #bbb;
  --good: #1a7f37; --bad: #c62828; --odd: #a15c00; --own: #1f6feb; --was: #555; }
  body { max-width: none; padding: 0; } .plots { grid-template-columns: 1fr 1fr; } h2, tr { break-after: avoid; } }
"""


def render_load_page(run: Run) -> str:
    """Give the whole page."""
    title = title_of(run)
    head = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{for_html(title)}</title><style>{STYLE}{PLOT_STYLE}{OWN_STYLE}</style></head><body>",
    ]
    body = [f'<h1 class="{kind_of(run)}">{_tied(for_html(title))}</h1>', *_faults(run), *_facts(run)]
    body += [*_figures(run), *_ratios(run), *_both(run), *_limits()]
    return "\n".join([*head, *body, "</body></html>"]) + "\n"


def kind_of(run: Run) -> Outcome:
    """Give what the page is coloured by: a pass with a fault, or of nothing, is none."""
    outcome = run.comparison.outcome
    if outcome is Outcome.FAIL and run.comparison.measured:
        return Outcome.FAIL
    fine = outcome is Outcome.PASS and run.comparison.measured and not run.faults
    return Outcome.PASS if fine else Outcome.INCONCLUSIVE


def title_of(run: Run) -> str:
    """Give the verdict in words, and that there are faults."""
    told, count = _verdict(run.comparison, len(run.epochs)), len(run.faults)
    if not count:
        return told
    faults = _count(count, "fault")
    passed = run.comparison.outcome is Outcome.PASS and run.comparison.measured
    return f"Not a pass: {told[0].lower()}{told[1:]}, but {faults}" if passed else f"{told}; {faults}"


def _verdict(comparison: Comparison, epochs: int) -> str:
    if not comparison.measured:
        return "Inconclusive: nothing was measured"
    match comparison.outcome:
        case Outcome.FAIL:
            return f"Slower: {_named(comparison, Finding.SLOWER)}"
        case Outcome.PASS:
            faster = _named(comparison, Finding.FASTER)
            return f"Faster: {faster}" if faster else "Not slower"
        case None:
            return f"Inconclusive: stopped after {_count(epochs, 'epoch')}, before a look decided"
        case _:
            unclear = ", ".join(row.metric.title for row in comparison.of(Finding.UNCLEAR)) or "nothing"
            return f"Inconclusive: {unclear} could not be told from noise"


def _named(comparison: Comparison, finding: Finding) -> str:
    return ", ".join(f"{row.metric.title} {tell_change(row.change)}" for row in comparison.of(finding))


def _count(count: int, what: str, more: str = "s") -> str:
    return f"{count} {what}{'' if count == 1 else more}"


def _faults(run: Run) -> list[str]:
    if not run.faults:
        return []
    more = len(run.faults) - MOST_FAULTS
    told = [f"<li>{for_html(fault) or 'a fault without words'}</li>" for fault in run.faults[:MOST_FAULTS]]
    return ["<h2>Faults</h2><ul>", *told, *([f"<li>and {more} more</li>"] if more > 0 else []), "</ul>"]


def _facts(run: Run) -> Iterator[str]:
    """Say what was compared, and by how much of what."""
    commits = " → ".join(_commit(run.commits.get(side, "")) for side in SIDES)
    rows = [
        ("base → head", commits),
        ("load", f"{_count(run.users, 'user')} on each, without a pause, in {_count(run.workers, 'process', 'es')}"),
        ("measured", f"{_count(len(run.epochs), 'epoch')}, {run.measured_s:.1f} s; {_requests(run.epochs)}"),
        ("looks", _looks(run)),
    ]
    if run.comparison.verdict.next_step and kind_of(run) is not Outcome.PASS:
        rows.append(("next", for_html(run.comparison.verdict.next_step)))
    yield "<table><tbody>"
    yield from (f'<tr><th scope="row">{name}</th><td>{told}</td></tr>' for name, told in rows)
    yield "</tbody></table>"


def _commit(commit: str) -> str:
    told = plain(commit)
    return f'<code title="{for_html(told)}">{for_html(told[:7])}</code>' if told else "unknown"


def _requests(epochs: Sequence[Epoch]) -> str:
    counts = (sum(epoch.sides[side].requests for epoch in epochs if side in epoch.sides) for side in SIDES)
    busiest = max(_finite(figures.client for epoch in epochs for figures in epoch.sides.values()), default=0.0)
    told = " and ".join(f"{count:,}" for count in counts)
    return f"{told} requests; the users' busiest process took {busiest:.2f} CPU seconds a second"


def _finite(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _looks(run: Run) -> str:
    comparison, reached = run.comparison, [str(look) for look in LOOKS if look <= len(run.epochs)]
    if not reached:
        return f"none: the first is after {min(LOOKS)} epochs"
    if comparison.outcome in {Outcome.PASS, Outcome.FAIL}:
        return f"the one after {_count(comparison.epochs, 'epoch')} decided"
    last = ", the last one" if comparison.epochs >= MOST_EPOCHS else ""
    return f"after {', '.join(reached)} epochs{last}: none decided"


Cell = Callable[[Metric, Measured | None], str]


def _figures(run: Run) -> Iterator[str]:
    """Give what was found, a column for each metric: a telephone is narrow."""
    judged = _judged(run.comparison, run.epochs)
    looked = run.comparison.epochs >= min(LOOKS)
    rows: Mapping[str, Cell] = {
        "base": lambda metric, _: tell_median(judged, "base", metric.name),
        "head": lambda metric, _: tell_median(judged, "head", metric.name),
        "change": lambda _, row: tell_change(row.change) if row else UNKNOWN,
        "alarm from": lambda metric, _: tell_change(change_at(metric, metric.alarm)),
        "ruled out": lambda metric, row: _ruled_out(metric, row) if looked else UNKNOWN,
        "p": lambda _, row: _p(row.p) if row and looked else UNKNOWN,
        "finding": lambda _, row: f"<strong>{row.finding}</strong>" if row else NOT_MEASURED,
    }
    found = [(metric, measured_of(run.comparison, metric)) for metric in METRICS]
    names = "".join(f'<th scope="col">{metric.title}</th>' for metric in METRICS)
    yield f'<h2>Figures</h2><div class="wide"><table><thead><tr><td></td>{names}</tr></thead><tbody>'
    for name, cell in rows.items():
        cells = "".join(f"<td>{_tied(cell(metric, row))}</td>" for metric, row in found)
        yield f'<tr><th scope="row">{name}</th>{cells}</tr>'
    yield f'</tbody></table></div><p class="dim">{_explained()}</p>'


def _tied(told: str) -> str:
    """Keep a number and its unit on one line."""
    return told.replace(" %", "&nbsp;%").replace(" ms", "&nbsp;ms")


def _judged(comparison: Comparison, epochs: Sequence[Epoch]) -> Sequence[Epoch]:
    """Leave out what came after the look: the change knows nothing of it."""
    return epochs[: comparison.epochs]


def _ruled_out(metric: Metric, row: Measured | None) -> str:
    if row is None:
        return UNKNOWN
    return f"{tell_change(change_at(metric, metric.ruled_out))}: {'yes' if row.ruled_out else 'no'}"


def _p(p: float) -> str:
    return "&lt; 0.0001" if p < 0.0001 else f"{p:.2g}"


def _explained() -> str:
    first, *later = LOOKS.values()
    return (
        "Base and head: the median of the epochs. Change: the Hodges–Lehmann estimate of head over base within each "
        "epoch, which is not the quotient of the two medians. p: of “slower”, by Wilcoxon’s signed ranks, corrected "
        f"for all metrics. An alarm asks for a p of at most {first:g} at the first look and {max(later):g} at each "
        "later one, and for a change beyond “alarm from”. Ruled out: whether the epochs exclude a slowdown of so "
        "much. Throughput is divided by a slowdown, so that 3 % slower is −2.9 %."
    )


def _ratios(run: Run) -> list[str]:
    drawn = [picture for metric in METRICS if (picture := render_ratios(run, metric))]
    told = (
        "● an epoch, ◆ one that is slow enough for an alarm, ○ or ◇ one after the last look, not judged; "
        "dashed: from where on the estimate is an alarm; dotted: the looks."
    )
    return _plots("Epoch by epoch", drawn, told)


def _both(run: Run) -> list[str]:
    drawn = [picture for picture in (render_times(run), render_strips(run, STRIPS)) if picture]
    told = (
        "○ and dashed: base; ◆ and solid: head. Answers: all of all epochs, on a logarithmic scale of time that leaves "
        "out the fastest and the slowest of 200. Epochs: a mark for each, and a line at the median."
    )
    return _plots("Both beside each other", drawn, told)


def _plots(title: str, drawn: Iterable[str], told: str) -> list[str]:
    figures = [f"<figure>{picture}</figure>" for picture in drawn]
    return [f'<h2>{title}</h2><div class="plots">', *figures, f'</div><p class="dim">{told}</p>'] if figures else []


def _limits() -> list[str]:
    throughput, p50, cpu = (_per_cent(BY_NAME[name].ruled_out) for name in ("throughput", "p50", "cpu"))
    told = (
        "It holds for this machine, this load and these requests alone. A slowdown is promised to be found where it is "
        f"{throughput} in throughput, {p50} in p50 or {cpu} in CPU per request; a smaller one may pass. p95 counts "
        f"from {_per_cent(BY_NAME['p95'].alarm)} on only. The figures of one side are no "
        "measure of production: a shared machine makes them what they are, and only their quotient is judged."
    )
    return [f"<h2>What this does not show</h2><p>{told}</p>"]


def _per_cent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def render_table(comparison: Comparison, epochs: Sequence[Epoch]) -> list[tuple[str, ...]]:
    """Give rows of text for a terminal or a step's summary, the head first; of what is not known a dash."""
    judged = _judged(comparison, epochs)
    rows: list[tuple[str, ...]] = [("metric", *SIDES, "change", "finding")]
    for metric in METRICS:
        row = measured_of(comparison, metric)
        medians = (tell_median(judged, side, metric.name) for side in SIDES)
        rows.append(
            (metric.title, *medians, tell_change(row.change) if row else UNKNOWN, row.finding if row else NOT_MEASURED)
        )
    return rows
