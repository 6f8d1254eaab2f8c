"""Measure the CPU time that the driver of a run takes while a cell runs, for plans of several lengths.

The cell is a process that sleeps, so that only the driver works. `lines` is the display without a terminal, `table` the
live table of a terminal, which is drawn to a file here.

Run with `python -m tests.performance.driver [--cells 10,1000] [--seconds 30]`.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from unittest.mock import patch

from nisbench.contract.records import Cell
from nisbench.harness import execute
from nisbench.harness.claims import driver
from nisbench.harness.engines.local import LocalEngine
from nisbench.harness.launch import Beginning
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store
from nisbench.terminal import show_progress


def share(n_cells: int, seconds: float, *, table: bool) -> float:
    """CPU seconds of the driver per second of its first cell."""
    cells = tuple(Cell("s", "sampler", "1", {}, "ising", 2, 0.3, seed, 10) for seed in range(n_cells))
    used = []

    class Sleeper(subprocess.Popen):
        def __init__(self, command, **given):
            super().__init__(["sleep", "1000"], **given)
            used.append(time.process_time())
            threading.Timer(seconds, self.done).start()

        def done(self):
            used.append(time.process_time())
            execute.os.kill(execute.os.getpid(), execute.signal.SIGINT)

    with tempfile.TemporaryDirectory() as folder, Path(folder, "screen").open("w") as screen:
        store = Store.create(Path(folder) / "run", Plan("p", "t", "d", groups=(), cells=cells), {})
        screen.isatty = lambda: table
        with patch.object(sys, "stderr", screen), show_progress(Beginning(store, cells, cells, (), False)) as watch:
            try:
                with driver(store) as lease, patch.object(execute.subprocess, "Popen", Sleeper):
                    LocalEngine().run(store, cells, execute.Settings(), lease, watch)
            except execute.StoppedError:
                pass
    return (used[1] - used[0]) / seconds


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="10,1000")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    sys.stdout.write("| cells | lines, % of a core | table, % of a core |\n|---:|---:|---:|\n")
    for n in map(int, given.cells.split(",")):
        lines, table = (100 * share(n, given.seconds, table=table) for table in (False, True))
        sys.stdout.write(f"| {n} | {lines:.3f} | {table:.3f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
