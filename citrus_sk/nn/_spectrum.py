"""Power in bands of frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from ._encoder import SHORTEST
from ._exportable import hann_window, power_spectrum

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
    # The mean is told by another view; with two samples a Hann window leaves nothing.
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
