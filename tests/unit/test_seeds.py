"""seed_for: one stream for each role of each cell, the same everywhere."""

from dataclasses import replace

from nisbench.contract.records import Budget, Cell
from nisbench.harness.seeds import seed_for

CELL = Cell("p", "sampler", "1", {"a": 1}, "ising", 4, 0.44, 1, 10)


def test_seeds_are_stable_and_differ_by_cell_and_role():
    # a pinned value: a change of it makes every stored result irreproducible
    assert seed_for(CELL, "draw") == seed_for(CELL, "draw") == 6242065466103556985
    cells = [CELL, replace(CELL, seed=2), replace(CELL, L=8), replace(CELL, options={"a": 2})]
    seeds = {seed_for(cell, role) for cell in cells for role in ("init", "draw", "train/1", "train/11")}
    assert len(seeds) == 16
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_versions_budgets_and_draws_do_not_choose_the_streams():
    changed = [
        replace(CELL, plugin_version="2"),
        replace(CELL, protocol_version=99),
        replace(CELL, draws=20),
        replace(CELL, budget=Budget(steps=3)),
        replace(CELL, reference="r"),
    ]
    assert {seed_for(cell, "draw") for cell in changed} == {seed_for(CELL, "draw")}
    assert len({cell.cell_id for cell in changed}) == len(changed)


def test_a_reference_cell_has_streams_of_its_own():
    assert seed_for(replace(CELL, reference_draws=5), "draw") != seed_for(CELL, "draw")
