"""Which bands of frequency a model's answers are owed to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .._containers import Windows
from .._parameters import check_pair
from ._grid import channel_names, known_sfreq, read_inspected
from ._model import FittedModel, as_called

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
    """What `band_occlusion` found.

    Attributes
    ----------
    values : ndarray of shape (n_windows, n_bands), or (n_windows, n_channels, n_bands) by channel
        What the score of each window's target loses when a band is removed: positive where the
        band speaks for the target.
    by_class : ndarray of shape (n_windows, n_outputs, ...)
        The same for every class in the order of ``classes_``, or every output of a regressor.
    bands : dict of str to (float, float)
        Lower and upper edge in Hz.
    targets : ndarray of shape (n_windows,)
        The class, or the number of the output, that `values` are about.
    scores : ndarray of shape (n_windows,)
        Score of the target for each whole window.
    score_unit : {"log-odds", "probability", "prediction"}
        What scores and values are.
    sfreq : float
        Sampling rate of the windows in Hz.
    ch_names : list of str
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
    """Remove one band of frequency after another, and note what a model's score loses.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
        Any classifier with ``predict_proba`` and any regressor of windows.
    X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), list of \
ndarray of shape (n_channels, n_times_i), or mne.Epochs
        Windows, as ``predict`` takes them. Bands are removed before any step of a Pipeline.
    sfreq : float or None, default=None
        Sampling rate of `X` in Hz. None takes that of Epochs, or that which a `SignalAligner` at
        the start was told.
    bands : dict of str to (float, float), {"eeg", "octaves"} or None, default=None
        Name, and lower and upper edge in Hz. ``"eeg"`` is delta (from 0.5 Hz), theta (4),
        alpha (8), beta (13) and gamma (30 to 45 Hz), as far as `sfreq` reaches. ``"octaves"`` halve
        from the Nyquist frequency down, to one cycle in the shortest window or eight of them. None
        is ``"eeg"`` for Epochs with EEG channels, else ``"octaves"``.
    target : label, int, array-like of shape (n_windows,) or None, default=None
        As in `attribution`: the class that is asked about; None asks about the predicted one.
    output : {"log-odds", "probability"}, default="log-odds"
        Score of a classifier, as in `attribution`.
    by_channel : bool, default=False
        Whether a band is removed from one channel at a time, instead of from all at once.
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
        If it has no score, or a parameter has a wrong type.
    ValueError
        If no sampling rate is known, a band reaches beyond the Nyquist frequency or between two
        neighbouring frequencies of a window, or another parameter or `X` is not what is wanted.

    Notes
    -----
    A band is removed by setting coefficients of the discrete cosine transform of a window to 0,
    which continues it by its mirror image, so that its ends do not jump. Those of a window of ``T``
    seconds lie ``1 / (2 T)`` Hz apart. The mean of a channel stays.

    The network brings every channel to sd 1. Where a band holds most of a signal, what is left
    without it is drawn large, so a loss can be owed to noise that came to the fore. Losses do not
    add up: two bands that say the same both seem to be dispensable.

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
            "sfreq=None, and X does not tell its sampling rate, without which no band has a place. "
            "Pass sfreq in Hz, or mne.Epochs."
        )
    if not isinstance(by_channel, bool | np.bool_):
        raise TypeError(f"by_channel={by_channel!r} is unknown; wanted a bool.")
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
    """The signal without its frequencies from `low` to below `high` Hz; its mean stays."""
    from scipy.fft import dct, idct

    coefficients = dct(np.asarray(x, np.float64), norm="ortho")
    frequencies = np.arange(x.shape[-1]) * sfreq / 2 / x.shape[-1]
    # The highest coefficient lies just below the Nyquist frequency, so no band misses it.
    coefficients[..., (frequencies >= low) & (frequencies < high) & (frequencies > 0)] = 0
    return idct(coefficients, norm="ortho").astype(x.dtype)


def _without(data: Any, channels: Any, edges: tuple[float, float], sfreq: float) -> Any:
    """Copies of windows without a band in some channels."""
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
                f"bands={bands!r} is unknown; wanted 'eeg', 'octaves', or a dict of names and "
                "edges in Hz, such as {'tremor': (4, 8)}."
            )
        bands = {
            name: (low, min(high, sfreq / 2))
            for name, (low, high) in EEG_BANDS.items()
            if low < sfreq / 2
        }
    if not isinstance(bands, Mapping) or not bands:
        raise TypeError(
            f"bands={bands!r} is no dict of bands; wanted names and edges in Hz, such as "
            "{'tremor': (4, 8)}."
        )
    return {str(name): _check_band(name, edges, sfreq, shortest) for name, edges in bands.items()}


def _check_band(name: Any, edges: Any, sfreq: float, shortest: int) -> tuple[float, float]:
    check_pair(f"bands[{name!r}]", edges, unit="Hz")
    low, high = map(float, edges)
    if high > sfreq / 2:
        raise ValueError(
            f"bands[{name!r}] reaches to {high:g} Hz, and windows at {sfreq:g} Hz hold nothing "
            f"above {sfreq / 2:g} Hz. End it there, or check sfreq."
        )
    resolution = sfreq / 2 / shortest
    if not any(low <= k * resolution < high for k in range(1, shortest)):
        raise ValueError(
            f"bands[{name!r}]={edges!r} Hz holds no frequency of a window of {shortest} samples "
            f"at {sfreq:g} Hz, which lie {resolution:.3g} Hz apart. Widen it, or cut longer "
            "windows."
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
    """Name of a band that nobody named."""
    return f"{low:.3g}-{high:.3g} Hz"


def _has_eeg(windows: Windows) -> bool:
    """Whether channels are electrodes of an EEG, by MNE's number of that kind."""
    return any(int(each["kind"]) == 2 for each in windows.chs or () if "kind" in each)
