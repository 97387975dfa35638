"""The learning curve as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._figures import legend_below, literal, new_axes, style
from ._curve import fraction_curve
from ._result import FractionCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_BANDS = 3  # shaded; more would hide each other, and become bars
_METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_macro": "macro-F1",
    "neg_log_loss": "negative log loss",
    "roc_auc_ovr": "area under the ROC curve",
}


@dataclass(kw_only=True, eq=False, repr=False)
class FractionCurveDisplay:
    """Scores over the amount of labelled data, with confidence bands.

    Make one with `from_curve`, `from_estimator` or `from_estimators`; it is drawn at once, and
    again by `plot`.

    Parameters
    ----------
    curve : FractionCurve
        What is shown.
    metric : str
        One of its metrics, or ``"fit_time"`` or ``"predict_time"``.
    amount : {"fraction", "shots"}
        What the data is counted in.
    confidence : float
        Of the bands.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure
    lines_ : dict of str to matplotlib.lines.Line2D
        By estimator.

    See Also
    --------
    fraction_curve : The scores.
    sklearn.model_selection.LearningCurveDisplay : Scikit-learn's, whose draws are not stratified.

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
    ax_: Axes | None = None
    figure_: Figure | None = None
    lines_: dict[str, Any] = field(default_factory=dict)

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
        """Draw scores that are there.

        Parameters
        ----------
        curve : FractionCurve
        metric : str, default=None
            The first of its metrics if None.
        amount : {"fraction", "shots"}, default=None
            None is fractions where there are any.
        confidence : float, default=0.95
            Of the bands, see `FractionCurve.summary`.
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.

        Returns
        -------
        FractionCurveDisplay
        """
        if amount is None:
            amount = "fraction" if curve.fractions else "shots"
        values = {"fraction": curve.fractions, "shots": curve.shots}.get(amount)
        if not values:
            raise ValueError(
                f"amount={amount!r} has no points in this curve; wanted 'fraction' "
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
        """Score one estimator, and draw it.

        Parameters
        ----------
        estimator : estimator
        X, y : windows and labels
        metric : str, default=None
            The first of the scorers if None.
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.
        **settings
            Passed to `fraction_curve`.

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
        """Score estimators on the same draws, and draw them.

        Parameters
        ----------
        estimators : dict of str to estimator, or list
            As `fraction_curve` takes them.
        X, y : windows and labels
        metric : str, default=None
            The first of the scorers if None.
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.
        **settings
            Passed to `fraction_curve`.

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
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.
        band : bool, default=True
            Whether to show the confidence: shaded for up to three estimators, else as bars.
        chance : bool, default=True
            Whether to draw what answering without looking gives, where that is known.
        windows : bool, default=True
            Whether to name the mean number of training windows above.

        Returns
        -------
        FractionCurveDisplay
            Itself.
        """
        ax = new_axes(ax, curve_size(len(self.curve.estimators)))
        self.lines_ = {}
        names = self.curve.estimators
        for place, name in enumerate(names):
            x, mean, low, high = self._points(name)
            color, line, marker = style(place)
            shaded = len(names) <= _MOST_BANDS
            if not shaded:  # bars of neighbours stand apart
                x = x * 1.03 ** (place - (len(names) - 1) / 2)
            (self.lines_[name],) = ax.plot(
                x,
                mean,
                linestyle=line,
                marker=marker,
                color=color,
                label=self._label(name),
                markersize=5,
            )
            if band and shaded:
                # In grey, shades that overlap cannot be told apart, but edges can.
                ax.fill_between(
                    x, low, high, facecolor=(color, 0.13), edgecolor=(color, 0.7), linestyle=line,
                    linewidth=0.6,
                )  # fmt: skip
            elif band:
                ax.errorbar(
                    x, mean, np.array([mean - low, high - mean]), fmt="none", color=color, capsize=2
                )
        self._draw_chance(ax, chance)
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
        self.ax_, self.figure_ = ax, ax.figure  # type: ignore[assignment]
        return self

    def _values(self) -> list[float]:
        return list(self.curve.fractions if self.amount == "fraction" else self.curve.shots)

    def _label(self, name: str) -> str:
        """The name, and whether its means are of fewer fits than others have."""
        bands = [band for _, band in self.curve.bands(name, self.metric, self.amount)]
        partly = any(band["n_scores"] < band["n_fits"] for band in bands)
        return literal(name) + (", some fits failed" if partly else "")

    def _points(self, name: str) -> tuple[np.ndarray, ...]:
        """Amounts, means, lower and upper ends of the bands; amounts without a score left out."""
        bands = self.curve.bands(name, self.metric, self.amount, confidence=self.confidence)
        table = np.array([[x, b["mean"], b["low"], b["high"]] for x, b in bands], float)
        x, mean, low, high = table[np.isfinite(table[:, 1])].T
        return x, mean, np.where(np.isnan(low), mean, low), np.where(np.isnan(high), mean, high)

    def _draw_chance(self, ax: Axes, wanted: bool) -> None:
        level = _chance(self.metric, self.curve.settings.get("classes", {}))
        if not wanted or level is None:
            return
        value, text = level
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
            "labelled share of the training windows" if fraction else "labelled windows a class"
        )
        if windows:
            axis.set_xticks(values, [f"{self._mean_windows(v):.0f}" for v in values])
            axis.set_xlabel("labelled windows in all", fontsize="small")
            axis.tick_params(labelsize="small")
            axis.spines["right"].set_visible(False)

    def _mean_windows(self, value: float) -> float:
        sizes = [row["n_train"] for row in self.curve.rows if row[self.amount] == value]
        return float(np.mean(sizes))


def curve_size(n_estimators: int) -> tuple[float, float]:
    """Inches, with room for the names below."""
    return 5.0, 3.6 + 0.2 * (n_estimators // 2)


def _chance(  # noqa: PLR0911 - a table of cases
    metric: str, classes: dict[str, int]
) -> tuple[float, str] | None:
    """What a model reaches that knows how common classes are and sees nothing, and what it does."""
    counts = np.array(list(classes.values()), float)
    if len(counts) < 2:
        return None
    shares = counts / counts.sum()
    if metric == "accuracy":
        return float(shares.max()), "commonest class"
    if metric == "balanced_accuracy":
        return 1 / len(shares), "any one class"
    if metric == "f1_macro":
        top = shares.max()
        return float(2 * top / (1 + top) / len(shares)), "commonest class"
    if metric == "neg_log_loss":
        known = shares[shares > 0]
        return float((known * np.log(known)).sum()), "shares of the classes"
    if metric.startswith("roc_auc"):
        return 0.5, "chance"
    return None
