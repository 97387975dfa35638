"""CitrusPretrainer: scikit-learn's rules, what it trains on, and the weights that come of it."""

import json
import os
import random
import socket
import subprocess
import sys
from dataclasses import replace
from functools import partial

import joblib
import mne
import numpy as np
import pytest
import torch
from edf_files import write_edf
from effective_rank import effective_rank
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from citrus_sk import CitrusEmbedder, CitrusPretrainer, load_pretrained, read_corpus
from citrus_sk.checkpoints.registry import describe_checkpoint
from citrus_sk.datasets import load_watch
from citrus_sk.nn import PRESETS
from citrus_sk.nn.readout import ReadOut
from citrus_sk.signals.recordings.arrays import array_corpus
from citrus_sk.signals.recordings.reading import Corpus
from citrus_sk.training.pretraining.processes import is_launched
from citrus_sk.training.pretraining.sampler import CropSampler, draw_whole_windows


def pretrainer(**parameters):
    """A pre-trainer of a second or less."""
    settings = {"preset": "tiny", "max_steps": 2, "batch_size": 8, "random_state": 0}
    return CitrusPretrainer(**(settings | parameters))


def tones(n, n_chans=2, n_times=600, seed=0):
    """Recordings ``(n, n_chans, n_times)``, every channel a sine of its own in noise."""
    rng = np.random.default_rng(seed)
    frequency, phase = rng.uniform([[0.01]], [[0.12]], (2, n, n_chans, 1))
    signal = np.sin(2 * np.pi * (frequency * np.arange(n_times) + 10 * phase))
    X = (signal + 0.1 * rng.standard_normal(signal.shape)).astype(np.float32)
    X.flags.writeable = False
    return X


def weights(fitted):
    return {name: value.numpy() for name, value in fitted.autoencoder_.state_dict().items()}


def same_weights(one, other):
    """Whether two fitted pre-trainers have the same bits."""
    first, second = weights(one), weights(other)
    return all(np.array_equal(value, second[name]) for name, value in first.items())


X = tones(8)


@pytest.fixture(scope="module")
def fitted():
    return pretrainer(max_steps=25, validation_fraction=0.25).fit(X)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four people, two nights each, as Sleep-EDF names them: one channel of EEG and one of EOG."""
    path = tmp_path_factory.mktemp("sleep")
    for number in range(8):
        values = 1000 * tones(1, 2, 1200, seed=number)[0]
        names = ("EEG Fpz-Cz", "EOG horizontal")
        signals = {name: (each.round(), 100) for name, each in zip(names, values, strict=True)}
        write_edf(path / f"SC40{number // 2}{number % 2 + 1}E0-PSG.edf", signals)
    return path


@pytest.fixture(scope="module")
def corpus(folder):
    return read_corpus(folder)


@pytest.fixture
def samplers(monkeypatch):
    """The samplers that a fit makes: that of training windows, and that of people held out."""
    made = []

    class Noted(CropSampler):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr("citrus_sk.estimators.pretrain_plan.CropSampler", Noted)
    return made


# --- scikit-learn --------------------------------------------------------------------------------


class TestChecks:
    @pytest.fixture(autouse=True)
    def same_global_state(self):
        """scikit-learn's checks draw from numpy's global state: conftest's is off here."""

    @parametrize_with_checks(
        [CitrusPretrainer(preset="tiny", max_steps=2, batch_size=8)],
        expected_failed_checks=lambda estimator: {
            "check_methods_subset_invariance": (
                "the check allows 1e-7, less than float32 rounding, as in "
                "test_estimator_checks.py; below, the same claim is held to 1e-5"
            )
        },
        xfail_strict=False,  # whether the rounding shows depends on the processor's kernels
    )
    def test_scikit_learn_check_passes(self, estimator, check):
        check(estimator)


def test_a_clone_has_the_parameters_and_nothing_that_was_learnt(fitted):
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copied.transform(X)


@pytest.mark.parametrize("method", ["transform", "score", "to_checkpoint", "save"])
def test_before_fit_every_method_says_so(method, tmp_path):
    with pytest.raises(NotFittedError, match="CitrusPretrainer instance is not fitted"):
        getattr(pretrainer(), method)(*{"to_checkpoint": (), "save": (tmp_path,)}.get(method, (X,)))


def test_a_file_of_joblib_gives_the_same_bits_and_can_be_fitted_again(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "pretrainer.joblib")
    assert b"torch" not in (tmp_path / "pretrainer.joblib").read_bytes()
    loaded = joblib.load(tmp_path / "pretrainer.joblib")
    assert_array_equal(loaded.transform(X), fitted.transform(X))
    assert loaded.score(X) == fitted.score(X)
    assert loaded.history_ == fitted.history_
    assert loaded.set_params(max_steps=1).fit(X[:, :1]).n_chans_ == 1
    assert fitted.n_chans_ == 2  # the copy shares nothing


