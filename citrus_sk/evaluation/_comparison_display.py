"""Pictures of comparisons: critical differences over sets, and differences pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .._figures import literal, new_axes
from ._statistics import ModelRanks, rank_models

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROOM_FOR_RANKS = 4.5  # inches of a figure that has room for ranks beside names
_LONG_NAMES = 20  # letters of two names that a label of a narrow figure has room for


@dataclass(kw_only=True, eq=False)
class CriticalDifferenceDisplay:
    """Mean ranks of classifiers over data sets, a bar joining those that do not differ.

    Make one with `from_scores` [1]_; it is drawn at once, and again by `plot`.

    Parameters
    ----------
    ranks : ModelRanks
        As `rank_models` returns them.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

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
    ax_: Axes | None = None
    figure_: Figure | None = None

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
        """Rank classifiers by their scores, and draw them.

        Parameters
        ----------
        scores : array-like of shape (n_sets, n_models)
        names : sequence of str
        method : {"nemenyi", "holm"}, default="nemenyi"
        alpha : float, default=0.05
        greater_is_better : bool, default=True
            See `rank_models` for these.
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.

        Returns
        -------
        CriticalDifferenceDisplay
        """
        ranks = rank_models(
            scores, names, method=method, alpha=alpha, greater_is_better=greater_is_better
        )
        return cls(ranks=ranks).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> CriticalDifferenceDisplay:
        """Draw; on a new figure where `ax` is None.

        Returns
        -------
        CriticalDifferenceDisplay
            Itself.
        """
        n_models, bars = len(self.ranks.names), self.ranks.cliques()
        half = -(-n_models // 2)
        longest = max(map(len, self.ranks.names))
        ax = new_axes(ax, (3.0 + 0.13 * longest, 1.0 + 0.16 * len(bars) + 0.3 * half))
        narrow = ax.figure.get_figwidth() < _ROOM_FOR_RANKS  # type: ignore[union-attr]
        gap = "\n" if narrow else "  "
        margin = 0.02 * n_models
        depth = 0.5 + 0.3 * len(bars)  # below the axis, in units of a row of names
        for place, (name, rank) in enumerate(
            zip(self.ranks.names, self.ranks.mean_ranks, strict=True)
        ):
            left = place < half
            row = place if left else n_models - 1 - place
            level = -(depth + 0.6 + row)
            edge = 1 - margin if left else n_models + margin
            ax.plot(
                [rank, rank, edge], [0, level, level], color="0.2", linewidth=0.9, clip_on=False
            )
            ax.annotate(
                f"{literal(name)}{gap}({rank:.2f})" if left or narrow
                else f"({rank:.2f}){gap}{literal(name)}",
                (edge, level), xytext=(-4 if left else 4, 0), textcoords="offset points",
                ha="right" if left else "left", va="center", fontsize="small",
                annotation_clip=False,
            )  # fmt: skip
        place_of = dict(zip(self.ranks.names, self.ranks.mean_ranks, strict=True))
        for row, clique in enumerate(bars):
            ends = [place_of[clique[0]] - 0.04, place_of[clique[-1]] + 0.04]
            ax.plot(ends, [-(0.4 + 0.3 * row)] * 2, color="0.0", linewidth=4)
        self._draw_ruler(ax)
        ax.set_xlim(1, n_models)
        ax.set_ylim(-(depth + half + 0.2), 1.8)
        ax.set_xticks(range(1, n_models + 1))
        ax.xaxis.tick_top()
        ax.tick_params(labelsize="small")
        ax.spines[["left", "right", "bottom"]].set_visible(False)
        ax.spines["top"].set_position(("data", 0))
        ax.yaxis.set_visible(False)
        ax.set_title("mean rank (1 is best)", fontsize="medium")
        self.ax_, self.figure_ = ax, ax.figure  # type: ignore[assignment]
        return self

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
class PairedDifferenceDisplay:
    """How much better one classifier is than another, set by set or fold by fold.

    Make one with `from_scores`; it is drawn at once, and again by `plot`.

    Parameters
    ----------
    differences : ndarray of shape (n_pairs,)
        Scores of the first minus those of the second.
    labels : list of str
        Of the pairs.
    names : tuple of str
        Of the two.
    metric : str
        Of the scores.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

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
    ax_: Axes | None = None
    figure_: Figure | None = None

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
            Scores on the same sets or folds; pairs of which one is NaN are left out.
        labels : sequence of str, default=None
            Of the pairs; numbers if None.
        names : tuple of str
            Of the two classifiers.
        metric : str, default="score"
        ax : matplotlib.axes.Axes, default=None
            What to draw on; a new figure if None.

        Returns
        -------
        PairedDifferenceDisplay

        Raises
        ------
        ValueError
            For unequal lengths, or no pair of finite scores.
        """
        sizes = {len(first), len(second), len(first if labels is None else labels)}
        if len(sizes) > 1:
            raise ValueError(
                f"first has {len(first)} scores, second {len(second)}, labels "
                f"{'None' if labels is None else len(labels)}; wanted as many of each."
            )
        gaps = np.asarray(first, float) - np.asarray(second, float)
        known = np.isfinite(gaps)
        if not known.any():
            raise ValueError("first and second have no pair of finite scores; wanted at least one.")
        texts = [str(n) for n in (range(len(gaps)) if labels is None else labels)]
        kept = [text for text, finite in zip(texts, known, strict=True) if finite]
        return cls(differences=gaps[known], labels=kept, names=names, metric=metric).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> PairedDifferenceDisplay:
        """Draw; on a new figure where `ax` is None.

        Returns
        -------
        PairedDifferenceDisplay
            Itself.
        """
        n = len(self.differences)
        ax = new_axes(ax, (5.0, 1.4 + 0.2 * n))
        order = np.argsort(self.differences, kind="stable")
        gaps, rows = self.differences[order], np.arange(n)
        better = gaps > 0
        ax.hlines(rows, 0, gaps, color="0.7", linewidth=1)
        ax.plot(gaps[better], rows[better], "o", color="0.0", markersize=5)
        ax.plot(gaps[~better], rows[~better], "o", color="0.0", markerfacecolor="1.0", markersize=5)
        ax.axvline(0, color="0.2", linewidth=1)
        mean = gaps.mean()
        half = stats.t.ppf(0.975, n - 1) * gaps.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
        ax.errorbar(mean, -1.4, xerr=half, fmt="D", color="#D55E00", capsize=3, markersize=5)
        names = [literal(self.labels[place]) for place in order]
        ax.set_yticks([-1.4, *rows], ["mean, 95 %", *names])
        ax.set_ylim(-2.1, n - 0.4)
        first, second = map(literal, self.names)
        gap = "\n" if len(first) + len(second) > _LONG_NAMES else " "
        ax.set_xlabel(f"{literal(self.metric)}: {first}{gap}minus {second}")
        ax.locator_params(axis="x", nbins=5)
        ties = int((gaps == 0).sum())
        ax.set_title(
            f"{first} better on {better.sum()} of {n}" + (f", {ties} alike" if ties else ""),
            fontsize="medium",
        )
        ax.spines[["top", "right"]].set_visible(False)
        self.ax_, self.figure_ = ax, ax.figure  # type: ignore[assignment]
        return self
