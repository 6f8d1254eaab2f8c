"""The Triton kernel that draws a network with one hidden layer on a GPU.

    logit = skip x + last act(first x + bias) + last_bias,   act = PReLU or tanh,   x_k = +1 where logit_k > threshold_k

One program takes some samples through all spins, panel by panel: first the product with everything before the panel,
then the panel spin by spin with its sums in registers. Each finished unit is added to the logits of the panel and each
drawn spin to the units and logits of the panel. All matrices are stored row by row; the columns are the samples.
"""

import triton
import triton.language as tl

__all__ = ["draw_network", "shape"]

LEAST = 16
"""Smallest extent of a matrix product on the tensor units."""
PANEL_UNITS = 32
"""Hidden units of a panel where spins have fewer than two each."""
FEW = 2**13
"""Up to this number of samples a program takes few samples, so that all processors have work."""
SUMS = 2**11
"""Sums of units that a program keeps in registers with more samples."""


def shape(n: int, width: int) -> dict[str, int]:
    """Return the extents of a program for n samples and `width` units a spin.

    `panel` spins, `units` of them (a power of two), `tile` samples, `slab` inputs or units of a product at a time.
    """
    panel = max(LEAST, triton.next_power_of_2(PANEL_UNITS // width))
    units = triton.next_power_of_2(panel * width)
    tile = LEAST if n <= FEW else max(LEAST, SUMS // units)
    return {"panel": panel, "units": units, "tile": tile, "slab": 2 * LEAST}


@triton.jit
def _load(matrix, rows, row_exists, stride, columns, column_exists):  # type: ignore[no-untyped-def]
    """A (rows, columns) part of a matrix, zero outside of the matrix."""
    mask = row_exists[:, None] & column_exists[None, :]
    return tl.load(matrix + rows[:, None] * stride + columns[None, :], mask=mask, other=0)


@triton.jit
def _tanh(z):  # type: ignore[no-untyped-def]
    """tanh z from exp(-2 |z|) <= 1, which cannot overflow."""
    small = tl.exp(-2 * tl.abs(z))
    return tl.where(z > 0, 1 - small, small - 1) / (1 + small)


@triton.jit
def draw_network(  # type: ignore[no-untyped-def]  # this compiler accepts no annotation but constexpr
    first, last, skip, bias, last_bias, slopes, thresholds, inputs, hidden, logits, n, n_spins, n_inputs, n_units,
    width: tl.constexpr, panel: tl.constexpr, units: tl.constexpr, tile: tl.constexpr, slab: tl.constexpr,
    has_skip: tl.constexpr, has_bias: tl.constexpr, has_slopes: tl.constexpr,
):  # fmt: skip
    """Draw one tile of samples; the arguments are those of `fused.draw_fused`, n the number of samples."""
    kind = thresholds.dtype.element_ty
    column = tl.program_id(0) * tile + tl.arange(0, tile).to(tl.int64)
    inside = column < n
    row = tl.cast(n, tl.int64)  # offsets in 64 bits: units times samples may exceed 2^31
    n_border, border_units = n_inputs - n_spins, n_units - n_spins * width
    in_panel, in_units, in_slab = tl.arange(0, panel), tl.arange(0, units), tl.arange(0, slab)
    for start in range(0, n_spins, panel):
        spin = start + in_panel.to(tl.int64)  # offsets into a matrix may exceed 2^31 as well
        unit = border_units + start * width + in_units.to(tl.int64)
        is_spin = spin < n_spins
        is_unit = (in_units < panel * width) & (unit < n_units)
        # sums over everything before the panel: first x (units, tile), skip x + last h (panel, tile)
        known, known_units = n_border + start, border_units + start * width
        sums = tl.zeros((units, tile), dtype=kind)
        answer = tl.zeros((panel, tile), dtype=kind)
        for at in range(0, known, slab):
            source = at + in_slab
            there = source < known
            x = _load(inputs, source, there, row, column, inside)  # (slab, tile)
            # "ieee": the default rounds float32 to TF32, 1e-3
            sums += tl.dot(_load(first, unit, is_unit, n_inputs, source, there), x, input_precision="ieee")
            if has_skip:
                answer += tl.dot(_load(skip, spin, is_spin, n_inputs, source, there), x, input_precision="ieee")
        for at in range(0, known_units, slab):
            source = at + in_slab
            there = source < known_units
            h = _load(hidden, source, there, row, column, inside)  # (slab, tile)
            answer += tl.dot(_load(last, spin, is_spin, n_units, source, there), h, input_precision="ieee")
        if has_bias:
            sums += tl.load(bias + unit, mask=is_unit, other=0)[:, None]
            answer += tl.load(last_bias + spin, mask=is_spin, other=0)[:, None]
        # the panel itself, spin by spin; a row of the registers is read as a masked sum
        for k in range(0, tl.minimum(panel, n_spins - start)):
            for channel in range(0, width):
                own = k * width + channel
                u = known_units + own
                z = tl.sum(tl.where((in_units == own)[:, None], sums, 0.0), axis=0)  # (tile,)
                h = tl.where(z > 0, z, tl.load(slopes + u) * z) if has_slopes else _tanh(z)
                tl.store(hidden + u * row + column, h, mask=inside)
                answer += tl.load(last + spin * n_units + u, mask=is_spin, other=0)[:, None] * h[None, :]
            logit = tl.sum(tl.where((in_panel == k)[:, None], answer, 0.0), axis=0)
            at = start + k
            s = tl.where(logit > tl.load(thresholds + at * row + column, mask=inside, other=0), 1.0, -1.0).to(kind)
            source = n_border + at
            tl.store(inputs + source * row + column, s, mask=inside)
            tl.store(logits + at * row + column, logit, mask=inside)
            sums += tl.load(first + unit * n_inputs + source, mask=is_unit, other=0)[:, None] * s[None, :]
            if has_skip:
                answer += tl.load(skip + spin * n_inputs + source, mask=is_spin, other=0)[:, None] * s[None, :]
        tl.debug_barrier()  # the next panel reads with all threads what single threads have written here
