import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nisbench import cli
from nisbench.contract.quantities import QUANTITIES
from nisbench.contract.records import Budget, Cell, CellResult, Estimate, Hardware, Status
from nisbench.harness.plan import Group, Plan
from nisbench.harness.store import Store
from nisbench.results.compare import COUNTS, compare
from nisbench.results.compare_sides import read_side
from nisbench.results.compare_timings import TIMED

EXACT = -1.5
GOOD = {
    "kl_nats": Estimate(0.10, 0.01),
    "ess_fraction": Estimate(0.8, 0.01),
    "energy": Estimate(EXACT + 0.001, 0.002, exact=EXACT),
    "susceptibility": Estimate(5.0, 0.1),
    "n_parameters": Estimate(2065.0),
    "draw_s_per_1000": Estimate(1.0, 0.01),
    "train_s": Estimate(10.0),
    "longest_rejection_run": Estimate(8.0),
}


def cell(L: int = 8, seed: int = 1, **fields: object) -> Cell:
    given = {"plugin_version": "1.0", "options": {"width": 1}, "budget": Budget(steps=10), **fields}
    return Cell(plugin="hier", kind="model", target="ising", L=L, beta=0.44, seed=seed, draws=100, **given)


def write(path: Path, results: dict[Cell, dict[str, Estimate] | CellResult], device_name: str = "CPU 1") -> Path:
    cells = tuple(results)
    group = Group("g", "", ("hier",), (8,), (0.44,), (1,), tuple(c.cell_id for c in cells))
    store = Store.create(path, Plan(name="p", title="t", description="d", groups=(group,), cells=cells), {})
    for each, found in results.items():
        hardware = Hardware(device_name, 1, "2.13.0")
        ended = CellResult(each.cell_id, Status.OK, None, found, hardware) if isinstance(found, dict) else found
        store.files(each.cell_id).write_result(ended)
    return path


@pytest.fixture(autouse=True)
def _hashable(monkeypatch):
    """Lets a cell be a key: its options are a mapping and have no hash, its id has."""
    monkeypatch.setattr(Cell, "__hash__", lambda self: hash(self.cell_id))


def verdicts(a: Path, b: Path, **options: float) -> dict[str, str]:
    found = compare(read_side(a), read_side(b), **options)
    return {finding.quantity: finding.verdict for finding in found.findings}


@pytest.mark.parametrize(
    ("quantity", "after", "verdict"),
    [
        ("kl_nats", Estimate(0.30, 0.01), "worse"),
        ("kl_nats", Estimate(0.01, 0.01), "better"),
        ("kl_nats", Estimate(0.15, 0.01), None),  # 3.5 combined errors
        ("ess_fraction", Estimate(0.6, 0.01), "worse"),
        ("ess_fraction", Estimate(0.9, 0.01), "better"),
        ("energy", Estimate(EXACT - 0.05, 0.002, exact=EXACT), "worse"),
        ("susceptibility", Estimate(6.0, 0.1), "differs"),
        ("n_parameters", Estimate(2066.0), "worse"),
        ("draw_s_per_1000", Estimate(3.0, 0.01), "worse"),
        ("draw_s_per_1000", Estimate(0.3, 0.01), "better"),
        ("draw_s_per_1000", Estimate(1.5, 0.01), None),  # 35 errors within the process, and 3 between processes
        ("train_s", Estimate(100.0), "worse"),
        ("train_s", Estimate(15.0), None),
        ("longest_rejection_run", Estimate(80.0), None),
        ("kl_nats", Estimate.missing("the series is gone"), "worse"),
        ("kl_nats", Estimate(float("inf"), reason="frozen"), "worse"),
    ],
)
def test_one_changed_quantity_is_judged_by_its_direction(tmp_path, quantity, after, verdict):
    a = write(tmp_path / "a", {cell(): GOOD})
    b = write(tmp_path / "b", {cell(plugin_version="2.0"): {**GOOD, quantity: after}})
    assert verdicts(a, b) == ({quantity: verdict} if verdict else {})


def test_nearer_to_the_exact_value_is_better(tmp_path):
    off = {**GOOD, "energy": Estimate(EXACT - 0.05, 0.002, exact=EXACT)}
    a, b = write(tmp_path / "a", {cell(): off}), write(tmp_path / "b", {cell(): GOOD})
    assert verdicts(a, b) == {"energy": "better"}


