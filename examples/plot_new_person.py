"""
A new person
============

People differ, so a classifier makes more mistakes on a person whom it was not trained on. This
example adapts a fitted classifier to such a person: first with windows without labels, then with
two labelled windows of each exercise. Nothing is trained again on the other people.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch

# %%
# One person is unknown
# ---------------------
# Ten people did seven exercises with either arm. Person 10 is left out. Of the other people, a
# quarter of the windows is used for training. ``groups`` is the person of each window, so that
# ``fit`` can learn how people differ.

watch = load_watch(overlap=0)
X = SignalAligner(256).fit_transform(watch.X)
y, people = watch.y, watch.groups
train, new = np.flatnonzero(people != "10")[::4], np.flatnonzero(people == "10")

clf = CitrusClassifier(random_state=0).fit(X[train], y[train], groups=people[train])
print(len(train), "training windows of", len(np.unique(people[train])), "people")
print(clf.adaptation_["reason"], "Action:", clf.adaptation_["kind"])

# %%
# Two windows of each exercise will be labelled, one for each arm, and all others are predicted.
# Labelled windows should vary as much as the windows to predict: labels of one arm alone say little
# about the other.

few = np.array([new[watch.recordings[new] == each][0] for each in np.unique(watch.recordings[new])])
rest = np.setdiff1d(new, few)
print(len(few), "windows are labelled, and", len(rest), "are predicted")

# %%
# Three ways to predict
# ---------------------
# Without ``groups``, each window is predicted by itself. With ``groups``, the windows of a person
# are predicted together, without any label. ``personalize`` takes the labelled windows and returns
# a new classifier for this person; ``clf`` does not change.

personal = clf.personalize(X[few], y[few], X_unlabelled=X[rest])
predictions = {
    "unknown": clf.predict(X[rest]),
    "adapted, no labels": clf.predict(X[rest], groups=people[rest]),
    "two labels per exercise": personal.predict(X[rest]),
}
for name, predicted in predictions.items():
    print(f"{name:>24}: {np.mean(predicted == y[rest]):.0%} correct")

# %%
# The mistakes
# ------------
# Each row is one exercise, and each cell is one window: first those of one arm, then those of the
# other. The colour is the predicted exercise, so a dark cell is a mistake. Adaptation removes one
# confusion, between external and internal rotation, but not the other. The page "A new person" of
# the user guide has the scores of all ten people.

exercises = clf.classes_
colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"]
longest = max(np.sum(y[rest] == exercise) for exercise in exercises)


def cells(predicted):
    """Number of the predicted exercise, by exercise and window; NaN where there is no window."""
    table = np.full((len(exercises), longest), np.nan)
    for row, exercise in enumerate(exercises):
        codes = np.searchsorted(exercises, predicted[y[rest] == exercise])
        table[row, : len(codes)] = codes
    return table


figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
for ax, (name, predicted) in zip(axes, predictions.items(), strict=True):
    table = cells(predicted)
    right = table == np.arange(len(exercises))[:, None]
    ax.pcolormesh(
        table, cmap=ListedColormap(colours), vmin=0, vmax=len(colours) - 1,
        alpha=np.where(right, 0.35, 1.0), edgecolor="white", linewidth=1.5,
    )  # fmt: skip
    ax.set_title(f"{name}: {np.mean(predicted == y[rest]):.0%}", fontsize="medium")
    ax.set(xticks=[], xlabel="windows")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
axes[0].set_yticks(np.arange(len(exercises)) + 0.5, exercises)
axes[0].invert_yaxis()
figure.suptitle("Predicted exercise (colour) of each window of person 10")
plt.show()
