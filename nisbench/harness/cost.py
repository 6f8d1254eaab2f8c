"""Cost of a cell: seconds and bytes of each phase, and seconds for one effectively independent draw."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from nisbench.contract.interfaces import Sampler
from nisbench.contract.quantities import (
    DRAW_CPU_S,
    DRAW_S,
    DRAW_S_PER_1000,
    ESS_FRACTION,
    ESS_FRACTION_P,
    PREPARE_CPU_S,
    PREPARE_S,
    S_PER_EFFECTIVE_SAMPLE,
    TRAIN_CPU_S,
    peak_name,
)
from nisbench.contract.records import CostBasis, Estimate
from nisbench.contract.timing import PhaseTiming
from nisbench.harness.clock import Clock, Phase
from nisbench.statistics.effective import draws_per_effective_sample

__all__ = [
    "draw_costs",
    "drift_error",
    "kernel_launches",
    "matmul_rate",
    "phase_memory",
    "phase_times",
    "stated_costs",
]

_CPU_S = {"train": TRAIN_CPU_S, "prepare": PREPARE_CPU_S, "draw": DRAW_CPU_S}

_MATMUL_EXTENT = {"cpu": 1024, "cuda": 8192}
"""Rows and columns of the matrices whose product measures the speed of a device; large enough to use all of it."""


def matmul_rate(clock: Clock, extent: int | None = None, repeats: int = 5) -> float:
    """Return the operations per second of a float32 product of two extent x extent matrices, the best of `repeats`.

    The report compares the operations of a network with this rate, which is measured on the cell's threads and device.
    """
    extent = extent or _MATMUL_EXTENT[clock.device.type]
    a = torch.ones(extent, extent, device=clock.device)
    seconds = []
    for _ in range(repeats + 1):  # the first product starts threads and loads libraries
        begin = clock.now()
        torch.mm(a, a)
        seconds.append(clock.now() - begin)
    return 2 * extent**3 / min(seconds[1:])  # a multiply-add counts as two operations


def kernel_launches(work: Callable[[], object]) -> Estimate:
    """Return the number of kernels that `work` starts on a CUDA device; copies and fills do not count.

    Call `work` once before, so that it compiles nothing here.
    """
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        work()
        torch.cuda.synchronize()
    on_device = [event.name for event in profile.events() if event.device_type.name == "CUDA"]
    launches = sum(not name.startswith(("Memcpy", "Memset")) for name in on_device)
    return Estimate(float(launches)) if launches else Estimate.missing("the profiler of torch saw no kernel")


def phase_memory(phases: Mapping[str, Phase]) -> dict[str, Estimate]:
    """Return peak_host_<phase>_bytes and peak_device_<phase>_bytes of each phase."""
    found = {}
    for name, phase in phases.items():
        no_host = phase.host_reason or "not measured"
        found[peak_name("host", name)] = _bytes(phase.peak_host_bytes, no_host)
        found[peak_name("device", name)] = _bytes(phase.peak_device_bytes, phase.device_reason)
    return found


def phase_times(phases: Mapping[str, PhaseTiming]) -> dict[str, Estimate]:
    """Return prepare_s and the CPU seconds of each phase."""
    cpu = {_CPU_S[name]: Estimate(timing.cpu_s) for name, timing in phases.items()}
    return {**cpu, **({PREPARE_S: Estimate(phases["prepare"].wall_s)} if "prepare" in phases else {})}


def stated_costs(sampler: Sampler) -> dict[str, Estimate]:
    """Return the operation counts that the plugin states in `costs`."""
    counts = {name: float(value) for name, value in sampler.costs().items()}
    return {
        name: Estimate(value) if math.isfinite(value) else Estimate.missing(f"costs() of the plugin gave {value}")
        for name, value in counts.items()
    }


def draw_costs(
    seconds: float, n: int, chunk_s: Sequence[float], quantities: Mapping[str, Estimate]
) -> tuple[dict[str, Estimate], CostBasis | None]:
    """Return draw_s, draw_s_per_1000 and s_per_effective_sample, and the estimate behind the last.

    The time of a draw is the median over the chunks, with the error of `drift_error`.
    One effectively independent draw costs 1/ess_fraction draws by reweighting, and 2 tau_int draws along a chain.
    ess_fraction_p replaces ess_fraction if it is lower by more than three errors. tau_int is the larger one of energy
    and |m|. If a model has both costs, the lower one counts.

    Parameters
    ----------
    seconds
        Time of all n draws.
    n
        Number of draws, summed over all chains.
    chunk_s
        Seconds per draw of each chunk in the order of drawing; without chunks, seconds/n without an error.
    quantities
        The quantities of the cell; ess_fraction, ess_fraction_p and tau_int_* are used if they are there.
    """
    per_draw = float(np.median(chunk_s)) if len(chunk_s) else seconds / n
    spread = drift_error(chunk_s)
    found = {
        DRAW_S: Estimate(seconds, n=n),
        DRAW_S_PER_1000: Estimate(1000 * per_draw, None if spread is None else 1000 * spread, n=n),
    }
    basis = _basis_of_ess(quantities)
    factors: dict[CostBasis, tuple[float, float] | None] = {
        basis: draws_per_effective_sample(basis, quantities),
        "tau_int": draws_per_effective_sample("tau_int", quantities),
    }
    usable = {name: factor for name, factor in factors.items() if factor and math.isfinite(factor[0])}
    if not usable:
        found[S_PER_EFFECTIVE_SAMPLE] = Estimate.missing("neither ess_fraction nor tau_int is known and finite")
        return found, None
    # Two ways to independent configurations from the same draws: a user takes the cheaper one.
    basis = min(usable, key=lambda name: usable[name][0])
    factor, relative = usable[basis]
    relative = math.hypot(relative, spread / per_draw if spread is not None and per_draw else 0.0)
    cost = per_draw * factor
    found[S_PER_EFFECTIVE_SAMPLE] = Estimate(cost, cost * relative if math.isfinite(relative) else None, n=n)
    return found, basis


def drift_error(chunk_s: Sequence[float]) -> float | None:
    """Return the largest of sd(block means)/sqrt(b) over b = 2, 4, 8, ... blocks in time and over single chunks.

    If the times of the chunks are independent, all of these estimate the same error. If the speed of the machine
    changes slowly, few long blocks differ by more than single chunks suggest. None for fewer than two chunks.
    """
    numbers = [2**k for k in range(1, len(chunk_s).bit_length()) if 2**k < len(chunk_s)] + [len(chunk_s)]
    if len(chunk_s) < 2:
        return None
    blocks = ([part.mean() for part in np.array_split(np.asarray(chunk_s), b)] for b in numbers)
    return max(float(np.std(means, ddof=1)) / math.sqrt(len(means)) for means in blocks)


def _basis_of_ess(quantities: Mapping[str, Estimate]) -> CostBasis:
    """Return ess_fraction_p if it is lower by three errors, else ess_fraction. Draws of q cannot show what q misses."""
    q, p = quantities.get(ESS_FRACTION), quantities.get(ESS_FRACTION_P)
    if q is None or p is None or q.value is None or p.value is None:
        return "ess_fraction"
    lower = q.value - p.value > 3 * math.hypot(q.error or 0.0, p.error or 0.0)
    return "ess_fraction_p" if lower else "ess_fraction"


def _bytes(value: int | None, reason: str) -> Estimate:
    """Return a number of bytes as an estimate, or the reason why there is none."""
    return Estimate(float(value)) if value is not None else Estimate.missing(reason)
