"""The classifier's own promises; scikit-learn's are in test_estimator_checks.py."""

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    StratifiedGroupKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EpochScoring

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusPretrainer,
    CitrusRegressor,
    SignalAligner,
    StratifiedFractionKFold,
)
from citrus_sk.training import members
from citrus_sk.training.selection import without_evidence

ESTIMATORS = [CitrusClassifier, CitrusEmbedder, CitrusPretrainer, CitrusRegressor, SignalAligner]


def test_learns_unseen_people_from_a_few_real_windows(watch):
    clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    known = np.isin(watch.groups, np.unique(watch.groups)[:4])
    clf.fit(watch.X[known], watch.y[known])
    assert clf.score(watch.X[~known], watch.y[~known]) > 0.7  # chance is 0.33


@pytest.mark.parametrize("strategy", ["auto", "linear-probe", "finetune", "probe-then-finetune"])
@pytest.mark.parametrize("backbone", ["hybrid", "conv"])
def test_every_strategy_and_backbone_learns_two_tones(tones, quick, strategy, backbone):
    X, y = tones
    epochs = {} if strategy == "linear-probe" else {"max_epochs": 8}
    clf = quick(strategy=strategy, backbone=backbone, **epochs).fit(X[::2], y[::2])
    assert clf.score(X[1::2], y[1::2]) == 1
    assert clf.strategy_ == ("probe-then-finetune" if strategy == "auto" else strategy)


@pytest.mark.parametrize(
    "labels",
    [["rest", "fist"], [1, 2], [-1, 1], [False, True], [0.0, 3.0], np.array(["b", "a"], object)],
    ids=str,
)
def test_labels_of_any_type_come_back_as_they_were(tones, quick, labels):
    X, y = tones
    y = np.asarray(labels)[y]
    clf = quick(strategy="linear-probe").fit(X, y)
    assert_array_equal(clf.classes_, np.unique(y))
    assert clf.predict(X).dtype == y.dtype
    assert_array_equal(clf.predict(X), y)


def test_probabilities_sum_to_one_and_agree_with_predict(tones, quick):
    X, y = tones
    clf = quick().fit(X, y)
    proba = clf.predict_proba(X)
    assert proba.dtype == np.float64
    assert_allclose(proba.sum(1), 1, rtol=1e-12)
    assert_allclose(np.log(proba), clf.predict_log_proba(X))
    assert_array_equal(clf.classes_[proba.argmax(1)], clf.predict(X))


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_window_is_predicted_alike_whatever_stands_beside_it(watch, quick, batch_size):
    order = np.argsort(watch.y, kind="stable")  # sorted by class, as windows often lie
    X, y = watch.X[order], watch.y[order]
    clf = quick(batch_size=batch_size).fit(X, y)
    together = clf.predict_proba(X)
    shuffled = np.random.default_rng(0).permutation(len(X))
    assert_allclose(clf.predict_proba(X[shuffled]), together[shuffled], atol=1e-5)
    alone = np.concatenate([clf.predict_proba(window[None]) for window in X[::9]])
    assert_allclose(alone, together[::9], atol=1e-5)
    # Among windows of one class, and among windows a million times louder.
    assert_allclose(clf.predict_proba(X[:5]), together[:5], atol=1e-5)
    loud = np.concatenate([X[:5], 1e6 * X[5:]])
    with pytest.warns(UserWarning, match="times the amplitude"):
        assert_allclose(clf.predict_proba(loud)[:5], together[:5], atol=1e-5)


def test_an_integer_random_state_gives_the_same_bits_twice(watch, quick):
    first, second = (quick().fit(watch.X, watch.y).predict_proba(watch.X) for _ in range(2))
    assert_array_equal(first, second)
    other = quick(random_state=1).fit(watch.X, watch.y).predict_proba(watch.X)
    assert not np.array_equal(first, other)


def test_no_random_state_draws_a_new_seed_and_leaves_numpy_alone(tones, quick):
    X, y = tones
    first, second = (quick(random_state=None).fit(X, y).predict_proba(X) for _ in range(2))
    assert not np.array_equal(first, second)


