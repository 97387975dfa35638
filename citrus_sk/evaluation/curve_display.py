"""Plot of a learning curve."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import Display, legend_below, literal, style
from .curves import fraction_curve
from .result import FractionCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BANDS = 3  # more shaded bands would hide each other, so they become error bars
_METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro-F1",
    "neg_log_loss": "negative log loss",
    "roc_auc_ovr": "area under the ROC curve",
}


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
        self.lines_ = {name: self._draw_curve(ax, i, name, band) for i, name in enumerate(names)}
        if chance:
            self._draw_chance(ax)
        self._draw_amounts(ax, windows)
        time = self.metric.endswith("_time")
        ax.set_ylabel(
            f"{self.metric.replace('_', ' ')} (s)" if time
            else literal(_METRIC_NAMES.get(self.metric, self.metric))
        )  # fmt: skip
        if time:
            ax.set_yscale("log")
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
        ax.spines[["right"] + ([] if windows else ["top"])].set_visible(False)
        legend_below(ax, ncols=2)
        return self

    def _draw_curve(self, ax: Axes, i: int, name: str, band: bool) -> Any:
        """Draw the i-th estimator, and return its line."""
        x, mean, low, high = self._points(name)
        color, line, marker = style(i)
        n_estimators = len(self.curve.estimators)
        shaded = n_estimators <= _MOST_BANDS
        if not shaded:  # shifted sideways, so that error bars do not overlap
            x = x * 1.03 ** (i - (n_estimators - 1) / 2)
        (drawn,) = ax.plot(
            x, mean, linestyle=line, marker=marker, color=color, label=self._label(name),
            markersize=5,
        )  # fmt: skip
        if band and shaded:
            # In grey, overlapping shades cannot be told apart, but edges can.
            ax.fill_between(
                x, low, high, facecolor=(color, 0.13), edgecolor=(color, 0.7), linestyle=line,
                linewidth=0.6,
            )  # fmt: skip
        elif band:
            ax.errorbar(
                x, mean, np.array([mean - low, high - mean]), fmt="none", color=color, capsize=2
            )
        return drawn

    def _values(self) -> list[float]:
        return list(self.curve.fractions if self.amount == "fraction" else self.curve.shots)

    def _label(self, name: str) -> str:
        """Name of an estimator, with a note if some of its fits failed."""
        bands = [band for _, band in self.curve.bands(name, self.metric, self.amount)]
        failed = any(band["n_scores"] < band["n_fits"] for band in bands)
        return literal(name) + (", some fits failed" if failed else "")

    def _points(self, name: str) -> tuple[np.ndarray, ...]:
        """Amounts, means, lower and upper ends of the bands, without amounts that have no score."""
        bands = self.curve.bands(name, self.metric, self.amount, confidence=self.confidence)
        table = np.array([[x, b["mean"], b["low"], b["high"]] for x, b in bands], float)
        x, mean, low, high = table[np.isfinite(table[:, 1])].T
        return x, mean, np.where(np.isnan(low), mean, low), np.where(np.isnan(high), mean, high)

    def _draw_chance(self, ax: Axes) -> None:
        chance = _chance(self.metric, self.curve.settings.get("classes", {}))
        if chance is None:
            return
        value, text = chance
        line = ax.axhline(value, color="0.45", linewidth=1, linestyle=(0, (1, 2)))
        line.set_label(f"{text}, {value:.2f}")

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
        ax.set_xlabel(
            "labelled fraction of the training windows"
            if fraction
            else "labelled windows per class"
        )
        if windows:
            axis.set_xticks(values, [f"{self._mean_windows(v):.0f}" for v in values])
            axis.set_xlabel("labelled windows in total", fontsize="small")
            axis.tick_params(labelsize="small")
            axis.spines["right"].set_visible(False)

    def _mean_windows(self, value: float) -> float:
        sizes = [row["n_train"] for row in self.curve.rows if row[self.amount] == value]
        return float(np.mean(sizes))


def curve_size(n_estimators: int) -> tuple[float, float]:
    """Width and height of a figure in inches, with room for the names below."""
    return 5.0, 3.6 + 0.2 * (n_estimators // 2)


def _chance(  # noqa: PLR0911 - a table of cases
    metric: str, classes: dict[str, int]
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
