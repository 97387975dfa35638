"""
Is it better than MiniRocket?
=============================

One score beside another is no comparison: the next people might have turned it round. This page
lays two classifiers side by side on the same windows of the same people, at two amounts of
labels, and asks how sure the difference is.
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
# The same draws for both
# -----------------------
# :func:`~citrus_sk.fraction_curve` trains on fractions of the training folds and tests on everybody
# else. ``make_peer`` gives what people pick instead by name; ``list_peers()`` has the others.

models = {
    "citrus": make_pipeline(
        SignalAligner(128), CitrusClassifier(pretrained=None, preset="tiny", random_state=0)
    ),
    "minirocket": make_peer("minirocket"),
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of aeon's own imports
    curve = fraction_curve(
        models, X, y, groups=people, fractions=(0.1, 0.5), cv=5, n_repeats=1, random_state=0
    )
for name in models:
    for fraction in curve.fractions:
        scores = curve.scores(name, "f1_macro", fraction=fraction)
        print(f"{name:>10} at {fraction:.0%}: macro-F1 {scores.mean():.2f}")

# %%
# How sure is the difference?
# ---------------------------
# Folds share training windows, so a plain t-test would find differences where there are none. This
# is the corrected one of Nadeau and Bengio, with Holm's correction over the amounts of data.
# ``low`` and ``high`` bound the difference with 95 % confidence: while 0 lies between them, the
# next people may well turn it round.

table = curve.compare("citrus", "minirocket", "f1_macro")
print(table[["fraction", "difference", "low", "high", "p_holm"]].round(2).to_string(index=False))

# %%
# Fold by fold
# ------------
# The less it hangs on a single fold, the more there is to a difference. This is one data set: over
# several sets there are ``compare_over_sets`` and ``CriticalDifferenceDisplay``.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
FractionCurveDisplay.from_curve(curve, metric="f1_macro", ax=axes[0])
first, second = (curve.scores(name, "f1_macro", fraction=0.1) for name in models)
PairedDifferenceDisplay.from_scores(
    first, second, names=tuple(models), metric="macro-F1",
    labels=[f"fold {i}" for i in range(len(first))], ax=axes[1],
)  # fmt: skip
axes[1].set_title("with 10 % of the labels", fontsize="medium")
plt.show()
