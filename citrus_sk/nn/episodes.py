"""Few-label tasks: the loss of ridges on the features, through which a trunk can be trained."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .dtype import DTYPE
from .encoder import normalise
from .heads import LARGEST, view_factors
from .kernels import dilated, dilations_of, kernel_shapes
from .readout import N_BANDS, ReadOut, log_band_power

# Penalties of the ridges, in units of the mean squared norm; the trunk's are drawn.
_PENALTIES, _KERNEL_PENALTY = (3e-3, 0.3), 0.03
_SHARPNESS = 4.0  # outputs per decision; decisions are about -1 and 1
# Of all random kernels, a few dilations and thresholds are drawn for each batch.
_N_DILATIONS, _N_THRESHOLDS = 5, 2
_REFERENCES, _EVERY = 8, 8  # windows, and samples, whose responses give the thresholds


class EpisodeLoss:
    """Loss of a trunk on few-label tasks, each of which has labelled and unlabelled windows.

    A ridge is fitted to the features of the labelled windows in closed form and predicts the
    others. The loss is the cross-entropy of these predictions, so its gradient trains the trunk
    for the ridges that `CitrusClassifier` fits. The mean of two losses is used: of a ridge on the
    read-out alone; and of the averaged decisions of a ridge on read-out and band power and of
    another on random kernels. The second loss is small for tasks that the kernels solve.

    Ridges as differentiable heads follow Bertinetto et al. (2019), arXiv:1805.08136.

    Parameters
    ----------
    network : NetworkConfig
        Sizes of the trunk.
    """

    def __init__(self, network: NetworkConfig) -> None:
        self.readout = ReadOut(network, 1)
        views = list(self.readout.views)
        self._alone = view_factors(views, [1.0] * len(views))
        self._with_bands = view_factors([*views, N_BANDS], [1.0] * len(views) + [float(len(views))])

    def __call__(
        self,
        trunk: nn.Module,
        x: Tensor,
        modality: Tensor,
        labels: Tensor,
        n_support: int,
        generator: torch.Generator,
    ) -> Tensor:
        """Compute the loss of each task.

        Parameters
        ----------
        trunk : Trunk
            Trunk to train.
        x : Tensor of shape (n_tasks, n_windows, n_times)
            Windows of a single channel; the first `n_support` of each task are labelled.
        modality : Tensor of int of shape (n_tasks,)
            Row of each task in the trunk's table of modalities.
        labels : Tensor of int of shape (n_windows,)
            Class of each window, which is the same in every task.
        n_support : int
            Number of labelled windows of a task.
        generator : torch.Generator
            Generator on the CPU, for the penalties and the kernels.

        Returns
        -------
        Tensor of shape (n_tasks,)
        """
        n_tasks, n_windows, n_times = x.shape
        channel = x.reshape(-1, 1, n_times)
        z, scalars = normalise(channel)
        latent, sequence = trunk(z[:, 0], modality.repeat_interleave(n_windows))
        with torch.autocast(x.device.type, enabled=False):
            readout = self.readout(channel, z, latent.float(), sequence.float(), scalars)
            bands = log_band_power(z, scalars[..., 0]).flatten(1)
            both = torch.cat([readout, bands], 1)
            readout, both = (f.unflatten(0, (n_tasks, n_windows)) for f in (readout, both))
            codes = 2 * F.one_hot(labels[:n_support], int(labels.max()) + 1).to(DTYPE) - 1
            low, high = (math.log(penalty) for penalty in _PENALTIES)
            drawn = torch.rand(n_tasks, 1, 1, generator=generator, dtype=DTYPE)
            penalty = (low + (high - low) * drawn).exp().to(x.device)

            def decide(features: Tensor, factors: Tensor, penalty: Tensor | float) -> Tensor:
                scaled = _standardise(features, n_support) * factors.to(features)
                return _ridge(scaled, n_support, codes, penalty)

            alone = decide(readout, self._alone, penalty)
            with torch.no_grad():
                shares = task_shares(z[:, 0].unflatten(0, (n_tasks, -1)), n_support, generator)
                n_shares = shares.shape[-1]
                fixed = decide(shares, view_factors([n_shares], [1.0]), _KERNEL_PENALTY)
            fused = (decide(both, self._with_bands, penalty) + fixed) / 2
            expected = labels[n_support:].expand(n_tasks, -1)
            losses = [
                F.cross_entropy(_SHARPNESS * decisions.mT, expected, reduction="none")
                for decisions in (alone, fused)
            ]
            return torch.stack(losses).mean((0, 2))


def _standardise(features: Tensor, n_support: int) -> Tensor:
    """Standardise ``(n_tasks, n_windows, n_features)`` by the labelled windows of each task."""
    support = features[:, :n_support]
    mean = support.mean(1, keepdim=True)
    sd = (support.var(1, keepdim=True, correction=0) + 1e-12).sqrt()
    # A feature that is constant in a task is set to 0, as in `LinearHead`.
    scale = torch.where(sd > 1e-5 * (1 + mean.abs()), 1 / sd, torch.zeros_like(sd))
    return ((features - mean) * scale).clamp(-LARGEST, LARGEST)


def _ridge(features: Tensor, n_support: int, codes: Tensor, penalty: Tensor | float) -> Tensor:
    """Decisions for the unlabelled windows, ``(n_tasks, n_windows - n_support, n_classes)``."""
    features = features - features[:, :n_support].mean(1, keepdim=True)
    support, query = features[:, :n_support], features[:, n_support:]
    gram = support @ support.mT
    unit = gram.diagonal(dim1=1, dim2=2).mean(-1)[:, None, None].clamp_min(1e-6)
    level = codes.mean(0, keepdim=True)
    regular = gram + penalty * unit * torch.eye(n_support, dtype=gram.dtype, device=gram.device)
    expected = (codes - level).expand(len(gram), -1, -1)
    weights = torch.cholesky_solve(expected, torch.linalg.cholesky(regular))
    return level + query @ support.mT @ weights


def task_shares(z: Tensor, n_support: int, generator: torch.Generator) -> Tensor:
    """Shares of samples above thresholds of some of the random kernels of `RandomKernels`.

    Parameters
    ----------
    z : Tensor of shape (n_tasks, n_windows, n_times)
        Normalised windows of a single channel. In a third of the calls, their differences are used.
    n_support : int
        Number of windows of a task from which its thresholds are drawn.
    generator : torch.Generator
        Generator on the CPU, for the dilations and the quantiles of the thresholds.

    Returns
    -------
    Tensor of shape (n_tasks, n_windows, n_features)
        Shares in [0, 1].
    """
    if torch.rand((), generator=generator) < 1 / 3:
        z = z.diff(dim=-1)
    n_tasks, n_windows, n_times = z.shape
    distances = dilations_of(n_times)
    order = torch.randperm(len(distances), generator=generator).tolist()
    half = torch.bfloat16 if z.is_cuda else z.dtype  # the responses take most of the memory
    kernels = kernel_shapes().to(z.device, half)[:, None, None, :]
    x, shares = z.reshape(-1, 1, 1, n_times).to(half), []
    for i in order[:_N_DILATIONS]:
        responses = dilated(x, kernels, distances[i])[:, :, 0].unflatten(0, (n_tasks, n_windows))
        references = responses[:, : min(n_support, _REFERENCES), :, ::_EVERY]
        ordered = references.transpose(1, 2).flatten(2).sort(-1).values
        quantiles = 0.05 + 0.9 * torch.rand(_N_THRESHOLDS, generator=generator, dtype=DTYPE)
        for rank in (quantiles * (ordered.shape[-1] - 1)).round().int().tolist():
            above = responses > ordered[:, None, :, rank, None]
            shares.append(above.to(half).mean(-1, dtype=DTYPE))
    return torch.cat(shares, -1)
