"""The gates of a cell as text."""

from collections.abc import Mapping

from nisbench.contract.records import Estimate, Kind
from nisbench.statistics.gates import validity

__all__ = ["gate_reasons"]


def gate_reasons(kind: Kind, quantities: Mapping[str, Estimate]) -> list[str]:
    """Return the reasons of the gates that these quantities do not pass."""
    return [doubt.text for doubt in validity(kind, quantities)]
