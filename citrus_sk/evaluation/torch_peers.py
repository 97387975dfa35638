"""Networks of the comparison that are trained from scratch."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..estimators.module_classifier import ModuleClassifier
from ..nn import NetworkConfig
from ..nn.transformer import PatchTransformer

DEFAULT_SFREQ = 100.0
_CLIP = 10.0  # sd; an artefact in a patch must not dominate the others


def make_network(name: str, sfreq: float | None, random_state: Any) -> ModuleClassifier:
    """Make an unfitted classifier around a network.

    The recipe is fixed: AdamW with a warm-up and a cosine over 1500 batches of 32 windows, no
    augmentation, and no window held out, because small data sets have none to spare.

    Parameters
    ----------
    name : str
        A class of braindecode, ``"BIOT"`` or ``"PatchTransformer"``.
    sfreq : float or None
        Sampling rate in Hz, which sets the frames of BIOT; the others do not use it. None takes
        100 Hz.
    random_state : int, RandomState instance or None
        Seed of the training.
    """
    module: Any = name
    if name == "BIOT":
        module = partial(Biot, sfreq=float(sfreq or DEFAULT_SFREQ))
    elif name == "PatchTransformer":
        module = PatchNetwork
    return ModuleClassifier(
        module, batch_size=32, weight_decay=0.01, label_smoothing=0.0, mixup=0.0, ema=0.0,
        early_stopping=False, random_state=random_state,
    )  # fmt: skip


class Biot(nn.Module):
    """BIOT of braindecode with frames of a second, half overlapped, in whole samples.

    For windows of under a second, braindecode shortens the frames.
    """

    def __init__(self, n_chans: int, n_outputs: int, n_times: int, sfreq: float) -> None:
        super().__init__()
        from braindecode.models import BIOT

        rate = max(2, round(sfreq))
        self.network = BIOT(
            n_chans=n_chans, n_outputs=n_outputs, n_times=n_times, sfreq=rate,
            hop_length=rate // 2,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """``(n_windows, n_chans, n_times)`` to logits ``(n_windows, n_outputs)``."""
        with warnings.catch_warnings():  # its spectra have no taper, which is intended
            warnings.filterwarnings("ignore", message="A window was not provided")
            return self.network(x)


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
