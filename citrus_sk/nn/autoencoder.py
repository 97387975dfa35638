"""The masked auto-encoder that trains a trunk without labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import DTYPE, NetworkConfig, TaskConfig
from .network import Trunk


class MaskedAutoencoder(nn.Module):
    """A trunk that predicts the tokens that it was not shown.

    Tokens are hidden behind a learned stand-in, and a linear decoder for each modality predicts
    their samples, their log spectrum, or both. The decoders are of no use after training.

    Parameters
    ----------
    network : NetworkConfig
        Sizes of the trunk, a hybrid, with at least one modality.
    task : TaskConfig
        What is hidden and predicted.

    Notes
    -----
    Masked auto-encoding of patches follows He et al. (2022) and, for channel-independent series,
    PatchTST (Nie et al., 2023); in time and in frequency, CiTrus (arXiv:2412.11695), which
    publishes neither ratio nor losses: these are our own choice.
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
        """Unstandardised targets ``(batch, n_tokens, n_outputs)`` of normalised windows."""
        stride = self.network.token_stride
        n_tokens = -(-z.shape[-1] // stride)
        makers = {
            "time": lambda: token_samples(z, n_tokens, stride),
            "freq": lambda: token_spectra(z, n_tokens, stride, self.task.frame),
        }
        return torch.cat([makers[part]() for part in self.parts], dim=2)

    @torch.no_grad()
    def set_target_statistics(self, z: Tensor, modality: Tensor) -> None:
        """Take each modality's mean and sd of every output from a sample of windows.

        Samples of a token share one mean and one sd: their order in the token means nothing.
        """
        targets = self.raw_targets(z)
        for index in modality.unique().tolist():
            own = targets[modality == index].flatten(0, 1)
            if "time" in self.parts:
                n = self.parts["time"]
                own = own.clone()
                self.target_mean[index, :n] = own[:, :n].mean()
                self.target_sd[index, :n] = own[:, :n].std().clamp_min(1e-3)
            if "freq" in self.parts:
                n = self.parts["freq"]
                self.target_mean[index, -n:] = own[:, -n:].mean(0)
                self.target_sd[index, -n:] = own[:, -n:].std(0).clamp_min(1e-3)

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
    ) -> Tensor:
        """Predict every token from those that are visible.

        Parameters
        ----------
        z : Tensor of shape (batch, n_times)
            Normalised channels.
        mask : Tensor of bool of shape (batch, n_tokens)
            True where hidden.
        modality : Tensor of int of shape (batch,)
            Index into the network's modalities: whose decoder is used.
        known : Tensor of bool of shape (batch,), optional
            Modality of each window, if the trunk is to use it; None stands for an unknown one.
        window : Tensor of int of shape (batch,), optional
            Equal for channels that were recorded together; for cross-channel attention.

        Returns
        -------
        Tensor of shape (batch, n_tokens, n_outputs)
            In units of the standardised targets.
        """
        row = torch.zeros_like(modality) if known is None else torch.where(known, modality + 1, 0)
        if self.task.masking == "input":
            hidden = None
            visible = (~mask).repeat_interleave(self.network.token_stride, 1)[:, : z.shape[-1]]
            z = z * visible
        else:
            hidden = (mask, self.mask_token)
        _, sequence = self.trunk(z, row, hidden)
        if self.cross_channel is not None and window is not None:
            sequence = self.cross_channel(sequence, window)
        # By matrix products: the gradient of indexing adds up in any order of threads.
        chosen = F.one_hot(modality, len(self.decoder_bias)).to(self.decoder_bias.dtype)
        weight = (chosen @ self.decoder_weight.flatten(1)).unflatten(1, (-1, self.n_outputs))
        bias = chosen @ self.decoder_bias
        return torch.baddbmm(bias[:, None], sequence, weight)

    def loss(self, prediction: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Mean smooth L1 over each window's hidden tokens, ``(batch,)``; visible ones never count.

        With two objectives each has half the say.
        """
        error = F.smooth_l1_loss(prediction.float(), targets, reduction="none")
        parts = error.split(list(self.parts.values()), dim=2)
        by_token = torch.stack([part.mean(2) for part in parts]).mean(0)
        return (by_token * mask).sum(1) / mask.sum(1)


class _CrossChannel(nn.Module):
    """Attention, token by token, between the channels that were recorded together."""

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
    """Draw, for each window, which of its tokens are hidden.

    Every window hides the same number of tokens, in runs with at least one visible token between
    two of them. Where the share cannot be cut into such runs (a window of few tokens), there are
    as few runs as fit.

    Parameters
    ----------
    n_windows, n_tokens : int
    ratio : float
        Share that is hidden, between 0 and 1; at least one token is hidden and one is not.
    run_length : tuple of two int
        Shortest and longest run.
    generator : torch.Generator, optional
        Of the CPU.

    Returns
    -------
    Tensor of bool of shape (n_windows, n_tokens)
        On the CPU; true where hidden.
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
    # The i-th run stands behind the free tokens before its cut, the earlier runs, and one
    # visible token for each of those.
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
