"""
Windows of unequal lengths and rates
====================================

A pre-trained network has seen windows of one length, and your recordings have another one, or
many. :class:`~citrus_sk.SignalAligner` brings them to one grid. This page shows what its methods
do to real gestures, none of which is as long as another, and what that is worth.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from aeon.datasets import load_pickup_gesture_wiimoteZ
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusClassifier, SignalAligner

# %%
# Gestures with a game controller
# -------------------------------
# The vertical acceleration of a hand that does one of ten gestures; the recordings come with
# aeon (``pip install "citrus-sk[peers]"``). A list of arrays of shape (n_channels, n_times_i) is
# what the aligner takes where lengths differ.

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of aeon's own imports
    parts = [load_pickup_gesture_wiimoteZ(split=split) for split in ("train", "test")]
windows = [np.asarray(window) for X, _ in parts for window in X]
y = np.concatenate([labels for _, labels in parts])
lengths = np.array([window.shape[1] for window in windows])
print(f"{len(windows)} gestures of {len(np.unique(y))} kinds, {lengths.min()} to {lengths.max()}")

# %%
# Four ways onto a grid
# ---------------------
# ``"resample"`` stretches every window to the grid, so that a gesture fills it however slowly it
# was done. ``"rate"`` keeps the length of a second: short windows are filled up on both sides,
# long ones lose their ends. ``"pad"`` and ``"crop"`` do not touch a sample; they cut the middle or
# the beginning, and fill with zeros.

n_times = 256
aligners = {
    "resample": SignalAligner(n_times),
    "rate": SignalAligner(n_times, method="rate", sfreq=100, target_sfreq=80),
    "pad": SignalAligner(n_times, method="pad"),
    "crop": SignalAligner(n_times, method="crop"),
}
same = y == y[lengths.argmax()]
chosen = [lengths.argmax(), np.flatnonzero(same)[lengths[same].argmin()]]
print("of one kind:", " and ".join(f"{lengths[place]} samples" for place in chosen))

figure, axes = plt.subplots(
    1 + len(aligners), 2, figsize=(7, 7), layout="constrained", sharey=True, sharex="row"
)
for column, place in enumerate(chosen):
    axes[0, column].plot(windows[place][0], color="0.0", lw=1)
    axes[0, column].set_title(f"{lengths[place]} samples")
    for row, aligner in enumerate(aligners.values(), start=1):
        aligned = aligner.fit_transform(windows)[place, 0]
        axes[row, column].plot(aligned, color="#D55E00", lw=1)
for panel, name in zip(axes[:, 0], ["as recorded", *aligners], strict=True):
    panel.set_ylabel(name)
for panel in axes.flat:
    panel.spines[["top", "right"]].set_visible(False)
axes[-1, 0].set_xlabel("sample")
axes[-1, 1].set_xlabel("sample")

# %%
# What it is worth
# ----------------
# The same classifier behind each of them. Where the duration of a gesture tells something, or
# where all that matters happens at its beginning, another method than the default may win: it
# costs a minute to try.

scores = {}
for name, aligner in aligners.items():
    pipe = make_pipeline(aligner, CitrusClassifier(pretrained=None, preset="tiny", random_state=0))
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    scores[name] = cross_val_score(pipe, windows, y, cv=folds)
    print(f"{name:>9}: accuracy {scores[name].mean():.2f}")

figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.barh(list(scores), [each.mean() for each in scores.values()], color="0.6", edgecolor="0.0")
axes.axvline(1 / len(np.unique(y)), color="0.0", linestyle=":", label="chance")
axes.invert_yaxis()
axes.set(xlabel="accuracy, 4-fold", xlim=(0, 1))
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
axes.spines[["top", "right"]].set_visible(False)

# %%
# One rate for recordings of many devices
# ---------------------------------------
# Windows from devices of unequal rates go into one model when each device has an aligner of its
# own in front of it: what comes out lies on one grid, with the amplitude as it was.

slow = [window[:, ::2] for window in windows]
fast_grid = SignalAligner(n_times).fit_transform(windows)
slow_grid = SignalAligner(n_times).fit_transform(slow)
alike = np.mean([np.corrcoef(a[0], b[0])[0, 1] for a, b in zip(fast_grid, slow_grid, strict=True)])
print(f"every second sample left out: correlation on the grid {alike:.3f}")

plt.show()
