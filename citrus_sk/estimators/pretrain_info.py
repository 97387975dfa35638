"""Description of a pre-training run, which a checkpoint stores with the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

# Parameters without an effect on the weights, or only by n_steps or the seed.
_NO_EFFECT = {
    "run_file", "save_minutes", "resume", "device", "verbose", "n_passes", "max_steps",
    "random_state",
}  # fmt: skip
# Fitted attributes that are stored, without their last underscore.
_TRAINING = ("n_steps", "ended_by", "held_out_subjects", "history")


def settings_of(params: SimpleNamespace) -> dict[str, Any]:
    """Parameters on which the weights depend."""
    return {name: value for name, value in vars(params).items() if name not in _NO_EFFECT}


def make_info(params: SimpleNamespace, fitted: Mapping[str, Any]) -> dict[str, Any]:
    """Make the description of a checkpoint, without its configurations.

    Parameters
    ----------
    params : SimpleNamespace
        Parameters of the pre-trainer.
    fitted : mapping of str to Any
        Fitted attributes of the pre-trainer.

    Returns
    -------
    dict of str to Any
        Argument ``info`` of `write_checkpoint`. Its corpus begins with that of the checkpoint in
        which the training started, because the weights are derived from both.
    """
    training = {name: fitted[f"{name}_"] for name in _TRAINING}
    last = training["history"][-1]
    origin = dict(fitted["_origin"] or {})
    earlier = origin.pop("corpus", [])
    start = {"pretrained": origin or None, "seconds": last["seconds"]}
    return {
        "grid": {"n_times": fitted["_network"].n_times, "sfreq": fitted["_grid_sfreq"]},
        "corpus": earlier + [_entry(dataset) for dataset in fitted["corpus_"]],
        "training": settings_of(params) | start | training,
        "metrics": {k: v for k, v in last.items() if "loss" in k or "held_out" in k},
    }


def _entry(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Entry of the corpus for an entry of `Corpus.provenance`."""
    return {
        "name": dataset["name"],
        "licence": dataset["licence"],
        "attribution": dataset["citation"] or dataset["source"],
        "hours": _known(sum(dataset["hours"].values())),
        "hours_by_modality": {k: _known(v) for k, v in dataset["hours"].items()},
        "people": dataset["n_subjects"],
    }


def _known(hours: float) -> float | None:
    """Return None instead of NaN, which means that the sampling rate is unknown."""
    return None if math.isnan(hours) else hours
