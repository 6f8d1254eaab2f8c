import math

import pytest

from nisbench.contract.records import Cell
from nisbench.physics.kaufman import log_z
from nisbench.results.published import published


def test_published_values_agree_with_exact_ln_z():
    """KL = signal + ln Z and relative error = KL/ln Z, within the digits printed."""
    checked = 0
    for value in published().values:
        if "signal" not in value.quantities or value.L == 128:
            continue
        exact = log_z(value.L, value.beta)
        kl = value.quantities["signal"].value + exact
        assert kl == pytest.approx(value.quantities["kl_nats"].value, abs=6e-4), value
        relative = value.quantities["relative_free_energy_error"].value
        assert kl / exact == pytest.approx(relative, rel=0.05), value
        checked += 1
    assert checked == 8


def test_predictions_belong_to_plugin_and_options():
    cell = Cell("van", "model", "1", {"net": "dense"}, "ising", 8, 0.44, 1, 10)
    found = published().prediction(cell, "n_parameters")
    assert found is not None
    assert found.exponent((8, 16, 32)) == pytest.approx(4.0)
    conv = Cell("van", "model", "1", {"net": "conv"}, "ising", 8, 0.44, 1, 10)
    assert published().prediction(conv, "n_parameters") is None
    hier = published().prediction(Cell("hier", "model", "1", {}, "ising", 8, 0.44, 1, 10), "flops_per_draw")
    assert hier is not None
    # (16 + 36 (m - 2)) L^2 at L = 8 and 16: 52 x 64 and 88 x 256
    assert hier.exponent((8, 16)) == pytest.approx(math.log(88 * 256 / (52 * 64)) / math.log(2))
