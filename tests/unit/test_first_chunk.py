"""The contract on the first draws of a run, and the catalogue of known faults with one seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nisbench.contract.catalog import load_catalog
from nisbench.contract.records import Cell, ReferenceState, Status
from nisbench.harness.first_chunk import FirstDraws, configuration_hash
from nisbench.harness.plan import Plan
from nisbench.harness.store import Store
from nisbench.harness.worker import run_cell
from tests.faults.cases import FAULTY, HONEST, Case
from tests.faults.outcomes import outcome
from tests.faults.page import named

QUICK = (
    *("Pairs", "ShuffledPairs", "SameSeed", "OwnGenerator", "WeightedShuffledPairs", "ShiftedLogProb", "ZeroOne"),
    *("DoubledBondSeries", "OneModeOfTwo", "WithoutStates", "HeavyTail", "NaNWeights", "MoreDrawsThanMade"),
)


def case(name: str) -> Case:
    return next(one for one in (*FAULTY, *HONEST) if one.name == name and not one.check)


@pytest.mark.parametrize("name", QUICK)
def test_a_run_names_the_fault(name: str) -> None:
    found = [outcome(case(name), 1)]
    assert named(case(name), found) == 1, found


@pytest.mark.parametrize("name", ["Boltzmann", "Exact", "Weighted", "WholeClusters"])
def test_an_honest_sampler_is_not_accused(name: str) -> None:
    assert outcome(case(name), 2) == ""


@pytest.mark.slow
@pytest.mark.parametrize("one", [*FAULTY, *HONEST], ids=lambda one: f"{one.name}-{one.check}-L{one.L}")
def test_every_case_of_the_catalogue(one: Case) -> None:
    found = [outcome(one, seed) for seed in range(1, 21)]
    assert named(one, found) == (0 if one.honest else 20), found


def test_hashes_are_those_of_the_spins() -> None:
    spins = 2 * torch.randint(2, (500, 5, 5), generator=torch.Generator().manual_seed(1), dtype=torch.int8) - 1
    found = configuration_hash(spins)
    assert len(np.unique(found)) == 500
    again = spins.permute(1, 2, 0).contiguous().permute(2, 0, 1)  # the same spins in another order of the memory
    assert np.array_equal(configuration_hash(again), found)
    spins[7, 2, 2] *= -1
    assert np.flatnonzero(configuration_hash(spins) != found).tolist() == [7]


def test_a_cold_reference_is_left(tmp_path: Path) -> None:
    """At beta = 2 all draws of Wolff have one energy; its configurations are those of p all the same."""
    catalog = load_catalog()
    wolff = catalog.plugins["wolff"]
    cell = Cell("wolff", "sampler", wolff.version, wolff.fill({}), "ising", 4, 2.0, 1, 2000, reference_draws=100)
    cell = replace(cell, device="cpu", target_options=dict(catalog.targets["ising"].fill({})))
    store = Store.create(tmp_path / "run", Plan("p", "t", "d", groups=(), cells=(cell,)), {})
    result = run_cell(store, cell, catalog)
    assert (result.status, result.reference) == (Status.OK, ReferenceState.LEFT)
    store.files(cell.cell_id).write_result(result)
    reference = store.reference(cell.cell_id)
    assert reference is not None
    assert abs(int(reference.spins.sum())) < 16 * 100 / 2


def test_first_draws_are_bounded() -> None:
    first = FirstDraws()
    for _ in range(3):
        first.add(torch.ones(64, 256, 256, dtype=torch.int8), torch.zeros(64))
    assert first.spins is not None
    assert first.spins.numel() <= 2**20
    assert first.configuration.shape == (192,)
