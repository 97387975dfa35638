"""Windows on the grid of a network, with the times of their samples in the original windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from .._utils.validation import check_number
from ..estimators.base import NetworkEstimator
from ..signals.aligner import SignalAligner
from ..signals.containers import Windows, ch_names
from ..signals.windows import agreed_sfreq, centred, read_windows
from .fitted_model import FittedModel, as_called


@dataclass(frozen=True)
class GridWindows:
    """Windows after the first steps of a pipeline.

    Attributes
    ----------
    data : ndarray of shape (n_windows, n_channels, n_times), float32
        Windows.
    times : ndarray of shape (n_windows, n_times)
        Time of each sample after the start of the window, in `unit`.
    unit : {"s", "samples"}
        Unit of `times`: samples of the windows that were passed if no sampling rate is known.
    """

    data: np.ndarray
    times: np.ndarray
    unit: str


class _Reader(BaseEstimator):
    """Placeholder for a first step of another library in the check of windows."""


def read_inspected(model: FittedModel, X: Any) -> Windows:
    """Check windows as the first step of a model would."""
    first = model.steps[0]
    if isinstance(first, SignalAligner | NetworkEstimator):
        aligns = isinstance(first, SignalAligner)
        windows = read_windows(first, X, reset=False, ragged=aligns, any_rate=aligns)
    else:
        windows = read_windows(_Reader(), X, reset=True)
        windows = replace(windows, offset=None)  # of other people's steps, which do not subtract it
    return centred(windows if model.offset is None else replace(windows, offset=model.offset))


def channel_names(model: FittedModel, windows: Windows, given: Sequence[str] | None) -> list[str]:
    """Names of the channels: those given, those of a container, or numbers."""
    if given is not None:
        names = [str(name) for name in given]
        if len(names) != windows.n_chans:
            raise ValueError(
                f"ch_names has {len(names)} names, and X has {windows.n_chans} channels; expected "
                "one for each."
            )
        return names
    known = ch_names(windows.chs) or getattr(model.steps[0], "ch_names_", None)
    return list(known or (f"channel {i}" for i in range(windows.n_chans)))


def known_sfreq(model: FittedModel, windows: Windows, sfreq: float | None) -> float | None:
    """Sampling rate of the windows: that of their container, of `sfreq`, or of ``fit``."""
    check_number("sfreq", sfreq, unit="Hz", open_low=True, alternatives=(None,))
    return agreed_sfreq(windows, sfreq) or getattr(model.steps[0], "sfreq_", None)


def pass_steps(
    model: FittedModel, n_passed: int, windows: Windows, sfreq: float | None
) -> GridWindows:
    """Transform windows by the first `n_passed` steps."""
    data, aligner = windows.data, None
    lengths = [window.shape[-1] for window in data]
    for step in model.steps[:n_passed]:
        if isinstance(step, SignalAligner):
            aligner, lengths = step, [window.shape[-1] for window in data]
        data = np.asarray(step.transform(as_called(step, data)))
        data = data[:, None] if data.ndim == 2 and windows.n_chans == 1 else data
        if data.ndim != 3:
            raise ValueError(
                f"{type(step).__name__} returns an array of shape {data.shape}; expected windows "
                "(n_windows, n_channels, n_times), because the explanation is in terms of the "
                "input of the last step. Use method='occlusion'."
            )
    if aligner is None:
        samples = np.tile(np.arange(data.shape[2], dtype=float), (len(data), 1))
    else:
        samples = np.stack([aligner.alignment(n, sfreq).source_samples() for n in lengths])
    if samples.shape[1] != data.shape[2]:
        raise ValueError(
            f"The steps after the aligner change windows of {samples.shape[1]} samples to "
            f"{data.shape[2]}, so the times of the samples in X are unknown. Put SignalAligner "
            "after these steps."
        )
    data = np.ascontiguousarray(data, np.float32)
    return GridWindows(data, samples / (sfreq or 1.0), "samples" if sfreq is None else "s")
