"""Exact properties of `boundary-mps`, and its weights against ln Z from the Kac-Ward determinant."""

import math
from types import SimpleNamespace

import numba
import numpy as np
import pytest
import torch

from nisbench.physics import kaufman
from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.ising import Ising
from nisbench.physics.kac_ward import log_z
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench.physics.transfer_matrix import torus_log_z
from nisbench_plugins.boundary_mps import BoundaryMps
from nisbench_plugins.registration import BoundaryMpsOptions
from tests.fakes.plain_boundary_mps import PlainBoundaryMps
from tests.fakes.plain_torus_mps import PlainTorusMps

BETA_CRITICAL = math.log(1 + math.sqrt(2)) / 2


def ferromagnet(L):
    return Ising(L, IsingOptions(boundary="free"))


def glass(L, seed=1, *, gaussian=False, field=0.0, boundary="free"):
    rng = np.random.default_rng(seed)
    right, down = rng.normal(size=(2, L, L))
    if not gaussian:
        right, down = np.sign(right), np.sign(down)
    target = PairwiseTarget(square_lattice(L, boundary, right=right, down=down, field=field * rng.normal(size=(L, L))))
    target.name = "glass"
    return target


def plain(target, beta, chi):
    lattice = target.lattice
    field = lattice.field.reshape(lattice.shape)
    return PlainBoundaryMps(lattice.right[:, :-1], lattice.down[:-1], field, beta, chi)


def prepared(target, beta, chi):
    density = BoundaryMps(target, BoundaryMpsOptions(chi=chi))
    density.prepare(beta=beta, generator=torch.Generator())
    return density


def source(seed=1):
    return torch.Generator().manual_seed(seed)


def all_states(L):
    codes = torch.arange(2 ** (L * L))
    return (2 * ((codes[:, None] >> torch.arange(L * L)) & 1) - 1).to(torch.int8).reshape(-1, L, L)


def log_weights(target, beta, chi, n, *, drawn_at=None, seed=1):
    """ln w = -beta E - ln q of n draws, which may be made at another beta."""
    drawn_at = beta if drawn_at is None else drawn_at
    draws = prepared(target, drawn_at, chi).sample(n, beta=drawn_at, generator=source(seed))
    return (-beta * target.energy(draws.spins) - draws.log_prob).numpy()


def log_z_and_ess(log_weight):
    """Estimate of ln Z, its standard error and ess_fraction."""
    top = log_weight.max()
    w = np.exp(log_weight - top)
    ess = w.mean() ** 2 / (w**2).mean()
    return top + math.log(w.mean()), math.sqrt(max(1 / ess - 1, 0) / len(w)), ess


TARGETS = [
    pytest.param(ferromagnet(4), id="ferromagnet"),
    pytest.param(glass(4), id="pm1"),
    pytest.param(glass(4, 2, gaussian=True), id="gaussian"),
    pytest.param(glass(4, 3, gaussian=True, field=0.7), id="gaussian with field"),
    pytest.param(Villain(4), id="villain"),
    pytest.param(Ising(4), id="ferromagnet on the torus"),
    pytest.param(glass(4, 14, gaussian=True, field=0.7, boundary="torus"), id="gaussian with field on the torus"),
]


