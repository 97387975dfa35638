"""Both ways with braindecode: our network in theirs, their data sets and networks in ours."""

import itertools
import json
import pickle
import subprocess
import sys
import warnings
from functools import partial

import mne
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.dataset import ValidSplit
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what braindecode imports
    from braindecode import EEGClassifier, models
    from braindecode.augmentation import (
        ChannelsDropout,
        Compose,
        FTSurrogate,
        GaussianNoise,
        Mixup,
        SignFlip,
    )
    from braindecode.datasets import BaseConcatDataset, RawDataset, WindowsDataset
    from braindecode.models import models_mandatory_parameters
    from braindecode.models.util import default_signal_params
    from braindecode.preprocessing import create_fixed_length_windows

from citrus_sk import CitrusClassifier, ModuleClassifier, SignalAligner, load_pretrained
from citrus_sk.braindecode import CitrusModel, labels_of

TINY = {"preset": "tiny"}
CHS = default_signal_params["chs_info"]
SIGNAL = default_signal_params  # 3 channels, 1000 samples at 250 Hz, 2 outputs


@pytest.fixture(autouse=True)
def same_global_state(request):
    """A torch module's constructor draws from torch's global state, and so does EEGClassifier."""


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def tones():
    rng = np.random.default_rng(0)
    y = np.tile(["slow", "fast"], 12)
    X = np.sin(np.arange(200) * np.where(y == "slow", 0.3, 0.9)[:, None])[:, None] * np.ones((3, 1))
    return (2e-5 * X + 5e-6 * rng.standard_normal((24, 3, 200))), y


def make_recording(tone, subject, target, names=("C3", "Cz", "C4"), sfreq=100.0, name="target"):
    rng = np.random.default_rng(subject)
    signals = 5e-6 * rng.standard_normal((len(names), 1600))
    signals += 2e-5 * np.sin(tone * np.arange(1600))
    raw = mne.io.RawArray(signals, mne.create_info(list(names), sfreq, "eeg"), verbose="error")
    return RawDataset(raw, {"subject": subject, "target": target}, target_name=name)


def cut(recordings, **settings):
    sizes = {"window_size_samples": 200, "window_stride_samples": 200, "drop_last_window": True}
    with warnings.catch_warnings():  # newer versions have another name for drop_last_window
        warnings.simplefilter("ignore", DeprecationWarning)
        return create_fixed_length_windows(BaseConcatDataset(recordings), **(sizes | settings))


