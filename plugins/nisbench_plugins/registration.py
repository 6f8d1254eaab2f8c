"""Registration of the built-in plugins: names, options with defaults, summaries and citations; free of torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from nisbench import TrainingOptions, hookimpl
from nisbench_plugins.citations import (
    ANNEALED,
    BOUNDARY_MPS,
    HIER,
    HIER_EXACT,
    METROPOLIS,
    PERFECT,
    SWENDSEN_WANG,
    TEMPERING,
    VAN,
    WOLFF,
)


@dataclass(frozen=True)
class VanOptions(TrainingOptions):
    """Options of `van`. The default architecture is the baseline that the hierarchical paper compares against."""

    net: Literal["dense", "conv"] = field(
        default="dense",
        metadata={
            "help": "masked dense or masked convolutional",
            "defaults": {"conv": {"learning_rate": 8e-3, "fan_in": 0, "batch_size": 64, "annealing_fraction": 0.5}},
        },
    )
    depth: int = field(default=2, metadata={"help": "number of masked layers"})
    width: int = field(default=1, metadata={"help": "dense: hidden units per spin"})
    channels: int = field(default=64, metadata={"help": "conv: channels of the hidden layers"})
    half_kernel: int = field(default=6, metadata={"help": "conv: the kernel has side 2 half_kernel + 1"})
    residual: bool = field(
        default=False, metadata={"help": "residual layers between the first and the last layer; needs depth 3 or more"}
    )
    bias: bool = field(default=True, metadata={"help": "bias in every layer"})
    z2: bool = field(default=True, metadata={"help": "average q over s and -s if the target has this symmetry"})
    learning_rate: float = field(default=1e-2, metadata={"help": "peak learning rate of Adam"})
    fan_in: int = field(default=64, metadata={"help": "layers with more inputs get learning_rate * fan_in / inputs"})
    batch_size: int = field(default=512, metadata={"help": "configurations per training step"})
    annealing_fraction: float = field(
        default=0.75, metadata={"help": "fraction of the budget that the linear rise takes"}
    )
    clip_norm: float = field(default=1.0, metadata={"help": "largest gradient norm; 0 switches clipping off"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.depth, self.width, self.channels, self.half_kernel) < 1:
            raise ValueError(f"depth, width, channels and half_kernel must be at least 1; got {self}")
        if self.residual and self.depth < 3:
            raise ValueError(
                f"residual = true needs a layer between the first and the last, and depth = {self.depth} has none; "
                "give depth = 3 or more, or residual = false"
            )


@dataclass(frozen=True)
class HierOptions(TrainingOptions):
    """Options of `hier`. The default architecture is the published one."""

    width: int = field(default=1, metadata={"help": "hidden units per input of each network"})
    z2: bool = field(default=True, metadata={"help": "average q over s and -s"})
    learning_rate: float = field(default=1e-2, metadata={"help": "peak learning rate of Adam"})
    fan_in: int = field(default=64, metadata={"help": "layers with more inputs get learning_rate * fan_in / inputs"})
    batch_size: int = field(default=512, metadata={"help": "configurations per training step"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width < 1:
            raise ValueError(f"width must be at least 1; got {self.width}")


@dataclass(frozen=True)
class HierExactOptions(TrainingOptions):
    """Options of `hier-exact`. The training options are the best of those that were tried at L = 32 to 128."""

    block: Literal[1, 3, 7] = field(default=7, metadata={"help": "columns of the blocks that are drawn exactly"})
    strip: Literal[1, 3, 7, 15, 31, 63] = field(
        default=31,
        metadata={"help": "blocks with at most so many rows are divided by a column alone, not by a cross"},
    )
    width: int = field(default=8, metadata={"help": "hidden units per drawn spin"})
    lines: Literal[1, 2] = field(
        default=2, metadata={"help": "rows and columns of the frame that is drawn first: 2 L - 1 or 4 L - 4 spins"}
    )
    odd: bool = field(default=True, metadata={"help": "no bias, so that q(s) = q(-s) exactly"})
    skip: bool = field(
        default=True, metadata={"help": "linear part of the logits, which starts as the heat bath of known neighbours"}
    )
    shared: bool = field(
        default=True,
        metadata={"help": "pairs of sites with the same displacement along parallel lines share a weight"},
    )
    bisect: bool = field(default=False, metadata={"help": "draw the middle of each line of a cross first"})
    pairs: bool = field(
        default=True,
        metadata={"help": "train the levels below the frame with two draws of each block given its border"},
    )
    rates: bool = field(default=True, metadata={"help": "each matrix of a network has its own learning rate"})
    locality: float = field(
        default=1.5,
        metadata={"help": "weights between sites at distance d learn at the rate (1 + d)^-locality; 0: all alike"},
    )
    learning_rate: float = field(default=2e-2, metadata={"help": "peak learning rate of Adam"})
    fan_in: int = field(default=0, metadata={"help": "layers with more inputs get learning_rate * fan_in / inputs"})
    batch_size: int = field(default=256, metadata={"help": "configurations per training step"})
    schedule: Literal["constant", "cosine", "linear"] = field(
        default="linear", metadata={"help": "learning rate over the budget: constant, or decay to zero"}
    )
    adam_beta1: float = field(default=0.8, metadata={"help": "decay of Adam's mean of gradients"})
    adam_beta2: float = field(default=0.99, metadata={"help": "decay of Adam's mean of squared gradients"})
    annealing: Literal["none", "linear", "stepwise"] = field(
        default="none",
        metadata={"help": "beta while training: fixed, linear rise, or beta (1 - annealing_rate^step)"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.block in (1, 3, 7) and self.strip in (1, 3, 7, 15, 31, 63) and self.lines in (1, 2)
        if not known or self.width < 1 or self.locality < 0:
            raise ValueError(
                "block must be 1, 3 or 7, strip 1, 3, 7, 15, 31 or 63, lines 1 or 2, width at least 1 and locality at"
                f" least 0; got {self}"
            )


@dataclass(frozen=True)
class PerfectOptions:
    """Options of `perfect`."""

    max_doublings: int = field(default=16, metadata={"help": "a draw fails after 2^max_doublings sweeps"})

    def __post_init__(self) -> None:
        if not 0 <= self.max_doublings <= 40:
            raise ValueError(f"max_doublings = {self.max_doublings}: give a number from 0 to 40")


@dataclass(frozen=True)
class SwendsenWangOptions:
    """Options of `swendsen-wang`."""

    n_chains: int = field(default=8, metadata={"help": "independent chains"})
    sweeps_per_draw: int = field(default=1, metadata={"help": "updates of all clusters between two draws"})
    burn_in_sweeps: int = field(
        default=100, metadata={"help": "updates of each chain before its first draw; 0 keeps the start"}
    )

    def __post_init__(self) -> None:
        if self.n_chains < 1 or self.sweeps_per_draw < 1 or self.burn_in_sweeps < 0:
            raise ValueError(
                f"n_chains and sweeps_per_draw must be at least 1 and burn_in_sweeps at least 0; got {self}"
            )


@dataclass(frozen=True)
class WolffOptions:
    """Options of `wolff`."""

    n_chains: int = field(default=8, metadata={"help": "independent chains"})
    flips_per_draw: int = field(default=1, metadata={"help": "cluster flips between two draws"})
    burn_in_sweeps: float = field(
        default=100.0,
        metadata={"help": "spins flipped per site in each chain before its first draw; 0 keeps the start"},
    )

    def __post_init__(self) -> None:
        if self.n_chains < 1 or self.flips_per_draw < 1:
            raise ValueError(f"n_chains and flips_per_draw must be at least 1; got {self}")
        if not 0 <= self.burn_in_sweeps <= 1e9:  # the kernel counts the flipped spins in 64 bits
            raise ValueError(f"burn_in_sweeps = {self.burn_in_sweeps}: give a number from 0 to 1e9")


@dataclass(frozen=True)
class MetropolisOptions:
    """Options of `metropolis`."""

    update: Literal["metropolis", "heat-bath"] = field(
        default="metropolis", metadata={"help": "rule for one spin: Metropolis or heat bath"}
    )
    n_chains: int = field(default=32, metadata={"help": "independent chains; 32 advance together"})
    sweeps_per_draw: int = field(default=10, metadata={"help": "sweeps between two draws"})
    burn_in_sweeps: int = field(default=1000, metadata={"help": "sweeps of each chain before its first draw"})

    def __post_init__(self) -> None:
        if min(self.n_chains, self.sweeps_per_draw) < 1 or self.burn_in_sweeps < 0:
            raise ValueError(f"n_chains and sweeps_per_draw must be at least 1, burn_in_sweeps at least 0; got {self}")


@dataclass(frozen=True)
class ParallelTemperingOptions:
    """Options of `parallel-tempering`."""

    n_chains: int = field(default=4, metadata={"help": "independent systems, each with all temperatures"})
    n_temperatures: int = field(
        default=0, metadata={"help": "temperatures, beta = 0 and the target's included; 0 chooses their number"}
    )
    sweeps_per_draw: int = field(default=10, metadata={"help": "sweeps, each with exchanges, between two draws"})
    houdayer_every: int = field(
        default=10, metadata={"help": "sweeps between two Houdayer moves; 0: none, and one replica per temperature"}
    )
    burn_in_sweeps: int = field(default=1000, metadata={"help": "sweeps of each replica before its first draw"})

    def __post_init__(self) -> None:
        if self.n_temperatures and not 2 <= self.n_temperatures <= 4096:
            raise ValueError(f"n_temperatures = {self.n_temperatures}: give 0, or a number from 2 to 4096")
        if min(self.n_chains, self.sweeps_per_draw) < 1:
            raise ValueError(f"n_chains and sweeps_per_draw must be at least 1; got {self}")
        if min(self.houdayer_every, self.burn_in_sweeps) < 0:
            raise ValueError(f"houdayer_every and burn_in_sweeps must be at least 0; got {self}")


@dataclass(frozen=True)
class AnnealedOptions:
    """Options of `annealed`."""

    n_steps: int = field(default=1000, metadata={"help": "steps of beta from 0 to its final value"})
    sweeps_per_step: int = field(default=1, metadata={"help": "heat-bath sweeps after each step"})

    def __post_init__(self) -> None:
        if min(self.n_steps, self.sweeps_per_step) < 1:
            raise ValueError(f"n_steps and sweeps_per_step must be at least 1; got {self}")


@dataclass(frozen=True)
class BoundaryMpsOptions:
    """Options of `boundary-mps`."""

    chi: int = field(default=16, metadata={"help": "largest bond dimension of the row environments"})

    def __post_init__(self) -> None:
        if self.chi < 1:
            raise ValueError(f"chi must be at least 1; got {self.chi}")


@hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register the trainable models of this distribution."""
    register(
        "van",
        options=VanOptions,
        factory="nisbench_plugins.van:Van",
        summary="variational autoregressive network of full width (Wu, Wang, Zhang 2019)",
        **VAN,
    )
    register(
        "hier",
        options=HierOptions,
        factory="nisbench_plugins.hier:Hier",
        summary="hierarchical autoregressive network (Bialas, Korcyl, Stebel 2022)",
        **HIER,
    )
    register(
        "hier-exact",
        options=HierExactOptions,
        factory="nisbench_plugins.hier_exact:HierExact",
        summary=(
            "hierarchical network with q(s) = q(-s) built in; its smallest blocks are drawn exactly by a"
            " transfer matrix. New in nisbench; builds on Bialas, Korcyl, Stebel 2022"
        ),
        **HIER_EXACT,
    )


