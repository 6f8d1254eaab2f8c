"""The Kac-Ward determinant against enumeration, a transfer matrix, published values and the infinite lattice."""

import math

import numpy as np
import pytest

from nisbench.errors import InvalidValue
from nisbench.physics import kac_ward, kaufman
from nisbench.physics.enumeration import lattice_energies, lattice_values
from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.kaufman import BETA_CRITICAL
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import EdwardsAndersonOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench.physics.transfer_matrix import free_log_z

BETAS = (0.2, 0.44, 1.0, 2.0, 3.0)

FREE = {  # J = 1: ln Z at beta = 0.44, at the critical point and at 1; energy per site at 0.44
    2: (3.1767598484, 3.1780538303, 4.7977137475, -0.4706413),
    3: (7.4980498797, 7.5022291700, 12.8094202451, -0.6755249),
    4: (13.6675523842, 13.6763152414, 24.8176444104, -0.7966634),
    8: (56.8795366391, 56.9244422030, 112.8732004540, -1.0204205),
    16: (232.3937898647, 232.5996102057, 481.0224303747, -1.1689577),
    32: (939.9836361516, 940.8742077411, 1985.4546456812, -1.2641344),
    64: (3781.6236012171, 3785.3529365202, 8066.8540400585, -1.3229854),
}

FRUSTRATED = {  # Villain: ln Z at beta = 0.5, 1, 2
    4: (13.6320552678, 19.0332127575, 32.2703697119),
    16: (227.0950775087, 329.4716850070, 573.4485301522),
    64: (3668.1542070545, 5361.4512257986, 9339.2131891583),
}


def glass(L, disorder, instance=1):
    return EdwardsAnderson(L, EdwardsAndersonOptions(disorder=disorder, instance=instance)).lattice


@pytest.mark.parametrize("L", [pytest.param(L, marks=pytest.mark.slow) if L >= 64 else L for L in FREE])
def test_published_values_of_the_ferromagnet(L):
    lattice = square_lattice(L, "free")
    for beta, log_z in zip((0.44, BETA_CRITICAL, 1.0), FREE[L], strict=False):
        assert kac_ward.log_z(lattice, beta) == pytest.approx(log_z, abs=5.1e-11)
    # the published energies are differences with step 1e-4, whose truncation error reaches 1.7e-7 at L = 64
    assert kac_ward.exact_values(lattice, 0.44)["energy"] == pytest.approx(FREE[L][3], abs=2.2e-7)


def test_published_values_of_a_large_ferromagnet():
    lattice = square_lattice(128, "free")
    for beta, log_z in ((0.44, 15170.9553093651), (BETA_CRITICAL, 15186.2743261192), (1.0, 32519.7926838704)):
        assert kac_ward.log_z(lattice, beta) == pytest.approx(log_z, abs=1e-9)


@pytest.mark.parametrize("L", FRUSTRATED)
def test_published_values_of_the_frustrated_lattice(L):
    for beta, log_z in zip((0.5, 1.0, 2.0), FRUSTRATED[L], strict=True):
        assert kac_ward.log_z(Villain(L).lattice, beta) == pytest.approx(log_z, abs=1.1e-10)


def test_published_instance():
    right = [[1, -1, 0], [-1, 1, 0], [1, 1, 0]]
    down = [[1, 1, -1], [-1, 1, 1], [0, 0, 0]]
    lattice = square_lattice(3, "free", right=right, down=down)
    assert kac_ward.log_z(lattice, 1) == pytest.approx(11.731355090313, abs=1e-12)
    assert kac_ward.log_z(lattice, 2) == pytest.approx(21.423984945506, abs=1e-12)


