"""A classifier that gives no answer where the answer would be wrong too often."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone, is_classifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, check_cv
from sklearn.utils import Tags, get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._utils.stored import Stored
from .._utils.validation import Documented, all_or_nothing, check_number
from ..signals.containers import at_rows, count_windows, resolve_labels, take_windows
from ..signals.targets import check_groups, check_labels
from .error_bounds import errors_by_threshold
from .reject_label import check_reject_label

_N_SPLITS = 5


class RejectingClassifier(Stored, Documented, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Classifier that rejects windows, so that at most a given share of its answers is wrong.

    ``fit`` predicts people (or other groups) who are left out of the training, and chooses the
    lowest threshold of the largest probability at which the error among the answers is low enough.
    ``predict`` returns `reject_label` for windows below the threshold, and the most probable class
    for all others.

    Parameters
    ----------
    estimator : estimator
        Classifier with ``predict_proba``, or a pipeline that ends with one. To choose a threshold
        for a fitted classifier, wrap it in `sklearn.frozen.FrozenEstimator` and pass windows of
        people whom it was not fitted on to ``fit``.
    max_error : float, default=0.05
        Largest share of wrong answers among all answers, in (0, 1].
    confidence : float or None, default=0.9
        Confidence in (0, 0.999] with which the mean error on new people is at most `max_error`. The
        fewer people, and the more they differ, the fewer answers are given. None compares the
        observed error of left-out people with `max_error`; about half of such thresholds have a
        larger error on new people.
    reject_label : int, float, str or "auto", default="auto"
        Result of ``predict`` for a rejected window. ``"auto"`` is -1 if labels are numbers, and
        ``"rejected"`` if they are strings. It must not be one of the classes.
    cv : int, cross-validation splitter, iterable or None, default=None
        Folds whose test windows the threshold is chosen on. An int is the number of folds, and
        None is 5, or the number of groups if it is smaller. These folds are stratified, and no
        group is in both the training and the test windows.

    Attributes
    ----------
    estimator_ : estimator
        Classifier that was fitted on all windows.
    classes_ : ndarray of shape (n_classes,)
        The labels, without `reject_label`.
    reject_label_ : int, float or str
        The label of rejected windows.
    threshold_ : float
        Smallest of the largest probabilities at which an answer is given. It is infinite if no
        threshold reaches `max_error`; all windows are then rejected.
    coverage_ : float
        Share of left-out windows that are answered, in [0, 1].
    error_ : float
        Share of wrong answers among the answers on left-out windows. NaN if there are none.
    error_bound_ : float
        Upper confidence bound of the mean error on new people. It equals `error_` for
        ``confidence=None``, and is NaN if there are no answers.
    cv_results_ : dict of str to ndarray of shape (n_thresholds,)
        ``"thresholds"`` in increasing order, and for each its ``"coverage"``, ``"error"`` and
        ``"error_bound"`` on left-out windows.
    n_features_in_ : int
        As in `estimator_`, if it has this attribute.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        As in `estimator_`, if it has this attribute.

    See Also
    --------
    CitrusClassifier : Classifier whose probabilities are calibrated on left-out people.
    sklearn.model_selection.TunedThresholdClassifierCV : Threshold between two classes.

    Notes
    -----
    **What is promised.** With probability `confidence` over the choice of training people, the
    mean error among the answers, on new people from the same population, is at most `max_error`.
    This does not hold for each person: one person can have many more errors than the mean. It does
    not hold for people, devices or recordings of another kind, or if classes are more or less
    frequent than in the training. It is approximate, since the threshold is chosen on the windows
    that the bound is computed from. Models that predict left-out people are fitted on fewer people
    than `estimator_`.

    **The bound.** Windows of a person resemble each other, so they are not counted as independent.
    The bound is that of Clopper and Pearson for an effective number of windows [2]_, which is
    smaller the larger the intraclass correlation of the errors within people. The correlation is
    estimated from all left-out windows and from the answered ones, and the larger value is used.
    Without any error, it cannot be estimated, and the bound is too low.

    Without `groups`, each window counts as a group, which is right only if windows are independent.

    A rejected window counts as an error in `score`. ``rejects`` returns which windows are rejected.
    ``predict_proba`` is that of `estimator_`.

    **Metadata.** `groups` are used by ``fit`` without a request. With
    ``set_config(enable_metadata_routing=True)``, they and further metadata are passed to ``fit``
    and ``predict_proba`` of `estimator` if it requests them. The threshold is then chosen on
    predictions that are made in the same way. Without metadata routing, an estimator whose ``fit``
    has a parameter `groups` gets them; further parameters of ``fit`` are passed on as they are,
    such as ``citrusclassifier__groups=groups`` for a pipeline.

    References
    ----------
    .. [1] Chow, C. K. (1970). On optimum recognition error and reject tradeoff. IEEE Transactions
       on Information Theory 16(1), 41-46.
    .. [2] Korn, E. L. & Graubard, B. I. (1998). Confidence intervals for proportions with small
       expected number of positive counts estimated from survey data. Survey Methodology 24(2),
       193-201.
    .. [3] Geifman, Y. & El-Yaniv, R. (2017). Selective classification for deep neural networks.
       Advances in Neural Information Processing Systems 30.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from citrus_sk import RejectingClassifier
    >>> rng = np.random.default_rng(0)
    >>> people, y = np.repeat(np.arange(20), 30), np.tile(["rest", "fist"], 300)
    >>> X = (y == "fist")[:, None] + 0.5 * rng.standard_normal((600, 1))
    >>> clf = RejectingClassifier(LogisticRegression(), max_error=0.05)
    >>> clf.fit(X, y, groups=people).predict([[-0.2], [0.5], [1.2]])
    array(['rest', 'rejected', 'fist'], dtype='<U8')
    >>> print(f"{clf.coverage_:.2f} answered, of which {clf.error_:.3f} are wrong")
    0.61 answered, of which 0.033 are wrong
    """

    __module__ = "citrus_sk"  # pickles and trusted types outlive a move of this file

    # The folds and the bound need groups, so they are routed without a request.
    __metadata_request__fit: ClassVar = {"groups": True}

    def __init__(
        self,
        estimator: Any,
        *,
        max_error: float = 0.05,
        confidence: float | None = 0.9,
        reject_label: Any = "auto",
        cv: Any = None,
    ) -> None:
        self.estimator = estimator
        self.max_error = max_error
        self.confidence = confidence
        self.reject_label = reject_label
        self.cv = cv

    def fit(self, X: Any, y: Any = None, groups: Any = None, **params: Any) -> RejectingClassifier:
        """Choose the threshold on left-out windows, and fit the classifier on all windows.

        Parameters
        ----------
        X : array-like of length n_windows, or mne.Epochs
            Windows or features, as `estimator` takes them.
        y : array-like of shape (n_windows,), str or None, default=None
            Labels, or the name of a column of the metadata of `X`. None takes the events of
            `mne.Epochs`.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata. None counts each window
            as a group.
        **params : dict
            Further parameters of ``fit`` of `estimator`. Values with one entry per window are cut
            to the training windows of each fold.

        Returns
        -------
        RejectingClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If a parameter is out of range, `reject_label` is one of the classes or of another
            type, labels are booleans, or `y` or `groups` holds one value only.
        TypeError
            If `estimator` is not a classifier with ``predict_proba``.

        Warns
        -----
        UserWarning
            If no threshold reaches `max_error`, so that all windows are rejected.
        """
        self._check_parameters()
        (X,) = indexable(X)
        n_windows = count_windows(X)
        if not n_windows:
            raise ValueError("X has 0 windows; expected windows of at least 2 classes.")
        classes, codes = check_labels(resolve_labels(X, y), n_windows, type(self).__name__)
        y = classes[codes]
        check_reject_label(self.reject_label, classes)  # before the time of the fits is spent
        if groups is not None:
            groups = _check_groups(resolve_labels(X, groups, "groups"), n_windows)
        for_fit, for_predictions = self._route_fit(groups, params)
        with all_or_nothing(self):
            folds = list(self._folds(X, y, groups))
            rows, probabilities, wrong = self._left_out(X, y, folds, for_fit, for_predictions)
            known = np.arange(n_windows) if groups is None else groups
            codes = np.unique(known[rows], return_inverse=True)[1]
            self.cv_results_ = errors_by_threshold(probabilities, wrong, codes, self.confidence)
            self.estimator_ = clone(self.estimator).fit(X, y, **for_fit)
            self._note_estimator()
            self._choose_threshold("windows" if groups is None else "groups", codes)
        return self

    def predict(self, X: Any, **params: Any) -> np.ndarray:
        """Most probable class of each window, or `reject_label`.

        Parameters
        ----------
        X : array-like of length n_windows, or mne.Epochs
        **params : dict
            Metadata that ``predict_proba`` of `estimator` requests, such as `groups`; only with
            metadata routing.

        Returns
        -------
        ndarray of shape (n_windows,)
            Labels.
        """
        return self._labels(self._probabilities("predict", X, params))

    def predict_proba(self, X: Any, **params: Any) -> np.ndarray:
        """Probability of each class, also of windows that are rejected.

        Parameters
        ----------
        X : array-like of length n_windows, or mne.Epochs
        **params : dict
            As in `predict`.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            As ``estimator_.predict_proba``.
        """
        return self._probabilities("predict_proba", X, params)

    def rejects(self, X: Any, **params: Any) -> np.ndarray:
        """Whether each window is rejected.

        Parameters
        ----------
        X : array-like of length n_windows, or mne.Epochs
        **params : dict
            As in `predict`.

        Returns
        -------
        ndarray of bool, shape (n_windows,)
            True where ``predict`` returns `reject_label`.
        """
        return self._probabilities("predict", X, params).max(axis=1) < self.threshold_

    def score(self, X: Any, y: Any, sample_weight: Any = None, **params: Any) -> float:
        """Share of windows that are answered and whose answer is correct.

        Parameters
        ----------
        X : array-like of length n_windows, or mne.Epochs
        y : array-like of shape (n_windows,)
            True labels.
        sample_weight : array-like of shape (n_windows,) or None, default=None
            Weight of each window.
        **params : dict
            As in `predict`.

        Returns
        -------
        float
            In [0, 1]. A rejected window counts as an error.
        """
        answers = self._labels(self._probabilities("score", X, params))
        return float(accuracy_score(y, answers, sample_weight=sample_weight))

    def get_metadata_routing(self) -> MetadataRouter:
        """Metadata that this estimator and the wrapped one request.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
            The requests of both.
        """
        mapping = MethodMapping().add(caller="fit", callee="fit")
        for caller in ("fit", "predict", "predict_proba", "score"):
            mapping.add(caller=caller, callee="predict_proba")
        router = MetadataRouter(owner=type(self).__name__).add_self_request(self)
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self) -> Tags:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.input_tags = inner.input_tags
        tags.classifier_tags = inner.classifier_tags
        return tags

    # --- fit -------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        check_number("max_error", self.max_error, open_low=True, high=1)
        check_number("confidence", self.confidence, open_low=True, high=0.999, alternatives=(None,))
        inner = self.estimator
        is_one = hasattr(inner, "__sklearn_tags__") and not isinstance(inner, type)
        if not (is_one and is_classifier(inner) and hasattr(inner, "predict_proba")):
            raise TypeError(
                f"estimator={self.estimator!r} is not a classifier with predict_proba; expected "
                "one such as CitrusClassifier(). Wrap a classifier that has decision_function only "
                "in sklearn.calibration.CalibratedClassifierCV."
            )

    def _route_fit(
        self, groups: np.ndarray | None, params: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parameters of ``fit`` and of ``predict_proba`` of the wrapped estimator."""
        people = {} if groups is None else {"groups": groups}
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **people, **params)
            return dict(routed.estimator.fit), dict(routed.estimator.predict_proba)
        takes_groups = has_fit_parameter(self.estimator, "groups")
        return {**params, **(people if takes_groups else {})}, {}

    def _folds(
        self, X: Any, y: np.ndarray, groups: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        cv = self.cv
        if groups is not None and (cv is None or isinstance(cv, Integral)):
            n_groups = len(np.unique(groups))
            cv = StratifiedGroupKFold(min(_N_SPLITS, n_groups) if cv is None else int(cv))
        yield from check_cv(cv, y, classifier=True).split(X, y, groups)

    def _left_out(
        self, X: Any, y: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]],
        for_fit: Mapping[str, Any], for_predictions: Mapping[str, Any],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Test windows of all folds: rows, largest probabilities, and whether they are wrong."""
        n_windows = len(y)
        found = []
        for train, test in folds:
            model = clone(self.estimator)
            model.fit(take_windows(X, train), y[train], **at_rows(for_fit, train, n_windows))
            metadata = at_rows(for_predictions, test, n_windows)
            probabilities = model.predict_proba(take_windows(X, test), **metadata)
            answers = model.classes_[probabilities.argmax(axis=1)]
            found.append((test, probabilities.max(axis=1), answers != y[test]))
        rows, largest, wrong = (np.concatenate(each) for each in zip(*found, strict=True))
        return rows, largest, wrong

    def _note_estimator(self) -> None:
        self.classes_ = self.estimator_.classes_
        self.reject_label_ = check_reject_label(self.reject_label, self.classes_)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)

    def _choose_threshold(self, noun: str, codes: np.ndarray) -> None:
        bounds = self.cv_results_["error_bound"]
        enough = np.flatnonzero(bounds <= self.max_error)
        if len(enough):
            # The lowest threshold gives the most answers.
            threshold, coverage, error, bound = (
                each[enough[0]] for each in self.cv_results_.values()
            )
        else:
            threshold, coverage, error, bound = np.inf, 0.0, np.nan, np.nan
            self._warn_unreached(len(np.unique(codes)), noun)
        self.threshold_, self.coverage_ = float(threshold), float(coverage)
        self.error_, self.error_bound_ = float(error), float(bound)

    def _warn_unreached(self, n_groups: int, noun: str) -> None:
        best = int(np.argmin(self.cv_results_["error_bound"]))
        _, coverage, error, bound = (each[best] for each in self.cv_results_.values())
        if self.confidence is None:
            found, remedy = f"The lowest error is {error:.3f}", "Raise max_error"
        else:
            found = (
                f"The lowest upper bound is {bound:.3f}, where the observed error is {error:.3f}"
            )
            remedy = f"Raise max_error, pass more {noun}, or lower confidence"
        warnings.warn(
            f"All windows will be rejected, because no threshold has an error of at most "
            f"max_error={self.max_error:g} on {n_groups} left-out {noun}. {found} and the share of "
            f"answers {coverage:.2f}. {remedy}.",
            UserWarning,
            stacklevel=4,
        )

    # --- predictions -----------------------------------------------------------------------------

    def _probabilities(self, caller: str, X: Any, params: Mapping[str, Any]) -> np.ndarray:
        check_is_fitted(self)
        if not params:
            return np.asarray(self.estimator_.predict_proba(X))
        if not get_config()["enable_metadata_routing"]:
            raise ValueError(
                f"{', '.join(params)} passed to {caller}; expected no metadata, because metadata "
                "routing is not enabled. Call sklearn.set_config(enable_metadata_routing=True) and "
                f"estimator.set_predict_proba_request({next(iter(params))}=True), and fit again."
            )
        routed = process_routing(self, caller, **params)
        return np.asarray(self.estimator_.predict_proba(X, **routed.estimator.predict_proba))

    def _labels(self, probabilities: np.ndarray) -> np.ndarray:
        answers = self.classes_[probabilities.argmax(axis=1)]
        rejected = probabilities.max(axis=1) < self.threshold_
        like = object if answers.dtype == object else None
        # np.where finds the type that holds both, so that long markers are not cut.
        return np.where(rejected, np.asarray(self.reject_label_, like), answers)


def _check_groups(groups: Any, n_windows: int) -> np.ndarray:
    groups = check_groups(groups, n_windows)
    if len(found := np.unique(groups)) < 2:
        raise ValueError(
            f"groups holds only {found.tolist()[0]!r}; expected at least 2 people, as some are "
            "left out to choose the threshold. Pass windows of more people."
        )
    return groups
