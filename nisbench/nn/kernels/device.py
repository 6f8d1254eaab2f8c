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
SLAB = 32
"""Inputs of a product at a time."""
WARPS = 4
"""Warps of a program."""


def shape(n: int, width: int) -> dict[str, int]:
    """Return the extents of a program for n samples and `width` units a spin.

    `panel` spins with `wide` units each, both powers of two; `tile` samples; `slab` inputs and `deep` units of one
    product; the warps of a program.
    """
    panel = max(LEAST, triton.next_power_of_2(PANEL_UNITS // width))
    wide = triton.next_power_of_2(width)
    tile = LEAST if n <= FEW else max(LEAST, SUMS // (panel * wide))
    return {"panel": panel, "wide": wide, "tile": tile, "slab": SLAB, "deep": SLAB * min(4, wide), "num_warps": WARPS}


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
def _before_panel(  # type: ignore[no-untyped-def]
    first, last, skip, bias, last_bias, inputs, hidden, row, column, inside, spin, is_spin, unit, is_unit,
    known, known_units, n_inputs, n_units,
    slab: tl.constexpr, deep: tl.constexpr, has_skip: tl.constexpr, has_bias: tl.constexpr,
):  # fmt: skip
    """The sums over everything before a panel: first x + bias (units, tile), skip x + last h + last_bias (spins, tile).

    `known` inputs and `known_units` hidden units lie before the panel.
    """
    kind = inputs.dtype.element_ty
    in_slab, in_deep = tl.arange(0, slab), tl.arange(0, deep)
    sums = tl.zeros((unit.shape[0], column.shape[0]), dtype=kind)
    answer = tl.zeros((spin.shape[0], column.shape[0]), dtype=kind)
    for at in range(0, known, slab):
        source = at + in_slab
        there = source < known
        x = _load(inputs, source, there, row, column, inside)  # (slab, tile)
        # "ieee": the default rounds float32 to TF32, 1e-3
        sums += tl.dot(_load(first, unit, is_unit, n_inputs, source, there), x, input_precision="ieee")
        if has_skip:
            answer += tl.dot(_load(skip, spin, is_spin, n_inputs, source, there), x, input_precision="ieee")
    for at in range(0, known_units, deep):
        source = at + in_deep
        there = source < known_units
        h = _load(hidden, source, there, row, column, inside)  # (deep, tile)
        answer += tl.dot(_load(last, spin, is_spin, n_units, source, there), h, input_precision="ieee")
    if has_bias:
        sums += tl.load(bias + unit, mask=is_unit, other=0)[:, None]
        answer += tl.load(last_bias + spin, mask=is_spin, other=0)[:, None]
    return sums, answer


@triton.jit
def draw_network(  # type: ignore[no-untyped-def]  # this compiler accepts no annotation but constexpr
    first, last, skip, bias, last_bias, slopes, thresholds, inputs, hidden, logits, n, n_spins, n_inputs, n_units,
    width: tl.constexpr, panel: tl.constexpr, wide: tl.constexpr, tile: tl.constexpr, slab: tl.constexpr,
    deep: tl.constexpr, has_skip: tl.constexpr, has_bias: tl.constexpr, has_slopes: tl.constexpr,
):  # fmt: skip
    """Draw one tile of samples; the arguments are those of `fused.draw_fused`, n the number of samples."""
    kind = thresholds.dtype.element_ty
    column = tl.program_id(0) * tile + tl.arange(0, tile).to(tl.int64)
    inside = column < n
    row = tl.cast(n, tl.int64)  # offsets in 64 bits: units times samples may exceed 2^31
    n_border, border_units = n_inputs - n_spins, n_units - n_spins * width
    in_panel, in_units, channel = tl.arange(0, panel), tl.arange(0, panel * wide), tl.arange(0, wide)
    exists = channel < width
    for start in range(0, n_spins, panel):
        spin = start + in_panel.to(tl.int64)  # offsets into a matrix may exceed 2^31 as well
        unit = border_units + (start + in_units // wide).to(tl.int64) * width + in_units % wide
        is_spin = spin < n_spins
        is_unit = (in_units % wide < width) & (start + in_units // wide < n_spins)
        known, known_units = n_border + start, border_units + start * width
        sums, answer = _before_panel(
            first, last, skip, bias, last_bias, inputs, hidden, row, column, inside, spin, is_spin, unit, is_unit,
            known, known_units, n_inputs, n_units, slab, deep, has_skip, has_bias,
        )  # fmt: skip
        # the panel itself, spin by spin; a row of the registers is read as a masked sum
        for k in range(0, tl.minimum(panel, n_spins - start)):
            at = start + k
            source = n_border + at
            own = known_units + k * width + channel  # (wide,) the units of this spin
            # the loads come first, for they depend on no spin of the panel
            limit = tl.load(thresholds + at * row + column, mask=inside, other=0)
            to_units = tl.load(first + unit * n_inputs + source, mask=is_unit, other=0)
            from_units = _load(last, spin, is_spin, n_units, own, exists)  # (panel, wide)
            here = tl.where((in_units // wide == k)[:, None], sums, 0.0)
            z = tl.sum(tl.reshape(here, (panel, wide, tile)), axis=0)  # (wide, tile)
            if has_slopes:
                slope = tl.load(slopes + own, mask=exists, other=0)
                h = tl.where(z > 0, z, slope[:, None] * z)
            else:
                h = _tanh(z)
            tl.store(hidden + own[:, None] * row + column[None, :], h, mask=exists[:, None] & inside[None, :])
            # in this order of the factors: the compiler turns the other one into a product in TF32
            answer += tl.sum(h[None, :, :] * from_units[:, :, None], axis=1)
            logit = tl.sum(tl.where((in_panel == k)[:, None], answer, 0.0), axis=0)  # (tile,)
            s = tl.where(logit > limit, 1.0, -1.0).to(kind)
            tl.store(inputs + source * row + column, s, mask=inside)
            tl.store(logits + at * row + column, logit, mask=inside)
            sums += to_units[:, None] * s[None, :]
            if has_skip:
                answer += tl.load(skip + spin * n_inputs + source, mask=is_spin, other=0)[:, None] * s[None, :]
        tl.debug_barrier()  # the next panel reads with all threads what single threads have written here
