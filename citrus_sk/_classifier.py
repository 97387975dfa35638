"""The classifier."""

from __future__ import annotations

from contextlib import nullcontext
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ._augmentation import check_augmentation, prepare_augmentation
from ._base import NetworkEstimator, modality_rows, pack, starting_point, unpack
from ._callbacks import check_callbacks
from ._containers import resolve_labels
from ._foreign import ForeignModule, auto_epochs, resolve_module, settle_batch_norm
from ._fused_probe import fit_fused_probe
from ._labelled import LabelledWindows, check_labels, inner_folds, label_windows
from ._parameters import all_or_nothing, check_choice, check_number
from ._probe import fit_probe
from ._signals import read_windows, to_float32
from ._training import (
    FineTuner,
    Recipe,
    draw_seed,
    fine_tune,
    held_out_loss,
    infer,
    isolated_seed,
    make_net,
    out_of_memory_hint,
    resolve_device,
)
from .nn import CitrusNetwork

STRATEGIES = ("auto", "linear-probe", "finetune", "probe-then-finetune")
# A validation part smaller than this ranks epochs by luck.
_TRUSTED_WINDOWS, _TRUSTED_PER_CLASS = 50, 3
# Channel-windows of 1024 samples that "small" gets through in about 40 s on two cores.
_EPOCH_BUDGET = 7500
_KERNEL_WINDOWS = 512  # for the kernels' scales; they are in the order of a hash, so no class first


