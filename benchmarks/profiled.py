"""Where fit and predict spend their time, by part of the model; see ``performance.py --profile``.

Functions of the package are replaced by timed ones. The time of a function does not include that of
the timed functions that it calls.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pkgutil import resolve_name
from typing import Any
from unittest import mock

from performance import N_SINGLE, N_TEST, Case, prepared

REST = "everything else"
PARTS = {
    "checks of X and y": (
        "citrus_sk.estimators.predictor.read_windows",
        "citrus_sk.estimators.predictor.finite",
        "citrus_sk.estimators.predictor.amplitude_range",
        "citrus_sk.estimators.predictor.warn_of_other_amplitude",
        "citrus_sk.estimators.outputs.check_labels",
        "citrus_sk.estimators.outputs.to_float32",
        "citrus_sk.estimators.outputs.label_windows",
    ),
    "reading the weights": ("citrus_sk.estimators.citrus_predictor.CitrusPredictor._find_origin",),
    "building the network": ("citrus_sk.training.draws.Draws.make",),
    "trunk: convolution": ("citrus_sk.nn.encoder.ConvEncoder.forward",),
    "trunk: transformer": ("citrus_sk.nn.transformer.PatchTransformer.forward",),
    "random kernels": (
        "citrus_sk.nn.kernels.RandomKernels.forward",
        "citrus_sk.nn.kernels.RandomKernels.fit",
    ),
    "band power": ("citrus_sk.nn.network.log_band_power",),
    "read-out": ("citrus_sk.nn.readout.ReadOut.forward",),
    "head": (
        "citrus_sk.nn.heads.LinearHead.forward",
        "citrus_sk.nn.heads.LinearHead.set_statistics",
    ),
    "ridge or logistic regression": ("citrus_sk.estimators.classifier.CitrusClassifier._fit_head",),
    "gradients and optimiser": ("citrus_sk.training.members.fine_tune",),
}


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]  # seconds of timed calls inside each call that runs

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.perf_counter() - start
                self.seconds[part] += whole - self._inner.pop()
                self._inner[-1] += whole

        return call


@contextmanager
def profile() -> Iterator[Clock]:
    """Time the parts of everything in the block."""
    clock = Clock()
    with ExitStack() as stack:
        for part, paths in PARTS.items():
            for path in paths:
                owner, _, name = path.rpartition(".")
                function = clock.timed(part, resolve_name(path))
                stack.enter_context(mock.patch.object(resolve_name(owner), name, function))
        yield clock


def parts_of(function: Callable[[], Any], calls: int) -> dict[str, float]:
    """Milliseconds of a call by part, in the order of `PARTS`."""
    with profile() as clock:
        whole = clock.timed(REST, function)
        for _ in range(calls):
            whole()
    return {part: 1000 * clock.seconds[part] / calls for part in (*PARTS, REST)}


def describe(case: Case) -> str:
    """The parts of a fit, of a prediction of many windows, and of single ones, as text."""
    model, X, y = prepared(case)
    n = case.n_windows
    found = {
        f"fit of {n} windows": parts_of(lambda: model.fit(X[:n], y[:n]), 1),
        f"predict {N_TEST} windows": parts_of(lambda: model.predict(X[n:]), 3),
        "predict 1 window": parts_of(lambda: model.predict(X[:1]), N_SINGLE),
    }
    lines = [f"\n{case.model}, windows of {case.n_chans} channels and {case.n_times} samples"]
    for title, parts in found.items():
        whole = sum(parts.values())
        lines.append(f"  {title}: {whole:.1f} ms")
        shown = sorted(parts.items(), key=lambda part: -part[1])
        lines += [f"    {ms:9.2f} ms {ms / whole:5.0%}  {name}" for name, ms in shown if ms > 0]
    return "\n".join(lines)
