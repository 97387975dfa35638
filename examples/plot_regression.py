"""
Predict numbers
===============

:class:`~citrus_sk.CitrusRegressor` predicts numbers instead of labels. In this example, it
estimates the repetitions per minute of an exercise from five seconds of acceleration, for people
outside the training set.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline

from citrus_sk import CitrusRegressor, SignalAligner
from citrus_sk.datasets import load_watch

# %%
# Compute the target
# ------------------
# The repetitions were not counted, but can be estimated from a complete recording: half a minute of
# angular velocity is periodic, and its autocorrelation has a peak at the duration of one
# repetition.

watch = load_watch(overlap=0)


def repetitions_per_minute(recording):
    """Estimate the rate from the windows of a recording, which are contiguous."""
    signal = np.concatenate(list(watch.X[watch.recordings == recording][:, 3:]), axis=1)
    signal = signal - signal.mean(axis=1, keepdims=True)
    power = np.abs(np.fft.rfft(signal, 2 * signal.shape[1])) ** 2
    alike = np.fft.irfft(power.sum(axis=0))[: signal.shape[1]]
    lags = np.arange(signal.shape[1]) / watch.sfreq
    searched = (lags > 0.8) & (lags < 6)
    return 60 / lags[searched][alike[searched].argmax()]


rates = {recording: repetitions_per_minute(recording) for recording in np.unique(watch.recordings)}
y = np.array([rates[recording] for recording in watch.recordings])
print(f"{y.min():.0f} to {y.max():.0f} repetitions a minute, median {np.median(y):.0f}")

# %%
# Acceleration alone
# ------------------
# The target was computed from the angular velocity, so the model only uses the acceleration. People
# 8, 9 and 10 are held out for the test.

acceleration = watch.X[:, :3]
test = np.isin(watch.groups, ["8", "9", "10"])
train = np.flatnonzero(~test)[::2]
models = {
    "the mean of all": DummyRegressor(),
    "CitrusRegressor": make_pipeline(
        SignalAligner(256), CitrusRegressor(pretrained="eeg-freq", random_state=0)
    ),
}
predicted = {}
for name, model in models.items():
    model.fit(acceleration[train], y[train])
    predicted[name] = model.predict(acceleration[test])
    error = mean_absolute_error(y[test], predicted[name])
    r2 = r2_score(y[test], predicted[name])
    print(f"{name}: mean error {error:.1f} a minute, R2 {r2:.2f}")

# %%
# Predictions for each window
# ---------------------------
# A window of five seconds contains few complete repetitions, so the model cannot count them and has
# to rely on how quickly the signal changes. Windows of the same recording have the same target and
# form a vertical line.

figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
limits = [y[test].min() - 4, y[test].max() + 4]
axes.plot(limits, limits, color="0.6", linestyle=":")
axes.scatter(y[test], predicted["CitrusRegressor"], s=12, color="0.1", alpha=0.5, linewidths=0)
axes.set(
    xlabel="repetitions a minute, from the whole recording",
    ylabel="predicted from 5 s of acceleration",
    xlim=limits,
    ylim=limits,
    aspect="equal",
)
axes.spines[["top", "right"]].set_visible(False)
plt.show()
