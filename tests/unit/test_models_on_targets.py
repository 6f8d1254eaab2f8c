"""Models on targets other than the Ising torus: `van` samples each of them, the hierarchical networks give a reason."""

import pytest
import torch

from nisbench.contract.catalog import load_catalog
from nisbench.physics.enumeration import all_spins

CATALOG = load_catalog()
TARGETS = (
    ("ising", {"boundary": "free"}),
    ("ising", {"field": 0.2}),
    ("edwards-anderson", {}),
    ("edwards-anderson", {"disorder": "gaussian", "boundary": "torus"}),
    ("villain", {}),
    ("villain", {"boundary": "torus"}),
)
REASONS = {"free": "has free edges", "field": "has a field", "torus": "has other couplings"}


def _target(name, given, L):
    entry = CATALOG.target(name)
    return entry.build(L, entry.fill(given))


@pytest.mark.parametrize(("name", "given"), TARGETS)
def test_van_is_normalised_and_as_symmetric_as_the_target(name, given):
    entry, target = CATALOG.plugin("van"), _target(name, given, 4)
    assert entry.load().unsupported(target, entry.options()) is None
    torch.manual_seed(1)
    model = entry.load()(target, entry.options())
    with torch.no_grad():
        states = torch.from_numpy(all_spins(4))
        log_prob = model.log_prob(states, beta=0.5)
        assert torch.logsumexp(log_prob, 0).item() == pytest.approx(0.0, abs=1e-6)
        assert (
            torch.allclose(log_prob, log_prob.flip(0)) is target.z2
        )  # state 2^N - 1 - k is state k with all spins flipped
        draws = model.sample(64, beta=0.5, generator=torch.Generator().manual_seed(2))
    signal = draws.log_prob + 0.5 * target.energy(draws.spins)
    assert torch.isfinite(signal).all()


@pytest.mark.parametrize("plugin", ["hier", "hier-exact"])
@pytest.mark.parametrize(("name", "given"), TARGETS)
def test_hierarchical_networks_say_why_they_refuse(plugin, name, given):
    entry, target = CATALOG.plugin(plugin), _target(name, given, 8)
    found = "field" if "field" in given else target.lattice.boundary
    assert entry.load().unsupported(target, entry.options()) == (
        f"{plugin} needs couplings J = 1 on the torus without a field; the target '{name}' {REASONS[found]}"
    )
