"""Integrated gradients of a trained network's score."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import is_regressor
from torch import Tensor

from .._devices import out_of_memory_hint, usual_modes
from ._model import FittedModel


def check_differentiable(model: FittedModel) -> None:
    """Raise ValueError where a model has no useful gradient, with what to do instead."""
    who = type(model.last).__name__
    instead = "Use method='occlusion', which asks any model"
    if not model.is_network:
        raise ValueError(
            f"method='integrated-gradients' needs the gradient of a network, and {who} has none. "
            f"{instead}."
        )
    if any(getattr(net.module_, "kernels", None) is not None for net in model.last.members_):
        raise ValueError(
            "method='integrated-gradients' needs a differentiable model, and this one was fitted "
            "with random_kernels=True: shares of samples above thresholds are steps, which pass no "
            f"gradient on. {instead}, or fit {who}(random_kernels=False)."
        )


@usual_modes()
def integrated_gradients(
    model: FittedModel,
    X: np.ndarray,
    references: list[np.ndarray],
    columns: np.ndarray,
    n_steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients along straight lines from references to windows, times what changes on the way.

    Parameters
    ----------
    model : FittedModel
    X : ndarray of shape (n_windows, n_channels, n_times)
    references : list of ndarray of shape (n_references, n_channels, n_times)
        Of each window.
    columns : ndarray of shape (n_windows,)
        Output that each window is asked about.
    n_steps : int
        Nodes of the Gauss-Legendre rule on each line.

    Returns
    -------
    values : ndarray of shape (n_windows, n_channels, n_times)
        Means over the references.
    scores, reference_scores : ndarray of shape (n_windows,)
        Of the windows, and the mean of their references'.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    places = torch.tensor((nodes + 1) / 2, dtype=torch.float32)[:, None, None]
    shares = torch.tensor(weights / 2, dtype=torch.float32)[:, None, None]
    modules = [net.module_.eval() for net in model.last.members_]
    device = torch.device(model.last.net_.device)
    step = max(1, int(model.last.batch_size))
    values, scores, reference_scores = [], [], []
    with out_of_memory_hint(step):
        for number, (window, own, column) in enumerate(zip(X, references, columns, strict=True)):
            x, total = torch.from_numpy(window), torch.zeros(window.shape, dtype=torch.float32)
            for reference in own:
                change = x - torch.from_numpy(reference)
                points = x - (1 - places) * change
                gradient = torch.cat(
                    [_gradient(model, modules, part, column, device) for part in points.split(step)]
                )
                total += change * (shares * gradient).sum(0)
            if not torch.isfinite(total).all():
                raise ValueError(
                    f"The gradient at window {number} is not finite: two of its channels are "
                    "constant or copies of each other, and covariances then have none. Leave one "
                    "out, or use method='occlusion'."
                )
            values.append((total / len(own)).numpy())
            with torch.no_grad():
                ends = torch.cat([x[None], torch.from_numpy(own)]).to(device)
                both = torch.cat(
                    [_score(model, modules, part, column) for part in ends.split(step)]
                ).cpu()
            scores.append(float(both[0]))
            reference_scores.append(float(both[1:].mean()))
    return np.stack(values), np.array(scores), np.array(reference_scores)


def _gradient(
    model: FittedModel, modules: list[Any], x: Tensor, column: int, device: torch.device
) -> Tensor:
    x = x.to(device).requires_grad_()
    with torch.enable_grad():
        score = _score(model, modules, x, column).sum()
        (gradient,) = torch.autograd.grad(score, x)
    return gradient.cpu()


def _score(model: FittedModel, modules: list[Any], x: Tensor, column: int) -> Tensor:
    """What `FittedModel.scores` gives, for one output and with a gradient."""
    outputs = torch.stack([module(x) for module in modules])
    if is_regressor(model.last):
        scale, mean = model.last.target_scale_[column], model.last.target_mean_[column]
        return outputs.mean(0)[:, column] * float(scale) + float(mean)
    logs = outputs.log_softmax(2).logsumexp(0) - np.log(len(modules))
    if model.output == "probability":
        return logs[:, column].exp()
    others = [other for other in range(logs.shape[1]) if other != column]
    return logs[:, column] - logs[:, others].logsumexp(1)
