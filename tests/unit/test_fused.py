"""The GPU kernel agrees with the plain forward pass. Without a GPU it runs in the interpreter and is compiled only."""

import os
import subprocess
import sys

import pytest
import torch

from nisbench.nn import exact_block, ising, network
from nisbench.nn.dense import AutoregressiveDense
from nisbench.nn.formula import Matrices, draw_plain, logits, units
from nisbench.nn.fused import draw_fused
from nisbench.nn.hierarchy import known_neighbours, levels
from nisbench.nn.odd import AutoregressiveOdd
from nisbench.physics.ising import Ising
from nisbench_plugins.hier_exact import HierExact
from nisbench_plugins.registration import HierExactOptions

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
pytest.importorskip("triton")

TYPES = [(torch.float64, 1e-10), (torch.float32, 2e-6)]


def thresholds(rows: int, n: int, dtype: torch.dtype) -> torch.Tensor:
    """Return random thresholds (rows, n), logistic; the shape chooses the seed."""
    return torch.rand(rows, n, generator=torch.Generator().manual_seed(rows + n), dtype=dtype).logit()


def signs(rows: int, n: int, dtype: torch.dtype) -> torch.Tensor:
    """A border."""
    return torch.randint(0, 2, (rows, n), generator=torch.Generator().manual_seed(n)).to(dtype) * 2 - 1


def fused(net: Matrices, limits: torch.Tensor, border: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and logits of a draw of the kernel."""
    parts = (part.to(DEVICE) if isinstance(part, torch.Tensor) else part for part in net)
    inputs = torch.cat([border, torch.zeros_like(limits)]).to(DEVICE)
    result = draw_fused(Matrices(*parts), limits.to(DEVICE), inputs)  # type: ignore[arg-type]
    return inputs.cpu(), result.cpu()


def compare(net: Matrices, limits: torch.Tensor, border: torch.Tensor, tolerance: float) -> None:
    """Spins and logits of the kernel are those of the torch operations and of one full pass."""
    with torch.no_grad():
        inputs, found = fused(net, limits, border)
        plain = torch.cat([border, torch.zeros_like(limits)])
        draw_plain(net, limits, plain)
        assert torch.equal(inputs, plain)
        full = logits(net, inputs, units(net, inputs))
    torch.testing.assert_close(found, full, rtol=0, atol=tolerance * len(net.first))


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize(
    ("n_spins", "n_border", "width", "n"), [(1, 0, 1, 1), (40, 0, 1, 33), (7, 12, 1, 5), (32, 4, 2, 16), (19, 8, 3, 17)]
)
def test_dense_draws_are_those_of_the_plain_pass(
    dtype: torch.dtype, tolerance: float, n_spins: int, n_border: int, width: int, n: int
) -> None:
    torch.manual_seed(n_spins)
    net = AutoregressiveDense(n_spins, n_border, width=width).to(dtype)
    compare(net.matrices(), thresholds(n_spins, n, dtype), signs(n_border, n, dtype), tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), TYPES)
@pytest.mark.parametrize(("level", "width", "n"), [(0, 8, 20), (1, 8, 3), (1, 1, 70), (2, 3, 16)])
def test_odd_draws_are_those_of_the_plain_pass(
    dtype: torch.dtype, tolerance: float, level: int, width: int, n: int
) -> None:
    torch.manual_seed(width)
    net = AutoregressiveOdd(known_neighbours(levels(16)[level], 16), width=width, bias=n == 3).to(dtype)
    net.last.data += torch.randn_like(net.last) / 4
    compare(net.matrices(0.4), thresholds(net.n_spins, n, dtype), signs(net.n_border, n, dtype), tolerance)


def test_a_wrong_weight_is_seen() -> None:
    """The control: one weight off by 1e-3 changes the logits beyond the tolerance."""
    torch.manual_seed(3)
    net = AutoregressiveDense(20, 4).double()
    limits, border = thresholds(20, 16, torch.float64), signs(4, 16, torch.float64)
    with torch.no_grad():
        expected = fused(net.matrices(), limits, border)[1]
        net.last.weight[19, 21] += 1e-3
        found = fused(net.matrices(), limits, border)[1]
    assert (found - expected).abs().max() > 1e-6


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from nisbench.nn.kernels.device import draw_network, shape
from nisbench.nn.fused import WIDEST

kernel = draw_network
names = kernel.arg_names
widest = ((1000, WIDEST // size, kind, True) for size, kind in ((4, "*fp32"), (8, "*fp64")))
for n, width, kind, odd in (
    (1000, 3, "*fp32", False),
    *((n, width, "*fp32", odd) for n, width in ((1000, 1), (100000, 8)) for odd in (False, True)), *widest
):
    constants = shape(n, width) | dict(width=width, has_skip=odd, has_bias=not odd, has_slopes=not odd)
    options = {"num_warps": constants.pop("num_warps")}
    types = {name: kind for name in names[:10]} | {name: "i32" for name in names[10:14]}
    types |= {name: "constexpr" for name in constants}
    source = ASTSource(fn=kernel, signature=types, constexprs={(names.index(k),): v for k, v in constants.items()})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    print(len(compiled.asm["cubin"]), compiled.metadata.shared, compiled.asm["ttir"].count("tf32"))
"""


@pytest.mark.skipif(DEVICE == "cuda", reason="the real kernel runs here")
def test_it_compiles_for_a_gpu_and_fits_into_its_shared_memory() -> None:
    """sm_90 has 227 KiB for a program. The compiler must not turn a sum of products into a product in TF32."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sizes = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(sizes) == 7
    assert all(binary > 0 and shared < 227 * 2**10 and not rounded for binary, shared, rounded in sizes)


@pytest.mark.skipif(DEVICE == "cuda", reason="interprets the kernel; test_gpu runs it")
def test_a_training_batch_of_the_device_is_that_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """hier-exact with the kernel and with blocks of torch operations: the same draws, signals and gradient."""

    torch.manual_seed(1)
    model = HierExact(Ising(16), HierExactOptions(lines=1, width=2)).double()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    found = []
    for device in (False, True):
        if device:
            monkeypatch.setattr(network, "can_fuse", lambda *_: True)
            for module in (network, exact_block, ising):
                monkeypatch.setattr(module, "on_cpu", lambda *_: False)
            monkeypatch.setattr(exact_block, "PART", 7)
        batch = model.training_batch(5, beta=0.44, generator=torch.Generator().manual_seed(2))
        gradient = torch.autograd.grad(batch.loss(), list(model.parameters()))
        found.append([batch.signal, *(pair.signal for pair in batch.terms), *gradient])
    assert len(found[0]) == 2 + 12
    for on_cpu, on_device in zip(*found, strict=True):
        torch.testing.assert_close(on_device, on_cpu, rtol=0, atol=1e-9)
