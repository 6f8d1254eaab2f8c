"""Section on the effective sample size (ESS) from both sides."""

from collections.abc import Sequence

from nisbench.contract.quantities import (
    ACCEPTANCE_RATE,
    ESS_FRACTION,
    ESS_FRACTION_P,
    KL_FORWARD_NATS,
    KL_NATS,
    LONGEST_REJECTION_RUN,
)
from nisbench.report.charts import MARKS, quantity_figures
from nisbench.report.document import Block, Paragraph, Section
from nisbench.report.tables import size_table
from nisbench.results.cells import Results
from nisbench.results.groups import SeedGroup, grouped

__all__ = ["ess_section"]

_SIDES = (ESS_FRACTION, ESS_FRACTION_P)
_COLUMNS = (*_SIDES, KL_NATS, KL_FORWARD_NATS, ACCEPTANCE_RATE, LONGEST_REJECTION_RUN)
_LOW = 0.1
"""If an ESS per draw is below this value, both sides are drawn on a logarithmic axis."""


def ess_section(results: Results) -> Section:
    """Both effective sample sizes against L, and a table of the overlap with the target."""
    groups = [group for group in grouped(results.contest) if group.estimate(ESS_FRACTION) is not None]
    blocks: list[Block] = [
        Paragraph(
            "The q side uses the model's own draws and cannot see a mode that the model misses. The p side uses "
            "configurations of the reference sampler and can see it. The two sides must agree; if they differ, the "
            "model misses a tail or a mode. Values of the p side above 1 occur within the error."
        ),
        *quantity_figures(results, _SIDES, MARKS, log=_any_low(groups)),
    ]
    if groups:
        blocks.append(size_table("Overlap with the target.", results, groups, _COLUMNS))
    return Section("ess", "Effective sample size, both sides", tuple(blocks))


def _any_low(groups: Sequence[SeedGroup]) -> bool:
    """True if a value on either side is low; both sides then share the axis, so that they can be compared by eye."""
    return any(group.value(side) < _LOW for group in groups for side in _SIDES)
