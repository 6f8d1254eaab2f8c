"""The two sides of a comparison. A side is a run folder, the JSON of `nisbench export`, or a report.html."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nisbench.contract.options import label
from nisbench.contract.records import Cell, Estimate, Status, canonical_json
from nisbench.errors import UserError
from nisbench.harness.store import Store
from nisbench.results.cells import load
from nisbench.results.derived import DERIVED
from nisbench.results.rows import CellRow
from nisbench.results.targets import target_options

__all__ = ["ComparedCell", "Side", "matched", "read_side"]

_OF_VERSION = ("plugin_version", "target_version", "protocol_version")
_PLACE = ("plugin", "kind", "target", "L", "beta", "seed", "device")
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class ComparedCell:
    """The part of a cell that a comparison uses."""

    label: str
    place: tuple[Any, ...]
    """plugin, kind, target with its options, L, beta, seed, device"""
    settings: str | None
    """Every field except the versions, as canonical JSON; None if the source does not contain them."""
    variant: str
    """The settings without the seed; empty if the source does not contain them."""
    hardware: str | None
    """None if the source does not name it."""
    status: Status | None
    reason: str | None
    quantities: Mapping[str, Estimate]


@dataclass(frozen=True)
class Side:
    """All cells of one source."""

    name: str
    versions: tuple[str, ...]
    """`plugin version`, sorted"""
    cells: tuple[ComparedCell, ...]


def read_side(path: Path) -> Side:
    """Reads the cells in `path`; raises StoreError or UserError if it contains none."""
    if path.is_dir() or not path.exists():
        return _of_store(path)
    return _of_export(path, _export_rows(path))


def matched(a: Side, b: Side) -> tuple[list[tuple[ComparedCell, ComparedCell]], list[str]]:
    """The pairs of cells that agree in everything except the version, and notes on cells without a partner.

    An export contains no options. If one side is an export, cells are matched by their place, and cells that share a
    place are left out.
    """
    by_place = any(cell.settings is None for cell in (*a.cells, *b.cells))
    first, second = (_by_key(side, by_place) for side in (a, b))
    pairs = [(cell, second[key]) for key, cell in first.items() if key in second]
    notes = []
    if by_place:
        notes.append("an export contains no options: cells are matched by plugin, target, L, beta, seed and device")
    for side, own, other in ((a, first, second), (b, second, first)):
        if alone := sum(key not in other for key in own):
            notes.append(f"{alone} of {len(side.cells)} cells are only in {side.name}")
        if dropped := len(side.cells) - len(own):
            notes.append(f"{dropped} cells of {side.name} share their place with others and are left out")
    return pairs, notes


def _by_key(side: Side, by_place: bool) -> dict[Any, ComparedCell]:
    """The cells whose key is unique within the side."""
    keys = [cell.place if by_place else cell.settings for cell in side.cells]
    counts = Counter(keys)
    return {key: cell for key, cell in zip(keys, side.cells, strict=True) if counts[key] == 1}


def _of_store(path: Path) -> Side:
    results = load([Store.open(path)])
    by_id = {row.cell.cell_id: row.cell for row in results.rows}
    cells = [_of_row(row, by_id) for row in results.rows]
    return Side(str(path), _versions((row.cell.plugin, row.cell.plugin_version) for row in results.rows), tuple(cells))


def _of_row(row: CellRow, by_id: Mapping[str, Cell]) -> ComparedCell:
    place = tuple(row.problem.target if name == "target" else getattr(row.cell, name) for name in _PLACE)
    settings = _settings(row.cell, by_id)
    variant = canonical_json({name: value for name, value in settings.items() if name not in ("seed", "reference")})
    return ComparedCell(
        label=_label(place, row.cell.reference_draws),
        place=place,
        settings=canonical_json(settings),
        variant=variant,
        hardware=f"{row.device_name}, {row.threads} threads",
        status=row.status,
        reason=row.reason,
        quantities=row.quantities if row.measured else {},
    )


def _settings(cell: Cell, by_id: Mapping[str, Cell]) -> dict[str, Any]:
    """Every field except the versions; a reference cell is replaced by its own settings."""
    kept = {name: value for name, value in cell.to_json().items() if name not in _OF_VERSION}
    kept["target_options"] = target_options(cell)  # a cell from before targets had options has the defaults
    if cell.reference in by_id:
        # The cell_id of the reference contains versions, which must not prevent a match.
        kept["reference"] = _settings(by_id[str(cell.reference)], by_id)
    return kept


def _label(place: tuple[Any, ...], reference_draws: int = 0) -> str:
    plugin, _, target, L, beta, seed, device = place
    where = f"{plugin} {target} L={L} beta={beta:.6g} seed={seed}"
    return where + (f" on {device}" if device != "cpu" else "") + (" (reference)" if reference_draws else "")


def _export_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an export, from its JSON or from the data embedded in a report."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        if embedded := _DATA.search(text):
            data = json.loads(embedded[1])
            return [dict(zip(data["columns"], [*data["cells"][row[0]], *row[1:]], strict=True)) for row in data["rows"]]
        rows = json.loads(text)
        if isinstance(rows, list) and all(isinstance(row, dict) and "quantity" in row for row in rows):
            return rows
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path} is neither a run folder nor an export nor a report ({error})") from error
    raise UserError(f"{path} is not a list of rows; give a run folder, the JSON of `nisbench export` or a report.html")


def _of_export(path: Path, rows: Iterable[Mapping[str, Any]]) -> Side:
    found: dict[str, ComparedCell] = {}
    versions = set()
    try:
        for row in rows:
            if row["cell"] is None:
                continue  # exponents belong to no cell
            versions.add((row["plugin"], row["plugin_version"]))
            target = label(row["target"], json.loads(row.get("target_options") or "{}"))
            place = tuple(target if name == "target" else row[name] for name in _PLACE)
            status = Status(row["status"]) if row["status"] is not None else None
            blank = ComparedCell(_label(place), place, None, "", None, status, row["reason"], {})
            cell = found.setdefault(row["cell"], blank)
            if row["quantity"] is not None and row["quantity"] not in DERIVED:
                quantities = {**cell.quantities, row["quantity"]: _estimate(row)}
                found[row["cell"]] = replace(cell, quantities=quantities)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} has a row that is not a row of an export ({type(error).__name__}: {error})") from error
    return Side(str(path), _versions(versions), tuple(found.values()))


def _estimate(row: Mapping[str, Any]) -> Estimate:
    value, error = (None if row[name] is None else float(row[name]) for name in ("value", "error"))
    reason = row["reason"] or ("no reason given" if value is None else None)
    return Estimate(value, error, row["n"], row["exact"], reason)


def _versions(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(sorted({f"{plugin} {version}" for plugin, version in pairs}))
