"""Random crops of a corpus, from which training windows are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from ...nn import draw_mask
from .mapped import MappedReads

if TYPE_CHECKING:
    from ...signals.recordings.reading import Corpus, Recording

# Share of a GPU's free memory that the recordings may take before they are streamed instead.
_RESIDENT_SHARE = 0.4


@dataclass(frozen=True)
class Sampling:
    """Parameters of the sampler.

    Attributes
    ----------
    n_times, n_tokens : int
        Numbers of samples and of tokens of a window.
    batch_size : int
        Number of windows of a single channel in a batch.
    crop : tuple of two float
        Shortest and longest crop in units of `n_times`. Lengths are log-uniform between them, and
        every crop is resampled to `n_times`.
    flip : bool
        Whether the sign of half of the windows is changed.
    mask_ratio, run_length
        Parameters of the mask, see `TaskConfig`.
    unknown : float
        Share of windows whose modality is hidden from the network.
    simultaneous : int
        Number of channels of one recording that are drawn together.
    """

    n_times: int
    n_tokens: int
    batch_size: int
    crop: tuple[float, float]
    flip: bool
    mask_ratio: float
    run_length: tuple[int, int]
    unknown: float
    simultaneous: int


@dataclass(frozen=True)
class Batch:
    """Windows on the grid, with the other inputs of the auto-encoder.

    Attributes
    ----------
    x : Tensor of shape (batch, n_times)
        Windows in physical units.
    mask : Tensor of bool of shape (batch, n_tokens)
        True for tokens that are hidden.
    modality : Tensor of int of shape (batch,)
        Index of the modality of each window.
    known : Tensor of bool of shape (batch,)
        Whether the trunk uses the embedding of the modality.
    window : Tensor of int of shape (batch,)
        Number that is equal for simultaneous channels.
    weight : Tensor of shape (batch,)
        Weight in the loss, with a sum of 1. All modalities in the batch have the same total.
    """

    x: Tensor
    mask: Tensor
    modality: Tensor
    known: Tensor
    window: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Crops:
    """Crops of recordings as columns, with one row for each window.

    Attributes
    ----------
    recording, channel : ndarray of int, shape (n_crops,)
        Index of the recording, and of the channel in it.
    first, length : ndarray of int, shape (n_crops,)
        First sample and number of samples.
    modality : ndarray of int, shape (n_crops,)
        Index of the modality.
    window : ndarray of int, shape (n_crops,)
        Number that is equal for simultaneous channels.
    """

    recording: np.ndarray
    channel: np.ndarray
    first: np.ndarray
    length: np.ndarray
    modality: np.ndarray
    window: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Crops]) -> Crops:
        """Join the rows of several crops."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def part(self, rank: int, n_parts: int) -> tuple[Crops, np.ndarray]:
        """Every `n_parts`-th group of simultaneous channels, and the rows that it has here."""
        rows = np.flatnonzero(self.window % n_parts == rank)
        return Crops(*(getattr(self, field.name)[rows] for field in fields(self))), rows


# --- the samples of crops ------------------------------------------------------------------------


class Store(Protocol):
    """Source of the samples of crops."""

    def __call__(self, crops: Crops) -> Tensor:
        """Samples of crops, padded by their last one, of shape ``(n_crops, longest + 1)``."""


class StreamingStore:
    """Store that reads each crop from an array or a memory map."""

    def __init__(self, recordings: list[Recording]) -> None:
        self.recordings = recordings
        self.mapped = MappedReads([recording.data for recording in recordings])

    def __call__(self, crops: Crops) -> Tensor:
        padded = np.empty((len(crops.length), int(crops.length.max()) + 1), dtype=np.float32)
        columns = [
            column.tolist()
            for column in (crops.recording, crops.channel, crops.first, crops.length)
        ]
        self.mapped.announce(zip(*columns, strict=True))
        for row, index, channel, first, length in zip(padded, *columns, strict=True):
            recording = self.recordings[index]
            row[:length] = recording.data[channel, first : first + length]
            row[:length] *= recording.scale[channel]
            row[length:] = row[length - 1]
        return torch.from_numpy(padded)


class ResidentStore:
    """Store that keeps all recordings on the device, and gathers all crops of a batch at once."""

    def __init__(self, recordings: list[Recording], device: torch.device) -> None:
        chans = [len(recording.data) for recording in recordings]
        lengths = [recording.data.shape[1] for recording in recordings for _ in recording.data]
        self.first_channel = np.cumsum([0, *chans[:-1]])
        self.start = np.cumsum([0, *lengths[:-1]])
        self.scale = np.concatenate([recording.scale for recording in recordings])
        # int16 takes half the memory and is kept; other types become float32.
        arrays = [np.array(r.data, None if r.data.dtype == np.int16 else "f4") for r in recordings]
        self.flat = torch.cat([torch.from_numpy(array).flatten().to(device) for array in arrays])

    def __call__(self, crops: Crops) -> Tensor:
        device = self.flat.device
        channel = self.first_channel[crops.recording] + crops.channel
        start = torch.from_numpy(self.start[channel] + crops.first).to(device)
        length = torch.from_numpy(crops.length).to(device)
        offset = torch.arange(int(crops.length.max()) + 1, device=device)
        index = start[:, None] + torch.minimum(offset, length[:, None] - 1)
        return self.flat[index] * torch.from_numpy(self.scale[channel]).to(device)[:, None]


