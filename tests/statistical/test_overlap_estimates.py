"""Overlaps of two configurations against enumeration, with errors that are honest and checks that must fail.

The product u = s t of two independent configurations has the distribution P(u) = sum over s of p(s) p(s u), and every
overlap is a function of u. A Walsh-Hadamard transform gives P for all 2^N states.
"""

import numpy as np
import pytest

from nisbench.contract.quantities import ABS_OVERLAP, LINK_OVERLAP, OVERLAP_BINDER, OVERLAP_SQUARED, TAU_INT_OVERLAP
from nisbench.physics.enumeration import all_spins, lattice_energies
from nisbench.physics.glasses import EdwardsAnderson
from nisbench.physics.options import EdwardsAndersonOptions
from nisbench.physics.overlap import link_overlap, overlap
from nisbench.statistics.overlap import overlaps_of_chains, overlaps_of_pairs

NAMES = (ABS_OVERLAP, OVERLAP_SQUARED, OVERLAP_BINDER, LINK_OVERLAP)
BETA = 0.8


class Glass:
    """A spin glass with all its states: probabilities in the order of `states`."""

    def __init__(self, L, disorder, boundary="free"):
        self.lattice = EdwardsAnderson(L, EdwardsAndersonOptions(disorder, boundary)).lattice
        # lattice_energies numbers the states with the last site as the last bit, all_spins with the first
        self.states = all_spins(L).reshape(-1, L * L)[:, ::-1].reshape(-1, L, L)
        self.energy = lattice_energies(self.lattice)

    def p(self, beta):
        weights = np.exp(-beta * (self.energy - self.energy.min()))
        return weights / weights.sum()

    def exact(self, beta):
        transformed = self.p(beta).copy()
        n = len(transformed)
        step = 1
        while step < n:
            pairs = transformed.reshape(-1, 2, step)
            transformed = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).ravel()
            step *= 2
        # the transform of P is the square, and the transform is its own inverse up to 2^N; index u counts s != t
        squared = transformed**2
        step = 1
        while step < n:
            pairs = squared.reshape(-1, 2, step)
            squared = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).ravel()
            step *= 2
        weight = squared / n  # of u with +1 where the bit is 0
        u = -self.states
        q, link = overlap(u, np.ones_like(u)), link_overlap(u, np.ones_like(u), self.lattice)
        q2, q4 = weight @ q**2, weight @ q**4
        return dict(zip(NAMES, (weight @ abs(q), q2, 1 - q4 / (3 * q2**2), weight @ link), strict=True))

    def draws(self, n, beta, seed):
        return self.states[np.random.default_rng(seed).choice(len(self.energy), n, p=self.p(beta))]

    def pairs(self, spins):
        first, second = spins[0::2], spins[1::2]
        return overlap(first, second), link_overlap(first, second, self.lattice)


def _deviations(found, exact):
    return {name: (found[name].value - exact[name]) / found[name].error for name in NAMES}


