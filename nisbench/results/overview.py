"""The table of samplers and sizes as a small frame of text, for a notebook."""

import pandas as pd

from nisbench.contract.quantities import (
    BREAK_EVEN_SAMPLES,
    ESS_FRACTION,
    ESS_FRACTION_P,
    KL_NATS,
    LOG_Z_PER_SITE,
    S_PER_EFFECTIVE_SAMPLE,
    describe,
)
from nisbench.contract.records import Estimate
from nisbench.results.break_even import break_even_of
from nisbench.results.cells import Results
from nisbench.results.costs import with_training
from nisbench.results.groups import SeedGroup
from nisbench.results.numbers import concise, score
from nisbench.results.rows import status_counts

__all__ = ["overview"]

_SHOWN = (KL_NATS, ESS_FRACTION, ESS_FRACTION_P, S_PER_EFFECTIVE_SAMPLE)


def overview(results: Results) -> pd.DataFrame:
    """Return one row per sampler and size: status, KL, both ESS, cost without and with training, break-even."""
    return pd.DataFrame([_row(results, group) for group in results.groups])


def _row(results: Results, group: SeedGroup) -> dict[str, str]:
    """Return one row: heading -> text, empty where there is no number."""
    z = group.estimate(LOG_Z_PER_SITE)
    return {
        "target": str(group.problem),
        "L": str(group.L),
        "sampler": group.label,
        "status": status_counts(group.members),
        **{describe(name).axis: _text(group.estimate(name)) for name in _SHOWN},
        "with training (s)": _text(with_training(group)),
        describe(BREAK_EVEN_SAMPLES).axis: _text(break_even_of(results, group)),
        "z of ln Z": "" if z is None or z.z is None else score(z.z),
    }


def _text(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else concise(estimate.value, estimate.error, digits=3)