def test_nothing_global_is_changed_and_nor_is_what_was_passed():
    # torch's and numpy's random states, and the threads, are watched by conftest.
    state, values = random.getstate(), X.copy()
    fitted = pretrainer().fit(values)
    fitted.transform(values)
    fitted.score(values)
    assert random.getstate() == state
    assert_array_equal(values, X)


# --- what X may be -------------------------------------------------------------------------------


def test_two_dimensions_are_one_channel():
    flat, deep = pretrainer().fit(X[:, 0]), pretrainer().fit(X[:, :1])
    assert (flat.n_features_in_, flat.n_chans_, flat.n_times_) == (600, 1, 600)
    assert (deep.n_features_in_, deep.n_chans_, deep.n_times_) == (1, 1, 600)
    assert same_weights(flat, deep)
    assert_array_equal(flat.transform(X[:, 0]), deep.transform(X[:, :1]))


def test_a_memory_map_trains_the_same_weights_and_its_file_stays_as_it_was(tmp_path):
    path = tmp_path / "recordings.npy"
    np.save(path, X)
    before = path.read_bytes()
    mapped = pretrainer().fit(np.load(path, mmap_mode="r"))
    assert same_weights(mapped, pretrainer().fit(X))
    assert path.read_bytes() == before


def test_recordings_may_be_of_unequal_lengths():
    listed = [tones(1, 2, n_times, seed=n_times)[0] for n_times in (700, 300, 1500, 900)]
    fitted = pretrainer().fit(listed)
    assert (fitted.n_chans_, fitted.n_times_) == (2, None)
    assert np.isfinite(fitted.score(listed))
    assert len(fitted.transform(X)) == len(X)


def test_a_folder_its_files_and_its_corpus_train_the_same_weights(folder, corpus):
    by_corpus = pretrainer().fit(corpus)
    assert by_corpus.modalities_ == ("EEG", "EOG")
    assert not hasattr(by_corpus, "n_chans_")
    assert len(by_corpus.held_out_subjects_) == 1
    (entry,) = by_corpus.corpus_
    assert entry["n_subjects"] == 4
    assert sum(entry["hours"].values()) == pytest.approx(8 * 2 * 12 / 3600)
    for source in (str(folder), sorted(folder.glob("*.edf"))):
        assert same_weights(pretrainer().fit(source), by_corpus)


def test_after_a_corpus_windows_of_any_shape_have_features(corpus):
    fitted = pretrainer().fit(corpus)
    for windows in (X, X[:, :1], X[:, :, :100], X[:, 0]):
        assert len(fitted.transform(windows)) == len(windows)


def epochs():
    info = mne.create_info(["Cz", "EOG left"], 100.0, ["eeg", "eog"])
    return mne.EpochsArray(X.astype(float), info, verbose="error")


def test_epochs_are_windows():
    fitted = pretrainer().fit(epochs())
    assert (fitted.n_chans_, fitted.n_times_) == (2, 600)
    assert_array_equal(fitted.transform(epochs()), fitted.transform(X))
    assert np.isfinite(fitted.score(epochs()))
    assert sum(sum(entry["hours"].values()) for entry in fitted.corpus_) > 0  # they know the rate


def test_epochs_tell_their_modalities():
    assert pretrainer().fit(epochs()).modalities_ == ("EEG", "EOG")


def test_another_fit_may_be_on_another_shape():
    again = pretrainer().fit(X).fit(X[:, 0, :300])
    assert (again.n_chans_, again.n_times_, again.n_features_in_) == (1, 300, 300)
    assert same_weights(again, pretrainer().fit(X[:, 0, :300]))


def test_a_fit_on_a_corpus_forgets_the_shape_of_an_earlier_array(corpus):
    again = pretrainer().fit(X).fit(corpus)
    assert not hasattr(again, "n_chans_")
    assert not hasattr(again, "n_features_in_")
    assert len(again.transform(X[:, :1])) == len(X)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int16, ">f4"])
def test_numbers_of_every_type_train_the_same_weights(dtype):
    values = (100 * X).round().astype(dtype)
    expected = pretrainer().fit(values.astype(np.float32))
    assert same_weights(pretrainer().fit(values), expected)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_a_recording_does_not_matter(scale):
    loss = pretrainer().fit(X * np.float32(scale)).history_[-1]["loss"]
    assert loss == pytest.approx(pretrainer().fit(X).history_[-1]["loss"], rel=1e-4)


# --- features ------------------------------------------------------------------------------------


def test_features_are_those_of_the_embedder(fitted, tmp_path):
    expected = fitted.transform(X)
    assert expected.dtype == np.float32
    assert np.isfinite(expected).all()
    assert_array_equal(CitrusEmbedder(pretrained=fitted).fit(X).transform(X), expected)


