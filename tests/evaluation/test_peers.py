"""Classifiers to compare with: each learns, repeats itself, and leaves everything as it was."""

import pickle
import sys

import numpy as np
import pytest
import sklearn
from sklearn.base import clone

from citrus_sk import GroupRecenter
from citrus_sk.evaluation import list_peers, make_peer

NETWORKS = ("shallow", "deep4", "eegnet", "eegconformer", "biot", "patchtst")


@pytest.fixture(scope="module")
def tones():
    """Sixty windows of two channels and 2.5 s at 100 Hz: three tones in noise, named by strings."""
    rng = np.random.default_rng(0)
    y = np.tile(["alpha", "beta", "delta"], 20)
    rate = np.select([y == "alpha", y == "beta"], [10, 22], 3)[:, None, None] * [[1.0], [1.2]]
    X = np.sin(2 * np.pi * rate * np.arange(256) / 100 + rng.uniform(0, 6, (60, 1, 1)))
    X[:, 1] *= np.select([y == "alpha", y == "beta"], [2.0, 0.5], 1.0)[:, None]  # for covariances
    return (X + 0.4 * rng.standard_normal(X.shape)).astype(np.float32), y


def made(name):
    """The peer, its training cut to seconds."""
    peer = make_peer(name, sfreq=100.0, random_state=0)
    if name in NETWORKS:
        return peer.set_params(max_epochs=10 if name == "deep4" else 40)
    if name == "citrus-finetuned":
        tiny = {"pretrained": None, "preset": "tiny", "max_epochs": 2}
        tiny = {f"citrusclassifier__{key}": value for key, value in tiny.items()}
        return peer.set_params(signalaligner__n_times=256, **tiny)
    return peer


@pytest.mark.parametrize("name", list_peers())
def test_every_peer_learns_repeats_itself_and_can_be_pickled(tones, name):
    X, y = tones
    peer = made(name)
    model = clone(peer).fit(X[:36], y[:36])
    proba = model.predict_proba(X[36:])
    assert proba.shape == (24, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert model.classes_.tolist() == ["alpha", "beta", "delta"]
    right = np.mean(model.predict(X[36:]) == y[36:])
    assert right > 0.6 or name == "majority"
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X[36:]), proba)
    again = clone(peer).fit(X[:36], y[:36])
    np.testing.assert_allclose(again.predict_proba(X[36:]), proba, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "package"), [("minirocket", "aeon"), ("quant", "aeon"), ("riemann", "pyriemann")]
)
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{name}.*{package}.*citrus-sk\[peers\]"):
        make_peer(name)


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(
        ValueError, match=r"minirockt' is not a known peer. Did you mean 'minirocket'\?"
    ):
        make_peer("minirockt")


@pytest.mark.parametrize("name", ["minirocket", "shallow", "eegconformer"])
def test_windows_that_are_too_short_are_named(tones, name):
    X, y = tones
    with pytest.raises(ValueError, match=r"samples"):
        made(name).fit(X[:, :, :6], y)


@pytest.mark.parametrize("name", ["shallow", "deep4", "riemann", "minirocket"])
def test_one_channel_is_enough(tones, name):
    X, y = tones
    peer = made(name)
    if name in NETWORKS:
        peer.set_params(max_epochs=1)
    model = peer.fit(X[:12, :1], y[:12])
    assert pickle.loads(pickle.dumps(model)).predict_proba(X[:4, :1]).shape == (4, 3)


def test_a_class_of_one_window_is_no_obstacle(tones):
    X, y = tones
    few = np.r_[0:6, 60:60]
    labels = y[few].copy()
    labels[0] = "odd"
    for name in ("minirocket", "bandpower", "quant"):
        proba = made(name).fit(X[few], labels).predict_proba(X[:4])
        assert np.isfinite(proba).all()


RECENTRED = ("minirocket", "multirocket-hydra", "quant", "bandpower", "riemann")


@pytest.mark.parametrize("name", RECENTRED)
def test_recentring_is_the_last_step_before_the_head(name):
    plain, recentred = (make_peer(name, recenter=recenter) for recenter in (False, True))
    kinds = [type(step) for _, step in recentred.steps]
    assert kinds[-2] is GroupRecenter
    assert kinds[:-2] + kinds[-1:] == [type(step) for _, step in plain.steps]


def test_a_recentred_peer_uses_the_people_that_are_passed(tones):
    X, y = tones
    people = np.repeat([0, 1, 2, 3], 15)
    loud = X * np.array([1.0, 3.0, 0.3, 10.0])[people][:, None, None]
    train, test = people < 3, people == 3
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_peer("bandpower", sfreq=100.0, recenter=True)
        model.fit(loud[train], y[train], groups=people[train])
        assert model[-2].adaptation_["kind"] == "recenter"
        alone = model.predict_proba(loud[test])
        together = model.predict_proba(loud[test], groups=people[test])
    assert not np.allclose(alone, together)
    assert np.mean(model.classes_[together.argmax(1)] == y[test]) > 0.8


@pytest.mark.parametrize("name", sorted({*list_peers()} - {*RECENTRED}))
def test_a_peer_without_separate_features_cannot_be_recentred(name):
    with pytest.raises(
        ValueError, match=f"features of the peer '{name}' are not a separate step.*riem"
    ):
        make_peer(name, recenter=True)
