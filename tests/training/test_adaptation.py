"""Adaptation of a head to people: order, other people, single windows, and when to do nothing."""

import numpy as np
import pytest

from citrus_sk.training.adaptation.clusters import alike_clusters
from citrus_sk.training.adaptation.consistency import (
    CONSISTENCIES,
    label_consistency,
    value_consistency,
)
from citrus_sk.training.adaptation.decision import (
    Decision,
    decide,
    farthest_shift,
    pooled,
    recentred,
    within_people,
)
from citrus_sk.training.adaptation.heads import AdaptiveHead, personal_head
from citrus_sk.training.adaptation.personal import (
    canonical_order,
    choose_label_noise,
    correction_head,
    equal_confidence,
    guess_scale,
    label_correction,
    person_kernel,
    self_trained,
)
from citrus_sk.training.adaptive_probes import adapt_probe
from citrus_sk.training.labelled import label_windows
from citrus_sk.training.probes import fit_fused_probe, fit_sharpness


def calibrate(decisions, codes, weights):
    """The factor of the decisions with the lowest log loss on a grid."""

    def loss(sharpness):
        scores = sharpness * decisions
        scores = scores - scores.max(1, keepdims=True)
        log_probabilities = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        return -(weights * log_probabilities[np.arange(len(codes)), codes]).sum()

    return float(min(np.logspace(-0.5, 1.7, 23), key=loss))


def people(n_people=12, n_windows=20, mix=None, offset=0.8, n_classes=3, seed=0):
    """Decisions with a shift for each person; `mix(rng)` gives a person's shares of the classes."""
    rng = np.random.default_rng(seed)
    decisions, codes, groups = [], [], []
    for person in range(n_people):
        shares = np.full(n_classes, 1 / n_classes) if mix is None else mix(rng)
        labels = np.repeat(np.arange(n_classes), np.round(shares * n_windows).astype(int))
        shift = offset * rng.standard_normal(n_classes)
        noise = 0.4 * rng.standard_normal((len(labels), n_classes))
        decisions.append(2.0 * np.eye(n_classes)[labels] - 1 + shift - shift.mean() + noise)
        codes.append(labels)
        groups.append(np.full(len(labels), person))
    return np.concatenate(decisions), np.concatenate(codes), np.concatenate(groups)


def decision(**settings):
    decisions, codes, groups = people(**settings)
    return decide(decisions, codes, np.ones(len(codes)), groups, calibrate)


def one_class(rng):
    return np.eye(3)[rng.integers(3)]


def two_of_three(rng):
    return rng.permutation([0.5, 0.5, 0.0])


def ninety_ten(rng):
    return rng.permutation([0.9, 0.05, 0.05])


def test_recentring_raises_accuracy_where_people_have_the_same_classes():
    decisions, codes, groups = people()
    chosen = decide(decisions, codes, np.ones(len(codes)), groups, calibrate)
    assert chosen.kind == "recenter"
    assert chosen.adapted_loss < chosen.loss
    new, labels, new_groups = people(seed=1)
    moved = recentred(new, new_groups, decisions.mean(0))
    assert (moved.argmax(1) == labels).mean() > (new.argmax(1) == labels).mean() + 0.05


@pytest.mark.parametrize("mix", [one_class, two_of_three, ninety_ten])
@pytest.mark.parametrize("offset", [0.0, 0.2, 0.8])
def test_a_mean_that_depends_on_the_class_is_never_removed(mix, offset):
    assert decision(mix=mix, offset=offset).kind != "recenter"


def test_recentring_has_a_part_of_the_weight_where_labels_are_too_few_to_be_sure():
    decisions, codes, groups = people(n_people=4, n_windows=6, seed=3)
    rows = np.array([0, 2, 6, 7, 14, 16, 19])  # two of one class, two of two classes, and one
    few = decide(decisions[rows], codes[rows], np.ones(7), groups[rows], calibrate)
    assert few.kind == "recenter"
    assert 0.1 <= few.share < 1
    assert "may have the same classes" in few.reason
    assert few.adapted_loss < few.loss
    assert decision(n_people=30, n_windows=3, offset=0.8).share == 1
    assert decision(mix=two_of_three).share < few.share


