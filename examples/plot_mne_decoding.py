"""
Beside MNE's decoding
=====================

``mne.decoding`` brought scikit-learn's pipelines to brain signals, and its parts fit together with
ours: the same arrays and Epochs, the same ``cross_val_multiscore``. Here three pipelines are
compared on the same folds, one of MNE's own parts and two with ours.
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
# Three ways to decode
# --------------------
# ``Scaler`` standardises each channel and stands before ``SignalAligner``; ``Vectorizer`` lays
# channels and samples side by side for a linear model. Behind :class:`~citrus_sk.CitrusEmbedder`,
# whose output is a table, any scikit-learn model may stand.

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
# The same folds for all
# ----------------------
# Whole people are left out: a linear model of raw samples can hardly do more than recognise a
# recording that it has seen, because no two repetitions begin at the same sample.

folds = GroupKFold(3)
scores = {
    name: cross_val_multiscore(pipe, X, y, groups=people, cv=folds) for name, pipe in pipes.items()
}
for name, each in scores.items():
    print(f"{each.mean():.2f}  {name}".replace("\n", " "))

# %%
# One dot a fold
# --------------

figure, axes = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
for place, each in enumerate(scores.values()):
    axes.plot(each, [place] * len(each), "o", color="0.6", markersize=7)
    axes.plot(each.mean(), place, "|", color="#D55E00", markersize=18, markeredgewidth=3)
axes.axvline(1 / len(np.unique(y)), color="0.0", linestyle=":")
axes.text(1 / len(np.unique(y)) + 0.01, -0.3, "chance", fontsize="small", va="center")
axes.set_yticks(range(len(scores)), scores)
axes.set(xlabel="accuracy on unseen people; orange is the mean", xlim=(0, 1), ylim=(2.5, -0.5))
axes.spines[["top", "right"]].set_visible(False)
plt.show()
