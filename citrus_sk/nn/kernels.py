"""Random convolution: fixed kernels, pooled to shares of samples above thresholds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .dtype import DTYPE
from .onnx_ops import longest_run

_LENGTH, _POSITIVES = 9, 3
_N_DILATIONS, _N_THRESHOLDS, _N_RUNS = 12, 4, 1
_REFERENCES = 32  # training windows whose responses give the thresholds
_AT_ONCE = 16  # windows; the responses of 84 kernels to each of them fit in the cache
_SOFTNESS = 0.02  # in units of the input; rounding must not move a sample across a threshold
_GOLDEN = (math.sqrt(5) + 1) / 2


def kernel_shapes() -> Tensor:
    """The 84 kernels with 3 of 9 taps positive and the others negative; each sums to zero."""
    return torch.tensor(_taps(), dtype=DTYPE) / 3


@cache
def _positives() -> np.ndarray:
    """The three positive taps of each kernel, ``(84, 3)``."""
    return np.array(list(itertools.combinations(range(_LENGTH), _POSITIVES)))


@cache
def _taps() -> np.ndarray:
    taps = np.full((len(_positives()), _LENGTH), -1.0, np.float32)
    np.put_along_axis(taps, _positives(), 2.0, axis=1)
    return taps


@cache
def _compiled() -> Callable[..., None] | None:
    """The kernels compiled by numba, or None where it is not installed."""
    try:
        from .compiled import pool_windows
    except (ImportError, RuntimeError):  # or no folder for its cache can be written to
        return None
    return pool_windows


def dilations_of(n_times: int) -> list[int]:
    """Distances between taps, from 1 to an eighth of the window in equal ratios."""
    longest = max(1, (n_times - 1) // (_LENGTH - 1))
    powers = (i / (_N_DILATIONS - 1) for i in range(_N_DILATIONS))
    return sorted({round(longest**power) for power in powers})


def longest_run_share(above: Tensor) -> Tensor:
    """Length of the longest run of True along the last axis, as a share of all samples.

    Parameters
    ----------
    above : Tensor of bool, shape (..., n_times)
        True for samples above a threshold.

    Returns
    -------
    Tensor of float32, shape (...)
        Shares in [0, 1].
    """
    n_times = above.shape[-1]
    # A False before each row and after the last one separates the runs of different rows.
    flat = F.pad(F.pad(above, (1, 0)).flatten(), (0, 1))
    begin, end = (flat[1:] ^ flat[:-1]).nonzero()[:, 0].reshape(-1, 2).unbind(1)
    longest = torch.zeros(above.shape[:-1].numel(), dtype=begin.dtype, device=above.device)
    longest.scatter_reduce_(0, begin // (n_times + 1), end - begin, "amax")
    return (longest.to(DTYPE) / n_times).reshape(above.shape[:-1])


class KernelBank(nn.Module):
    """Share of each window in which the response of a fixed kernel exceeds a threshold.

    The kernels are those of MiniRocket (Dempster et al., 2021): 84 shapes at 12 dilations, each on
    a random set of channels. Thresholds are quantiles of the responses to training windows. The
    transition at a threshold is a short ramp instead of a step, so a feature hardly changes if the
    rounding differs for another batch size.

    The length of the longest run above one of the thresholds can be pooled in addition, as in
    MultiRocket (Tan et al., 2022). It distinguishes one long event from many short ones, for which
    the share is the same.

    Parameters
    ----------
    n_chans, n_times : int
        Shape of a window.
    runs : bool, default=False
        Whether longest runs are pooled as well.

    Attributes
    ----------
    views : list of int
        Number of shares and, with `runs`, number of longest runs, which follow them.
    """

    thresholds: Tensor
    channels: Tensor

    def __init__(self, n_chans: int, n_times: int, runs: bool = False) -> None:
        super().__init__()
        self.dilations = dilations_of(n_times)
        n, n_kernels = len(self.dilations), math.comb(_LENGTH, _POSITIVES)
        self.n_runs = _N_RUNS if runs else 0
        self.views = [n * n_kernels * k for k in (_N_THRESHOLDS, self.n_runs) if k]
        self.register_buffer("thresholds", torch.zeros(n, n_kernels, _N_THRESHOLDS, dtype=DTYPE))
        self.register_buffer("channels", torch.ones(n, n_kernels, n_chans, dtype=DTYPE))

    @torch.no_grad()
    def fit(self, x: Tensor, seed: int) -> None:
        """Draw the channels of each kernel, and set its thresholds by training windows ``x``."""
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
        quantiles = (rank * _GOLDEN % 1).float().reshape(self.thresholds.shape)
        references = x[torch.randperm(len(x), generator=generator)[:_REFERENCES].to(x.device)]
        picked = torch.randint(len(references), (n_dilations, n_kernels), generator=generator)
        for i in range(n_dilations):
            responses = self._convolve_each(references[picked[i].to(x.device)], i).cpu()
            # numpy sorts rows of single precision ten times as fast as torch does.
            ordered = torch.from_numpy(np.sort(responses.numpy()))
            index = (quantiles[i] * (ordered.shape[-1] - 1)).round().long()
            self.thresholds[i].copy_(ordered.gather(1, index))

    @torch.no_grad()
    def leave_out(self, absent: Sequence[int]) -> Tensor:
        """Compute the kernels without some channels.

        The thresholds are reduced as much as the sd of a sum of fewer independent channels.

        Parameters
        ----------
        absent : sequence of int
            Indices of channels.

        Returns
        -------
        Tensor of shape (sum(views),)
            1 for features that have a channel left, and 0 for the others.
        """
        n_before = self.channels.sum(-1)
        self.channels[..., list(absent)] = 0.0
        share = self.channels.sum(-1) / n_before
        self.thresholds.mul_(share.sqrt()[..., None])
        left = (share > 0).to(DTYPE)[:, None]
        return torch.cat([left.expand(-1, k, -1).flatten() for k in (_N_THRESHOLDS, self.n_runs)])

    def _convolve(self, x: Tensor, i: int) -> Tensor:
        return dilated(x[:, :, None], self._kernels(x, i), self.dilations[i])[:, :, 0]

    def _convolve_each(self, x: Tensor, i: int) -> Tensor:
        """Response of each kernel to a window of its own, ``(84, n_chans, n_times)``."""
        x = x.flatten(0, 1)[None, :, None]
        return dilated(x, self._kernels(x, i), self.dilations[i])[0, :, 0]

    def _kernels(self, x: Tensor, i: int) -> Tensor:
        kernels = kernel_shapes().to(x)[:, None, :] * self.channels[i, :, :, None].to(x)
        return kernels[:, :, None]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """``(n_windows, n_chans, n_times)`` to shares in [0, 1], ``(n_windows, sum(views))``."""
        if torch.compiler.is_exporting():  # a graph cannot loop over any number of chunks
            return self._pool_at_once(x)
        pool = _compiled() if x.device.type == "cpu" else None
        if pool is not None:
            return self._pool_compiled(x, pool)
        return torch.cat([self._pool(part) for part in x.split(_AT_ONCE)])

    def _pool_compiled(self, x: Tensor, pool: Callable[..., None]) -> Tensor:
        """`_pool` by numba, in this thread."""
        features = torch.empty(len(x), sum(self.views), dtype=DTYPE)
        fixed = (
            _positives(),
            self.channels.numpy() > 0,
            np.array(self.dilations),
            self.thresholds.numpy(),
            self.n_runs,
            _SOFTNESS,
        )
        pool(x.contiguous().numpy(), *fixed, features.numpy())
        return features

    def _pool(self, x: Tensor) -> Tensor:
        shares, runs = [], []
        for i in range(len(self.dilations)):
            responses = self._convolve(x, i)
            for j, threshold in enumerate(self.thresholds[i].unbind(-1)):
                foot = threshold[:, None] - _SOFTNESS / 2
                above = (responses - foot).clamp_(0.0, _SOFTNESS).sum(-1)
                shares.append(above / (_SOFTNESS * responses.shape[-1]))
                if j < self.n_runs:
                    # From the top of the ramp, because a threshold equals a response, and a
                    # rounding error there would split a run.
                    runs.append(longest_run_share(responses > foot + _SOFTNESS))
        return torch.cat(shares + runs, dim=1)

    def _pool_at_once(self, x: Tensor) -> Tensor:
        """`_pool` with a quarter of the operations, because each of them slows down an export."""
        n_times, shares, runs = x.shape[-1], [], []
        x, kernels = x[:, :, None], kernel_shapes()[:, None, None] * self.channels[..., None, None]
        feet = self.thresholds.mT[..., None] - _SOFTNESS / 2
        tops = feet[:, : self.n_runs] + _SOFTNESS
        by_dilation = zip(
            kernels.unbind(), feet.unbind(), tops.unbind(), self.dilations, strict=True
        )
        for kernel, foot, top, distance in by_dilation:
            responses = dilated(x, kernel, distance).transpose(1, 2)
            shares.append((responses - foot).clamp(0.0, _SOFTNESS).sum(-1).flatten(1))
            if self.n_runs:
                runs.append(longest_run(responses > top).flatten(1))
        parts = [torch.cat(shares, dim=1) / (_SOFTNESS * n_times)]
        parts += [torch.cat(runs, dim=1) / n_times] if runs else []
        return torch.cat(parts, dim=1)


def dilated(x: Tensor, kernels: Tensor, distance: int) -> Tensor:
    """Responses of kernels with `distance` samples between their taps.

    With more channels in `x` than in a kernel, each kernel has channels of its own.
    """
    # conv2d with a dimension of size 1, because torch's dilated conv1d takes twice as long.
    padding = (0, _LENGTH // 2 * distance)
    groups = x.shape[1] // kernels.shape[1]
    return F.conv2d(x, kernels, dilation=(1, distance), padding=padding, groups=groups)


class RandomKernels(nn.Module):
    """Three banks of kernels, on normalised channels, on their differences, and on scaled channels.

    The input of the third bank is each channel in units of its sd over all training windows, which
    keeps its amplitude and its level. The input of the network and of the other two banks has only
    the shape of the signal.

    Attributes
    ----------
    views : list of int
        Sizes of the parts of the feature vector, in their order.
    """

    centre: Tensor
    unit: Tensor

    def __init__(self, n_chans: int, n_times: int) -> None:
        super().__init__()
        self.shape = KernelBank(n_chans, n_times, runs=True)
        self.change = KernelBank(n_chans, max(1, n_times - 1))
        self.amplitude = KernelBank(n_chans, n_times, runs=True)
        self.register_buffer("centre", torch.zeros(n_chans, 1, dtype=DTYPE))
        self.register_buffer("unit", torch.ones(n_chans, 1, dtype=DTYPE))
        self.views = [*self.shape.views, *self.change.views, *self.amplitude.views]

    @property
    def families(self) -> list[int]:
        """Numbers of features of shape and of amplitude."""
        return [sum(self.shape.views) + sum(self.change.views), sum(self.amplitude.views)]

    def fit(self, x: Tensor, z: Tensor, seed: int) -> None:
        """Set scales and thresholds by the raw windows `x` and the normalised windows `z`."""
        wide = x.double()
        centre = wide.mean((0, 2))
        spread = (wide - centre[:, None]).square().mean((0, 2)).sqrt()
        flat = spread <= 1e-6 * centre.abs()
        unit = torch.where(flat, torch.ones_like(spread), spread.clamp_min(1e-30))
        self.centre.copy_(centre[:, None])
        self.unit.copy_(unit[:, None])
        self.shape.fit(z, seed)
        self.change.fit(_difference(z), seed + 1)
        self.amplitude.fit(self._scale(x), seed + 2)

    def leave_out(self, absent: Sequence[int]) -> Tensor:
        """Compute the kernels without some channels; see `KernelBank.leave_out`."""
        banks = (self.shape, self.change, self.amplitude)
        return torch.cat([bank.leave_out(absent) for bank in banks])

    def _scale(self, x: Tensor) -> Tensor:
        return ((x - self.centre) / self.unit).clamp(-100.0, 100.0)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Features ``(n_windows, sum(views))`` of raw windows `x` and normalised windows `z`."""
        parts = [self.shape(z), self.change(_difference(z)), self.amplitude(self._scale(x))]
        return torch.cat(parts, dim=1)


def _difference(z: Tensor) -> Tensor:
    return z.diff(dim=-1) if z.shape[-1] > 1 else z
