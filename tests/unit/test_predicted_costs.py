"""The predicted growth of a cost is that of the operations, parameters and calls that the networks count."""

import math
from collections.abc import Callable

import pytest
import torch

from nisbench.contract.interfaces import Model
from nisbench.contract.records import Cell
from nisbench.physics.ising import Ising
from nisbench.results.published import Prediction, published
from nisbench_plugins.hier import Hier
from nisbench_plugins.hier_exact import PAIRS, HierExact
from nisbench_plugins.registration import HierExactOptions, HierOptions, VanOptions
from nisbench_plugins.van import Van

SIZES = (16, 32, 64)
MODELS: dict[str, Callable[[int], Model]] = {
    "hier": lambda L: Hier(Ising(L), HierOptions()),
    "hier-exact": lambda L: HierExact(Ising(L), HierExactOptions()),
    "van": lambda L: Van(Ising(L), VanOptions()),
}


def predicted(model: Model, plugin: str, quantity: str) -> Prediction:
    options = vars(model.options)
    found = published().prediction(Cell(plugin, "model", "1", options, "ising", 8, 0.44, 1, 10), quantity)
    assert found is not None
    return found


def parameters(model: Model) -> float:
    return float(sum(parameter.numel() for parameter in model.parameters()))


def step_operations(model: HierExact) -> float:
    """Operations of a training step for each lattice of the batch, as `HierExact.training_batch` makes them."""
    blocks = [level.n_blocks for level in model.levels]
    nets = list(zip(model.networks, blocks, strict=True))
    draw = [2.0 * net.multiply_adds() * n for net, n in nets]
    # the gradient passes once through skip and first, and twice through last
    last = [net.n_spins * (net.n_spins + 1) // 2 * net.width for net, _ in nets]
    gradient = [2.0 * (net.multiply_adds() + again) * n for (net, n), again in zip(nets, last, strict=True)]
    log_z = 3 * 2**model.columns * model.rows * model.columns * model.blocks.n_blocks
    total = sum(draw) + log_z + gradient[0]
    for i in range(1, len(nets)):
        # one draw of the pair is evaluated again, the other is drawn with all levels below
        total += min(1.0, PAIRS / blocks[i]) * (2 * gradient[i] + draw[i] + sum(draw[i:]) + log_z)
    return total


@pytest.mark.parametrize("plugin", MODELS)
def test_operations_and_calls_follow_their_forms(plugin: str) -> None:
    models = {L: MODELS[plugin](L) for L in SIZES if plugin != "van" or L < 64}
    small, large = min(models), max(models)
    for quantity, tolerance in (("flops_per_draw", 0.15), ("network_calls_per_draw", 0.3), ("n_parameters", 0.2)):
        costs = [parameters(m) if quantity == "n_parameters" else m.costs()[quantity] for m in models.values()]
        exponent = math.log(costs[-1] / costs[0]) / math.log(large / small)
        assert predicted(models[large], plugin, quantity).exponent((small, large)) == pytest.approx(
            exponent, abs=tolerance
        )


def test_the_counts_of_hier_exact_are_the_forms_themselves() -> None:
    for L in SIZES:
        model, levels = HierExact(Ising(L), HierExactOptions()), math.log2(L) - 2
        costs = model.costs()
        draw = predicted(model, "hier-exact", "flops_per_draw")
        assert costs["flops_per_draw"] == pytest.approx((draw.constant + draw.per_level * levels) * L**2, rel=0.05)
        assert costs["network_calls_per_draw"] == {16: 60, 32: 139}.get(L, 6 * L - 70 - 3 * (levels - 4))
        if L >= 32:
            step = predicted(model, "hier-exact", "train_step_s")
            form = (step.constant + step.per_level * levels) * L**2
            assert step_operations(model) == pytest.approx(form, rel=0.05)
    with torch.device("meta"):
        large = HierExact(Ising(128), HierExactOptions())
    assert parameters(large) == pytest.approx(319 * 128**2, rel=0.05)


def test_forms_of_earlier_versions_belong_to_their_cells_alone() -> None:
    options = vars(HierExactOptions())
    earlier = {name: value for name, value in options.items() if name != "strip"}
    cells = [Cell("hier-exact", "model", "1", each, "ising", 8, 0.44, 1, 10) for each in (options, earlier)]
    forms = [published().prediction(cell, "train_step_s") for cell in cells]
    assert [form.per_level for form in forms if form] == [430, 410]


def test_negative_control_the_form_of_another_network_is_refused() -> None:
    wide = HierExact(Ising(32), HierExactOptions(width=16))
    form = predicted(HierExact(Ising(32), HierExactOptions()), "hier-exact", "flops_per_draw")
    count = wide.costs()["flops_per_draw"]
    assert count != pytest.approx((form.constant + 3 * form.per_level) * 32**2, rel=0.2)
    cell = Cell("hier-exact", "model", "1", vars(wide.options), "ising", 32, 0.44, 1, 10)
    assert published().prediction(cell, "flops_per_draw") is None
