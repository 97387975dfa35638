"""The sizes of a network: plain numbers that fit in a JSON header."""

from __future__ import annotations

from dataclasses import dataclass

import torch

# Of weights, buffers and draws, whatever torch's default is: that one belongs to the process.
DTYPE = torch.float32


@dataclass(frozen=True)
class NetworkConfig:
    """Architecture of the trunk.

    The published description gives no sizes, so every number here is our own choice.

    Attributes
    ----------
    n_times : int
        Samples on the grid that the position table is laid out for. Other lengths work: the
        positions are interpolated.
    backbone : {"hybrid", "conv"}
        Convolution and transformer, or the convolution alone.
    stem_width, stem_kernel : int
        Channels and kernel of the first, stride-2 convolution.
    widths, kernels, strides : tuple of int
        One entry per residual block.
    patch : int
        Latent steps in a token.
    dim, depth, heads, feedforward : int
        Width, layers, attention heads and hidden width of the transformer.
    dropout : float
        In the transformer, while training.
    modalities : tuple of str
        Kinds of signal that have an embedding of their own beside the shared unknown one; empty
        for a network that knows of none.
    """

    n_times: int = 1024
    backbone: str = "hybrid"
    stem_width: int = 32
    stem_kernel: int = 15
    widths: tuple[int, ...] = (64, 128, 128)
    kernels: tuple[int, ...] = (7, 5, 3)
    strides: tuple[int, ...] = (2, 2, 1)
    patch: int = 4
    dim: int = 128
    depth: int = 4
    heads: int = 8
    feedforward: int = 256
    dropout: float = 0.1
    modalities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # JSON turns tuples into lists; equality and hashing want tuples back.
        for name in ("widths", "kernels", "strides", "modalities"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def latent_width(self) -> int:
        return self.widths[-1]

    @property
    def sequence_width(self) -> int:
        """Width of the sequence that the read-out cuts into segments."""
        return self.dim if self.backbone == "hybrid" else self.latent_width

    @property
    def latent_stride(self) -> int:
        """Input samples for one latent step."""
        stride = 2
        for factor in self.strides:
            stride *= factor
        return stride

    @property
    def token_stride(self) -> int:
        """Input samples for one token."""
        return self.latent_stride * self.patch

    @property
    def n_tokens(self) -> int:
        """Tokens in a window of ``n_times`` samples."""
        return -(-self.n_times // self.token_stride)


@dataclass(frozen=True)
class TaskConfig:
    """The masked auto-encoder's task: what is hidden and what is predicted.

    Attributes
    ----------
    objective : {"time", "freq", "both"}
        The signal itself, its spectrum around each token, or both.
    masking : {"latent", "input"}
        Whether tokens are hidden behind the convolution, or their samples before it.
    mask_ratio : float
        Share of the tokens that are hidden.
    run_length : tuple of two int
        Shortest and longest run of hidden tokens. A token beside a short run sees into all of it
        through the convolution.
    frame : int
        Samples of the Hann frame around a token whose spectrum is predicted.
    cross_channel : bool
        Whether simultaneous channels attend to one another before the prediction.
    """

    objective: str = "freq"
    masking: str = "latent"
    mask_ratio: float = 0.5
    run_length: tuple[int, int] = (4, 8)
    frame: int = 128
    cross_channel: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "run_length", tuple(self.run_length))

    @property
    def n_bins(self) -> int:
        return self.frame // 2 + 1


PRESETS: dict[str, NetworkConfig] = {
    "tiny": NetworkConfig(
        stem_width=16, widths=(32, 64, 64), dim=64, depth=3, heads=4, feedforward=128
    ),
    "small": NetworkConfig(),
    "base": NetworkConfig(
        n_times=3000,
        stem_width=48,
        widths=(96, 192, 256),
        strides=(2, 2, 2),
        dim=256,
        depth=6,
        feedforward=768,
    ),
}
