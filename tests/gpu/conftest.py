"""One dry run for all tests that read its results."""

import pytest
from dry_run import DryRun, dry_run


@pytest.fixture(scope="session")
def dry(tmp_path_factory: pytest.TempPathFactory) -> DryRun:
    """The whole command on the CPU."""
    return dry_run(tmp_path_factory.mktemp("gpu") / "out")