def test_a_window_is_embedded_alike_whatever_stands_beside_it(fitted):
    alone = np.concatenate([fitted.transform(window[None]) for window in X])
    assert_allclose(alone, fitted.transform(X), rtol=1e-4, atol=1e-5)


def test_features_have_names_and_may_be_a_frame(fitted):
    names = fitted.get_feature_names_out()
    assert len(names) == fitted.transform(X).shape[1]
    assert names[0] == "citruspretrainer0"
    frame = clone(fitted).set_output(transform="pandas").set_params(max_steps=1).fit_transform(X)
    assert list(frame.columns) == list(names)


def test_after_a_corpus_features_have_no_names_and_it_says_so(corpus):
    fitted = pretrainer().fit(corpus)
    assert len(fitted.transform(X)) == len(X)
    with pytest.raises(ValueError, match="a corpus, so the number of channels"):
        fitted.get_feature_names_out()  # scikit-learn 1.8 does not ask when it makes a frame


# --- what is learnt ------------------------------------------------------------------------------


def test_training_lowers_the_loss_on_people_who_were_never_seen():
    strangers = tones(6, seed=1)
    trained = pretrainer(max_steps=60).fit(X)
    untrained = pretrainer(max_steps=1, learning_rate=1e-12).fit(X)
    assert trained.score(strangers) > untrained.score(strangers) + 0.1
    losses = [row["loss"] for row in trained.history_]
    assert losses[-1] < 0.8 * losses[0]


def test_real_recordings_are_learnt_from(watch):
    people = watch.groups
    trained = pretrainer(max_steps=60, modality="ACC").fit(watch.X[:, :3], groups=people)
    untrained = pretrainer(max_steps=1, learning_rate=1e-12, modality="ACC")
    untrained.fit(watch.X[:, :3], groups=people)
    (stranger,) = trained.held_out_subjects_
    unseen = watch.X[people == stranger.removeprefix("array/"), :3]
    assert len(unseen) == 12
    assert trained.score(unseen) > untrained.score(unseen) + 0.2


def test_score_is_the_same_every_time_and_changes_nothing(fitted):
    before = {key: value for key, value in vars(fitted).items() if key != "autoencoder_"}
    state = weights(fitted)
    shorter = [window[:, :400] for window in X]
    first = fitted.score(shorter)
    assert isinstance(first, float)
    assert fitted.score(shorter) == first
    assert fitted.score(X[:4]) != first
    assert {k: v for k, v in vars(fitted).items() if k != "autoencoder_"} == before
    assert all(np.array_equal(state[name], value) for name, value in weights(fitted).items())
    assert not fitted.autoencoder_.training


def test_score_refuses_kinds_of_signal_that_have_no_decoder(corpus, fitted):
    with pytest.raises(
        ValueError, match=r"X contains the modalities 'EEG', 'EOG'; .*in fit, 'signal'"
    ):
        fitted.score(corpus)
    by_corpus = pretrainer().fit(corpus)
    with pytest.raises(ValueError, match=r"X contains the modalities 'signal'.*Set modality"):
        by_corpus.score(X)
    assert np.isfinite(by_corpus.set_params(modality="EOG").score(X))


def test_score_refuses_other_channels(fitted):
    with pytest.raises(ValueError, match="X has 1 channels, but CitrusPretrainer was fitted on 2"):
        fitted.score(X[:, :1])


def test_the_history_has_a_row_for_every_stretch_of_the_run(fitted):
    rows = fitted.history_
    assert [row["step"] for row in rows] == [10, 20, 25]
    assert fitted.n_steps_ == 25
    for row in rows:
        assert list(row) == ["step", "loss", "held_out_loss", "held_out_by_modality", "seconds"]
        assert row["held_out_by_modality"] == {"signal": row["held_out_loss"]}
    seconds = [row["seconds"] for row in rows]
    assert seconds == sorted(seconds)
    json.dumps(rows)  # plain numbers


def test_the_history_knows_the_loss_of_each_modality(corpus):
    (row,) = pretrainer().fit(corpus).history_
    each = row["held_out_by_modality"]
    assert list(each) == ["EEG", "EOG"]
    assert row["held_out_loss"] == pytest.approx(np.mean(list(each.values())))


def test_with_nobody_held_out_the_history_does_not_speak_of_them():
    for fitted in (pretrainer(validation_fraction=0).fit(X), pretrainer().fit(X[:1])):
        assert fitted.held_out_subjects_ == []
        assert [list(row) for row in fitted.history_] == [["step", "loss", "seconds"]]


def test_the_loss_in_the_history_is_the_mean_over_all_steps_since_the_row_before(monkeypatch):
    from citrus_sk.training.pretraining.run import PretrainRun

    losses, step = [], PretrainRun.train_step
    monkeypatch.setattr(PretrainRun, "train_step", lambda run: losses.append(step(run)))
    fitted = pretrainer(max_steps=13).fit(X)
    means = [np.mean(losses[:10]), np.mean(losses[10:])]
    assert [row["loss"] for row in fitted.history_] == pytest.approx(means)


