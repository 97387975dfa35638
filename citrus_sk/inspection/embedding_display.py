"""Plot of windows in the space of a model's features, projected to two dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._utils.devices import draw_seed, out_of_memory_hint
from .._utils.optional import require
from .._utils.plotting import (
    NARROW,
    cell_size,
    legend_below,
    literal,
    new_axes,
    new_panels,
    style,
)
from .._utils.validation import check_choice
from ..signals.containers import resolve_labels
from ..training.nets import infer
from .fitted_model import FittedModel, as_called
from .grid import pass_steps, read_inspected

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = ("pca", "umap")
_ASIDE_INCHES = 5.0  # width from which two panels have room beside each other


@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingDisplay:
    """Windows as points, close to each other if a model's features are similar.

    Make one with `from_estimator`, which draws it; `plot` draws it again. One panel is coloured by
    class and, if groups are passed, a second one by person, because features often separate people
    better than classes. The title of a panel gives the share of the variance of all features, not
    only of the two dimensions drawn, that lies between classes or people.

    Parameters
    ----------
    points : ndarray of shape (n_windows, 2)
        Coordinates of the windows.
    axis_labels : list of str
        Labels of the two dimensions.
    y, groups : ndarray of shape (n_windows,) or None, default=None
        Class and person of each window.
    shares : dict of str to float, default=None
        Share of the variance between the values of ``"y"`` and of ``"groups"``.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        Axes of the first panel.
    axes_ : ndarray of matplotlib.axes.Axes of shape (n_panels,)
        Axes of all panels.
    figure_ : matplotlib.figure.Figure
        Figure of these axes.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier, EmbeddingDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["slow", "fast"], 10)
    >>> X = np.sin(np.arange(96) * np.where(y == "slow", 0.3, 0.9)[:, None])
    >>> X += 0.3 * rng.standard_normal(X.shape)
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0).fit(X, y)
    >>> display = EmbeddingDisplay.from_estimator(clf, X, y)
    >>> display.shares["y"] > 0.2
    True
    """

    points: np.ndarray
    axis_labels: list[str]
    y: np.ndarray | None = None
    groups: np.ndarray | None = None
    shares: dict[str, float] | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        groups: Any = None,
        *,
        method: str = "pca",
        random_state: Any = 0,
        ax: Axes | Sequence[Axes] | None = None,
    ) -> EmbeddingDisplay:
        """Project a model's features of windows to two dimensions, and draw them.

        Parameters
        ----------
        estimator : fitted CitrusEmbedder, CitrusClassifier, CitrusRegressor, other transformer, \
