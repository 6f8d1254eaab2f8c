"""Method card of `van`: the variational autoregressive network (VAN), q(s) = prod_i q(s_i | s_<i).

Samples     a normalised density q(s) of L x L configurations of any target, spin by spin in raster order. One masked
            network computes all conditionals: dense (MADE) or convolutional (PixelCNN).
Symmetry    with `z2`, q is averaged over s and -s if the target has this symmetry; in a field it is not.
Exactness   q is exactly normalised. Averages over p need importance weights or a Metropolis step.
Cost        dense with two layers of width 1: L^4 multiply-adds per draw, twice as many with the Z2 average over s and
            -s. Every hidden unit is computed once, so drawing costs one forward pass in all instead of one per spin.
Failure     parameters and cost of the dense network grow as L^4, and training on large lattices stalls far from p.
Reference   D. Wu, L. Wang, P. Zhang, "Solving Statistical Mechanics Using Variational Autoregressive Networks",
            Phys. Rev. Lett. 122, 080602 (2019), arXiv:1809.10606.
Differences this code uses logits; the paper clips probabilities by an epsilon, which leaves q unnormalised. The first
            spin has no special bias. The default architecture is the baseline of the hierarchical paper (dense, two
            layers, width 1).
Training    the learning rate and schedule of the dense network were measured with `nisbench run --plan learning-rate`
            (reports/learning-rate) at L = 16: 4000 steps of batch 512, three seeds. ess_fraction is 0.79 at the default
            rate. Every training fails (ess_fraction below 0.02) at a third of this rate, at three times this rate, and
            if the rate is not divided by the fan-in. With net = conv other options have other defaults (`nisbench
            plugins van`), chosen at L = 8 after 60 s on one core, seed 1 (`nisbench run --plugins van --sizes 8 --beta
            0.44 --train-seconds 60 --draws 8000 --option van.net=conv`, and one --option for each change): kl_nats is
            0.054 with them. It is 0.062 and 0.090 at half and twice the rate, and 5.5 with the defaults of the dense
            network. At half the rate it is 0.058 with half the batch, and 0.144 with annealing_fraction = 0.75.
"""

from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from nisbench.api import Model, ModelDraws, Target, TrainingBatch
from nisbench.nn.bernoulli import configurations, thresholds, z2_average, z2_flip
from nisbench.nn.conv import AutoregressiveConv
from nisbench.nn.deep import AutoregressiveDeep
from nisbench.nn.dense import AutoregressiveDense
from nisbench_plugins.registration import VanOptions

__all__ = ["Van"]


class Van(Model):
    """Autoregressive density q(s) from one masked network over all spins in raster order.

    Inside this class a batch of lattices is a tensor (sites, n).
    """

    capturable = True

    def __init__(self, target: Target, options: VanOptions) -> None:
        super().__init__(target, options)
        self.z2 = options.z2 and target.z2  # in a field, q(s) = q(-s) would be wrong for every s
        self.network: AutoregressiveDense | AutoregressiveDeep | AutoregressiveConv
        if options.net == "dense" and options.depth == 2 and not options.residual:
            self.network = AutoregressiveDense(target.n_sites, width=options.width, bias=options.bias)
        elif options.net == "dense":
            self.network = AutoregressiveDeep(
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
        """Draw n configurations spin by spin, with their ln q; see the base class. q does not depend on beta."""
        with torch.no_grad():
            lattice, log_prob = self.network.draw(self._thresholds(n, generator))
            spins = configurations(lattice)
            if self.z2:
                log_prob = z2_average(log_prob, self.network.score(-lattice))
                spins = z2_flip(spins, generator)
        return ModelDraws(spins, log_prob)

    def log_prob(self, spins: Tensor, *, beta: float) -> Tensor:
        """Return ln q(s), (n,) float64; see the base class. q does not depend on beta."""
        lattice = spins.reshape(len(spins), -1).T  # (n, L, L) -> (sites, n)
        log_prob = self.network.score(lattice)
        return z2_average(log_prob, self.network.score(-lattice)) if self.z2 else log_prob

    def training_batch(self, n: int, *, beta: float, generator: Generator) -> TrainingBatch:
        """Draw a batch for the reverse-KL loss.

        Same numbers as the base class; ln q comes from the drawing itself, so the network is not evaluated again.
        """
        lattice, log_prob = self.network.draw(self._thresholds(n, generator))
        if self.z2:
            log_prob = z2_average(log_prob, self.network.score(-lattice))
        energy = self.target.energy(configurations(lattice))
        return TrainingBatch(log_prob, log_prob.detach() + beta * energy)

    def costs(self) -> Mapping[str, float]:
        """Return the operations and the sequential network calls of one draw.

        A multiply-add counts as two operations. Masked zeros are left out. The Z2 average doubles the operations.
        """
        passes = 2 if self.z2 else 1
        return {
            "flops_per_draw": float(passes * 2 * self.network.multiply_adds()),
            "network_calls_per_draw": float(self.target.n_sites),
        }

    def _thresholds(self, n: int, generator: Generator) -> Tensor:
        """Return logit(u) of uniform random numbers u, (sites, n): spin i is +1 where its logit is larger."""
        return thresholds(self.target.n_sites, n, like=next(self.parameters()), generator=generator)
