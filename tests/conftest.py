"""Fixtures for all tests, and their order. pytest puts the folder of this file on the import path for `fakes`."""

import os
import time
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; two processes share two cores

LONGEST = (
    *("report/", "unit/test_network.py", "contract/test_contract.py", "gpu/test_gpu_dry.py", "cli/test_resume.py"),
    *("cli/test_surroundings.py", "contract/test_tutorial.py"),
    *("contract/test_stranger.py", "cli/test_failures.py", "cli/test_python.py"),
    *("cli/test_engines.py", "contract/test_registration.py", "unit/test_hier_exact.py", "docs/test_notebook.py"),
    *("cli/test_stopped.py", "cli/test_kinds.py", "architecture/test_architecture.py", "contract/", "cli/", "unit/"),
)
"""Files and folders in the order in which they start: a long one at the end would leave a core without work.

In a new checkout, test_network.py and test_contract.py compile the kernels. Tests that start processes come later, or
each process would compile them once more.
"""
TOGETHER = ("tests/report/",)
"""Folders whose files share pages and a browser, so that one process runs them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files by LONGEST; the order within a file stays."""

    def rank(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((k for k, name in enumerate(LONGEST) if f"/tests/{name}" in path), len(LONGEST))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each file to one process, and the files of a folder in TOGETHER to the same one."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            together = (folder for folder in TOGETHER if nodeid.startswith(folder))
            return next(together, super()._split_scope(nodeid))

    return Scheduling(config, log)


class MadeUpTime:
    """A clock that `sleep` moves. Each reading takes a microsecond, so that no interval is zero."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def made_up_time(monkeypatch: pytest.MonkeyPatch) -> MadeUpTime:
    """Replaces `time.perf_counter` and `time.sleep`: measured times are exact, however busy the machine is."""
    made_up = MadeUpTime()
    monkeypatch.setattr(time, "perf_counter", made_up.read)
    monkeypatch.setattr(time, "sleep", made_up.sleep)
    return made_up
