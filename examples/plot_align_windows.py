"""
Align windows of unequal lengths and sampling rates
===================================================

A pre-trained network expects windows of one length. :class:`~citrus_sk.SignalAligner` converts
windows of other lengths to it. This example applies its methods to recorded gestures of different
durations and compares the resulting scores.
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
# The signal is the vertical acceleration of a hand that performs one of ten gestures. The
# recordings come with aeon (``pip install "citrus-sk[peers]"``). For windows of unequal lengths,
# the aligner takes a list of arrays of shape (n_channels, n_times_i).

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # raised while importing aeon
    parts = [load_pickup_gesture_wiimoteZ(split=split) for split in ("train", "test")]
windows = [np.asarray(window) for X, _ in parts for window in X]
y = np.concatenate([labels for _, labels in parts])
lengths = np.array([window.shape[1] for window in windows])
print(f"{len(windows)} gestures of {len(np.unique(y))} kinds, {lengths.min()} to {lengths.max()}")

# %%
# Compare four methods
# --------------------
# ``"resample"`` resamples the whole window to the grid, so slow and fast gestures have the same
# length. ``"rate"`` preserves the time scale: short windows are padded on both sides, and the ends
# of long windows are cut off. ``"pad"`` and ``"crop"`` do not change the samples. They keep the
# middle or the beginning of a window, and pad with zeros.

n_times = 256
aligners = {
    "resample": SignalAligner(n_times),
    "rate": SignalAligner(n_times, method="rate", sfreq=100, target_sfreq=80),
    "pad": SignalAligner(n_times, method="pad"),
    "crop": SignalAligner(n_times, method="crop"),
}
same = y == y[lengths.argmax()]
chosen = [lengths.argmax(), np.flatnonzero(same)[lengths[same].argmin()]]
print("of the same kind:", " and ".join(f"{lengths[index]} samples" for index in chosen))

figure, axes = plt.subplots(
    1 + len(aligners), 2, figsize=(7, 7), layout="constrained", sharey=True, sharex="row"
)
for column, index in enumerate(chosen):
    axes[0, column].plot(windows[index][0], color="0.0", lw=1)
    axes[0, column].set_title(f"{lengths[index]} samples")
    for row, aligner in enumerate(aligners.values(), start=1):
        aligned = aligner.fit_transform(windows)[index, 0]
        axes[row, column].plot(aligned, color="#D55E00", lw=1)
for panel, name in zip(axes[:, 0], ["as recorded", *aligners], strict=True):
    panel.set_ylabel(name)
for panel in axes.flat:
    panel.spines[["top", "right"]].set_visible(False)
axes[-1, 0].set_xlabel("sample")
axes[-1, 1].set_xlabel("sample")

# %%
# Compare the scores
# ------------------
# Each aligner is followed by the same classifier. Another method may be better than the default if
# the duration of a gesture is informative, or if the relevant part is at its beginning. Trying the
# methods takes a minute.

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
# Combine devices with different sampling rates
# ---------------------------------------------
# To use windows from devices with different sampling rates in one model, align the windows of each
# device with a separate aligner. The results have the same length, and the amplitude is preserved.

slow = [window[:, ::2] for window in windows]
fast_grid = SignalAligner(n_times).fit_transform(windows)
slow_grid = SignalAligner(n_times).fit_transform(slow)
alike = np.mean([np.corrcoef(a[0], b[0])[0, 1] for a, b in zip(fast_grid, slow_grid, strict=True)])
print(f"every second sample left out: correlation on the grid {alike:.3f}")

plt.show()
