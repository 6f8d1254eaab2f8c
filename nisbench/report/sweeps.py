"""Chooses the horizontal axis of the figures: L, beta, or an option in which the variants of the samplers differ."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from nisbench.report.document import Paragraph
from nisbench.report.palette import Mark, marks
from nisbench.report.selection import (
    panel_name,
    problem_note,
    problem_title,
    sampler_note,
    shown_labels,
    shown_problems,
)
from nisbench.results.cells import Results
from nisbench.results.groups import SeedGroup
from nisbench.results.rows import Problem

__all__ = ["Sweep", "sweep_note", "sweeps"]

_SHOWN_SIZES = 6
"""Largest number of sizes with figures against beta."""
_FEW_SIZES = 2
"""The same for a target with more values of beta than _SHOWN_PLACES."""
_SHOWN_TARGETS = 4
"""Largest number of targets with figures against beta."""
_SHOWN_PLACES = 30
"""Largest number of places on an axis."""
_FEWEST_VALUES = 3
"""An option with fewer values is compared in a dot plot."""


@dataclass(frozen=True)
class Sweep:
    """The groups that one figure shows, and the parameter on its horizontal axis."""

    axis: str
    """`L`, `β`, or the name of an option"""
    groups: tuple[SeedGroup, ...]
    results: Results

    @property
    def problem(self) -> Problem:
        """The target and beta; on an axis of beta, those of the first group."""
        return self.groups[0].problem

    @cached_property
    def single(self) -> bool:
        """True if all groups lie at one place of the axis, so that a dot plot shows more."""
        return len({self.place(group) for group in self.groups} - {None}) == 1

    def place(self, group: SeedGroup) -> float | None:
        """Position on the axis; None for a sampler without the option."""
        if self.axis == "L":
            return float(group.L)
        return group.problem.beta if self.axis == "β" else _option(group, self.axis)

    def name(self, group: SeedGroup) -> str:
        """Name of the series to which the group belongs."""
        return group.label if self.axis in ("L", "β") else group.members[0].cell.plugin

    @property
    def marks(self) -> dict[str, Mark]:
        """The mark of each series, by name."""
        return marks([*self.results.labels, *(self.name(group) for group in self.groups)])

    def title(self, text: str) -> str:
        """The title of a panel, with the parameters that tell the figures of one report apart."""
        if self.axis != "β":
            # An axis of L shows the size; a dot plot and an axis of another parameter do not.
            shown = self.axis == "L" and not self.single
            return problem_title(self.results, self.problem, text if shown else f"{text}, L = {self.groups[0].L}")
        several = len({problem.target for problem in self.results.problems}) > 1
        target = f"{self.problem.target}, " if several else ""
        return f"{text} ({target}L = {self.groups[0].L})"

    def file(self, quantity: str) -> str:
        """File name of a panel, unique within the report."""
        if self.axis != "β":
            return panel_name(self.results, self.problem, quantity)
        targets = list(dict.fromkeys(problem.target for problem in self.results.problems))
        number = f"-{targets.index(self.problem.target) + 1}" if len(targets) > 1 else ""
        slug = "".join(c if c.isascii() and c.isalnum() else "-" for c in quantity)
        return f"{slug}{number}-L{self.groups[0].L}"


@lru_cache(maxsize=1)
def sweeps(results: Results) -> tuple[Sweep, ...]:
    """One entry for each figure of a quantity.

    The axis is L, one figure for each target and beta. A target with more values of beta than of L has one figure for
    each L, against beta. Where all cells have one L and the variants differ in one number, the axis is this option.
    """
    by_target: dict[str, list[SeedGroup]] = {}
    for group in results.groups:
        by_target.setdefault(group.problem.target, []).append(group)
    against_beta = [target for target, here in by_target.items() if _against_beta(here)][:_SHOWN_TARGETS]
    found = []
    for target, here in by_target.items():
        if target in against_beta:
            long = len({group.problem.beta for group in here}) > _SHOWN_PLACES
            sizes = sorted({group.L for group in here})[-(_FEW_SIZES if long else _SHOWN_SIZES) :]
            found += [Sweep("β", tuple(group for group in here if group.L == L), results) for L in sizes]
        elif not _against_beta(here):
            for problem in (one for one in shown_problems(results) if one.target == target):
                own = tuple(group for group in here if group.problem == problem)
                if own:
                    found.append(Sweep(_varied_option(own) or "L", own, results))
    return tuple(_readable(sweep) for sweep in found)


def sweep_note(results: Results) -> list[Paragraph]:
    """Sentences on the targets, betas and samplers that are not drawn; empty if all are drawn."""
    made = sweeps(results)
    if not any(sweep.axis == "β" for sweep in made):
        return problem_note(results)
    betas = {group.problem.beta for sweep in made for group in sweep.groups}
    every, targets = {problem.beta for problem in results.problems}, {p.target for p in results.problems}
    drawn = {sweep.problem.target for sweep in made}
    notes = sampler_note(results)
    if len(betas) < len(every):
        notes.append(
            Paragraph(f"The figures show {len(betas)} of {len(every)} values of β, evenly chosen, at large L.")
        )
    if len(drawn) < len(targets):
        notes.append(Paragraph(f"The figures show {len(drawn)} of {len(targets)} targets. The export contains all."))
    return notes


def _readable(sweep: Sweep) -> Sweep:
    """The sweep with at most _SHOWN_PLACES places, evenly chosen with both ends, and the samplers that are drawn."""
    labels = shown_labels(sweep.results)
    groups = [group for group in sweep.groups if sweep.axis not in ("L", "β") or group.label in labels]
    places = sorted({place for group in groups if (place := sweep.place(group)) is not None})
    if len(places) > _SHOWN_PLACES:
        last = len(places) - 1
        kept = {places[round(i * last / (_SHOWN_PLACES - 1))] for i in range(_SHOWN_PLACES)} | {None}
        groups = [group for group in groups if sweep.place(group) in kept]
    return replace(sweep, groups=tuple(groups)) if len(groups) < len(sweep.groups) else sweep


def _against_beta(groups: Sequence[SeedGroup]) -> bool:
    return len({group.problem.beta for group in groups}) > len({group.L for group in groups})


def _varied_option(groups: Sequence[SeedGroup]) -> str | None:
    """The one option, with three numbers or more, in which the variants of the samplers differ at a single L."""
    if len({group.L for group in groups}) > 1:
        return None
    varied = set()
    for plugin in {group.members[0].cell.plugin for group in groups}:
        variants = [group.members[0].cell for group in groups if group.members[0].cell.plugin == plugin]
        keys = {key for cell in variants for key in cell.options}
        varied |= {key for key in keys if len({str(cell.options.get(key)) for cell in variants}) > 1}
    option = varied.pop() if len(varied) == 1 else None
    values = {_option(group, option) for group in groups} - {None} if option else set()
    return option if len(values) >= _FEWEST_VALUES else None


def _option(group: SeedGroup, name: str) -> float | None:
    value = group.members[0].cell.options.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
