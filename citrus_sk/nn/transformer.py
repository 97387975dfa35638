"""Transformer over the latent sequence of a channel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .dtype import DTYPE

_DROPOUT: ContextVar[torch.Generator | None] = ContextVar("dropout", default=None)


class EncoderLayer(nn.TransformerEncoderLayer):
    """Torch's pre-norm layer with dropout that can draw from a given generator.

    Torch's own dropout can only draw from the global state. With the same seed, the result here has
    the same bits.
    """

    def forward(self, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Transform a sequence ``(batch, n_tokens, dim)``; the other arguments are torch's."""
        if _DROPOUT.get() is None or not self.training:
            return super().forward(src, *args, **kwargs)
        x = src + self._drop(self._attend(self.norm1(src)), self.dropout1.p)
        hidden = self._drop(self.activation(self.linear1(self.norm2(x))), self.dropout.p)
        return x + self._drop(self.linear2(hidden), self.dropout2.p)

    def _attend(self, x: Tensor) -> Tensor:
        attention: Any = self.self_attn
        n_heads, width = attention.num_heads, attention.head_dim
        weight, bias = attention.in_proj_weight, attention.in_proj_bias
        projected = F.linear(x.transpose(0, 1), weight, bias).unflatten(-1, (3, n_heads, width))
        query, key, value = projected.permute(2, 1, 3, 0, 4)  # each (batch, head, token, width)
        root = math.sqrt(1 / math.sqrt(width))
        shares = ((query * root) @ (key.mT * root)).softmax(-1)
        mixed = self._drop(shares, attention.dropout) @ value
        return attention.out_proj(mixed.permute(2, 0, 1, 3).flatten(2)).transpose(0, 1)

    def _drop(self, x: Tensor, share: float) -> Tensor:
        if share == 0:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - share, generator=_DROPOUT.get())
        return x * kept.div_(1 - share)


@contextmanager
def dropout_from(generator: torch.Generator) -> Iterator[None]:
    """Let dropout in this thread draw from `generator`, which is on the CPU."""
    token = _DROPOUT.set(generator)
    try:
        yield
    finally:
        _DROPOUT.reset(token)


class PatchTransformer(nn.Module):
    """Channel-independent transformer over patches of latents.

    It maps ``(batch, width, n_latent)`` to ``(batch, n_tokens, dim)``, as PatchTST does for raw
    samples. The position table is learned for the grid of the configuration and interpolated to any
    other number of tokens. If the configuration has modalities, an embedding of the modality is
    added; row 0 of that table is for an unknown one.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.embed = nn.Linear(config.latent_width * config.patch, config.dim, dtype=DTYPE)
        self.positions = nn.Parameter(0.02 * torch.randn(config.n_tokens, config.dim, dtype=DTYPE))
        self.modalities: nn.Parameter | None = None
        if config.modalities:
            table = 0.02 * torch.randn(1 + len(config.modalities), config.dim, dtype=DTYPE)
            self.modalities = nn.Parameter(table)
        self.layers = nn.ModuleList(
            EncoderLayer(
                config.dim,
                config.heads,
                config.feedforward,
                config.dropout,
                activation=F.gelu,
                batch_first=True,
                norm_first=True,
                dtype=DTYPE,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.dim, dtype=DTYPE)

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
            Row in the table of modalities. None means 0, for unknown.
        hidden : tuple of Tensor, optional
            Mask of shape (batch, n_tokens), which is True for hidden tokens, and the mask token of
            shape (dim,) that replaces them.

        Returns
        -------
        Tensor of shape (batch, n_tokens, dim)
        """
        tokens = self.patches(latent)
        if hidden is not None:
            mask, mask_token = hidden
            tokens = torch.where(mask[..., None], mask_token, tokens)
        tokens = tokens + self.positions_for(tokens.shape[1])
        if self.modalities is not None:
            row = self.modalities[0]
            if modality is not None:
                # A matrix product, because the gradient of indexing is summed in any order.
                chosen = F.one_hot(modality, len(self.modalities)).to(self.modalities.dtype)
                row = (chosen @ self.modalities)[:, None]
            tokens = tokens + row
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)
