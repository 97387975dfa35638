"""What a person may pass by mistake: it works, or an error names the argument and the remedy."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from citrus_sk import CitrusClassifier, CitrusEmbedder, CitrusPretrainer, SignalAligner

RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 2, 64))
Y = np.tile(["a", "b"], 4)


def with_value(value, dtype=float):
    bad = X.astype(dtype)
    bad[3, 1, 7] = value
    return bad


BAD_X = {
    "NaN": (with_value(np.nan), ValueError, r"X contains NaN: window 3, channel 1, sample 7"),
    "inf": (with_value(np.inf), ValueError, r"X contains inf.*window 3, channel 1, sample 7"),
    "too large": (with_value(1e300), ValueError, r"X contains .*too large for float32.*1e\+300"),
    "complex": (X + 1j, ValueError, r"Complex data not supported: X has dtype complex128"),
    "strings": (X.astype(str), ValueError, r"X has dtype <U\d+; expected numbers"),
    "objects": (with_value("high", object), ValueError, r"could not convert string to float"),
    "dicts": (np.array([{}, {}], object).reshape(2, 1), TypeError, r"argument must be a string or"),
    "dates": (X.astype("timedelta64[s]"), ValueError, r"X has dtype timedelta64"),
    "no windows": (X[:0], ValueError, r"0 sample\(s\).*X holds no window"),
    "no channels": (X[:, :0], ValueError, r"X has 0 channels"),
    "no samples": (X[:, :, :0], ValueError, r"0 feature\(s\).*at least 2 samples"),
    "one sample": (X[:, :, :1], ValueError, r"windows need at least 2 samples"),
    "one dimension": (X[0, 0], ValueError, r"X of shape \(64,\).*Reshape your data"),
    "four dimensions": (X[None], ValueError, r"X has 4 dimensions, shape \(1, 8, 2, 64\)"),
    "ragged": (
        [x[:, : 50 + i] for i, x in enumerate(X)], ValueError,
        r"\(50 to 57 samples\), but Citrus\w+ expects one length\. Put SignalAligner\(\)",
    ),
    "ragged lists": ([[1, 2], [1, 2, 3]], ValueError, r"X cannot be made an array.*SignalAligner"),
    "nothing": (None, ValueError, r"X is a NoneType"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_X)
def test_bad_windows_are_refused_by_fit(case, quick):
    bad, error, message = BAD_X[case]
    y = Y[: len(bad)] if case not in ("nothing", "one dimension", "four dimensions") else Y
    with pytest.raises(error, match=message):
        quick().fit(bad, y)
    with pytest.raises(error, match=message):
        CitrusEmbedder(pretrained=None, preset="tiny").fit(bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (with_value(np.nan), "X contains NaN: window 3"),
        (X[:, :1], "X has 1 channels, but CitrusClassifier was fitted on 2"),
        (X[:, 0], "X has 1 channels, but CitrusClassifier was fitted on 2"),
        (X[:, :, :63], r"X has windows of 63 samples, but .* on 64.*SignalAligner"),
        (X[:0], "X holds no window"),
    ],
    ids=["NaN", "channels", "2-D", "samples", "empty"],
)
def test_predict_refuses_windows_unlike_those_of_fit(bad, message, quick):
    clf = quick(strategy="linear-probe").fit(X, Y)
    for method in (clf.predict, clf.predict_proba):
        with pytest.raises(ValueError, match=message):
            method(bad)
    assert clf.predict(X).shape == (8,)  # nothing is lost by the error


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (["a"] * 8, ValueError, "y holds only .*'a'.* in 8 windows"),
        (Y[:7], ValueError, "X has 8 windows, but y has 7 labels"),
        (None, ValueError, "requires y to be passed, but the target y is None"),
        ([1, 2, np.nan, 1, 2, 1, 2, 1], ValueError, r"y contains NaN, None .*at 1 of 8"),
        (["a", None, "b", None, "a", "b", "a", "b"], ValueError, r"at 2 of 8 places \(first: 1\)"),
        (
            ["a", 1, "b", "a", 1, "b", "a", 1],
            TypeError,
            r"y mixes values of types \['int', 'str'\]",
        ),
        (np.linspace(0, 1, 8), ValueError, "Unknown label type: continuous.*CitrusRegressor"),
        (np.eye(2)[[0, 1] * 4], ValueError, r"y has 2 columns.*argmax.*MultiOutputClassifier"),
        ([["a"], ["a", "b"]] * 4, ValueError, r"y has up to 2 values .*multilabel"),
        (["a", ["a", "b"]] * 4, ValueError, r"y has up to 2 values .*multilabel"),
    ],
    ids=[
        "one class",
        "short",
        "None",
        "NaN",
        "Nones",
        "mixed",
        "continuous",
        "one-hot",
        "sets",
        "some sets",
    ],
)
def test_bad_labels_are_refused(y, error, message, quick):
    if isinstance(y, list) and 1 in y and "a" in y:
        y = np.array(y, dtype=object)
    with pytest.raises(error, match=message):
        quick().fit(X, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(7), "expected one number of 0 or more for each of the 8 windows"),
        (-np.ones(8), "minimum -1; expected one number of 0 or more"),
        (np.full(8, np.nan), "sample_weight contains NaN"),
        (np.tile([1, 0], 4), "zero weight"),
    ],
    ids=["length", "negative", "NaN", "one class left"],
)
def test_bad_weights_are_refused(weight, message, quick):
    with pytest.raises(ValueError, match=message):
        quick().fit(X, Y, sample_weight=weight)


def test_groups_of_another_length_are_refused(quick):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        quick().fit(X, Y, groups=np.arange(5))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"strategy": "best"}, ValueError, "strategy='best' is unknown; expected one of 'auto'"),
        ({"strategy": None}, ValueError, "strategy=None is unknown"),
        ({"backbone": "rnn"}, ValueError, "backbone='rnn' is unknown; expected one of 'hybrid'"),
        ({"preset": "huge"}, ValueError, "preset='huge' is unknown; expected one of 'tiny'"),
        ({"pretrained": "eeg-frek"}, ValueError, "pretrained='eeg-frek' .*mean 'eeg-freq'"),
        ({"pretrained": 3}, TypeError, "Expected pretrained to be the name of a checkpoint"),
        ({"max_epochs": 0}, ValueError, "max_epochs=0 is out of range; expected an integer of 1"),
        ({"max_epochs": 2.5}, TypeError, "max_epochs=2.5 is a float; .* or 'auto'"),
        ({"max_epochs": "many"}, TypeError, "max_epochs='many' is a str"),
        ({"batch_size": -1}, ValueError, "batch_size=-1 is out of range"),
        ({"batch_size": True}, TypeError, "batch_size=True is a bool"),
        ({"learning_rate": 0}, ValueError, "learning_rate=0 is out of range; .* above 0"),
        ({"learning_rate": np.nan}, ValueError, "learning_rate=nan"),
        ({"label_smoothing": 1}, ValueError, "label_smoothing=1 is out of range"),
        ({"mixup": -0.1}, ValueError, "mixup=-0.1 is out of range"),
        ({"validation_fraction": 0.9}, ValueError, "validation_fraction=0.9 .* at most 0.5"),
        ({"early_stopping": "yes"}, ValueError, "Expected early_stopping .* 'auto', got 'yes'"),
        ({"early_stopping": 2}, TypeError, "Expected early_stopping to be True .*, got 2"),
        (
            {"ema": True},
            TypeError,
            "ema=True is a bool; expected a number of 0 or more",
        ),
        ({"warmup": 2}, ValueError, "warmup=2 is out of range; expected a number of 0 or more"),
        ({"random_kernels": None}, TypeError, "Expected random_kernels to be True or False"),
        ({"modality": "EGG"}, ValueError, "modality='EGG' is not a known kind.*'EEG', 'EMG'"),
        ({"modality": ["EEG", "EGG"]}, ValueError, "modality='EGG' is not a known kind"),
        ({"modality": [3, None]}, TypeError, "Expected modality to hold names .* got 3"),
        ({"class_weight": {"a": -1}}, ValueError, r"class_weight\['a'\]=-1 is out of range"),
        ({"class_weight": {"a": np.nan}}, ValueError, r"class_weight\['a'\]=nan is out of range"),
        ({"patience": 0}, ValueError, "patience=0 is out of range"),
        ({"n_estimators": 0}, ValueError, "n_estimators=0 is out of range"),
        ({"verbose": "loud"}, TypeError, "verbose='loud' is a str"),
        ({"class_weight": "even"}, ValueError, "class_weight"),
        ({"device": "warp"}, ValueError, "device='warp' cannot be used on this machine"),
        ({"device": 1.5}, ValueError, "device=1.5 cannot be used"),
        ({"random_state": "seed"}, ValueError, "Expected random_state to be an int .*got 'seed'"),
    ],
    ids=lambda value: next(iter(value.items())).__repr__() if isinstance(value, dict) else "",
)
def test_bad_parameters_are_refused_by_fit_and_not_before(parameters, error, message, quick):
    clf = quick(**parameters)
    with pytest.raises(error, match=message):
        clf.fit(X, Y)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_predict_before_fit_says_so(method):
    with pytest.raises(NotFittedError, match="CitrusClassifier instance is not fitted yet"):
        getattr(CitrusClassifier(), method)(X)


def test_score_before_fit_says_so():
    with pytest.raises(NotFittedError):
        CitrusClassifier().score(X, Y)


@pytest.mark.parametrize("estimator", ["classifier", "embedder", "aligner"])
def test_a_fit_that_fails_leaves_the_earlier_one_as_it_was(estimator, quick):
    if estimator == "classifier":
        fitted = quick(strategy="linear-probe").fit(X, Y)
        use = fitted.predict_proba
    else:
        fitted = CitrusEmbedder(pretrained=None, preset="tiny", random_state=0)
        fitted = (fitted if estimator == "embedder" else SignalAligner(32)).fit(X)
        use = fitted.transform
    before = use(X)
    bad = X[:, :1].copy()
    bad[5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fitted.fit(bad, Y)
    np.testing.assert_array_equal(use(X), before)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
@pytest.mark.parametrize("strategy", ["linear-probe", "finetune"])
def test_huge_and_tiny_scales_give_finite_probabilities(scale, strategy, quick):
    proba = quick(strategy=strategy).fit(scale * X, Y).predict_proba(scale * X)
    assert np.isfinite(proba).all()


@pytest.mark.parametrize("dtype", [np.float16, np.int16, np.int64, np.uint8, bool, object])
def test_numbers_of_every_type_work(dtype, quick):
    values = (100 * np.abs(X)).astype(dtype)
    expected = quick(strategy="linear-probe").fit(values.astype(np.float32), Y)
    clf = quick(strategy="linear-probe").fit(values, Y)
    np.testing.assert_array_equal(clf.predict_proba(values), expected.predict_proba(values))


@pytest.mark.parametrize("level", [0.0, 0.1, 1e12])
@pytest.mark.parametrize("strategy", ["linear-probe", "finetune"])
def test_constant_windows_work(level, strategy, quick):
    some = X.copy()
    some[::3] = level
    assert np.isfinite(quick(strategy=strategy).fit(some, Y).predict_proba(some)).all()
    every = np.full_like(X, level)
    assert np.isfinite(quick(strategy=strategy).fit(every, Y).predict_proba(every)).all()


def test_a_read_only_memory_map_works_and_is_not_changed(tmp_path, quick):
    path = tmp_path / "windows.npy"
    np.save(path, (1000 * X).astype(np.int16))
    before = path.read_bytes()
    mapped = np.load(path, mmap_mode="r")
    quick(strategy="linear-probe").fit(mapped, Y).predict(mapped)
    assert path.read_bytes() == before


def test_the_input_is_never_changed(quick):
    values, labels = X.astype(np.float32), Y.copy()
    kept = values.copy()
    quick(mixup=1.0).fit(values, labels).predict(values)
    np.testing.assert_array_equal(values, kept)
    np.testing.assert_array_equal(labels, Y)


def test_a_diverging_training_is_an_error_and_not_a_silent_nan(quick):
    with pytest.raises(FloatingPointError, match=r"training loss became .*Lower learning_rate"):
        quick(learning_rate=1e30, max_epochs=20).fit(X, Y)


@pytest.mark.parametrize(("batch_size", "remedy"), [(16, "batch_size=8"), (1, "smaller preset")])
def test_out_of_memory_names_the_batch_size_to_try(batch_size, remedy, quick, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("citrus_sk.training.nets._cross_entropy", full)
    with pytest.raises(MemoryError, match=rf"with batch_size={batch_size}\. Try .*{remedy}"):
        quick(batch_size=batch_size).fit(X, Y)


CPU_IS_FULL = [
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 9000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:75] data. DefaultCPUAllocator: not enough memory"),
    MemoryError("Unable to allocate 9.31 GiB for an array with shape (50000, 25000)"),
]
FULL_AT = {
    "fit": ("citrus_sk.training.nets._cross_entropy", "finetune"),
    "copy of X": ("citrus_sk.estimators.outputs.to_float32", "finetune"),
    "ridge": ("citrus_sk.training.probes.fit_ridge", "auto"),
    "logistic": ("citrus_sk.training.logistic._logistic", "linear-probe"),
}


def raising(error):
    def full(*args, **kwargs):
        raise error

    return full


@pytest.mark.parametrize("error", CPU_IS_FULL, ids=["torch", "torch on Windows", "numpy"])
@pytest.mark.parametrize("place", FULL_AT)
def test_a_machine_out_of_memory_is_explained_wherever_it_happens_in_fit(
    place, error, quick, monkeypatch
):
    name, strategy = FULL_AT[place]
    monkeypatch.setattr(name, raising(error))
    words = r"machine ran out of memory with batch_size=16 \(.*llocat.*\)\. Try batch_size=8.*fewer"
    with pytest.raises(MemoryError, match=words) as raised:
        quick(strategy=strategy, random_kernels=strategy == "auto").fit(X, Y)
    assert "random_kernels=False" in str(raised.value)


@pytest.mark.parametrize("error", CPU_IS_FULL[1:], ids=["torch", "numpy"])
def test_a_machine_out_of_memory_is_explained_in_use_and_in_pretraining(error, quick, monkeypatch):
    clf = quick(strategy="linear-probe").fit(X, Y)
    embedder = CitrusEmbedder(pretrained=None, preset="tiny", random_state=0).fit(X)
    pretrainer = CitrusPretrainer(preset="tiny", max_steps=1, random_state=0).fit(X)
    calls = [lambda: clf.predict(X), lambda: embedder.transform(X), lambda: pretrainer.transform(X)]
    with monkeypatch.context() as patch:
        patch.setattr("citrus_sk.nn.CitrusNetwork.features", raising(error))
        for call in calls:
            with pytest.raises(MemoryError, match="This machine ran out of memory"):
                call()
    monkeypatch.setattr("citrus_sk.training.pretraining.run.window_losses", raising(error))
    with pytest.raises(MemoryError, match="This machine ran out of memory"):
        pretrainer.fit(X)


def test_other_errors_of_torch_pass_through_as_they_are(quick, monkeypatch):
    error = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    monkeypatch.setattr("citrus_sk.training.nets._cross_entropy", raising(error))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as raised:
        quick().fit(X, Y)
    assert raised.value is error
