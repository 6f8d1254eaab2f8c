"""Advice for each size: which sampler to use for how many effective samples, as numbers without sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from nisbench.results.cells import Results
from nisbench.results.costs import differ
from nisbench.results.groups import SeedGroup
from nisbench.results.rows import Problem
from nisbench.results.totals import Contender, Span, contenders, spans

__all__ = ["Advice", "advice"]


@dataclass(frozen=True)
class Advice:
    """The groups of one target, machine and size, and the winners among the trusted ones."""

    L: int
    groups: tuple[SeedGroup, ...]
    contenders: tuple[Contender, ...]
    spans: tuple[Span, ...]
    """Empty if no trusted group has a known cost."""

    @property
    def alone(self) -> bool:
        """True if only one sampler was run at this size."""
        return len({group.label for group in self.groups}) == 1

    @property
    def alone_trusted(self) -> bool:
        """True if several samplers were run, and only one of them is trusted and has a cost."""
        return not self.alone and len(self.contenders) == 1

    @property
    def equal_once_trained(self) -> tuple[Contender, ...]:
        """Trained samplers whose cost does not differ from that of the untrained sampler that wins for every number."""
        if len(self.spans) != 1 or self.spans[0].winner.group.trained:
            return ()
        cost = self.spans[0].winner.stops[-1].cost
        return tuple(c for c in self.contenders if c.group.trained and not differ(c.stops[-1].cost, cost))


@lru_cache(maxsize=1)
def advice(results: Results) -> tuple[tuple[Advice, ...], ...]:
    """Advice by size for each target and machine that has a group with numbers; sizes in increasing order."""
    return tuple(tuple(_by_size(places)) for places in _places(results))


def _places(results: Results) -> Iterator[tuple[SeedGroup, ...]]:
    """The groups of each problem and machine. A group without numbers joins the first machine of its device."""
    groups = results.groups
    first: dict[tuple[Problem, str], str] = {}
    for group in sorted(groups, key=lambda group: not group.measured):
        first.setdefault((group.problem, group.device), group.machine)
    found: dict[tuple[Problem, str, str], list[SeedGroup]] = {}
    for group in groups:
        machine = group.machine if group.measured else first[group.problem, group.device]
        found.setdefault((group.problem, group.device, machine), []).append(group)
    yield from (tuple(here) for here in found.values())


def _by_size(groups: Sequence[SeedGroup]) -> Iterator[Advice]:
    for L in sorted({group.L for group in groups}):
        here = tuple(group for group in groups if group.L == L)
        rivals = contenders(here)
        yield Advice(L, here, rivals, spans(rivals))
