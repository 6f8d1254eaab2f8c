"""The error of a time contains the spread between repeats and the load of the machine."""

import math
from dataclasses import replace

import numpy as np
import pytest

from nisbench.contract.records import Cell, CellResult, Estimate, Hardware, Status
from nisbench.contract.timing import PhaseTiming, Timing
from nisbench.harness.cost import draw_costs, drift_error
from nisbench.results.costs import differ, factor_text
from nisbench.results.timing_errors import BUSY_ERROR, busy_reason, with_timing_errors

CELL = Cell("wolff", "sampler", "1", {}, "ising", 8, 0.44, 1, 1000)
QUIET = Timing(0.1, 4, phases={"draw": PhaseTiming(1.0, 1.0)})


def result(cell, seconds, timing=None, machine="CPU", error=None):
    quantities = {"draw_s_per_1000": Estimate(seconds, error), "train_s": Estimate.missing("none")}
    return CellResult(cell.cell_id, Status.OK, None, quantities, Hardware(machine, 1, "2"), timing=timing)


def errors(*pairs):
    found = with_timing_errors(pairs)
    return [found[cell.cell_id].quantities["draw_s_per_1000"] for cell, _ in pairs]


def test_one_cell_has_the_assumed_spread():
    (found,) = errors((CELL, result(CELL, 2.0, error=0.1)))
    assert found.error == pytest.approx(math.hypot(0.1, 0.1 * 2.0))


def test_seeds_and_the_reference_are_repeats():
    cells = [CELL, replace(CELL, seed=2), replace(CELL, seed=0, draws=20000, reference_draws=500)]
    seconds = [1.0, 1.1, 1.5]
    found = errors(*((cell, result(cell, s)) for cell, s in zip(cells, seconds, strict=True)))
    squares = np.sum((np.array(seconds) / 1.2 - 1) ** 2)
    spread = math.sqrt((squares + 2 * 0.1**2) / (2 + 2))
    assert [each.error / each.value for each in found] == pytest.approx([spread] * 3)


def test_other_sizes_options_and_machines_are_no_repeats_but_a_machine_is_pooled():
    other = replace(CELL, L=16)
    pairs = [(CELL, result(CELL, 1.0)), (replace(CELL, seed=2), result(replace(CELL, seed=2), 1.4))]
    pairs += [(other, result(other, 9.0)), (replace(other, seed=2), result(replace(other, seed=2), 9.0, machine="B"))]
    found = errors(*pairs)
    spread = math.sqrt((2 * (0.4 / 2.4) ** 2 + 2 * 0.1**2) / 3)
    assert found[2].error / 9.0 == pytest.approx(spread)  # of the pair at L = 8
    assert found[3].error / 9.0 == pytest.approx(0.1)  # alone on its machine


def test_many_repeats_outweigh_the_assumption():
    cells = [replace(CELL, seed=seed) for seed in range(400)]
    rng = np.random.default_rng(1)
    found = errors(*((cell, result(cell, float(rng.normal(1, 0.02)))) for cell in cells))
    assert found[0].error == pytest.approx(0.02, rel=0.15)


def test_a_busy_time_is_marked_and_is_no_repeat():
    busy = replace(QUIET, others=2.0)
    again = replace(CELL, seed=2)
    pairs = [(CELL, result(CELL, 1.0, QUIET)), (again, result(again, 3.0, busy))]
    quiet, loaded = errors(*pairs)
    assert quiet.error == pytest.approx(0.1)
    assert loaded.error == pytest.approx(3.0 * math.hypot(0.1, BUSY_ERROR))
    assert busy_reason(pairs[1][1]) == "other processes took 2.0 of 4 cores"
    assert busy_reason(pairs[0][1]) == busy_reason(result(CELL, 1.0)) == ""
    stopped = replace(QUIET, phases={"draw": PhaseTiming(10.0, 1.0, stopped_s=9.0)})
    (lost,) = errors((CELL, result(CELL, 10.0, stopped)))
    assert lost.error == pytest.approx(10.0 * math.hypot(0.1, 0.9))


def test_the_same_cell_on_a_quiet_and_on_a_loaded_machine_is_not_called_different():
    """5.06e-7 and 8.45e-7 s have been measured for one cell."""
    (quiet,) = errors((CELL, result(CELL, 5.06e-7, QUIET)))
    (loaded,) = errors((CELL, result(CELL, 8.45e-7, replace(QUIET, others=2.0))))
    assert not differ(quiet, loaded)
    assert differ(quiet, replace(quiet, value=3 * 5.06e-7))  # a threefold cost is still seen


def test_a_slow_drift_is_in_the_error_and_a_constant_speed_is_not():
    rng = np.random.default_rng(2)
    drift = np.linspace(1.0, 1.4, 64)
    noise = 0.01 * rng.standard_normal(64)
    simple = float(np.std(drift + noise, ddof=1)) / 8
    assert drift_error(list(drift + noise)) > 5 * simple  # half the difference of the two halves
    assert drift_error(list(drift + noise)) == pytest.approx(0.1, rel=0.1)
    steady = [drift_error(list(1 + 0.01 * rng.standard_normal(64))) for _ in range(200)]
    assert 1.0 <= np.mean(steady) / (0.01 / 8) < 2.0
    assert drift_error([1.0]) is drift_error([]) is None


def test_one_slow_chunk_changes_the_error_and_not_the_cost():
    costs, _ = draw_costs(20.0, 800, [0.01] * 7 + [0.13], {"ess_fraction": Estimate(1.0)})
    assert costs["draw_s_per_1000"].value == pytest.approx(10.0)
    assert costs["draw_s_per_1000"].error > 10.0
    assert costs["draw_s"].value == 20.0  # the time that passed


def test_a_factor_has_its_range():
    assert factor_text(Estimate(1.8, 0.09), Estimate(1.0, 0.08)) == "1.8 (1.5 to 2.2)"
    assert factor_text(Estimate(3.0, 0.01), Estimate(1.0)) == "3"
    assert factor_text(Estimate.missing("x"), Estimate(1.0)) == ""
    assert factor_text(Estimate(math.inf), Estimate(1.0)) == ""
