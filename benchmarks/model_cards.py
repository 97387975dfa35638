"""Write the model cards of checkpoints from their headers and the scores of a benchmark.

    python benchmarks/pretraining.py --corpus RECORDINGS --sets FOLDER --csv scores.csv > scores.txt
    python benchmarks/model_cards.py citrus_sk/checkpoints/*.safetensors --scores scores.csv \
        --curves docs/pretraining_curves.png

A card is stored next to its checkpoint as ``<name>.md``. No figure in it is entered by hand.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from citrus_sk.checkpoints.registry import describe_checkpoint

TASK = {
    "freq": "the log spectrum (Hann frame of {frame} samples) around masked tokens",
    "time": "the samples of masked tokens",
    "both": "the samples of masked tokens and the log spectrum around them",
}
EPISODES = """{share:.0%} of the windows of each batch were for few-label tasks, whose loss was
added (see [Few-label tasks](../../docs/guide/pretrain.md#few-label-tasks)). Half of the tasks had
synthetic classes. The classes of the others were recordings, people, channels and, in {annotated},
the activities that the names of recordings contain. """
SIGREG = """SIGReg ([Balestriero and LeCun, 2025](https://arxiv.org/abs/2511.08544)) with a weight
of {weight:g} was added to the loss, against features that collapse. """
ORIGIN = "The training started from the weights of `{name}` (SHA-256 {sha256}). "
LIMIT = " A time limit of {minutes:g} minutes set the number of batches."
HARDWARE = "one CPU core that was shared with other work"
CARD = """---
license: bsd-3-clause
library_name: citrus-sk
tags: [biosignals, time-series, masked-autoencoder, {tags}]
---

# {name}

Weights of the {preset} conv-transformer of citrus_sk, pre-trained{without} on {what} to predict
{task}{tasks}. Use them with `CitrusClassifier(pretrained="{name}")`.

**These are not the weights of the CiTrus paper (arXiv:2412.11695), and they were not trained on
Sleep-EDF.** The weights and the code of the paper are not public. We chose the sizes, masks and losses ourselves.

## What it was trained on

| data set | signal types, channel-hours | people | licence | please cite |
|---|---|---|---|---|
{corpus}

The total is {hours:.0f} channel-hours of {people} people, resampled to {sfreq:g} Hz.
Each recording without a known person counts as one person. {held_out} people were held out, and only serve to measure the loss.
ODC-BY requires that the source is named when the data, or anything derived from it, is redistributed. The
table names the sources. Keep it with the weights.

## How it was trained

The network has {n_parameters:.2f} M parameters. Windows of {n_times} samples are made by resampling crops of {crop_low:g}
to {crop_high:g} windows, and half of the tokens are masked in runs of {run_low} to {run_high}. Training took {n_steps} batches
of {batch_size} channel-windows with AdamW, a peak learning rate of {learning_rate:g} and a cosine schedule. The weights are averaged over batches. Every
signal type has the same weight. {origin}{episodes}{sigreg}The run took {minutes:.0f} minutes on {hardware}.{limit}
{note}The recipe, `{name}.toml`, is stored with the weights:

    citrus-sk pretrain RECORDINGS --config {name}.toml --out {name}.safetensors

| batch | masked loss, training | masked loss, held-out people |
|---|---|---|
{curve}

Loss on held-out people after the last batch, by signal type: {by_modality}.

## How it scores

Macro-F1 of a linear probe, averaged over {n_sets} labelled data sets ({sets}), at several fractions of the training windows (folds: {n_folds}).
The test folds contain people outside the training set where the people are known.
"Trunk" uses the output of the network only. "All" adds the scalars, waveform and covariance of the read-out,
which need no training and are used with random weights as well.

| weights, read-out | {fractions} |
|---|{bars}
{scores}

## What it is not good for

- Diagnosis, or any decision about a patient. The weights are a starting point for training, not a medical device.
- Signals whose information is in the absolute amplitude or in slow drift alone, because every window is normalised first.
- Frequencies above half the sampling rate of the grid: a window of {n_times} samples represents at most
  {n_times_half} cycles.
- Populations unlike the training data, which come from {few} people, mostly adults{ill}. Performance on others is unknown.
"""  # noqa: E501


def read_scores(paths: list[Path]) -> dict:
    """Average the scores over folds, then over sets, by network, views and fraction."""
    values: dict = {}
    folds: dict[float, set[str]] = {}
    for path in paths:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                key, fraction = (row["network"].split(" ")[0], row["views"]), float(row["fraction"])
                by_set = values.setdefault(key, {}).setdefault(fraction, {})
                by_set.setdefault(row["set"], []).append(float(row["macro_f1"]))
                folds.setdefault(fraction, set()).add(row["fold"])
    means = {
        key: {f: float(np.mean([np.mean(v) for v in by_set.values()])) for f, by_set in of.items()}
        for key, of in values.items()
    }
    sets = sorted({name for of in values.values() for by_set in of.values() for name in by_set})
    return {"means": means, "sets": sets, "folds": {f: len(of) for f, of in folds.items()}}


def card(path: Path, scores: dict) -> str:
    about = describe_checkpoint(path)
    name, info = path.stem, about["info"]
    training, task = info["training"], info["task"]
    history = training["history"]
    chosen = [history[i] for i in np.linspace(0, len(history) - 1, 9).round().astype(int)]
    rows = [row for row in info["corpus"] if row["hours"]]
    fractions = sorted(next(iter(scores["means"].values())))
    shown = [key for key in scores["means"] if key[0] in ("random", name)]
    several = len(about["modalities"]) > 1
    by_time = training.get("ended_by") == "time"
    episodes = ""
    if share := training.get("episodes", 0):
        annotated = ", ".join(training["episode_classes"])
        episodes = EPISODES.format(share=share, annotated=annotated)
    return CARD.format(
        name=name,
        preset=f"`{about['preset']}`",
        tags=", ".join(kind.lower() for kind in about["modalities"]),
        without="" if episodes else " without labels",
        tasks=", and with few-label tasks" if episodes else "",
        origin=ORIGIN.format(**origin) if (origin := training.get("pretrained")) else "",
        episodes=episodes,
        sigreg=SIGREG.format(weight=weight) if (weight := training.get("sigreg_weight")) else "",
        hardware=training.get("hardware", HARDWARE),
        limit=LIMIT.format(minutes=training["max_minutes"]) if by_time else "",
        note=f"{training['note']} " if "note" in training else "",
        task=TASK[task["objective"]].format(frame=task["frame"]),
        what="several signal types" if several else about["modalities"][0] + " alone",
        corpus="\n".join(
            f"| {row['name']} | {_hours(row)} | {row['people']} | {row['licence']} | "
            f"{row['attribution']} |"
            for row in rows
        ),
        hours=about["hours"],
        people=about["people"],
        sfreq=about["sfreq"],
        held_out=len(training["held_out_subjects"]),
        n_parameters=about["n_parameters"] / 1e6,
        n_times=about["n_times"],
        n_times_half=about["n_times"] // 2,
        crop_low=training["crop"][0],
        crop_high=training["crop"][1],
        run_low=task["run_length"][0],
        run_high=task["run_length"][1],
        n_steps=training["n_steps"],
        batch_size=training["batch_size"],
        learning_rate=training["learning_rate"],
        minutes=training["seconds"] / 60,
        curve="\n".join(
            f"| {row['step']} | {row['loss']:.4f} | {row['held_out_loss']:.4f} |" for row in chosen
        ),
        by_modality=", ".join(
            f"{kind} {loss:.3f}" for kind, loss in history[-1]["held_out_by_modality"].items()
        ),
        n_sets=len(scores["sets"]),
        sets=", ".join(scores["sets"]),
        n_folds=", ".join(f"{n} at {f:.0%}" for f, n in sorted(scores["folds"].items())),
        fractions=" | ".join(f"{f:.0%}" for f in fractions),
        bars="---|" * len(fractions),
        scores="\n".join(
            f"| {key[0]}, {key[1]} | "
            + " | ".join(f"{scores['means'][key][f]:.3f}" for f in fractions)
            + " |"
            for key in shown
        ),
        few=about["people"],
        ill=" or in intensive care" if several else "",
    )


def _hours(row: dict) -> str:
    return ", ".join(f"{kind} {hours:.1f}" for kind, hours in row["hours_by_modality"].items())


def draw_curves(paths: list[Path], out: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    described = {path.stem: describe_checkpoint(path) for path in paths}
    panels = sorted({about["objective"] for about in described.values()})
    for axes, objective in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        own = [name for name, about in described.items() if about["objective"] == objective]
        for name, color in zip(own, ("#000000", "#D55E00", "#0072B2"), strict=False):
            history = described[name]["info"]["training"]["history"]
            steps = [row["step"] for row in history]
            axes.plot(steps, [row["loss"] for row in history], ":", color=color, lw=1)
            axes.plot(steps, [row["held_out_loss"] for row in history], color=color, label=name)
        axes.set(
            xlabel="batch", ylabel="masked loss", title=f"objective {objective!r}", yscale="log"
        )
        for axis_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis_formatter("{x:g}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            frameon=False, fontsize="small", title_fontsize="small",
            title="people held out\n(dotted: training)",
        )  # fmt: skip
    figure.savefig(out, dpi=200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by pretraining.py")
    parser.add_argument("--curves", type=Path, help="where to write a PNG of the loss curves")
    arguments = parser.parse_args()
    scores = read_scores(arguments.scores)
    for path in arguments.checkpoints:
        path.with_suffix(".md").write_text(card(path, scores), "utf-8")
        print(path.with_suffix(".md"))
    if arguments.curves:
        draw_curves(arguments.checkpoints, arguments.curves)
        print(arguments.curves)


if __name__ == "__main__":
    main()
