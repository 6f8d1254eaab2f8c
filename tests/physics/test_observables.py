"""Observables of means against direct sums and finite differences."""

import numpy as np
import pytest

from nisbench.physics import enumeration
from nisbench.physics.observables import OBSERVABLES, gradients, moments, observables


def test_formulas():
    energy, magnetisation = np.array([-32.0, -8.0, 0.0, -16.0]), np.array([16.0, -4.0, 2.0, -10.0])
    values = observables(moments(energy, magnetisation, 16).mean(axis=1), beta=0.4, n_sites=16)
    m = magnetisation / 16
    assert tuple(values) == OBSERVABLES
    assert values["energy"] == pytest.approx(energy.mean() / 16)
    assert values["abs_magnetisation"] == pytest.approx(np.abs(m).mean())
    assert values["specific_heat"] == pytest.approx(0.4**2 * energy.var() / 16)
    assert values["susceptibility"] == pytest.approx(0.4 * 16 * np.abs(m).var())
    assert values["binder_cumulant"] == pytest.approx(1 - (m**4).mean() / (3 * (m**2).mean() ** 2))


@pytest.mark.parametrize("beta", [0.0, 0.44])
def test_gradients(beta):
    rng = np.random.default_rng(3)
    means = moments(rng.integers(-32, 0, 50), rng.integers(-16, 17, 50), 16).mean(axis=1)
    for name, gradient in gradients(means, beta=beta, n_sites=16).items():
        for k in range(5):
            step = np.zeros(5)
            step[k] = 1e-6
            up, down = (observables(means + sign * step, beta=beta, n_sites=16)[name] for sign in (1, -1))
            assert gradient[k] == pytest.approx((up - down) / 2e-6, rel=1e-7, abs=1e-7), (name, k)


def test_ordered_and_disordered_limits():
    cold = enumeration.exact_values(4, 3.0)
    assert cold["abs_magnetisation"] == pytest.approx(1, abs=1e-9)
    assert cold["binder_cumulant"] == pytest.approx(2 / 3, abs=1e-9)
    hot = enumeration.exact_values(4, 0.0)
    assert hot["binder_cumulant"] == pytest.approx(2 / (3 * 16), rel=1e-12)  # <m^4> = (3 - 2/N)/N^2 of free spins
    assert hot["susceptibility"] == 0


def test_binder_without_magnetisation():
    means = moments(np.array([-4.0, 0.0]), np.zeros(2), 16).mean(axis=1)
    assert "binder_cumulant" not in observables(means, beta=0.4, n_sites=16)
    assert "binder_cumulant" not in gradients(means, beta=0.4, n_sites=16)


def test_enumeration_takes_any_energy():
    free = enumeration.exact_values(3, 0.7, energy=lambda spins: np.zeros(len(spins)))
    assert free["log_z_per_site"] == pytest.approx(np.log(2), rel=1e-14)
    with pytest.raises(ValueError, match="L = 5"):
        enumeration.all_spins(5)
    assert len({spins.tobytes() for spins in enumeration.all_spins(3)}) == 2**9
