"""Random convolution: fixed kernels, pooled into how much and how long at once each is active."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import DTYPE
from .onnx_ops import longest_run

_LENGTH, _POSITIVES = 9, 3
_N_DILATIONS, _N_THRESHOLDS, _N_STRETCHES = 12, 4, 1
_REFERENCES = 32  # training windows that thresholds are read from
_AT_ONCE = 16  # windows: what 84 answers to each of them take should stay near the cache
_SOFTNESS = 0.02  # in units of the input: rounding must not flip a sample across a threshold
_GOLDEN = (math.sqrt(5) + 1) / 2


def _shapes() -> Tensor:
    """All 84 ways of lifting 3 of 9 taps above the others; every kernel sums to zero."""
    positives = itertools.combinations(range(_LENGTH), _POSITIVES)
    rows = [[2.0 if tap in places else -1.0 for tap in range(_LENGTH)] for places in positives]
    return torch.tensor(rows, dtype=DTYPE) / 3


def _dilations(n_times: int) -> list[int]:
    """Distances between taps: from neighbours to an eighth of the window, evenly in logarithm."""
    longest = max(1, (n_times - 1) // (_LENGTH - 1))
    powers = (i / (_N_DILATIONS - 1) for i in range(_N_DILATIONS))
    return sorted({round(longest**power) for power in powers})


def longest_stretch(above: Tensor) -> Tensor:
    """Share of its samples that the longest run of True takes, along the last axis.

    Parameters
    ----------
    above : Tensor of bool, shape (..., n_times)

    Returns
    -------
    Tensor of float32, shape (...)
    """
    n_times = above.shape[-1]
    # One False before each row and one at the very end: every run begins and ends within its row.
    flat = F.pad(F.pad(above, (1, 0)).flatten(), (0, 1))
    begin, end = (flat[1:] ^ flat[:-1]).nonzero()[:, 0].reshape(-1, 2).unbind(1)
    longest = torch.zeros(above.shape[:-1].numel(), dtype=begin.dtype, device=above.device)
    longest.scatter_reduce_(0, begin // (n_times + 1), end - begin, "amax")
    return (longest.to(DTYPE) / n_times).reshape(above.shape[:-1])


class KernelBank(nn.Module):
    """Share of each window in which a fixed kernel's answer exceeds a threshold.

    The kernels are those of MiniRocket (Dempster et al., 2021): 84 shapes at 12 dilations, each on
    a random set of channels. Thresholds are quantiles of the answers to training windows. A step
    between below and above is a short ramp instead of a jump, which keeps a feature where it is
    when a batch of another size rounds differently.

    Beside these shares stands the longest stretch above one of the thresholds, as MultiRocket
    (Tan et al., 2022) pools it: a share is the same for one long event and for many short ones.

    Parameters
    ----------
    n_chans, n_times : int
        Shape of a window.
    stretches : bool, default=False
        Whether longest stretches are pooled as well.

    Attributes
    ----------
    views : list of int
        Numbers of shares and, with `stretches`, of stretches, which follow them.
    """

    thresholds: Tensor
    channels: Tensor

    def __init__(self, n_chans: int, n_times: int, stretches: bool = False) -> None:
        super().__init__()
        self.dilations = _dilations(n_times)
        n, n_kernels = len(self.dilations), math.comb(_LENGTH, _POSITIVES)
        self.n_stretches = _N_STRETCHES if stretches else 0
        self.views = [n * n_kernels * k for k in (_N_THRESHOLDS, self.n_stretches) if k]
        self.register_buffer("thresholds", torch.zeros(n, n_kernels, _N_THRESHOLDS, dtype=DTYPE))
        self.register_buffer("channels", torch.ones(n, n_kernels, n_chans, dtype=DTYPE))

    @torch.no_grad()
    def fit(self, x: Tensor, seed: int) -> None:
        """Draw each kernel's channels, and its thresholds from windows ``x``."""
        generator = torch.Generator().manual_seed(seed)
        n_dilations, n_kernels, n_chans = self.channels.shape
        if n_chans > 1:
            sizes = 2 ** (
                torch.rand(n_dilations, n_kernels, generator=generator, dtype=DTYPE)
                * math.log2(min(n_chans, _LENGTH) + 1)
            )
            drawn = torch.rand(self.channels.shape, generator=generator, dtype=DTYPE)
            ranks = drawn.argsort(-1).argsort(-1)
            self.channels.copy_((ranks < sizes.int()[..., None]).float())
        rank = torch.arange(1, self.thresholds.numel() + 1, dtype=torch.float64)
        levels = (rank * _GOLDEN % 1).float().reshape(self.thresholds.shape)
        references = x[torch.randperm(len(x), generator=generator)[:_REFERENCES].to(x.device)]
        picked = torch.randint(len(references), (n_dilations, n_kernels), generator=generator)
        for i in range(n_dilations):
            answers = self._convolve(references, i).cpu()
            own = answers[picked[i], torch.arange(n_kernels)].sort(-1).values
            place = (levels[i] * (own.shape[-1] - 1)).round().long()
            self.thresholds[i].copy_(own.gather(1, place))

    def _convolve(self, x: Tensor, i: int) -> Tensor:
        kernels = _shapes().to(x)[:, None, :] * self.channels[i, :, :, None].to(x)
        return _dilated(x[:, :, None], kernels[:, :, None], self.dilations[i])[:, :, 0]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """``(n_windows, n_chans, n_times)`` to numbers in [0, 1], ``(n_windows, sum(views))``."""
        if torch.compiler.is_exporting():  # a graph has no loop over batches of any size
            return self._pool_at_once(x)
        return torch.cat([self._pool(part) for part in x.split(_AT_ONCE)])

    def _pool(self, x: Tensor) -> Tensor:
        shares, stretches = [], []
        for i in range(len(self.dilations)):
            answers = self._convolve(x, i)
            for j, threshold in enumerate(self.thresholds[i].unbind(-1)):
                foot = threshold[:, None] - _SOFTNESS / 2
                above = (answers - foot).clamp_(0.0, _SOFTNESS).sum(-1)
                shares.append(above / (_SOFTNESS * answers.shape[-1]))
                if j < self.n_stretches:
                    # From the top of the ramp: a threshold is itself an answer, and rounding must
                    # not tear the stretch that it stands in.
                    stretches.append(longest_stretch(answers > foot + _SOFTNESS))
        return torch.cat(shares + stretches, dim=1)

    def _pool_at_once(self, x: Tensor) -> Tensor:
        """The same with a quarter of the operations, which is what an export takes time for."""
        n_times, shares, stretches = x.shape[-1], [], []
        x, kernels = x[:, :, None], _shapes()[:, None, None] * self.channels[..., None, None]
        feet = self.thresholds.mT[..., None] - _SOFTNESS / 2
        tops = feet[:, : self.n_stretches] + _SOFTNESS
        each = zip(kernels.unbind(), feet.unbind(), tops.unbind(), self.dilations, strict=True)
        for kernel, foot, top, distance in each:
            answers = _dilated(x, kernel, distance).transpose(1, 2)
            shares.append((answers - foot).clamp(0.0, _SOFTNESS).sum(-1).flatten(1))
            if self.n_stretches:
                stretches.append(longest_run(answers > top).flatten(1))
        parts = [torch.cat(shares, dim=1) / (_SOFTNESS * n_times)]
        parts += [torch.cat(stretches, dim=1) / n_times] if stretches else []
        return torch.cat(parts, dim=1)


