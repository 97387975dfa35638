"""Outputs are the ones that were stored: no refactoring and no dependency changes them unseen."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from reference.make_reference import ENTRIES, FOLDER, load


@pytest.mark.parametrize("name", ENTRIES)
def test_an_output_is_the_one_that_was_stored(name):
    entry, stored = ENTRIES[name], load(name)
    made = entry.make()
    assert set(made) == set(stored)
    for key, expected in stored.items():
        if np.issubdtype(expected.dtype, np.floating):
            assert_allclose(made[key], expected, entry.rtol, entry.atol, err_msg=key)
        else:
            assert_array_equal(made[key], expected, err_msg=key)


def test_each_stored_file_belongs_to_an_entry_and_all_are_small():
    files = list(FOLDER.glob("*.npz"))
    assert {path.stem for path in files} == set(ENTRIES)
    assert sum(path.stat().st_size for path in files) < 300_000
