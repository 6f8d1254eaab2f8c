"""Exact ln Z of the 2-D Ising model on the L x L torus; energy and specific heat from its derivatives.

Formula: B. Kaufman, Phys. Rev. 76, 1232 (1949), eq. (71). Derivatives: A. E. Ferdinand and M. E. Fisher, Phys. Rev.
185, 832 (1969). The formula is evaluated unchanged in decimal arithmetic. Its exponents are unbounded in practice, so
nothing overflows, and its precision is chosen such that at least 40 digits remain after all cancellations.
"""

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

__all__ = ["BETA_CRITICAL", "energy_per_site", "exact_values", "log_z", "specific_heat"]

BETA_CRITICAL = math.log1p(math.sqrt(2)) / 2
"""Critical inverse temperature of the infinite lattice, ln(1 + sqrt 2)/2."""


class _LogZ(NamedTuple):
    """ln Z of the whole lattice and its first and second derivative with respect to beta."""

    value: Decimal
    first: Decimal
    second: Decimal


def log_z(L: int, beta: float) -> float:
    """Return ln Z of the whole lattice (no unit); N ln 2 at beta = 0.

    Raises ValueError if L < 2, or if beta is negative or not finite.
    """
    return float(_log_z(int(L), float(beta)).value)


def energy_per_site(L: int, beta: float) -> float:
    """Return ⟨E⟩/N = -(d ln Z / d beta)/N. Raises as `log_z`."""
    return exact_values(L, beta)["energy"]


def specific_heat(L: int, beta: float) -> float:
    """Return beta^2 Var(E)/N = beta^2 (d^2 ln Z / d beta^2)/N. Raises as `log_z`."""
    return exact_values(L, beta)["specific_heat"]


def exact_values(L: int, beta: float) -> dict[str, float]:
    """Return the exact values per site by quantity name.

    Names: log_z_per_site, energy, specific_heat, entropy, and free_energy for beta > 0. Raises as `log_z`.
    """
    L, beta = int(L), float(beta)  # Decimal does not accept the number types of NumPy
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
    """Return ln Z with its derivatives; cached, because several quantities need it."""
    if L < 2:
        raise ValueError(f"exact ln Z for L = {L}: give L >= 2")
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"exact ln Z for beta = {beta}: give a finite beta >= 0")
    n_sites = L * L
    with localcontext(_context(beta)):
        if beta == 0:  # independent spins: Var(E) = 2 N, from 2 N bonds of variance 1
            variance = 2 * n_sites if L > 2 else 4 * n_sites  # at L = 2: N bonds of strength 2, each of variance 4
            return _LogZ(n_sites * Decimal(2).ln(), Decimal(0), Decimal(variance))
        return _kaufman(L, Decimal(beta))


def _context(beta: float) -> Context:
    """Return a decimal context with enough digits that 40 remain after the cancellations at this beta."""
    # Var(E)/N falls as exp(-8 beta), that is 3.5 digits per unit of beta; above 120 the float result is 0 anyway
    cold = 4 * min(beta, 120.0)
    # at small beta the g_l diverge as ln(1/beta)
    hot = 3 * max(0.0, -math.log10(beta)) if beta > 0 else 0.0
    return Context(prec=60 + int(cold + hot), Emax=MAX_EMAX, Emin=MIN_EMIN)


