"""Models that draw a configuration in levels, one network after the other, for example scale by scale."""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Generator, Tensor

from nisbench.contract.interfaces import Model, ModelDraws, covariance

__all__ = ["LevelModel", "LocalPairs"]


class LevelModel(Model):
    """A model with levels, for which the core estimates how much each level adds to KL(q||p)."""

    n_levels: int
    """Number of networks that draw a configuration one after the other."""

    @abstractmethod
    def draw_pairs(self, n: int, *, level: int, beta: float, generator: Generator) -> tuple[ModelDraws, ModelDraws]:
        """n pairs of draws that share the spins of the levels before `level`, for 0 < level < n_levels.

        Given the shared spins, the two draws of a pair are independent. Each of them is distributed like a draw of
        `sample`. Half the variance of ln w within pairs is the loss, in nats, of the levels from `level` on.
        """


@dataclass(frozen=True)
class LocalPairs:
    """Two draws of the inside of each block of a level, given the same border.

    By the Markov property, the spins that one network drew in a block change ln q + beta E inside this block only.
    The other draw of the pair is the baseline (W. Kool, H. van Hoof, M. Welling, 2019), so the noise of the rest of
    the lattice does not enter the gradient.
    """

    log_prob: Tensor
    """(2, n_blocks, m) float64 with gradient: ln q of the spins that the network of this level drew, in m lattices"""
    signal: Tensor
    """(2, n_blocks, m) float64 without gradient: ln q + beta E of all spins drawn inside the block, or its mean"""

    def loss(self) -> Tensor:
        """() the sum over blocks, averaged over lattices."""
        return covariance(self.signal, self.log_prob).sum(0).mean()  # (2, n_blocks, m) -> (n_blocks, m) -> (m,) -> ()
