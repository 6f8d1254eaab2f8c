"""ln Z of the 2-D Ising model on an L x L torus, with energy and specific heat as its exact derivatives.

Kaufman, Phys. Rev. 76, 1232 (1949), eq. (71); derivatives as in Ferdinand and Fisher, Phys. Rev. 185, 832 (1969).
The formula is evaluated as it stands in decimal arithmetic, whose exponents are unbounded in practice and whose
precision is chosen so that what cancels leaves at least 40 digits: nothing overflows, and the signed g_0 needs no care.
"""

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

__all__ = ["BETA_CRITICAL", "energy_per_site", "exact_values", "log_z", "specific_heat"]

BETA_CRITICAL = math.log1p(math.sqrt(2)) / 2
"""ln(1 + sqrt 2)/2, the critical inverse temperature of the infinite lattice."""


class _LogZ(NamedTuple):
    """ln Z with its first two derivatives by beta, for the whole lattice."""

    value: Decimal
    first: Decimal
    second: Decimal


def log_z(L: int, beta: float) -> float:
    """The ln Z of the whole lattice; N ln 2 at beta = 0.

    Raises ValueError for L < 2 and for a beta that is negative or not finite.
    """
    return float(_log_z(int(L), float(beta)).value)


def energy_per_site(L: int, beta: float) -> float:
    """<E>/N = -(d ln Z / d beta)/N."""
    return exact_values(L, beta)["energy"]


def specific_heat(L: int, beta: float) -> float:
    """beta^2 Var(E)/N = beta^2 (d^2 ln Z / d beta^2)/N."""
    return exact_values(L, beta)["specific_heat"]


def exact_values(L: int, beta: float) -> dict[str, float]:
    """All that is known exactly, per site, by quantity name; `free_energy` is absent at beta = 0."""
    L, beta = int(L), float(beta)  # NumPy's numbers do not mix with Decimal
    z, n_sites, k = _log_z(L, beta), L * L, Decimal(beta)
    with localcontext(_context(beta)):
        values = {
            "log_z_per_site": z.value / n_sites,
            "energy": -z.first / n_sites,
            "specific_heat": k * k * z.second / n_sites,
            "entropy": (z.value - k * z.first) / n_sites,
        }
        if beta > 0:
            values["free_energy"] = -z.value / (k * n_sites)
    return {name: float(value) for name, value in values.items()}


@lru_cache(maxsize=256)
def _log_z(L: int, beta: float) -> _LogZ:
    if L < 2:
        raise ValueError(f"L = {L}: the torus needs L >= 2")
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"beta = {beta}: the inverse temperature is finite and not negative")
    n_sites = L * L
    with localcontext(_context(beta)):
        if beta == 0:  # 2N bonds of zero mean and unit variance, N spins
            variance = 2 * n_sites if L > 2 else 4 * n_sites  # on the L = 2 torus N bonds of strength 2
            return _LogZ(n_sites * Decimal(2).ln(), Decimal(0), Decimal(variance))
        return _kaufman(L, Decimal(beta))


def _context(beta: float) -> Context:
    """Digits enough for 40 of them to survive: Var(E)/N falls as exp(-8 beta), the g_l diverge as ln(1/beta)."""
    cold = 4 * min(beta, 120.0)  # beyond 120 the float result underflows to its limit anyway
    hot = 3 * max(0.0, -math.log10(beta)) if beta > 0 else 0.0
    return Context(prec=60 + int(cold + hot), Emax=MAX_EMAX, Emin=MIN_EMIN)


def _kaufman(L: int, k: Decimal) -> _LogZ:
    """Z = 1/2 (2 sinh 2K)^(N/2) [prod 2cosh + prod 2sinh over odd l, the same over even l], with derivatives."""
    expanded = (2 * k).exp()
    s, c = (expanded - 1 / expanded) / 2, (expanded + 1 / expanded) / 2
    products = [_Product(), _Product(), _Product(), _Product()]
    for index, cosine in enumerate(_cosines(L)):
        expanded_g, g1, g2 = _g_zero(k, s, c) if index == 0 else _g(s, c, cosine)
        power = expanded_g**L  # exp(2x) of x = L g/2
        root, tanh = power.sqrt(), (power - 1) / (power + 1)
        cosh_product, sinh_product = products[2:] if index % 2 == 0 else products[:2]
        # l and 2L - l share their cosine; l = 0 and l = L stand alone
        for _ in range(1 if index in (0, L) else 2):
            cosh_product.multiply(root + 1 / root, tanh, g1 * L / 2, g2 * L / 2)
            sinh_product.multiply(root - 1 / root, 1 / tanh, g1 * L / 2, g2 * L / 2)
    total = sum((p.value for p in products), Decimal(0))
    first = sum((p.value * p.first for p in products), Decimal(0)) / total
    second = sum((p.value * (p.first**2 + p.second) for p in products), Decimal(0)) / total - first**2
    n_sites = L * L
    return _LogZ(
        (total / 2).ln() + (2 * s).ln() * n_sites / 2,
        first + n_sites * c / s,
        second - 2 * n_sites / s**2,
    )


class _Product:
    """A product of factors f(x) = 2cosh x or 2sinh x, with the derivatives of its logarithm by beta."""

    def __init__(self) -> None:
        self.value, self.first, self.second = Decimal(1), Decimal(0), Decimal(0)

    def multiply(self, factor: Decimal, slope: Decimal, x1: Decimal, x2: Decimal) -> None:
        """Takes in one factor; slope = f'/f = tanh x or coth x, x1 and x2 the derivatives of x by beta."""
        self.value *= factor
        self.first += slope * x1
        self.second += slope * x2 + (1 - slope**2) * x1**2


def _g_zero(k: Decimal, s: Decimal, c: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """exp(g_0), g_0' and g_0'' of g_0 = 2K + ln tanh K, which is negative in the hot phase."""
    expanded = (2 * k).exp()
    return expanded * (expanded - 1) / (expanded + 1), 2 + 2 / s, -4 * c / s**2


def _g(s: Decimal, c: Decimal, cosine: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """exp(g_l), g_l' and g_l'' of cosh g_l = cosh^2(2K)/sinh(2K) - cos(pi l/L), s = sinh 2K, c = cosh 2K."""
    x = s + 1 / s - cosine
    x1 = 2 * c * (1 - 1 / s**2)
    x2 = 4 * (s - 1 / s) + 8 * c**2 / s**3
    sinh = (x * x - 1).sqrt()
    g1 = x1 / sinh
    return x + sinh, g1, (x2 - x * g1**2) / sinh


def _cosines(L: int) -> list[Decimal]:
    """cos(pi l/L), l = 0..L, by the Chebyshev recursion."""
    pi = 4 * (4 * _arctan_inverse(5) - _arctan_inverse(239))  # Machin's formula
    values = [Decimal(1), _cos(pi / L)]
    while len(values) <= L:
        values.append(2 * values[1] * values[-1] - values[-2])
    return values


def _arctan_inverse(n: int) -> Decimal:
    """arctan(1/n) by its Taylor series."""
    power, total, k = Decimal(1) / n, Decimal(0), 1
    while total + power / k != total:
        total += power / k if k % 4 == 1 else -power / k
        power, k = power / (n * n), k + 2
    return total


def _cos(x: Decimal) -> Decimal:
    """cos(x) by its Taylor series, for 0 <= x <= 2."""
    term, total, k = Decimal(1), Decimal(0), 0
    while total + term != total:
        total += term
        k += 2
        term *= -x * x / (k * (k - 1))
    return total
