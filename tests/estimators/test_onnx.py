"""Graphs of fitted estimators answer as the estimators do."""

import json
import logging
import re
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusRegressor,
    ModuleClassifier,
    SignalAligner,
    to_onnx,
)
from citrus_sk.estimators.onnx import alignment_layer
from citrus_sk.nn.kernels import KernelBank, longest_run_share
from citrus_sk.nn.onnx_ops import (
    average_pool,
    hann_window,
    longest_run,
    matrix_logarithm,
    power_spectrum,
)


def answers(path, X):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X.astype(np.float32)})[0]


def metadata(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


# --- whole graphs --------------------------------------------------------------------------------


def test_an_offset_far_above_the_signal_is_subtracted_in_the_graph(watch, tmp_path):
    X = watch.X[:6, :2, :64].astype(np.float64) + np.array([[2.0**17], [0.0]])
    pipe = make_pipeline(SignalAligner(40), CitrusEmbedder(pretrained=None, preset="tiny")).fit(X)
    assert pipe[0]._offset[0] > 1e5
    to_onnx(pipe, tmp_path / "model.onnx")
    found, expected = answers(tmp_path / "model.onnx", X), pipe.transform(X.astype(np.float32))
    assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_pipeline_with_random_kernels_gives_its_probabilities_for_any_number_of_windows(
    watch, tmp_path, capfd
):
    X, y = watch.X[:, :3, :25], watch.y  # a short grid has few dilations, which is quick
    clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    pipe = make_pipeline(SignalAligner(40, sfreq=50.0), clf).fit(X[::2], y[::2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_onnx(pipe, tmp_path / "pipe.onnx")
    assert capfd.readouterr() == ("", "")
    expected = pipe.predict_proba(X)
    for n in (1, 7, len(X)):
        assert_allclose(answers(tmp_path / "pipe.onnx", X[:n]), expected[:n], atol=1e-4)
    found = metadata(tmp_path / "pipe.onnx")
    assert json.loads(found["classes"]) == list(np.unique(y))
    assert (found["n_chans"], found["n_times"], found["sfreq"]) == ("3", "25", "50.0")
    assert found["estimator"] == "CitrusClassifier"


def test_members_of_one_channel_are_averaged_and_nothing_is_told_of_this_machine(watch, tmp_path):
    X, y = watch.X[:, 0], np.unique(watch.y, return_inverse=True)[1]
    clf = CitrusClassifier(
        pretrained=None, preset="tiny", backbone="conv", random_kernels=False, max_epochs=2,
        n_estimators=2, strategy="finetune", random_state=0,
    ).fit(X, y)  # fmt: skip
    to_onnx(clf, tmp_path / "clf.onnx", opset_version=20)
    assert_allclose(answers(tmp_path / "clf.onnx", X), clf.predict_proba(X), atol=1e-4)
    model = onnx.load(tmp_path / "clf.onnx")
    assert next(each.version for each in model.opset_import if not each.domain) == 20
    assert [value.name for value in model.graph.output] == ["probabilities"]
    assert json.loads(metadata(tmp_path / "clf.onnx")["classes"]) == [0, 1, 2]
    data = (tmp_path / "clf.onnx").read_bytes()
    assert b".py" not in data
    assert b"citrus_sk/" not in data


def test_a_regressor_gives_its_predictions_in_the_unit_of_the_target(watch, tmp_path):
    X = watch.X[:, :1, :32]
    y = 1e4 + 50 * np.c_[X[:, 0].mean(1), X[:, 0].std(1)]
    reg = CitrusRegressor(
        pretrained=None, preset="tiny", backbone="conv", random_kernels=False, random_state=0,
        strategy="linear-probe",
    )  # fmt: skip
    for target in (y, y[:, 0]):
        reg.fit(X, target)
        to_onnx(reg, tmp_path / "reg.onnx")
        found, expected = answers(tmp_path / "reg.onnx", X), reg.predict(X)
        assert found.shape == expected.shape
        assert_allclose(found, expected, atol=1e-3 * target.std())


def test_an_embedder_with_shipped_weights_gives_its_features(watch, tmp_path):
    embedder = CitrusEmbedder("multi-freq", modality="EMG").fit(watch.X)
    to_onnx(embedder, tmp_path / "embedder.onnx")
    expected = embedder.transform(watch.X)
    found = answers(tmp_path / "embedder.onnx", watch.X)
    assert_allclose(found, expected, atol=1e-3, rtol=1e-3)
    assert "classes" not in metadata(tmp_path / "embedder.onnx")


def test_a_network_of_braindecode_gives_its_probabilities(tones, tmp_path):
    X, y = tones
    clf = ModuleClassifier(module="EEGNet", max_epochs=2, random_state=0).fit(X, y)
    to_onnx(clf, tmp_path / "eegnet.onnx")
    assert_allclose(answers(tmp_path / "eegnet.onnx", X), clf.predict_proba(X), atol=1e-4)


# --- its parts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"n_times": 256},
        {"n_times": 128},
        {"n_times": 37},
        {"n_times": 5},
        {"n_times": 200, "method": "crop"},
        {"n_times": 100, "method": "crop"},
        {"n_times": 201, "method": "pad"},
        {"n_times": 101, "method": "pad"},
        {"method": "native"},
        {"n_times": 40, "method": "rate", "sfreq": 50, "target_sfreq": 20},
        {"n_times": 99, "method": "rate", "sfreq": 50, "target_sfreq": 20},
        {"n_times": 64, "method": "rate", "sfreq": 50, "target_sfreq": 50},
        {"n_times": 301, "method": "rate", "sfreq": 50, "target_sfreq": 100},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_the_graph_of_an_aligner_does_what_the_aligner_does(settings, watch):
    X = watch.X.astype(np.float32)
    aligner = SignalAligner(**settings).fit(X)
    found = alignment_layer(aligner)(torch.tensor(X)).numpy()
    assert_allclose(found, aligner.transform(X), rtol=1e-5, atol=1e-5 * np.abs(X).max())


@pytest.mark.parametrize("size", [2, 6, 32])
def test_the_logarithm_by_products_is_that_by_eigenvectors(size):
    rng = np.random.default_rng(size)
    scales = np.logspace(-4, 0, size)[:, None]
    factors = torch.tensor(rng.standard_normal((20, size, size)) * scales)
    matrix = factors @ factors.mT
    matrix = matrix / matrix.diagonal(dim1=1, dim2=2).amax(-1)[:, None, None]
    matrix[0], matrix[1] = 1.0, 0.0  # channels that are all alike, and channels that are flat
    matrix = matrix + 1e-3 * torch.eye(size)
    values, vectors = torch.linalg.eigh(matrix)
    expected = (vectors * values.log()[:, None, :]) @ vectors.mT
    assert_allclose(matrix_logarithm(matrix, 1e-3), expected, atol=1e-7)


@pytest.mark.parametrize("n_times", [2, 3, 100, 101])
def test_spectra_runs_and_means_by_products_are_those_that_are_used_elsewhere(n_times):
    x = torch.tensor(np.random.default_rng(0).standard_normal((4, 3, n_times)), dtype=torch.float32)
    power = torch.fft.rfft(x)[..., 1:].abs().square()
    assert_allclose(power_spectrum(x), power, atol=1e-5 * power.max())
    expected = torch.hann_window(n_times, periodic=False)
    assert_allclose(hann_window(x), expected, atol=1e-6)
    above = x > -0.5
    above[0] = True
    above[1] = False
    assert_allclose(longest_run(above) / n_times, longest_run_share(above), rtol=1e-6)
    for n in (2, 8):
        expected = torch.nn.functional.adaptive_avg_pool1d(x, n)
        assert_allclose(average_pool(x, n), expected, atol=1e-6)


def test_kernels_pooled_at_once_give_what_kernels_pooled_in_turn_give(watch):
    x = torch.tensor(watch.X, dtype=torch.float32)
    bank = KernelBank(6, 128, runs=True)
    bank.fit(x, 0)
    assert_allclose(bank._pool_at_once(x), bank._pool(x), atol=1e-5)


# --- what is refused -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def embedder(watch):
    return CitrusEmbedder(pretrained=None, preset="tiny", backbone="conv").fit(watch.X)


@pytest.mark.parametrize(
    ("opset_version", "error", "message"),
    [
        (17, ValueError, "opset_version=17 is too low; expected 18 to 2"),
        (99, ValueError, "opset_version=99 is too high; expected 18 to 2"),
        ("18", TypeError, "opset_version='18' is a str; expected an integer from 18 to 2"),
        (True, TypeError, "opset_version=True is a bool"),
    ],
)
def test_an_opset_that_cannot_be_written_is_named(
    opset_version, error, message, embedder, tmp_path
):
    with pytest.raises(error, match=message):
        to_onnx(embedder, tmp_path / "none.onnx", opset_version=opset_version)
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    embedder, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    command = re.escape(
        'onnxscript, which is not installed. Install it with: pip install "citrus-sk[onnx]"'
    )
    with pytest.raises(ModuleNotFoundError, match=command):
        to_onnx(embedder, tmp_path / "none.onnx")


def test_pipelines_with_other_steps_are_told_what_to_export_instead(embedder, watch, tmp_path):
    X, y = watch.X, watch.y
    before = make_pipeline(StandardScaler(), embedder)
    with pytest.raises(
        TypeError, match=r"contains a StandardScaler.*Export the last step, pipe\[-1\]"
    ):
        to_onnx(before, tmp_path / "none.onnx")
    behind = make_pipeline(embedder, LogisticRegression())
    with pytest.raises(TypeError, match=r"ends in a LogisticRegression.*pipe\[:1\]"):
        to_onnx(behind, tmp_path / "none.onnx")
    search = GridSearchCV(clone(embedder), {"batch_size": [1]}, scoring=lambda *_: 0.0, cv=2)
    with pytest.raises(TypeError, match=r"is a GridSearchCV.*Pass its best_estimator_"):
        to_onnx(search.fit(X, y), tmp_path / "none.onnx")
    with pytest.raises(TypeError, match="estimator is a SignalAligner; expected a fitted"):
        to_onnx(SignalAligner().fit(X), tmp_path / "none.onnx")
    with pytest.raises(NotFittedError):
        to_onnx(CitrusClassifier(), tmp_path / "none.onnx")


def test_windows_of_no_fixed_length_are_refused(tmp_path):
    X = [np.random.default_rng(i).standard_normal((2, 60 + i)) for i in range(6)]
    pipe = make_pipeline(
        SignalAligner(64), CitrusEmbedder(pretrained=None, preset="tiny", backbone="conv")
    ).fit(X)
    with pytest.raises(ValueError, match=r"unequal lengths, and a graph needs a single one"):
        to_onnx(pipe, tmp_path / "none.onnx")


def test_an_answer_that_is_not_the_estimators_keeps_the_file_from_being_written(
    tones, tmp_path, monkeypatch
):
    clf = ModuleClassifier(module="EEGNet", max_epochs=1, random_state=0).fit(*tones)
    (tmp_path / "kept.onnx").write_bytes(b"earlier")
    levels = [logging.getLogger(name).level for name in ("torch.onnx", "onnxscript")]
    right = ModuleClassifier.predict_proba
    monkeypatch.setattr(ModuleClassifier, "predict_proba", lambda self, X: right(self, X) + 0.01)
    with pytest.raises(RuntimeError, match=r"differ by .* The file was not written"):
        to_onnx(clf, tmp_path / "kept.onnx")
    assert (tmp_path / "kept.onnx").read_bytes() == b"earlier"
    assert [logging.getLogger(name).level for name in ("torch.onnx", "onnxscript")] == levels
