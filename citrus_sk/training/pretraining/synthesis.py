"""Synthetic classes: changes of real windows that differ between the classes of a task."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...nn.dtype import DTYPE
from ...nn.encoder import normalise

_MOTIF = (256, 300)  # first sample and length of a motif in the window that it is cut from


@dataclass(frozen=True)
class TaskDraws:
    """Random numbers for all tasks of a batch.

    Attributes
    ----------
    generator : torch.Generator
        Generator on the device of the windows.
    labels : Tensor of int of shape (n_windows,)
        Class of each window of a task.
    n_tasks, n_classes, n_times : int
        Sizes of the batch.
    """

    generator: torch.Generator
    labels: Tensor
    n_tasks: int
    n_classes: int
    n_times: int

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        drawn = torch.rand(
            self.n_tasks, *shape, generator=self.generator, dtype=DTYPE, device=self.labels.device
        )
        return low + (high - low) * drawn

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        return self.uniform(*shape, low=math.log(low), high=math.log(high)).exp()

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(
            self.n_tasks, *shape, generator=self.generator, dtype=DTYPE, device=self.labels.device
        )

    def index(self, n: int) -> Tensor:
        """An index below `n` for each task, ``(n_tasks, 1, 1)``."""
        return (self.uniform(1, 1) * n).int().clamp_max(n - 1)

    def course(self, n: int, n_knots: int) -> Tensor:
        """Slow random courses, ``(n_tasks, n, n_times)``."""
        knots = self.normal(n, n_knots)
        return F.interpolate(knots, self.n_times, mode="linear", align_corners=True)

    def by_class(self, values: Tensor) -> Tensor:
        """Values ``(n_tasks, n_classes, ...)`` for each window, by its class."""
        return values[:, self.labels]


def synthetic_classes(
    background: Tensor, sources: Tensor, labels: Tensor, generator: torch.Generator
) -> Tensor:
    """Change windows by their classes, in a way that is drawn for each task.

    A task has one of nine kinds of classes: a motif at a random time; a warped prototype in noise;
    a spectrum; a modulation; a second source; a pace; an asymmetry or a direction of time; the
    order and distance of two events; or a slow course. Motifs and prototypes are parts of other
    windows.

    Parameters
    ----------
    background : Tensor of shape (n_tasks, n_windows, n_times)
        Windows to change.
    sources : Tensor of shape (n_tasks, 2 * n_classes, n_times)
        Windows from which motifs are cut.
    labels : Tensor of int of shape (n_windows,)
        Class of each window of a task.
    generator : torch.Generator
        Generator on the device of the windows.

    Returns
    -------
    Tensor of shape (n_tasks, n_windows, n_times)
        Windows whose sd is about 1.
    """
    base, sources = normalise(background)[0], normalise(sources)[0]
    n_tasks, n_windows, n_times = base.shape
    n_classes = sources.shape[1] // 2
    draws = TaskDraws(generator, labels, n_tasks, n_classes, n_times)
    own = draws.by_class(sources[:, :n_classes])
    strength = draws.log_uniform(1, 1, low=0.3, high=3.0)
    made = [
        base + 2 * strength * _motif(draws, own),
        _prototype(draws, base, own),
        _spectrum(draws, base, strength),
        _modulated(draws, base),
        base + 0.7 * strength * _sample(own, 0.4 * _time(base) + 600 * draws.uniform(n_windows, 1)),
        _paced(draws, base),
        _bent(draws, base, own, strength),
        base + 2 * strength * _events(draws, sources),
        _slow(draws, base, strength),
    ]
    kind = draws.index(len(made))
    x = made[0]
    for i in range(1, len(made)):
        x = torch.where(kind == i, made[i], x)
    return x * draws.log_uniform(n_windows, 1, low=0.5, high=2.0)


def _time(x: Tensor) -> Tensor:
    return torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)


def _sample(x: Tensor, times: Tensor) -> Tensor:
    """Values of windows ``(..., n_times)`` at any times, by linear interpolation."""
    times = times.clamp(0, x.shape[-1] - 1)
    left = times.long().clamp_max(x.shape[-1] - 2)
    return torch.lerp(x.gather(-1, left), x.gather(-1, left + 1), times - left)


def _at(source: Tensor, start: Tensor, length: Tensor) -> Tensor:
    """A tapered part of each source, at a time and with a length of its own."""
    share = (_time(source) - start) / length
    inside = (share >= 0) & (share <= 1)
    values = _sample(source, _MOTIF[0] + _MOTIF[1] * share) * torch.sin(math.pi * share.clamp(0, 1))
    return torch.where(inside, values, torch.zeros_like(values))


def _motif(draws: TaskDraws, own: Tensor) -> Tensor:
    n_windows = own.shape[1]
    length = draws.log_uniform(1, 1, low=40, high=400)
    start = draws.uniform(n_windows, 1) * (draws.n_times - length)
    return _at(own, start, length * (1 + 0.1 * draws.normal(n_windows, 1)).clamp(0.6, 1.5))


def _prototype(draws: TaskDraws, base: Tensor, own: Tensor) -> Tensor:
    n_windows = base.shape[1]
    warp = draws.course(n_windows, 6) * draws.log_uniform(1, 1, low=4, high=80)
    shift = draws.normal(n_windows, 1) * draws.log_uniform(1, 1, low=2, high=100)
    noise = draws.log_uniform(1, 1, low=0.4, high=5)
    return _sample(own, _time(base) + warp + shift) + noise * base


def _spectrum(draws: TaskDraws, base: Tensor, strength: Tensor) -> Tensor:
    spectrum = torch.fft.rfft(base)
    octave = torch.arange(spectrum.shape[-1], device=base.device).clamp_min(1).log()
    centre = draws.by_class(draws.uniform(draws.n_classes, 1, low=0.7, high=6.4))
    width = draws.log_uniform(1, 1, low=0.15, high=0.8)
    gain = draws.by_class(draws.normal(draws.n_classes, 1)) * strength
    bump = (-0.5 * ((octave - centre) / width).square()).exp()
    return torch.fft.irfft(spectrum * (gain * bump).exp(), n=draws.n_times)


def _modulated(draws: TaskDraws, base: Tensor) -> Tensor:
    rate = draws.by_class(draws.log_uniform(draws.n_classes, 1, low=1, high=20))
    phase = rate * _time(base) / draws.n_times + draws.uniform(base.shape[1], 1)
    return base * (1 + 0.8 * torch.sin(2 * math.pi * phase))


def _paced(draws: TaskDraws, base: Tensor) -> Tensor:
    n_windows = base.shape[1]
    pace = draws.by_class(draws.uniform(draws.n_classes, 1, low=0.45))
    pace = pace * (1 + 0.03 * draws.normal(n_windows, 1))
    return _sample(base, _time(base) * pace + 40 * draws.uniform(n_windows, 1))


def _bent(draws: TaskDraws, base: Tensor, own: Tensor, strength: Tensor) -> Tensor:
    """Classes by the skewness of the samples, or by the sign or the direction of time."""
    mode, odd = draws.index(3), (draws.labels % 2 == 1)[:, None]
    bend = 0.6 * draws.by_class(draws.normal(draws.n_classes, 1))
    turned = torch.where(odd, torch.where(mode == 0, base.flip(-1), -base), base)
    if draws.n_classes > 2:  # a motif distinguishes the classes of one parity
        turned = turned + strength * _motif(draws, own)
    return torch.where(mode == 1, base + bend * base.square(), turned)


def _events(draws: TaskDraws, sources: Tensor) -> Tensor:
    n_windows = len(draws.labels)
    gap = draws.by_class(draws.uniform(draws.n_classes, 1, low=0.05, high=0.65)) * 0.8
    swapped = draws.by_class(draws.uniform(draws.n_classes, 1)) < 0.5
    first = 0.25 * draws.n_times * draws.uniform(n_windows, 1)
    length = draws.log_uniform(1, 1, low=40, high=150)
    one, other = (sources[:, i : i + 1].expand(-1, n_windows, -1) for i in (0, 1))
    early = _at(torch.where(swapped, one, other), first, length)
    return early + _at(torch.where(swapped, other, one), first + gap * draws.n_times, length)


def _slow(draws: TaskDraws, base: Tensor, strength: Tensor) -> Tensor:
    course = draws.by_class(draws.course(draws.n_classes, 8))
    added, scaled = base + 0.7 * strength * course, base * (0.5 * strength * course).exp()
    return torch.where(draws.index(2) == 0, added, scaled)
