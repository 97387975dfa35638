"""Bar plot of the loss of score without each frequency band."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._utils.plotting import NARROW, STYLES, Display, cell_size, fitting_columns, literal
from .band_occlusion import BandOcclusion, band_occlusion, octave_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo", "--")
_FILLS = ("0.25", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#CC79A7", "#0072B2", "0.8")


@dataclass(kw_only=True, eq=False, repr=False)
class BandOcclusionDisplay(Display):
    """Loss of score without each band, by class or by channel.

    Make one with `from_estimator`, which draws it; `plot` draws it again. A bar is the median over
    the windows of a target or, with ``by_channel``, over all windows for a channel; a line reaches
    from the lower to the upper quartile.

    Parameters
    ----------
    occlusion : BandOcclusion
        Result of `citrus_sk.inspection.band_occlusion`.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier, BandOcclusionDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["slow", "fast"], 10)
    >>> X = np.sin(np.arange(96) * np.where(y == "slow", 0.3, 0.9)[:, None])
    >>> X += 0.3 * rng.standard_normal(X.shape)
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0).fit(X, y)
    >>> display = BandOcclusionDisplay.from_estimator(clf, X[:4], sfreq=100)
    >>> display.ax_.get_xlabel()
    'band (Hz)'
    """

    occlusion: BandOcclusion

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, ax: Axes | None = None, **settings: Any
    ) -> BandOcclusionDisplay:
        """Remove bands from windows, and draw the loss of a model's score.

        Parameters
        ----------
        estimator : fitted estimator or Pipeline
            Model to explain.
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), list or \
mne.Epochs
            Windows to explain.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.
        **settings
            Parameters of `citrus_sk.inspection.band_occlusion`: ``sfreq``, ``bands``, ``target``,
            ``by_channel`` and others.

        Returns
        -------
        BandOcclusionDisplay

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        TypeError, ValueError
            As `citrus_sk.inspection.band_occlusion`.
        """
        return cls(occlusion=band_occlusion(estimator, X, **settings)).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        return 6.4, 3.2 + 0.18 * -(-len(self._groups()) // 3)

    def _draw(self, ax: Axes) -> None:
        found = self.occlusion
        groups = self._groups()
        n_bands, n = len(found.bands), len(groups)
        width = 0.8 / n
        for i, (name, values) in enumerate(groups.items()):
            low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
            x = np.arange(n_bands) + (i - (n - 1) / 2) * width
            turn, fill = divmod(i, len(_FILLS))
            ax.bar(
                x, median, width, label=literal(name), color=_FILLS[fill], edgecolor="0.0",
                linewidth=0.6, hatch=_HATCHES[(fill + turn) % len(_HATCHES)],
            )  # fmt: skip
            ax.vlines(x, low, high, color=STYLES[0][0], lw=1)
        ax.axhline(0, color="0.0", lw=0.8)
        narrow = cell_size(ax)[0] < NARROW
        names = [self._band(name) for name in found.bands]
        if narrow:
            names = [name.replace("\n", " ") for name in names]
        ax.set_xticks(range(n_bands), names, fontsize="small", rotation=90 if narrow else 0)
        ax.set_ylabel(f"loss of {found.score_unit}\nwithout the band")
        ax.set_xlabel("band (Hz)")
        if n > 1:
            ax.legend(
                loc="lower center", bbox_to_anchor=(0.5, 1), frameon=False, fontsize="small",
                ncols=fitting_columns(ax, list(map(literal, groups)), 3),
            )  # fmt: skip
        ax.spines[["top", "right"]].set_visible(False)

    def _groups(self) -> dict[str, np.ndarray]:
        """Losses ``(n_windows, n_bands)`` by name of the class or channel."""
        found = self.occlusion
        if found.values.ndim == 3:
            return {name: found.values[:, i] for i, name in enumerate(found.ch_names)}
        return {str(name): found.values[found.targets == name] for name in np.unique(found.targets)}

    def _band(self, name: str) -> str:
        low, high = self.occlusion.bands[name]
        if name == octave_name(low, high):
            return f"{low:.2g}\nto {high:.2g}"
        return f"{literal(name)}\n{low:.3g}-{high:.3g}"
