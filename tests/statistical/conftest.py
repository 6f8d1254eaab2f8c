"""Fixtures: series with known answers, and a test of error bars by the distribution of their z scores."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.signal import lfilter


@dataclass(frozen=True)
class Coverage:
    """Result of a test of error bars. A failing assertion prints all fields."""

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
    """Return a function that tests whether error bars have the right size, from z scores (r,).

    If the error bars are right, 68.3 % of the scores lie within one. With r scores this fraction has a standard
    deviation of sqrt(0.217/r). The test allows `sigmas` standard deviations, plus `slack` if the error is itself
    estimated. With r = 800 and no slack it allows 8 percentage points. An error bar that is 30 % too small (51.6 %) or
    50 % too large (86.6 %) then lies another 5 standard deviations outside.
    """

    def check(z, sigmas=5.0, slack=0.0):
        z = np.asarray(z, dtype=float)
        assert np.isfinite(z).all()
        within, limit = np.mean(np.abs(z) < 1), sigmas * np.sqrt(0.217 / len(z)) + slack
        return Coverage(bool(abs(within - 0.683) < limit), len(z), float(within), float(limit), float(z.mean()))

    return check