def test_the_transform_is_the_double_sum():
    glass = Glass(3, "gaussian")
    p, states = glass.p(BETA), glass.states
    q = np.einsum("aij,bij->ab", states, states, dtype=np.float64) / 9
    exact = glass.exact(BETA)
    assert exact[ABS_OVERLAP] == pytest.approx(p @ abs(q) @ p, rel=1e-12)
    assert exact[OVERLAP_SQUARED] == pytest.approx(p @ q**2 @ p, rel=1e-12)
    bonds = states.reshape(-1, 9)[:, glass.lattice.bonds.first] * states.reshape(-1, 9)[:, glass.lattice.bonds.second]
    assert exact[LINK_OVERLAP] == pytest.approx(((p @ bonds.astype(float)) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("L", "disorder", "boundary"), [(3, "pm1", "torus"), (4, "gaussian", "free"), (4, "pm1", "free")]
)
def test_pairs_of_exact_draws(L, disorder, boundary):
    # 40 000 pairs: errors of about 0.3 %; 10 % in beta moves link_overlap by more than 20 errors
    glass = Glass(L, disorder, boundary)
    spins = glass.draws(80_001, BETA, 1)[:80_000]
    found = overlaps_of_pairs(*glass.pairs(spins), np.zeros(80_000))
    z = _deviations(found, glass.exact(BETA))
    assert max(map(abs, z.values())) < 4.5, z
    colder = _deviations(found, glass.exact(1.1 * BETA))
    assert abs(colder[LINK_OVERLAP]) > 20, colder


def test_weighted_pairs_of_another_density():
    glass = Glass(4, "pm1")
    spins = glass.draws(100_000, 0.8 * BETA, 2)
    flat = glass.pairs(spins)
    energy = -np.einsum("nij,ij->n", spins * np.roll(spins, -1, -1), glass.lattice.right)
    energy -= np.einsum("nij,ij->n", spins * np.roll(spins, -1, -2), glass.lattice.down)
    weights = -0.2 * BETA * energy
    z = _deviations(overlaps_of_pairs(*flat, weights), glass.exact(BETA))
    assert max(map(abs, z.values())) < 4.5, z
    unweighted = _deviations(overlaps_of_pairs(*flat, 0 * weights), glass.exact(BETA))
    assert abs(unweighted[OVERLAP_SQUARED]) > 20, unweighted  # the negative control: without weights


def test_errors_of_pairs_are_those_of_repetitions():
    glass, values, errors = Glass(3, "pm1"), [], []
    for seed in range(300):
        found = overlaps_of_pairs(*glass.pairs(glass.draws(400, BETA, 100 + seed)), np.zeros(400))
        values.append([found[name].value for name in NAMES])
        errors.append([found[name].error for name in NAMES])
    ratio = np.std(values, axis=0, ddof=1) / np.mean(errors, axis=0)
    assert (abs(ratio - 1) < 0.17).all(), ratio  # 4 x 1/sqrt(600)


def test_pairs_of_chains_and_a_chain_that_hardly_moves():
    glass = Glass(4, "pm1")
    spins = glass.draws(8 * 4000, BETA, 3).reshape(4000, 8, 4, 4)  # 8 chains without correlation
    q = overlap(spins[:, 0::2], spins[:, 1::2])
    link = link_overlap(spins[:, 0::2], spins[:, 1::2], glass.lattice)
    found = overlaps_of_chains(q, link)
    z = _deviations(found, glass.exact(BETA))
    assert max(map(abs, z.values())) < 4.5, z
    assert found[TAU_INT_OVERLAP].value == pytest.approx(0.5, abs=0.05)
    slow = overlaps_of_chains(np.repeat(q, 10, axis=0), np.repeat(link, 10, axis=0))
    assert slow[TAU_INT_OVERLAP].value == pytest.approx(5.0, rel=0.15)
    assert slow[ABS_OVERLAP].error == pytest.approx(found[ABS_OVERLAP].error, rel=0.15)
    frozen = overlaps_of_chains(np.full((100, 2), 0.5), None)
    assert frozen[TAU_INT_OVERLAP].value == np.inf
    assert frozen[ABS_OVERLAP].error is None


def test_degenerate_pairs_have_reasons():
    nothing = np.zeros(0)
    assert overlaps_of_pairs(nothing, nothing, np.zeros(1))[ABS_OVERLAP].reason == "fewer than two pairs of draws"
    q = np.array([0.5, -0.25, 1.0])
    assert LINK_OVERLAP not in overlaps_of_pairs(q, None, np.zeros(6))
    assert overlaps_of_pairs(0 * q, None, np.zeros(6))[OVERLAP_BINDER].value is None
    one = overlaps_of_pairs(q, None, np.array([0, 0, 500.0, 500.0, 0, 0]))
    assert (one[ABS_OVERLAP].value, one[ABS_OVERLAP].error) == (0.25, None)
    assert overlaps_of_pairs(q, None, np.full(6, -np.inf))[ABS_OVERLAP].reason == "every pair has weight zero"
    assert overlaps_of_chains(np.zeros((5, 1)), None)[TAU_INT_OVERLAP].value is None
