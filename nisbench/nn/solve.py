"""The triangle inside a block of spins: the only part of ancestral sampling that is sequential.

One seam, two implementations with the same result: compiled for CPU (`kernels`, plain stacks) and torch operations
for everything else.
"""

import torch

from nisbench.nn import kernels
from nisbench.nn.sweep import Sweep

__all__ = ["solve_block", "solve_block_torch"]


def solve_block(sweep: Sweep, start: int, stop: int) -> None:
    """Draws the spins start..stop and completes their units, in place.

    On entry `pre` and `logits` of the block hold what all sites before `start` contribute.
    """
    if sweep.inputs.device.type == "cpu" and sweep.net.traceable:
        _solve_compiled(sweep, start, stop)
    else:
        solve_block_torch(sweep, start, stop)


def solve_block_torch(sweep: Sweep, start: int, stop: int) -> None:
    """Spin by spin with torch operations: any network, any device."""
    nb, w, depth = sweep.net.n_border, sweep.net.width, sweep.net.depth
    for k in range(start, stop):
        site = nb + k
        for layer in range(depth):
            last = layer == depth - 1
            rows = slice(k, k + 1) if last else slice(site * w, (site + 1) * w)
            out = sweep.logits[rows] if last else sweep.pre[layer, rows]
            x = sweep.below(layer, nb + start, site + (layer > 0))
            offset = (nb + start) * (w if layer else 1)
            out.addmm_(sweep.weights.layers[layer][rows, offset : offset + len(x)], x)
            if not last:
                sweep.activate(layer, rows)
        sweep.inputs[site] = torch.where(sweep.logits[k] > sweep.thresholds[k], 1.0, -1.0)


def _solve_compiled(sweep: Sweep, start: int, stop: int) -> None:
    """Cuts the diagonal blocks out of the weights and calls the kernel."""
    net, weights = sweep.net, sweep.weights.layers
    sites = slice(net.n_border + start, net.n_border + stop)
    units = slice(sites.start * net.width, sites.stop * net.width)
    middle = [weight[units, units] for weight in weights[1:-1]]
    kernels.solve_stack(
        weights[0][units, sites].contiguous().numpy(),
        (torch.stack(middle) if middle else weights[0].new_empty(0, 0, 0)).numpy(),
        weights[-1][start:stop, units].contiguous().numpy(),
        torch.stack([slope[units] for slope in sweep.weights.slopes]).numpy(),
        sweep.thresholds[start:stop].contiguous().numpy().reshape(-1),
        sweep.inputs[sites].numpy().reshape(-1),
        sweep.pre.numpy().reshape(-1),
        sweep.post.numpy().reshape(-1),
        sweep.logits[start:stop].numpy().reshape(-1),
        sweep.pre.shape[1],
        units.start,
    )
