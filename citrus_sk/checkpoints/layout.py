"""Names, types and shapes of the tensors in a checkpoint file, compared with those of the model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._utils.validation import first_few
from ..nn import MaskedAutoencoder, NetworkConfig, TaskConfig
from .format import CheckpointError, Header, remedy_of_readers

CODES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def check_header(where: str, header: Header) -> None:
    """Raise CheckpointError unless the tensors in a header are those of the model in it."""
    with remedy_of_readers():
        expected = expected_tensors(where, header.network, header.task)
        check_layout(where, header.layout, expected, getattr(torch, header.info["dtype"]))


def expected_tensors(where: str, network: NetworkConfig, task: TaskConfig) -> dict[str, Tensor]:
    """The expected state dict of a file, on torch's meta device."""
    try:
        with torch.device("meta"):
            return MaskedAutoencoder(network, task).state_dict()
    except Exception as error:  # torch raises many types of errors for invalid sizes
        raise CheckpointError(
            f"{where}: no model can be built from its network and its task: {error}"
        ) from error


def check_layout(
    where: str, layout: dict[str, Any], expected: dict[str, Tensor], dtype: Any
) -> None:
    """Raise CheckpointError unless the names, types and shapes are those of the model."""
    remedy = "Weights and configuration must belong to the same model."
    missing = sorted(set(expected) - set(layout))
    extra = sorted(set(layout) - set(expected))
    if missing or extra:
        found = [f"lacks {first_few(map(repr, missing))}"] if missing else []
        found += [f"has the surplus {first_few(map(repr, extra))}"] if extra else []
        raise CheckpointError(
            f"{where}: expected the {len(expected)} tensors of the model, but it "
            f"{' and '.join(found)}. {remedy}"
        )
    for name, tensor in expected.items():
        code, shape = layout[name]
        if shape != tuple(tensor.shape):
            raise CheckpointError(
                f"{where}: the tensor {name!r} has shape {shape}; expected {tuple(tensor.shape)}. "
                f"{remedy}"
            )
        expected_code = CODES[dtype if tensor.is_floating_point() else tensor.dtype]
        if code != expected_code:
            raise CheckpointError(
                f"{where}: the tensor {name!r} is of type {code}; expected {expected_code}. "
                f"{remedy}"
            )
