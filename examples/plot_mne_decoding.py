"""
Combine with mne.decoding
=========================

The estimators of ``mne.decoding`` and of this package can be combined. They accept the same arrays
and Epochs, and work with ``cross_val_multiscore``. This example compares three pipelines on the
same folds: one from MNE only, and two that combine both packages.
"""

import matplotlib.pyplot as plt
import mne
import numpy as np
from mne.decoding import Scaler, Vectorizer, cross_val_multiscore
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_sk import CitrusClassifier, CitrusEmbedder, SignalAligner
from citrus_sk.datasets import load_watch

mne.set_log_level("error")

# %%
# Three pipelines
# ---------------
# ``Scaler`` standardises each channel. Place it before ``SignalAligner``. ``Vectorizer`` flattens
# channels and samples for a linear model. :class:`~citrus_sk.CitrusEmbedder` returns a
# two-dimensional array and can be followed by any scikit-learn model.

watch = load_watch(overlap=0)
chosen = np.isin(watch.groups, ["1", "2", "3", "4", "5", "6"])
X, y, people = watch.X[chosen][::2], watch.y[chosen][::2], watch.groups[chosen][::2]
print(f"{X.shape[0]} windows of {len(np.unique(people))} people, {len(np.unique(y))} exercises")

pipes = {
    "Scaler, Vectorizer,\nLogisticRegression": make_pipeline(
        Scaler(scalings="mean"), Vectorizer(), LogisticRegression(max_iter=1000)
    ),
    "SignalAligner, CitrusEmbedder,\nLogisticRegression": make_pipeline(
        SignalAligner(256),
        CitrusEmbedder(pretrained="eeg-freq"),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    ),
    "Scaler, SignalAligner,\nCitrusClassifier": make_pipeline(
        Scaler(scalings="mean"),
        SignalAligner(256),
        CitrusClassifier(pretrained=None, preset="tiny", random_state=0),
    ),
}

# %%
# Cross-validation by person
# --------------------------
# Complete people are left out. A linear model on raw samples generalises poorly here, because
# repetitions start at different samples; it can only recognise recordings from its training set.

folds = GroupKFold(3)
scores = {
    name: cross_val_multiscore(pipe, X, y, groups=people, cv=folds) for name, pipe in pipes.items()
}
for name, each in scores.items():
    print(f"{each.mean():.2f}  {name}".replace("\n", " "))

# %%
# Scores of the folds
# -------------------

figure, axes = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
for row, each in enumerate(scores.values()):
    axes.plot(each, [row] * len(each), "o", color="0.6", markersize=7)
    axes.plot(each.mean(), row, "|", color="#D55E00", markersize=18, markeredgewidth=3)
axes.axvline(1 / len(np.unique(y)), color="0.0", linestyle=":")
axes.text(1 / len(np.unique(y)) + 0.01, -0.3, "chance", fontsize="small", va="center")
axes.set_yticks(range(len(scores)), scores)
axes.set(xlabel="accuracy on unseen people; orange is the mean", xlim=(0, 1), ylim=(2.5, -0.5))
axes.spines[["top", "right"]].set_visible(False)
plt.show()
