"""Windows without a label: the means of people, and ridges without a person at other points."""

import numpy as np
import pytest

from citrus_sk.training.adaptation.decision import decide, recentred, within_people
from citrus_sk.training.adaptation.people import PeopleMeans, overall_mean
from citrus_sk.training.labelled import NO_LABEL, label_windows
from citrus_sk.training.probes import fit_ridge, fit_sharpness, fuse
from citrus_sk.training.unlabelled import MOST_OF_A_PERSON, means_of_people

rng = np.random.default_rng(0)
FEATURES, TARGETS = rng.standard_normal((40, 60)), rng.standard_normal((40, 3))
GROUPS, WEIGHTS = np.arange(40) % 5, rng.uniform(0.5, 2, 40)
POINTS = rng.standard_normal((6, 60))


def ridge_without(person, penalty, points):
    """Predictions of a ridge that was fitted again without one person."""
    kept, share = person != GROUPS, WEIGHTS / WEIGHTS.mean()
    features, targets, share = FEATURES[kept], TARGETS[kept], share[kept]
    centre, level = np.average(features, 0, share), np.average(targets, 0, share)
    rows = share[:, None] * (features - centre)
    inner = rows.T @ (features - centre) + penalty * np.eye(60)
    return level + (points - centre) @ np.linalg.solve(inner, rows.T @ (targets - level))


def test_decisions_at_other_points_are_those_of_a_ridge_fitted_without_the_person():
    ridge = fit_ridge(FEATURES, TARGETS, WEIGHTS, GROUPS)
    found = ridge.without_each_at(POINTS, np.arange(6), FEATURES, GROUPS)
    for person in range(6):  # the last has no window in the fit
        expected = ridge_without(person, ridge.penalty, POINTS[person])
        np.testing.assert_allclose(found[person], expected, atol=1e-7)


def test_decisions_of_averaged_ridges_are_averaged():
    parts = FEATURES[:, :20], FEATURES[:, 20:]
    fits = [fit_ridge(part, TARGETS, WEIGHTS, GROUPS) for part in parts]
    found = fuse(fits, np.array([0.3, 0.7])).without_each_at(POINTS, np.arange(6), FEATURES, GROUPS)
    first, second = (
        fit.without_each_at(points, np.arange(6), part, GROUPS)
        for fit, part, points in zip(fits, parts, (POINTS[:, :20], POINTS[:, 20:]), strict=True)
    )
    np.testing.assert_allclose(found, 0.3 * first + 0.7 * second)


def test_means_join_windows_with_and_without_a_label():
    people = [GROUPS[20:] == person for person in range(5)]
    counts = np.array([rows.sum() for rows in people], float)
    means = np.array([FEATURES[20:][rows].mean(axis=0) for rows in people])
    unlabelled = PeopleMeans(np.arange(5), counts, means)
    ones = np.ones(40)
    np.testing.assert_allclose(
        overall_mean(FEATURES[:20], ones[:20], unlabelled), FEATURES.mean(axis=0)
    )
    moved = recentred(FEATURES[:20], GROUPS[:20], np.zeros(60), ones[:20], unlabelled=unlabelled)
    expected = recentred(FEATURES, GROUPS, np.zeros(60), ones)[:20]
    np.testing.assert_allclose(moved, expected)
    centred, _ = within_people(FEATURES[:20], TARGETS[:20], ones[:20], GROUPS[:20], unlabelled)
    expected, _ = within_people(FEATURES, TARGETS, ones, GROUPS)
    np.testing.assert_allclose(centred, expected[:20])


def test_a_mean_is_over_200_windows_of_a_person_at_most():
    X = rng.standard_normal((500, 1, 8)).astype(np.float32)
    codes = np.full(500, NO_LABEL)
    codes[:4] = [0, 1, 0, 1]
    groups = (np.arange(500) > 450).astype(int)
    labelled = label_windows(X, codes, np.arange(2), groups=groups)
    assert sorted(labelled.rows) == [0, 1, 2, 3]
    taken = []

    def features_of(rows):
        taken.append(rows)
        return X[rows, 0]

    means = means_of_people(labelled.unlabelled, features_of)
    assert [len(rows) for rows in taken] == [MOST_OF_A_PERSON, 49]
    np.testing.assert_allclose(means.counts, [MOST_OF_A_PERSON, 49])
    np.testing.assert_allclose(means.means[1], X[451:, 0].mean(axis=0), atol=1e-6)
    assert len(np.intersect1d(taken[0], labelled.rows)) == 0


@pytest.mark.parametrize("misleading", [False, True])
def test_they_are_used_only_where_the_loss_of_left_out_people_falls(misleading):
    codes, groups = np.tile([0, 1], 30), np.repeat(np.arange(15), 4)
    shifts = 1.5 * rng.standard_normal((15, 1)) * np.array([1.0, -1.0])
    decisions = 2.0 * np.eye(2)[codes] - 1 + shifts[groups] + 0.5 * rng.standard_normal((60, 2))
    means = 5 * rng.standard_normal((15, 2)) if misleading else shifts
    unlabelled = PeopleMeans(np.arange(15), np.full(15, 50.0), means)
    ones = np.ones(60)
    alone = decide(decisions, codes, ones, groups, fit_sharpness)
    chosen = decide(decisions, codes, ones, groups, fit_sharpness, unlabelled)
    assert chosen.n_unlabelled == (0 if misleading else 750)
    assert chosen.loss == alone.loss
    if misleading:
        assert chosen == alone
    else:
        assert chosen.adapted_loss < alone.adapted_loss - 0.01
