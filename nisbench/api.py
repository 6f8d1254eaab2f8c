"""The one module that plugins import: the interfaces, the toolkit for models and the records they meet."""

from nisbench.contract.interfaces import (
    ChainDraws,
    ChainSeries,
    Model,
    ModelDraws,
    Sampler,
    Target,
    TrainingBatch,
    WeightedDraws,
)
from nisbench.contract.records import TrainingOptions
from nisbench.nn.bernoulli import spin_log_prob, thresholds, z2_average, z2_flip
from nisbench.nn.conv import AutoregressiveConv
from nisbench.nn.dense import AutoregressiveDense, Trace
from nisbench.nn.modules import Stack

__all__ = [
    "AutoregressiveConv",
    "AutoregressiveDense",
    "ChainDraws",
    "ChainSeries",
    "Model",
    "ModelDraws",
    "Sampler",
    "Stack",
    "Target",
    "Trace",
    "TrainingBatch",
    "TrainingOptions",
    "WeightedDraws",
    "spin_log_prob",
    "thresholds",
    "z2_average",
    "z2_flip",
]
