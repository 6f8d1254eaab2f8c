"""Integrated autocorrelation time tau_int = 1/2 + sum over t >= 1 of rho(t), in draws, by Wolff's Gamma method.

Independent draws have tau_int = 1/2, and error(mean)^2 = 2 tau_int Var / n. The emcee package and the hierarchical
paper print 1 + 2 sum, twice this number.
Source: U. Wolff, Comput. Phys. Commun. 156, 143 (2004), hep-lat/0306017; equation numbers below refer to it.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft

from nisbench.errors import TooShort

__all__ = ["MINIMUM_TAUS", "NEVER_MOVES", "Autocorrelation", "autocovariance", "gamma_method"]

NEVER_MOVES = "a chain never moves"
MINIMUM_TAUS = 50
"""Smallest trusted length of a chain, in units of tau_int. Shorter chains underestimate tau_int."""


@dataclass(frozen=True)
class Autocorrelation:
    """An integrated autocorrelation time with one standard error, in draws."""

    tau_int: float
    """in draws; inf if a chain never changes its value"""
    error: float
    """one standard error, in draws"""
    window: int
    """largest lag in the sum"""
    n_per_chain: int
    n_chains: int

    @property
    def n(self) -> int:
        """Number of draws of all chains together."""
        return self.n_per_chain * self.n_chains

    @property
    def ess(self) -> float:
        """Effective sample size n / (2 tau_int), a count; 0 if a chain never changes its value."""
        return self.n / (2 * self.tau_int)

    @property
    def trusted(self) -> bool:
        """True if each chain has at least 50 tau_int draws."""
        return self.n_per_chain >= MINIMUM_TAUS * self.tau_int

    @property
    def doubt(self) -> str | None:
        """Reason why the estimate is not trusted, or None."""
        if self.n_per_chain == 1:
            return "a chain of one draw has no autocorrelation time"
        if math.isinf(self.tau_int):
            return NEVER_MOVES
        if self.trusted:
            return None
        short = f"a chain of {self.n_per_chain} draws is shorter than {MINIMUM_TAUS} tau_int"
        return f"{short}; tau_int = {self.tau_int:.3g}"

    def checked(self) -> Self:
        """Return this estimate. Raises TooShort, which carries tau_int, if the estimate is not trusted."""
        if self.doubt is not None:
            raise TooShort(self.doubt, self.tau_int)
        return self


def gamma_method(series: ArrayLike, s: float = 1.5, *, moving: bool = False) -> Autocorrelation:
    """Estimate tau_int with the automatic window of eqs. (31)-(52), for chains with a common mean.

    Parameters
    ----------
    series
        (n,) or (n, n_chains), finite. The values of an observable in the order of drawing.
    s
        Assumed ratio of the exponential to the integrated autocorrelation time.
    moving
        True if every chain is known to move, although its values may be equal, as in a ground state.

    Returns
    -------
    Autocorrelation
        tau_int = inf and error = inf if a chain never changes its value: such a chain cannot be distinguished from one
        that is stuck. If all chains move, tau_int = inf only if all values are equal. tau_int = 1/2 if the draws are
        anticorrelated beyond the noise: the window closes at the first negative lag, so the sum does not measure by
        how much tau_int is below 1/2.

    Raises
    ------
    ValueError
        If the series is empty or contains values that are not finite.
    """
    values = np.asarray(series, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"series of shape {np.shape(series)}: give (n,) or (n, n_chains), not empty")
    if not np.isfinite(values).all():
        raise ValueError(f"series: {np.count_nonzero(~np.isfinite(values))} of {values.size} values are not finite")
    n, n_chains = values.shape
    # one frozen chain is enough: its true autocorrelation time is unknown, and so is that of the mean of all chains
    still = np.ptp(values, axis=0) == 0  # (n_chains,)
    if n == 1 or (np.ptp(values) == 0 if moving else still.any()):
        return Autocorrelation(math.inf, math.inf, 0, n, n_chains)
    rho = autocovariance(values)
    rho /= rho[0]
    total = n * n_chains
    sums = np.cumsum(rho[1:])  # (n - 1,) G(W) = sum of rho(t) over t = 1..W, for W = 1..n - 1
    window = _window(sums, total, s)
    plain = 0.5 + float(sums[window - 1])
    # 3/sqrt(n) is three standard errors of rho(1): below it the draws are anticorrelated beyond the noise
    if plain < max(0.25, 0.5 - 3 / math.sqrt(total)):
        plain = 0.5
    # bias correction, eq. (49): subtracting the mean of the same data lowers every rho(t) by about 2 tau/n
    tau = plain * (1 + (2 * window + 1) / total)
    return Autocorrelation(tau, 2 * tau * math.sqrt((window + 0.5 - plain) / total), window, n, n_chains)


def autocovariance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Gamma(t), the mean over all pairs of draws at distance t within a chain: (n, n_chains) -> (n,).

    Deviations are from the common mean of all chains.
    """
    n, n_chains = values.shape
    length = next_fast_len(2 * n, real=True)  # at least 2 n, so that the zeros keep the ends of a chain apart
    power = np.zeros(length // 2 + 1)
    mean = values.mean()
    for chain in values.T:
        spectrum = rfft(chain - mean, length)
        power += spectrum.real**2 + spectrum.imag**2
    # there are n - t pairs at distance t
    covariance: NDArray[np.float64] = irfft(power, length)[:n] / (n_chains * np.arange(n, 0, -1))
    return covariance


def _window(sums: NDArray[np.float64], total: int, s: float) -> int:
    """Return the first W with exp(-W/tau_W) - tau_W/sqrt(W n) < 0, tau_W = s/ln((G + 1)/G).

    Returns the largest W if no W satisfies this.
    """
    lags = np.arange(1, len(sums) + 1)
    positive = sums > 0
    tau = s / np.log1p(1 / np.where(positive, sums, 1.0))  # 1.0 only avoids a division by zero
    # for G <= 0 the formula gives tau_W -> 0, which closes the window
    closed = ~positive | (np.exp(-lags / tau) < tau / np.sqrt(lags * total))
    return int(np.argmax(closed)) + 1 if closed.any() else len(sums)
