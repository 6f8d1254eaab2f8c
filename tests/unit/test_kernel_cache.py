"""Compiled kernels cached on disk are compiled again when a function or a class that they use has changed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nisbench
import nisbench_plugins

DRAW = """
import numpy as np
from nisbench.nn.kernels.logistic import fill_thresholds
out = np.empty(64, dtype=np.float32)
fill_thresholds(out, 1)
print(float(abs(out).sum()), sum(fill_thresholds.stats.cache_hits.values()))
"""
RECORD = """
from typing import NamedTuple
from nisbench.nn.kernels.jit import kernel
class First(NamedTuple):
    number: float
@kernel()
def doubled(record):
    return 2 * record.number
"""
DOUBLE = """
from nisbench.nn.kernels.record import First, doubled
print(doubled(First(1.5)), sum(doubled.stats.cache_hits.values()))
"""
CALLED = """
from nisbench.nn.kernels.cache import kernel
@kernel(SIGNATURE)
def multiplied(x):
    return 2 * x
"""
CALLING = """
from nisbench.nn.kernels.cache import kernel
from made_up.called import multiplied
@kernel(SIGNATURE)
def shifted(x):
    return multiplied(x) + 1
"""
SHIFT = """
from made_up.calling import shifted
print(shifted(1.0), sum(shifted.stats.cache_hits.values()))
"""


def result(folder: Path, code: str) -> tuple[float, int]:
    """A number computed by a kernel in a new process, and how often the kernel came from the cache."""
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    environment["PYTHONPATH"] = str(folder)
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    total, hits = run.stdout.split()
    return float(total), int(hits)


def copy_of_the_package(folder: Path) -> None:
    source = Path(nisbench.__file__).parent
    shutil.copytree(source, folder / "nisbench", ignore=shutil.ignore_patterns("__pycache__"))


def test_a_change_in_a_called_function_reaches_the_cached_kernel(tmp_path: Path) -> None:
    copy_of_the_package(tmp_path)
    first, hits = result(tmp_path, DRAW)
    assert hits == 0
    assert result(tmp_path, DRAW) == (first, 1)
    functions = tmp_path / "nisbench" / "nn" / "kernels" / "functions.py"
    text = functions.read_text()
    changed = text.replace("_LN2 = np.float32(math.log(2))", "_LN2 = np.float32(2 * math.log(2))")
    assert changed != text
    functions.write_text(changed)
    total, hits = result(tmp_path, DRAW)
    assert hits == 0
    assert total > 1.2 * first


def test_a_class_of_an_argument_may_have_another_name_later(tmp_path: Path) -> None:
    copy_of_the_package(tmp_path)
    record = tmp_path / "nisbench" / "nn" / "kernels" / "record.py"
    record.write_text(RECORD)
    assert result(tmp_path, DOUBLE) == (3, 0)
    assert result(tmp_path, DOUBLE) == (3, 1)
    # a cached kernel contains the class by its name
    record.write_text(RECORD.replace("First", "Other"))
    assert result(tmp_path, DOUBLE.replace("First", "Other")) == (3, 0)


@pytest.mark.parametrize("signature", ["", '"f8(f8)"'])
def test_a_change_in_another_file_of_a_plugin_reaches_the_cached_kernel(tmp_path: Path, signature: str) -> None:
    copy_of_the_package(tmp_path)
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "calling.py").write_text(CALLING.replace("SIGNATURE", signature))
    (folder / "called.py").write_text(CALLED.replace("SIGNATURE", signature))
    assert result(tmp_path, SHIFT) == (3, 0)
    assert result(tmp_path, SHIFT) == (3, 1)
    (folder / "called.py").write_text(CALLED.replace("SIGNATURE", signature).replace("2 * x", "20 * x"))
    assert result(tmp_path, SHIFT) == (21, 0)


def test_plugins_cache_functions_with_this_decorator_alone() -> None:
    files = Path(nisbench_plugins.__file__).parent.glob("*.py")
    assert not [path.name for path in files if re.search(r'\bcache"?[=:] ?True', path.read_text())]
