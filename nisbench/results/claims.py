"""Checks of claims: a small language for the conditions that a plan attaches to its claims.

    hier: ess_fraction >= 0.998 at L = 16           a number, at some or all sizes of the group
    hier: |z| of log_z_per_site <= 3                distance from the exact value in standard errors
    van: train_step_s < hier up to L = 16           two samplers, at each size of both
    van: train_step_s = hier at L = 32 within 50 %  equal within a factor of 1.5 in the larger direction
    hier: tau_int_energy at L = 128 = van at L = 32 within 50 %
    hier: kl_nats > 'all ideas'                     the same sampler in another group of the plan
    hier: n_parameters grows as L^2 within 0.1      the local exponent between the two largest sizes
    wolff: tau_int_energy grows slower than L^1
    hier: ess_fraction falls with L
    van: does not run at L = 256                    or: runs, is trusted, is not trusted

Sizes are chosen with `at L = 8, 16`, `up to L = 16`, `above L = 32` or `below L = 32`.
"""

import re
from dataclasses import dataclass
from typing import Literal

from nisbench.errors import InvalidValue

__all__ = ["Check", "Growth", "Relation", "Sign", "Sizes", "State", "Trend", "parse_check"]

Sign = Literal["<", "<=", "=", ">=", ">"]

_SIZES = r"(?:(?P<{0}word>at|up to|above|below) L = (?P<{0}sizes>\d+(?:(?:, ?| and )\d+)*))"
_WHERE = rf"(?: {_SIZES.format('')})?"
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?"
_QUANTITY = r"(?P<z>\|z\| of )?(?P<quantity>\w+)"
_STATE = re.compile(rf"(?P<state>runs|does not run|is trusted|is not trusted){_WHERE}")
_GROWTH = re.compile(
    rf"{_QUANTITY} grows (?P<how>as|slower than|faster than) L\^(?P<power>{_NUMBER})(?: within (?P<within>{_NUMBER}))?"
    rf"{_WHERE}"
)
_TREND = re.compile(rf"{_QUANTITY} (?P<way>falls|rises) with L{_WHERE}")
_RELATION = re.compile(
    rf"{_QUANTITY}(?: at L = (?P<left>\d+))? (?P<sign><=|>=|<|>|=) "
    rf"(?:(?P<number>{_NUMBER})|'(?P<group>[^']+)'|(?P<sampler>[\w.-]+)){_WHERE}(?: within (?P<percent>{_NUMBER}) ?%)?"
)


@dataclass(frozen=True)
class Sizes:
    """A choice of sizes; all sizes if `word` is empty."""

    word: str = ""
    sizes: tuple[int, ...] = ()

    def __contains__(self, L: int) -> bool:
        """True if the size is chosen."""
        if self.word == "at":
            return L in self.sizes
        bound = max(self.sizes, default=0)
        return {"up to": bound >= L, "above": bound < L, "below": bound > L}.get(self.word, True)


@dataclass(frozen=True)
class State:
    """The sampler runs, does not run, is trusted or is not trusted."""

    state: str
    where: Sizes


@dataclass(frozen=True)
class Growth:
    """The exponent of a quantity: equal to `power` within `within`, or smaller (`<`) or larger (`>`)."""

    quantity: str
    sign: Sign
    power: float
    within: float
    where: Sizes


@dataclass(frozen=True)
class Trend:
    """A quantity falls (`<`) or rises (`>`) with L."""

    quantity: str
    sign: Sign
    where: Sizes


@dataclass(frozen=True)
class Relation:
    """A quantity compared with a number, with another sampler, or with the same sampler in another group."""

    quantity: str
    absolute_z: bool
    """True if |z| of the quantity is meant."""
    sign: Sign
    number: float | None
    sampler: str
    group: str
    left: int | None
    """Size on the left side, if the right side has another one; its size is then the only one of `where`."""
    where: Sizes
    tolerance: float
    """Largest relative difference of two values that count as equal."""


@dataclass(frozen=True)
class Check:
    """A condition on one sampler of a group."""

    text: str
    sampler: str
    body: State | Growth | Trend | Relation


def parse_check(text: str) -> Check:
    """Return the check. Raises InvalidValue for text that does not follow the forms above."""
    sampler, colon, body = (part.strip() for part in text.partition(":"))
    found = _body(body) if colon and sampler else None
    if found is None:
        raise InvalidValue(f"check '{text}' cannot be read; write for example 'hier: ess_fraction >= 0.9 at L = 16'")
    return Check(text, sampler, found)


def _body(text: str) -> State | Growth | Trend | Relation | None:
    if match := _STATE.fullmatch(text):
        return State(match["state"], _sizes(match))
    if (match := _GROWTH.fullmatch(text)) and not match["z"]:
        signs: dict[str, Sign] = {"as": "=", "slower than": "<", "faster than": ">"}
        within = float(match["within"] or 0.1)
        return Growth(match["quantity"], signs[match["how"]], float(match["power"]), within, _sizes(match))
    if (match := _TREND.fullmatch(text)) and not match["z"]:
        return Trend(match["quantity"], "<" if match["way"] == "falls" else ">", _sizes(match))
    return _relation(match) if (match := _RELATION.fullmatch(text)) else None


def _relation(match: re.Match[str]) -> Relation:
    signs: dict[str, Sign] = {"<": "<", "<=": "<=", "=": "=", ">=": ">=", ">": ">"}
    return Relation(
        quantity=match["quantity"],
        absolute_z=bool(match["z"]),
        sign=signs[match["sign"]],
        number=None if match["number"] is None else float(match["number"]),
        sampler=match["sampler"] or "",
        group=match["group"] or "",
        left=int(match["left"]) if match["left"] else None,
        where=_sizes(match),
        tolerance=float(match["percent"] or 20) / 100,
    )


def _sizes(match: re.Match[str]) -> Sizes:
    if match["word"] is None:
        return Sizes()
    return Sizes(match["word"], tuple(map(int, re.findall(r"\d+", match["sizes"]))))