def make_store(recordings: list[Recording], device: torch.device) -> Store:
    """Make a store on the GPU if its memory suffices, else one that streams."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if sum(recording.data.nbytes for recording in recordings) < _RESIDENT_SHARE * free:
            return ResidentStore(recordings, device)
    return StreamingStore(recordings)


# --- the sampler ---------------------------------------------------------------------------------


class CropSampler:
    """Sampler of batches, each of which depends on the seed and the step alone.

    A run that is resumed, or shared by several processes, thus has the same batches. All modalities
    have the same probability. Within a modality, the probability of a data set is proportional to
    the square root of its hours, because 64 channels of one head are not worth 64 times one. Within
    a data set, every second has the same probability.

    Parameters
    ----------
    corpus : Corpus
        Recordings to draw from.
    modalities : tuple of str
        Modalities of the network.
    sampling : Sampling
        Parameters of the windows.
    seed : int
        Seed of all batches.
    device : torch.device
        Device on which recordings are kept if its memory suffices.
    """

    def __init__(
        self,
        corpus: Corpus,
        modalities: tuple[str, ...],
        sampling: Sampling,
        seed: int,
        device: torch.device,
    ) -> None:
        self.recordings, self.modalities = corpus.recordings, modalities
        self.present = [i for i, name in enumerate(modalities) if name in corpus.modalities]
        self.sampling, self.seed = sampling, seed
        rows = [
            (index, channel, start, stop)
            for index, recording in enumerate(self.recordings)
            for channel, stretches in enumerate(recording.good)
            for start, stop in stretches.tolist()
        ]
        self.stretches = np.array(rows, dtype=np.int64).reshape(-1, 4)
        self.by_modality = self._stretches_by_modality()
        self.store = make_store(self.recordings, device)
        # A store that streams reads to the CPU.
        self.device = device if isinstance(self.store, ResidentStore) else torch.device("cpu")

    def _stretches_by_modality(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows of the usable stretches of each modality, with their cumulative probability."""
        index, channel, start, stop = self.stretches.T
        modality = np.array(
            [self.recordings[i].modalities[c] for i, c in zip(index, channel, strict=True)]
        )
        dataset = np.array([self.recordings[i].dataset for i in index])
        result = []
        for name in self.modalities:
            rows = np.flatnonzero(modality == name)
            if not len(rows):
                result.append((rows, np.empty(0)))
                continue
            weight = (stop - start)[rows].astype(float)
            for one in np.unique(dataset[rows]):
                in_dataset = dataset[rows] == one
                weight[in_dataset] /= math.sqrt(weight[in_dataset].sum())
            cumulative = np.cumsum(weight)
            result.append((rows, cumulative / cumulative[-1]))
        return result

    def __call__(self, step: int, part: tuple[int, int] = (0, 1)) -> Batch:
        """Draw the batch of a step, or the part of it for one process."""
        sampling = self.sampling
        rng = np.random.default_rng((self.seed, step))
        crops = self._draw(rng)
        n = len(crops.length)
        flips = rng.choice([-1.0, 1.0], (n, 1)).astype(np.float32)
        known = rng.random(n) >= sampling.unknown
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        mask = draw_mask(n, sampling.n_tokens, sampling.mask_ratio, sampling.run_length, generator)
        counts = np.bincount(crops.modality)
        weight = 1 / (counts[crops.modality] * np.count_nonzero(counts))
        drawn, rows = crops.part(*part)
        x = resample_crops(self.store(drawn), drawn.length, sampling.n_times)
        if sampling.flip:
            x = x * torch.from_numpy(flips[rows]).to(x.device)
        return Batch(
            x,
            mask[rows],
            torch.from_numpy(drawn.modality),
            torch.from_numpy(known[rows]),
            torch.from_numpy(drawn.window),
            torch.from_numpy(weight[rows].astype(np.float32)),
        )

    def _draw(self, rng: np.random.Generator) -> Crops:
        n_windows = -(-self.sampling.batch_size // self.sampling.simultaneous)
        # Modalities alternate, so the numbers of their windows differ by one at most.
        first = int(rng.integers(len(self.present)))
        modality = np.array(self.present)[(first + np.arange(n_windows)) % len(self.present)]
        row = np.empty(n_windows, dtype=np.int64)
        chance = rng.random(n_windows)
        for i in self.present:
            rows, cumulative = self.by_modality[i]
            here = modality == i
            # The last cumulative probability may be below 1 by a rounding error.
            row[here] = rows[np.searchsorted(cumulative[:-1], chance[here], side="right")]
        crops = self._crops_of(rng, row, modality, np.arange(n_windows))
        return crops if self.sampling.simultaneous == 1 else self._with_others(rng, crops)

    def _crops_of(
        self, rng: np.random.Generator, row: np.ndarray, modality: np.ndarray, window: np.ndarray
    ) -> Crops:
        """Draw one crop of each of these rows of `stretches`."""
        recording, channel, start, stop = self.stretches[row].T
        extent = stop - start
        low, high = (
            np.full(len(row), share * self.sampling.n_times) for share in self.sampling.crop
        )
        # Crops of short windows, as in arrays, also have different lengths.
        short = extent < high
        high = np.where(short, extent, high)
        low = np.where(short & (low >= high), high / 2, low)
        length = np.exp(np.log(low) + (np.log(high) - np.log(low)) * rng.random(len(row)))
        length = np.minimum(extent, np.maximum(2, np.rint(length).astype(np.int64)))
        first = start + (rng.random(len(row)) * (extent - length + 1)).astype(np.int64)
        return Crops(recording, channel, first, length, modality, window)

    def _with_others(self, rng: np.random.Generator, crops: Crops) -> Crops:
        """Add simultaneous channels of the same modality, if a recording has any."""
        columns = zip(*(getattr(crops, field.name) for field in fields(crops)), strict=True)
        rows = []
        for index, channel, first, length, modality, window in columns:
            others = self._usable_channels(index, channel, first, first + length)
            others = rng.permutation(others)[: self.sampling.simultaneous - 1].tolist()
            rows += [(index, c, first, length, modality, window) for c in (channel, *others)]
        return Crops(*np.array(rows, dtype=np.int64).T)

    def _usable_channels(self, index: int, channel: int, first: int, last: int) -> list[int]:
        """Other channels of the same modality that are usable from `first` to `last`."""
        recording = self.recordings[index]
        return [
            other
            for other, stretches in enumerate(recording.good)
            if other != channel
            and recording.modalities[other] == recording.modalities[channel]
            and np.any((stretches[:, 0] <= first) & (stretches[:, 1] >= last))
        ]

    def describe(self, step: int) -> list[str]:
        """Describe the origin of each window in the batch of a step, for messages."""
        crops = self._draw(np.random.default_rng((self.seed, step)))
        columns = (crops.recording, crops.channel, crops.first, crops.length)
        names = []
        for index, channel, first, length in zip(*columns, strict=True):
            recording = self.recordings[index]
            where = f"{recording.ch_names[channel]} from sample {first} to {first + length}"
            names.append(f"{recording.name}, {where}")
        return names


def resample_crops(padded: Tensor, lengths: np.ndarray, n_times: int) -> Tensor:
    """Resample crops of different lengths to `n_times` samples each.

    The method is linear interpolation at the sample times of the aligner. If a crop becomes
    shorter, two points are averaged for each sample, which suppresses aliasing well enough for
    factors of up to 2.

    Parameters
    ----------
    padded : Tensor of shape (n_crops, longest + 1)
        Padded samples of a `Store`.
    lengths : ndarray of shape (n_crops,)
        Number of samples of each crop.
    n_times : int
        Number of samples of the result.

    Returns
    -------
    Tensor of shape (n_crops, n_times)
    """
    device = padded.device
    step = torch.from_numpy((lengths / n_times).astype(np.float32)).to(device)[:, None]
    last = torch.from_numpy(lengths - 1).to(device)[:, None].float()
    times = torch.arange(n_times, device=device) * step
    aside = torch.where(step > 1, step / 4, 0.0)
    parts = []
    for offset in (-aside, aside) if (lengths > n_times).any() else (aside,):
        position = torch.minimum((times + offset).clamp_min(0), last)
        left = position.long()
        parts.append(
            torch.lerp(padded.gather(1, left), padded.gather(1, left + 1), position - left)
        )
    return torch.stack(parts).mean(0)


def draw_whole_windows(
    corpus: Corpus, modalities: tuple[str, ...], n_times: int, n_windows: int
) -> tuple[np.ndarray, list[str]]:
    """Draw windows of `n_times` samples at random times, with alternating modalities.

    Returns
    -------
    windows : ndarray of shape (n_windows, n_times)
        Windows in physical units.
    modality : list of str
        Modality of each window.
    """
    sampling = Sampling(
        n_times, n_tokens=2, batch_size=n_windows, crop=(1.0, 1.0), flip=False, mask_ratio=0.5,
        run_length=(1, 1), unknown=0.0, simultaneous=1,
    )  # fmt: skip
    batch = CropSampler(corpus, modalities, sampling, 0, torch.device("cpu"))(0)
    return batch.x.numpy(), [modalities[index] for index in batch.modality.tolist()]
