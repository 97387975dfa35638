"""Classifiers to compare with, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from .._utils.optional import require
from .._utils.validation import as_flag, check_number, did_you_mean
from .peer_features import (
    AeonFeatures,
    BandPower,
    CalibratedRidge,
    LagCovariances,
    PrevalidatedRidge,
)


class _Peer(NamedTuple):
    """Function of a sampling rate and a random state that makes a peer, and what is known of it."""

    make: Callable[[float | None, Any], Any]
    package: str | None = None
    has_features: bool = False  # in a step before its head
    install: str = "citrus-sk[peers]"


def _citrus(sfreq: float | None, random_state: Any, **settings: Any) -> Pipeline:
    from ..estimators.classifier import CitrusClassifier
    from ..signals.aligner import SignalAligner

    return make_pipeline(SignalAligner(), CitrusClassifier(random_state=random_state, **settings))


def _rockets(
    sfreq: float | None,
    random_state: Any,
    *,
    names: tuple[str, ...],
    head: Callable[[], ClassifierMixin] = CalibratedRidge,
) -> Pipeline:
    views = [
        # Most features of a rocket are zero for some windows, and remain so without centring.
        make_pipeline(
            AeonFeatures(name, random_state=random_state), StandardScaler(with_mean=False)
        )
        for name in names
    ]
    return make_pipeline(make_union(*views), head())


def _quant(sfreq: float | None, random_state: Any) -> Pipeline:
    from sklearn.ensemble import ExtraTreesClassifier  # slow to import, and not used elsewhere

    # The forest of aeon's QUANTClassifier.
    forest = ExtraTreesClassifier(
        n_estimators=200, max_features=0.1, criterion="entropy", random_state=random_state
    )
    return make_pipeline(AeonFeatures("QUANTTransformer"), forest)


def _fracast(sfreq: float | None, random_state: Any) -> Pipeline:
    from ..signals.aligner import SignalAligner
    from .frozen_peers import CONTEXT, FracastFeatures

    return make_pipeline(SignalAligner(CONTEXT), FracastFeatures(), StandardScaler(), _logistic())


def _bandpower(sfreq: float | None, random_state: Any) -> Pipeline:
    return make_pipeline(BandPower(sfreq), StandardScaler(), _logistic())


def _riemann(sfreq: float | None, random_state: Any) -> Pipeline:
    from pyriemann.tangentspace import TangentSpace

    return make_pipeline(LagCovariances(), TangentSpace(), StandardScaler(), _logistic())


def _logistic() -> LogisticRegression:
    return LogisticRegression(C=1.0, max_iter=2000)


def _network(sfreq: float | None, random_state: Any, *, model: str) -> ClassifierMixin:
    from .torch_peers import make_network

    return make_network(model, sfreq, random_state)


def _majority(sfreq: float | None, random_state: Any) -> DummyClassifier:
    return DummyClassifier(strategy="prior")


_MINIROCKET = ("MiniRocket",)
_MULTIROCKET_HYDRA = ("MultiRocket", "HydraTransformer")
_FINETUNED: dict[str, Any] = {"random_kernels": False, "strategy": "probe-then-finetune"}
_PEERS = {
    "citrus": _Peer(_citrus),
    "citrus-finetuned": _Peer(partial(_citrus, **_FINETUNED)),
    "citrus-scratch": _Peer(partial(_citrus, pretrained=None)),
    "minirocket": _Peer(partial(_rockets, names=_MINIROCKET), "aeon", has_features=True),
    "minirocket-preval": _Peer(
        partial(_rockets, names=_MINIROCKET, head=PrevalidatedRidge), "aeon", has_features=True
    ),
    "multirocket-hydra": _Peer(
        partial(_rockets, names=_MULTIROCKET_HYDRA), "aeon", has_features=True
    ),
    "multirocket-hydra-preval": _Peer(
        partial(_rockets, names=_MULTIROCKET_HYDRA, head=PrevalidatedRidge),
        "aeon",
        has_features=True,
    ),
    "quant": _Peer(_quant, "aeon", has_features=True),
    "fracast": _Peer(_fracast, "fracast", has_features=True, install="fracast"),
    "bandpower": _Peer(_bandpower, has_features=True),
    "riemann": _Peer(_riemann, "pyriemann", has_features=True),
    "shallow": _Peer(partial(_network, model="ShallowFBCSPNet"), "braindecode"),
    "deep4": _Peer(partial(_network, model="Deep4Net"), "braindecode"),
    "eegnet": _Peer(partial(_network, model="EEGNet"), "braindecode"),
    "eegconformer": _Peer(partial(_network, model="EEGConformer"), "braindecode"),
    "biot": _Peer(partial(_network, model="BIOT"), "braindecode"),
    "patchtst": _Peer(partial(_network, model="PatchTransformer")),
    "majority": _Peer(_majority),
}


_RECENTRED = ", recentred"


def recentred_name(name: str) -> str:
    """Name in a comparison of a peer with recentred features."""
    return name + _RECENTRED


def is_recentred(name: str) -> bool:
    """Whether a name is one of `recentred_name`."""
    return name.endswith(_RECENTRED)


def can_be_recentred(name: str) -> bool:
    """Whether ``make_peer(name, recenter=True)`` is possible."""
    return name in _PEERS and _PEERS[name].has_features


def list_peers() -> list[str]:
    """List the names of the classifiers that `make_peer` makes.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from citrus_sk.evaluation import list_peers
    >>> list_peers()[:4]
    ['citrus', 'citrus-finetuned', 'citrus-scratch', 'minirocket']
    """
    return list(_PEERS)


def make_peer(
    name: str, *, sfreq: float | None = None, random_state: Any = 0, recenter: bool = False
) -> Any:
    """Make a classifier to compare with.

    Each takes windows of shape ``(n_windows, n_chans, n_times)`` and labels of any type, predicts
    probabilities, and can be cloned and pickled. Settings are reasonable defaults; `get_params`
    lists them.

    Parameters
    ----------
    name : str
        One of `list_peers`:

        - ``"citrus"``: `SignalAligner` and `CitrusClassifier` with their defaults.
          ``"citrus-finetuned"``: without random kernels, with a network fine-tuned after a probe.
          ``"citrus-scratch"``: with random weights.
        - ``"minirocket"`` [1]_, ``"multirocket-hydra"`` [2]_ [3]_: features of aeon, scaled to
          unit sd, and a ridge calibrated on two folds. If a class has a single window, the
          probabilities are the softmax of the ridge's scores, without calibration.
          ``"minirocket-preval"``, ``"multirocket-hydra-preval"``: the same features, and a
          prevalidated ridge [11]_, whose penalty and probabilities minimise the log loss of
          windows left out one at a time.
        - ``"quant"`` [4]_: quantiles of intervals and extremely randomised trees, as in aeon.
        - ``"fracast"`` [12]_: a small network that was pre-trained to forecast, frozen. The mean
          and the sd over time of its states, mean and log sd of each channel, and a logistic
          regression with ``C=1``.
        - ``"bandpower"``: mean, log sd and log power in ten bands of each channel, and a logistic
          regression with ``C=1``.
        - ``"riemann"`` [5]_: covariances of the channels, or of the lags of a single channel, in
          the tangent space at their mean, and a logistic regression with ``C=1``.
        - ``"shallow"``, ``"deep4"`` [6]_, ``"eegnet"`` [7]_, ``"eegconformer"`` [8]_, ``"biot"``
          [9]_: networks of braindecode, trained from scratch.
        - ``"patchtst"`` [10]_: this package's transformer alone, on patches of the raw signal,
          trained from scratch.
        - ``"majority"``: class frequencies, for any window.
    sfreq : float or None, default=None
        Sampling rate of the windows in Hz. It sets the bands of ``"bandpower"``, which are
        fractions of the Nyquist frequency without it, and the frames of ``"biot"``, which assumes
        100 Hz without it; the others do not use it.
    random_state : int, RandomState instance or None, default=0
        Seed of random weights, kernels and trees.
    recenter : bool, default=False
        Whether to add a `GroupRecenter` before the head, which moves the features of each person
        to a common mean where people are passed. For the peers whose features are a separate
        step: those of aeon, ``"fracast"``, ``"bandpower"`` and ``"riemann"``.

    Returns
    -------
    estimator
        Unfitted scikit-learn classifier or pipeline. Its ``fit`` raises ValueError for windows
        that are too short for it.

    Raises
    ------
    TypeError, ValueError
        If `name` is not a peer, `sfreq` is not a positive number, or the peer cannot be recentred.
    ModuleNotFoundError
        If the package of a peer is not installed. ``pip install "citrus-sk[peers]"`` installs all
        but fracast, which is ``pip install fracast``.

    Notes
    -----
    The networks are trained with AdamW for about 1500 batches on channels of mean 0 and sd 1,
    without early stopping, because small data sets have no windows to spare. To change the number
    of epochs, use ``make_peer("shallow").set_params(max_epochs=20)``.

    References
    ----------
    .. [1] Dempster, A., Schmidt, D. F. and Webb, G. I. (2021). MiniRocket: A Very Fast (Almost)
       Deterministic Transform for Time Series Classification. KDD.
    .. [2] Tan, C. W. et al. (2022). MultiRocket: Multiple Pooling Operators and Transformations
       for Fast and Effective Time Series Classification. Data Mining and Knowledge Discovery.
    .. [3] Dempster, A., Schmidt, D. F. and Webb, G. I. (2023). Hydra: Competing Convolutional
       Kernels for Fast and Accurate Time Series Classification. Data Mining and Knowledge
       Discovery.
    .. [4] Dempster, A., Schmidt, D. F. and Webb, G. I. (2024). QUANT: A Minimalist Interval
       Method for Time Series Classification. Data Mining and Knowledge Discovery.
    .. [5] Barachant, A. et al. (2012). Multiclass Brain-Computer Interface Classification by
       Riemannian Geometry. IEEE Transactions on Biomedical Engineering.
    .. [6] Schirrmeister, R. T. et al. (2017). Deep Learning with Convolutional Neural Networks
       for EEG Decoding and Visualization. Human Brain Mapping.
    .. [7] Lawhern, V. J. et al. (2018). EEGNet: A Compact Convolutional Neural Network for
       EEG-based Brain-Computer Interfaces. Journal of Neural Engineering.
    .. [8] Song, Y. et al. (2023). EEG Conformer: Convolutional Transformer for EEG Decoding and
       Visualization. IEEE Transactions on Neural Systems and Rehabilitation Engineering.
    .. [9] Yang, C., Westover, M. B. and Sun, J. (2023). BIOT: Biosignal Transformer for
       Cross-data Learning in the Wild. NeurIPS.
    .. [10] Nie, Y. et al. (2023). A Time Series is Worth 64 Words: Long-term Forecasting with
       Transformers. ICLR.
    .. [11] Dempster, A., Webb, G. I. and Schmidt, D. F. (2024). Prevalidated Ridge Regression is a
       Highly-Efficient Drop-In Replacement for Logistic Regression for High-Dimensional Data.
       arXiv 2401.15610.
    .. [12] Fracast-0, version 0.1.0 (2026). https://github.com/ztxtech/fracast-0

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk.evaluation import make_peer
    >>> rng = np.random.default_rng(0)
    >>> time = np.arange(300) / 100
    >>> y = np.repeat(["alpha", "beta"], 12)
    >>> X = np.sin(2 * np.pi * np.where(y == "alpha", 10, 22)[:, None, None] * time)
    >>> X += 0.5 * rng.standard_normal(X.shape)
    >>> make_peer("bandpower", sfreq=100).fit(X[::2], y[::2]).score(X[1::2], y[1::2])
    1.0
    """
    if not isinstance(name, str):
        raise TypeError(
            f"name={name!r} is a {type(name).__name__}; expected a string such as 'minirocket'."
        )
    if name not in _PEERS:
        raise ValueError(
            f"name={name!r} is not a known peer.{did_you_mean(name, _PEERS)} Expected one of "
            f"{', '.join(_PEERS)}."
        )
    check_number("sfreq", sfreq, open_low=True, unit="Hz", alternatives=(None,))
    recenter = as_flag("recenter", recenter)
    if recenter and not can_be_recentred(name):
        raise ValueError(
            f"recenter=True, but the features of the peer {name!r} are not a separate step. "
            f"Expected one of {', '.join(filter(can_be_recentred, _PEERS))}."
        )
    peer = _PEERS[name]
    if peer.package is not None:
        require(peer.package, f"The peer {name!r}", install=peer.install)
    made = peer.make(sfreq, random_state)
    if not recenter:
        return made
    from ..estimators.recenter import GroupRecenter

    *features, (_, head) = made.steps
    return make_pipeline(*(step for _, step in features), GroupRecenter(), head)