@pytest.fixture
def windows():
    """Four recordings of eight windows: two people, two tones."""
    return cut([make_recording(0.3 + 0.6 * (i % 2), i // 2, i % 2) for i in range(4)])


# --- our network, as a model of braindecode ------------------------------------------------------

# How braindecode's list of models would name it: what it cannot be built without.
REQUIRED = {"n_chans", "n_outputs"}
TIMES = [
    {"n_times": 1000, "sfreq": 250.0},
    {"sfreq": 250.0, "input_window_seconds": 4.0},
    {"n_times": 1000, "input_window_seconds": 4.0},
    {"input_window_seconds": 4.0},
    {"sfreq": 250.0},
    {"n_times": 1000},
    {},
]


@pytest.mark.parametrize(
    ("channels", "times"), list(itertools.product([{"n_chans": 3}, {"chs_info": CHS}], TIMES))
)
def test_it_is_built_from_whatever_of_the_signal_is_known(channels, times):
    model = CitrusModel(n_outputs=2, **channels, **times, **TINY)
    assert model(torch.randn(3, 3, 1000)).shape == (3, 2)
    assert (model.alignment is None) == (len(times) < 2 and "n_times" not in times)


def test_what_it_needs_is_named_where_it_is_missing():
    for missing in REQUIRED:
        given = {name: SIGNAL[name] for name in REQUIRED - {missing}}
        with pytest.raises(ValueError, match=missing):
            CitrusModel(**given, **TINY)


def test_it_keeps_the_conventions_of_its_neighbours():
    model = CitrusModel(3, 2, **TINY)
    assert "final_layer" in [name for name, _ in model.named_children()][-2:]
    assert (model.n_outputs, model.n_chans) == (3, 2)
    relu = CitrusModel(2, 3, activation=torch.nn.ReLU, drop_prob=0.4, **TINY).eval()
    kinds = {type(part) for part in relu.modules()}
    assert torch.nn.ReLU in kinds
    assert torch.nn.GELU not in kinds
    assert {part.p for part in relu.modules() if isinstance(part, torch.nn.Dropout)} == {0.4}
    assert relu(torch.randn(2, 3, 100)).shape == (2, 2)


@pytest.fixture
def trained():
    """A model whose head has seen batches."""
    model = CitrusModel(n_outputs=2, n_chans=3, n_times=1000, **TINY)
    torch.nn.init.normal_(model.final_layer.linear.weight)
    for _ in range(3):
        model(torch.randn(8, 3, 1000))
    return model.eval()


@torch.no_grad()
def test_evaluation_changes_neither_input_nor_state_nor_the_other_windows(trained):
    x = torch.randn(2, 3, 1000)
    before, state = x.clone(), {k: v.clone() for k, v in trained.state_dict().items()}
    out = trained(x)
    assert torch.isfinite(out).all()
    assert torch.equal(x, before)
    torch.testing.assert_close(trained(x[[1, 0]]), out[[1, 0]])
    x[1] = 1 - 3 * x[1]
    torch.testing.assert_close(trained(x)[0], out[0])
    assert all(torch.equal(value, state[name]) for name, value in trained.state_dict().items())


@torch.no_grad()
def test_configuration_and_state_rebuild_it(trained):
    config = json.loads(json.dumps(trained.get_config()))
    rebuilt = CitrusModel.from_config(config).eval()
    rebuilt.load_state_dict(trained.state_dict(), strict=True)
    x = torch.randn(2, 3, 1000)
    torch.testing.assert_close(rebuilt(x), trained(x))
    pretrained = CitrusModel.from_pretrained("eeg-freq", n_outputs=2, n_chans=3, modality="EEG")
    config = json.loads(json.dumps(pretrained.get_config()))
    CitrusModel.from_config(config).load_state_dict(pretrained.state_dict(), strict=True)


@torch.no_grad()
def test_features_come_out_and_the_head_is_changed(trained):
    x = torch.randn(2, 3, 1000)
    out = trained(x, return_features=True)
    assert out["cls_token"] is None
    assert out["features"].shape == (2, trained.final_layer.linear.in_features)
    mean = trained.final_layer.mean.clone()
    trained.reset_head(10)
    assert trained.eval()(x).shape == (2, 10)
    assert trained.n_outputs == trained.get_config()["n_outputs"] == 10
    assert torch.equal(trained.final_layer.mean, mean)
    with pytest.raises(ValueError, match="n_outputs=0 is out of range"):
        trained.reset_head(0)


def test_it_can_be_exported(trained):
    x = torch.randn(2, 3, 1000)
    exported = torch.export.export(trained, (x,), strict=False)
    torch.testing.assert_close(exported.module()(x), trained(x))


def test_a_batch_of_one_trains():
    model = CitrusModel(n_outputs=2, n_chans=3, **TINY).train()
    for _ in range(2):
        model(torch.randn(1, 3, 64)).sum().backward()
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@torch.no_grad()
@pytest.mark.parametrize("n_times", [2, 31, 257, 5000])
def test_windows_of_any_length_are_taken(n_times):
    x = torch.randn(2, 3, n_times)
    for settings in ({}, {"n_times": n_times}, {"n_times": n_times, "resample_to": None}):
        model = CitrusModel(n_outputs=2, n_chans=3, **settings, **TINY)
        assert torch.isfinite(model(x)).all()


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:method=.* of the power of X:UserWarning")  # white noise
@pytest.mark.parametrize("n_times", [200, 1500, 30000])
def test_windows_are_aligned_as_the_aligner_does(n_times):
    x = 5 + torch.randn(2, 3, n_times)
    model = CitrusModel(n_outputs=2, n_chans=3, n_times=n_times, **TINY)
    expected = SignalAligner().fit_transform(x.numpy())
    np.testing.assert_allclose(model.alignment(x).numpy(), expected, atol=1e-5)
    with pytest.raises(ValueError, match=rf"windows of 100 samples, and .* built for {n_times}"):
        model(torch.zeros(1, 3, 100))


def test_a_checkpoint_gives_its_trunk():
    model = CitrusModel.from_pretrained("multi-time", n_outputs=2, n_chans=3, backbone="conv")
    expected = load_pretrained("multi-time", backbone="conv").state_dict()
    found = model.network.trunk.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    with pytest.raises(ValueError, match="Did you mean 'eeg-freq'"):
        CitrusModel.from_pretrained("eeg-frek", n_outputs=2, n_chans=3)
    with pytest.raises(ValueError, match="preset is part of the checkpoint"):
        CitrusModel.from_pretrained("eeg-freq", n_outputs=2, n_chans=3, preset="tiny")


@pytest.mark.parametrize("container", ["Epochs", "array", "data set"])
def test_it_runs_in_braindecodes_classifier(container, tones, windows):
    X, y = tones[0], (tones[1] == "slow").astype(np.int64)
    if container == "Epochs":
        X = mne.EpochsArray(X, mne.create_info(3, 100.0, "eeg"), verbose="error")
    elif container == "array":
        X = X.astype(np.float32)
    else:
        X, y = windows, None
    clf = EEGClassifier(
        CitrusModel, module__preset="tiny", optimizer=torch.optim.AdamW, optimizer__lr=2e-3,
        batch_size=4, max_epochs=4, classes=[0, 1], verbose=0,
        train_split=ValidSplit(0.25, random_state=0, stratified=container != "data set"),
    )  # fmt: skip
    clf.fit(X, y)
    truth = labels_of(windows) if y is None else y
    inputs = X.get_data(units="uV").astype(np.float32) if container == "Epochs" else X
    assert (clf.predict(inputs) == truth).mean() > 0.9
    assert clf.module_.alignment.n_in == 200
    assert clf.module_.n_chans == 3


# --- a folder that braindecode wrote, from anywhere ----------------------------------------------


@pytest.fixture
def saved(tmp_path):
    """What ``save_pretrained`` writes, which needs huggingface_hub, and its model."""
    model = CitrusModel(n_outputs=2, n_chans=3, n_times=100, preset="tiny", activation=nn.ELU)
    edit_config(tmp_path, **model.get_config(), braindecode_version="1.8.1")
    safetensors.torch.save_model(model, tmp_path / "model.safetensors")
    return tmp_path, model.eval()


def edit_config(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(config | changes))


def test_a_saved_model_comes_back_with_the_same_outputs(saved):
    folder, model = saved
    loaded = CitrusModel.from_pretrained(folder)
    assert loaded.training
    x = torch.randn(2, 3, 100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.eval()(x), model(x))
    assert CitrusModel.from_pretrained(folder, n_outputs=5)(x).shape == (2, 5)


@pytest.mark.parametrize("name", ["evil.Boom", "torch.nn.evil.Boom", "torch.nn.Module", "os.abort"])
@pytest.mark.parametrize("how", ["from_pretrained", "from_config"])
def test_a_configuration_imports_and_calls_nothing(saved, name, how, monkeypatch):
    folder, _ = saved
    (folder / "evil.py").write_text("raise SystemExit('this ran')")
    monkeypatch.syspath_prepend(folder)
    edit_config(folder, activation=name)
    config = json.loads((folder / "config.json").read_text())
    with pytest.raises(ValueError, match=r"expected a class of torch\.nn\..*pass activation="):
        getattr(CitrusModel, how)(folder if how == "from_pretrained" else config)
    assert "evil" not in sys.modules
    if how == "from_pretrained":  # with a class that the caller knows
        edit_config(folder, activation="evil.Boom")
        assert CitrusModel.from_pretrained(folder, activation=nn.ELU).n_outputs == 2


def test_only_a_class_of_modules_is_called_as_activation():
    with pytest.raises(TypeError, match=r"expected a class of modules, such as torch\.nn\.ELU"):
        CitrusModel(n_outputs=2, n_chans=3, n_times=100, preset="tiny", activation=print)


def test_weights_that_are_not_those_of_the_configuration_are_refused(saved):
    folder, _ = saved
    edit_config(folder, n_chans=4)
    with pytest.raises(ValueError, match=r"does not hold the weights of the model in config\.json"):
        CitrusModel.from_pretrained(folder)
    (folder / "model.safetensors").write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match="does not hold the weights"):
        CitrusModel.from_pretrained(folder)


def test_the_newest_braindecode_that_resolves_can_be_imported_by_our_module():
    code = "from citrus_sk.braindecode import CitrusModel; import braindecode as b"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{code}; print(b.__version__)"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert tuple(map(int, done.stdout.split(".")[:2])) >= (1, 3)


# --- their data sets, in our estimators ----------------------------------------------------------


def test_targets_and_groups_come_from_a_data_set(windows, quick):
    clf = quick(strategy="linear-probe").fit(windows, groups="subject")
    assert clf.classes_.tolist() == [0, 1]
    assert clf.ch_names_ == ("C3", "Cz", "C4")
    assert clf.score(windows) == 1.0
    assert labels_of(windows, "subject").tolist() == [0] * 16 + [1] * 16
    assert clf.predict(windows.datasets[1]).tolist() == [1] * 8
    as_array = np.stack([windows[i][0] for i in range(len(windows))])
    np.testing.assert_array_equal(clf.predict_proba(as_array), clf.predict_proba(windows))


def test_a_data_set_is_cross_validated(windows, quick):
    pipe = make_pipeline(SignalAligner(128), quick(strategy="linear-probe"))
    y, groups = labels_of(windows), labels_of(windows, "subject")
    scores = cross_val_score(pipe, windows, y, groups=groups, cv=GroupKFold(2))
    assert scores.tolist() == [1.0, 1.0]


def test_the_aligner_takes_the_rate_of_a_data_set(windows):
    aligner = SignalAligner(400, method="rate", target_sfreq=200).fit(windows)
    assert aligner.sfreq_ == 100
    assert aligner.transform(windows).shape == (32, 3, 400)


def test_windows_of_epochs_and_their_transforms_are_read(tones):
    X, y = tones
    table = pd.DataFrame({"target": (y == "slow").astype(int), "i_window_in_trial": 0})
    table = table.assign(i_start_in_trial=0, i_stop_in_trial=200, block=np.repeat([1, 2], 12))
    info = mne.create_info(3, 100.0, "eeg")
    epochs = mne.EpochsArray(X, info, metadata=table, verbose="error")
    dataset = WindowsDataset(epochs, {"subject": "a"}, transform=lambda x: 1e6 * x)
    np.testing.assert_allclose(SignalAligner(200).fit_transform(dataset), 1e6 * X, rtol=1e-4)
    assert labels_of(dataset, "block").tolist() == [1] * 12 + [2] * 12
    assert labels_of(dataset, "subject").tolist() == ["a"] * 24
    together = BaseConcatDataset([dataset], target_transform=lambda target: 1 - target)
    np.testing.assert_array_equal(labels_of(together), 1 - labels_of(dataset))


def test_missing_targets_are_refused(windows, quick):
    untold = cut([make_recording(0.3, 0, 0, name=None)], window_size_samples=100)
    with pytest.raises(ValueError, match=r"have no target: all are -1.*set_target\(column\)"):
        quick().fit(untold)
    windows.datasets[1].y[2] = float("nan")
    with pytest.raises(
        ValueError, match=r"target is missing in 1 of 32 windows .*first: window 10"
    ):
        quick().fit(windows)
    with pytest.raises(ValueError, match=r"without a column 'age'.*subject"):
        labels_of(windows, "age")


def test_data_sets_of_unequal_recordings_are_refused(quick):
    one = make_recording(0.3, 0, 0)
    with pytest.raises(ValueError, match=r"unequal channels: those of datasets\[1\].*'C4', 'Oz'"):
        quick().fit(cut([one, make_recording(0.9, 1, 1, names=("C3", "Cz", "Oz"))]))
    with pytest.raises(ValueError, match=r"unequal sampling rates \(100 to 128 Hz\)"):
        quick().fit(cut([one, make_recording(0.9, 1, 1, sfreq=128.0)]))
    with pytest.raises(TypeError, match=r"whole recordings \(RawDataset\); expected windows"):
        quick().fit(BaseConcatDataset([one]), [0])


# --- their networks, as our estimators -----------------------------------------------------------


@pytest.mark.parametrize(
    "module", ["EEGNet", models.ShallowFBCSPNet, partial(models.EEGConformer, drop_prob=0.3)]
)
def test_any_of_their_networks_is_an_estimator(module, tones):
    X, y = tones
    clf = ModuleClassifier(module=module, max_epochs=20, batch_size=4, random_state=0)
    assert clone(clf).get_params()["module"] is module or isinstance(module, partial)
    clf.fit(X[:16], y[:16])
    assert clf.strategy_ == "finetune"
    assert clf.score(X[16:], y[16:]) == 1.0
    proba = clf.predict_proba(X)
    again = clone(clf).fit(X[:16], y[:16])
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), proba)
    np.testing.assert_allclose(clf.predict_proba(X[:1]), proba[:1], atol=1e-5)


