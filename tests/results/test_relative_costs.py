"""Costs relative to the cluster sampler of the same machine."""

import math
from pathlib import Path

import pytest
from fakes.verdicts import Made, made_store

from nisbench.contract.records import Status
from nisbench.results.cells import load
from nisbench.results.groups import grouped
from nisbench.results.relative_costs import RelativeCost, relative_costs


def ratios(path: Path, *cells: Made) -> dict[tuple[str, int], RelativeCost]:
    found = load([made_store(path, *cells)])
    return {(one.group.label, one.group.L): one for one in relative_costs(found, grouped(found.contest))}


def test_ratio_error_and_band(tmp_path: Path):
    cells = (Made("wolff", 8, cost=4e-6, error=1e-6), Made("hier", 8, ess=0.5, cost=2e-6, error=1e-7, train_s=9.0))
    [one] = ratios(tmp_path / "run", *cells).values()
    assert one.base.label == "wolff"
    assert one.ratio.value == pytest.approx(0.5)
    # 10 % is the assumed spread between processes
    assert one.ratio.error == pytest.approx(0.5 * math.hypot(0.05, 0.1))
    assert one.band == pytest.approx(2 * math.hypot(0.25, 0.1))  # two errors of 1 us of 4 us
    precise = (Made("wolff", 8, cost=4e-6, error=1e-8), Made("hier", 8, ess=0.5, cost=2e-6, train_s=9.0))
    [one] = ratios(tmp_path / "precise", *precise).values()
    assert one.ratio.error == pytest.approx(0.5 * 0.1)
    assert one.band == pytest.approx(0.2, abs=1e-4)


def test_untrusted_cells_and_other_machines_have_no_ratio(tmp_path: Path):
    wolff = Made("wolff", 8, cost=4e-6)
    away = Made("hier", 8, ess=0.5, train_s=9.0, machine="Another CPU")
    bad = Made("van", 8, ess=0.5, train_s=9.0, status=Status.UNTRUSTED)
    assert ratios(tmp_path / "run", wolff, away, bad) == {}
    assert ratios(tmp_path / "none", Made("hier", 8, ess=0.5, train_s=9.0)) == {}
