"""The choice of the reference sampler, and configurations of p from a density."""

import itertools

import numpy as np
import pytest
import torch
from fakes.densities import OpenRows

from nisbench.contract.catalog import load_catalog
from nisbench.errors import InvalidValue
from nisbench.harness.build import UnavailableError
from nisbench.harness.plan import Overrides
from nisbench.harness.plan_targets import PlannedTarget
from nisbench.harness.planner import load_plan
from nisbench.harness.reference_choice import choose_reference
from nisbench.harness.references import collect_metropolis
from nisbench.physics.enumeration import exact_values
from nisbench.physics.ising import Ising

CATALOG = load_catalog()
BOUNDARIES = ("free", "torus")
TARGETS = (
    *(("ising", {"boundary": boundary, "field": field}) for boundary in BOUNDARIES for field in (0.0, 0.1)),
    *(
        ("edwards-anderson", {"boundary": boundary, "disorder": disorder})
        for boundary, disorder in itertools.product(BOUNDARIES, ("pm1", "gaussian"))
    ),
    *(("villain", {"boundary": boundary}) for boundary in BOUNDARIES),
)


def _chosen(name, given):
    options = CATALOG.target(name).fill(given)
    return choose_reference("the plan", PlannedTarget(name, options, "1"), CATALOG)


@pytest.mark.parametrize(("name", "given"), TARGETS)
def test_the_chosen_sampler_supports_the_target(name, given):
    entry = _chosen(name, given)
    for L in (4, 8):
        target = CATALOG.target(name).build(L, CATALOG.target(name).fill(given))
        assert entry.load().unsupported(target, entry.options()) is None


def test_the_first_in_rank_that_suits():
    assert _chosen("ising", {}).name == "wolff"
    assert _chosen("ising", {"boundary": "free"}).name == "boundary-mps"
    assert _chosen("edwards-anderson", {}).name == "boundary-mps"
    assert _chosen("couplings", {}).name == "boundary-mps"


def test_a_target_without_traits_needs_a_named_reference(tmp_path):
    # wherever nothing suits, a silent p side would be worse than a question
    bare = CATALOG.__class__(CATALOG.plugins, {"ising": CATALOG.targets["ising"].__class__("ising", "x:y")})
    with pytest.raises(InvalidValue, match=r"no sampler offers itself .* 'ising', which has no traits; give reference"):
        choose_reference("the plan", PlannedTarget("ising", {}, "1"), bare)
    file = tmp_path / "p.toml"
    file.write_text('name = "p"\n[[group]]\nplugins = ["van"]\nsizes = [4]\nbeta = 0.3\ntrain_steps = 1\ndraws = 9\n')
    plan = load_plan(str(file), Overrides(reference="boundary-mps"), CATALOG)
    assert [(c.plugin, c.kind, c.reference_draws) for c in plan.cells if c.reference_draws] == [
        ("boundary-mps", "density", 2000)
    ]
    with pytest.raises(InvalidValue, match="reference 'hier' is a model that trains"):
        load_plan(str(file), Overrides(reference="hier"), CATALOG)
    assert not any(c.reference for c in load_plan(str(file), Overrides(reference="none"), CATALOG).cells)


def _energies(n, tau_int, seed):
    target = Ising(3)
    density = OpenRows(target, None)
    density.prepare(beta=0.3, generator=torch.Generator())
    generator = torch.Generator().manual_seed(seed)
    reference = collect_metropolis(density, n, tau_int=tau_int, beta=0.3, seed=0, generator=generator)
    assert reference.spins.shape == (n, 3, 3)
    proposals = density.sample(n, beta=0.3, generator=generator).spins
    return (target.energy(torch.from_numpy(reference.spins)).numpy(), target.energy(proposals).numpy())


def test_states_of_independence_metropolis_are_configurations_of_p():
    # q leaves out the vertical bonds: its ESS is 0.4, its energy 40 errors from exact
    energy, proposed = _energies(4000, 4.0, 1)
    exact, error = 9 * exact_values(3, 0.3)["energy"], energy.std() / np.sqrt(4000)
    assert abs(energy.mean() - exact) < 4.5 * error, (energy.mean(), exact, error)
    assert abs(proposed.mean() - exact) > 20 * error  # the negative control: the proposals themselves
    again, _ = _energies(4000, 4.0, 1)
    assert (again == energy).all()


def test_a_target_that_does_not_exist_is_not_chosen_for():
    entry = CATALOG.target("villain")
    with pytest.raises((UnavailableError, InvalidValue)):
        entry.build(5, entry.fill({"boundary": "torus"}))
