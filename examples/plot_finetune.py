"""
Fine-tuning, augmentation and callbacks
=======================================

By default, the classifier fits a linear head on frozen features in seconds. Training the whole
network takes longer and has more settings: augmentation, early stopping and callbacks.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from skorch.callbacks import EpochScoring

from citrus_sk import CitrusClassifier, SignalAligner
from citrus_sk.datasets import load_watch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # raised while importing braindecode
    from braindecode.augmentation import ChannelsDropout, SmoothTimeMask

watch = load_watch(window_s=2.56, overlap=0)
known = np.isin(watch.groups, ["1", "2", "3", "4", "5", "6"])
X, y, people = watch.X[known][::6], watch.y[known][::6], watch.groups[known][::6]
new = np.isin(watch.groups, ["8", "9", "10"])
print(len(X), "windows to train on,", new.sum(), "of other people to test on")

# %%
# Augmentation
# ------------
# Augmentations modify the training batches. They are transforms of braindecode, or any function of
# windows and labels. Here we drop random channels and smooth random segments, so that the network
# does not rely on a single one. Mixup is built in (``mixup=0.2``).

augmentation = [
    ChannelsDropout(0.3, p_drop=0.2),
    SmoothTimeMask(0.3, mask_len_samples=16),
]

# %%
# Callbacks
# ---------
# Any skorch callback can be passed. This one records the accuracy on the windows that are held out
# to select the best epoch. If you pass ``groups``, complete people are held out.

watching = EpochScoring("accuracy", name="valid_accuracy", lower_is_better=False)
settings = {
    "preset": "tiny",
    "strategy": "finetune",
    "random_kernels": False,
    "max_epochs": 14,
    "early_stopping": True,
    "patience": 14,
    "callbacks": [watching],
    "random_state": 0,
}
models = {
    "plain": CitrusClassifier(None, **settings),
    "augmented": CitrusClassifier(None, **settings, augmentation=augmentation),
}
for name, clf in models.items():
    pipe = make_pipeline(SignalAligner(128), clf)
    pipe.fit(X, y, citrusclassifier__groups=people)
    print(f"{name:>10}: accuracy on new people {pipe.score(watch.X[new], watch.y[new]):.2f}")

# %%
# The history
# -----------
# ``net_.history`` is skorch's history. It has one row per epoch, with the values that callbacks
# recorded. Augmented windows are harder to learn, so the training loss is higher. The relevant
# value is the loss on held-out people. ``strategy="probe-then-finetune"`` starts from the linear
# head instead. ``selection_`` says whether the network or the probe predicts.

figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", sharex=True)
for (name, clf), line in zip(models.items(), ["-", "--"], strict=True):
    history = clf.net_.history
    epochs = history[:, "epoch"]
    axes[0].plot(epochs, history[:, "train_loss"], line, color="0.6", label=f"{name}, training")
    axes[0].plot(epochs, history[:, "valid_loss"], line, color="0.0", label=f"{name}, held out")
    axes[1].plot(epochs, history[:, "valid_accuracy"], line, color="0.0", label=name)
chance = 1 / len(clf.classes_)
axes[1].axhline(chance, color="0.4", linewidth=1, linestyle=":", label=f"chance, {chance:.2f}")
axes[0].set(xlabel="epoch", ylabel="loss")
axes[1].set(xlabel="epoch", ylabel="accuracy on held-out people")
for panel in axes:
    panel.legend(frameon=False, fontsize="small")
    panel.spines[["top", "right"]].set_visible(False)
plt.show()
