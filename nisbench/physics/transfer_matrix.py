"""ln Z of an Ising torus from the eigenvalues of its row transfer matrix: Z = Tr T^height, T of size 2^width.

A source independent of Kaufman's formula, for tests; it holds for any width, odd or even, and any height.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_WIDTH", "log_z"]

LARGEST_WIDTH = 12
"""T has 2^12 x 2^12 entries, 128 MiB."""


def log_z(width: int, beta: float, height: int | None = None) -> float:
    """The ln Z of `width` columns and `height` rows (default: as many). ValueError outside 2..12 columns."""
    if not 2 <= width <= LARGEST_WIDTH:
        raise ValueError(f"transfer matrix of width {width}: only 2 <= width <= {LARGEST_WIDTH} fits")
    height = width if height is None else height
    rows = _rows(width)
    within = (rows * np.roll(rows, 1, axis=1)).sum(axis=1)  # (2^width,) bonds inside a row, as a sum of s_i s_j
    between = rows @ rows.T  # (2^width, 2^width) bonds between two rows
    exponent = beta * (between + (within[:, None] + within[None, :]) / 2)
    largest = float(exponent.max())
    eigenvalues = np.linalg.eigvalsh(np.exp(exponent - largest))
    top = float(eigenvalues[-1])
    return height * (largest + float(np.log(top))) + float(np.log(np.sum((eigenvalues / top) ** height)))


def _rows(width: int) -> NDArray[np.float64]:
    """(2^width, width): every row of spins once."""
    bits = (np.arange(2**width)[:, None] >> np.arange(width)) & 1
    return (2 * bits - 1).astype(np.float64)
