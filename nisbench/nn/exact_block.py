"""ln Z(border) of a rectangular Ising block and exact draws of its spins, conditioned on the spins around it.

Z(border) = sum over the inner spins of exp(beta sum of the bonds inside and to the border), by a transfer matrix: the
weights of the 2^columns states of one row move through the block. Draws go back row by row.
Two implementations with the same result: compiled for the CPU (`kernels.transfer_matrix`, site by site) and torch
operations for other devices (`solve_blocks_torch`, row by row).
"""

import math

import torch
from torch import Tensor

from nisbench.errors import InvalidValue
from nisbench.nn.bernoulli import on_cpu, signs
from nisbench.nn.kernels.lattice import Sites
from nisbench.nn.kernels.transfer_matrix import solve_blocks

__all__ = ["block_draw", "block_log_z", "largest_beta", "solve_blocks_torch"]

LARGEST_FLOAT32 = 1.0
"""Largest beta at which float32 weights are used: the error of ln Z is 1e-6 up to here."""
PART = 2**17
"""Number of blocks that the torch operations solve together. A draw of 31 x 7 spins keeps 2 GiB of float32 weights for
this number."""


def block_log_z(lattice: Tensor, border: Tensor, columns: int, beta: float, dtype: torch.dtype) -> Tensor:
    """Return ln Z of the blocks in a batch of lattices, (n_blocks, n) float64.

    With float64 weights it is exact up to rounding. With float32 weights the error is 1e-6 (4e-6 with torch operations)
    for 49 spins up to beta = 1, and in proportion for more spins. Beyond that, float64 is used. Raises InvalidValue
    beyond `largest_beta(columns)`, where float64 weights would underflow.

    Parameters
    ----------
    lattice : (all sites, n) int8
    border : (2 (rows + columns), n_blocks) sites: above (from the left), right (from above), below, left
    columns : spins in a row; 2^columns weights are kept for each block
    dtype : of the weights
    """
    none = lattice.new_empty(0, border.shape[1] * lattice.shape[1], dtype=dtype)
    return _solve(lattice, border.new_empty(0, border.shape[1]), border, columns, beta, none)


def block_draw(lattice: Tensor, drawn: Tensor, border: Tensor, columns: int, beta: float, odds: Tensor) -> Tensor:
    """Draw the spins of the blocks from exp(-beta E)/Z(border) into the lattices; return `block_log_z`.

    Parameters
    ----------
    drawn : (rows columns, n_blocks) sites, row by row
    odds : (rows columns, n_blocks n) of the type of the weights, u/(1 - u) with u uniform on (0, 1)
    """
    return _solve(lattice, drawn, border, columns, beta, odds)


def largest_beta(columns: int, dtype: torch.dtype = torch.float64) -> float:
    """Return the largest beta at which no row of a block can lose all its weights.

    After a row the largest of the 2^columns weights is at least 2^-columns. The same spins in the next row have at most
    2 columns + 1 unlike bonds: columns - 1 inside the row, 2 to the border at its ends, columns to the border below.
    """
    return (-math.log(torch.finfo(dtype).tiny) - columns * math.log(2)) / (2 * (2 * columns + 1))


def _solve(lattice: Tensor, drawn: Tensor, border: Tensor, columns: int, beta: float, odds: Tensor) -> Tensor:
    """ln Z, (n_blocks, n); with odds the spins are drawn as well."""
    rows, (n_blocks, n) = len(border) // 2 - columns, (border.shape[1], lattice.shape[1])
    if beta > largest_beta(columns):
        limit = f"they work up to beta = {largest_beta(columns):.4g}"
        raise InvalidValue(f"beta = {beta:g} is too large for exact blocks with {columns} columns: {limit}")
    if odds.dtype == torch.float32 and beta > min(LARGEST_FLOAT32, largest_beta(columns, torch.float32)):
        odds = odds.double()
    unlike = _rounded(math.exp(-2 * beta), rows, odds)
    if on_cpu(lattice):
        log_z = torch.empty(n_blocks, n, dtype=torch.float64)
        sites = Sites(lattice.numpy(), drawn.numpy(), border.numpy())
        solve_blocks(sites, columns, unlike.numpy(), odds.contiguous().numpy(), log_z.view(-1).numpy())
    else:
        around = lattice[border].flatten(1).to(odds.dtype)  # (2 (rows + columns), n_blocks n)
        parts = zip(torch.split(around, PART, 1), torch.split(odds, PART, 1), strict=True)
        spins, sums = zip(*(solve_blocks_torch(part, columns, unlike, own) for part, own in parts), strict=True)
        log_z = torch.cat(sums).view(n_blocks, n)
        if len(odds):
            lattice[drawn] = torch.cat(spins, 1).to(torch.int8).view(*drawn.shape, n)
    # each bond between two inner spins and from an inner spin to the border counted relative to exp(beta)
    return log_z + beta * ((rows + 1) * columns + rows * (columns + 1))


