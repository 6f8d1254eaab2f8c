"""The baseline of a problem and size: the cheapest trusted sampler of the run that needs no training."""

import math
from collections.abc import Iterable

from nisbench.contract.quantities import TRAIN_S
from nisbench.results.costs import cost_of
from nisbench.results.groups import SeedGroup, grouped
from nisbench.results.rows import CellRow, Problem

__all__ = ["Baselines"]


class Baselines:
    """The baseline of each problem, L, device and machine. The rows of a place are searched once."""

    def __init__(self, rows: Iterable[CellRow]) -> None:
        self._untrained: dict[tuple[Problem, int, str], list[CellRow]] = {}
        self._cheapest: dict[tuple[Problem, int, str, str | None], SeedGroup | None] = {}
        for row in rows:
            if row.trusted and row.cell.kind != "model" and TRAIN_S not in row.quantities:
                self._untrained.setdefault((row.problem, row.cell.L, row.cell.device), []).append(row)
        self._devices = sorted({device for _, _, device in self._untrained})

    def at(self, problem: Problem, L: int, device: str, machine: str | None = None) -> SeedGroup | None:
        """The sampler without training that has the smallest cost at this place; only seeds that are `ok` count.

        Chains, weighted draws and densities count alike. With `machine`, the name of a processor or GPU, only cells of
        that machine count.
        """
        place = (problem, L, device, machine)
        if place not in self._cheapest:
            here = self._untrained.get((problem, L, device), ())
            own = [row for row in here if machine in (None, row.device_name)]
            priced = [group for group in grouped(own) if math.isfinite(cost_of(group))]
            self._cheapest[place] = min(priced, key=cost_of, default=None)
        return self._cheapest[place]

    def or_stand_in(self, place: SeedGroup) -> tuple[SeedGroup | None, str]:
        """The baseline on the machine of `place` and its name; without one, that of another machine or device.

        The name of a stand-in includes its machine or its device. Without any baseline: None and the reason.
        """
        if own := self.at(place.problem, place.L, place.device, place.machine):
            return own, own.label
        if found := self.at(place.problem, place.L, place.device):
            return found, f"{found.label} on {found.machine}"
        for other in self._devices:
            if other != place.device and (found := self.at(place.problem, place.L, other)):
                return found, f"{found.label} on {other.upper()}"
        return None, f"no trusted sampler without training at L = {place.L} on {place.device}"
