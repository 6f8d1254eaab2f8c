"""The autoregressive network of full width: published counts and the two sampling paths."""

from typing import Any

import pytest
import torch

from nisbench.physics.ising import Ising
from nisbench_plugins.registration import VanOptions
from nisbench_plugins.van import Van


@pytest.mark.parametrize(
    ("L", "options", "count"),
    [
        (16, {}, 131_840),
        (32, {}, 2_100_224),
        (16, {"depth": 3, "width": 4}, 1_577_216),
        (16, {"depth": 6, "width": 2, "residual": True}, 2_366_720),
        (16, {"net": "conv", "depth": 3}, 714_113),
        (16, {"net": "conv", "depth": 6, "half_kernel": 3, "residual": True}, 826_369),
    ],
    ids=str,
)
def test_published_parameter_counts(L: int, options: dict[str, Any], count: int) -> None:
    assert sum(p.numel() for p in Van(Ising(L), VanOptions(**options)).parameters()) == count


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"z2": False},
        {"depth": 3, "width": 2},
        {"depth": 4, "width": 2, "residual": True},
        {"net": "conv", "depth": 3, "channels": 4, "half_kernel": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize(("L", "n"), [(4, 33), (6, 1), (8, 7)])
def test_log_prob_of_a_draw_is_the_log_prob_of_its_spins(L: int, n: int, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = Van(Ising(L), VanOptions(**options)).double()
    draws = model.sample(n, beta=0.4, generator=torch.Generator().manual_seed(n))
    torch.testing.assert_close(draws.log_prob, model.log_prob(draws.spins, beta=0.4), rtol=0, atol=1e-10)


def test_operations_of_the_dense_baseline_are_l_to_the_fourth() -> None:
    """Two triangular layers: N(N-1)/2 + N(N+1)/2 = N^2 multiply-adds."""
    costs = Van(Ising(16), VanOptions(z2=False)).costs()
    assert costs == {"flops_per_draw": 2.0 * 16**4, "network_calls_per_draw": 256.0}


@pytest.mark.parametrize("depth", [1, 2])
def test_residual_layers_need_a_third_layer(depth: int) -> None:
    with pytest.raises(ValueError, match=f"residual = true needs .* depth = {depth} has none; give depth = 3"):
        VanOptions(depth=depth, residual=True)
