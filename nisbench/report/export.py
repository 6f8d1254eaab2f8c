"""The long table as the bytes of a file: CSV, JSON or Parquet."""

import io
import json
import math
from collections.abc import Sequence
from typing import Any, Literal

import pandas as pd

from nisbench.errors import UserError
from nisbench.harness.store import Store
from nisbench.report.tables import long_table

__all__ = ["exported"]


def exported(stores: Sequence[Store], form: Literal["csv", "json", "parquet"] | str) -> bytes:
    """All quantities of all cells, one row each; raises UserError where Parquet is asked for without pyarrow."""
    frame = long_table(stores)
    if form == "parquet":
        return _parquet(frame)
    if form == "csv":
        return frame.to_csv(index=False).encode()
    known = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    rows = [{str(name): _json_value(value) for name, value in row.items()} for row in known]
    return (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    """Texts as strings, so that a column of nulls alone keeps its type."""
    buffer = io.BytesIO()
    texts = {name: "string" for name, kind in frame.dtypes.items() if kind.kind == "O"}
    try:
        frame.astype(texts).to_parquet(buffer, engine="pyarrow", index=False)
    except ImportError as error:
        raise UserError("parquet needs pyarrow, which is not installed; pip install 'nisbench[parquet]'") from error
    return buffer.getvalue()


def _json_value(value: Any) -> Any:
    """JSON has no infinity: the strings "inf" and "-inf"."""
    return str(value) if isinstance(value, float) and math.isinf(value) else value
