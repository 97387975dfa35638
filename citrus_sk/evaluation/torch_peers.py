"""Networks trained from scratch as estimators: braindecode's, and a transformer on patches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._utils.devices import (
    draw_seed,
    isolated_seed,
    out_of_memory_hint,
    resolve_device,
    usual_modes,
)
from .._utils.validation import all_or_nothing, check_choice, check_number
from ..estimators.base import NetworkEstimator, pack
from ..nn import NetworkConfig
from ..nn.transformer import PatchTransformer
from ..signals.targets import check_labels
from ..signals.windows import channel_statistics, read_windows, to_float32
from ..training.draws import own_draws
from ..training.fine_tuning import Recipe, fine_tune
from ..training.foreign import Doubled, auto_epochs, settle_batch_norm, shortest_window, try_network
from ..training.labelled import label_windows
from ..training.nets import infer, make_net

BRAINDECODE = ("ShallowFBCSPNet", "Deep4Net", "EEGNet", "EEGConformer", "BIOT")
MODELS = (*BRAINDECODE, "PatchTransformer")
DEFAULT_SFREQ = 100.0
_CLIP = 10.0  # sd; an artefact in a patch must not dominate the others


class NetworkPeer(ClassifierMixin, NetworkEstimator):
    """Network trained from scratch.

    Parameters
    ----------
    model : str, default="ShallowFBCSPNet"
        Class of braindecode (ShallowFBCSPNet, Deep4Net, EEGNet, EEGConformer or BIOT), or
        ``"PatchTransformer"``, the transformer of this package on patches of the raw signal.
    sfreq : float or None, default=None
        Sampling rate in Hz, which sets the frames of BIOT and is not used by the others. None
        takes 100 Hz.
    max_epochs : int or "auto", default="auto"
        Passes over the training windows; ``"auto"`` takes 1500 batches, in 10 to 100 passes.
    batch_size : int, default=32
        Windows in a step of the optimiser, at least 2.
    learning_rate : float, default=1e-3
        Highest learning rate of AdamW, after a warm-up over a tenth of the steps. It then falls
        along a cosine.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    device : str or torch.device, default="auto"
        Device to train and predict on; ``"auto"`` takes a GPU if there is one.
    callbacks : list of skorch.callbacks.Callback or None, default=None
        Callbacks of the training.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the order of the windows and dropout.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    net_ : skorch.NeuralNetClassifier
        Trained network, in ``net_.module_``.

    Notes
    -----
    Channels are standardised to mean 0 and sd 1 over the training windows. No window is held out,
    because small data sets have none to spare: the recipe is fixed. After training, the statistics
    of batch normalisation are recomputed from all training windows, because over the few steps on
    a small data set the running averages lag behind the weights, those of EEGNet by hundreds of
    steps.

    Deep4Net shortens its kernels for windows of under 441 samples, BIOT its frames for those of
    under a second, without a warning.

    A pickle holds the parameters and the weights as arrays, without the optimiser.
    """

    _network_attributes = ("net_",)

    def __init__(
        self,
        model: str = "ShallowFBCSPNet",
        *,
        sfreq: float | None = None,
        max_epochs: int | str = "auto",
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        device: Any = "auto",
        callbacks: list[Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.sfreq = sfreq
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.callbacks = callbacks
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> NetworkPeer:
        """Train on windows of shape (n_windows, n_chans, n_times) with labels (n_windows,).

        Raises
        ------
        ValueError
            If the windows are too short for the model, or `X` or `y` is not valid.
        """
        with all_or_nothing(self), _biot_muted():
            self._fit(X, y)
        return self

    def _fit(self, X: Any, y: Any) -> None:
        self._check_parameters()
        device = resolve_device(self.device)
        windows = read_windows(self, X, reset=True)
        self.classes_, codes = check_labels(y, len(windows), type(self).__name__)
        values = to_float32(windows)
        self._mean, self._scale = channel_statistics(values)
        train = label_windows(self._standard(values), codes, self.classes_)
        self._built_as = (self.model, float(self.sfreq or DEFAULT_SFREQ))
        with (
            usual_modes(),
            own_draws(draw_seed(self.random_state), device, shared=True) as draws,
            out_of_memory_hint(self.batch_size),
        ):
            module = self._build_or_refuse().to(device)
            recipe = self._recipe(len(train))
            self.net_ = fine_tune(
                module,
                train,
                None,
                recipe,
                device=device,
                draws=draws,
                callbacks=self.callbacks,
            )
            settle_batch_norm(module, train, device, self.batch_size)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities, (n_windows, n_classes), in the order of ``classes_``."""
        check_is_fitted(self)
        values = to_float32(read_windows(self, X, reset=False))
        standard = self._standard(values)
        with usual_modes(), _biot_muted(), out_of_memory_hint(self.batch_size):
            device = torch.device(self.net_.device)
            logits = infer(self.net_.module_, standard, device, self.batch_size)
        return logits.double().softmax(1).numpy()

    def _standard(self, values: np.ndarray) -> np.ndarray:
        return (values - self._mean) / self._scale

    def predict(self, X: Any) -> np.ndarray:
        """Predict the most probable class of each window, of shape (n_windows,)."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    # --- the network -----------------------------------------------------------------------------

    def _build(self, n_times: int | None = None) -> nn.Module:
        name, sfreq = self._built_as
        n_times = self.n_times_ if n_times is None else n_times
        sizes = {"n_chans": self.n_chans_, "n_outputs": len(self.classes_), "n_times": n_times}
        if name == "PatchTransformer":
            return PatchNetwork(**sizes)
        # Constructors of braindecode warn of their own defaults, and of short windows.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from braindecode import models

            settings: dict[str, Any] = {**sizes, "sfreq": sfreq}
            if name == "BIOT":  # frames of a second, half overlapped, in whole samples
                rate = max(2, round(sfreq))
                settings |= {"sfreq": rate, "hop_length": rate // 2}
            if name in ("ShallowFBCSPNet", "Deep4Net") and self.n_chans_ == 1:
                # Their first layer drops the channel axis if there is a single channel.
                return Doubled(getattr(models, name)(**(settings | {"n_chans": 2})))
            return getattr(models, name)(**settings)

    def _build_or_refuse(self) -> nn.Module:
        """Build a network for windows of this length, or raise ValueError."""
        sizes = (self.n_chans_, self.n_times_, len(self.classes_))
        try:
            return try_network(self._build, *sizes)
        except Exception as error:
            shortest = shortest_window(self._build, *sizes)
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            if shortest:
                reason = f"expected windows of at least {shortest} samples"
            raise ValueError(
                f"{self.model} cannot be built for windows of {self.n_times_} samples and "
                f"{self.n_chans_} channel(s): {reason}. Cut longer windows, or leave it out of the "
                "comparison."
            ) from error

    def _pack_networks(self) -> dict[str, np.ndarray]:
        return pack(self.net_.module_)

    def _unpack_networks(self, packed: dict[str, np.ndarray], device: torch.device) -> None:
        # Not on the meta device: braindecode runs its networks while it builds them.
        with isolated_seed(0, torch.device("cpu")):
            module = self._build()
        module.load_state_dict({name: torch.tensor(value) for name, value in packed.items()})
        self.net_ = make_net(module.to(device).eval(), len(self.classes_), device)

    # --- training --------------------------------------------------------------------------------

    def _recipe(self, n_windows: int) -> Recipe:
        epochs: Any = self.max_epochs
        if epochs == "auto":
            epochs = auto_epochs(n_windows, self.batch_size)
        return Recipe(
            max_epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            trunk_factor=1.0,
            weight_decay=self.weight_decay,
            warmup=0.1,
            mixup=0.0,
            ema=0.0,
            patience=1,
        )

    def _check_parameters(self) -> None:
        check_choice("model", self.model, MODELS)
        check_number("sfreq", self.sfreq, open_low=True, unit="Hz", alternatives=(None,))
        check_number("max_epochs", self.max_epochs, Integral, low=1, alternatives=("auto",))
        check_number("batch_size", self.batch_size, Integral, low=2)
        check_number("learning_rate", self.learning_rate, open_low=True)
        check_number("weight_decay", self.weight_decay)


class PatchNetwork(nn.Module):
    """PatchTST for classification: patches of 16 samples of each channel, with averaged tokens.

    Windows are not normalised one by one, as they are for forecasting, because offset and
    amplitude distinguish the classes of many signals.

    References
    ----------
    Nie, Y. et al. (2023). A Time Series is Worth 64 Words: Long-term Forecasting with
    Transformers. ICLR.
    """

    def __init__(self, n_chans: int, n_outputs: int, n_times: int) -> None:
        super().__init__()
        config = NetworkConfig(
            # The configuration counts samples before a stem of stride 2, which is missing here.
            n_times=2 * n_times, widths=(1,), kernels=(1,), strides=(1,), patch=16,
            dim=64, depth=3, heads=4, feedforward=128, dropout=0.2,
        )  # fmt: skip
        self.transformer = PatchTransformer(config)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(n_chans * config.dim, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``(n_windows, n_chans, n_times)`` to logits ``(n_windows, n_outputs)``."""
        tokens = self.transformer(x.clamp(-_CLIP, _CLIP).flatten(0, 1)[:, None])
        return self.head(self.dropout(tokens.mean(1).reshape(len(x), -1)))


@contextmanager
def _biot_muted() -> Iterator[None]:
    """Hide the warning that BIOT computes spectra without a taper, which is intended."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A window was not provided")
        yield
