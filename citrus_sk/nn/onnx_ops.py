"""ONNX-exportable substitutes for operators that ONNX lacks.

ONNX knows no eigenvectors, no running maximum and no place of every True. While a network is
exported these stand in for the faster functions that are used everywhere else.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Square roots, and terms of the series behind them: errors stay below those of float32.
_N_ROOTS, _N_TERMS = 3, 16


def longest_run(above: Tensor) -> Tensor:
    """Length of the longest run of True along the last axis, as `longest_stretch` takes it.

    Samples of one run have the same number of Falses before them: the commonest such number.
    """
    falses = (~above).long().cumsum(-1)
    counts = torch.zeros_like(F.pad(falses, (0, 1)), dtype=torch.float32)
    return counts.scatter_add(-1, falses, above.float()).amax(-1)


def matrix_logarithm(matrix: Tensor, smallest: float) -> Tensor:
    """Logarithm of symmetric matrices by products alone.

    Square roots bring the eigenvalues near 1, where a Chebyshev series of few terms has the
    logarithm (Higham, 2008, chapters 6 and 11).

    Parameters
    ----------
    matrix : Tensor of shape (n, size, size)
    smallest : float
        No eigenvalue is below it, and no entry far above 1.

    Returns
    -------
    Tensor of shape (n, size, size)
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
    """By Newton and Schulz, for eigenvalues from `low` to 1."""
    root, inverse, far = matrix, eye, math.sqrt(low)
    while 1 - far > 1e-13:
        # As much further in one step as leaves the largest and the smallest one alike.
        pull = math.sqrt(3 / (1 + far + far * far))
        step = (1.5 * pull) * eye - (0.5 * pull**3) * (inverse @ root)
        root, inverse = root @ step, step @ inverse
        far = far * pull * (1.5 - 0.5 * (far * pull) ** 2)
    return root


def power_spectrum(x: Tensor) -> Tensor:
    """Squared magnitude of each bin of the Fourier transform but that of the mean."""
    n_times = x.shape[-1]
    time = torch.arange(n_times, device=x.device)
    # Whole turns are taken off while the numbers are whole.
    turn = time[:, None] * time[None, 1 : n_times // 2 + 1] % n_times
    angle = turn.to(x.dtype) * (2 * math.pi / n_times)
    return (x @ angle.cos()).square() + (x @ angle.sin()).square()


def hann_window(x: Tensor) -> Tensor:
    """Symmetric Hann window as long as the last axis, which older exporters do not know."""
    n_times = x.shape[-1]
    time = torch.arange(n_times, dtype=x.dtype, device=x.device)
    return 0.5 - 0.5 * torch.cos(time * (2 * math.pi / max(1, n_times - 1)))


def stretch_means(x: Tensor, n: int) -> Tensor:
    """Means of `n` stretches of the last axis, where ``adaptive_avg_pool1d`` cuts them."""
    n_times = x.shape[-1]
    begin = [i * n_times // n for i in range(n)]
    end = [-(-(i + 1) * n_times // n) for i in range(n)]
    shares = [
        [1 / (e - b) if b <= place < e else 0.0 for b, e in zip(begin, end, strict=True)]
        for place in range(n_times)
    ]
    return x @ torch.tensor(shares, dtype=x.dtype, device=x.device)
