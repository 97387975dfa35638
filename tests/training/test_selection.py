"""Choice between a trained network and its probe."""

import numpy as np
import pytest

from citrus_sk.training.labelled import LabelledWindows
from citrus_sk.training.selection import (
    _mean_and_error,
    left_out_folds,
    select,
    summary,
    without_evidence,
)


def labelled(targets, weights=None, n_classes=2, groups=None):
    targets, n = np.asarray(targets), len(targets)
    weights = np.ones(n) if weights is None else np.asarray(weights, float)
    return LabelledWindows(np.zeros((n, 1, 4)), np.arange(n), targets, weights, groups, n_classes)


def logits(probability_of_1):
    p = np.asarray(probability_of_1, float)
    return np.log(np.stack([1 - p, p], axis=1)) + 3.0  # a constant changes no probability


WINDOWS = labelled([0, 1, 1, 0] * 25)
GOOD, POOR = logits([0.1, 0.9, 0.9, 0.1] * 25), logits([0.4, 0.6, 0.6, 0.4] * 25)
LEFT = logits([0.02, 0.3, 0.98, 0.7] * 25)


@pytest.mark.parametrize(
    ("outputs", "probe_outputs", "kind"),
    [(GOOD, POOR, "finetuned"), (POOR, GOOD, "probe")],
)
def test_a_clearly_lower_loss_on_left_out_windows_is_chosen(outputs, probe_outputs, kind):
    selection = select(outputs, probe_outputs, WINDOWS, how="in 3 folds")
    assert selection.kind == kind
    assert "100 windows in 3 folds" in selection.reason


def test_losses_are_those_of_the_probabilities():
    selection = select(LEFT, POOR, WINDOWS, how="in 3 folds")
    assert selection.loss == pytest.approx(-np.log([0.98, 0.3]).mean())
    assert selection.probe_loss == pytest.approx(-np.log(0.6))


def test_a_window_counts_by_its_weight():
    two = labelled([0, 1], [3.0, 1.0])
    selection = select(logits([0.1, 0.1]), logits([0.9, 0.9]), two, how="in 2 folds")
    assert selection.loss == pytest.approx(-(3 * np.log(0.9) + np.log(0.1)) / 4)


def test_a_gain_within_its_standard_error_leaves_the_probe():
    few, many = labelled([1] * 3), labelled([1] * 60)
    gain = [0.6, 0.6, 0.5]  # beside 0.54, 0.54 and 0.54: a gain in two of three windows
    probe = [0.54] * 3
    assert select(logits(gain), logits(probe), few, how="held out").kind == "probe"
    chosen = select(logits(gain * 20), logits(probe * 20), many, how="held out")
    assert chosen.kind == "finetuned"


def test_the_standard_error_is_that_of_a_mean_of_independent_windows_or_groups():
    values = np.random.default_rng(0).standard_normal(5)
    _, error = _mean_and_error(values, labelled([0, 1, 1, 0, 1]))
    assert error == pytest.approx(values.std(ddof=1) / np.sqrt(5))
    twice = labelled([0, 1, 1, 0, 1] * 2, groups=np.tile(np.arange(5), 2))
    assert _mean_and_error(np.tile(values, 2), twice)[1] == pytest.approx(error)


def test_windows_of_one_group_count_as_one_observation_of_the_gain():
    gain, probe = logits([0.6, 0.6, 0.5] * 20), logits([0.54] * 60)
    people = labelled([1] * 60, groups=np.tile([0, 1, 2], 20))
    assert select(gain, probe, people, how="held out").kind == "probe"


def test_numbers_are_compared_by_squared_errors():
    numbers = labelled(np.array([[1.0], [-1.0]]), n_classes=None)
    near, far = np.array([[1.5], [-1.5]]), np.array([[0.0], [-2.0]])
    selection = select(near, far, numbers, how="in 2 folds")
    assert (selection.loss, selection.probe_loss) == (0.25, 1)
    assert selection.kind == "finetuned"


def test_the_summary_is_one_line_with_the_losses_if_there_are_any():
    line = summary(select(GOOD, POOR, WINDOWS, how="in 3 folds"))
    assert line.startswith("keeps the fine-tuned network. ")
    assert "0.105 fine-tuned, 0.511 linear probe" in line
    assert summary(without_evidence("probe", "Because.")) == "keeps the linear probe. Because."


def test_a_class_with_one_window_stays_in_the_training_part_of_every_fold():
    windows = labelled([0, 1, 2, 0, 1, 0, 1], n_classes=3)
    folds = left_out_folds(windows, seed=0)
    assert len(folds) == 3
    assert all(2 in train for train, _ in folds)
    assert sorted(np.concatenate([test for _, test in folds])) == [0, 1, 3, 4, 5, 6]


def test_a_person_is_on_one_side_of_a_fold_even_with_a_rare_class():
    people = np.array([0, 0, 0, 1, 1, 2, 2])
    windows = labelled([0, 1, 2, 0, 1, 0, 1], n_classes=3, groups=people)
    for train, test in left_out_folds(windows, seed=0):
        assert not set(people[train]) & set(people[test])


@pytest.mark.parametrize("targets", [[0, 1], [0, 0, 0, 1]])
def test_there_are_no_folds_if_fewer_than_two_classes_have_two_windows(targets):
    assert left_out_folds(labelled(targets), seed=0) == []