def test_the_share_is_the_weight_of_the_adapted_outputs():
    features, _, _ = person()
    head = np.random.default_rng(0).standard_normal((3, 8)), np.zeros(3)

    def outputs(share):
        adaptive = AdaptiveHead(
            Decision("recenter", 1.0, 0.5, 0.2, "", share), [3, 5], np.arange(3), of_classes=True,
            sharpness=3.0, adapted_sharpness=7.0, reference=np.ones(3),
        )  # fmt: skip
        weight, bias = personal_head(adaptive, head, features)
        return features @ weight.T + bias

    expected = 0.75 * outputs(0.0) + 0.25 * outputs(1.0)
    np.testing.assert_allclose(outputs(0.25), expected, atol=1e-12)
    assert np.abs(outputs(1.0) - outputs(0.0)).max() > 0.1


def test_windows_are_pooled_where_each_person_has_one_class():
    chosen = decision(n_people=20, mix=one_class, offset=0.1)
    assert chosen.kind == "pool"
    assert chosen.adapted_loss < chosen.loss


def test_the_sharpness_of_pooled_windows_counts_the_weights_of_windows():
    rng = np.random.default_rng(0)
    groups, codes = np.repeat(np.arange(20), 6), np.repeat(np.arange(20) % 2, 6)
    features = (codes[:, None] + rng.standard_normal((20, 30))[groups] / 4) / np.sqrt(30)
    features += rng.standard_normal((120, 30)) / np.sqrt(30)
    X = rng.standard_normal((120, 1, 8)).astype(np.float32)
    weights = np.where(np.arange(120) % 6 == 0, 20.0, 1.0)
    labelled = label_windows(X, codes, np.arange(2), groups=groups, sample_weight=weights)
    features = features[labelled.rows]
    probe = fit_fused_probe(features, [30], labelled)
    adaptive = adapt_probe(probe, features, [30], labelled, always=False)
    assert adaptive.decision.kind == "pool"
    together = pooled(probe.left_out, labelled.groups, labelled.weights)
    expected = fit_sharpness(together, labelled.targets, labelled.weights)
    assert adaptive.adapted_sharpness == expected
    equal = pooled(probe.left_out, labelled.groups)
    assert fit_sharpness(equal, labelled.targets, labelled.weights) != expected


def test_windows_are_not_pooled_where_the_class_cannot_be_predicted():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    codes = rng.integers(2, size=20)[groups]
    shift = rng.standard_normal((20, 2))[groups]
    decisions = shift + 0.1 * rng.standard_normal((200, 2))
    assert decide(decisions, codes, np.ones(200), groups, calibrate).kind is None


def test_one_window_of_each_person_changes_nothing():
    rng = np.random.default_rng(0)
    codes = np.arange(30) % 3
    chosen = decide(rng.standard_normal((30, 3)), codes, np.ones(30), np.arange(30), calibrate)
    assert chosen.kind is None


def test_three_balanced_windows_of_a_person_are_enough():
    assert decision(n_people=30, n_windows=3, offset=0.8).kind == "recenter"


def test_consistency_of_classes():
    _, codes, groups = people()
    assert label_consistency(codes, groups, 3).argmax() == 0
    _, codes, groups = people(mix=one_class)
    assert label_consistency(codes, groups, 3).argmax() == len(CONSISTENCIES) - 1


def test_consistency_of_values():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    ages = rng.standard_normal((20, 1))[groups] + 0.01 * rng.standard_normal((200, 1))
    assert value_consistency(ages, groups).argmax() == len(CONSISTENCIES) - 1
    assert value_consistency(rng.standard_normal((200, 1)), groups).argmax() == 0


@pytest.mark.parametrize("move", [pooled, lambda d, g: recentred(d, g, np.zeros(3), farthest=1.0)])
def test_order_and_other_people_change_no_bit(move):
    decisions, _, groups = people()
    together = move(decisions, groups)
    order = np.random.default_rng(0).permutation(len(groups))
    np.testing.assert_array_equal(move(decisions[order], groups[order]), together[order])
    rows = groups == 4
    np.testing.assert_array_equal(move(decisions[rows], groups[rows]), together[rows])


