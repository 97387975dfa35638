"""The probe of many windows: chosen on some of them, then solved for all of them in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg

from .._utils.threads import in_threads
from .labelled import LabelledWindows
from .probes import FusedProbe, Ridge, class_targets, families_of_values, probe_of

MOST_EXACT = 3000  # windows; the exact solution takes their cube
BLOCK = 1024  # windows whose features are in memory at the same time
_WIDEST = 10_000  # features of a family; its normal equations have their square
_FEWEST_OF_A_CLASS = 20


@dataclass(frozen=True)
class AllWindows:
    """All training windows, of which a probe was fitted to some.

    Attributes
    ----------
    labelled : LabelledWindows
    blocks : callable
        Function without parameters that yields slices of ``labelled`` and their standardised
        features, float32.
    """

    labelled: LabelledWindows
    blocks: Callable[[], Iterator[tuple[slice, np.ndarray]]]


def some_windows(labelled: LabelledWindows) -> LabelledWindows:
    """Select about 3000 windows, stratified by class, or all of them if there are fewer.

    The first windows of each class are a random sample, because windows are sorted by hashes.
    """
    if len(labelled) <= MOST_EXACT:
        return labelled
    if labelled.n_classes is None:
        return labelled.take(np.arange(MOST_EXACT))
    share, kept = MOST_EXACT / len(labelled), []
    for code in np.unique(labelled.targets):
        rows = np.flatnonzero(labelled.targets == code)
        kept.append(rows[: max(_FEWEST_OF_A_CLASS, round(share * len(rows)))])
    return labelled.take(np.sort(np.concatenate(kept)))


def fit_to_all(probe: FusedProbe, families: list[int], everything: AllWindows | None) -> FusedProbe:
    """Solve the ridges of a probe again, with the same penalties, on all windows.

    The normal equations are summed over blocks, so time grows linearly with the number of windows,
    and memory does not. A family of more than 10,000 features (the read-out of eight channels or
    more) keeps the solution for the windows that the probe was fitted to.

    Parameters
    ----------
    probe : FusedProbe
        Probe that was fitted to some of the windows.
    families : list of int
        Number of columns of each family.
    everything : AllWindows or None
        None if the probe was fitted to all windows; it is returned as it is.
    """
    if everything is None:
        return probe
    labelled = everything.labelled
    if labelled.n_classes is None:
        targets, weights = labelled.targets, labelled.weights
        families = families_of_values(families)
    else:
        _, _, targets, weights = class_targets(labelled)
    weights = weights / weights.mean()
    sums = {i: _Sums(size, targets.shape[1]) for i, size in enumerate(families) if size <= _WIDEST}
    cuts = np.cumsum(families)[:-1]
    for rows, features in everything.blocks():
        parts = np.split(features, cuts, axis=1)
        in_threads(_add, [(sums[i], parts[i], targets[rows], weights[rows]) for i in sums])
    fits = [sums[i].solve(fit) if i in sums else fit for i, fit in enumerate(probe.fits)]
    return probe_of(fits, probe.shares, probe.sharpness, probe.outputs, labelled.n_outputs)


def _add(block: tuple[_Sums, np.ndarray, np.ndarray, np.ndarray]) -> None:
    sums, *values = block
    sums.add(*values)


class _Sums:
    """Weighted sums over windows from which a ridge is solved."""

    def __init__(self, n_features: int, n_targets: int) -> None:
        self.weight = 0.0
        self.features = np.zeros(n_features)
        self.targets = np.zeros(n_targets)
        self.products = np.zeros((n_features, n_features))
        self.cross = np.zeros((n_features, n_targets))

    def add(self, features: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> None:
        weighted = features * weights[:, None].astype(features.dtype)
        self.weight += weights.sum()
        self.features += weighted.sum(axis=0, dtype=np.float64)
        self.targets += weights @ targets
        # Products of a block in single precision take half of the time; their sum is in double.
        self.products += weighted.T @ features
        self.cross += weighted.T @ targets.astype(features.dtype)

    def solve(self, fit: Ridge) -> Ridge:
        """The ridge on all windows with the penalty of `fit`; the left-out decisions stay."""
        centre, level = self.features / self.weight, self.targets / self.weight
        products = self.products
        products -= np.outer(self.features, centre)
        products[np.diag_indices_from(products)] += fit.penalty
        cross = self.cross - np.outer(self.features, level)
        coef = scipy.linalg.solve(products, cross, assume_a="pos", overwrite_a=True)
        return replace(fit, coef=coef, intercept=level - centre @ coef)
