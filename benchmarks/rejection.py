"""How often the errors of `RejectingClassifier` are above the wanted share.

    python benchmarks/rejection.py

Prints two tables. In the first, people and their windows are simulated: the log odds of a correct
answer are those that the classifier states, plus a normal offset of each person. Thresholds are
chosen on a few people, and their error is the expected one of all people. In the second, a
classifier predicts each person of the smart-watch recordings without having been trained on them.
The threshold is chosen on the predictions for eight people and applied to those for the two
others, for each pair of people.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from citrus_sk import CitrusClassifier
from citrus_sk.datasets import load_watch
from citrus_sk.estimators.error_bounds import errors_by_threshold

N_WINDOWS, N_DRAWS = 60, 100
CONFIDENCES = (None, 0.8, 0.9)

# Largest probability, whether the answer is wrong, and the person, of each window.
Answers = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw(rng: np.random.Generator, n_people: int, mean: float, spread: float) -> Answers:
    people = np.repeat(np.arange(n_people), N_WINDOWS)
    odds = np.abs(rng.normal(mean, 1.5, len(people)))
    correct = 1 / (1 + np.exp(-odds - rng.normal(scale=spread, size=n_people)[people]))
    return 1 / (1 + np.exp(-odds)), rng.random(len(people)) > correct, people


def population(mean: float, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Largest probabilities, and the expected share of errors at each over all people."""
    odds = np.abs(np.random.default_rng(1).normal(mean, 1.5, 20_000))
    offsets, weights = np.polynomial.hermite_e.hermegauss(40)
    errors = 1 / (1 + np.exp(odds[:, None] + spread * offsets)) @ weights / weights.sum()
    return 1 / (1 + np.exp(-odds)), errors


def threshold(answers: Answers, confidence: float | None, max_error: float) -> float:
    found = errors_by_threshold(*answers, confidence)
    good = found["thresholds"][found["error_bound"] <= max_error]
    return float(good[0]) if len(good) else np.inf


def simulated(n_people: int, mean: float, spread: float, max_error: float) -> str:
    """Share of draws in which nothing is answered, or the error is too large."""
    rng = np.random.default_rng(0)
    probability, wrong = population(mean, spread)
    cells = []
    samples = [draw(rng, n_people, mean, spread) for _ in range(N_DRAWS)]
    for confidence in (None, 0.9):
        chosen = np.array([threshold(each, confidence, max_error) for each in samples])
        above = [wrong[probability >= each].mean() > max_error for each in chosen[chosen < np.inf]]
        cells += [f"{np.sum(above) / N_DRAWS:.2f}", f"{np.mean(chosen == np.inf):.2f}"]
    return " | ".join(
        [f"| {n_people}", f"{spread:g}", f"{wrong.mean():.3f}", str(max_error), *cells]
    )


def watch_answers() -> dict[str, Answers]:
    watch = load_watch(overlap=0)
    _, people = np.unique(watch.groups, return_inverse=True)
    together = {"each window by itself": False, "windows of a person together": True}
    found = {
        name: (np.zeros(len(people)), np.zeros(len(people), bool), people) for name in together
    }
    for train, test in StratifiedGroupKFold(5).split(watch.X, watch.y, people):
        model = CitrusClassifier(random_state=0)
        model.fit(watch.X[train], watch.y[train], groups=people[train])
        for name, is_together in together.items():
            groups = people[test] if is_together else None
            probabilities = model.predict_proba(watch.X[test], groups=groups)
            found[name][0][test] = probabilities.max(axis=1)
            found[name][1][test] = model.classes_[probabilities.argmax(1)] != watch.y[test]
    return found


def on_others(answers: Answers, confidence: float | None, max_error: float) -> str:
    """Pairs with answers, and the share of answers and the error over the windows of all pairs."""
    n_answers, n_wrong, n, with_answers = 0, 0, 0, 0
    probability, wrong, people = answers
    pairs = list(combinations(np.unique(people), 2))
    for pair in pairs:
        new = np.isin(people, pair)
        codes = np.unique(people[~new], return_inverse=True)[1]
        chosen = threshold((probability[~new], wrong[~new], codes), confidence, max_error)
        answered = new & (probability >= chosen)
        n_answers, n_wrong, n = (
            n_answers + answered.sum(),
            n_wrong + wrong[answered].sum(),
            n + new.sum(),
        )
        with_answers += chosen < np.inf
    error = f"{n_wrong / n_answers:.3f}" if n_answers else "-"
    return " | ".join([f"{with_answers} of {len(pairs)}", f"{n_answers / n:.2f}", error])


def main() -> None:
    names = ("people", "sd of offsets", "error of all", "max_error")
    shares = ("above, None", "none, None", "above, 0.9", "none, 0.9")
    print("| " + " | ".join([*names, *shares]) + " |")
    print("|---" * 8 + "|")
    for mean, max_error in ((2, 0.05), (5, 0.02)):
        for n_people in (10, 30):
            for spread in (0.0, 0.5, 1.5):
                print(simulated(n_people, mean, spread, max_error) + " |")
    print("\n| prediction | error of all | max_error | confidence | pairs | answered | error |")
    print("|---" * 7 + "|")
    for name, answers in watch_answers().items():
        for max_error in (0.05, 0.1):
            for confidence in CONFIDENCES:
                start = f"| {name} | {answers[1].mean():.3f} | {max_error} | {confidence} | "
                print(start + on_others(answers, confidence, max_error) + " |")


if __name__ == "__main__":
    main()
