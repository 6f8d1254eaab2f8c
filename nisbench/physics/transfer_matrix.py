"""Exact ln Z from row transfer matrices: Z = Tr T^height for the uniform torus, and any couplings on small lattices.

The tests compare it with Kaufman's formula, from which it is independent. Width and height may be odd or even.
"""

import numpy as np
from numpy.typing import NDArray

from nisbench.physics.lattice import Lattice

__all__ = ["LARGEST_FREE_WIDTH", "LARGEST_TORUS_WIDTH", "LARGEST_WIDTH", "free_log_z", "log_z", "torus_log_z"]

LARGEST_WIDTH = 12
"""Largest width of `log_z`: T then has 2^12 x 2^12 float64 entries, 128 MiB."""

LARGEST_FREE_WIDTH = 16
"""Largest width of `free_log_z`: its state then has 2^16 entries."""

LARGEST_TORUS_WIDTH = 10
"""Largest width of `torus_log_z`: its matrices then have 2^10 x 2^10 entries."""


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


def free_log_z(lattice: Lattice, beta: float) -> float:
    """Return ln Z for free edges, any couplings and any field. ValueError for a torus or L > 16.

    The state is the partial sum for each configuration of the last L spins, and sites are added row by row. Only
    positive numbers are added, so the result has the accuracy of float64 at any temperature.
    """
    L = lattice.L
    if lattice.boundary != "free" or L > LARGEST_FREE_WIDTH:
        raise ValueError(f"{lattice.boundary} lattice with L = {L}: only free edges with L <= {LARGEST_FREE_WIDTH} fit")
    rows = _rows(L)  # (2^L, L)
    state, log_scale = np.ones(2**L), 0.0
    for row in range(L):
        for column in range(L):
            if row > 0:
                state = _new_spin(state, column, beta * lattice.down[row - 1, column])
            exponent = beta * lattice.field[row * L + column] * rows[:, column]
            if column > 0:
                exponent = exponent + beta * lattice.right[row, column - 1] * rows[:, column - 1] * rows[:, column]
            shift = float(exponent.max())
            state = state * np.exp(exponent - shift)
            largest = float(state.max())
            state, log_scale = state / largest, log_scale + shift + float(np.log(largest))
        log_scale += float(np.abs(beta * lattice.down[row - 1]).sum()) if row > 0 else 0.0
    return log_scale + float(np.log(state.sum()))


def _new_spin(state: NDArray[np.float64], column: int, k: float) -> NDArray[np.float64]:
    """Sum over the old spin of a column with weight exp(k s s' - |k|); (2^L,) -> (2^L,) for the new spin s'."""
    pairs = state.reshape(-1, 2, 2**column)  # axis 1 is the spin of the column
    same, other = np.exp(k - abs(k)), np.exp(-k - abs(k))
    summed: NDArray[np.float64] = same * pairs + other * pairs[:, ::-1]
    return summed.reshape(-1)


def torus_log_z(lattice: Lattice, beta: float) -> float:
    """Return ln Z of a torus with any couplings and any field. ValueError for free edges or L > 10.

    Z is the trace of the product of L matrices of positive numbers, one for each row and its bonds downwards.
    """
    L = lattice.L
    if lattice.boundary != "torus" or L > LARGEST_TORUS_WIDTH:
        raise ValueError(f"{lattice.boundary} lattice with L = {L}: only a torus with L <= {LARGEST_TORUS_WIDTH} fits")
    rows = _rows(L)  # (2^L, L)
    product, log_scale = np.eye(2**L), 0.0
    for row in range(L):
        within = (rows * np.roll(rows, -1, axis=1)) @ lattice.right[row] + rows @ lattice.field.reshape(L, L)[row]
        exponent = beta * (within[:, None] + (rows * lattice.down[row]) @ rows.T)  # (2^L, 2^L)
        shift = float(exponent.max())
        product = product @ np.exp(exponent - shift)
        largest = float(product.max())
        product, log_scale = product / largest, log_scale + shift + float(np.log(largest))
    return log_scale + float(np.log(np.trace(product)))
