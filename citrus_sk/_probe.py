"""The linear probe: a cross-validated, regularised linear head on frozen features."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ._labelled import LabelledWindows, inner_folds

# Features come in with unit length on average, so one grid serves every number of them.
STRENGTHS = np.logspace(-0.5, 3.5, 5)
DEFAULT_STRENGTH = 10.0


def fit_probe(
    features: np.ndarray, labelled: LabelledWindows, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a multinomial logistic regression whose strength is chosen by inner log loss.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        Standardised features of ``labelled``.
    labelled : LabelledWindows
    seed : int
        Of the inner folds.

    Returns
    -------
    weight : ndarray of shape (n_classes, n_features)
    bias : ndarray of shape (n_classes,)
        A class without a window gets a bias that rules it out.
    """
    features = np.asarray(features, np.float64)
    reduced, back = _rotate(features)
    strength = _choose_strength(reduced, labelled, seed)
    model = _logistic(reduced, labelled, strength)
    weight = np.zeros((labelled.n_classes, features.shape[1]))
    bias = np.full(labelled.n_classes, -30.0)
    coef, intercept = model.coef_ @ back, model.intercept_
    if len(model.classes_) == 2:
        coef, intercept = np.vstack([-coef, coef]) / 2, np.r_[-intercept, intercept] / 2
    weight[model.classes_], bias[model.classes_] = coef, intercept
    return weight, bias


def _rotate(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in the row space, and the way back.

    The L2 penalty does not change under rotation, so with fewer windows than features the fit is
    the same and the cost falls from n_features to n_windows.
    """
    n, n_features = features.shape
    if n >= n_features:
        return features, np.eye(n_features)
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    return left * singular, right


def _choose_strength(features: np.ndarray, labelled: LabelledWindows, seed: int) -> float:
    folds = inner_folds(labelled, 5, seed)
    if not folds:
        return DEFAULT_STRENGTH
    losses = np.zeros(len(STRENGTHS))
    for train, test in folds:
        inner = labelled.take(train)
        for i, strength in enumerate(STRENGTHS):
            model = _logistic(features[train], inner, strength)
            losses[i] += log_loss(
                labelled.codes[test],
                model.predict_proba(features[test]),
                sample_weight=labelled.weights[test],
                labels=model.classes_,
            )
    return float(STRENGTHS[np.argmin(losses)])


def _logistic(
    features: np.ndarray, labelled: LabelledWindows, strength: float
) -> LogisticRegression:
    with warnings.catch_warnings():
        # A head short of its optimum by lbfgs's last digits is as good; nothing for the user to do.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=300).fit(
            features, labelled.codes, sample_weight=labelled.weights
        )
