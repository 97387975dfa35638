"""Linear heads on frozen features: ridges in closed form, one for each family of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from .._utils.threads import in_threads
from .adaptation.clusters import FEW_WINDOWS, alike_clusters
from .adaptation.personal import person_kernel
from .labelled import LabelledWindows

# In units of the windows' mean squared norm. With larger penalties, few windows with large left-out
# errors would shrink every decision to the most frequent class.
PENALTIES = np.logspace(-4, -0.5, 8)
VALUE_PENALTIES = np.logspace(-4, 2, 13)  # a target may have nothing to do with the signal
SHARPNESSES = np.logspace(-0.5, 1.7, 23)
_RULED_OUT = -30.0
# With few labels, the network and the band power are worse than the kernels: each of their ridges
# has half of the weight of another at this number of windows.
_NETWORK_WINDOWS = 20
# Exponent of a left-out error in the weight of its ridge, and the number of windows at which it
# is half of this; few left-out errors say little.
_TRUST, _TRUST_WINDOWS = 4.0, 100
_RARITY = 0.5  # exponent of a class's weight; 0 counts windows, 1 counts every class alike
_DOUBT = 0.5  # windows of other classes that calibration adds to each class
_USUAL = (0.5, 0.4)  # prior of the log sharpness: mean and sd


@dataclass(frozen=True)
class FusedProbe:
    """Averaged ridges, with what their adaptation to a person starts from.

    Attributes
    ----------
    weight : ndarray of shape (n_outputs, n_features)
    bias : ndarray of shape (n_outputs,)
        The softmax of ``features @ weight.T + bias`` is calibrated. A class without a window has a
        bias that rules it out.
    left_out : ndarray of shape (n, n_present)
        Decision for each training window from ridges fitted without it, or without its group.
    sharpness : float
        Outputs per decision; 1 for numbers.
    outputs : ndarray of int, shape (n_present,)
        The classes that have a window, or all numbers.
    shares : ndarray of shape (n_families,) or (n_families, n_outputs)
        Weights of the families' decisions in their average.
    fits : list of Ridge
        The ridge of each family.
    """

    weight: np.ndarray
    bias: np.ndarray
    left_out: np.ndarray
    sharpness: float
    outputs: np.ndarray
    shares: np.ndarray
    fits: list[Ridge]

    @property
    def head(self) -> tuple[np.ndarray, np.ndarray]:
        return self.weight, self.bias


def fit_fused_probe(
    features: np.ndarray, families: list[int], labelled: LabelledWindows, network: bool = True
) -> FusedProbe:
    """Fit a ridge classifier on each family of features and average their decisions.

    Decisions rather than features are averaged: each family has its own penalty, and thousands of
    kernels do not outweigh a few hundred latents. Everything is chosen by leaving out one window
    (or, with groups, one group), in closed form.

    In the ridges, the weight of a class is the square root of its number of windows: with equal
    weights for all windows, a weak signal yields the most frequent class alone. Calibration uses
    the windows' own weights.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Standardised features of ``labelled``.
    families : list of int
        Number of columns of each family.
    labelled : LabelledWindows
    network : bool, default=True
        Whether the first of several families are the network and the band power, whose weights
        grow with the number of windows.
    """
    present, codes, targets, weights = class_targets(labelled)
    parts = np.split(np.asarray(features, np.float64), np.cumsum(families)[:-1], axis=1)
    fits = in_threads(lambda part: fit_ridge(part, targets, weights, labelled.groups), parts)
    shares = family_shares(fits, targets, weights, network)
    fused = fuse(fits, shares)
    sharpness = fit_sharpness(fused.left_out, codes, labelled.weights)
    if labelled.groups is None:
        sharpness = _cautious_sharpness(sharpness, fused, features, families, labelled)
    return probe_of(fits, shares, sharpness, present, labelled.n_outputs)


def probe_of(
    fits: list[Ridge], shares: np.ndarray, sharpness: float, outputs: np.ndarray, n_outputs: int
) -> FusedProbe:
    """The probe that averages ridges, of which some of `n_outputs` outputs have a target."""
    fused = fuse(fits, shares)
    weight = np.zeros((n_outputs, len(fused.coef)))
    bias = np.full(n_outputs, _RULED_OUT)
    weight[outputs] = sharpness * fused.coef.T
    bias[outputs] = sharpness * fused.intercept
    return FusedProbe(weight, bias, fused.left_out, sharpness, outputs, shares, fits)


def family_shares(
    fits: list[Ridge], targets: np.ndarray, weights: np.ndarray, network: bool
) -> np.ndarray:
    """Weights of the families' decisions in their average, of shape (n_families,).

    They are nearly equal for few windows, except those of the network and the band power, which
    are smaller. With more windows, a family with a lower left-out squared error has more weight. On
    inner folds of ten sets, macro-F1 was higher than with equal weights at 2 % of the labels, and
    level from 5 % on; log loss was lower.
    """
    n = len(targets)
    errors = [np.average((fit.left_out - targets) ** 2, axis=0, weights=weights) for fit in fits]
    shares = np.maximum(np.mean(errors, axis=1), 1e-9) ** (-_TRUST * n / (n + _TRUST_WINDOWS))
    if network and len(fits) > 1:
        shares[:2] *= n / (n + _NETWORK_WINDOWS)
    return np.asarray(shares / shares.sum())


def fuse(fits: list[Ridge], shares: np.ndarray) -> Ridge:
    """Average the decisions of ridges on different features, as one ridge on all of them.

    Parameters
    ----------
    fits : list of Ridge
    shares : ndarray of shape (n_families,) or (n_families, n_targets)
        Weights with a sum of 1.
    """

    def scaled(values: list[np.ndarray]) -> list[np.ndarray]:
        return [share * value for share, value in zip(shares, values, strict=True)]

    def split(columns: np.ndarray) -> list[np.ndarray]:
        return np.split(columns, np.cumsum([len(fit.coef) for fit in fits])[:-1], axis=1)

    return Ridge(
        np.concatenate(scaled([fit.coef for fit in fits])),
        np.sum(scaled([fit.intercept for fit in fits]), axis=0),
        np.sum(scaled([fit.left_out for fit in fits]), axis=0),
        lambda groups: np.sum(scaled([fit.without_each(groups) for fit in fits]), axis=0),
        lambda points, people, features, groups: np.sum(
            scaled(
                [
                    fit.without_each_at(point, people, part, groups)
                    for fit, point, part in zip(fits, split(points), split(features), strict=True)
                ]
            ),
            axis=0,
        ),
    )


def _cautious_sharpness(
    sharpness: float,
    fused: Ridge,
    features: np.ndarray,
    families: list[int],
    labelled: LabelledWindows,
) -> float:
    """Sharpness for windows that resemble each other, as windows of one recording do.

    Leaving out one window keeps its neighbours in the training set, which is too optimistic.
    Leaving out clusters is too pessimistic. The geometric mean of both sharpnesses had the lowest
    log loss on training folds of ten sets.
    """
    codes = class_targets(labelled)[1]
    if len(codes) <= FEW_WINDOWS:
        return sharpness
    clusters = alike_clusters(person_kernel(features, families), codes)
    if clusters is None:
        return sharpness
    left_out = fused.without_each(clusters)
    return float(np.sqrt(sharpness * fit_sharpness(left_out, codes, labelled.weights)))


def class_targets(
    labelled: LabelledWindows,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Classes with a window, their codes, targets of 1 and -1, and the weights in a ridge."""
    present, codes = np.unique(labelled.targets, return_inverse=True)
    mass = np.bincount(codes, labelled.weights)
    targets = 2.0 * np.eye(len(present))[codes] - 1
    return present, codes, targets, labelled.weights / mass[codes] ** _RARITY