@pytest.mark.parametrize("unit", [1, 1e6], ids=["V", "uV"])
def test_it_learns_from_volts_and_microvolts_and_moves_no_random_state(unit, tones):
    X, y = unit * tones[0], tones[1]
    before = torch.get_rng_state()
    clf = ModuleClassifier(module="ShallowFBCSPNet", max_epochs=10, batch_size=4, random_state=0)
    assert clf.fit(X[:16], y[:16]).score(X[16:], y[16:]) == 1.0
    assert torch.equal(torch.get_rng_state(), before)


def test_it_learns_rate_and_channels_from_epochs(tones):
    X, y = tones
    info = mne.create_info(["C3", "Cz", "C4"], 100.0, "eeg")
    epochs = mne.EpochsArray(X, info, verbose="error")
    places = {"C3": [-0.07, 0, 0.05], "Cz": [0, 0, 0.1], "C4": [0.07, 0, 0.05]}
    epochs.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    for module in ("SignalJEPA_Contextual", "EEGInceptionMI"):
        clf = ModuleClassifier(module=module, max_epochs=1, random_state=0).fit(epochs, y)
        assert clf.predict(epochs).shape == (24,)
    told = partial(models.SignalJEPA_Contextual, chs_info=epochs.info["chs"])
    ModuleClassifier(module=told, max_epochs=1, random_state=0).fit(X, y)


