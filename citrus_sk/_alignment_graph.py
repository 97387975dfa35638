"""What a fitted `SignalAligner` does to windows of one length, as a torch module."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._aligner import SignalAligner
from ._resampling import Operator, first_centred, operator_stages


def alignment_graph(aligner: SignalAligner) -> nn.Module:
    """A module from ``(n_windows, n_chans, n_times_)`` to ``(..., n_times_out_)``."""
    assert aligner.n_times_ is not None
    n_in, n_out, method = aligner.n_times_, aligner.n_times_out_, aligner.method_
    if method == "native":
        return nn.Identity()
    if method == "crop":
        return _Placed(n_out, 0)
    if method == "pad":
        return _Placed(n_out, first_centred(n_in, n_out))
    if method == "resample":
        return _Resampled(n_in, n_out, n_in / n_out, 0)
    assert aligner.sfreq_ is not None
    step = aligner.sfreq_ / aligner.target_sfreq_
    n_all = round(n_in / step)
    if n_all >= n_out:
        return _Resampled(n_in, n_out, step, first_centred(n_all, n_out))
    return _Padded(_Resampled(n_in, n_all, step, 0), _Placed(n_out, first_centred(n_all, n_out)))


class _Placed(nn.Module):
    """`n_out` samples from number `first` on, zeros where there are none."""

    def __init__(self, n_out: int, first: int) -> None:
        super().__init__()
        self.n_out, self.first = n_out, first

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., max(0, self.first) : max(0, self.first) + self.n_out]
        missing = self.n_out - x.shape[-1]
        if not missing:
            return x
        before = max(0, -self.first)
        return F.pad(x, (before, missing - before))


class _Padded(nn.Module):
    """Resampled, and filled up with the mean that each channel had before."""

    def __init__(self, resampled: nn.Module, placed: nn.Module) -> None:
        super().__init__()
        self.resampled, self.placed = resampled, placed

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean(-1, keepdim=True)
        return self.placed(self.resampled(x) - level) + level


class _Resampled(nn.Module):
    """`resample` with the same matrices."""

    def __init__(self, n_in: int, n_out: int, step: float, first: int) -> None:
        super().__init__()
        self.n_out, self.first, self.unchanged = n_out, first, step == 1
        self.spacing = max(1, n_in // 256)
        stages = [] if self.unchanged else operator_stages(n_in, n_out, step, first)
        self.stages = nn.Sequential(*(_Banded(operator) for operator, _ in stages))

    def forward(self, x: Tensor) -> Tensor:
        if self.unchanged:
            return x[..., self.first : self.first + self.n_out]
        level = x[..., :: self.spacing].mean(-1, keepdim=True)
        return self.stages(x - level) + level


class _Banded(nn.Module):
    """A product with a banded matrix, block by block; equal blocks are kept once."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        distinct: dict[int, np.ndarray] = {id(weights): weights for _, _, weights in operator}
        names = {key: f"block_{place}" for place, key in enumerate(distinct)}
        for key, weights in distinct.items():
            self.register_buffer(names[key], torch.tensor(weights))
        self.blocks = [(lo, hi, names[id(weights)]) for lo, hi, weights in operator]

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[..., lo:hi] @ self.get_buffer(name) for lo, hi, name in self.blocks]
        return torch.cat(parts, -1)
