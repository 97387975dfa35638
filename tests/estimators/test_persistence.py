"""What a saved model holds, and what comes back."""

import copy
import hashlib
import pickle
import re
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import citrus_sk
from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusPretrainer,
    GroupRecenter,
    RejectingClassifier,
    SignalAligner,
    save_checkpoint,
)
from citrus_sk.checkpoints import hub as _hub
from citrus_sk.checkpoints.checkpoint import CheckpointError


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
    clf = quick(n_estimators=2, max_epochs=30, batch_size=4, early_stopping=False)
    clf.fit(watch.X[:24], watch.y[:24])
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
    with pytest.warns(UserWarning, match=r"device='cuda:7' is not available; .* on the CPU"):
        loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.predict_proba(watch.X), expected)


def test_an_unfitted_classifier_survives_a_pickle():
    clf = pickle.loads(pickle.dumps(CitrusClassifier(strategy="finetune")))
    assert clf.get_params()["strategy"] == "finetune"


# --- another layout ------------------------------------------------------------------------------


def without_a_weight(state):
    state["_packed"][0][0].pop("head.mean")


def with_a_size_that_is_unknown(state):
    state["_config"]["width_of_tomorrow"] = 3


def without_a_parameter(state):
    del state["mixup"]


def without_an_attribute(state):
    del state["_modality_rows"]


def without_an_adaptation(state):
    state["_packed"] = [stored[:2] for stored in state["_packed"]]


BROKEN = {
    without_a_weight: r"Missing key.*head\.mean",
    with_a_size_that_is_unknown: "width_of_tomorrow",
    without_a_parameter: "the parameter mixup is missing",
    without_an_attribute: "_modality_rows",
    without_an_adaptation: "stored without an adaptation",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.__name__)
@pytest.mark.parametrize("version", ["0.0.1", None])
def test_another_layout_says_which_version_stored_it_and_what_to_do(version, broken, fitted):
    state = fitted.__getstate__()
    assert state["_citrus_sk_version"] == citrus_sk.__version__
    state["_citrus_sk_version"] = version
    broken(state)
    stored = "citrus_sk 0.0.1" if version else "an unknown version of citrus_sk"
    load = "Load it with pip install citrus-sk==0.0.1, or fit it again" if version else "Fit it"
    words = (
        rf"CitrusClassifier was stored by {stored}, whose layout differs from .* version "
        rf"{citrus_sk.__version__} \(.*{BROKEN[broken]}.*\)\. {load}"
    )
    with pytest.raises(CheckpointError, match=words):
        CitrusClassifier().__setstate__(state)


def test_a_file_of_this_version_that_does_not_fit_was_changed(fitted):
    state = fitted.__getstate__()
    without_a_weight(state)
    with pytest.raises(CheckpointError, match=r"head\.mean.*The file was changed, or"):
        CitrusClassifier().__setstate__(state)


def test_a_file_of_another_version_with_the_same_layout_is_taken(fitted, watch):
    state = fitted.__getstate__() | {"_citrus_sk_version": "9.9"}
    loaded = CitrusClassifier()
    words = "was stored by citrus_sk 9.9, and .* predictions may differ.*pip install citrus-sk==9.9"
    with pytest.warns(UserWarning, match=words):
        loaded.__setstate__(state)
    assert_array_equal(loaded.predict(watch.X), fitted.predict(watch.X))
    assert loaded.__getstate__()["_citrus_sk_version"] == citrus_sk.__version__


def test_a_version_that_differs_in_the_last_number_is_taken_without_a_warning():
    series = citrus_sk.__version__.rpartition(".")[0]
    state = SignalAligner(64).__getstate__() | {"_citrus_sk_version": f"{series}.99"}
    loaded = SignalAligner()
    loaded.__setstate__(state)
    assert loaded.n_times == 64


@pytest.mark.parametrize(
    "estimator", [SignalAligner(), GroupRecenter(), RejectingClassifier(LogisticRegression())]
)
def test_estimators_without_a_network_know_their_version_as_well(estimator):
    state = estimator.__getstate__() | {"_citrus_sk_version": "9.9"}
    blank = type(estimator).__new__(type(estimator))
    with pytest.warns(UserWarning, match="was stored by citrus_sk 9.9"):
        blank.__setstate__(dict(state))
    assert blank.get_params().keys() == estimator.get_params().keys()
    del state[next(iter(estimator.get_params(deep=False)))]
    with pytest.raises(ValueError, match=r"whose layout differs from .*the parameter \w+ is miss"):
        blank.__setstate__(state)


# --- weights by reference ------------------------------------------------------------------------


def probe(**settings):
    known = {
        "backbone": "conv",
        "strategy": "linear-probe",
        "random_kernels": False,
        "random_state": 0,
    }
    return CitrusClassifier(**{**known, "store_weights": "reference", **settings})


