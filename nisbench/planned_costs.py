"""Show the estimated time and memory of a plan, and which cells do not fit into memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nisbench.earlier_costs import earlier_costs
from nisbench.harness.limits import size_text
from nisbench.harness.rough_costs import PlannedCost, rough_costs
from nisbench.harness.store import Store
from nisbench.results.cells import load
from nisbench.results.status import span

if TYPE_CHECKING:
    from nisbench.harness.plan import Plan

__all__ = ["estimated"]

_ROUGH = (
    "rough: from operation counts and the rate of a matrix product here; small networks often take ten times longer. "
    "Not estimated: chains and other samplers, preparation, compilation, evaluation during the training, the p side, "
    "activations in memory"
)
_EARLIER = (
    "from finished cells of the same kind, in proportion to steps and draws. Not estimated: the start of a process, "
    "evaluation during the training, the p side; memory is above that of the libraries"
)


def estimated(plan: "Plan", lines: Mapping[str, str], run: Path | None) -> tuple[dict[str, str], list[str]]:
    """Return the line of each cell with its costs, and lines with their sum and the cells that do not fit.

    Without `run`, the costs follow from operation counts. Raises StoreError if there is no run in that folder.
    """
    if run is None:
        costs = rough_costs(plan.cells, plan.memory_limit)
    else:
        costs = earlier_costs(plan.cells, load([Store.open(run)]).rows, plan.memory_limit)
    shown = {cell_id: f"{line}{_text(costs.get(cell_id, PlannedCost()))}" for cell_id, line in lines.items()}
    known = [cost.seconds for cost in costs.values() if cost.seconds is not None]
    large = [f"does not fit: {cell_id}: {cost.too_large}" for cell_id, cost in costs.items() if cost.too_large]
    total = f"estimated: {span(sum(known))} for {len(known)} of {len(lines)} cells, one after another"
    return shown, [*large, total, f"estimate {_ROUGH if run is None else _EARLIER}."]


def _text(cost: PlannedCost) -> str:
    time = "time not known" if cost.seconds is None else f"about {span(cost.seconds)}"
    return f"; {time}" + ("" if cost.memory is None else f", at least {size_text(cost.memory)}")
