"""What a hidden token has to be predicted from its context: its samples, or its spectrum."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Magnitudes below a hundredth of a unit-sd noise's are all the same: nothing.
_FLOOR = 1e-2


def token_samples(z: Tensor, n_tokens: int, stride: int) -> Tensor:
    """The samples under each token: ``(batch, n_times)`` to ``(batch, n_tokens, stride)``.

    A last token that reaches beyond the window is filled up with the window's mirror image.
    """
    missing = n_tokens * stride - z.shape[-1]
    if missing > 0:
        z = F.pad(z[:, None], (0, missing), mode="reflect")[:, 0]
    return z[:, : n_tokens * stride].unflatten(1, (n_tokens, stride))


def token_spectra(z: Tensor, n_tokens: int, stride: int, frame: int) -> Tensor:
    """Log magnitude of a Hann frame around the middle of each token.

    A short-time Fourier transform with a hop of one token, of the signal continued by its mirror
    image. White noise of sd 1 has a mean squared magnitude of 1 in every inner bin.

    Parameters
    ----------
    z : Tensor of shape (batch, n_times)
    n_tokens, stride : int
        Number of tokens and samples under each.
    frame : int
        Samples of a frame, even.

    Returns
    -------
    Tensor of shape (batch, n_tokens, frame // 2 + 1)
    """
    before = (frame - stride) // 2
    after = (n_tokens - 1) * stride + frame - before - z.shape[-1]
    padded = F.pad(z[:, None], (max(0, before), max(0, after)), mode="reflect")[:, 0]
    padded = padded[:, max(0, -before) :]
    window = torch.hann_window(frame, dtype=z.dtype, device=z.device)
    frames = padded.unfold(1, frame, stride)[:, :n_tokens] * (window / window.norm())
    return (torch.fft.rfft(frames).abs() + _FLOOR).log()
