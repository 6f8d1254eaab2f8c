"""Names for the variants of a plugin, from the settings in which its cells differ."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from nisbench.contract.records import Cell

__all__ = ["variant_names"]

_VARIANT_FIELDS = ("budget", "draws", "dtype", "plugin_version", "reference", "protocol_version")
_QUIET_FIELDS = ("reference",)
"""Fields that mean nothing to a reader. They appear in a name only if nothing else differs."""


def variant_names(cells: Sequence[Cell]) -> dict[str, str]:
    """Return a name for each cell_id: the plugin, and the settings in which cells at the same place differ.

    Option values shared by more than half of the variants are left out of the name. So each of many variants, which
    change one default each, is named by its own change.
    """
    by_plugin: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_plugin[cell.plugin].append(cell)
    labels = {}
    for plugin, group in by_plugin.items():
        settings = {cell.cell_id: _settings(cell) for cell in group}
        telling = _telling(group, settings)
        usual = _usual([settings[cell.cell_id] for cell in group if not cell.reference_draws], telling)
        several_devices = len({cell.device for cell in group}) > 1
        for cell in group:
            told = ((key, settings[cell.cell_id].get(key)) for key in telling)
            parts = [f"{key}={value}" for key, value in told if (key, value) not in usual]
            parts += [cell.device] if several_devices else []
            labels[cell.cell_id] = f"{plugin} ({', '.join(parts)})" if parts else plugin
    return labels


def _telling(cells: Sequence[Cell], settings: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the settings in which cells at the same place differ, sorted."""
    places: dict[tuple[object, ...], list[Mapping[str, str]]] = defaultdict(list)
    for cell in cells:
        if cell.reference_draws:
            continue  # a reference cell has settings of its own and is not a variant
        places[(cell.target, cell.beta, cell.L, cell.device, cell.seed)].append(settings[cell.cell_id])
    differing = {
        key
        for rivals in places.values()
        for key in {key for rival in rivals for key in rival}
        if len({rival.get(key) for rival in rivals}) > 1
    }
    loud = differing - set(_QUIET_FIELDS)
    return sorted(loud or differing)


def _usual(settings: Sequence[Mapping[str, str]], telling: Sequence[str]) -> set[tuple[str, str | None]]:
    """Return the values that more than half of the variants have."""
    variants = {tuple((key, one.get(key)) for key in telling) for one in settings}
    counts = Counter(pair for variant in variants for pair in variant)
    return {pair for pair, count in counts.items() if 2 * count > len(variants)}


def _settings(cell: Cell) -> dict[str, str]:
    fields = {name: str(getattr(cell, name)) for name in _VARIANT_FIELDS}
    return fields | {key: str(value) for key, value in cell.options.items()}
