"""Triton kernels of the networks for GPUs.

A program takes some samples through all spins. Spins come in blocks: the product with everything known before the
block, then the block spin by spin with its sums in registers: a final unit is added to the logits of the block, a drawn
spin to its units. Matrices lie row by row, samples in the rows.
"""

import triton
import triton.language as tl

__all__ = ["draw_network", "shape"]

LEAST = 16
"""Least extent of a matrix product on the tensor units."""
BLOCK = 32
"""Hidden units of a block, if spins have fewer than two each."""
FEW = 2**13
"""Samples up to which programs take few each, so that all processors have work."""
SUMS = 2**11
"""Sums of units that a program keeps in registers otherwise."""


def shape(n: int, width: int) -> dict[str, int]:
    """Extents of the register blocks for n samples and `width` units a spin: spins, their units, samples, sources."""
    block = max(LEAST, triton.next_power_of_2(BLOCK // width))
    units = triton.next_power_of_2(block * width)
    tile = LEAST if n <= FEW else max(LEAST, SUMS // units)
    return {"block": block, "units": units, "tile": tile, "chunk": 2 * LEAST}


@triton.jit
def _load(matrix, rows, known, stride, columns, there):  # type: ignore[no-untyped-def]
    """A part of a matrix, zero outside of it."""
    return tl.load(matrix + rows[:, None] * stride + columns[None, :], mask=known[:, None] & there[None, :], other=0)


@triton.jit
def draw_network(  # type: ignore[no-untyped-def]  # annotations other than constexpr are not for this compiler
    first, last, skip, bias, last_bias, slopes, thresholds, inputs, hidden, logits, n, n_spins, n_inputs, n_units,
    width: tl.constexpr, block: tl.constexpr, units: tl.constexpr, tile: tl.constexpr, chunk: tl.constexpr,
    has_skip: tl.constexpr, has_bias: tl.constexpr, has_slopes: tl.constexpr,
):  # fmt: skip
    """One tile of samples through one network."""
    kind = thresholds.dtype.element_ty
    column = tl.program_id(0) * tile + tl.arange(0, tile).to(tl.int64)
    inside = column < n
    row = tl.cast(n, tl.int64)  # units times samples may exceed 2^31
    n_border, border_units = n_inputs - n_spins, n_units - n_spins * width
    in_block, in_units, in_chunk = tl.arange(0, block), tl.arange(0, units), tl.arange(0, chunk)
    for start in range(0, n_spins, block):
        spin = start + in_block.to(tl.int64)  # so may the numbers of a matrix
        unit = border_units + start * width + in_units.to(tl.int64)
        is_spin = spin < n_spins
        is_unit = (in_units < block * width) & (unit < n_units)
        # the sums over all that is known before the block
        known, known_units = n_border + start, border_units + start * width
        sums = tl.zeros((units, tile), dtype=kind)
        answer = tl.zeros((block, tile), dtype=kind)
        for at in range(0, known, chunk):
            source = at + in_chunk
            there = source < known
            x = _load(inputs, source, there, row, column, inside)
            sums += tl.dot(_load(first, unit, is_unit, n_inputs, source, there), x, input_precision="ieee")
            if has_skip:
                answer += tl.dot(_load(skip, spin, is_spin, n_inputs, source, there), x, input_precision="ieee")
        for at in range(0, known_units, chunk):
            source = at + in_chunk
            there = source < known_units
            h = _load(hidden, source, there, row, column, inside)
            answer += tl.dot(_load(last, spin, is_spin, n_units, source, there), h, input_precision="ieee")
        if has_bias:
            sums += tl.load(bias + unit, mask=is_unit, other=0)[:, None]
            answer += tl.load(last_bias + spin, mask=is_spin, other=0)[:, None]
        # the block itself, spin by spin
        for k in range(0, tl.minimum(block, n_spins - start)):
            for channel in range(0, width):
                own = k * width + channel
                u = known_units + own
                z = tl.sum(tl.where((in_units == own)[:, None], sums, 0.0), axis=0)
                if has_slopes:
                    h = tl.where(z > 0, z, tl.load(slopes + u) * z)
                else:
                    small = tl.exp(-2 * tl.abs(z))
                    h = tl.where(z > 0, 1 - small, small - 1) / (1 + small)
                tl.store(hidden + u * row + column, h, mask=inside)
                answer += tl.load(last + spin * n_units + u, mask=is_spin, other=0)[:, None] * h[None, :]
            logit = tl.sum(tl.where((in_block == k)[:, None], answer, 0.0), axis=0)
            at = start + k
            limit = tl.load(thresholds + at * row + column, mask=inside, other=0)
            s = tl.where(logit > limit, 1.0, -1.0).to(kind)
            source = n_border + at
            tl.store(inputs + source * row + column, s, mask=inside)
            tl.store(logits + at * row + column, logit, mask=inside)
            sums += tl.load(first + unit * n_inputs + source, mask=is_unit, other=0)[:, None] * s[None, :]
            if has_skip:
                answer += tl.load(skip + spin * n_inputs + source, mask=is_spin, other=0)[:, None] * s[None, :]
        tl.debug_barrier()  # what this program wrote is read by all of its threads from here on
