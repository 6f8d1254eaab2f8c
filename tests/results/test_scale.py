"""Large runs: work grows in proportion to the cells, each file is read once, and a report has a bounded size.

The default tests count calls, files and bytes. The slow tests measure CPU time and memory of the commands at the sizes
of docs/dev/scale.md: `pytest -n 0 -m slow tests/results/test_scale.py`.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes.crowds import CROWDS, crowd, waiting

from nisbench.cli import cli
from nisbench.contract.records import Cell
from nisbench.harness.selection import select_plan
from nisbench.harness.store import Store
from nisbench.report import charts, page
from nisbench.report.panels import Drawing
from nisbench.results.export import exported
from nisbench.results.rows import CellRow

MIB = 2**20
PLANNED = ["--plugins", "hier,wolff", "--train-steps", "10", "--draws", "1000", "--device", "cpu"]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was opened to be read."""
    found: Counter[str] = Counter()
    plain = os.open

    def counted(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if not flags & (os.O_WRONLY | os.O_RDWR):
            found[str(path)] += 1
        return plain(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", counted)
    return found


@pytest.fixture(scope="module", params=["variants", "temperatures"])
def two_crowds(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """A run, and one with four times as many cells."""
    folder = tmp_path_factory.mktemp(request.param)
    made = CROWDS[request.param]
    return crowd(folder / "small", made(60)), crowd(folder / "large", made(240))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often an attribute of the row of any cell was read."""
    found: Counter[str] = Counter()
    plain = CellRow.__getattribute__

    def counted(row: CellRow, name: str) -> Any:
        found[name] += 1
        return plain(row, name)

    monkeypatch.setattr(CellRow, "__getattribute__", counted)
    return found


def growth(looks: Counter[str], small: Store, large: Store, work: Callable[[Store], object]) -> float:
    """Looks per cell at the large run in units of those at the small run; 1 for work in proportion to the cells."""
    each = []
    for store in (small, large):
        looks.clear()
        work(store)
        each.append(looks.total() / len(store.plan()["cells"]))
    return each[1] / each[0]


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are empty: drawing takes most of the time, and the number of figures has limits of its own."""
    monkeypatch.setattr(charts, "draw", lambda panel, **_: Drawing(svg="<svg ></svg>", pdf=b"", series=()))


def test_a_plan_hashes_each_cell_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: Counter[int] = Counter()
    plain = Cell.to_json
    monkeypatch.setattr(Cell, "to_json", lambda cell: counted.update([id(cell)]) or plain(cell))
    words = ["plan", *PLANNED, "--sizes", "4,8", "--beta", "0.3:0.4:0.01", "--seeds", ",".join(map(str, range(1, 11)))]
    result = CliRunner().invoke(cli, words)
    assert "462 cells; default folder" in result.output  # 2 x 2 x 11 x 10, and 22 references
    assert counted.total() == 462


def test_status_opens_no_file_of_a_cell_that_waits(tmp_path: Path, opened: Counter[str]) -> None:
    store = waiting(tmp_path / "run", CROWDS["seeds"](400))
    n = len(store.plan()["cells"])
    opened.clear()
    result = CliRunner().invoke(cli, ["status", str(store.path)])
    assert f"{n} cells: {n} not started" in result.output
    assert {Path(path).name for path in opened} == {"plan.json"}
    assert opened.total() <= 4


def test_export_and_report_read_each_file_once(
    two_crowds: tuple[Store, Store], opened: Counter[str], undrawn: None, tmp_path: Path
) -> None:
    store = two_crowds[0]
    exported([store], "csv")
    assert set(opened.values()) == {1}
    opened.clear()
    page.build_report([Store.open(store.path)], tmp_path / "out")
    files = {path: n for path, n in opened.items() if Path(path).name in ("cell.json", "status.json", "result.json")}
    assert set(files.values()) == {1}


def test_the_work_of_export_and_report_grows_with_the_number_of_cells(
    two_crowds: tuple[Store, Store], undrawn: None, looks: Counter[str], tmp_path: Path
) -> None:
    """With the searches over all cells of an earlier version, the report gave 1.4 and 1.5."""
    assert growth(looks, *two_crowds, lambda store: exported([store], "csv")) < 1.2
    assert growth(looks, *two_crowds, lambda store: page.build_report([store], tmp_path / store.path.name)) < 1.2


def consumed(folder: Path, *words: object) -> tuple[float, int, str]:
    """CPU seconds and peak of the memory in bytes of one command, and its output."""
    # The command is the child of a small process: the peak of a child begins at the size of its parent.
    code = (
        "import os, subprocess, sys\n"
        "process = subprocess.Popen(sys.argv[2:], stdout=open(sys.argv[1], 'w'))\n"
        "_, status, usage = os.wait4(process.pid, 0)\n"
        "print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)\n"
    )
    command = [sys.executable, "-P", "-m", "nisbench", *map(str, words)]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, str(folder / "printed"), *command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    exit_code, seconds, peak = done.stdout.split()
    assert exit_code == "0", done.stderr
    return float(seconds), int(peak) * 1024, (folder / "printed").read_text()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_limits_of_100000_planned_cells(tmp_path: Path) -> None:
    """`plan` and `status`: 5 s of CPU time and 500 MB each, with a factor of 1.5 for a busy machine."""
    numbers = ",".join(map(str, range(1, 101)))
    words = ["plan", *PLANNED, "--sizes", "4,8", "--beta", "0.3:0.549:0.001", "--seeds", numbers]
    seconds, peak, printed = consumed(tmp_path, *words)
    record("plan of 100 500 cells", seconds, peak)
    assert "100500 cells; default folder" in printed
    assert (seconds < 1.5 * 5, peak < 500e6) == (True, True), (seconds, peak)
    plan = select_plan(
        None,
        plugins="hier,wolff",
        train_steps=10,
        draws=1000,
        device="cpu",
        sizes=[4, 8],
        beta="0.3:0.549:0.001",
        seeds=list(range(1, 101)),
    )
    store = waiting(tmp_path / "run", plan.cells)
    seconds, peak, printed = consumed(tmp_path, "status", store.path)
    record("status of 100 500 cells", seconds, peak)
    assert "100500 cells: 100500 not started" in printed
    assert (seconds < 1.5 * 5, peak < 500e6) == (True, True), (seconds, peak)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", CROWDS)
def test_limits_of_5000_finished_cells(tmp_path: Path, name: str) -> None:
    """`export` and `report`: 60 s of CPU time each, with a factor of 1.5 for a busy machine; the page below 10 MB."""
    store = crowd(tmp_path / "run", CROWDS[name](5000))
    n = len(store.plan()["cells"])
    assert n > 4700
    for words in (["export", store.path], ["report", store.path]):
        seconds, peak, _ = consumed(tmp_path, *words)
        record(f"{words[0]} of {n} cells, {name}", seconds, peak)
        assert seconds < 1.5 * 60, (words, seconds)
    size = (store.path / "report.html").stat().st_size
    record(f"page of {n} cells, {name}", 0.0, size)
    assert size < 10e6


def record(what: str, seconds: float, size: int) -> None:
    """Show a figure of docs/dev/scale.md: `pytest -rP` prints it."""
    sys.stdout.write(f"{what}: {seconds:.1f} s of CPU time, {size / 1e6:.1f} MB\n")
