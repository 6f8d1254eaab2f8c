"""Triton kernels and block sums of the device, against a plain full pass and against float64 on the CPU."""

import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.gpu.process import Task
from nisbench.nn.dense import AutoregressiveDense
from nisbench.nn.exact_block import block_draw, solve_blocks_torch
from nisbench.nn.formula import Matrices, logits, units
from nisbench.nn.fused import draw_fused
from nisbench.nn.hierarchy import known_neighbours, levels
from nisbench.nn.odd import AutoregressiveOdd

__all__ = ["WrongError", "check_kernels"]

TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-6}
"""Largest error of a logit per unit or spin that is summed over."""
BLOCK_TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Largest error of ln Z of a square block. The error of a longer block grows with its rows."""
BETA = 0.4


class WrongError(Exception):
    """A result that is not the expected one."""


def check_kernels(task: Task) -> None:
    """One row for each network, block and dtype."""
    settings = task.settings
    for (n_spins, n_border, width, n), dtype in itertools.product(settings.dense_nets, TOLERANCES):
        what = f"{n_spins} spins, border {n_border}, width {width}, batch {n}, {_name(dtype)}"
        args = n_spins, n_border, width, n, dtype
        task.attempt("checks", functools.partial(dense, task.device, *args), check="Triton, dense network", of=what)
    for (L, level, width, n), dtype in itertools.product(settings.odd_nets, TOLERANCES):
        what = f"L = {L}, level {level}, width {width}, batch {n}, {_name(dtype)}"
        odd_args = L, level, width, n, dtype
        task.attempt("checks", functools.partial(odd, task.device, *odd_args), check="Triton, odd network", of=what)
    for (rows, columns), dtype in itertools.product(settings.block_shapes, BLOCK_TOLERANCES):
        work = functools.partial(blocks, task.device, rows, columns, dtype)
        task.attempt("checks", work, check="block sums", of=f"{rows} x {columns}, {_name(dtype)}")


def dense(
    device: torch.device, n_spins: int, n_border: int, width: int, n: int, dtype: torch.dtype
) -> Mapping[str, Any]:
    """Spins and logits of the fused draw against one full pass over the drawn spins."""
    torch.manual_seed(n_spins)
    net = AutoregressiveDense(n_spins, n_border, width=width).to(device, dtype)
    return _drawn(net.matrices(), n, TOLERANCES[dtype] * n_spins)


def odd(device: torch.device, L: int, level: int, width: int, n: int, dtype: torch.dtype) -> Mapping[str, Any]:
    """The same for an odd network, whose last matrix is not zero."""
    torch.manual_seed(width)
    net = AutoregressiveOdd(known_neighbours(levels(L)[level], L), width=width).to(dtype)
    net.last.data += torch.randn_like(net.last) / 4
    net = net.to(device)
    matrices = net.matrices(BETA)
    return _drawn(matrices, n, TOLERANCES[dtype] * len(matrices.first))


def _drawn(net: Matrices, n: int, tolerance: float) -> Mapping[str, Any]:
    """Compare a draw of n samples with one full pass."""
    with torch.no_grad():
        like = net.first
        limits, border = (_random(rows, n, like.dtype, like.device) for rows in (len(net.last), net.n_border))
        inputs = torch.cat([_signs(border), torch.zeros_like(limits)])
        found = draw_fused(net, limits, inputs)
        full = logits(net, inputs, units(net, inputs))
        return _compared(inputs[net.n_border :], found, full, limits, tolerance)


def blocks(device: torch.device, rows: int, columns: int, dtype: torch.dtype, n: int = 129) -> Mapping[str, Any]:
    """ln Z and draws of the torch operations on the device against the compiled kernel in float64 on the CPU."""
    border = _signs(_random(2 * (rows + columns), n, dtype, device))
    limits = _random(rows * columns, n, dtype, device)
    spins, log_z = solve_blocks_torch(border, columns, border.new_full((rows,), math.exp(-2 * BETA)), limits.exp())
    # bonds were counted relative to exp(beta)
    log_z = log_z.cpu() + BETA * ((rows + 1) * columns + rows * (columns + 1))
    lattice = torch.cat([border, torch.zeros_like(limits)]).to("cpu", torch.int8)
    around, inside = torch.arange(len(lattice)).unsqueeze(1).split([len(border), len(limits)])
    expected = block_draw(lattice, inside, around, columns, BETA, limits.cpu().double().exp())[0]
    expected_spins = lattice[len(border) :].to(dtype)
    error = float((log_z - expected).abs().max())
    unlike = int((spins.cpu() != expected_spins).sum())
    if not error < BLOCK_TOLERANCES[dtype] * rows / columns:
        raise WrongError(f"ln Z is off by {error:.2g}")
    # In float32 a probability within rounding of its threshold decides otherwise, and later spins follow it.
    if unlike > (0 if dtype == torch.float64 else rows * columns):
        raise WrongError(f"{unlike} of {spins.numel()} spins differ")
    return {"passed": True, "found": f"ln Z to {error:.1g}, {unlike} of {spins.numel()} spins differ"}


def _compared(spins: Tensor, logits: Tensor, full: Tensor, limits: Tensor, tolerance: float) -> Mapping[str, Any]:
    """All (n_spins, n): spins and logits of a draw, logits of the full pass, thresholds of the draw."""
    error = float((logits - full).abs().max())
    wrong = ((spins > 0) != (full > limits)) & ((full - limits).abs() > tolerance)
    if not error < tolerance:
        raise WrongError(f"a logit is off by {error:.2g}, more than {tolerance:.1g}")
    if wrong.any() or not (spins.abs() == 1).all():
        raise WrongError(f"{int(wrong.sum())} spins are on the wrong side of their thresholds")
    return {"passed": True, "found": f"logits to {error:.1g}, tolerance {tolerance:.1g}"}


def _random(rows: int, n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(rows, n) thresholds logit(u), u uniform, the same on every device."""
    return torch.rand(rows, n, generator=Generator().manual_seed(rows + n), dtype=dtype).logit().to(device)


def _signs(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1.0, -1.0).to(values.dtype)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
