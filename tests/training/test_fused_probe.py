"""The averaged ridges against scikit-learn's ridge and against leaving windows out by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.linear_model import Ridge

from citrus_sk.training import probes as _fused_probe
from citrus_sk.training.labelled import label_windows, regression_windows
from citrus_sk.training.probes import (
    VALUE_PENALTIES,
    fit_fused_probe,
    fit_fused_values,
    fit_ridge,
    fit_sharpness,
    fuse,
)

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_draws_in_any_order(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(0))


def problem(n=40, n_features=60, n_classes=3, noise=1.0, groups=None, weights=None):
    X = RNG.standard_normal((n, 1, 8)).astype(np.float32)
    y = np.arange(n) % n_classes
    labelled = label_windows(X, y, np.arange(n_classes), groups=groups, sample_weight=weights)
    centres = RNG.standard_normal((n_classes, n_features))
    features = centres[labelled.targets] + noise * RNG.standard_normal((n, n_features))
    return features / np.sqrt(n_features), labelled, 2.0 * np.eye(n_classes)[labelled.targets] - 1


@pytest.fixture
def one_penalty(monkeypatch):
    monkeypatch.setattr(_fused_probe, "PENALTIES", np.array([0.3]))


def penalty(features, weights):
    """0.3 of the windows' mean squared distance from their mean."""
    centred = features - np.average(features, axis=0, weights=weights)
    return 0.3 * np.average((centred**2).sum(1), weights=weights)


@pytest.mark.parametrize("n_features", [5, 200])
def test_it_is_scikit_learns_ridge(one_penalty, n_features):
    weights = RNG.integers(1, 4, 40).astype(float)
    features, labelled, targets = problem(n_features=n_features, weights=weights)
    ridge = fit_ridge(features, targets, labelled.weights, labelled.groups)
    share = labelled.weights / labelled.weights.mean()
    model = Ridge(alpha=penalty(features, share)).fit(features, targets, sample_weight=share)
    assert_allclose(ridge.coef.T, model.coef_, atol=1e-8)
    assert_allclose(ridge.intercept, model.intercept_, atol=1e-8)


@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_decisions_are_those_of_a_ridge_without_the_window_or_group(one_penalty, grouped):
    groups = np.arange(40) // 5 if grouped else None
    features, labelled, targets = problem(groups=groups)
    left_out = fit_ridge(features, targets, labelled.weights, labelled.groups).left_out
    units = labelled.groups if grouped else np.arange(40)
    for unit in np.unique(units)[:6]:
        out = units == unit
        model = Ridge(alpha=penalty(features, None)).fit(features[~out], targets[~out])
        assert_allclose(left_out[out], model.predict(features[out]), atol=1e-6)


def test_noise_asks_for_a_stronger_penalty_than_signal():
    sizes = []
    for noise in (0.05, 50.0):
        features, labelled, targets = problem(noise=noise)
        features /= features.std() * np.sqrt(features.shape[1])
        sizes.append(
            fit_ridge(features, targets, labelled.weights, labelled.groups).left_out.std(0).mean()
        )
    assert sizes[1] < 0.7 * sizes[0]


def test_a_weak_signal_is_not_answered_with_the_commonest_class_alone():
    X = RNG.standard_normal((300, 1, 8)).astype(np.float32)
    labelled = label_windows(X, (np.arange(300) % 10 == 0).astype(int), np.arange(2))
    rare = labelled.targets == 1
    features = (0.6 * rare[:, None] + RNG.standard_normal((300, 20))) / np.sqrt(20)
    weight, bias = fit_fused_probe(features, [20], labelled).head
    recall = (features @ weight.T + bias).argmax(1)[rare].mean()
    targets = 2.0 * np.eye(2)[labelled.targets] - 1
    ridge = fit_ridge(features, targets, labelled.weights, None)
    coef, level = ridge.coef, ridge.intercept
    assert recall > 2 * (features @ coef + level).argmax(1)[rare].mean()
    assert recall > 0.4


def test_a_useless_family_costs_little():
    features, labelled, _ = problem(n=90, noise=1.0)
    noise = RNG.standard_normal((90, 500)) / np.sqrt(500)
    weight, _ = fit_fused_probe(np.hstack([features, noise]), [60, 500], labelled).head
    right = np.abs(features @ weight[:, :60].T).mean()
    assert np.abs(noise @ weight[:, 60:].T).mean() < 0.9 * right


