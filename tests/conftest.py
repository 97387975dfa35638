"""Shared signals: real smart-watch recordings, cut small enough for two cores."""

import os

import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor

from citrus_sk import CitrusClassifier
from citrus_sk.datasets import load_watch


@pytest.fixture(scope="session")
def watch():
    """A few real windows, ``(n, 6, 128)``: 3 exercises of 6 people, 4 windows each."""
    bunch = load_watch(window_s=2.56)
    chosen = np.unique(bunch.y)[:3]
    rows = [
        row
        for person in np.unique(bunch.groups)[:6]
        for exercise in chosen
        for row in np.flatnonzero((bunch.groups == person) & (bunch.y == exercise))[:4]
    ]
    bunch.X, bunch.y, bunch.groups = bunch.X[rows], bunch.y[rows], bunch.groups[rows]
    bunch.X.flags.writeable = False
    return bunch


@pytest.fixture(scope="session")
def tones():
    """Forty windows of two tones in noise: easy, so that a failure means a fault."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20)
    X = np.sin(np.arange(128) * np.where(y, 0.9, 0.3)[:, None])
    return (X + 0.3 * rng.standard_normal(X.shape))[:, None], y


@pytest.fixture
def quick():
    """Make a classifier that trains in about a second (with random kernels it would only probe)."""

    def make(**parameters):
        settings = {"pretrained": None, "random_kernels": False, "random_state": 0} | parameters
        if settings["pretrained"] is None:
            settings.setdefault("preset", "tiny")
        if settings.get("strategy") != "linear-probe" and not settings["random_kernels"]:
            settings.setdefault("max_epochs", 2)
        return CitrusClassifier(**settings)

    return make


@pytest.fixture
def two_workers():
    """``n_jobs`` of a pool that is closed afterwards: no test inherits workers about to stop."""
    yield 2
    get_reusable_executor().shutdown(wait=True)


def numpy_global_state():
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    return keys.tobytes(), position


@pytest.fixture(autouse=True)
def same_global_state():
    """Nothing in the package may move a global random state or the number of threads."""
    numpy_state = numpy_global_state()
    torch_state, threads = torch.get_rng_state(), torch.get_num_threads()
    environment = {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")}
    yield
    assert {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")} == environment
    assert numpy_global_state() == numpy_state
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads
