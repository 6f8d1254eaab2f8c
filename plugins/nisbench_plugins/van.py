"""Variational autoregressive network (VAN): q(s) = prod_i q(s_i | s_<i) by one masked network over all spins.

What it samples: a normalised density q(s) of L x L configurations in raster order, dense (MADE) or convolutional
(PixelCNN).
Exact, asymptotic or biased: q is exactly normalised; averages need importance weights or a Metropolis step.
Cost per draw: dense with two layers of width 1, L^4 multiply-adds, twice that with the Z2 average; every unit is
computed once, so that drawing costs one forward pass instead of one per spin.
Known failure: parameters and cost grow as L^4 (dense), and the training of large lattices stalls far from p.
Reference: D. Wu, L. Wang, P. Zhang, Phys. Rev. Lett. 122, 080602 (2019).
Differences from the paper: logits instead of probabilities clipped by an epsilon (which leaves q unnormalised), and
no special bias of the first spin. The defaults are the baseline of the hierarchical paper (dense, two layers, width
1). Learning rate and schedule were measured, for dense nets alone, with `nisbench run --plan learning-rate`
(reports/learning-rate), three seeds: at L = 16 after 4000 steps of batch 512 ess_fraction is 0.79 at the default, and
every network is lost (below 0.02) at a third of the rate, at three times it, and where the rate is not divided by the
fan-in.
"""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from nisbench.api import Model, ModelDraws, Target, TrainingBatch
from nisbench.nn.bernoulli import configurations, thresholds, z2_average, z2_flip
from nisbench.nn.conv import AutoregressiveConv
from nisbench.nn.dense import AutoregressiveDense
from nisbench_plugins.registration import VanOptions

__all__ = ["Van"]


class Van(Model):
    """One masked network over all spins in raster order; lattices are (sites, n) inside."""

    def __init__(self, target: Target, options: VanOptions) -> None:
        super().__init__(target, options)
        self.network: AutoregressiveDense | AutoregressiveConv
        if options.net == "dense":
            self.network = AutoregressiveDense(
                target.n_sites,
                depth=options.depth,
                width=options.width,
                residual=options.residual,
                bias=options.bias,
            )
        else:
            self.network = AutoregressiveConv(
                target.L,
                depth=options.depth,
                channels=options.channels,
                half_kernel=options.half_kernel,
                residual=options.residual,
                bias=options.bias,
            )

    def sample(self, n: int, *, beta: float, generator: Generator) -> ModelDraws:
        """Draws spin after spin; see the base class. beta plays no part in q."""
        with torch.no_grad():
            lattice, log_prob = self.network.draw(self._thresholds(n, generator))
            spins = configurations(lattice)
            if self.options.z2:
                log_prob = z2_average(log_prob, self.network.score(-lattice))
                spins = z2_flip(spins, generator)
        return ModelDraws(spins, log_prob)

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """ln q(s); see the base class."""
        lattice = spins.reshape(len(spins), -1).T  # (n, L, L) -> (sites, n)
        log_prob = self.network.score(lattice)
        return z2_average(log_prob, self.network.score(-lattice)) if self.options.z2 else log_prob

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """As the default, but ln q of the drawn lattices is not evaluated a second time."""
        lattice, log_prob = self.network.draw(self._thresholds(n, generator))
        if self.options.z2:
            log_prob = z2_average(log_prob, self.network.score(-lattice))
        energy = self.target.energy(configurations(lattice))
        return TrainingBatch(log_prob, log_prob.detach() + beta * energy)

    def costs(self) -> Mapping[str, float]:
        """Multiply-adds count as two operations; masked zeros are left out, the Z2 average is counted."""
        passes = 2 if self.options.z2 else 1
        return {
            "flops_per_draw": float(passes * 2 * self.network.multiply_adds()),
            "network_calls_per_draw": float(self.target.n_sites),
        }

    def _thresholds(self, n: int, generator: Generator) -> Tensor:
        return thresholds(self.target.n_sites, n, like=next(self.parameters()), generator=generator)