class CitrusClassifier(ClassifierMixin, NetworkEstimator):
    """Conv-transformer for small sets of labelled bio-signal windows.

    A residual convolution and a channel-independent transformer read every channel; a linear head
    is given when things happen, what happens between channels, and how strong the signal is. See
    the Notes for the parts.

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
        frequency stand beside the network's features. They take over most of what few labels can
        tell of shape and amplitude; docs/results.md shows what each part is worth.
    preset : {"tiny", "small", "base"}, default="small"
        Size of a network that is trained from scratch; a checkpoint has its own.
    module : class, str, functools.partial or None, default=None
        Another network, which is trained from scratch: a class of braindecode's models or its
        name, or ``functools.partial(EEGNet, drop_prob=0.25)`` to tell it more. It is given channels
        of mean 0 and sd 1, their number and that of samples and classes, and of `mne.Epochs` also
        ``sfreq`` and ``chs_info``. `pretrained`, `modality`, `backbone`, `random_kernels` and
        `preset` then mean nothing.
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
        Of AdamW.
    label_smoothing : float, default=0.05
        In [0, 1). Share of each target that is spread over all classes.
    mixup : float, default=0.2
        Parameter of the Beta distribution that pairs of windows are mixed by; 0 for none.
    augmentation : callable, list of callable or None, default=None
        Applied to each training batch, as transforms of braindecode are: ``(X, y)`` to the same,
        or to windows and Mixup's ``(y_a, y_b, share)``. Copies are used, whose random numbers
        come from `random_state`. ``strategy="auto"`` then fine-tunes.
    ema : bool, default=True
        Whether an exponential moving average of the weights is what is kept.
    early_stopping : bool or "auto", default="auto"
        Whether windows are held out to choose the epoch. ``"auto"`` does so where the held-out
        part has at least 50 windows and 3 of each class; below that it is too small to trust and
        the schedule runs to its end, as it does for a `module`. With `groups`, whole groups are
        held out.
    validation_fraction : float, default=0.2
        In (0, 0.5]. Share that early stopping holds out.
    patience : int or "auto", default="auto"
        Epochs without a lower validation loss before training stops; a quarter of `max_epochs`,
        at least 3, for ``"auto"``.
    class_weight : dict, "balanced" or None, default=None
        As everywhere in scikit-learn.
    n_members : int, default=1
        Networks with seeds of their own, whose probabilities are averaged.
    callbacks : list of skorch.callbacks.Callback or None, default=None
        Callbacks of skorch that follow or change the training, with or without names, or functions
        that make one. Functions are called and objects copied for each training, and `net_` has
        what was used in ``callbacks_``. An ``LRScheduler`` takes the place of the schedule above.
        A linear probe has no epochs to follow and refuses callbacks.
    device : str or torch.device, default="auto"
        ``"auto"`` is a CUDA device where there is one, else the CPU.
    random_state : int, RandomState instance or None, default=None
        An int gives the same bits on every run on one CPU. None draws a new seed each
        time. Global random states are left alone in any case.
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
    net_ : skorch.NeuralNetClassifier
        The trained net (the first, where there are several), with its ``history``.
    members_ : list of skorch.NeuralNetClassifier
        All nets. One whose ``history`` is empty is a linear probe.
    strategy_ : str
        The strategy that was used.

    See Also
    --------
    SignalAligner : Brings windows of any length and rate to the grid.
    CitrusEmbedder : The frozen features, for any other scikit-learn model.

    Notes
    -----
    Identical windows are merged and weighed before training, so rows may come in any order and a
    ``sample_weight`` of 2 equals a window that stands there twice.

    Every channel of a window is brought to mean 0 and sd 1 by the network itself; its log sd,
    roughness, offset and level are given to the head. There is no batch normalisation: what is
    predicted for a window does not depend on the windows beside it.

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
        label_smoothing: float = 0.05,
        mixup: float = 0.2,
        augmentation: Any = None,
        ema: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.2,
        patience: int | str = "auto",
        class_weight: Any = None,
        n_members: int = 1,
        callbacks: list | None = None,
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
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.augmentation = augmentation
        self.ema = ema
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.class_weight = class_weight
        self.n_members = n_members
        self.callbacks = callbacks
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

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
            Weight of each window, 0 or more.
        groups : array-like of shape (n_windows,), str or None, default=None
            Person or recording of each window, or the name of a column that tells it: inner
            validation never has one on both sides.

        Returns
        -------
        CitrusClassifier
            Itself.
        """
        with all_or_nothing(self):
            self._fit(X, y, sample_weight, groups)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        self._check_parameters()
        make = None if self.module is None else resolve_module(self.module)
        if make is None:
            config, weights = starting_point(self.pretrained, self.preset, self.backbone)
        device = resolve_device(self.device)
        y, groups = resolve_labels(X, y), resolve_labels(X, groups, "groups")
        windows = read_windows(self, X, reset=True)
        classes, codes = check_labels(y, len(windows), type(self).__name__)
        labelled = label_windows(
            to_float32(windows), codes, classes,
            sample_weight=sample_weight, class_weight=self.class_weight, groups=groups,
        )  # fmt: skip
        self.classes_ = classes
        self.strategy_ = self._choose_strategy()
        if make is None:
            self._foreign, self._config = None, config
            self._with_kernels = bool(self.random_kernels)  # as fitted, whatever is set later
            self._modality_rows = modality_rows(self.modality, config, windows.n_chans)
        else:
            shape = (windows.n_chans, labelled.X.shape[2], len(classes))
            self._foreign = ForeignModule(make, *shape, windows.sfreq, windows.chs)
            weights = None
        seeds = np.random.SeedSequence(draw_seed(self.random_state)).generate_state(self.n_members)
        recipe = self._recipe(labelled)
        splits = [(int(seed), *self._hold_out(labelled, int(seed))) for seed in seeds]
        n_steps = sum(recipe.n_steps(len(train)) for _, train, _ in splits)
        with self._progress(n_steps) as bar, out_of_memory_hint(self.batch_size):
            self.members_ = [
                self._fit_member(labelled, weights, seed, train, valid, recipe, device, bar)
                for seed, train, valid in splits
            ]
        self.net_ = self.members_[0]

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
        check_is_fitted(self)
        values = to_float32(read_windows(self, X, reset=False))
        with out_of_memory_hint(self.batch_size):
            logs = torch.stack(
                [
                    infer(net.module_, values, torch.device(net.device), self.batch_size)
                    .double()
                    .log_softmax(1)
                    for net in self.members_
                ]
            )
        return (logs.logsumexp(0) - np.log(len(logs))).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Most probable class of each window, shape (n_windows,)."""
        best = self.predict_log_proba(X).argmax(1)
        return self.classes_[best]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Share of windows whose class is predicted; `y` is what it is in ``fit``."""
        return super().score(X, resolve_labels(X, y), sample_weight)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "members_")

    # --- storage ---------------------------------------------------------------------------------

    _network_attributes = ("members_", "net_")
    _foreign: ForeignModule | None = None

    def _pack_networks(self) -> list[tuple]:
        return [(pack(net.module_), _epochs(net)) for net in self.members_]

    def _unpack_networks(self, packed: list[tuple], device: torch.device) -> None:
        self.members_ = [self._rebuild(weights, rows, device) for weights, rows in packed]
        self.net_ = self.members_[0]

    def _rebuild(self, weights: dict, epochs: list[dict], device: torch.device) -> FineTuner:
        if self._foreign is None:
            module = unpack(self._build, weights, device)
        else:
            module = self._foreign.rebuild(weights, device)
        net = make_net(module, len(self.classes_), device)
        for row in epochs:
            net.history.new_epoch()
            for name, value in row.items():
                net.history.record(name, value)
        return net

    # --- training --------------------------------------------------------------------------------

    def _build(self) -> CitrusNetwork:
        kernel_times = self.n_times_ if self._with_kernels else None
        return CitrusNetwork(
            self._config, self.n_chans_, len(self.classes_), self._modality_rows, kernel_times
        )

    def _choose_strategy(self) -> str:
        if self.module is not None:
            return "finetune"
        if self.strategy != "auto":
            return self.strategy
        probe = self.random_kernels and self.augmentation is None
        return "linear-probe" if probe else "probe-then-finetune"

    def _fit_member(
        self,
        labelled: LabelledWindows,
        weights: dict[str, torch.Tensor] | None,
        seed: int,
        train: LabelledWindows,
        valid: LabelledWindows | None,
        recipe: Recipe,
        device: torch.device,
        bar: Any,
    ) -> FineTuner:
        with isolated_seed(seed, device):
            # The head must not have seen what the epochs are chosen by.
            module = self._probed(weights, train, seed, device)
            if self.strategy_ == "linear-probe":
                return make_net(module, labelled.n_classes, device)
            probe_loss = np.inf
            if valid is not None and self.strategy_ == "probe-then-finetune":
                probe_loss = held_out_loss(module, valid, device, self.batch_size)
            net = fine_tune(
                module, train, valid, recipe,
                device=device, augment=prepare_augmentation(self.augmentation, seed),
                callbacks=self.callbacks, bar=bar, verbose=max(0, self.verbose - 1),
            )  # fmt: skip
            if self._foreign is not None:
                settle_batch_norm(net.module_, train, device, self.batch_size)
        if np.isinf(probe_loss) or min(net.history[:, "valid_loss"]) < probe_loss:
            return net
        # Training took more than it gave: the probe predicts, fitted on all windows.
        with isolated_seed(seed, device):
            module = self._probed(weights, labelled, seed, device)
            return make_net(module, labelled.n_classes, device)

    def _probed(
        self,
        weights: dict[str, torch.Tensor] | None,
        labelled: LabelledWindows,
        seed: int,
        device: torch.device,
    ) -> torch.nn.Module:
        """A new network with the head that it starts from."""
        if self._foreign is not None:
            foreign = self._foreign.build_or_refuse()
            foreign.set_statistics(labelled)
            return foreign.to(device)
        module = self._build().to(device)
        if weights is not None:
            module.trunk.load_state_dict(weights)
        self._start_head(module, labelled, seed, device)
        return module

    def _start_head(
        self, module: CitrusNetwork, labelled: LabelledWindows, seed: int, device: torch.device
    ) -> None:
        """Standardise the features on the training windows; give the head the probe's weights."""
        with torch.inference_mode():
            picked = labelled.rows[:_KERNEL_WINDOWS]
            module.fit_kernels(torch.from_numpy(labelled.X[picked]).to(device), seed % 2**31)
        features = infer(
            module, labelled.X, device, self.batch_size, rows=labelled.rows, features=True
        )
        head = module.head
        head.cpu()
        head.set_statistics(features, torch.tensor(labelled.weights))
        if self.strategy_ != "finetune":
            standard = head.standardise(features).numpy()
            if self._with_kernels:
                weight, bias = fit_fused_probe(standard, module.families, labelled)
            else:
                weight, bias = fit_probe(standard, labelled, seed % 2**31)
            with torch.no_grad():
                head.linear.weight.copy_(torch.tensor(weight))
                head.linear.bias.copy_(torch.tensor(bias))
        head.to(device)

    def _hold_out(
        self, labelled: LabelledWindows, seed: int
    ) -> tuple[LabelledWindows, LabelledWindows | None]:
        """Training and validation part; no validation part where it could not be trusted."""
        by_schedule = self.early_stopping == "auto" and self._foreign is not None
        if self.early_stopping is False or by_schedule or self.strategy_ == "linear-probe":
            return labelled, None
        folds = inner_folds(labelled, max(2, round(1 / self.validation_fraction)), seed % 2**31)
        for train, valid in folds:
            counts = np.bincount(labelled.codes[valid], minlength=labelled.n_classes)
            trusted = len(valid) >= _TRUSTED_WINDOWS and counts.min() >= _TRUSTED_PER_CLASS
            if trusted or (self.early_stopping is True and counts.min() > 0):
                return labelled.take(train), labelled.take(valid)
        return labelled, None

    def _recipe(self, labelled: LabelledWindows) -> Recipe:
        max_epochs: Any = self.max_epochs
        if max_epochs == "auto" and self._foreign is not None:
            max_epochs = auto_epochs(len(labelled), self.batch_size)
        elif max_epochs == "auto":
            work = len(labelled) * self.n_chans_ * max(self.n_times_, 128) / 1024
            max_epochs = int(np.clip(round(_EPOCH_BUDGET / work), 6, 40))
        patience: Any = max(3, max_epochs // 4) if self.patience == "auto" else self.patience
        return Recipe(
            max_epochs=max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            # A probe's head multiplies whatever moves below it: the first epochs of a trunk at
            # the full rate undo it. 0.3 had the lowest log loss on training folds of six sets.
            trunk_factor=1.0 if self.strategy_ == "finetune" else 0.3,
            weight_decay=self.weight_decay,
            warmup=0.1,
            label_smoothing=self.label_smoothing,
            mixup=self.mixup,
            ema=self.ema,
            patience=patience,
        )

    def _progress(self, n_steps: int) -> Any:
        if not self.verbose or self.strategy_ == "linear-probe":
            return nullcontext()
        from tqdm.auto import tqdm

        return tqdm(total=n_steps, desc=type(self).__name__, unit="batch")

    def _check_parameters(self) -> None:
        check_choice("strategy", self.strategy, STRATEGIES)
        if not isinstance(self.random_kernels, bool | np.bool_):
            raise TypeError(f"random_kernels={self.random_kernels!r} is unknown; wanted a bool.")
        if self.module is not None and self.strategy not in ("auto", "finetune"):
            raise ValueError(
                f"strategy={self.strategy!r} needs pre-trained features, and module= has none. Use "
                "'auto' or 'finetune'."
            )
        if self.augmentation is not None:
            check_augmentation(self.augmentation)
            if self.strategy == "linear-probe" and self.module is None:
                raise ValueError(
                    "augmentation changes training batches, and strategy='linear-probe' has none. "
                    "Use 'auto', 'finetune' or 'probe-then-finetune'."
                )
        check_number("max_epochs", self.max_epochs, Integral, low=1, alternatives=("auto",))
        # Batch normalisation, which most others have, knows no batch of one.
        fewest = 1 if self.module is None else 2
        check_number("batch_size", self.batch_size, Integral, low=fewest)
        check_number("learning_rate", self.learning_rate, open_low=True)
        check_number("weight_decay", self.weight_decay)
        check_number("label_smoothing", self.label_smoothing, high=0.999)
        check_number("mixup", self.mixup)
        check_number("validation_fraction", self.validation_fraction, high=0.5, open_low=True)
        check_number("patience", self.patience, Integral, low=1, alternatives=("auto",))
        check_number("n_members", self.n_members, Integral, low=1)
        if not isinstance(self.verbose, bool):
            check_number("verbose", self.verbose, Integral)
        if self.early_stopping not in (True, False, "auto"):
            raise ValueError(
                f"early_stopping={self.early_stopping!r} is unknown; wanted True, False or 'auto'."
            )
        check_callbacks(self.callbacks)
        if self.callbacks and self._choose_strategy() == "linear-probe":
            # Fine-tuning instead would let a logger change what it looks at.
            raise ValueError(
                f"callbacks follow a training, and strategy={self.strategy!r} has none here: it "
                "fits a linear probe. Use 'probe-then-finetune' or 'finetune', or callbacks=None."
            )


def _epochs(net: FineTuner) -> list[dict[str, Any]]:
    """The history by epoch; its thousands of batches stay out of a pickle."""
    return [{k: v for k, v in row.items() if k != "batches"} for row in net.history]