def _kaufman(L: int, k: Decimal) -> _LogZ:
    """Return ln Z and its derivatives from eq. (71), with K = beta and l = 0, ..., 2L - 1:

    Z = 1/2 (2 sinh 2K)^(N/2) [P_cosh,odd + P_sinh,odd + P_cosh,even + P_sinh,even],
    P_cosh = prod over l of 2 cosh(L g_l / 2), and the same with sinh.
    """
    # s = sinh 2K, c = cosh 2K
    expanded = (2 * k).exp()
    s, c = (expanded - 1 / expanded) / 2, (expanded + 1 / expanded) / 2
    products = [_Product(), _Product(), _Product(), _Product()]  # odd cosh, odd sinh, even cosh, even sinh
    for index, cosine in enumerate(_cosines(L)):
        expanded_g, g1, g2 = _g_zero(k, s, c) if index == 0 else _g(s, c, cosine)
        power = expanded_g**L  # exp(2 x) with x = L g / 2
        root, tanh = power.sqrt(), (power - 1) / (power + 1)
        cosh_product, sinh_product = products[2:] if index % 2 == 0 else products[:2]
        # l and 2L - l have the same cosine, so each factor counts twice, except l = 0 and l = L
        for _ in range(1 if index in (0, L) else 2):
            cosh_product.multiply(root + 1 / root, tanh, g1 * L / 2, g2 * L / 2)
            sinh_product.multiply(root - 1 / root, 1 / tanh, g1 * L / 2, g2 * L / 2)
    # ln of a sum of products: its derivatives are averages over the products, weighted by their values
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
    """A product of factors f(x) = 2 cosh x or 2 sinh x, with the first two derivatives of its logarithm by beta."""

    def __init__(self) -> None:
        self.value, self.first, self.second = Decimal(1), Decimal(0), Decimal(0)

    def multiply(self, factor: Decimal, slope: Decimal, x1: Decimal, x2: Decimal) -> None:
        """Multiply by one factor f(x) with slope = f'/f = tanh x or coth x; x1 and x2 are the derivatives of x by beta.

        (ln f)' = slope x1 and (ln f)'' = slope x2 + (1 - slope^2) x1^2, for cosh and for sinh.
        """
        self.value *= factor
        self.first += slope * x1
        self.second += slope * x2 + (1 - slope**2) * x1**2


def _g_zero(k: Decimal, s: Decimal, c: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Return exp(g_0), g_0' and g_0'' of g_0 = 2K + ln tanh K.

    g_0 has a sign: it is negative below the critical K, where arccosh would give the wrong branch.
    """
    expanded = (2 * k).exp()
    return expanded * (expanded - 1) / (expanded + 1), 2 + 2 / s, -4 * c / s**2


def _g(s: Decimal, c: Decimal, cosine: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Return exp(g_l), g_l' and g_l'' of cosh g_l = cosh^2(2K)/sinh(2K) - cos(pi l/L); s = sinh 2K, c = cosh 2K."""
    # x = cosh g; cosh^2/sinh = s + 1/s; g' = x'/sinh g and g'' = (x'' - x g'^2)/sinh g
    x = s + 1 / s - cosine
    x1 = 2 * c * (1 - 1 / s**2)
    x2 = 4 * (s - 1 / s) + 8 * c**2 / s**3
    sinh = (x * x - 1).sqrt()
    g1 = x1 / sinh
    return x + sinh, g1, (x2 - x * g1**2) / sinh


def _cosines(L: int) -> list[Decimal]:
    """Return cos(pi l / L) for l = 0, ..., L by the recursion cos(l x) = 2 cos x cos((l-1) x) - cos((l-2) x)."""
    pi = 4 * (4 * _arctan_inverse(5) - _arctan_inverse(239))  # Machin's formula
    values = [Decimal(1), _cos(pi / L)]
    while len(values) <= L:
        values.append(2 * values[1] * values[-1] - values[-2])
    return values


def _arctan_inverse(n: int) -> Decimal:
    """Return arctan(1/n) by its Taylor series, to the precision of the context."""
    power, total, k = Decimal(1) / n, Decimal(0), 1
    while total + power / k != total:
        total += power / k if k % 4 == 1 else -power / k
        power, k = power / (n * n), k + 2
    return total


def _cos(x: Decimal) -> Decimal:
    """Return cos(x), 0 <= x <= 2, by its Taylor series, to the precision of the context."""
    term, total, k = Decimal(1), Decimal(0), 0
    while total + term != total:
        total += term
        k += 2
        term *= -x * x / (k * (k - 1))
    return total
