import importlib.util
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pytest
from fakes.stores import Sixty, StoreMaker, quick, troubled

from nisbench.harness.store import Store
from nisbench.report.page import build_report


@pytest.fixture(scope="session")
def quick_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """hier, van and wolff at L = 4, 8, 16 with two seeds; van is untrusted at L = 16."""
    return quick(seeds=(1, 2)).write(tmp_path_factory.mktemp("quick") / "run")


@pytest.fixture(scope="session")
def quick_out(quick_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on `quick_store`."""
    out = tmp_path_factory.mktemp("quick-report")
    build_report([quick_store], out)
    return out


@pytest.fixture(scope="session")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Sixty:
    base = tmp_path_factory.mktemp("sixty")
    store = quick(sizes=(4, 8, 16, 32, 64), seeds=(1, 2, 3, 4), draws=1000).write(base / "run")
    begin = time.process_time()
    page = build_report([store], base / "out")
    return Sixty(page, len(store.cells()), time.process_time() - begin)


Rebuilt = Callable[[Path], tuple[Path, dict[str, bytes]]]


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """reports/make.py."""
    path = Path(__file__).parents[2] / "reports" / "make.py"
    spec = importlib.util.spec_from_file_location("make_reports", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def rebuilt(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Rebuilt:
    """The full page of a committed report, built again from its raw data, and the files that are committed of it."""

    @lru_cache
    def build(folder: Path) -> tuple[Path, dict[str, bytes]]:
        page = tmp_path_factory.mktemp(folder.name)
        return page, script.committed(folder, page)

    return build


@pytest.fixture
def troubled_maker() -> StoreMaker:
    return troubled()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
