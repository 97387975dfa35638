"""Clusters of windows that resemble each other, where the person of each window is unknown."""

from __future__ import annotations

import numpy as np

FEW_WINDOWS = 50  # windows up to which clusters would leave too few for training
_ALIKE = 0.5  # squared distance of nearest windows, in medians, below which clusters are used


def alike_clusters(kernel: np.ndarray, codes: np.ndarray) -> np.ndarray | None:
    """Clusters of windows that are left out together in cross-validation.

    Ward's clusters within each class, a quarter as many as there are windows. They are used only
    where windows have near neighbours, as windows of one recording do: the median squared
    distance to the nearest window of the class is less than half the usual one.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Inner products of the windows' features, with the same weight for each family.
    codes : ndarray of int, shape (n,)
        Class of each window.

    Returns
    -------
    ndarray of int, shape (n,), or None
        None for 50 windows or fewer, or without near neighbours: each window is then left out
        by itself.
    """
    from scipy.spatial.distance import squareform

    if len(codes) <= FEW_WINDOWS:
        return None
    norms = np.diag(kernel)
    squared = np.maximum(norms[:, None] + norms - 2 * kernel, 0)
    np.fill_diagonal(squared, 0)
    clusters, nearness, n_found = np.zeros(len(codes), int), [], 0
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        between = squared[np.ix_(rows, rows)]
        condensed = squareform(between, checks=False)
        clusters[rows] = n_found + _ward(condensed, len(rows))
        n_found = clusters.max()
        if len(rows) > 3:
            nearest = (between + np.diag(np.full(len(rows), np.inf))).min(axis=1)
            nearness.extend(nearest / max(np.median(condensed), 1e-12))
    return clusters if nearness and np.median(nearness) < _ALIKE else None


def _ward(squared_distances: np.ndarray, n_windows: int) -> np.ndarray:
    """Cluster of each window of one class, counted from 1; condensed squared distances."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if n_windows < 3:
        return 1 + np.arange(n_windows)
    tree = linkage(np.sqrt(squared_distances), "ward")
    n_clusters = max(2, round(n_windows / 4))
    return np.asarray(fcluster(tree, n_clusters, "maxclust"))
