"""Parts of a report: tables and figures in HTML."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from .._utils.optional import require
from .score_table import TIMES

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --line: #d0d0d0; --faint: #f3f3f3 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #161616; --line: #444; --faint: #242424 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.5rem } h3 { font-size: 1rem }
.box { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .3rem 0; font-weight: 600 }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  white-space: nowrap; vertical-align: top }
tbody th { position: sticky; left: 0; background: var(--paper) }
td.long { white-space: normal; min-width: 16rem }
thead th { background: var(--faint) }
td small { opacity: .75 } td.best { font-weight: 700 }
figure { margin: 1rem 0; padding: .5rem; background: #fff; border-radius: .4rem }
figure img { display: block; width: 100%; height: auto }
figure.wide { overflow-x: auto } figure.wide img { min-width: 30rem }
figcaption { color: #333; font-size: .85rem }
.note { border-left: 4px solid #d55e00; padding: .3rem .8rem; background: var(--faint) }
@media (max-width: 36rem) {
  th, td { padding: .25rem .4rem } tbody th { white-space: normal; overflow-wrap: break-word }
  td small { white-space: normal }
}
@media print { body { max-width: none } .box { overflow: visible } }
"""


def html_table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], long: int | None = None
) -> str:
    """Table in HTML. Cells are HTML already; the first cell of a row is its heading."""
    lines = [f'<div class="box"><table>\n<caption>{escape(caption)}</caption>\n<thead><tr>']
    lines += [f'<th scope="col">{escape(name)}</th>' for name in head]
    lines.append("</tr></thead>\n<tbody>")
    for row in rows:
        cells = [f'<th scope="row">{row[0]}</th>']
        for column, cell in enumerate(row[1:], start=1):
            kind = ' class="long"' if column == long else ""
            cells.append(cell if cell.startswith("<td") else f"<td{kind}>{cell}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</tbody>\n</table></div>")
    return "\n".join(lines)


def scores_table(
    metric: str, head: Sequence[str], bands: Mapping[str, Sequence[Mapping[str, Any]]]
) -> str:
    """Table of means with intervals, the best of each column in bold.

    Parameters
    ----------
    metric : str
        Metric, or a time.
    head : sequence of str
        Headings of the columns.
    bands : mapping of str to sequence of mapping
        Summaries of each estimator, one for each column.
    """
    time = metric in TIMES
    best = []
    for column in zip(*bands.values(), strict=True):
        known = [band["mean"] for band in column if not math.isnan(band["mean"])]
        best.append((min(known) if time else max(known)) if known else None)
    rows = []
    for name, of_estimator in bands.items():
        cells = [escape(name)]
        for band, best_mean in zip(of_estimator, best, strict=True):
            kind = ' class="best"' if band["mean"] == best_mean else ""
            cells.append(f"<td{kind}>{_cell(band, time)}</td>")
        rows.append(cells)
    caption = f"{metric.replace('_', ' ')}, mean seconds" if time else metric
    return html_table(caption, ["", *head], rows)


def _cell(band: Mapping[str, Any], time: bool) -> str:
    if math.isnan(band["mean"]):
        return "failed"
    if time:
        return f"{band['mean']:.3g}"
    spread = (
        ""
        if math.isnan(band["low"])
        else (f"<br><small>{band['low']:.3f} to {band['high']:.3f}</small>")
    )
    partly = f"<br><small>{part}</small>" if (part := survivors(band)) else ""
    return f"{band['mean']:.3f}{spread}{partly}"


def survivors(band: Mapping[str, Any]) -> str:
    """Note on the number of fits behind a mean, if some failed."""
    n, n_fits = band["n_scores"], band["n_fits"]
    return "" if n == n_fits else f"of {n} of {n_fits} fits"


def new_figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """Figure that pyplot does not know, and its axes."""
    require("matplotlib", "A report")
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def html_figure(figure: Any, text: str, kind: str = "") -> str:
    """Figure as an image within the page, a document of its own, so that identifiers are unique."""
    from matplotlib import rc_context

    out = io.BytesIO()
    with rc_context({"svg.hashsalt": "citrus_sk", "svg.fonttype": "path"}):
        figure.savefig(
            out, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
        )
    data = base64.b64encode(out.getvalue()).decode()
    # Wide enough for letters of the size of the page, or as wide as a narrower screen.
    width = f"{7 * figure.get_figwidth():.0f}rem"
    return (
        f'<figure class="{kind}" style="max-width: {width}">'
        f'<img alt="{escape(text)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )
