"""nisbench: a benchmark suite for samplers of lattice models.

A plugin's registration module needs this module alone: it is free of torch, so that plans, reports and
`nisbench plugins` know every option and default without loading a sampler.
"""

import pluggy

from nisbench.contract.distribution import own_version
from nisbench.contract.records import TrainingOptions

__all__ = ["TrainingOptions", "__version__", "hookimpl"]

__version__ = own_version()

hookimpl = pluggy.HookimplMarker("nisbench")
"""Marks a function of a registration module as a hook implementation."""