@pytest.mark.parametrize("n_times", [6000, pytest.param(128)])
def test_every_second_is_seen_as_often_as_was_asked_for(n_times, samplers):
    recordings = tones(4, 2, n_times)
    fitted = pretrainer(n_passes=4, max_steps=None, validation_fraction=0, batch_size=4)
    fitted.fit(recordings)
    seen = sum(int(samplers[0]._draw(rng).length.sum()) for rng in steps(0, fitted.n_steps_))
    assert 2.5 < seen / recordings.size < 6


def steps(seed, n):
    return [np.random.default_rng((seed, step)) for step in range(n)]


# --- who is held out -----------------------------------------------------------------------------


def drawn_from(sampler, n_steps):
    """Everybody whose recordings are in the batches of a run."""
    return {
        sampler.recordings[number].subject
        for step in range(n_steps)
        for number in sampler._draw(np.random.default_rng((sampler.seed, step))).recording
    }


def test_people_held_out_are_never_trained_on(corpus, samplers):
    fitted = pretrainer(validation_fraction=0.25).fit(corpus)
    train, held_out = samplers
    assert len(fitted.held_out_subjects_) == 1
    everybody = set(corpus.subjects)
    assert drawn_from(held_out, 50) == set(fitted.held_out_subjects_)
    assert drawn_from(train, 50) == everybody - set(fitted.held_out_subjects_)


def test_groups_tell_whose_windows_are_and_whole_people_are_held_out(samplers):
    groups = ["ann", "bob", "cid", "dan"] * 2
    fitted = pretrainer(validation_fraction=0.5).fit(X, groups=groups)
    held_out = fitted.held_out_subjects_
    assert len(held_out) == 2
    assert set(held_out) < {"array/ann", "array/bob", "array/cid", "array/dan"}
    train, other = samplers
    assert {recording.subject for recording in train.recordings}.isdisjoint(held_out)
    assert {recording.subject for recording in other.recordings} == set(held_out)
    assert len(train.recordings) == len(other.recordings) == 4  # all windows of each


def test_without_groups_every_window_is_a_person():
    assert len(pretrainer(validation_fraction=0.5).fit(X).held_out_subjects_) == 4


def people_of_two_kinds(same_dataset):
    """One person's EEG and another one's ECG."""
    first, second = (
        array_corpus(X[i : i + 1], modality=kind, sfreq=100.0, subjects=[kind])
        for i, kind in enumerate(["EEG", "ECG"])
    )
    if not same_dataset:
        (recording,) = second.recordings
        object.__setattr__(recording, "dataset", "another")
    return Corpus(first.recordings + second.recordings, 100.0, first.report)


def test_where_nobody_can_be_held_out_nobody_is():
    fitted = pretrainer().fit(people_of_two_kinds(same_dataset=False))
    assert fitted.held_out_subjects_ == []


def test_every_modality_is_trained_on(samplers):
    fitted = pretrainer().fit(people_of_two_kinds(same_dataset=True))
    assert [fitted.modalities_[index] for index in samplers[0].present] == ["ECG", "EEG"]


# --- parameters ----------------------------------------------------------------------------------


def test_a_seed_gives_the_same_bits_and_none_gives_others():
    first, second, other = (pretrainer(random_state=seed).fit(X) for seed in (0, 0, 1))
    assert same_weights(first, second)
    assert first.held_out_subjects_ == second.held_out_subjects_
    assert not same_weights(first, other)
    drawn, again = (pretrainer(random_state=None).fit(X) for _ in range(2))
    assert not same_weights(drawn, again)


def test_a_compiled_run_learns_the_same(monkeypatch):
    # Without code generation, which needs a compiler and a minute: tracing is what can fail.
    traced = partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", traced)
    plain, compiled = (pretrainer(compile=way, max_steps=3).fit(X) for way in (False, True))
    assert compiled.history_[-1]["loss"] == pytest.approx(plain.history_[-1]["loss"], rel=1e-3)
    assert type(compiled.autoencoder_) is type(plain.autoencoder_)


def test_a_random_state_goes_on_from_fit_to_fit():
    first, second = (pretrainer(random_state=np.random.RandomState(3)).fit(X) for _ in range(2))
    assert same_weights(first, second)
    before = weights(first)
    after = weights(first.fit(X))
    assert not all(np.array_equal(before[name], value) for name, value in after.items())