@pytest.fixture(scope="module")
def mine(watch, tmp_path_factory):
    """A checkpoint file of one's own."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    CitrusPretrainer(preset="tiny", max_steps=1, random_state=0).fit(watch.X).save(path)
    return path


def test_a_reference_keeps_the_name_alone_and_predicts_the_same_bits(watch):
    full, slim = (
        probe(pretrained="eeg-freq", store_weights=how).fit(watch.X, watch.y)
        for how in ("full", "reference")
    )
    data = pickle.dumps(slim)
    trunk = sum(value.numel() * 4 for value in slim.net_.module_.trunk.state_dict().values())
    assert len(data) < len(pickle.dumps(full)) - 0.99 * trunk
    assert str(Path(citrus_sk.__file__).parents[1]).encode() not in data
    loaded = pickle.loads(data)
    assert_array_equal(loaded.predict_proba(watch.X), full.predict_proba(watch.X))
    assert_array_equal(copy.deepcopy(loaded).predict_proba(watch.X), full.predict_proba(watch.X))


def test_an_ensemble_and_an_embedder_refer_to_a_file_of_ones_own(mine, watch):
    clf = probe(pretrained=str(mine), backbone="hybrid", n_estimators=2).fit(watch.X, watch.y)
    assert_array_equal(
        pickle.loads(pickle.dumps(clf)).predict_proba(watch.X), clf.predict_proba(watch.X)
    )
    embedder = CitrusEmbedder(mine, store_weights="reference").fit(watch.X)
    data = pickle.dumps(embedder)
    full = pickle.dumps(CitrusEmbedder(mine, store_weights="full").fit(watch.X))
    assert len(data) < 0.5 * len(full)
    assert_array_equal(pickle.loads(data).transform(watch.X), embedder.transform(watch.X))


def test_a_checkpoint_that_is_gone_or_another_one_is_an_error_that_names_the_remedy(
    mine, watch, tmp_path
):
    path = tmp_path / "moved.safetensors"
    path.write_bytes(mine.read_bytes())
    sha256 = hashlib.sha256(mine.read_bytes()).hexdigest()
    data = pickle.dumps(probe(pretrained=str(path)).fit(watch.X, watch.y))
    remedy = rf"{sha256}, which was not found: .*store_weights='full'"
    path.unlink()
    with pytest.raises(CheckpointError, match=remedy):
        pickle.loads(data)
    CitrusPretrainer(preset="tiny", max_steps=1, random_state=1).fit(watch.X).save(path)
    with pytest.raises(CheckpointError, match=rf"is not the published file.*{remedy[-20:]}"):
        pickle.loads(data)
    path.write_bytes(mine.read_bytes())
    assert_array_equal(pickle.loads(data).classes_, np.unique(watch.y))


def test_a_repository_is_asked_for_again_and_the_hub_out_of_reach_is_told(
    mine, watch, tmp_path, monkeypatch
):
    save_checkpoint(mine, tmp_path / "snapshot")
    monkeypatch.setattr(_hub, "download", lambda repository, revision: tmp_path / "snapshot")
    clf = probe(pretrained="somebody/mine").fit(watch.X, watch.y)
    data = pickle.dumps(clf)
    assert str(tmp_path).encode() not in data
    assert_array_equal(pickle.loads(data).predict_proba(watch.X), clf.predict_proba(watch.X))

    def offline(repository, revision):
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(_hub, "download", offline)
    message = "needs the checkpoint 'somebody/mine'.*no route to the hub.*connect to the hub"
    with pytest.raises(CheckpointError, match=message):
        pickle.loads(data)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"strategy": "finetune"},
            "Use strategy='linear-probe', or store_w",
        ),
        ({"strategy": "auto"}, "this fit trains the trunk. Use strategy='linear-probe'"),
        ({"pretrained": None}, "pretrained is None. Pass the name or the path"),
        (
            {"store_weights": "none"},
            "store_weights='none' is unknown; expected one of 'full', 'ref",
        ),
    ],
)
def test_what_has_nothing_to_refer_to_is_refused_in_fit(settings, message, watch):
    with pytest.raises(ValueError, match=message):
        probe(**settings).fit(watch.X, watch.y)


def test_a_pretrainer_in_memory_has_no_name_to_refer_to(watch):
    pretrainer = CitrusPretrainer(preset="tiny", max_steps=1, random_state=0).fit(watch.X)
    with pytest.raises(ValueError, match=r"pretrained is a CitrusPretrainer. Pass the name"):
        CitrusEmbedder(pretrainer, store_weights="reference").fit(watch.X)


def test_what_is_stored_is_what_was_asked_for_in_fit(watch):
    clf = probe(pretrained="eeg-freq", store_weights="full").fit(watch.X, watch.y)
    n_bytes = len(pickle.dumps(clf))
    assert len(pickle.dumps(clf.set_params(store_weights="reference"))) == pytest.approx(
        n_bytes, abs=100
    )


# --- the page ------------------------------------------------------------------------------------


def test_the_blocks_of_the_page_on_saving_and_sharing_run_and_print_its_figures(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "guide" / "save_and_share.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) == 6
    full, reference = re.search(r"prints (\d\.\d\d) and (\d\.\d\d) MB", page).groups()
    (tmp_path / "page.py").write_text("\n".join(blocks))
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"full: {full} MB\nreference: {reference} MB\n" in done.stdout