def test_a_single_window_of_a_person_keeps_its_bits():
    decisions, _, _ = people()
    single = decisions[:1]
    np.testing.assert_array_equal(recentred(single, np.zeros(1), np.ones(3)), single)
    np.testing.assert_array_equal(pooled(single, np.zeros(1)), single)
    decision = Decision("recenter", 1.0, 0.5, 0.0, "")
    adaptive = AdaptiveHead(
        decision, [3, 5], np.arange(3), of_classes=True, sharpness=3.0, adapted_sharpness=7.0,
        reference=np.ones(3),
    )  # fmt: skip
    head = np.random.default_rng(0).standard_normal((3, 8)), np.zeros(3)
    personal = personal_head(adaptive, head, np.ones((1, 8)))
    for part, plain in zip(personal, head, strict=True):
        np.testing.assert_array_equal(part, plain)


def test_a_weight_of_two_equals_a_repeated_row():
    decisions, codes, groups = people(n_windows=9)
    weights = np.where(np.arange(len(codes)) % 3 == 0, 2.0, 1.0)
    rows = np.repeat(np.arange(len(codes)), weights.astype(int))
    merged = recentred(decisions, groups, np.zeros(3), weights)
    np.testing.assert_allclose(merged[rows], recentred(decisions[rows], groups[rows], np.zeros(3)))
    targets = 2.0 * np.eye(3)[codes] - 1
    merged = within_people(decisions, targets, weights, groups)
    repeated = within_people(decisions[rows], targets[rows], np.ones(len(rows)), groups[rows])
    for weighted, expected in zip(merged, repeated, strict=True):
        np.testing.assert_allclose(weighted[rows], expected)


def test_a_person_with_one_class_is_moved_no_farther_than_training_people():
    decisions, _, groups = people(offset=0.1)
    reference = decisions.mean(0)
    farthest = farthest_shift(decisions, groups, reference)
    same = np.array([[1.0, -1, -1]] * 40) + 0.3 * np.random.default_rng(0).standard_normal((40, 3))
    moved = recentred(same, np.zeros(40), reference, farthest=farthest)
    assert np.linalg.norm((moved - same)[0]) <= farthest * (1 + 1e-9)
    assert (moved.argmax(1) == 0).mean() > 0.9
    assert (recentred(same, np.zeros(40), reference).argmax(1) == 0).mean() < 0.7


