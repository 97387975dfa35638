"""Classifiers to compare with: each learns, repeats itself, and leaves everything as it was."""

import pickle
import sys

import numpy as np
import pytest
import sklearn
from scipy.special import softmax
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss

from citrus_sk import GroupRecenter
from citrus_sk.evaluation import list_peers, make_peer
from citrus_sk.evaluation.peer_features import PrevalidatedRidge

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
    if name == "fracast":
        pytest.importorskip("fracast", reason="it is not among the extras of users")
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
    train, test = slice(36), slice(36, 60)
    if name == "fracast":  # a tenth of a second for each channel of each window
        X, train, test = X[:, :1], slice(12), slice(12, 18)
    peer = made(name)
    model = clone(peer).fit(X[train], y[train])
    proba = model.predict_proba(X[test])
    assert proba.shape == (len(y[test]), 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert model.classes_.tolist() == ["alpha", "beta", "delta"]
    right = np.mean(model.predict(X[test]) == y[test])
    assert right > 0.6 or name == "majority"
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(X[test]), proba)
    again = clone(peer).fit(X[train], y[train])
    np.testing.assert_allclose(again.predict_proba(X[test]), proba, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("minirocket", "aeon", r'"citrus-sk\[peers\]"'),
        ("quant", "aeon", r'"citrus-sk\[peers\]"'),
        ("riemann", "pyriemann", r'"citrus-sk\[peers\]"'),
        ("fracast", "fracast", "fracast"),
    ],
)
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, name, package, install):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"{name}.*{package}.*pip install {install}$"):
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
    for name in ("minirocket", "minirocket-preval", "bandpower", "quant"):
        proba = made(name).fit(X[few], labels).predict_proba(X[:4])
        assert np.isfinite(proba).all()


def test_a_prevalidated_ridge_has_the_scale_of_windows_that_are_left_out_one_by_one():
    rng = np.random.default_rng(0)
    y = np.array(["a", "b", "c", "a", "b", "b"] * 4)
    X = rng.standard_normal((24, 500)).astype(np.float32)
    X[:, :40] += (y == "a")[:, None]
    model = PrevalidatedRidge().fit(X, y)
    targets = 2.0 * (y[:, None] == model.classes_) - 1
    ridge, rows = Ridge(model.ridge_.alpha_), np.arange(24)
    scores = [
        ridge.fit(X[rows != row], targets[rows != row]).predict(X[[row]])[0] for row in rows
    ] - targets.mean(0)

    def loss(scale):
        return log_loss(y, softmax(scale * scores + targets.mean(0), axis=1))

    assert 0.1 < model.scale_ < 9
    assert loss(model.scale_) < min(loss(0.95 * model.scale_), loss(1.05 * model.scale_))


def test_a_prevalidated_ridge_has_no_certainty_about_noise():
    X, y = np.random.default_rng(0).standard_normal((60, 5000)), np.tile(["a", "b", "c"], 20)
    proba = PrevalidatedRidge().fit(X[:30], y[:30]).predict_proba(X[30:])
    assert log_loss(y[30:], proba) < 1.15  # log 3 is 1.10


RECENTRED = (
    "minirocket", "minirocket-preval", "multirocket-hydra", "multirocket-hydra-preval", "quant",
    "fracast", "bandpower", "riemann",
)  # fmt: skip


@pytest.mark.parametrize("name", RECENTRED)
def test_recentring_is_the_last_step_before_the_head(name):
    made(name)  # or skip
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
