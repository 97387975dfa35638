"""Attribution of a model's predictions to frequency bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .._utils.validation import as_flag, check_pair
from ..signals.containers import Windows
from .fitted_model import FittedModel, as_called
from .grid import channel_names, known_sfreq, read_inspected

EEG_BANDS = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}
_MOST_OCTAVES = 8


@dataclass(kw_only=True, eq=False, repr=False)
class BandOcclusion:
    """Result of `band_occlusion`.

    Attributes
    ----------
    values : ndarray of shape (n_windows, n_bands), or (n_windows, n_channels, n_bands) by channel
        Loss of the target's score when a band is removed: positive if the band raises the score.
    by_class : ndarray of shape (n_windows, n_outputs, ...)
        Loss for every class in the order of ``classes_``, or every output of a regressor.
    bands : dict of str to (float, float)
        Lower and upper edge in Hz.
    targets : ndarray of shape (n_windows,)
        Class, or index of the output, that `values` explain.
    scores : ndarray of shape (n_windows,)
        Score of the target for each whole window.
    score_unit : {"log-odds", "probability", "prediction"}
        Unit of scores and values.
    sfreq : float
        Sampling rate of the windows in Hz.
    ch_names : list of str
        Names of the channels.
    """

    values: np.ndarray
    by_class: np.ndarray
    bands: dict[str, tuple[float, float]]
    targets: np.ndarray
    scores: np.ndarray
    score_unit: str
    sfreq: float
    ch_names: list[str]


def band_occlusion(
    estimator: Any,
    X: Any,
    *,
    sfreq: float | None = None,
    bands: str | Mapping[str, tuple[float, float]] | None = None,
    target: Any = None,
    output: str = "log-odds",
    by_channel: bool = False,
    ch_names: Sequence[str] | None = None,
) -> BandOcclusion:
    """Remove one frequency band after another, and measure the loss of a model's score.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
        Model to explain: any classifier with ``predict_proba`` and any regressor of windows.
    X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), list of \
