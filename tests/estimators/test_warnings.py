"""Warnings that are ignored without a trace."""

import warnings

import pytest

from citrus_sk._utils.warnings import ignored


def test_blocks_that_overlap_as_in_threads_leave_the_filters_as_they_were():
    before = list(warnings.filters)
    first, second = ignored(UserWarning), ignored(UserWarning)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    warnings.warn("not seen by anyone", UserWarning, stacklevel=1)
    second.__exit__(None, None, None)
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="seen again"):
        warnings.warn("seen again", UserWarning, stacklevel=1)
