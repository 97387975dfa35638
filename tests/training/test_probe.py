"""The linear probe against scikit-learn's own model."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from citrus_sk.training.labelled import label_windows
from citrus_sk.training.logistic import STRENGTHS, _choose_strength, _rotate, fit_probe

RNG = np.random.default_rng(0)


def labelled_features(n_features, n_classes, noise=1.0, n=60):
    X = RNG.standard_normal((n, 1, 8)).astype(np.float32)
    labelled = label_windows(X, np.arange(n) % n_classes, np.arange(n_classes))
    centres = RNG.standard_normal((n_classes, n_features))
    features = centres[labelled.targets] + noise * RNG.standard_normal((n, n_features))
    return features / np.sqrt(n_features), labelled


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("n_features", [5, 500])
def test_it_is_the_logistic_regression_of_the_chosen_strength(n_features, n_classes):
    features, labelled = labelled_features(n_features, n_classes)
    weight, bias = fit_probe(features, labelled, seed=0)
    strength = _choose_strength(_rotate(features)[0], labelled, seed=0)
    model = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(features, labelled.targets)
    ours = softmax(features @ weight.T + bias, axis=1)
    assert_allclose(ours, model.predict_proba(features), atol=2e-3)


def test_rotation_keeps_all_inner_products():
    features = RNG.standard_normal((10, 300))
    reduced, back = _rotate(features)
    assert reduced.shape == (10, 10)
    assert_allclose(reduced @ back, features, atol=1e-9)
    assert_allclose(reduced @ reduced.T, features @ features.T)


def test_features_that_do_not_vary_give_the_shares_of_the_classes():
    X = RNG.standard_normal((12, 1, 8)).astype(np.float32)
    labelled = label_windows(X, np.repeat([0, 1], [9, 3]), np.arange(2))
    weight, bias = fit_probe(np.zeros((12, 40)), labelled, seed=0)
    assert not weight.any()
    assert_allclose(softmax(bias), [0.75, 0.25], atol=1e-3)


def test_noise_asks_for_a_stronger_penalty_than_signal():
    chosen = []
    for noise in (0.1, 100.0):
        features, labelled = labelled_features(50, 3, noise)
        chosen.append(_choose_strength(_rotate(features)[0], labelled, seed=0))
    assert chosen[0] > chosen[1] == STRENGTHS[0]


def test_a_class_without_a_window_is_ruled_out():
    features, labelled = labelled_features(5, 2)
    labelled = label_windows(labelled.X, labelled.targets[np.argsort(labelled.rows)], np.arange(3))
    weight, bias = fit_probe(features, labelled, seed=0)
    assert softmax(features @ weight.T + bias, axis=1)[:, 2].max() < 1e-6
