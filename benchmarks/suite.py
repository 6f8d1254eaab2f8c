"""What every benchmark shares: features of the code under test, a plugin with its generator, the way it is timed.

The benchmarks of the current checkout also run against older commits. What such a commit lacks is asked for with
`feature` or `build` in `setup`, so that asv shows n/a for it; an error in anything else is a failure.
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
"""Folder of the commit under test; None where the installed packages are run (`asv run --python=same`)."""


def _assert_under_test() -> None:
    """Raises ImportError where the path leads to other code than that of the commit."""
    for package in ("nisbench", "nisbench_plugins"):
        spec = importlib.util.find_spec(package)
        if spec is None or not Path(str(spec.origin)).is_relative_to(str(SOURCE)):
            raise ImportError(f"{package} would come from {spec and spec.origin}, not from {SOURCE}")


if SOURCE:
    _assert_under_test()


def cpu_time() -> float:
    """Seconds of processor time of this process and of the children that ended: what others run does not count."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Timed:
    """Four processes a commit, five calls in each: the gate takes the least call of a process as one observation.

    asv runs `setup` before every call, so setups keep what they made in this process.
    """

    timer = staticmethod(cpu_time)

    version = "1"
    rounds = 4
    repeat = 5
    number = 1
    warmup_time = 0.1
    timeout = 300  # the first process at a commit compiles the kernels


def feature(name: str) -> Any:
    """`module:attribute` of the code under test; NotImplementedError, shown as n/a, where the commit lacks it."""
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
def build(name: str, extent: int, device: str = "cpu") -> tuple[Any, Any]:
    """The plugin with default options on the Ising target, seeded, and a generator; n/a where the plugin is missing."""
    load_catalog = feature("nisbench.contract.catalog:load_catalog")
    import torch

    catalog = load_catalog()
    if name not in catalog.plugins:
        raise NotImplementedError(f"this commit has no plugin {name}")
    entry, target = catalog.plugin(name), catalog.target("ising").load()(extent)
    torch.manual_seed(1)
    sampler = entry.load()(target, entry.options())
    if hasattr(sampler, "to"):
        sampler.to(device)
    return sampler, torch.Generator(device).manual_seed(1)
