"""A cache of the features of frozen networks, which several fits compute for the same windows."""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._utils.row_store import MOST_BYTES, RowStore
from .._utils.version import __version__
from ..nn import CitrusNetwork

FILE = "citrus_sk-features-1.sqlite3"  # the number is that of the layout
_FEWEST = 8  # windows; for fewer, opening the file takes longer than computing


class FeatureCache:
    """Folder with features of windows, for one call of an estimator's method.

    A file that cannot be used is ignored, with one warning.

    Parameters
    ----------
    folder : path-like
        Existing folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._path = Path(folder) / FILE
        self._is_usable = True

    @classmethod
    def for_fit(cls, folder: Any) -> FeatureCache | None:
        """The cache in the folder `folder`, made if needed; None without a folder."""
        if folder is None:
            return None
        cache = cls(folder)
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            cache._give_up(error)
        return cache

    @classmethod
    def for_prediction(cls, folder: Any) -> FeatureCache | None:
        """The cache in the folder `folder`; None if it does not exist, as on another machine."""
        return None if folder is None or not Path(folder).is_dir() else cls(folder)

    @contextmanager
    def reading(self, network: CitrusNetwork, shape: tuple[int, ...]) -> Iterator[Any]:
        """The network, which looks features of windows up before it computes them.

        Parameters
        ----------
        network : CitrusNetwork
            Network in evaluation mode.
        shape : tuple of int
            Number of windows, and shape of a window.
        """
        store = self._open(network, shape[0])
        if store is None:
            yield network
            return
        with closing(store):
            yield _CachedNetwork(network, shape[1:], store, self)

    def _open(self, network: CitrusNetwork, n_windows: int) -> RowStore | None:
        # On a GPU, rounding depends on the batch, and computing is as fast as reading.
        on_cpu = next(network.parameters()).device.type == "cpu"
        fits = n_windows * 4 * network.readout.n_features <= MOST_BYTES
        if not (self._is_usable and on_cpu and fits and n_windows >= _FEWEST):
            return None
        try:
            return RowStore(self._path)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return None

    def read(self, store: RowStore, keys: list[bytes]) -> dict[bytes, np.ndarray]:
        """The rows that are stored; none if the file cannot be used."""
        try:
            return store.read(keys) if self._is_usable else {}
        except sqlite3.Error as error:
            self._give_up(error)
            return {}

    def write(self, store: RowStore, rows: dict[bytes, np.ndarray]) -> None:
        """Store rows, if the file can be used."""
        try:
            if self._is_usable:
                store.write(rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self._is_usable:
            self._is_usable = False
            warnings.warn(
                f"memory={str(self._path.parent)!r} cannot be used ({error}), so features are "
                f"computed again; results are the same. Pass a folder on a local disk with free "
                f"space, or delete {FILE} in this one if it is damaged.",
                UserWarning,
                stacklevel=2,
            )


@contextmanager
def remembered(network: Any, cache: FeatureCache | None, shape: tuple[int, ...]) -> Iterator[Any]:
    """`FeatureCache.reading`, or the network itself without a cache."""
    if cache is None:
        yield network
        return
    with cache.reading(network, shape) as reading:
        yield reading


class _CachedNetwork:
    """What `infer` needs of a network, with a cache of the features that depend on it alone."""

    independent_windows = True

    def __init__(
        self, network: CitrusNetwork, shape: tuple[int, ...], store: RowStore, cache: FeatureCache
    ) -> None:
        self._network, self._store, self._cache = network, store, cache
        self._of_network = _fingerprint(network, shape)
        self._is_stable: bool | None = None  # not known yet

    def modules(self) -> Iterator[Any]:
        return self._network.modules()

    def eval(self) -> None:
        self._network.eval()

    def __call__(self, x: Tensor) -> Tensor:
        return self._network.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        return self._network.features(x, self._network_features(x))

    def _network_features(self, x: Tensor) -> Tensor:
        if self._is_stable is False:
            return self._network.network_features(x)
        keys = self._keys(x)
        rows = self._cache.read(self._store, keys)
        width = self._network.readout.n_features
        missing = [i for i, key in enumerate(keys) if key not in rows or len(rows[key]) != width]
        if missing:
            found = self._network.network_features(x[missing])
            if self._is_stable is None:
                self._is_stable = self._rounds_alike(x[missing], found)
            if not self._is_stable:
                return self._network.network_features(x)
            new = {keys[i]: row for i, row in zip(missing, found.numpy(), strict=True)}
            self._cache.write(self._store, new)
            rows |= new
        return torch.from_numpy(np.stack([rows[key] for key in keys]))

    def _keys(self, x: Tensor) -> list[bytes]:
        return [
            hashlib.blake2b(self._of_network + window.tobytes(), digest_size=16).digest()
            for window in x.numpy()
        ]

    def _rounds_alike(self, x: Tensor, found: Tensor) -> bool:
        """Whether rounding is the same for a window alone and at another place in a batch.

        It is on the processors that were tried. If it is not, a stored row would not always have
        the bits that the network computes.
        """
        return all(
            torch.equal(self._network.network_features(part(x)), part(found))
            for part in (lambda each: each[:1], lambda each: torch.cat([each[-2:], each[:1]] * 2))
        )


def _fingerprint(network: CitrusNetwork, shape: tuple[int, ...]) -> bytes:
    """Hash of all that the features of a window depend on, besides its samples."""
    state = hashlib.blake2b(digest_size=16)
    config = (network.config, network.n_chans, shape, *_platform())
    state.update(repr(config).encode())
    for name, value in network.state_dict().items():
        if _has_an_effect(network, name):
            state.update(name.encode() + value.numpy().tobytes())
    return state.digest()


def _has_an_effect(network: CitrusNetwork, name: str) -> bool:
    """Whether a part of the state changes the features of the network.

    The mixer, whose random weights differ between seeds, changes nothing before a training.
    """
    if name.startswith("readout.mixer."):
        return network.readout.mixes_channels
    return name.startswith(("trunk.", "readout.", "modality"))


@lru_cache(maxsize=1)
def _platform() -> tuple[str, ...]:
    """What decides, beside numbers, how features are computed."""
    code = hashlib.blake2b(digest_size=16)
    for path in sorted(Path(inspect.getfile(CitrusNetwork)).parent.glob("*.py")):
        code.update(path.read_bytes())
    capability = torch.backends.cpu.get_cpu_capability()
    return code.hexdigest(), __version__, torch.__version__, platform.machine(), capability
