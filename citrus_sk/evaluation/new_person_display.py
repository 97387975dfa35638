"""Plot of scores on new people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import NARROW, Display, cell_size, legend_below, style
from .new_person_result import NewPersonCurve
from .score_lines import (
    MOST_BANDS,
    curve_size,
    draw_chance,
    draw_scores,
    label_of,
    label_scores,
    points_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TEXTS = {"nothing": "nothing\nknown", "unlabelled": "unlabelled\nwindows"}
_ASIDE = 0.06  # between the error bars of two estimators; the states of knowledge are 1 apart


@dataclass(kw_only=True, eq=False, repr=False)
class NewPersonDisplay(Display):
    """Scores on new people over what is known of them, with confidence bands and people as points.

    Make one with `from_curve`, which draws it; `plot` draws it again.

    Parameters
    ----------
    curve : NewPersonCurve
        Scores to draw.
    metric : str
        One of the curve's metrics, ``"fit_time"`` or ``"predict_time"``.
    confidence : float
        Confidence level of the bands, which are over people.

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
    new_person_curve : Computes the scores.
    FractionCurveDisplay : Scores over the amount of training data.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from citrus_sk.evaluation import NewPersonDisplay, new_person_curve
    >>> rng = np.random.default_rng(0)
    >>> y, people = np.tile(["rest", "fist"], 60), np.repeat(np.arange(3), 40)
    >>> X = rng.standard_normal((120, 2)) + (y == "fist")[:, None]
    >>> curve = new_person_curve(LogisticRegression(), X, y, people)
    >>> display = NewPersonDisplay.from_curve(curve)
    >>> display.ax_.get_ylabel()
    'accuracy'
    """

    curve: NewPersonCurve
    metric: str
    confidence: float = 0.95
    lines_: dict[str, Any] = field(default_factory=dict, init=False)

    @classmethod
    def from_curve(
        cls,
        curve: NewPersonCurve,
        *,
        metric: str | None = None,
        confidence: float = 0.95,
        ax: Axes | None = None,
    ) -> NewPersonDisplay:
        """Draw the scores of a curve.

        Parameters
        ----------
        curve : NewPersonCurve
            Result of `new_person_curve`.
        metric : str, default=None
            Metric to draw; the first of the curve if None.
        confidence : float, default=0.95
            Confidence level of the bands, see `NewPersonCurve.summary`.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        NewPersonDisplay
        """
        metric = curve.metrics[0] if metric is None else metric
        return cls(curve=curve, metric=metric, confidence=confidence).plot(ax=ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        band: bool = True,
        chance: bool = True,
        people: bool = True,
    ) -> NewPersonDisplay:
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
        people : bool, default=True
            Whether to draw the score on each person as a point, for up to three estimators.

        Returns
        -------
        NewPersonDisplay
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        curve = self.curve
        ax = self._begin(ax, curve_size(len(curve.estimators)))
        bands = {
            name: [band for _, band in curve.bands(name, self.metric, self.confidence)]
            for name in curve.estimators
        }
        self.lines_ = draw_scores(
            ax,
            {name: points_of(list(enumerate(each))) for name, each in bands.items()},
            [label_of(name, each) for name, each in bands.items()],
            lambda x, step: x + _ASIDE * step,
            band=band,
        )
        if people and len(curve.estimators) <= MOST_BANDS:
            self._draw_people(ax)
        if chance:
            draw_chance(ax, self.metric, curve.settings.get("classes", {}))
        self._draw_known(ax)
        label_scores(ax, self.metric)
        ax.spines[["right", "top"]].set_visible(False)
        legend_below(ax, columns=2, tick_lines=2)
        return self

    def _draw_people(self, ax: Axes) -> None:
        names = self.curve.estimators
        for i, name in enumerate(names):
            aside = 2 * _ASIDE * (i - (len(names) - 1) / 2)
            color, _, marker = style(i)
            for x, known in enumerate(self.curve.known):
                scores = self.curve.scores(name, self.metric, known=known)
                ax.plot(
                    np.full(len(scores), x + aside), scores, marker, color=color, alpha=0.4,
                    markersize=3, markeredgewidth=0, zorder=1.5,
                )  # fmt: skip

    def _draw_known(self, ax: Axes) -> None:
        known = self.curve.known
        texts = [_TEXTS.get(str(each), str(each)) for each in known]
        narrow = cell_size(ax)[0] < NARROW
        if narrow:
            texts = [text.replace("unlabelled\nwindows", "un-\nlabelled") for text in texts]
        ax.set_xlim(-0.5, len(known) - 0.5)
        ax.set_xticks(range(len(known)), texts, fontsize="x-small" if narrow else "medium")
        numbers = [i for i, each in enumerate(known) if not isinstance(each, str)]
        if numbers:
            middle = (numbers[0] + numbers[-1] + 1) / 2 / len(known)
            ax.set_xlabel("labelled windows per class", x=0.5 if narrow else middle)
