"""Series with known answers, and the check that an error bar is honest."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.signal import lfilter


@dataclass(frozen=True)
class Coverage:
    """The verdict on an error bar; a failing assertion prints all of it."""

    honest: bool
    n_scores: int
    within_one_error: float
    allowed_distance_from_0683: float
    mean_score: float

    def __bool__(self):
        return self.honest


@pytest.fixture(scope="session")
def ar1():
    """x_t = a x_{t-1} + noise, unit variance, from equilibrium: tau_int = (1 + a)/(2 (1 - a))."""

    def draw(a, n, n_chains, rng):
        noise = rng.standard_normal((n, n_chains)) * np.sqrt(1 - a * a)
        noise[0] /= np.sqrt(1 - a * a)
        return lfilter([1.0], [1.0, -a], noise, axis=0)

    return draw


@pytest.fixture(scope="session")
def covers():
    """Whether z scores say that an error bar means what it says.

    Of honest ones 68.3 % lie within one. With r scores the fraction has a standard deviation of sqrt(0.217/r); the
    gate is `sigmas` of them, plus `slack` for an error that is itself estimated. At r = 800 and no slack it is 8
    percentage points, and an error bar 30 % too small (51.6 %) or 50 % too large (86.6 %) misses it by another 5 sigma.
    """

    def check(z, sigmas=5.0, slack=0.0):
        z = np.asarray(z, dtype=float)
        assert np.isfinite(z).all()
        within, limit = np.mean(np.abs(z) < 1), sigmas * np.sqrt(0.217 / len(z)) + slack
        return Coverage(bool(abs(within - 0.683) < limit), len(z), float(within), float(limit), float(z.mean()))

    return check
