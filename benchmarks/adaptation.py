"""Ways to adapt to a new person without labels: what ships, its parts, and what else was compared.

    OMP_NUM_THREADS=1 python benchmarks/adaptation.py --data FOLDER --csv people.csv
    python benchmarks/adaptation.py --table people.csv

The sets are the demo's smart-watch recordings, in windows that do not overlap, and with --data
every ``.npz`` of a folder (see ``labelled_sets.py``) in which most people have several classes.
Nothing is measured on a test fold: of the training part of a fold, some 800 windows are drawn by
person and class, and people are left out within them in three inner folds.

A row is written for each person and variant as soon as it is known. Cases whose rows are there are
not run again, so a run that was stopped goes on. ``--list`` prints the variants. --table prints
means over the sets, the share of people who were recentred, and differences to the same classifier
without the change: the mean over sets of the mean over people, with 95 % intervals from resampling
sets, and people within each set.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from changed_features import (
    Case,
    aligned_to_mean,
    down_weighted,
    equal_amplitude,
    equal_spread,
    make_case,
    whitened,
)
from labelled_sets import drawn, has_people, read_sets, splits
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold

from citrus_sk import SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.training.adaptation.decision import log_softmax, recentred
from citrus_sk.training.adaptation.heads import AdaptiveHead, outputs_of, personal_head
from citrus_sk.training.adaptation.people import SHRINKAGE, mean_weight, rows_of_people
from citrus_sk.training.adaptive_probes import adapt_probe
from citrus_sk.training.probes import FusedProbe, class_targets, fit_fused_probe, fit_sharpness

N_INNER, N_DRAWN = 3, 2000
COLUMNS = ["set", "fold", "inner", "share", "variant", "person", "n_train", "n_windows", "kind",
           "macro_f1", "log_loss"]  # fmt: skip
# Name of a metric, form of a difference, and which difference is the worst.
METRICS: dict[str, tuple[str, Callable, Callable]] = {
    "macro_f1": ("macro-F1", lambda gap: f"{100 * gap:+.1f}", min),
    "log_loss": ("log loss", lambda gap: f"{gap:+.3f}", max),
}
NONE, RECENTRED, WITHIN = "no adaptation", "recentred decisions only", "and a head within people"
ALL = "all (what ships)"
SPREAD = "all, unit sd of features by person"


# --- heads ---------------------------------------------------------------------------------------


def fitted(case: Case) -> tuple[FusedProbe, AdaptiveHead]:
    probe = fit_fused_probe(case.train, case.families, case.labelled)
    return probe, adapt_probe(probe, case.train, case.families, case.labelled,
                              always=False)  # fmt: skip


def without_parts(case: Case, probe: FusedProbe, adaptive: AdaptiveHead) -> dict[str, AdaptiveHead]:
    """What ships, and the same without its last parts."""
    decisions_only = adaptive
    if adaptive.decision.kind == "recenter":
        labelled = case.labelled
        moved = recentred(probe.left_out, labelled.groups, adaptive.reference, labelled.weights)
        sharpness = fit_sharpness(moved, class_targets(labelled)[1], labelled.weights)
        decisions_only = replace(
            adaptive, recentred=None, usual_scale=None, adapted_sharpness=sharpness
        )
    return {
        RECENTRED: decisions_only, WITHIN: replace(adaptive, usual_scale=None), ALL: adaptive,
    }  # fmt: skip


def outputs(case: Case, probe: FusedProbe, adaptive: AdaptiveHead) -> np.ndarray:
    """Outputs for the test windows, each person with a head of the person's own."""
    found = np.empty((len(case.test), len(probe.bias)))
    for rows, _ in rows_of_people(case.people):
        head = personal_head(adaptive, probe.head, case.test[rows])
        found[rows] = outputs_of(head, case.test[rows])
    return found


