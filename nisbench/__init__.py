"""nisbench: a benchmark suite for samplers of lattice models.

A plugin's registration module needs this module alone: it is free of torch, so that plans, reports and
`nisbench plugins` know every option and default without loading a sampler.
"""

from importlib.metadata import version

import pluggy

from nisbench.contract.records import TrainingOptions

__all__ = ["TrainingOptions", "__version__", "hookimpl"]

__version__ = version("nisbench")

hookimpl = pluggy.HookimplMarker("nisbench")
"""Marks a function of a registration module as a hook implementation."""
