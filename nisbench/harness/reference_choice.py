"""Choose the reference sampler of a target by what the registrations declare; no plugin is loaded."""

from nisbench.contract.catalog import Catalog, Entry
from nisbench.errors import InvalidValue
from nisbench.harness.plan_targets import PlannedTarget

__all__ = ["AUTO", "NONE", "check_reference", "choose_reference"]

AUTO = "auto"
"""The first in `reference_rank` whose `reference_needs` are among the traits of the target."""
NONE = "none"
"""No reference: models and densities have no p side."""


def choose_reference(where: str, target: PlannedTarget, catalog: Catalog) -> Entry:
    """Return the plugin for `auto`. Raises InvalidValue if no registered plugin suits the target."""
    traits = catalog.target(target.name).traits_of(target.options)
    offered = [entry for entry in catalog.plugins.values() if entry.reference_rank]
    suited = [entry for entry in offered if entry.reference_needs <= traits]
    if not suited:
        has = f"traits {', '.join(sorted(traits))}" if traits else "no traits"
        raise InvalidValue(
            f"{where}: no sampler offers itself as the reference of target '{target.name}', which has {has}; "
            "give reference = NAME, or 'none' to judge models without configurations of p"
        )
    return min(suited, key=lambda entry: (entry.reference_rank, entry.name))


def check_reference(where: str, entry: Entry) -> Entry:
    """Return the plugin that a plan names as its reference. Raises InvalidValue for a plugin with a training."""
    if entry.kind == "model" or entry.trains:
        what = "a sampler that trains" if entry.kind == "sampler" else f"a {entry.kind} that trains"
        raise InvalidValue(f"{where}: reference '{entry.name}' is {what}; give a plugin without training, or 'none'")
    return entry
