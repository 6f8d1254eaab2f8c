"""The one module that plugins import: the interfaces, the toolkit for models and the records they meet."""

from nisbench.contract.interfaces import (
    ChainDraws,
    ChainSeries,
    LocalPairs,
    Model,
    ModelDraws,
    Sampler,
    Target,
    TrainingBatch,
    WeightedDraws,
)
from nisbench.contract.records import TrainingOptions
from nisbench.nn.bernoulli import configurations, forcing, heat_bath, spin_log_prob, thresholds, z2_average, z2_flip
from nisbench.nn.conv import AutoregressiveConv
from nisbench.nn.dense import AutoregressiveDense
from nisbench.nn.exact_block import block_draw, block_log_z
from nisbench.nn.hierarchy import Level, displacements, exact_blocks, heat_bath_sites, known_neighbours, levels
from nisbench.nn.modules import Stack
from nisbench.nn.odd import AutoregressiveOdd, OddRates, OddTrace, OddWeights

__all__ = [
    "AutoregressiveConv",
    "AutoregressiveDense",
    "AutoregressiveOdd",
    "ChainDraws",
    "ChainSeries",
    "Level",
    "LocalPairs",
    "Model",
    "ModelDraws",
    "OddRates",
    "OddTrace",
    "OddWeights",
    "Sampler",
    "Stack",
    "Target",
    "TrainingBatch",
    "TrainingOptions",
    "WeightedDraws",
    "block_draw",
    "block_log_z",
    "configurations",
    "displacements",
    "exact_blocks",
    "forcing",
    "heat_bath",
    "heat_bath_sites",
    "known_neighbours",
    "levels",
    "spin_log_prob",
    "thresholds",
    "z2_average",
    "z2_flip",
]
