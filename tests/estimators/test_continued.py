"""CitrusPretrainer(pretrained=...): training that starts from the weights of a checkpoint."""

import re

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusPretrainer,
    SignalAligner,
    load_checkpoint,
)
from citrus_sk.checkpoints.registry import describe_checkpoint, file_sha256
from citrus_sk.cli.parser import main
from citrus_sk.datasets import load_watch

UNTRAINED = {"max_steps": 1, "learning_rate": 1e-12}


def pretrainer(**parameters):
    settings = {"preset": "tiny", "max_steps": 2, "batch_size": 8, "random_state": 0}
    return CitrusPretrainer(**(settings | parameters))


@pytest.fixture(scope="module")
def X(watch):
    return watch.X[:24, :2]


@pytest.fixture(scope="module")
def path(X, tmp_path_factory):
    """A checkpoint of acceleration."""
    path = tmp_path_factory.mktemp("first") / "first.safetensors"
    pretrainer(modality="ACC", random_state=1, max_steps=20).fit(X).save(path)
    return path


def tensors(fitted):
    return fitted.to_checkpoint().tensors


# --- where it starts -----------------------------------------------------------------------------


def test_the_first_weights_are_those_of_the_checkpoint(path, X):
    first = load_checkpoint(path).tensors
    found = tensors(pretrainer(pretrained=path, modality="ACC", **UNTRAINED).fit(X))
    random = tensors(pretrainer(modality="ACC", **UNTRAINED).fit(X))
    for name in first:
        if not name.startswith("target"):  # of the recordings at hand
            assert_allclose(found[name], first[name], atol=1e-6, err_msg=name)
    assert not torch.allclose(random["decoder_weight"], first["decoder_weight"], atol=1e-3)


def test_a_name_a_path_a_checkpoint_and_a_pretrainer_start_alike(path, X):
    fitted = pretrainer(modality="ACC", random_state=1, max_steps=20).fit(X)
    runs = [
        tensors(pretrainer(pretrained=source, modality="ACC").fit(X))
        for source in (path, str(path), load_checkpoint(path), fitted)
    ]
    for other in runs[1:]:
        assert all(torch.equal(value, other[name]) for name, value in runs[0].items())
    shipped = pretrainer(preset="small", pretrained="multi-freq", modality="GYRO", **UNTRAINED)
    assert "GYRO" in shipped.fit(X).modalities_


def test_shipped_weights_are_a_better_start_for_people_who_are_left_out():
    watch = load_watch(window_s=18.9, overlap=0)
    acceleration, left_out = watch.X[:, :3], np.isin(watch.groups, ["1", "2", "3"])
    continued, scratch = (
        pretrainer(preset="small", modality="ACC", pretrained=source, max_steps=8)
        .fit(acceleration[~left_out], groups=watch.groups[~left_out])
        .score(acceleration[left_out])
        for source in ("multi-freq", None)
    )
    assert continued > scratch + 0.1


def test_a_new_kind_of_signal_starts_as_an_unknown_one(path, X):
    fitted = pretrainer(pretrained=path, modality="EMG", **UNTRAINED).fit(X)
    assert fitted.modalities_ == ("ACC", "EMG")
    of_emg, unknown = (
        CitrusEmbedder(pretrained=source, modality=kind).fit_transform(X)
        for source, kind in ((fitted, "EMG"), (path, None))
    )
    assert_allclose(of_emg, unknown, rtol=1e-4, atol=1e-4)
    assert np.isfinite(fitted.score(X))
    assert np.isfinite(fitted.set_params(modality="ACC").score(X))  # a kind of the checkpoint alone


def test_clones_keep_a_fitted_pretrainer(X, watch):
    fitted, y = pretrainer().fit(X), watch.y[:24]
    y = np.where(np.arange(24) % 2, y[0], "other")
    settings = {"strategy": "linear-probe", "random_kernels": False, "random_state": 0}
    classifier = CitrusClassifier(fitted, **settings)
    pipe = clone(make_pipeline(SignalAligner(), classifier))
    scores = cross_val_score(pipe, X, y, cv=2, error_score="raise")
    assert_array_equal(scores, cross_val_score(pipe, X, y, cv=2))
    start = clone(pretrainer(pretrained=fitted)).pretrained
    assert start is fitted
    # Without weights, it is a parameter like others.
    assert clone(CitrusEmbedder(pretrained=pretrainer())).pretrained is not start


