"""The classifier."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..nn import CitrusNetwork
from ..signals.containers import Windows
from ..signals.missing import is_missing
from ..training.adaptation.heads import Linear
from ..training.adaptive_probes import adapt_probe, adapt_trained_head
from ..training.labelled import LabelledWindows
from ..training.logistic import fit_probe
from ..training.many_windows import AllWindows, fit_to_all
from ..training.members import MakeAdaptive
from ..training.probes import fit_fused_probe
from .citrus_predictor import CitrusPredictor
from .outputs import ClassPredictor


class CitrusClassifier(CitrusPredictor, ClassPredictor):
    """Conv-transformer for small sets of labelled bio-signal windows.

    A residual convolution and a channel-independent transformer read every channel; a linear head
    uses when events happen, how channels are related, and how strong the signal is. See the Notes
    for the parts.

    Parameters are listed by what they belong to: the network (`pretrained` to `preset`), the
    probe (`strategy` and `class_weight`), the training of a network (`max_epochs` to `patience`),
    which has no effect on a linear probe, and the run (`n_estimators` to `verbose`).

    Parameters
    ----------
    pretrained : str, path-like, CitrusPretrainer or None, default="multi-freq"
        Name of a checkpoint (see `list_pretrained`), path of a checkpoint file or folder, or a
        fitted pre-trainer. None trains from scratch.
    modality : str, sequence of str or None, default=None
        Kind of signal, such as ``"EEG"``, of all channels or of each one. It must be one of the
        kinds that the checkpoint was trained on; None stands for any other kind. It has no effect
        on a network without `pretrained`.
    backbone : {"hybrid", "conv"}, default="hybrid"
        Convolution followed by a transformer, or the convolution alone.
    random_kernels : bool, default=True
        Whether fixed random convolutions (MiniRocket's kernels) and the power in frequency bands
        are used beside the network's features. With few labels they contribute most of the
        information about shape and amplitude; docs/results.md shows the worth of each part.
    preset : {"tiny", "small", "base"}, default="small"
        Size of a network that is trained from scratch; a checkpoint has its own size.
    strategy : {"auto", "linear-probe", "finetune", "probe-then-finetune"}, default="auto"
        How the labelled windows are used:

        - ``"linear-probe"`` fits a cross-validated linear head on frozen features, in seconds.
          With `random_kernels`, it averages ridge classifiers on the network's features, on the
          kernels of shape and on those of amplitude, and calibrates them; without, it is a logistic
          regression on the network's features.
        - ``"finetune"`` trains the whole network, from a head of zeros.
        - ``"probe-then-finetune"`` trains the whole network from the head of the probe (Kumar et
          al., 2022).
        - ``"auto"`` is ``"linear-probe"`` with `random_kernels` and without `augmentation`, and
          ``"probe-then-finetune"`` otherwise.

        After a training, the linear probe predicts, unless the mean log loss of the fine-tuned
        network is clearly lower on windows that are left out (see `early_stopping`). `selection_`
        holds the choice.
    adaptation : {"auto", "recenter"} or None, default="auto"
        How the windows of one person are predicted together, where `groups` are passed to ``fit``
        and to ``predict``. ``"auto"`` chooses between recentring the person, pooling the person's
        windows, and neither, from the people of the training set, and `adaptation_` holds the
        reason. ``"recenter"`` always recentres. None predicts each window by itself.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, as in other scikit-learn classifiers.
    unlabelled : object, default=None
        Value in `y` of ``fit`` that marks windows without a label: -1, as in scikit-learn's
        semi-supervised estimators, a string, or ``np.nan`` for all missing values (NaN, None,
        ``pd.NA``, empty strings). It is not among ``classes_`` and need not occur in `y`. With
        `groups`, up to 200 unlabelled windows of each person make the means of the training people
        more accurate, by which people are recentred; see `adaptation` and the Notes. None: every
        window has a label.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training windows. ``"auto"`` takes from 6, for thousands of
        windows, to 40, for a few, so that time grows more slowly than the data, and more than 40
        where there would be fewer than 150 batches.
    batch_size : int, default=16
        Windows in a training batch. Inference takes four times as many.
    learning_rate : float, default=1e-3
        Peak learning rate of AdamW, reached after the warm-up and followed by a cosine to zero.
        The convolution and the transformer get 10 times this rate with ``"finetune"``, and 0.1 of
        it with ``"probe-then-finetune"``. The rate of the head is proportional to it and does not
        depend on the number of channels: at 1e-3, a batch changes an output by at most about 1
        with ``"finetune"``, and by 0.01 with ``"probe-then-finetune"``.
    weight_decay : float, default=0.05
        Weight decay of AdamW.
    warmup : float, default=0.1
        Share of the training over which the learning rate rises to its peak, in [0, 1].
    label_smoothing : float, default=0.05
        Share of each target that is spread over all classes, in [0, 1).
    mixup : float, default=0.2
        Parameter of the Beta distribution by which pairs of windows are mixed; 0 mixes none.
    augmentation : callable, list of callable or None, default=None
        Applied to each training batch, like the transforms of braindecode: from ``(X, y)`` to the
        same, or to windows and Mixup's ``(y_a, y_b, share)``. Copies are used, whose random
        numbers come from `random_state`.
    ema : float, default=0.1
        Span of the exponential moving average of the weights, as a share of the training, in
        [0, 1]. The averages are kept; 0 keeps the weights of the last step.
    early_stopping : bool or "auto", default="auto"
        Whether windows are held out to choose the epoch. ``"auto"`` does so where the held-out
        part has at least 50 windows and 3 of each class; a smaller part is too unreliable, and the
        schedule runs to its end. True accepts any part that has every class, and warns if none has.
        With `groups`, whole groups are held out. Where no windows are held out, a cross-validation
        with three folds leaves windows out for the choice that `strategy` describes, which takes
        three times as long as the training itself. False leaves none out and keeps the fine-tuned
        network.
    validation_fraction : float, default=0.2
        Share of the windows that early stopping holds out, in (0, 0.5], rounded to a twentieth
        where there are enough windows (or groups).
    patience : int or "auto", default="auto"
        Epochs without a lower validation loss before training stops. ``"auto"`` is a quarter of
        `max_epochs`, and at least 3.
    n_estimators : int, default=1
        Number of networks, trained from different seeds, whose probabilities are averaged.
    callbacks : list of skorch.callbacks.Callback or None, default=None
        Skorch callbacks that follow or change the training, with or without names, or functions
        that make one. Functions are called and objects copied for each training; `net_` holds
        the copies in ``callbacks_``. An ``LRScheduler`` replaces the schedule above.
        A linear probe has no epochs and refuses callbacks.
    store_weights : {"full", "reference"}, default="full"
        Content of a pickle where a linear probe left the pre-trained trunk unchanged: the weights
        of the trunk, or only the name and the SHA-256 of the checkpoint. With ``"reference"`` the
        checkpoint must be available when the estimator is loaded, and is checked then;
        docs/guide/save_and_share.md has more. ``fit`` raises ValueError if it trains the trunk.
    device : str or torch.device, default="auto"
        Device to train and predict on. ``"auto"`` is a CUDA device or Apple's GPU (MPS) if there
        is one, else the CPU.
    memory : str, path-like or None, default=None
        Folder in which the features of the network are kept for each window, made by ``fit`` if
        needed. Further fits and predictions with the same windows then only compute the rest. It
        has an effect on a linear probe on the CPU, and changes no result. The folder can be used by
        several processes, should be on a local disk, and takes 1 GB at most. See
        docs/guide/speed.md.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the kernels and the training. An int gives the same bits on
        every run on one CPU, alone or beside other fits in one process; None draws a new seed each
        time. See the Notes.
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
        The first net that predicts, with the ``history`` of the training.
    members_ : list of skorch.NeuralNetClassifier
        All nets; each is a trained network or a linear probe, see `selection_`.
    history_ : list of dict
        A row for each epoch of the training, with ``train_loss``, and ``valid_loss`` where windows
        were held out; empty for ``strategy="linear-probe"``.
    strategy_ : str
        The strategy that was used.
    selection_ : dict
        Choice between the trained network and the probe (the first, where there are several):

        - ``"kind"``: ``"finetuned"`` or ``"probe"``.
        - ``"reason"``: one sentence.
        - ``"loss"`` and ``"probe_loss"``: mean log loss of windows that are left out; NaN if there
          are none.
    adaptation_ : dict
        Choice of ``adaptation="auto"`` (of the first network, where there are several):

        - ``"kind"``: ``"recenter"``, ``"pool"``, or None if each window is predicted by itself.
        - ``"reason"``: one sentence.
        - ``"loss"`` and ``"adapted_loss"``: mean log loss of people who are left out,
          without and with the adaptation; NaN if ``fit`` was called without groups.
        - ``"consistency"``: expected intraclass correlation of the labels, between 0 (the same
          distribution for all people) and 1 (each person has one label).
        - ``"share"``: weight of the adapted against the plain outputs, in [0, 1].
        - ``"n_unlabelled"``: number of unlabelled windows in the means of the training people. 0
          where they did not lower the log loss of left-out people.

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

    Unlabelled windows count in nothing but the means of people. A linear probe with
    `random_kernels` uses them, and a training of the network leaves them out. The thresholds of the
    kernels and the scales of the features are those of the labelled windows;
    docs/guide/new_person.md shows what was measured.

    A fit draws from random generators of its own and leaves the global random states alone.
    Foreign code may draw from the global states, and so does dropout on a GPU. Fits with
    `augmentation` or `callbacks`, and fits on a GPU, therefore run one at a time in a process: they
    seed the global states, and put them back.

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
        pretrained: Any = "multi-freq",
        *,
        modality: Any = None,
        backbone: str = "hybrid",
        random_kernels: bool = True,
        preset: str = "small",
        strategy: str = "auto",
        adaptation: str | None = "auto",
        class_weight: Any = None,
        unlabelled: Any = None,
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
        n_estimators: int = 1,
        callbacks: list[Any] | None = None,
        store_weights: str = "full",
        device: Any = "auto",
        memory: Any = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.pretrained = pretrained
        self.modality = modality
        self.backbone = backbone
        self.random_kernels = random_kernels
        self.preset = preset
        self.strategy = strategy
        self.adaptation = adaptation
        self.class_weight = class_weight
        self.unlabelled = unlabelled
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup = warmup
        self.label_smoothing = label_smoothing
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
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _in_blocks(self) -> bool:
        return self._with_kernels

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not (is_missing(self.unlabelled) or np.isscalar(self.unlabelled)):
            raise TypeError(
                "Expected unlabelled to be one value of y, such as -1, 'unlabelled' or np.nan, or "
                f"None, got {self.unlabelled!r}."
            )

    def _label(self, y: Any, windows: Windows, sample_weight: Any, groups: Any) -> LabelledWindows:
        labelled = super()._label(y, windows, sample_weight, groups)
        adapts = self.adaptation is not None and self.random_kernels
        if labelled.unlabelled is None or (adapts and labelled.groups is not None):
            return labelled
        warnings.warn(
            f"{len(labelled.unlabelled)} unlabelled windows have no effect on this fit: they say "
            "how people differ, and are used with groups, random_kernels=True and adaptation="
            "'auto' or 'recenter'. Pass groups, the person of each window, or leave them out.",
            UserWarning,
            stacklevel=5,
        )
        return replace(labelled, unlabelled=None)

    def _fit_head(
        self, features: np.ndarray, module: CitrusNetwork, labelled: LabelledWindows, seed: int,
        everything: AllWindows | None,
    ) -> tuple[Linear, MakeAdaptive]:  # fmt: skip
        families, people = module.families, self._without_people(labelled)
        if self._with_kernels:
            probe = fit_fused_probe(features, families, labelled)
            probe = fit_to_all(probe, families, everything)
            return probe.head, partial(
                adapt_probe, probe, features, families, people, always=self._always
            )
        head = fit_probe(features, labelled, seed)
        return head, partial(
            adapt_trained_head, head, features, families, people, always=self._always
        )
