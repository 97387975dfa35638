"""
How many labels are enough?
===========================

Labels are expensive to obtain. This example trains on 4 %, 10 % and 25 % of the labelled
windows of some people, tests on other people, and compares the network with a simple baseline:
a logistic regression on the mean and the standard deviation of every channel.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullLocator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch
from citrus_sk.evaluation import StratifiedFractionKFold

# %%
# The same folds at every fraction
# --------------------------------
# :class:`~citrus_sk.evaluation.StratifiedFractionKFold` splits by person and then selects a
# fraction of the training windows, class by class. The windows of a smaller fraction are a subset
# of those of a larger one, and the test windows are always the same. The points of the curve
# therefore differ only in the number of labels.

watch = load_watch(overlap=0)
fractions = [0.04, 0.1, 0.25]
splitters = [StratifiedFractionKFold(3, train_fraction=fraction) for fraction in fractions]

n_train = []
for fraction, cv in zip(fractions, splitters, strict=True):
    sizes = [len(train) for train, _ in cv.split(watch.X, watch.y, groups=watch.groups)]
    n_train.append(round(sum(sizes) / len(sizes)))
    print(f"{fraction:4.0%} of a training fold: {sizes} windows")

# %%
# Two models
# ----------
# Both models are pipelines that take the original windows. To keep this example fast, we use the
# smallest network, with random weights and a short grid. The baseline is a strong one: the position
# of the arm differs between the exercises, and the mean acceleration reflects it.

mean_and_sd = make_union(
    FunctionTransformer(np.mean, kw_args={"axis": 2}),
    FunctionTransformer(np.std, kw_args={"axis": 2}),
)
models = {
    "CitrusClassifier": make_pipeline(
        SignalAligner(128),
        CitrusClassifier(pretrained=None, preset="tiny", random_state=0),
    ),
    "mean and sd, logistic regression": make_pipeline(
        mean_and_sd, StandardScaler(), LogisticRegression(max_iter=1000)
    ),
}

# %%
# Cross-validation by person
# --------------------------

scores = {
    name: np.array(
        [
            cross_val_score(model, watch.X, watch.y, groups=watch.groups, cv=cv, scoring="f1_macro")
            for cv in splitters
        ]
    )
    for name, model in models.items()
}
for name, of_model in scores.items():
    for fraction, of_fraction in zip(fractions, of_model, strict=True):
        mean, sd = of_fraction.mean(), of_fraction.std(ddof=1)
        print(f"{name:>32} at {fraction:4.0%}: {mean:.2f}, sd {sd:.2f}")

# %%
# The curve
# ---------
# The error bars show the standard deviation over the folds. It is large with ten people, because
# the score depends on who took part.

figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
for (name, of_model), style, shift in zip(
    scores.items(), [("o-", "0.0"), ("s--", "0.5")], [0.97, 1.03], strict=True
):
    axes.errorbar(
        np.array(fractions) * shift,
        of_model.mean(axis=1),
        of_model.std(axis=1, ddof=1),
        fmt=style[0],
        color=style[1],
        capsize=4,
        label=name,
    )
chance = 1 / len(np.unique(watch.y))
axes.axhline(chance, color="0.3", linestyle=":", label=f"chance ({chance:.2f})")
axes.set_xscale("log")
axes.xaxis.set_minor_locator(NullLocator())
axes.set_xticks(
    fractions, [f"{f:.0%}\n{n} windows" for f, n in zip(fractions, n_train, strict=True)]
)
axes.set(
    xlabel="share of the training fold, and labelled windows in it (log scale)",
    ylabel="macro-F1 on unseen people",
    xlim=(fractions[0] / 1.4, fractions[-1] * 1.4),
    ylim=(0, 1),
)
axes.legend(loc="lower right", bbox_to_anchor=(1, 0.15), frameon=False)
plt.show()