# --- what has to agree ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected", "got"),
    [
        ({"objective": "time"}, "objective='freq'", "objective='time'"),
        ({"preset": "base"}, "preset='tiny'", "preset='base'"),
        (
            {"frame": 64, "cross_channel": True},
            "frame=128, cross_channel=False",
            "frame=64, cross_channel=True",
        ),
    ],
    ids=str,
)
def test_parameters_that_differ_from_the_checkpoint_are_named(path, parameters, expected, got):
    message = f"Expected {expected} as in pretrained='{path}', got {got}. Pass {expected}, or"
    with pytest.raises(ValueError, match=re.escape(message)):
        pretrainer(pretrained=path, **parameters).fit("/no/such/folder")  # before it is read


def test_other_masks_and_another_length_of_the_run_need_not_agree(path, X):
    changed = {"masking": "input", "mask_ratio": 0.3, "run_length": (1, 3), "max_steps": 1}
    fitted = pretrainer(pretrained=path, **changed).fit(X)
    assert fitted.to_checkpoint().task.masking == "input"


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("eeg-frq", ValueError, "'eeg-frq' is not a known checkpoint.*Did you mean 'eeg-freq'"),
        (3, TypeError, "Expected pretrained to be the name of a checkpoint"),
        ("./no.safetensors", FileNotFoundError, "does not exist; expected a checkpoint"),
    ],
)
def test_a_checkpoint_that_is_none_is_refused(source, error, message, X):
    with pytest.raises(error, match=message):
        pretrainer(pretrained=source).fit(X)


def test_the_default_learning_rate_is_smaller_from_a_checkpoint(path, X):
    rates = [
        pretrainer(pretrained=source).fit(X).to_checkpoint().info["training"]["learning_rate"]
        for source in (None, path)
    ]
    assert rates == [1e-3, 3e-4]


# --- what is told of the start -------------------------------------------------------------------


def test_the_file_tells_where_the_weights_came_from(path, X, tmp_path):
    fitted = pretrainer(pretrained=path, modality="EMG").fit(X)
    assert fitted.get_params()["pretrained"] == clone(fitted).pretrained == path
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    joblib.load(tmp_path / "fitted.joblib").save(tmp_path / "second.safetensors")
    info = describe_checkpoint(tmp_path / "second.safetensors")["info"]
    start = info["training"]["pretrained"]
    assert start == {"name": "first.safetensors", "sha256": file_sha256(path)}
    kinds = [list(entry["hours_by_modality"]) for entry in info["corpus"]]
    assert kinds == [["ACC"], ["EMG"]]
    assert describe_checkpoint(path)["info"]["training"]["pretrained"] is None


def test_a_run_is_resumed_from_the_same_start_alone(path, X, tmp_path):
    settings = {"modality": "ACC", "run_file": tmp_path / "state.run", "learning_rate": 3e-4}
    fitted = pretrainer(pretrained=path, **settings).fit(X)
    again = pretrainer(pretrained=load_checkpoint(path), resume=True, **settings).fit(X)
    assert_array_equal(again.transform(X), fitted.transform(X))
    with pytest.raises(ValueError, match=r"of a run with pretrained='\w+'; .* pretrained=None"):
        pretrainer(resume=True, **settings).fit(X)


def test_the_command_line_continues_and_draws(path, X, tmp_path, capsys):
    np.save(tmp_path / "own.npy", X.reshape(-1, 128 * 6)[:, :700])
    out = tmp_path / "second.safetensors"
    command = ["pretrain", str(tmp_path / "own.npy"), "--out", str(out), "--modality", "EMG",
               "--preset", "tiny", "--pretrained", str(path), "--max-steps", "2",
               "--seed", "0", "--quiet"]  # fmt: skip
    assert main(command) == 0, capsys.readouterr().err
    assert describe_checkpoint(out)["modalities"] == ["ACC", "EMG"]
    assert out.with_suffix(".png").stat().st_size > 10_000
