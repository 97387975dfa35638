"""Plots of comparisons: critical differences over data sets, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .._utils.plotting import Display, literal
from .statistics import ModelRanks, rank_models

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE_FIGURE = 4.5  # inches, wide enough for ranks beside names
_LONG_NAMES = 20  # characters of two names that fit into one line of a narrow figure


@dataclass(kw_only=True, eq=False)
class CriticalDifferenceDisplay(Display):
    """Mean ranks of classifiers over data sets; bars join classifiers that do not differ.

    Make one with `from_scores` [1]_, which draws it; `plot` draws it again.

    Parameters
    ----------
    ranks : ModelRanks
        Result of `rank_models`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

    References
    ----------
    .. [1] Demsar (2006). Statistical comparisons of classifiers over multiple data sets. Journal of
       Machine Learning Research 7, 1-30.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk.evaluation import CriticalDifferenceDisplay
    >>> scores = np.random.default_rng(0).normal([0.7, 0.72, 0.8], 0.03, (12, 3))
    >>> display = CriticalDifferenceDisplay.from_scores(scores, ["band power", "quant", "citrus"])
    >>> display.figure_.savefig("ranks.png")  # doctest: +SKIP
    """

    ranks: ModelRanks

    @classmethod
    def from_scores(
        cls,
        scores: Any,
        names: Sequence[str],
        *,
        method: str = "nemenyi",
        alpha: float = 0.05,
        greater_is_better: bool = True,
        ax: Axes | None = None,
    ) -> CriticalDifferenceDisplay:
        """Rank classifiers by their scores, and draw the ranks.

        Parameters
        ----------
        scores : array-like of shape (n_sets, n_models)
            Score of each classifier on each data set.
        names : sequence of str
            Names of the classifiers.
        method : {"nemenyi", "holm"}, default="nemenyi"
            Test of each pair, see `rank_models`.
        alpha : float, default=0.05
            Significance level, in (0, 1).
        greater_is_better : bool, default=True
            False if a lower score is better.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        CriticalDifferenceDisplay
        """
        ranks = rank_models(
            scores, names, method=method, alpha=alpha, greater_is_better=greater_is_better
        )
        return cls(ranks=ranks).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        n_rows = -(-len(self.ranks.names) // 2)
        longest = max(map(len, self.ranks.names))
        return 3.0 + 0.13 * longest, 1.0 + 0.16 * len(self.ranks.cliques()) + 0.3 * n_rows

    def _draw(self, ax: Axes) -> None:
        n_models, cliques = len(self.ranks.names), self.ranks.cliques()
        n_rows = -(-n_models // 2)
        depth = 0.5 + 0.3 * len(cliques)  # below the axis, in units of a row of names
        self._draw_names(ax, depth)
        rank_of = dict(zip(self.ranks.names, self.ranks.mean_ranks, strict=True))
        for row, clique in enumerate(cliques):
            ends = [rank_of[clique[0]] - 0.04, rank_of[clique[-1]] + 0.04]
            ax.plot(ends, [-(0.4 + 0.3 * row)] * 2, color="0.0", linewidth=4)
        self._draw_ruler(ax)
        ax.set_xlim(1, n_models)
        ax.set_ylim(-(depth + n_rows + 0.2), 1.8)
        ax.set_xticks(range(1, n_models + 1))
        ax.xaxis.tick_top()
        ax.tick_params(labelsize="small")
        ax.spines[["left", "right", "bottom"]].set_visible(False)
        ax.spines["top"].set_position(("data", 0))
        ax.yaxis.set_visible(False)
        ax.set_title("mean rank (1 is best)", fontsize="medium")

    def _draw_names(self, ax: Axes, depth: float) -> None:
        """Draw the better half of the names on the left, the others on the right."""
        n_models = len(self.ranks.names)
        narrow = ax.figure.get_figwidth() < _WIDE_FIGURE  # type: ignore[union-attr]
        gap = "\n" if narrow else "  "
        margin = 0.02 * n_models
        for i, (name, rank) in enumerate(zip(self.ranks.names, self.ranks.mean_ranks, strict=True)):
            left = i < -(-n_models // 2)
            row = i if left else n_models - 1 - i
            height = -(depth + 0.6 + row)
            edge = 1 - margin if left else n_models + margin
            ax.plot(
                [rank, rank, edge], [0, height, height], color="0.2", linewidth=0.9, clip_on=False
            )
            ax.annotate(
                f"{literal(name)}{gap}({rank:.2f})" if left or narrow
                else f"({rank:.2f}){gap}{literal(name)}",
                (edge, height), xytext=(-4 if left else 4, 0), textcoords="offset points",
                ha="right" if left else "left", va="center", fontsize="small",
                annotation_clip=False,
            )  # fmt: skip

    def _draw_ruler(self, ax: Axes) -> None:
        difference = self.ranks.critical_difference
        if difference is None:
            return
        ends = [1, min(1 + difference, len(self.ranks.names))]
        ax.plot(ends, [1.4, 1.4], color="0.2", linewidth=1.5, marker="|", clip_on=False)
        more = "" if ends[1] == 1 + difference else ", more than all ranks"
        ax.annotate(
            f"critical difference {difference:.2f}{more}", (ends[1], 1.4), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize="small", annotation_clip=False,
        )  # fmt: skip


@dataclass(kw_only=True, eq=False)
class PairedDifferenceDisplay(Display):
    """Difference of two classifiers' scores, data set by data set or fold by fold.

    Make one with `from_scores`, which draws it; `plot` draws it again.

    Parameters
    ----------
    differences : ndarray of shape (n_pairs,)
        Scores of the first minus those of the second.
    labels : list of str
        Names of the pairs.
    names : tuple of str
        Names of the two classifiers.
    metric : str
        Name of the score.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

    Examples
    --------
    >>> from citrus_sk.evaluation import PairedDifferenceDisplay
    >>> display = PairedDifferenceDisplay.from_scores(
    ...     [0.8, 0.7, 0.9], [0.7, 0.72, 0.8], names=("ours", "theirs")
    ... )
    >>> display.ax_.get_xlabel()
    'score: ours minus theirs'
    """

    differences: np.ndarray
    labels: list[str]
    names: tuple[str, str] = ("first", "second")
    metric: str = "score"

    @classmethod
    def from_scores(
        cls,
        first: Any,
        second: Any,
        *,
        labels: Sequence[str] | None = None,
        names: tuple[str, str] = ("first", "second"),
        metric: str = "score",
        ax: Axes | None = None,
    ) -> PairedDifferenceDisplay:
        """Draw the differences of two classifiers' scores.

        Parameters
        ----------
        first, second : array-like of shape (n_pairs,)
            Scores on the same data sets or folds. Pairs with a NaN are left out.
        labels : sequence of str, default=None
            Names of the pairs; numbers if None.
        names : tuple of str, default=("first", "second")
            Names of the two classifiers.
        metric : str, default="score"
            Name of the score.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        PairedDifferenceDisplay

        Raises
        ------
        ValueError
            If the lengths differ, or no pair of scores is finite.
        """
        sizes = {len(first), len(second), len(first if labels is None else labels)}
        if len(sizes) > 1:
            raise ValueError(
                f"first has {len(first)} scores, second {len(second)}, labels "
                f"{'None' if labels is None else len(labels)}; expected the same number of each."
            )
        differences = np.asarray(first, float) - np.asarray(second, float)
        finite = np.isfinite(differences)
        if not finite.any():
            raise ValueError(
                "first and second have no pair of finite scores; expected at least one."
            )
        texts = range(len(differences)) if labels is None else labels
        kept = [str(text) for text, known in zip(texts, finite, strict=True) if known]
        return cls(differences=differences[finite], labels=kept, names=names, metric=metric).plot(
            ax=ax
        )

    def _size(self) -> tuple[float, float]:
        return 5.0, 1.4 + 0.2 * len(self.differences)

    def _draw(self, ax: Axes) -> None:
        n = len(self.differences)
        order = np.argsort(self.differences, kind="stable")
        differences, rows = self.differences[order], np.arange(n)
        better = differences > 0
        ax.hlines(rows, 0, differences, color="0.7", linewidth=1)
        ax.plot(differences[better], rows[better], "o", color="0.0", markersize=5)
        ax.plot(
            differences[~better], rows[~better], "o", color="0.0", markerfacecolor="1.0",
            markersize=5,
        )  # fmt: skip
        ax.axvline(0, color="0.2", linewidth=1)
        mean = differences.mean()
        half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
        ax.errorbar(mean, -1.4, xerr=half, fmt="D", color="#D55E00", capsize=3, markersize=5)
        names = [literal(self.labels[i]) for i in order]
        ax.set_yticks([-1.4, *rows], ["mean, 95 %", *names])
        ax.set_ylim(-2.1, n - 0.4)
        first, second = map(literal, self.names)
        gap = "\n" if len(first) + len(second) > _LONG_NAMES else " "
        ax.set_xlabel(f"{literal(self.metric)}: {first}{gap}minus {second}")
        ax.locator_params(axis="x", nbins=5)
        ties = int((differences == 0).sum())
        ax.set_title(
            f"{first} better on {better.sum()} of {n}" + (f", {ties} equal" if ties else ""),
            fontsize="medium",
        )
        ax.spines[["top", "right"]].set_visible(False)
