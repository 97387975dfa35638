"""The network as a braindecode model, and labels from braindecode data sets.

Importing this module imports braindecode.
"""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ._utils.optional import explained_braindecode
from ._utils.validation import check_choice, check_number
from .checkpoints import hub
from .checkpoints.registry import load_checkpoint, trunk_state
from .estimators.base import modality_rows
from .nn import PRESETS, CitrusNetwork, NetworkConfig
from .nn.encoder import ConvEncoder, ResidualBlock
from .nn.heads import TrackingHead
from .nn.resample import Align
from .signals.containers import labels_of
from .signals.resampling import GRID_N_TIMES, operator_stages

with warnings.catch_warnings(), explained_braindecode():
    warnings.simplefilter("ignore")  # from the imports of braindecode, which users cannot fix
    from braindecode.models.base import EEGModuleMixin

__all__ = ["CitrusModel", "labels_of"]


class CitrusModel(EEGModuleMixin, nn.Module):
    """Residual convolution and channel-independent transformer, as a braindecode model.

    Parameters
    ----------
    n_outputs, n_chans, chs_info, n_times, input_window_seconds, sfreq
        Signal parameters of all braindecode models. Required are n_outputs, and n_chans or
        chs_info.
    preset : {"tiny", "small", "base"} or dict, default="small"
        Size of the network, or the fields of its configuration as a dict.
    backbone : {"hybrid", "conv"}, default="hybrid"
        Convolution and transformer, or the convolution alone.
    modality : str, list of str or None, default=None
        Kind of signal of all channels, such as ``"EEG"``, or of each channel. It must be one of
        those that the weights were trained on; None stands for any other kind.
    resample_to : int or None, default=1024
        Number of samples that windows are resampled to, as by `citrus_sk.SignalAligner`, if their
        length is known when the model is built. The pre-trained weights were trained on 1024
        samples. None does not resample.
    drop_prob : float, default=0.1
        Dropout in the transformer during training.
    activation : type of nn.Module, default=nn.GELU
        Activation of all layers. The pre-trained weights were trained with GELU.

    See Also
    --------
    citrus_sk.CitrusClassifier : The whole estimator, with the probe and the random kernels.

    Notes
    -----
    Windows may have any length of 2 samples or more: windows of fewer than 32 samples are
    interpolated to 32, and so are the positions of tokens. With `resample_to`, the length is the
    one that the model was built for.

    The model standardises each channel of a window, so volts and microvolts give the same features
    but for those of amplitude. The final layer standardises its features by statistics that follow
    the training batches. They are used in training and in evaluation alike, so the output for a
    window does not depend on the others of its batch.

    The model can be compiled with `torch.compile` and exported with `torch.export`, but not
    scripted. It does not have the random kernels of `CitrusClassifier`, which are fitted rather
    than trained.

    Examples
    --------
    >>> import torch
    >>> from citrus_sk.braindecode import CitrusModel
    >>> model = CitrusModel(n_outputs=2, n_chans=3, n_times=500, preset="tiny").eval()
    >>> model(torch.zeros(4, 3, 500)).shape
    torch.Size([4, 2])
    """

    alignment: Align | None
    network: CitrusNetwork
    final_layer: TrackingHead

    def __init__(
        self,
        n_outputs: int | None = None,
        n_chans: int | None = None,
        chs_info: list[dict[str, Any]] | None = None,
        n_times: int | None = None,
        input_window_seconds: float | None = None,
        sfreq: float | None = None,
        preset: str | dict[str, Any] = "small",
        backbone: str = "hybrid",
        modality: str | list[str] | None = None,
        resample_to: int | None = GRID_N_TIMES,
        drop_prob: float = 0.1,
        activation: type[nn.Module] = nn.GELU,
    ) -> None:
        super().__init__(
            n_outputs=n_outputs,
            n_chans=n_chans,
            chs_info=chs_info,
            n_times=n_times,
            input_window_seconds=input_window_seconds,
            sfreq=sfreq,
        )
        check_choice("backbone", backbone, ("hybrid", "conv"))
        check_number("drop_prob", drop_prob, high=0.999)
        check_number("resample_to", resample_to, int, low=2, alternatives=(None,))
        config = replace(_config(preset), backbone=backbone, dropout=drop_prob)
        signal: Any = self  # braindecode infers missing signal parameters from the others
        try:
            n_in = signal.n_times
        except ValueError:  # raised by braindecode if it cannot be inferred
            n_in = None
        self.alignment = None
        if resample_to is not None and n_in not in (None, resample_to):
            stages = operator_stages(n_in, resample_to, n_in / resample_to)
            self.alignment = Align(n_in, resample_to, [operator for operator, _ in stages])
        rows = modality_rows(modality, config, signal.n_chans)
        self.network = CitrusNetwork(config, signal.n_chans, 1, rows)
        self.network.head = nn.Identity()  # type: ignore[assignment]
        _activate(self.network, activation)
        self.final_layer = TrackingHead(self.network.readout.views, signal.n_outputs)
        self.to(torch.get_default_dtype())  # like any other torch module

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor | dict[str, Any]:
        """Compute the logits of each window.

        Parameters
        ----------
        x : Tensor of shape (n_windows, n_chans, n_times)
            Windows in physical units.
        return_features : bool, default=False
            Whether to return ``{"features": Tensor of shape (n_windows, n_features), "cls_token":
            None}`` instead of the logits.

        Returns
        -------
        Tensor of shape (n_windows, n_outputs), or dict
            Logits, or features.
        """
        if self.alignment is not None:
            if x.shape[-1] != self.alignment.n_in:
                raise ValueError(
                    f"x has windows of {x.shape[-1]} samples, and the model was built for "
                    f"{self.alignment.n_in}. Build it with their n_times, or with "
                    "resample_to=None, which accepts any length."
                )
            x = self.alignment(x)
        features = self.network.features(x)
        if return_features:
            return {"features": features, "cls_token": None}
        return self.final_layer(features)

    def reset_head(self, n_outputs: int) -> None:
        """Replace the final layer by a new one with weights of zero.

        Parameters
        ----------
        n_outputs : int
            Number of outputs of the new layer, which keeps the statistics of the features.
        """
        check_number("n_outputs", n_outputs, int, low=1)
        old = self.final_layer
        head = TrackingHead(old.views, n_outputs).to(old.linear.weight)
        for name, value in old.named_buffers():
            getattr(head, name).copy_(value)
        self.final_layer = head
        self._n_outputs = n_outputs
        # braindecode rebuilds the model from these arguments, so they must fit the new head.
        for name in ("_braindecode_init_kwargs", "_hub_mixin_config"):
            config: Any = getattr(self, name, {})
            config["n_outputs"] = n_outputs

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = "eeg-freq",
        *,
        revision: str | None = None,
        **settings: Any,
    ) -> CitrusModel:
        """Make a model with the weights of a checkpoint and a new final layer.

        Parameters
        ----------
        name_or_path : str or os.PathLike, default="eeg-freq"
            Shipped name, file, folder or repository on Hugging Face, as for ``pretrained=`` of the
            estimators. A folder or repository that ``save_pretrained`` or ``push_to_hub`` of this
            class wrote also contains the final layer and all parameters.
        revision : str or None, default=None
            Branch, tag or commit of a repository.
        **settings
            Parameters of the class. For a checkpoint, n_outputs and n_chans (or chs_info) are
            required.

        Returns
        -------
        CitrusModel
            The model, in training mode.

        Raises
        ------
        ValueError
            If the checkpoint is unknown, or if its weights are not exactly those of the model.
        """
        source: Any = name_or_path
        if isinstance(source, str) and hub.is_repository(source) and not Path(source).exists():
            source = hub.fetch(source, revision)
            revision = None
        if (config := _braindecode_config(source)) is not None:
            return cls._from_folder(Path(source), config, settings)
        if "preset" in settings:
            raise ValueError("preset is part of the checkpoint; leave it out.")
        checkpoint = load_checkpoint(source, revision=revision)
        sizes = asdict(checkpoint.network)
        settings = {"backbone": sizes.pop("backbone"), "drop_prob": sizes["dropout"], **settings}
        model = cls(preset=sizes, **settings)
        weights = trunk_state(checkpoint, settings["backbone"])
        model.network.trunk.load_state_dict(weights, strict=True)
        return model

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CitrusModel:
        """Make a model with random weights from a dict that ``get_config`` returned.

        Parameters
        ----------
        config : dict
            Parameters of the class. A name of an activation must be that of a class of torch.nn,
            because any other name could run code of its module.

        Returns
        -------
        CitrusModel

        Raises
        ------
        ValueError
            If the activation is not a class of torch.nn.
        """
        config = {k: v for k, v in config.items() if k != "braindecode_version"}
        if isinstance(config.get("activation"), str):
            config["activation"] = _activation(config["activation"])
        return cls(**config)

    @classmethod
    def _from_folder(
        cls, folder: Path, config: dict[str, Any], settings: dict[str, Any]
    ) -> CitrusModel:
        """Make the model of a folder that ``save_pretrained`` wrote.

        braindecode's own method imports and calls whatever class the configuration names.
        """
        n_outputs = settings.get("n_outputs")
        model = cls.from_config(config | settings | {"n_outputs": config.get("n_outputs")})
        try:
            safetensors.torch.load_model(model, folder / hub.WEIGHTS, strict=True)
        except (OSError, RuntimeError, safetensors.SafetensorError) as error:
            raise ValueError(
                f"{folder / hub.WEIGHTS} does not hold the weights of the model in {hub.CONFIG}: "
                f"{error}. Download or save the folder again."
            ) from error
        if n_outputs not in (None, model.n_outputs):
            model.reset_head(n_outputs)
        return model