def _dilated(x: Tensor, kernels: Tensor, distance: int) -> Tensor:
    # In two dimensions, of which one is 1: torch's dilated conv1d takes twice as long.
    padding = (0, _LENGTH // 2 * distance)
    return F.conv2d(x, kernels, dilation=(1, distance), padding=padding)


class RandomKernels(nn.Module):
    """Three banks: on normalised channels, on their differences, and on the signal's own scale.

    The third is given every channel in units of its sd over all training windows. Amplitude, and
    level where a sensor has one, remain in it: the network and the other two banks see shape
    alone.

    Attributes
    ----------
    views : list of int
        Sizes of the parts, in the order in which they stand in the vector.
    """

    centre: Tensor
    unit: Tensor

    def __init__(self, n_chans: int, n_times: int) -> None:
        super().__init__()
        self.shape = KernelBank(n_chans, n_times, stretches=True)
        self.change = KernelBank(n_chans, max(1, n_times - 1))
        self.level = KernelBank(n_chans, n_times, stretches=True)
        self.register_buffer("centre", torch.zeros(n_chans, 1, dtype=DTYPE))
        self.register_buffer("unit", torch.ones(n_chans, 1, dtype=DTYPE))
        self.views = [*self.shape.views, *self.change.views, *self.level.views]

    @property
    def families(self) -> list[int]:
        """Numbers of features that judge together: those of shape, and those of amplitude."""
        return [sum(self.shape.views) + sum(self.change.views), sum(self.level.views)]

    def fit(self, x: Tensor, z: Tensor, seed: int) -> None:
        """Take scales and thresholds from the raw windows `x` and the normalised ones `z`."""
        wide = x.double()
        centre = wide.mean((0, 2))
        spread = (wide - centre[:, None]).square().mean((0, 2)).sqrt()
        flat = spread <= 1e-6 * centre.abs()
        unit = torch.where(flat, torch.ones_like(spread), spread.clamp_min(1e-30))
        self.centre.copy_(centre[:, None])
        self.unit.copy_(unit[:, None])
        self.shape.fit(z, seed)
        self.change.fit(_difference(z), seed + 1)
        self.level.fit(self._scale(x), seed + 2)

    def _scale(self, x: Tensor) -> Tensor:
        return ((x - self.centre) / self.unit).clamp(-100.0, 100.0)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Raw and normalised windows to ``(n_windows, sum(views))``."""
        parts = [self.shape(z), self.change(_difference(z)), self.level(self._scale(x))]
        return torch.cat(parts, dim=1)


def _difference(z: Tensor) -> Tensor:
    return z.diff(dim=-1) if z.shape[-1] > 1 else z
