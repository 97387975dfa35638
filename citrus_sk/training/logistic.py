"""A logistic regression on frozen features, for a network without random kernels."""

from __future__ import annotations

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from .._utils.warnings import ignored
from .labelled import MANY_CLASSES, LabelledWindows, inner_folds

# Features have unit length on average, so the same values suit any number of them.
STRENGTHS = np.logspace(-0.5, 3.5, 5)
DEFAULT_STRENGTH = 10.0


def fit_probe(
    features: np.ndarray, labelled: LabelledWindows, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a multinomial logistic regression whose penalty is chosen by cross-validation.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Standardised features of ``labelled``.
    labelled : LabelledWindows
    seed : int
        Seed of the folds.

    Returns
    -------
    weight : ndarray of shape (n_classes, n_features)
    bias : ndarray of shape (n_classes,)
        A class without a window has a bias that rules it out.
    """
    features = np.asarray(features, np.float64)
    reduced, back = _rotate(features)
    strength = _choose_strength(reduced, labelled, seed)
    model = _logistic(reduced, labelled, strength)
    weight = np.zeros((labelled.n_outputs, features.shape[1]))
    bias = np.full(labelled.n_outputs, -30.0)
    coef, intercept = model.coef_, model.intercept_
    if back is not None:
        coef = coef @ back
    if len(model.classes_) == 2:
        coef, intercept = np.vstack([-coef, coef]) / 2, np.r_[-intercept, intercept] / 2
    weight[model.classes_], bias[model.classes_] = coef, intercept
    return weight, bias


def _rotate(features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Rotate features into their row space; returns them and the rotation, None for no rotation.

    An L2 penalty does not change under rotation. With fewer windows than features the fit is the
    same, in as many dimensions as there are windows.
    """
    if len(features) >= features.shape[1]:
        return features, None
    # By the products of the rows: an SVD of the features themselves takes twice as long.
    squared, left = np.linalg.eigh(features @ features.T)
    kept = squared > 1e-12 * squared[-1]
    singular, left = np.sqrt(squared[kept]), left[:, kept]
    if not len(singular):  # no feature varies
        return np.zeros((len(features), 1)), np.zeros((1, features.shape[1]))
    return left * singular, (left / singular).T @ features


def _choose_strength(features: np.ndarray, labelled: LabelledWindows, seed: int) -> float:
    """Choose the smallest C whose log loss is within half a standard error of the lowest.

    With few windows, the C of the lowest log loss is often overconfident. Breiman's rule of one
    standard error costs accuracy.
    """
    folds = inner_folds(labelled, 5, seed)
    if not folds:
        return DEFAULT_STRENGTH
    losses, weights = [], []
    for train, test in folds:
        inner = labelled.take(train)
        models = [_logistic(features[train], inner, strength) for strength in STRENGTHS]
        # Every training part has every class, so a code is a column.
        columns = np.searchsorted(models[0].classes_, labelled.targets[test])
        proba = np.stack([model.predict_proba(features[test]) for model in models])
        right = proba[:, np.arange(len(test)), columns]
        losses.append(-np.log(right.clip(1e-12)))
        weights.append(labelled.weights[test])
    loss, weight = np.concatenate(losses, axis=1), np.concatenate(weights)
    mean = np.average(loss, axis=1, weights=weight)
    lowest = np.argmin(mean)
    variance = np.average((loss[lowest] - mean[lowest]) ** 2, weights=weight)
    error = np.sqrt(variance / weight.sum() * (weight**2).sum() / weight.sum())
    return float(STRENGTHS[np.argmax(mean <= mean[lowest] + error / 2)])


def _logistic(
    features: np.ndarray, labelled: LabelledWindows, strength: float
) -> LogisticRegression:
    # A head short of its optimum by lbfgs's last digits is as good; nothing for the user to do.
    with ignored(ConvergenceWarning), ignored(UserWarning, MANY_CLASSES):
        return LogisticRegression(C=strength, max_iter=300).fit(
            features, labelled.targets, sample_weight=labelled.weights
        )
