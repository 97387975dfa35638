"""Few-label tasks drawn from recordings: classes that the recordings have, and synthetic ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .sampler import Crops, CropSampler, resample_crops
from .synthesis import synthetic_classes

_N_CLASSES, _N_SUPPORT = (2, 3, 4, 5, 8), (2, 3, 5, 8, 16)  # of a task, and for each class
_MOST_QUERIES = 16  # for each class
_SHORTEST = 64  # samples of a crop, where a recording has as many
_JITTER = 0.05  # sd of the log length of crops of one task
_SAME_CHANNEL = 0.8  # share of the tasks whose windows are of one channel
_ATTEMPTS = 20  # draws of a task before it becomes a synthetic one
# Classes by annotation are rarest in recordings and closest to what people classify.
_KEYS = ("recording", "person", "annotation", "annotation", "channel")
_PART = 0.45  # of a recording at its start and its end; windows of the two are not adjacent


@dataclass(frozen=True)
class Episodes:
    """Few-label tasks with the same number of classes and windows.

    Attributes
    ----------
    x : Tensor of shape (n_tasks, n_windows, n_times)
        Windows; the first `n_support` of each task are labelled.
    modality : Tensor of int of shape (n_tasks,)
        Row of each task in the trunk's table of modalities; 0 for unknown.
    labels : Tensor of int of shape (n_windows,)
        Class of each window.
    n_support : int
        Number of labelled windows of a task.
    weight : float
        Weight of a task in the loss; 1 / number of tasks in all processes.
    seed : int
        Seed of the other draws of the step.
    """

    x: Tensor
    modality: Tensor
    labels: Tensor
    n_support: int
    weight: float
    seed: int


@dataclass(frozen=True)
class _Shape:
    n_classes: int
    n_support: int  # for each class
    n_query: int

    @property
    def labels(self) -> np.ndarray:
        classes = np.arange(self.n_classes)
        return np.concatenate([classes.repeat(self.n_support), classes.repeat(self.n_query)])


class EpisodeSampler:
    """Sampler of few-label tasks, each of which depends on the seed and the step alone.

    In half of the tasks, a class is a recording, a person, a channel, or an annotation. The
    labelled and the unlabelled windows are of different people if the class is a channel or an
    annotation, of different recordings if it is a person, and of different times if it is a
    recording. In the other half, classes are synthetic.

    Parameters
    ----------
    sampler : CropSampler
        Sampler of the same recordings.
    n_windows : int
        Number of windows of all tasks of a step.
    annotations : mapping of str to str
        For a data set, a regular expression whose first group, in the name of a recording, is the
        class of that recording.
    """

    def __init__(
        self, sampler: CropSampler, n_windows: int, annotations: Mapping[str, str] | None = None
    ) -> None:
        self.sampler, self.n_windows = sampler, n_windows
        self.codes = _codes(sampler, annotations or {})
        # A table holds the rows of a modality in a data set; its probability is that in `sampler`.
        of_row = np.zeros(len(sampler.stretches))
        for rows, cumulative in sampler.by_modality:
            of_row[rows] = np.diff(cumulative, prepend=0.0)
        source = np.stack([self.codes["dataset"], self.codes["modality"]], axis=1)
        _, table = np.unique(source, axis=0, return_inverse=True)
        table = table.ravel()  # a column in some versions of NumPy
        self.tables = [np.flatnonzero(table == i) for i in range(table.max() + 1)]
        chance = np.bincount(table, of_row)
        self.chance = chance / chance.sum()

    def __call__(self, step: int, part: tuple[int, int] = (0, 1)) -> Episodes:
        """Draw the tasks of a step, or the part of them for one process."""
        rank, n_parts = part
        rng = np.random.default_rng((self.sampler.seed, step, 1))
        shape = _draw_shape(rng, self.n_windows)
        labels, sampling = shape.labels, self.sampler.sampling
        n_tasks = max(n_parts, self.n_windows // len(labels))
        natural = [self._natural(rng, shape) if i % 2 else None for i in range(n_tasks)]
        synthetic = [
            self._background(rng, len(labels), 2 * shape.n_classes) if task is None else None
            for task in natural
        ]
        known = rng.random(n_tasks) >= sampling.unknown
        sign = np.where(sampling.flip & (rng.random(n_tasks) < 0.5), -1, 1)
        seed = int(rng.integers(2**62))

        # Of this process, natural tasks first.
        own = sorted(range(rank, n_tasks, n_parts), key=lambda i: natural[i] is None)
        drawn = [each for i in own if (each := natural[i] or synthetic[i]) is not None]
        n_natural = sum(natural[i] is not None for i in own)
        codes = torch.from_numpy(labels).to(self.sampler.device)
        parts = []
        if drawn[:n_natural]:
            parts.append(self._windows(drawn[:n_natural]))
        if drawn[n_natural:]:
            generator = torch.Generator(self.sampler.device).manual_seed((seed + rank) % 2**62)
            windows = self._windows(drawn[n_natural:])
            background, sources = windows[:, : len(labels)], windows[:, len(labels) :]
            parts.append(synthetic_classes(background, sources, codes, generator))
        modality = np.array([crops.modality[0] for crops in drawn]) + 1
        return Episodes(
            torch.cat(parts) * torch.from_numpy(sign[own]).to(codes.device)[:, None, None],
            torch.from_numpy(np.where(known[own], modality, 0)),
            codes,
            shape.n_classes * shape.n_support,
            1 / n_tasks,
            seed,
        )

    def _windows(self, tasks: Sequence[Crops]) -> Tensor:
        """Windows of tasks, ``(n_tasks, n_windows, n_times)``."""
        crops = Crops.joined(tasks)
        n_times = self.sampler.sampling.n_times
        x = resample_crops(self.sampler.store(crops), crops.length, n_times)
        return x.unflatten(0, (len(tasks), -1))

    def _natural(self, rng: np.random.Generator, shape: _Shape) -> Crops | None:
        """Draw a task with classes of the recordings; None if the attempts did not find one."""
        for _ in range(_ATTEMPTS):
            rows = self.tables[rng.choice(len(self.tables), p=self.chance)]
            key = str(rng.choice(_KEYS))
            if key != "channel" and rng.random() < _SAME_CHANNEL:
                channel = self.codes["channel"][rows]
                rows = rows[channel == rng.choice(channel)]
            values = self.codes[key][rows]
            classes = np.unique(values[values >= 0])
            if len(classes) < shape.n_classes:
                continue
            chosen = rng.permutation(classes)[: shape.n_classes]
            pools = self._pools(rng, key, [rows[values == value] for value in chosen])
            if pools is None:
                continue
            sizes = (shape.n_support, shape.n_query)
            row = np.concatenate(
                [rng.choice(pool, n) for n, half in zip(sizes, pools, strict=True) for pool in half]
            )
            early = np.arange(len(row)) < shape.n_classes * shape.n_support
            if rng.random() < 0.5:
                early = ~early
            return self._crops(rng, row, early if key in ("recording", "person") else None)
        return None

    def _pools(
        self, rng: np.random.Generator, key: str, rows: list[np.ndarray]
    ) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
        """Rows of each class for labelled and for unlabelled windows; None if a class has none."""
        if key == "recording":
            return rows, rows
        codes = self.codes["recording" if key == "person" else "person"]
        half = _half(rng, np.concatenate([codes[each] for each in rows]))
        pools: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for each in rows:
            if key == "person":
                half = _half(rng, codes[each])
            inside = np.isin(codes[each], half)
            first, second = each[inside], each[~inside]
            if key == "person" and not len(first):
                first = second  # of a single recording; other times have to suffice
            if not len(first) or not len(second):
                return None
            pools[0].append(first)
            pools[1].append(second)
        return pools

    def _background(self, rng: np.random.Generator, n_windows: int, n_sources: int) -> Crops:
        """Draw windows of one data set, often of one recording or channel, and other windows."""
        rows = self.tables[rng.choice(len(self.tables), p=self.chance)]
        background = rows
        if rng.random() < 0.5:
            codes = self.codes["recording" if rng.random() < 0.5 else "channel"][rows]
            background = rows[codes == rng.choice(codes)]
        row = np.concatenate([rng.choice(background, n_windows), rng.choice(rows, n_sources)])
        return self._crops(rng, row, None)

    def _crops(self, rng: np.random.Generator, row: np.ndarray, early: np.ndarray | None) -> Crops:
        """Draw a crop of each row, all of about the same length.

        If `early` is not None, it says which windows are from the first part of their recordings;
        the others are from the last part, where recordings are long enough.
        """
        sampler, n_times = self.sampler, self.sampler.sampling.n_times
        recording, channel, start, stop = sampler.stretches[row].T
        extent = stop - start
        low, high = np.log([share * n_times for share in sampler.sampling.crop])
        length = np.exp(rng.uniform(low, high) + _JITTER * rng.standard_normal(len(row)))
        length = np.minimum(length, 2 * n_times)  # as for `crop`; longer ones would alias
        shortest = np.minimum(extent, _SHORTEST)
        part = extent if early is None else np.maximum(shortest, (_PART * extent).astype(np.int64))
        length = np.clip(np.rint(length).astype(np.int64), np.minimum(2, part), part)
        first = (rng.random(len(row)) * (part - length + 1)).astype(np.int64) + start
        if early is not None:
            first = np.where(early, first, first + extent - part)
        modality = self.codes["modality"][row]
        return Crops(recording, channel, first, length, modality, np.arange(len(row)))


def _draw_shape(rng: np.random.Generator, n_windows: int) -> _Shape:
    """Draw sizes of which at least one task fits into a batch."""
    options = [(k, n) for k in _N_CLASSES for n in _N_SUPPORT if k * (n + 2) <= n_windows]
    n_classes, n_support = options[rng.integers(len(options))] if options else (2, 2)
    n_query = min(
        _MOST_QUERIES, max(2, 64 // n_classes), max(2, n_windows // n_classes - n_support)
    )
    return _Shape(n_classes, n_support, n_query)


def _half(rng: np.random.Generator, codes: np.ndarray) -> np.ndarray:
    """Draw half of the different codes, rounded down."""
    different = np.unique(codes)
    return np.asarray(rng.permutation(different)[: len(different) // 2])


def _codes(sampler: CropSampler, annotations: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Integers for the data set, recording, person, ... of each row of `sampler.stretches`."""
    columns = ("dataset", "recording", "person", "annotation", "channel", "modality")
    names: dict[str, list[Any]] = {column: [] for column in columns}
    patterns = {dataset: re.compile(pattern) for dataset, pattern in annotations.items()}
    for index, channel in sampler.stretches[:, :2].tolist():
        recording = sampler.recordings[index]
        dataset = recording.dataset
        pattern = patterns.get(dataset)
        found = None if pattern is None else pattern.search(recording.name)
        names["dataset"].append(dataset)
        names["recording"].append((dataset, index))
        names["person"].append((dataset, recording.subject))
        names["annotation"].append(found and (dataset, found.group(1)))
        names["channel"].append((dataset, recording.ch_names[channel]))
        names["modality"].append(recording.modalities[channel])
    known = {name: i for i, name in enumerate(sampler.modalities)}
    codes = {key: _numbered(values) for key, values in names.items() if key != "modality"}
    codes["modality"] = np.array([known[name] for name in names["modality"]], dtype=np.int64)
    return codes


def _numbered(values: list[Any]) -> np.ndarray:
    """Number values in the order of their first occurrence; -1 for None."""
    numbers: dict[Any, int] = {None: -1}
    return np.array([numbers.setdefault(value, len(numbers) - 1) for value in values], np.int64)
