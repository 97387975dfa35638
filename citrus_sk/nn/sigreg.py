"""A loss that keeps the features of a trunk from collapsing into a few directions."""

from __future__ import annotations

import torch
from torch import Tensor

from .dtype import DTYPE

_N_DIRECTIONS = 256
_FREQUENCIES = (0.2, 4.0, 17)  # of the characteristic function: lowest, highest, number
_LEAST_VARIANCE = 1e-4


def sigreg(features: Tensor, generator: torch.Generator) -> Tensor:
    """Distance of standardised features from a normal distribution, along random directions.

    The loss is that of SIGReg (Balestriero and LeCun, 2025, arXiv:2511.08544): the mean, over
    directions, of the integrated squared difference between the empirical characteristic function
    and that of a standard normal distribution, which Epps and Pulley (1983) proposed as a test. It
    is small only if the features are uncorrelated. Here the features are standardised first, as in
    the probe, so their scale is free.

    Parameters
    ----------
    features : Tensor of shape (batch, n_features)
    generator : torch.Generator
        Generator on the CPU, for the directions.

    Returns
    -------
    Tensor
        A scalar: about 0.17 if all features are equal up to a factor, near 0 for independent ones.
    """
    values = features.to(DTYPE)
    sd = (values.var(0, correction=0) + _LEAST_VARIANCE).sqrt()
    values = (values - values.mean(0)) / sd
    directions = torch.randn(values.shape[1], _N_DIRECTIONS, generator=generator, dtype=DTYPE)
    directions = (directions / directions.norm(dim=0)).to(values.device)
    low, high, n = _FREQUENCIES
    frequency = torch.linspace(low, high, n, dtype=DTYPE, device=values.device)
    normal = (-(frequency**2) / 2).exp()
    angles = (values @ directions)[..., None] * frequency
    difference = (angles.cos().mean(0) - normal) ** 2 + angles.sin().mean(0) ** 2
    step = (high - low) / (n - 1)
    return 2 * step * (difference * normal).sum(1).mean()
