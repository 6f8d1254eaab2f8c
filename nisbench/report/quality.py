"""Sections on how good the samples are: free energy and KL, effective sample size, autocorrelation."""

import itertools
from collections.abc import Sequence

from nisbench.contract.quantities import (
    ACCEPTANCE_RATE,
    ESS_FRACTION,
    ESS_FRACTION_P,
    FREE_ENERGY_NIS,
    FREE_ENERGY_P,
    FREE_ENERGY_VARIATIONAL,
    KL_FORWARD_NATS,
    KL_NATS,
    LONGEST_REJECTION_RUN,
    MEAN_CLUSTER_SIZE,
    RELATIVE_FREE_ENERGY_ERROR,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
    TAU_INT_SWEEPS_ABS_MAGNETISATION,
    TAU_INT_SWEEPS_ENERGY,
    describe,
    level_name,
)
from nisbench.report.charts import figure, problem_note, shown_problems, size_panel
from nisbench.report.comparison import Group, grouped
from nisbench.report.document import Block, Column, Entry, Paragraph, Section, Table, number, z_entry
from nisbench.report.numbers import concise
from nisbench.report.panels import Panel
from nisbench.report.results import Results
from nisbench.report.tables import lead_columns, lead_entries, size_table

__all__ = ["MARKS", "autocorrelation_section", "ess_section", "free_energy_section", "undrawn"]

MARKS = (
    "Filled marks: every seed passed every validity gate; hollow marks: untrusted. Grey hollow marks: published "
    "values, up to twice the largest size. An arrow at an edge: beyond the axis, or infinite. Error bars: one standard "
    "error."
)

_LEVELS = tuple(level_name(k) for k in range(16))


def free_energy_section(results: Results) -> Section:
    """Free-energy error and KL against L, and the three free energies beside the exact one."""
    groups = [group for group in grouped(results.contest) if group.measured]
    quantities = (RELATIVE_FREE_ENERGY_ERROR, KL_NATS, KL_FORWARD_NATS)
    blocks: list[Block] = [
        Paragraph(
            "KL(q‖p) in nats for the whole lattice decides whether a trained model is of use: near convergence the ESS "
            "per draw is about exp(−2 KL). A small relative error of the free energy can hide a large KL, because it "
            "is KL divided by ln Z."
        ),
        *_drawn(results, quantities, MARKS, log=True),
        _free_energies(results, groups),
        *_levels(results, groups),
    ]
    return Section("free-energy", "Free energy and Kullback-Leibler divergence", tuple(blocks))


def ess_section(results: Results) -> Section:
    """Both effective sample sizes."""
    groups = [group for group in grouped(results.contest) if group.estimate(ESS_FRACTION) is not None]
    names = (ESS_FRACTION, ESS_FRACTION_P, KL_NATS, KL_FORWARD_NATS, ACCEPTANCE_RATE, LONGEST_REJECTION_RUN)
    blocks: list[Block] = [
        Paragraph(
            "The q side uses the model's own draws and cannot see a mode that the model misses; the p side uses "
            "configurations of the reference sampler and can. The two must agree: where they differ, the model misses "
            "a tail or a mode. Values of the p side above 1 occur within the error."
        ),
        *_drawn(results, (ESS_FRACTION, ESS_FRACTION_P), MARKS, log=_low_ess(groups)),
    ]
    if groups:
        blocks.append(size_table("Overlap with the target.", results, groups, names))
    return Section("ess", "Effective sample size, both sides", tuple(blocks))


def autocorrelation_section(results: Results) -> Section:
    """Integrated autocorrelation times, with the convention."""
    groups = [group for group in grouped(results.contest) if group.measured]
    names = (
        TAU_INT_ENERGY,
        TAU_INT_ABS_MAGNETISATION,
        TAU_INT_SWEEPS_ENERGY,
        TAU_INT_SWEEPS_ABS_MAGNETISATION,
        MEAN_CLUSTER_SIZE,
        ACCEPTANCE_RATE,
        LONGEST_REJECTION_RUN,
    )
    pairs = (
        (TAU_INT_ENERGY, TAU_INT_SWEEPS_ENERGY),
        (TAU_INT_ABS_MAGNETISATION, TAU_INT_SWEEPS_ABS_MAGNETISATION),
    )
    panels = [
        size_panel(results, problem, quantity, also=(sweeps, ", in sweeps"), log=True, levels=(0.5,))
        for problem in shown_problems(results)
        for quantity, sweeps in pairs
    ]
    drawn = figure(panels, f"Integrated autocorrelation times; the dashed line is 1/2, independent draws. {MARKS}")
    blocks: list[Block] = [
        Paragraph(
            "Convention: τ_int = 1/2 + Σ ρ(t), so that independent draws have 1/2 and an effective sample takes 2 "
            "τ_int draws. The hierarchical paper prints 1 + 2 Σ ρ(t), twice this. A model's τ_int is that of its "
            "independence Metropolis chain (NMCMC); a cluster sampler's is in single-cluster flips, and also in "
            "sweeps, τ_int × mean cluster size / N. A chain that never moves has τ_int = ∞."
        ),
        *problem_note(results),
        *([drawn] if drawn else []),
    ]
    if groups:
        blocks.append(size_table("Autocorrelation of the chains.", results, groups, names))
    return Section("autocorrelation", "Autocorrelation times", tuple(blocks))


