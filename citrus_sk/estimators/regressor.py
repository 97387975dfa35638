"""The regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from ..nn import CitrusNetwork
from ..signals.containers import Windows
from ..signals.targets import check_values
from ..signals.windows import to_float32
from ..training.labelled import LabelledWindows, regression_windows
from ..training.probes import fit_fused_values
from .predictor import NetworkPredictor


class CitrusRegressor(RegressorMixin, NetworkPredictor):
    """Conv-transformer that predicts numbers from small sets of bio-signal windows.

    Heart rate, force, age: the network, the strategies and the checks of `CitrusClassifier`, with
    squared errors in the place of cross-entropy.

    Parameters
    ----------
    pretrained : str, path-like, CitrusPretrainer or None, default="eeg-freq"
        Name of a checkpoint, see `list_pretrained`; a file or folder, as `load_pretrained` takes
        them; a fitted pre-trainer. None trains from scratch.
    modality : str, sequence of str or None, default=None
        What the channels record, such as ``"EEG"``, or one for each channel: one of the kinds that
        the checkpoint was trained on. None is right for all others. Without `pretrained` it
        changes nothing.
    strategy : {"auto", "linear-probe", "finetune", "probe-then-finetune"}, default="auto"
        What is trained:

        - ``"linear-probe"``: a cross-validated linear head on frozen features. Seconds. With
          `random_kernels`, the average of ridges on the network's features, on the kernels of
          shape and on those of amplitude; without, one ridge on the network's.
        - ``"finetune"``: the whole network, from a head of zeros.
        - ``"probe-then-finetune"``: the probe becomes the head, then the whole network is
          trained from there (Kumar et al., 2022). Where windows are held out and no epoch
          is better on them than the probe was, the probe is what is kept.
        - ``"auto"``: ``"linear-probe"`` with `random_kernels`, else ``"probe-then-finetune"``;
          ``"finetune"`` for a `module`, which knows no other.
    backbone : {"hybrid", "conv"}, default="hybrid"
        Convolution and transformer, or the convolution alone.
    random_kernels : bool, default=True
        Whether fixed random convolutions (MiniRocket's kernels) and the power in bands of
        frequency are used beside the network's features. With few labels they contribute most of
        the shape and amplitude information.
    preset : {"tiny", "small", "base"}, default="small"
        Size of a network that is trained from scratch; a checkpoint has its own.
    module : class, str, functools.partial or None, default=None
        Another network, which is trained from scratch: a class of braindecode's models or its
        name, or ``functools.partial(EEGNet, drop_prob=0.25)`` to pass more. It receives channels
        of mean 0 and sd 1, their number and that of samples and targets, and of `mne.Epochs` also
        ``sfreq`` and ``chs_info``. `pretrained`, `modality`, `backbone`, `random_kernels` and
        `preset` then have no effect.
    max_epochs : int or "auto", default="auto"
        Passes over the training windows. ``"auto"``: from 6 for thousands of windows to 40 for a
        few, so that time grows more slowly than the data; for a `module`, 10 to 100, of 1500
        batches in all.
    batch_size : int, default=16
        Windows in a training batch; inference takes four times as many.
    learning_rate : float, default=1e-3
        Peak of AdamW's schedule: linear warm-up over a tenth of the steps, then a cosine to zero.
        Behind a probe's head the convolution and the transformer get 0.3 of it.
    weight_decay : float, default=0.05
        Weight decay of AdamW.
    warmup : float, default=0.1
        Share of the steps over which the learning rate rises to its peak, in [0, 1].
    mixup : float, default=0.2
        Parameter of the Beta distribution that pairs of windows are mixed by; 0 for none.
    augmentation : callable, list of callable or None, default=None
        Applied to each training batch, as transforms of braindecode are: ``(X, y)`` to the same,
        or to windows and Mixup's ``(y_a, y_b, share)``; `y` is ``(n, n_targets)``, in units of
        `target_scale_` from `target_mean_`. Copies are used, whose random numbers
        come from `random_state`. ``strategy="auto"`` then fine-tunes.
    ema : float, default=0.1
        Span of the exponential moving average of the weights, as a share of the training, in
        [0, 1]. The averages are kept; 0 keeps the weights of the last step.
    early_stopping : bool or "auto", default="auto"
        Whether windows are held out to choose the epoch. ``"auto"`` does so where the held-out
        part has at least 50 windows; below that it is too small to trust and the schedule runs to
        its end, as it does for a `module`. True takes any part, and warns where there is none.
        With `groups`, whole groups are held out.
    validation_fraction : float, default=0.2
        In (0, 0.5]. Share that early stopping holds out, to the nearest twentieth where there are
        windows (or groups) enough.
    patience : int or "auto", default="auto"
        Epochs without a lower validation loss before training stops; a quarter of `max_epochs`,
        at least 3, for ``"auto"``.
    n_estimators : int, default=1
        Networks with seeds of their own, whose predictions are averaged.
    callbacks : list of skorch.callbacks.Callback or None, default=None
        As for `CitrusClassifier`; a linear probe has no epochs to follow and refuses them.
    store_weights : {"full", "reference"}, default="full"
        As in `CitrusClassifier`: what a pickle holds of a trunk that is not trained, its weights or
        the name of their checkpoint.
    device : str or torch.device, default="auto"
        ``"auto"`` is a CUDA device, or Apple's GPU (MPS), where there is one, else the CPU.
    random_state : int, RandomState instance or None, default=None
        As for `CitrusClassifier`: an int gives the same bits on every run on one CPU, alone or
        beside other fits in one process. None draws a new seed each time.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, 2 also prints skorch's table of epochs.

    Attributes
    ----------
    n_features_in_ : int
        Size of the second axis of X in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X was a data frame.
    n_chans_, n_times_ : int
        Channels and samples of a window.
    ch_names_ : tuple of str
        Names of the channels, where X was `mne.Epochs` or a data set of braindecode.
    sfreq_ : float
        Sampling rate in Hz, where X was `mne.Epochs` or a data set of braindecode.
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        Mean and sd of `y` in ``fit``, in its own unit; the networks work in units of sd.
    net_ : skorch.NeuralNetRegressor
        The trained net (the first, where there are several), with its ``history``; losses are
        squared errors in units of the variance of `y`.
    members_ : list of skorch.NeuralNetRegressor
        All nets. One whose ``history`` is empty is a linear probe.
    history_ : list of dict
        A row for each epoch of `net_`, with ``train_loss``, and ``valid_loss`` where windows were
        held out; empty for a linear probe.
    strategy_ : str
        The strategy that was used.

    See Also
    --------
    CitrusClassifier : For labels; its Notes explain what the network does with a window.

    Notes
    -----
    The Notes of `CitrusClassifier` on merged windows, weights, amplitude and pickles apply.

    A ``sample_weight`` counts in the mean and the scale of `y` as well. `y` may have several
    columns, such as the forces of five fingers: one network predicts them all, and each counts
    as much as the others.

    References
    ----------
    Geenjaar, E. and Lu, L. (2025). CiTrus: Squeezing Extra Performance out of Low-data Bio-signal
    Transfer Learning. AAAI. arXiv:2412.11695.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from citrus_sk import CitrusRegressor, SignalAligner
    >>> rng = np.random.default_rng(0)
    >>> time = np.arange(300) / 100
    >>> y = rng.uniform(5, 25, 60)  # Hz
    >>> X = np.sin(2 * np.pi * y[:, None] * time) + 0.5 * rng.standard_normal((60, 300))
    >>> reg = CitrusRegressor(pretrained=None, preset="tiny", random_state=0)
    >>> pipe = make_pipeline(SignalAligner(256), reg).fit(X[::2], y[::2])
    >>> bool(pipe.score(X[1::2], y[1::2]) > 0.9)
    True
    """

    __module__ = "citrus_sk"  # pickles and trusted types outlive a move of this file

    def __init__(
        self,
        pretrained: Any = "eeg-freq",
        *,
        modality: Any = None,
        strategy: str = "auto",
        backbone: str = "hybrid",
        random_kernels: bool = True,
        preset: str = "small",
        module: Any = None,
        max_epochs: int | str = "auto",
        batch_size: int = 16,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        warmup: float = 0.1,
        mixup: float = 0.2,
        augmentation: Any = None,
        ema: float = 0.1,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        patience: int | str = "auto",
        n_estimators: int = 1,
        callbacks: list[Any] | None = None,
        store_weights: str = "full",
        device: Any = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.pretrained = pretrained
        self.modality = modality
        self.strategy = strategy
        self.backbone = backbone
        self.random_kernels = random_kernels
        self.preset = preset
        self.module = module
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.mixup = mixup
        self.augmentation = augmentation
        self.ema = ema
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.n_estimators = n_estimators
        self.callbacks = callbacks
        self.store_weights = store_weights
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> CitrusRegressor:
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
        CitrusRegressor
            Itself.
        """
        if y is None:  # the events of Epochs are labels, not measurements
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None. Pass a number for each window, or the name of a column of X's metadata."
            )
        self._fit(X, y, sample_weight, groups)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted number of each window.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs

        Returns
        -------
        ndarray of shape (n_windows,) or (n_windows, n_targets)
            Float64, in the unit of `y`; one axis where `y` had one.
        """
        standard = self._outputs(X).mean(0).numpy()
        values = standard * self.target_scale_ + self.target_mean_
        return values[:, 0] if self._is_1d else values

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
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

        Returns
        -------
        float
            At most 1; 0 for a model that predicts the mean of `y`.

        Raises
        ------
        ValueError
            If `y` is None and ``fit`` was given values, or `X` has no column of that name.
        """
        return super().score(X, self._targets_to_score(X, y), sample_weight)

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

    def _fit_head(
        self, features: np.ndarray, module: CitrusNetwork, labelled: LabelledWindows, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        return fit_fused_values(features, module.families, labelled)

    @property
    def _n_classes(self) -> None:
        return None

    @property
    def _n_outputs(self) -> int:
        return len(self.target_mean_)
