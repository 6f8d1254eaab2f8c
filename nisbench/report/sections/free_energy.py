"""Section on the free energy and the Kullback-Leibler divergence (KL)."""

import itertools
from collections.abc import Sequence

from nisbench.contract.quantities import (
    FREE_ENERGY_NIS,
    FREE_ENERGY_P,
    FREE_ENERGY_VARIATIONAL,
    KL_FORWARD_NATS,
    KL_NATS,
    RELATIVE_FREE_ENERGY_ERROR,
    describe,
    level_name,
)
from nisbench.report.charts import quantity_figures
from nisbench.report.document import Block, Column, Entry, Paragraph, Section, Table, number, z_entry
from nisbench.report.tables import lead_columns, lead_entries
from nisbench.report.words import AS_ABOVE
from nisbench.results.cells import Results
from nisbench.results.groups import SeedGroup
from nisbench.results.numbers import concise

__all__ = ["free_energy_section"]

_FREE_ENERGIES = (FREE_ENERGY_VARIATIONAL, FREE_ENERGY_NIS, FREE_ENERGY_P)
_KL_COLUMN = Column(describe(KL_NATS).heading, describe(KL_NATS).unit, key=KL_NATS)


def free_energy_section(results: Results) -> Section:
    """Free-energy error and KL against L; tables of the three free energies and of the KL of each level."""
    groups = [group for group in results.groups if group.measured]
    quantities = (RELATIVE_FREE_ENERGY_ERROR, KL_FORWARD_NATS)
    blocks: list[Block] = [
        Paragraph(
            "The Kullback-Leibler divergence KL(q‖p) in nats, for the whole lattice, decides whether a trained model "
            "is useful: near convergence the effective sample size (ESS) per draw is about exp(−2 KL). The relative "
            "error of the free energy is KL divided by ln Z, so a small relative error can hide a large KL."
        ),
        *quantity_figures(results, quantities, f"Free energy and KL from the p side. {AS_ABOVE}", log=True),
        _free_energies(results, groups),
        *_levels(results, groups),
    ]
    return Section("free-energy", "How close is each model to the target?", tuple(blocks), "Free energy and KL")


def _free_energies(results: Results, groups: Sequence[SeedGroup]) -> Block:
    """The upper bound and the estimates from both sides, each beside the exact value."""
    shown = [group for group in groups if group.estimate(FREE_ENERGY_VARIATIONAL) or group.estimate(FREE_ENERGY_NIS)]
    if not shown:
        return Paragraph("No cell of this run has a free energy.")
    heads = [
        *lead_columns(results),
        Column("F/N exact"),
        *(Column(describe(name).heading) for name in _FREE_ENERGIES),
        Column("z from q"),
        Column("z from p"),
        Column(describe(RELATIVE_FREE_ENERGY_ERROR).heading, key=RELATIVE_FREE_ENERGY_ERROR),
        _KL_COLUMN,
    ]
    rows = [
        (
            *lead_entries(results, group),
            _exact(group),
            *(number(group.estimate(name), digits=8) for name in _FREE_ENERGIES),
            z_entry(group.z(FREE_ENERGY_NIS)),
            z_entry(group.z(FREE_ENERGY_P)),
            number(group.estimate(RELATIVE_FREE_ENERGY_ERROR), digits=3),
            number(group.estimate(KL_NATS)),
        )
        for group in shown
    ]
    caption = (
        "Free energies per site. The variational free energy is an upper bound, never the free energy itself. The "
        "estimates from q and from p must enclose the exact value within their errors. If q misses a mode, only the "
        "estimate from p is right."
    )
    return Table.of(caption, heads, rows).shorter()


def _exact(group: SeedGroup) -> Entry:
    exact = [e.exact for name in _FREE_ENERGIES if (e := group.estimate(name)) and e.exact is not None]
    return Entry(concise(exact[0], digits=10), exact[0]) if exact else Entry("not known", tone="missing")


def _levels(results: Results, groups: Sequence[SeedGroup]) -> list[Block]:
    """A table of the KL that each level of a hierarchical model adds; empty if no cell has it."""
    # Levels are numbered from 0 without gaps, so the first missing level ends the list.
    levels = [
        list(itertools.takewhile(bool, map(group.estimate, map(level_name, itertools.count())))) for group in groups
    ]
    deepest = max(map(len, levels), default=0)
    if not deepest:
        return []
    heads = [
        *lead_columns(results),
        *(Column(f"level {k}", describe(level_name(k)).unit, key=level_name(k)) for k in range(deepest)),
        _KL_COLUMN,
    ]
    rows = [
        (
            *lead_entries(results, group),
            *(number(estimate) for estimate in [*estimates, *[None] * (deepest - len(estimates))]),
            number(group.estimate(KL_NATS)),
        )
        for group, estimates in zip(groups, levels, strict=True)
        if estimates
    ]
    caption = (
        "How much of the KL divergence each level of the hierarchy causes; level 0 is the largest scale. The parts are "
        "computed to second order, from the variance of ln w between draws that share the spins of the levels before. "
        "Level 0 is the remainder."
    )
    return [Table.of(caption, heads, rows).shorter()]
