"""
Classes and people in the space of features
===========================================

Windows of one person resemble each other. Whether a network's features tell exercises apart or
rather people is a question to ask before any score is believed.
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
# Before any label
# ----------------
# The features of the pre-trained network, which has seen EEG alone and no watch. The title of a
# panel says how much of the features' variance lies between its classes or its people; axes say
# how much of it can be seen in the plane.

embedder = make_pipeline(SignalAligner(256), CitrusEmbedder(pretrained="eeg-freq")).fit(X)
before = EmbeddingDisplay.from_estimator(embedder, X, y, groups)
print({name: f"{share:.0%}" for name, share in before.shares.items()})

# %%
# What chance would give: with seven classes and this many windows, a share of
# ``(7 - 1) / (n - 1)`` lies between them if labels are drawn at random.

print(f"by chance: {6 / (len(X) - 1):.0%}")

# %%
# What the head is given
# ----------------------
# A fitted classifier is shown by the features of its linear head: network, band power and random
# kernels, weighed as they are there. These are windows of people whom it was not trained on, so
# nothing here was learned by heart.

classifier = make_pipeline(SignalAligner(256), CitrusClassifier(random_state=0)).fit(X, y)
others = np.isin(watch.groups, ["7", "8", "9"])
held_out = (watch.X[others][::4], watch.y[others][::4], watch.groups[others][::4])
EmbeddingDisplay.from_estimator(classifier, *held_out)
print(f"accuracy on these people: {classifier.score(*held_out[:2]):.2f}")

# %%
# Neighbours are kept together better by UMAP (``method="umap"``, after ``pip install umap-learn``),
# at the price of axes and distances that mean nothing.

plt.show()
