"""The gates that a finished cell has to pass, and the doubts of a cell that did not pass one."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Doubt", "Gate", "joined"]


class Gate(StrEnum):
    """A check of a finished cell. A cell that fails one is untrusted."""

    NOT_MEASURED = "not-measured"
    """A required quantity is missing."""
    NOT_FINITE = "not-finite"
    """A series contains NaN or infinity."""
    FEW_SAMPLES = "few-effective-samples"
    """ess_fraction or ess_fraction_p is below 10/n."""
    HEAVY_TAIL = "heavy-tail"
    """pareto_k is too large for a mean with an error."""
    SHORT_CHAIN = "short-chain"
    """A chain is shorter than 50 tau_int, or never moves."""
    FAR_FROM_EXACT = "far-from-exact"
    """A quantity is too many standard errors from its exact value."""
    OTHER_DRAWS = "draws-not-of-ln-q"
    """The draws do not follow the stated ln q."""
    SIDES_DIFFER = "sides-differ"
    """q side and p side disagree."""
    NO_REFERENCE = "no-reference"
    """There is no trusted reference for the p side."""
    DEPENDENT = "dependent-draws"
    """Draws that should be independent are correlated or repeated."""
    CONTRACT = "contract"
    """The plugin broke the contract during the run."""


@dataclass(frozen=True)
class Doubt:
    """One reason why a cell is untrusted."""

    gate: Gate
    text: str
    """The reason in words, with the numbers."""

    def __str__(self) -> str:
        return self.text


def joined(doubts: Iterable[Doubt]) -> str | None:
    """Return the doubts as one line of text; None if there are none."""
    return "; ".join(map(str, doubts)) or None
