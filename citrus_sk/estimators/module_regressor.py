"""The regressor with a network of another library."""

from __future__ import annotations

from typing import Any

from .module_predictor import ModulePredictor
from .outputs import ValuePredictor


class ModuleRegressor(ModulePredictor, ValuePredictor):
    """Any network as a regressor, trained from scratch.

    A `torch.nn.Module`, such as a model of braindecode, becomes an estimator with the checks, the
    training and the storage of `CitrusRegressor`. Each channel is brought to mean 0 and sd 1 over
    the training windows: published networks expect volts, microvolts or unit variance.

    Parameters
    ----------
    module : class, str or functools.partial, default="ShallowFBCSPNet"
        Class of networks that is built for the windows of each fit: a class of braindecode's
        models or its name, any `torch.nn.Module`, or ``functools.partial(EEGNet, drop_prob=0.25)``
        to pass more arguments. Its constructor is given the number of channels, samples and
        targets, and the ``sfreq`` and ``chs_info`` of `mne.Epochs`, where it takes them.
    max_epochs : int or "auto", default="auto"
        Number of passes over the training windows. ``"auto"`` takes 1500 batches, in 10 to
        100 passes.
    batch_size : int, default=16
        Windows in a training batch. Inference takes four times as many.
    learning_rate : float, default=1e-3
        Peak learning rate of AdamW, reached after the warm-up and followed by a cosine to
        zero.
    weight_decay : float, default=0.05
        Weight decay of AdamW.
    warmup : float, default=0.1
        Share of the training over which the learning rate rises to its peak, in [0, 1].
    mixup : float, default=0.2
        Parameter of the Beta distribution by which pairs of windows are mixed; 0 mixes none.
    augmentation : callable, list of callable or None, default=None
        Applied to each training batch, like the transforms of braindecode: from ``(X, y)`` to the
        same, or to windows and Mixup's ``(y_a, y_b, share)``. `y` has shape ``(n, n_targets)``, in
        units of `target_scale_` from `target_mean_`. Copies are used, whose random numbers come
        from `random_state`.
    ema : float, default=0.1
        Span of the exponential moving average of the weights, as a share of the training, in
        [0, 1]. The averages are kept; 0 keeps the weights of the last step.
    early_stopping : bool or "auto", default="auto"
        Whether windows are held out to choose the epoch. ``"auto"`` holds out none, and the
        schedule runs to its end. True accepts any part, and warns if there is none.
        With `groups`, whole groups are held out.
    validation_fraction : float, default=0.2
        Share of the windows that early stopping holds out, in (0, 0.5], rounded to a twentieth
        where there are enough windows (or groups).
    patience : int or "auto", default="auto"
        Epochs without a lower validation loss before training stops. ``"auto"`` is a quarter of
        `max_epochs`, and at least 3.
    n_estimators : int, default=1
        Number of networks, trained from different seeds, whose predictions are averaged.
    callbacks : list of skorch.callbacks.Callback or None, default=None
        Skorch callbacks that follow or change the training, with or without names, or functions
        that make one. Functions are called and objects copied for each training; `net_` holds
        the copies in ``callbacks_``. An ``LRScheduler`` replaces the schedule above.
    device : str or torch.device, default="auto"
        Device to train and predict on. ``"auto"`` is a CUDA device or Apple's GPU (MPS) if there
        is one, else the CPU.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the kernels and the training. An int gives the same bits on
        every run on one CPU; None draws a new seed each time.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar, 2 also prints skorch's table of epochs.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of shape (n_targets,)
        Mean and sd of `y` in ``fit``, in its own unit; networks work in units of sd.
    n_features_in_ : int
        Size of the second axis of X in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X was a data frame.
    n_chans_, n_times_ : int
        Number of channels and of samples of a window.
    ch_names_ : tuple of str
        Names of the channels, where X was `mne.Epochs` or a data set of braindecode.
    sfreq_ : float
        Sampling rate in Hz, where X was `mne.Epochs` or a data set of braindecode.
    net_ : skorch.NeuralNetRegressor
        The trained net (the first, where there are several), with its ``history``.
    members_ : list of skorch.NeuralNetRegressor
        All trained nets.
    history_ : list of dict
        A row for each epoch of `net_`, with ``train_loss``, and ``valid_loss`` where windows were
        held out.

    See Also
    --------
    CitrusRegressor : The pre-trained conv-transformer.

    Notes
    -----
    After training, the statistics of batch normalisation are computed again from all training
    windows: over the few steps on a small data set, running averages lag behind the weights.

    Foreign code may draw from the global random states. Fits therefore run one at a time in a
    process: they seed the global states, and put them back.

    A pickle holds the parameters and the weights as arrays; the network is rebuilt on `device` when
    it is loaded, which requires trust in the class of `module`.

    Examples
    --------
    >>> import numpy as np
    >>> from citrus_sk import ModuleRegressor
    >>> rng = np.random.default_rng(0)
    >>> y = rng.uniform(0.3, 0.9, 40)
    >>> X = np.sin(np.arange(256) * y[:, None])[:, None]
    >>> reg = ModuleRegressor("ShallowFBCSPNet", max_epochs=2, random_state=0)
    >>> reg.fit(X[::2], y[::2]).predict(X[1::2]).shape
    (20,)
    """

    __module__ = "citrus_sk"  # pickles and trusted types outlive a move of this file

    def __init__(
        self,
        module: Any = "ShallowFBCSPNet",
        *,
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
        device: Any = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
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
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
