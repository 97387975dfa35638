"""Integrated gradients of a trained network's score."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import is_regressor
from torch import Tensor

from .._utils.devices import out_of_memory_hint, usual_modes
from .fitted_model import FittedModel


def check_differentiable(model: FittedModel) -> None:
    """Raise ValueError, with an alternative, if a model has no useful gradient."""
    name = type(model.last).__name__
    remedy = "Use method='occlusion', which works for any model"
    if not model.is_network:
        raise ValueError(
            f"method='integrated-gradients' needs the gradient of a network, and {name} has none. "
            f"{remedy}."
        )
    if any(getattr(net.module_, "kernels", None) is not None for net in model.last.members_):
        raise ValueError(
            "method='integrated-gradients' needs a differentiable model, and this one was fitted "
            "with random_kernels=True, whose counts of samples above thresholds have no gradient. "
            f"{remedy}, or fit {name}(random_kernels=False)."
        )


@usual_modes()
def integrated_gradients(
    model: FittedModel,
    X: np.ndarray,
    references: list[np.ndarray],
    columns: np.ndarray,
    n_steps: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean gradients along straight lines from references to windows, times the differences.

    Parameters
    ----------
    model : FittedModel
        Model to explain.
    X : ndarray of shape (n_windows, n_channels, n_times)
        Windows.
    references : list of ndarray of shape (n_references, n_channels, n_times)
        References of each window.
    columns : ndarray of shape (n_windows,)
        Output to explain for each window.
    n_steps : int
        Nodes of the Gauss-Legendre rule on each line.

    Returns
    -------
    values : ndarray of shape (n_windows, n_channels, n_times)
        Means over the references.
    scores, reference_scores : ndarray of shape (n_windows,)
        Scores of the windows, and mean scores of their references.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    steps = torch.tensor((nodes + 1) / 2, dtype=torch.float32)[:, None, None]
    step_weights = torch.tensor(weights / 2, dtype=torch.float32)[:, None, None]
    modules = [net.module_.eval() for net in model.last.members_]
    device = torch.device(model.last.net_.device)
    batch_size = max(1, int(model.last.batch_size))
    values, scores, reference_scores = [], [], []
    with out_of_memory_hint(batch_size):
        for i, (window, of_window, column) in enumerate(zip(X, references, columns, strict=True)):
            x, total = torch.from_numpy(window), torch.zeros(window.shape, dtype=torch.float32)
            for reference in of_window:
                change = x - torch.from_numpy(reference)
                points = x - (1 - steps) * change
                gradient = torch.cat(
                    [
                        _gradient(model, modules, part, column, device)
                        for part in points.split(batch_size)
                    ]
                )
                total += change * (step_weights * gradient).sum(0)
            if not torch.isfinite(total).all():
                raise ValueError(
                    f"The gradient at window {i} is not finite: covariances have no gradient if "
                    "channels are constant or copies of each other. Leave such channels out, or "
                    "use method='occlusion'."
                )
            values.append((total / len(of_window)).numpy())
            with torch.no_grad():
                ends = torch.cat([x[None], torch.from_numpy(of_window)]).to(device)
                both = torch.cat(
                    [_score(model, modules, part, column) for part in ends.split(batch_size)]
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
    """Score of one output as in `FittedModel.scores`, with a gradient."""
    outputs = torch.stack([module(x) for module in modules])
    if is_regressor(model.last):
        scale, mean = model.last.target_scale_[column], model.last.target_mean_[column]
        return outputs.mean(0)[:, column] * float(scale) + float(mean)
    logs = outputs.log_softmax(2).logsumexp(0) - np.log(len(modules))
    if model.output == "probability":
        return logs[:, column].exp()
    others = [other for other in range(logs.shape[1]) if other != column]
    return logs[:, column] - logs[:, others].logsumexp(1)