def test_the_order_of_the_rows_does_not_matter_to_the_bit(watch, quick):
    order = np.random.default_rng(0).permutation(len(watch.X))
    forward = quick().fit(watch.X, watch.y).predict_proba(watch.X)
    shuffled = quick().fit(watch.X[order], watch.y[order]).predict_proba(watch.X)
    assert_array_equal(forward, shuffled)


@pytest.mark.parametrize("strategy", ["linear-probe", "finetune"])
def test_a_weight_of_two_is_a_window_twice_and_of_zero_none(tones, quick, strategy):
    X, y = tones
    weight = np.tile([0, 1, 2, 1], 10)
    rows = np.repeat(np.arange(40), weight)
    weighted = quick(strategy=strategy).fit(X, y, sample_weight=weight)
    repeated = quick(strategy=strategy).fit(X[rows], y[rows])
    assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))


@pytest.mark.parametrize(
    "settings",
    [{}, {"random_kernels": True, "strategy": "auto"}, {"strategy": "finetune"}],
    ids=["logistic", "ridges", "finetune"],
)
@pytest.mark.parametrize("factor", [0.01, 1000.0])
def test_only_the_ratios_of_weights_count_and_twice_the_set_is_the_set(
    tones, quick, settings, factor
):
    X, y = tones[0][:, :, :64], tones[1]
    weight = 1.0 + np.arange(40) % 3
    clf = quick(**{"strategy": "linear-probe"} | settings)
    expected = clf.fit(X, y, sample_weight=weight).predict_proba(X)
    scaled = clf.fit(X, y, sample_weight=factor * weight).predict_proba(X)
    assert_allclose(scaled, expected, atol=1e-5)
    twice = clf.fit(*(np.concatenate([each, each]) for each in (X, y)), np.tile(weight, 2))
    assert_allclose(twice.predict_proba(X), expected, atol=1e-5)


@pytest.mark.parametrize("strategy", ["linear-probe", "finetune"])
def test_class_weight_moves_probability_to_the_heavy_class(quick, strategy):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 1, 64)), np.tile([0, 1], 20)  # nothing to learn
    mean = [
        quick(strategy=strategy, class_weight=weight).fit(X, y).predict_proba(X)[:, 1].mean()
        for weight in (None, {0: 1, 1: 30})
    ]
    assert mean[1] > mean[0] + 0.1


def test_balanced_class_weight_equals_the_weights_spelt_out(tones, quick):
    X, y = tones[0][:26], tones[1][:26]  # 20 against 6
    spelt = {0: 26 / 40, 1: 26 / 12}
    balanced = quick(class_weight="balanced").fit(X, y).predict_proba(X)
    assert_allclose(quick(class_weight=spelt).fit(X, y).predict_proba(X), balanced, atol=1e-6)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_windows_that_differ_in_level_alone_are_told_apart_in_any_unit(quick, unit):
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 20)
    X = unit * (rng.standard_normal((40, 1, 64)) + y[:, None, None])
    clf = quick(strategy="linear-probe").fit(X[:20], y[:20])
    assert clf.score(X[20:], y[20:]) > 0.9


def test_two_windows_of_two_classes_train(tones):
    X, y = tones[0][[0, -1]], tones[1][[0, -1]]
    clf = CitrusClassifier(pretrained=None, random_state=0).fit(X, y)  # all defaults
    assert_array_equal(clf.predict(X), y)


def test_a_few_windows_among_hundreds_are_still_found():
    """Two windows of a class, 118 and 40 of the others, as rare heart beats come."""
    rng = np.random.default_rng(0)
    y = np.repeat(["usual", "fast", "rare"], [118, 40, 2])
    rate = {"usual": 0.05, "fast": 0.1, "rare": 0.3}
    tone = np.array([rate[label] for label in y])[:, None] * np.arange(256)
    X = np.sin(tone + rng.uniform(0, 6, (160, 1))) + 0.3 * rng.standard_normal((160, 256))
    clf = CitrusClassifier(random_state=0).fit(X, y)
    new = np.sin(0.3 * np.arange(256) + rng.uniform(0, 6, (10, 1)))
    assert (clf.predict(new + 0.3 * rng.standard_normal(new.shape)) == "rare").mean() >= 0.8
    assert clf.score(X, y) > 0.95


