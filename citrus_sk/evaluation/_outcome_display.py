"""What classifiers answered, as pictures: how sure and how right, and what for what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import legend_below, literal, new_axes, style
from ._result import FractionCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES_INCHES = 1.2  # what the names of classes and the colour bar take up beside the matrices


def reliability(rows: list[dict[str, Any]]) -> np.ndarray | None:
    """Windows, confidence summed and number right in each bin, over rows; None where unknown."""
    known = [row["reliability"] for row in rows if row.get("reliability")]
    return np.sum(known, axis=0) if known else None


def expected_calibration_error(bins: np.ndarray) -> float:
    """Mean distance of confidence and accuracy, by windows (Guo et al., 2017)."""
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / max(1.0, bins[:, 0].sum()))


@dataclass(kw_only=True, eq=False, repr=False)
class ReliabilityDisplay:
    """How often a classifier is right, over how sure it is.

    Make one with `from_curve`; it is drawn at once, and again by `plot`.

    Parameters
    ----------
    bins : dict of str to ndarray of shape (10, 3)
        By estimator: windows, sum of confidence and number right in ten bins of confidence, which
        is the probability of the predicted class.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    References
    ----------
    .. [1] Guo, Pleiss, Sun and Weinberger (2017). On calibration of modern neural networks. ICML.
    """

    bins: dict[str, np.ndarray]
    ax_: Axes | None = None
    figure_: Figure | None = None

    @classmethod
    def from_curve(
        cls,
        curve: FractionCurve,
        *,
        fraction: float | None = None,
        shots: int | None = None,
        ax: Axes | None = None,
    ) -> ReliabilityDisplay:
        """Draw the estimators of a curve at one amount of data, over all folds.

        Parameters
        ----------
        curve : FractionCurve
        fraction, shots : float or int, default=None
            The amount; the largest fraction, or number of shots, where both are None.
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        ValueError
            If no estimator has probabilities.
        """
        amount = pick_amount(curve, fraction, shots)
        found = {
            name: bins
            for name in curve.estimators
            if (bins := reliability(curve.select(name, **amount))) is not None
        }
        if not found:
            raise ValueError(
                "no estimator of this curve gave probabilities there; wanted one with "
                "predict_proba."
            )
        return cls(bins=found).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> ReliabilityDisplay:
        """Draw; on a new figure where `ax` is None.

        Returns
        -------
        ReliabilityDisplay
            Itself.
        """
        ax = new_axes(ax, (4.2, 4.6))
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":", label="as sure as right")
        for place, (name, bins) in enumerate(self.bins.items()):
            color, line, marker = style(place)
            bins = bins[bins[:, 0] > 0]
            x, y = bins[:, 1] / bins[:, 0], bins[:, 2] / bins[:, 0]
            ax.plot(x, y, color=color, linestyle=line, linewidth=1)
            size = 8 + 90 * bins[:, 0] / bins[:, 0].sum()
            text = f"{literal(name)}, error {expected_calibration_error(bins):.3f}"
            ax.scatter(x, y, s=size, color=color, marker=marker, label=text)
        ax.set(xlabel="confidence", ylabel="share right", aspect="equal")
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        legend_below(ax)
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure  # type: ignore[assignment]
        return self


@dataclass(kw_only=True, eq=False, repr=False)
class ConfusionCurveDisplay:
    """Confusion matrices of one estimator, side by side over the amount of data.

    Make one with `from_curve`; it is drawn at once, and again by `plot`.

    Parameters
    ----------
    matrices : dict of str to ndarray of shape (n_classes, n_classes)
        Windows by true class (rows) and predicted class, by the amount's text.
    classes : list of str

    Attributes
    ----------
    axes_ : list of matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    """

    matrices: dict[str, np.ndarray]
    classes: list[str]
    axes_: list[Any] = field(default_factory=list)
    figure_: Figure | None = None

    @classmethod
    def from_curve(
        cls,
        curve: FractionCurve,
        estimator: str,
        *,
        amount: str | None = None,
        figure: Any = None,
    ) -> ConfusionCurveDisplay:
        """Draw the matrices of an estimator, each summed over folds and repeats.

        Parameters
        ----------
        curve : FractionCurve
        estimator : str
            Its name.
        amount : {"fraction", "shots"}, default=None
            None is fractions where there are any.
        figure : matplotlib figure, default=None
            What to draw on; a new one if None.

        Returns
        -------
        ConfusionCurveDisplay

        Raises
        ------
        ValueError
            If no fit of the estimator predicted anything.
        """
        amount = amount or ("fraction" if curve.fractions else "shots")
        values: list[Any] = list(curve.fractions if amount == "fraction" else curve.shots)
        found = {}
        for value in values:
            of_amount: dict[str, Any] = {amount: value}
            known = [
                r["confusion"] for r in curve.select(estimator, **of_amount) if "confusion" in r
            ]
            if known:
                text = f"{100 * value:g} %" if amount == "fraction" else f"{value} a class"
                found[text] = np.sum(known, axis=0)
        if not found:
            raise ValueError(f"no fit of {estimator!r} predicted anything; see its errors.")
        return cls(matrices=found, classes=curve.classes).plot(figure=figure)

    def plot(self, figure: Any = None) -> ConfusionCurveDisplay:
        """Draw; on a new figure where `figure` is None.

        Returns
        -------
        ConfusionCurveDisplay
            Itself.
        """
        n, n_classes = len(self.matrices), len(self.classes)
        names = [literal(name) for name in self.classes]
        if figure is None:
            figure = new_axes(None, confusion_size(n)).figure
            figure.clear()
        columns = min(n, max(1, int((figure.get_figwidth() - _NAMES_INCHES) / 1.6)))
        rows = math.ceil(n / columns)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for ax in axes.flat[n:]:
            ax.set_visible(False)
        for ax, (text, matrix) in zip(axes.flat, self.matrices.items(), strict=False):
            shares = matrix / matrix.sum(axis=1, keepdims=True).clip(1)
            image = ax.imshow(shares, cmap="Greys", vmin=0, vmax=1)
            ax.set_title(text, fontsize="small")
            ax.set_xticks(range(n_classes), names, rotation=90, fontsize="x-small")
            ax.set_yticks(range(n_classes), names, fontsize="x-small")
            if n_classes <= 5:
                for (row, column), share in np.ndenumerate(shares):
                    ax.text(
                        column, row, f"{100 * share:.0f}", ha="center", va="center",
                        fontsize="x-small", color="1.0" if share > 0.5 else "0.0",
                    )  # fmt: skip
        figure.supxlabel("predicted", fontsize="small")
        figure.supylabel("true", fontsize="small")
        bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
        bar.set_label("share of the true class", fontsize="small")
        bar.ax.tick_params(labelsize="small")
        self.axes_, self.figure_ = list(axes.flat[:n]), figure
        return self


def confusion_size(n: int) -> tuple[float, float]:
    """Inches for `n` matrices, four in a row."""
    columns = min(n, 4)
    return _NAMES_INCHES + 1.9 * columns, 0.9 + 2.1 * math.ceil(n / columns)


def pick_amount(
    curve: FractionCurve, fraction: float | None = None, shots: int | None = None
) -> dict[str, Any]:
    """The amount asked for, or the largest there is."""
    if fraction is not None or shots is not None:
        return {"fraction": fraction, "shots": shots}
    if curve.fractions:
        return {"fraction": curve.fractions[-1]}
    return {"shots": curve.shots[-1]}
