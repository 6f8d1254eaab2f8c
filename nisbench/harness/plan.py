"""A plan: groups of cells in the order in which they run, and the values that replace those of a plan file."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nisbench.contract.records import Cell

__all__ = ["Group", "Interpreter", "Overrides", "Plan"]


@dataclass(frozen=True)
class Overrides:
    """Values that replace fields of a plan. None and {} leave the plan unchanged."""

    plugins: tuple[str, ...] | None = None
    sizes: tuple[int, ...] | None = None
    beta: tuple[float, ...] | None = None
    seeds: tuple[int, ...] | None = None
    train_steps: int | None = None
    train_seconds: float | None = None
    draws: int | None = None
    target: str | None = None
    reference: str | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of plugins and targets, by name."""
    memory_limit: int | None = None
    timeout: float | None = None
    python: Mapping[str, str] = field(default_factory=dict)
    """Interpreter of another environment by plugin."""

    @property
    def changed(self) -> list[str]:
        """Names of the fields that are given and change a measurement."""
        limits = ("memory_limit", "timeout", "python")
        return [f.name for f in dataclasses.fields(self) if getattr(self, f.name) and f.name not in limits] + [
            name for name in ("train_steps", "train_seconds") if getattr(self, name) == 0
        ]


@dataclass(frozen=True)
class Group:
    """The cells for one claim."""

    name: str
    claim: str
    plugins: tuple[str, ...]
    sizes: tuple[int, ...]
    beta: tuple[float, ...]
    seeds: tuple[int, ...]
    cells: tuple[str, ...]
    """cell_ids in plan order, without the reference cells."""
    check: tuple[str, ...] = ()
    """Conditions under which the claim holds, in the language of results/claims.py."""


@dataclass(frozen=True)
class Interpreter:
    """The Python of another environment, with which the cells of one plugin run."""

    path: str
    versions: Mapping[str, str | None]
    """Versions there of Python, nisbench, its requirements and those of the plugin."""


@dataclass(frozen=True)
class Plan:
    """Cells in the order in which they run, with the limits of each cell."""

    name: str
    title: str
    description: str
    groups: tuple[Group, ...]
    cells: tuple[Cell, ...]
    memory_limit: int | None = None
    """Bytes that one cell may take; None means the memory of the machine."""
    timeout: float | None = None
    """Seconds that one cell may take; None means no limit."""

    plugin_files: tuple[str, ...] = ()
    """Absolute paths of files whose plugins and targets the cells may use."""
    python: Mapping[str, Interpreter] = field(default_factory=dict)
    """Interpreters of other environments by plugin."""

    @property
    def folder_name(self) -> str:
        """`<name>-<hash of the cell ids>`: a plan with the same cells gets the same folder."""
        digest = hashlib.sha256("\n".join(cell.cell_id for cell in self.cells).encode()).hexdigest()
        return f"{self.name}-{digest[:8]}"

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values, without the cells, which have files of their own."""
        record = dataclasses.asdict(self)
        del record["cells"]
        return record | {"claims": [group.claim for group in self.groups if group.claim]}
