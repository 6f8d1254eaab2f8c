"""Sentences that rank the variants of one plugin, as in a comparison of learning rates or in an ablation."""

import itertools
from collections.abc import Iterable, Sequence

from nisbench.contract.quantities import KL_NATS, describe
from nisbench.contract.records import Estimate
from nisbench.results.groups import SeedGroup, combined_errors
from nisbench.results.numbers import concise

__all__ = ["ranking"]

_FEWEST = 3
"""Smallest number of variants that are ranked."""
_ENDS = 3
"""Variants that are named at each end of a long ranking."""
_ERRORS = 2.0
"""Two values closer than this many combined errors are not ordered."""


def ranking(groups: Iterable[SeedGroup]) -> list[str]:
    """One sentence for each plugin and size with three variants or more: their KL in increasing order.

    Neighbours within two combined errors are joined by ≈, others by <.
    """
    found: dict[tuple[str, int], list[tuple[SeedGroup, Estimate]]] = {}
    for group in groups:
        kl = group.estimate(KL_NATS)
        if kl is not None and kl.value is not None:
            found.setdefault((group.members[0].cell.plugin, group.L), []).append((group, kl))
    return [_sentence(plugin, L, known) for (plugin, L), known in found.items() if len(known) >= _FEWEST]


def _sentence(plugin: str, L: int, known: Sequence[tuple[SeedGroup, Estimate]]) -> str:
    ordered = sorted(known, key=lambda pair: pair[1].value or 0.0)
    parts = [_item(group, kl) for group, kl in ordered]
    signs = ["<" if combined_errors(a, b) > _ERRORS else "≈" for (_, a), (_, b) in itertools.pairwise(ordered)]
    chain = [parts[0], *(f"{sign} {part}" for sign, part in zip(signs, parts[1:], strict=True))]
    if len(chain) > 2 * _ENDS:
        chain = [*chain[:_ENDS], "… (all in the table)", *chain[-_ENDS:]]
    return f"Variants of {plugin} at L = {L} by {describe(KL_NATS).axis}: {' '.join(chain)}."


def _item(group: SeedGroup, kl: Estimate) -> str:
    """Name of the variant and its KL."""
    untrusted = "" if group.trusted else ", untrusted"
    return f"{group.label} {concise(kl.value or 0.0, kl.error, 3)}{untrusted}"