def test_what_a_model_needs_of_the_signal_is_named_with_a_remedy(tones):
    lacking = {
        name
        for name, required, _ in models_mandatory_parameters
        if {"sfreq", "chs_info"} & set(required)
    }
    quick_ones = sorted(lacking & {"DGCNN", "BIOT", "USleep", "Labram", "FBCNet", "TSception"})
    assert len(quick_ones) >= 4
    for name in quick_ones:
        with pytest.raises(
            ValueError, match=rf"module={name} needs (sfreq|chs_info), which X does"
        ):
            ModuleClassifier(module=name).fit(*tones)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"module": "EEGnet"}, ValueError, "not a model of .* Did you mean 'EEGNet'"),
        (
            {"module": torch.nn.Linear(3, 2)},
            TypeError,
            "to be a class.*got a Linear instance",
        ),
        ({"module": 3}, TypeError, "Expected module to be a class.*got a int"),
        ({"module": "EEGNet", "batch_size": 1}, ValueError, "batch_size=1 is out of range"),
        ({"module": torch.nn.Linear}, ValueError, "module=Linear cannot be built"),
        ({"augmentation": SignFlip}, TypeError, "augmentation holds .*expected objects"),
        (
            {"augmentation": SignFlip(0.5), "strategy": "linear-probe"},
            ValueError,
            "augmentation changes training batches",
        ),
        (
            {"augmentation": lambda x, y: (x[..., :50], y)},
            ValueError,
            r"from \(\d+, 3, 200\) to \(\d+, 3, 50\)",
        ),
        ({"augmentation": [Mixup(0.5), SignFlip(0.5)]}, ValueError, "mixes labels in step 1 of 2"),
    ],
    ids=lambda value: str(value).split(" at 0x")[0],
)
def test_bad_modules_and_augmentations_are_refused(parameters, error, message, tones):
    if "module" in parameters:
        clf = ModuleClassifier(**parameters, max_epochs=1)
    else:
        settings = {"pretrained": None, "preset": "tiny", "max_epochs": 1, "random_state": 0}
        clf = CitrusClassifier(**(settings | parameters))
    with pytest.raises(error, match=message):
        clf.fit(*tones)


