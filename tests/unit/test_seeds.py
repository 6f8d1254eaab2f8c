"""seed_for: one stream for each role of each cell, the same everywhere."""

from dataclasses import replace

from nisbench.contract.records import Cell
from nisbench.harness.seeds import seed_for

CELL = Cell("p", "sampler", "1", {"a": 1}, "ising", 4, 0.44, 1, 10)


def test_seeds_are_stable_and_differ_by_cell_and_role():
    # a pinned value: a change of it makes every stored result irreproducible
    assert seed_for(CELL, "draw") == seed_for(CELL, "draw") == 5784662465236270775
    cells = [CELL, replace(CELL, seed=2), replace(CELL, L=8), replace(CELL, options={"a": 2})]
    seeds = {seed_for(cell, role) for cell in cells for role in ("init", "draw", "train/1", "train/11")}
    assert len(seeds) == 16
    assert all(0 <= seed < 2**63 for seed in seeds)
