"""Sums over the sites are exact in every layout, also where a large batch is summed in parts."""

import pytest
import torch

from nisbench.physics import sums
from nisbench.physics.sums import site_sums


@pytest.mark.parametrize("shape", [(16, 16), (7, 16, 16), (3, 5, 16, 16), (1, 16, 16), (0, 16, 16)])
@pytest.mark.parametrize("part", [1, 300, 600, 2**20])
def test_sums_are_exact_in_parts_and_whole(shape: tuple[int, ...], part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_PART", part)
    values = torch.randint(-128, 128, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(1))
    expected = values.long().sum((-2, -1)).double()
    if values.dim() > 2:  # the samples contiguous in memory, as a model draws them
        assert torch.equal(site_sums(values.movedim(0, -1).contiguous().movedim(-1, 0)), expected)
    found = site_sums(values)
    assert found.dtype == torch.float64
    assert torch.equal(found, expected)


def test_other_values_are_summed_in_float64() -> None:
    values = torch.full((2, 64, 64), 0.1, dtype=torch.float32)
    torch.testing.assert_close(site_sums(values), torch.full((2,), 409.6, dtype=torch.float64), rtol=1e-7, atol=0)
