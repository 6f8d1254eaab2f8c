"""The names that the author of a plugin imports: base classes, records of draws, Target and options.

The networks of the built-in plugins are imported from `nisbench.nn`.
"""

from nisbench.contract.interfaces import (
    Bridges,
    ChainDraws,
    ChainSampler,
    ChainSeries,
    Density,
    Model,
    ModelDraws,
    Target,
    TrainingBatch,
    WeightedDraws,
    WeightedSampler,
)
from nisbench.contract.levels import LevelModel, LocalPairs
from nisbench.contract.records import Budget, TrainingOptions
from nisbench.contract.targets import lattice_of, other_than_uniform_torus
from nisbench.contract.training import TrainingReport

__all__ = [
    "Bridges",
    "Budget",
    "ChainDraws",
    "ChainSampler",
    "ChainSeries",
    "Density",
    "LevelModel",
    "LocalPairs",
    "Model",
    "ModelDraws",
    "Target",
    "TrainingBatch",
    "TrainingOptions",
    "TrainingReport",
    "WeightedDraws",
    "WeightedSampler",
    "lattice_of",
    "other_than_uniform_torus",
]
