import time
from pathlib import Path

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


@pytest.fixture
def troubled_maker() -> StoreMaker:
    return troubled()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
