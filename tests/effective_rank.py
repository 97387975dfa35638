"""Effective rank of features, for tests of what keeps it from falling."""

import numpy as np


def effective_rank(features):
    """Exponential of the entropy of the normalised singular values (Roy and Vetterli, 2007)."""
    standard = (features - features.mean(0)) / (features.std(0) + 1e-6)
    singular = np.linalg.svd(standard, compute_uv=False)
    share = singular / singular.sum()
    return np.exp(-(share * np.log(share + 1e-12)).sum())