@pytest.mark.parametrize(
    ("parameters", "n_outputs"),
    [
        ({"objective": "time"}, 32),
        ({"objective": "freq", "frame": 64}, 33),
        ({"objective": "both"}, 32 + 65),
        ({"masking": "input"}, 65),
        ({"cross_channel": True}, 65),
        ({"flip": True}, 65),
        ({"precision": "bfloat16"}, 65),
        ({"mask_ratio": 0.75, "run_length": (1, 3)}, 65),
        ({"crop": (0.5, 0.5), "unknown": 1.0, "warmup": 1.0, "ema": 1.0}, 65),
        ({"batch_size": 1}, 65),
    ],
    ids=str,
)
def test_every_way_to_train_works_and_gives_weights_of_its_own(parameters, n_outputs):
    fitted = pretrainer(**parameters).fit(X)
    assert np.isfinite(fitted.history_[-1]["loss"])
    assert np.isfinite(fitted.score(X))
    assert weights(fitted)["decoder_bias"].shape == (1, n_outputs)
    usual = pretrainer().fit(X)
    for name, value in weights(usual).items():
        if name.startswith("trunk."):
            assert weights(fitted)[name].shape == value.shape
    assert not np.array_equal(fitted.transform(X), usual.transform(X))


@pytest.mark.parametrize("modalities", [["EOG"], ("EOG",), "EOG"])
def test_only_the_modalities_that_were_asked_for_are_trained_on(corpus, samplers, modalities):
    fitted = pretrainer(modalities=modalities).fit(corpus)
    assert fitted.modalities_ == ("EOG",)
    assert list(fitted.corpus_[0]["hours"]) == ["EOG"]
    for sampler in samplers:
        assert {kind for each in sampler.recordings for kind in each.modalities} == {"EOG"}


def test_modality_names_what_an_array_is():
    assert pretrainer(modality="ECG").fit(X).modalities_ == ("ECG",)
    assert pretrainer().fit(X).modalities_ == ("signal",)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"objective": "space"}, ValueError),
        ({"preset": "huge"}, ValueError),
        ({"masking": None}, ValueError),
        ({"precision": "float16"}, ValueError),
        ({"modalities": ["PPG"]}, ValueError),
        ({"modality": 3}, TypeError),
        ({"n_passes": 0}, ValueError),
        ({"max_steps": 0}, ValueError),
        ({"max_steps": 2.5}, TypeError),
        ({"max_steps": True}, TypeError),
        ({"max_minutes": 0}, ValueError),
        ({"max_minutes": "15"}, TypeError),
        ({"batch_size": 0}, ValueError),
        ({"learning_rate": 0}, ValueError),
        ({"learning_rate": np.nan}, ValueError),
        ({"weight_decay": -1}, ValueError),
        ({"sigreg_weight": -0.1}, ValueError),
        ({"sigreg_weight": "auto"}, TypeError),
        ({"warmup": 1.1}, ValueError),
        ({"episodes": 1.1}, ValueError),
        ({"episodes": 0.01}, ValueError),  # of a batch, less than a task needs
        ({"episodes": 0.999}, ValueError),
        ({"episode_weight": 0}, ValueError),
        ({"episode_classes": "_(a|b)"}, TypeError),
        ({"episode_classes": {"walks": "(open"}}, ValueError),
        ({"episode_classes": {"walks": "no group"}}, ValueError),
        ({"episode_classes": {"walks": 3}}, ValueError),
        ({"ema": -0.1}, ValueError),
        ({"unknown": 2}, ValueError),
        ({"mask_ratio": 0}, ValueError),
        ({"mask_ratio": 1}, ValueError),
        ({"validation_fraction": 0.6}, ValueError),
        ({"crop": 1.0}, TypeError),
        ({"crop": (0, 1)}, ValueError),
        ({"crop": (1, 0.5)}, ValueError),
        ({"run_length": (0, 4)}, ValueError),
        ({"run_length": (8, 4)}, ValueError),
        ({"run_length": (1.5, 4)}, TypeError),
        ({"frame": 2}, ValueError),
        ({"frame": 65}, ValueError),
        ({"save_minutes": -1}, ValueError),
        ({"device": "warp"}, ValueError),
        ({"random_state": "seed"}, ValueError),
        ({"resume": True}, ValueError),
        pytest.param({"modalities": 3}, TypeError),
        pytest.param({"modalities": []}, ValueError),
        pytest.param({"run_file": 3}, TypeError),
        pytest.param({"verbose": "loud"}, (TypeError, ValueError)),
        pytest.param({"cross_channel": "no"}, (TypeError, ValueError)),
        pytest.param({"flip": "no"}, (TypeError, ValueError)),
        pytest.param({"compile": "no"}, (TypeError, ValueError)),
    ],
    ids=str,
)
def test_a_bad_parameter_is_named_by_fit_and_not_before(parameters, error):
    unfitted = pretrainer(**parameters)
    (name,) = parameters
    # sklearn's check_random_state names the value alone.
    expected = name
    with pytest.raises(error, match=expected):
        unfitted.fit(X)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.where(np.arange(600) == 7, np.nan, X), ValueError, r"X contains NaN: window 0, chan"),
        (np.where(np.arange(600) == 7, np.inf, X), ValueError, r"X contains inf"),
        ([], ValueError, r"X of shape \(0,\)"),
        (X[:0], ValueError, r"X holds no window"),
        (None, ValueError, r"X is a NoneType"),
        (X[0, 0], ValueError, r"X of shape \(600,\)"),
        (X[None], ValueError, r"X has 4 dimensions"),
        (np.zeros((3, 2, 600)), ValueError, r"X holds nothing usable.*flat"),
        ([X[0], X[1][:1, :300]], ValueError, r"X\[0\] has shape .*same n_channels"),
        ("/no/such/folder", FileNotFoundError, r"there is no file or folder '/no/such/folder'"),
    ],
    ids=["NaN", "inf", "list", "no windows", "None", "1-D", "4-D", "flat", "channels", "path"],
)
def test_bad_recordings_are_refused_and_the_earlier_fit_stays(bad, error, message):
    fitted = pretrainer().fit(X)
    before = fitted.transform(X)
    with pytest.raises(error, match=message):
        fitted.fit(bad)
    assert_array_equal(fitted.transform(X), before)


