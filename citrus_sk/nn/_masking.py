"""Which tokens are hidden: runs of a given length that make up a given share."""

from __future__ import annotations

import torch
from torch import Tensor

from ._config import DTYPE


def draw_mask(
    n_windows: int,
    n_tokens: int,
    ratio: float,
    run_length: tuple[int, int],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw, for each window, which of its tokens are hidden.

    Every window hides the same number of tokens, in runs with at least one visible token between
    two of them. Where the share cannot be cut into such runs (a window of few tokens), there are
    as few runs as fit.

    Parameters
    ----------
    n_windows, n_tokens : int
    ratio : float
        Share that is hidden, between 0 and 1; at least one token is hidden and one is not.
    run_length : tuple of two int
        Shortest and longest run.
    generator : torch.Generator, optional
        Of the CPU.

    Returns
    -------
    Tensor of bool of shape (n_windows, n_tokens)
        On the CPU; true where hidden.
    """
    n_hidden = min(max(1, round(ratio * n_tokens)), n_tokens - 1)
    n_visible = n_tokens - n_hidden
    shortest, longest = run_length
    fewest = -(-n_hidden // longest)
    most = max(fewest, min(n_hidden // shortest, n_visible + 1))
    n_runs = int(torch.randint(fewest, most + 1, (), generator=generator))
    n_runs = min(n_runs, n_visible + 1)

    shortest, longest = min(shortest, n_hidden // n_runs), max(longest, -(-n_hidden // n_runs))
    lengths = _share_out(n_windows, n_hidden, n_runs, shortest, longest, generator)
    free = n_visible - (n_runs - 1)
    cuts = torch.randint(0, free + 1, (n_windows, n_runs), generator=generator).sort(1).values
    # The i-th run stands behind the free tokens before its cut, the earlier runs, and one
    # visible token for each of those.
    starts = cuts + lengths.cumsum(1) - lengths + torch.arange(n_runs)
    position = torch.arange(n_tokens)[:, None]
    inside = (position >= starts[:, None]) & (position < (starts + lengths)[:, None])
    return inside.any(2)


def _share_out(
    n_windows: int,
    total: int,
    n_runs: int,
    shortest: int,
    longest: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Cut `total` into `n_runs` lengths between `shortest` and `longest` for each window."""
    lengths = torch.full((n_windows, n_runs), shortest)
    rows = torch.arange(n_windows)
    for _ in range(total - n_runs * shortest):
        chance = torch.rand(n_windows, n_runs, generator=generator, dtype=DTYPE)
        chance[lengths >= longest] = -1.0
        lengths[rows, chance.argmax(1)] += 1
    return lengths
