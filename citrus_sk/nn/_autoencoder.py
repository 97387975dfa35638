"""The masked auto-encoder that trains a trunk without labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._config import DTYPE, NetworkConfig, TaskConfig
from ._model import Trunk
from ._targets import token_samples, token_spectra


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
            Whether the trunk is told the modality; it is told that of none if not given.
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
