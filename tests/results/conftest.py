import pytest
from fakes.stores import StoreMaker, quick, troubled

from nisbench.harness.store import Store


@pytest.fixture(scope="session")
def quick_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """hier, van and wolff at L = 4, 8, 16 with two seeds; van is untrusted at L = 16."""
    return quick(seeds=(1, 2)).write(tmp_path_factory.mktemp("quick") / "run")


@pytest.fixture
def troubled_maker() -> StoreMaker:
    return troubled()
