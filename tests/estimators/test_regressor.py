"""The regressor's own promises; what it shares with the classifier is tested there."""

import pickle

import mne
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, CitrusRegressor, ModuleRegressor, SignalAligner
from citrus_sk.training import probes as probe
from citrus_sk.training.labelled import inner_folds, regression_windows

RNG = np.random.default_rng(0)
Y = RNG.uniform(5.0, 25.0, 60)  # Hz
TIME = np.arange(128) / 64
X = np.sin(2 * np.pi * Y[:, None] * TIME)[:, None] + 0.2 * RNG.standard_normal((60, 1, 128))


def quick(**parameters):
    settings = {"pretrained": None, "preset": "tiny", "random_kernels": False, "random_state": 0}
    settings |= parameters
    if settings.get("strategy") != "linear-probe" and not settings["random_kernels"]:
        settings.setdefault("max_epochs", 2)
    return CitrusRegressor(**settings)


@pytest.fixture(scope="module")
def speed(watch):
    """How fast the wrist turns (log rad/s), to be told by the accelerometer alone."""
    return watch.X[:, :3], np.log(watch.X[:, 3:].std(axis=(1, 2)))


def test_tells_the_turning_of_unseen_peoples_wrists_from_their_accelerometer(watch, speed):
    acceleration, target = speed
    known = np.isin(watch.groups, np.unique(watch.groups)[:4])
    reg = CitrusRegressor(pretrained=None, preset="tiny", random_state=0)
    reg.fit(acceleration[known], target[known], groups=watch.groups[known])
    assert reg.strategy_ == "linear-probe"
    assert reg.score(acceleration[~known], target[~known]) > 0.5


@pytest.mark.parametrize("strategy", ["auto", "linear-probe", "finetune", "probe-then-finetune"])
@pytest.mark.parametrize("backbone", ["hybrid", "conv"])
def test_every_strategy_and_backbone_tells_a_frequency(strategy, backbone):
    epochs = {} if strategy == "linear-probe" else {"max_epochs": 20}
    reg = quick(strategy=strategy, backbone=backbone, **epochs).fit(X[::2], Y[::2])
    assert reg.score(X[1::2], Y[1::2]) > 0.5
    assert reg.strategy_ == ("probe-then-finetune" if strategy == "auto" else strategy)


@pytest.mark.parametrize("strategy", ["linear-probe", "finetune"])
def test_another_unit_of_y_changes_nothing_but_the_unit(strategy):
    plain = quick(strategy=strategy).fit(X, Y).predict(X)
    other = quick(strategy=strategy).fit(X, 1e6 + 1e-3 * Y).predict(X)
    assert_allclose((other - 1e6) * 1e3, plain, atol=1e-3)


def test_y_with_columns_gives_columns_and_one_axis_gives_one():
    both = np.c_[Y, -3 * Y + RNG.standard_normal(60)]
    reg = quick(strategy="linear-probe").fit(X, both)
    assert reg.predict(X[:7]).shape == (7, 2)
    assert reg.predict(X).dtype == np.float64
    assert_allclose(reg.target_mean_, both.mean(0))
    assert_allclose(reg.target_scale_, both.std(0))
    alone = quick(strategy="linear-probe").fit(X, Y)
    assert alone.predict(X[:7]).shape == (7,)
    assert_allclose(reg.predict(X)[:, 0], alone.predict(X), rtol=0.05)  # one penalty serves both


@pytest.mark.parametrize("strategy", ["linear-probe", "finetune"])
def test_a_constant_y_is_predicted_as_it_is(strategy):
    assert_allclose(quick(strategy=strategy).fit(X[:8], np.full(8, 72.0)).predict(X), 72, rtol=1e-4)


@pytest.mark.parametrize("strategy", ["linear-probe", "probe-then-finetune"])
def test_a_weight_of_two_is_a_window_that_stands_there_twice(strategy):
    weight = np.r_[np.full(5, 2.0), np.ones(15)]
    weighed = quick(strategy=strategy).fit(X[:20], Y[:20], sample_weight=weight)
    twice = quick(strategy=strategy).fit(np.r_[X[:20], X[:5]], np.r_[Y[:20], Y[:5]])
    assert_array_equal(weighed.predict(X), twice.predict(X))


