"""``citrus-sk pretrain``: pre-training on recordings, for a checkpoint and a picture of it."""

from __future__ import annotations

import inspect
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from .._utils.validation import did_you_mean
from ..estimators.pretrainer import CitrusPretrainer
from ..inspection.reconstruction import ReconstructionDisplay, figure_size
from ..nn import PRESETS
from ..signals.recordings.corpus import Corpus
from ..signals.recordings.reading import read_corpus
from ..training.pretraining.processes import is_launched
from ..training.pretraining.sampler import draw_whole_windows
from .output import write_picture

# Parameters that the command line sets.
_NOT_IN_RECIPE = ("run_file", "save_minutes", "resume", "verbose", "modality")
_MOST_DRAWN = 4  # windows in the picture
_CORPUS_KEYS = ("sfreq", "modality", "min_duration_s", "on_error")


def run_pretrain(
    data: list[Path],
    out: Path,
    *,
    recipe: Path | None,
    resume: bool,
    half: bool,
    cache: Path | None,
    save_minutes: float,
    progress: bool,
    **overrides: Any,
) -> None:
    """Pre-train on recordings, and write a checkpoint and a picture.

    Parameters
    ----------
    data : list of Path
        Files and folders, for `read_corpus`.
    out : Path
        Path of the checkpoint; the state of the run is stored beside it until it is written.
    recipe : Path or None
        TOML file of parameters of `CitrusPretrainer`, and of `read_corpus` in a table ``corpus``.
    resume : bool
        Whether to resume an unfinished run.
    half : bool
        Whether to store weights as float16.
    cache : Path or None
        Folder for converted recordings.
    save_minutes : float
        Minutes between two saves of the run.
    progress : bool
        Whether to show progress bars.
    **overrides
        Parameters of `CitrusPretrainer` or `read_corpus` that override the recipe; None does not.
    """
    state = out.with_suffix(".run")
    if out.suffix != ".safetensors":
        raise ValueError(f"--out {out}: expected a name that ends in .safetensors.")
    if resume and out.exists() and not state.exists():
        print(f"{out} is complete; there is nothing to resume.")
        return
    if not resume and state.exists():
        raise ValueError(
            f"{state} is the state of an unfinished run. Add --resume to continue it, or delete it "
            "to start again."
        )
    settings, reading = _read_recipe(recipe)
    given = {name: value for name, value in overrides.items() if value is not None}
    reading |= {name: given.pop(name) for name in _CORPUS_KEYS if name in given}
    settings |= given
    is_main = not is_launched() or os.environ["RANK"] == "0"
    progress = progress and is_main
    corpus = read_corpus(list(data), cache=cache, verbose=int(progress), **reading)
    if is_main:
        print(corpus.summary(), flush=True)
    pretrainer = CitrusPretrainer(
        **settings,
        run_file=state,
        save_minutes=save_minutes,
        resume=resume,
        verbose=int(progress),
    )
    try:
        pretrainer.fit(corpus)
    except KeyboardInterrupt:
        if state.exists():
            print(f"\nSaved in {state}. Add --resume to the command to continue.", file=sys.stderr)
        raise
    if not is_main:
        return
    sha256 = pretrainer.save(out, half=half)
    print(_report(pretrainer, out, sha256))
    _draw(pretrainer, corpus, out.with_suffix(".png"))
    state.unlink(missing_ok=True)  # last, so that --resume repeats what a kill prevented


def _read_recipe(path: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of `CitrusPretrainer` and of `read_corpus` in a recipe."""
    if path is None:
        return {}, {}
    try:
        recipe = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"--config {path} is not TOML: {error}.") from error
    reading = recipe.pop("corpus", {})
    known = list(inspect.signature(CitrusPretrainer).parameters)
    _check_keys(path, recipe, [name for name in known if name not in _NOT_IN_RECIPE])
    if not isinstance(reading, dict):
        raise ValueError(f"--config {path}: corpus must be a table, [corpus].")
    _check_keys(path, reading, list(_CORPUS_KEYS))
    return recipe, reading


def _check_keys(path: Path, found: dict[str, Any], known: list[str]) -> None:
    for name in found:
        if name not in known:
            raise ValueError(
                f"--config {path}: {name!r} is unknown.{did_you_mean(name, known)} Expected one of "
                f"{', '.join(known)}."
            )


def _report(pretrainer: CitrusPretrainer, out: Path, sha256: str) -> str:
    last = pretrainer.history_[-1]
    limit = ", the time limit" if pretrainer.ended_by_ == "time" else ""
    lines = [
        f"{out}: {pretrainer.n_steps_} batches in {last['seconds'] / 60:.1f} min{limit}, "
        f"SHA-256 {sha256}",
        f"masked loss {last['loss']:.4f} in training",
    ]
    if "held_out_loss" in last:
        by_modality = ", ".join(f"{k} {v:.4f}" for k, v in last["held_out_by_modality"].items())
        n_people = len(pretrainer.held_out_subjects_)
        lines.append(
            f"masked loss {last['held_out_loss']:.4f} on {n_people} people held out ({by_modality})"
        )
    lines.append(f'Use it: CitrusClassifier(pretrained="{out}")')
    return "\n".join(lines)


def _draw(pretrainer: CitrusPretrainer, corpus: Corpus, path: Path) -> None:
    """Draw reconstructions of whole windows, of held-out people if there are any."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        print('No picture was drawn, because it needs matplotlib: pip install "citrus-sk[demo]"')
        return
    if pretrainer.modalities is not None:
        corpus = corpus.select(pretrainer.modalities)
    if pretrainer.held_out_subjects_:
        corpus = corpus.of_subjects(pretrainer.held_out_subjects_)
    n_times = PRESETS[pretrainer.preset].n_times
    windows, kinds = draw_whole_windows(corpus, pretrainer.modalities_, n_times, _MOST_DRAWN)
    size = figure_size(len(windows), pretrainer.objective != "time")
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # without pyplot, which would set a backend
    ReconstructionDisplay.from_estimator(
        pretrainer, windows, n_windows=len(windows), modality=kinds, sfreq=corpus.sfreq,
        ax=figure.add_subplot(),
    )  # fmt: skip
    write_picture(figure, path, dpi=100)
    print(f"Picture: {path}")
