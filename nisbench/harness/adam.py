"""Adam with the numbers of `torch.optim.Adam(fused=True)`, to the last bit.

The first use of an optimiser of `torch.optim` imports the compiler of torch, which takes more than a second of every
process that trains. `torch.optim.adam.adam`, the function that computes the step, does not.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

__all__ = ["Adam"]


class Adam:
    """Moves theta by -lr m / (sqrt(v) + 1e-8), with the running means m of the gradient and v of its square.

    Both means are divided by 1 - beta^t at step t, because they start at zero.
    Source: D. P. Kingma and J. Ba, arXiv:1412.6980.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], betas: tuple[float, float]) -> None:
        self.param_groups = groups
        """Groups of parameters `params`, each with a learning rate `lr` of its own."""
        self.betas = betas
        self.state: dict[int, dict[str, Tensor]] = {}
        """Steps and moments by the number of the parameter, counted over all groups."""
        numbers = itertools.count()
        self._numbered = [[(next(numbers), parameter) for parameter in group["params"]] for group in groups]

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for _, parameter in itertools.chain(*self._numbered):
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group, numbered in zip(self.param_groups, self._numbered, strict=True):
            moving = [(k, p, p.grad) for k, p in numbered if p.grad is not None]
            moments = [self._moments(k, p) for k, p, _ in moving]
            adam(
                [p for _, p, _ in moving],
                [gradient for _, _, gradient in moving],
                [each["exp_avg"] for each in moments],
                [each["exp_avg_sq"] for each in moments],
                [],
                [each["step"] for each in moments],
                fused=True,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=group["lr"],
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )

    def _moments(self, number: int, parameter: nn.Parameter) -> dict[str, Tensor]:
        """Return the moments of a parameter; zeros before its first step."""
        if number not in self.state:
            self.state[number] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[number]