def test_a_window_is_predicted_alike_whatever_stands_beside_it(watch, speed):
    reg = quick(strategy="finetune").fit(*speed)
    alone = np.concatenate([reg.predict(window[None]) for window in speed[0][:9]])
    assert_allclose(alone, reg.predict(speed[0])[:9], rtol=1e-5)
    assert_allclose(reg.predict(speed[0][::-1])[::-1], reg.predict(speed[0]), rtol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        quick,
        lambda: quick(n_estimators=2, strategy="finetune"),
        lambda: ModuleRegressor("EEGNet", max_epochs=2),
    ],
)
def test_a_pickle_predicts_the_same_bits_and_a_clone_fits_another_shape(make):
    reg = make().fit(X[:20], Y[:20])
    assert_array_equal(pickle.loads(pickle.dumps(reg)).predict(X), reg.predict(X))
    other = clone(reg).fit(np.repeat(X[:20], 2, axis=1)[..., :100], np.c_[Y, Y][:20])
    assert other.predict(np.repeat(X[:3], 2, axis=1)[..., :100]).shape == (3, 2)


def test_the_ensemble_is_the_mean_of_its_members():
    reg = quick(n_estimators=2, strategy="finetune").fit(X, Y)
    alone = []
    for net in reg.members_:
        single = pickle.loads(pickle.dumps(reg))
        single.members_ = [net]
        alone.append(single.predict(X))
    assert not np.allclose(*alone)
    assert_allclose(np.mean(alone, axis=0), reg.predict(X))


def test_validation_loss_is_in_units_of_the_variance_and_the_best_epoch_is_kept():
    reg = quick(strategy="finetune", max_epochs=4, early_stopping=True).fit(X, 1e4 * Y)
    losses = reg.net_.history[:, "valid_loss"]
    assert len(losses) == 4
    assert 0.01 < min(losses) < 5


def test_fractional_groups_never_stand_on_both_sides_of_an_inner_split():
    groups = np.arange(60) // 6
    measured = regression_windows(X.astype(np.float32), Y[:, None], groups=groups)
    folds = inner_folds(measured, 5, seed=0)
    assert len(folds) == 5
    for train, test in folds:
        assert not set(measured.groups[train]) & set(measured.groups[test])
    assert inner_folds(regression_windows(X[:6], Y[:6, None], groups=np.ones(6)), 5, seed=0) == []


def test_each_familys_head_is_scikit_learns_ridge(monkeypatch):
    monkeypatch.setattr(probe, "VALUE_PENALTIES", np.array([0.3]))
    measured = regression_windows(X.astype(np.float32), Y[:, None])
    measured = measured.standardised(*measured.target_statistics())
    features = RNG.standard_normal((60, 9))
    weight, bias = probe.fit_fused_values(features, [9], measured).head
    unit = ((features - features.mean(0)) ** 2).sum(1).mean()
    model = Ridge(alpha=0.3 * unit).fit(features, measured.targets)
    assert_allclose(weight, model.coef_.reshape(1, -1), atol=1e-8)
    assert_allclose(bias, model.intercept_, atol=1e-8)


def test_a_useless_family_has_little_say():
    measured = regression_windows(X.astype(np.float32), Y[:, None])
    measured = measured.standardised(*measured.target_statistics())
    useful = measured.targets + 0.3 * RNG.standard_normal((60, 4))
    features = np.c_[useful, RNG.standard_normal((60, 300)) / 17]
    weight, _ = probe.fit_fused_values(features, [4, 300], measured).head
    assert np.abs(features[:, 4:] @ weight[0, 4:]).mean() < 0.1


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, "requires y to be passed, but the target y is None"),
        (Y[:59], ValueError, "X has 60 windows, but y has 59 labels"),
        (np.r_[Y[:-1], np.nan], ValueError, "y contains NaN"),
        (np.r_[Y[:-1], np.inf], ValueError, "y contains infinity"),
        (["fast"] * 60, ValueError, "y holds 'fast', which is not a number.*CitrusClassifier"),
        ("age", ValueError, "y='age' names a column of metadata, and X is of type nda"),
        (np.ones((60, 2, 2)), ValueError, "dim 3"),
        (7.5, ValueError, "y is a single number, 7.5; expected a value for each of the 60 windows"),
        ([[1.0], [1.0, 2.0]] * 30, ValueError, "y has up to 2 values for a window"),
    ],
)
def test_bad_targets_are_refused(y, error, message):
    with pytest.raises(error, match=message):
        quick().fit(X, y)


