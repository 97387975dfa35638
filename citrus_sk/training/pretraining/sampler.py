"""Random crops of a corpus: which stretch of which recording a training window is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from ...nn import draw_mask

if TYPE_CHECKING:
    from ...signals.recordings.reading import Corpus, Recording

# Share of a GPU's free memory that the recordings may take before they are streamed instead.
_RESIDENT_SHARE = 0.4


@dataclass(frozen=True)
class Sampling:
    """How windows are drawn.

    Attributes
    ----------
    n_times, n_tokens : int
        Samples and tokens of a window.
    batch_size : int
        Channel-windows.
    crop : tuple of two float
        Shortest and longest crop in units of `n_times`; lengths are log-uniform between them and
        every crop is resampled to `n_times`.
    flip : bool
        Whether half of the windows are turned upside down.
    mask_ratio, run_length
        See `TaskConfig`.
    unknown : float
        Share of windows whose modality is hidden from the network.
    simultaneous : int
        Channels of one recording that are drawn together.
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
    """Windows on the grid, with the inputs of the auto-encoder beside them.

    Attributes
    ----------
    x : Tensor of shape (batch, n_times)
        In physical units.
    mask : Tensor of bool of shape (batch, n_tokens)
        True where a token is hidden.
    modality : Tensor of int of shape (batch,)
        Index into the modalities.
    known : Tensor of bool of shape (batch,)
        Whether the trunk uses the modality.
    window : Tensor of int of shape (batch,)
        Equal for channels that were recorded together.
    weight : Tensor of shape (batch,)
        Share in the loss: modalities count alike whatever the draw gave; sums to 1.
    """

    x: Tensor
    mask: Tensor
    modality: Tensor
    known: Tensor
    window: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Crops:
    """Stretches of recordings, one a window: columns of equal length."""

    recording: np.ndarray
    channel: np.ndarray
    first: np.ndarray
    length: np.ndarray
    modality: np.ndarray
    window: np.ndarray

    def part(self, rank: int, n_parts: int) -> tuple[Crops, np.ndarray]:
        """Every `n_parts`-th group of simultaneous channels, and its rows."""
        rows = np.flatnonzero(self.window % n_parts == rank)
        return Crops(*(getattr(self, field.name)[rows] for field in fields(self))), rows


# --- where the samples lie -----------------------------------------------------------------------


class Store(Protocol):
    """Gives the samples of crops."""

    def __call__(self, crops: Crops) -> Tensor:
        """``(n_crops, longest + 1)``: a crop's samples, and the last one again to the end."""


class StreamingStore:
    """Reads crops from arrays or memory maps, one by one."""

    def __init__(self, recordings: list[Recording]) -> None:
        self.recordings = recordings

    def __call__(self, crops: Crops) -> Tensor:
        padded = np.empty((len(crops.length), int(crops.length.max()) + 1), dtype=np.float32)
        columns = (crops.recording, crops.channel, crops.first, crops.length)
        for row, number, channel, first, length in zip(padded, *columns, strict=True):
            recording = self.recordings[number]
            row[:length] = recording.data[channel, first : first + length]
            row[:length] *= recording.scale[channel]
            row[length:] = row[length - 1]
        return torch.from_numpy(padded)


class ResidentStore:
    """Keeps every recording on the device and gathers crops there, all at once."""

    def __init__(self, recordings: list[Recording], device: torch.device) -> None:
        chans = [len(recording.data) for recording in recordings]
        lengths = [recording.data.shape[1] for recording in recordings for _ in recording.data]
        self.first_channel = np.cumsum([0, *chans[:-1]])
        self.start = np.cumsum([0, *lengths[:-1]])
        self.scale = np.concatenate([recording.scale for recording in recordings])
        # int16 stays that, which halves the space; what else arrays hold becomes float32.
        arrays = [np.array(r.data, None if r.data.dtype == np.int16 else "f4") for r in recordings]
        self.flat = torch.cat([torch.from_numpy(array).flatten().to(device) for array in arrays])

    def __call__(self, crops: Crops) -> Tensor:
        device = self.flat.device
        channel = self.first_channel[crops.recording] + crops.channel
        start = torch.from_numpy(self.start[channel] + crops.first).to(device)
        length = torch.from_numpy(crops.length).to(device)
        reach = torch.arange(int(crops.length.max()) + 1, device=device)
        index = start[:, None] + torch.minimum(reach, length[:, None] - 1)
        return self.flat[index] * torch.from_numpy(self.scale[channel]).to(device)[:, None]


