"""Small phrases that sentences of the report share."""

from collections.abc import Iterable

from nisbench.results.groups import SeedGroup
from nisbench.results.numbers import join

__all__ = ["AS_ABOVE", "by_label", "labels_of", "sizes_text"]

AS_ABOVE = "Marks and error bars are those of the figures on quality and cost."
"""End of a caption, instead of the explanation of the marks."""
_MOST = 4
"""Largest number of variants of one plugin that a sentence names."""


def sizes_text(sizes: Iterable[int]) -> str:
    """The sizes in increasing order, each once: `L = 8, 16 and 32`."""
    return f"L = {join(sorted(set(sizes)))}"


def labels_of(groups: Iterable[SeedGroup]) -> str:
    """The labels, each once: `hier and van`. More than _MOST variants of a plugin are counted: `5 variants of hier`."""
    found: dict[str, list[str]] = {}
    for group in groups:
        labels = found.setdefault(group.members[0].cell.plugin, [])
        labels += [group.label] if group.label not in labels else []
    many = {plugin: f"{len(labels)} variants of {plugin}" for plugin, labels in found.items() if len(labels) > _MOST}
    return join([name for plugin, labels in found.items() for name in ([many[plugin]] if plugin in many else labels)])


def by_label(groups: Iterable[SeedGroup]) -> str:
    """The labels, each with its sizes: `hier at L = 8 and 16 and van at L = 8`. Many variants are counted."""
    known = list(groups)
    plugins: dict[str, dict[str, list[SeedGroup]]] = {}
    for group in known:
        plugins.setdefault(group.members[0].cell.plugin, {}).setdefault(group.label, []).append(group)
    parts = []
    for labels in plugins.values():
        together = [[group for own in labels.values() for group in own]] if len(labels) > _MOST else labels.values()
        parts += [f"{labels_of(own)} at {sizes_text(group.L for group in own)}" for own in together]
    return join(parts)
