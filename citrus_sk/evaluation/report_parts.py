"""Table of scores for a report in HTML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .._utils.html_page import html_table
from .score_table import TIMES


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