def undrawn(names: Sequence[str], panels: Sequence[Panel | None]) -> list[Block]:
    """A sentence that names the quantities for which there is no panel."""
    missing = [describe(name).heading for name, panel in zip(names, panels, strict=True) if panel is None]
    return [Paragraph(f"Not drawn, because no cell of this run holds it: {'; '.join(missing)}.")] if missing else []


def _drawn(results: Results, names: Sequence[str], caption: str, *, log: bool = False) -> list[Block]:
    blocks: list[Block] = [*problem_note(results)]
    for problem in shown_problems(results):
        panels = [size_panel(results, problem, name, log=log) for name in names]
        if drawn := figure(panels, caption):
            blocks.append(drawn)
        blocks += undrawn(names, panels)
    return blocks


def _low_ess(groups: Sequence[Group]) -> bool:
    """Whether both sides need a logarithmic axis, so that they can be compared by eye."""
    found = [group.estimate(name) for group in groups for name in (ESS_FRACTION, ESS_FRACTION_P)]
    return any(estimate is not None and estimate.value is not None and estimate.value < 0.1 for estimate in found)


def _free_energies(results: Results, groups: Sequence[Group]) -> Block:
    """The upper bound and the estimates from both sides, each beside the exact value."""
    held = [group for group in groups if group.estimate(FREE_ENERGY_VARIATIONAL) or group.estimate(FREE_ENERGY_NIS)]
    if not held:
        return Paragraph("No cell of this run holds a free energy.")
    names = (FREE_ENERGY_VARIATIONAL, FREE_ENERGY_NIS, FREE_ENERGY_P)
    heads = [
        *lead_columns(results),
        Column("F/N exact"),
        *(Column(describe(name).heading) for name in names),
        Column("z from q"),
        Column("z from p"),
        Column("relative error of variational F", key=RELATIVE_FREE_ENERGY_ERROR),
        Column("KL(q‖p)", "nats", key=KL_NATS),
    ]
    rows = [
        (
            *lead_entries(results, group),
            _exact(group, names),
            *(number(group.estimate(name), digits=8) for name in names),
            z_entry(group.estimate(FREE_ENERGY_NIS)),
            z_entry(group.estimate(FREE_ENERGY_P)),
            number(group.estimate(RELATIVE_FREE_ENERGY_ERROR), digits=3),
            number(group.estimate(KL_NATS)),
        )
        for group in held
    ]
    caption = (
        "Free energies per site. The variational one is an upper bound, never the free energy itself. The estimates "
        "from q and from p must enclose the exact value within their errors; where q misses a mode, only the one from "
        "p stays right."
    )
    return Table.of(caption, heads, rows)


def _levels(results: Results, groups: Sequence[Group]) -> list[Block]:
    """What each level of a hierarchical model adds to KL(q||p); nothing where no cell holds it."""
    known = [(group, list(itertools.takewhile(bool, map(group.estimate, _LEVELS)))) for group in groups]
    held = [(group, estimates) for group, estimates in known if estimates]
    if not held:
        return []
    deepest = max(len(estimates) for _, estimates in held)
    heads = [
        *lead_columns(results),
        *(Column(f"level {k}", "nats", key=_LEVELS[k]) for k in range(deepest)),
        Column("KL(q‖p)", "nats", key=KL_NATS),
    ]
    rows = [
        (
            *lead_entries(results, group),
            *(number(estimate) for estimate in [*estimates, *[None] * (deepest - len(estimates))]),
            number(group.estimate(KL_NATS)),
        )
        for group, estimates in held
    ]
    caption = (
        "Where the nats are lost: what the network of each level adds to KL(q‖p), level 0 being the largest scale. To "
        "second order, from the variance of ln w between draws that share the spins of the levels before; level 0 is "
        "what remains."
    )
    return [Table.of(caption, heads, rows)]


def _exact(group: Group, names: Sequence[str]) -> Entry:
    found = [estimate.exact for name in names if (estimate := group.estimate(name)) and estimate.exact is not None]
    return Entry(concise(found[0], digits=10), found[0]) if found else Entry("not known", tone="missing")
