"""ln Z of a chain sampler from ratios of partition functions between neighbouring temperatures."""

import math
from typing import TYPE_CHECKING

import numpy as np

from nisbench.contract.records import Estimate
from nisbench.statistics.estimate import chain_mean
from nisbench.statistics.gates import NOT_FINITE

if TYPE_CHECKING:  # the module imports torch, and statistics do without it
    from nisbench.contract.interfaces import Bridges

__all__ = ["log_z_from_bridges"]


def log_z_from_bridges(bridges: "Bridges", n_sites: int, exact: float | None = None) -> Estimate:
    """Return ln Z / N = (start + sum_k [shift_k + ln(<above_k> / <below_k>)]) / N.

    The error is that of the mean of y = sum_k [above_k / <above_k> - below_k / <below_k>] over the bins and chains,
    autocorrelation between the bins included. Missing if two neighbouring temperatures do not overlap.

    Parameters
    ----------
    bridges
        Terms of `ChainSampler.bridges`.
    n_sites
        N.
    exact
        Exact ln Z / N, if known.
    """
    above, below = bridges.above.mean(axis=(0, 1)), bridges.below.mean(axis=(0, 1))  # (n_bridges,)
    if (above == 0).any() or (below == 0).any():
        return Estimate.missing("two neighbouring temperatures have no energies in common", exact=exact)
    value = bridges.start + float(np.sum(bridges.shift + np.log(above / below)))
    if not math.isfinite(value):
        return Estimate.missing(f"the terms of ln Z are {NOT_FINITE}", exact=exact)
    y = (bridges.above / above - bridges.below / below).sum(axis=-1)  # (n_bins, n_chains)
    spread = chain_mean(y)
    error = None if spread.error is None else spread.error / n_sites
    return Estimate(value / n_sites, error, y.size * bridges.draws_per_bin, exact, spread.reason)