def test_groups_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"subjects has shape \(3,\).*8 windows"):
        pretrainer().fit(X, groups=[1, 2, 3])


def test_a_flat_channel_is_never_drawn(samplers):
    some = X.copy()
    some[2, 1] = 5.0
    pretrainer(validation_fraction=0).fit(some)
    drawn = {
        (int(number), int(channel))
        for rng in steps(0, 60)
        for crops in [samplers[0]._draw(rng)]
        for number, channel in zip(crops.recording, crops.channel, strict=True)
    }
    assert drawn == {(i, j) for i in range(8) for j in range(2)} - {(2, 1)}


def test_a_loss_that_is_no_number_names_the_step_and_the_recordings_of_its_batch():
    fitted = pretrainer().fit(X, groups=list("abcdefgh"))
    before, history = fitted.transform(X), fitted.history_
    message = (
        r"loss became (nan|inf) at step [1-9], in the batch of array \d, channel \d from sample "
        r"\d+ to \d+; .*Lower learning_rate \(it is 1e\+30\)"
    )
    with pytest.raises(FloatingPointError, match=message):
        fitted.set_params(learning_rate=1e30, max_steps=20, validation_fraction=0.5).fit(X[:, :1])
    assert_array_equal(fitted.transform(X), before)
    assert fitted.history_ is history


def test_a_batch_with_an_infinite_loss_is_never_learnt_from(monkeypatch):
    from citrus_sk.training.pretraining.run import PretrainRun

    true_losses, seen = PretrainRun._losses, []

    def losses(run, *batch):
        seen.append((run, {k: v.clone() for k, v in run.model.state_dict().items()}))
        found = true_losses(run, *batch)
        return found | {"loss": found["loss"] * (np.inf if run.step == 3 else 1.0)}

    monkeypatch.setattr(PretrainRun, "_losses", losses)
    with pytest.raises(FloatingPointError, match="became inf at step 3,"):
        pretrainer(max_steps=5).fit(X)
    run, state = seen[-1]
    assert run.step == 3
    assert all(torch.equal(state[name], value) for name, value in run.model.state_dict().items())


def test_few_label_tasks_have_a_loss_of_their_own():
    fitted = pretrainer(episodes=0.5, batch_size=32, max_steps=3).fit(X)
    assert all(0 < row["episode_loss"] < 5 for row in fitted.history_)
    assert "episode_loss" not in pretrainer().fit(X).history_[0]
    plain = pretrainer(batch_size=16, max_steps=3).fit(X)
    assert np.abs(fitted.transform(X) - plain.transform(X)).max() > 1e-4
    heavy = pretrainer(episodes=0.5, episode_weight=1.0, batch_size=32, max_steps=3).fit(X)
    assert np.abs(heavy.transform(X) - fitted.transform(X)).max() > 1e-4


def rank_of_trunk(features):
    """Effective rank of the segments' means, the first view of the read-out."""
    with torch.random.fork_rng(devices=[]):
        n_features = ReadOut(PRESETS["tiny"], 3).views[0]
    return effective_rank(features[:, :n_features])


def test_sigreg_makes_features_more_independent():
    acceleration = load_watch(overlap=0).X[:, :3]

    def row_of(weight):
        fitted = pretrainer(sigreg_weight=weight, batch_size=128, max_steps=60).fit(acceleration)
        return fitted.history_[-1], fitted.transform(acceleration)

    plain, without = row_of(0.0)
    regularised, features = row_of(0.25)
    assert "sigreg_loss" not in plain
    assert 0 < regularised["sigreg_loss"] < 0.2
    assert rank_of_trunk(features) > 1.2 * rank_of_trunk(without)
    assert regularised["loss"] < 1.5 * plain["loss"]


