"""The degenerate answers: frozen, too short, constant, NaN, one weight, one draw, beta = 0. Defined, and never NaN."""

import math

import numpy as np
import pytest

from nisbench.contract.records import Estimate
from nisbench.physics.kaufman import exact_values
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import blocked_error, chain_mean
from nisbench.statistics.quantities import (
    CHAIN_QUANTITIES,
    MODEL_QUANTITIES,
    WEIGHTED_QUANTITIES,
    ReferenceSeries,
    chain_quantities,
    model_quantities,
    weighted_quantities,
)
from nisbench.statistics.weights import ess_fraction, ess_fraction_p, kl_forward, log_z, log_z_p, nmcmc
from tests.fakes.gates import gate_reasons

N = 16
EXACT = exact_values(4, 0.44)


def series(n, seed=0):
    rng = np.random.default_rng(seed)
    return 4.0 * rng.integers(-8, 1, n), 2.0 * rng.integers(-8, 9, n)


def reference(m=200, log_prob=-20.0):
    energy, magnetisation = series(m, 1)
    return ReferenceSeries(np.full(m, log_prob), energy, magnetisation, np.repeat([0, 1], m // 2))


def model(n=1000, beta=0.44, exact=None, **changed):
    energy, magnetisation = series(n)
    given = {"log_prob": np.full(n, -10.0), "energy": energy, "magnetisation": magnetisation, "reference": reference()}
    exact = exact_values(4, beta) if exact is None else exact
    return model_quantities(**(given | changed), beta=beta, n_sites=N, exact=exact, seed=1)


def chain(shape=(1000, 2), beta=0.44, cluster_size=None, **changed):
    energy, magnetisation = (x.reshape(shape) for x in series(int(np.prod(shape))))
    given = {"energy": energy, "magnetisation": magnetisation, "cluster_size": cluster_size}
    return chain_quantities(**(given | changed), beta=beta, n_sites=N, exact=exact_values(4, beta))


def assert_clean(quantities):
    """No NaN, a reason wherever a value is missing, and no error bar of zero."""
    for name, estimate in quantities.items():
        assert isinstance(estimate, Estimate), name
        assert estimate.value is not None or estimate.reason, name
        assert estimate.error is None or estimate.error > 0, name
        assert Estimate.from_json(estimate.to_json()) == estimate, name


def test_names_are_complete():
    assert set(model()) == set(MODEL_QUANTITIES)
    assert set(chain(cluster_size=np.ones((1000, 2)))) == set(CHAIN_QUANTITIES)
    assert set(CHAIN_QUANTITIES) - set(chain()) == {
        "mean_cluster_size",
        "tau_int_sweeps_energy",
        "tau_int_sweeps_abs_magnetisation",
    }
    energy, magnetisation = series(50)
    given = {"energy": energy, "magnetisation": magnetisation, "beta": 0.44, "n_sites": N, "exact": EXACT}
    found = weighted_quantities(log_weight=np.zeros(50), normalised=True, **given)
    assert set(found) == set(WEIGHTED_QUANTITIES)


def test_frozen_chain():
    found = gamma_method(np.full(100, 3.0))
    assert math.isinf(found.tau_int)
    assert math.isinf(found.error)
    assert found.ess == 0
    assert not found.trusted
    assert found.doubt == "a chain never moves"
    assert gamma_method([1.0]).doubt == "a chain of one draw has no autocorrelation time"
    mean = chain_mean(np.full(100, 3.0))
    assert (mean.value, mean.error) == (3.0, None)
    assert "same value" in mean.reason
    frozen = chain(energy=np.full((1000, 2), -32.0), magnetisation=np.full((1000, 2), 16.0))
    assert_clean(frozen)
    assert frozen["tau_int_energy"].value == math.inf
    assert "tau_int_energy: a chain never moves" in gate_reasons("sampler", frozen)


def test_one_chain_frozen_among_others():
    energy, magnetisation = (x.reshape(1000, 2) for x in series(2000))
    energy[:, 1] = -32.0
    magnetisation[:, 1] = 16.0
    found = chain(energy=energy, magnetisation=magnetisation)
    assert_clean(found)
    assert found["energy"].error is None
    assert any("never moves" in reason for reason in gate_reasons("sampler", found))


def test_chain_that_is_too_short():
    energy = np.repeat([-32.0, -16.0, -24.0, -8.0, -20.0], 20)[:, None]
    found = chain(energy=energy, magnetisation=energy)
    assert_clean(found)
    assert found["tau_int_energy"].value > 2
    assert found["energy"].error > 0
    assert any("shorter than 50 tau_int" in reason for reason in gate_reasons("sampler", found))


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_a_handful_of_draws(n):
    for found, kind in ((model(n), "model"), (chain((n, 2)), "sampler"), (chain((n, 1)), "sampler")):
        assert_clean(found)
        assert gate_reasons(kind, found)


def test_one_draw():
    found = model(1)
    assert found["ess_fraction"].value == 1
    assert "too small to measure" in found["ess_fraction"].reason
    assert found["log_z_per_site"].error is None
    assert found["acceptance_rate"].value is None
    assert found["longest_rejection_run"].value == 0
    assert found["tau_int_energy"].value == math.inf


@pytest.mark.parametrize("name", ["log_prob", "energy", "magnetisation"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_in_the_series_of_a_model(name, bad):
    energy, magnetisation = series(100)
    given = {"log_prob": np.full(100, -10.0), "energy": energy, "magnetisation": magnetisation}
    given[name] = given[name].copy()
    given[name][[3, 70]] = bad
    found = model(**given)
    assert_clean(found)
    assert all(estimate.value is None for estimate in found.values())
    assert found["energy"].exact == EXACT["energy"]
    assert gate_reasons("model", found) == [f"{name} is not finite for 2 of 100 draws"]


def test_nan_in_the_series_of_a_chain():
    energy, _ = series(2000)
    energy[5] = math.nan
    found = chain(energy=energy.reshape(1000, 2), cluster_size=np.ones((1000, 2)))
    assert set(found) == set(CHAIN_QUANTITIES)
    assert_clean(found)
    assert gate_reasons("sampler", found) == ["energy is not finite for 1 of 2000 draws"]
    with pytest.raises(ValueError, match="1 of 2000"):
        gamma_method(energy)
    with pytest.raises(ValueError, match="not empty"):
        gamma_method([])


def test_nan_in_the_reference():
    bad = reference()
    bad.log_prob[4] = math.nan
    found = model(reference=bad)
    assert_clean(found)
    assert found["log_z_per_site"].value is not None
    assert found["ess_fraction_p"].value is None
    assert "the reference's log_prob is not finite for 1 of 200 draws" in gate_reasons("model", found)


def test_no_reference_is_no_fault():
    found = model(reference=None)
    assert_clean(found)
    assert found["ess_fraction_p"].reason == "no reference configurations"
    assert not any("reference" in reason for reason in gate_reasons("model", found))
    energy, magnetisation = series(100)
    told = model_quantities(
        log_prob=np.zeros(100), energy=energy, magnetisation=magnetisation, beta=0.44, n_sites=N, exact=EXACT, seed=1,
        reference=None, no_reference_reason="cell wolff-L4 failed",
    )  # fmt: skip
    assert told["kl_forward_nats"].reason == "cell wolff-L4 failed"


def test_density_that_vanishes_on_the_reference():
    bad = reference()
    bad.log_prob[:3] = -math.inf
    found = model(reference=bad)
    assert_clean(found)
    assert found["ess_fraction_p"].value == 0
    assert found["kl_forward_nats"].value == math.inf
    assert found["free_energy_p"].error > 0
    assert "3 of 200" in found["ess_fraction_p"].reason
    assert gate_reasons("model", found)
    bad.log_prob[:] = -math.inf
    assert model(reference=bad)["free_energy_p"].value is None


def test_one_dominating_weight():
    for lead in (50.0, 800.0):
        log_weight = np.zeros(1000)
        log_weight[17] = lead
        found = ess_fraction(log_weight)
        assert found.value == pytest.approx(1 / 1000, rel=1e-12)
        assert "too small to measure" in found.reason
        z = log_z(log_weight, N)
        assert z.value == pytest.approx(lead - math.log(1000), rel=1e-12)
        assert z.error == pytest.approx(1, abs=1e-2)
        energy, _ = series(1000)
        quantities = model(log_prob=-0.44 * energy - log_weight)
        assert_clean(quantities)
        assert quantities["energy"].value == pytest.approx(energy[17] / N, rel=1e-12)
        assert quantities["energy"].error is None
        assert "one weight outweighs" in quantities["energy"].reason
        assert quantities["longest_rejection_run"].value >= 999 - 17
        assert any("below 10/n" in reason for reason in gate_reasons("model", quantities))


def test_one_leading_weight_keeps_an_honest_error():
    """One draw has 99.9 % of the weight. Leaving it out moves the mean by 1, and the error is 1."""
    log_weight, x = np.zeros(1001), np.tile([0.0, 0.2], 501)[:1001]
    log_weight[0], x[0] = math.log(1e6), 1.1
    found = model(n=1001, log_prob=-0.44 * 16 * x - log_weight, energy=16 * x, magnetisation=series(1001)[1])
    assert found["energy"].error == pytest.approx(1.0, rel=0.01)


def test_equal_weights():
    """For a perfect model ln Z is exact up to rounding, and the z score allows for the rounding of the networks."""
    energy, magnetisation = series(1000)
    log_prob = -0.44 * energy - EXACT["log_z_per_site"] * N
    found = model(log_prob=log_prob, energy=energy, magnetisation=magnetisation, reference=None)
    assert_clean(found)
    assert found["ess_fraction"].value == pytest.approx(1, abs=1e-12)
    assert found["acceptance_rate"].value == pytest.approx(1, abs=0.01)
    assert abs(found["log_z_per_site"].z) < 1e-3
    assert found["kl_nats"].value == pytest.approx(0, abs=1e-12)
    exactly = ess_fraction(np.zeros(100))
    assert (exactly.value, exactly.error, exactly.reason) == (1.0, None, "every weight is the same")


def test_infinite_temperature():
    found = model(beta=0.0, log_prob=np.full(1000, -N * math.log(2)))
    assert_clean(found)
    for name in ("free_energy_variational", "free_energy_nis", "free_energy_p"):
        assert found[name].reason == "the free energy is undefined at beta = 0"
    assert found["log_z_per_site"].value == pytest.approx(math.log(2), rel=1e-14)
    assert found["entropy"].value == pytest.approx(math.log(2), rel=1e-14)
    assert (found["specific_heat"].value, found["specific_heat"].error, found["specific_heat"].reason) == (
        0,
        None,
        None,
    )
    assert found["susceptibility"].value == 0
    assert_clean(chain(beta=0.0))


def test_constant_energy_with_weights():
    found = model(energy=np.full(1000, -32.0), reference=None)
    assert_clean(found)
    assert found["energy"].value == pytest.approx(-2, rel=1e-14)
    assert found["energy"].error is None
    assert "the same value in every draw" in found["tau_int_energy"].reason
    assert gate_reasons("model", found) == [], "the proposals are accepted, so the chain moves"
    stuck = model(energy=np.full(1000, -32.0), log_prob=np.linspace(-10.0, 4990.0, 1000), reference=None)
    assert any("never moves" in reason for reason in gate_reasons("model", stuck))


def test_no_magnetisation():
    found = chain(magnetisation=np.zeros((1000, 2)))
    assert_clean(found)
    assert found["binder_cumulant"].reason == "the magnetisation is zero in every draw"
    assert_clean(model(magnetisation=np.zeros(1000)))


def test_nothing_exact_is_known():
    found = model(exact={})
    assert_clean(found)
    assert found["kl_nats"].reason == "no exact ln Z is known"
    assert found["kl_forward_nats"].reason == "no exact ln Z is known"
    assert found["ess_fraction_p"].value is not None
    assert all(estimate.exact is None for estimate in found.values())
    assert model(exact={"log_z_per_site": 0.0})["relative_free_energy_error"].reason == "the exact ln Z is zero"


def test_weights_of_zero():
    energy, magnetisation = series(100)
    given = {"energy": energy, "magnetisation": magnetisation, "beta": 0.44, "n_sites": N, "exact": {}}
    log_weight = np.random.default_rng(2).standard_normal(100)
    log_weight[:50] = -math.inf
    found = weighted_quantities(log_weight=log_weight, normalised=True, **given)
    assert_clean(found)
    assert 0.1 < found["ess_fraction"].value < 0.5
    for bad in (np.full(100, -math.inf), np.full(100, math.nan), np.full(100, math.inf)):
        found = weighted_quantities(log_weight=bad, normalised=True, **given)
        assert_clean(found)
        assert any("not finite" in reason for reason in gate_reasons("sampler", found))


def test_huge_weights_do_not_overflow():
    """ln Z of a 512 torus is 243 461."""
    log_weight = 243_461 + np.random.default_rng(3).standard_normal(100)
    groups = np.repeat([0, 1, 2, 3], 25)
    assert log_z(log_weight, 512**2).value == pytest.approx(243_461.5, abs=1)
    assert ess_fraction(log_weight).value == pytest.approx(math.exp(-1), abs=0.3)
    assert log_z_p(log_weight, groups, 512**2).value == pytest.approx(243_460.5, abs=1)
    assert ess_fraction_p(log_weight, groups, 243_461.0).value > 0.3
    assert ess_fraction_p(log_weight, groups, 0.0).value == 0  # 1e-105 000
    assert kl_forward(log_weight, groups, 243_461.0, 512**2).value == pytest.approx(0, abs=0.5)


def test_blocks_of_too_few():
    assert blocked_error(np.arange(5.0), np.zeros(5, dtype=np.int64)) is None
    assert blocked_error(np.ones(100), np.zeros(100, dtype=np.int64)) is None
    assert blocked_error(np.arange(6.0), np.array([0, 0, 0, 1, 1, 1])) is not None


def test_validity_names_what_was_not_measured():
    assert gate_reasons("model", {}) == [
        f"{name} was not measured" for name in ("energy", "log_z_per_site", "ess_fraction")
    ]
    assert gate_reasons("sampler", {"energy": Estimate.missing("lost")}) == ["energy: lost"]


def test_nmcmc_by_hand():
    class Fixed:
        """Uniform numbers given in advance."""

        def __init__(self, *values):
            self.values = values

        def random(self, n):
            return np.array(self.values[:n])

    # w = 1, 2, 1, 1, 4: up is always taken; down by a half is taken where 1 - u < 1/2
    found = nmcmc(np.log([1.0, 2.0, 1.0, 1.0, 4.0]), Fixed(0.0, 0.99, 0.49, 0.51, 0.0))
    assert found.state_index.tolist() == [0, 1, 1, 3, 4]
    assert found.accepted.tolist() == [True, False, True, True]
    assert found.acceptance_rate == 0.75
    assert found.longest_rejection_run == 1
    same = [nmcmc(np.log(np.arange(1.0, 99.0)[::-1]), np.random.default_rng(4)).state_index for _ in range(2)]
    assert np.array_equal(*same)


def cold(excited, n=2000):
    """Energies and magnetisations of n draws in the two ground states, except `excited` draws with one spin flipped."""
    energy, magnetisation = np.full(n, -32.0), np.where(np.arange(n) % 2, 16.0, -16.0)
    energy[:excited], magnetisation[:excited] = -24.0, 14.0
    return energy, magnetisation


@pytest.mark.parametrize("excited", [0, 3, 29])
def test_draws_in_the_ground_states_do_not_show_their_error(excited):
    """Equal weights of few configurations are no infinite precision: q may miss what was not drawn."""
    energy, magnetisation = cold(excited)
    noise = 1e-13 * np.random.default_rng(1).standard_normal(2000)
    found = model(
        n=2000,
        beta=1.5,
        log_prob=np.full(2000, -math.log(2) - 3e-4) + noise,
        energy=energy,
        magnetisation=magnetisation,
    )
    assert_clean(found)
    for name in ("log_z_per_site", "kl_nats", "energy", "free_energy_nis", "entropy", "ess_fraction"):
        assert found[name].error is None, name
        assert found[name].z is None
        assert found[name].reason
    assert not any("standard errors from exact" in reason for reason in gate_reasons("model", found))


def test_enough_excited_draws_show_their_error():
    energy, magnetisation = cold(200)
    found = model(n=2000, log_prob=-0.44 * energy - 15.5, energy=energy, magnetisation=magnetisation)
    assert found["energy"].error > 0
    assert found["log_z_per_site"].error > 0


def test_cold_chains_that_move_are_trusted():
    """At beta = 2 Wolff flips every spin in each draw: one energy, and no chain is stuck."""
    energy, magnetisation = (x.reshape(1000, 2) for x in cold(0))
    magnetisation = magnetisation * (-1.0) ** np.arange(1000)[:, None]
    found = chain(energy=energy, magnetisation=magnetisation, cluster_size=np.full((1000, 2), 16.0), beta=2.0)
    assert_clean(found)
    assert found["tau_int_energy"].value is None
    assert "although the chain moves" in found["tau_int_energy"].reason
    assert found["energy"].value == -2.0
    assert gate_reasons("sampler", found) == []


def test_one_cold_chain_may_be_in_its_ground_state_all_the_time():
    """Chains of which one has no excitation share one tau_int, if all of them move."""
    energy, magnetisation = (x.reshape(1000, 2).copy() for x in series(2000))
    energy[:, 1] = -32.0
    found = chain(energy=energy, magnetisation=magnetisation)
    assert math.isfinite(found["tau_int_energy"].value)


def test_variances_are_not_negative():
    found = chain(energy=np.full((1000, 2), -32.1), magnetisation=np.full((1000, 2), 15.7))
    assert found["specific_heat"].value >= 0
    assert found["susceptibility"].value >= 0
