"""Plot of a learning curve."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import NARROW, Display, cell_size, legend_below
from .curves import fraction_curve
from .result import FractionCurve
from .score_lines import (
    curve_size,
    draw_chance,
    draw_scores,
    label_of,
    label_scores,
    points_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(kw_only=True, eq=False, repr=False)
class FractionCurveDisplay(Display):
    """Scores over the amount of labelled data, with confidence bands.

    Make one with `from_curve`, `from_estimator` or `from_estimators`, which draw it; `plot` draws
    it again.

    Parameters
    ----------
    curve : FractionCurve
        Scores to draw.
    metric : str
        One of the curve's metrics, ``"fit_time"`` or ``"predict_time"``.
    amount : {"fraction", "shots"}
        Unit of the amount of data.
    confidence : float
        Confidence level of the bands.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.
    lines_ : dict of str to matplotlib.lines.Line2D
        Line of each estimator.

    See Also
    --------
    fraction_curve : Computes the scores.
    sklearn.model_selection.LearningCurveDisplay : Scikit-learn's, with draws that are not
        stratified.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from citrus_sk.evaluation import FractionCurveDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile([0, 1], 60)
    >>> X = rng.standard_normal((120, 20)) + y[:, None]
    >>> display = FractionCurveDisplay.from_estimator(
    ...     LogisticRegression(), X, y, groups=np.repeat(np.arange(10), 12), fractions=(0.1, 1.0)
    ... )
    >>> display.ax_.get_ylabel()
    'accuracy'
    """

    curve: FractionCurve
    metric: str
    amount: str = "fraction"
    confidence: float = 0.95
    lines_: dict[str, Any] = field(default_factory=dict, init=False)

    @classmethod
    def from_curve(
        cls,
        curve: FractionCurve,
        *,
        metric: str | None = None,
        amount: str | None = None,
        confidence: float = 0.95,
        ax: Axes | None = None,
    ) -> FractionCurveDisplay:
        """Draw the scores of a curve.

        Parameters
        ----------
        curve : FractionCurve
            Result of `fraction_curve`.
        metric : str, default=None
            Metric to draw; the first of the curve if None.
        amount : {"fraction", "shots"}, default=None
            Unit of the amount of data. None takes fractions if the curve has any.
        confidence : float, default=0.95
            Confidence level of the bands, see `FractionCurve.summary`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        FractionCurveDisplay
        """
        if amount is None:
            amount = "fraction" if curve.fractions else "shots"
        values = {"fraction": curve.fractions, "shots": curve.shots}.get(amount)
        if not values:
            raise ValueError(
                f"amount={amount!r} has no points in this curve; expected 'fraction' "
                f"({len(curve.fractions)} points) or 'shots' ({len(curve.shots)} points)."
            )
        metric = curve.metrics[0] if metric is None else metric
        display = cls(curve=curve, metric=metric, amount=amount, confidence=confidence)
        return display.plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        metric: str | None = None,
        ax: Axes | None = None,
        **settings: Any,
    ) -> FractionCurveDisplay:
        """Score one estimator, and draw its curve.

        Parameters
        ----------
        estimator : estimator
            Scikit-learn classifier.
        X : array-like of shape (n_windows, n_chans, n_times), or whatever the estimator takes
            Windows.
        y : array-like of shape (n_windows,)
            Class labels.
        metric : str, default=None
            Metric to draw; the first of the scorers if None.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.
        **settings
            Parameters of `fraction_curve`.

        Returns
        -------
        FractionCurveDisplay
        """
        return cls.from_estimators(estimator, X, y, metric=metric, ax=ax, **settings)

    @classmethod
    def from_estimators(
        cls,
        estimators: Any,
        X: Any,
        y: Any,
        *,
        metric: str | None = None,
        ax: Axes | None = None,
        **settings: Any,
    ) -> FractionCurveDisplay:
        """Score several estimators on the same draws, and draw their curves.

        Parameters
        ----------
        estimators : dict of str to estimator, or list
            Scikit-learn classifiers, as `fraction_curve` takes them.
        X : array-like of shape (n_windows, n_chans, n_times), or whatever the estimators take
            Windows.
        y : array-like of shape (n_windows,)
            Class labels.
        metric : str, default=None
            Metric to draw; the first of the scorers if None.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.
        **settings
            Parameters of `fraction_curve`.

        Returns
        -------
        FractionCurveDisplay
        """
        return cls.from_curve(fraction_curve(estimators, X, y, **settings), metric=metric, ax=ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        band: bool = True,
        chance: bool = True,
        windows: bool = True,
    ) -> FractionCurveDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.
        band : bool, default=True
            Whether to draw confidence: as shaded bands for up to three estimators, otherwise as
            error bars.
        chance : bool, default=True
            Whether to draw the chance level, where it is known.
        windows : bool, default=True
            Whether to write the mean number of training windows above.

        Returns
        -------
        FractionCurveDisplay
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        ax = self._begin(ax, curve_size(len(self.curve.estimators)))
        names = self.curve.estimators
        points = {name: self._points(name) for name in names}
        self.lines_ = draw_scores(
            ax, points, list(map(self._label, names)), lambda x, step: x * 1.03**step, band=band
        )
        if chance:
            draw_chance(ax, self.metric, self.curve.settings.get("classes", {}))
        self._draw_amounts(ax, windows)
        label_scores(ax, self.metric)
        ax.spines[["right"] + ([] if windows else ["top"])].set_visible(False)
        legend_below(ax, columns=2)
        return self

    def _values(self) -> list[float]:
        return list(self.curve.fractions if self.amount == "fraction" else self.curve.shots)

    def _label(self, name: str) -> str:
        """Name of an estimator, with a note if some of its fits failed."""
        bands = self.curve.bands(name, self.metric, self.amount)
        return label_of(name, [band for _, band in bands])

    def _points(self, name: str) -> tuple[np.ndarray, ...]:
        """Amounts, means, lower and upper ends of the bands, without amounts that have no score."""
        return points_of(
            self.curve.bands(name, self.metric, self.amount, confidence=self.confidence)
        )

    def _draw_amounts(self, ax: Axes, windows: bool) -> None:
        values = self._values()
        ax.set_xscale("log")
        fraction = self.amount == "fraction"
        texts = [f"{100 * v:g} %" if fraction else f"{v:g}" for v in values]
        margin = 1.25 if len(values) > 1 else 2
        for axis in (ax, ax.twiny()) if windows else (ax,):
            axis.set_xscale("log")
            axis.set_xlim(values[0] / margin, values[-1] * margin)
            axis.minorticks_off()
            axis.set_xticks(values, texts)
        narrow = cell_size(ax)[0] < NARROW
        if narrow:  # 50 % and 100 % are close to each other
            ax.tick_params("x", labelsize="x-small")
        ax.set_xlabel(
            "labelled fraction of the training windows"
            if fraction
            else "labelled windows per class",
            fontsize="small" if narrow else "medium",
        )
        if windows:
            axis.set_xticks(values, [f"{self._mean_windows(v):.0f}" for v in values])
            axis.set_xlabel("labelled windows in total", fontsize="small")
            axis.tick_params(labelsize="small")
            axis.spines["right"].set_visible(False)

    def _mean_windows(self, value: float) -> float:
        sizes = [row["n_train"] for row in self.curve.rows if row[self.amount] == value]
        return float(np.mean(sizes))
