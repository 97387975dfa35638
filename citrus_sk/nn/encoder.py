"""Normalisation and residual convolution: from raw samples to a latent sequence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .dtype import DTYPE

SCALARS = ("log_sd", "log_roughness", "offset", "level")
SHORTEST = 32  # samples; shorter windows are interpolated to it, so that latent steps remain
_CLIP = 10.0  # standard deviations
# A channel is constant if its samples differ from their mean by float32 rounding alone.
_ROUNDING = 4e-7


def normalise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise every channel of every window, and return the removed quantities as scalars.

    Parameters
    ----------
    x : Tensor of shape (..., n_times)
        Channels of any physical scale.

    Returns
    -------
    z : Tensor of shape (..., n_times)
        Channels with mean 0 and sd 1, clipped at 10 sd; all zeros if the channel is constant.
    scalars : Tensor of shape (..., 4)
        Log sd; roughness (log ratio of the sd of the first difference to the sd, which is high for
        fast signals); offset (asinh of the ratio of the mean to the sd); and level (the mean, which
        for an accelerometer is the direction of gravity).
    """
    mean = x.mean(-1, keepdim=True)
    centred = x - mean
    # Dividing by the peak before squaring keeps 1e-30 and 1e30 within float32.
    peak = centred.abs().amax(-1, keepdim=True)
    flat = peak <= _ROUNDING * mean.abs()
    peak = torch.where(flat, torch.ones_like(peak), peak)
    unit = torch.where(flat, torch.zeros_like(centred), centred / peak)
    sd = unit.square().mean(-1, keepdim=True).sqrt()
    safe_sd = torch.where(flat, torch.ones_like(sd), sd)
    z = (unit / safe_sd).clamp(-_CLIP, _CLIP)

    # The sd of a flat channel is taken to be its rounding error.
    floor = (_ROUNDING * mean.abs()).clamp_min(1e-30)
    log_sd = torch.where(flat, floor.log(), sd.clamp_min(1e-30).log() + peak.log())
    roughness = ((unit / safe_sd).diff(dim=-1).square().mean(-1, keepdim=True) + 1e-6).sqrt().log()
    offset = torch.asinh(mean / torch.where(flat, floor, safe_sd * peak))
    return z, torch.cat([log_sd, roughness, offset, mean], dim=-1)


def _convolution(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    return nn.Conv1d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False, dtype=DTYPE)


class ResidualBlock(nn.Module):
    """Two convolutions with a pooled skip connection and GroupNorm.

    Batch normalisation would make the output for a window depend on the others of its batch.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = _convolution(n_in, n_out, kernel, stride)
        self.norm1 = nn.GroupNorm(8, n_out, dtype=DTYPE)
        self.conv2 = _convolution(n_out, n_out, kernel)
        self.norm2 = nn.GroupNorm(8, n_out, dtype=DTYPE)
        nn.init.zeros_(self.norm2.weight)  # the block starts as its skip connection
        self.skip = nn.Identity() if n_in == n_out else _convolution(n_in, n_out, 1)
        self.activation: nn.Module = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        return self.activation(out + self.skip(_pooled(x, self.stride)))


def _pooled(x: Tensor, stride: int) -> Tensor:
    """Means of `stride` adjacent steps; the last one may be of fewer."""
    if stride == 1:
        return x
    if stride == 2 and x.shape[-1] % 2 == 0 and not torch.compiler.is_exporting():
        return (x[..., ::2] + x[..., 1::2]) * 0.5  # the same bits in a tenth of the time
    return F.avg_pool1d(x, stride, ceil_mode=True, count_include_pad=False)


class ConvEncoder(nn.Module):
    """Residual convolution over one channel: ``(batch, n_times)`` to ``(batch, width, n_latent)``.

    Windows may have any length of 2 samples or more.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.stem = _convolution(1, config.stem_width, config.stem_kernel, 2)
        self.norm = nn.GroupNorm(8, config.stem_width, dtype=DTYPE)
        self.activation: nn.Module = nn.GELU()
        widths = (config.stem_width, *config.widths)
        sizes = zip(widths, widths[1:], config.kernels, config.strides, strict=False)
        self.blocks = nn.Sequential(*(ResidualBlock(*size) for size in sizes))

    def forward(self, z: Tensor) -> Tensor:
        z = z[:, None, :]
        if z.shape[-1] < SHORTEST:
            z = F.interpolate(z, SHORTEST, mode="linear", align_corners=True)
        return self.blocks(self.activation(self.norm(self.stem(z))))
