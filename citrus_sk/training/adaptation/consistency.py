"""Whether people have the same labels or labels of their own: evidence from the labels alone.

The intraclass correlation (ICC) of a label is the share of its variance that lies between people.
It is 0 where everybody has the same classes equally often, and 1 where each person has one class.
Only near 0 is the mean of a person's windows free of the label, and safe to take away.
"""

from __future__ import annotations

from math import lgamma

import numpy as np

from .people import rows_of_people

# The values of the ICC that are compared, and their prior probabilities: most studies give
# everybody the same conditions, and many others give each recording one label.
CONSISTENCIES = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 0.98])
PRIOR = np.array([0.5, 0.08, 0.08, 0.08, 0.08, 0.08, 0.1])
TRUST = 2 / 3  # posterior probability above which one of the two extreme values is assumed


def label_consistency(codes: np.ndarray, groups: np.ndarray, n_classes: int) -> np.ndarray:
    """Posterior probability of each value of `CONSISTENCIES`, from the classes of each person.

    The class counts of a person follow a Dirichlet-multinomial distribution around the shares of
    the classes over all people. One window for each person holds no evidence: the result is then
    the prior.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        Class of each window.
    groups : ndarray of shape (n,)
        Person of each window.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray of shape (len(CONSISTENCIES),)
    """
    shares = np.bincount(codes, minlength=n_classes) / len(codes)
    evidence = np.log(PRIOR)
    for rows, _ in rows_of_people(groups):
        counts = np.bincount(codes[rows], minlength=n_classes)
        present = counts > 0
        for i, consistency in enumerate(CONSISTENCIES):
            if consistency == 0:
                evidence[i] += counts[present] @ np.log(shares[present])
            else:
                concentration = 1 / consistency - 1
                evidence[i] += _log_likelihood(counts[present], shares[present], concentration)
    return _normalised(evidence)


def value_consistency(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Posterior probability of each value of `CONSISTENCIES`, from numbers instead of classes.

    The numbers follow a random-intercept model: normal within people, and with normal means
    between people.

    Parameters
    ----------
    values : ndarray of shape (n, n_outputs)
        Target values of each window.
    groups : ndarray of shape (n,)
        Person of each window.

    Returns
    -------
    ndarray of shape (len(CONSISTENCIES),)
    """
    spread = np.maximum(values.std(axis=0), 1e-12)
    standard = (values - values.mean(axis=0)) / spread
    evidence = np.log(PRIOR)
    for rows, _ in rows_of_people(groups):
        n, total = len(rows), standard[rows].sum(axis=0)
        squares = (standard[rows] ** 2).sum(axis=0)
        for i, between in enumerate(CONSISTENCIES):
            # The two eigenvalues of the covariance of n numbers of one person.
            within = 1 - between
            whole = within + n * between
            misfit = (squares - between / whole * total**2) / within
            evidence[i] -= 0.5 * (misfit + (n - 1) * np.log(within) + np.log(whole)).mean()
    return _normalised(evidence)


def _log_likelihood(counts: np.ndarray, shares: np.ndarray, concentration: float) -> float:
    """Dirichlet-multinomial log probability of a sequence of windows with these class counts."""
    value = lgamma(concentration) - lgamma(concentration + counts.sum())
    for count, part in zip(counts, concentration * shares, strict=True):
        value += lgamma(part + count) - lgamma(part)
    return float(value)


def _normalised(evidence: np.ndarray) -> np.ndarray:
    """Probabilities from log evidence."""
    probabilities = np.exp(evidence - evidence.max())
    return np.asarray(probabilities / probabilities.sum())