@pytest.mark.parametrize("disorder", ["pm1", "gaussian"])
@pytest.mark.parametrize("L", [2, 3, 4, pytest.param(5, marks=pytest.mark.slow)])
def test_enumeration(L, disorder):
    for instance in (1, 2, 3) if L < 5 else (1,):
        lattice = glass(L, disorder, instance)
        energies = lattice_energies(lattice)
        for beta in BETAS:
            log_z, energy, variance = lattice_values(energies, beta)
            exact = kac_ward.exact_values(lattice, beta)
            assert kac_ward.log_z(lattice, beta) == pytest.approx(log_z, rel=1e-12)
            assert exact["log_z_per_site"] * L * L == pytest.approx(log_z, rel=1e-12)
            assert exact["energy"] * L * L == pytest.approx(energy, rel=1e-11)
            # a difference of energies: the truncation is 1e-7 on the steepest of these lattices
            assert exact["specific_heat"] * L * L == pytest.approx(beta**2 * variance, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("disorder", ["pm1", "gaussian"])
@pytest.mark.parametrize("L", [8, 12, 16])
def test_transfer_matrix(disorder, L):
    lattice = glass(L, disorder)
    for beta in BETAS:
        assert kac_ward.log_z(lattice, beta) == pytest.approx(free_log_z(lattice, beta), rel=1e-11)


def test_the_transfer_matrix_itself():
    rng = np.random.default_rng(3)
    right, down, field = rng.standard_normal((3, 4, 4))
    lattice = square_lattice(4, "free", right=right, down=down, field=field)
    for beta in (0.0, 0.5, 3.0):
        assert free_log_z(lattice, beta) == pytest.approx(lattice_values(lattice_energies(lattice), beta)[0], rel=1e-13)
    for other in (square_lattice(4), square_lattice(17, "free")):
        with pytest.raises(ValueError, match="L <= 16"):
            free_log_z(other, 1.0)


@pytest.mark.parametrize("disorder", ["pm1", "gaussian"])
@pytest.mark.parametrize("beta", [0.2, 1.0, 2.0])
def test_energy_and_specific_heat_are_derivatives(disorder, beta):
    lattice, n_sites, h = glass(24, disorder), 24 * 24, 1e-3
    exact = kac_ward.exact_values(lattice, beta)
    below, here, above = (kac_ward.log_z(lattice, b) for b in (beta - h, beta, beta + h))
    assert -(above - below) / (2 * h) / n_sites == pytest.approx(exact["energy"], rel=1e-5)
    assert beta**2 * (above - 2 * here + below) / h**2 / n_sites == pytest.approx(exact["specific_heat"], rel=1e-4)
    assert exact["entropy"] == pytest.approx(beta * exact["energy"] + exact["log_z_per_site"], rel=1e-12)
    assert exact["free_energy"] == pytest.approx(-exact["log_z_per_site"] / beta, rel=1e-14)


@pytest.mark.parametrize("beta", [0.3, 0.6])
def test_infinite_lattice(beta):
    """ln Z of free edges is f L^2 + edges L + corners; its second difference in L leaves f, the value of a large torus.

    The remainder falls as exp(-L / correlation length) with different lengths in the two phases.
    """
    sizes = (40, 48, 56)
    small, middle, large = (kac_ward.log_z(square_lattice(L, "free"), beta) for L in sizes)
    bulk = (large - 2 * middle + small) / (2 * 8**2)
    torus = kaufman.exact_values(512, beta)["log_z_per_site"]
    assert bulk == pytest.approx(torus, abs=1e-8 if beta < BETA_CRITICAL else 1e-4)
    edge = (large - small) / (sizes[2] - sizes[0]) - bulk * (sizes[2] + sizes[0])
    assert edge < 0  # a missing bond costs free energy, by an amount that grows as L


def test_a_change_of_gauge_leaves_everything():
    """J_ij -> e_i J_ij e_j with e = +-1 renames the spins."""
    lattice = glass(16, "gaussian")
    e = np.random.default_rng(4).choice([-1.0, 1.0], size=(16, 16))
    right, down = e * lattice.right * np.roll(e, -1, 1), e * lattice.down * np.roll(e, -1, 0)
    other = square_lattice(16, "free", right=right, down=down)
    for name, value in kac_ward.exact_values(lattice, 1.0).items():
        assert kac_ward.exact_values(other, 1.0)[name] == pytest.approx(value, rel=1e-9), name


def test_infinite_temperature():
    assert kac_ward.log_z(glass(8, "pm1"), 0.0) == pytest.approx(64 * math.log(2), rel=1e-15)
    exact = kac_ward.exact_values(glass(8, "pm1"), 0.0)
    assert exact == {
        "log_z_per_site": pytest.approx(math.log(2), rel=1e-15),
        "energy": pytest.approx(0.0, abs=1e-15),
        "specific_heat": 0.0,
        "entropy": pytest.approx(math.log(2), rel=1e-15),
    }


def test_missing_bonds():
    """With all couplings 0 but one the lattice is a single pair of spins."""
    right = np.zeros((4, 4))
    right[2, 1] = -1.5
    lattice = square_lattice(4, "free", right=right, down=0.0)
    assert kac_ward.log_z(lattice, 1.0) == pytest.approx(16 * math.log(2) + math.log(math.cosh(1.5)), rel=1e-14)
    assert kac_ward.exact_values(lattice, 1.0)["energy"] == pytest.approx(-1.5 * math.tanh(1.5) / 16, rel=1e-13)


@pytest.mark.parametrize(
    ("lattice", "beta", "text"),
    [
        (square_lattice(4), 1.0, "free edges"),
        (square_lattice(4, "free", field=0.1), 1.0, "without a field"),
        (square_lattice(4, "free"), 3.01, "give beta <= 3"),
        (square_lattice(4, "free"), -0.1, "not negative"),
        (square_lattice(4, "free"), math.nan, "not negative"),
    ],
)
def test_refusals(lattice, beta, text):
    for function in (kac_ward.log_z, kac_ward.exact_values):
        with pytest.raises(InvalidValue, match=text):
            function(lattice, beta)


def test_lost_digits_are_refused():
    """A glass with couplings of size 3 at beta = 3 is one with couplings of size 1 at beta = 9."""
    cold = glass(12, "pm1")
    strong = square_lattice(12, "free", right=3 * cold.right, down=3 * cold.down)
    with pytest.raises(InvalidValue, match="bound on the error"):
        kac_ward.log_z(strong, 3.0)
    assert EdwardsAnderson(12).exact(3.0).keys() == kac_ward.exact_values(cold, 3.0).keys()
    assert PairwiseTarget(strong).exact(3.0) == {}


@pytest.mark.parametrize("disorder", ["pm1", "gaussian"])
def test_the_bound_on_the_error(disorder, monkeypatch):
    """Beyond the limits, where digits are lost, the refusal states an error at least as large as the true one."""
    monkeypatch.setattr(kac_ward, "LARGEST_BETA", 10.0)
    largest = 0.0
    for instance in range(1, 7):
        lattice = glass(12, disorder, instance)
        for beta in (4.0, 5.0, 6.0):
            monkeypatch.setattr(kac_ward, "LARGEST_ERROR", math.inf)
            error = abs(kac_ward.log_z(lattice, beta) - free_log_z(lattice, beta))
            monkeypatch.setattr(kac_ward, "LARGEST_ERROR", error)
            largest = max(largest, error)
            with pytest.raises(InvalidValue, match="bound on the error"):
                kac_ward.log_z(lattice, beta)
    assert largest > 1e-8
