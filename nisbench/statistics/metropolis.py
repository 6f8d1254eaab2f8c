"""Quantities of the independence Metropolis chain (NMCMC) over the draws of a density."""

import numpy as np
from numpy.typing import NDArray

from nisbench.contract.quantities import (
    ACCEPTANCE_RATE,
    LONGEST_REJECTION_RUN,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
)
from nisbench.contract.records import Estimate
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import chain_mean, tau_estimate
from nisbench.statistics.weights import nmcmc

__all__ = ["metropolis_quantities", "tau_int"]


def metropolis_quantities(
    log_weight: NDArray[np.float64], energy: NDArray[np.float64], magnetisation: NDArray[np.float64], seed: int
) -> dict[str, Estimate]:
    """Return the quantities of the NMCMC chain over the draws."""
    chain, n = nmcmc(log_weight, np.random.default_rng(seed)), len(log_weight)
    moving = bool(chain.accepted.any())
    rate = (
        chain_mean(chain.accepted.astype(np.float64), moving=moving)
        if n > 1
        else Estimate.missing("one draw makes no proposal")
    )
    return {
        ACCEPTANCE_RATE: rate,
        LONGEST_REJECTION_RUN: Estimate(float(chain.longest_rejection_run), n=n),
        TAU_INT_ENERGY: tau_int(energy[chain.state_index], moving),
        TAU_INT_ABS_MAGNETISATION: tau_int(np.abs(magnetisation[chain.state_index]), moving),
    }


def tau_int(series: NDArray[np.float64], moving: bool) -> Estimate:
    """Return tau_int of one chain."""
    return tau_estimate(gamma_method(series, moving=moving), moving=moving)