def person(seed=0, n=60):
    """Features of a person with clear classes, and noisy decisions of a head for them."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    features = np.concatenate(
        [3 * np.eye(3)[codes] + rng.standard_normal((n, 3)), rng.standard_normal((n, 5))], axis=1
    )
    decisions = 0.5 * (2.0 * np.eye(3)[codes] - 1) + 0.8 * rng.standard_normal((n, 3))
    return features, codes, decisions - decisions.mean(0)


def test_self_training_helps_and_labels_help_more():
    features, codes, decisions = person()
    kernel = person_kernel(features, [3, 5])
    usual = guess_scale(decisions, 2.0)

    def accuracy(coefficients):
        return ((decisions + kernel @ coefficients).argmax(1) == codes).mean()

    without = accuracy(np.zeros((60, 3)))
    unlabelled = accuracy(self_trained(kernel, decisions, 2.0, usual))
    labels = np.where(np.arange(60) < 9, codes, -1)
    labelled = accuracy(self_trained(kernel, decisions, 2.0, usual, labels))
    assert labelled > unlabelled > without + 0.05


def test_contradictory_labels_get_a_larger_penalty():
    features, codes, decisions = person()
    kernel, labels = person_kernel(features, [3, 5])[:15, :15], codes[:15]
    shuffled = np.random.default_rng(0).permutation(labels)
    right = choose_label_noise(kernel, decisions[:15], labels, 2.0)
    assert choose_label_noise(kernel, decisions[:15], shuffled, 2.0) > right
    assert choose_label_noise(kernel, decisions[:15], labels, 2.0, usual=5.0) > right


@pytest.mark.parametrize("shares", [None, np.array([0.9, 0.1])])
def test_a_correction_is_a_linear_head(shares):
    features, _, decisions = person()
    kernel = person_kernel(features, [3, 5], shares)
    coefficients = self_trained(kernel, decisions, 2.0, guess_scale(decisions, 2.0))
    weight, bias = correction_head(features, [3, 5], coefficients, shares)
    np.testing.assert_allclose(features @ weight.T + bias, kernel @ coefficients, atol=1e-10)


def test_a_family_has_its_share_of_the_kernel():
    features, codes, decisions = person()  # the first family has the classes, the second noise
    parts = [person_kernel(part, [part.shape[1]]) for part in (features[:, :3], features[:, 3:])]
    kernel = person_kernel(features, [3, 5], np.array([0.9, 0.1]))
    np.testing.assert_allclose(kernel, 0.9 * parts[0] + 0.1 * parts[1], atol=1e-12)
    np.testing.assert_allclose(person_kernel(features, [3, 5]), np.mean(parts, axis=0), atol=1e-12)
    targets = np.where(np.arange(60)[:, None] < 9, 2.0 * np.eye(3)[codes] - 1, np.nan)

    def accuracy(kernel):
        corrected = decisions + kernel @ label_correction(kernel, decisions, targets, 0.3)
        return (corrected.argmax(1) == codes)[9:].mean()

    assert accuracy(kernel) > accuracy(person_kernel(features, [3, 5], np.array([0.1, 0.9])))


def test_the_head_of_a_person_does_not_depend_on_the_order_of_windows():
    features, _, decisions = person()
    usual = guess_scale(decisions, 2.0)

    def head(rows):
        rows = rows[canonical_order(decisions[rows])]
        kernel = person_kernel(features[rows], [3, 5])
        coefficients = self_trained(kernel, decisions[rows], 2.0, usual)
        return correction_head(features[rows], [3, 5], coefficients)

    first, second = head(np.arange(60)), head(np.random.default_rng(0).permutation(60))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_self_training_changes_little_where_windows_are_few_and_alike(n):
    rng = np.random.default_rng(0)
    _, _, training = person()
    usual = guess_scale(training, 2.0)
    alike = np.array([[4.0, -4, -4]] * n) + 0.01 * rng.standard_normal((n, 3))
    kernel = person_kernel(rng.standard_normal((n, 8)), [3, 5])
    change = kernel @ self_trained(kernel, alike, 2.0, usual)
    assert np.isfinite(change).all()
    assert np.abs(change).max() < 1


def test_self_training_is_finite_for_constant_windows():
    kernel = person_kernel(np.ones((4, 8)), [3, 5])
    coefficients = self_trained(kernel, np.zeros((4, 3)), 2.0, np.ones(3))
    assert np.isfinite(coefficients).all()


def test_clusters_are_found_only_where_windows_have_near_neighbours():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 40)
    independent = rng.standard_normal((80, 30))
    assert alike_clusters(independent @ independent.T, codes) is None
    recordings = np.arange(80) // 8
    alike = rng.standard_normal((10, 30))[recordings] + 0.2 * rng.standard_normal((80, 30))
    clusters = alike_clusters(alike @ alike.T, codes)
    assert all(len(np.unique(recordings[clusters == c])) == 1 for c in np.unique(clusters))


def test_guesses_do_not_raise_the_confidence():
    rng = np.random.default_rng(0)
    decisions = rng.standard_normal((40, 3))
    corrected = 3 * decisions + rng.standard_normal((40, 3))

    def entropy(scores):
        logs = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
        return -(np.exp(logs) * logs).sum(axis=1).mean()

    factor = equal_confidence(corrected, decisions, 2.0)
    assert 0 < factor < 1
    assert entropy(2 * factor * corrected) == pytest.approx(entropy(2 * decisions))
    assert equal_confidence(decisions / 2, decisions, 2.0) == 1.0