def make_store(recordings: list[Recording], device: torch.device) -> Store:
    """On the device where there is room for it, else streamed."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if sum(recording.data.nbytes for recording in recordings) < _RESIDENT_SHARE * free:
            return ResidentStore(recordings, device)
    return StreamingStore(recordings)


# --- what is drawn -------------------------------------------------------------------------------


class CropSampler:
    """Draws batches from a corpus. A batch is a function of seed and step alone.

    So a run that is taken up again at a step, or shared by several processes, sees the very
    windows that it would have seen otherwise. Every modality has the same chance; within one, a
    data set has a chance in proportion to the square root of its hours (64 channels of one head
    are not 64 times one), and within that every second of it the same.
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
        self.kinds = [i for i, name in enumerate(modalities) if name in corpus.modalities]
        self.sampling, self.seed = sampling, seed
        rows = [
            (number, channel, start, stop)
            for number, recording in enumerate(self.recordings)
            for channel, stretches in enumerate(recording.good)
            for start, stop in stretches.tolist()
        ]
        self.stretches = np.array(rows, dtype=np.int64).reshape(-1, 4)
        self.chances = self._chances()
        self.store = make_store(self.recordings, device)

    def _chances(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each modality, its stretches and their cumulated chance."""
        number, channel, start, stop = self.stretches.T
        kinds = [self.recordings[n].modalities[c] for n, c in zip(number, channel, strict=True)]
        dataset = np.array([self.recordings[n].dataset for n in number])
        result = []
        for name in self.modalities:
            own = np.flatnonzero(np.array(kinds) == name)
            if not len(own):
                result.append((own, np.empty(0)))
                continue
            weight = (stop - start)[own].astype(float)
            for each in np.unique(dataset[own]):
                of_set = dataset[own] == each
                weight[of_set] /= math.sqrt(weight[of_set].sum())
            chance = np.cumsum(weight)
            result.append((own, chance / chance[-1]))
        return result

    def __call__(self, step: int, part: tuple[int, int] = (0, 1)) -> Batch:
        """The batch of a step, or one process's part of it."""
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
        own, rows = crops.part(*part)
        x = stretch(self.store(own), own.length, sampling.n_times)
        if sampling.flip:
            x = x * torch.from_numpy(flips[rows]).to(x.device)
        return Batch(
            x,
            mask[rows],
            torch.from_numpy(own.modality),
            torch.from_numpy(known[rows]),
            torch.from_numpy(own.window),
            torch.from_numpy(weight[rows].astype(np.float32)),
        )

    def _draw(self, rng: np.random.Generator) -> Crops:
        n_windows = -(-self.sampling.batch_size // self.sampling.simultaneous)
        # Modalities in turn: each has the same number of windows, but for a remainder.
        turn = int(rng.integers(len(self.kinds)))
        kinds = [self.kinds[(turn + number) % len(self.kinds)] for number in range(n_windows)]
        rows = [
            (*crop, kind, number)
            for number, kind in enumerate(kinds)
            for crop in self._draw_window(rng, kind)
        ]
        return Crops(*np.array(rows, dtype=np.int64).T)

    def _draw_window(self, rng: np.random.Generator, kind: int) -> list[tuple[int, int, int, int]]:
        """One stretch of a channel and, where asked for, of others of its modality."""
        own, chance = self.chances[kind]
        # The sum of chances may fall short of 1 by rounding.
        index = own[min(int(np.searchsorted(chance, rng.random())), len(own) - 1)]
        number, channel, start, stop = self.stretches[index].tolist()
        shortest, longest = (share * self.sampling.n_times for share in self.sampling.crop)
        if stop - start < longest:
            # Short windows, as of an array, are cropped as well, and not all taken whole.
            longest = stop - start
            shortest = shortest if shortest < longest else longest / 2
        low, high = np.log([shortest, longest])
        length = min(stop - start, max(2, round(math.exp(rng.uniform(low, high)))))
        first = start + int(rng.integers(stop - start - length + 1))
        channels = [channel]
        if self.sampling.simultaneous > 1:
            others = self._good_beside(number, channel, first, first + length)
            channels += rng.permutation(others)[: self.sampling.simultaneous - 1].tolist()
        return [(number, each, first, length) for each in channels]

    def _good_beside(self, number: int, channel: int, first: int, last: int) -> list[int]:
        recording = self.recordings[number]
        return [
            other
            for other, stretches in enumerate(recording.good)
            if other != channel
            and recording.modalities[other] == recording.modalities[channel]
            and np.any((stretches[:, 0] <= first) & (stretches[:, 1] >= last))
        ]

    def describe(self, step: int) -> list[str]:
        """Where each window of a step's batch comes from, for messages."""
        crops = self._draw(np.random.default_rng((self.seed, step)))
        columns = (crops.recording, crops.channel, crops.first, crops.length)
        names = []
        for number, channel, first, length in zip(*columns, strict=True):
            recording = self.recordings[number]
            where = f"{recording.ch_names[channel]} from sample {first} to {first + length}"
            names.append(f"{recording.name}, {where}")
        return names


def stretch(padded: Tensor, lengths: np.ndarray, n_times: int) -> Tensor:
    """Bring crops of different lengths to `n_times` samples each, in one go.

    Linear interpolation at the sample times of the aligner. A crop that shrinks is averaged over
    two points a step, which is anti-aliasing enough for the factor of 1.5 that crops shrink by.

    Parameters
    ----------
    padded : Tensor of shape (n_crops, longest + 1)
        See `Store`.
    lengths : ndarray of shape (n_crops,)
        Samples of each crop.
    n_times : int
    """
    device = padded.device
    step = torch.from_numpy((lengths / n_times).astype(np.float32)).to(device)[:, None]
    last = torch.from_numpy(lengths - 1).to(device)[:, None].float()
    grid = torch.arange(n_times, device=device) * step
    aside = torch.where(step > 1, step / 4, 0.0)
    parts = []
    for offset in (-aside, aside) if (lengths > n_times).any() else (aside,):
        position = torch.minimum((grid + offset).clamp_min(0), last)
        left = position.long()
        parts.append(
            torch.lerp(padded.gather(1, left), padded.gather(1, left + 1), position - left)
        )
    return torch.stack(parts).mean(0)


def draw_whole_windows(
    corpus: Corpus, modalities: tuple[str, ...], n_times: int, n_windows: int
) -> tuple[np.ndarray, list[str]]:
    """Windows of `n_times` samples at random places, the modalities in turn.

    Returns
    -------
    windows : ndarray of shape (n_windows, n_times)
    modality : list of str
    """
    sampling = Sampling(
        n_times, n_tokens=2, batch_size=n_windows, crop=(1.0, 1.0), flip=False, mask_ratio=0.5,
        run_length=(1, 1), unknown=0.0, simultaneous=1,
    )  # fmt: skip
    batch = CropSampler(corpus, modalities, sampling, 0, torch.device("cpu"))(0)
    return batch.x.numpy(), [modalities[kind] for kind in batch.modality.tolist()]
