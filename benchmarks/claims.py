"""The claims of the CiTrus paper (arXiv 2412.11695), tested on scores of ``lowdata.py``.

    python benchmarks/claims.py benchmarks/results/lowdata.csv [more.csv ...]

Each comparison pairs two models on every set, fold and fraction that both were run on. Folds of one
set share training windows and are averaged first: a set is one observation. Printed are the mean
difference in macro-F1 with its 95 % interval (see ``paired.py``), on how many sets it is positive,
the effect size (mean over sd of the differences, Cohen's d for pairs), and the p-value of
Wilcoxon's signed-rank test, corrected by Holm's method for the number of comparisons within a
claim. With ten sets the lowest possible p is 0.002 before correction; pairs with fewer than five
sets are left out.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from cells import Row, read
from paired import Scores, gaps, interval, scores_of

from citrus_sk.evaluation import compare_over_sets, correct_holm

CHECKPOINTS = ("eeg-time", "eeg-freq", "multi-time", "multi-freq")
ALIGNMENTS = ("crop", "pad", "native", "rate")
KINDS = ("probe", "finetuned")
FEWEST_SETS = 5


def pairs_of(first: str, second: str, **choices: tuple[str, ...]) -> list[tuple[str, str]]:
    """Both names, filled in with every combination of the choices."""
    filled = [dict(zip(choices, some, strict=True)) for some in product(*choices.values())]
    return [(first.format(**some), second.format(**some)) for some in filled]


def comparisons() -> dict[str, list[tuple[str, str]]]:
    """Pairs of models of each claim, of which the first is said to be better."""
    aligned = pairs_of("network", "probe, {method}", method=ALIGNMENTS)
    aligned += pairs_of("default", "default, {method}", method=ALIGNMENTS)
    start = ("scratch", "eeg-freq")
    hybrid = pairs_of("{kind}, {name}, hybrid", "{kind}, {name}, conv", kind=KINDS, name=start)
    trained = pairs_of(
        "{kind}, {name}, hybrid", "{kind}, scratch, hybrid", kind=KINDS, name=CHECKPOINTS
    )
    trained += pairs_of("{kind}, eeg-freq, conv", "{kind}, scratch, conv", kind=KINDS)
    both = pairs_of(
        "{kind}, multi-{task}, hybrid", "{kind}, eeg-{task}, hybrid",
        kind=KINDS, task=("time", "freq"),
    )  # fmt: skip
    frequency = pairs_of(
        "{kind}, {corpus}-freq, hybrid", "{kind}, {corpus}-time, hybrid",
        kind=KINDS, corpus=("eeg", "multi"),
    )  # fmt: skip
    return {
        "(a) resampling to the pre-training grid beats other alignments": aligned,
        "(b) the hybrid beats the convolution alone": hybrid,
        "(c) pre-training beats scratch": trained,
        "(d) several modalities beat EEG alone": both,
        "(e) the frequency task beats the time task": frequency,
        "(f) the network adds to random kernels, and pre-training to random weights": [
            ("default", "kernels"),
            ("default", "default, random weights"),
            ("default", "network"),
        ],
        "(g) fine-tuning beats a linear probe on the same weights": pairs_of(
            "finetuned, {name}, hybrid", "probe, {name}, hybrid", name=start
        ),
    }


def paired(first: Scores, second: Scores) -> dict[str, float] | None:
    """Differences over the sets that both have; None for fewer than five."""
    of_sets = gaps(first, second)
    if len(of_sets) < FEWEST_SETS:
        return None
    means = np.array([each.mean() for each in of_sets.values()])
    found = compare_over_sets(means, np.zeros(len(means)))
    low, high = interval(of_sets)
    sd = means.std(ddof=1)
    return {
        "mean": found.difference,
        "low": low,
        "high": high,
        "n_sets": found.n_sets,
        "n_better": found.n_better,
        "effect": found.difference / sd if sd else 0.0,
        "p": found.p_value,
    }


def print_claim(title: str, pairs: list[tuple[str, str]], rows: list[Row]) -> None:
    found = []
    for pair in pairs:
        for fraction in sorted({float(row["fraction"]) for row in rows}):
            result = paired(*(scores_of(rows, model, fraction, "macro_f1") for model in pair))
            if result:
                found.append((*pair, fraction, result))
    if not found:
        return
    print(f"\n{title}\n\n| better? | than | labels | difference | sets | effect | p |")
    print("|---|---|---|---|---|---|---|")
    for (first, second, fraction, result), p in zip(
        found, correct_holm([entry[3]["p"] for entry in found]), strict=True
    ):
        print(
            f"| {first} | {second} | {fraction:.0%} | {result['mean']:+.3f} "
            f"[{result['low']:+.3f}, {result['high']:+.3f}] | "
            f"{result['n_better']} of {result['n_sets']} | {result['effect']:+.2f} | {p:.3f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("csv", type=Path, nargs="+")
    rows = read(parser.parse_args().csv)
    for title, pairs in comparisons().items():
        print_claim(title, pairs, rows)


if __name__ == "__main__":
    main()
