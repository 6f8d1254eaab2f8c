"""Turn the arguments of `nisbench run` and `nisbench.run` into a plan. Values may be text or Python objects."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nisbench.contract.catalog import Catalog, load_catalog
from nisbench.contract.plugin_files import use_plugin_file
from nisbench.errors import UserError
from nisbench.harness import values
from nisbench.harness.environment import default_device
from nisbench.harness.interpreter import parse_pythons
from nisbench.harness.plan import Overrides, Plan
from nisbench.harness.planner import load_plan

__all__ = ["select_plan"]


def _several(read: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda where, given: values.items(where, given, read)


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "plugins": _several(values.parse_name),
    "sizes": _several(values.parse_size),
    "beta": values.parse_betas,
    "seeds": _several(values.integer(0, "seed")),
    "train_steps": values.integer(0, "number of steps"),
    "train_seconds": values.parse_seconds,
    "draws": values.integer(1, "number of draws"),
    "target": values.parse_name,
    "reference": values.parse_name,
    "memory_limit": values.parse_bytes,
    "timeout": values.parse_seconds,
    "python": parse_pythons,
}
"""A reader for each argument that changes a plan; every argument has the name of its command-line option."""


def select_plan(
    source: str | None,
    *,
    device: str = "auto",
    options: Iterable[str] | Mapping[str, Any] = (),
    plugin_files: Iterable[str | Path] = (),
    catalog: Catalog | None = None,
    **given: Any,
) -> Plan:
    """Return the plan named `source` (default: quick), with the given arguments in place of its own.

    Parameters
    ----------
    source
        Name of a plan, or the path of a TOML file.
    device
        `auto`, `cpu` or `cuda`.
    options
        Options of plugins and targets: `hier.width=2`, or a mapping {"hier.width": 2}. Several values,
        `hier.width=1,2` or {"hier.width": [1, 2]}, give a cell for each value.
    plugin_files
        Files with plugins and targets that are not installed.
    given
        plugins, sizes, beta, seeds, train_steps, train_seconds, draws, target, reference, memory_limit, timeout; None
        means not given. `python` is the interpreter of another environment by plugin, NAME=PATH or a mapping.

    Raises
    ------
    UserError
        For a name that does not exist or a value that does not fit.
    """
    if given.get("train_steps") is not None and given.get("train_seconds") is not None:
        raise UserError("--train-steps and --train-seconds exclude each other; give one")
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {device}: choose auto, cpu or cuda")
    read = {
        name: reader(f"--{name.replace('_', '-')}", given[name])
        for name, reader in _READERS.items()
        if given.get(name) is not None
    }
    overrides = Overrides(**read, options=values.options("--option", values.assignments(options)))
    chosen = default_device() if device == "auto" else device
    files = tuple(str(use_plugin_file(Path(file))) for file in plugin_files)
    return load_plan(source, overrides, catalog or load_catalog(), device=chosen, plugin_files=files)