def test_two_windows_each_of_26_classes_are_enough_to_train_the_default():
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(26), 2)
    tone = 0.02 * 1.15 ** y[:, None] * np.arange(512)

    def draw():
        X = np.sin(tone + rng.uniform(0, 6, (52, 1)))
        return X + 0.1 * rng.standard_normal(X.shape)

    clf = CitrusClassifier(random_state=0).fit(draw(), y)
    X = draw()
    assert clf.predict_proba(X).shape == (52, 26)
    assert clf.score(X, y) > 0.8


def test_a_class_with_one_window_among_26_classes_trains(quick):
    rng = np.random.default_rng(0)
    y = np.r_[np.repeat(np.arange(25), 2), 25]
    clf = quick(max_epochs=1).fit(rng.standard_normal((51, 2, 64)), y)
    assert clf.predict_proba(rng.standard_normal((3, 2, 64))).shape == (3, 26)


def test_batches_differ_in_size_by_one_window_at_most(tones, quick):
    class Sizes(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            seen.append(len(batch[1]))

    seen = []
    X, y = tones
    quick(batch_size=13, max_epochs=1, callbacks=[Sizes()]).fit(X, y)
    assert sorted(seen) == [10, 10, 10, 10]


# --- early stopping ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_tones():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 150)
    X = np.sin(np.arange(64) * np.where(y, 0.9, 0.3)[:, None])
    return (X + 2 * rng.standard_normal(X.shape))[:, None], y


def test_a_small_set_runs_its_schedule_to_the_end(tones, quick):
    history = quick(max_epochs=4).fit(*tones).net_.history
    assert len(history) == 4
    assert "valid_loss" not in history[-1]


def test_a_larger_set_holds_windows_out_and_keeps_the_best_epoch(many_tones, quick, monkeypatch):
    X, y = many_tones
    monkeypatch.setattr(members, "select", lambda *args, how: without_evidence("finetuned", how))
    clf = quick(strategy="finetune", max_epochs=12, patience=2, learning_rate=1e-2, mixup=0).fit(
        X, y
    )
    losses = clf.net_.history[:, "valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == min(12, best + 1 + 2)
    _, valid = clf._hold_out(*_labelled(clf, X, y))
    logits = torch.log(torch.tensor(clf.predict_proba(X[valid.rows])))
    assert_allclose(
        torch.nn.functional.nll_loss(logits, torch.tensor(y[valid.rows])), losses[best], rtol=1e-4
    )


def _labelled(clf, X, y):
    from citrus_sk._utils.devices import draw_seed
    from citrus_sk.signals.targets import check_labels
    from citrus_sk.training.labelled import label_windows

    classes, codes = check_labels(y, len(X), "")
    seed = np.random.SeedSequence(draw_seed(clf.random_state)).generate_state(1)[0]
    return label_windows(X.astype(np.float32), codes, classes), int(seed)


def test_groups_are_never_on_both_sides_of_the_inner_split(many_tones, quick):
    class Sides(Callback):
        def on_train_begin(self, net, X, **kwargs):
            sides["train"] = set(X.labelled.groups)
            sides["valid"] = set(net.train_split(X)[1].labelled.groups)

    sides = {}
    X, y = many_tones
    groups = np.repeat(np.arange(15), 20)
    quick(max_epochs=1, callbacks=[Sides()]).fit(X, y, groups=groups)
    assert sides["train"] & sides["valid"] == set()
    assert sides["train"] | sides["valid"] == set(range(15))


def test_fine_tuning_that_hurts_leaves_the_probe_of_all_windows(many_tones, quick):
    X, y = many_tones
    ruined = quick(early_stopping=True, learning_rate=3.0, strategy="probe-then-finetune").fit(X, y)
    probe = quick(strategy="linear-probe").fit(X, y)
    assert ruined.selection_["kind"] == "probe"
    assert ruined.selection_["probe_loss"] < ruined.selection_["loss"]
    assert_array_equal(ruined.predict_proba(X), probe.predict_proba(X))
    assert len(ruined.history_) == 2  # of the training that did not help


@pytest.fixture
def tuned(quick):
    """Make a classifier that is fine-tuned on the windows of `watch` in a few seconds."""

    def make(**parameters):
        return quick(
            **{"pretrained": "eeg-freq", "backbone": "conv", "strategy": "finetune"} | parameters
        )

    return make


def test_the_head_of_zeros_learns_in_the_few_steps_of_a_small_set(watch, tuned, monkeypatch):
    known = np.isin(watch.groups, np.unique(watch.groups)[:3])
    X, y, X_new, y_new = watch.X[known], watch.y[known], watch.X[~known], watch.y[~known]

    def losses(**parameters):
        clf = tuned(early_stopping=False, **parameters).fit(X, y)
        return log_loss(y, clf.predict_proba(X)), log_loss(y_new, clf.predict_proba(X_new))

    soon, _ = losses(max_epochs=5)
    _, with_own_rate = losses(max_epochs=20)
    monkeypatch.setattr(CitrusClassifier, "_head_step", None)  # the rate of all other layers
    assert soon < losses(max_epochs=5)[0] / 2
    assert with_own_rate < losses(max_epochs=20)[1] - 0.1


def test_a_training_has_150_steps_however_few_windows_there_are(tones, quick):
    X, y = tones
    clf = quick(max_epochs="auto", strategy="finetune", early_stopping=False).fit(X[::4], y[::4])
    assert len(clf.history_) == 150  # of one batch
    assert clf._auto_epochs(40) == 50
    assert clf._auto_epochs(64) == 40


def test_folds_choose_between_the_network_and_its_probe_and_keep_people_together(watch, tuned):
    class People(Callback):
        def on_train_begin(self, net, X, **kwargs):
            trained.append(len(np.unique(X.labelled.groups)))

    trained = []
    clf = tuned(callbacks=[People()]).fit(watch.X, watch.y, groups=watch.groups)
    selection = clf.selection_
    assert "72 windows in 3 folds" in selection["reason"]
    assert trained == [6]  # callbacks follow the training on all people alone
    probe = tuned(strategy="linear-probe", max_epochs="auto").fit(
        watch.X, watch.y, groups=watch.groups
    )
    # The loss of the probe on people who were left out, made once more from outside.
    assert selection["probe_loss"] == pytest.approx(_left_out_loss(probe, watch), rel=0.2)


def _left_out_loss(clf, watch):
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=0)
    proba = cross_val_predict(
        clone(clf), watch.X, watch.y, groups=watch.groups, cv=folds, method="predict_proba"
    )
    return log_loss(watch.y, proba)


@pytest.mark.parametrize("kind", ["finetuned", "probe"])
def test_the_network_that_was_selected_predicts(kind, tones, quick, monkeypatch):
    X, y = tones
    monkeypatch.setattr(members, "select", lambda *args, how: without_evidence(kind, how))
    clf = quick(strategy="finetune").fit(X, y)
    alone = {"strategy": "finetune", "early_stopping": False}
    expected = quick(**(alone if kind == "finetuned" else {"strategy": "linear-probe"})).fit(X, y)
    assert_array_equal(clf.predict_proba(X), expected.predict_proba(X))
    assert len(clf.history_) == 2
    assert pickle.loads(pickle.dumps(clf)).selection_["kind"] == kind


@pytest.mark.parametrize(
    ("parameters", "kind", "reason"),
    [
        ({"early_stopping": False}, "finetuned", "No windows were left out."),
        ({"strategy": "linear-probe"}, "probe", "strategy='linear-probe' trains no network."),
    ],
)
def test_there_is_no_choice_without_windows_that_are_left_out(
    parameters, kind, reason, tones, quick
):
    selection = quick(**parameters).fit(*tones).selection_
    assert (selection["kind"], selection["reason"]) == (kind, reason)
    assert np.isnan(selection["loss"])


def test_early_stopping_can_be_forced_and_forbidden(tones, many_tones, quick):
    forced = quick(early_stopping=True, strategy="finetune").fit(*tones)
    assert "valid_loss" in forced.net_.history[-1]
    forbidden = quick(early_stopping=False).fit(*many_tones)
    assert "valid_loss" not in forbidden.net_.history[-1]


@pytest.mark.parametrize("given", [np.False_, 0, np.True_, 1])
def test_early_stopping_is_compared_by_its_value(given, tones, many_tones, quick):
    # "auto" would do the opposite of what is given on both sets.
    X, y = tones if given else many_tones
    clf = quick(early_stopping=given, max_epochs=1, strategy="finetune").fit(X, y)
    assert ("valid_loss" in clf.net_.history[-1]) == given
    assert clf.early_stopping is given


def test_early_stopping_that_cannot_be_is_a_warning(tones, quick):
    X, y = tones[0][:21], tones[1][:21]  # one window of a class
    with pytest.warns(UserWarning, match="early_stopping=True has no effect"):
        quick(early_stopping=True, max_epochs=1, strategy="finetune").fit(X, y)


# --- skorch passes through -----------------------------------------------------------------------


def test_the_net_is_a_skorch_classifier_that_predicts_the_same(tones, quick):
    X, y = tones
    clf = quick().fit(X, y)
    assert isinstance(clf.net_, NeuralNetClassifier)
    assert_allclose(clf.net_.predict_proba(X.astype(np.float32)), clf.predict_proba(X), atol=1e-6)
    assert all(np.isfinite(clf.net_.history[:, "train_loss"]))


def test_skorch_callbacks_score_the_inner_validation(many_tones, quick):
    scoring = EpochScoring("accuracy", lower_is_better=False, name="valid_accuracy")
    clf = quick(callbacks=[scoring], max_epochs=4, strategy="finetune").fit(*many_tones)
    assert clf.net_.history[-1, "valid_accuracy"] > 0.6


def test_a_callback_may_end_the_training(tones, quick):
    class Enough(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    clf = quick(max_epochs=5, callbacks=[Enough()]).fit(*tones)
    assert len(clf.net_.history) == 1


def test_ctrl_c_inside_a_callback_ends_the_fit_and_not_only_the_training(tones, quick):
    class Slow(Callback):
        def on_epoch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    clf = quick(max_epochs=5, callbacks=[Slow()])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(*tones)
    assert not hasattr(clf, "net_")
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_ends_the_fit_and_not_only_the_training(tones, quick, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("citrus_sk.training.nets._cross_entropy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        quick().fit(*tones)


def test_verbose_zero_is_silent_one_a_bar_two_a_table(tones, quick, capfd):
    X, y = tones
    quick().fit(X, y).predict(X)
    assert capfd.readouterr() == ("", "")
    quick(verbose=1).fit(X, y)
    out, err = capfd.readouterr()
    assert out.startswith("CitrusClassifier: keeps the ")
    assert len(out.splitlines()) == 1
    assert "18/18" in err  # 2 epochs of 3 batches, and of 2 batches in each of 3 folds
    quick(verbose=2).fit(X, y)
    assert "train_loss" in capfd.readouterr().out


def test_the_bar_counts_the_batches_of_the_training_part_of_every_member(many_tones, quick, capfd):
    quick(verbose=1, n_estimators=2).fit(*many_tones)
    assert "60/60" in capfd.readouterr().err  # 2 members, 2 epochs, 15 batches of 240 windows


# --- ensembles -----------------------------------------------------------------------------------


def test_members_have_seeds_of_their_own_and_are_averaged(tones, quick):
    X, y = tones
    clf = quick(n_estimators=3).fit(X, y)
    assert len(clf.members_) == 3
    assert clf.net_ is clf.members_[0]
    each = [net.predict_proba(X.astype(np.float32)) for net in clf.members_]
    assert not np.allclose(each[0], each[1])
    assert_allclose(clf.predict_proba(X), np.mean(each, axis=0), atol=1e-6)


# --- inside scikit-learn -------------------------------------------------------------------------


def pipeline(clf):
    return Pipeline([("align", SignalAligner(64)), ("clf", clf)])


def test_refit_on_other_shapes_and_labels(watch, tones, quick):
    clf = quick().fit(watch.X, watch.y)
    X, y = tones
    assert clf.fit(X, y).predict_proba(X).shape == (40, 2)
    assert (clf.n_chans_, clf.n_times_) == (1, 128)
    flat = X[:, 0]
    assert clf.fit(flat, y).n_features_in_ == 128
    assert_array_equal(clf.predict(flat), clf.predict(X))  # 2-D is one channel


def test_fit_does_not_write_parameters_and_clone_is_unfitted(tones, quick):
    clf = quick(callbacks=[])
    before = dict(clf.get_params())
    clf.fit(*tones)
    assert clf.get_params() == before
    assert not hasattr(clone(clf), "classes_")


def test_set_params_takes_effect_at_the_next_fit(tones, quick):
    clf = quick().fit(*tones)
    clf.set_params(strategy="linear-probe", n_estimators=2, max_epochs="auto").fit(*tones)
    assert clf.strategy_ == "linear-probe"
    assert len(clf.members_) == 2


def test_grid_search_over_the_strategy(watch, quick):
    grid = GridSearchCV(
        pipeline(quick()),
        {"clf__strategy": ["probe-then-finetune", "finetune"]},
        cv=2,
        error_score="raise",
    ).fit(watch.X, watch.y)
    assert grid.best_params_["clf__strategy"] in ("probe-then-finetune", "finetune")


def test_cross_val_score_over_a_fraction_in_two_processes(watch, quick, two_workers):
    cv = StratifiedFractionKFold(2, train_fraction=0.5, random_state=0)
    scores = [
        cross_val_score(
            pipeline(quick(strategy="linear-probe")),
            watch.X,
            watch.y,
            groups=watch.groups,
            cv=cv,
            n_jobs=n_jobs,
            error_score="raise",
        )
        for n_jobs in (1, two_workers)
    ]
    assert_allclose(scores[0], scores[1], atol=1e-6)
    assert min(scores[0]) > 0.4


def test_calibration_and_voting_wrap_it(watch, quick):
    clf = pipeline(quick(strategy="linear-probe"))
    calibrated = CalibratedClassifierCV(clf, cv=2).fit(watch.X, watch.y)
    assert calibrated.score(watch.X, watch.y) > 0.6
    conv = pipeline(quick(strategy="linear-probe", backbone="conv"))
    voting = VotingClassifier([("a", clf), ("b", conv)], voting="soft").fit(watch.X, watch.y)
    assert voting.score(watch.X, watch.y) > 0.6


def test_metadata_routing_brings_groups_and_weights_to_fit(many_tones, quick):
    class Groups(Callback):
        def on_train_begin(self, net, X, **kwargs):
            seen.append(len(np.unique(X.labelled.groups)))

    seen = []
    X, y = many_tones
    groups = np.repeat(np.arange(15), 20)
    with sklearn.config_context(enable_metadata_routing=True):
        clf = quick(max_epochs=1, callbacks=[Groups()])
        clf.set_fit_request(groups=True, sample_weight=True)
        pipe = make_pipeline(SignalAligner(64), clf)
        pipe.fit(X, y, groups=groups, sample_weight=np.ones(300))
    assert seen == [12]  # 3 of 15 people are held out


def test_mne_epochs_go_in_without_their_stimulus_channel(quick):
    mne = pytest.importorskip("mne")
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 10)
    info = mne.create_info(["C3", "C4", "STI"], 100.0, ["eeg", "eeg", "stim"])
    data = 1e-5 * rng.standard_normal((20, 3, 200))
    data[:, 2] = y[:, None]
    epochs = mne.EpochsArray(data, info, verbose="error")
    clf = quick(strategy="linear-probe").fit(epochs, y)
    assert clf.n_chans_ == 2
    assert_array_equal(clf.predict(epochs), clf.predict(data[:, :2]))


def test_several_labels_at_once_are_refused_and_the_remedy_works(tones, quick):
    X, y = tones
    both = np.c_[y, 1 - y]
    with pytest.raises(ValueError, match=r"y has 2 columns .*MultiOutputClassifier"):
        quick().fit(X, both)
    wrapped = MultiOutputClassifier(quick(strategy="linear-probe")).fit(X, both)
    assert_array_equal(wrapped.predict(X), both)


@pytest.mark.parametrize("name", ["partial_fit", "warm_start"])
@pytest.mark.parametrize("kind", [CitrusClassifier, CitrusRegressor])
def test_there_is_no_training_in_instalments(kind, name):
    # The head's statistics, the kernels' thresholds and the calibration are those of all windows.
    assert not hasattr(kind(), name)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_the_box_in_a_notebook_links_to_the_estimators_page(kind):
    page = f"citrus-sk.readthedocs.io/en/stable/api/generated/citrus_sk.{kind.__name__}.html"
    assert page in make_pipeline(kind())._repr_html_()


def test_set_output_on_a_pipeline_reaches_every_step_that_has_columns(tones, quick):
    X, y = tones
    pipe = make_pipeline(
        SignalAligner(64), CitrusEmbedder(pretrained=None, preset="tiny"), StandardScaler()
    )
    frame = pipe.set_output(transform="pandas").fit_transform(X)
    assert list(frame.columns)[:2] == ["citrusembedder0", "citrusembedder1"]
    whole = make_pipeline(SignalAligner(64), quick(strategy="linear-probe"))
    assert whole.set_output(transform="pandas").fit(X, y).score(X, y) == 1


def test_the_decision_is_the_log_odds_of_two_classes_and_log_probabilities_of_more(tones, quick):
    X, y = tones
    clf = quick(strategy="linear-probe").fit(X, y)
    proba = clf.predict_proba(X)
    assert_allclose(clf.decision_function(X), np.log(proba[:, 1] / proba[:, 0]), atol=1e-6)
    assert_array_equal(clf.predict(X), clf.classes_[(clf.decision_function(X) > 0).astype(int)])
    y = np.arange(len(y)) % 3
    clf.fit(X, y)
    assert clf.decision_function(X).shape == (len(X), 3)
    assert_array_equal(clf.predict(X), clf.classes_[clf.decision_function(X).argmax(1)])


def test_the_history_has_a_row_for_each_epoch(tones, quick):
    clf = quick(max_epochs=3).fit(*tones)
    assert [row["epoch"] for row in clf.history_] == [1, 2, 3]
    assert "batches" not in clf.history_[0]
    assert quick(strategy="linear-probe").fit(*tones).history_ == []


def test_parameters_of_training_that_a_probe_does_not_use_are_named(tones):
    clf = CitrusClassifier(
        None, preset="tiny", random_kernels=False, strategy="linear-probe", random_state=0
    )
    expected = clf.fit(*tones).predict_proba(tones[0])
    clf.set_params(max_epochs=1, mixup=0, ema=0, early_stopping=True)
    with pytest.warns(UserWarning, match="max_epochs=1, mixup=0, ema=0, early_stopping=True"):
        clf.fit(*tones)
    assert_array_equal(clf.predict_proba(tones[0]), expected)


def test_a_preset_beside_weights_is_refused(tones):
    message = r"preset='tiny' is the size.*pretrained='multi-freq' has a"
    with pytest.raises(ValueError, match=message):
        CitrusClassifier(preset="tiny").fit(*tones)


def test_apples_gpu_is_taken_only_where_it_has_all_operations(monkeypatch):
    from citrus_sk._utils import devices

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    devices._mps_is_usable.cache_clear()
    expected = "cpu"  # the operations are tried, and fail on a machine without such a GPU
    assert devices.resolve_device("auto") == torch.device(expected)
    monkeypatch.setattr(devices, "_mps_is_usable", lambda: True)
    assert devices.resolve_device("auto") == torch.device("mps")


MANY_WINDOWS = """
import numpy as np
from citrus_sk import CitrusClassifier

def used():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1e3

rng = np.random.default_rng(0)
X = np.lib.format.open_memmap({path!r}, "w+", np.float64, (3000, 1, 128))
for start in range(0, len(X), 500):
    X[start : start + 500] = rng.standard_normal((500, 1, 128))
clf = CitrusClassifier(random_state=0).fit(np.array(X[:20]), np.arange(20) % 2)
first = clf.predict_proba(X[:200])
before = used()
proba = clf.predict_proba(X)
np.testing.assert_array_equal(proba[:192], first[:192])
print(used() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory from /proc")
def test_the_memory_of_a_prediction_does_not_grow_with_the_number_of_windows(tmp_path):
    code = MANY_WINDOWS.format(path=str(tmp_path / "windows.npy"))
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert float(run.stdout) < 40  # MB; the features of all windows take 180
