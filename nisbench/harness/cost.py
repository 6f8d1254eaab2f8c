"""Cost of a cell: seconds and bytes of each phase, and seconds for one effectively independent draw."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from nisbench.contract.interfaces import Sampler
from nisbench.contract.quantities import (
    DRAW_S,
    DRAW_S_PER_1000,
    ESS_FRACTION,
    ESS_FRACTION_P,
    S_PER_EFFECTIVE_SAMPLE,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
    peak_name,
)
from nisbench.contract.records import CostBasis, Estimate
from nisbench.harness.clock import Clock, Phase

__all__ = ["draw_costs", "kernel_launches", "matmul_rate", "phase_memory", "stated_costs"]


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
        Seconds per draw of each chunk; their spread gives the error.
    quantities
        The quantities of the cell; ess_fraction, ess_fraction_p and tau_int_* are used if they are there.
    """
    per_draw = seconds / n
    spread = float(np.std(chunk_s, ddof=1)) / math.sqrt(len(chunk_s)) if len(chunk_s) > 1 else None
    found = {
        DRAW_S: Estimate(seconds, n=n),
        DRAW_S_PER_1000: Estimate(1000 * per_draw, None if spread is None else 1000 * spread, n=n),
    }
    basis = _basis_of_ess(quantities)
    factors: dict[CostBasis, tuple[float, float] | None] = {
        basis: _by_ess(quantities.get(basis)),
        "tau_int": _by_tau(quantities),
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


def _basis_of_ess(quantities: Mapping[str, Estimate]) -> CostBasis:
    """Return ess_fraction_p if it is lower by three errors, else ess_fraction. Draws of q cannot show what q misses."""
    q, p = quantities.get(ESS_FRACTION), quantities.get(ESS_FRACTION_P)
    if q is None or p is None or q.value is None or p.value is None:
        return "ess_fraction"
    lower = q.value - p.value > 3 * math.hypot(q.error or 0.0, p.error or 0.0)
    return "ess_fraction_p" if lower else "ess_fraction"


def _by_ess(ess: Estimate | None) -> tuple[float, float] | None:
    """Return 1/ess, at least one draw, and its relative error."""
    if ess is None or not ess.value:
        return None
    # ess_fraction_p may exceed 1 by its error, but one draw is the least that one sample costs.
    return max(1.0, 1 / ess.value), (ess.error or 0.0) / ess.value


def _by_tau(quantities: Mapping[str, Estimate]) -> tuple[float, float] | None:
    """Return 2 tau_int, at least one draw, and its relative error, for the larger one of both tau_int."""
    taus = [quantities.get(name) for name in (TAU_INT_ENERGY, TAU_INT_ABS_MAGNETISATION)]
    known = [(tau.value, tau.error or 0.0) for tau in taus if tau is not None and tau.value is not None]
    if len(known) < len(taus):
        return None
    value, error = max(known)
    return max(1.0, 2 * value), error / value if value else 0.0


def _bytes(value: int | None, reason: str) -> Estimate:
    """Return a number of bytes as an estimate, or the reason why there is none."""
    return Estimate(float(value)) if value is not None else Estimate.missing(reason)
