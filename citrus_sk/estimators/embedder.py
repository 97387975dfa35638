"""The frozen network as a transformer to 2-D features."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.devices import draw_seed, out_of_memory_hint, resolve_device, usual_modes
from .._utils.validation import all_or_nothing, check_choice, check_number
from ..nn import CitrusNetwork, NetworkConfig
from ..signals.consistency import amplitude_range, warn_of_other_amplitude
from ..signals.containers import resolve_labels
from ..signals.windows import read_windows, to_float32
from ..training.draws import own_draws
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

    Nothing is trained: ``fit`` notes the shape of the windows and builds the network. The features
    are what `CitrusClassifier` gives to its linear head. Their scales differ widely: standardise
    them before a linear model.

    Parameters
    ----------
    pretrained : str, path-like, CitrusPretrainer or None, default="eeg-freq"
        Name of a checkpoint, see `list_pretrained`; a file or folder, as `load_pretrained` takes
        them; a fitted pre-trainer. None gives random weights, which is a fair control and a fair
        baseline.
    modality : str, sequence of str or None, default=None
        What the channels record, such as ``"EEG"``, or one for each channel: one of the kinds that
        the checkpoint was trained on. None is right for all others. Without `pretrained` it
        changes nothing.
    backbone : {"hybrid", "conv"}, default="hybrid"
        Convolution and transformer, or the convolution alone.
    preset : {"tiny", "small", "base"}, default="small"
        Size of a network with random weights; a checkpoint has its own.
    adaptation : {"auto", "recenter"} or None, default="auto"
        How features of one person are moved to the mean of all people, where `groups` are passed
        to ``fit`` and to ``transform``: by `GroupRecenter` with ``when="auto"``, with
        ``when="always"``, or not at all.
    batch_size : int, default=16
        A quarter of the windows that pass through the network at once.
    store_weights : {"full", "reference"}, default="full"
        What a pickle holds of a pre-trained trunk: its weights, or only the name of the
        checkpoint, as given, and its SHA-256. Then the checkpoint has to be there when the
        estimator is loaded, and is checked; see docs/guide/save_and_share.md.
    device : str or torch.device, default="auto"
        ``"auto"`` is a CUDA device, or Apple's GPU (MPS), where there is one, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Of random weights.

    Attributes
    ----------
    n_features_in_ : int
        Size of the second axis of X in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X was a data frame.
    sfreq_ : float
        Sampling rate in Hz, where X was `mne.Epochs`.
    n_chans_, n_times_ : int
        Channels and samples of a window.
    module_ : torch.nn.Module
        The network, in evaluation mode.
    recenter_ : GroupRecenter or None
        Fitted on the features of the training people; None if ``fit`` was called without groups,
        or if ``adaptation=None``.

    Notes
    -----
    For each channel: the mean of the token sequence in each of 8 segments (fewer for more than 8
    channels) and over the window, mean and sd of the convolution's latents, log sd, roughness,
    offset and level, and the waveform in 32 steps; then, for 2 to 32 channels, the logarithm of
    the covariance between them.

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
        pretrained: Any = "eeg-freq",
        *,
        modality: Any = None,
        backbone: str = "hybrid",
        preset: str = "small",
        adaptation: str | None = "auto",
        batch_size: int = 16,
        store_weights: str = "full",
        device: Any = "auto",
        random_state: Any = None,
    ) -> None:
        self.pretrained = pretrained
        self.modality = modality
        self.backbone = backbone
        self.preset = preset
        self.adaptation = adaptation
        self.batch_size = batch_size
        self.store_weights = store_weights
        self.device = device
        self.random_state = random_state

    # In a pipeline, groups are passed on only where somebody asked for it.
    __metadata_request__fit: ClassVar = {"groups": False}
    __metadata_request__transform: ClassVar = {"groups": False}

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> CitrusEmbedder:
        """Note the shape of the windows and build the network.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
        y : array-like of shape (n_windows,) or None, default=None
            Labels. They are used only with `groups`, to decide whether people are recentred.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata.

        Returns
        -------
        CitrusEmbedder
            Itself.
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
        y : array-like of shape (n_windows,) or None, default=None
            Labels, as in `fit`.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, as in `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_features), float32
        """
        return self.fit(X, y, groups).transform(X, groups)

    def transform(self, X: Any, groups: Any = None) -> np.ndarray:
        """Features of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs
        groups : array-like of shape (n_windows,), str or None, default=None
            Person of each window, or the name of a column of the metadata: the features of one
            person are moved to the mean of all people. Windows of other people have no effect on
            them. None leaves the features of each window as they are.

        Returns
        -------
        ndarray of shape (n_windows, n_features), float32

        Raises
        ------
        ValueError
            If groups are passed and ``fit`` was called without.
        """
        check_is_fitted(self)
        if groups is None or self.adaptation is None:
            return self._features(X)
        if self.recenter_ is None:
            raise ValueError(
                "CitrusEmbedder cannot recentre people, because fit was called without groups, and "
                "the mean of all people is not known. Pass groups, the person of each window, to "
                "fit as well, or no groups to transform."
            )
        features = self._features(X, one_by_one=True)
        return self.recenter_.transform(features, resolve_labels(X, groups, "groups"))

    def _features(self, X: Any, *, one_by_one: bool = False) -> np.ndarray:
        device = next(self.module_.parameters()).device
        with usual_modes(), out_of_memory_hint(self.batch_size):
            values = to_float32(read_windows(self, X, reset=False))
            warn_of_other_amplitude(self, values)
            return infer(
                self.module_, values, device, self.batch_size, features=True, one_by_one=one_by_one
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
        config, weights = starting_point(self.pretrained, self.preset, self.backbone)
        reference = make_reference(self.store_weights, self.pretrained, frozen=True)
        device = resolve_device(self.device)
        self._amplitude = amplitude_range(to_float32(read_windows(self, X, reset=True)))
        self._config, self._reference = config, reference
        self._modality_rows = modality_rows(self.modality, config, self.n_chans_)
        with own_draws(draw_seed(self.random_state), torch.device("cpu")) as draws:
            module = draws.make(self._build)
        if weights is not None:
            module.trunk.load_state_dict(weights)
        self.module_ = module.to(device).eval()

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
