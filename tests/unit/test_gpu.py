"""Every built-in model on a CUDA device: the same contract between drawing, evaluation and training."""

import pytest
import torch

from nisbench.conformance.training import check_recording
from nisbench.contract.catalog import load_catalog
from nisbench.harness.build import select_device
from nisbench.harness.cost import kernel_launches
from nisbench.harness.limits import limit_memory
from nisbench.physics.ising import Ising

CATALOG = load_catalog()
MODELS = sorted(name for name, entry in CATALOG.plugins.items() if entry.kind == "model")
VARIANTS = [*((name, {}) for name in MODELS), ("van", {"net": "conv"})]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("L", [4, 16])
@pytest.mark.parametrize("name", MODELS)
def test_a_draw_and_a_training_batch_on_the_device(name: str, L: int) -> None:
    entry = CATALOG.plugin(name)
    torch.manual_seed(0)
    model = entry.load()(Ising(L), entry.options()).to("cuda", torch.float64)
    generator = torch.Generator("cuda").manual_seed(1)
    draws = model.sample(65, beta=0.44, generator=generator)
    assert draws.spins.device.type == draws.log_prob.device.type == "cuda"
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(draws.spins, beta=0.44), draws.log_prob, rtol=0, atol=1e-8)
    on_cpu = entry.load()(Ising(L), entry.options()).double()
    on_cpu.load_state_dict({key: value.cpu() for key, value in model.state_dict().items()})
    with torch.no_grad():
        expected = on_cpu.log_prob(draws.spins.cpu(), beta=0.44)
    torch.testing.assert_close(draws.log_prob.cpu(), expected, rtol=0, atol=1e-8)
    batch = model.training_batch(65, beta=0.44, generator=generator)
    batch.loss().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_float32_is_not_rounded_further(name: str, options: dict[str, str]) -> None:
    """Draws and evaluation take different products and convolutions; with TF32 they would differ by 1e-3 and more."""
    entry = CATALOG.plugin(name)
    torch.manual_seed(0)
    device = select_device("cuda")
    model = entry.load()(Ising(16), entry.options(**options)).to(device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        draws = model.sample(64, beta=0.44, generator=torch.Generator(device).manual_seed(1))
        torch.testing.assert_close(model.log_prob(draws.spins, beta=0.44), draws.log_prob, rtol=0, atol=1e-5 * 16**2)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_a_gradient_repeats_bit_by_bit(name: str, options: dict[str, str]) -> None:
    entry = CATALOG.plugin(name)
    torch.manual_seed(0)
    model = entry.load()(Ising(32), entry.options(**options)).to(select_device("cuda"))
    found = []
    for _ in range(2):
        batch = model.training_batch(256, beta=0.44, generator=torch.Generator("cuda").manual_seed(1))
        found.append(torch.autograd.grad(batch.loss(), list(model.parameters())))
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_a_recorded_step_has_the_gradient_of_a_computed_one(name: str, options: dict[str, str]) -> None:
    entry = CATALOG.plugin(name)
    torch.manual_seed(0)
    model = entry.load()(Ising(16), entry.options(**options)).to(select_device("cuda"))
    check_recording(model, 64, 0.44)


def test_a_memory_limit_holds_on_the_device() -> None:
    device = select_device("cuda")
    try:
        limit_memory(2**28, device)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(2**29, dtype=torch.int8, device=device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@pytest.mark.parametrize(("name", "L"), [("hier", 16), ("hier-exact", 16), ("hier", 64)])
def test_a_network_is_one_launch(name: str, L: int) -> None:
    """A draw starts far fewer kernels than it has spins to draw one after the other."""
    entry = CATALOG.plugin(name)
    model = entry.load()(Ising(L), entry.options()).to("cuda")
    generator = torch.Generator("cuda").manual_seed(1)

    def draw() -> None:
        model.sample(100, beta=0.44, generator=generator)

    draw()
    launches = kernel_launches(draw).value
    assert launches == kernel_launches(draw).value
    assert launches is not None
    blocks = 7 * (20 + 7 * 8) if name == "hier-exact" else 0  # torch operations of the exact blocks, row by row
    assert len(model.networks) <= launches < 60 * len(model.networks) + blocks