def drifting(case: Case, values: np.ndarray, adaptive: AdaptiveHead, n_near: int) -> np.ndarray:
    """Move the mean of each window's neighbours in the recording to the mean of the person."""
    moved = values.copy()
    if adaptive.decision.kind != "recenter":
        return moved
    for rows, _ in rows_of_people(case.people):
        mean = values[rows].mean(0)
        for place, row in enumerate(rows):
            first = min(max(0, place - n_near // 2), max(0, len(rows) - n_near))
            near = rows[first : first + n_near]
            moved[row] -= mean_weight(len(near)) * (values[near].mean(0) - mean)
    return moved


@contextmanager
def shrinkage(value: float) -> Iterator[None]:
    """Another number of windows at which a person's mean has half of the weight."""
    before = mean_weight.__defaults__
    mean_weight.__defaults__ = (value,)
    try:
        yield
    finally:
        mean_weight.__defaults__ = before


# --- variants ------------------------------------------------------------------------------------

SIGNALS: dict[str, dict] = {
    "covariance brought to the identity": {"change": whitened},
    "covariance brought to the mean": {"change": aligned_to_mean},
    "amplitude brought to the mean": {"change": equal_amplitude},
    "own thresholds of kernels": {"thresholds": "own"},
    "shrunk own thresholds": {"thresholds": "shrunk"},
    "thresholds of joined windows": {"thresholds": "joined"},
}
FEATURES: dict[str, Callable[[Case], Case]] = {
    "all, directions of people / sqrt(1 + v)": lambda case: down_weighted(case, 1),
    "all, directions of people / sqrt(1 + 10 v)": lambda case: down_weighted(case, 10),
    "all, covariance within classes": lambda case: down_weighted(case, 10, by_class=True),
    SPREAD: equal_spread,
}
SHRINKAGES = {f"all, shrinkage {value:g}": value for value in (1.0, 2.0, 10.0)}
DRIFTS = {f"all, means over {n} neighbours": n for n in (11, 21, 41)}
PLAIN = (NONE, RECENTRED, WITHIN, ALL, *FEATURES, *SHRINKAGES, *DRIFTS)
VARIANTS = (
    *PLAIN,
    *(f"{name}, {rest}" for name in SIGNALS for rest in (NONE, "all")),
    f"shrunk own thresholds, {SPREAD}",
)


def of_plain_signals(case: Case, names: list[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Variant, kind of adaptation that was chosen, and outputs for the test windows."""
    probe, adaptive = fitted(case)
    heads, kind = without_parts(case, probe, adaptive), str(adaptive.decision.kind)
    shipped = outputs(case, probe, adaptive)
    for name in names:
        if name == NONE:
            yield name, kind, outputs_of(probe.head, case.test)
        elif name in heads:
            yield name, kind, outputs(case, probe, heads[name])
        elif name in DRIFTS:
            yield name, kind, drifting(case, shipped, adaptive, DRIFTS[name])
        else:
            with shrinkage(SHRINKAGES.get(name, SHRINKAGE)):
                changed = FEATURES[name](case) if name in FEATURES else case
                own = fitted(changed)
                yield name, str(own[1].decision.kind), outputs(changed, *own)


def of_changed_signals(case: Case, names: list[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    probe, adaptive = fitted(case)
    for name in names:
        if name.endswith(NONE):
            yield name, str(adaptive.decision.kind), outputs_of(probe.head, case.test)
        else:
            changed = FEATURES[SPREAD](case) if name.endswith(SPREAD) else case
            own = fitted(changed)
            yield name, str(own[1].decision.kind), outputs(changed, *own)


# --- data ----------------------------------------------------------------------------------------


def sets_of_people(folder: Path | None) -> dict[str, tuple]:
    """X, y and people of every set in which most people have several classes."""
    watch = load_watch(overlap=0)
    found = {"watch": (watch.X, watch.y, watch.groups)}
    for name, (X, y, groups, _) in (read_sets(folder) if folder else {}).items():
        if has_people(y, groups):
            found[name] = (X, y, groups)
    return found


def capped(y: np.ndarray, people: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """About `most` of `rows`, the same share of each person's windows of each class, in order."""
    rng, share, kept = np.random.default_rng(0), min(1.0, most / len(rows)), []
    for person in np.unique(people[rows]):
        for label in np.unique(y[rows]):
            cell = rows[(people[rows] == person) & (y[rows] == label)]
            kept.append(rng.permutation(cell)[: int(np.ceil(share * len(cell) - 0.5))])
    return np.sort(np.concatenate(kept))


def inner_cases(
    y: np.ndarray, people: np.ndarray, fold: int, shares: list[float], most: int
) -> Iterator[tuple[int, float, np.ndarray, np.ndarray]]:
    """Inner fold, share, training and test windows, out of the training part of an outer fold."""
    rows = capped(y, people, splits(y, people, fold + 1)[fold][0], most)
    splitter = StratifiedGroupKFold(N_INNER, shuffle=True, random_state=0)
    for inner, (train, test) in enumerate(splitter.split(rows, y[rows], people[rows])):
        for share in shares:
            yield inner, share, drawn(y, rows[train], share, inner), rows[test]


# --- runs ----------------------------------------------------------------------------------------


def run(path: Path, options: argparse.Namespace) -> None:
    done = {tuple(row[c] for c in COLUMNS[:5]) for row in read([path])} if path.exists() else set()
    sets = sets_of_people(options.data)
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if not path.stat().st_size:
            writer.writerow(COLUMNS)
        for fold in options.folds:
            for name, (X, y, people) in sets.items():
                if options.only and name not in options.only:
                    continue
                aligned = SignalAligner(options.n_times).fit_transform(X)
                for inner, share, train, test in inner_cases(
                    y, people, fold, options.shares, options.windows
                ):
                    key = (name, str(fold), str(inner), str(share))
                    wanted = [v for v in options.variants if (*key, v) not in done]
                    for rows in scored(aligned, y, people, train, test, wanted):
                        writer.writerows([*key, *row] for row in rows)
                        file.flush()
                        os.fsync(file.fileno())
                print(f"fold {fold}, {name}: done", flush=True)


def scored(X, y, people, train, test, variants: list[str]) -> Iterator[list[list]]:
    """Rows of the test people, one list for each variant."""
    classes = np.unique(y)
    for name in ("", *SIGNALS):
        chosen = [v for v in variants if (v in PLAIN if not name else v.startswith(f"{name}, "))]
        if not chosen:
            continue
        case = make_case(X, y, people, train, test, **SIGNALS.get(name, {}))
        found = (of_changed_signals if name else of_plain_signals)(case, chosen)
        for variant, kind, values in found:
            yield [
                [variant, person, len(train), len(rows), kind, *scores]
                for person, rows, scores in by_person(classes, y[test], people[test], values)
            ]


def by_person(classes, y, people, values) -> Iterator[tuple]:
    """Macro-F1 over the classes of a person, and log loss."""
    logs, codes = log_softmax(values), np.searchsorted(classes, y)
    guessed = values.argmax(1)
    for rows, _ in rows_of_people(people):
        own = codes[rows]
        f1 = f1_score(own, guessed[rows], labels=np.unique(own), average="macro", zero_division=0)
        yield people[rows[0]], rows, (round(f1, 4), round(-logs[rows, own].mean(), 4))


# --- tables --------------------------------------------------------------------------------------


def read(paths) -> list[dict[str, str]]:
    rows = []
    for path in paths:
        with Path(path).open(newline="") as file:
            rows += list(csv.DictReader(file))
    return rows


Scores = dict[str, dict[tuple[str, ...], float]]  # set, then share, fold and person


def scores_of(rows: list[dict[str, str]], variant: str, metric: str) -> Scores:
    found: Scores = {}
    for row in rows:
        if row["variant"] == variant:
            key = row["share"], row["fold"], row["person"]
            found.setdefault(row["set"], {})[key] = float(row[metric])
    return found


def gaps(first: Scores, second: Scores, share: str | None = None) -> dict[str, np.ndarray]:
    """Mean difference of each person, set by set, over what both have of a share or of all."""
    found: dict[str, dict[str, list[float]]] = {}
    for name in first.keys() & second.keys():
        for key in first[name].keys() & second[name].keys():
            if share in (None, key[0]):
                by_person = found.setdefault(name, {}).setdefault(key[-1], [])
                by_person.append(first[name][key] - second[name][key])
    return {name: np.array([np.mean(found[name][person]) for person in sorted(found[name])])
            for name in sorted(found)}  # fmt: skip


def interval(of_sets: dict[str, np.ndarray]) -> tuple[float, float, float]:
    """Mean over sets of the mean over people, and the ends of its 95 % interval."""
    rng, sets = np.random.default_rng(0), list(of_sets.values())
    means = []
    for _ in range(N_DRAWN):
        picked = [sets[i] for i in rng.integers(len(sets), size=len(sets))]
        means.append(np.mean([rng.choice(each, len(each)).mean() for each in picked]))
    return float(np.mean([each.mean() for each in sets])), *np.quantile(means, [0.025, 0.975])


def print_tables(rows: list[dict[str, str]]) -> None:
    shares = sorted({row["share"] for row in rows}, key=float)
    variants = [v for v in VARIANTS if any(row["variant"] == v for row in rows)]
    people = {(row["set"], row["person"]) for row in rows}
    print(f"{len({name for name, _ in people})} sets, {len(people)} people")
    print_means(rows, variants, shares)
    for reference in (NONE, ALL):
        chosen = [v for v in variants if reference == reference_of(v)]
        if chosen and reference in variants:
            print_differences(rows, chosen, reference, shares)


def print_means(rows: list[dict[str, str]], variants: list[str], shares: list[str]) -> None:
    columns = [(metric, share) for metric in METRICS for share in shares]
    titles = [f"{METRICS[metric][0]}, {float(share):.0%}" for metric, share in columns]
    print_head("mean over sets", [*titles, "recentred"])
    largest = max(sum(row["variant"] == v for row in rows) for v in variants)
    for variant in variants:
        if sum(row["variant"] == variant for row in rows) == largest:  # means of the same people
            cells = []
            for metric, share in columns:
                scores = scores_of(rows, variant, metric)
                nought = {name: dict.fromkeys(people, 0.0) for name, people in scores.items()}
                of_sets = [each.mean() for each in gaps(scores, nought, share).values()]
                cells.append(f"{np.mean(of_sets):.3f}")
            kinds = [row["kind"] == "recenter" for row in rows if row["variant"] == variant]
            print_row(
                variant, [*cells, f"{np.mean(kinds):.0%}" if not variant.endswith(NONE) else ""]
            )


def reference_of(variant: str) -> str | None:
    """The variant that another one is compared with."""
    if variant == NONE:
        return None
    plain = variant.endswith(f", {NONE}") or variant in (RECENTRED, WITHIN, ALL)
    return NONE if plain else ALL


def print_differences(
    rows: list[dict[str, str]], variants: list[str], reference: str, shares: list[str]
) -> None:
    """A row for each variant: both shares together, each of them, and the worst of all sets."""
    percent = [f"{float(share):.0%}" for share in shares]
    print_head(f"beside {reference!r}",
               ["macro-F1, points", *percent, "worst set", "log loss", "worst set"])  # fmt: skip
    for variant in variants:
        cells = []
        for metric, (_, form, worst) in METRICS.items():
            pair = [scores_of(rows, each, metric) for each in (variant, reference)]
            mean, low, high = interval(gaps(*pair))
            cells.append(f"{form(mean)} [{form(low)}, {form(high)}]")
            of_sets = {
                share: {name: each.mean() for name, each in gaps(*pair, share).items()}
                for share in shares
            }
            if metric == "macro_f1":
                cells += [form(np.mean(list(each.values()))) for each in of_sets.values()]
            gap, name, share = worst((gap, name, share) for share, each in of_sets.items()
                                     for name, gap in each.items())  # fmt: skip
            cells.append(f"{form(gap)} ({name}, {float(share):.0%})")
        print_row(variant, cells)


def print_head(title: str, columns: list[str]) -> None:
    print()
    print_row(title, columns)
    print("|---|" + "---|" * len(columns))


def print_row(name: str, cells: list[str]) -> None:
    print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", metavar="SET", help="names of sets; default all")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, metavar="NAME", default=VARIANTS)
    parser.add_argument("--shares", type=float, nargs="+", default=(0.1, 0.5))
    parser.add_argument("--folds", type=int, nargs="+", default=(0,), help="of five outer ones")
    parser.add_argument("--windows", type=int, default=800, help="windows of an outer fold")
    parser.add_argument("--n-times", type=int, default=512, help="samples of an aligned window")
    parser.add_argument("--csv", type=Path, default=Path("adaptation.csv"))
    parser.add_argument("--table", type=Path, nargs="+", metavar="CSV")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print(*VARIANTS, sep="\n")
    elif options.table:
        folds = {str(fold) for fold in options.folds}
        print_tables([row for row in read(options.table) if row["fold"] in folds])
    else:
        run(options.csv, options)


if __name__ == "__main__":
    main()
