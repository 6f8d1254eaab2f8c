"""docs/results-schema.md has a row for every field of every file of a run folder."""

import dataclasses
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from nisbench.contract import records
from nisbench.harness.environment import describe
from nisbench.harness.store import Store

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results-schema.md").read_text(encoding="utf-8")
FULL = ROOT / "reports" / "paper-cpu"
NOT_STORED = {"TrainingOptions", "CellState"}  # options of plugins are described in conventions.md
STORED = [
    kind
    for name, kind in inspect.getmembers(records, inspect.isclass)
    if dataclasses.is_dataclass(kind) and name not in NOT_STORED
]


def documented(heading: str) -> set[str]:
    """The names in the first column of the tables of a section."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None
    cells = re.findall(r"^\| (`[^|]*) \|", section[1], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("record", STORED, ids=lambda record: record.__name__)
def test_every_stored_field_has_a_row(record: type) -> None:
    rows = documented("cell.json") | documented("result.json")
    if record.__name__ == "Budget":
        budget = re.search(r"^\| `budget` .*$", PAGE, re.MULTILINE)
        assert budget is not None
        rows = set(re.findall(r"`(\w+)`", budget[0]))
    assert {field.name for field in dataclasses.fields(record)} <= rows


def test_files_of_a_run_have_their_rows() -> None:
    store = Store.open(FULL)
    assert set(store.plan()) <= documented("plan.json")
    assert set(describe("nisbench run")) <= documented("environment.json")
    for cell in store.cells():
        assert {key for line in store.history(cell.cell_id) for key in line} <= documented("history.jsonl")
        assert set(store.series(cell.cell_id)) <= documented("series.npz")


@pytest.mark.parametrize(
    ("page", "words", "version"),
    [
        ("results-schema.md", "version of the measurement, now", records.PROTOCOL_VERSION),
        ("results-schema.md", "version of the files, now", records.SCHEMA_VERSION),
        ("faq.md", "Run folders have a schema version, now", records.SCHEMA_VERSION),
    ],
)
def test_pages_state_the_versions_of_the_code(page: str, words: str, version: int) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert re.findall(rf"{words} (\d+)", text) == [str(version)]


def test_every_stage_of_a_cell_is_named() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "nisbench" / "harness").glob("*.py")]
    stages = {name for text in sources for name in re.findall(r"\.stage\(\"(\w+)\"\)", text)}
    row = re.search(r"^\| `stage` \|.*$", PAGE, re.MULTILINE)
    assert row is not None
    assert len(stages) > 5
    assert stages <= set(re.findall(r"`(\w+)`", row[0]))


def test_every_file_of_a_cell_is_named() -> None:
    names = {path.name for path in (FULL / "cells").glob("*/*")}
    assert {"cell.json", "series.npz"} <= names
    assert [name for name in names if name not in PAGE] == []


def test_example_gives_the_stored_estimates(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    example = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    scope: dict[str, object] = {}
    exec(example[1], scope)
    printed = [float(number) for number in re.findall(r": +([\d.e-]+)", capsys.readouterr().out)]
    result = Store.open(FULL).result(Path(str(scope["cell"])).name)
    assert result is not None
    stored = [result.quantities[name].value for name in ("log_z_per_site", "ess_fraction")]
    np.testing.assert_allclose(printed, stored, rtol=1e-9)