def test_certainty_is_bounded_on_a_handful_and_grows_with_evidence():
    few = fit_sharpness(np.eye(2)[[0, 0, 1, 1]] * 2 - 1, np.array([0, 0, 1, 1]), np.ones(4))
    codes = np.arange(400) % 2
    many = fit_sharpness(np.eye(2)[codes] * 2 - 1, codes, np.ones(400))
    assert few < many
    assert softmax(few * np.array([1.0, -1.0]))[0] < 0.98


def test_decisions_that_are_wrong_get_no_certainty():
    codes = np.arange(300) % 3
    assert fit_sharpness(RNG.standard_normal((300, 3)), codes, np.ones(300)) < 0.5


def test_many_windows_outvote_what_is_usual():
    def found(n):
        codes = np.arange(n) % 3
        odds = 6 * np.eye(3)[codes] + np.random.default_rng(0).standard_normal((n, 3))
        return fit_sharpness(odds / 10, codes, np.ones(n))  # which deserve to be made far sharper

    usual = np.exp(_fused_probe._USUAL[0])
    assert usual / 2 < found(3) < 2 * usual
    assert found(3000) > 4 * usual


def test_a_class_without_a_window_is_ruled_out():
    features, labelled, _ = problem(n_classes=2)
    labelled = label_windows(labelled.X, labelled.targets[np.argsort(labelled.rows)], np.arange(3))
    weight, bias = fit_fused_probe(features, [60], labelled).head
    assert softmax(features @ weight.T + bias, axis=1)[:, 2].max() < 1e-9


def test_features_that_do_not_vary_give_the_most_frequent_class():
    X = RNG.standard_normal((12, 1, 8)).astype(np.float32)
    labelled = label_windows(X, np.repeat([0, 1], [9, 3]), np.arange(2))
    weight, bias = fit_fused_probe(np.zeros((12, 40)), [30, 10], labelled).head
    assert not weight.any()
    assert bias[0] > bias[1]


def test_two_windows_are_no_trouble():
    features, labelled, _ = problem(n=2, n_classes=2)
    weight, bias = fit_fused_probe(features, [30, 30], labelled).head
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


def test_windows_that_resemble_each_other_are_predicted_with_less_certainty():
    centres = RNG.standard_normal((30, 60))  # recordings, of which four windows each are alike
    y, recording = np.repeat(np.arange(30) % 3, 4), np.repeat(np.arange(30), 4)
    X = RNG.standard_normal((120, 1, 8)).astype(np.float32)
    labelled = label_windows(X, y, np.arange(3))
    features = centres[recording] + 0.1 * RNG.standard_normal((120, 60))
    features = features[labelled.rows] / np.sqrt(60)  # nothing to learn about the classes
    codes = labelled.targets
    probe = fit_fused_probe(features, [60], labelled)
    hopeful = fit_sharpness(probe.left_out, codes, labelled.weights)
    assert probe.sharpness < 0.7 * hopeful
    apart = RNG.standard_normal((120, 60)) / np.sqrt(60)
    probe = fit_fused_probe(apart, [60], labelled)
    assert probe.sharpness == fit_sharpness(probe.left_out, codes, labelled.weights)


def value_ridges(groups=None):
    """Two numbers for 30 windows, features of four families, and a ridge on each."""
    features = RNG.standard_normal((30, 7))
    values = features[:, [0, 4]] + 0.5 * RNG.standard_normal((30, 2))
    labelled = regression_windows(np.zeros((30, 1, 8), np.float32) + features[:, :1, None], values)
    parts = np.split(features, [3, 5], axis=1)  # the first two families count as one
    weights = np.ones(30)
    fits = [fit_ridge(part, labelled.targets, weights, groups, VALUE_PENALTIES) for part in parts]
    return features, labelled, parts, fits


def test_families_of_numbers_count_by_the_inverse_square_of_their_left_out_error():
    features, labelled, parts, fits = value_ridges()
    errors = np.array([np.mean((fit.left_out - labelled.targets) ** 2, axis=0) for fit in fits])
    trust = errors**-2 / np.sum(errors**-2, axis=0)
    outputs = [part @ fit.coef + fit.intercept for part, fit in zip(parts, fits, strict=True)]
    weight, bias = fit_fused_values(features, [1, 2, 2, 2], labelled).head
    assert_allclose(features @ weight.T + bias, np.sum(trust[:, None] * outputs, 0), rtol=1e-5)


def test_the_average_of_ridges_leaves_a_person_out_in_each_of_them():
    groups = np.arange(30) // 6
    features, _, _, fits = value_ridges(groups)
    shares = np.array([0.3, 0.6, 0.1])
    at_home = fuse(fits, shares).without_each_at(features, groups, features, groups)
    left_out = np.tensordot(shares, [fit.left_out for fit in fits], 1)
    assert_allclose(at_home, left_out, atol=1e-8)
