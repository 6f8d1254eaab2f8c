"""logit = 2 beta skip x + last tanh(first x): autoregressive and odd, so that q(s) = q(-s) exactly.

With K spins, B border sites and w = `width`: x (B + K,) are the border and the spins, skip is (K, B + K), first is
(K w, B + K) and last is (K, K w). There is no bias and tanh is odd: with all inputs flipped every logit changes its
sign. Hidden units belong to the drawn spins, unit `k width + channel`, and see the border and the spins before k; logit
k sees the border and the spins before k through `skip`, and the units of the spins up to k. At the start `last` is zero
and `skip` is 1 for the known neighbours: the exact conditional of a spin if the other spins did not exist.

Sites on parallel lines may share weights: each matrix is then the sum of its own numbers and of a kernel with one
number for each displacement along a pair of lines. Far from the ends of a line the conditional of a spin depends on
displacements alone, and a kernel learns from all spins what a matrix learns spin by spin.

Layout: units by samples, (units, n).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nisbench.nn.bernoulli import signs, spin_log_prob
from nisbench.nn.fused import can_fuse, draw_fused
from nisbench.nn.kernels.odd import solve_panel

__all__ = ["AutoregressiveOdd", "OddRates", "OddTrace", "OddWeights", "solve_panel_torch"]

PANEL = 16
"""Spins that are drawn one by one, after one matrix product with everything before them."""
STRIPE = 64
"""Number of spins whose gradients are computed in one matrix product. Fewer skip more masked zeros, more make larger
products."""


@dataclass(frozen=True)
class OddRates:
    """Factors of the learning rates of the three matrices.

    A matrix is its factor times its parameters. Adam moves all parameters by steps of about the same size, so that the
    factor scales the steps of the matrix.
    """

    skip: float = 1.0
    first: float = 1.0
    last: float = 1.0


class OddWeights(NamedTuple):
    """The masked matrices at one beta: own numbers plus kernels, times the rates."""

    skip: Tensor
    """(n_spins, n_border + n_spins), with the factor 2 beta"""
    first: Tensor
    """(n_spins width, n_border + n_spins)"""
    last: Tensor
    """(n_spins, n_spins width)"""


@dataclass(frozen=True)
class OddTrace:
    """Inputs, hidden units and logits of one pass, for the gradient."""

    inputs: Tensor
    """(n_border + n_spins, n), the border and the spins as -1, +1"""
    hidden: Tensor
    """(n_spins width, n)"""
    logits: Tensor
    """(n_spins, n), ln q(+1)/q(-1) of each spin given the spins before it"""

    @property
    def spins(self) -> Tensor:
        """(n_spins, n)"""
        return self.inputs[-len(self.logits) :]

    def log_prob(self) -> Tensor:
        """ln q of the spins, (n,) float64 without gradient."""
        return spin_log_prob(self.spins, self.logits)


class AutoregressiveOdd(nn.Module):
    """Odd density of n_spins spins, one after the other, conditioned on n_border spins.

    Parameters
    ----------
    known : (n_spins, n_border + n_spins) the initial values of `skip`, 1 for the known neighbours of each spin
    width : hidden units for each spin
    classes : (n_spins, n_border + n_spins) entry of the kernels that each pair shares, 0 for none (`displacements`)
    skip : whether logits see the inputs directly; without it they start at zero
    rates : how fast the matrices learn; the density at the start does not depend on them
    """

    skip_mask: Tensor
    first_mask: Tensor
    last_mask: Tensor
    known: Tensor
    classes: Tensor

    def __init__(
        self,
        known: Tensor,
        *,
        width: int,
        classes: Tensor | None = None,
        skip: bool = True,
        rates: OddRates | None = None,
    ) -> None:
        super().__init__()
        self.rates = rates = rates or OddRates()
        self.n_spins, self.n_inputs, self.width = len(known), known.shape[1], width
        self.n_border = self.n_inputs - self.n_spins
        spin, site = torch.arange(self.n_spins).unsqueeze(1), torch.arange(self.n_inputs)
        # (n_spins, n_inputs) and (n_spins, n_spins); uint8, because torch multiplies by bool more slowly
        before = (site < self.n_border + spin).to(torch.uint8)
        up_to = (torch.arange(self.n_spins) <= spin).to(torch.uint8)
        first_mask = before.repeat_interleave(width, 0)
        self.register_buffer("known", known, persistent=False)
        self.register_buffer("skip_mask", before * skip, persistent=False)
        self.register_buffer("first_mask", first_mask, persistent=False)
        self.register_buffer("last_mask", up_to.repeat_interleave(width, 1), persistent=False)
        inputs = first_mask.sum(1, keepdim=True).clamp(min=1)
        self.skip = nn.Parameter(known * self.skip_mask / rates.skip)
        self.first = nn.Parameter(torch.randn(first_mask.shape) / inputs.sqrt() * first_mask / rates.first)
        self.last = nn.Parameter(torch.zeros(self.last_mask.shape))
        self.shared = classes is not None and bool(classes.any())
        if classes is not None and self.shared:
            self.register_buffer("classes", classes, persistent=False)
            shape = width, int(classes.max())
            self.skip_kernel = nn.Parameter(torch.zeros(1, shape[1]))
            scale = inputs.mean(dtype=torch.float64).sqrt() * rates.first
            self.first_kernel = nn.Parameter(torch.randn(shape) / scale)
            self.last_kernel = nn.Parameter(torch.zeros(shape))
            with torch.no_grad():  # where the kernel starts at random, the matrix starts at zero
                self.first.mul_((classes == 0).repeat_interleave(width, 0).to(self.first.device))

    def forward(self, spins: Tensor, border: Tensor, *, beta: float) -> Tensor:
        """(n_spins, n), (n_border, n) -> logits (n_spins, n), differentiable."""
        skip, first, last = self.weights(beta)
        inputs = torch.cat([border, spins]).to(skip.dtype)
        return skip @ inputs + last @ torch.tanh(first @ inputs)

    @torch.no_grad()
    def sample(self, thresholds: Tensor, border: Tensor, weights: OddWeights) -> OddTrace:
        """Draw spin k as +1 where logit_k > thresholds[k], else -1; every unit is computed once.

        If thresholds = logit(u) with u uniform on (0, 1), the spins are a sample of q.

        Parameters
        ----------
        thresholds : (n_spins, n)
        border : (n_border, n) of -1, +1, of the network's dtype
        """
        skip, first, last = weights
        n, nb, w = thresholds.shape[1], self.n_border, self.width
        inputs = thresholds.new_empty(self.n_inputs, n)
        inputs[:nb] = border
        hidden = thresholds.new_empty(self.n_spins * w, n)
        if can_fuse(inputs, w):
            return OddTrace(inputs, hidden, draw_fused(first, last, thresholds, inputs, hidden, width=w, skip=skip))
        logits = torch.empty_like(thresholds)
        solve = _solve_compiled if inputs.device.type == "cpu" else solve_panel_torch
        for start in range(0, self.n_spins, PANEL):
            stop = min(start + PANEL, self.n_spins)
            spins, units, before = slice(start, stop), slice(start * w, stop * w), slice(0, nb + start)
            # everything before the panel: first x (T w, n), skip x + last h (T, n) for its T spins
            torch.mm(first[units, before], inputs[before], out=hidden[units])
            torch.mm(skip[spins, before], inputs[before], out=logits[spins])
            logits[spins].addmm_(last[spins, : units.start], hidden[: units.start])
            drawn = slice(nb + start, nb + stop)
            diagonal = skip[spins, drawn], first[units, drawn], last[spins, units]
            solve(*diagonal, thresholds[spins], inputs[drawn], hidden[units], logits[spins])
        return OddTrace(inputs, hidden, logits)

    def log_prob(self, trace: OddTrace, weights: OddWeights) -> Tensor:
        """ln q of the spins of a trace, (n,) float64 with gradient, without evaluating the network again.

        `weights` must be those that the trace was computed with. The result equals
        spin_log_prob(spins, self(spins, border, beta=beta)) in value and gradient.
        """
        return _LogProb.apply(trace, self.width, *weights)  # type: ignore[no-any-return, no-untyped-call]

    def energy(self, trace: OddTrace) -> Tensor:
        """Ising energy of the bonds between each drawn spin and its known neighbours, (n,) float64."""
        return -(trace.spins * (self.known @ trace.inputs)).sum(0, dtype=torch.float64)

    def multiply_adds(self) -> int:
        """Multiply-adds of one pass, masked zeros left out."""
        return sum(int(mask.sum()) for mask in (self.skip_mask, self.first_mask, self.last_mask))

    def weights(self, beta: float) -> OddWeights:
        """Matrices for `sample` and `log_prob`, with gradient; a training step computes them once for all its calls."""
        skip: Tensor = self.skip
        first: Tensor = self.first
        last: Tensor = self.last
        if self.shared:
            k, w, drawn = self.n_spins, self.width, self.classes[:, self.n_border :]
            skip = skip + _spread(self.skip_kernel, self.classes).squeeze(2)  # (K, B + K, 1) -> (K, B + K)
            # (K, B + K, w) -> (K, w, B + K) -> (K w, B + K)
            first = first + _spread(self.first_kernel, self.classes).transpose(1, 2).reshape(k * w, -1)
            last = last + _spread(self.last_kernel, drawn).reshape(k, k * w)  # (K, K, w) -> (K, K w)
        rates = self.rates
        return OddWeights(
            skip * (2 * beta * rates.skip * self.skip_mask),
            first * (rates.first * self.first_mask),
            last * (rates.last * self.last_mask),
        )


def _spread(kernel: Tensor, classes: Tensor) -> Tensor:
    """kernel[:, class - 1] for each pair, zero where the class is 0: (width, n_classes), (K, n) -> (K, n, width)."""
    rows = functional.pad(kernel, (1, 0)).T.contiguous()  # (n_classes + 1, width), row 0 is zero
    # not index_select, whose gradient on a GPU is a sum in random order
    return functional.embedding(classes, rows, padding_idx=0)


def solve_panel_torch(
    skip: Tensor, first: Tensor, last: Tensor, thresholds: Tensor, spins: Tensor, hidden: Tensor, logits: Tensor
) -> None:
    """`kernels.odd.solve_panel` with torch operations, in place, on any device."""
    width = len(first) // len(logits)
    for k in range(len(logits)):
        units = slice(k * width, (k + 1) * width)
        hidden[units].addmm_(first[units, :k], spins[:k]).tanh_()
        logits[k].add_(skip[k, :k] @ spins[:k]).add_(last[k, : units.stop] @ hidden[: units.stop])
        spins[k] = signs(logits[k] > thresholds[k], like=spins)


def _solve_compiled(*tensors: Tensor) -> None:
    """Call the compiled kernel; the last three tensors are contiguous rows and change in place."""
    solve_panel(*(tensor.contiguous().numpy() for tensor in tensors))


class _LogProb(torch.autograd.Function):
    """ln q(s) = sum_k ln sigmoid(s_k logit_k) with the backward pass written out.

    With f the factor of a sample and sums over the n samples:

        d_logit = f s sigmoid(-s logit)                  (K, n)
        d_skip  = d_logit x^T                            (K, B + K)
        d_last  = d_logit h^T                            (K, K w)
        d_first = (last^T d_logit)(1 - h^2) x^T          (K w, B + K)

    computed stripe by stripe, which leaves out most masked zeros.
    """

    @staticmethod
    def forward(ctx: Any, trace: OddTrace, width: int, skip: Tensor, first: Tensor, last: Tensor) -> Tensor:
        """ln q from the logits of the trace, (n,)."""
        ctx.trace, ctx.width = trace, width
        ctx.save_for_backward(last)
        return trace.log_prob()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient by skip, first and last; `factor` (n,) is the derivative of the loss by each ln q."""
        trace, w, (last,) = ctx.trace, ctx.width, ctx.saved_tensors
        inputs, hidden, spins = trace.inputs, trace.hidden, trace.spins
        n_spins, nb = len(spins), len(inputs) - len(spins)
        d_logit = spins * torch.sigmoid(-spins * trace.logits) * factor.to(spins.dtype)
        d_skip, d_first = d_logit.new_zeros(n_spins, len(inputs)), d_logit.new_zeros(len(hidden), len(inputs))
        d_last = torch.zeros_like(last)
        for start in range(0, n_spins, STRIPE):
            stop = min(start + STRIPE, n_spins)
            rows, units, seen = slice(start, stop), slice(start * w, stop * w), inputs[: nb + stop]
            d_skip[rows, : nb + stop] = d_logit[rows] @ seen.T
            d_last[rows, : stop * w] = d_logit[rows] @ hidden[: stop * w].T
            above = last[start:, units].T @ d_logit[start:]  # units feed their own logit and later ones
            inside = torch.ops.aten.tanh_backward(above, hidden[units])  # above (1 - h^2)
            d_first[units, : nb + stop] = inside @ seen.T
        return None, None, d_skip, d_first, d_last
