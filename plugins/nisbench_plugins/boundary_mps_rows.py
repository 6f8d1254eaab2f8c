"""Row environments of `boundary-mps`: the rows below a row, summed up as a matrix-product state (MPS).

A tensor of the MPS is kept as (p, a, b) with the bonds a and b and the states p of a column: the spin of row r, and on
the torus the pair 2 (spin of row r) + (spin of row 0). Spin index 0 is -1 and spin index 1 is +1.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["free_environments", "torus_environments", "width"]

_Array = NDArray[np.float64]


def width(L: int, chi: int, states: int) -> int:
    """D: the largest bond that occurs for columns with `states` states, rounded up to a multiple of four."""
    largest: int = min(chi, states ** (L // 2))
    return (largest + 3) // 4 * 4


def free_environments(left: _Array, upper: _Array, chi: int) -> _Array:
    """(L, L, 2, D, D): with free edges, the rows below row r sum to prod_c A_c[s_c] of the spins of row r.

    `left` and `upper`, (L, L, 2, 2), are the weights of the bonds by [neighbour's spin, own spin].
    """
    last = [np.ones((2, 1, 1))] * len(left)  # below the last row: no rows, weight 1
    return _stacked(last, lambda row, r: _absorb(row, left[r], upper[r]), chi)


def torus_environments(left: _Array, upper: _Array, around: _Array, chi: int) -> _Array:
    """(L, L, 4, D, D): on the torus, the rows below row r sum to prod_c A_c[s_c, y_c] of the rows r and 0.

    `around` (L, 2, 2) are the weights of the bonds that lead from the last row to row 0. For row 0 itself y_c is s_c,
    so that A_c[s, y] has the same entries for both y.
    """
    last = [weight.reshape(4, 1, 1) for weight in around]
    tensors = _stacked(last, lambda row, r: _absorb_ring(row, left[r], upper[r]), chi)
    tensors[0] = tensors[0][:, [0, 0, 3, 3]]
    return tensors


def _stacked(row: list[_Array], absorb: Callable[[list[_Array], int], list[_Array]], chi: int) -> _Array:
    """(L, L, p, D, D): the environments of all rows, filled with zeros up to D, from that of the last row."""
    L, states = len(row), len(row[0])
    extent = width(L, chi, states)
    tensors = np.zeros((L, L, states, extent, extent))
    for r in reversed(range(L)):
        for c, tensor in enumerate(row):  # (p, a, b)
            tensors[r, c, :, : tensor.shape[1], : tensor.shape[2]] = tensor
        if r:
            row = _truncate(absorb(row, r), chi)
    return tensors


def _absorb(row: list[_Array], left: _Array, upper: _Array) -> list[_Array]:
    """MPS (a, 2, b) of the row above: the sum over the spins of `row` of A, bonds to the left and bonds upwards.

    A bond of the sum has the index (b, spin of the row to its left). QR decompositions from the left make all tensors
    but the last orthogonal. Scales are dropped, because q is normalised by its conditional probabilities.
    """
    result: list[_Array] = []
    carry = np.array([[[1.0, 0.0]]])  # (k, a, spin to the left); column 0 has the same weight for both spins
    for c, tensor in enumerate(row):
        summed = (carry @ left[c]).transpose(2, 0, 1) @ tensor  # (k, a, 2) -> (2, k, a) -> (2, k, b)
        k = summed.shape[1]
        full = summed.transpose(1, 2, 0)[:, None] * upper[c][:, None, :]  # (k, upper spin, b, spin)
        if c == len(row) - 1:
            return [*result, full.sum(3)]
        q, triangle = np.linalg.qr(full.reshape(2 * k, -1))
        result.append(q.reshape(k, 2, -1))
        carry = (triangle / np.linalg.norm(triangle)).reshape(len(triangle), -1, 2)
    raise AssertionError("a row has at least one site")


def _absorb_ring(row: list[_Array], left: _Array, upper: _Array) -> list[_Array]:
    """MPS (a, 4, b) of the row above for rows that close to a ring.

    A bond of the sum has the index (b, s, w): s is the spin of the row to its left and w the spin of column 0, which
    the bond from the last column to column 0 needs.
    """
    result: list[_Array] = []
    known = np.eye(2)[:, :, None, None]  # (s, w, k, a): in column 0 both are the same spin
    for c, tensor in enumerate(row):
        if c == len(row) - 1:
            known = known * left[0][:, :, None, None]
        # (s, 1, w, k, a) @ (s, y, 1, a, b) -> (s, y, w, k, b) -> (k, y, b, s, w)
        summed = (known[:, None] @ tensor.reshape(2, 2, 1, *tensor.shape[1:])).transpose(3, 1, 4, 0, 2)
        k, _, b, _, _ = summed.shape
        full = summed[:, None] * upper[c][:, None, None, :, None]  # (k, upper spin, y, b, s, w)
        if c == len(row) - 1:
            return [*result, full.sum((4, 5)).reshape(k, 4, b)]
        q, triangle = np.linalg.qr(full.reshape(4 * k, -1))
        result.append(q.reshape(k, 4, -1))
        carry = (triangle / np.linalg.norm(triangle)).reshape(-1, b, 2, 2)  # (k, a, spin to the left, w)
        known = np.einsum("katw,ts->swka", carry, left[c + 1])
    raise AssertionError("a row has at least one site")


def _truncate(row: list[_Array], chi: int) -> list[_Array]:
    """MPS (p, a, b) with bonds of at most `chi`: singular value decompositions of (a, p, b) from the right."""
    for c in range(len(row) - 1, 0, -1):
        k, states, b = row[c].shape
        u, values, v = np.linalg.svd(row[c].reshape(k, -1), full_matrices=False)
        row[c] = v[:chi].reshape(-1, states, b)
        row[c - 1] = row[c - 1] @ (u[:, :chi] * (values[:chi] / values[0]))
    return [tensor.transpose(1, 0, 2) for tensor in row]
