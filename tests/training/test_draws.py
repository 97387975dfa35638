"""Random numbers of one's own: fits beside one another, and beside others that draw."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from citrus_sk import (
    CitrusClassifier,
    CitrusEmbedder,
    CitrusPretrainer,
    CitrusRegressor,
    ModuleClassifier,
)
from citrus_sk._utils.devices import isolated_seed
from citrus_sk.nn import PRESETS, Trunk, dropout_from
from citrus_sk.training.draws import own_draws

CPU = torch.device("cpu")
SMALL = {"pretrained": None, "preset": "tiny"}
TRAINED = SMALL | {"max_epochs": 2, "random_kernels": False}


class Draw(Callback):
    """A callback that changes the training by global random numbers."""

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            with torch.no_grad():
                noise = np.random.standard_normal() + float(torch.randn(()))  # noqa: NPY002
                net.module_.head.linear.bias.add_(0.01 * noise)


def jitter(X, y):
    return X + 0.1 * torch.randn_like(X) * float(np.random.random()), y  # noqa: NPY002


ESTIMATORS = [
    CitrusClassifier(**TRAINED),
    CitrusClassifier(**SMALL, random_kernels=False, strategy="linear-probe"),
    CitrusClassifier(**SMALL),
    CitrusClassifier(**TRAINED, callbacks=[Draw()]),
    CitrusClassifier(**TRAINED, augmentation=jitter),
    ModuleClassifier(module="ShallowFBCSPNet", max_epochs=1),
    CitrusRegressor(**TRAINED, strategy="finetune"),
    CitrusEmbedder(**SMALL),
    CitrusPretrainer(preset="tiny", max_steps=2),
]
NAMES = [
    "fine-tuned", "probe", "kernels", "callback", "augmented", "module", "regressor", "embedder",
    "pretrainer",
]  # fmt: skip


def outcome(estimator, seed, X, y):
    """Answers of a new model that was stored and loaded."""
    model = clone(estimator).set_params(random_state=seed).fit(X, y)
    model = pickle.loads(pickle.dumps(model))
    for method in ("predict_proba", "predict", "transform"):
        if hasattr(model, method):
            return getattr(model, method)(X)
    raise AssertionError


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=NAMES)
def test_fits_in_threads_give_the_bits_of_fits_in_turn(estimator, tones):
    X, y = tones[0][::2], tones[1][::2]
    seeds = [0, 1, 0]
    expected = [outcome(estimator, seed, X, y) for seed in seeds]
    together = threading.Barrier(3)

    def fit(seed):
        together.wait()
        return outcome(estimator, seed, X, y)

    with ThreadPoolExecutor(3) as pool:
        for found, right in zip(pool.map(fit, seeds), expected, strict=True):
            assert_array_equal(found, right)


@pytest.mark.parametrize("estimator", [ESTIMATORS[0], ESTIMATORS[8]], ids=["fit", "pretrain"])
def test_a_thread_that_draws_meanwhile_disturbs_no_fit_and_is_not_disturbed(estimator, tones):
    X, y = tones[0][::2], tones[1][::2]
    expected = outcome(estimator, 3, X, y)
    done = threading.Event()

    def draw(numbers):
        numbers.append((float(torch.rand(())), np.random.random()))  # noqa: NPY002

    with isolated_seed(5, CPU):
        seen = []
        with ThreadPoolExecutor(1) as pool:

            def go_on():
                while not done.is_set():
                    draw(seen)

            drawing = pool.submit(go_on)
            try:
                assert_array_equal(outcome(estimator, 3, X, y), expected)
            finally:
                done.set()
            drawing.result()
    undisturbed = []
    with isolated_seed(5, CPU):
        for _ in seen:
            draw(undisturbed)
    assert len(seen) > 100
    assert seen == undisturbed


def test_weights_are_those_that_a_global_seed_would_give():
    def build():
        return nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 5), nn.Conv1d(2, 3, 5)), torch.randn(3)

    with isolated_seed(7, CPU):
        layers, noise = build()
    with own_draws(7, CPU) as draws:
        others, other_noise = draws.make(build)
    assert torch.equal(noise, other_noise)
    for one, other in zip(layers.parameters(), others.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_dropout_is_what_a_global_seed_would_give_to_the_bit(preset):
    with own_draws(0, CPU) as draws:
        trunk = draws.make(lambda: Trunk(PRESETS[preset])).train()
        z = torch.randn(2, 700, generator=draws.generator)

    def outputs():
        trunk.zero_grad()
        sequence = trunk(z)[1]
        sequence.square().sum().backward()
        return [sequence.detach(), *(each.grad.clone() for each in trunk.parameters())]

    with isolated_seed(3, CPU):
        expected = outputs()
    with dropout_from(torch.Generator().manual_seed(3)):
        found = outputs()
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not torch.equal(trunk.eval()(z)[1], expected[0])  # it does drop out


def test_a_draw_that_takes_no_generator_is_an_error_and_moves_nothing():
    with own_draws(0, CPU) as draws, pytest.raises(NotImplementedError, match="native_dropout"):
        draws.make(lambda: torch.native_dropout(torch.ones(5), 0.5, True))


# --- what a caller has switched on for the whole process -----------------------------------------


@pytest.fixture
def switched(request):
    """Something switched on around a call, and off again."""
    name = request.param
    if name == "default device":
        torch.set_default_device("meta")
        yield
        torch.set_default_device(None)
    elif name == "deterministic":
        torch.use_deterministic_algorithms(True)
        yield
        torch.use_deterministic_algorithms(False)
    elif name in ("float64", "bfloat16"):
        torch.set_default_dtype(getattr(torch, name))
        yield
        torch.set_default_dtype(torch.float32)
    else:
        context = {
            "inference mode": torch.inference_mode,
            "no_grad": torch.no_grad,
            "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
            "numpy errors": lambda: np.errstate(all="raise"),
        }[name]
        with context():
            yield


@pytest.fixture(scope="module")
def usual(tones):
    """Outcomes with nothing switched on."""
    X, y = tones[0][::2], tones[1][::2]
    X = np.stack([X[:, 0], X[::-1, 0]], axis=1)  # of two channels, which have a covariance
    return X, y, [outcome(each, 0, X, y) for each in ESTIMATORS]


@pytest.mark.parametrize(
    "switched",
    ["inference mode", "no_grad", "autocast", "numpy errors", "default device", "deterministic",
     "float64", "bfloat16"],
    indirect=True,
)  # fmt: skip
def test_what_is_switched_on_around_a_fit_changes_no_bit(switched, usual):
    X, y, expected = usual
    for estimator, right in zip(ESTIMATORS, expected, strict=True):
        assert_array_equal(outcome(estimator, 0, X, y), right)


def test_a_default_dtype_and_modes_are_left_as_they_were(tones):
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode():
            ESTIMATORS[5].fit(*tones)
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_model_that_was_loaded_in_inference_mode_can_still_be_differentiated(tones):
    data = pickle.dumps(ESTIMATORS[0].fit(*tones))
    with torch.inference_mode():
        module = pickle.loads(data).net_.module_
    module(torch.zeros(1, 1, 128)).sum().backward()
    assert module.head.linear.weight.grad is not None
