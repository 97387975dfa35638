"""Where displays draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which every kind of eye tells apart, with lines and markers for print.
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

_LABELS_INCHES = 0.5  # what ticks and label of a horizontal axis take up


def style(place: int) -> tuple[str, str, str]:
    """Colour, line and marker of one of many; a colour comes back with another line and marker."""
    turn, at = divmod(place, len(STYLES))
    n = len(STYLES)
    return STYLES[at][0], STYLES[(at + turn) % n][1], STYLES[(at + 3 * turn) % n][2]


def literal(text: object) -> str:
    """Text that matplotlib draws as it stands: a dollar sign begins no formula."""
    return str(text).replace("$", r"\$")


def legend_below(ax: Axes, **settings: object) -> None:
    """A legend under the label of the horizontal axis, however high the axes are."""
    from matplotlib.transforms import ScaledTranslation

    under = ScaledTranslation(0, -_LABELS_INCHES, ax.figure.dpi_scale_trans)
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=ax.transAxes + under,
        frameon=False, fontsize="small", **settings,
    )  # fmt: skip


def new_axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """`ax`, or as scikit-learn's displays do the axes of a new figure of `size` inches.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Plots need matplotlib, which is not installed. Install it with: pip install "
            "matplotlib",
            name="matplotlib",
        ) from error
    return plt.subplots(figsize=size, layout="constrained")[1]
