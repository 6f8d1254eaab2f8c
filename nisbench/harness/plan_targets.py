"""The targets of one group of a plan, each with all its options; options with several values, in all combinations."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nisbench.contract.catalog import Catalog, Entry, TargetEntry
from nisbench.contract.records import canonical_json
from nisbench.errors import InvalidValue
from nisbench.harness.values import items, parse_name, shown

__all__ = ["PlannedTarget", "filled_options", "planned_targets"]

DEFAULT_TARGET = "ising"
_MOST_VARIANTS = 10**4


@dataclass(frozen=True)
class PlannedTarget:
    """A target with its options, as a cell records them."""

    name: str
    options: Mapping[str, Any]
    version: str


def planned_targets(
    where: str,
    tables: tuple[Mapping[str, Any], Mapping[str, Any]],
    chosen: str | None,
    given: Mapping[str, Mapping[str, Any]],
    catalog: Catalog,
) -> tuple[PlannedTarget, ...]:
    """Return one target for each combination of option values.

    Parameters
    ----------
    tables
        The plan and its group. Options of the plan hold for the plan's target only, those of the group replace them.
    chosen
        Name of the target in place of the group's, or None. Options in the tables hold for the target that they name.
    given
        Options on the command line, by plugin and target; they replace those of the tables. Text may list values.

    Raises
    ------
    UnknownName, InvalidValue
        For a target, option or value that does not exist.
    """
    named, values = DEFAULT_TARGET, dict[str, dict[str, Any]]()
    for table in tables:
        named = parse_name(f"{where}, target", table.get("target", named))
        catalog.target(named)  # raises for a name that does not exist
        values[named] = {**values.get(named, {}), **_option_table(where, table)}
    entry = catalog.target(chosen or named)
    filled = filled_options(entry, values.get(entry.name, {}), given.get(entry.name, {}))
    return tuple(PlannedTarget(entry.name, options, entry.version) for options in filled)


def filled_options(
    entry: Entry | TargetEntry, planned: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[Mapping[str, Any], ...]:
    """Return all options of a plugin or target, once for each combination of values, in the order of the values.

    Parameters
    ----------
    planned
        Options of a plan file. A list gives several values; text is one value, also with commas.
    given
        Options on the command line, which replace the planned ones. Text with commas gives several values.

    Raises
    ------
    UnknownName, InvalidValue
        For an option or a value that does not exist.
    """
    listed = {key: _values(f"{entry.name}.{key}", value) for key, value in planned.items()}
    listed |= {key: items(f"{entry.name}.{key}", value, _scalar) for key, value in given.items()}
    if math.prod(map(len, listed.values())) > _MOST_VARIANTS:
        many = f"more than {_MOST_VARIANTS} combinations"
        raise InvalidValue(f"the options of {entry.name} have {many}; give fewer values")
    filled = [
        entry.fill(dict(zip(listed, combination, strict=True))) for combination in itertools.product(*listed.values())
    ]
    return tuple({canonical_json(options): options for options in filled}.values())


def _option_table(where: str, table: Mapping[str, Any]) -> Mapping[str, Any]:
    options = table.get("target_options", {})
    if not isinstance(options, dict):
        example = 'for example { boundary = "free" }'
        raise InvalidValue(f"{where}: target_options = '{shown(options)}'; give a table, {example}")
    return options


def _values(where: str, value: Any) -> tuple[Any, ...]:
    """Return the values of a list, or the single value. Text of a plan is one value, also with commas."""
    return items(where, value if isinstance(value, list) else [value], _scalar)


def _scalar(where: str, value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise InvalidValue(f"{where} = '{shown(value)}' is not a value of an option")
    return value