def test_windows_that_are_too_short_name_the_shortest(tones):
    X, y = tones
    clf = ModuleClassifier(module="SleepStagerBlanco2020", max_epochs=1)
    deep = ModuleClassifier(module="ShallowFBCSPNet", max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match=r"for windows of 40 samples and 3 channel.*shortest"):
        deep.fit(X[:, :, :40], y)
    with pytest.raises(ValueError, match="module=SleepStagerBlanco2020 cannot be built"):
        clf.fit(X, y)  # its channels go in groups of two


# --- augmentations -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "augmentation",
    [
        FTSurrogate(0.9),
        [SignFlip(0.5, random_state=1), ChannelsDropout(0.5, p_drop=0.3)],
        Compose([SignFlip(0.5), GaussianNoise(0.5, std=1e-6)]),
        Mixup(0.5),
    ],
    ids=["FTSurrogate", "list", "Compose", "Mixup"],
)
def test_augmented_training_repeats_and_leaves_the_transforms_alone(augmentation, tones):
    X, y = tones
    before = pickle.dumps(augmentation)
    clf = CitrusClassifier(
        pretrained=None, preset="tiny", max_epochs=2, augmentation=augmentation, random_state=0,
        early_stopping=False,  # which keeps the network
    )  # fmt: skip
    proba = clf.fit(X, y).predict_proba(X)
    assert clf.strategy_ == "probe-then-finetune"
    assert pickle.dumps(augmentation) == before
    np.random.seed(3)  # noqa: NPY002 - what a transform would draw from by itself
    np.testing.assert_array_equal(clone(clf).fit(X, y).predict_proba(X), proba)
    plain = clone(clf).set_params(augmentation=None, random_kernels=True)
    plain.set_params(strategy="probe-then-finetune")
    assert np.abs(plain.fit(X, y).predict_proba(X) - proba).max() > 1e-4


