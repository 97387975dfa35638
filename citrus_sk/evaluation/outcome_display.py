"""Plots of predictions: calibration, and confusion matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import Display, cell_size, legend_below, literal, new_axes, new_panels, style
from .._utils.validation import check_choice
from .result import FractionCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES_INCHES = 1.2  # width of the class names and of the colour bar beside the matrices
_BAR_INCHES, _LETTER_INCHES = 0.8, 0.065  # of the colour bar, and of a letter of a class name


def reliability(rows: list[dict[str, Any]]) -> np.ndarray | None:
    """Windows, summed confidence and correct windows in each bin, over rows; None if unknown."""
    known = [row["reliability"] for row in rows if row.get("reliability")]
    return np.sum(known, axis=0) if known else None


def reliability_by_person(rows: list[dict[str, Any]]) -> np.ndarray | None:
    """Windows, summed confidence and correct windows of each person; None if unknown."""
    found: dict[str, np.ndarray] = {}
    for row in rows:
        for person, counts in row.get("reliability_by_person", {}).items():
            found[person] = found.get(person, 0) + np.asarray(counts)
    return np.array(list(found.values())) if found else None


def expected_calibration_error(bins: np.ndarray) -> float:
    """Mean difference of confidence and accuracy over windows (Guo et al., 2017)."""
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / max(1.0, bins[:, 0].sum()))


@dataclass(kw_only=True, eq=False, repr=False)
class ReliabilityDisplay(Display):
    """Accuracy of classifiers over their confidence.

    Make one with `from_curve`, which draws it; `plot` draws it again.

    Parameters
    ----------
    bins : dict of str to ndarray of shape (n_bins, 3)
        For each estimator: number of windows, sum of confidence and number of correct windows, in
        ten bins of confidence, which is the probability of the predicted class; or of each person.
    by : {"confidence", "person"}, default="confidence"
        What the rows of `bins` are.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

    References
    ----------
    .. [1] Guo, Pleiss, Sun and Weinberger (2017). On calibration of modern neural networks. ICML.
    """

    bins: dict[str, np.ndarray]
    by: str = "confidence"

    @classmethod
    def from_curve(
        cls,
        curve: FractionCurve,
        *,
        fraction: float | None = None,
        shots: int | None = None,
        by: str = "confidence",
        ax: Axes | None = None,
    ) -> ReliabilityDisplay:
        """Draw the estimators of a curve at one amount of data, over all folds.

        Parameters
        ----------
        curve : FractionCurve
            Result of `fraction_curve`.
        fraction, shots : float or int, default=None
            Amount of data. None for both takes the largest fraction, or number of shots.
        by : {"confidence", "person"}, default="confidence"
            Draw a point for each of ten bins of confidence, or for each person in the test folds.
            Probabilities can be right on average, and too high for one person and too low for
            another one.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        ValueError
            If no estimator has probabilities, or the curve has no people.
        """
        check_choice("by", by, ("confidence", "person"))
        amount = pick_amount(curve, fraction, shots)
        counted = reliability if by == "confidence" else reliability_by_person
        found = {
            name: bins
            for name in curve.estimators
            if (bins := counted(curve.select(name, **amount))) is not None
        }
        if not found:
            people = " Pass groups to fraction_curve, the person of each window."
            raise ValueError(
                "No estimator of this curve gave probabilities at this amount of data; expected "
                "at least one with predict_proba." + (people if by == "person" else "")
            )
        return cls(bins=found, by=by).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        return reliability_size(len(self.bins))

    def _draw(self, ax: Axes) -> None:
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":", label="calibrated")
        for i, (name, bins) in enumerate(self.bins.items()):
            color, line, marker = style(i)
            bins = bins[bins[:, 0] > 0]
            x, y = bins[:, 1] / bins[:, 0], bins[:, 2] / bins[:, 0]
            text = f"{literal(name)}, error {expected_calibration_error(bins):.3f}"
            if self.by == "confidence":
                ax.plot(x, y, color=color, linestyle=line, linewidth=1)
                size = 8 + 90 * bins[:, 0] / bins[:, 0].sum()
                ax.scatter(x, y, s=size, color=color, marker=marker, label=text)
            else:
                ax.plot(x, y, marker, color=color, markerfacecolor="none", markersize=5, label=text)
        of_whom = "" if self.by == "confidence" else ", mean of a person"
        ax.set(xlabel=f"confidence{of_whom}", ylabel="accuracy", aspect="equal")
        ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        ax.set_anchor("S")  # otherwise the layout keeps too little space for the legend
        legend_below(ax)
        ax.spines[["top", "right"]].set_visible(False)


@dataclass(kw_only=True, eq=False, repr=False)
class ConfusionCurveDisplay:
    """Confusion matrices of one estimator, one for each amount of data.

    Make one with `from_curve`, which draws it; `plot` draws it again.

    Parameters
    ----------
    matrices : dict of str to ndarray of shape (n_classes, n_classes)
        Windows by true class (rows) and predicted class (columns), for each amount of data.
    classes : list of str
        Names of the classes.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_matrices,)
        Axes with the matrices.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.
    """

    matrices: dict[str, np.ndarray]
    classes: list[str]

    @classmethod
    def from_curve(
        cls,
        curve: FractionCurve,
        estimator: str,
        *,
        amount: str | None = None,
        ax: Axes | Sequence[Axes] | None = None,
    ) -> ConfusionCurveDisplay:
        """Draw the matrices of an estimator, each summed over folds and repeats.

        Parameters
        ----------
        curve : FractionCurve
            Result of `fraction_curve`.
        estimator : str
            Name of the estimator.
        amount : {"fraction", "shots"}, default=None
            Unit of the amount of data. None takes fractions if the curve has any.
        ax : matplotlib.axes.Axes, sequence of them or None, default=None
            Axes to draw on, see `plot`. None makes a new figure.

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
                text = f"{100 * value:g} %" if amount == "fraction" else f"{value} per class"
                found[text] = np.sum(known, axis=0)
        if not found:
            raise ValueError(f"No fit of {estimator!r} predicted anything; see its errors.")
        return cls(matrices=found, classes=curve.classes).plot(ax=ax)

    def plot(self, ax: Axes | Sequence[Axes] | None = None) -> ConfusionCurveDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, sequence of them or None, default=None
            One Axes is switched off, and a grid of matrices takes its place. A sequence, such as
            ``axes_`` of another display, holds one Axes for each matrix. None makes a new figure.

        Returns
        -------
        ConfusionCurveDisplay
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        n = len(self.matrices)
        if ax is None:
            ax = new_axes(confusion_size(n, self.classes))
        columns = n if isinstance(ax, Sequence | np.ndarray) else _fitting_columns(ax, n)
        self.axes_ = new_panels(ax, n, columns, sharex=True, sharey=True)
        self.figure_: Figure = self.axes_[0].figure
        for panel, (text, matrix) in zip(self.axes_, self.matrices.items(), strict=True):
            image = self._draw_matrix(panel, text, matrix)
        for panel in self.axes_[-columns:]:
            panel.set_xlabel("predicted", fontsize="small")
            panel.tick_params(labelbottom=True)  # also above an empty cell of the grid
        for panel in self.axes_[::columns]:
            panel.set_ylabel("true", fontsize="small")
        bar = self.figure_.colorbar(image, ax=self.axes_.tolist(), shrink=0.7, pad=0.02)
        bar.set_label("fraction of the true class", fontsize="small")
        bar.ax.tick_params(labelsize="small")
        return self

    def _draw_matrix(self, ax: Axes, text: str, matrix: np.ndarray) -> Any:
        names = [literal(name) for name in self.classes]
        fractions = matrix / matrix.sum(axis=1, keepdims=True).clip(1)
        # With cells that must be square, the layout keeps too little space for names and titles.
        image = ax.imshow(fractions, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        ax.set_title(text, fontsize="small")
        ax.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
        ax.set_yticks(range(len(names)), names, fontsize="x-small")
        if len(names) <= 5:
            for (row, column), fraction in np.ndenumerate(fractions):
                ax.text(
                    column, row, f"{100 * fraction:.0f}", ha="center", va="center",
                    fontsize="x-small", color="1.0" if fraction > 0.5 else "0.0",
                )  # fmt: skip
        return image


def reliability_size(n: int) -> tuple[float, float]:
    """Width and height in inches of a figure for `n` estimators."""
    return 4.2, 4.2 + 0.18 * n


def confusion_size(n: int, classes: Sequence[str]) -> tuple[float, float]:
    """Width and height in inches of a figure for `n` matrices, up to four in a row."""
    columns = _balanced(n, 4)
    names = _LETTER_INCHES * max(map(len, classes))
    rows = math.ceil(n / columns)
    return _BAR_INCHES + names + 1.7 * columns, 0.5 + names + 1.9 * rows


def _fitting_columns(ax: Axes, n: int) -> int:
    """Number of matrices that fit side by side in place of `ax`."""
    return _balanced(n, max(1, int((cell_size(ax)[0] - _NAMES_INCHES) / 1.6)))


def _balanced(n: int, most: int) -> int:
    """Number of columns, up to `most`, with which the last row is as full as possible."""
    return math.ceil(n / math.ceil(n / most))


def pick_amount(
    curve: FractionCurve, fraction: float | None = None, shots: int | None = None
) -> dict[str, Any]:
    """Amount that was asked for, or the largest one."""
    if fraction is not None or shots is not None:
        return {"fraction": fraction, "shots": shots}
    if curve.fractions:
        return {"fraction": curve.fractions[-1]}
    return {"shots": curve.shots[-1]}
