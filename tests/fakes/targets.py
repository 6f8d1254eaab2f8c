"""Targets that break one clause of the contract each."""

import torch

from nisbench.physics.ising import Ising


class OtherName(Ising):
    name = "other"


class NumberForZ2(Ising):
    def __init__(self, L, options):
        super().__init__(L, options)
        self.z2 = 1


class RefusesAll(Ising):
    def __init__(self, L, options):
        raise ValueError("not today")


class WrongBonds(Ising):
    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        return super().energy(spins) * 1.001


class SinglePrecision(Ising):
    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        return super().energy(spins).float()


class MeanOfBatch(Ising):
    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        energy = super().energy(spins)
        return energy - energy.mean()


class Counts(Ising):
    calls = 0

    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        self.calls += 1
        return super().energy(spins) + self.calls


class FlipsItsInput(Ising):
    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        energy = super().energy(spins)
        spins *= -1
        return energy


class GlobalGenerator(Ising):
    def __init__(self, L, options):
        super().__init__(L, options)
        torch.rand(1)


class OtherDevice(Ising):
    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        return super().energy(spins).to("meta")


class DeniesSymmetry(Ising):
    def __init__(self, L, options):
        super().__init__(L, options)
        self.z2 = False


class WrongExact(Ising):
    def exact(self, beta):
        return {**super().exact(beta), "energy": super().exact(beta)["energy"] + 1e-6}


class UnknownExact(Ising):
    def exact(self, beta):
        return {"log_z": 1.0}


class AnyExtent(Ising):
    def energy(self, spins):
        """Spins (..., L, L) of -1 and +1."""
        return -spins.double().sum((-2, -1))


class UndocumentedZeros(Ising):
    def energy(self, spins):
        """The energy."""
        return super().energy(spins)
