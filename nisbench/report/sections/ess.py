"""Section on the effective sample size (ESS) from both sides."""

from nisbench.contract.quantities import (
    ACCEPTANCE_RATE,
    ESS_FRACTION,
    ESS_FRACTION_P,
    KL_FORWARD_NATS,
    KL_NATS,
    LONGEST_REJECTION_RUN,
)
from nisbench.report.document import Block, Paragraph, Section
from nisbench.report.selection import absence
from nisbench.report.tables import size_table
from nisbench.results.cells import Results

__all__ = ["ess_section"]

_COLUMNS = (ESS_FRACTION, ESS_FRACTION_P, KL_NATS, KL_FORWARD_NATS, ACCEPTANCE_RATE, LONGEST_REJECTION_RUN)


def ess_section(results: Results) -> Section:
    """A table of the overlap of each model with the target, and how to read its two sides."""
    groups = [group for group in results.groups if group.estimate(ESS_FRACTION) is not None]
    blocks: list[Block] = [
        Paragraph(
            "The q side uses the model's own draws. It cannot see a mode that the model misses. The p side uses "
            "configurations of the reference sampler and can see such a mode. If the two sides differ, the model "
            "misses a tail or a mode. A p side slightly above 1 is within its error."
        ),
        size_table("Overlap with the target.", results, groups, _COLUMNS) if groups else absence("an ESS per draw"),
    ]
    return Section("ess", "Do the two sides of each model agree?", tuple(blocks), "Both sides")
