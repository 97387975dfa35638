"""Predictors of classes, and predictors of numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score

from .._utils.validation import check_number, first_few
from ..signals.containers import Windows
from ..signals.targets import (
    check_labels,
    check_number_of,
    check_values,
    one_label_each,
    split_labels,
)
from ..signals.windows import to_float32
from ..training.fine_tuning import TuningSettings
from ..training.labelled import (
    NO_LABEL,
    LabelledWindows,
    label_windows,
    regression_windows,
)
from .predictor import NetworkPredictor


class ClassPredictor(ClassifierMixin, NetworkPredictor):
    """A predictor of classes."""

    classes_: np.ndarray

    # Parameters
    class_weight: Any
    label_smoothing: float
    unlabelled: Any = None  # a parameter where windows may have no label

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Train on labelled windows.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
mne.Epochs, or windows of braindecode
            Signals in physical units; Epochs in volts, as MNE holds them.
        y : array-like of shape (n_windows,), str or None, default=None
            Labels of any type, at least 2 classes. None takes the events of Epochs and the targets
            of a data set of braindecode, a name a column of their metadata: see
            `citrus_sk.mne.labels_of`.
        sample_weight : array-like of shape (n_windows,) or None, default=None
            Weight of each window, 0 or more. Only their ratios count: twice all of them changes
            nothing, as it changes nothing to pass every window twice. See the Notes.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person or recording of each window, or the name of a column that holds it: inner
            validation never has one on both sides.

        Returns
        -------
        Self
            The fitted estimator.
        """
        self._fit(X, y, sample_weight, groups)
        return self

    def predict_proba(self, X: Any, groups: Any = None) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata. The windows of one
            person are predicted together, and those of other people have no effect on them. They
            should cover the classes as the training windows do. None predicts each window by
            itself.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Float64; columns in the order of ``classes_``.
        """
        return np.exp(self.predict_log_proba(X, groups))

    def predict_log_proba(self, X: Any, groups: Any = None) -> np.ndarray:
        """Logarithm of the probability of each class, as `predict_proba`."""
        logs = self._outputs(X, groups).log_softmax(2)
        return (logs.logsumexp(0) - np.log(len(logs))).numpy()

    def decision_function(self, X: Any, groups: Any = None) -> np.ndarray:
        """Logarithm of the probability of each class, or of the odds of two.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata. The windows of one
            person are predicted together, and those of other people have no effect on them. They
            should cover the classes as the training windows do. None predicts each window by
            itself.

        Returns
        -------
        ndarray of shape (n_windows,) or (n_windows, n_classes)
            With two classes, the logarithm of the odds of ``classes_[1]``: above 0 where it is
            predicted. Otherwise the largest value is that of the predicted class.
        """
        logs = self.predict_log_proba(X, groups)
        return logs[:, 1] - logs[:, 0] if len(self.classes_) == 2 else logs

    def predict(self, X: Any, groups: Any = None) -> np.ndarray:
        """Most probable class of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata. The windows of one
            person are predicted together, and those of other people have no effect on them. They
            should cover the classes as the training windows do. None predicts each window by
            itself.

        Returns
        -------
        ndarray of shape (n_windows,)
        """
        best = self.predict_log_proba(X, groups).argmax(1)
        return self.classes_[best]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> float:
        """Accuracy on the given windows and labels.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
mne.Epochs, or windows of braindecode
        y : array-like of shape (n_windows,), str or None, default=None
            True labels, or the name of a column of the metadata. None takes the same as ``fit``
            did: the column that it was given, or the events of Epochs and the targets of a data
            set of braindecode. Windows that the parameter `unlabelled` marks are not counted.
        sample_weight : array-like of shape (n_windows,) or None, default=None
            Weight of each window.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, as in `predict`.

        Returns
        -------
        float
            Share of windows whose class is predicted, in [0, 1].

        Raises
        ------
        ValueError
            If `y` is None and ``fit`` was given labels as values, or `X` holds no labels.
        """
        y, predicted = self._targets_to_score(X, y), self.predict(X, groups)
        if self.unlabelled is not None:
            y, known = split_labels(y, len(predicted), self.unlabelled)
            predicted = predicted[known]
            if sample_weight is not None:
                sample_weight = np.asarray(sample_weight)[known]
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    # --- used by the base ------------------------------------------------------------------------

    def _label(self, y: Any, windows: Windows, sample_weight: Any, groups: Any) -> LabelledWindows:
        classes, codes = self._encode(y, len(windows))
        labelled = label_windows(
            to_float32(windows), codes, classes,
            sample_weight=sample_weight, class_weight=self.class_weight, groups=groups,
        )  # fmt: skip
        self.classes_ = classes
        return labelled

    def _encode(self, y: Any, n_windows: int) -> tuple[np.ndarray, np.ndarray]:
        """Sorted classes, and the index of each window's class; `NO_LABEL` without a label."""
        if self.unlabelled is None or y is None:
            return check_labels(y, n_windows, type(self).__name__)
        labels, known = split_labels(y, n_windows, self.unlabelled)
        check_number_of(known, n_windows)
        codes = np.full(n_windows, NO_LABEL)
        classes, codes[known] = check_labels(labels, int(known.sum()), type(self).__name__)
        return classes, codes

    def _person_targets(self, y: Any, n_windows: int) -> np.ndarray:
        labels = one_label_each(y, n_windows, type(self).__name__)
        check_number_of(labels, n_windows)
        unseen = sorted({repr(label) for label in np.setdiff1d(labels, self.classes_).tolist()})
        if unseen:
            raise ValueError(
                f"y holds {', '.join(unseen)}, and fit has not seen such a label; expected labels "
                f"among {first_few(self.classes_.tolist())}. Leave these windows out, or fit on "
                "windows of all classes."
            )
        codes = np.searchsorted(self.classes_, labels)
        return 2.0 * np.eye(len(self.classes_))[codes] - 1

    @property
    def _n_classes(self) -> int:
        return len(self.classes_)

    @property
    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _tuning_settings(self, labelled: LabelledWindows) -> TuningSettings:
        return replace(super()._tuning_settings(labelled), label_smoothing=self.label_smoothing)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("label_smoothing", self.label_smoothing, high=0.999)
        if isinstance(self.class_weight, dict):
            for label, weight in self.class_weight.items():
                check_number(f"class_weight[{label!r}]", weight)


