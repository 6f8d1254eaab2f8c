"""The matrix of own and shared numbers and its gradient, compiled and by torch operations, against plain autograd."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nisbench.nn.sharing import shared_matrix, shared_matrix_torch

SPINS, CLASSES = 21, 9
FACTOR = 0.7
Form = Callable[..., Tensor]


def numbers(border: int, width: int, *, in_rows: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """own, kernel, classes and closeness of 21 spins; the channels are in the rows of `own` or in its columns."""
    generator = torch.Generator().manual_seed(width)
    sites = border + SPINS
    shape = (SPINS * width, sites) if in_rows else (SPINS, SPINS * width)
    own = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    kernel = torch.randn(width, CLASSES, generator=generator, dtype=torch.float64).requires_grad_()
    classes = torch.randint(0, CLASSES + 1, (SPINS, sites), generator=generator, dtype=torch.int32)
    closeness = torch.rand(SPINS, sites, generator=generator, dtype=torch.float64)
    return own, kernel, classes, closeness


def plain_matrix(own: Tensor, kernel: Tensor, classes: Tensor, closeness: Tensor, seen: int, factor: float) -> Tensor:
    """The matrix pair by pair, without regard to time and memory."""
    in_rows = len(own) > SPINS or own.shape[1] == classes.shape[1]
    sites = classes.shape[1] if in_rows else SPINS
    own = own.view(SPINS, -1, sites).transpose(1, 2) if in_rows else own.view(SPINS, sites, -1)
    with_zero = torch.cat([kernel.new_zeros(len(kernel), 1), kernel], 1)
    sees = torch.arange(sites) < seen + torch.arange(SPINS).unsqueeze(1)
    scale = (factor * closeness[:, -sites:] * sees).unsqueeze(2)
    matrix = scale * (own + with_zero.T[classes[:, -sites:].long()])  # (K, J, width)
    return (matrix.transpose(1, 2) if in_rows else matrix).reshape(-1, sites if in_rows else sites * len(kernel))


@pytest.mark.parametrize("in_rows", [True, False])
@pytest.mark.parametrize(("border", "width"), [(0, 1), (13, 1), (13, 8)])
@pytest.mark.parametrize("form", [shared_matrix, shared_matrix_torch])
def test_matrix_and_gradient_are_those_of_plain_autograd(form: Form, border: int, width: int, in_rows: bool) -> None:
    own, kernel, *pairs = numbers(border, width, in_rows=in_rows)
    seen = border if in_rows else 1
    found, expected = (one(own, kernel, *pairs, seen, FACTOR) for one in (form, plain_matrix))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    weights = torch.randn(own.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradients = [torch.autograd.grad((weights * matrix).sum(), (own, kernel)) for matrix in (found, expected)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_a_spin_sees_earlier_sites_only_and_a_class_shares_one_number() -> None:
    own, kernel, classes, closeness = numbers(13, 2, in_rows=True)
    matrix = shared_matrix(own, kernel, classes, closeness, 13, FACTOR).detach().view(SPINS, 2, -1)
    site = torch.arange(13 + SPINS)
    for k in range(SPINS):
        assert not matrix[k, :, site >= 13 + k].any()
        for j in range(13 + k):
            shared = kernel[:, classes[k, j] - 1] if classes[k, j] else torch.zeros(2)
            expected = FACTOR * closeness[k, j] * (own.view(SPINS, 2, -1)[k, :, j] + shared)
            torch.testing.assert_close(matrix[k, :, j], expected.detach(), rtol=0, atol=1e-14)
