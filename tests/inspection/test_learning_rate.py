"""The learning-rate range test."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusRegressor, LearningRateDisplay, SignalAligner, find_learning_rate
from citrus_sk.inspection.learning_rate import has_diverged, running_mean, steepest

mpl.use("Agg")


@pytest.fixture
def training(quick):
    return lambda **parameters: quick(strategy="finetune", **parameters)


def test_it_learns_then_breaks_and_suggests_a_rate_between(tones, training):
    shown = find_learning_rate(training(), *tones, high=30.0)
    assert shown.diverged
    assert len(shown.rates) == len(shown.losses) == len(shown.smoothed) < 100
    assert shown.rates[0] == 1e-5
    ratios = shown.rates[1:] / shown.rates[:-1]
    assert ratios == pytest.approx(np.full(len(ratios), 3e6 ** (1 / 99)))
    assert 2e-5 < shown.suggestion < 0.3
    assert shown.smoothed.min() < 0.5 * shown.losses[0]


def test_the_optimiser_has_had_the_rates_that_are_shown(tones, training, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        rates.append(self.param_groups[0]["lr"] / 10)  # that of the convolution
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    shown = find_learning_rate(training(), *tones, high=3e-4, n_steps=20)
    assert shown.rates == pytest.approx(rates)
    assert len(rates) == 20
    assert rates[-1] == pytest.approx(3e-4)


def test_nothing_is_left_behind_and_a_seed_repeats_it(watch, training):
    clf = training(n_estimators=2, callbacks=None)
    before = clf.get_params()
    pipe = make_pipeline(SignalAligner(64), clf)
    first, second = (
        find_learning_rate(
            pipe, watch.X, watch.y, n_steps=20, citrusclassifier__groups=watch.groups
        )
        for _ in range(2)
    )
    assert_array_equal(first.losses, second.losses)
    assert clf.get_params() == before
    assert not hasattr(clf, "net_")


def test_a_suggestion_can_be_trained_with_and_is_plotted(tones, training):
    clf = training(max_epochs=8)
    shown = find_learning_rate(clf, *tones)
    clf.set_params(learning_rate=shown.suggestion).fit(*tones)
    assert clf.score(*tones) > 0.9
    assert isinstance(shown.plot(), LearningRateDisplay)
    assert shown.ax_.get_xscale() == "log"
    assert shown.figure_ is shown.ax_.figure
    (line,) = [line for line in shown.ax_.lines if line.get_label() == "running mean"]
    assert_array_equal(line.get_ydata(), shown.smoothed)
    mpl.pyplot.close(shown.figure_)


def test_a_regressor_has_a_range_as_well(tones):
    X, y = tones
    regressor = CitrusRegressor(None, preset="tiny", strategy="finetune", random_state=0)
    shown = find_learning_rate(regressor, X, 3.0 * y)
    assert 2e-5 < shown.suggestion < 1.0
    assert shown.smoothed.min() < 0.7 * shown.losses[0]


def test_the_steepest_fall_of_a_known_curve_is_found():
    rates = np.logspace(-5, 0, 100)
    smoothed = 1 / (1 + (rates / 1e-2) ** 2) + np.where(rates > 0.1, 20 * rates, 0)
    assert steepest(rates, smoothed) == pytest.approx(1e-2, rel=0.2)


def test_a_mean_of_what_was_seen_so_far_and_when_it_has_has_diverged():
    assert running_mean([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    assert not has_diverged([1.0] * 30)
    assert has_diverged([1.0] * 30 + [50.0])
    assert not has_diverged([50.0] + [1.0] * 3)  # too few to tell


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"low": 0.1, "high": 0.01}, ValueError, "got low=0.1 and high=0.01"),
        ({"n_steps": 3}, ValueError, "n_steps=3"),
        ({"low": 0.0}, ValueError, "low=0.0"),
    ],
)
def test_arguments_that_make_no_sense_are_named(tones, training, arguments, error, words):
    with pytest.raises(error, match=words):
        find_learning_rate(training(), *tones, **arguments)


@pytest.mark.parametrize(("low", "n_finite"), [(1e9, r"\d"), (1e-5, "0")])
def test_a_loss_that_is_nan_from_the_start_says_so(tones, training, monkeypatch, low, n_finite):
    if low < 1:
        monkeypatch.setattr(
            "citrus_sk.training.nets._cross_entropy", lambda logits, mass: logits.sum() * np.nan
        )
    words = rf"NaN or infinite after {n_finite} of 20 steps, .*Lower low \(it is {low:g}\), or look"
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        find_learning_rate(training(), *tones, low=low, high=1e30, n_steps=20)


def test_what_is_not_trained_by_steps_is_refused(tones, quick):
    with pytest.raises(TypeError, match="LogisticRegression is not trained by steps"):
        find_learning_rate(LogisticRegression(), *tones)
    with pytest.raises(ValueError, match=r"no learning rate.*'finetune'"):
        find_learning_rate(quick(random_kernels=True), *tones)
