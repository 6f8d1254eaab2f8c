"""Census of z-scores: all observables of all trusted cells against exact values, beside the normal distribution."""

import itertools
import math
from collections.abc import Sequence

from nisbench.contract.quantities import ENTROPY, Part, select
from nisbench.results.cells import Results

__all__ = ["COUNTED", "binned", "normal_counts", "z_scores"]

COUNTED = tuple(name for name in select(Part.OBSERVABLE) if name != ENTROPY)
"""Observables whose z-scores are counted; the error of the entropy is mostly that of the energy."""


def z_scores(results: Results) -> tuple[float, ...]:
    """(value - exact)/error of every observable of COUNTED of every trusted cell, where both are known."""
    rows = [row for row in results.contest if row.trusted]
    return tuple(z for row in rows for name in COUNTED if (z := row.z(name)) is not None and math.isfinite(z))


def binned(zs: Sequence[float], width: float, edge: float) -> tuple[list[float], list[int]]:
    """Edges from -edge to edge, `width` apart, and the number of z-scores in each bin; the outer bins have the rest."""
    n = round(2 * edge / width)
    counts = [0] * n
    for z in zs:
        counts[min(max(math.floor((z + edge) / width), 0), n - 1)] += 1
    return [-edge + k * width for k in range(n + 1)], counts


def normal_counts(n: int, edges: Sequence[float]) -> list[float]:
    """Expected number in each bin of n independent normal z-scores; the outer bins have the tails."""
    below = [0.0, *(0.5 * (1 + math.erf(edge / math.sqrt(2))) for edge in edges[1:-1]), 1.0]
    return [n * (b - a) for a, b in itertools.pairwise(below)]
