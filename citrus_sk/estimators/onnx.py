"""Export of fitted estimators as ONNX graphs, for runtimes without Python and torch."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._utils.devices import isolated_seed, usual_modes
from .._utils.files import write_atomically
from .._utils.optional import require
from .._utils.version import __version__
from ..nn.resample import Align
from ..signals.aligner import SignalAligner
from ..signals.offsets import offset_of
from ..signals.resampling import operator_stages
from .base import NetworkEstimator

# The lowest that torch can export, and the highest that onnxruntime 1.32 reads from torch 2.14.
_LOWEST_OPSET, _HIGHEST_OPSET = 18, 25
_NEEDED = ("onnx", "onnxscript")
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
# Largest difference between onnxruntime and torch on windows of noise.
_TOLERANCE = 1e-3


def to_onnx(
    estimator: Any, path: str | os.PathLike[str], *, opset_version: int = _LOWEST_OPSET
) -> str:
    """Write a fitted estimator as an ONNX file.

    The graph contains all steps of a prediction: alignment, normalisation, networks, random
    kernels, the average over members, and the probabilities. It runs in onnxruntime, without
    Python, torch or this package. It cannot be fitted, or converted back to an estimator. If
    onnxruntime is installed, its output is compared with that of the estimator before the file is
    written.

    Parameters
    ----------
    estimator : CitrusClassifier, CitrusRegressor, CitrusEmbedder or Pipeline
        Fitted estimator, or Pipeline of `SignalAligner` and one of these.
    path : str or os.PathLike
        Path of the file, usually with the extension ``.onnx``. It is written atomically.
    opset_version : int, default=18
        Version of ONNX's operators, from 18 to 25. Most runtimes support the lowest one.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    ModuleNotFoundError
        If onnx or onnxscript is not installed: ``pip install "citrus-sk[onnx]"``.
    NotFittedError
        If `estimator` is not fitted.
    TypeError
        If `estimator` has another type, or if a step of the Pipeline cannot be exported.
    ValueError
        If `opset_version` is out of range, if the estimator was fitted on windows of unequal
        lengths, or if a network of another library cannot be exported.
    RuntimeError
        If the output of onnxruntime differs from that of the estimator.

    Notes
    -----
    The input ``X`` is float32 of shape (n_windows, n_channels, n_times), or (n_windows, n_times)
    if the estimator was fitted on such windows, with any number of windows. It is not checked: if
    it contains NaN, the output is NaN. The output is ``probabilities`` of shape (n_windows,
    n_classes), ``predictions`` with the shape of the result of ``predict``, or ``features`` of
    shape (n_windows, n_features).

    The metadata of the file are ``classes`` (JSON, in the order of the columns), ``n_chans``,
    ``n_times``, ``sfreq`` (Hz) and ``ch_names`` (JSON), if they are known, ``estimator`` and
    ``citrus_sk_version``.

    The matrix logarithm, longest runs and spectra, for which ONNX has no operators, are computed by
    products and sums. Differences are due to float32 rounding, and well below 1e-4 in a
    probability.

    Examples
    --------
    >>> import onnxruntime  # doctest: +SKIP
    >>> from citrus_sk import to_onnx
    >>> to_onnx(pipe, "model.onnx")  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("model.onnx")  # doctest: +SKIP
    >>> (probabilities,) = session.run(None, {"X": X.astype("float32")})  # doctest: +SKIP
    """
    path = Path(path)
    for package in _NEEDED:
        require(package, "to_onnx", install="citrus-sk[onnx]")
    _check_opset(opset_version)
    steps = _steps(estimator)
    data = _export(_Graph(steps), _description(steps), opset_version, steps[-1])
    if find_spec("onnxruntime") is not None:
        _check_outputs(data, estimator, steps[0], steps[-1])
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


# --- the graph -----------------------------------------------------------------------------------


def _steps(estimator: Any) -> list[Any]:
    """Fitted steps: aligners, and an estimator with networks as the last one."""
    is_pipeline = isinstance(estimator, Pipeline)
    steps = [step for _, step in estimator.steps] if is_pipeline else [estimator]
    steps = [step for step in steps if step not in (None, "passthrough")]
    expected = "expected a fitted CitrusClassifier, CitrusRegressor or CitrusEmbedder"
    last = steps[-1] if steps else None
    if not isinstance(last, NetworkEstimator) or _outputs(last) is None:
        found = "estimator is a Pipeline that ends in" if is_pipeline else "estimator is"
        remedy = ""
        networks = [i for i, step in enumerate(steps) if isinstance(step, NetworkEstimator)]
        if is_pipeline and networks:
            part = f"pipe[:{networks[0] + 1}]"
            remedy = f" Export the steps up to the network, {part}, and convert the others alone."
        elif hasattr(estimator, "best_estimator_"):
            remedy = " Pass its best_estimator_."
        raise TypeError(
            f"{found} a {type(last).__name__}; {expected}, or a Pipeline of "
            f"SignalAligner and one of them.{remedy}"
        )
    for step in steps[:-1]:
        if not isinstance(step, SignalAligner):
            raise TypeError(
                f"estimator contains a {type(step).__name__}, which cannot be exported; expected "
                "only SignalAligner before the network. Export the last step, pipe[-1], and apply "
                "the others before the graph."
            )
    for step in steps:
        check_is_fitted(step)
    if getattr(last, "_ignored_chans", ()):
        raise ValueError(
            "estimator ignores channels, and a graph does not check what they hold. Export the "
            "estimator that without_channels was called on."
        )
    if steps[0].n_times_ is None:
        raise ValueError(
            "estimator was fitted on windows of unequal lengths, and a graph needs a single one. "
            "Export the last step, pipe[-1], and align windows before the graph, or fit on windows "
            "of one length."
        )
    return steps


def _outputs(estimator: Any) -> str | None:
    """Name of the output of the graph of an estimator; None if it cannot be exported."""
    if is_classifier(estimator):
        return "probabilities"
    if is_regressor(estimator):
        return "predictions"
    return "features" if estimator._network_attributes == ("module_",) else None


class _Graph(nn.Module):
    """Module that computes the predictions or the features of an estimator from windows."""

    mean: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(self, steps: list[Any]) -> None:
        super().__init__()
        self.is_2d, last = bool(steps[0]._fitted_on_2d), steps[-1]
        offset = offset_of(steps[0])
        self.has_offset = offset is not None
        if offset is not None:
            self.register_buffer("offset", torch.tensor(offset))
        self.alignment = nn.Sequential(*(alignment_layer(step) for step in steps[:-1]))
        self.kind = _outputs(last)
        if self.kind == "features":
            modules = [last.module_]
        else:
            modules = [net.module_ for net in last.members_]
        self.members = nn.ModuleList(copy.deepcopy(module).cpu().eval() for module in modules)
        if self.kind == "predictions":
            self.is_1d = last._is_1d
            self.register_buffer("mean", torch.tensor(last.target_mean_, dtype=torch.float32))
            self.register_buffer("scale", torch.tensor(last.target_scale_, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None] if self.is_2d else x
        if self.has_offset:
            x = (x.double() - self.offset).float()
        x = self.alignment(x)
        if self.kind == "features":
            return cast(Any, self.members[0]).features(x)
        outputs = [member(x) for member in self.members]
        if self.kind == "probabilities":
            return torch.stack([logits.softmax(1) for logits in outputs]).mean(0)
        values = torch.stack(outputs).mean(0) * self.scale + self.mean
        return values[:, 0] if self.is_1d else values


def _description(steps: list[Any]) -> dict[str, str]:
    first, last = steps[0], steps[-1]
    rates = (getattr(step, "sfreq_", None) for step in steps)
    known = {
        "estimator": type(last).__name__,
        "citrus_sk_version": __version__,
        "n_chans": first.n_chans_,
        "n_times": first.n_times_,
        "sfreq": next((rate for rate in rates if rate is not None), None),
        "ch_names": getattr(first, "ch_names_", None),
        "classes": last.classes_.tolist() if is_classifier(last) else None,
    }
    return {
        name: value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in known.items()
        if value is not None
    }


# --- the export ----------------------------------------------------------------------------------


def _export(
    graph: _Graph, description: dict[str, str], opset_version: int, estimator: Any
) -> bytes:
    shape = [2, int(description["n_chans"]), int(description["n_times"])]
    example = torch.zeros(shape[:1] + shape[2:] if graph.is_2d else shape, dtype=torch.float32)
    with usual_modes(), _quiet(), isolated_seed(0, torch.device("cpu")), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                graph, (example,), dynamo=True, verbose=False, opset_version=opset_version,
                input_names=["X"], output_names=[str(graph.kind)],
                dynamic_shapes=({0: torch.export.Dim("n_windows")},),
            )  # fmt: skip
            model = program.model_proto
        except Exception as error:
            foreign = getattr(estimator, "_foreign", None)
            if foreign is None:
                raise
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            raise ValueError(
                f"module={foreign.name} cannot be exported by torch with a variable number of "
                f"windows ({reason}). Use another class, or share the estimator with skops."
            ) from error
    # The exporter stores its call stack, with paths of this machine, in every node.
    for part in (model, model.graph, *model.functions):
        _forget(part)
    for name, value in description.items():
        model.metadata_props.add(key=name, value=value)
    model.producer_name, model.producer_version = "citrus_sk", __version__
    return model.SerializeToString()


def _forget(part: Any) -> None:
    """Clear the metadata of a model, a graph, its nodes and values."""
    for holder in (part, *getattr(part, "node", ())):
        holder.ClearField("metadata_props")
        holder.ClearField("doc_string")
    for values in ("input", "output", "value_info", "initializer"):
        for value in getattr(part, values, ()):
            if hasattr(value, "metadata_props"):
                value.ClearField("metadata_props")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings and loggers of the exporter in the block."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# --- checks --------------------------------------------------------------------------------------


def _check_opset(opset_version: Any) -> None:
    from onnx.defs import onnx_opset_version

    highest = min(_HIGHEST_OPSET, onnx_opset_version())
    if isinstance(opset_version, bool) or not isinstance(opset_version, int | np.integer):
        raise TypeError(
            f"opset_version={opset_version!r} is a {type(opset_version).__name__}; expected an "
            f"integer from {_LOWEST_OPSET} to {highest}."
        )
    if opset_version < _LOWEST_OPSET:
        raise ValueError(
            f"opset_version={opset_version} is too low; expected {_LOWEST_OPSET} to {highest}. "
            f"Update a runtime that does not support {_LOWEST_OPSET}: torch cannot export maxima, "
            "minima and padding for older ones."
        )
    if opset_version > highest:
        raise ValueError(
            f"opset_version={opset_version} is too high; expected {_LOWEST_OPSET} to {highest}, "
            "which every newer runtime supports as well."
        )


def _check_outputs(data: bytes, estimator: Any, first: Any, last: Any) -> None:
    """Raise RuntimeError if onnxruntime and the estimator differ on windows of noise."""
    import onnxruntime

    shape = (3, first.n_times_) if first._fitted_on_2d else (3, first.n_chans_, first.n_times_)
    X = np.random.default_rng(0).standard_normal(shape, np.float32)
    if (offset := offset_of(first)) is not None:
        X += offset[:, 0] if first._fitted_on_2d else offset
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"X": X})
    method = {"probabilities": "predict_proba", "predictions": "predict", "features": "transform"}
    expected = np.asarray(getattr(estimator, method[str(_outputs(last))])(X))
    unit = getattr(last, "target_scale_", np.maximum(1, np.abs(expected)))
    error = (np.abs(found - expected) / unit).max()
    if not error <= _TOLERANCE:
        raise RuntimeError(
            f"onnxruntime {onnxruntime.__version__} and the estimator differ by {error:.2g} on "
            f"windows of noise; expected at most {_TOLERANCE:g}. The file was not written. Try "
            "another version of torch, onnxscript or onnxruntime."
        )


def alignment_layer(aligner: SignalAligner) -> nn.Module:
    """Convert a fitted aligner to a layer for windows of the length in ``fit``."""
    assert aligner.n_times_ is not None
    alignment = aligner.alignment(aligner.n_times_)
    first, n_inner = alignment.inner
    stages = []
    if alignment.step != 1:
        stages = operator_stages(aligner.n_times_, n_inner, alignment.step, first)
    return Align(
        aligner.n_times_, alignment.n_out, [operator for operator, _ in stages],
        first=alignment.first, fill_mean=alignment.fill == "mean",
    )  # fmt: skip
