"""Small models are built for real, large ones are not begun; whatever a constructor does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nisbench.contract.catalog import load_catalog
from nisbench.harness import small
from nisbench.harness.build import model_without_storage
from nisbench.harness.small import built_if_small
from nisbench.physics.ising import Ising

CATALOG = load_catalog()


@pytest.mark.parametrize("name", sorted(name for name, entry in CATALOG.plugins.items() if entry.kind == "model"))
@pytest.mark.parametrize("L", [4, 16])
def test_a_small_model_has_the_size_of_the_one_without_storage(name: str, L: int) -> None:
    entry = CATALOG.plugin(name)
    state = torch.random.get_rng_state()
    real = built_if_small(lambda: entry.load()(Ising(L), entry.options()))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert real is not None
    assert all(p.device.type == "cpu" for p in real.parameters())
    skeleton = model_without_storage(entry.load(), Ising(L), entry.options())
    assert skeleton is not None
    assert [p.shape for p in real.parameters()] == [p.shape for p in skeleton.parameters()]


def raises() -> None:
    raise ValueError("as a constructor may")


def swallows() -> torch.Tensor:
    try:
        torch.zeros(10**12)
    except Exception:
        return torch.zeros(3)
    raise AssertionError


COLUMN = torch.zeros(1, 2**14)


@pytest.mark.parametrize(
    "build",
    [
        lambda: torch.randn(10**12),
        lambda: torch.arange(0, 10**12),
        lambda: torch.empty(2**13, 2**13),
        lambda: torch.full(size=(10**6, 10**6), fill_value=1.0),
        lambda: COLUMN < COLUMN.T,
        lambda: COLUMN.T @ COLUMN,
        lambda: COLUMN.T.expand(-1, 2**14).clone(),
        lambda: COLUMN.repeat(2**14, 1),
        lambda: torch.nn.Linear(2**14, 2**14),
        lambda: [torch.zeros(2**22) for _ in range(17)],  # each is small, all together are not
        swallows,
        raises,
    ],
)
def test_a_large_one_is_not_begun(build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    largest, plain = 0, small._Watch.__torch_function__

    def measured(watch: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        nonlocal largest
        result = plain(watch, func, types, args, kwargs)
        largest = max(largest, result.untyped_storage().nbytes() if isinstance(result, torch.Tensor) else 0)
        return result

    monkeypatch.setattr(small._Watch, "__torch_function__", measured)
    assert built_if_small(build) is None
    assert largest <= small.SMALL


@pytest.mark.parametrize(
    "build", [lambda: torch.tensor([10**6] * 9), lambda: torch.zeros(2**22), lambda: torch.zeros(9).split([2, 7])]
)
def test_data_are_not_sizes(build: Callable[[], Any]) -> None:
    assert built_if_small(build) is not None
