"""The target of a cell as a reader sees it: its name and the options that differ from its defaults."""

from functools import lru_cache
from typing import Any

from nisbench.contract.catalog import load_catalog
from nisbench.contract.options import NoOptions, changed_options, label
from nisbench.contract.records import Cell
from nisbench.physics.kaufman import BETA_CRITICAL

__all__ = ["beta_text", "target_label", "target_options"]


def target_options(cell: Cell) -> dict[str, Any]:
    """Return the options of the cell's target that differ from its defaults, sorted by name.

    All options if the target is not installed; none for a cell from before targets had options.
    """
    return changed_options(_options(cell.target), cell.target_options) if cell.target_options else {}


def beta_text(beta: float) -> str:
    """Return `critical` for beta_c of the square lattice, and four digits for other values."""
    return "critical" if beta == BETA_CRITICAL else f"{beta:.4g}"


def target_label(cell: Cell) -> str:
    """Return `ising`, or `edwards-anderson (disorder=gaussian, instance=2)`."""
    return label(cell.target, target_options(cell))


@lru_cache
def _options(target: str) -> type[Any]:
    """Return the options of an installed target."""
    entry = load_catalog(names=(target,)).targets.get(target)
    return NoOptions if entry is None else entry.options
