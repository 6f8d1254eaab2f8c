"""The folder in which a run starts, other runs that start there and closed streams do not change it."""

import shlex
import subprocess
import sys

import pytest

from nisbench.contract.records import Status
from nisbench.harness.execute import worker_environment
from nisbench.harness.store import Store

WOLFF = ["run", "--plugins", "wolff", "--draws", "20000", "--no-report"]


@pytest.mark.parametrize("trials", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_two_starts_at_once_share_one_run(start, tmp_path, trials):
    """Both start in the same instant; neither sees half a file of the other.

    Nor do they import modules of the folder in which they start.
    """
    (tmp_path / "random.py").write_text("raise RuntimeError('not this one')\n")
    (tmp_path / "nisbench_plugins").mkdir()
    (tmp_path / "nisbench_plugins" / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    for trial in range(trials):
        processes = [start(tmp_path, *WOLFF, "--sizes", "4", "--out", f"r{trial}") for _ in range(2)]
        ended = [(process, *process.communicate()) for process in processes]
        assert [process.returncode for process, _, _ in ended] == [0, 0], ended
        store = Store.open(tmp_path / f"r{trial}")
        assert [store.state(cell.cell_id).status for cell in store.cells()] == [Status.OK]


def test_compiled_kernels_have_a_place_where_nothing_is_writable(monkeypatch):
    monkeypatch.setattr("nisbench.harness.execute.os.access", lambda *_: False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert "nisbench-numba" in worker_environment(1)["NUMBA_CACHE_DIR"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/mine")
    assert worker_environment(1)["NUMBA_CACHE_DIR"] == "/mine"


@pytest.mark.parametrize(
    ("redirect", "report"), [("2>&-", False), ("| true", False), ("2>&1 | head -1", True), (">&- 2>&- <&-", True)]
)
def test_a_run_does_not_depend_on_who_reads_its_output(environment, tmp_path, redirect, report):
    words = [sys.executable, "-P", "-m", "nisbench", *(WOLFF[:-1] if report else WOLFF), "--sizes", "4", "--out", "r"]
    subprocess.run(f"{shlex.join(words)} {redirect}", shell=True, cwd=tmp_path, env=environment, check=True)
    store = Store.open(tmp_path / "r")
    assert [store.state(cell.cell_id).status for cell in store.cells()] == [Status.OK]
    assert (tmp_path / "r" / "report.html").exists() == report


def test_a_full_disk_behind_standard_output_is_one_line(environment):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-P", "-m", "nisbench", "exact"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr == "nisbench: standard output: No space left on device\n"
