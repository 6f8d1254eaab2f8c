"""The formula of the networks, logit = skip x + last act(first x + bias) + last_bias, in plain torch operations.

x (N,) are the border and the spins, as -1 and +1; act is PReLU or tanh. The networks (`dense`, `odd`) map their
parameters to the matrices; `network` draws and evaluates them. `kernels.network` explains the masks and why every
hidden unit is computed once. The functions of this file are the reference for the compiled kernels and serve other
devices.

Layout: units by samples, (units, n).
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nisbench.nn.bernoulli import signs

__all__ = ["Matrices", "draw_plain", "logits", "prelu", "units"]


class Matrices(NamedTuple):
    """The masked matrices of a network with K spins, N inputs and U hidden units, or the gradient by them."""

    first: Tensor
    """(U, N)"""
    last: Tensor
    """(K, U)"""
    skip: Tensor | None
    """(K, N); no term where None"""
    bias: Tensor | None
    """(U,); 0 where None"""
    last_bias: Tensor | None
    """(K,); None where `bias` is None"""
    slopes: Tensor | None
    """(U,) of PReLU; the activation is tanh where None"""
    width: int
    """units of each spin; the other units, which come first, see the border alone"""

    @property
    def n_border(self) -> int:
        """Number of border sites, the first of the inputs."""
        return self.first.shape[1] - len(self.last)


def prelu(z: Tensor, slope: Tensor) -> Tensor:
    """max(z, 0) + slope min(z, 0): (units, n), (units,) -> (units, n)."""
    return functional.prelu(z.unsqueeze(0), slope).squeeze(0)  # torch expects the channels in the second dimension


def units(matrices: Matrices, inputs: Tensor, which: slice = slice(None)) -> Tensor:
    """act(first x + bias), (U, n), or some of the units; `inputs` are the first of the N inputs."""
    z = matrices.first[which, : len(inputs)] @ inputs
    if matrices.bias is not None:
        z = z + matrices.bias[which, None]
    return torch.tanh(z) if matrices.slopes is None else prelu(z, matrices.slopes[which])


def logits(matrices: Matrices, inputs: Tensor, hidden: Tensor, which: slice = slice(None)) -> Tensor:
    """skip x + last h + last_bias, (K, n), or some of the logits, from the first inputs and the first units."""
    y = matrices.last[which, : len(hidden)] @ hidden
    if matrices.skip is not None:
        y = y + matrices.skip[which, : len(inputs)] @ inputs
    return y if matrices.last_bias is None else y + matrices.last_bias[which, None]


def draw_plain(matrices: Matrices, thresholds: Tensor, inputs: Tensor) -> Tensor:
    """Draw spin k as +1 where logit_k > thresholds[k], else -1, with torch operations; return the logits, (K, n).

    `inputs` (N, n) contain the border on entry and the spins as well on return.
    """
    n_spins, w, n_border = len(thresholds), matrices.width, matrices.n_border
    before = len(matrices.first) - n_spins * w
    hidden, result = thresholds.new_empty(len(matrices.first), thresholds.shape[1]), torch.empty_like(thresholds)
    hidden[:before] = units(matrices, inputs[:n_border], slice(0, before))
    for k in range(n_spins):
        known, unit, after = inputs[: n_border + k], before + k * w, before + (k + 1) * w
        hidden[unit:after] = units(matrices, known, slice(unit, after))
        result[k] = logits(matrices, known, hidden[:after], slice(k, k + 1))[0]
        inputs[n_border + k] = signs(result[k] > thresholds[k], like=inputs)
    return result
