"""Schedules of the learning rate and of the moving average of the weights."""

from __future__ import annotations

import math


def warmup_cosine(step: int, n_steps: float, warmup: float) -> float:
    """Factor of the learning rate: a linear warm-up from zero, then a cosine to zero.

    Parameters
    ----------
    step : int
        Index of the step, counted from 0.
    n_steps : float
        Number of steps of the whole run, known or expected. Later steps have a factor of zero.
    warmup : float
        Share of the steps in the warm-up, in [0, 1]. It has at least one step.

    Returns
    -------
    float
        Factor in [0, 1].
    """
    n_warmup = max(1, round(warmup * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    done = min(1.0, (step - n_warmup) / max(1, n_steps - n_warmup))
    return 0.5 * (1 + math.cos(math.pi * done))


def average_share(step: float, n_steps: float, span: float) -> float:
    """Share of the current weights in their moving average, which is larger at first.

    Parameters
    ----------
    step : float
        Number of updates so far.
    n_steps : float
        Number of steps of the whole run, known or expected.
    span : float
        Span of the average, as a share of the run. 0 means no average.

    Returns
    -------
    float
        Share in [0, 1].
    """
    if span == 0:
        return 1.0
    decay = 1 - 1 / max(2.0, span * n_steps)
    return 1 - min(decay, (1.0 + step) / (10.0 + step))
