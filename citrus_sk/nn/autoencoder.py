"""Masked auto-encoder for training a trunk without labels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig, TaskConfig
from .dtype import DTYPE
from .network import Trunk


class MaskedAutoencoder(nn.Module):
    """A trunk with decoders that predict hidden tokens.

    Hidden tokens are replaced by a learned mask token, and a linear decoder for each modality
    predicts their samples, their log spectrum, or both. The decoders are not used after training.

    Parameters
    ----------
    network : NetworkConfig
        Sizes of the trunk, which must be a hybrid and have at least one modality.
    task : TaskConfig
        Masking and targets.

    Notes
    -----
    Masked auto-encoding of patches follows He et al. (2022) and, for channel-independent series,
    PatchTST (Nie et al., 2023). Targets in time and in frequency follow CiTrus (arXiv:2412.11695),
    which publishes neither the ratio nor the losses; these are our own choice.
    """

    target_mean: Tensor
    target_sd: Tensor

    def __init__(self, network: NetworkConfig, task: TaskConfig) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.trunk = Trunk(network)
        self.mask_token = nn.Parameter(0.02 * torch.randn(network.dim, dtype=DTYPE))
        sizes = {"time": network.token_stride, "freq": task.n_bins}
        self.parts = {k: n for k, n in sizes.items() if task.objective in (k, "both")}
        n_modalities, n_outputs = len(network.modalities), sum(self.parts.values())
        self.n_outputs = n_outputs
        self.cross_channel = _CrossChannel(network) if task.cross_channel else None
        self.decoder_weight = nn.Parameter(
            network.dim**-0.5 * torch.randn(n_modalities, network.dim, n_outputs, dtype=DTYPE)
        )
        self.decoder_bias = nn.Parameter(torch.zeros(n_modalities, n_outputs, dtype=DTYPE))
        self.register_buffer("target_mean", torch.zeros(n_modalities, n_outputs, dtype=DTYPE))
        self.register_buffer("target_sd", torch.ones(n_modalities, n_outputs, dtype=DTYPE))

    def raw_targets(self, z: Tensor) -> Tensor:
        """Targets ``(batch, n_tokens, n_outputs)`` of normalised windows, not standardised."""
        stride = self.network.token_stride
        n_tokens = -(-z.shape[-1] // stride)
        makers = {
            "time": lambda: token_samples(z, n_tokens, stride),
            "freq": lambda: token_spectra(z, n_tokens, stride, self.task.frame),
        }
        return torch.cat([makers[part]() for part in self.parts], dim=2)

    @torch.no_grad()
    def set_target_statistics(self, z: Tensor, modality: Tensor) -> None:
        """Set the mean and sd of every output of each modality from a sample of windows.

        All samples of a token share one mean and one sd, because their distributions are the same.
        """
        targets = self.raw_targets(z)
        for index in modality.unique().tolist():
            rows = targets[modality == index].flatten(0, 1)
            if "time" in self.parts:
                n = self.parts["time"]
                self.target_mean[index, :n] = rows[:, :n].mean()
                self.target_sd[index, :n] = rows[:, :n].std().clamp_min(1e-3)
            if "freq" in self.parts:
                n = self.parts["freq"]
                self.target_mean[index, -n:] = rows[:, -n:].mean(0)
                self.target_sd[index, -n:] = rows[:, -n:].std(0).clamp_min(1e-3)

    def targets(self, z: Tensor, modality: Tensor) -> Tensor:
        """Standardised targets, ``(batch, n_tokens, n_outputs)``."""
        mean, sd = self.target_mean[modality], self.target_sd[modality]
        return (self.raw_targets(z) - mean[:, None]) / sd[:, None]

    def forward(
        self,
        z: Tensor,
        mask: Tensor,
        modality: Tensor,
        known: Tensor | None = None,
        window: Tensor | None = None,
        with_means: bool = False,
    ) -> Any:
        """Predict every token from those that are visible.

        Parameters
        ----------
        z : Tensor of shape (batch, n_times)
            Normalised channels.
        mask : Tensor of bool of shape (batch, n_tokens)
            True for tokens that are hidden.
        modality : Tensor of int of shape (batch,)
            Index of the modality whose decoder is used.
        known : Tensor of bool of shape (batch,), optional
            Whether the trunk uses the embedding of the modality, instead of that of an unknown
            one. None means that no modality is known.
        window : Tensor of int of shape (batch,), optional
            Number that is equal for channels of the same recording and time, between which
            cross-channel attention works. None switches this attention off.
        with_means : bool, default=False
            Whether to return means of the trunk's outputs as well.

        Returns
        -------
        prediction : Tensor of shape (batch, n_tokens, n_outputs)
            Predictions in units of the standardised targets.
        latent : Tensor of shape (batch, latent_width)
            Mean latent of each window. Only with `with_means`, like the next one.
        token : Tensor of shape (batch, dim)
            Mean token of each window.
        """
        row = torch.zeros_like(modality) if known is None else torch.where(known, modality + 1, 0)
        if self.task.masking == "input":
            hidden = None
            visible = (~mask).repeat_interleave(self.network.token_stride, 1)[:, : z.shape[-1]]
            z = z * visible
        else:
            hidden = (mask, self.mask_token)
        latent, sequence = self.trunk(z, row, hidden)
        means = (latent.mean(2), sequence.mean(1)) if with_means else ()
        if self.cross_channel is not None and window is not None:
            sequence = self.cross_channel(sequence, window)
        # A matrix product, because the gradient of indexing is summed in the order of the threads.
        chosen = F.one_hot(modality, len(self.decoder_bias)).to(self.decoder_bias.dtype)
        weight = (chosen @ self.decoder_weight.flatten(1)).unflatten(1, (-1, self.n_outputs))
        bias = chosen @ self.decoder_bias
        prediction = torch.baddbmm(bias[:, None], sequence, weight)
        return (prediction, *means) if with_means else prediction

    def loss(self, prediction: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Mean smooth L1 loss over the hidden tokens of each window, ``(batch,)``.

        Two objectives contribute equally.
        """
        error = F.smooth_l1_loss(prediction.float(), targets, reduction="none")
        parts = error.split(list(self.parts.values()), dim=2)
        by_token = torch.stack([part.mean(2) for part in parts]).mean(0)
        return (by_token * mask).sum(1) / mask.sum(1)


