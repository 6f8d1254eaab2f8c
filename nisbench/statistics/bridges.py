"""ln Z of a chain sampler from ratios of partition functions between neighbouring temperatures."""

import math

import numpy as np

from nisbench.contract.interfaces import Bridges
from nisbench.contract.records import Estimate
from nisbench.statistics.estimate import chain_mean

__all__ = ["log_z_from_bridges"]


def log_z_from_bridges(bridges: Bridges, n_sites: int, exact: float | None = None) -> Estimate:
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
    if not (np.isfinite(above / below).all() and (above > 0).all()):
        return Estimate.missing("two neighbouring temperatures have no energies in common", exact=exact)
    value = bridges.start + float(np.sum(bridges.shift + np.log(above / below)))
    if not math.isfinite(value):
        return Estimate.missing("the terms of ln Z are not finite", exact=exact)
    y = (bridges.above / above - bridges.below / below).sum(axis=-1)  # (n_bins, n_chains)
    spread = chain_mean(y)
    error = None if spread.error is None else spread.error / n_sites
    return Estimate(value / n_sites, error, spread.n, exact, spread.reason)