def test_classes_of_a_data_set_that_is_not_there_warn():
    classes = {"walks": "_(a|b)"}
    with pytest.warns(UserWarning, match="episode_classes names the data sets .*walks.*; these"):
        pretrainer(episodes=0.5, batch_size=32, episode_classes=classes).fit(X)


# --- the file of weights -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(corpus, tmp_path_factory):
    fitted = pretrainer(objective="both").fit(corpus)
    path = tmp_path_factory.mktemp("saved") / "weights.safetensors"
    fitted.save(path)
    return fitted, path


def test_a_saved_file_gives_the_same_features(saved):
    fitted, path = saved
    assert_array_equal(CitrusEmbedder(pretrained=path).fit(X).transform(X), fitted.transform(X))
    trunk = load_pretrained(path).state_dict()
    for name, value in fitted.autoencoder_.trunk.state_dict().items():
        assert torch.equal(trunk[name], value)


def test_a_saved_file_knows_where_it_comes_from(saved, corpus):
    fitted, path = saved
    about = describe_checkpoint(path)
    assert about["objective"] == "both"
    assert about["preset"] == "tiny"
    assert about["modalities"] == ["EEG", "EOG"]
    assert (about["n_times"], about["sfreq"]) == (1024, 100.0)
    assert about["people"] == 4
    assert about["hours"] == pytest.approx(corpus.hours())
    assert about["metrics"]["loss"] == fitted.history_[-1]["loss"]
    assert about["metrics"]["held_out_loss"] == fitted.history_[-1]["held_out_loss"]
    info = about["info"]
    assert info["corpus"][0]["hours_by_modality"] == {
        kind: pytest.approx(corpus.hours(kind)) for kind in ("EEG", "EOG")
    }
    training = info["training"]
    assert training["n_steps"] == 2
    assert training["batch_size"] == 8
    assert training["learning_rate"] == 1e-3
    assert training["history"] == fitted.history_
    assert training["held_out_subjects"] == fitted.held_out_subjects_
    assert not {"run_file", "device", "random_state"} & set(training)  # of this machine or run


