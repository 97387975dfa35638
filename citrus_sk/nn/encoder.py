"""From raw samples to a latent sequence: normalisation and the residual convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import DTYPE, NetworkConfig

SCALARS = ("log_sd", "log_roughness", "offset", "level")
SHORTEST = 32  # samples; a shorter window is stretched to this, or no latent step would be left
_CLIP = 10.0  # standard deviations
# Samples of a constant channel differ from their own float32 mean by rounding alone.
_ROUNDING = 4e-7


def normalise(x: Tensor) -> tuple[Tensor, Tensor]:
    """Bring every channel of every window to mean 0 and sd 1, and keep aside what that removes.

    Parameters
    ----------
    x : Tensor of shape (..., n_times)
        Any physical scale.

    Returns
    -------
    z : Tensor of shape (..., n_times)
        Clipped at 10 sd; all zeros where the channel is constant.
    scalars : Tensor of shape (..., 4)
        Log sd; log of the ratio of the first difference's sd to the sd (roughness, high for fast
        signals); asinh of the ratio of the mean to the sd (offset); the mean itself (level, which
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

    # A flat channel is as quiet as its rounding; a zero one as quiet as float32 goes.
    floor = (_ROUNDING * mean.abs()).clamp_min(1e-30)
    log_sd = torch.where(flat, floor.log(), sd.clamp_min(1e-30).log() + peak.log())
    roughness = ((unit / safe_sd).diff(dim=-1).square().mean(-1, keepdim=True) + 1e-6).sqrt().log()
    offset = torch.asinh(mean / torch.where(flat, floor, safe_sd * peak))
    return z, torch.cat([log_sd, roughness, offset, mean], dim=-1)


def _convolution(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv1d:
    return nn.Conv1d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False, dtype=DTYPE)


class ResidualBlock(nn.Module):
    """Two convolutions beside a pooled skip, with GroupNorm (a batch says nothing of a window)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = _convolution(n_in, n_out, kernel, stride)
        self.norm1 = nn.GroupNorm(8, n_out, dtype=DTYPE)
        self.conv2 = _convolution(n_out, n_out, kernel)
        self.norm2 = nn.GroupNorm(8, n_out, dtype=DTYPE)
        nn.init.zeros_(self.norm2.weight)  # the block begins as its skip
        self.skip = nn.Identity() if n_in == n_out else _convolution(n_in, n_out, 1)
        self.activation: nn.Module = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        if self.stride > 1:
            x = F.avg_pool1d(x, self.stride, ceil_mode=True, count_include_pad=False)
        return self.activation(out + self.skip(x))


class ConvEncoder(nn.Module):
    """Residual convolution over one channel: ``(batch, n_times)`` to ``(batch, width, n_latent)``.

    Any `n_times` of 2 or more is taken.
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