ndarray of shape (n_channels, n_times_i), or mne.Epochs
        Windows, as for ``predict``. Bands are removed before the first step of a Pipeline.
    sfreq : float or None, default=None
        Sampling rate of `X` in Hz. None takes that of Epochs, or of a `SignalAligner` that is the
        first step.
    bands : dict of str to (float, float), {"eeg", "octaves"} or None, default=None
        Name, and lower and upper edge in Hz. ``"eeg"`` is delta (from 0.5 Hz), theta (4),
        alpha (8), beta (13) and gamma (30 to 45 Hz), up to the Nyquist frequency. ``"octaves"`` are
        octaves from the Nyquist frequency down to one cycle in the shortest window, at most eight.
        None is ``"eeg"`` for Epochs with EEG channels, otherwise ``"octaves"``.
    target : label, int, array-like of shape (n_windows,) or None, default=None
        Class to explain, as in `attribution`; None explains the predicted one.
    output : {"log-odds", "probability"}, default="log-odds"
        Score of a classifier, as in `attribution`.
    by_channel : bool, default=False
        Whether to remove a band from one channel at a time instead of from all at once.
    ch_names : sequence of str or None, default=None
        Names of the channels, as in `attribution`.

    Returns
    -------
    BandOcclusion

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model has no score, or a parameter has a wrong type.
    ValueError
        If no sampling rate is known, a band extends beyond the Nyquist frequency or contains no
        frequency of a window, or another parameter or `X` is not valid.

    Notes
    -----
    A band is removed by setting coefficients of the discrete cosine transform of a window to 0.
    The transform extends the window by its mirror image, so that its ends do not jump. The
    frequencies of a window of ``T`` seconds are ``1 / (2 T)`` Hz apart. The mean of a channel is
    kept.

    The network standardises every channel to sd 1. If a band holds most of a signal, the rest is
    amplified, so a loss can be due to noise. Losses do not add up: if two bands carry the same
    information, removing either of them costs little.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier
    >>> from citrus_sk.inspection import band_occlusion
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["alpha", "beta"], 20)
    >>> time = np.arange(256) / 100
    >>> X = np.sin(2 * np.pi * np.where(y == "alpha", 10, 22)[:, None] * time)
    >>> X += rng.standard_normal(X.shape)
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0).fit(X, y)
    >>> found = band_occlusion(clf, X[:5], sfreq=100, bands="eeg")
    >>> list(found.bands)[found.values.mean(0).argmax()]
    'alpha'
    """
    model = FittedModel(estimator, output)
    model.check_scores()
    windows = read_inspected(model, X)
    sfreq = known_sfreq(model, windows, sfreq)
    if sfreq is None:
        raise ValueError(
            "sfreq=None, and X has no sampling rate, without which frequencies are unknown. "
            "Pass sfreq in Hz, or mne.Epochs."
        )
    by_channel = as_flag("by_channel", by_channel)
    found = _resolve_bands(bands, windows, sfreq)
    names = channel_names(model, windows, ch_names)
    first = model.steps[0]

    def scores_of(data: Any) -> np.ndarray:
        return model.scores(as_called(first, data))

    whole = scores_of(windows.data)
    columns, targets = model.targets(target, whole)
    parts: list[Any] = list(range(windows.n_chans)) if by_channel else [slice(None)]
    losses = np.stack(
        [
            [whole - scores_of(_without(windows.data, part, edges, sfreq)) for part in parts]
            for edges in found.values()
        ],
        axis=-1,
    )  # (n_parts, n_windows, n_outputs, n_bands)
    by_class = losses.transpose(1, 2, 0, 3) if by_channel else losses[0]
    rows = np.arange(len(columns))
    return BandOcclusion(
        values=by_class[rows, columns], by_class=by_class, bands=found, targets=targets,
        scores=whole[rows, columns], score_unit=model.unit, sfreq=sfreq, ch_names=names,
    )  # fmt: skip


def remove_band(x: np.ndarray, low: float, high: float, sfreq: float) -> np.ndarray:
    """Remove frequencies from `low` to below `high` Hz from a signal, and keep its mean."""
    from scipy.fft import dct, idct

    coefficients = dct(np.asarray(x, np.float64), norm="ortho")
    frequencies = np.arange(x.shape[-1]) * sfreq / 2 / x.shape[-1]
    # The highest coefficient is just below the Nyquist frequency, so that a band includes it.
    coefficients[..., (frequencies >= low) & (frequencies < high) & (frequencies > 0)] = 0
    return idct(coefficients, norm="ortho").astype(x.dtype)


def _without(data: Any, channels: Any, edges: tuple[float, float], sfreq: float) -> Any:
    """Copies of the windows without a band in some channels."""
    if isinstance(data, list):
        return [_without(window[None], channels, edges, sfreq)[0] for window in data]
    changed = data.copy()
    changed[:, channels] = remove_band(data[:, channels], *edges, sfreq)
    return changed


def _resolve_bands(bands: Any, windows: Windows, sfreq: float) -> dict[str, tuple[float, float]]:
    shortest = min(window.shape[-1] for window in windows.data)
    if bands is None:
        bands = "eeg" if _has_eeg(windows) else "octaves"
    if isinstance(bands, str):
        if bands == "octaves":
            return _octaves(sfreq, shortest)
        if bands != "eeg":
            raise ValueError(
                f"bands={bands!r} is unknown; expected 'eeg', 'octaves', or a dict of names and "
                "edges in Hz, such as {'tremor': (4, 8)}."
            )
        bands = {
            name: (low, min(high, sfreq / 2))
            for name, (low, high) in EEG_BANDS.items()
            if low < sfreq / 2
        }
    if not isinstance(bands, Mapping) or not bands:
        raise TypeError(
            f"bands={bands!r} is not a dict of bands; expected names and edges in Hz, such as "
            "{'tremor': (4, 8)}."
        )
    return {str(name): _check_band(name, edges, sfreq, shortest) for name, edges in bands.items()}


def _check_band(name: Any, edges: Any, sfreq: float, shortest: int) -> tuple[float, float]:
    check_pair(f"bands[{name!r}]", edges, unit="Hz")
    low, high = map(float, edges)
    if high > sfreq / 2:
        raise ValueError(
            f"bands[{name!r}] extends to {high:g} Hz, but windows at {sfreq:g} Hz contain no "
            f"frequencies above {sfreq / 2:g} Hz. Lower its upper edge, or check sfreq."
        )
    resolution = sfreq / 2 / shortest
    if not any(low <= k * resolution < high for k in range(1, shortest)):
        raise ValueError(
            f"bands[{name!r}]={edges!r} Hz contains no frequency of a window of {shortest} "
            f"samples at {sfreq:g} Hz, which are {resolution:.3g} Hz apart. Widen it, or cut "
            "longer windows."
        )
    return low, high


def _octaves(sfreq: float, shortest: int) -> dict[str, tuple[float, float]]:
    edges = [sfreq / 2]
    while len(edges) <= _MOST_OCTAVES and edges[-1] / 2 >= sfreq / shortest:
        edges.append(edges[-1] / 2)
    edges.reverse()
    found = list(pairwise(edges)) or [(0.0, sfreq / 2)]
    return {octave_name(*edges): edges for edges in found}


def octave_name(low: float, high: float) -> str:
    """Name of an octave."""
    return f"{low:.3g}-{high:.3g} Hz"


def _has_eeg(windows: Windows) -> bool:
    """Whether there are EEG channels, by MNE's code of that kind."""
    return any(int(ch["kind"]) == 2 for ch in windows.chs or () if "kind" in ch)
