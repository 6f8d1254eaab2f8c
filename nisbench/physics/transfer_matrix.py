"""Exact ln Z of an Ising torus from its row transfer matrix T, 2^width x 2^width: Z = Tr T^height.

The tests compare it with Kaufman's formula, from which it is independent. Width and height may be odd or even.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_WIDTH", "log_z"]

LARGEST_WIDTH = 12
"""Largest width: T then has 2^12 x 2^12 float64 entries, 128 MiB."""


def log_z(width: int, beta: float, height: int | None = None) -> float:
    """Return ln Z of a torus with `width` columns and `height` rows; by default height = width.

    Raises ValueError unless 2 <= width <= 12.
    """
    if not 2 <= width <= LARGEST_WIDTH:
        raise ValueError(f"transfer matrix of width {width}: give 2 <= width <= {LARGEST_WIDTH}")
    height = width if height is None else height
    rows = _rows(width)
    within = (rows * np.roll(rows, 1, axis=1)).sum(axis=1)  # (2^width,) sum of s_i s_j over the bonds inside a row
    between = rows @ rows.T  # (2^width, 2^width) the same over the bonds between two rows
    # half of each row's own bonds on either side makes T symmetric, as eigvalsh needs
    exponent = beta * (between + (within[:, None] + within[None, :]) / 2)
    largest = float(exponent.max())  # factored out, so that the exponential does not overflow
    eigenvalues = np.linalg.eigvalsh(np.exp(exponent - largest))
    top = float(eigenvalues[-1])
    return height * (largest + float(np.log(top))) + float(np.log(np.sum((eigenvalues / top) ** height)))


def _rows(width: int) -> NDArray[np.float64]:
    """Return every row of spins once, (2^width, width) of -1.0 and +1.0."""
    bits = (np.arange(2**width)[:, None] >> np.arange(width)) & 1
    return (2 * bits - 1).astype(np.float64)
