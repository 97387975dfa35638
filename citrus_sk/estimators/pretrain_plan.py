"""What the parameters of a pre-trainer come to: recipe, sampling, file, provenance."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._utils.devices import draw_seed
from .._utils.validation import check_choice, check_number, check_pair
from ..nn import PRESETS, NetworkConfig, TaskConfig
from ..training.pretraining.processes import distributed_part, same_everywhere
from ..training.pretraining.run import PretrainRecipe
from ..training.pretraining.run_file import RunFile, saved_seed
from ..training.pretraining.sampler import CropSampler, Sampling

if TYPE_CHECKING:
    from ..signals.recordings.reading import Corpus
    from .pretrainer import CitrusPretrainer

OBJECTIVES = ("time", "freq", "both")
_SIMULTANEOUS = 4  # channels of a recording that are drawn together for cross-channel attention
# Parameters that do not change the weights, or that only say how n_steps or the seed are found.
_NO_MATTER = {
    "checkpoint", "checkpoint_minutes", "resume", "device", "verbose", "n_passes", "max_steps",
    "random_state",
}  # fmt: skip


def check_parameters(pretrainer: CitrusPretrainer) -> None:
    """Raise TypeError or ValueError where a constructor parameter is none that works."""
    check_choice("objective", pretrainer.objective, OBJECTIVES)
    check_choice("preset", pretrainer.preset, tuple(PRESETS))
    check_choice("masking", pretrainer.masking, ("latent", "input"))
    check_choice("precision", pretrainer.precision, ("auto", "float32", "bfloat16"))
    for name in ("flip", "cross_channel", "compile", "resume"):
        if not isinstance(getattr(pretrainer, name), bool | np.bool_):
            raise TypeError(f"{name}={getattr(pretrainer, name)!r}; expected True or False.")
    _check_modalities(pretrainer.modalities)
    if not isinstance(pretrainer.checkpoint, str | os.PathLike | None):
        raise TypeError(f"checkpoint={pretrainer.checkpoint!r} is not a path.")
    check_number("verbose", pretrainer.verbose, Integral)
    check_number("n_passes", pretrainer.n_passes, open_low=True)
    check_number("max_steps", pretrainer.max_steps, Integral, low=1, alternatives=(None,))
    check_number("batch_size", pretrainer.batch_size, Integral, low=1)
    check_number("learning_rate", pretrainer.learning_rate, open_low=True)
    check_number("weight_decay", pretrainer.weight_decay)
    for name in ("warmup", "ema", "unknown"):
        check_number(name, getattr(pretrainer, name), high=1.0)
    check_number("mask_ratio", pretrainer.mask_ratio, high=0.95, open_low=True)
    check_number("held_out", pretrainer.held_out, high=0.5)
    check_number("checkpoint_minutes", pretrainer.checkpoint_minutes)
    check_number("frame", pretrainer.frame, Integral, low=4, high=1024)
    if pretrainer.frame % 2:
        raise ValueError(f"frame={pretrainer.frame} is odd; expected an even number of samples.")
    # Beyond, the sampler's two-point mean would alias.
    check_pair("crop", pretrainer.crop, open_low=True, high=2.0)
    check_pair("run_length", pretrainer.run_length, Integral, low=1)
    if pretrainer.resume and pretrainer.checkpoint is None:
        raise ValueError("resume=True needs checkpoint=, the file of the run to go on with.")
    n_parts, n_groups = distributed_part()[1], -(-pretrainer.batch_size // simultaneous(pretrainer))
    if n_parts > n_groups:
        raise ValueError(
            f"batch_size={pretrainer.batch_size} leaves nothing to some of the {n_parts} "
            f"processes; expected at least {n_parts * simultaneous(pretrainer)}."
        )


def _check_modalities(modalities: Any) -> None:
    if modalities is None:
        return
    listed = [modalities] if isinstance(modalities, str) else modalities
    if not isinstance(listed, Sequence) or not all(isinstance(each, str) for each in listed):
        raise TypeError(
            f"modalities={modalities!r}; expected names such as ['EEG', 'ECG'], or None."
        )
    if not listed:
        raise ValueError("modalities=[] leaves nothing to train on; None stands for all.")


def simultaneous(pretrainer: CitrusPretrainer) -> int:
    """Channels of a recording that are drawn together."""
    return _SIMULTANEOUS if pretrainer.cross_channel else 1


def make_sampler(
    pretrainer: CitrusPretrainer, corpus: Corpus, seed: int, device: torch.device
) -> CropSampler:
    """Draw windows as the parameters say."""
    sampling = Sampling(
        pretrainer._network.n_times,
        pretrainer._network.n_tokens,
        pretrainer.batch_size,
        (pretrainer.crop[0], pretrainer.crop[1]),
        pretrainer.flip,
        pretrainer.mask_ratio,
        (pretrainer.run_length[0], pretrainer.run_length[1]),
        pretrainer.unknown,
        simultaneous(pretrainer),
    )
    return CropSampler(corpus, pretrainer.modalities_, sampling, seed, device)


def task_config(pretrainer: CitrusPretrainer) -> TaskConfig:
    """What is hidden and predicted."""
    return TaskConfig(
        pretrainer.objective,
        pretrainer.masking,
        pretrainer.mask_ratio,
        (pretrainer.run_length[0], pretrainer.run_length[1]),
        pretrainer.frame,
        pretrainer.cross_channel,
    )


def count_steps(pretrainer: CitrusPretrainer, network: NetworkConfig, corpus: Corpus) -> int:
    """Batches of the run."""
    if pretrainer.max_steps is not None:
        return pretrainer.max_steps
    rows = [np.diff(each, axis=1)[:, 0] for r in corpus.recordings for each in r.good]
    lengths = np.concatenate(rows).astype(float)
    low, high = (np.full_like(lengths, share * network.n_times) for share in pretrainer.crop)
    # As the sampler does where a stretch is shorter than the longest crop.
    high = np.minimum(high, lengths)
    low = np.where(low < high, low, np.where(high < lengths, low, high / 2))
    ratio = np.log(np.maximum(high / low, 1 + 1e-9))  # of a log-uniform length the mean is
    windows = (lengths * ratio / np.maximum(high - low, 1e-9 * low)).sum()
    return max(1, math.ceil(pretrainer.n_passes * windows / pretrainer.batch_size))


def make_recipe(pretrainer: CitrusPretrainer, seed: int, device: torch.device) -> PretrainRecipe:
    """How long and how fast."""
    bf16 = pretrainer.precision == "bfloat16"
    if pretrainer.precision == "auto" and device.type == "cuda":
        bf16 = torch.cuda.is_bf16_supported()
    return PretrainRecipe(
        n_steps=pretrainer.n_steps_,
        learning_rate=pretrainer.learning_rate,
        weight_decay=pretrainer.weight_decay,
        warmup=pretrainer.warmup,
        ema=pretrainer.ema,
        evaluate_every=max(10, pretrainer.n_steps_ // 50),
        seed=seed,
        bf16=bf16,
        compiled=pretrainer.compile,
    )


def make_run_file(pretrainer: CitrusPretrainer, corpus: Corpus, seed: int) -> RunFile | None:
    """Where the run is saved, if it is."""
    if pretrainer.checkpoint is None:
        return None
    settings = {k: v for k, v in pretrainer.get_params().items() if k not in _NO_MATTER}
    settings |= {"n_steps": pretrainer.n_steps_, "corpus": corpus.fingerprint(), "seed": seed}
    return RunFile(Path(pretrainer.checkpoint), settings, pretrainer.checkpoint_minutes)


def choose_seed(pretrainer: CitrusPretrainer, device: torch.device) -> int:
    """The seed of the run: that of the saved one, where this goes on with it."""
    saved = None
    if pretrainer.random_state is None and pretrainer.checkpoint is not None and pretrainer.resume:
        saved = saved_seed(Path(pretrainer.checkpoint))
    # Where only the first process sees the file, the others hear of it.
    return same_everywhere(draw_seed(pretrainer.random_state) if saved is None else saved, device)


def make_info(pretrainer: CitrusPretrainer) -> dict[str, Any]:
    """What a checkpoint says of itself, beside its configuration."""
    last = pretrainer.history_[-1]
    corpus = [
        {
            "name": each["name"],
            "licence": each["licence"],
            "attribution": each["citation"] or each["source"],
            "hours": _known(sum(each["hours"].values())),
            "hours_by_modality": {k: _known(v) for k, v in each["hours"].items()},
            "people": each["n_subjects"],
        }
        for each in pretrainer.corpus_
    ]
    training = {k: v for k, v in pretrainer.get_params().items() if k not in _NO_MATTER}
    training |= {"n_steps": pretrainer.n_steps_, "seconds": last["seconds"]}
    training |= {"held_out_subjects": pretrainer.held_out_subjects_, "history": pretrainer.history_}
    return {
        "grid": {"n_times": pretrainer._network.n_times, "sfreq": pretrainer._grid_sfreq},
        "corpus": corpus,
        "training": training,
        "metrics": {k: v for k, v in last.items() if "loss" in k or "held_out" in k},
    }


def _known(hours: float) -> float | None:
    """None where the rate, and so the duration, is not known."""
    return None if math.isnan(hours) else hours