def test_cells_are_matched_by_everything_but_the_version(tmp_path):
    reference = Cell("wolff", "sampler", "1.0", {}, "ising", 8, 0.44, 0, 10, reference_draws=5)
    newer = replace(reference, plugin_version="9")
    a = write(
        tmp_path / "a", {reference: {}, cell(reference=reference.cell_id): GOOD, cell(options={"width": 2}): GOOD}
    )
    b = write(
        tmp_path / "b",
        {newer: {}, cell(reference=newer.cell_id, plugin_version="9"): GOOD, cell(options={"width": 3}): GOOD},
    )
    found = compare(read_side(a), read_side(b))
    assert found.n_cells == 2
    assert [note.split(" are only")[0] for note in found.notes] == ["1 of 3 cells"] * 2


def test_timings_on_other_hardware_are_not_compared(tmp_path):
    slow = {**GOOD, "draw_s_per_1000": Estimate(9.0, 0.01)}
    a, b = write(tmp_path / "a", {cell(): GOOD}), write(tmp_path / "b", {cell(): slow}, device_name="CPU 2")
    found = compare(read_side(a), read_side(b))
    assert found.findings == ()
    assert found.left_out["on CPU 1, 1 threads and CPU 2, 1 threads"] == {"draw_s_per_1000": 1, "train_s": 1}


def test_timings_without_an_error_are_compared_as_means_over_seeds(tmp_path):
    def seeds(factor: float, n: int) -> dict[Cell, dict[str, Estimate]]:
        return {cell(seed=s): {"train_s": Estimate(factor * (1 + 0.01 * s))} for s in range(n)}

    # s.e. of 1.00, 1.01, 1.02 is 0.0058: 74 errors of a t with 4 degrees of freedom
    a, b = write(tmp_path / "a", seeds(1.0, 3)), write(tmp_path / "b", seeds(2.0, 3))
    (found,) = compare(read_side(a), read_side(b)).findings
    assert (found.verdict, found.quantity, found.timed) == ("worse", "train_s", True)
    assert "mean of 3 seeds" in found.cell
    # two seeds are compared one by one, with the spread between processes: sqrt((2 x 0.1^2 + 0.00005)/3) = 8.2 %
    few = [write(tmp_path / f"{factor}", seeds(factor, 2)) for factor in (1.0, 1.4, 2.0)]
    assert compare(read_side(few[0]), read_side(few[1])).findings == ()
    assert len(compare(read_side(few[0]), read_side(few[2])).findings) == 2


def test_memory_that_is_the_same_for_all_seeds_is_compared(tmp_path):
    def seeds(peak: float) -> dict[Cell, dict[str, Estimate]]:
        return {cell(seed=s): {"peak_host_train_bytes": Estimate(peak)} for s in range(3)}

    a, b = write(tmp_path / "a", seeds(1e6)), write(tmp_path / "b", seeds(2e6))
    (found,) = compare(read_side(a), read_side(b)).findings
    assert (found.verdict, found.quantity) == ("worse", "peak_host_train_bytes")
    assert compare(read_side(a), read_side(write(tmp_path / "c", seeds(1e6)))).findings == ()


def test_a_cost_is_compared_with_the_spread_between_processes(tmp_path):
    paths = [write(tmp_path / f"{p}", {cell(): {"s_per_effective_sample": Estimate(p, 1e-3)}}) for p in (1.0, 1.5, 3.0)]
    assert verdicts(paths[0], paths[1]) == {}
    assert verdicts(paths[0], paths[2]) == {"s_per_effective_sample": "worse"}


def test_many_comparisons_raise_the_threshold_and_chance_stays_silent(tmp_path):
    """4000 pairs of numbers that differ by chance alone; at 2.5 errors some 50 would be called changes."""
    rng = np.random.default_rng(5)

    def noise(path: Path) -> Path:
        cells = [cell(seed=s) for s in range(200)]
        names = [name for name, row in QUANTITIES.items() if row.better and name not in (*COUNTS, *TIMED)][:20]
        return write(path, {c: {n: Estimate(float(rng.normal(10, 1)), 1.0) for n in names} for c in cells})

    a, b = read_side(noise(tmp_path / "a")), read_side(noise(tmp_path / "b"))
    found = compare(a, b, threshold=2.5)
    assert found.n_tests > 3000
    assert found.threshold > 4
    assert found.by_chance == pytest.approx(0.05)
    assert found.findings == ()


