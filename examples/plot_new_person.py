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
from sklearn.model_selection import GroupKFold

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch

# %%
# Windows of ten people
# ---------------------
# Ten people did seven exercises with either arm. Two windows of each exercise will be labelled for
# a new person, the first of each arm, and all others are predicted. Labelled windows should vary as
# much as the windows to predict: labels of one arm alone say little about the other.

watch = load_watch(overlap=0)
X = SignalAligner(128).fit_transform(watch.X)
y, people = watch.y, watch.groups
labelled = np.zeros(len(X), bool)
labelled[np.unique(watch.recordings, return_index=True)[1]] = True
print(labelled.sum(), "windows are labelled, and", (~labelled).sum(), "are predicted")

# %%
# Three ways to predict
# ---------------------
# In each of five folds, two people are new, and a quarter of the windows of the other eight is
# used for training. ``groups`` is the person of each window, so that ``fit`` can learn how people
# differ.
#
# Without ``groups``, each window is predicted by itself. With ``groups``, the windows of a person
# are predicted together, without any label. ``personalize`` takes the labelled windows and returns
# a new classifier for this person; ``clf`` does not change.

ways = ["unknown", "adapted, no labels", "two labels per exercise"]
predictions = {way: np.empty_like(y) for way in ways}
for train, test in GroupKFold(5).split(X, groups=people):
    train = train[::4]
    clf = CitrusClassifier(random_state=0).fit(X[train], y[train], groups=people[train])
    rest = test[~labelled[test]]
    predictions[ways[0]][rest] = clf.predict(X[rest])
    predictions[ways[1]][rest] = clf.predict(X[rest], groups=people[rest])
    for person in np.unique(people[test]):
        few = np.flatnonzero(labelled & (people == person))
        own = np.flatnonzero(~labelled & (people == person))
        personal = clf.personalize(X[few], y[few], X_unlabelled=X[own])
        predictions[ways[2]][own] = personal.predict(X[own])

print("The last fit:", clf.adaptation_["reason"], "Action:", clf.adaptation_["kind"])
for way, predicted in predictions.items():
    print(f"{way:>24}: {np.mean((predicted == y)[~labelled]):.0%} correct")

# %%
# The mistakes
# ------------
# Each row is one person, each column block is one exercise, and each cell is one window. The colour
# is the predicted exercise: a cell in another colour than its block is a mistake. Adaptation helps
# most people, not all.

exercises = np.unique(y)
names = sorted(np.unique(people), key=int)
colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"]


def windows_of(person, exercise):
    return np.flatnonzero(~labelled & (people == person) & (y == exercise))


width = 1 + max(len(windows_of(person, exercise)) for person in names for exercise in exercises)


def cells(predicted):
    """Number of the predicted exercise, by person, exercise and window; NaN without a window."""
    table = np.full((len(names), len(exercises), width), np.nan)
    for i, person in enumerate(names):
        for j, exercise in enumerate(exercises):
            rows = windows_of(person, exercise)
            table[i, j, : len(rows)] = np.searchsorted(exercises, predicted[rows])
    return table


figure, axes = plt.subplots(3, figsize=(9, 7.5), sharex=True, layout="constrained")
for ax, (way, predicted) in zip(axes, predictions.items(), strict=True):
    table = cells(predicted)
    right = table == np.arange(len(exercises))[:, None]
    ax.pcolormesh(
        table.reshape(len(names), -1), cmap=ListedColormap(colours), vmin=0, vmax=len(colours) - 1,
        alpha=np.where(right, 0.3, 1.0).reshape(len(names), -1), edgecolor="white", linewidth=0.6,
    )  # fmt: skip
    share = np.mean((predicted == y)[~labelled])
    ax.set_title(f"{way}: {share:.0%} correct", fontsize="medium", loc="left")
    ax.set_yticks(np.arange(len(names)) + 0.5, names, fontsize="small")
    ax.set_ylabel("person")
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
centres = (np.arange(len(exercises)) + 0.5) * width
axes[-1].set_xticks(centres, [exercise.replace(" ", "\n") for exercise in exercises])
figure.suptitle("Predicted exercise (colour) of each window of a new person")
plt.show()
