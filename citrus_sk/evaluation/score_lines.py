"""Lines of scores with their confidence, for displays of curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import literal, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BANDS = 3  # more shaded bands would hide each other, so they become error bars
_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro-F1",
    "neg_log_loss": "negative log loss",
    "roc_auc_ovr": "area under the ROC curve",
}


def curve_size(n_estimators: int) -> tuple[float, float]:
    """Width and height of a figure in inches, with room for the names below."""
    return 5.0, 3.6 + 0.2 * (n_estimators // 2)


def points_of(bands: Sequence[tuple[float, Mapping[str, Any]]]) -> tuple[np.ndarray, ...]:
    """Positions, means, lower and upper ends of the bands, without those that have no score."""
    table = np.array([[x, b["mean"], b["low"], b["high"]] for x, b in bands], float)
    x, mean, low, high = table[np.isfinite(table[:, 1])].T
    return x, mean, np.where(np.isnan(low), mean, low), np.where(np.isnan(high), mean, high)


def label_of(name: str, bands: Sequence[Mapping[str, Any]]) -> str:
    """Name of an estimator, with a note if some of its fits failed."""
    failed = any(band["n_scores"] < band["n_fits"] for band in bands)
    return literal(name) + (", some fits failed" if failed else "")


def draw_scores(
    ax: Axes,
    points: Mapping[str, tuple[np.ndarray, ...]],
    labels: Sequence[str],
    aside: Callable[[np.ndarray, float], np.ndarray],
    *,
    band: bool,
) -> dict[str, Any]:
    """Draw a line for each estimator, and return the lines by name.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes to draw on.
    points : mapping of str to tuple of ndarray
        Positions, means, lower and upper ends of each estimator, see `points_of`.
    labels : sequence of str
        Labels in the legend.
    aside : callable
        Function of positions and a number of steps that shifts them sideways, so that the error
        bars of several estimators do not overlap.
    band : bool
        Whether to draw confidence: as shaded bands for up to three estimators, otherwise as error
        bars.
    """
    lines = {}
    shaded = len(points) <= MOST_BANDS
    for i, (name, (x, mean, low, high)) in enumerate(points.items()):
        color, line, marker = style(i)
        if not shaded:
            x = aside(x, i - (len(points) - 1) / 2)
        (lines[name],) = ax.plot(
            x, mean, linestyle=line, marker=marker, color=color, label=labels[i], markersize=5
        )
        if band and shaded:
            # Printed in grey, overlapping shades look alike; their edges do not.
            ax.fill_between(
                x, low, high, facecolor=(color, 0.13), edgecolor=(color, 0.7), linestyle=line,
                linewidth=0.6,
            )  # fmt: skip
        elif band:
            ax.errorbar(
                x, mean, np.array([mean - low, high - mean]), fmt="none", color=color, capsize=2
            )
    return lines


def draw_chance(ax: Axes, metric: str, classes: Mapping[str, int]) -> None:
    """Draw the chance level, where it is known."""
    chance = _chance(metric, classes)
    if chance is None:
        return
    value, text = chance
    line = ax.axhline(value, color="0.45", linewidth=1, linestyle=(0, (1, 2)))
    line.set_label(f"{text}, {value:.2f}")


def label_scores(ax: Axes, metric: str) -> None:
    """Name the vertical axis, and draw its grid."""
    time = metric.endswith("_time")
    ax.set_ylabel(
        f"{metric.replace('_', ' ')} (s)" if time else literal(_NAMES.get(metric, metric))
    )
    if time:
        ax.set_yscale("log")
    ax.grid(axis="y", color="0.9")
    ax.set_axisbelow(True)


def _chance(  # noqa: PLR0911 - a table of cases
    metric: str, classes: Mapping[str, int]
) -> tuple[float, str] | None:
    """Best score of a model that knows class frequencies but not the windows, and its answer."""
    counts = np.array(list(classes.values()), float)
    if len(counts) < 2:
        return None
    frequencies = counts / counts.sum()
    if metric == "accuracy":
        return float(frequencies.max()), "commonest class"
    if metric == "balanced_accuracy":
        return 1 / len(frequencies), "any one class"
    if metric == "f1_macro":
        top = frequencies.max()
        return float(2 * top / (1 + top) / len(frequencies)), "commonest class"
    if metric == "neg_log_loss":
        positive = frequencies[frequencies > 0]
        return float((positive * np.log(positive)).sum()), "class frequencies"
    if metric.startswith("roc_auc"):
        return 0.5, "chance"
    return None
