"""Configurations of p for the training of a plugin, with their cost.

A training on the configurations that later judge the density would make the p side look too good. Therefore the first
half of the reference configurations is for the training, and a density that has used it is judged by the second half.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nisbench.contract.quantities import DRAW_S, PREPARE_S
from nisbench.contract.records import Cell
from nisbench.errors import PluginError
from nisbench.harness.cell_files import Reference
from nisbench.harness.store import Store

__all__ = ["TrainingData", "for_judging", "training_data"]


@dataclass(frozen=True)
class TrainingData:
    """The configurations that `report.reference()` gives."""

    spins: Tensor
    """(m, L, L) int8"""
    seconds: float
    """Time in which the reference sampler prepares and draws m configurations, without its compilation."""
    source: str
    """cell_id of the reference cell."""

    @property
    def note(self) -> str:
        """The data and their cost in words."""
        return f"{len(self.spins)} configurations of cell {self.source}, charged with {self.seconds:.3g} s"


def training_data(store: Store, cell: Cell, device: torch.device) -> TrainingData:
    """Return the first half of the configurations that the reference cell of `cell` left.

    One configuration costs ceil(2 tau_int) draws of the reference sampler.

    Raises
    ------
    PluginError
        If the cell has no reference cell, or if this one left no configurations.
    """
    if cell.reference is None:
        raise PluginError("the plugin asks for configurations of p, but its cell has no reference; give --reference")
    found, result = store.reference(cell.reference), store.result(cell.reference)
    if found is None or result is None:
        state = store.state(cell.reference).describe()
        raise PluginError(
            f"the plugin asks for configurations of p; reference cell {cell.reference} left none ({state})"
        )
    m = len(found.spins) // 2
    prepare, draw = (result.quantities[name].value or 0.0 for name in (PREPARE_S, DRAW_S))
    per_draw = draw / store.cell(cell.reference).draws
    seconds = prepare + m * max(1, math.ceil(2 * found.tau_int)) * per_draw
    return TrainingData(torch.from_numpy(found.spins[:m]).to(device), seconds, cell.reference)


def for_judging(reference: Reference, *, trained: bool) -> Reference:
    """Return the configurations that judge a density: the second half if its training has used the first."""
    if not trained:
        return reference
    m = len(reference.spins) // 2
    return replace(reference, spins=reference.spins[m:], chain=reference.chain[m:])
