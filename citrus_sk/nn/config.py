"""Configurations of network and pre-training task: values that JSON can store, without torch."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class NetworkConfig:
    """Architecture of the trunk.

    The published description gives no sizes, so every number here is our own choice.

    Attributes
    ----------
    n_times : int
        Number of samples of the grid that the position table was made for. For other lengths,
        positions are interpolated.
    backbone : {"hybrid", "conv"}
        Convolution and transformer, or the convolution alone.
    stem_width, stem_kernel : int
        Channels and kernel size of the first convolution, whose stride is 2.
    widths, kernels, strides : tuple of int
        Channels, kernel size and stride of each residual block.
    patch : int
        Number of latent steps in a token.
    dim, depth, heads, feedforward : int
        Width, number of layers, number of attention heads and hidden width of the transformer.
    dropout : float
        Dropout in the transformer during training.
    modalities : tuple of str
        Kinds of signal that have an embedding, in addition to the one for unknown signals. Empty
        for a network without such embeddings.
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
        # JSON turns tuples into lists; equality and hashing need tuples.
        for name in ("widths", "kernels", "strides", "modalities"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def latent_width(self) -> int:
        return self.widths[-1]

    @property
    def sequence_width(self) -> int:
        """Width of the sequence that the read-out divides into segments."""
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
    """Task of the masked auto-encoder.

    Attributes
    ----------
    objective : {"time", "freq", "both"}
        Target of the prediction: the samples of each token, the spectrum around it, or both.
    masking : {"latent", "input"}
        Whether tokens are hidden after the convolution, or their samples before it.
    mask_ratio : float
        Share of the tokens that are hidden.
    run_length : tuple of two int
        Shortest and longest run of hidden tokens. The receptive field of a visible token next to
        a short run contains the whole run.
    frame : int
        Number of samples of the Hann frame whose spectrum is predicted.
    cross_channel : bool
        Whether there is attention between simultaneous channels before the prediction.
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


def preset_of(network: NetworkConfig) -> str | None:
    """Name of the preset with the sizes of a network, whatever its modalities; None if none has."""
    plain = replace(network, modalities=())
    return next((name for name, config in PRESETS.items() if config == plain), None)
