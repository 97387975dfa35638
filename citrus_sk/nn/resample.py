"""Alignment to a grid as a layer whose operators the caller computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Blocks ``(lo, hi, weights)``; ``x[..., lo:hi] @ weights`` are the next samples of the output.
Operator = Sequence[tuple[int, int, np.ndarray]]


class Align(nn.Module):
    """Resampling of windows of one length to a grid, which is filled if it is longer.

    The matrices are not part of the state dict, so that it fits windows of any length.

    Parameters
    ----------
    n_in, n_out : int
        Numbers of samples of a window before and after the layer.
    operators : sequence of Operator
        Operators to apply one after the other. If it is empty, the samples do not change.
    first : int
        First sample of the window in the output. If it is negative, the output begins before the
        window and is filled there. Operators already start at `first` if it is positive.
    fill_mean : bool
        Whether to fill with the mean of the channel instead of zeros.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        operators: Sequence[Operator],
        *,
        first: int = 0,
        fill_mean: bool = False,
    ) -> None:
        super().__init__()
        self.n_in, self.n_out, self.first, self.fill_mean = n_in, n_out, first, fill_mean
        self.stages = nn.Sequential(*(Banded(operator) for operator in operators))
        # The mean is subtracted only to keep sums small, so that of some 256 samples is enough.
        self.spacing = max(1, n_in // 256)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if len(self.stages):
            centre = x[..., :: self.spacing].mean(-1, keepdim=True)
            y = self.stages(x - centre) + centre
        else:
            y = x[..., max(0, self.first) : max(0, self.first) + self.n_out]
        missing = self.n_out - y.shape[-1]
        if not missing:
            return y
        before = max(0, -self.first)
        around = (before, missing - before)
        if not self.fill_mean:
            return F.pad(y, around)
        mean = x.mean(-1, keepdim=True)
        return F.pad(y - mean, around) + mean


class Banded(nn.Module):
    """Product with a banded matrix in blocks, of which equal ones are stored once."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        distinct: dict[int, np.ndarray] = {id(weights): weights for _, _, weights in operator}
        names = {key: f"block_{i}" for i, key in enumerate(distinct)}
        for key, weights in distinct.items():
            self.register_buffer(names[key], torch.tensor(weights), persistent=False)
        self.blocks = [(lo, hi, names[id(weights)]) for lo, hi, weights in operator]

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[..., lo:hi] @ self.get_buffer(name) for lo, hi, name in self.blocks]
        return torch.cat(parts, -1)
