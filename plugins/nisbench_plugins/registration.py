"""Registration of the built-in plugins: names, options with defaults, summaries and citations; free of torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from nisbench import TrainingOptions, hookimpl

VAN_CITATION = (
    'D. Wu, L. Wang, P. Zhang, "Solving Statistical Mechanics Using Variational Autoregressive Networks", '
    "Phys. Rev. Lett. 122, 080602 (2019), arXiv:1809.10606"
)
HIER_CITATION = (
    'P. Bialas, P. Korcyl, T. Stebel, "Hierarchical autoregressive neural networks for statistical systems", '
    "Comput. Phys. Commun. 281, 108502 (2022), arXiv:2203.10989"
)
HIER_EXACT_CITATION = f"nisbench, docs/methods/hier-exact.md; the method builds on {HIER_CITATION}"
WOLFF_CITATION = 'U. Wolff, "Collective Monte Carlo Updating for Spin Systems", Phys. Rev. Lett. 62, 361 (1989)'


@dataclass(frozen=True)
class VanOptions(TrainingOptions):
    """Options of `van`. The default architecture is the baseline that the hierarchical paper compares against."""

    net: Literal["dense", "conv"] = field(default="dense", metadata={"help": "masked dense or masked convolutional"})
    depth: int = field(default=2, metadata={"help": "number of masked layers"})
    width: int = field(default=1, metadata={"help": "dense: hidden units per spin"})
    channels: int = field(default=64, metadata={"help": "conv: channels of the hidden layers"})
    half_kernel: int = field(default=6, metadata={"help": "conv: the kernel has side 2 half_kernel + 1"})
    residual: bool = field(default=False, metadata={"help": "residual layers between the first and the last layer"})
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

    block: Literal[1, 3, 7] = field(default=7, metadata={"help": "largest side of the blocks that are drawn exactly"})
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
    bisect: bool = field(default=False, metadata={"help": "draw the middle of each bar of a cross first"})
    pairs: bool = field(
        default=True,
        metadata={"help": "train the levels below the frame with two draws of each block given its border"},
    )
    rates: bool = field(default=True, metadata={"help": "each matrix of a network has its own learning rate"})
    learning_rate: float = field(default=5e-3, metadata={"help": "peak learning rate of Adam"})
    fan_in: int = field(default=64, metadata={"help": "layers with more inputs get learning_rate * fan_in / inputs"})
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
        if self.block not in (1, 3, 7) or self.lines not in (1, 2) or self.width < 1:
            raise ValueError(f"block must be 1, 3 or 7, lines 1 or 2, width at least 1; got {self}")


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
        citation=VAN_CITATION,
    )
    register(
        "hier",
        options=HierOptions,
        factory="nisbench_plugins.hier:Hier",
        summary="hierarchical autoregressive network (Bialas, Korcyl, Stebel 2022)",
        citation=HIER_CITATION,
    )
    register(
        "hier-exact",
        options=HierExactOptions,
        factory="nisbench_plugins.hier_exact:HierExact",
        summary="hierarchical network, odd, whose last blocks are drawn exactly by a transfer matrix",
        citation=HIER_EXACT_CITATION,
    )


@hookimpl
def register_densities(register: Callable[..., None]) -> None:
    """Register the densities of this distribution that need no training."""
    register(
        "boundary-mps",
        options=BoundaryMpsOptions,
        factory="nisbench_plugins.boundary_mps:BoundaryMps",
        devices=("cpu",),
        summary="tensor-network sampling of models with free edges by boundary matrix-product states",
        reference_rank=1,
        reference_needs=("pairwise", "free"),
    )


@hookimpl
def register_samplers(register: Callable[..., None]) -> None:
    """Register the samplers of this distribution."""
    register(
        "wolff",
        options=WolffOptions,
        factory="nisbench_plugins.wolff:Wolff",
        devices=("cpu",),
        summary="single-cluster Monte Carlo (Wolff 1989), compiled, several chains",
        reference_rank=2,
        reference_needs=("pairwise", "ferromagnet", "z2"),
        citation=WOLFF_CITATION,
    )
