"""The odd network with tanh, a linear part and shared weights: its parameters as matrices of the formula.

logit = 2 beta skip x + last tanh(first x). There is no bias and tanh is odd: with all inputs flipped every logit
changes its sign, so that q(s) = q(-s) exactly. Hidden units belong to the drawn spins, unit `k width + channel`, and
see the border and the spins before k; logit k sees the border and the spins before k through `skip`, and the units of
the spins up to k. At the start `last` is zero and `skip` is 1 for the known neighbours: the exact conditional of a spin
if the other spins did not exist.

Sites on parallel lines may share weights: each matrix is then the sum of its own numbers and of a kernel with one
number for each displacement along a pair of lines. Far from the ends of a line the conditional of a spin depends on
displacements alone, and a kernel learns from all spins what a matrix learns spin by spin. Both are multiplied by the
closeness of the two sites, so that weights between near sites learn faster.
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
    factor scales the steps of the matrix. The closeness of a pair of sites scales the steps of its weights as well.
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
    closeness : (n_spins, n_border + n_spins) factor of the weights of each pair, 1 for all without it
    skip : whether logits see the inputs directly; without it they start at zero
    bias : add a first input that is always 1, whose weights are the biases; the density is then not odd
    rates : how fast the matrices learn; the density at the start does not depend on them
    """

    classes: Tensor
    closeness: Tensor

    def __init__(
        self,
        known: Tensor,
        *,
        width: int,
        classes: Tensor | None = None,
        closeness: Tensor | None = None,
        skip: bool = True,
        bias: bool = False,
        rates: OddRates | None = None,
    ) -> None:
        super().__init__()
        self.rates, self.sees = rates or OddRates(), skip
        self.n_spins, self.width, self.constants = len(known), width, int(bias)
        self.n_border = known.shape[1] - self.n_spins
        # the constant input comes first; it shares nothing and is as close as can be
        known = functional.pad(known, (self.constants, 0))
        self.shared = classes is not None and bool(classes.any())
        shape, extra = (self.n_spins, known.shape[1] - self.constants), (self.constants, 0)
        classes = functional.pad(torch.zeros(shape) if classes is None else classes, extra)
        closeness = functional.pad(torch.ones(shape) if closeness is None else closeness, extra, value=1.0).to(known)
        self.register_buffer("classes", classes.to(torch.int32), persistent=False)  # int32 is read twice as fast
        self.register_buffer("closeness", closeness, persistent=False)
        seen = self.n_border + self.constants + torch.arange(self.n_spins).unsqueeze(1)
        before = torch.arange(known.shape[1]) < seen
        # at the start, a unit has variance 1 if its inputs are independent
        variance = (closeness.square() * before).sum(1, keepdim=True).clamp(min=torch.finfo(known.dtype).tiny)
        start = before / variance.sqrt() / self.rates.first
        self.skip = nn.Parameter(known * before * skip / (closeness * self.rates.skip))
        self.first = nn.Parameter(torch.randn(self.n_spins * width, known.shape[1]) * start.repeat_interleave(width, 0))
        self.last = nn.Parameter(torch.zeros(self.n_spins, self.n_spins * width))
        if self.shared:
            n_classes = int(classes.max())
            self.skip_kernel = nn.Parameter(torch.zeros(1, n_classes))
            scale = variance.mean().sqrt() * self.rates.first
            self.first_kernel = nn.Parameter(torch.randn(width, n_classes) / scale)
            self.last_kernel = nn.Parameter(torch.zeros(width, n_classes))
            with torch.no_grad():  # where the kernel starts at random, the matrix starts at zero
                self.first.mul_((classes == 0).repeat_interleave(width, 0).to(self.first.device))

    def matrices(self, beta: float) -> Matrices:
        """Masked matrices at one beta, with gradient: own numbers plus kernels, times the rates.

        A training step computes them once for all its calls.
        """
        rates, width = self.rates, self.width
        # spin k sees so many sites before the spins and k spins, and k + 1 spins have units for its logit
        before = self.n_border + self.constants
        nothing = self.skip.new_empty(1, 0), self.skip.new_empty(width, 0), self.skip.new_empty(width, 0)
        kernels = (self.skip_kernel, self.first_kernel, self.last_kernel) if self.shared else nothing
        skip, first, last = (
            shared_matrix(matrix, kernel, self.classes, self.closeness, seen, factor)
            for matrix, kernel, seen, factor in zip(
                (self.skip, self.first, self.last),
                kernels,
                (before, before, 1),
                (2 * beta * rates.skip if self.sees else 0.0, rates.first, rates.last),
                strict=True,
            )
        )
        if not self.constants:
            return Matrices(first, last, skip, None, None, None, width)
        return Matrices(first[:, 1:], last, skip[:, 1:], first[:, 0], skip[:, 0], None, width)

    def forward(self, spins: Tensor, border: Tensor, *, beta: float) -> Tensor:
        """(n_spins, n), (n_border, n) -> logits (n_spins, n) by one full pass, differentiable."""
        matrices = self.matrices(beta)
        inputs = torch.cat([border, spins]).to(matrices.first.dtype)
        return logits(matrices, inputs, units(matrices, inputs))

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out."""
        earlier = self.n_spins * (self.n_spins - 1) // 2
        inputs = self.n_spins * (self.n_border + self.constants) + earlier
        return inputs * (self.width + self.sees) + (earlier + self.n_spins) * self.width
