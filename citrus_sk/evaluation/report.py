"""Report of a learning curve as a self-contained HTML page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from os import PathLike
from typing import Any

import numpy as np

from .._utils.files import without_home
from .._utils.html_page import html_figure, html_table, new_figure, write_page
from .curve_display import FractionCurveDisplay
from .new_person_report import new_person_block
from .new_person_result import NewPersonCurve
from .outcome_display import (
    ConfusionCurveDisplay,
    ReliabilityDisplay,
    confusion_size,
    reliability_size,
)
from .report_parts import scores_table
from .result import FractionCurve
from .score_lines import curve_size
from .score_table import TIMES, writable


def write_report(
    curve: FractionCurve,
    path: str | PathLike[str],
    *,
    title: str = "Scores over the amount of labelled data",
    notes: Sequence[str] = (),
    command: str | None = None,
    new_person: NewPersonCurve | None = None,
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
    new_person : NewPersonCurve, default=None
        Result of `new_person_curve` on the same data, to show as well.

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
        *([f"<p>Made by <code>{escape(without_home(command))}</code></p>"] if command else []),
        *(f'<p class="note">{escape(without_home(note))}</p>' for note in notes),
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
    parts += new_person_block(new_person) if new_person else []
    parts += _outcomes(curve, amounts)
    parts += ["<h2>Time</h2>", *(_scores(curve, time, amounts) for time in TIMES)]
    parts += _optimistic(curve, amounts)
    parts += _failures([*curve.failures, *(new_person.failures if new_person else [])])
    parts += _settings(curve, new_person)
    write_page(path, title, parts)


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


def _amount_text(kind: str, value: float) -> str:
    return f"{100 * value:g}\u00a0%" if kind == "fraction" else f"{value:g} per class"


def _scores(curve: FractionCurve, metric: str, amounts: Sequence[tuple[str, Any]]) -> str:
    kinds = dict.fromkeys(kind for kind, _ in amounts)
    bands = {
        name: [band for kind in kinds for _, band in curve.bands(name, metric, kind)]
        for name in curve.estimators
    }
    return scores_table(metric, [_amount_text(*amount) for amount in amounts], bands)


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
        html_table(f"{first} minus the others, {curve.metrics[0]}", head, rows),
    ]


def _outcomes(curve: FractionCurve, amounts: Sequence[tuple[str, Any]]) -> list[str]:
    """Calibration at a medium and the largest amount, and confusion matrices."""
    parts = []
    chosen = dict.fromkeys([amounts[len(amounts) // 2], amounts[-1]])
    for kind, value in chosen:
        amount: dict[str, Any] = {kind: value}
        try:
            figure, ax = new_figure(reliability_size(len(curve.estimators)))
            ReliabilityDisplay.from_curve(curve, ax=ax, **amount)
        except ValueError:  # no estimator gave probabilities
            continue
        labels = _amount_text(kind, value)
        parts.append(html_figure(figure, f"Accuracy over confidence, {labels}"))
    parts += _calibration_by_person(curve, *amounts[-1])
    for name in curve.estimators:
        try:
            figure, ax = new_figure(
                confusion_size(len(curve.fractions or curve.shots), curve.classes)
            )
            ConfusionCurveDisplay.from_curve(curve, name, ax=ax)
        except ValueError:  # every fit failed
            continue
        text = f"{name}: confusion matrices, as fractions of the true class"
        parts.append(html_figure(figure, text, "wide"))
    return ["<h2>Calibration and confusions</h2>", *parts] if parts else []


def _calibration_by_person(curve: FractionCurve, kind: str, value: Any) -> list[str]:
    of_amount: dict[str, Any] = {kind: value}
    try:
        figure, ax = new_figure(reliability_size(len(curve.estimators)))
        ReliabilityDisplay.from_curve(curve, ax=ax, by="person", **of_amount)
    except ValueError:  # no people, or no probabilities
        return []
    text = (
        f"Accuracy over mean confidence of each person, {_amount_text(kind, value)}. Below the "
        "line, the probabilities are too high for this person."
    )
    return [html_figure(figure, text)]


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
        html_table("optimistic scores", head, rows),
    ]


def _failures(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    if not failures:
        return ["<h2>Failures</h2>", "<p>None.</p>"]
    counted = Counter((row["estimator"], row["error"]) for row in failures)
    rows = [[escape(name), str(n), escape(reason)] for (name, reason), n in counted.items()]
    return [
        "<h2>Failures</h2>",
        html_table("fits that failed in whole or in part", ["", "fits", "reason"], rows, long=2),
    ]


def _settings(curve: FractionCurve, new_person: NewPersonCurve | None) -> list[str]:
    about = dict(curve.settings)
    classes = about.pop("classes", {})
    models = about.pop("estimators", {})
    if new_person is not None:  # with classifiers of its own
        models = models | new_person.settings.get("estimators", {})
    versions = about.pop("versions", {})
    counts = [[escape(label), str(n)] for label, n in classes.items()]
    plain = [[escape(str(key)), escape(str(value))] for key, value in about.items()]
    plain += [[escape(f"version of {key}"), escape(str(value))] for key, value in versions.items()]
    return [
        "<h2>Settings</h2>",
        html_table("windows by class", ["", "windows"], counts),
        html_table("classifiers", ["", "parameters"],
               [[escape(k), f"<code>{escape(text)}</code>"] for k, text in models.items()], long=1),
        html_table("evaluation", ["", "value"], plain, long=1),
    ]  # fmt: skip


def _curve_figure(curve: FractionCurve, metric: str, kind: str) -> str:
    figure, ax = new_figure(curve_size(len(curve.estimators)))
    FractionCurveDisplay.from_curve(curve, metric=metric, amount=kind, ax=ax)
    unit = "the labelled fraction" if kind == "fraction" else "the labelled windows per class"
    return html_figure(figure, f"{metric} over {unit}, with 95\u00a0% intervals")
