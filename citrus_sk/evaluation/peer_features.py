"""Steps of the peers without a network: features of windows, and ridges with probabilities.

Windows have the shape ``(n_windows, n_chans, n_times)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult, minimize_scalar
from scipy.signal import welch
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import make_scorer
from sklearn.utils.validation import check_is_fitted

from .._utils.validation import check_number
from ..signals.windows import channel_statistics, read_windows, to_float32

_AEON_HOME = "aeon.transformations.collection"
# Module of each transform, and the fewest samples that it takes. A kernel has nine, and
# MultiRocket and Hydra apply it to first differences as well.
_AEON = {
    "MiniRocket": (f"{_AEON_HOME}.convolution_based", 9),
    "MultiRocket": (f"{_AEON_HOME}.convolution_based", 10),
    "HydraTransformer": (f"{_AEON_HOME}.convolution_based", 10),
    "QUANTTransformer": (f"{_AEON_HOME}.interval_based", 4),
}
# Samples transformed at a time: Hydra needs a kilobyte for each, and torch's quantiles, which
# QUANT uses, refuse arrays of more than 2**24.
_CHUNK_SAMPLES = 2**18


class _WindowFeatures(TransformerMixin, BaseEstimator):
    """Transformer of windows that checks their shape and length."""

    _shortest = 2

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _read(self, X: Any, *, reset: bool) -> np.ndarray:
        values = to_float32(read_windows(self, X, reset=reset))
        check_length(values.shape[2], self._shortest, self._display_name)
        return values

    @property
    def _display_name(self) -> str:
        return type(self).__name__


def check_length(n_times: int, shortest: int, name: str) -> None:
    """Raise ValueError if windows have fewer than `shortest` samples."""
    if n_times < shortest:
        raise ValueError(
            f"X has windows of {n_times} samples; {name} expects at least {shortest}. Cut longer "
            "windows, or leave it out of the comparison."
        )


# --- aeon ----------------------------------------------------------------------------------------


class AeonFeatures(_WindowFeatures):
    """Transform of aeon that leaves random states, threads and warning filters unchanged.

    Parameters
    ----------
    name : {"MiniRocket", "MultiRocket", "HydraTransformer", "QUANTTransformer"}
        Class of aeon.
    random_state : int, RandomState instance or None, default=None
        Seed of the random kernels; QUANT has none.
    """

    def __init__(self, name: str = "MiniRocket", *, random_state: Any = None) -> None:
        self.name = name
        self.random_state = random_state

    @property
    def _shortest(self) -> int:  # type: ignore[override]
        return _AEON[self.name][1]

    @property
    def _display_name(self) -> str:
        return self.name

    def fit(self, X: Any, y: Any = None) -> AeonFeatures:
        from .._utils.devices import draw_seed

        values = self._read(X, reset=True)
        seed = draw_seed(self.random_state)
        with _contained(seed):
            transform = getattr(import_module(_AEON[self.name][0]), self.name)()
            known = transform.get_params()
            settings = {"random_state": seed, "output_type": "numpy"}
            transform.set_params(**{key: settings[key] for key in settings if key in known})
            self.transform_ = transform.fit(values)
        return self

    def transform(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        values = self._read(X, reset=False)
        step = max(1, _CHUNK_SAMPLES // (values.shape[1] * values.shape[2]))
        with _contained(0):
            return np.concatenate(
                [
                    np.asarray(self.transform_.transform(values[start : start + step]))
                    for start in range(0, len(values), step)
                ]
            )


@contextmanager
def _contained(seed: int) -> Iterator[None]:
    """Undo seeds and numbers of threads that the block sets, and hide its internal warnings."""
    import torch

    from .._utils.devices import isolated_seed

    threads = torch.get_num_threads()
    with isolated_seed(seed, torch.device("cpu")), warnings.catch_warnings():
        ignored: tuple[type[Warning], ...] = (DeprecationWarning, FutureWarning)
        for category in (*ignored, *_numba_warnings()):
            warnings.simplefilter("ignore", category)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _numba_warnings() -> tuple[type[Warning], ...]:
    from numba.core.errors import NumbaWarning

    return (NumbaWarning,)


class CalibratedRidge(ClassifierMixin, BaseEstimator):
    """Ridge that chooses its penalty, with probabilities calibrated on two folds.

    If a class has a single window, it cannot be in both folds. The probabilities are then the
    softmax of the ridge's scores, which orders the classes as the ridge does, without calibration.
    """

    def fit(self, X: Any, y: Any) -> CalibratedRidge:
        self.classes_, counts = np.unique(y, return_counts=True)
        ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
        self.calibrated_ = bool(counts.min() > 1)
        if self.calibrated_:
            ridge = CalibratedClassifierCV(ridge, cv=2, ensemble=False)
        self.model_ = ridge.fit(X, y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        if self.calibrated_:
            return self.model_.predict_proba(X)
        scores = self.model_.decision_function(X)
        if scores.ndim == 1:  # two classes share one score
            scores = np.stack([-scores, scores], axis=1)
        return softmax(scores, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(1)]


class PrevalidatedRidge(ClassifierMixin, BaseEstimator):
    """Ridge whose penalty and probabilities minimise the log loss of left-out windows (PreVal).

    The probabilities are the softmax of the ridge's scores times a scale. Scores of each window
    without it in training come from the solution on all windows, at little cost.

    Unlike in the authors' program and in aeon's, the intercept has no penalty. Otherwise the
    scores of left-out windows keep a trace of their own labels, which is all that is left where
    features are many and windows few: the scale is then far too large.

    References
    ----------
    Dempster, A., Webb, G. I. and Schmidt, D. F. (2024). Prevalidated Ridge Regression is a
    Highly-Efficient Drop-In Replacement for Logistic Regression for High-Dimensional Data. arXiv
    2401.15610.
    """

    def fit(self, X: Any, y: Any) -> PrevalidatedRidge:
        self.classes_, codes = np.unique(y, return_inverse=True)
        targets = 2.0 * np.eye(len(self.classes_))[codes] - 1
        self.offset_ = targets.mean(0)
        scorer = make_scorer(_lowest_loss, greater_is_better=False)
        ridge = RidgeCV(np.logspace(-3, 3, 10), scoring=scorer, store_cv_results=True)
        self.ridge_ = ridge.fit(np.asarray(X, np.float64), targets)
        left_out = ridge.cv_results_[..., np.flatnonzero(ridge.alphas == ridge.alpha_)[0]]
        self.scale_ = float(_best_scale(targets, left_out).x)
        del ridge.cv_results_  # as long as the training set
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        scores = self.ridge_.predict(X) - self.offset_
        return softmax(self.scale_ * scores + self.offset_, axis=1)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(1)]


def _lowest_loss(targets: np.ndarray, scores: np.ndarray) -> float:
    return float(_best_scale(targets, scores).fun)


def _best_scale(targets: np.ndarray, scores: np.ndarray) -> OptimizeResult:
    """Find the scale of ridge scores with the lowest log loss for targets of -1 and 1."""
    offset = targets.mean(0)

    def loss(scale: float) -> float:
        return -log_softmax(scale * (scores - offset) + offset, axis=1)[targets > 0].mean()

    # Targets are 2 apart, so a scale of 10 is certainty.
    return minimize_scalar(loss, bounds=(0.0, 10.0), method="bounded")


# --- band power ----------------------------------------------------------------------------------


class BandPower(_WindowFeatures):
    """Mean and log sd of each channel, and its log power in bands of equal ratio.

    Parameters
    ----------
    sfreq : float or None, default=None
        Sampling rate in Hz. With it, spectra are of segments of 2 s, and the bands reach from 0.5
        Hz to the Nyquist frequency. Without it, segments have 256 samples, and the bands start at
        the first bin.
    n_bands : int, default=10
        Number of bands. The lowest ones are left out if no bin of the spectrum is in them.

    Notes
    -----
    Power has a floor of 1e-8 of the channel's mean power in training, so that the logarithm of
    silence is not an extreme value.
    """

    _shortest = 8

    def __init__(self, sfreq: float | None = None, *, n_bands: int = 10) -> None:
        self.sfreq = sfreq
        self.n_bands = n_bands

    def fit(self, X: Any, y: Any = None) -> BandPower:
        check_number("sfreq", self.sfreq, open_low=True, unit="Hz", alternatives=(None,))
        power = self._band_power(self._read(X, reset=True))
        mean = power.mean((0, 2))
        self.floor_ = np.where(mean > 0, 1e-8 * mean, 1.0)[:, None]
        return self

    def transform(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        values = self._read(X, reset=False)
        power = np.log(np.maximum(self._band_power(values), self.floor_))
        variance = np.maximum(values.var(2, dtype=np.float64), self.floor_[:, 0])
        mean = values.mean(2, dtype=np.float64)
        return np.concatenate([power.reshape(len(values), -1), mean, np.log(variance) / 2], axis=1)

    def _band_power(self, values: np.ndarray) -> np.ndarray:
        """Mean power of the bins of each band, (n_windows, n_chans, n_bands)."""
        rate = 1.0 if self.sfreq is None else float(self.sfreq)
        segment = 256 if self.sfreq is None else max(self._shortest, round(2 * rate))
        segment = min(segment, values.shape[2])
        frequencies, power = welch(values.astype(np.float64), rate, nperseg=segment)
        frequencies, power = frequencies[1:], power[..., 1:]  # the mean is a separate feature
        lowest = frequencies[0] if self.sfreq is None else min(0.5, rate / 8)
        edges = np.geomspace(lowest, rate / 2, self.n_bands + 1)[1:-1]
        band = np.digitize(frequencies, edges)
        return np.stack([power[..., band == b].mean(-1) for b in np.unique(band)], axis=-1)


# --- covariances ---------------------------------------------------------------------------------


class LagCovariances(_WindowFeatures):
    """Shrunk covariance between the channels of each window, or between lags of one channel.

    Channels are standardised to mean 0 and sd 1 over the training windows. OAS shrinks each matrix
    (Chen et al., 2010), and 1e-6 is added to its diagonal, so that the matrix of a flat window can
    be inverted.

    Parameters
    ----------
    n_lags : int, default=12
        Number of copies of a single channel, each one sample later than the one before; fewer in
        windows of less than 24 samples. Not used for several channels.
    """

    _shortest = 4

    def __init__(self, *, n_lags: int = 12) -> None:
        self.n_lags = n_lags

    def fit(self, X: Any, y: Any = None) -> LagCovariances:
        self.mean_, self.scale_ = channel_statistics(self._read(X, reset=True))
        return self

    def transform(self, X: Any) -> np.ndarray:
        from pyriemann.estimation import Covariances

        check_is_fitted(self)
        standard = ((self._read(X, reset=False) - self.mean_) / self.scale_).astype(np.float64)
        if standard.shape[1] == 1:
            kept = standard.shape[2] - min(self.n_lags, standard.shape[2] // 2) + 1
            lags = np.lib.stride_tricks.sliding_window_view(standard[:, 0], kept, axis=1)
            standard = np.ascontiguousarray(lags)
        covariances = Covariances(estimator="oas").fit_transform(standard)
        return covariances + 1e-6 * np.eye(covariances.shape[1])
