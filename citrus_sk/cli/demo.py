"""``citrus-sk demo``: a learning curve on real recordings, and a saved model on a new person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

from .._utils.files import make_folder
from .._utils.optional import progress_bar, require
from ..datasets import load_watch
from ..evaluation import StratifiedFractionKFold
from .output import write_model, write_picture

if TYPE_CHECKING:
    from sklearn.utils import Bunch

FRACTIONS = (0.02, 0.05, 0.1)
MODEL_FRACTION = 0.1
# Short windows and few epochs, for minutes on two cores instead of the best score.
N_TIMES, EPOCHS = 256, 4
PRETRAINED = "multi-freq"
# Label in table and plot, and value of pretrained=.
MODELS = {"pre-trained": PRETRAINED, "from scratch": None}
NEW_PERSON = "10"  # chosen in advance; not in the training data of the saved model
KNOWN_OF_PERSON = ("nothing", "windows", "2 labels each")
CURVE_FILE = "learning_curve.png"
MODEL_FILE = "watch.joblib"


@dataclass(frozen=True)
class Point:
    """Point of a learning curve, with one value for each fold."""

    model: str
    fraction: float
    n_train: np.ndarray
    accuracy: np.ndarray
    macro_f1: np.ndarray


def run_demo(out: Path, *, n_splits: int = 3, seed: int = 0, progress: bool = True) -> None:
    """Cross-validate on `load_watch` by person, save a model, load it back and adapt it.

    Parameters
    ----------
    out : Path
        Folder for the learning curve and the model, created if needed.
    n_splits : int, default=3
        Number of folds over the ten people.
    seed : int, default=0
        Seed of the folds, the draws and the training.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Raises
    ------
    ModuleNotFoundError
        If an optional package is missing.
    OSError
        If `out` is not writable.
    """
    # Fail now, and not after minutes of training.
    require("matplotlib", "The demo", install="citrus-sk[demo]")
    watch = load_watch()
    make_folder(out)

    pipelines = [_make_pipeline(pretrained, seed) for pretrained in MODELS.values()]
    n_people = len(np.unique(watch.groups))
    print(
        f"{len(watch.X)} windows of {watch.X.shape[2] / watch.sfreq:g} s, "
        f"{watch.X.shape[1]} channels, {len(np.unique(watch.y))} exercises, {n_people} people.\n"
        f"The same network starts from the weights of {PRETRAINED!r}, pre-trained on other "
        f"recordings, or from scratch.\nThere are {n_splits} folds by person. Each trains on "
        f"{', '.join(f'{fraction:.0%}' for fraction in FRACTIONS)} of its training windows and is "
        "tested on every second window of the other people.",
        flush=True,
    )
    default = _make_default(seed)
    splits = _splits(watch, n_splits, seed)
    tasks = [
        delayed(_fit_and_score)(pipeline, watch.X, watch.y, *split)
        for split in splits
        for pipeline in pipelines
    ]
    people = sorted(np.unique(watch.groups), key=int)
    tasks += [
        delayed(_fit_and_adapt)(default, watch.X, watch.y, watch.groups, *split)
        for split in [_split_off_person(watch, person, seed) for person in people]
    ]
    # One process per core, because several threads on one small network slow each other down.
    with parallel_config("loky", n_jobs=-1, inner_max_num_threads=1):
        fits = Parallel(return_as="generator")(tasks)
    results = list(progress_bar(fits, total=len(tasks), unit="fit", shown=progress))
    scores, adapted = results[: -len(people)], results[-len(people) :]
    points = _points(scores, n_splits)

    chance = 1 / len(np.unique(watch.y))
    print(_table(points, chance))
    _plot(points, chance, n_splits, n_people, out / CURVE_FILE)

    models, accuracies = zip(*adapted, strict=True)
    print(_people_table(people, np.array(accuracies)))

    model, X = models[people.index(NEW_PERSON)], watch.X[watch.groups == NEW_PERSON]
    write_model(model, out / MODEL_FILE)
    if not np.array_equal(joblib.load(out / MODEL_FILE).predict_proba(X), model.predict_proba(X)):
        raise RuntimeError("The loaded model and the saved model give different predictions.")
    print(
        f"The model without person {NEW_PERSON} was saved and loaded: its probabilities are "
        "identical."
    )
    print(_closing_words(out))


def _make_pipeline(pretrained: str | None, seed: int) -> Pipeline:
    from .. import CitrusClassifier, SignalAligner

    return make_pipeline(
        SignalAligner(N_TIMES),
        # Without random kernels, which would hide the effect of pre-training on the network.
        # The choice between network and probe would take three more trainings.
        CitrusClassifier(
            pretrained,
            random_kernels=False,
            max_epochs=EPOCHS,
            early_stopping=False,
            random_state=seed,
        ),
    )


def _make_default(seed: int) -> Pipeline:
    from .. import CitrusClassifier, SignalAligner

    return make_pipeline(SignalAligner(N_TIMES), CitrusClassifier(random_state=seed))


def _splits(watch: Bunch, n_splits: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return training and test windows, ordered by fold and then by fraction.

    In this order the estimate of the remaining time is not based on the smallest fits alone.
    """
    by_fraction = [
        StratifiedFractionKFold(n_splits, train_fraction=fraction, random_state=seed).split(
            watch.X, watch.y, watch.groups
        )
        for fraction in FRACTIONS
    ]
    # Windows overlap by half, so every second one covers nearly the whole recording.
    return [
        (train, test[::2]) for of_fold in zip(*by_fraction, strict=True) for train, test in of_fold
    ]