@hookimpl
def register_densities(register: Callable[..., None]) -> None:
    """Register the densities of this distribution that need no training."""
    register(
        "boundary-mps",
        options=BoundaryMpsOptions,
        factory="nisbench_plugins.boundary_mps:BoundaryMps",
        devices=("cpu",),
        summary="tensor-network sampling of any couplings by boundary matrix-product states",
        reference_rank=1,
        reference_needs=("pairwise", "free"),
        **BOUNDARY_MPS,
    )


@hookimpl
def register_samplers(register: Callable[..., None]) -> None:
    """Register the samplers of this distribution."""
    register(
        "annealed",
        options=AnnealedOptions,
        factory="nisbench_plugins.annealed:Annealed",
        devices=("cpu",),
        summary="annealed importance sampling from beta = 0 by heat-bath sweeps, compiled",
        **ANNEALED,
    )
    register(
        "metropolis",
        options=MetropolisOptions,
        factory="nisbench_plugins.metropolis:Metropolis",
        devices=("cpu",),
        summary="local updates, Metropolis or heat bath, compiled, many replicas",
        reference_rank=5,
        reference_needs=("pairwise",),
        **METROPOLIS,
    )
    register(
        "parallel-tempering",
        options=ParallelTemperingOptions,
        factory="nisbench_plugins.parallel_tempering:ParallelTempering",
        devices=("cpu",),
        summary="exchange Monte Carlo with Houdayer cluster moves, compiled; also gives ln Z",
        reference_rank=4,
        reference_needs=("pairwise", "frustrated"),
        **TEMPERING,
    )
    register(
        "perfect",
        options=PerfectOptions,
        factory="nisbench_plugins.perfect:Perfect",
        devices=("cpu",),
        summary="coupling from the past (Propp, Wilson 1996): independent exact draws of ferromagnets",
        **PERFECT,
    )
    register(
        "swendsen-wang",
        options=SwendsenWangOptions,
        factory="nisbench_plugins.swendsen_wang:SwendsenWang",
        summary="multi-cluster Monte Carlo (Swendsen, Wang 1987), compiled; batched on a GPU",
        reference_rank=3,
        reference_needs=("pairwise", "ferromagnet"),
        **SWENDSEN_WANG,
    )
    register(
        "wolff",
        options=WolffOptions,
        factory="nisbench_plugins.wolff:Wolff",
        devices=("cpu",),
        summary="single-cluster Monte Carlo (Wolff 1989), compiled, several chains",
        reference_rank=2,
        reference_needs=("pairwise", "ferromagnet", "z2"),
        **WOLFF,
    )
