"""``citrus-sk fit``: a classifier trained on labelled windows, in a file."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import Bunch

from ..mne import RecordingModel
from .arguments import DataSource, listed
from .data import about, load_labelled
from .output import check_new_file, collected_warnings, write_model


def run_fit(
    source: DataSource,
    out: Path,
    *,
    overwrite: bool = False,
    pretrained: str | None = None,
    strategy: str = "auto",
    seed: int = 0,
) -> None:
    """Train a classifier on labelled windows and save it as a `RecordingModel`.

    Parameters
    ----------
    source : DataSource
        Labelled data.
    out : Path
        File to write.
    overwrite : bool, default=False
        Whether to replace an existing file.
    pretrained : str or None, default=None
        Checkpoint; ``"none"`` for random weights, and None for the default of `CitrusClassifier`.
    strategy : str, default="auto"
        Strategy of `CitrusClassifier`.
    seed : int, default=0
        Random state of the classifier.

    Raises
    ------
    ValueError
        If the data are not valid, or their sampling rate is unknown.
    OSError
        If `out` exists and is not to be replaced, or cannot be written.
    """
    check_new_file(out, overwrite=overwrite)
    bunch = load_labelled(source)
    if bunch.sfreq is None:
        raise ValueError(
            f"{bunch.name} has no sampling rate, which is needed to cut recordings into windows of "
            "the same length. Pass --sfreq, in Hz, or add it to the file: sfreq in .npz, or a "
            "column time in a CSV file with a row for each sample."
        )
    print(f"{about(bunch)}\n{_counts(bunch)}", flush=True)
    with collected_warnings():
        pipeline = _fit(bunch, pretrained, strategy, seed)
    model = RecordingModel(
        estimator=pipeline,
        duration=np.shape(bunch.X)[-1] / bunch.sfreq,
        sfreq=bunch.sfreq,
        ch_names=_as_tuple(bunch.ch_names),
        ch_kinds=_as_tuple(bunch.ch_kinds),
    )
    n_bytes = write_model(model, out)
    print(_closing_words(out, n_bytes, pipeline, bunch, source))


def _fit(bunch: Bunch, pretrained: str | None, strategy: str, seed: int) -> Pipeline:
    from .. import CitrusClassifier, SignalAligner

    weights: dict[str, Any] = {}
    if pretrained is not None:
        weights["pretrained"] = None if pretrained == "none" else pretrained
    clf = CitrusClassifier(strategy=strategy, random_state=seed, **weights)
    # Windows of one channel are 2-D, and recordings are cut into 3-D windows.
    X = np.asarray(bunch.X)
    X = X[:, None] if X.ndim == 2 else X
    pipeline = make_pipeline(SignalAligner(), clf)
    return pipeline.fit(X, bunch.y, citrusclassifier__groups=bunch.groups)


def _as_tuple(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(map(str, names))


def _counts(bunch: Bunch) -> str:
    counts = Counter(np.asarray(bunch.y).tolist())
    return "Windows of each class: " + ", ".join(f"{k} {n}" for k, n in counts.most_common()) + "."


def _closing_words(
    out: Path, n_bytes: int, pipeline: Pipeline, bunch: Bunch, source: DataSource
) -> str:
    lines = [f"\nModel: {out} ({n_bytes / 1e6:.1f} MB)"]
    clf = pipeline[-1]
    chosen = clf.adaptation_
    is_lower = chosen["kind"] is not None and chosen["adapted_loss"] < chosen["loss"]
    if bunch.groups is not None and is_lower:
        losses = f"{chosen['loss']:.3f} to {chosen['adapted_loss']:.3f}"
        lines.append(
            "Adapting to a new person lowers the log loss of training people who are left out "
            f"from {losses}: consider --adapt."
        )
    lines.append(
        f"Apply: citrus-sk predict {shlex.quote(str(out))} RECORDINGS --out predictions.csv"
    )
    lines.append(
        "The model was not scored. Estimate its score on new data with citrus-sk evaluate:"
    )
    lines.append(f"  {_evaluate(source)}")
    return "\n".join(lines)


def _evaluate(source: DataSource) -> str:
    """Return the command that evaluates on the same data."""
    words = ["citrus-sk", "evaluate"] + ([] if source.data is None else [str(source.data)])
    for name in ("labels", "duration", "tmin", "events", "people", "picks", "dataset", "sfreq"):
        value = getattr(source, name)
        if value is not None:
            words += [f"--{name}", _word(value)]
    return shlex.join(words)


def _word(value: Any) -> str:
    """Return an argument as it is typed: 10 for 10.0."""
    if isinstance(value, list):
        return listed(value)
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)
