"""The catalog as text and as JSON, for `nisbench plugins`."""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from nisbench.contract.catalog import Catalog, Entry, TargetEntry
from nisbench.contract.options import type_text

__all__ = ["details", "entry_of", "overview", "record"]

_METADATA = ("help", "defaults")
"""Metadata of an option that its record keeps."""


def overview(catalog: Catalog) -> Iterator[str]:
    """One line for each plugin, broken registration and target, and the options of each target."""
    for entry in catalog.entries:
        said = f"broken: {entry.broken}" if isinstance(entry, Entry) and entry.broken else entry.summary
        yield f"{entry.name:<16} {_kind(entry):<8} {entry.distribution} {entry.version}  {said}"
        if isinstance(entry, TargetEntry):
            options = (f"{name} = {option['default']}" for name, option in _options(entry).items())
            yield f"{'':<16} {'':<8} options: {', '.join(options) or 'none'}"


def details(entry: Entry | TargetEntry) -> Iterator[str]:
    """Everything that is registered of one plugin or target, a line for each option."""
    yield f"{entry.name} ({_kind(entry)}, {entry.distribution} {entry.version})"
    if isinstance(entry, Entry) and entry.broken:
        yield f"  broken: {entry.broken}"
        return
    yield f"  {entry.summary}"
    if isinstance(entry, Entry):
        yield f"  devices: {', '.join(entry.devices)}"
    for name, option in _options(entry).items():
        yield f"  --option {entry.name}.{name}={option['default']}  ({option['type']}) {option['help']}".rstrip()
        for value, defaults in option["defaults"].items():
            yield f"      defaults with {name}={value}: {', '.join(f'{key}={each}' for key, each in defaults.items())}"
    if entry.citation:
        yield f"  cite: {entry.citation}"


def record(entry: Entry | TargetEntry) -> dict[str, Any]:
    """The same as plain JSON values."""
    return {
        "name": entry.name,
        "kind": None if isinstance(entry, Entry) and entry.broken else _kind(entry),
        "distribution": entry.distribution,
        "version": entry.version,
        "summary": entry.summary,
        "devices": list(entry.devices) if isinstance(entry, Entry) else [],
        "options": _options(entry),
        "citation": entry.citation,
        "bibtex": entry.bibtex if isinstance(entry, Entry) else "",
        "broken": entry.broken if isinstance(entry, Entry) else None,
        "factory": entry.factory,
        **(_of_plugin(entry) if isinstance(entry, Entry) else {}),
    }


def entry_of(record: Mapping[str, Any]) -> Entry:
    """The plugin of a record. Its options have types and defaults, but not the checks of the plugin itself."""
    options = dataclasses.make_dataclass(
        "Options",
        [
            (
                name,
                _type_of(option),
                dataclasses.field(default=option["default"], metadata={key: option[key] for key in _METADATA}),
            )
            for name, option in record["options"].items()
        ],
        frozen=True,
    )
    same = ["name", "kind", "distribution", "version", "summary", "factory", "citation", "bibtex"]
    same += ["trains", "reference_rank", "trained_s", "trained_on"]
    return Entry(
        **{name: record[name] for name in same},
        options=options,
        devices=tuple(record["devices"]),
        reference_needs=frozenset(record["reference_needs"]),
    )


def _of_plugin(entry: Entry) -> dict[str, Any]:
    return {
        "trains": entry.trains,
        "reference_rank": entry.reference_rank,
        "reference_needs": sorted(entry.reference_needs),
        "trained_s": entry.trained_s,
        "trained_on": entry.trained_on,
    }


def _type_of(option: Mapping[str, Any]) -> Any:
    """The type of an option."""
    if option["choices"]:
        return Literal[tuple(option["choices"])]
    return {"bool": bool, "int": int, "float": float, "str": str}[option["type"]]


def _kind(entry: Entry | TargetEntry) -> str:
    return "target" if isinstance(entry, TargetEntry) else entry.kind or "-"


def _options(entry: Entry | TargetEntry) -> dict[str, dict[str, Any]]:
    """Type, default, help, choices, and the defaults that a value gives to other options, of each option by name."""
    return {
        field.name: {
            "type": type_text(entry.options, field.name),
            "default": field.default,
            "help": field.metadata.get("help", ""),
            "defaults": field.metadata.get("defaults", {}),
            "choices": list(typing.get_args(typing.get_type_hints(entry.options)[field.name])),
        }
        for field in dataclasses.fields(entry.options)
    }
