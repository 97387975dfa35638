"""The classifier."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from .._utils.validation import check_number
from ..nn import CitrusNetwork
from ..signals.containers import Windows
from ..signals.targets import check_labels
from ..signals.windows import to_float32
from ..training.fine_tuning import Recipe
from ..training.labelled import LabelledWindows, label_windows
from ..training.probes import fit_fused_probe, fit_probe
from .predictor import NetworkPredictor


class CitrusClassifier(ClassifierMixin, NetworkPredictor):
    """Conv-transformer for small sets of labelled bio-signal windows.

    A residual convolution and a channel-independent transformer read every channel; a linear head
    uses when events happen, how channels are related, and how strong the signal is. See the Notes
    for the parts.

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
          `random_kernels`, ridge classifiers on the network's features, on the kernels of shape
          and on those of amplitude, whose calibrated average decides; without, a logistic
          regression on the network's.
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
        the shape and amplitude information; docs/results.md shows what each part is worth.
    preset : {"tiny", "small", "base"}, default="small"
        Size of a network that is trained from scratch; a checkpoint has its own.
    module : class, str, functools.partial or None, default=None
        Another network, which is trained from scratch: a class of braindecode's models or its
        name, or ``functools.partial(EEGNet, drop_prob=0.25)`` to pass more. It receives channels
        of mean 0 and sd 1, their number and that of samples and classes, and of `mne.Epochs` also
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
    label_smoothing : float, default=0.05
        In [0, 1). Share of each target that is spread over all classes.
    mixup : float, default=0.2
        Parameter of the Beta distribution that pairs of windows are mixed by; 0 for none.
    augmentation : callable, list of callable or None, default=None
        Applied to each training batch, as transforms of braindecode are: ``(X, y)`` to the same,
        or to windows and Mixup's ``(y_a, y_b, share)``. Copies are used, whose random numbers
        come from `random_state`. ``strategy="auto"`` then fine-tunes.
    ema : float, default=0.1
        Span of the exponential moving average of the weights, as a share of the training, in
        [0, 1]. The averages are kept; 0 keeps the weights of the last step.
    early_stopping : bool or "auto", default="auto"
        Whether windows are held out to choose the epoch. ``"auto"`` does so where the held-out
        part has at least 50 windows and 3 of each class; below that it is too small to trust and
        the schedule runs to its end, as it does for a `module`. True takes any part that has every
        class, and warns where there is none. With `groups`, whole groups are held out.
    validation_fraction : float, default=0.2
        In (0, 0.5]. Share that early stopping holds out, to the nearest twentieth where each class
        has windows (or groups) enough.
    patience : int or "auto", default="auto"
        Epochs without a lower validation loss before training stops; a quarter of `max_epochs`,
        at least 3, for ``"auto"``.
    class_weight : dict, "balanced" or None, default=None
        As everywhere in scikit-learn.
    n_estimators : int, default=1
        Networks with seeds of their own, whose probabilities are averaged.
    callbacks : list of skorch.callbacks.Callback or None, default=None
        Callbacks of skorch that follow or change the training, with or without names, or functions
        that make one. Functions are called and objects copied for each training, and `net_` has
        what was used in ``callbacks_``. An ``LRScheduler`` takes the place of the schedule above.
        A linear probe has no epochs to follow and refuses callbacks.
    store_weights : {"full", "reference"}, default="full"
        What a pickle holds of a pre-trained trunk that a linear probe has left as it was: its
        weights, or only the name of the checkpoint, as given, and its SHA-256. Then the checkpoint
        has to be there, and is checked, when the estimator is loaded; docs/guide/save_and_share.md
        has more. Not available when the trunk is fine-tuned: ``fit`` raises ValueError.
    device : str or torch.device, default="auto"
        ``"auto"`` is a CUDA device, or Apple's GPU (MPS), where there is one, else the CPU.
    random_state : int, RandomState instance or None, default=None
        An int gives the same bits on every run on one CPU, alone or beside other fits in one
        process: a fit draws from generators of its own and leaves the global random states alone.
        Code of others may draw from these, and so does dropout on a GPU. Fits with `module`,
        `augmentation` or `callbacks` and those on a GPU therefore take turns, seed the global
        states, and put them back. None draws a new seed each time.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, 2 also prints skorch's table of epochs.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
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
    net_ : skorch.NeuralNetClassifier
        The trained net (the first, where there are several), with its ``history``.
    members_ : list of skorch.NeuralNetClassifier
        All nets. One whose ``history`` is empty is a linear probe.
    history_ : list of dict
        A row for each epoch of `net_`, with ``train_loss``, and ``valid_loss`` where windows were
        held out; empty for a linear probe.
    strategy_ : str
        The strategy that was used.

    See Also
    --------
    SignalAligner : Brings windows of any length and rate to the grid.
    CitrusEmbedder : The frozen features, for any other scikit-learn model.

    Notes
    -----
    Identical windows are merged and weighed before training, so rows may come in any order and a
    ``sample_weight`` of 2 equals a window that stands there twice. Weights, those of `class_weight`
    included, are then divided by their mean over the distinct windows: only ratios count.

    Every channel of a window is brought to mean 0 and sd 1 by the network itself; its log sd,
    roughness, offset and level are features of the head. There is no batch normalisation: the
    prediction for a window does not depend on the windows beside it.

    There is no ``n_jobs``: torch uses the threads of its process (`torch.set_num_threads`). To fit
    several models at once, use `n_jobs` of scikit-learn's `cross_val_score` and its like, with
    ``OMP_NUM_THREADS=1``.

    A pickle holds the parameters and the weights as arrays, neither the torch module nor the
    state of the optimiser; the network is rebuilt on `device` when it is loaded.

    References
    ----------
    Dempster, A., Schmidt, D. F. and Webb, G. I. (2021). MiniRocket: A Very Fast (Almost)
    Deterministic Transform for Time Series Classification. KDD.

    Geenjaar, E. and Lu, L. (2025). CiTrus: Squeezing Extra Performance out of Low-data Bio-signal
    Transfer Learning. AAAI. arXiv:2412.11695.

    Tan, C. W. et al. (2022). MultiRocket: Multiple Pooling Operators and Transformations for Fast
    and Effective Time Series Classification. Data Mining and Knowledge Discovery.

    Kumar, A. et al. (2022). Fine-Tuning can Distort Pretrained Features and Underperform
    Out-of-Distribution. ICLR.

    Zhang, H. et al. (2018). mixup: Beyond Empirical Risk Minimization. ICLR.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from citrus_sk import CitrusClassifier, SignalAligner
    >>> rng = np.random.default_rng(0)
    >>> time = np.arange(300) / 100
    >>> y = np.repeat(["alpha", "beta"], 12)
    >>> X = np.sin(2 * np.pi * np.where(y == "alpha", 10, 22)[:, None] * time)
    >>> X += 0.5 * rng.standard_normal(X.shape)
    >>> clf = CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    >>> pipe = make_pipeline(SignalAligner(256), clf).fit(X[::2], y[::2])
    >>> pipe.score(X[1::2], y[1::2])
    1.0
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
        label_smoothing: float = 0.05,
        mixup: float = 0.2,
        augmentation: Any = None,
        ema: float = 0.1,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        patience: int | str = "auto",
        class_weight: Any = None,
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
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None
    ) -> CitrusClassifier:
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
        CitrusClassifier
            Itself.
        """
        self._fit(X, y, sample_weight, groups)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Float64; columns in the order of ``classes_``.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of the probability of each class, as `predict_proba`."""
        logs = self._outputs(X).log_softmax(2)
        return (logs.logsumexp(0) - np.log(len(logs))).numpy()

    def decision_function(self, X: Any) -> np.ndarray:
        """Logarithm of the probability of each class, or of the odds of two.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
or mne.Epochs

        Returns
        -------
        ndarray of shape (n_windows,) or (n_windows, n_classes)
            With two classes, the logarithm of the odds of ``classes_[1]``: above 0 where it is
            predicted. Otherwise the largest value is that of the predicted class.
        """
        logs = self.predict_log_proba(X)
        return logs[:, 1] - logs[:, 0] if len(self.classes_) == 2 else logs

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each window, shape (n_windows,)."""
        best = self.predict_log_proba(X).argmax(1)
        return self.classes_[best]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Accuracy on the given windows and labels.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times) or (n_windows, n_times), \
mne.Epochs, or windows of braindecode
        y : array-like of shape (n_windows,), str or None, default=None
            True labels, or the name of a column of the metadata. None takes the same as ``fit``
            did: the column that it was given, or the events of Epochs and the targets of a data
            set of braindecode.
        sample_weight : array-like of shape (n_windows,) or None, default=None
            Weight of each window.

        Returns
        -------
        float
            Share of windows whose class is predicted, in [0, 1].

        Raises
        ------
        ValueError
            If `y` is None and ``fit`` was given labels as values, or `X` holds no labels.
        """
        return super().score(X, self._targets_to_score(X, y), sample_weight)

    # --- used by the base ------------------------------------------------------------------------

    def _label(self, y: Any, windows: Windows, sample_weight: Any, groups: Any) -> LabelledWindows:
        classes, codes = check_labels(y, len(windows), type(self).__name__)
        labelled = label_windows(
            to_float32(windows), codes, classes,
            sample_weight=sample_weight, class_weight=self.class_weight, groups=groups,
        )  # fmt: skip
        self.classes_ = classes
        return labelled

    def _fit_head(
        self, features: np.ndarray, module: CitrusNetwork, labelled: LabelledWindows, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._with_kernels:
            return fit_fused_probe(features, module.families, labelled)
        return fit_probe(features, labelled, seed)

    @property
    def _n_classes(self) -> int:
        return len(self.classes_)

    @property
    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _recipe(self, labelled: LabelledWindows) -> Recipe:
        return replace(super()._recipe(labelled), label_smoothing=self.label_smoothing)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("label_smoothing", self.label_smoothing, high=0.999)
        if isinstance(self.class_weight, dict):
            for label, weight in self.class_weight.items():
                check_number(f"class_weight[{label!r}]", weight)
