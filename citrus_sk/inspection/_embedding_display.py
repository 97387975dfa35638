"""Windows in the space of a model's features, brought to two dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._containers import resolve_labels
from .._devices import draw_seed, out_of_memory_hint
from .._figures import legend_below, literal, new_axes, style
from .._parameters import check_choice
from .._training import infer
from ._grid import pass_steps, read_inspected
from ._model import FittedModel, as_called

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = ("pca", "umap")


@dataclass(kw_only=True, eq=False, repr=False)
class EmbeddingDisplay:
    """Windows as points: near each other where a model's features are alike.

    Make one with `from_estimator`; it is drawn at once, and again by `plot`. One panel is coloured
    by class and, where groups are given, a second one by person, since features often tell people
    apart better than classes. A panel's title says which share of the features' variance, all of
    it and not only what is drawn, lies between its classes or people.

    Parameters
    ----------
    points : ndarray of shape (n_windows, 2)
    axis_labels : list of str
        What the two dimensions are.
    y, groups : ndarray of shape (n_windows,) or None, default=None
        Class and person of each window.
    shares : dict of str to float, default=None
        Share of the variance between the values of ``"y"`` and of ``"groups"``.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The first panel.
    axes_ : ndarray of matplotlib.axes.Axes
        All of them.
    figure_ : matplotlib.figure.Figure

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
    ax_: Axes | None = None
    axes_: np.ndarray | None = None
    figure_: Figure | None = None

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
        """Take a model's features of windows, bring them to two dimensions, and draw them.

        Parameters
        ----------
        estimator : fitted CitrusEmbedder, CitrusClassifier, CitrusRegressor, other transformer, \
or Pipeline that ends in one
            Features of a classifier or a regressor are what its linear head is given, standardised
            and weighed as they are there; those of a transformer are standardised here.
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), list or \
mne.Epochs
            At least 3 windows.
        y, groups : array-like of shape (n_windows,), str or None, default=None
            Class and person of each window, or names of columns of Epochs' metadata.
        method : {"pca", "umap"}, default="pca"
            Principal components, whose axes say how much of the variance they show; or UMAP [1]_,
            which keeps neighbours together and whose axes and distances mean nothing.
        random_state : int, RandomState instance or None, default=0
            Of UMAP.
        ax : matplotlib.axes.Axes, sequence of two, or None, default=None
            What to draw on; a pair where both `y` and `groups` are given. A new figure if None.

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
            If `y`, `groups`, `method` or `X` is not what is wanted.

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
                f"X has {len(features)} windows; wanted at least 3 to lay out in a plane."
            )
        kinds = {
            name: _per_window(name, resolve_labels(X, value, name), len(features))
            for name, value in (("y", y), ("groups", groups))
            if value is not None
        }
        if method == "pca":
            from sklearn.decomposition import PCA

            pca = PCA(2, random_state=0).fit(features)
            points, told = pca.transform(features), pca.explained_variance_ratio_
            labels = [
                f"component {i} ({share:.0%} of the variance)" for i, share in enumerate(told, 1)
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
        """Draw; on a new figure where `ax` is None.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, sequence of two, or None, default=None
            A pair where there are both classes and groups.

        Returns
        -------
        EmbeddingDisplay
            Itself.
        """
        known = {"y": self.y, "groups": self.groups}
        panels: dict[str, Any] = {k: v for k, v in known.items() if v is not None} or {"": None}
        axes = _panels(ax, len(panels))
        for panel, (name, value) in zip(axes, panels.items(), strict=True):
            self._draw(panel, name, value)
        if len(axes) > 1:
            axes[1].set_ylabel("")
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        return self

    def _draw(self, ax: Axes, name: str, value: np.ndarray | None) -> None:
        if value is None:
            ax.scatter(self.points[:, 0], self.points[:, 1], s=14, color="0.2", linewidths=0)
        else:
            kinds = sorted(np.unique(value), key=_by_number)
            for place, kind in enumerate(kinds):
                colour, _, marker = style(place)
                own = self.points[value == kind]
                ax.scatter(
                    own[:, 0], own[:, 1], s=16, color=colour, marker=marker, alpha=0.75,
                    linewidths=0, label=literal(kind),
                )  # fmt: skip
            columns = 2 if max(len(str(kind)) for kind in kinds) > 8 else 5
            legend_below(ax, ncols=columns, handletextpad=0.1, columnspacing=0.8)
            what = {"y": "by class", "groups": "by person"}[name]
            share = (self.shares or {}).get(name)
            told = "" if share is None else f": {share:.0%} of the variance"
            ax.set_title(what + told, fontsize="medium")
        ax.set(xlabel=self.axis_labels[0], ylabel=self.axis_labels[1])
        ax.spines[["top", "right"]].set_visible(False)


def features_of(model: FittedModel, X: Any) -> np.ndarray:
    """Features of windows, ``(n_windows, n_features)``, on one scale."""
    last, windows = model.last, read_inspected(model, X)
    if model.is_network:
        module = last.net_.module_
        if not hasattr(module, "features"):
            raise TypeError(
                f"{type(last).__name__} was fitted with module={type(module.network).__name__}, "
                "whose features have no name of their own. Wanted one without module=, or a "
                "transformer such as CitrusEmbedder."
            )
        grid = pass_steps(model, len(model.steps) - 1, windows, None)
        device = next(module.parameters()).device
        with out_of_memory_hint(last.batch_size), torch.inference_mode():
            raw = infer(module, grid.data, device, last.batch_size, features=True)
            return module.head.standardise(raw.to(device)).cpu().numpy()
    if not hasattr(last, "transform"):
        raise TypeError(
            f"{type(last).__name__} has no features to show; wanted CitrusEmbedder, "
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

    By chance it would be ``(n_kinds - 1) / (n_windows - 1)``.
    """
    centred = features - features.mean(0)
    between = sum(
        (value == kind).sum() * np.square(centred[value == kind].mean(0)).sum()
        for kind in np.unique(value)
    )
    return float(between / max(np.square(centred).sum(), np.finfo(float).tiny))


