"""The probe of many windows: chosen on some of them, and the exact ridges of all."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge

from citrus_sk import CitrusClassifier, CitrusRegressor
from citrus_sk.training import many_windows
from citrus_sk.training.labelled import label_windows, regression_windows
from citrus_sk.training.many_windows import AllWindows, fit_to_all, some_windows
from citrus_sk.training.probes import (
    class_targets,
    families_of_values,
    fit_fused_probe,
    fit_fused_values,
)

FAMILIES = [6, 3, 9]
CLASSES = np.array(["a", "b", "c"])


@pytest.fixture
def few_are_exact(monkeypatch):
    monkeypatch.setattr(many_windows, "MOST_EXACT", 60)
    monkeypatch.setattr(many_windows, "_FEWEST_OF_A_CLASS", 5)
    monkeypatch.setattr("citrus_sk.training.members.BLOCK", 32)


def windows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=[0.6, 0.37, 0.03])
    features = rng.standard_normal((n, sum(FAMILIES))) + 0.8 * np.eye(3)[codes].repeat(6, axis=1)
    return features.astype(np.float32), codes


def in_blocks(features, rows):
    """Blocks of the features of `rows`, in this order."""
    for start in range(0, len(rows), 32):
        part = slice(start, start + 32)
        yield part, features[rows[part]]


def with_penalties(fits, features, targets, weights, families=FAMILIES):
    """Coefficients and intercept that scikit-learn finds for each family."""
    weights = weights / weights.mean()
    for fit, part in zip(fits, np.split(features, np.cumsum(families)[:-1], axis=1), strict=True):
        model = Ridge(alpha=fit.penalty, tol=1e-12).fit(part, targets, sample_weight=weights)
        yield model.coef_.T, model.intercept_


def test_some_windows_are_of_all_classes_and_do_not_depend_on_the_order_of_rows(few_are_exact):
    X, codes = windows()
    weights = np.random.default_rng(1).integers(1, 4, len(X))
    labelled = label_windows(X, codes, CLASSES, sample_weight=weights, groups=codes % 2)
    some = some_windows(labelled)
    assert 55 <= len(some) <= 70
    counts = np.bincount(some.targets)
    assert counts[2] == min(5, (codes == 2).sum())
    assert counts[0] > counts[1] > counts[2]
    order = np.random.default_rng(2).permutation(len(X))
    other = some_windows(
        label_windows(X[order], codes[order], CLASSES, sample_weight=weights[order],
                      groups=codes[order] % 2)
    )  # fmt: skip
    assert_array_equal(other.X[other.rows], some.X[some.rows])
    assert_array_equal(other.weights, some.weights)
    few = labelled.take(np.arange(60))
    assert some_windows(few) is few


def test_all_windows_have_the_ridges_of_scikit_learn(few_are_exact):
    X, codes = windows()
    weights = np.random.default_rng(1).integers(1, 4, len(X))
    labelled = label_windows(X, codes, CLASSES, sample_weight=weights)
    some = some_windows(labelled)
    probe = fit_fused_probe(X[some.rows], FAMILIES, some)
    everything = AllWindows(labelled, lambda: in_blocks(X, labelled.rows))
    whole = fit_to_all(probe, FAMILIES, everything)
    _, _, targets, ridge_weights = class_targets(labelled)
    expected = with_penalties(probe.fits, X[labelled.rows], targets, ridge_weights)
    for fit, (coef, intercept) in zip(whole.fits, expected, strict=True):
        assert_allclose(fit.coef, coef, atol=1e-5)
        assert_allclose(fit.intercept, intercept, atol=1e-5)
    assert np.abs(whole.weight - probe.weight).max() > 1e-3
    assert whole.sharpness == probe.sharpness
    assert fit_to_all(probe, FAMILIES, None) is probe


def test_numbers_have_the_ridges_of_scikit_learn(few_are_exact):
    X, codes = windows()
    rng = np.random.default_rng(3)
    values = (X[:, :2] + 0.3 * rng.standard_normal((len(X), 2))).astype(np.float32)
    labelled = regression_windows(X, values, sample_weight=1.0 + codes)
    some = some_windows(labelled)
    probe = fit_fused_values(X[some.rows], FAMILIES, some)
    everything = AllWindows(labelled, lambda: in_blocks(X, labelled.rows))
    whole = fit_to_all(probe, FAMILIES, everything)
    joined = families_of_values(FAMILIES)
    assert joined == [9, 9]
    assert families_of_values([6]) == [6]
    case = (X[labelled.rows], labelled.targets, labelled.weights)
    expected = with_penalties(probe.fits, *case, joined)
    for fit, (coef, intercept) in zip(whole.fits, expected, strict=True):
        assert_allclose(fit.coef, coef, atol=1e-5)
        assert_allclose(fit.intercept, intercept, atol=1e-5)


def test_a_very_wide_family_keeps_the_solution_for_some(few_are_exact, monkeypatch):
    monkeypatch.setattr(many_windows, "_WIDEST", 8)
    X, codes = windows()
    labelled = label_windows(X, codes, CLASSES)
    some = some_windows(labelled)
    probe = fit_fused_probe(X[some.rows], FAMILIES, some)
    everything = AllWindows(labelled, lambda: in_blocks(X, labelled.rows))
    whole = fit_to_all(probe, FAMILIES, everything)
    assert whole.fits[2] is probe.fits[2]
    assert whole.fits[0] is not probe.fits[0]


def test_a_classifier_learns_from_all_windows(few_are_exact, tones):
    X, y = tones
    rng = np.random.default_rng(0)
    many = np.concatenate([X + 1.5 * rng.standard_normal(X.shape) for _ in range(10)])
    labels, test = np.tile(y, 10), X + 1.5 * rng.standard_normal(X.shape)
    people = np.arange(len(many)) % 7

    def make():
        return CitrusClassifier(pretrained=None, preset="tiny", random_state=0)

    clf = make().fit(many, labels, groups=people)
    order = rng.permutation(len(many))
    again = make().fit(many[order], labels[order], groups=people[order])
    assert_array_equal(again.predict_proba(test), clf.predict_proba(test))
    some = make().fit(many[:60], labels[:60])
    assert clf.score(test, y) >= some.score(test, y)
    assert clf.predict_proba(test, groups=np.zeros(len(test))).shape == (len(test), 2)


def test_a_regressor_learns_from_all_windows(few_are_exact, tones):
    X, y = tones
    rng = np.random.default_rng(0)
    many = np.concatenate([X + rng.standard_normal(X.shape) for _ in range(10)])
    values = np.tile((y == y[0]).astype(float), 10)
    reg = CitrusRegressor(pretrained=None, preset="tiny", random_state=0).fit(many, values)
    assert reg.score(X + rng.standard_normal(X.shape), values[: len(X)]) > 0.5