class ValuePredictor(RegressorMixin, NetworkPredictor):
    """A predictor of numbers."""

    target_mean_: np.ndarray
    target_scale_: np.ndarray
    _is_1d: bool

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> Self:
        """Train on measured windows.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
mne.Epochs, or windows of braindecode
            Signals in physical units; Epochs in volts, as MNE holds them.
        y : array-like of shape (n_windows,) or (n_windows, n_targets), or str
            Numbers, in any unit; or the name of a column of the metadata of Epochs or of a data
            set of braindecode.
        sample_weight : array-like of shape (n_windows,) or None, default=None
            Weight of each window, 0 or more. Only their ratios count.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person or recording of each window, or the name of a column that holds it: inner
            validation never has one on both sides.

        Returns
        -------
        Self
            The fitted estimator.
        """
        if y is None:  # the events of Epochs are labels, not measurements
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None. Pass a number for each window, or the name of a column of X's metadata."
            )
        self._fit(X, y, sample_weight, groups)
        return self

    def predict(self, X: Any, groups: Any = None) -> np.ndarray:
        """Predicted number of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata. The windows of one
            person are predicted together, and those of other people have no effect on them. Their
            values should be spread as those of the training windows are. None predicts each window
            by itself.

        Returns
        -------
        ndarray of shape (n_windows,) or (n_windows, n_targets)
            Float64, in the unit of `y`; one axis where `y` had one.
        """
        standard = self._outputs(X, groups).mean(0).numpy()
        values = standard * self.target_scale_ + self.target_mean_
        return values[:, 0] if self._is_1d else values

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> float:
        """Coefficient of determination R2 on the given windows and values.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
mne.Epochs, or windows of braindecode
        y : array-like of shape (n_windows,) or (n_windows, n_targets), str or None, default=None
            True values, or the name of a column of the metadata. None takes the column that
            ``fit`` was called with.
        sample_weight : array-like of shape (n_windows,) or None, default=None
            Weight of each window.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, as in `predict`.

        Returns
        -------
        float
            At most 1; 0 for a model that predicts the mean of `y`.

        Raises
        ------
        ValueError
            If `y` is None and ``fit`` was given values, or `X` has no column of that name.
        """
        y = self._targets_to_score(X, y)
        return float(r2_score(y, self.predict(X, groups), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    # --- used by the base ------------------------------------------------------------------------

    def _label(self, y: Any, windows: Windows, sample_weight: Any, groups: Any) -> LabelledWindows:
        values = check_values(y, len(windows), type(self).__name__)
        measured = regression_windows(
            to_float32(windows), values.reshape(len(values), -1),
            sample_weight=sample_weight, groups=groups,
        )  # fmt: skip
        self._is_1d = values.ndim == 1
        self.target_mean_, self.target_scale_ = measured.target_statistics()
        return measured.standardised(self.target_mean_, self.target_scale_)

    def _person_targets(self, y: Any, n_windows: int) -> np.ndarray:
        values = check_values(y, n_windows, type(self).__name__).reshape(n_windows, -1)
        if values.shape[1] != len(self.target_mean_):
            raise ValueError(
                f"y has {values.shape[1]} columns; expected {len(self.target_mean_)}, as in fit."
            )
        return (values - self.target_mean_) / self.target_scale_

    @property
    def _n_classes(self) -> None:
        return None

    @property
    def _n_outputs(self) -> int:
        return len(self.target_mean_)
