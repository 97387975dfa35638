"""Linear heads on standardised features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .dtype import DTYPE

LARGEST = 10.0  # standardised features are clipped here


def view_factors(views: list[int], shares: list[float]) -> Tensor:
    """Factor of each feature, with which the squares of standardised features sum to 1 on average.

    Parameters
    ----------
    views : list of int
        Number of features of each view.
    shares : list of float
        Relative weights of the views.
    """
    total = sum(shares)
    factors = [
        torch.full((size,), (share / total / size) ** 0.5, dtype=DTYPE)
        for size, share in zip(views, shares, strict=True)
    ]
    return torch.cat(factors)


class LinearHead(nn.Module):
    """Standardisation of the features, then a linear layer.

    The statistics are set once, from the training windows, so the output for a window does not
    depend on its batch. The features of a view are divided by the square root of their number.
    Every view thus contributes equally, however many features it has.

    Parameters
    ----------
    views : list of int
        Number of features of each view.
    n_outputs : int
        Number of outputs of the linear layer.
    shares : list of float, optional
        Relative weights of the views. None means equal weights.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, views: list[int], n_outputs: int, shares: list[float] | None = None) -> None:
        super().__init__()
        self.views, self.shares = views, shares or [1.0] * len(views)
        n_features = sum(views)
        self.register_buffer("mean", torch.zeros(n_features, dtype=DTYPE))
        self.register_buffer("scale", torch.ones(n_features, dtype=DTYPE))
        self.linear = nn.Linear(n_features, n_outputs, dtype=DTYPE)
        self.reset()

    def reset(self) -> None:
        """Set the weights and the biases of the linear layer to zero."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    @property
    def reach(self) -> float:
        """Change of an output where every weight changes by 1, and every feature is 1 sd.

        Adam changes each weight by up to its learning rate at every step, so with the same rate,
        the outputs for 64 channels would change by more than those for one. Dividing the rate by
        this number makes them equal.
        """
        return float(view_factors(self.views, self.shares).sum())

    def set_statistics(self, features: Tensor, weights: Tensor) -> None:
        """Set the weighted mean and sd of the features of the training windows."""
        features = features.double()
        share = (weights.double() / weights.double().sum())[:, None]
        mean = (share * features).sum(0)
        sd = (share * (features - mean).square()).sum(0).sqrt()
        # A feature that is constant in training is set to 0, so that it cannot become huge in
        # prediction. The threshold is relative to its mean, since levels may have any unit.
        varies = sd > 1e-5 * mean.abs()
        scale = torch.where(varies, 1 / sd.clamp_min(1e-30), torch.zeros_like(sd))
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def standardise(self, features: Tensor) -> Tensor:
        """Standardise features and clip them at 10 sd; their squares sum to 1 on average."""
        standard = ((features - self.mean) * self.scale).clamp(-LARGEST, LARGEST)
        return standard * view_factors(self.views, self.shares).to(standard)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.standardise(features))


_SLOWEST = 0.02  # share of a batch in the running statistics, from the 50th batch on


class TrackingHead(LinearHead):
    """A linear head whose statistics follow the training batches instead of being set once."""

    n_batches: Tensor
    variance: Tensor

    def __init__(self, views: list[int], n_outputs: int) -> None:
        super().__init__(views, n_outputs)
        self.register_buffer("n_batches", torch.tensor(0.0))
        self.register_buffer("variance", torch.ones(sum(views)))

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            self._track(features.detach())
        return super().forward(features)

    @torch.no_grad()
    def _track(self, features: Tensor) -> None:
        self.n_batches += 1
        share = (1 / self.n_batches).clamp_min(_SLOWEST)
        ahead = features.mean(0) - self.mean
        spread = features.var(0, correction=0)
        self.variance.copy_((1 - share) * (self.variance + share * ahead.square()) + share * spread)
        self.mean += share * ahead
        sd = self.variance.sqrt()
        varies = sd > 1e-5 * self.mean.abs()
        self.scale.copy_(torch.where(varies, 1 / sd.clamp_min(1e-30), 0.0))