def _by_number(kind: Any) -> tuple[int, str]:
    """Order of names in which "2" comes before "10"."""
    return (len(str(kind)) if str(kind).isdigit() else 0, str(kind))


def _per_window(name: str, values: Any, n_windows: int) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != (n_windows,):
        raise ValueError(
            f"{name} has shape {array.shape}, and X has {n_windows} windows; wanted one value for "
            "each."
        )
    return array


def _panels(ax: Any, n: int) -> np.ndarray:
    if ax is None:
        figure = new_axes(None, (4.4 * n, 4.8)).figure
        figure.clear()
        return figure.subplots(1, n, squeeze=False, sharex=True, sharey=True)[0]
    axes = np.atleast_1d(np.asarray(ax, dtype=object))
    if axes.shape != (n,):
        raise ValueError(
            f"ax has {axes.size} axes, and {n} are wanted: one for classes, one for groups."
        )
    return axes


@contextmanager
def _same_threads() -> Iterator[None]:
    """Put the number of torch's threads back: numba, behind UMAP, sets that of all OpenMP."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _umap(features: np.ndarray, random_state: Any) -> np.ndarray:
    seed = draw_seed(random_state) % 2**31
    with warnings.catch_warnings(), _same_threads():
        # Of TensorFlow, which another class of it needs; of n_jobs, which a seed sets to 1.
        warnings.simplefilter("ignore")
        try:
            from umap import UMAP
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "method='umap' needs umap-learn, which is not installed. Install it with: pip "
                "install umap-learn; or use method='pca'.",
                name="umap",
            ) from error
        neighbours = min(15, len(features) - 1)
        layout = UMAP(n_neighbors=neighbours, init="pca", random_state=seed)
        return np.asarray(layout.fit_transform(features))