def _rounded(value: float, rows: int, like: Tensor) -> Tensor:
    """(rows,) numbers of the type of `like` and on its device: `value` rounded up or down, with `value` as their mean.

    The same rounding error in all bonds of a block would add up, to 2e-6 in ln Z of 7 x 7 spins with float32.
    """
    near = torch.tensor(value, dtype=like.dtype, device="cpu")
    direction = math.inf if value > near.item() else -math.inf
    apart = torch.nextafter(near, torch.full_like(near, direction)).item() - near.item()
    line = torch.arange(rows + 1, device=like.device)
    # 0 or 1 for each row; this spreads the second number evenly, as a straight line on a grid
    steps = torch.floor(line * ((value - near.item()) / apart) + 0.5).diff()
    return steps.to(like.dtype) * apart + near.item()  # exact; a copy from the host would make a device wait


def solve_blocks_torch(border: Tensor, columns: int, unlike: Tensor, odds: Tensor) -> tuple[Tensor, Tensor]:
    """Spins, (n_rows columns, n), and ln Z, (n,), of n blocks with borders (2 (n_rows + columns), n).

    `unlike` has one weight for each of the n_rows rows of `columns` spins. The step from one row to the next is one
    matrix product over the 2^columns states. Nothing here waits for a device.
    """
    n, n_rows = border.shape[1], len(unlike)
    weights = unlike.unsqueeze(1)
    state, column = (torch.arange(count, device=border.device) for count in (2**columns, columns))
    bits = state.unsqueeze(1) >> column & 1
    states = 2 * bits.to(border.dtype) - 1  # (2^columns, columns), state i has spin c up where bit c of i is 1
    # numbers of unlike bonds inside a row, (2^columns, 1), and of those with the bonds to the row before
    inside = (states[:, 1:] != states[:, :-1]).sum(1, keepdim=True).to(border.dtype)
    step = inside + (columns - states @ states.T) / 2  # (2^columns, 2^columns)
    steps = weights.unsqueeze(2) ** step  # one matrix for each row
    # numbers of unlike bonds of a spin, down or up, with the border: (2, columns or n_rows, n) on each of four sides
    bonds = torch.stack([1 + border, 1 - border]).div_(2)
    above, right, below, left = torch.split(bonds, [columns, n_rows, columns, n_rows], 1)
    ends = right + left if columns == 1 else right.unsqueeze(1) + left  # ([last spin,] first spin, row, n)
    ends = (weights**ends).view(-1, 1, 2, n_rows, n)
    rows, totals = [weights[0] ** inside * _outer(weights[0] ** above)], list[Tensor]()
    for row in range(n_rows):
        vector = steps[row] @ rows[-1] if row else rows.pop()  # (2^columns, n)
        vector.view(len(ends), -1, 2, n).mul_(ends[..., row, :])
        if row == n_rows - 1:
            vector *= _outer(weights[-1] ** below)
        if not len(odds):
            rows.clear()  # only a draw goes back
        totals.append(vector.sum(0))
        rows.append(vector.div_(totals[-1]))
    log_z = torch.stack(totals).double().log_().sum(0)
    spins = torch.empty_like(odds)
    if len(odds):
        for row in reversed(range(n_rows)):
            drawn_below = spins[(row + 1) * columns :][:columns] if row < n_rows - 1 else None
            weight = weights[min(row + 1, n_rows - 1)]
            spins[row * columns :][:columns] = _draw_row(
                rows[row], drawn_below, weight, odds[row * columns :][:columns]
            )
    return spins, log_z


def _outer(bonds: Tensor) -> Tensor:
    """(2, columns, n) -> (2^columns, n): for each state of a row the product over its spins, down or up."""
    product = bonds[:, -1]
    for column in reversed(range(bonds.shape[1] - 1)):  # column 0 is the lowest bit of the state
        product = (product.unsqueeze(1) * bonds[:, column]).flatten(0, 1)
    return product


def _draw_row(vector: Tensor, below: Tensor | None, weight: Tensor, odds: Tensor) -> Tensor:
    """Draw a row, (columns, n), given the row below: sum over the columns from the left, draw from the right.

    `vector` (2^columns, n) are the weights of the row's states, `weight` (1,) that of unlike spins one above the other.
    Spins are decided for all states of the columns to their right, and then chosen, which takes fewer launches.
    """
    columns, n = odds.shape
    if below is not None:
        vector = vector * _outer(weight ** (torch.stack([1 + below, 1 - below]) / 2))
    decided = []
    for column in range(columns):
        pairs = vector.view(-1, 2, n)  # (2^(columns - column - 1), down or up, n)
        decided.append(pairs[:, 1] > odds[column] * pairs[:, 0])
        vector = pairs.sum(1)
    state = torch.zeros(1, n, dtype=torch.long, device=odds.device)  # the columns drawn so far, as a number
    for up in reversed(decided):
        state = torch.add(up.gather(0, state), state, alpha=2)
    bits = torch.arange(columns, device=odds.device).unsqueeze(1)
    return signs((state >> bits & 1) > 0, like=odds)
