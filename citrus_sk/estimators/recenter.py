"""The transformer that moves the features of each person to a common mean."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.stored import Stored
from .._utils.validation import Documented, all_or_nothing, check_choice, check_number
from ..signals.targets import check_groups, check_number_of, check_values, one_label_each, unwrap
from ..training.adaptation.consistency import (
    CONSISTENCIES,
    TRUST,
    label_consistency,
    value_consistency,
)
from ..training.adaptation.people import SHRINKAGE, mean_weight, ordered_mean, rows_of_people

_FEWEST_PEOPLE = 3  # whose labels are compared
_DTYPES = (np.float64, np.float32)  # others become the first
_REASONS = {  # by whether y holds numbers, and whether it is alike for all people
    (False, True): "People have the same classes about equally often.",
    (False, False): "People may have different classes, or the same in different shares.",
    (True, True): "The target has the same distribution for all people.",
    (True, False): "The distribution of the target may differ between people.",
}
_NO_GROUPS = "No groups were passed to fit."


def _record(
    kind: str | None,
    reason: str,
    probability: float | None = None,
    consistency: float | None = None,
) -> dict[str, Any]:
    # A dict, as skops files hold no types but the estimators and those of Python and NumPy.
    return {
        "kind": kind, "reason": reason, "probability": probability, "consistency": consistency,
    }  # fmt: skip


def _compare_labels(y: Any, groups: np.ndarray) -> dict[str, Any]:
    """Decide from the labels of people whether recentring is safe."""
    n, name = len(groups), "GroupRecenter"
    y = unwrap(y, "y", n)
    check_number_of(y, n)
    are_numbers = False
    if y.dtype.kind in "iufb":
        values = check_values(y, n, name)
        are_numbers = type_of_target(values) not in ("binary", "multiclass")
    if are_numbers:
        probabilities = value_consistency(values.reshape(n, -1), groups)
    else:
        classes, codes = np.unique(one_label_each(y, n, name), return_inverse=True)
        probabilities = label_consistency(codes, groups, len(classes))
    enough = len(np.unique(groups)) >= _FEWEST_PEOPLE
    alike = bool(probabilities[0] > TRUST)
    reason = _REASONS[are_numbers, alike] if enough else "There are fewer than three people."
    kind = "recenter" if enough and alike else None
    return _record(kind, reason, float(probabilities[0]), float(probabilities @ CONSISTENCIES))


def _population_mean(X: np.ndarray, groups: np.ndarray | None, shrinkage: float) -> np.ndarray:
    """Weighted mean over people of their means, see the notes of `GroupRecenter`."""
    if groups is None:
        return ordered_mean(X.astype(np.float64))
    people = rows_of_people(groups)
    means = np.stack([ordered_mean(X[rows].astype(np.float64)) for rows, _ in people])
    return ordered_mean(means, np.array([n / (n + shrinkage) for _, n in people]))


class GroupRecenter(Stored, Documented, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Move the features of each person to the mean of the population.

    Differences between people (or sessions, or devices) are often larger than those between
    classes. With `groups`, the person of each window, this transformer subtracts the difference
    between the person's mean and the population's, for training people and, without any label,
    for new people. Place it between any features and any model.

    Removing the mean is only safe if the mean does not depend on the label. ``fit`` checks this:
    it compares the labels of the training people, and the transformer leaves all rows unchanged
    unless people have the same classes about equally often.

    Parameters
    ----------
    shrinkage : float, default=5.0
        Number of windows beyond the first at which a person's mean gets half of the weight. The
        mean of a person with :math:`n` windows is moved by
        :math:`(n - 1) / (n - 1 + \mathrm{shrinkage})` of its distance from the population's, so
        one window is never moved. 0 moves the mean of everyone with two or more windows by the
        whole distance. The more people differ, compared with the windows of one person, the
        smaller is the best value.
    when : {"auto", "always"}, default="auto"
        When to recentre:

        - ``"auto"``: if the labels passed to ``fit`` show that people have the same classes about
          equally often (for numbers: the same distribution), or if no labels are passed.
        - ``"always"``: whatever the labels are.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features_in_,), float64
        Mean of the population.
    adaptation_ : dict
        Result of the comparison of labels:

        - ``"kind"``: ``"recenter"``, or None if rows stay unchanged.
        - ``"reason"``: one sentence.
        - ``"probability"``: posterior probability that the labels have the same distribution for
          all people; more than 2/3 is needed. None if labels were not compared.
        - ``"consistency"``: expected intraclass correlation of the labels, between 0 (the same
          distribution for all people) and 1 (each person has one label). None if labels were not
          compared.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if `X` is a data frame.

    See Also
    --------
    CitrusEmbedder : Features of windows.
    CitrusClassifier : Classifier that takes `groups` itself.

    Notes
    -----
    The mean of a person is computed from the rows passed in the same call; nothing is remembered
    about training people. Rows of other people and the order of the rows do not change a bit of
    the result. A row that is not moved keeps its bits, and float32 stays float32.

    At prediction, pass `groups` only if the windows of a person cover the classes in about the
    same shares as in training. If a new person has windows of one class only, recentring removes
    the difference between this class and the others, and predictions become worse. The training
    data cannot reveal this. Without `groups`, rows are not changed, and a model fitted on
    recentred rows can then be slightly less accurate than one fitted on unchanged rows.

    The model behind this is that of a random intercept for each person, :math:`x = \mu + b + e`
    with variances :math:`\tau^2` of :math:`b` and :math:`\sigma^2` of :math:`e`. The best estimate
    of :math:`\mu` weights the mean of a person with :math:`n` windows by
    :math:`n / (n + \sigma^2 / \tau^2)`. `mean_` is this estimate with `shrinkage` in place of
    :math:`\sigma^2 / \tau^2`; it lies between the mean over people and the mean over windows.
    The weight of a person's mean in ``transform`` has :math:`n - 1` in place of :math:`n`, as the
    mean of one window holds the window's label as much as the person.

    Labels are compared by the likelihood of each person's class counts (Dirichlet-multinomial)
    or values (random intercept) for seven values of the intraclass correlation between 0 and
    0.98, with prior probabilities of 0.5, 5 x 0.08 and 0.1. With fewer than three people, rows
    stay unchanged.

    With ``set_config(enable_metadata_routing=True)``, a pipeline passes `groups` on without a
    call of ``set_fit_request``. Without it, a pipeline takes
    ``fit(X, y, grouprecenter__groups=groups)``, but cannot pass `groups` at prediction.

    References
    ----------
    .. [1] Zanini, P., Congedo, M., Jutten, C., Said, S. & Berthoumieu, Y. (2018). Transfer
       learning: a Riemannian geometry framework with applications to brain-computer interfaces.
       IEEE Transactions on Biomedical Engineering 65(5), 1107-1116. The same idea for covariance
       matrices, as in ``pyriemann.transfer.TLCenter``.
    .. [2] Laird, N. M. & Ware, J. H. (1982). Random-effects models for longitudinal data.
       Biometrics 38(4), 963-974.

    Examples
    --------
    Six people who differ more than the two classes do. Each is left out in turn, and recentred
    without labels:

    >>> import numpy as np
    >>> import sklearn
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from citrus_sk import GroupRecenter
    >>> rng = np.random.default_rng(1)
    >>> groups, y = np.repeat(np.arange(6), 20), np.tile([0, 1], 60)
    >>> offsets = rng.normal(scale=2, size=(6, 2))
    >>> X = y[:, None] + offsets[groups] + rng.normal(scale=0.2, size=(120, 2))
    >>> recentred = make_pipeline(GroupRecenter(), LogisticRegression())
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     for model in (LogisticRegression(), recentred):
    ...         scores = cross_val_score(
    ...             model, X, y, params={"groups": groups}, cv=LeaveOneGroupOut()
    ...         )
    ...         print(f"{scores.mean():.2f}")
    0.67
    0.97
    >>> GroupRecenter().fit(X, y, groups=groups).adaptation_["reason"]
    'People have the same classes about equally often.'
    """

    __module__ = "citrus_sk"  # pickles and trusted types outlive a move of this file

    # Groups are what this transformer is for, so they are routed to it without a request.
    __metadata_request__fit: ClassVar = {"groups": True}
    __metadata_request__transform: ClassVar = {"groups": True}

    mean_: np.ndarray
    adaptation_: dict[str, Any]
    n_features_in_: int

    def __init__(self, shrinkage: float = SHRINKAGE, *, when: str = "auto") -> None:
        self.shrinkage = shrinkage
        self.when = when

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> GroupRecenter:
        """Compute the mean of the population, and compare the labels of people.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features; finite.
        y : array-like of shape (n_windows,) or (n_windows, n_outputs), or None, default=None
            Classes, or numbers. Used only with `groups` and ``when="auto"``.
        groups : array-like of shape (n_windows,), or None, default=None
            Person of each window.

        Returns
        -------
        self : GroupRecenter

        Raises
        ------
        TypeError
            If a parameter has a wrong type, or `groups` mixes types.
        ValueError
            If a parameter is out of its range, `X` contains NaN or infinity, or `y` or `groups`
            has missing values or another length than `X`.
        """
        check_number("shrinkage", self.shrinkage)
        check_choice("when", self.when, ("auto", "always"))
        with all_or_nothing(self):
            X = validate_data(self, X, dtype=_DTYPES)
            if groups is not None:
                groups = check_groups(groups, len(X))
            self.adaptation_ = self._adaptation(y, groups)
            self.mean_ = _population_mean(X, groups, self.shrinkage)
        return self

    def transform(self, X: Any, groups: Any = None) -> np.ndarray:
        """Move the mean of each person towards the population's.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features; finite.
        groups : array-like of shape (n_windows,), or None, default=None
            Person of each window. None leaves all rows unchanged.

        Returns
        -------
        X_recentred : ndarray of shape (n_windows, n_features)
            A new array: float32 if `X` is, otherwise float64.

        Raises
        ------
        ValueError
            If `X` contains NaN or infinity, if `groups` has missing values or another length than
            `X`, or if labels but no `groups` were passed to ``fit`` with ``when="auto"``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=_DTYPES, reset=False)
        moved = np.array(X)
        if groups is None:
            return moved
        groups = check_groups(groups, len(X))
        if self.adaptation_["reason"] == _NO_GROUPS:
            raise ValueError(
                "groups were passed to transform, but only labels were passed to fit, so it is "
                "unknown whether recentring is safe. Pass groups to fit as well, or use "
                "GroupRecenter(when='always')."
            )
        if self.adaptation_["kind"] is None:
            return moved
        for rows, n_windows in rows_of_people(groups):
            weight = mean_weight(n_windows, self.shrinkage)
            if weight > 0:
                person = X[rows].astype(np.float64)
                moved[rows] = person - weight * (ordered_mean(person) - self.mean_)
        return moved

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> np.ndarray:
        """Fit to the training people and recentre them.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_features)
            Features; finite.
        y : array-like of shape (n_windows,) or (n_windows, n_outputs), or None, default=None
            Classes, or numbers.
        groups : array-like of shape (n_windows,), or None, default=None
            Person of each window. None leaves all rows unchanged.

        Returns
        -------
        X_recentred : ndarray of shape (n_windows, n_features)
            As ``fit(X, y, groups).transform(X, groups)``.
        """
        return self.fit(X, y, groups).transform(X, groups)

    def _adaptation(self, y: Any, groups: np.ndarray | None) -> dict[str, Any]:
        """The content of ``adaptation_``."""
        if self.when == "always":
            return _record("recenter", "Recentring was requested with when='always'.")
        if y is None:
            return _record("recenter", "No labels were passed to fit.")
        if groups is None:
            return _record(None, _NO_GROUPS)
        return _compare_labels(y, groups)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
