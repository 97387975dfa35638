"""From sequences to one feature vector a window: when things happen, and between which channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import DTYPE, NetworkConfig
from .encoder import SCALARS, SHORTEST
from .onnx_ops import hann_window, matrix_logarithm, power_spectrum, stretch_means

MOST_COVARIANCE_CHANS = 32  # beyond, the matrix logarithm costs more than it is worth
_SHRINKAGE = 1e-3
_WAVEFORM_STEPS = 32


def n_segments(n_chans: int) -> int:
    """Into how many segments a window is cut: fewer when many channels share the vector."""
    return max(2, min(8, 64 // n_chans))


def segment_means(sequence: Tensor, n: int) -> Tensor:
    """Mean of each of `n` equal stretches: ``(batch, steps, width)`` to ``(batch, n, width)``."""
    return _means(sequence.transpose(1, 2), n).transpose(1, 2)


def _means(x: Tensor, n: int) -> Tensor:
    return stretch_means(x, n) if torch.compiler.is_exporting() else F.adaptive_avg_pool1d(x, n)


def log_covariance(x: Tensor) -> Tensor:
    """Upper triangle of the matrix logarithm of each window's covariance between channels.

    The coordinates of the tangent space at the identity (Barachant et al., 2012), off-diagonal
    entries times sqrt(2), so that Euclidean distance is the log-Euclidean one. Each window is
    first divided by its own largest sd: the amplitude is kept among the scalars.

    Parameters
    ----------
    x : Tensor of shape (n_windows, n_chans, n_times)

    Returns
    -------
    Tensor of shape (n_windows, n_chans * (n_chans + 1) / 2)
    """
    n_chans = x.shape[1]
    centred = x - x.mean(-1, keepdim=True)
    peak = centred.abs().amax((1, 2), keepdim=True)
    centred = centred / torch.where(peak > 0, peak, torch.ones_like(peak))
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
    """Attention between the channels of each segment, learned with the labels at hand.

    The trunk never sees two channels together. This layer does; its output projection starts at
    zero, so that it changes nothing until training finds a use for it.
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
    """Everything a linear head is given about a window, as one vector.

    Per channel: mean of the sequence in each of several segments (when), its mean over the whole
    window, mean and sd of the convolution's latents, amplitude scalars, the waveform itself in
    coarse steps, since a network that was trained to predict spectra keeps little of sign and
    phase. Over the channels: the mixer's corrections, and the logarithm of the covariance of the
    raw signals.

    Attributes
    ----------
    views : list of int
        Sizes of these parts, in the order in which they stand in the vector.
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

    def forward(
        self, x: Tensor, z: Tensor, latent: Tensor, sequence: Tensor, scalars: Tensor
    ) -> Tensor:
        """Read out one batch.

        Parameters
        ----------
        x : Tensor of shape (n_windows, n_chans, n_times)
            The raw signal.
        z : Tensor of shape (n_windows, n_chans, n_times)
            The normalised signal.
        latent : Tensor of shape (n_windows * n_chans, latent_width, n_latent)
        sequence : Tensor of shape (n_windows * n_chans, n_steps, width)
        scalars : Tensor of shape (n_windows, n_chans, 4)

        Returns
        -------
        Tensor of shape (n_windows, n_features)
        """
        n_windows = x.shape[0]
        segments = segment_means(sequence, self.n_segments)
        segments = segments.reshape(n_windows, self.n_chans, self.n_segments, -1)
        if self.mixer is not None:
            segments = self.mixer(segments)
        parts = [
            segments,
            segments.mean(2),
            latent.mean(-1).reshape(n_windows, self.n_chans, -1),
            (latent.var(-1, correction=0) + 1e-6).sqrt().reshape(n_windows, self.n_chans, -1),
            scalars,
            _means(z, _WAVEFORM_STEPS),
        ]
        if self.with_covariance:
            parts.append(log_covariance(x))
        return torch.cat([part.flatten(1) for part in parts], dim=1)


N_BANDS = 24


def log_band_power(z: Tensor, log_sd: Tensor) -> Tensor:
    """Logarithm of the power in bands of equal ratio, from one cycle a window to Nyquist.

    A band narrower than a bin of the spectrum has that bin's power: the number of bands does not
    depend on the number of samples.

    Parameters
    ----------
    z : Tensor of shape (..., n_times)
        Normalised channels.
    log_sd : Tensor of shape (...)
        Logarithm of the sd that was taken from them, which gives the bands their physical scale.

    Returns
    -------
    Tensor of shape (..., 24)
    """
    n_times = z.shape[-1]
    exporting = torch.compiler.is_exporting()
    window = hann_window(z) if exporting else _hann_window(z)
    # Another view has the mean; with two samples a Hann window leaves nothing.
    windowed = z if n_times < SHORTEST else z * window
    if exporting:
        power = power_spectrum(windowed) / n_times
    else:
        power = torch.fft.rfft(windowed)[..., 1:].abs().square() / n_times
    n_bins = power.shape[-1]
    ratio = torch.arange(N_BANDS + 1, dtype=z.dtype, device=z.device) / N_BANDS
    edges = (n_bins + 1) ** ratio  # bin i reaches from i to i + 1
    first = torch.arange(1, n_bins + 1, dtype=z.dtype, device=z.device)[:, None]
    overlap = torch.minimum(edges[1:], first + 1) - torch.maximum(edges[:-1], first)
    share = overlap.clamp_min(0) / edges.diff()
    # White noise of sd 1 has a power near 0.4 here: this is 90 dB below it.
    return (power @ share + 1e-9).log() + 2 * log_sd[..., None]


def _hann_window(z: Tensor) -> Tensor:
    return torch.hann_window(z.shape[-1], periodic=False, dtype=z.dtype, device=z.device)
