"""Shared by all benchmarks: access to the code under test, plugins with generators, and the timing.

The benchmarks of the current checkout also run against older commits, which may lack a feature. A benchmark gets its
features with `feature` or `build` in `setup`: asv then shows n/a if a feature is missing. Any other error is a failure.
"""

import functools
import importlib
import importlib.util
import os
import resource
import time
from pathlib import Path
from typing import Any

__all__ = ["BETA", "SOURCE", "Timed", "build", "cpu_time", "feature"]

BETA = 0.44
SOURCE = os.environ.get("ASV_SOURCE")
"""Folder of the commit under test; None if the installed packages are measured (`asv run --python=same`)."""


def _assert_under_test() -> None:
    """Raise ImportError if the packages would be imported from outside the folder of the commit."""
    for package in ("nisbench", "nisbench_plugins"):
        spec = importlib.util.find_spec(package)
        if spec is None or not Path(str(spec.origin)).is_relative_to(str(SOURCE)):
            raise ImportError(f"{package} would be imported from {spec and spec.origin}, not from {SOURCE}")


if SOURCE:
    _assert_under_test()


def cpu_time() -> float:
    """Return the seconds of processor time of this process and of its finished children, without other programs."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Timed:
    """Base of all timed benchmarks: four processes for each commit, five calls in each process.

    The gate uses the shortest call of a process as one observation. asv runs `setup` before every call, so setups
    cache what they build.
    """

    timer = staticmethod(cpu_time)

    version = "1"
    rounds = 4
    repeat = 5
    number = 1
    warmup_time = 0.1
    timeout = 300  # the first process at a commit compiles the kernels


def feature(name: str) -> Any:
    """Return `module:attribute` of the code under test. Raises NotImplementedError (n/a) if the commit lacks it."""
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise NotImplementedError(f"this commit has no {module}") from None
        raise
    if not hasattr(found, attribute):
        raise NotImplementedError(f"this commit has no {attribute} in {module}")
    return getattr(found, attribute)


@functools.cache
def build(name: str, extent: int, **options: Any) -> tuple[Any, Any]:
    """Return a seeded plugin on the Ising target, and a generator. Raises NotImplementedError without the plugin."""
    load_catalog = feature("nisbench.contract.catalog:load_catalog")
    import torch

    catalog = load_catalog()
    if name not in catalog.plugins:
        raise NotImplementedError(f"this commit has no plugin {name}")
    entry, target = catalog.plugin(name), catalog.target("ising").load()(extent)
    torch.manual_seed(1)
    return entry.load()(target, entry.options(**options)), torch.Generator().manual_seed(1)
