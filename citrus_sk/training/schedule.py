"""The learning rate over a run, and the moving average of the weights."""

from __future__ import annotations

import math


def warmup_cosine(step: int, n_steps: int, warmup: float) -> float:
    """Factor of the learning rate: linear from zero over a share of the steps, then a cosine.

    Parameters
    ----------
    step : int
        From 0.
    n_steps : int
        Of the whole run; later steps have a factor of zero.
    warmup : float
        Share of the steps, in [0, 1]; at least one step.
    """
    n_warmup = max(1, round(warmup * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    done = min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))
    return 0.5 * (1 + math.cos(math.pi * done))


def average_share(step: float, n_steps: int, span: float) -> float:
    """Share of the present weights in their moving average, which is larger at first.

    Parameters
    ----------
    step : float
        Updates so far.
    n_steps : int
        Of the whole run.
    span : float
        Span of the average, as a share of the run; 0 for the present weights alone.
    """
    if span == 0:
        return 1.0
    decay = 1 - 1 / max(2.0, span * n_steps)
    return 1 - min(decay, (1.0 + step) / (10.0 + step))
