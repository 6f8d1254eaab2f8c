"""Kaufman's ln Z against the published table, enumeration, a transfer matrix and Onsager's infinite lattice."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from nisbench.physics import enumeration, kaufman, transfer_matrix
from nisbench.physics.kaufman import BETA_CRITICAL

TABLE = {  # L: ln Z, free energy, energy, specific heat per site, all at beta = 0.44
    4: (15.5047265387182, -2.20237592880, -1.562847028, 0.78465155),
    8: (60.0763075272154, -2.13339160253, -1.487525543, 1.1489505),
    16: (238.38724720424, -2.11636405544, -1.447743465, 1.5059886),
    32: (951.642126409263, -2.11213185016, -1.427090608, 1.8615220),
    64: (3804.67755944399, -2.11108263020, -1.416121279, 2.2204980),
    128: (15216.8521717242, -2.11082488621, -1.409996029, 2.5853347),
    512: (243460.918229213, -2.11074931604, -1.403890508, 3.1882903),
}


def richardson(f, x, h):
    """First and second derivative by central differences with three step sizes; error of order h^6."""
    first = [(f(x + d) - f(x - d)) / (2 * d) for d in (h, h / 2, h / 4)]
    second = [(f(x + d) - 2 * f(x) + f(x - d)) / d**2 for d in (h, h / 2, h / 4)]
    result = []
    for a, b, c in (first, second):
        ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
        result.append((16 * bc - ab) / 15)
    return result


@pytest.mark.parametrize("L", TABLE)
def test_published_table(L):
    log_z, free_energy, energy, specific_heat = TABLE[L]
    exact = kaufman.exact_values(L, 0.44)
    # half a unit of the last printed digit
    assert kaufman.log_z(L, 0.44) == pytest.approx(log_z, rel=2e-14)
    assert exact["free_energy"] == pytest.approx(free_energy, abs=5.1e-12)
    assert exact["energy"] == pytest.approx(energy, abs=5.1e-10)
    assert exact["specific_heat"] == pytest.approx(specific_heat, abs=5.1e-8)


@pytest.mark.parametrize("L", [2, 3, 4])
@pytest.mark.parametrize("beta", [0.0, 1e-3, 0.2, 0.44, BETA_CRITICAL, 0.6, 1.5])
def test_enumeration(L, beta):
    summed = enumeration.exact_values(L, beta)
    exact = kaufman.exact_values(L, beta)
    assert set(exact) <= set(summed)
    for name, value in exact.items():
        # summation in float64 cancels energies of order N against each other, which is what limits it
        assert value == pytest.approx(summed[name], rel=1e-12, abs=1e-12), name


@pytest.mark.parametrize("L", [2, 3, 5, 6, 7, 8])
@pytest.mark.parametrize("beta", [0.0, 0.1, BETA_CRITICAL, 0.9])
def test_transfer_matrix(L, beta):
    assert kaufman.log_z(L, beta) == pytest.approx(transfer_matrix.log_z(L, beta), rel=1e-12)


@pytest.mark.parametrize("L", [5, 8])
def test_derivatives_of_the_transfer_matrix(L):
    first, second = richardson(lambda beta: transfer_matrix.log_z(L, beta), 0.43, 0.01)
    assert kaufman.energy_per_site(L, 0.43) == pytest.approx(-first / L**2, rel=1e-7)
    assert kaufman.specific_heat(L, 0.43) == pytest.approx(0.43**2 * second / L**2, rel=1e-6)


def test_transfer_matrix_of_width_ten():
    assert kaufman.log_z(10, 0.44) == pytest.approx(transfer_matrix.log_z(10, 0.44), rel=1e-12)
    with pytest.raises(ValueError, match="width 13"):
        transfer_matrix.log_z(13, 0.44)


@pytest.mark.parametrize("beta", [0.3, 0.55])
def test_onsager_limit(beta):
    """Away from the critical point a torus of 512 differs from the plane by exp(-512/xi), far below rounding."""
    k = 2 * math.sinh(2 * beta) / math.cosh(2 * beta) ** 2
    integral, _ = quad(
        lambda t: math.log((1 + math.sqrt(1 - (k * math.sin(t)) ** 2)) / 2), 0, math.pi / 2, epsabs=1e-14
    )
    plane = math.log(2 * math.cosh(2 * beta)) + integral / math.pi
    degeneracy = math.log(2) / 512**2 if beta > BETA_CRITICAL else 0  # two ordered phases
    assert kaufman.exact_values(512, beta)["log_z_per_site"] == pytest.approx(plane + degeneracy, rel=1e-13)


@pytest.mark.parametrize("L", [4, 7, 512])
def test_derivatives_at_every_temperature(L):
    """Energy and specific heat are the derivatives of ln Z on both sides of, and at, the critical point."""
    for beta in (0.05, 0.3, BETA_CRITICAL, 0.5):
        first, second = richardson(lambda x: kaufman.exact_values(L, x)["energy"], beta, 4e-3 / L)
        exact = kaufman.exact_values(L, beta)
        assert exact["specific_heat"] == pytest.approx(-(beta**2) * first, rel=1e-8)
        assert math.isfinite(second)
        first, _ = richardson(lambda x: kaufman.exact_values(L, x)["log_z_per_site"], beta, 4e-2 / L)
        assert exact["energy"] == pytest.approx(-first, rel=1e-8)


def test_hot_and_cold_limits():
    for L, bonds in ((2, 4), (3, 2), (4, 2), (512, 2)):  # variance of the energy per site at beta = 0
        infinite = kaufman.exact_values(L, 0.0)
        assert infinite == {
            "log_z_per_site": pytest.approx(math.log(2), rel=1e-15),
            "energy": 0.0,
            "specific_heat": 0.0,
            "entropy": pytest.approx(math.log(2), rel=1e-15),
        }
        hot = kaufman.exact_values(L, 1e-9)
        assert hot["energy"] == pytest.approx(-bonds * 1e-9, rel=1e-8)
        assert hot["specific_heat"] == pytest.approx(bonds * 1e-18, rel=1e-8)
        for beta in (50.0, 1e4, 1e9):
            cold = kaufman.exact_values(L, beta)
            assert cold["energy"] == pytest.approx(-2, rel=1e-15)
            assert cold["log_z_per_site"] == pytest.approx(2 * beta + math.log(2) / L**2, rel=1e-15)
            assert cold["entropy"] == pytest.approx(math.log(2) / L**2, rel=1e-12)


def test_first_excitation_dominates_in_the_cold():
    """One flipped spin costs 8: Var(E)/N = 64 exp(-8 beta), 70 digits below the terms it is left over from."""
    value = kaufman.specific_heat(16, 20.0)
    assert value == pytest.approx(20.0**2 * 64 * math.exp(-160), rel=1e-12)


def test_the_sign_of_g_zero_matters():
    """Negative control: at L = 4 an unsigned g_0 would double the even part and move ln Z by far more than 1e-6."""
    hot = kaufman.log_z(4, 0.3)
    assert hot == pytest.approx(enumeration.exact_values(4, 0.3)["log_z_per_site"] * 16, rel=1e-13)
    c, s = math.cosh(0.6), math.sinh(0.6)
    g = [0.6 + math.log(math.tanh(0.3))] + [math.acosh(c * c / s - math.cos(math.pi * i / 4)) for i in range(1, 8)]
    unsigned = [abs(x) for x in g]
    parts = [
        np.prod([2 * f(2 * x) for x in values])
        for values in (unsigned[1::2], unsigned[0::2])
        for f in (np.cosh, np.sinh)
    ]
    wrong = math.log(sum(parts) / 2) + 8 * math.log(2 * s)
    assert abs(wrong - hot) > 1e-2


def test_numbers_of_numpy():
    assert kaufman.exact_values(np.int64(8), np.float32(0.5)) == kaufman.exact_values(8, 0.5)
    assert kaufman.log_z(np.int64(8), np.float64(0.5)) == kaufman.log_z(8, 0.5)


@pytest.mark.parametrize(("L", "beta"), [(1, 0.44), (0, 0.44), (4, -0.1), (4, math.inf), (4, math.nan)])
def test_refusals(L, beta):
    with pytest.raises(ValueError, match=r"L = |beta = "):
        kaufman.log_z(L, beta)
