"""Networks of other libraries, or of one's own, as estimators."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, ModuleClassifier, ModuleRegressor, SignalAligner
from citrus_sk.evaluation import make_peer


class Pooled(torch.nn.Module):
    """Power in each channel after one convolution: enough for two tones."""

    def __init__(self, n_chans, n_outputs, width=8):
        super().__init__()
        self.filters = torch.nn.Conv1d(n_chans, width, 15)
        self.head = torch.nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.head(self.filters(x).square().mean(2).log1p())


def test_a_module_of_ones_own_learns_string_labels_behind_the_aligner(tones):
    X, y = tones
    y = np.where(y, "high", "low")
    clf = ModuleClassifier(Pooled, learning_rate=0.03, random_state=0)
    pipe = make_pipeline(SignalAligner(64), clf).fit(X[::2], y[::2])
    assert pipe.score(X[1::2], y[1::2]) == 1.0
    assert pipe[-1].history_[-1]["train_loss"] < pipe[-1].history_[0]["train_loss"]
    copy = pickle.loads(pickle.dumps(pipe))
    np.testing.assert_array_equal(copy.predict_proba(X), pipe.predict_proba(X))


def test_a_regressor_has_the_unit_of_its_targets(tones):
    X, y = tones
    targets = 1000 + 50 * y
    reg = ModuleRegressor(Pooled, learning_rate=0.03, random_state=0).fit(X[::2], targets[::2])
    predicted = reg.predict(X[1::2])
    assert predicted[y[1::2] == 0].mean() == pytest.approx(1000, abs=15)
    assert predicted[y[1::2] == 1].mean() == pytest.approx(1050, abs=15)


def test_a_clone_fits_other_channels_and_lengths(tones):
    X, y = tones
    clf = clone(ModuleClassifier(Pooled, max_epochs=1, random_state=0).fit(X, y))
    wide = np.repeat(X, 3, axis=1)[..., :100]
    assert clf.fit(wide, y).predict(wide).shape == (40,)
    assert clf.n_chans_ == 3


def test_the_citrus_classifier_has_no_parameters_of_a_module():
    assert "module" not in CitrusClassifier().get_params()
    ours, theirs = set(CitrusClassifier().get_params()), set(ModuleClassifier().get_params())
    assert theirs - ours == {"module"}
    of_weights = {"pretrained", "modality", "backbone", "random_kernels", "preset"}
    assert of_weights <= ours - theirs


@pytest.mark.parametrize("name", ["shallow", "biot", "patchtst"])
def test_networks_of_the_comparison_are_module_classifiers(name):
    peer = make_peer(name, sfreq=50.0, random_state=0)
    assert isinstance(peer, ModuleClassifier)
    assert (peer.mixup, peer.ema, peer.early_stopping) == (0, 0, False)
