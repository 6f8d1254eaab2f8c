"""The long table of the export."""

import json
from pathlib import Path

import pytest
from fakes.stores import StoreMaker

from nisbench.harness.store import Store
from nisbench.results import export
from nisbench.results.export import LONG_COLUMNS, SETTING_COLUMNS, exported, history_table, long_table


def test_long_table_has_the_columns_of_the_export_format(quick_store: Store):
    table = long_table([quick_store])
    assert " ".join(table.columns) == (
        "cell plugin kind plugin_version target L beta seed device status reason quantity "
        "value error n exact z target_options run budget_steps budget_s draws dtype"
    )
    assert tuple(table.columns) == (*LONG_COLUMNS, *SETTING_COLUMNS)
    cells = table.dropna(subset="cell")
    assert not cells.duplicated(["cell", "quantity"]).any()
    assert set(cells["cell"]) == {cell.cell_id for cell in quick_store.cells()}
    row = cells[(cells.plugin == "hier") & (cells.L == 8) & (cells.quantity == "log_z_per_site")].iloc[0]
    assert row.z == pytest.approx((row.value - row.exact) / row.error)
    assert (cells[cells.value.isna()].reason.str.len() > 0).all()


def test_cells_without_numbers_keep_a_row_with_their_reason(troubled_maker: StoreMaker, tmp_path: Path):
    table = long_table([troubled_maker.write(tmp_path / "run")])
    bare = table[table.quantity.isna()].set_index("cell")
    assert sorted(bare.status.dropna()) == ["failed", "interrupted", "timeout", "unavailable"]
    assert "RuntimeError: exploded | badly" in set(bare.reason)
    assert "not started" in set(bare[bare.status.isna()].reason)
    assert bare.value.isna().all()


def test_options_that_differ_have_columns_and_histories_a_table(quick_store: Store):
    table = long_table([quick_store, quick_store])  # the same run twice: each cell once
    assert len(table) == len(long_table([quick_store]))
    assert set(table["run"].dropna()) == {quick_store.path.name}
    assert table["draws"].dropna().gt(0).all()
    trained = table[(table["kind"] == "model") & table["cell"].notna()]
    assert (trained["budget_steps"].notna() | trained["budget_s"].notna()).all()
    history = history_table([quick_store])
    for cell in quick_store.cells():
        rows = history[history["cell"] == cell.cell_id]
        lines = quick_store.history(cell.cell_id)
        assert len(rows) == len(lines)
        assert list(rows["step"]) == [line["step"] for line in lines]
        assert (rows["beta"] == cell.beta).all()


@pytest.mark.parametrize("rows", [1, 7, 10_000])
def test_json_does_not_depend_on_the_rows_at_a_time(quick_store: Store, monkeypatch: pytest.MonkeyPatch, rows: int):
    table = long_table([quick_store])
    monkeypatch.setattr(export, "_AT_A_TIME", rows)
    text = exported([quick_store], "json").decode()
    found = json.loads(text)
    assert json.dumps(found, indent=1) + "\n" == text
    assert [row["quantity"] for row in found] == table["quantity"].astype(object).where(
        table["quantity"].notna(), None
    ).tolist()
    assert json.loads(exported([quick_store], "json", "history"))


def test_a_run_without_cells_is_an_empty_list(tmp_path: Path):
    assert exported([StoreMaker().write(tmp_path / "run")], "json") == b"[]\n"
