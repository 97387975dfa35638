"""Read-out: from the trunk's sequences to one feature vector for each window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .dtype import DTYPE
from .encoder import SCALARS, SHORTEST
from .onnx_ops import average_pool, hann_window, matrix_logarithm, power_spectrum

MOST_COVARIANCE_CHANS = 32  # with more, the matrix logarithm costs more than it is worth
_SHRINKAGE = 1e-3
_WAVEFORM_STEPS = 32


def n_segments(n_chans: int) -> int:
    """Number of segments of a window, which is smaller for many channels."""
    return max(2, min(8, 64 // n_chans))


def segment_means(sequence: Tensor, n: int) -> Tensor:
    """Mean of each of `n` equal segments: ``(batch, steps, width)`` to ``(batch, n, width)``."""
    return _means(sequence.transpose(1, 2), n).transpose(1, 2)


def _means(x: Tensor, n: int) -> Tensor:
    return average_pool(x, n) if torch.compiler.is_exporting() else F.adaptive_avg_pool1d(x, n)


def log_covariance(x: Tensor) -> Tensor:
    """Upper triangle of the matrix logarithm of the covariance between channels.

    These are coordinates of the tangent space at the identity (Barachant et al., 2012).
    Off-diagonal entries are multiplied by sqrt(2), so that the Euclidean distance is the
    log-Euclidean one. Each window is first divided by the largest sd of its channels, because its
    amplitude is among the scalars already.

    Parameters
    ----------
    x : Tensor of shape (n_windows, n_chans, n_times)
        Windows in physical units.

    Returns
    -------
    Tensor of shape (n_windows, n_chans * (n_chans + 1) / 2)
        Coordinates of each window.
    """
    n_chans = x.shape[1]
    centred = x - x.mean(-1, keepdim=True)
    peak = centred.abs().amax((1, 2), keepdim=True)
    centred = centred / torch.where(peak > 0, peak, torch.ones_like(peak))
    if not torch.compiler.is_exporting():
        # With zeros up to a multiple of 64 bytes, rounding is the same at any place in a batch.
        centred = F.pad(centred, (0, -x.shape[-1] % 16))
    covariance = centred @ centred.mT / x.shape[-1]
    power = covariance.diagonal(dim1=1, dim2=2).amax(-1)[:, None, None]
    covariance = covariance / torch.where(power > 0, power, torch.ones_like(power))
    eye = torch.eye(n_chans, dtype=x.dtype, device=x.device)
    regular = covariance + _SHRINKAGE * eye
    if torch.compiler.is_exporting():
        logarithm = matrix_logarithm(regular, _SHRINKAGE)
    else:
        values, vectors = torch.linalg.eigh(regular)
        logarithm = (vectors * values.clamp_min(_SHRINKAGE / 2).log()[:, None, :]) @ vectors.mT
    row, column = torch.triu_indices(n_chans, n_chans, device=x.device)
    entries = logarithm[:, row, column]
    return torch.where(row == column, entries, entries * 2**0.5)


class ChannelMixer(nn.Module):
    """Attention between the channels of each segment, which is trained with the labels.

    The input of the trunk is always a single channel; only this layer combines channels. Its output
    projection starts at zero, so that it changes nothing before training.
    """

    def __init__(self, n_chans: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, dtype=DTYPE)
        self.channels = nn.Parameter(0.02 * torch.randn(n_chans, width, dtype=DTYPE))
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True, dtype=DTYPE)
        self.project = nn.Linear(width, width, dtype=DTYPE)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, segments: Tensor) -> Tensor:
        """``(n_windows, n_chans, n_segments, width)`` in and out."""
        n_windows, n_chans, n, width = segments.shape
        together = segments.transpose(1, 2).reshape(n_windows * n, n_chans, width)
        query = self.norm(together) + self.channels
        mixed, _ = self.attention(query, query, query, need_weights=False)
        mixed = self.project(mixed).reshape(n_windows, n, n_chans, width)
        return segments + mixed.transpose(1, 2)


class ReadOut(nn.Module):
    """Feature vector of a window for the linear head.

    For each channel, it contains the mean of the sequence in each of several segments and over the
    whole window, after the channel mixer; the mean and the sd of the latents of the convolution;
    the scalars of the normalisation; and the waveform in coarse steps, because a network that was
    trained to predict spectra keeps little of sign and phase. For several channels, the logarithm
    of the covariance of the raw signals is added.

    Attributes
    ----------
    views : list of int
        Sizes of these parts of the vector, in their order.
    """

    def __init__(self, config: NetworkConfig, n_chans: int) -> None:
        super().__init__()
        width = config.sequence_width
        self.n_chans, self.n_segments = n_chans, n_segments(n_chans)
        self.mixer = ChannelMixer(n_chans, width) if n_chans > 1 else None
        self.with_covariance = 1 < n_chans <= MOST_COVARIANCE_CHANS
        latent = config.latent_width
        views = [self.n_segments * width, width, latent, latent, len(SCALARS), _WAVEFORM_STEPS]
        self.views = [n_chans * size for size in views]
        if self.with_covariance:
            self.views.append(n_chans * (n_chans + 1) // 2)

    @property
    def n_features(self) -> int:
        return sum(self.views)

    @property
    def mixes_channels(self) -> bool:
        """Whether the channel mixer was trained, so that every segment depends on all channels."""
        return self.mixer is not None and any(
            bool(p.any()) for p in self.mixer.project.parameters()
        )

    def left_without(self, absent: Sequence[int]) -> Tensor:
        """1 for each feature that does not depend on absent channels, and 0 for the others.

        Parameters
        ----------
        absent : sequence of int
            Indices of channels.

        Returns
        -------
        Tensor of shape (n_features,)
        """
        present = present_channels(self.n_chans, absent)
        parts = [present.repeat_interleave(size // self.n_chans) for size in self.views]
        if self.with_covariance:
            row, column = torch.triu_indices(self.n_chans, self.n_chans)
            parts[-1] = present[row] * present[column]
        return torch.cat(parts)

    def _mixes(self) -> bool:
        """False if the mixer would change nothing, and no gradient through it is needed."""
        needed = torch.is_grad_enabled() or torch.compiler.is_exporting()
        return needed or self.mixes_channels

    def forward(
        self, x: Tensor, z: Tensor, latent: Tensor, sequence: Tensor, scalars: Tensor
    ) -> Tensor:
        """Compute the features of one batch.

        Parameters
        ----------
        x : Tensor of shape (n_windows, n_chans, n_times)
            Raw windows.
        z : Tensor of shape (n_windows, n_chans, n_times)
            Normalised windows.
        latent : Tensor of shape (n_windows * n_chans, latent_width, n_latent)
            Latents of the trunk.
        sequence : Tensor of shape (n_windows * n_chans, n_steps, width)
            Sequence of the trunk.
        scalars : Tensor of shape (n_windows, n_chans, 4)
            Scalars of `normalise`.

        Returns
        -------
        Tensor of shape (n_windows, n_features)
            Features of each window.
        """
        n_windows = x.shape[0]
        segments = segment_means(sequence, self.n_segments)
        segments = segments.reshape(n_windows, self.n_chans, self.n_segments, -1)
        if self.mixer is not None and self._mixes():
            segments = self.mixer(segments)
        mean = latent.mean(-1, keepdim=True)
        # A tenth of the time that `latent.var` takes.
        variance = (latent - mean).square().mean(-1)
        parts = [
            segments,
            segments.mean(2),
            mean.reshape(n_windows, self.n_chans, -1),
            (variance + 1e-6).sqrt().reshape(n_windows, self.n_chans, -1),
            scalars,
            _means(z, _WAVEFORM_STEPS),
        ]
        if self.with_covariance:
            parts.append(log_covariance(x))
        return torch.cat([part.flatten(1) for part in parts], dim=1)


def present_channels(n_chans: int, absent: Sequence[int]) -> Tensor:
    """0 for absent channels, 1 for the others: ``(n_chans,)``."""
    present = torch.ones(n_chans, dtype=DTYPE)
    present[list(absent)] = 0.0
    return present


N_BANDS = 24


def log_band_power(z: Tensor, log_sd: Tensor) -> Tensor:
    """Logarithm of the power in 24 bands of equal ratio, from one cycle per window to Nyquist.

    A band narrower than a bin of the spectrum has the power of that bin, so the number of bands
    does not depend on the number of samples.

    Parameters
    ----------
    z : Tensor of shape (..., n_times)
        Normalised channels.
    log_sd : Tensor of shape (...)
        Logarithm of the sd of the raw channels, which restores the physical scale.

    Returns
    -------
    Tensor of shape (..., 24)
        Log power in each band.
    """
    n_times = z.shape[-1]
    exporting = torch.compiler.is_exporting()
    window = hann_window(z) if exporting else _hann_window(z)
    # A Hann window would leave little of a very short signal, and nothing of two samples.
    windowed = z if n_times < SHORTEST else z * window
    if exporting:
        power = power_spectrum(windowed) / n_times
    else:
        power = torch.fft.rfft(windowed)[..., 1:].abs().square() / n_times
    n_bins = power.shape[-1]
    ratio = torch.arange(N_BANDS + 1, dtype=z.dtype, device=z.device) / N_BANDS
    edges = (n_bins + 1) ** ratio  # bin i extends from i to i + 1
    first = torch.arange(1, n_bins + 1, dtype=z.dtype, device=z.device)[:, None]
    overlap = torch.minimum(edges[1:], first + 1) - torch.maximum(edges[:-1], first)
    share = overlap.clamp_min(0) / edges.diff()
    # White noise with an sd of 1 has a power near 0.4 here; the constant is 86 dB below it.
    return (power @ share + 1e-9).log() + 2 * log_sd[..., None]


def _hann_window(z: Tensor) -> Tensor:
    return torch.hann_window(z.shape[-1], periodic=False, dtype=z.dtype, device=z.device)