def test_status_and_untrusted_cells(tmp_path):
    bad = CellResult(cell().cell_id, Status.UNTRUSTED, "kl", {**GOOD, "kl_nats": Estimate(9.0, 0.1)})
    a, b = write(tmp_path / "a", {cell(): GOOD}), write(tmp_path / "b", {cell(): bad})
    found = compare(read_side(a), read_side(b))
    assert [(f.quantity, f.verdict, f.regression) for f in found.findings] == [
        ("status", "worse", True),
        ("kl_nats", "worse", False),
    ]


def run(capsys, monkeypatch, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["nisbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    out, err = capsys.readouterr()
    return int(stopped.value.code or 0), out, err


def test_command_line(tmp_path, capsys, monkeypatch):
    worse = {**GOOD, "kl_nats": Estimate(0.3, 0.01)}
    slower = {**GOOD, "draw_s_per_1000": Estimate(2.0, 0.01)}
    a, b, c = (write(tmp_path / name, {cell(): found}) for name, found in (("a", GOOD), ("b", worse), ("c", slower)))
    code, out, _ = run(capsys, monkeypatch, "compare", a, b)
    assert code == 0
    assert "worse   hier ising L=8 beta=0.44 seed=1  kl_nats: 0.100(10) -> 0.300(10)  (+14.1 errors)" in out
    assert "threshold 4 combined errors" in out
    code, _, err = run(capsys, monkeypatch, "compare", a, b, "--fail-on-regression")
    assert (code, err.startswith("1 regressions")) == (1, True)
    assert run(capsys, monkeypatch, "compare", b, a, "--fail-on-regression")[0] == 0
    assert run(capsys, monkeypatch, "compare", a, c, "--fail-on-regression")[0] == 1
    assert run(capsys, monkeypatch, "compare", a, c, "--fail-on-regression", "--ignore-timings")[0] == 0
    code, out, _ = run(capsys, monkeypatch, "compare", a, b, "--format", "json")
    assert json.loads(out)["findings"][0]["regression"] is True


def test_nothing_compared_is_no_pass(tmp_path, capsys, monkeypatch):
    a, b = write(tmp_path / "a", {cell(): GOOD}), write(tmp_path / "b", {cell(L=32): GOOD})
    code, out, _ = run(capsys, monkeypatch, "compare", a, b)
    assert (code, "nothing was compared" in out, "no change" in out) == (0, True, False)
    code, _, err = run(capsys, monkeypatch, "compare", a, b, "--fail-on-regression")
    assert (code, "nothing was compared" in err) == (2, True)


def test_exports_and_reports_are_compared_too(tmp_path, capsys, monkeypatch):
    from nisbench.report.page import build_report

    worse = {**GOOD, "kl_nats": Estimate(0.3, 0.01)}
    a, b = write(tmp_path / "a", {cell(): GOOD}), write(tmp_path / "b", {cell(): worse})
    page = build_report([Store.open(b)], tmp_path / "page")
    assert run(capsys, monkeypatch, "export", a, "--out", tmp_path / "a.json")[0] == 0
    code, out, _ = run(capsys, monkeypatch, "compare", tmp_path / "a.json", page, "--fail-on-regression")
    assert code == 1
    assert "1 worse" in out
    assert "an export contains no options" in out


@pytest.mark.parametrize("content", ["no json", "{}", '[{"quantity": "kl_nats"}]', "[1]"])
def test_what_is_no_result_is_one_clear_line(tmp_path, capsys, monkeypatch, content):
    (tmp_path / "x.json").write_text(content)
    code, _, err = run(capsys, monkeypatch, "compare", tmp_path / "x.json", tmp_path / "x.json")
    assert code == 2
    assert err.count("\n") == 1
    assert "x.json" in err


def test_parquet_without_pyarrow_is_one_clear_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    a = write(tmp_path / "a", {cell(): GOOD})
    code, _, err = run(capsys, monkeypatch, "export", a, "--format", "parquet", "--out", tmp_path / "a.parquet")
    assert code == 2
    assert err == "nisbench: parquet needs pyarrow, which is not installed; pip install 'nisbench[parquet]'\n"
    assert not (tmp_path / "a.parquet").exists()


def test_parquet_holds_the_long_table(tmp_path, capsys, monkeypatch):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pandas as pd

    from nisbench.results.export import LONG_COLUMNS

    a = write(tmp_path / "a", {cell(): GOOD})
    assert run(capsys, monkeypatch, "export", a, "--format", "parquet", "--out", tmp_path / "a.parquet")[0] == 0
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert tuple(frame.columns) == LONG_COLUMNS
    assert frame.set_index("quantity").loc["kl_nats", "value"] == 0.10