def test_half_precision_takes_half_the_space_and_hardly_changes_a_feature(saved, tmp_path):
    fitted, path = saved
    fitted.save(tmp_path / "half.safetensors", half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.55 * path.stat().st_size
    half = CitrusEmbedder(pretrained=tmp_path / "half.safetensors").fit(X).transform(X)
    assert_allclose(half, fitted.transform(X), rtol=1e-3, atol=1e-3)


def test_what_was_trained_on_an_array_can_be_saved_though_its_hours_are_not_known(fitted, tmp_path):
    fitted.save(tmp_path / "array.safetensors")
    about = describe_checkpoint(tmp_path / "array.safetensors")
    assert (about["hours"], about["sfreq"], about["people"]) == (None, None, 8)


def test_numbers_of_numpy_as_parameters_can_be_saved(corpus, tmp_path):
    numbers = {
        "batch_size": np.int64(8), "learning_rate": np.float32(1e-3),
        "validation_fraction": np.float32(0.25),
        "run_length": (np.int64(4), np.int64(8)),
    }  # fmt: skip
    path = tmp_path / "weights.safetensors"
    pretrainer(**numbers).fit(corpus).save(path)
    training = describe_checkpoint(path)["info"]["training"]
    assert (training["batch_size"], training["run_length"]) == (8, [4, 8])


def test_whole_windows_are_drawn_of_each_modality_by_turns(corpus):
    modalities = tuple(corpus.modalities)
    windows, kinds = draw_whole_windows(corpus, modalities, 1024, 4)
    assert windows.shape == (4, 1024)
    assert sorted(kinds) == ["EEG", "EEG", "EOG", "EOG"]
    again, _ = draw_whole_windows(corpus, modalities, 1024, 4)
    assert_array_equal(windows, again)


# --- several processes ---------------------------------------------------------------------------


def test_a_list_of_epochs_trains_the_kinds_of_its_channels():
    info = mne.create_info(["Cz", "ECG"], 100, ["eeg", "ecg"])
    epochs = mne.EpochsArray(
        np.random.default_rng(0).normal(size=(4, 2, 500)), info, verbose="error"
    )
    assert pretrainer(max_steps=1).fit([epochs, epochs]).modalities_ == ("ECG", "EEG")


@pytest.mark.parametrize("names", [("WORLD_SIZE",), ("WORLD_SIZE", "RANK", "LOCAL_RANK")])
def test_a_fit_joins_no_group_unless_all_variables_of_a_launcher_are_there(names, monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in names:
        monkeypatch.setenv(name, "2")
    joined = []
    monkeypatch.setattr("torch.distributed.init_process_group", joined.append)
    CitrusPretrainer(preset="tiny", max_steps=1, random_state=0).fit(X)
    assert not is_launched()
    assert not joined


TOGETHER = """
import sys
from dataclasses import replace
import joblib, numpy as np
from citrus_sk import CitrusPretrainer
from citrus_sk.estimators import pretrain_start
pretrain_start.PRESETS = {{"tiny": replace(pretrain_start.PRESETS["tiny"], dropout=0.0)}}
fitted = []
for parameters in {runs}:
    fitted.append(CitrusPretrainer(preset="tiny", batch_size=8, **parameters).fit(np.load("X.npy")))
joblib.dump(fitted, sys.argv[1])
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_together(folder, runs):
    """Fit in two processes of one group, run after run; gives what each of the two got."""
    np.save(folder / "X.npy", X)
    code = TOGETHER.format(runs=runs)
    for _ in range(3):  # somebody else may take the port before the group does
        group = {"WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        processes = []
        for rank in (0, 1):
            own = {"RANK": rank, "LOCAL_RANK": rank} | group
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", code, f"rank{rank}"],
                    cwd=folder,
                    env=os.environ | {key: str(value) for key, value in own.items()},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        try:
            errors = [process.communicate(timeout=240)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if not any("EADDRINUSE" in error for error in errors):
            break
    assert [process.returncode for process in processes] == [0, 0], errors
    return [joblib.load(folder / f"rank{rank}") for rank in (0, 1)]


RUNS = [
    {"max_steps": 24, "random_state": 0, "cross_channel": True},
    {"max_steps": 3, "run_file": "state.run", "save_minutes": 0},
    {"max_steps": 1},
    {"max_steps": 10**6, "max_minutes": 0.05},
]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Fits of two processes, one pair for each of `RUNS`, and the folder where they ran."""
    folder = tmp_path_factory.mktemp("together")
    return list(zip(*run_together(folder, RUNS), strict=True)), folder


def curve(fitted, name):
    return [row[name] for row in fitted.history_]


def test_two_processes_have_the_loss_curve_of_one_and_end_with_the_same_weights(
    together, monkeypatch
):
    first, second = together[0][0]
    # Each process drops units for itself: curves are only equal to the last digits without that.
    alone = {"tiny": replace(PRESETS["tiny"], dropout=0.0)}
    monkeypatch.setattr("citrus_sk.estimators.pretrain_start.PRESETS", alone)
    one = CitrusPretrainer(preset="tiny", batch_size=8, **RUNS[0]).fit(X)
    for name in ("step", "loss", "held_out_loss"):
        assert_allclose(curve(first, name), curve(one, name), rtol=1e-4)
    assert_allclose(first.transform(X), one.transform(X), rtol=1e-3, atol=1e-3)
    assert same_weights(first, second)
    assert curve(first, "held_out_loss") == curve(second, "held_out_loss")


def test_processes_agree_on_a_seed_that_nobody_named_and_one_of_them_saves(together):
    pairs, folder = together
    first, second = pairs[1]
    assert same_weights(first, second)
    assert first.held_out_subjects_ == second.held_out_subjects_
    assert (folder / "state.run").exists()
    assert not list(folder.glob(".*.tmp"))


def test_processes_of_a_group_can_fit_again_and_again(together):
    assert [first.n_steps_ for first, _ in together[0][:3]] == [24, 3, 1]
    assert all(same_weights(first, second) for first, second in together[0])


def test_processes_go_by_one_clock(together):
    first, second = together[0][3]
    assert first.ended_by_ == second.ended_by_ == "time"
    assert first.n_steps_ == second.n_steps_
    assert curve(first, "loss") == curve(second, "loss")


def test_the_command_line_under_torchrun_writes_one_checkpoint(folder, tmp_path):
    launch = "-m torch.distributed.run --standalone --nproc-per-node 2 -m citrus_sk pretrain"
    options = "--out a.safetensors --preset tiny --max-steps 3 --seed 0 --quiet"
    done = subprocess.run(
        [sys.executable, *launch.split(), str(folder), *options.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("SHA-256") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.safetensors"]
    alone = pretrainer(max_steps=3, batch_size=64).fit(read_corpus(folder))
    loss = describe_checkpoint(tmp_path / "a.safetensors")["metrics"]["held_out_loss"]
    assert loss == pytest.approx(alone.history_[-1]["held_out_loss"], rel=1e-2)


def test_a_process_that_would_get_no_window_is_refused(monkeypatch):
    monkeypatch.setattr("citrus_sk.estimators.pretrain_plan.distributed_part", lambda: (0, 3))
    with pytest.raises(ValueError, match="batch_size=2 is too small for 3 processes"):
        pretrainer(batch_size=2).fit(X)
    with pytest.raises(ValueError, match=r"batch_size=8 .*expected at least 12"):
        pretrainer(batch_size=8, cross_channel=True).fit(X)