class _CrossChannel(nn.Module):
    """Attention between simultaneous channels, for each token separately."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(network.dim, dtype=DTYPE)
        self.attention = nn.MultiheadAttention(
            network.dim, network.heads, batch_first=True, dtype=DTYPE
        )

    def forward(self, sequence: Tensor, window: Tensor) -> Tensor:
        query = self.norm(sequence).transpose(0, 1)
        apart = window[:, None] != window[None, :]
        mixed, _ = self.attention(query, query, query, attn_mask=apart, need_weights=False)
        return sequence + mixed.transpose(0, 1)


def draw_mask(
    n_windows: int,
    n_tokens: int,
    ratio: float,
    run_length: tuple[int, int],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the hidden tokens of each window.

    The same number of tokens is hidden in every window, in runs that are at least one visible token
    apart. If a window has too few tokens for runs of `run_length`, the length of the runs is
    outside of that range.

    Parameters
    ----------
    n_windows, n_tokens : int
        Shape of the mask.
    ratio : float
        Share of hidden tokens, between 0 and 1. At least one token is hidden and one is visible.
    run_length : tuple of two int
        Shortest and longest run of hidden tokens.
    generator : torch.Generator, optional
        Generator on the CPU to draw from. None means torch's global one.

    Returns
    -------
    Tensor of bool of shape (n_windows, n_tokens)
        True for hidden tokens; on the CPU.
    """
    n_hidden = min(max(1, round(ratio * n_tokens)), n_tokens - 1)
    n_visible = n_tokens - n_hidden
    shortest, longest = run_length
    fewest = -(-n_hidden // longest)
    most = max(fewest, min(n_hidden // shortest, n_visible + 1))
    n_runs = int(torch.randint(fewest, most + 1, (), generator=generator))
    n_runs = min(n_runs, n_visible + 1)

    shortest, longest = min(shortest, n_hidden // n_runs), max(longest, -(-n_hidden // n_runs))
    lengths = _share_out(n_windows, n_hidden, n_runs, shortest, longest, generator)
    free = n_visible - (n_runs - 1)
    cuts = torch.randint(0, free + 1, (n_windows, n_runs), generator=generator).sort(1).values
    # Before the i-th run are the free tokens up to its cut, the earlier runs, and one visible
    # token for each of those runs.
    starts = cuts + lengths.cumsum(1) - lengths + torch.arange(n_runs)
    position = torch.arange(n_tokens)[:, None]
    inside = (position >= starts[:, None]) & (position < (starts + lengths)[:, None])
    return inside.any(2)


def _share_out(
    n_windows: int,
    total: int,
    n_runs: int,
    shortest: int,
    longest: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Cut `total` into `n_runs` lengths between `shortest` and `longest` for each window."""
    lengths = torch.full((n_windows, n_runs), shortest)
    rows = torch.arange(n_windows)
    for _ in range(total - n_runs * shortest):
        chance = torch.rand(n_windows, n_runs, generator=generator, dtype=DTYPE)
        chance[lengths >= longest] = -1.0
        lengths[rows, chance.argmax(1)] += 1
    return lengths


# Added to magnitudes before the logarithm: a hundredth of that of noise with an sd of 1.
_FLOOR = 1e-2


def token_samples(z: Tensor, n_tokens: int, stride: int) -> Tensor:
    """Samples of each token: ``(batch, n_times)`` to ``(batch, n_tokens, stride)``.

    A last token that extends beyond the window is filled with the mirror image of the window.
    """
    missing = n_tokens * stride - z.shape[-1]
    if missing > 0:
        z = F.pad(z[:, None], (0, missing), mode="reflect")[:, 0]
    return z[:, : n_tokens * stride].unflatten(1, (n_tokens, stride))


def token_spectra(z: Tensor, n_tokens: int, stride: int, frame: int) -> Tensor:
    """Log magnitude spectrum of a Hann frame around the middle of each token.

    This is a short-time Fourier transform with a hop of one token, of the signal extended by its
    mirror image. White noise with an sd of 1 has a mean squared magnitude of 1 in every inner bin.

    Parameters
    ----------
    z : Tensor of shape (batch, n_times)
        Normalised channels.
    n_tokens, stride : int
        Number of tokens, and number of samples of a token.
    frame : int
        Number of samples of a frame, which must be even.

    Returns
    -------
    Tensor of shape (batch, n_tokens, frame // 2 + 1)
        Natural logarithm of the magnitudes.
    """
    before = (frame - stride) // 2
    after = (n_tokens - 1) * stride + frame - before - z.shape[-1]
    padded = F.pad(z[:, None], (max(0, before), max(0, after)), mode="reflect")[:, 0]
    padded = padded[:, max(0, -before) :]
    window = torch.hann_window(frame, dtype=z.dtype, device=z.device)
    frames = padded.unfold(1, frame, stride)[:, :n_tokens] * (window / window.norm())
    return (torch.fft.rfft(frames).abs() + _FLOOR).log()
