"""What workers gain in `fraction_curve`, and what it costs beside scikit-learn's `cross_validate`.

    python benchmarks/evaluation.py

Prints the time of the same curve by one and by two workers, whether their scores are the same bits,
and the time of `cross_validate` on the same splits. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import time

from joblib import Parallel, delayed
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.evaluation import StratifiedFractionKFold, fraction_curve

FRACTIONS, FOLDS = (0.05, 0.1), 6
SCORING = ("accuracy", "f1_macro", "neg_log_loss")


def main() -> None:
    watch = load_watch()
    model = make_pipeline(SignalAligner(256), CitrusClassifier(random_state=0))
    seconds, scores = {}, {}
    for n_jobs in (1, 2):
        Parallel(n_jobs=n_jobs)(delayed(_import_torch)() for _ in range(2 * n_jobs))
        start = time.perf_counter()
        curve = fraction_curve(
            model, watch.X, watch.y, groups=watch.groups, fractions=FRACTIONS, cv=FOLDS,
            n_repeats=1, n_jobs=n_jobs,
        )  # fmt: skip
        seconds[n_jobs] = time.perf_counter() - start
        scores[n_jobs] = [[row[name] for name in SCORING] for row in curve.rows]
    start = time.perf_counter()
    for fraction in FRACTIONS:
        cv = StratifiedFractionKFold(FOLDS, train_fraction=fraction)
        cross_validate(model, watch.X, watch.y, groups=watch.groups, cv=cv, scoring=SCORING)
    peer = time.perf_counter() - start
    print(f"{len(scores[1])} fits, one worker:  {seconds[1]:6.1f} s")
    print(
        f"{len(scores[1])} fits, two workers: {seconds[2]:6.1f} s, {seconds[1] / seconds[2]:.2f}x"
    )
    print(f"same bits: {scores[1] == scores[2]}")
    print(f"cross_validate on all cores: {peer:.1f} s, {peer / seconds[1]:.2f}x one worker")


def _import_torch() -> None:
    import citrus_sk.estimators.classifier  # noqa: F401


if __name__ == "__main__":
    main()
