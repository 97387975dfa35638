"""
Classes and people in feature space
===================================

Windows of the same person are similar. Before you trust a score, check whether the features of
a network separate the exercises or the people.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, CitrusEmbedder, EmbeddingDisplay, SignalAligner
from citrus_sk.datasets import load_watch

watch = load_watch()
people = ["1", "2", "3", "4"]
known = np.isin(watch.groups, people)
X, y, groups = watch.X[known][::4], watch.y[known][::4], watch.groups[known][::4]
print(len(X), "windows of", len(people), "people")

# %%
# Features of the pre-trained network
# -----------------------------------
# This network was pre-trained on EEG only, without smart-watch data or labels. The title of each
# panel is the share of the variance of the features between classes, or between people. The axis
# labels show how much of the variance each axis explains.

embedder = make_pipeline(SignalAligner(256), CitrusEmbedder(pretrained="eeg-freq")).fit(X)
before = EmbeddingDisplay.from_estimator(embedder, X, y, groups)
print({name: f"{share:.0%}" for name, share in before.shares.items()})

# %%
# For comparison, with seven classes and random labels, the expected share between classes is
# ``(7 - 1) / (n - 1)``.

print(f"by chance: {6 / (len(X) - 1):.0%}")

# %%
# Features of a fitted classifier
# -------------------------------
# For a fitted classifier, the display shows the input of its linear head: the features of the
# network, the band power and the random kernels, with the weights that they have in the head. The
# windows are from people outside the training set, so the classifier cannot have memorised them.

classifier = make_pipeline(SignalAligner(256), CitrusClassifier(random_state=0)).fit(X, y)
others = np.isin(watch.groups, ["7", "8", "9"])
held_out = (watch.X[others][::4], watch.y[others][::4], watch.groups[others][::4])
EmbeddingDisplay.from_estimator(classifier, *held_out)
print(f"accuracy on these people: {classifier.score(*held_out[:2]):.2f}")

# %%
# UMAP (``method="umap"``, after ``pip install umap-learn``) is better at keeping neighbouring
# points together, but its axes and distances have no meaning.

plt.show()
