"""nisbench: a benchmark suite for samplers of lattice models.

`run` runs a plan, `evaluate` evaluates draws of another program, `load` opens a finished run, and a `Run` gives tables,
trained models and the report. The names for registration modules of plugins (`hookimpl`, `TrainingOptions`) load
neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pluggy

from nisbench.contract.distribution import own_version
from nisbench.contract.records import TrainingOptions

if TYPE_CHECKING:
    from nisbench.evaluation import evaluate
    from nisbench.python import Run, load, run

__all__ = ["Run", "TrainingOptions", "__version__", "evaluate", "hookimpl", "load", "run"]

__version__ = own_version()

hookimpl = pluggy.HookimplMarker("nisbench")
"""Marks a function of a registration module as a hook implementation."""


def __getattr__(name: str) -> Any:
    """Load the Python interface when it is used first; a registration module does not need it."""
    if name == "evaluate":
        return import_module("nisbench.evaluation").evaluate
    if name in ("Run", "load", "run"):
        return getattr(import_module("nisbench.python"), name)
    raise AttributeError(f"module 'nisbench' has no attribute '{name}'")
