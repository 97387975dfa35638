"""From a latent sequence to tokens that know of one another, each channel by itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._config import NetworkConfig


class PatchTransformer(nn.Module):
    """Channel-independent transformer over patches of latents.

    ``(batch, width, n_latent)`` to ``(batch, n_tokens, dim)``, as PatchTST does on raw samples.
    The position table is learned on the grid of the configuration and interpolated to any other
    number of tokens. A network that was trained on several kinds of signal adds an embedding of
    the kind; row 0 of that table stands for a kind that it was not told.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.embed = nn.Linear(config.latent_width * config.patch, config.dim)
        self.positions = nn.Parameter(0.02 * torch.randn(config.n_tokens, config.dim))
        self.modalities: nn.Parameter | None = None
        if config.modalities:
            table = 0.02 * torch.randn(1 + len(config.modalities), config.dim)
            self.modalities = nn.Parameter(table)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                config.dim,
                config.heads,
                config.feedforward,
                config.dropout,
                activation=F.gelu,
                batch_first=True,
                norm_first=True,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.dim)

    def patches(self, latent: Tensor) -> Tensor:
        """Embedded patches without positions, ``(batch, n_tokens, dim)``."""
        missing = -latent.shape[-1] % self.patch
        if missing:
            latent = F.pad(latent, (0, missing), mode="replicate")
        return self.embed(latent.unfold(2, self.patch, self.patch).transpose(1, 2).flatten(2))

    def positions_for(self, n_tokens: int) -> Tensor:
        if n_tokens == len(self.positions):
            return self.positions
        table = self.positions.T[None]
        return F.interpolate(table, n_tokens, mode="linear", align_corners=False)[0].T

    def forward(
        self,
        latent: Tensor,
        modality: Tensor | None = None,
        hidden: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Attend over the patches of each channel.

        Parameters
        ----------
        latent : Tensor of shape (batch, width, n_latent)
        modality : Tensor of shape (batch,), optional
            Row of the table of modalities; 0, for unknown, if not given.
        hidden : tuple of Tensor, optional
            Mask of shape (batch, n_tokens), true where a token is hidden, and the token of shape
            (dim,) that stands there instead.
        """
        tokens = self.patches(latent)
        if hidden is not None:
            mask, stand_in = hidden
            tokens = torch.where(mask[..., None], stand_in, tokens)
        tokens = tokens + self.positions_for(tokens.shape[1])
        if self.modalities is not None:
            row = self.modalities[0]
            if modality is not None:
                # A matrix product: the gradient of indexing adds up in any order of threads.
                chosen = F.one_hot(modality, len(self.modalities)).to(self.modalities.dtype)
                row = (chosen @ self.modalities)[:, None]
            tokens = tokens + row
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)
