"""Figures of the page of ``citrus-sk inspect``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from .._utils.html_page import html_figure, html_grid, new_figure
from .._utils.plotting import literal, style
from ..signals.recordings.spectra import Spectrum
from ..signals.recordings.survey import MAINS, RecordingSurvey

_WIDTH = 3.8  # inches
_MOST_ROWS, _MOST_CHANNELS = 40, 40  # of the picture of flaws
_MOST_LENGTHS = 30  # people with a row of their own
_MOST_CLASSES, _MOST_TRACES, _N_PIECES = 24, 8, 300  # of the example windows
_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


def lengths(recordings: Sequence[RecordingSurvey]) -> str:
    """Draw the length of each recording: by person, or as a histogram of many people."""
    seconds = np.array([each.seconds for each in recordings])
    per_unit, unit = next((u for u in _UNITS if seconds.max() >= 2 * u[0]), _UNITS[-1])
    people = _without_shared_folder([each.person for each in recordings])
    names = list(dict.fromkeys(people))
    if len(names) > _MOST_LENGTHS:
        figure, ax = new_figure((_WIDTH, 2.4))
        ax.hist(seconds / per_unit, bins=30, color="0.35")
        ax.set_ylabel("recordings")
    else:
        figure, ax = new_figure((_WIDTH, 0.8 + 0.22 * len(names)))
        rows = [names.index(name) for name in people]
        ax.plot(seconds / per_unit, rows, "o", color="0.0", alpha=0.5, markersize=5)
        ax.set_yticks(range(len(names)), [_shortened(name) for name in names], fontsize="small")
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="y", color="0.9")
        ax.set_axisbelow(True)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"length of a recording ({unit})")
    ax.spines[["top", "right"]].set_visible(False)
    return html_figure(figure, "Length of each recording")


def _without_shared_folder(names: Sequence[str]) -> list[str]:
    """Return the names of people without the data set, if it is the same for all."""
    folder = names[0].partition("/")[0] + "/"
    shared = all(name.startswith(folder) for name in names)
    return [name.removeprefix(folder) if shared else name for name in names]


def flaws(recordings: Sequence[RecordingSurvey]) -> str:
    """Draw the share of flat, clipped and missing samples by recording and channel."""
    names = list(dict.fromkeys(c.name for each in recordings for c in each.channels))
    shares = np.full((len(recordings), len(names)), np.nan)
    for row, each in enumerate(recordings):
        for c in each.channels:
            shares[row, names.index(c.name)] = c.flat + c.clipped + c.missing
    worst = np.argsort(-np.nansum(shares, axis=1), kind="stable")[:_MOST_ROWS]
    shown = np.sort(worst)
    names = names[:_MOST_CHANNELS]
    figure, ax = new_figure((_WIDTH, 1.6 + 0.2 * len(shown)))
    # A channel that a recording does not have. Grey would look like a share of flaws in print.
    ax.patch.set(facecolor="1.0", edgecolor="0.7", hatch="////")
    image = ax.imshow(
        100 * shares[shown, : len(names)], cmap="Oranges", vmin=0, vmax=100, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    size = "x-small" if max(len(shown), len(names)) > 20 else "small"
    ax.set_xticks(range(len(names)), [_shortened(each) for each in names], rotation=90)
    ax.set_yticks(range(len(shown)), [_shortened(recordings[row].name) for row in shown])
    ax.tick_params(labelsize=size)
    bar = figure.colorbar(image, ax=ax, pad=0.02)
    bar.set_label("unusable samples (%)", fontsize="small")
    bar.ax.tick_params(labelsize="small")
    text = "Flat, clipped and missing samples by recording and channel"
    if len(shown) < len(recordings):
        text += f"; the {len(shown)} recordings with most of them, of {len(recordings)}"
    text += ". Hatched: the recording does not have this channel." if np.isnan(shares).any() else ""
    return html_figure(figure, text)


def spectra(found: Sequence[Spectrum]) -> str:
    """Draw the spectrum of each kind of channel, with the frequencies of the mains marked."""
    pictures = []
    for kind, of_kind in groupby(found, lambda spectrum: spectrum.kind):
        figure, ax = new_figure((3.4, 2.4))
        for i, each in enumerate(of_kind):
            color, line, _ = style(i)
            label = f"{each.sfreq:g} Hz, {each.n_chans} channel{'s' * (each.n_chans > 1)}"
            ax.plot(each.frequencies, each.mean, line, color=color, lw=1, label=label)
            ax.fill_between(each.frequencies, each.low, each.high, color=color, alpha=0.2, lw=0)
            _mark_mains(ax, each.sfreq / 2)
        ax.set(xscale="log", xlabel="frequency (Hz)", ylabel="power (dB)")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.legend(frameon=False, fontsize="small", loc="lower left")
        ax.spines[["top", "right"]].set_visible(False)
        pictures.append(html_figure(figure, f"{kind}: power over frequency"))
    return html_grid(pictures)


def _mark_mains(ax: Any, nyquist: float) -> None:
    for mains, side in zip(MAINS, ("right", "left"), strict=True):
        if mains < nyquist:
            ax.axvline(mains, color="#D55E00", linestyle=":", linewidth=1, zorder=0)
            ax.annotate(
                f"{mains:g}", (mains, 1), xycoords=("data", "axes fraction"), ha=side, va="top",
                xytext=(-2 if side == "right" else 2, 0), textcoords="offset points",
                fontsize="small", color="#A34700",
            )  # fmt: skip


def examples(bunch: Bunch) -> str:
    """Draw a window of each class, of one person where this person has the class."""
    y = np.asarray(bunch.y).astype(str)
    X = np.asarray(bunch.X)
    X = (X[:, None] if X.ndim == 2 else X)[:, :_MOST_TRACES]
    classes = np.unique(y)[:_MOST_CLASSES]
    chosen = [_example(y, bunch.groups, each) for each in classes]
    windows = X[chosen].astype(np.float64)
    low, high = np.array([_range(windows[:, i]) for i in range(windows.shape[1])]).T[..., None]
    scaled = 0.9 * (windows - (low + high) / 2) / np.where(high > low, high - low, 1.0)
    names = bunch.ch_names or [f"channel {i}" for i in range(len(low))]
    return html_grid(
        _example_figure(window, names[: len(low)], bunch.sfreq, f"{name}, window {index}")
        for window, name, index in zip(scaled, classes, chosen, strict=True)
    )


def _example_figure(
    window: np.ndarray, names: Sequence[str], sfreq: float | None, text: str
) -> str:
    """Draw the channels of a window, which reach from about -0.45 to 0.45, below each other."""
    figure, ax = new_figure((2.8, 0.9 + 0.28 * len(window)))
    rows = range(len(window))[::-1]
    for row, trace in zip(rows, window, strict=True):
        times, values = _outline(trace, 1 / (sfreq or 1))
        ax.plot(times, row + values, color="0.0", lw=0.7)
    ax.set_yticks(rows, [_shortened(name, 12) for name in names])
    ax.set_ylim(-0.8, len(window) - 0.2)
    ax.set_xlabel("time (s)" if sfreq else "time (samples)")
    ax.spines[["top", "right"]].set_visible(False)
    return html_figure(figure, text)


def _example(y: np.ndarray, groups: Any, label: str) -> int:
    """Return the index of a window of a class, of the person with most classes if possible."""
    of_class = np.flatnonzero(y == label)
    if groups is not None:
        people = np.asarray(groups).astype(str)
        most = max(dict.fromkeys(people), key=lambda name: len(set(y[people == name])))
        own = of_class[people[of_class] == most]
        of_class = own if len(own) else of_class
    return int(of_class[0])


def _range(values: np.ndarray) -> np.ndarray:
    """Return the range of the values of a channel, without the most extreme ones."""
    finite = values[np.isfinite(values)]
    return np.quantile(finite, (0.002, 0.998)) if finite.size else np.zeros(2)


def _outline(trace: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Return times and values; of a long trace, the lowest and highest value of each piece."""
    n_times = len(trace)
    if n_times <= 4 * _N_PIECES:
        return np.arange(n_times) * step, trace
    edges = np.linspace(0, n_times, _N_PIECES + 1).astype(int)[:-1]
    both = np.stack([np.minimum.reduceat(trace, edges), np.maximum.reduceat(trace, edges)], axis=1)
    return np.repeat(edges * step, 2), both.ravel()


def _shortened(name: object, length: int = 24) -> str:
    """Return a name that fits beside an axis, escaped for matplotlib."""
    text = " ".join(str(name).split())
    return literal(text if len(text) <= length else f"{text[: length - 9]}…{text[-8:]}")
