"""Options of plugins and targets: frozen dataclasses of plain values, checked when registered and filled for a cell."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nisbench.errors import InvalidValue, PluginError, UnknownName

__all__ = ["NoOptions", "changed_options", "check_options", "default_values", "fill_options", "label", "type_text"]

_LIMIT = 2**63
"""Numbers have to be smaller in size: compiled code and tables of results store them in 64 bits."""


@dataclass(frozen=True)
class NoOptions:
    """Options of a plugin or target that has no options."""


def check_options(name: str, options: type[Any]) -> None:
    """Raises PluginError unless options are a dataclass whose fields have a plain type and a default of this type."""
    if not dataclasses.is_dataclass(options):
        raise PluginError(f"the options of '{name}' are not a dataclass")
    hints = typing.get_type_hints(options)
    for option in dataclasses.fields(options):
        where, hint = f"{name}.{option.name}", hints[option.name]
        if hint not in (bool, int, float, str) and typing.get_origin(hint) is not Literal:
            raise PluginError(f"option {where} is a {hint}; use bool, int, float, str or Literal")
        if not option.init:
            raise PluginError(f"option {where} has init=False, so no plan can set it; remove init=False")
        if option.default is dataclasses.MISSING:
            raise PluginError(f"option {where} has no default value")
        try:
            _convert(where, option.default, hint)
            for value, defaults in option.metadata.get("defaults", {}).items():
                _convert(where, value, hint)
                for other, default in defaults.items():
                    if other not in hints:
                        raise PluginError(
                            f"option {where} = {value} has a default for '{other}', which is not an option"
                        )
                    _convert(f"{name}.{other}", default, hints[other])
        except InvalidValue as error:
            raise PluginError(f"default of option {error}") from error


def default_values(options: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The default of every option by name, for the choices in `given`.

    A field whose metadata has `defaults`, {value as text: {other option: its default}}, changes the defaults of the
    other options for this value: a convolutional network learns with other rates than a dense one.
    """
    fields = dataclasses.fields(options)
    values = {field.name: field.default for field in fields}
    for field in fields:
        chosen = str(given.get(field.name, field.default))
        values |= field.metadata.get("defaults", {}).get(chosen, {})
    return values


def fill_options(name: str, options: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """All options by name: the values in `given`, checked and converted from text, and defaults for the rest.

    Raises UnknownName for an option that does not exist and InvalidValue for a value that does not fit.
    """
    hints = typing.get_type_hints(options)
    known = {f.name for f in dataclasses.fields(options)}
    values = {}
    for key, value in given.items():
        if key not in known:
            raise UnknownName(f"option of {name}", key, known)
        values[key] = _convert(f"{name}.{key}", value, hints[key])
    try:
        return dataclasses.asdict(options(**default_values(options, values) | values))
    except Exception as error:  # the plugin's own check may raise anything
        raise InvalidValue(f"options of {name}: {error or type(error).__name__}") from error


def changed_options(options: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from the defaults, sorted by name; a name that `options` does not have counts as one."""
    defaults = default_values(options, given)
    return {name: given[name] for name in sorted(given) if name not in defaults or given[name] != defaults[name]}


def label(name: str, changed: Mapping[str, Any]) -> str:
    """`ising`, or `edwards-anderson (disorder=gaussian, instance=2)`. A digest is cut to 12 digits."""
    parts = (f"{key}={str(value)[:12] if key == 'digest' else value}" for key, value in changed.items())
    return f"{name} ({', '.join(parts)})" if changed else name


def type_text(options: type[Any], option: str) -> str:
    """The type of an option in words, for example `int` or `torus or free`."""
    hint = typing.get_type_hints(options)[option]
    return " or ".join(map(str, typing.get_args(hint))) if typing.get_origin(hint) is Literal else hint.__name__


def _convert(where: str, value: Any, hint: Any) -> Any:
    """Converts a value from the command line (text) or a plan (typed) to the annotated type of the option."""
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        for choice in choices:
            if value == choice or str(value) == str(choice):
                return choice
        raise InvalidValue(f"{where} = {value!r}: choose one of {', '.join(map(str, choices))}")
    if hint is bool:
        text = str(value).lower()
        if text in ("true", "1", "yes", "on"):
            return True
        if text in ("false", "0", "no", "off"):
            return False
        raise InvalidValue(f"{where} = {value!r} is not a truth value; give true or false")
    if hint in (int, float):
        return _number(where, value, hint)
    return str(value) if hint is str else value


def _number(where: str, value: Any, hint: type[int] | type[float]) -> int | float:
    number: int | float | None
    try:
        # int(2.5) would be 2; int("2.5") is refused
        number = hint(str(value)) if isinstance(value, float) else hint(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, bool) or (isinstance(number, float) and not math.isfinite(number)):
        raise InvalidValue(f"{where} = {value!r} is not a {'whole' if hint is int else 'finite'} number")
    if not abs(number) < _LIMIT:
        raise InvalidValue(f"{where} = {value!r} is too large; give a number between -2^63 and 2^63")
    return number