def test_one_window_is_refused():
    with pytest.raises(ValueError, match=r"n_samples = 1 is too few: .* got 1 among 3 window\(s\)"):
        quick().fit(X[:3], Y[:3], sample_weight=[1, 0, 0])


def test_numbers_given_to_the_classifier_are_sent_here():
    with pytest.raises(ValueError, match="CitrusRegressor"):
        CitrusClassifier(pretrained=None, preset="tiny").fit(X, Y)


def test_numbers_as_strings_and_frames_are_numbers():
    first = quick(strategy="linear-probe").fit(X, Y).predict(X)
    for y in (Y.astype(str), pd.Series(Y), Y.tolist()):
        assert_allclose(quick(strategy="linear-probe").fit(X, y).predict(X), first)


def test_a_column_of_the_metadata_of_epochs_is_the_target():
    info = mne.create_info(["Cz"], 64.0, "eeg")
    frame = pd.DataFrame({"hz": Y, "person": np.arange(60) // 6})
    epochs = mne.EpochsArray(1e-5 * X, info, metadata=frame, verbose="error")
    reg = quick(strategy="linear-probe").fit(epochs, "hz", groups="person")
    assert reg.score(epochs, "hz") == reg.score(epochs, Y) > 0.5
    with pytest.raises(ValueError, match=r"y is None.*column"):
        quick().fit(epochs)


def test_augmentations_of_braindecode_are_applied():
    from braindecode.augmentation import FTSurrogate, Mixup

    settings = {"strategy": "finetune", "early_stopping": False}
    plain = quick(**settings).fit(X, Y)
    for transform in (FTSurrogate(probability=1.0), Mixup(alpha=0.3)):
        changed = quick(**settings, augmentation=transform).fit(X, Y)
        assert not np.allclose(changed.predict(X), plain.predict(X))


def test_it_works_in_model_selection_and_below_a_transformed_target(watch, speed):
    pipe = make_pipeline(SignalAligner(100), quick(strategy="linear-probe"))
    cv = GroupKFold(3)
    scores = cross_val_score(pipe, *speed, groups=watch.groups, cv=cv)
    assert scores.shape == (3,)
    search = GridSearchCV(pipe, {"citrusregressor__backbone": ["hybrid", "conv"]}, cv=2)
    assert search.fit(X, Y).best_score_ > 0.3
    logarithm = TransformedTargetRegressor(pipe, func=np.log, inverse_func=np.exp)
    assert logarithm.fit(X, Y).predict(X).min() > 0


def test_weights_and_groups_are_routed_through_a_pipeline_and_cross_validation(watch, speed):
    seen = []

    class Watcher(CitrusRegressor):
        def fit(self, X, y=None, sample_weight=None, groups=None):
            seen.append((len(X), len(sample_weight), len(groups)))
            return super().fit(X, y, sample_weight=sample_weight, groups=groups)

    with sklearn.config_context(enable_metadata_routing=True):
        reg = Watcher(pretrained=None, preset="tiny", random_kernels=False, strategy="linear-probe")
        reg.set_fit_request(sample_weight=True, groups=True).set_score_request(sample_weight=True)
        weight = np.ones(len(watch.groups))
        params = {"sample_weight": weight, "groups": watch.groups}
        pipe = make_pipeline(SignalAligner(100), reg)
        done = cross_validate(pipe, *speed, cv=GroupKFold(2), params=params)
    assert len(done["test_score"]) == len(seen) == 2
    assert all(n == n_weights == n_groups < len(weight) for n, n_weights, n_groups in seen)
