"""Read the tables of plans: the names of the built-in plans, the keys that a plan may have, and the TOML itself."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from nisbench.errors import InvalidValue, UnknownName
from nisbench.harness.interpreter import parse_pythons
from nisbench.harness.plan import Overrides
from nisbench.harness.values import items, parse_name

__all__ = ["DEFAULT_PLAN", "GROUP_KEYS", "TOP_KEYS", "check_keys", "plan_names", "pythons", "read_plan", "texts"]

DEFAULT_PLAN = "quick"
_LARGEST_FILE = 2**22
TOP_KEYS = (
    "name",
    "title",
    "description",
    "target",
    "target_options",
    "reference",
    "reference_draws",
    "reference_chain_draws",
    "memory_limit",
    "timeout",
    "python",
    "group",
)
GROUP_KEYS = (
    "name",
    "claim",
    "check",
    "plugins",
    "sizes",
    "beta",
    "seeds",
    "train_steps",
    "train_seconds",
    "draws",
    "options",
    "target",
    "target_options",
)


def plan_names() -> list[str]:
    """Return the names of the plans that come with nisbench."""
    return sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))


def check_keys(table: Mapping[str, Any], known: Iterable[str], what: str = "key of a plan") -> None:
    """Raise UnknownName for a key that does not exist."""
    for key in table:
        if key not in known:
            raise UnknownName(what, key, known)


def _folder() -> Any:
    return resources.files("nisbench.harness") / "plans"


def read_plan(source: str) -> dict[str, Any]:
    """Return the table of a built-in plan or of a file."""
    path = Path(source)
    if path.suffix != ".toml" and not path.is_file():
        if source not in plan_names():
            raise UnknownName("plan", source, plan_names())
        text = (_folder() / f"{source}.toml").read_text(encoding="utf-8")
    else:
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
            if len(content) > _LARGEST_FILE:
                raise InvalidValue(f"plan {source} has more than {_LARGEST_FILE} bytes; a plan is a short TOML file")
            text = content.decode("utf-8-sig")  # some editors write a byte order mark, which TOML refuses
            text = text.replace("\r\n", "\n")
        except (OSError, ValueError) as error:
            raise InvalidValue(f"plan {source} cannot be read: {error}") from error
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise InvalidValue(f"plan {source} is nested too deeply; a plan has tables in [[group]] only") from error
    except ValueError as error:  # also an integer of more than 4300 digits
        raise InvalidValue(f"plan {source} is not valid TOML: {error}") from error


def pythons(where: str, table: Mapping[str, Any], overrides: Overrides) -> dict[str, str]:
    """Return the interpreters by plugin, without those of the plan file that --plugins leaves out."""
    planned = table.get("python", {})
    if not isinstance(planned, dict):
        raise InvalidValue(f'{where}, python is {planned!r}; give a table by plugin: python.NAME = "/path/to/python"')
    asked = None if overrides.plugins is None else {*overrides.plugins, overrides.reference, table.get("reference")}
    wanted = {name: path for name, path in planned.items() if asked is None or name in asked}
    wanted = {name: path for name, path in wanted.items() if name not in overrides.python}
    return {**parse_pythons(f"{where}, python", wanted), **overrides.python}


def texts(where: str, given: Any) -> tuple[str, ...]:
    """Return one text or a list of texts; a text is not split at its commas."""
    texts = [given] if isinstance(given, str) else given
    return items(where, texts, parse_name) if texts else ()
