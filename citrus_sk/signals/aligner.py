"""`SignalAligner`, which gives every window the length the network was trained on."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._utils.stored import Stored
from .._utils.validation import Documented, all_or_nothing, check_choice, check_number
from .alignment import METHODS, MIN_TIMES, Alignment
from .consistency import RATE_TOLERANCE, same_rate
from .containers import Windows
from .lost_power import warn_of_lost_power
from .resampling import GRID_N_TIMES, GRID_SFREQ
from .windows import agreed_sfreq, float32_chunks, read_windows


def _has_columns(aligner: SignalAligner) -> bool:
    # Only 2-D output has columns. Without feature names scikit-learn does not wrap the output, so
    # 3-D output stays an array even if `set_output` requests a data frame.
    return getattr(aligner, "_fitted_on_2d", True)


class SignalAligner(Stored, Documented, TransformerMixin, BaseEstimator):
    r"""Bring windows of any length and sampling rate onto the grid of the pre-trained weights.

    A network pre-trained on windows of one length is often applied to data of another length and
    sampling rate. Resampling each whole window to the pre-training length works best by far [1]_;
    the other methods exist for comparison and for data whose physical time scale must be kept.
    Amplitudes are not changed, because they carry information and the network normalises its
    input itself.

    Parameters
    ----------
    n_times : int or None, default=None
        Samples of each window in the output, at least 2. None means 1024, the length that the
        shipped weights were pre-trained on. Not used by ``method="native"``.
    method : {"resample", "rate", "crop", "pad", "native"}, default="resample"
        Method that brings a window to `n_times` samples:

        - ``"resample"``: the whole window is resampled, whatever its duration. Upsampling
          interpolates linearly; downsampling is anti-aliased.
        - ``"rate"``: the window is resampled from `sfreq` to `target_sfreq`, which keeps the
          physical time scale; then it is cropped to its centre, or padded on both sides with the
          mean of each channel.
        - ``"crop"``: the first `n_times` samples are kept; a shorter window is padded with zeros
          at its end. This was earlier practice.
        - ``"pad"``: the central `n_times` samples are kept; a shorter window is padded with zeros
          on both sides.
        - ``"native"``: the length is kept; the dtype becomes float32.
    sfreq : float or None, default=None
        Sampling rate of the input in Hz. Only ``method="rate"`` needs it, and only if the input
        is not an `mne.Epochs`, which holds its rate.
    target_sfreq : float or None, default=None
        Sampling rate of the output in Hz for ``method="rate"``. None means 100 Hz, the rate of
        the pre-trained weights.

    Attributes
    ----------
    n_times_ : int or None
        Samples of an input window; None if ``fit`` got windows of unequal lengths.
    n_times_out_ : int
        Samples of an output window.
    n_chans_ : int
        Number of channels.
    sfreq_ : float or None
        Sampling rate of the input in Hz; None if unknown.
    method_ : str
        Value of `method` in ``fit``.
    target_sfreq_ : float
        Sampling rate of the output in Hz for ``method="rate"``.
    n_features_in_ : int
        Length of the second axis of `X`: channels, or samples if `X` is 2-D.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` is a data frame.

    Notes
    -----
    Output sample :math:`k` lies at :math:`t_k = k s` input samples, with the step
    :math:`s = n_\mathrm{in} / n_\mathrm{out}` for ``"resample"`` (as in `scipy.signal.resample`)
    and :math:`s = f_\mathrm{in} / f_\mathrm{out}` for ``"rate"``. For :math:`s < 1` the signal is
    interpolated linearly and its last sample is held. For :math:`s > 1` the output is

    .. math:: y_k = \frac{\sum_i w((i - t_k) / s) x_i}{\sum_i w((i - t_k) / s)}, \quad
              w(u) = \mathrm{sinc}(u)\, I_0\big(\beta \sqrt{1 - (u / a)^2}\big) \; (|u| < a)

    with :math:`a = 16` and :math:`\beta = 10`. Frequencies below 0.8 of the new Nyquist frequency
    pass unchanged; those above 1.2 of it are attenuated by 100 dB. Beyond its ends the window is
    extended by odd reflection, which preserves constants and trends.

    The output is float32 and C-contiguous, and never shares memory with the input. A memory map
    is read in pieces. ``fit`` checks the values of `X` and stores its shape. It learns nothing
    from the values, with one exception: the offset of a channel in double precision that is larger
    than 1e4 times the sd within a window, with which float32 would lose the signal. It is
    subtracted from all windows. It is the median over the means of the windows in ``fit``, so
    differences in level between windows are kept. ``fit`` warns if the signal is lost even so. It
    also warns if resampling to a lower rate removes more than half of the power of
    the signal, on average over channels and at most 32 windows. Bad channels and stimulus channels
    of an `mne.Epochs` are left out.

    For 2-D input the output is 2-D, with the feature names ``t0``, ``t1``, ..., and follows
    `set_output`. For 3-D input the output is a 3-D array even if `set_output` requests a data
    frame, which has no third dimension. In that case ``get_feature_names_out`` does not exist
    after ``fit``, so call `set_output` before ``fit``.

    References
    ----------
    .. [1] Geenjaar, E. & Lu, L. (2025). CiTrus: Squeezing Extra Performance out of Low-data
       Bio-signal Transfer Learning. AAAI 2025. https://arxiv.org/abs/2412.11695

    Examples
    --------
    Windows of three channels, 3.15 s at 100 Hz, onto the grid of the pre-trained weights:

    >>> import numpy as np
    >>> from citrus_sk import SignalAligner
    >>> X = np.random.default_rng(0).normal(size=(5, 3, 315))
    >>> SignalAligner().fit_transform(X).shape
    (5, 3, 1024)

    Windows of unequal lengths are passed as a list:

    >>> X = [np.ones((2, 400)), np.ones((2, 377))]
    >>> SignalAligner(256).fit_transform(X).shape
    (2, 2, 256)

    A quarter of a second at 4 kHz, on the physical time scale:

    >>> aligner = SignalAligner(32, method="rate", sfreq=4000)
    >>> aligner.fit_transform(np.ones((1, 1000))).shape
    (1, 32)
    """

    __module__ = "citrus_sk"  # pickles and trusted types outlive a move of this file

    n_chans_: int
    n_times_: int | None
    n_times_out_: int
    n_features_in_: int
    sfreq_: float | None
    method_: str
    target_sfreq_: float

    def __init__(
        self,
        n_times: int | None = None,
        *,
        method: str = "resample",
        sfreq: float | None = None,
        target_sfreq: float | None = None,
    ) -> None:
        self.n_times = n_times
        self.method = method
        self.sfreq = sfreq
        self.target_sfreq = target_sfreq

    def fit(self, X: Any, y: Any = None) -> SignalAligner:
        """Check the parameters and `X`, and store the shape of `X`.

        Warns if resampling to a lower rate removes more than half of the power of `X`.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
list of ndarray of shape (n_channels, n_times_i), or mne.Epochs
            Windows of a signal: finite and real, with at least two samples each.
        y : None
            Ignored.

        Returns
        -------
        self : SignalAligner

        Raises
        ------
        TypeError
            If a parameter has a wrong type.
        ValueError
            If a parameter or `X` is out of range, if ``method="rate"`` has no sampling rate or two
            different ones, or if ``method="native"`` gets windows of unequal lengths.
        """
        self._check_params()
        with all_or_nothing(self):
            windows = read_windows(self, X, reset=True, ragged=True)
            self._note(windows)
            warn_of_lost_power(self, windows, self.alignment)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Give every window the same number of samples.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
list of ndarray of shape (n_channels, n_times_i), or mne.Epochs
            Windows with the channels and the length seen in ``fit``; of any length if ``fit`` got
            windows of unequal lengths.

        Returns
        -------
        X_aligned : ndarray of shape (n_windows, n_channels, n_times_out_) or \
(n_windows, n_times_out_), float32
            Aligned windows, with as many dimensions as `X`.
        """
        check_is_fitted(self)
        windows = read_windows(self, X, reset=False, ragged=True, any_rate=True)
        if self.method_ == "native" and self._native_n_times(windows) != self.n_times_out_:
            raise ValueError(
                f"X has windows of {windows.n_times} samples, but SignalAligner(method='native') "
                f"was fitted on {self.n_times_out_} and keeps the length. Use method='resample'."
            )
        self._check_rate(windows)
        out = np.empty((len(windows), windows.n_chans, self.n_times_out_), np.float32)
        for start, chunk in float32_chunks(windows):
            alignment = self.alignment(chunk.shape[-1], windows.sfreq)
            alignment.apply(chunk, out[start : start + len(chunk)])
        return out[:, 0] if windows.is_2d else out

    def _note(self, windows: Windows) -> None:
        """Set the attributes that `transform` reads, and check every value."""
        self.method_ = self.method
        self.target_sfreq_ = float(GRID_SFREQ if self.target_sfreq is None else self.target_sfreq)
        self.sfreq_ = agreed_sfreq(windows, self.sfreq)
        if self.method_ == "rate" and self.sfreq_ is None:
            raise ValueError(
                "method='rate' needs the sampling rate of X, which an array does not hold. Set "
                "sfreq to it, in Hz, or pass an mne.Epochs, or use method='resample'."
            )
        if self.method_ == "native":
            self.n_times_out_ = self._native_n_times(windows)
        else:
            self.n_times_out_ = int(GRID_N_TIMES if self.n_times is None else self.n_times)
        for _ in float32_chunks(windows):
            pass  # so that a NaN is reported in fit already

    def alignment(self, n_times: int, sfreq: float | None = None) -> Alignment:
        """Return the map from windows of one length and rate to the grid.

        Parameters
        ----------
        n_times : int
            Samples of a window.
        sfreq : float or None, default=None
            Sampling rate in Hz; None means the rate seen in ``fit``.

        Returns
        -------
        Alignment
        """
        check_is_fitted(self)
        sfreq = self.sfreq_ if sfreq is None else sfreq
        step = 1.0 if sfreq is None else sfreq / self.target_sfreq_
        found = METHODS[self.method_](n_times, self.n_times_out_, step)
        if found.n_all < MIN_TIMES:
            raise ValueError(
                f"A window of {n_times} samples at {sfreq:g} Hz (sfreq) has {found.n_all} "
                f"sample(s) at {self.target_sfreq_:g} Hz (target_sfreq), and at least {MIN_TIMES} "
                "are needed. Set a higher target_sfreq, or use method='resample', which fits any "
                "duration to the grid."
            )
        return found

    def _check_params(self) -> None:
        check_number("n_times", self.n_times, Integral, low=MIN_TIMES, alternatives=(None,))
        check_choice("method", self.method, tuple(METHODS))
        for name in ("sfreq", "target_sfreq"):
            check_number(name, getattr(self, name), unit="Hz", open_low=True, alternatives=(None,))

    def _check_rate(self, windows: Windows) -> None:
        """Raise ValueError if another rate than in fit would change the time scale."""
        if self.method_ == "rate" or same_rate(windows.sfreq, self.sfreq_):
            return
        assert windows.sfreq is not None
        assert self.sfreq_ is not None
        if self.method_ == "resample" and windows.n_times and self.n_times_:
            # Windows of equal duration get the same time scale: each becomes n_times_out_ samples.
            expected = self.n_times_ * windows.sfreq / self.sfreq_
            if abs(windows.n_times - expected) <= 1 + RATE_TOLERANCE * expected:
                return
        raise ValueError(
            f"X was sampled at {windows.sfreq:g} Hz, but SignalAligner was fitted on windows "
            f"sampled at {self.sfreq_:g} Hz, and method={self.method_!r} would change "
            f"the time scale. Resample it: epochs.resample({self.sfreq_:g}); or use "
            "SignalAligner(method='rate'), which resamples from any rate."
        )

    def _native_n_times(self, windows: Windows) -> int:
        if windows.n_times is None:
            lengths = {window.shape[-1] for window in windows.data}
            raise ValueError(
                "method='native' keeps the length of each window, but X is a list of windows of "
                f"{min(lengths)} to {max(lengths)} samples. Use method='resample' to give them "
                "one length, or pass windows of equal length."
            )
        return windows.n_times

    @available_if(_has_columns)
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the output columns; for 2-D input only.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names to check against the columns seen in ``fit``. The result does not depend on them.

        Returns
        -------
        feature_names_out : ndarray of shape (n_times_out_,), object
            Names ``t0``, ``t1``, ...
        """
        check_is_fitted(self)
        if input_features is not None:
            seen = getattr(self, "feature_names_in_", None)
            if seen is not None and not np.array_equal(seen, input_features):
                raise ValueError("input_features is not equal to feature_names_in_.")
            if len(input_features) != self.n_features_in_:
                raise ValueError(
                    "input_features should have length equal to number of features "
                    f"({self.n_features_in_}), got {len(input_features)}."
                )
        return np.array([f"t{i}" for i in range(self.n_times_out_)], dtype=object)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # the output is always float32
        return tags