def fit_fused_values(
    features: np.ndarray, families: list[int], labelled: LabelledWindows
) -> FusedProbe:
    """Fit a ridge regression on each family of features and average what they predict.

    Like `fit_fused_probe`, for numbers. The weight of a family is the inverse square of its
    left-out squared error. On windows of new people this was as good as or better than the plain
    mean; weights fitted to the left-out predictions were worse with few people.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Standardised features of ``labelled``.
    families : list of int
        Number of columns of each family, see `families_of_values`.
    labelled : LabelledWindows
    """
    families = families_of_values(families)
    parts = np.split(np.asarray(features, np.float64), np.cumsum(families)[:-1], axis=1)
    targets = labelled.targets.astype(np.float64)
    fits = in_threads(
        lambda part: fit_ridge(part, targets, labelled.weights, labelled.groups, VALUE_PENALTIES),
        parts,
    )
    errors = [
        np.average((fit.left_out - targets) ** 2, axis=0, weights=labelled.weights) for fit in fits
    ]
    trust = 1 / np.maximum(errors, 1e-9) ** 2
    trust /= trust.sum(axis=0)
    n_outputs = targets.shape[1]
    return probe_of(fits, trust, 1.0, np.arange(n_outputs), n_outputs)


def families_of_values(families: list[int]) -> list[int]:
    """Join the first two families, the network and the band power, where there are several.

    A ridge on the band power alone extrapolates: from twenty windows, its heart rates for people
    with other spectra were off by three standard deviations.
    """
    return [families[0] + families[1], *families[2:]] if len(families) > 2 else families


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge, with what leaving out windows takes.

    Attributes
    ----------
    coef : ndarray of shape (n_features, n_targets)
    intercept : ndarray of shape (n_targets,)
    left_out : ndarray of shape (n, n_targets)
        Decision for each training window from a ridge fitted without it, or without its group.
    penalty : float
        Penalty of the squared coefficients, where the weights of the windows have a mean of 1. NaN
        for an average of ridges.
    """

    coef: np.ndarray
    intercept: np.ndarray
    left_out: np.ndarray
    _leave_out: Callable[[np.ndarray], np.ndarray]
    _leave_out_at: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    penalty: float = np.nan

    def without_each(self, groups: np.ndarray) -> np.ndarray:
        """Decision for each training window from a ridge fitted without its group."""
        return self._leave_out(groups)

    def without_each_at(
        self, points: np.ndarray, people: np.ndarray, features: np.ndarray, groups: np.ndarray
    ) -> np.ndarray:
        """Decision for each of other points, from a ridge fitted without the person of the point.

        Parameters
        ----------
        points : ndarray of shape (n_points, n_features)
        people : ndarray of shape (n_points,)
            Groups that are left out.
        features, groups
            Those that the ridge was fitted to.
        """
        return self._leave_out_at(points, people, features, groups)


def fit_ridge(
    features: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray | None,
    penalties: np.ndarray | None = None,
) -> Ridge:
    """Fit the ridge whose penalty has the lowest left-out squared error."""
    weights = weights / weights.mean()
    share = weights / weights.sum()
    centre, level = share @ features, share @ targets
    root = np.sqrt(weights)[:, None]
    rows, expected = root * (features - centre), root * (targets - level)
    squared, basis = np.linalg.eigh(rows @ rows.T)  # by the windows, which are fewer
    squared = squared.clip(0)
    rotated = basis.T @ expected
    unit = max(squared.mean(), 1e-12)

    def leave_out(groups: np.ndarray | None, penalty: float) -> np.ndarray:
        shrink = squared / (squared + penalty)
        residual = expected - basis @ (shrink[:, None] * rotated)
        left = _leave_out(basis, shrink, np.sqrt(share), residual, groups)
        return np.asarray(targets - left / root)

    grid = unit * (PENALTIES if penalties is None else penalties)
    best = (np.inf, np.empty(0), grid[-1])
    for penalty in grid:
        left_out = leave_out(groups, penalty)
        error = np.average((targets - left_out) ** 2, axis=0, weights=weights).mean()
        if error < best[0]:
            best = (error, left_out, penalty)
    _, best_left_out, best_penalty = best
    coef = rows.T @ (basis @ (rotated / (squared + best_penalty)[:, None]))

    def leave_out_at(
        points: np.ndarray, people: np.ndarray, features: np.ndarray, groups: np.ndarray
    ) -> np.ndarray:
        inner = (
            (points - centre) @ (root * (features - centre)).T @ basis / (squared + best_penalty)
        )
        hat = inner @ basis.T + root.T / len(root)  # the last part stands for the intercept
        found, errors = level + inner @ rotated, root * (targets - best_left_out)
        for i, person in enumerate(people):
            rows = groups == person
            found[i] -= hat[i, rows] @ errors[rows]
        return np.asarray(found)

    without = partial(leave_out, penalty=best_penalty)
    return Ridge(coef, level - centre @ coef, best_left_out, without, leave_out_at, best_penalty)


def _leave_out(
    basis: np.ndarray,
    shrink: np.ndarray,
    level: np.ndarray,
    residual: np.ndarray,
    groups: np.ndarray | None,
) -> np.ndarray:
    """Residual of each window from a ridge fitted without it, or without its group.

    The hat matrix is ``basis * shrink @ basis.T`` plus the outer product of ``level`` with itself,
    which stands for the intercept. Only its blocks on the diagonal are needed.
    """
    if groups is None or len(np.unique(groups)) < 3:
        return residual / (1 - basis**2 @ shrink - level**2).clip(1e-9)[:, None]
    left = np.empty_like(residual)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        hat = (basis[rows] * shrink) @ basis[rows].T + np.outer(level[rows], level[rows])
        left[rows] = np.linalg.solve(np.eye(len(rows)) * (1 + 1e-9) - hat, residual[rows])
    return left


def fit_sharpness(decisions: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> float:
    """Choose the most probable factor of the decisions before the softmax.

    Few left-out decisions are often all correct, and the likelihood alone would make the factor
    infinite. As in Platt (1999), targets are softened by pseudo-observations: half a window for
    each class here, one or more there. A normal prior on the logarithm, which a hundred windows
    outweigh, keeps the factor near its usual value. Both values had the lowest log loss over all
    shares of the labels on training folds of ten sets.
    """
    n_classes = decisions.shape[1]
    spread = _DOUBT / n_classes / (np.bincount(codes, weights)[codes] + _DOUBT)
    targets = np.repeat(spread[:, None], n_classes, axis=1)
    targets[np.arange(len(codes)), codes] = 1 - (n_classes - 1) * spread
    mean, sd = _USUAL
    costs = []
    for sharpness in SHARPNESSES:
        scores = sharpness * (decisions - decisions.max(1, keepdims=True))
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        misfit = weights @ -(targets * logs).sum(1)
        costs.append(misfit + 0.5 * ((np.log(sharpness) - mean) / sd) ** 2)
    return float(SHARPNESSES[np.argmin(costs)])
