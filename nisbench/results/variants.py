"""Names of the variants of a plugin: the plugin, followed by the settings in which its cells differ."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from nisbench.contract.catalog import Entry, load_catalog
from nisbench.contract.options import default_values
from nisbench.contract.records import Cell, canonical_json

__all__ = ["variant_names"]

_VARIANT_FIELDS = ("budget", "draws", "dtype", "plugin_version", "target_version", "reference", "protocol_version")
_LAST_RESORT = ("reference",)
"""Fields that mean nothing to a reader; they are used in a name only if the cells differ in nothing else."""


def variant_names(cells: Sequence[Cell]) -> dict[str, str]:
    """cell_id -> name of the variant, for example `hier (width=2)`, or `hier` if the plugin has one variant.

    A name lists the option values that differ from the defaults of the installed plugin. The default of other settings,
    and of the options of a plugin that is not installed, is unknown; of these, values that more than half of the
    variants share are left out. The device is added if the cells of the plugin ran on several devices.
    """
    by_plugin: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_plugin[cell.plugin].append(cell)
    return {cell_id: name for plugin, group in by_plugin.items() for cell_id, name in _names(plugin, group).items()}


def _names(plugin: str, cells: Sequence[Cell]) -> dict[str, str]:
    """cell_id -> name, for the cells of one plugin."""
    settings = _all_settings(cells)
    keys = _differing_keys(cells, settings)
    # A reference is drawn with settings of its own; it does not count as a variant.
    variants = [settings[cell.cell_id] for cell in cells if not cell.reference_draws]
    usual = _usual(variants, keys, _defaults(plugin, {}) if keys else {})
    several_devices = len({cell.device for cell in cells}) > 1
    names = {}
    for cell in cells:
        left_out = usual | (_defaults(plugin, cell.options).items() if keys else set())
        values = ((key, settings[cell.cell_id].get(key)) for key in keys)
        parts = [f"{key}={value}" for key, value in values if (key, value) not in left_out]
        parts += [cell.device] if several_devices else []
        names[cell.cell_id] = f"{plugin} ({', '.join(parts)})" if parts else plugin
    return names


def _differing_keys(cells: Sequence[Cell], settings: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The settings in which cells at the same place differ, sorted; references are left out."""
    places: dict[tuple[object, ...], list[Mapping[str, str]]] = defaultdict(list)
    for cell in cells:
        if not cell.reference_draws:
            places[
                (cell.target, canonical_json(cell.target_options), cell.beta, cell.L, cell.device, cell.seed)
            ].append(settings[cell.cell_id])
    differing = {
        key
        for rivals in places.values()
        for key in {key for rival in rivals for key in rival}
        if len({rival.get(key) for rival in rivals}) > 1
    }
    return sorted(differing - set(_LAST_RESORT) or differing)


def _usual(
    settings: Sequence[Mapping[str, str]], keys: Sequence[str], defaults: Mapping[str, str]
) -> set[tuple[str, str | None]]:
    """The (key, value) pairs besides the defaults that a name leaves out, so that no two names are equal."""
    # Each variant counts once, however many cells it has.
    variants = {tuple((key, one.get(key)) for key in keys) for one in settings}
    counts = Counter(pair for variant in variants for pair in variant)
    # A cell from before the plugin had the option counts as one with the default, unless another cell has the default.
    absent = {(key, None) for key in keys if key in defaults and (key, defaults[key]) not in counts}
    return absent | {pair for pair, count in counts.items() if pair[0] not in defaults and 2 * count > len(variants)}


def _defaults(plugin: str, chosen: Mapping[str, Any]) -> dict[str, str]:
    """option -> its default as text, for the options `chosen` of a cell; empty if the plugin is not installed."""
    entry = _entry(plugin)
    return {} if entry is None else {key: str(value) for key, value in default_values(entry.options, chosen).items()}


@lru_cache
def _entry(plugin: str) -> Entry | None:
    return load_catalog(names=(plugin,)).plugins.get(plugin)


def _all_settings(cells: Sequence[Cell]) -> dict[str, dict[str, str]]:
    """cell_id -> settings; cells with the same options and fields share one dictionary."""
    known: dict[tuple[object, ...], dict[str, str]] = {}
    found = {}
    for cell in cells:
        # The planner gives the cells of a variant one mapping of options, which lives as long as its cells.
        key = (id(cell.options), *(getattr(cell, name) for name in _VARIANT_FIELDS))
        if key not in known:
            known[key] = _settings(cell)
        found[cell.cell_id] = known[key]
    return found


def _settings(cell: Cell) -> dict[str, str]:
    fields = {name: str(getattr(cell, name)) for name in _VARIANT_FIELDS}
    return fields | {key: str(value) for key, value in cell.options.items()}
