"""What a saved model holds, and what comes back."""

import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, SignalAligner


@pytest.fixture(params=["linear-probe", "probe-then-finetune"])
def fitted(request, watch, quick):
    return quick(strategy=request.param).fit(watch.X, watch.y)


def weight_bytes(clf):
    state = [net.module_.state_dict().values() for net in clf.members_]
    return sum(value.numel() * value.element_size() for values in state for value in values)


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_copy_predicts_the_same_bits_and_can_be_fitted_again(fitted, watch, copied):
    other = copied(fitted)
    assert_array_equal(other.predict_proba(watch.X), fitted.predict_proba(watch.X))
    assert_array_equal(other.classes_, fitted.classes_)
    other.fit(watch.X[:, :2], watch.y)
    assert other.n_chans_ == 2
    assert fitted.n_chans_ == 6  # the copy shares nothing


def test_a_pickle_is_hardly_larger_than_the_weights_and_holds_no_module(fitted):
    data = pickle.dumps(fitted)
    assert len(data) < 1.1 * weight_bytes(fitted)
    for word in (b"torch", b"skorch", b"optim"):
        assert word not in data


def test_a_long_history_of_a_small_ensemble_stays_small_in_the_pickle(watch, quick):
    clf = quick(n_members=2, max_epochs=30, batch_size=4).fit(watch.X[:24], watch.y[:24])
    assert len(pickle.dumps(clf)) < 1.1 * weight_bytes(clf)
    loaded = pickle.loads(pickle.dumps(clf))
    assert loaded.net_.history[:, "train_loss"] == clf.net_.history[:, "train_loss"]
    assert_array_equal(loaded.predict_proba(watch.X), clf.predict_proba(watch.X))


def test_a_pipeline_predicts_the_same_bits_in_another_process(fitted, watch, tmp_path):
    pipe = make_pipeline(SignalAligner(200), fitted).fit(watch.X, watch.y)
    joblib.dump(pipe, tmp_path / "pipe.joblib")
    np.save(tmp_path / "X.npy", watch.X)
    np.save(tmp_path / "expected.npy", pipe.predict_proba(watch.X))
    code = (
        "import joblib, numpy as np; pipe = joblib.load('pipe.joblib'); "
        "X, expected = np.load('X.npy'), np.load('expected.npy'); "
        "assert np.array_equal(pipe.predict_proba(X), expected); print('same bits')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "same bits\n", done.stderr


def test_loading_moves_no_random_state_and_needs_no_draw(fitted):
    data = pickle.dumps(fitted)
    pickle.loads(data)  # conftest.same_global_state looks at the states afterwards


def test_a_model_from_a_gpu_that_is_not_here_is_loaded_on_the_cpu(fitted, watch):
    expected = fitted.predict_proba(watch.X)
    fitted.device = "cuda:7"  # as if it had been trained there
    with pytest.warns(UserWarning, match="device='cuda:7' is not there; .* on the CPU"):
        loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.predict_proba(watch.X), expected)


def test_an_unfitted_classifier_survives_a_pickle():
    clf = pickle.loads(pickle.dumps(CitrusClassifier(strategy="finetune")))
    assert clf.get_params()["strategy"] == "finetune"


def test_weights_that_do_not_fit_the_network_are_refused(fitted):
    state = fitted.__getstate__()
    state["_packed"][0][0].pop("head.mean")
    with pytest.raises(RuntimeError, match=r"Missing key.*head\.mean"):
        CitrusClassifier().__setstate__(state)
