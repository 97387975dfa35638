"""ONNX-exportable substitutes for operators that ONNX lacks.

ONNX has no operator for eigenvectors, for a running maximum or for the indices of True. These
functions are used during an export; the faster ones everywhere else.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Numbers of square roots and of terms of the series, for errors below those of float32.
_N_ROOTS, _N_TERMS = 3, 16


def longest_run(above: Tensor) -> Tensor:
    """Length of the longest run of True along the last axis, as in `longest_run_share`.

    All samples of a run have the same number of Falses before them, so the length is the highest
    count of such a number.
    """
    falses = (~above).long().cumsum(-1)
    counts = torch.zeros_like(F.pad(falses, (0, 1)), dtype=torch.float32)
    return counts.scatter_add(-1, falses, above.float()).amax(-1)


def matrix_logarithm(matrix: Tensor, smallest: float) -> Tensor:
    """Logarithm of symmetric matrices, computed by products alone.

    Square roots bring the eigenvalues near 1, where a Chebyshev series with few terms approximates
    the logarithm (Higham, 2008, chapters 6 and 11).

    Parameters
    ----------
    matrix : Tensor of shape (n, size, size)
        Symmetric matrices, whose entries are not far above 1.
    smallest : float
        Lower bound of the eigenvalues, above 0.

    Returns
    -------
    Tensor of shape (n, size, size)
        Logarithms of the matrices.
    """
    size = matrix.shape[-1]
    root = matrix.double()
    eye = torch.eye(size, dtype=root.dtype, device=root.device)
    largest = root.abs().sum(-1).amax(-1)[:, None, None]  # no eigenvalue is above it
    root, low = root / largest, smallest / (1.01 * size)
    for _ in range(_N_ROOTS):
        root, low = _square_root(root, low, eye), math.sqrt(low)
    # log(1 + r^2 - 2 r t) is -2 times the sum of r^k T_k(t) / k, for t from -1 to 1.
    middle, half = (1 + low) / 2, (1 - low) / 2
    ratio = half / middle
    r = (math.sqrt(1 - ratio**2) - 1) / ratio
    twice = (root - middle * eye) * (2 / half)
    later, total = torch.zeros_like(root), torch.zeros_like(root)
    for k in range(_N_TERMS, 0, -1):
        later, total = total, twice @ total - later - (2 * r**k / k) * eye
    logarithm = twice @ total / 2 - later + math.log(middle / (1 + r * r)) * eye
    return (2**_N_ROOTS * logarithm + largest.log() * eye).to(matrix.dtype)


def _square_root(matrix: Tensor, low: float, eye: Tensor) -> Tensor:
    """Square root by the Newton-Schulz iteration, for eigenvalues from `low` to 1."""
    root, inverse, lowest = matrix, eye, math.sqrt(low)
    while 1 - lowest > 1e-13:
        # With this factor, the largest and the smallest eigenvalue become equal in one step.
        factor = math.sqrt(3 / (1 + lowest + lowest * lowest))
        step = (1.5 * factor) * eye - (0.5 * factor**3) * (inverse @ root)
        root, inverse = root @ step, step @ inverse
        lowest = lowest * factor * (1.5 - 0.5 * (lowest * factor) ** 2)
    return root


def power_spectrum(x: Tensor) -> Tensor:
    """Squared magnitude of each bin of the Fourier transform, without that of the mean."""
    n_times = x.shape[-1]
    time = torch.arange(n_times, device=x.device)
    # Whole turns are removed in integer arithmetic, which has no rounding errors.
    turn = time[:, None] * time[None, 1 : n_times // 2 + 1] % n_times
    angle = turn.to(x.dtype) * (2 * math.pi / n_times)
    return (x @ angle.cos()).square() + (x @ angle.sin()).square()


def hann_window(x: Tensor) -> Tensor:
    """Symmetric Hann window as long as the last axis; older exporters do not support torch's."""
    n_times = x.shape[-1]
    time = torch.arange(n_times, dtype=x.dtype, device=x.device)
    return 0.5 - 0.5 * torch.cos(time * (2 * math.pi / max(1, n_times - 1)))


def average_pool(x: Tensor, n: int) -> Tensor:
    """Means of `n` segments of the last axis, with the edges of ``adaptive_avg_pool1d``."""
    n_times = x.shape[-1]
    begin = [i * n_times // n for i in range(n)]
    end = [-(-(i + 1) * n_times // n) for i in range(n)]
    shares = [
        [1 / (e - b) if b <= sample < e else 0.0 for b, e in zip(begin, end, strict=True)]
        for sample in range(n_times)
    ]
    return x @ torch.tensor(shares, dtype=x.dtype, device=x.device)
