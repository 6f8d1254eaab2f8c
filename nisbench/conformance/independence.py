"""Check that draws are independent, within a call and across calls.

Power. Draws that all come twice have tau_int = 1, which 8192 draws show at 40 errors. One repeated pair among
configurations that ln q makes improbable is enough. A correct sampler fails with probability below 1e-4.
"""

from typing import Any

import numpy as np
import torch

from nisbench.conformance.subject import Subject, Violation, generator
from nisbench.contract.interfaces import Density
from nisbench.harness.first_chunk import configuration_hash, independent_doubts
from nisbench.statistics.independence import LARGEST_TAU_Z, repeated, repeated_beyond, tau_excess

__all__ = ["independent"]

_CALLS, _DRAWS = 4, 2048


def independent(subject: Subject) -> str:
    """Draws are independent: no correlation along the draws or between calls, and no repetition beyond chance."""
    extent = 8 if subject.unsupported(8) is None else subject.extent
    is_density = issubclass(subject.factory, Density)
    # a model, density or weighted sampler: the checks of chains do not contain this one
    sampler: Any = subject.density(extent, dtype=torch.float32) if is_density else subject.prepared(extent)
    source, spins, values = generator(17), [], []
    for _ in range(_CALLS):
        draws = (
            sampler.sample(_DRAWS, beta=subject.beta, generator=source)
            if is_density
            else sampler.draw(_DRAWS, generator=source)
        )
        spins.append(draws.spins)
        values.append(draws.log_prob if is_density else draws.log_weight)
    s, value = torch.cat(spins), torch.cat(values).numpy()
    series = {
        "energy": subject.target(extent).energy(s).numpy(),
        "magnetisation": s.sum((-2, -1), dtype=torch.float64).numpy(),
        "log_prob" if is_density else "log_weight": value,
    }
    configuration = configuration_hash(s)
    reasons = [doubt.text for doubt in independent_doubts(series)]
    if is_density and (reason := repeated_beyond(configuration, value)):
        reasons.append(reason)
    if reason := repeated(configuration if is_density else configuration ^ value.view(np.int64)):
        reasons.append(reason)
    if reasons:
        raise Violation("; ".join(reasons))
    excess = [z for one in series.values() if (z := tau_excess(one)) is not None]
    tau = f"; tau_int exceeds 1/2 by {max(excess):+.1f} errors (limit {LARGEST_TAU_Z:g})" if excess else ""
    return f"{len(s)} draws in {_CALLS} calls at L = {extent}{tau}."
