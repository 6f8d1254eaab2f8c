"""The context that the steps of a measurement share (`CellContext`), and their result (`Outcome`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from nisbench.contract.doubts import Doubt
from nisbench.contract.interfaces import Target
from nisbench.contract.records import Cell, CostBasis, Estimate, ReferenceState
from nisbench.contract.timing import Unclocked
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.clock import Clock
from nisbench.harness.seeds import seed_for
from nisbench.harness.stop import StopSignals
from nisbench.harness.store import Store
from nisbench.harness.unclocked import Compilation

__all__ = ["CellContext", "Outcome"]


@dataclass(frozen=True)
class CellContext:
    """A cell with its store, target, device and clock."""

    cell: Cell
    store: Store
    files: CellFiles
    target: Target
    clock: Clock
    factories: tuple[str, str]
    """Module and class of the plugin and of the target."""
    memory_limit: int | None = None
    """Bytes that the cell may take; None without a limit."""
    keep: bool = False
    """True if a training continues although the source of the plugin has changed."""
    stop: StopSignals = field(default_factory=StopSignals)
    """Signals that ask this process to end."""
    compilation: Compilation = field(default_factory=Compilation)
    """Counts the compilation in the first calls of the plugin."""

    uses_data: list[str] = field(default_factory=list)
    """Notes on the configurations of p that the training has used."""
    notes: dict[str, str] = field(default_factory=dict)
    """Facts for the reader of a report, which the steps of the measurement add."""

    @property
    def device(self) -> torch.device:
        """The device of the cell."""
        return self.clock.device

    @cached_property
    def exact(self) -> Mapping[str, float]:
        """Exact values per site by quantity name; empty if none is known."""
        return self.target.exact(self.cell.beta)

    def seed(self, role: str) -> int:
        """Return the seed of one stream of random numbers."""
        return seed_for(self.cell, role)

    def generator(self, role: str) -> torch.Generator:
        """Return a new generator for one stream of random numbers, on the cell's device."""
        return torch.Generator(self.device).manual_seed(self.seed(role))

    def stage(self, name: str) -> None:
        """Record what the cell is doing."""
        self.files.write_stage(name)


@dataclass(frozen=True)
class Outcome:
    """The numbers of a measured cell."""

    quantities: Mapping[str, Estimate]
    cost_basis: CostBasis | None = None
    reference: ReferenceState | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    background: Unclocked | None = None
    """Work of the plugin beside the calls of the core."""
    doubts: Sequence[Doubt] = ()
    """Doubts beside those about the quantities: draws that break the contract."""