or Pipeline that ends in one
            Model with features. Those of a classifier or a regressor are the inputs of its linear
            head, standardised and weighted as there; those of a transformer are standardised here.
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), list or \
mne.Epochs
            At least 3 windows.
        y, groups : array-like of shape (n_windows,), str or None, default=None
            Class and person of each window, or names of columns of Epochs' metadata.
        method : {"pca", "umap"}, default="pca"
            Principal components, with the share of the variance on each axis; or UMAP [1]_, which
            keeps neighbours together, but whose axes and distances have no meaning.
        random_state : int, RandomState instance or None, default=0
            Seed of UMAP.
        ax : matplotlib.axes.Axes, sequence of them or None, default=None
            Axes to draw on, see `plot`. None makes a new figure.

        Returns
        -------
        EmbeddingDisplay

        Raises
        ------
        ModuleNotFoundError
            If matplotlib, or for ``method="umap"`` umap-learn, is not installed.
        NotFittedError
            If the model is not fitted.
        TypeError
            If it has no features.
        ValueError
            If `y`, `groups`, `method` or `X` is not valid.

        References
        ----------
        .. [1] McInnes, L., Healy, J. and Melville, J. (2018). UMAP: Uniform Manifold Approximation
           and Projection for Dimension Reduction. arXiv:1802.03426.
        """
        check_choice("method", method, METHODS)
        model = FittedModel(estimator)
        features = features_of(model, X)
        if len(features) < 3:
            raise ValueError(
                f"X has {len(features)} windows; expected at least 3 for two dimensions."
            )
        kinds = {
            name: _per_window(name, resolve_labels(X, value, name), len(features))
            for name, value in (("y", y), ("groups", groups))
            if value is not None
        }
        if method == "pca":
            from sklearn.decomposition import PCA

            pca = PCA(2, random_state=0).fit(features)
            points = pca.transform(features)
            labels = [
                f"component {i} ({ratio:.0%} of the variance)"
                for i, ratio in enumerate(pca.explained_variance_ratio_, 1)
            ]
        else:
            points, labels = _umap(features, random_state), ["UMAP 1", "UMAP 2"]
        shares = {name: share_between(features, value) for name, value in kinds.items()}
        return cls(
            points=points,
            axis_labels=labels,
            y=kinds.get("y"),
            groups=kinds.get("groups"),
            shares=shares,
        ).plot(ax=ax)

    def plot(self, ax: Axes | Sequence[Axes] | None = None) -> EmbeddingDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, sequence of them or None, default=None
            One Axes holds a single panel. If there are both classes and groups, it is switched
            off, and two panels take its place; a sequence holds one Axes for each of them. None
            makes a new figure.

        Returns
        -------
        EmbeddingDisplay
            The display itself.

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        known = {"y": self.y, "groups": self.groups}
        panels: dict[str, Any] = {k: v for k, v in known.items() if v is not None} or {"": None}
        n = len(panels)
        ax = new_axes((4.4 * n, 4.8)) if ax is None else ax
        aside = isinstance(ax, Sequence | np.ndarray) or cell_size(ax)[0] >= _ASIDE_INCHES
        self.axes_ = new_panels(ax, n, n if aside else 1, sharex=True, sharey=True)
        self.ax_: Axes = self.axes_[0]
        self.figure_: Figure = self.ax_.figure
        for panel, (name, value) in zip(self.axes_, panels.items(), strict=True):
            self._draw(panel, name, value)
        for panel in self.axes_:
            panel.tick_params(labelbottom=True)
        if n > 1 and aside:
            self.axes_[1].set_ylabel("")
        return self

    def _draw(self, ax: Axes, name: str, value: np.ndarray | None) -> None:
        if value is None:
            ax.scatter(self.points[:, 0], self.points[:, 1], s=14, color="0.2", linewidths=0)
        else:
            kinds = sorted(np.unique(value), key=_by_number)
            for i, kind in enumerate(kinds):
                colour, _, marker = style(i)
                x, y = self.points[value == kind].T
                ax.scatter(
                    x, y, s=16, color=colour, marker=marker, alpha=0.75,
                    linewidths=0, label=literal(kind),
                )  # fmt: skip
            legend_below(ax, columns=5, handle=1.8, gap=0.8)
            title = {"y": "by class", "groups": "by person"}[name]
            if self.shares and name in self.shares:
                title += f": {self.shares[name]:.0%} of the variance"
            ax.set_title(title, fontsize="medium")
        small = "small" if cell_size(ax)[0] < NARROW else "medium"
        ax.set_xlabel(self.axis_labels[0], fontsize=small)
        ax.set_ylabel(self.axis_labels[1].replace(" (", "\n("), fontsize=small)
        ax.locator_params(nbins=5)
        ax.spines[["top", "right"]].set_visible(False)


def features_of(model: FittedModel, X: Any) -> np.ndarray:
    """Features of windows, ``(n_windows, n_features)``, on one scale."""
    last, windows = model.last, read_inspected(model, X)
    if model.is_network:
        module = last.net_.module_
        if not hasattr(module, "features"):
            raise TypeError(
                f"{type(last).__name__} fits a network of another library, "
                f"{type(module.network).__name__}, which has no method for its features. Expected "
                "CitrusClassifier, CitrusRegressor or a transformer such as CitrusEmbedder."
            )
        grid = pass_steps(model, len(model.steps) - 1, windows, None)
        device = next(module.parameters()).device
        with out_of_memory_hint(last.batch_size), torch.inference_mode():
            raw = infer(module, grid.data, device, last.batch_size, features=True)
            return module.head.standardise(raw.to(device)).cpu().numpy()
    if not hasattr(last, "transform"):
        raise TypeError(
            f"{type(last).__name__} has no features to draw; expected CitrusEmbedder, "
            "CitrusClassifier, another transformer, or a Pipeline that ends in one."
        )
    from sklearn.preprocessing import StandardScaler

    data: Any = windows.data
    for step in model.steps:
        data = step.transform(as_called(step, data))
    data = np.asarray(data, np.float64)
    return StandardScaler().fit_transform(data.reshape(len(data), -1))


def share_between(features: np.ndarray, value: np.ndarray) -> float:
    """Share of the features' variance that lies between the means of classes or people.

    Its chance level is ``(n_kinds - 1) / (n_windows - 1)``.
    """
    centred = features - features.mean(0)
    between = sum(
        (value == kind).sum() * np.square(centred[value == kind].mean(0)).sum()
        for kind in np.unique(value)
    )
    return float(between / max(np.square(centred).sum(), np.finfo(float).tiny))


def _by_number(kind: Any) -> tuple[int, str]:
    """Sort key that puts "2" before "10"."""
    return (len(str(kind)) if str(kind).isdigit() else 0, str(kind))


def _per_window(name: str, values: Any, n_windows: int) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (n_windows,):
        raise ValueError(
            f"{name} has shape {array.shape}, and X has {n_windows} windows; expected one value "
            "for each."
        )
    return array


@contextmanager
def _same_threads() -> Iterator[None]:
    """Restore the number of torch's threads, which UMAP's numba sets for all of OpenMP."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _umap(features: np.ndarray, random_state: Any) -> np.ndarray:
    require("umap", "method='umap' (unlike method='pca')", install="umap-learn")
    seed = draw_seed(random_state) % 2**31
    with warnings.catch_warnings(), _same_threads():
        # Warnings that TensorFlow is missing, and that a seed sets n_jobs to 1.
        warnings.simplefilter("ignore")
        from umap import UMAP

        neighbours = min(15, len(features) - 1)
        layout = UMAP(n_neighbors=neighbours, init="pca", random_state=seed)
        return np.asarray(layout.fit_transform(features))
