"""The baseline of a problem and size: the cheapest trusted sampler of the run that needs no training."""

import math
from collections.abc import Iterable, Sequence

from nisbench.contract.quantities import TRAIN_S
from nisbench.results.cells import CellRow, Problem
from nisbench.results.costs import cost_of
from nisbench.results.groups import SeedGroup, grouped

__all__ = ["baseline", "baseline_or_stand_in"]


def baseline(
    rows: Iterable[CellRow], problem: Problem, L: int, device: str, machine: str | None = None
) -> SeedGroup | None:
    """The sampler without training that has the smallest cost at this place; only seeds that are `ok` count.

    Chains, weighted draws and densities count alike. With `machine`, the name of a processor or GPU, only cells of that
    machine count.
    """
    trusted = [row for row in rows if row.trusted and row.problem == problem and row.cell.L == L]
    here = [row for row in trusted if row.cell.device == device and machine in (None, row.device_name)]
    untrained = [row for row in here if row.cell.kind != "model" and TRAIN_S not in row.quantities]
    priced = [group for group in grouped(untrained) if math.isfinite(cost_of(group))]
    return min(priced, key=cost_of, default=None)


def baseline_or_stand_in(rows: Sequence[CellRow], place: SeedGroup) -> tuple[SeedGroup | None, str]:
    """The baseline on the machine of `place` and its name; without one, that of another machine or device.

    The name of a stand-in includes its machine or its device. Without any baseline: None and the reason.
    """
    if own := baseline(rows, place.problem, place.L, place.device, place.machine):
        return own, own.label
    if found := baseline(rows, place.problem, place.L, place.device):
        return found, f"{found.label} on {found.machine}"
    for other in sorted({row.cell.device for row in rows} - {place.device}):
        if found := baseline(rows, place.problem, place.L, other):
            return found, f"{found.label} on {other.upper()}"
    return None, f"no trusted sampler without training at L = {place.L} on {place.device}"
