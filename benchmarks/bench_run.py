"""Benchmarks of the command line: start-up, and a small seeded run with its store, its report and its quality.

The run is made through the command line, because options change less often than modules. It is stored in the folder of
the commit and made once; later calls of `nisbench run` find it finished.
"""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.suite import SOURCE, Timed, feature

RUN = {"plugins": "hier,van,wolff", "sizes": "4", "train-steps": "100", "draws": "2000", "seeds": "1", "device": "cpu"}


def run(*arguments: str) -> str:
    """Run the interpreter and return its standard output. PYTHONPATH selects the code under test."""
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def nisbench(*arguments: str) -> str:
    """Run a nisbench command and return its standard output."""
    return run("-m", "nisbench", *arguments)


def finished_run() -> str:
    """Make the run unless it is finished; return its folder."""
    folder = Path(SOURCE or Path.cwd()) / "runs" / "benchmark"
    options = [word for name, value in RUN.items() for word in (f"--{name}", value)]
    nisbench("run", *options, "--no-report", "--out", str(folder))
    return str(folder)


class Start(Timed):
    """Time of one new process for each call; the interpreter alone takes about 20 ms."""

    repeat = 2

    def time_import_command_line(self):
        run("-c", "import nisbench.cli")

    def time_import_plugin_interface(self):
        run("-c", "import nisbench.api")

    def time_help(self):
        nisbench("--help")

    def time_plan_of_the_paper(self):
        nisbench("plan", "--plan", "paper", "--device", "cpu")


class Finished(Timed):
    repeat = 2

    def setup_cache(self):
        return finished_run()

    setup_cache.timeout = 300

    def setup(self, folder):
        self.store = feature("nisbench.harness.store:Store")
        self.build_report = feature("nisbench.report.page:build_report")

    def time_store(self, folder):
        for _ in range(20):
            store = self.store.open(folder)
            for cell in store.cells():
                store.result(cell.cell_id)
                store.history(cell.cell_id)
                store.series(cell.cell_id)

    def time_report(self, folder):
        self.build_report([self.store.open(folder)], Path("report"))


class Quality:
    """Deterministic results of the seeded run: KL and 1 - ESS, so that lower is better.

    They are rounded to 3 decimals. A different order of a sum changes the KL by 5e-8, which is not a regression.
    """

    params = ["hier", "van"]
    param_names = ["plugin"]
    version = "1"

    def setup_cache(self):
        rows = json.loads(nisbench("export", finished_run(), "--format", "json"))
        return {(row["plugin"], row["quantity"]): row["value"] for row in rows if row["seed"] == 1}

    setup_cache.timeout = 300

    def setup(self, quantities, plugin):
        if (plugin, "energy") not in quantities:
            raise NotImplementedError(f"this commit has no plugin {plugin}")

    def track_kl_after_training(self, quantities, plugin):
        return round(quantities[plugin, "kl_nats"], 3)

    def track_missing_ess_after_training(self, quantities, plugin):
        return round(1 - quantities[plugin, "ess_fraction"], 3)

    track_kl_after_training.unit = "nats"
    track_missing_ess_after_training.unit = "fraction"


class Chain(Quality):
    """Draws of the seeded Wolff chain for each effectively independent draw, 2 tau_int."""

    params = ["wolff"]

    def track_draws_per_effective_sample(self, quantities, plugin):
        return round(2 * quantities[plugin, "tau_int_energy"], 3)

    track_draws_per_effective_sample.unit = "draws"
    track_kl_after_training = track_missing_ess_after_training = None
