"""Whole cells with known answers: every quantity against exact, and gates that fire when they should and not else."""

import functools
import math
import re

import numpy as np
import pytest

from nisbench.contract.records import Estimate
from nisbench.physics.enumeration import all_spins, exact_values, ising_energy
from nisbench.statistics.beyond import beyond
from nisbench.statistics.quantities import (
    ReferenceSeries,
    chain_quantities,
    model_quantities,
    weighted_quantities,
)
from tests.fakes.gates import gate_reasons

BETA, L, N = 0.44, 4, 16
SPINS = all_spins(L)
ENERGY, MAGNETISATION = ising_energy(SPINS), SPINS.sum(axis=(1, 2), dtype=float)
EXACT = exact_values(L, BETA)


@functools.cache
def boltzmann(beta):
    """ln p of all 65 536 states at another temperature: an exactly normalised model with known ess."""
    return -beta * ENERGY - exact_values(L, beta)["log_z_per_site"] * N


def draw(log_q, n, rng):
    cumulative = np.cumsum(np.exp(log_q))
    return np.searchsorted(cumulative, cumulative[-1] * rng.random(n), side="right")


def model_cell(log_q, seed, n=10_000, m=1_000, claimed=None, exact=EXACT):
    """A cell of a model that draws from log_q and claims `claimed` (by default the truth), with m states of p."""
    rng = np.random.default_rng(seed)
    claimed = log_q if claimed is None else claimed
    i, j = draw(log_q, n, rng), draw(boltzmann(BETA), m, rng)
    reference = ReferenceSeries(claimed[j], ENERGY[j], MAGNETISATION[j], np.repeat(np.arange(4), m // 4))
    return model_quantities(
        log_prob=claimed[i],
        energy=ENERGY[i],
        magnetisation=MAGNETISATION[i],
        beta=BETA,
        n_sites=N,
        exact=exact,
        seed=seed,
        reference=reference,
    )


def known(model_beta):
    """Return the exact quantities of a model with q = p at `model_beta`."""
    z = {beta: exact_values(L, beta)["log_z_per_site"] * N for beta in (BETA, model_beta, 2 * BETA - model_beta)}
    energy = {beta: exact_values(L, beta)["energy"] * N for beta in (BETA, model_beta)}
    kl = (BETA - model_beta) * energy[model_beta] - z[model_beta] + z[BETA]
    ess = math.exp(2 * z[BETA] - z[model_beta] - z[2 * BETA - model_beta])
    free = EXACT["free_energy"]
    return EXACT | {
        "free_energy_variational": free + kl / (BETA * N),
        "free_energy_nis": free,
        "free_energy_p": free,
        "kl_nats": kl,
        "relative_free_energy_error": kl / z[BETA],
        "kl_forward_nats": (model_beta - BETA) * energy[BETA] + z[model_beta] - z[BETA],
        "ess_fraction": ess,
        "ess_fraction_p": ess,
    }


@pytest.mark.parametrize("model_beta", [0.43, 0.40, 0.36])
def test_every_quantity_of_a_model(model_beta, covers):
    """120 cells of ess 0.99, 0.9 and 0.65: no score beyond 5, no gate fires, and the bars cover.

    Power: at ess 0.9 and n = 1e4 a temperature 2 % off moves the energy by 10 errors; the bars of 120 cells are known
    to 4 percentage points of coverage, so one that is half or twice the truth misses the 21 allowed.
    """
    truth, cells = known(model_beta), [model_cell(boltzmann(model_beta), seed) for seed in range(120)]
    assert truth["ess_fraction"] == pytest.approx({0.43: 0.993, 0.40: 0.908, 0.36: 0.66}[model_beta], abs=0.02)
    for name, value in truth.items():
        if name != "free_energy":
            scores = np.array([(cell[name].value - value) / cell[name].error for cell in cells])
            assert np.abs(scores).max() < 5, name
            assert covers(scores), name
    assert [gate_reasons("model", cell) for cell in cells] == [[]] * len(cells)


def test_no_false_alarm_for_log_normal_weights():
    """40 cells at each of five values of the ESS. Below 0.03 the p side of 1000 configurations measures nothing."""
    for ess in (0.9, 0.5, 0.3, 0.1, 0.03):
        sigma = math.sqrt(-math.log(ess))
        for seed in range(40):
            rng = np.random.default_rng([seed, int(1000 * ess)])
            x, y = rng.standard_normal(10_000), rng.standard_normal(1_000) + sigma
            quantities = model_quantities(
                log_prob=-x - (sigma * x - sigma**2 / 2),
                energy=x,
                magnetisation=rng.choice([-1.0, 1.0, 0.0], 10_000),
                beta=1.0,
                n_sites=1,
                exact={"log_z_per_site": 0.0, "free_energy": 0.0, "energy": sigma},
                seed=seed,
                reference=ReferenceSeries(-y - (sigma * y - sigma**2 / 2), y, y, np.zeros(1_000, dtype=int)),
            )
            # at an ESS of 0.03, 10 000 weights show k above 0.7 in a few per cent of the cells, as they should
            honest = ("shorter than 50 tau_int", *(("pareto_k",) if ess < 0.1 else ()))
            short = [reason for reason in gate_reasons("model", quantities) if not any(x in reason for x in honest)]
            assert short == [], (ess, seed)


def test_log_prob_off_by_one_per_cent_is_caught():
    """ln Z moves by 0.1 at an error of 0.002."""
    assert gate_reasons("model", model_cell(boltzmann(0.42), 1)) == []
    reasons = gate_reasons("model", model_cell(boltzmann(0.42), 1, claimed=1.01 * boltzmann(0.42)))
    assert any("log_z_per_site" in reason for reason in reasons)
    assert any("free_energy_p" in reason for reason in reasons)


def test_model_that_draws_what_it_does_not_claim_is_caught():
    """The draws have another beta than ln q. Without exact values only the two sides can show it."""
    lying = model_cell(boltzmann(0.46), 2, n=50_000, claimed=boltzmann(0.44))
    assert any(reason.startswith("energy") for reason in gate_reasons("model", lying))
    honest = model_cell(boltzmann(0.46), 2, n=50_000)
    assert gate_reasons("model", honest) == []


def one_mode(leak):
    """A perfect model of M >= 0 that gives the other half a fraction `leak` of its weight."""
    log_q = boltzmann(BETA) + np.where(MAGNETISATION > 0, math.log(2), np.where(MAGNETISATION < 0, -np.inf, 0.0))
    return np.logaddexp(log_q + math.log1p(-leak), boltzmann(BETA) + math.log(leak)) if leak else log_q


@pytest.mark.parametrize("exact", [EXACT, {}])
@pytest.mark.parametrize("leak", [0.0, 1e-9, 1e-6])
def test_model_of_one_mode_is_caught(leak, exact):
    """The q side sees ess 1; the p side, with or without an exact Z, does not."""
    cell = model_cell(one_mode(leak), 3, exact=exact)
    assert cell["ess_fraction"].value > 0.9
    assert cell["ess_fraction_p"].value < 1e-3
    reasons = gate_reasons("model", cell)
    assert any("ln(ess_fraction/ess_fraction_p)" in reason for reason in reasons)
    assert any("free_energy_p" in reason for reason in reasons)
    if exact:
        assert any("log_z_per_site" in reason for reason in reasons)


def test_missed_mode_at_low_ess_is_judged_by_kl_forward():
    """ess_q below 0.3, where the ratio is not judged: KL(p||q) above -ln ess_q cannot be."""
    log_q = np.where(MAGNETISATION > 0, boltzmann(0.28) + math.log(2), boltzmann(BETA) - 25)
    log_q -= np.log(np.exp(log_q).sum())
    cell = model_cell(log_q, 4, exact={"log_z_per_site": EXACT["log_z_per_site"]})
    assert 0.05 < cell["ess_fraction"].value < 0.3
    (reason,) = (reason for reason in gate_reasons("model", cell) if "kl_forward_nats" in reason)
    forward, bound, tolerance = (float(number) for number in re.findall(r"\d+\.\d+", reason))
    assert bound == pytest.approx(-math.log(cell["ess_fraction"].value), abs=0.006)
    assert forward > bound + tolerance
    honest = model_cell(boltzmann(0.28), 4)
    assert honest["ess_fraction"].value < 0.3
    assert gate_reasons("model", honest) == []


def test_low_ess_is_a_floor():
    cell = model_cell(boltzmann(0.0), 5, n=2_000)
    assert cell["ess_fraction"].value < 10 / 2_000
    assert "too small to measure" in cell["ess_fraction"].reason
    assert any("below 10/n" in reason for reason in gate_reasons("model", cell))


def chain_cell(beta, seed, n=6_250, n_chains=8):
    rng = np.random.default_rng(seed)
    i = draw(boltzmann(beta), n * n_chains, rng).reshape(n, n_chains)
    return chain_quantities(
        energy=ENERGY[i],
        magnetisation=MAGNETISATION[i],
        cluster_size=MAGNETISATION[i] ** 2 / N,
        beta=BETA,
        n_sites=N,
        exact={name: EXACT[name] for name in ("log_z_per_site", "free_energy", "energy", "specific_heat", "entropy")},
    )


def test_chain_at_the_right_and_at_a_wrong_temperature(covers):
    """Power: sd(E) = 8.1, so 2 % in beta is 0.56 in E and 15 errors of 50 000 independent draws."""
    scores = {
        name: [] for name in ("energy", "abs_magnetisation", "specific_heat", "susceptibility", "binder_cumulant")
    }
    for seed in range(60):
        cell = chain_cell(BETA, seed)
        assert gate_reasons("sampler", cell) == []
        for name, values in scores.items():
            values.append((cell[name].value - EXACT[name]) / cell[name].error)
    for name, values in scores.items():
        assert np.abs(values).max() < 5, name
        assert covers(values), name
    wrong = gate_reasons("sampler", chain_cell(1.02 * BETA, 0))
    assert len(wrong) == 1
    assert wrong[0].startswith("energy is -")


def test_weighted_draws_know_what_models_know():
    rng = np.random.default_rng(8)
    log_q = boltzmann(0.40)
    i = draw(log_q, 20_000, rng)
    series = {"energy": ENERGY[i], "magnetisation": MAGNETISATION[i], "beta": BETA, "n_sites": N, "exact": EXACT}
    found = weighted_quantities(log_weight=-BETA * ENERGY[i] - log_q[i], normalised=True, **series)
    assert gate_reasons("sampler", found) == []
    for name, value in known(0.40).items():
        if name in found:
            assert abs(found[name].value - value) < 5 * found[name].error, name
    shifted = weighted_quantities(log_weight=-BETA * ENERGY[i] - log_q[i] + 3.0, normalised=False, **series)
    assert gate_reasons("sampler", shifted) == []
    assert shifted["log_z_per_site"].value is None
    assert shifted["energy"].value == pytest.approx(found["energy"].value, rel=1e-12)
    claimed = weighted_quantities(log_weight=-BETA * ENERGY[i] - log_q[i] + 3.0, normalised=True, **series)
    assert any("log_z_per_site" in reason for reason in gate_reasons("sampler", claimed))


@pytest.mark.parametrize(
    ("value", "limit", "spec", "text"),
    [
        (0.85, 0.7, ".2f", "0.85"),
        (0.7003, 0.7, ".2f", "0.7003"),
        (5.02, 5.0, "+.1f", "+5.02"),
        (-5.0004, -5.0, "+.1f", "-5.0004"),
        (4.996e-4, 5e-4, ".2g", "0.0004996"),
        (9.999e-7, 1e-6, ".2g", "9.999e-07"),
        (math.inf, 0.3, ".2f", "inf"),
        (0.7, 0.7, ".2f", "0.70"),  # not beyond it: the plain text
    ],
)
def test_a_value_beyond_its_limit_does_not_read_as_the_limit(value, limit, spec, text):
    assert beyond(value, limit, spec) == text


def test_the_reason_of_a_tail_just_beyond_its_limit_has_more_digits():
    found = model_cell(boltzmann(0.42), seed=1) | {"pareto_k": Estimate(0.70041, 0.01)}
    (reason,) = [each for each in gate_reasons("model", found) if "pareto_k" in each]
    assert reason.startswith("pareto_k = 0.7004 exceeds 0.7:")
