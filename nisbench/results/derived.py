"""Quantities that reports and exports compute from finished cells; a cell does not store them."""

import math
from collections.abc import Iterator
from dataclasses import replace

from nisbench.contract.quantities import BREAK_EVEN_SAMPLES, KL_NATS, TRAIN_S_TO_KL
from nisbench.contract.records import Estimate
from nisbench.results.break_even import break_even_of
from nisbench.results.cells import Results
from nisbench.results.groups import SeedGroup
from nisbench.results.histories import Goal, time_to
from nisbench.results.rows import CellRow

__all__ = ["DERIVED", "with_derived"]

DERIVED = (BREAK_EVEN_SAMPLES, TRAIN_S_TO_KL)
"""They depend on the other cells of the run or on the training history."""
_GOAL = Goal(KL_NATS, 0.1)


def with_derived(results: Results) -> Results:
    """The same results, in which every trained sampler that ran has the quantities of DERIVED."""
    return replace(results, rows=tuple(row.extended(dict(_derived(row, results))) for row in results.rows))


def _derived(row: CellRow, results: Results) -> Iterator[tuple[str, Estimate]]:
    found = break_even_of(results, SeedGroup(row.problem, row.cell.device, row.label, row.cell.L, (row,)))
    if found is not None:
        yield BREAK_EVEN_SAMPLES, found
    if (ended := time_to(row, _GOAL)) is not None:
        seconds, met = ended
        yield TRAIN_S_TO_KL, Estimate(seconds) if met else Estimate(math.inf, reason=f"not reached in {seconds:.3g} s")
