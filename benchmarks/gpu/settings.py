"""Sizes and amounts of work, on a device and in a dry run on the CPU."""

from dataclasses import dataclass

__all__ = ["BETA", "DEVICE", "DRY", "Settings"]

BETA = 0.44
"""The inverse temperature of the published comparisons."""


@dataclass(frozen=True)
class Settings:
    """Settings of one mode: a device, or a dry run."""

    device: str
    dense_nets: tuple[tuple[int, int, int, int], ...]
    """spins, border, width, batch of the networks whose draws are compared with the full pass"""
    odd_nets: tuple[tuple[int, int, int, int], ...]
    """L, level, width, batch"""
    block_shapes: tuple[tuple[int, int], ...]
    checked: tuple[str, ...] | None
    """plugins for `nisbench check`; None: all models for the device"""
    right_sizes: tuple[int, ...]
    """extents L at which ln Z is compared with the exact one, and draws with their evaluation"""
    right_budget: str
    """training before that, as a line of a plan"""
    right_draws: int
    gemm: int
    """extent of the matrices of the float32 product"""
    copied_bytes: int
    sizes: tuple[int, ...]
    """extents L of draws and training steps"""
    draw_spins: int
    """spins of a batch of draws, and of a training step an eighth of it, at most"""
    draw_batch: int
    step_batch: int
    repeat_s: float
    """seconds over which a time is repeated"""
    profiled: tuple[int, ...]
    """extents L whose training step is profiled"""
    quality: tuple[int, int]
    """extents L of the trained samplers; the second one gets the time that is left"""
    first_s: float
    """training of the first one"""
    overhead_s: float
    """for the start, the reference and the draws of the quality run"""
    quality_draws: int
    quality_batch: int
    reference_draws: int
    chain_draws: int
    """draws of a chain: of the reference and of the baselines"""
    baselines: tuple[str, ...] | None
    """samplers beside the models; None: all"""
    baseline_sizes: tuple[int, ...]


DEVICE = Settings(
    device="cuda",
    dense_nets=(
        *((1, 0, 1, 1), (40, 0, 1, 33), (7, 12, 1, 5), (32, 4, 2, 16), (19, 8, 3, 17)),
        *((256, 0, 1, 1000), (61, 124, 1, 4097), (1024, 0, 1, 1001)),
    ),
    odd_nets=(
        *((16, 0, 8, 20), (16, 1, 8, 3), (16, 1, 1, 70), (16, 2, 3, 16), (16, 2, 16, 33)),  # 16: the widest in float64
        *((64, 0, 8, 1001), (64, 2, 8, 8193)),
    ),
    block_shapes=((1, 1), (3, 3), (7, 7), (31, 7)),
    checked=None,
    right_sizes=(8, 16),
    right_budget="train_seconds = 4",
    right_draws=16384,
    gemm=8192,
    copied_bytes=2**31,
    sizes=(8, 16, 32, 64, 128, 256, 512),
    draw_spins=2**27,
    draw_batch=16384,
    step_batch=1024,
    repeat_s=0.3,
    profiled=(64, 256),
    quality=(128, 256),
    first_s=30,
    overhead_s=88,
    quality_draws=20000,
    quality_batch=512,
    reference_draws=1000,
    chain_draws=20000,
    baselines=None,
    baseline_sizes=(32, 64, 128),
)

DRY = Settings(
    device="cpu",
    dense_nets=((1, 0, 1, 1), (7, 12, 1, 5)),
    odd_nets=((16, 1, 1, 3), (16, 2, 3, 16)),
    block_shapes=((1, 1), (3, 3)),
    checked=("wolff",),
    right_sizes=(4,),
    right_budget="train_steps = 50",
    right_draws=2000,
    gemm=256,
    copied_bytes=2**20,
    sizes=(4, 8),
    draw_spins=2**12,
    draw_batch=64,
    step_batch=16,
    repeat_s=0.02,
    profiled=(8,),
    quality=(4, 8),
    first_s=1,
    overhead_s=5,
    quality_draws=400,
    quality_batch=16,
    reference_draws=50,
    chain_draws=400,
    baselines=("wolff",),
    baseline_sizes=(8,),
)
