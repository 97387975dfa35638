"""Report of a learning curve as a self-contained HTML page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Sequence
from html import escape
from os import PathLike
from typing import Any

import numpy as np

from .._utils.optional import require
from .curve_display import FractionCurveDisplay
from .outcome_display import (
    ConfusionCurveDisplay,
    ReliabilityDisplay,
    confusion_size,
    reliability_size,
)
from .result import FractionCurve
from .score_lines import curve_size
from .score_table import TIMES, writable

_STYLE = """
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


def write_report(
    curve: FractionCurve,
    path: str | PathLike[str],
    *,
    title: str = "Scores over the amount of labelled data",
    notes: Sequence[str] = (),
    command: str | None = None,
) -> None:
    """Write a page with tables, plots, comparisons, failures and settings of a curve.

    The page needs neither internet nor scripts. The same curve gives the same bytes with the same
    version of matplotlib.

    Parameters
    ----------
    curve : FractionCurve
        Result of `fraction_curve`.
    path : path-like
        File to write, such as ``report.html``.
    title : str, default="Scores over the amount of labelled data"
        Heading of the page.
    notes : sequence of str, default=()
        Warnings to show at the top.
    command : str, default=None
        Command line that made the curve, to show on the page.

    Raises
    ------
    OSError
        If `path` cannot be written.
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    path = writable(path)
    amounts = [("fraction", f) for f in curve.fractions] + [("shots", n) for n in curve.shots]
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_abstract(curve))}</p>",
        *([f"<p>Made by <code>{escape(command)}</code></p>"] if command else []),
        *(f'<p class="note">{escape(note)}</p>' for note in notes),
        "<h2>Scores</h2>",
        "<p>Means over folds and repeats, with the 95&nbsp;% interval of the corrected resampled "
        "t-test in small print, and below it the number of fits if some failed. The best mean of "
        "each column is bold; see the comparisons for whether it differs from the next.</p>",
    ]
    for metric in curve.metrics:
        parts.append(_scores(curve, metric, amounts))
        parts += [
            _curve_figure(curve, metric, kind) for kind in dict.fromkeys(a for a, _ in amounts)
        ]
    parts += _comparisons(curve)
    parts += _outcomes(curve, amounts)
    parts += ["<h2>Time</h2>", *(_scores(curve, time, amounts) for time in TIMES)]
    parts += _optimistic(curve, amounts)
    parts += _failures(curve)
    parts += _settings(curve)
    body = "\n".join(parts)
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _abstract(curve: FractionCurve) -> str:
    about = curve.settings
    shape = about.get("shape", [0])
    groups = about.get("n_groups")
    text = f"{shape[0]} windows"
    if len(shape) == 3:
        text += f" of {shape[1]} channels and {shape[2]} samples"
    text += f", {len(curve.classes)} classes"
    if groups:
        text += f", {groups} people or recordings, none of which is trained and tested on."
    else:
        text += ". No groups were passed: windows of one person or recording can be trained and "
        text += "tested on, which makes scores too good."
    return f"{text} {len(curve.estimators)} classifiers, {len(curve.rows)} fits."


def _table(
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


def _scores(curve: FractionCurve, metric: str, amounts: Sequence[tuple[str, Any]]) -> str:
    time = metric in TIMES
    bands = {
        name: {(kind, value): band for kind in ("fraction", "shots")
               for value, band in curve.bands(name, metric, kind)}
        for name in curve.estimators
    }  # fmt: skip
    best = {}
    for amount in amounts:
        means = [bands[name][amount]["mean"] for name in curve.estimators]
        known = [mean for mean in means if not math.isnan(mean)]
        best[amount] = (min(known) if time else max(known)) if known else None
    rows = []
    for name in curve.estimators:
        cells = [escape(name)]
        for amount in amounts:
            band = bands[name][amount]
            kind = ' class="best"' if band["mean"] == best[amount] else ""
            cells.append(f"<td{kind}>{_cell(band, time)}</td>")
        rows.append(cells)
    head = ["", *(f"{_amount_text(*amount)}" for amount in amounts)]
    unit = ", mean seconds" if time else ""
    return _table(f"{metric.replace('_', ' ') if time else metric}{unit}", head, rows)


def _cell(band: dict[str, Any], time: bool) -> str:
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


def survivors(band: dict[str, Any]) -> str:
    """Note on the number of fits behind a mean, if some failed."""
    n, n_fits = band["n_scores"], band["n_fits"]
    return "" if n == n_fits else f"of {n} of {n_fits} fits"


def _amount_text(kind: str, value: float) -> str:
    return f"{100 * value:g}\u00a0%" if kind == "fraction" else f"{value:g} per class"


def _comparisons(curve: FractionCurve) -> list[str]:
    """Comparisons of the first estimator with each of the others, by the first metric."""
    first, *others = curve.estimators
    if not others:
        return []
    rows = []
    for other in others:
        table = curve.compare(first, other)
        for i in range(len(table["difference"])):
            result = {name: table[name][i] for name in (
                "fraction", "shots", "difference", "low", "high", "p_holm", "n_folds")}  # fmt: skip
            kind = "shots" if math.isnan(result["fraction"]) else "fraction"
            if math.isnan(result["difference"]):
                numbers = ["failed", "", ""]
            else:
                numbers = [
                    f"{result['difference']:+.3f}",
                    f"{result['low']:+.3f} to {result['high']:+.3f}",
                    f"{result['p_holm']:.3f}",
                ]
            amount = _amount_text(kind, result[kind])
            rows.append([escape(other), amount, *numbers, str(result["n_folds"])])
    head = ["than", "labels", "difference", "95\u00a0% interval", "p (Holm)", "pairs"]
    return [
        "<h2>Comparisons</h2>",
        f"<p>Difference of <strong>{escape(first)}</strong> to the others in "
        f"{escape(curve.metrics[0])} on the same folds: corrected resampled t-test (Nadeau and "
        "Bengio, 2003), with p-values corrected by Holm's method for the number of amounts. "
        "Results on one data set do not extend to others.</p>",
        _table(f"{first} minus the others, {curve.metrics[0]}", head, rows),
    ]


def _outcomes(curve: FractionCurve, amounts: Sequence[tuple[str, Any]]) -> list[str]:
    """Calibration at a medium and the largest amount, and confusion matrices."""
    parts = []
    chosen = dict.fromkeys([amounts[len(amounts) // 2], amounts[-1]])
    for kind, value in chosen:
        amount: dict[str, Any] = {kind: value}
        try:
            figure, ax = _new_figure(reliability_size())
            ReliabilityDisplay.from_curve(curve, ax=ax, **amount)
        except ValueError:  # no estimator gave probabilities
            continue
        labels = _amount_text(kind, value)
        parts.append(_figure(figure, f"Accuracy over confidence, {labels}"))
    for name in curve.estimators:
        try:
            figure, ax = _new_figure(confusion_size(len(curve.fractions or curve.shots)))
            ConfusionCurveDisplay.from_curve(curve, name, ax=ax)
        except ValueError:  # every fit failed
            continue
        text = f"{name}: confusion matrices, as fractions of the true class"
        parts.append(_figure(figure, text, "wide"))
    return ["<h2>Calibration and confusions</h2>", *parts] if parts else []


def _optimistic(curve: FractionCurve, amounts: Sequence[tuple[str, Any]]) -> list[str]:
    names = [name for name in curve.columns if name.startswith("optimistic_")]
    rows = []
    for metric in names:
        for name in curve.estimators:
            cells = [escape(f"{name}, {metric}")]
            for kind, value in amounts:
                of_amount: dict[str, Any] = {kind: value}
                scores = np.array([row[metric] for row in curve.select(name, **of_amount)], float)
                known = scores[np.isfinite(scores)]
                cells.append(f"{known.mean():.3f}" if len(known) else "")
            rows.append(cells)
    if not rows:
        return []
    head = ["", *(_amount_text(*amount) for amount in amounts)]
    return [
        "<h2>Best test epoch</h2>",
        '<p class="note">The epoch is chosen on the test windows, which is impossible in practice. '
        "Use these scores only to compare with tables that were made in the same way.</p>",
        _table("optimistic scores", head, rows),
    ]


def _failures(curve: FractionCurve) -> list[str]:
    if not curve.failures:
        return ["<h2>Failures</h2>", "<p>None.</p>"]
    counted: dict[tuple[str, str], int] = {}
    for row in curve.failures:
        key = (row["estimator"], row["error"])
        counted[key] = counted.get(key, 0) + 1
    rows = [[escape(name), str(n), escape(reason)] for (name, reason), n in counted.items()]
    return [
        "<h2>Failures</h2>",
        _table("fits that failed in whole or in part", ["", "fits", "reason"], rows, long=2),
    ]


def _settings(curve: FractionCurve) -> list[str]:
    about = dict(curve.settings)
    classes = about.pop("classes", {})
    models = about.pop("estimators", {})
    versions = about.pop("versions", {})
    counts = [[escape(label), str(n)] for label, n in classes.items()]
    plain = [[escape(str(key)), escape(str(value))] for key, value in about.items()]
    plain += [[escape(f"version of {key}"), escape(str(value))] for key, value in versions.items()]
    return [
        "<h2>Settings</h2>",
        _table("windows by class", ["", "windows"], counts),
        _table("classifiers", ["", "parameters"],
               [[escape(k), f"<code>{escape(text)}</code>"] for k, text in models.items()], long=1),
        _table("evaluation", ["", "value"], plain, long=1),
    ]  # fmt: skip


def _curve_figure(curve: FractionCurve, metric: str, kind: str) -> str:
    figure, ax = _new_figure(curve_size(len(curve.estimators)))
    FractionCurveDisplay.from_curve(curve, metric=metric, amount=kind, ax=ax)
    unit = "the labelled fraction" if kind == "fraction" else "the labelled windows per class"
    return _figure(figure, f"{metric} over {unit}, with 95\u00a0% intervals")


def _new_figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """Figure that pyplot does not know, and its axes."""
    require("matplotlib", "A report")
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _figure(figure: Any, text: str, kind: str = "") -> str:
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
