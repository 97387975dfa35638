"""A share of the commands in benchmarks/reliability on determinism, numerics and load."""

import gc
import importlib
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from citrus_sk import CitrusClassifier, list_pretrained

COMMANDS = Path(__file__).parents[2] / "benchmarks" / "reliability"


@pytest.fixture(scope="module")
def command():
    """A function that imports one of the commands, which are scripts and no package."""
    sys.path.insert(0, str(COMMANDS))
    yield importlib.import_module
    sys.path.remove(str(COMMANDS))
    for name in ("determinism", "numerics", "load"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def determinism(command):
    return command("determinism")


@pytest.fixture(scope="module", params=["aligned classifier", "fine-tuned classifier"])
def case(request, determinism):
    return determinism.Case(request.param, 20)


@pytest.fixture(scope="module")
def model(case):
    return case.fit()


@pytest.mark.parametrize(
    "condition",
    ["torch threads 1, 2, 3, 5", "four threads of Python at once", "global generators drawn from"],
)
def test_fits_and_predictions_have_the_same_bits(determinism, case, model, condition):
    found = determinism.CONDITIONS[condition](case, model, np.random.default_rng(0))
    expected = case.predict(model)
    for output in found if isinstance(found, list) else [found]:
        assert_array_equal(output, expected)


def test_a_fit_has_the_same_bits_with_rows_in_another_order(case, model):
    other = case.fit(np.random.default_rng(0).permutation(case.n_windows))
    assert_array_equal(case.predict(other), case.predict(model))


@pytest.mark.parametrize("condition", ["rows in another order", "other batches in predict"])
def test_batches_and_their_order_change_rounding_alone(determinism, case, condition):
    _, _, largest = determinism.tried(determinism.CONDITIONS[condition], 1, [case])
    assert largest < 1e-6


def test_another_process_has_the_same_bits(determinism):
    case = determinism.Case("aligned classifier", 20)
    child = determinism._in_new_process(
        case, PYTHONHASHSEED="7", OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="3"
    )
    assert_array_equal(child, case.run())


@pytest.mark.parametrize("weights", list_pretrained())
def test_single_precision_is_that_of_rounding(command, weights):
    numerics = command("numerics")
    for X, _ in numerics.signals(4).values():
        errors = numerics.errors_of_network(weights, X)
        assert errors["float32"] < 1e-6
        assert errors["features"] < 1e-3
        assert 1e-3 < errors["bfloat16"] < 0.1  # with 8 bits


def test_probabilities_and_ridges_are_those_of_higher_precision(command):
    numerics = command("numerics")
    X, y = numerics.signals(30)["watch"]
    assert numerics.error_of_probabilities(X, y) < 1e-5
    assert numerics.error_of_ridge(X, y) < 1e-9


def test_calls_from_eight_threads_have_the_bits_of_calls_in_turn(command):
    load = command("load")
    assert load.in_threads(8, 2, load.Windows(20)) == (16, 16)


def test_a_fit_leaves_no_network_behind(command):
    windows = command("load").Windows(20)
    clf = CitrusClassifier(random_state=0).fit(windows.X, windows.y)
    clf.predict(windows.new)
    network = weakref.ref(clf.net_.module_)
    del clf
    gc.collect()
    assert network() is None
