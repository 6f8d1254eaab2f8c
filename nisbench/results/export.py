"""The long table of all quantities, and that of the training histories; both as CSV, JSON or Parquet."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from nisbench.contract.quantities import exponent_name
from nisbench.contract.records import Cell, Estimate, Status, canonical_json
from nisbench.errors import UserError
from nisbench.harness.store import Store
from nisbench.results.cells import Results, load
from nisbench.results.derived import with_derived
from nisbench.results.exponents import Exponent, exponents
from nisbench.results.rows import CellRow
from nisbench.results.targets import target_options

__all__ = ["LONG_COLUMNS", "SETTING_COLUMNS", "exported", "history_table", "long_rows", "long_table"]

LONG_COLUMNS = (
    *("cell", "plugin", "kind", "plugin_version", "target", "L", "beta", "seed", "device"),
    *("status", "reason", "quantity", "value", "error", "n", "exact", "z"),
    "target_options",
)
"""Columns of the export and of the data in a report."""

SETTING_COLUMNS = ("run", "budget_steps", "budget_s", "draws", "dtype")
"""Further columns of the export. One column follows for each option in which cells differ, such as `hier.width`."""

_CELL_COLUMNS = ("cell", "plugin", "kind", "plugin_version", "target", "L", "beta", "seed", "device", "target_options")
_AT_A_TIME = 5000
"""Rows that are turned into JSON at a time."""
_INTEGERS = ("L", "seed", "n", "budget_steps", "draws", "step")
_NUMBERS = ("beta", "value", "error", "exact", "z", "budget_s")


def exported(
    stores: Sequence[Store],
    form: Literal["csv", "json", "parquet"] | str,
    table: Literal["quantities", "history"] | str = "quantities",
) -> bytes:
    """A table as the content of a file. Raises UserError if Parquet is requested and pyarrow is missing."""
    frame = history_table(stores) if table == "history" else long_table(stores)
    if form == "parquet":
        return _parquet(frame)
    if form == "csv":
        return frame.to_csv(index=False).encode()
    return _json(frame)


def long_table(stores: Sequence[Store]) -> pd.DataFrame:
    """One row for each cell and quantity: LONG_COLUMNS, SETTING_COLUMNS and a column for each option that differs.

    Numbers are float64; null becomes NaN, infinities stay. A cell without quantities has one row in which quantity is
    null, so that no failure is lost. `reason` states why a quantity has no value, or else why the cell is not `ok`. Two
    kinds of rows are computed here and are not stored in a cell: break_even_samples and train_s_to_kl of every trained
    sampler, and exponent_<cost>, which belongs to no cell (cell, L and seed are null).
    """
    results = with_derived(load(stores))
    return _frame(
        long_rows(results), (*LONG_COLUMNS, *SETTING_COLUMNS, *_differing([row.cell for row in results.rows]))
    )


def history_table(stores: Sequence[Store]) -> pd.DataFrame:
    """One row for each line of the training history of each cell, with the settings of the cell.

    `beta` is that of the cell, `beta_t` that of the training step.
    """
    results = load(stores)
    options = _differing([row.cell for row in results.rows])
    kept = (*_CELL_COLUMNS, "run", *options)
    rows = [
        {name: value for name, value in _settings(row).items() if name in kept}
        | {"beta_t" if name == "beta" else name: value for name, value in line.items()}
        for row in results.rows
        for line in row.history
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    return _frame(rows, tuple(dict.fromkeys([*kept, *names])))


def _frame(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a table with typed columns."""
    types = dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_NUMBERS, "float64")
    # Column by column: a frame of mixed rows passes integers beside nulls through float64, which rounds above 2^53.
    return pd.DataFrame({name: _column([row.get(name) for row in rows], types.get(name)) for name in columns})


def _column(values: Sequence[object], kind: str | None) -> "pd.Series[Any]":
    """A column; numbers that a plugin chose become float64 if all of them are numbers."""
    if kind is None and any(isinstance(value, float) for value in values):
        kind = "float64" if all(value is None or type(value) in (int, float) for value in values) else None
    return pd.Series(list(values), dtype=kind or "object")


def _differing(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The options, `hier.width` or `ising.field`, of which two cells have different values."""
    values: dict[str, set[str]] = {}
    for cell in cells:
        for name, value in _options(cell).items():
            values.setdefault(name, set()).add(canonical_json(value))
    return tuple(sorted(name for name, found in values.items() if len(found) > 1))


def _options(cell: Cell) -> dict[str, object]:
    """All options of the plugin and of the target, by their names on the command line."""
    own = {f"{cell.plugin}.{name}": value for name, value in cell.options.items()}
    return own | {f"{cell.target}.{name}": value for name, value in (cell.target_options or {}).items()}


def long_rows(results: Results) -> list[dict[str, object]]:
    """The rows of the long table as dictionaries; an absent key stands for null."""
    rows = [line for row in results.rows for line in _cell_rows(row)]
    return rows + [_exponent_row(found, results) for found in exponents(results.groups)]


def _cell_rows(row: CellRow) -> list[dict[str, object]]:
    """The rows of one cell, quantities in the order of the result."""
    fixed = _settings(row) | {"status": str(row.status) if row.status is not None else None}
    if not row.quantities:
        return [{**fixed, "reason": row.reason or str(row.state)}]
    return [
        {**fixed, "reason": estimate.reason or row.reason, "quantity": name, **_numbers(estimate)}
        for name, estimate in row.quantities.items()
    ]


def _settings(row: CellRow) -> dict[str, object]:
    """The columns of a row that the cell and its options decide."""
    cell, budget = row.cell, row.cell.budget
    return {
        **_options(cell),
        "cell": cell.cell_id,
        "plugin": cell.plugin,
        "kind": cell.kind,
        "plugin_version": cell.plugin_version,
        "target": cell.target,
        "L": cell.L,
        "beta": cell.beta,
        "seed": cell.seed,
        "device": cell.device,
        "target_options": _target_options(cell),
        "run": row.run.store.path.name,
        "budget_steps": budget.steps if budget else None,
        "budget_s": budget.seconds if budget else None,
        "draws": cell.draws,
        "dtype": cell.dtype,
    }


def _exponent_row(found: Exponent, results: Results) -> dict[str, object]:
    series = found.series
    cell = results.first(series.label, series.problem).cell
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


def _json(frame: pd.DataFrame) -> bytes:
    """A list of records with one key per line. Few rows at a time exist as records, which take much memory."""
    parts = []
    for first in range(0, len(frame), _AT_A_TIME):
        part = frame.iloc[first : first + _AT_A_TIME]
        records = part.astype(object).where(part.notna(), None).to_dict(orient="records")
        rows = [{str(name): _json_value(value) for name, value in row.items()} for row in records]
        parts.append(json.dumps(rows, indent=1, allow_nan=False)[2:-2])  # without the brackets of the list
    return ("[\n" + ",\n".join(parts) + "\n]\n").encode() if parts else b"[]\n"


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