def _config(preset: str | dict[str, Any]) -> NetworkConfig:
    if isinstance(preset, dict):
        return NetworkConfig(**preset)
    check_choice("preset", preset, tuple(PRESETS))
    return PRESETS[preset]


def _activate(network: nn.Module, activation: type[nn.Module]) -> None:
    """Replace GELU by another activation."""
    if activation is nn.GELU:
        return
    if not (isinstance(activation, type) and issubclass(activation, nn.Module)):
        raise TypeError(
            f"activation={activation!r}; expected a class of modules, such as torch.nn.ELU."
        )
    for part in network.modules():
        if isinstance(part, ConvEncoder | ResidualBlock):
            part.activation = activation()
        elif isinstance(part, nn.TransformerEncoderLayer):
            part.activation = activation()
            part.activation_relu_or_gelu = 0  # torch's fast path only supports these two


def _activation(name: str) -> type[nn.Module]:
    """Class of torch.nn with a dotted name, as braindecode writes it, without an import."""
    found = getattr(nn, name.rpartition(".")[2], None)
    if not (name.startswith("torch.nn.") and isinstance(found, type) and found is not nn.Module):
        raise ValueError(
            f"activation={name!r} in the configuration; expected a class of torch.nn. No other "
            "class is imported, because that runs its code: pass activation=, the class itself, "
            "if you know it."
        )
    return found


def _braindecode_config(source: Any) -> dict[str, Any] | None:
    """Configuration in a folder that braindecode wrote, or None for anything else."""
    path = Path(source) / hub.CONFIG if isinstance(source, str | os.PathLike) else None
    if path is None or not path.is_file():
        return None
    try:
        config = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError, RecursionError):
        return None
    return config if isinstance(config, dict) and "braindecode_version" in config else None