def _fit(pipeline: Pipeline, X: np.ndarray, y: np.ndarray, train: np.ndarray) -> Pipeline:
    return clone(pipeline).fit(X[train], y[train])


def _fit_and_score(
    pipeline: Pipeline, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[int, float, float]:
    """Return the number of training windows, accuracy and macro-F1."""
    predicted = _fit(pipeline, X, y, train).predict(X[test])
    return (
        len(train),
        accuracy_score(y[test], predicted),
        f1_score(y[test], predicted, average="macro"),
    )


def _points(scores: list[tuple[int, float, float]], n_splits: int) -> list[Point]:
    table = np.reshape(scores, (n_splits, len(FRACTIONS), len(MODELS), 3))
    return [
        Point(model, fraction, *table[:, i, j].T)
        for i, fraction in enumerate(FRACTIONS)
        for j, model in enumerate(MODELS)
    ]


def _split_off_person(
    watch: Bunch, person: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return windows of other people to train on, and those of a person to label and to predict.

    The first window of each recording is labelled; there is one recording of each exercise with
    either arm. Every second of the following windows is predicted, so that none overlap.
    """
    others = np.flatnonzero(watch.groups != person)
    train, _ = train_test_split(
        others, train_size=MODEL_FRACTION, stratify=watch.y[others], random_state=seed
    )
    own = np.flatnonzero(watch.groups == person)
    _, first, number = np.unique(watch.recordings[own], return_index=True, return_inverse=True)
    place = np.arange(len(own)) - first[number]  # of each window in its recording
    return train, own[place == 0], own[(place > 0) & (place % 2 == 0)]


def _fit_and_adapt(
    pipeline: Pipeline,
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    train: np.ndarray,
    few: np.ndarray,
    rest: np.ndarray,
) -> tuple[Pipeline, list[float]]:
    """Return the fitted pipeline, and accuracies on a new person by `KNOWN_OF_PERSON`."""
    fitted = clone(pipeline)
    fitted.fit(X[train], y[train], citrusclassifier__groups=groups[train])
    aligner, clf = fitted[:-1], fitted[-1]
    windows = aligner.transform(X[rest])
    personal = clf.personalize(aligner.transform(X[few]), y[few], X_unlabelled=windows)
    predictions = (
        clf.predict(windows),
        clf.predict(windows, groups=groups[rest]),
        personal.predict(windows),
    )
    return fitted, [accuracy_score(y[rest], predicted) for predicted in predictions]


def _table(points: list[Point], chance: float) -> str:
    row = "{:>14}  {:>16}  {:>12}  {:>17}  {:>17}".format
    lines = [row("train fraction", "training windows", "weights", "accuracy", "macro-F1")]
    lines += [
        row(
            f"{point.fraction:.0%}",
            f"{point.n_train.mean():.0f}",
            point.model,
            _mean_and_sd(point.accuracy),
            _mean_and_sd(point.macro_f1),
        )
        for point in points
    ]
    lines.append(row("chance", "", "", *[f"{chance:.2f}{'':9}"] * 2).rstrip())
    return "\n".join(["", *lines, "mean +/- standard deviation over the folds", ""])


def _mean_and_sd(values: np.ndarray) -> str:
    return f"{values.mean():.2f} +/- {values.std(ddof=1):.2f}"


def _plot(points: list[Point], chance: float, n_splits: int, n_people: int, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, NullLocator

    # A figure without pyplot leaves the caller's backend and open figures alone.
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    fractions = np.array(FRACTIONS)
    # Shifted sideways, so that the error bars do not hide each other.
    for model, shift, color, form in zip(
        MODELS, (0.97, 1.03), ("0.0", "0.5"), ("o-", "s--"), strict=True
    ):
        values = [point.macro_f1 for point in points if point.model == model]
        axes.errorbar(
            fractions * shift,
            [value.mean() for value in values],
            [value.std(ddof=1) for value in values],
            label=f"{model} ({PRETRAINED})" if MODELS[model] else model,
            fmt=form,
            color=color,
            capsize=4,
        )
    axes.axhline(chance, color="0.3", linestyle=":")
    axes.annotate(
        f"chance, {chance:.2f}", (1, chance), xycoords=("axes fraction", "data"),
        xytext=(-6, 4), textcoords="offset points", ha="right",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(fractions[0] / 1.4, fractions[-1] * 1.4)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(
        fractions,
        [
            f"{point.fraction:.0%}\n{point.n_train.mean():.0f} windows"
            for point in points[:: len(MODELS)]
        ],
    )
    axes.set(
        xlabel="fraction of the training fold, and number of labelled windows (log scale)",
        ylabel=f"macro-F1 on new people\n(mean and sd over {n_splits} folds)",
        ylim=(0, 1),
        title=f"Seven shoulder exercises, smart watch, {n_people} people",
    )
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.2), frameon=False)
    write_picture(figure, path, dpi=150)


def _people_table(people: list[str], accuracies: np.ndarray) -> str:
    row = "{:>14}  {:>10}  {:>10}  {:>15}".format
    lines = [
        "Each person is left out in turn. The default classifier is trained on "
        f"{MODEL_FRACTION:.0%} of the windows of the other people.\n"
        "Its accuracy on the person left out, by what is known of this person:",
        row("person", *KNOWN_OF_PERSON),
    ]
    lines += [
        row(person, *[f"{value:.2f}" for value in of_person])
        for person, of_person in zip(people, accuracies, strict=True)
    ]
    lines.append(row("mean", *[f"{value:.2f}" for value in accuracies.mean(axis=0)]))
    lines += [
        "nothing:       each window is predicted by itself",
        "windows:       predicted together, without labels, by predict(X, groups=people)",
        "2 labels each: two windows of each exercise are labelled, by personalize(X_few, y_few, X)",
        "",
    ]
    return "\n".join(lines)


def _closing_words(out: Path) -> str:
    return f"""
Learning curve: {out / CURVE_FILE}
Model:          {out / MODEL_FILE}

Load and use the model:
  import joblib
  from citrus_sk.datasets import load_watch
  model = joblib.load({(out / MODEL_FILE).as_posix()!r})
  print(model.predict(load_watch().X[:5]))"""
