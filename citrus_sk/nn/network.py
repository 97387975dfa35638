"""The whole network: trunk, read-out and head."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .config import NetworkConfig
from .encoder import ConvEncoder, normalise
from .heads import LinearHead
from .kernels import RandomKernels
from .readout import N_BANDS, ReadOut, log_band_power, present_channels
from .transformer import PatchTransformer


class Trunk(nn.Module):
    """The pre-trained part: convolution and, in a hybrid, transformer, for each channel alone."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.encoder = ConvEncoder(config)
        self.transformer = PatchTransformer(config) if config.backbone == "hybrid" else None

    def forward(
        self,
        z: Tensor,
        modality: Tensor | None = None,
        hidden: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute the latents and the sequence for the read-out.

        Parameters
        ----------
        z : Tensor of shape (batch, n_times)
            Normalised channels.
        modality, hidden
            Arguments of `PatchTransformer`. Not used with the convolution alone.

        Returns
        -------
        latent : Tensor of shape (batch, latent_width, n_latent)
            Output of the convolution.
        sequence : Tensor of shape (batch, n_steps, width)
            Output of the transformer, or the transposed latents without one.
        """
        latent = self.encoder(z)
        if self.transformer is None:
            return latent, latent.transpose(1, 2)
        return latent, self.transformer(latent, modality, hidden)


class CitrusNetwork(nn.Module):
    """Residual convolution and channel-independent transformer with a linear head.

    Parameters
    ----------
    config : NetworkConfig
        Sizes of the trunk.
    n_chans : int
        Number of channels of a window.
    n_outputs : int
        Number of outputs: classes, or values of a regression.
    modality_rows : sequence of int, optional
        Row of each channel in the trunk's table of modalities. None means 0, for unknown.
    kernel_times : int, optional
        Number of samples of a window, for random kernels and band power in addition to the trunk.
        None leaves both out.
    """

    independent_windows = True  # no window has an effect on another one in any mode
    modality: Tensor | None

    def __init__(
        self,
        config: NetworkConfig,
        n_chans: int,
        n_outputs: int,
        modality_rows: Sequence[int] | None = None,
        kernel_times: int | None = None,
    ) -> None:
        super().__init__()
        self.config, self.n_chans, self.n_outputs = config, n_chans, n_outputs
        rows = torch.tensor(modality_rows or [0] * n_chans) if config.modalities else None
        self.register_buffer("modality", rows)
        self.trunk = Trunk(config)
        self.readout = ReadOut(config, n_chans)
        self.kernels = None if kernel_times is None else RandomKernels(n_chans, kernel_times)
        views, shares = list(self.readout.views), [1.0] * len(self.readout.views)
        if self.kernels is not None:
            # Band power does not depend on the trunk; it has the weight of the whole read-out.
            views += [n_chans * N_BANDS, *self.kernels.views]
            shares += [float(len(shares)), *(1.0 for _ in self.kernels.views)]
        self.head = LinearHead(views, n_outputs, shares)

    @property
    def n_features(self) -> int:
        return sum(self.head.views)

    @property
    def families(self) -> list[int]:
        """Sizes of the families of features, in their order.

        Network; band power; kernels on shape; kernels on amplitude.
        """
        if self.kernels is None:
            return [self.readout.n_features]
        return [self.readout.n_features, self.n_chans * N_BANDS, *self.kernels.families]

    def with_head(self, weight: Tensor, bias: Tensor) -> CitrusNetwork:
        """Make a network that shares everything but the weights of its head with this one."""
        network = copy.copy(self)
        network._modules = {**self._modules, "head": copy.deepcopy(self.head)}
        with torch.no_grad():
            network.head.linear.weight.copy_(weight)
            network.head.linear.bias.copy_(bias)
        return network

    def without_channels(self, absent: Sequence[int]) -> CitrusNetwork:
        """Make a network that shares the trunk with this one, and ignores some channels.

        A standardised feature of an absent channel is 0, its mean over the training windows.
        Kernels on several channels are computed on those that are left.

        Parameters
        ----------
        absent : sequence of int
            Indices of channels. They have to be zero in the windows.

        Returns
        -------
        CitrusNetwork
        """
        network = copy.copy(self)
        network._modules = {**self._modules, "head": copy.deepcopy(self.head)}
        left = [self.readout.left_without(absent)]
        if self.kernels is not None:
            network.kernels = copy.deepcopy(self.kernels)
            left += [
                present_channels(self.n_chans, absent).repeat_interleave(N_BANDS),
                network.kernels.leave_out(absent),
            ]
        scale = network.head.scale
        scale.mul_(torch.cat([each.to(scale) for each in left]))
        return network

    def fit_kernels(self, x: Tensor, seed: int) -> None:
        """Draw the random kernels and set their thresholds by training windows."""
        if self.kernels is not None:
            self.kernels.fit(x, normalise(x)[0], seed)

    def features(self, x: Tensor, of_network: Tensor | None = None) -> Tensor:
        """``(n_windows, n_chans, n_times)`` in physical units to ``(n_windows, n_features)``.

        `of_network` is the result of `network_features` where it is known already.
        """
        z, scalars = normalise(x)
        features = self._read_out(x, z, scalars) if of_network is None else of_network
        if self.kernels is None:
            return features
        bands = log_band_power(z, scalars[..., 0]).flatten(1)
        return torch.cat([features, bands, self.kernels(x, z)], dim=1)

    def network_features(self, x: Tensor) -> Tensor:
        """The first family of features, which depends on the windows and on the weights alone."""
        return self._read_out(x, *normalise(x))

    def _read_out(self, x: Tensor, z: Tensor, scalars: Tensor) -> Tensor:
        if not torch.compiler.is_exporting() and x.shape[:2] == (1, 1):
            # A single channel is convolved by other code of torch, which rounds differently.
            x, z, scalars = (each.expand(2, -1, -1) for each in (x, z, scalars))
            return self._read_out(x, z, scalars)[:1]
        modality = None if self.modality is None else self.modality.repeat(x.shape[0])
        latent, sequence = self.trunk(z.flatten(0, 1), modality)
        return self.readout(x, z, latent, sequence, scalars)

    def forward(self, x: Tensor) -> Tensor:
        """``(n_windows, n_chans, n_times)`` to logits ``(n_windows, n_outputs)``."""
        return self.head(self.features(x))
