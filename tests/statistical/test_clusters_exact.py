"""`wolff` and `swendsen-wang` on frustrated, free and magnetic targets against exact values, within 4 errors.

Power: every check asserts that the effective sample size of the energy is large enough to see P_add 2 % too large with
6 standard errors on average. Such a sampler samples another temperature: 2 % of P_add shift beta by
0.02 P_add / (2 (1 - P_add)), and the energy by this times Var(E). The negative controls must fail the same check.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch

from nisbench.api import ChainDraws, ChainSampler
from nisbench.physics import enumeration
from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.ising import Ising
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import EdwardsAndersonOptions, IsingOptions
from nisbench.physics.pairwise import PairwiseTarget
from nisbench.statistics.autocorrelation import gamma_method
from nisbench.statistics.estimate import chain_observables
from nisbench_plugins.clusters import BondTables
from nisbench_plugins.label_propagation import LabelPropagation
from nisbench_plugins.registration import SwendsenWangOptions, WolffOptions
from nisbench_plugins.swendsen_wang import SwendsenWang
from nisbench_plugins.wolff import Wolff

LIMIT = 4.0
POWER = 6.0


def random_field(L):
    """Couplings and fields of both signs."""
    rng = np.random.default_rng(L)
    right, down = rng.choice([-1.0, 1.0], (2, L, L))
    target = PairwiseTarget(square_lattice(L, right=right, down=down, field=0.4 * rng.normal(size=(L, L))))
    target.name = "random field"
    return target


TARGETS = {
    "torus": Ising,
    "free": lambda L: Ising(L, IsingOptions(boundary="free")),
    "pm1": EdwardsAnderson,
    "pm1 torus": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(boundary="torus")),
    "gaussian": lambda L: EdwardsAnderson(L, EdwardsAndersonOptions(disorder="gaussian")),
    "villain": Villain,
    "field": lambda L: Ising(L, IsingOptions(field=0.1)),
    "random field": random_field,
}
WITHOUT_FIELD = [name for name in TARGETS if "field" not in name]


class InTorch(ChainSampler):
    """The form of `swendsen-wang` for GPUs, on the CPU."""

    def prepare(self, *, beta, generator):
        self.chains = LabelPropagation(self.target, beta, self.options.n_chains, generator.device)
        for _ in range(self.options.burn_in_sweeps):
            self.chains.update(generator)

    def draw(self, n, *, generator):
        return ChainDraws(self.chains.draw(n, 1, generator))


def exact_values(target, beta):
    """Energy and specific heat per site: by enumeration up to L = 4, else by the Kac-Ward determinant."""
    if target.L > 4:
        return {name: target.exact(beta)[name] for name in ("energy", "specific_heat")}
    _, energy, variance = enumeration.lattice_values(enumeration.lattice_energies(target.lattice), beta)
    return {"energy": energy / target.n_sites, "specific_heat": beta**2 * variance / target.n_sites}


def scores(plugin, options, target, beta, n, seed=1):
    """Deviations of energy and specific heat from the exact values, in standard errors."""
    generator = torch.Generator().manual_seed(seed)
    sampler = plugin(target, options)
    sampler.prepare(beta=beta, generator=generator)
    series = sampler.draw_series(n, generator=generator)
    exact = exact_values(target, beta)
    found = chain_observables(series.energy, series.magnetisation, beta=beta, n_sites=target.n_sites, exact=exact)
    strength = np.abs(target.lattice.bonds.coupling).mean()
    p_add = -math.expm1(-2 * beta * strength)
    relative = 0.02 * p_add / (2 * (1 - p_add)) / (beta * strength)
    needed = (POWER / relative) ** 2 / (exact["specific_heat"] * target.n_sites)
    ess = gamma_method(series.energy).ess
    assert ess > needed, f"ESS {ess:.0f}; 2 % of P_add are seen with {needed:.0f}"
    return {name: found[name].z for name in exact}


def is_exact(*arguments, **given):
    return all(abs(z) < LIMIT for z in scores(*arguments, **given).values())


def changed_tables(monkeypatch, change):
    """Let the samplers read tables that are not those of their target."""
    right = BondTables.build
    monkeypatch.setattr(BondTables, "build", lambda *arguments: change(right(*arguments)))


def more_often(tables):
    return dataclasses.replace(tables, thresholds=np.uint64(1.02 * tables.thresholds))


def without_signs(tables):
    return dataclasses.replace(tables, codes=tables.codes & np.uint8(0b10101010))


@pytest.mark.parametrize("beta", [0.3, 0.6])
@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("target", TARGETS)
def test_swendsen_wang_is_exact(target, size, beta):
    assert is_exact(SwendsenWang, SwendsenWangOptions(), TARGETS[target](size), beta, 25_000)


@pytest.mark.parametrize("beta", [0.3, 0.6])
@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("target", WITHOUT_FIELD)
def test_wolff_is_exact(target, size, beta):
    assert is_exact(Wolff, WolffOptions(flips_per_draw=3), TARGETS[target](size), beta, 25_000)


@pytest.mark.parametrize("target", ["torus", "pm1", "gaussian", "random field"])
def test_swendsen_wang_in_torch_is_exact(target):
    options = SwendsenWangOptions(n_chains=400, burn_in_sweeps=50)
    assert is_exact(InTorch, options, TARGETS[target](3), 0.5, 300)


@pytest.mark.parametrize(("target", "beta"), [("free", 0.44), ("pm1", 0.5), ("gaussian", 0.4), ("villain", 0.5)])
def test_larger_lattices_agree_with_the_kac_ward_determinant(target, beta):
    assert is_exact(SwendsenWang, SwendsenWangOptions(), TARGETS[target](16), beta, 1500)
    assert is_exact(Wolff, WolffOptions(flips_per_draw=8), TARGETS[target](16), beta, 1500)


@pytest.mark.parametrize("target", ["free", "pm1"])
@pytest.mark.parametrize(
    ("plugin", "options"), [(SwendsenWang, SwendsenWangOptions()), (Wolff, WolffOptions(flips_per_draw=3))]
)
def test_bonds_kept_too_often_are_seen(plugin, options, target, monkeypatch):
    changed_tables(monkeypatch, more_often)
    assert not is_exact(plugin, options, TARGETS[target](4), 0.6, 25_000)


@pytest.mark.parametrize("target", ["pm1", "villain"])
@pytest.mark.parametrize(
    ("plugin", "options"), [(SwendsenWang, SwendsenWangOptions()), (Wolff, WolffOptions(flips_per_draw=3))]
)
def test_clusters_that_ignore_the_sign_of_the_couplings_are_seen(plugin, options, target, monkeypatch):
    changed_tables(monkeypatch, lambda tables: dataclasses.replace(without_signs(tables), counts_energy=False))
    assert not is_exact(plugin, options, TARGETS[target](4), 0.6, 25_000)


def test_clusters_that_ignore_the_field_are_seen(monkeypatch):
    target = TARGETS["random field"](4)
    right = SwendsenWang._start

    def start(self, *arguments):
        return dataclasses.replace(right(self, *arguments), field=np.empty(0))

    monkeypatch.setattr(SwendsenWang, "_start", start)
    assert not is_exact(SwendsenWang, SwendsenWangOptions(), target, 0.6, 25_000)
