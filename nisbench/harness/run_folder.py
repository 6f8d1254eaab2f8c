"""The entries of a run folder, and the content of plan.json."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nisbench.errors import StoreError
from nisbench.harness.atomic import is_temporary
from nisbench.harness.plan import Group, Interpreter

__all__ = ["DISCARDED", "DRIVER", "FORMAT", "LOCK", "PlanRecord", "occupied"]

FORMAT = "nisbench run"
LOCK = "lock"
"""Name of the lease under which the plan is read and changed."""
DRIVER = "driver-"
"""Begin of the name of the lease of each process that drives a run here."""
DISCARDED = ("cells", "reference", "report.html", "report.md", "figures", "slurm")
"""Entries that a run which starts over deletes."""
_OURS = re.compile(rf"plan.json|environment.json|{LOCK}(\.\d+)?|{DRIVER}.*|{'|'.join(DISCARDED)}")
_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


@dataclass(frozen=True)
class PlanRecord:
    """Content of plan.json."""

    format: str
    schema_version: int
    name: str
    title: str
    description: str
    groups: tuple[Group, ...]
    claims: tuple[str, ...]
    command: str
    cells: tuple[str, ...]
    """cell_ids in plan order"""
    memory_limit: int | None = None
    timeout: float | None = None
    plugin_files: tuple[str, ...] = ()
    python: Mapping[str, Interpreter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for cell_id in self.cells:
            if not _CELL_ID.fullmatch(cell_id):
                raise ValueError(f"{cell_id[:80]!r} is not the id of a cell")


def occupied(path: Path) -> bool:
    """Return True if the path is a run. Raises StoreError if it is something else that is not empty."""
    if not path.exists():
        return False
    if not path.is_dir():
        raise StoreError(f"{path} is a file; --out needs a folder")
    if (path / "plan.json").exists():
        return True
    # A run that was killed while it made its folder leaves files of ours but no plan.json.
    strange = [p.name for p in path.iterdir() if not _OURS.fullmatch(p.name) and not is_temporary(p)]
    if strange:
        raise StoreError(
            f"{path} is not a run folder and not empty (it contains '{min(strange)}'); nothing was changed"
        )
    return False
