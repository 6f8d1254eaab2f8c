"""The compiled pass for plain stacks on the CPU: tensors in, tensors out, no copy where the layout fits."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nisbench.nn import kernels
from nisbench.nn.sweep import MaskedWeights

if TYPE_CHECKING:
    from nisbench.nn.dense import AutoregressiveDense

__all__ = ["draw_compiled", "sample_compiled"]


def draw_compiled(net: "AutoregressiveDense", thresholds: Tensor, border: Tensor | None) -> tuple[Tensor, Tensor]:
    """Spins (n_spins, n) and ln q (n,) float64; the hidden units never leave the cache."""
    n = thresholds.shape[1]
    spins, nothing = torch.empty_like(thresholds), thresholds.new_empty(0, 0, 0)
    known = thresholds.new_empty(0, n) if border is None else border
    return spins, _run(net, thresholds, known, spins, thresholds.new_empty(0, 0), nothing, nothing)


def sample_compiled(
    net: "AutoregressiveDense", thresholds: Tensor, border: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`inputs`, `pre`, `post`, `logits` as in Trace, and ln q (n,) float64."""
    inputs = thresholds.new_empty(net.n_sites, thresholds.shape[1])
    if border is not None:
        inputs[: net.n_border] = border
    pre = thresholds.new_empty(net.depth - 1, net.n_sites * net.width, thresholds.shape[1])
    post, logits = torch.empty_like(pre), torch.empty_like(thresholds)
    known, spins = inputs[: net.n_border], inputs[net.n_border :]
    return inputs, pre, post, logits, _run(net, thresholds, known, spins, logits, pre, post)


def _run(
    net: "AutoregressiveDense",
    thresholds: Tensor,
    border: Tensor,
    spins: Tensor,
    logits: Tensor,
    pre: Tensor,
    post: Tensor,
) -> Tensor:
    weights = MaskedWeights.of(net)
    middle, hidden_biases = weights.layers[1:-1], weights.biases[:-1]
    log_prob = thresholds.new_empty(thresholds.shape[1], dtype=torch.float64)
    arguments = (
        weights.layers[0],
        torch.stack(middle) if middle else thresholds.new_empty(0, 0, 0),
        weights.layers[-1],
        torch.stack(hidden_biases).squeeze(2),
        weights.biases[-1].squeeze(1),
        torch.stack(weights.slopes),
        border,
        thresholds,
        spins,
        log_prob,
        logits,
        pre,
        post,
    )
    kernels.sample_stack(*(tensor.detach().contiguous().numpy() for tensor in arguments))
    return log_prob
