"""draw_costs: seconds for one effectively independent draw, by the cheaper of the ways a sampler has."""

import math

import pytest
import torch

from nisbench.contract.records import Estimate
from nisbench.harness.clock import Clock, Phase
from nisbench.harness.cost import draw_costs, matmul_rate, phase_memory

TAU = {"tau_int_energy": Estimate(3.0, 0.3), "tau_int_abs_magnetisation": Estimate(2.0, 0.1)}


def test_the_cheaper_way_counts_and_is_named():
    costs, basis = draw_costs(10.0, 1000, [], TAU)
    assert basis == "tau_int"
    assert costs["s_per_effective_sample"].value == pytest.approx(0.01 * 6)
    assert costs["s_per_effective_sample"].error == pytest.approx(0.01 * 6 * 0.1)
    costs, basis = draw_costs(10.0, 1000, [], TAU | {"ess_fraction": Estimate(0.5, 0.05)})
    assert basis == "ess_fraction"
    assert costs["s_per_effective_sample"].value == pytest.approx(0.02)
    assert costs["draw_s_per_1000"].value == pytest.approx(10.0)


def test_the_side_that_sees_what_is_missed_sets_the_price():
    both = {"ess_fraction": Estimate(0.5, 0.05), "ess_fraction_p": Estimate(0.1, 0.01)}
    costs, basis = draw_costs(10.0, 1000, [], both)
    assert basis == "ess_fraction_p"
    assert costs["s_per_effective_sample"].value == pytest.approx(0.1)
    within = both | {"ess_fraction_p": Estimate(0.4, 0.05)}
    assert draw_costs(10.0, 1000, [], within)[1] == "ess_fraction"


def test_the_error_holds_the_spread_of_the_chunks():
    costs, _ = draw_costs(1.0, 100, [0.009, 0.011], {"ess_fraction": Estimate(1.0, 0.0)})
    assert costs["draw_s_per_1000"].error == pytest.approx(1000 * 0.001)
    assert costs["s_per_effective_sample"].error == pytest.approx(0.001)


def test_what_is_not_known_or_not_finite_is_no_cost():
    for quantities in (
        {},
        {"ess_fraction": Estimate(0.0)},
        {"ess_fraction": Estimate.missing("x")},
        {"tau_int_energy": Estimate(1.0), "tau_int_abs_magnetisation": Estimate(math.inf, math.inf)},
    ):
        costs, basis = draw_costs(1.0, 100, [], quantities)
        assert basis is None
        assert costs["s_per_effective_sample"].value is None
        assert costs["s_per_effective_sample"].reason
        assert costs["draw_s"].value == 1.0


def test_memory_of_each_phase_or_the_reason():
    found = phase_memory({"train": Phase(1.0, 100, None), "draw": Phase(1.0, None, 50, "refused")})
    assert {name: (q.value, q.reason) for name, q in found.items()} == {
        "peak_host_train_bytes": (100.0, None),
        "peak_device_train_bytes": (None, "the cpu has no memory of its own"),
        "peak_host_draw_bytes": (None, "refused"),
        "peak_device_draw_bytes": (50.0, None),
    }


def test_the_matrix_rate_counts_two_operations_a_multiply_add():
    class Counted(Clock):
        """A clock on which every call takes a second."""

        ticks = 0.0

        def now(self):
            self.ticks += 0.5
            return self.ticks

    assert matmul_rate(Counted(torch.device("cpu")), extent=8, repeats=1) == pytest.approx(2 * 8**3 / 0.5)
    assert 0 < matmul_rate(Clock(torch.device("cpu")), extent=256, repeats=2) < math.inf


def test_an_effective_sample_takes_at_least_one_draw():
    lucky = {"tau_int_energy": Estimate(0.47, 0.02), "tau_int_abs_magnetisation": Estimate(0.45, 0.02)}
    assert draw_costs(10.0, 1000, [], lucky)[0]["s_per_effective_sample"].value == pytest.approx(0.01)
