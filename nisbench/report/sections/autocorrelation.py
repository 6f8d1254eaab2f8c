"""Section on integrated autocorrelation times."""

from nisbench.contract.quantities import (
    ACCEPTANCE_RATE,
    LONGEST_REJECTION_RUN,
    MEAN_CLUSTER_SIZE,
    TAU_INT_ABS_MAGNETISATION,
    TAU_INT_ENERGY,
    TAU_INT_SWEEPS_ABS_MAGNETISATION,
    TAU_INT_SWEEPS_ENERGY,
)
from nisbench.report.charts import figure, quantity_panel
from nisbench.report.document import Block, Paragraph, Section
from nisbench.report.sweeps import sweep_note, sweeps
from nisbench.report.tables import size_table
from nisbench.report.words import AS_ABOVE
from nisbench.results.cells import Results

__all__ = ["autocorrelation_section"]

_DRAWS_AND_SWEEPS = (
    (TAU_INT_ENERGY, TAU_INT_SWEEPS_ENERGY),
    (TAU_INT_ABS_MAGNETISATION, TAU_INT_SWEEPS_ABS_MAGNETISATION),
)
"""Pairs of quantities that share a panel."""
_COLUMNS = (
    *(TAU_INT_ENERGY, TAU_INT_ABS_MAGNETISATION, TAU_INT_SWEEPS_ENERGY, TAU_INT_SWEEPS_ABS_MAGNETISATION),
    *(MEAN_CLUSTER_SIZE, ACCEPTANCE_RATE, LONGEST_REJECTION_RUN),
)


def autocorrelation_section(results: Results) -> Section:
    """Integrated autocorrelation times against L and in a table, with the convention."""
    groups = [group for group in results.groups if group.measured]
    panels = [
        quantity_panel(sweep, draws, also=(sweeps, ", in sweeps"), log=True, levels=(0.5,))
        for sweep in sweeps(results)
        for draws, sweeps in _DRAWS_AND_SWEEPS
    ]
    caption = f"Integrated autocorrelation times. The dashed line is 1/2, the value of independent draws. {AS_ABOVE}"
    drawn = figure(panels, caption)
    blocks: list[Block] = [
        Paragraph(
            "Convention: τ_int = 1/2 + Σ ρ(t). Independent draws have τ_int = 1/2, and one effective sample takes 2 "
            "τ_int draws. The paper on the hierarchical model prints 1 + 2 Σ ρ(t), which is twice as large. For a "
            "model, τ_int is that of its independence Metropolis chain (NMCMC). For a cluster sampler, τ_int is in "
            "units of single-cluster flips, and also in sweeps, τ_int × mean cluster size / N. A chain that never "
            "moves has τ_int = ∞."
        ),
        *sweep_note(results),
        *([drawn] if drawn else []),
    ]
    if groups:
        blocks.append(size_table("Autocorrelation of the chains.", results, groups, _COLUMNS))
    return Section("autocorrelation", "How many draws make one independent sample?", tuple(blocks), "Autocorrelation")