@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.44, 2.0, 10.0])
@pytest.mark.parametrize("chi", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("target", TARGETS)
def test_q_sums_to_one(target, chi, beta):
    log_q = prepared(target, beta, chi).log_prob(all_states(4), beta=beta)
    assert abs(float(log_q.exp().sum()) - 1) < 1e-10


@pytest.mark.parametrize("beta", [-0.5, 0.0, 0.44, 2.0])
@pytest.mark.parametrize(
    "target",
    [
        *TARGETS,
        glass(2, 4, gaussian=True, field=0.3),
        glass(3, 5, gaussian=True),
        glass(2, 4, gaussian=True, field=0.3, boundary="torus"),
        glass(3, 5, gaussian=True, boundary="torus"),
    ],
)
def test_q_is_p_where_nothing_is_truncated(target, beta):
    states = all_states(target.L)
    log_q = prepared(target, beta, (2 if target.lattice.boundary == "free" else 4) ** (target.L // 2)).log_prob(
        states, beta=beta
    )
    weight = -beta * target.energy(states)
    log_p = weight - torch.logsumexp(weight, 0)
    assert float((log_q - log_p)[log_p > -30].abs().max()) < 1e-9  # rounding, relative to the largest p, grows as 1/p
    assert float((log_q.exp() - log_p.exp()).abs().max()) < 1e-10


@pytest.mark.parametrize(("boundary", "chi"), [("free", 4), ("torus", 16)])
def test_q_is_not_p_of_another_beta_or_another_coupling(boundary, chi):
    """Negative control: one per cent off is far outside the tolerance of the test above."""
    target, states = glass(4, 2, gaussian=True, boundary=boundary), all_states(4)
    weight = -0.44 * target.energy(states)
    p = torch.softmax(weight, 0)
    hotter = prepared(target, 0.4356, chi).log_prob(states, beta=0.4356).exp()
    changed = target.lattice.right.copy()
    changed[1, -1 if boundary == "torus" else 1] *= 1.01  # on the torus a bond that closes a ring
    lattice = square_lattice(4, boundary, right=changed, down=target.lattice.down)
    other = prepared(PairwiseTarget(lattice), 0.44, chi).log_prob(states, beta=0.44).exp()
    assert float((hotter - p).abs().max()) > 1e-7
    assert float((other - p).abs().max()) > 1e-8


@pytest.mark.parametrize("boundary", ["free", "torus"])
@pytest.mark.parametrize("chi", [1, 2, 5])
def test_a_conditional_probability_depends_on_earlier_spins_only(chi, boundary):
    """q(s_k | s_<k) from sums of q over all later spins is the same whatever the later spins are."""
    density = prepared(glass(3, 6, gaussian=True, field=0.5, boundary=boundary), 1.3, chi)
    q = density.log_prob(all_states(3), beta=1.3).exp().numpy()
    states = all_states(3).reshape(-1, 9).numpy()
    conditionals = np.zeros(len(q))
    for k in range(9):  # site k of the raster order
        prefix = [tuple(s[:k]) for s in states]
        longer = [tuple(s[: k + 1]) for s in states]
        sums = {}
        for code, weight in zip(prefix, q, strict=True):
            sums[code] = sums.get(code, 0.0) + weight
        parts = {}
        for code, weight in zip(longer, q, strict=True):
            parts[code] = parts.get(code, 0.0) + weight
        conditionals += [math.log(parts[b] / sums[a]) for a, b in zip(prefix, longer, strict=True)]
    assert np.abs(conditionals - np.log(q)).max() < 1e-10


@pytest.mark.parametrize(("L", "chi"), [(4, 1), (4, 4), (8, 3), (13, 7), (16, 6)])
@pytest.mark.parametrize("beta", [0.44, 1.5])
def test_the_compiled_form_is_the_plain_form(L, chi, beta):
    target = glass(L, 7, gaussian=True, field=0.2)
    draws = prepared(target, beta, chi).sample(70, beta=beta, generator=source())
    expected = plain(target, beta, chi).log_prob(draws.spins.numpy())
    assert np.abs(expected - draws.log_prob.numpy()).max() < 1e-8


@pytest.mark.parametrize(("L", "chi"), [(2, 1), (3, 2), (5, 3), (8, 8), (13, 8)])
@pytest.mark.parametrize("beta", [0.44, 0.9])
def test_the_compiled_form_is_the_plain_form_on_the_torus(L, chi, beta):
    target = glass(L, 7, gaussian=True, boundary="torus")
    draws = prepared(target, beta, chi).sample(70, beta=beta, generator=source())
    expected = PlainTorusMps(target.lattice.right, target.lattice.down, beta, chi).log_prob(draws.spins.numpy())
    assert np.abs(expected - draws.log_prob.numpy()).max() < 1e-8


@pytest.mark.parametrize("boundary", ["free", "torus"])
@pytest.mark.parametrize(("L", "beta", "chi"), [(2, 0.5, 1), (5, 1.0, 3), (16, BETA_CRITICAL, 4), (32, 2.0, 8)])
def test_sampled_log_prob_is_the_evaluated_one(L, beta, chi, boundary):
    density = prepared(glass(L, 8, boundary=boundary), beta, chi)
    draws = density.sample(130, beta=beta, generator=source())
    assert torch.equal(draws.spins.abs(), torch.ones_like(draws.spins))
    before = draws.spins.clone()
    assert float((density.log_prob(draws.spins, beta=beta) - draws.log_prob).abs().max()) < 1e-10
    assert torch.equal(draws.spins, before)


@pytest.mark.parametrize("boundary", ["free", "torus"])
def test_draws_depend_neither_on_threads_nor_on_how_they_are_split(boundary):
    density = prepared(glass(16, 9, boundary=boundary), 1.0, 4)
    before = numba.get_num_threads()
    found = []
    try:
        for threads, parts in ((1, [200]), (before, [200]), (before, [1, 63, 64, 72])):
            numba.set_num_threads(threads)
            generator = source(5)
            draws = [density.sample(n, beta=1.0, generator=generator) for n in parts]
            found.append((torch.cat([d.spins for d in draws]), torch.cat([d.log_prob for d in draws])))
    finally:
        numba.set_num_threads(before)
    for spins, log_prob in found[1:]:
        assert torch.equal(spins, found[0][0])
        assert torch.equal(log_prob, found[0][1])


@pytest.mark.parametrize("boundary", ["free", "torus"])
def test_frequencies_are_the_probabilities(boundary):
    """Chi-square over the 512 states of L = 3; a correct sampler fails with probability 1e-6."""
    density, states, n = prepared(glass(3, 10, gaussian=True, boundary=boundary), 0.5, 2), all_states(3), 200_000
    spins = density.sample(n, beta=0.5, generator=source(11)).spins.reshape(n, 9).long()
    codes = ((spins + 1) // 2 * 2 ** torch.arange(9)).sum(1)
    observed = torch.bincount(codes, minlength=512).double()
    expected = n * density.log_prob(states, beta=0.5).exp()
    statistic = float(((observed - expected) ** 2 / expected).sum())
    assert abs(statistic - 511) < 5 * math.sqrt(2 * 511), statistic


EXACT = [
    pytest.param(ferromagnet(8), 1.0, 8, 112.8732004540, id="ferromagnet 8"),
    pytest.param(ferromagnet(16), BETA_CRITICAL, 4, 232.5996102057, id="ferromagnet 16"),
    pytest.param(ferromagnet(32), 0.44, 4, 939.9836361516, id="ferromagnet 32"),
    pytest.param(ferromagnet(64), BETA_CRITICAL, 8, 3785.3529365202, id="ferromagnet 64"),
    pytest.param(Ising(8), BETA_CRITICAL, 16, kaufman.log_z(8, BETA_CRITICAL), id="torus 8"),
    pytest.param(Ising(16), BETA_CRITICAL, 16, kaufman.log_z(16, BETA_CRITICAL), id="torus 16"),
    pytest.param(Villain(16), 0.5, 8, 227.0950775087, id="villain 16, 0.5"),
    pytest.param(Villain(16), 2.0, 16, 573.4485301522, id="villain 16, 2"),
    pytest.param(Villain(64), 1.0, 16, 5361.4512257986, id="villain 64"),
]
"""Targets, beta, chi and ln Z: published values from the Kac-Ward determinant, on the torus Kaufman's formula."""


@pytest.mark.parametrize(("target", "beta", "chi", "exact"), EXACT)
def test_the_mean_weight_is_z(target, beta, chi, exact):
    """ln Z from 2000 weights within 5 errors of exact, or within the rounding of the sum over the sites."""
    found, error, ess = log_z_and_ess(log_weights(target, beta, chi, 2000))
    assert ess > 0.97, ess
    assert abs(found - exact) < 5 * error + 1e-8, (found, exact, error)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("disorder", ["pm1", "gaussian"])
def test_the_mean_weight_is_z_of_spin_glasses(disorder, beta):
    target = EdwardsAnderson(24, EdwardsAndersonOptions(disorder=disorder))
    found, error, ess = log_z_and_ess(log_weights(target, beta, 16, 2000))
    assert ess > 0.99, ess
    assert abs(found - log_z(target.lattice, beta)) < 5 * error + 1e-7, (found, error)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_the_mean_weight_is_z_of_a_spin_glass_on_the_torus(beta):
    """L = 8, where a transfer matrix gives ln Z; couplings that are 1 % larger are a negative control."""
    target = EdwardsAnderson(8, EdwardsAndersonOptions(boundary="torus"))
    log_weight = log_weights(target, beta, 32, 2000)
    found, error, ess = log_z_and_ess(log_weight)
    assert ess > 0.99, ess
    assert abs(found - torus_log_z(target.lattice, beta)) < 5 * error + 1e-7, (found, error)
    assert abs(found - torus_log_z(target.lattice, 1.01 * beta)) > 20 * error, (found, error)


def test_the_mean_weight_of_wrong_couplings_is_not_z():
    """Negative control: q of the given couplings, weights and Z of couplings that are 1 % larger."""
    target = EdwardsAnderson(24)
    density = prepared(target, 1.0, 16)
    draws = density.sample(2000, beta=1.0, generator=source())
    found, error, _ = log_z_and_ess((-target.energy(draws.spins) - draws.log_prob).numpy())
    assert abs(found - log_z(target.lattice, 1.01)) > 20 * error + 1e-3, (found, error)


def test_the_mean_weight_of_draws_at_another_beta_is_not_z():
    """Negative control: ln q of draws at beta with the energy of a beta that is 1 % lower."""
    found, error, _ = log_z_and_ess(log_weights(ferromagnet(32), 0.4356, 4, 2000, drawn_at=0.44))
    assert abs(found - 939.9836361516) > 20 * error, (found, error)


@pytest.mark.parametrize(
    ("chi", "largest_kl", "least_ess"), [(1, 40, 0), (4, 1.6e-2, 0.975), (8, 3e-4, 0.9995), (16, 1e-6, 0.999999)]
)
def test_kl_and_ess_of_the_critical_ferromagnet(chi, largest_kl, least_ess):
    """L = 64; a plain NumPy trial had a KL of 1.2e-2 at chi = 4 and of 1.8e-4 at chi = 8."""
    log_weight = log_weights(ferromagnet(64), BETA_CRITICAL, chi, 2000, seed=3)
    kl, error = 3785.3529365202 - log_weight.mean(), log_weight.std() / math.sqrt(len(log_weight))
    assert kl < largest_kl + 5 * error, (kl, error)
    assert log_z_and_ess(log_weight)[2] >= least_ess


def test_a_small_chi_at_low_temperature_shows_on_both_sides():
    """+-J couplings at beta = 2, L = 32: chi = 4 fails and chi = 16 does not. Draws of chi = 32 stand for p."""
    target, n = glass(32, 12), 1000
    p_side = prepared(target, 2.0, 32).sample(n, beta=2.0, generator=source())
    exact = log_z(target.lattice, 2.0)
    for chi, good in ((4, False), (16, True)):
        log_q = prepared(target, 2.0, chi).log_prob(p_side.spins, beta=2.0)
        w = (-2.0 * target.energy(p_side.spins) - log_q - exact).exp()
        ess_p, ess_q = 1 / float(w.mean()), log_z_and_ess(log_weights(target, 2.0, chi, n))[2]
        assert (ess_q > 0.98, ess_p > 0.98) == (good, good), (chi, ess_q, ess_p)
        assert good or max(ess_q, ess_p) < 0.5, (chi, ess_q, ess_p)


def test_low_temperature_leaves_no_nan_and_stays_normalised():
    """beta = 50: the weights of a row underflow without the rescaling, and the limit of 1e-16 acts."""
    target = glass(24, 13, gaussian=True)
    density = prepared(target, 50.0, 8)
    draws = density.sample(64, beta=50.0, generator=source())
    assert bool(torch.isfinite(draws.log_prob).all())
    log_q = prepared(glass(4, 13, gaussian=True), 50.0, 2).log_prob(all_states(4), beta=50.0)
    assert abs(float(log_q.exp().sum()) - 1) < 1e-10


def test_targets_without_couplings_are_refused_in_one_line():
    other = SimpleNamespace(name="potts", L=4, n_sites=16)
    assert "'potts'" in BoundaryMps.unsupported(other, BoundaryMpsOptions())
    assert BoundaryMps.unsupported(ferromagnet(4), BoundaryMpsOptions()) is None
    assert BoundaryMps.unsupported(Ising(4), BoundaryMpsOptions()) is None


def test_misuse_is_refused():
    density = prepared(ferromagnet(4), 0.4, 2)
    with pytest.raises(RuntimeError, match=r"no environments for beta = 0\.5"):
        density.sample(1, beta=0.5, generator=source())
    with pytest.raises(ValueError, match="finite beta"):
        density.prepare(beta=math.inf, generator=source())
    with pytest.raises(ValueError, match="chi must be at least 1"):
        BoundaryMpsOptions(chi=0)


def test_no_draws_and_one_draw():
    density = prepared(ferromagnet(4), 0.4, 2)
    assert density.sample(0, beta=0.4, generator=source()).spins.shape == (0, 4, 4)
    draw = density.sample(1, beta=0.4, generator=source())
    assert draw.spins.shape == (1, 4, 4)
    assert draw.spins.dtype == torch.int8
    assert draw.log_prob.dtype == torch.float64


def test_costs_count_the_bonds_that_occur():
    costs = [BoundaryMps(ferromagnet(L), BoundaryMpsOptions(chi=16)).costs()["flops_per_draw"] for L in (4, 64)]
    assert costs == [8 * 4 * 6 * 16, 8 * 16 * 18 * 4096]
    assert BoundaryMps(Ising(4), BoundaryMpsOptions(chi=32)).costs()["flops_per_draw"] == 24 * 16 * 18 * 16
