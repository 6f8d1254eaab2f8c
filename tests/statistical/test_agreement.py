"""Samplers without training against exact values: a few places by default, all of them as a slow test."""

from dataclasses import replace

import pytest

from benchmarks import agreement
from benchmarks.agreement import Place, agreements, exact, places, table
from nisbench.physics.enumeration import lattice_energies, lattice_values
from nisbench.physics.glasses import EdwardsAnderson
from nisbench.physics.ising import Ising
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions

QUICK = (
    Place("ising", (), 8, 0.4406867935097715),
    Place("edwards-anderson", (("disorder", "pm1"),), 8, 0.5),
    Place("edwards-anderson", (("disorder", "gaussian"), ("boundary", "torus")), 8, 0.5),
)
QUICK_SAMPLERS = ("wolff", "swendsen-wang", "metropolis", "boundary-mps")


@pytest.mark.parametrize(
    "target",
    [
        Ising(4, IsingOptions("torus", 0.1)),
        Ising(4, IsingOptions("free", 0.1)),
        EdwardsAnderson(4, EdwardsAndersonOptions("gaussian", "torus")),
        EdwardsAnderson(4, EdwardsAndersonOptions("pm1", "free")),
    ],
)
def test_exact_energy_and_specific_heat_against_enumeration(target):
    _, mean, variance = lattice_values(lattice_energies(target.lattice), 0.7)
    found = exact(target, 0.7)
    assert found["energy"] == pytest.approx(mean / 16, abs=1e-7)
    assert found["specific_heat"] == pytest.approx(0.49 * variance / 16, abs=1e-6)


def test_samplers_agree_at_a_few_places():
    # error of the energy about 0.3 %; at the wrong beta below, the difference is more than ten errors
    found = list(agreements(QUICK, seeds=(1, 2), share=0.6, only=QUICK_SAMPLERS))
    assert len(found) == 4 + 4 + 4
    assert all(one.agrees for one in found), [(str(one.place), one.sampler, one.z, one.doubt) for one in found]
    page = table(found, "the command")
    assert page.count("| `") == 3
    assert "0 of 12 disagree; 0 more did not pass a gate" in page


def test_a_sampler_at_another_temperature_disagrees(monkeypatch):
    wrong = exact(Ising(8), 0.43)
    monkeypatch.setattr(agreement, "_cached_exact", lambda target, beta: wrong)
    (one,) = agreements(QUICK[:1], seeds=(1, 2), share=0.6, only=("wolff",))
    assert not one.agrees
    assert not one.doubt
    assert abs(one.z["energy"]) > 6
    assert "**" in table([one], "the command")
    assert not replace(one, doubt="a gate", z={}).agrees


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_sampler_agrees_everywhere():
    found = list(agreements(list(places((8,)))))
    wrong = [one for one in found if not one.doubt and not one.agrees]
    assert not wrong, [(str(one.place), one.place.beta, one.sampler, one.z) for one in wrong]
