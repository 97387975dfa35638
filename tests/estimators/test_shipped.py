"""The weights that ship: from the package itself, without internet, in every estimator."""

import socket

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    SignalAligner,
    list_pretrained,
    load_checkpoint,
    load_pretrained,
)
from citrus_sk.checkpoints.registry import SHIPPED
from citrus_sk.nn import MaskedAutoencoder

NAMES = ["eeg-freq", "eeg-time", "multi-freq", "multi-time"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the package asked for the internet")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def split(watch_windows):
    """One window of each exercise of some people to train on; others of other people."""
    X, y, groups = watch_windows
    known = np.isin(groups, ["1", "2", "3", "4"])
    train = np.flatnonzero(known)[::16]
    test = np.flatnonzero(~known)[::20]
    return X[train], y[train], X[test], y[test]


@pytest.fixture(scope="module")
def watch_windows():
    from citrus_sk.datasets import load_watch

    watch = load_watch()
    return watch.X, watch.y, watch.groups


def probe(**parameters):
    parameters = {"strategy": "linear-probe", "random_state": 0} | parameters
    return make_pipeline(SignalAligner(), CitrusClassifier(**parameters))


def test_all_four_ship_and_take_little_space():
    assert set(NAMES) <= set(list_pretrained())
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 25e6


@pytest.mark.parametrize("name", NAMES)
def test_a_probe_on_shipped_weights_knows_exercises_of_strangers(name, split):
    X, y, X_new, y_new = split
    assert probe(pretrained=name).fit(X, y).score(X_new, y_new) > 0.6  # chance is 1/7


def test_the_default_probes_the_shipped_weights_and_leaves_them_as_they_are(split):
    X, y, X_new, y_new = split
    clf = CitrusClassifier(random_state=0)
    pipe = make_pipeline(SignalAligner(256), clf).fit(X, y)
    assert clf.pretrained == "multi-freq"
    assert pipe.score(X_new, y_new) > 0.6
    before = load_pretrained("multi-freq").state_dict()
    after = pipe[-1].net_.module_.trunk.state_dict()
    assert list(before) == list(after)
    for key in before:
        assert_array_equal(after[key], before[key])


def test_fine_tuning_moves_the_shipped_weights_a_little(split):
    X, y, X_new, y_new = split
    clf = CitrusClassifier(
        strategy="probe-then-finetune", max_epochs=2, early_stopping=False, random_state=0
    )
    pipe = make_pipeline(SignalAligner(256), clf).fit(X, y)
    assert pipe.score(X_new, y_new) > 0.5
    before = load_pretrained("multi-freq").state_dict()["transformer.embed.weight"]
    after = pipe[-1].net_.module_.trunk.state_dict()["transformer.embed.weight"]
    assert not torch.equal(before, after)
    assert_allclose(after, before, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backbone", ["hybrid", "conv"])
def test_the_embedder_holds_the_weights_of_the_file(name, backbone, split):
    embedder = CitrusEmbedder(name, backbone=backbone).fit(split[0][:2])
    kept = embedder.module_.trunk.state_dict()
    loaded = load_pretrained(name, backbone=backbone).state_dict()
    assert list(kept) == list(loaded)
    for key in kept:
        assert_array_equal(kept[key], loaded[key])


def test_random_state_has_no_say_in_pretrained_features(split):
    X = split[0][:3]
    first, second = (CitrusEmbedder(random_state=seed).fit_transform(X) for seed in (0, 1))
    assert_array_equal(first, second)


def test_fitting_leaves_the_weights_of_the_next_fit_alone(split):
    X, y, X_new, _ = split
    pipe = make_pipeline(
        SignalAligner(128),
        CitrusClassifier(
            strategy="probe-then-finetune", max_epochs=2, learning_rate=0.01, random_state=0
        ),
    )
    first = clone(pipe).fit(X, y).predict_proba(X_new)
    assert_array_equal(clone(pipe).fit(X, y).predict_proba(X_new), first)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_trained_is_a_better_guess_than_the_mean(name, watch_windows):
    # On acceleration, with the decoder of another kind. Zero is the corpus's mean.
    checkpoint = load_checkpoint(name)
    with torch.device("meta"):
        model = MaskedAutoencoder(checkpoint.network, checkpoint.task)
    model.load_state_dict(checkpoint.tensors, assign=True)
    z = torch.from_numpy(SignalAligner().fit_transform(watch_windows[0][::40, 3:4])[:, 0])
    z = ((z - z.mean(1, keepdim=True)) / z.std(1, keepdim=True)).clamp(-10, 10)
    mask = torch.zeros(len(z), 32, dtype=torch.bool)
    mask[:, 8:13] = mask[:, 20:26] = True
    kind = torch.full((len(z),), checkpoint.network.modalities.index("EEG"))
    with torch.no_grad():
        model.eval()
        targets = model.targets(z, kind)
        guess = model.loss(model(z, mask, kind), targets, mask).mean()
        others = model.loss(model(z.roll(1, 0), mask, kind), targets, mask).mean()
        mean = model.loss(0 * targets, targets, mask).mean()
    assert guess < 0.8 * mean
    assert guess < 0.9 * others  # told the context of another window


# --- modality= -----------------------------------------------------------------------------------


def test_a_modality_changes_what_the_transformer_makes_of_a_window(split):
    X = split[0][:3]
    unknown = CitrusEmbedder("multi-freq").fit_transform(X)
    as_emg = CitrusEmbedder("multi-freq", modality="EMG").fit_transform(X)
    as_ecg = CitrusEmbedder("multi-freq", modality="ekg").fit_transform(X)
    assert np.abs(as_emg - unknown).max() > 1e-3
    assert np.abs(as_emg - as_ecg).max() > 1e-3
    each = CitrusEmbedder("multi-freq", modality=["EMG"] * 6).fit_transform(X)
    assert_array_equal(each, as_emg)


def test_each_channel_may_have_its_own_modality(split):
    X = split[0][:3]
    unknown = CitrusEmbedder("multi-freq").fit_transform(X)
    first = CitrusEmbedder("multi-freq", modality=["EMG", *[None] * 5]).fit_transform(X)
    same = np.isclose(first, unknown, atol=1e-6).reshape(3, -1)
    assert 0 < (~same).sum() < 0.3 * same.size


def test_a_classifier_keeps_its_modality_in_a_pickle(split, tmp_path):
    import joblib

    X, y, X_new, _ = split
    pipe = probe(pretrained="multi-freq", modality="EMG").fit(X, y)
    joblib.dump(pipe, tmp_path / "a.joblib")
    loaded = joblib.load(tmp_path / "a.joblib")
    assert_array_equal(loaded.predict_proba(X_new), pipe.predict_proba(X_new))
    other = probe(pretrained="multi-freq").fit(X, y)
    assert np.abs(other.predict_proba(X_new) - pipe.predict_proba(X_new)).max() > 1e-4


@pytest.mark.parametrize(
    ("modality", "error", "message"),
    [
        ("EOG", ValueError, r"modality='EOG' is not one of .*'EEG'.*modality=None"),
        (["EEG", "EEG"], ValueError, "modality has 2 entries, and X has 6 channels"),
        (3, TypeError, "modality=3 is a int"),
        ([3] * 6, TypeError, "modality to hold names .* got 3"),
    ],
)
def test_a_wrong_modality_is_named(modality, error, message, split):
    X, y, *_ = split
    for estimator in (CitrusClassifier(modality=modality), CitrusEmbedder(modality=modality)):
        with pytest.raises(error, match=message):
            estimator.fit(X, y)


def test_random_weights_know_of_no_modality(split):
    X = split[0][:3]
    kinds = [
        CitrusEmbedder(None, preset="tiny", modality=kind, random_state=0).fit_transform(X)
        for kind in (None, "EEG", "PPG")
    ]
    assert_array_equal(kinds[0], kinds[1])
    assert_array_equal(kinds[0], kinds[2])
