"""Transformer of windows to features of the frozen network."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.devices import draw_seed, out_of_memory_hint, resolve_device, usual_modes
from .._utils.validation import all_or_nothing, check_choice, check_folder, check_number
from ..nn import CitrusNetwork, NetworkConfig
from ..signals.consistency import amplitude_range, warn_of_other_amplitude
from ..signals.containers import resolve_labels
from ..signals.windows import finite, read_windows
from ..training.draws import own_draws
from ..training.feature_cache import FeatureCache, remembered
from ..training.nets import infer
from .base import (
    NetworkEstimator,
    Reference,
    make_reference,
    modality_rows,
    pack,
    starting_point,
    unpack,
)
from .recenter import GroupRecenter


class CitrusEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):
    """Frozen features of the network, for any scikit-learn model.

    The network is not trained: ``fit`` only records the shape of the windows and builds it. The
    features are those of the linear head of `CitrusClassifier` without random kernels. Their scales
    differ widely, so standardise them before a linear model.

    The parameters describe, in this order, the network, the data, the computation, and the pickle.

    Parameters
    ----------
    pretrained : str, path-like, CitrusPretrainer or None, default="multi-freq"
        Pre-trained weights: the name of a checkpoint, see `list_pretrained`; a file or folder, as
        for `load_pretrained`; or a fitted pre-trainer. None means random weights, which are a
        useful baseline.
    backbone : {"hybrid", "conv"}, default="hybrid"
        Convolution and transformer, or the convolution alone.
    preset : {"tiny", "small", "base"}, default="small"
        Size of a network with random weights. A checkpoint has its own size.
    modality : str, sequence of str or None, default=None
        Kind of signal of all channels, such as ``"EEG"``, or of each channel. It must be one of
        those that the checkpoint was trained on; None stands for any other kind. Random weights do
        not depend on it.
    adaptation : {"auto", "recenter"} or None, default="auto"
        How the features of each person are moved to the mean of all people, if `groups` are passed
        to ``fit`` and to ``transform``: by `GroupRecenter` with ``when="auto"``, with
        ``when="always"``, or not at all.
    batch_size : int, default=16
        A quarter of the number of windows in a batch, since batches in inference can be larger
        than in training.
    device : str or torch.device, default="auto"
        Device of the network. ``"auto"`` means a CUDA device, or Apple's GPU (MPS), if there is
        one, else the CPU.
    memory : str, path-like or None, default=None
        Folder in which the features of the network are kept for each window, made by ``fit`` if
        needed. Further calls with the same windows then read them. It has an effect on the CPU, and
        changes no result. The folder can be used by several processes, should be on a local disk,
        and takes 1 GB at most. See docs/guide/speed.md.
    random_state : int, RandomState instance or None, default=None
        Seed of random weights.
    store_weights : {"full", "reference"}, default="full"
        Content of a pickle: the pre-trained weights, or only the name and the SHA-256 of the
        checkpoint, which is then needed and checked when the pickle is loaded. See
        docs/guide/save_and_share.md.

    Attributes
    ----------
    n_features_in_ : int
        Size of the second axis of X in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if X was a data frame.
    sfreq_ : float
        Sampling rate in Hz, if X was `mne.Epochs`.
    n_chans_, n_times_ : int
        Numbers of channels and of samples of a window.
    module_ : torch.nn.Module
        The network, in evaluation mode.
    recenter_ : GroupRecenter or None
        Transformer that was fitted on the features of the training people; None if ``fit`` was
        called without groups, or if ``adaptation=None``.

    Notes
    -----
    The features of each channel are the mean of the token sequence in each of 8 segments (fewer
    for more than 8 channels) and over the window; the mean and the sd of the latents of the
    convolution; the log sd, the roughness, the offset and the level; and the waveform in 32 steps.
    For 2 to 32 channels, the logarithm of the covariance between them is added.

    References
    ----------
    Geenjaar, E. and Lu, L. (2025). CiTrus: Squeezing Extra Performance out of Low-data Bio-signal
    Transfer Learning. AAAI. arXiv:2412.11695.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import CitrusEmbedder
    >>> X = np.random.default_rng(0).standard_normal((5, 3, 200))
    >>> CitrusEmbedder(pretrained=None, preset="tiny", random_state=0).fit_transform(X).shape
    (5, 2226)
    """

    __module__ = "citrus_sk"  # pickles and trusted types outlive a move of this file

    def __init__(
        self,
        pretrained: Any = "multi-freq",
        *,
        backbone: str = "hybrid",
        preset: str = "small",
        modality: Any = None,
        adaptation: str | None = "auto",
        batch_size: int = 16,
        device: Any = "auto",
        memory: Any = None,
        random_state: Any = None,
        store_weights: str = "full",
    ) -> None:
        self.pretrained = pretrained
        self.backbone = backbone
        self.preset = preset
        self.modality = modality
        self.adaptation = adaptation
        self.batch_size = batch_size
        self.device = device
        self.memory = memory
        self.random_state = random_state
        self.store_weights = store_weights

    # A pipeline passes groups on only if they are requested.
    __metadata_request__fit: ClassVar = {"groups": False}
    __metadata_request__transform: ClassVar = {"groups": False}

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> CitrusEmbedder:
        """Record the shape of the windows and build the network.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
            Windows.
        y : array-like of shape (n_windows,) or None, default=None
            Labels. They are used only with `groups`, to decide whether people are recentred.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata.

        Returns
        -------
        CitrusEmbedder
            The embedder itself.
        """
        with all_or_nothing(self), usual_modes(), out_of_memory_hint(self.batch_size):
            self._fit(X)
            self.recenter_ = self._fit_recenter(X, y, groups)
        return self

    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> np.ndarray:
        """Build the network and return the features of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
            Windows.
        y : array-like of shape (n_windows,) or None, default=None
            Labels, as in `fit`.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, as in `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_features), float32
            Features.
        """
        return self.fit(X, y, groups).transform(X, groups)

    def transform(self, X: Any, groups: Any = None) -> np.ndarray:
        """Compute the features of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
            Windows.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata. The features of each
            person are then moved to the mean of all people in ``fit``, whatever the other people
            in `X`. None does not move features.

        Returns
        -------
        ndarray of shape (n_windows, n_features), float32
            Features.

        Raises
        ------
        ValueError
            If groups are passed, and ``fit`` was called without groups.
        """
        check_is_fitted(self)
        if groups is None or self.adaptation is None:
            return self._features(X)
        if self.recenter_ is None:
            raise ValueError(
                "CitrusEmbedder cannot recentre people, because fit was called without groups, so "
                "the mean of all people is unknown. Pass groups, the person of each window, to fit "
                "as well, or do not pass them to transform."
            )
        features = self._features(X, one_by_one=True)
        return self.recenter_.transform(features, resolve_labels(X, groups, "groups"))

    def _features(self, X: Any, *, one_by_one: bool = False) -> np.ndarray:
        device = next(self.module_.parameters()).device
        with usual_modes(), out_of_memory_hint(self.batch_size):
            values = finite(read_windows(self, X, reset=False))
            warn_of_other_amplitude(self, values)
            cache = FeatureCache.for_prediction(self.memory)
            with remembered(self.module_, cache, values.shape) as network:
                return infer(
                    network, values, device, self.batch_size, features=True, one_by_one=one_by_one
                ).numpy()

    def _fit_recenter(self, X: Any, y: Any, groups: Any) -> GroupRecenter | None:
        if self.adaptation is not None:
            check_choice("adaptation", self.adaptation, ("auto", "recenter"))
        if groups is None or self.adaptation is None:
            return None
        when = "auto" if self.adaptation == "auto" else "always"
        groups = resolve_labels(X, groups, "groups")
        y = None if y is None else resolve_labels(X, y)
        return GroupRecenter(when=when).fit(self._features(X, one_by_one=True), y, groups)

    def _fit(self, X: Any) -> None:
        check_number("batch_size", self.batch_size, Integral, low=1)
        check_folder("memory", self.memory)
        config, weights = starting_point(self.pretrained, self.preset, self.backbone)
        reference = make_reference(self.store_weights, self.pretrained, frozen=True)
        device = resolve_device(self.device)
        self._amplitude = amplitude_range(finite(read_windows(self, X, reset=True)))
        self._config, self._reference = config, reference
        self._modality_rows = modality_rows(self.modality, config, self.n_chans_)
        with own_draws(draw_seed(self.random_state), torch.device("cpu")) as draws:
            module = draws.make(self._build)
        if weights is not None:
            module.trunk.load_state_dict(weights)
        self.module_ = module.to(device).eval()
        FeatureCache.for_fit(self.memory)  # which makes the folder

    @property
    def _n_features_out(self) -> int:
        return self.module_.n_features

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    _network_attributes = ("module_",)
    _records: ClassVar = {"_config": NetworkConfig, "_reference": Reference}

    def _pack_networks(self) -> dict[str, np.ndarray]:
        return pack(self.module_, self._reference)

    def _unpack_networks(self, packed: dict[str, np.ndarray], device: torch.device) -> None:
        self.module_ = unpack(self._build, packed, device, self._reference)

    def _build(self) -> CitrusNetwork:
        # The head is not used; one output keeps it small.
        return CitrusNetwork(self._config, self.n_chans_, 1, self._modality_rows)
