"""Results are those that were stored: of the shipped checkpoints, the probes and the aligner."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference.make_reference import ENTRIES, FILE

STORED = dict(np.load(FILE))
# What another CPU, BLAS or torch may round differently. Training magnifies it.
TOLERANCES = {"finetune": 2e-2, "pretrainer": 2e-2}
DEFAULT = 2e-3


def test_each_result_is_stored():
    assert set(STORED) == set(ENTRIES)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_result_is_that_which_was_stored(name):
    tolerance = TOLERANCES.get(name, DEFAULT)
    expected = STORED[name]
    scale = np.abs(expected).max()
    assert_allclose(ENTRIES[name](), expected, rtol=tolerance, atol=tolerance * min(scale, 1.0))
