"""Attribution of a model's prediction to the samples of every channel of a window."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._utils.devices import draw_seed
from .._utils.validation import check_choice, check_number
from .fitted_model import FittedModel
from .gradients import check_differentiable, integrated_gradients
from .grid import GridWindows, channel_names, known_sfreq, pass_steps, read_inspected
from .occlusion import occlude

METHODS = ("occlusion", "integrated-gradients")
FILLS = ("line", "references")
# Part of the change of score, from the references to a window, that integrated gradients may miss.
TOLERANCE = 0.05


@dataclass(kw_only=True, eq=False, repr=False)
class Attribution:
    """Result of `attribution`.

    Attributes
    ----------
    values : ndarray of shape (n_windows, n_channels, n_times)
        Contribution of each sample to the score of the target, positive if it raises the score.
        With occlusion, the loss of score when a stretch around it is covered; with integrated
        gradients, its part of the difference to the references.
    signal : ndarray of shape (n_windows, n_channels, n_times)
        Windows on the same grid: that of the network, after `SignalAligner`.
    times : ndarray of shape (n_windows, n_times)
        Times of these samples in the windows that were passed, in `time_unit`.
    time_unit : {"s", "samples"}
        Unit of `times`: samples of the windows that were passed if no sampling rate is known.
    targets : ndarray of shape (n_windows,)
        Class, or index of the output, that is explained.
    scores : ndarray of shape (n_windows,)
        Score of the target for each whole window.
    reference_scores : ndarray of shape (n_windows,) or None
        Mean score of each window's references, with integrated gradients.
    score_unit : {"log-odds", "probability", "prediction"}
        Unit of scores and values.
    method : {"occlusion", "integrated-gradients"}
        Method that computed the values.
    ch_names : list of str
        Names of the channels.
    """

    values: np.ndarray
    signal: np.ndarray
    times: np.ndarray
    time_unit: str
    targets: np.ndarray
    scores: np.ndarray
    reference_scores: np.ndarray | None
    score_unit: str
    method: str
    ch_names: list[str]

    @property
    def gap(self) -> np.ndarray | None:
        """Difference between the sum of a window's values and the change of score.

        Shape (n_windows,); None with occlusion, whose values have no given sum.
        """
        if self.reference_scores is None:
            return None
        return self.values.sum((1, 2)) - (self.scores - self.reference_scores)


def attribution(
    estimator: Any,
    X: Any,
    *,
    method: str = "occlusion",
    target: Any = None,
    output: str = "log-odds",
    sfreq: float | None = None,
    ch_names: Sequence[str] | None = None,
    stretch: float = 1 / 16,
    fill: str = "line",
    references: Any = None,
    n_references: int = 8,
    n_steps: int = 16,
    random_state: Any = 0,
) -> Attribution:
    r"""Attribute a model's predictions to the samples of every channel.

    Parameters
    ----------
    estimator : fitted estimator or Pipeline
        Model to explain. With occlusion, any classifier with ``predict_proba`` and any regressor
        of windows. With integrated gradients, `CitrusClassifier` or `CitrusRegressor`, or a
        Pipeline that ends in one, with ``random_kernels=False`` or a ``module``.
    X : array-like of shape (n_windows, n_channels, n_times), list of ndarray, or mne.Epochs
        Windows to explain, as for ``predict``: one channel may come without its axis, and windows
        of unequal lengths as a list of ``(n_channels, n_times_i)``.
    method : {"occlusion", "integrated-gradients"}, default="occlusion"
        Method of attribution:

        - ``"occlusion"`` covers one stretch of one channel after another, and takes the loss of
          score [1]_. It needs about ``2 / stretch`` predictions for each channel.
        - ``"integrated-gradients"`` integrates the gradient from a reference to the window [2]_.
          It needs ``n_references * n_steps`` gradients for any number of channels.
    target : label, int, array-like of shape (n_windows,) or None, default=None
        Class to explain, or index of the output of a regressor: one for all windows, or one for
        each. None explains the predicted class.
    output : {"log-odds", "probability"}, default="log-odds"
        Score of a classifier. Log-odds of the target against all other classes (in nats) show more
        than probabilities, which hardly change where a model is certain. Not used for a regressor,
        whose score is its prediction.
    sfreq : float or None, default=None
        Sampling rate of `X` in Hz, for times in seconds. None takes that of Epochs or of
        `SignalAligner`; if neither is known, times are counted in samples of `X`.
    ch_names : sequence of str or None, default=None
        Names of the channels. None takes those of Epochs, in ``fit`` or here, or numbers.
    stretch : float, default=1/16
        Length that occlusion covers at a time, as a fraction of the window, in (0, 0.5], or up to
        1 with ``fill="references"``. Stretches overlap by half; a sample gets the mean over its
        stretches.
    fill : {"line", "references"}, default="line"
        Cover of a stretch: a straight line from the sample before it to the one after it, or the
        same stretch of each reference, with the mean of the losses.
    references : array-like as X, or None, default=None
        Windows for comparison, of the same kind as `X`: training windows, or those of another
        class. None takes the others of `X`.
    n_references : int, default=8
        Number of references to draw for each window; all if there are fewer.
    n_steps : int, default=16
        Number of gradients between a reference and the window (nodes of a Gauss-Legendre rule).
    random_state : int, RandomState instance or None, default=0
        Seed of the draw of references.

    Returns
    -------
    Attribution

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model has no score, or a parameter has a wrong type.
    ValueError
        If the method cannot explain the model, the target is not one of its classes, there is no
        reference, or `X` or a parameter is not valid.

    Warns
    -----
    ConvergenceWarning
        If integrated gradients miss more than 5 % of the change of score from the references to a
        window, plus 0.05 (of a regressor: of the sd of `y` in ``fit``).

    Notes
    -----
    Values of integrated gradients sum to the difference of two scores, that of the window and the
    mean of its references: :math:`\sum_{ct} a_{ct} = f(x) - \frac{1}{m} \sum_i f(x'_i)`
    (completeness; ``gap`` is the error). For images the usual reference is black. Its counterpart,
    a constant channel, does not work for a network that standardises every channel: all points
    between the constant and the window look the same after it, so only the amplitude would
    contribute. References are therefore real windows, over which the mean is taken, as in expected
    gradients [3]_. A value then explains the difference of this window to others, and a sample may
    contribute because something is missing there.

    The random kernels of the default classifier count samples above thresholds. Such steps have no
    gradient, so only occlusion explains them.

    References
    ----------
    .. [1] Zeiler, M. D. and Fergus, R. (2014). Visualizing and Understanding Convolutional
       Networks. ECCV.
    .. [2] Sundararajan, M., Taly, A. and Yan, Q. (2017). Axiomatic Attribution for Deep Networks.
       ICML.
    .. [3] Erion, G. et al. (2021). Improving performance of deep learning models with axiomatic
       attribution priors and expected gradients. Nature Machine Intelligence.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import CitrusClassifier
    >>> from citrus_sk.inspection import attribution
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["rest", "burst"], 20)
    >>> X = rng.standard_normal((40, 2, 128))
    >>> X[20:, 1, 64:96] += 3 * np.sin(np.arange(32))
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0).fit(X, y)
    >>> found = attribution(clf, X[20:24], sfreq=64)
    >>> mean = found.values.mean(0)
    >>> int(mean.sum(1).argmax()), bool(1.0 <= found.times[0, mean[1].argmax()] < 1.5)
    (1, True)
    """
    check_choice("method", method, METHODS)
    check_choice("fill", fill, FILLS)
    longest = 0.5 if fill == "line" else 1.0  # a channel must not become a single line
    check_number("stretch", stretch, high=longest, open_low=True)
    check_number("n_references", n_references, Integral, low=1)
    check_number("n_steps", n_steps, Integral, low=1)
    by_gradient = method == "integrated-gradients"
    model = FittedModel(estimator, output)
    model.check_scores()
    if by_gradient:
        check_differentiable(model)
    windows = read_inspected(model, X)
    sfreq = known_sfreq(model, windows, sfreq)
    names = channel_names(model, windows, ch_names)
    n_passed = len(model.steps) - 1 if by_gradient else model.n_aligned
    grid = pass_steps(model, n_passed, windows, sfreq)
    all_scores = model.scores(grid.data, n_passed)
    columns, targets = model.targets(target, all_scores)
    scores, reference_scores = all_scores[np.arange(len(columns)), columns], None
    chosen = None
    if by_gradient or fill == "references":
        pool = None
        if references is not None:
            pool = pass_steps(model, n_passed, read_inspected(model, references), sfreq)
        chosen = _draw_references(grid, pool, n_references, random_state)
    if by_gradient:
        assert chosen is not None
        values, scores, reference_scores = integrated_gradients(
            model, grid.data, chosen, columns, n_steps
        )
    else:
        values = occlude(model, n_passed, grid.data, chosen, columns, scores, stretch)
    found = Attribution(
        values=values, signal=grid.data, times=grid.times, time_unit=grid.unit, targets=targets,
        scores=scores, reference_scores=reference_scores, score_unit=model.unit, method=method,
        ch_names=names,
    )  # fmt: skip
    _warn_of_gaps(found, n_steps, model.score_scale(columns))
    return found


def _draw_references(
    grid: GridWindows, pool: GridWindows | None, n_references: int, random_state: Any
) -> list[np.ndarray]:
    """References of each window, the same for all except that none is the window itself."""
    data = grid.data if pool is None else pool.data
    order = np.random.default_rng(draw_seed(random_state)).permutation(len(data))
    chosen = []
    for i, window in enumerate(grid.data):
        others = (row for row in order if not np.array_equal(data[row], window))
        rows = list(islice(others, n_references))
        if not rows:
            raise ValueError(
                f"references has no window other than window {i} itself. Pass training windows as "
                "references."
            )
        chosen.append(data[rows])
    return chosen


def _warn_of_gaps(found: Attribution, n_steps: int, scale: np.ndarray | float) -> None:
    if found.gap is None or found.reference_scores is None:
        return
    change = np.abs(found.scores - found.reference_scores)
    missed = np.abs(found.gap) > TOLERANCE * (change + scale)
    if missed.any():
        worst = int(np.argmax(np.abs(found.gap) - TOLERANCE * change))
        warnings.warn(
            f"Integrated gradients differ from the change of score by more than {TOLERANCE:.0%} "
            f"for {missed.sum()} of {len(missed)} windows; for window {worst}, by "
            f"{abs(found.gap[worst]):.2g} of {change[worst]:.2g}. Raise n_steps (it is {n_steps}).",
            ConvergenceWarning,
            stacklevel=3,
        )
