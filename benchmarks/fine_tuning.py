"""Settings of fine-tuning, beside the linear probe, on training folds.

    OMP_NUM_THREADS=1 python benchmarks/fine_tuning.py --data FOLDER --csv tuning.csv --jobs 16
    python benchmarks/fine_tuning.py --table tuning.csv

Nothing is measured on a test fold: of the training part of the first fold, windows are drawn from
two of three inner folds, by person where people are known, and scored on the third. Each row holds
the scores of the trained network, of its own probe (the same features, before training), of the
default probe with kernels, and of the mean of the network's and a probe's probabilities. With
``--choice``, the choice that the classifier makes between network and probe is added, which
takes three more trainings.

A row is written as soon as it is known, and a row that is there is not run again, so a run that was
stopped goes on. ``--list`` prints the variants, and ``--jobs`` is a number of processes with one
thread each.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from labelled_sets import all_splits, drawn, read_set, splits
from sklearn.metrics import f1_score

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.training import fine_tuning
from citrus_sk.training.fine_tuning import TuningSettings

# Small sets first; samples of an aligned window.
SETS = {
    "ucr_ecg200": 128, "ucr_ecg5000": 128, "epilepsy_uci": 128, "innopolis_eeg": 256,
    "uwave": 128, "roshambo": 256, "emgdb": 256, "cwru12k": 256, "stress_predict_bvp": 512,
    "ucihar": 128,
}  # fmt: skip
SMALL = tuple(SETS)[:6]
N_INNER, MOST_TRAINED, MOST_TESTED = 3, 200, 300
MODELS = ("network", "probe", "default", "with_probe", "with_default")
CHOSEN = {"finetuned": "network", "probe": "probe"}  # by kind of selection_
INNER = ("loss", "probe_loss")
COLUMNS = [
    "set", "inner", "share", "variant", "n_train", "n_steps", "seconds",
    *(f"{kind}_{model}" for kind in ("f1", "loss") for model in (*MODELS, "chosen")),
    "kind", *(f"inner_{name}" for name in INNER),
]  # fmt: skip


# --- variants ------------------------------------------------------------------------------------


# Parts of the trunk, from the signal to the read-out.
_DEPTHS = (
    "encoder.stem", "encoder.norm", "encoder.blocks.0", "encoder.blocks.1", "encoder.blocks.2",
    "transformer.embed", "transformer.positions", "transformer.layers.0", "transformer.layers.1",
    "transformer.layers.2", "transformer.layers.3",
)  # fmt: skip


@contextmanager
def decayed_by_layer(factor: float) -> Iterator[None]:
    """Another learning rate for each part of the trunk, lower by `factor` than that above it."""

    def rates(module: Any, settings: TuningSettings) -> list[tuple[str, dict[str, float]]]:
        common = before(module, settings)
        trunk = dict(common)["trunk.*"]["lr"]
        above = len(_DEPTHS)
        return [
            *((f"trunk.{part}*", {"lr": trunk * factor ** (above - i)})
              for i, part in enumerate(_DEPTHS)
              if any(name.startswith(f"trunk.{part}") for name, _ in module.named_parameters())),
            *common,
        ]  # fmt: skip

    before = fine_tuning.rates
    if factor < 1:
        fine_tuning.rates = rates
    try:
        yield
    finally:
        fine_tuning.rates = before


class Tuned(CitrusClassifier):
    """The classifier with settings that have no parameter."""

    changes: ClassVar[dict[str, Any]] = {}
    layer_decay = 1.0

    def _fit(self, *args: Any) -> None:
        with decayed_by_layer(self.layer_decay):
            super()._fit(*args)

    def _tuning_settings(self, labelled: Any) -> Any:
        return replace(super()._tuning_settings(labelled), **self.changes)


def shifted(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move each window by up to a tenth of its length; the gap holds the nearest sample."""
    n = x.shape[-1]
    start = torch.randint(-n // 10, n // 10 + 1, (len(x), 1))
    index = (torch.arange(n) + start).clamp(0, n - 1)
    return x.gather(2, index[:, None].expand_as(x)), y


def jittered(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise of a tenth of the sd, and a factor of 0.8 to 1.25."""
    sd = x.std(-1, keepdim=True)
    factor = torch.exp(0.22 * (2 * torch.rand(len(x), 1, 1) - 1))
    return factor * (x + 0.1 * sd * torch.randn_like(x)), y


def warped(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Stretch the time of each window by a smooth curve of up to a twentieth of its length."""
    n = x.shape[-1]
    time = torch.linspace(0, 1, n)
    size = 0.05 * (2 * torch.rand(len(x), 1) - 1)
    place = (time + size * torch.sin(torch.pi * time) * 1.0).clamp(0, 1) * (n - 1)
    low = place.floor().long().clamp(max=n - 2)
    part = (place - low)[:, None]
    first = x.gather(2, low[:, None].expand_as(x))
    second = x.gather(2, (low + 1)[:, None].expand_as(x))
    return (1 - part) * first + part * second, y


def without_channel(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Set one channel of each second window to its mean, where there are several."""
    if x.shape[1] == 1:
        return x, y
    drop = torch.nn.functional.one_hot(torch.randint(x.shape[1], (len(x),)), x.shape[1]).bool()
    drop &= (torch.rand(len(x)) < 0.5)[:, None]
    return torch.where(drop[:, :, None], x.mean(-1, keepdim=True), x), y


HEAD, TRUNK, STEPS = "head_step", "trunk_factor", "_fewest_steps"
# What ships.
BASE: dict[str, Any] = {HEAD: 1000.0, TRUNK: 10.0, STEPS: 150}
BASE_PROBED: dict[str, Any] = {HEAD: 10.0, TRUNK: 0.1, STEPS: 150}
COMMON: dict[str, dict[str, Any]] = {
    "": {},
    "steps 75": {STEPS: 75},
    "steps 300": {STEPS: 300},
    "steps 600": {STEPS: 600},
    "trunk 0.03": {TRUNK: 0.03},
    "trunk 0.1": {TRUNK: 0.1},
    "trunk 0.3": {TRUNK: 0.3},
    "trunk 1": {TRUNK: 1.0},
    "trunk 3": {TRUNK: 3.0},
    "trunk 10": {TRUNK: 10.0},
    "trunk 20": {TRUNK: 20.0},
    "layer decay 0.8": {"layer_decay": 0.8},
    "layer decay 0.65": {"layer_decay": 0.65},
    "weight decay 0": {"weight_decay": 0.0},
    "weight decay 0.5": {"weight_decay": 0.5},
    "ema 0": {"ema": 0.0},
    "ema 0.3": {"ema": 0.3},
    "mixup 0": {"mixup": 0.0},
    "mixup 1": {"mixup": 1.0},
    "smoothing 0": {"label_smoothing": 0.0},
    "smoothing 0.1": {"label_smoothing": 0.1},
    "shifted": {"augmentation": shifted},
    "jittered": {"augmentation": jittered},
    "warped": {"augmentation": warped},
    "without a channel": {"augmentation": without_channel},
    "from scratch": {"pretrained": None},
    "conv": {"backbone": "conv"},
}
HEADS = {
    "finetune": (30.0, 100.0, 300.0, 1000.0, 3000.0),
    "probe-then-finetune": (3.0, 10.0, 30.0, 100.0, 300.0),
}
OLD = {HEAD: None, STEPS: 0}
_OLD_TRUNK = {"finetune": 1.0, "probe-then-finetune": 0.3}


def all_variants() -> dict[str, dict[str, Any]]:
    """Settings of each variant, by its name: strategy, kernels or not, and the difference."""
    found = {}
    for strategy, base in (("finetune", BASE), ("probe-then-finetune", BASE_PROBED)):
        for kernels in (False, True):
            start = f"{strategy}{', kernels' if kernels else ''}"
            own = {**base, "strategy": strategy, "random_kernels": kernels}
            found |= {f"{start}, {name}".rstrip(", "): own | change
                      for name, change in COMMON.items()}  # fmt: skip
            found |= {f"{start}, head {head:g}": own | {HEAD: head} for head in HEADS[strategy]}
            found[f"{start}, old"] = own | OLD | {TRUNK: _OLD_TRUNK[strategy]}
    return found


VARIANTS = all_variants()
# Those that run first: the rates and the length of the training.
_SCREENED = {
    "finetune": ("", "head 300", "head 3000", "trunk 1", "trunk 3", "trunk 20", "old"),
    "finetune, kernels": ("", "head 300", "head 3000", "trunk 0.1", "trunk 1", "trunk 3",
                          "trunk 20", "steps 75", "steps 300", "layer decay 0.65", "ema 0.3",
                          "mixup 0", "old"),
    "probe-then-finetune": ("", "head 3", "head 30", "trunk 0.03", "trunk 0.3", "trunk 1", "old"),
    "probe-then-finetune, kernels": ("", "head 3", "head 30", "trunk 0.03", "trunk 0.3",
                                     "trunk 1", "steps 75", "steps 300", "layer decay 0.65",
                                     "ema 0.3", "mixup 0", "old"),
}  # fmt: skip
SCREEN = tuple(
    f"{start}, {name}".rstrip(", ") for start, names in _SCREENED.items() for name in names
)
_SETTINGS = ("head_step", "trunk_factor")


def classifier(
    seed: int, _fewest_steps: int = 0, layer_decay: float = 1.0, **settings: Any
) -> Tuned:
    changes = {name: settings.pop(name) for name in _SETTINGS if name in settings}
    model = Tuned(adaptation=None, random_state=seed, device="cpu", **settings)
    model.changes, model._fewest_steps, model.layer_decay = changes, _fewest_steps, layer_decay
    return model


# --- cases ---------------------------------------------------------------------------------------

_CACHE: dict[str, tuple] = {}


def read(folder: Path | None, name: str) -> tuple:
    """Aligned windows, labels, and groups or None, of the training part of the first fold."""
    if name not in _CACHE:
        X, y, groups, _ = read_set(Path(folder) / f"{name}.npz")
        rows = splits(y, groups, 1)[0][0]
        X = SignalAligner(SETS.get(name, 256)).fit_transform(X[rows])
        _CACHE[name] = X, y[rows], None if groups is None else groups[rows]
    return _CACHE[name]


def inner_split(y: Any, groups: Any, inner: int, share: float) -> tuple[Any, Any]:
    """Training and test windows of an inner fold."""
    train, test = all_splits(y, groups, N_INNER, 0)[inner]
    train = drawn(y, train, min(share, MOST_TRAINED / len(train)), inner)
    return train, np.random.default_rng(inner).permutation(test)[:MOST_TESTED]


def losses(proba: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return -np.log(proba[np.arange(len(codes)), codes].clip(1e-7))


def fitted(variant: str, seed: int, X, y, groups, X_test, classes) -> tuple[dict, int]:
    """Probabilities of each model for the test windows, and the number of steps."""
    settings = VARIANTS[variant]
    probed = {k: settings[k] for k in ("random_kernels", "pretrained", "backbone") if k in settings}
    models = {
        "network": classifier(seed, early_stopping=False, **settings),
        "probe": classifier(seed, strategy="linear-probe", **probed),
    }
    if not settings["random_kernels"]:
        models["default"] = classifier(seed, strategy="linear-probe")
    proba, n_steps = {}, 0
    for name, model in models.items():
        model.fit(X, y, groups=groups)
        columns = np.searchsorted(classes, model.classes_)
        proba[name] = np.zeros((len(X_test), len(classes)))
        proba[name][:, columns] = model.predict_proba(X_test)
        if name == "network":
            n_steps = sum(len(row["batches"]) for row in model.net_.history)
    proba.setdefault("default", proba["probe"])
    proba["with_probe"] = (proba["network"] + proba["probe"]) / 2
    proba["with_default"] = (proba["network"] + proba["default"]) / 2
    return proba, n_steps


def row(folder: Path, name: str, inner: int, share: float, variant: str, choice: bool) -> dict:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="The least populated class in y has only")
    begin = time.perf_counter()
    X, y, groups = read(folder, name)
    train, test = inner_split(y, groups, inner, share)
    classes, codes = np.unique(y, return_inverse=True)
    people = None if groups is None else groups[train]
    proba, n_steps = fitted(variant, inner, X[train], y[train], people, X[test], classes)
    result: dict[str, Any] = {"set": name, "inner": inner, "share": share, "variant": variant,
                              "n_train": len(train), "n_steps": n_steps}  # fmt: skip
    for model in MODELS:
        guessed = proba[model].argmax(1)
        result[f"f1_{model}"] = f1_score(codes[test], guessed, average="macro")
        result[f"loss_{model}"] = losses(proba[model], codes[test]).mean()
    if choice:
        model = classifier(inner, **VARIANTS[variant]).fit(X[train], y[train], groups=people)
        found = model.selection_
        result |= {"kind": found["kind"]} | {f"inner_{name}": found[name] for name in INNER}
        for kind in ("f1", "loss"):
            result[f"{kind}_chosen"] = result[f"{kind}_{CHOSEN[found['kind']]}"]
    return result | {"seconds": time.perf_counter() - begin}


# --- runs ----------------------------------------------------------------------------------------


def key(found: dict) -> tuple[str, ...]:
    return tuple(str(found[name]) for name in COLUMNS[:4])


def rows_of(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run(options: argparse.Namespace) -> None:
    done = {key(found) for found in rows_of(options.csv)}
    tasks = [
        (options.data, name, inner, share, variant, options.choice)
        for inner in options.inner
        for share in options.shares
        for name in options.only
        for variant in options.variants
        if (name, str(inner), str(share), variant) not in done
    ]
    print(f"{len(tasks)} rows to run", flush=True)
    with options.csv.open("a", newline="") as file, ProcessPoolExecutor(options.jobs) as pool:
        writer = csv.DictWriter(file, COLUMNS)
        if not options.csv.stat().st_size:
            writer.writeheader()
        for number, future in enumerate(as_completed([pool.submit(row, *t) for t in tasks]), 1):
            found = future.result()
            writer.writerow({k: round(v, 4) if isinstance(v, float) else v
                             for k, v in found.items()})  # fmt: skip
            file.flush()
            print(f"{number}/{len(tasks)} {' '.join(key(found))} {found['seconds']:.0f} s",
                  flush=True)  # fmt: skip


def print_table(rows: list[dict[str, str]]) -> None:
    """Means over the cases that every variant has."""
    variants = [v for v in VARIANTS if any(found["variant"] == v for found in rows)]
    cases = {v: {key(found)[:3]: found for found in rows if found["variant"] == v}
             for v in variants}  # fmt: skip
    common = sorted(set.intersection(*(set(own) for own in cases.values())))
    models = [m for m in (*MODELS, "chosen") if all(cases[v][c][f"f1_{m}"] for v in variants
                                                    for c in common)]  # fmt: skip
    print(f"{len(common)} cases of {len({case[0] for case in common})} sets\n")
    print("| variant | " + " | ".join(f"{m}: F1, loss" for m in models) + " | better | seconds |")
    print("|---|" + "---|" * (len(models) + 2))
    for variant in variants:
        own = [cases[variant][case] for case in common]
        cells = []
        for model in models:
            f1, loss = (np.mean([float(found[f"{kind}_{model}"]) for found in own])
                        for kind in ("f1", "loss"))  # fmt: skip
            cells.append(f"{f1:.3f}, {loss:.3f}")
        better = np.mean([float(f["loss_network"]) < float(f["loss_probe"]) for f in own])
        seconds = np.mean([float(found["seconds"]) for found in own])
        print(f"| {variant} | " + " | ".join(cells) + f" | {better:.0%} | {seconds:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", default=SMALL)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="NAME", default=SCREEN,
                        help="default: those that run first")  # fmt: skip
    parser.add_argument("--shares", type=float, nargs="+", default=(0.05, 0.2))
    parser.add_argument("--inner", type=int, nargs="+", default=(0,), help="of three inner folds")
    parser.add_argument("--choice", action="store_true", help="cross-validate within, as well")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--csv", type=Path, default=Path("fine_tuning.csv"))
    parser.add_argument("--table", type=Path, nargs="+", metavar="CSV")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print(*VARIANTS, sep="\n")
    elif options.table:
        print_table([found for path in options.table for found in rows_of(path)])
    else:
        run(options)


if __name__ == "__main__":
    main()