def test_only_training_batches_are_augmented_and_all_of_them(tones):
    X, y = tones
    seen = []

    def note(x, codes):
        seen.append(len(x))
        return x, codes

    clf = CitrusClassifier(
        pretrained=None, preset="tiny", max_epochs=3, augmentation=note, batch_size=8,
        random_kernels=False, early_stopping=False, random_state=0,
    ).fit(X, y)  # fmt: skip
    clf.predict(X)
    assert seen == [8] * 9


def test_augmentation_tells_an_invariance():
    """Shown upright windows alone, flipped ones are known only to those that saw flips."""
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 16)
    time = np.linspace(0, 1, 128)
    X = np.where(y[:, None], time**4, time)[:, None] + 0.02 * rng.standard_normal((32, 1, 128))

    def score(augmentation):
        clf = CitrusClassifier(
            pretrained=None, preset="tiny", strategy="finetune", random_kernels=False,
            max_epochs=30, batch_size=8, augmentation=augmentation, random_state=0,
            early_stopping=False,
        )  # fmt: skip
        return clf.fit(X, y).score(-X, y)

    assert score([SignFlip(0.5)]) > score(None) + 0.2


def test_it_is_built_in_torchs_default_dtype_as_any_module_is():
    torch.set_default_dtype(torch.float64)
    try:
        model = CitrusModel(n_outputs=2, n_chans=2, n_times=200, preset="tiny")
        model.reset_head(3)
        assert model(torch.randn(4, 2, 200, generator=torch.Generator())).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
