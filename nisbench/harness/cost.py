"""The cost of a cell as quantities: seconds and bytes by phase, and seconds per effectively independent draw."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

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
from nisbench.contract.records import Estimate
from nisbench.harness.clock import Clock, Phase

__all__ = ["draw_costs", "kernel_launches", "matmul_rate", "phase_memory"]


_MATMUL_EXTENT = {"cpu": 1024, "cuda": 8192}
"""Side of the matrices whose product measures the speed of a device: large enough to occupy all of it."""


def matmul_rate(clock: Clock, extent: int | None = None, repeats: int = 5) -> float:
    """Operations per second of a float32 product of two extent x extent matrices, the best of `repeats`.

    It is measured with the threads and on the device of the cell; the report compares the rate of a network with it.
    """
    extent = extent or _MATMUL_EXTENT[clock.device.type]
    a = torch.ones(extent, extent, device=clock.device)
    seconds = []
    for _ in range(repeats + 1):  # the first product starts threads and loads libraries
        begin = clock.now()
        torch.mm(a, a)
        seconds.append(clock.now() - begin)
    return 2 * extent**3 / min(seconds[1:])


def kernel_launches(work: Callable[[], object]) -> Estimate:
    """Number of kernels that `work` starts on a CUDA device, without copies and fills; call `work` once before."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities, acc_events=True) as profile:
        work()
        torch.cuda.synchronize()
    on_device = [event.name for event in profile.events() if event.device_type.name == "CUDA"]
    launches = sum(not name.startswith(("Memcpy", "Memset")) for name in on_device)
    return Estimate(float(launches)) if launches else Estimate.missing("the profiler of torch saw no kernel")


def phase_memory(phases: Mapping[str, Phase]) -> dict[str, Estimate]:
    """peak_host_<phase>_bytes and peak_device_<phase>_bytes for each phase that was entered."""
    found = {}
    for name, phase in phases.items():
        no_host = phase.host_reason or "not measured"
        found[peak_name("host", name)] = _bytes(phase.peak_host_bytes, no_host)
        found[peak_name("device", name)] = _bytes(phase.peak_device_bytes, phase.device_reason)
    return found


def draw_costs(
    seconds: float, n: int, chunk_s: Sequence[float], quantities: Mapping[str, Estimate]
) -> tuple[dict[str, Estimate], str]:
    """draw_s, draw_s_per_1000 and s_per_effective_sample, followed by the basis of the last.

    By reweighting, one effectively independent draw costs 1/ess_fraction draws, or 1/ess_fraction_p if the p side is
    lower by more than three errors. Along a chain, it costs 2 tau_int draws, with the larger tau_int of energy and |m|.
    If a model has both, the cheaper one counts.

    Parameters
    ----------
    seconds
        Time of all n draws.
    n
        Number of draws, all chains together.
    chunk_s
        Seconds per draw in each chunk; their spread gives the error.
    quantities
        Those of ess_fraction, ess_fraction_p and tau_int_* that the cell has.
    """
    per_draw = seconds / n
    spread = float(np.std(chunk_s, ddof=1)) / math.sqrt(len(chunk_s)) if len(chunk_s) > 1 else None
    found = {
        DRAW_S: Estimate(seconds, n=n),
        DRAW_S_PER_1000: Estimate(1000 * per_draw, None if spread is None else 1000 * spread, n=n),
    }
    basis = _basis_of_ess(quantities)
    factors = {basis: _by_ess(quantities.get(basis)), "tau_int": _by_tau(quantities)}
    usable = {basis: factor for basis, factor in factors.items() if factor and math.isfinite(factor[0])}
    if not usable:
        found[S_PER_EFFECTIVE_SAMPLE] = Estimate.missing("neither ess_fraction nor tau_int is known and finite")
        return found, "none"
    basis = min(usable, key=lambda name: usable[name][0])
    factor, relative = usable[basis]
    relative = math.hypot(relative, spread / per_draw if spread is not None and per_draw else 0.0)
    cost = per_draw * factor
    found[S_PER_EFFECTIVE_SAMPLE] = Estimate(cost, cost * relative if math.isfinite(relative) else None, n=n)
    return found, basis


def _basis_of_ess(quantities: Mapping[str, Estimate]) -> str:
    """ess_fraction, or ess_fraction_p if it is lower by three errors: the q side does not see what q misses."""
    q, p = quantities.get(ESS_FRACTION), quantities.get(ESS_FRACTION_P)
    if q is None or p is None or q.value is None or p.value is None:
        return ESS_FRACTION
    lower = q.value - p.value > 3 * math.hypot(q.error or 0.0, p.error or 0.0)
    return ESS_FRACTION_P if lower else ESS_FRACTION


def _by_ess(ess: Estimate | None) -> tuple[float, float] | None:
    """Draws per effective sample, max(1, 1/ess), and their relative error."""
    if ess is None or not ess.value:
        return None
    return max(1.0, 1 / ess.value), (ess.error or 0.0) / ess.value


def _by_tau(quantities: Mapping[str, Estimate]) -> tuple[float, float] | None:
    """Draws per effective sample, max(1, 2 tau_int) with the larger tau_int, and their relative error."""
    taus = [quantities.get(name) for name in (TAU_INT_ENERGY, TAU_INT_ABS_MAGNETISATION)]
    known = [(tau.value, tau.error or 0.0) for tau in taus if tau is not None and tau.value is not None]
    if len(known) < len(taus):
        return None
    value, error = max(known)
    return max(1.0, 2 * value), error / value if value else 0.0


def _bytes(value: int | None, reason: str) -> Estimate:
    return Estimate(float(value)) if value is not None else Estimate.missing(reason)
