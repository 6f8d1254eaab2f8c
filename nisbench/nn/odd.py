"""The odd network with tanh, a linear part and shared weights: its parameters as matrices of the formula.

logit = 2 beta skip x + last tanh(first x). There is no bias and tanh is odd: with all inputs flipped every logit
changes its sign, so that q(s) = q(-s) exactly. Hidden units belong to the drawn spins, unit `k width + channel`, and
see the border and the spins before k; logit k sees the border and the spins before k through `skip`, and the units of
the spins up to k. At the start `last` is zero and `skip` is 1 for the known neighbours: the exact conditional of a spin
if the other spins did not exist.

Sites on parallel lines may share weights: each matrix is then the sum of its own numbers and of a kernel with one
number for each displacement along a pair of lines. Far from the ends of a line the conditional of a spin depends on
displacements alone, and a kernel learns from all spins what a matrix learns spin by spin.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nisbench.nn.formula import Matrices, logits, units
from nisbench.nn.sharing import shared_matrix

__all__ = ["AutoregressiveOdd", "OddRates"]


@dataclass(frozen=True)
class OddRates:
    """Factors of the learning rates of the three matrices.

    A matrix is its factor times its parameters. Adam moves all parameters by steps of about the same size, so that the
    factor scales the steps of the matrix.
    """

    skip: float = 1.0
    first: float = 1.0
    last: float = 1.0


class AutoregressiveOdd(nn.Module):
    """Odd density of n_spins spins, one after the other, conditioned on n_border spins.

    Parameters
    ----------
    known : (n_spins, n_border + n_spins) the initial values of `skip`, 1 for the known neighbours of each spin
    width : hidden units for each spin
    classes : (n_spins, n_border + n_spins) entry of the kernels that each pair shares, 0 for none (`displacements`)
    skip : whether logits see the inputs directly; without it they start at zero
    bias : add a first input that is always 1, whose weights are the biases; the density is then not odd
    rates : how fast the matrices learn; the density at the start does not depend on them
    """

    skip_mask: Tensor
    first_mask: Tensor
    last_mask: Tensor
    classes: Tensor

    def __init__(
        self,
        known: Tensor,
        *,
        width: int,
        classes: Tensor | None = None,
        skip: bool = True,
        bias: bool = False,
        rates: OddRates | None = None,
    ) -> None:
        super().__init__()
        known = functional.pad(known, (int(bias), 0))
        self.rates, self.sees = rates or OddRates(), skip
        rates = self.rates
        self.n_spins, self.width, self.constants = len(known), width, int(bias)
        before_spins = known.shape[1] - self.n_spins
        self.n_border = before_spins - self.constants
        spin, site = torch.arange(self.n_spins).unsqueeze(1), torch.arange(known.shape[1])
        # (n_spins, inputs) and (n_spins, n_spins); uint8, because torch multiplies by bool more slowly
        before = (site < before_spins + spin).to(torch.uint8)
        up_to = (torch.arange(self.n_spins) <= spin).to(torch.uint8)
        first_mask = before.repeat_interleave(width, 0)
        self.register_buffer("skip_mask", before * skip, persistent=False)
        self.register_buffer("first_mask", first_mask, persistent=False)
        self.register_buffer("last_mask", up_to.repeat_interleave(width, 1), persistent=False)
        inputs = first_mask.sum(1, keepdim=True).clamp(min=1)
        self.skip = nn.Parameter(known * self.skip_mask / rates.skip)
        self.first = nn.Parameter(torch.randn(first_mask.shape) / inputs.sqrt() * first_mask / rates.first)
        self.last = nn.Parameter(torch.zeros(self.last_mask.shape))
        self.shared = classes is not None and bool(classes.any())
        if classes is not None and self.shared:
            # int32 is read twice as fast
            classes = functional.pad(classes, (self.constants, 0)).to(torch.int32)
            self.register_buffer("classes", classes, persistent=False)
            shape = width, int(classes.max())
            self.skip_kernel = nn.Parameter(torch.zeros(1, shape[1]))
            scale = inputs.mean(dtype=torch.float64).sqrt() * rates.first
            self.first_kernel = nn.Parameter(torch.randn(shape) / scale)
            self.last_kernel = nn.Parameter(torch.zeros(shape))
            with torch.no_grad():  # where the kernel starts at random, the matrix starts at zero
                self.first.mul_((classes == 0).repeat_interleave(width, 0).to(self.first.device))

    def matrices(self, beta: float) -> Matrices:
        """Masked matrices at one beta, with gradient: own numbers plus kernels, times the rates.

        A training step computes them once for all its calls.
        """
        rates = self.rates
        own = self.skip, self.first, self.last
        factors = (2 * beta * rates.skip if self.sees else 0.0), rates.first, rates.last
        if self.shared:
            # spin k sees so many sites before the spins and k spins, and k + 1 spins have units for its logit
            before = self.n_border + self.constants
            sharing = (self.skip_kernel, before), (self.first_kernel, before), (self.last_kernel, 1)
            skip, first, last = (
                shared_matrix(matrix, kernel, self.classes, seen, factor)
                for matrix, (kernel, seen), factor in zip(own, sharing, factors, strict=True)
            )
        else:
            masks = self.skip_mask, self.first_mask, self.last_mask
            skip, first, last = (
                matrix * mask.to(matrix.dtype).mul_(factor)
                for matrix, mask, factor in zip(own, masks, factors, strict=True)
            )
        if not self.constants:
            return Matrices(first, last, skip, None, None, None, self.width)
        return Matrices(first[:, 1:], last, skip[:, 1:], first[:, 0], skip[:, 0], None, self.width)

    def forward(self, spins: Tensor, border: Tensor, *, beta: float) -> Tensor:
        """(n_spins, n), (n_border, n) -> logits (n_spins, n) by one full pass, differentiable."""
        matrices = self.matrices(beta)
        inputs = torch.cat([border, spins]).to(matrices.first.dtype)
        return logits(matrices, inputs, units(matrices, inputs))

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out."""
        return sum(int(mask.sum()) for mask in (self.skip_mask, self.first_mask, self.last_mask))
