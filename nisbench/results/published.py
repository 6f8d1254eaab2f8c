"""Published values, statements and predicted exponents, read from published.toml."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np

from nisbench.contract.records import Cell, Estimate
from nisbench.physics.kaufman import BETA_CRITICAL

__all__ = ["Prediction", "Published", "PublishedValue", "Statement", "published"]

_PLAIN_KEYS = ("method", "source", "device", "L", "beta", "remark")


@dataclass(frozen=True)
class PublishedValue:
    """The numbers that one source prints for one method at one size."""

    method: str
    source: str
    L: int
    beta: float
    quantities: Mapping[str, Estimate]
    device: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Statement:
    """A claim in words."""

    text: str
    source: str


@dataclass(frozen=True)
class Prediction:
    """Predicted cost ~ L^power (constant + per_level (log2 L - 2)) of one plugin."""

    plugin: str
    quantities: tuple[str, ...]
    power: float
    form: str
    constant: float = 1.0
    per_level: float = 0.0
    paper: float | None = None
    """The exponent as the paper on the hierarchical model counts it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that a cell must have for the prediction to apply."""
    before: str = ""
    """The prediction applies to cells from before the plugin had this option."""

    def exponent(self, sizes: Sequence[int]) -> float:
        """Slope of ln cost against ln L that the form gives on these sizes, of which there must be at least two."""
        L = np.array(sizes, dtype=np.float64)
        cost = L**self.power * (self.constant + self.per_level * (np.log2(L) - 2))
        return float(np.polyfit(np.log(L), np.log(cost), 1)[0])


@dataclass(frozen=True)
class Published:
    """The content of published.toml."""

    values: tuple[PublishedValue, ...]
    statements: tuple[Statement, ...]
    predictions: tuple[Prediction, ...]

    def at(self, target: str, beta: float) -> tuple[PublishedValue, ...]:
        """The values for the Ising model at exactly this beta."""
        return tuple(v for v in self.values if target == "ising" and math.isclose(v.beta, beta, rel_tol=1e-12))

    def prediction(self, cell: Cell, quantity: str) -> Prediction | None:
        """The prediction for the growth of `quantity` of a sampler with the plugin and options of `cell`."""
        fits = [p for p in self.predictions if p.plugin == cell.plugin and quantity in p.quantities]
        # A prediction applies if the cell has all its options; other options are free.
        has = cell.options.items()
        return next((p for p in fits if p.options.items() <= has and p.before not in cell.options), None)


@lru_cache(maxsize=1)
def published() -> Published:
    """Reads published.toml, once per process."""
    text = (resources.files("nisbench.results") / "published.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    sources = table["sources"]
    return Published(
        values=tuple(_value(entry, sources) for entry in table["value"]),
        statements=tuple(Statement(entry["text"], sources[entry["source"]]) for entry in table["statement"]),
        predictions=tuple(
            Prediction(**{**entry, "quantities": tuple(entry["quantities"])}) for entry in table["prediction"]
        ),
    )


def _value(entry: Mapping[str, Any], sources: Mapping[str, str]) -> PublishedValue:
    quantities = {key: _estimate(number) for key, number in entry.items() if key not in _PLAIN_KEYS}
    beta = BETA_CRITICAL if entry["beta"] == "critical" else float(entry["beta"])
    plain = {key: entry[key] for key in _PLAIN_KEYS if key in entry}
    return PublishedValue(**{**plain, "source": sources[entry["source"]], "beta": beta, "quantities": quantities})


def _estimate(number: Any) -> Estimate:
    """An estimate from a number or from [number, error]."""
    if isinstance(number, list):
        return Estimate(float(number[0]), float(number[1]))
    return Estimate(float(number))
