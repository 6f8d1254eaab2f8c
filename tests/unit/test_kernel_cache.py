"""Compiled kernels cached on disk are compiled again when a function that they call has changed in another file."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nisbench

DRAW = """
import numpy as np
from nisbench.nn.kernels.logistic import fill_thresholds
out = np.empty(64, dtype=np.float32)
fill_thresholds(out, 1)
print(float(abs(out).sum()), sum(fill_thresholds.stats.cache_hits.values()))
"""


def drawn(folder: Path) -> tuple[float, int]:
    """Sum of the sizes of some thresholds, and how often the kernel came from the cache."""
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    environment["PYTHONPATH"] = str(folder)
    command = [sys.executable, "-c", DRAW]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    total, hits = run.stdout.split()
    return float(total), int(hits)


def test_a_change_in_a_called_function_reaches_the_cached_kernel(tmp_path: Path) -> None:
    source = Path(nisbench.__file__).parent
    shutil.copytree(source, tmp_path / "nisbench", ignore=shutil.ignore_patterns("__pycache__"))
    first, hits = drawn(tmp_path)
    assert hits == 0
    assert drawn(tmp_path) == (first, 1)
    functions = tmp_path / "nisbench" / "nn" / "kernels" / "functions.py"
    text = functions.read_text()
    changed = text.replace("_LN2 = np.float32(math.log(2))", "_LN2 = np.float32(2 * math.log(2))")
    assert changed != text
    functions.write_text(changed)
    total, hits = drawn(tmp_path)
    assert hits == 0
    assert total > 1.2 * first
