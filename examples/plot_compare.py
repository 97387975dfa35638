"""
Compare with MiniRocket
=======================

Two scores alone do not show which classifier is better, because the ranking may be different for
other people. This example compares two classifiers on the same windows of the same people, at two
fractions of the labels, and tests whether the difference is significant.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, SignalAligner, fraction_curve
from citrus_sk.datasets import load_watch
from citrus_sk.evaluation import FractionCurveDisplay, PairedDifferenceDisplay, make_peer

watch = load_watch(overlap=0)
X, y, people = watch.X[::2], watch.y[::2], watch.groups[::2]

# %%
# Use the same windows for both
# -----------------------------
# :func:`~citrus_sk.fraction_curve` trains on fractions of the training folds and tests on the
# complete test folds. ``make_peer`` creates common alternatives by name; ``list_peers()`` lists
# them.

models = {
    "citrus": make_pipeline(
        SignalAligner(128), CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    ),
    "minirocket": make_peer("minirocket"),
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # raised while importing aeon
    curve = fraction_curve(
        models, X, y, groups=people, fractions=(0.1, 0.5), cv=5, n_repeats=1, random_state=0
    )
for name in models:
    for fraction in curve.fractions:
        scores = curve.scores(name, "f1_macro", fraction=fraction)
        print(f"{name:>10} at {fraction:.0%}: macro-F1 {scores.mean():.2f}")

# %%
# Test the difference
# -------------------
# Folds share training windows, so an ordinary t-test would report differences that do not exist.
# ``compare`` uses the corrected test of Nadeau and Bengio, with Holm's correction over the
# fractions. ``low`` and ``high`` are the limits of the 95 % confidence interval of the difference.
# If it contains 0, the difference is not significant.

table = curve.compare("citrus", "minirocket", "f1_macro")
print(table[["fraction", "difference", "low", "high", "p_holm"]].round(2).to_string(index=False))

# %%
# Differences by fold
# -------------------
# A difference that is similar in all folds is more reliable than one that depends on a single fold.
# To compare classifiers over several data sets, use ``compare_over_sets`` and
# ``CriticalDifferenceDisplay``.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
FractionCurveDisplay.from_curve(curve, metric="f1_macro", ax=axes[0])
first, second = (curve.scores(name, "f1_macro", fraction=0.1) for name in models)
PairedDifferenceDisplay.from_scores(
    first, second, names=tuple(models), metric="macro-F1",
    labels=[f"fold {i}" for i in range(len(first))], ax=axes[1],
)  # fmt: skip
axes[1].set_title("with 10 % of the labels", fontsize="medium")
plt.show()
