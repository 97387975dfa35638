"""Axes and styles of displays, and the base class of those that draw on a single Axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from .optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which differ with any colour vision; lines and markers differ as well,
# for print.
STYLES = (
    ("#000000", "-", "o"),
    ("#D55E00", "--", "s"),
    ("#0072B2", "-.", "^"),
    ("#009E73", ":", "D"),
    ("#CC79A7", "-", "v"),
    ("#E69F00", "--", "P"),
    ("#56B4E9", "-.", "X"),
    ("#7F7F7F", ":", "*"),
)

NARROW = 4.0  # inches; narrower axes, as in a column of a journal, have smaller labels of ticks
_LABELS_INCHES = 0.5  # height of the ticks and the label of a horizontal axis
# The middle of the axes is right of that of the figure, so a legend has less room than the figure.
_ASIDE_INCHES = 0.5
_LINE_INCHES = 0.17  # of each further line of the labels of ticks


class Display:
    """Base of the displays that draw on one Axes.

    A subclass defines `_size` and `_draw`, or a `plot` with parameters of its own.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes with the plot; set by `plot`.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.
    """

    ax_: Axes
    figure_: Figure

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on. None makes a new figure.

        Returns
        -------
        Display
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        self._draw(self._begin(ax, self._size()))
        return self

    def _begin(self, ax: Axes | None, size: tuple[float, float]) -> Axes:
        """Set ``ax_`` and ``figure_``, on a new figure of `size` inches if `ax` is None."""
        self.ax_ = new_axes(size) if ax is None else ax
        self.figure_ = self.ax_.figure  # type: ignore[assignment]  # or a SubFigure
        return self.ax_

    def _size(self) -> tuple[float, float]:
        """Width and height of a new figure in inches."""
        raise NotImplementedError

    def _draw(self, ax: Axes) -> None:
        raise NotImplementedError


def new_axes(size: tuple[float, float]) -> Axes:
    """Axes of a new pyplot figure with a size in inches.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    require("matplotlib", "A plot")
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def new_panels(
    ax: Axes | Sequence[Axes] | np.ndarray,
    n_panels: int,
    n_columns: int,
    *,
    sharex: bool | Literal["col"] = False,
    sharey: bool | Literal["row"] = False,
    height_ratios: Sequence[float] | None = None,
    head: float = 0.0,
) -> np.ndarray:
    """Axes of several panels, as `sklearn.inspection.PartialDependenceDisplay` places them.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or sequence of n_panels of them
        A single Axes is switched off, and rows and columns of panels take its place. The Axes of a
        sequence are the panels.
    n_panels, n_columns : int
        Number of panels, and number of panels in a row.
    sharex, sharey, height_ratios
        As in `matplotlib.figure.Figure.subplots`.
    head : float, default=0.0
        Height in inches to leave free above the panels.

    Returns
    -------
    ndarray of shape (n_panels,)
        Axes of the panels, row by row.

    Raises
    ------
    ValueError
        If a sequence has another length, or the single Axes is not a subplot or is switched off.
    """
    if isinstance(ax, Sequence | np.ndarray):
        axes = np.asarray(ax, dtype=object).ravel()
        if len(axes) != n_panels:
            raise ValueError(f"Expected ax to be one Axes or {n_panels} of them, got {len(axes)}.")
        return axes
    if n_panels == 1 and not head:
        return np.array([ax], dtype=object)
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    cell = ax.get_subplotspec()
    if cell is None:
        raise ValueError(
            "Expected ax to be a subplot, got Axes at a free position, which cannot be divided "
            "into panels. Make them with plt.subplots() or figure.add_subplot()."
        )
    if not ax.axison:
        raise ValueError(
            "Expected ax to be switched on, got Axes that are switched off: a display has probably "
            "put its panels in their place. Pass the axes_ of that display, or new axes."
        )
    ax.set_axis_off()
    if head:
        rest = max(cell_size(ax)[1] - head, head)
        cell = GridSpecFromSubplotSpec(2, 1, cell, height_ratios=[head, rest])[1]
    n_rows = math.ceil(n_panels / n_columns)
    layout = GridSpecFromSubplotSpec(n_rows, n_columns, cell, height_ratios=height_ratios)
    # `subplots` needs the figure, which a GridSpec of a subplot does not have.
    layout.figure = ax.figure  # type: ignore[assignment]
    axes = layout.subplots(sharex=sharex, sharey=sharey, squeeze=False).ravel()
    for surplus in axes[n_panels:]:
        surplus.set_visible(False)
    return axes[:n_panels]


def cell_size(ax: Axes) -> tuple[float, float]:
    """Width and height in inches of the subplot of `ax`, with the space for its labels."""
    box, dpi = ax.figure.bbox, ax.figure.dpi
    width, height = box.width / dpi, box.height / dpi
    cell = ax.get_subplotspec()
    if cell is None:
        return width, height
    n_rows, n_columns = cell.get_gridspec().get_geometry()
    return width * len(cell.colspan) / n_columns, height * len(cell.rowspan) / n_rows


def style(i: int) -> tuple[str, str, str]:
    """Colour, line and marker of the i-th curve.

    The colours repeat after eight curves, with other lines and markers: the first 24 styles are
    all different.
    """
    n = len(STYLES)
    turn, color = divmod(i, n)
    return STYLES[color][0], STYLES[(color + turn) % n][1], STYLES[(color + 3 * turn) % n][2]


def literal(text: object) -> str:
    """Escape a text for matplotlib, so that a dollar sign does not start a formula."""
    return str(text).replace("$", r"\$")


def legend_below(
    ax: Axes, *, columns: int = 1, tick_lines: int = 1, handle: float = 2.8, gap: float = 2.0
) -> None:
    """Add a legend under the label of the horizontal axis, whatever the size of the axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes with labelled artists.
    columns : int, default=1
        Number of columns, or fewer on axes on which they do not fit.
    tick_lines : int, default=1
        Number of lines of the labels of the ticks.
    handle, gap : float
        Width of a handle with the space after it, and space between columns, in units of the size
        of the letters.
    """
    from matplotlib.transforms import ScaledTranslation

    inches = _LABELS_INCHES + _LINE_INCHES * (tick_lines - 1)
    down = ScaledTranslation(0, -inches, ax.figure.dpi_scale_trans)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + down, frameon=False, fontsize="small",
        ncols=fitting_columns(ax, labels, columns, handle=handle, gap=gap),
        handlelength=handle - 0.8, columnspacing=gap,
    )  # fmt: skip


def fitting_columns(
    ax: Axes, labels: Sequence[str], most: int, *, handle: float = 2.8, gap: float = 2.0
) -> int:
    """Number of columns of a legend in small letters that fit above or below the axes, at least 1.

    `handle` and `gap` are as for `legend_below`.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(size="small")
    size = font.get_size_in_points()
    # On a screen, letters are up to a twentieth wider than their outlines.
    widths = [1.06 * TextPath((0, 0), text, prop=font).get_extents().width for text in labels]
    room = 72 * (cell_size(ax)[0] - _ASIDE_INCHES)
    for n in range(min(most, len(labels)), 1, -1):
        # The labels fill one column after the other.
        columns = np.array_split(widths, n)
        width = sum(column.max() + size * (handle + gap) for column in columns)
        if width <= room:
            return n
    return 1
