"""The long table of all quantities, one row for each cell and quantity, and its text as CSV, JSON or Parquet."""

import io
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from nisbench.contract.quantities import exponent_name
from nisbench.contract.records import Cell, Estimate, Status, canonical_json
from nisbench.errors import UserError
from nisbench.harness.store import Store
from nisbench.results.break_even import with_break_even
from nisbench.results.cells import CellRow, Results, load
from nisbench.results.exponents import Exponent, exponents
from nisbench.results.targets import target_options

__all__ = ["LONG_COLUMNS", "exported", "long_rows", "long_table"]

LONG_COLUMNS = (
    *("cell", "plugin", "kind", "plugin_version", "target", "L", "beta", "seed", "device"),
    *("status", "reason", "quantity", "value", "error", "n", "exact", "z"),
    "target_options",
)
"""New columns come last."""


def exported(stores: Sequence[Store], form: Literal["csv", "json", "parquet"] | str) -> bytes:
    """The long table as the content of a file. Raises UserError if Parquet is requested and pyarrow is missing."""
    frame = long_table(stores)
    if form == "parquet":
        return _parquet(frame)
    if form == "csv":
        return frame.to_csv(index=False).encode()
    records = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    rows = [{str(name): _json_value(value) for name, value in row.items()} for row in records]
    return (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode()


def long_table(stores: Sequence[Store]) -> pd.DataFrame:
    """One row for each cell and quantity, with the columns LONG_COLUMNS.

    Numbers are float64; null becomes NaN, infinities stay. A cell without quantities has one row in which quantity is
    null, so that no failure is lost. `reason` states why a quantity has no value, or else why the cell is not `ok`. Two
    kinds of rows are computed here and are not stored in a cell: break_even_samples of every model, and
    exponent_<cost>, which belongs to no cell (cell, L and seed are null).
    """
    rows = long_rows(with_break_even(load(stores)))
    types = dict.fromkeys(("L", "seed", "n"), "Int64")
    types |= dict.fromkeys(("beta", "value", "error", "exact", "z"), "float64")
    # Column by column: a frame of mixed rows passes integers beside nulls through float64, which rounds above 2^53.
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=types.get(name, "object")) for name in LONG_COLUMNS}
    )


def long_rows(results: Results) -> list[dict[str, object]]:
    """The rows of the long table as dictionaries; an absent key stands for null."""
    rows = [line for row in results.rows for line in _cell_rows(row)]
    return rows + [_exponent_row(found, results) for found in exponents(results.contest)]


def _cell_rows(row: CellRow) -> list[dict[str, object]]:
    """The rows of one cell, quantities in the order of the result."""
    cell = row.cell
    fixed: dict[str, object] = {
        "cell": cell.cell_id,
        "plugin": cell.plugin,
        "kind": cell.kind,
        "plugin_version": cell.plugin_version,
        "target": cell.target,
        "L": cell.L,
        "beta": cell.beta,
        "seed": cell.seed,
        "device": cell.device,
        "status": str(row.status) if row.status is not None else None,
        "target_options": _target_options(cell),
    }
    if not row.quantities:
        return [{**fixed, "reason": row.reason or str(row.state)}]
    return [
        {**fixed, "reason": estimate.reason or row.reason, "quantity": name, **_numbers(estimate)}
        for name, estimate in row.quantities.items()
    ]


def _exponent_row(found: Exponent, results: Results) -> dict[str, object]:
    series = found.series
    cell = next(r.cell for r in results.contest if (r.label, r.problem) == (series.label, series.problem))
    return {
        "plugin": cell.plugin,
        "kind": cell.kind,
        "plugin_version": cell.plugin_version,
        "target": cell.target,
        "target_options": _target_options(cell),
        "beta": series.problem.beta,
        "device": series.device,
        "status": str(Status.OK),
        "reason": found.fitted.reason,
        "quantity": exponent_name(series.quantity),
        **_numbers(found.fitted),
    }


def _target_options(cell: Cell) -> str | None:
    """JSON of the options of the target that differ from its defaults; None if there are none."""
    changed = target_options(cell)
    return canonical_json(changed) if changed else None


def _numbers(estimate: Estimate) -> dict[str, object]:
    return {
        "value": estimate.value,
        "error": estimate.error,
        "n": estimate.n,
        "exact": estimate.exact,
        "z": estimate.z,
    }


def _parquet(frame: pd.DataFrame) -> bytes:
    """Text columns get the type string, which a column of nulls alone would otherwise lose."""
    buffer = io.BytesIO()
    texts = {name: "string" for name, kind in frame.dtypes.items() if kind.kind == "O"}
    try:
        frame.astype(texts).to_parquet(buffer, engine="pyarrow", index=False)
    except ImportError as error:
        raise UserError("parquet needs pyarrow, which is not installed; pip install 'nisbench[parquet]'") from error
    return buffer.getvalue()


def _json_value(value: Any) -> Any:
    """Infinities become the strings "inf" and "-inf", because JSON has no infinity."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value
