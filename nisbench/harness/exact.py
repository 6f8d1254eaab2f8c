"""Exact values of a target at several sizes and temperatures, for `nisbench exact`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nisbench.contract.catalog import TargetEntry, load_catalog
from nisbench.contract.options import changed_options, label
from nisbench.contract.quantities import LOG_Z_PER_SITE
from nisbench.errors import InvalidValue, UserError
from nisbench.harness.plan_targets import planned_targets
from nisbench.harness.values import items, options, parse_betas, parse_size
from nisbench.physics import kaufman

if TYPE_CHECKING:
    from nisbench.contract.interfaces import Target

__all__ = ["exact_lines", "exact_rows"]

_LARGEST_L = 1024
"""Largest extent for which a target is built: a target holds arrays of several numbers for each site."""


def exact_rows(target: str, assigned: Iterable[str], sizes: str, beta: str) -> list[dict[str, Any]]:
    """Return one row for each target, beta and L: target, L, beta, log_z, and exact values per site.

    Where a value is not known, log_z is None and `reason` says why. Raises UserError for arguments that do not fit.
    """
    given = options("--option", assigned)
    if others := given.keys() - {target}:
        raise UserError(f"--option {min(others)}.*: the target is {target}; give --target {min(others)}")
    catalog = load_catalog(names=(target,))
    entry = catalog.target(target)
    targets = planned_targets("nisbench exact", ({}, {}), target, given, catalog)
    betas, extents = parse_betas("--beta", beta), items("--sizes", sizes, parse_size)
    return [
        {"target": label(target, changed), "L": L, "beta": b, **_values(entry, planned.options, L, b)}
        for planned in targets
        for changed in [changed_options(entry.options, planned.options)]
        for b in betas
        for L in extents
    ]


def exact_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the rows as a table for each target. The target `ising`, the usual one, is not named if it is alone."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in ("target", "reason")]
    targets = dict.fromkeys(row["target"] for row in rows)
    for target in targets:
        if list(targets) != ["ising"]:
            yield target
        yield "  ".join(f"{name:>18}" for name in names)
        for row in (row for row in rows if row["target"] == target):
            numbers = (" " * 18 if row.get(name) is None else f"{row[name]:18.15g}" for name in names)
            yield "  ".join(numbers).rstrip() + (f"  {row['reason']}" if "reason" in row else "")


def _values(entry: TargetEntry, given: Mapping[str, Any], L: int, beta: float) -> dict[str, Any]:
    """Return ln Z and the exact values per site, or the reason why there are none."""
    if entry.name == "ising" and not changed_options(entry.options, given):  # fast, because it does without torch
        return {"log_z": kaufman.log_z(L, beta), **kaufman.exact_values(L, beta)}
    if L > _LARGEST_L:
        return {"log_z": None, "reason": f"only the target ising with its default options goes beyond L = {_LARGEST_L}"}
    try:
        built = entry.build(L, given)
        values = built.exact(beta)
    except (InvalidValue, ValueError) as error:
        return {"log_z": None, "reason": str(error)}
    if not values:
        return {"log_z": None, "reason": _reason(built, beta)}
    per_site = values.get(LOG_Z_PER_SITE)
    return {"log_z": None if per_site is None else per_site * built.n_sites, **values}


def _reason(target: "Target", beta: float) -> str:
    """Return why no exact values are known."""
    from nisbench.contract.targets import lattice_of  # imports torch, which the Ising torus does without
    from nisbench.physics import kac_ward

    lattice = lattice_of(target)
    if lattice is None:
        return f"the target {target.name} gives no exact values"
    try:
        kac_ward.log_z(lattice, beta)
    except InvalidValue as error:
        return str(error)
    return f"the target {target.name} gives no exact values"
