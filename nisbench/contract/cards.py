"""The method card of a plugin: the docstring of its module, read from the source without importing the module."""

import ast
from importlib.util import find_spec
from pathlib import Path

from nisbench.contract.catalog import Entry

__all__ = ["method_card"]


def method_card(entry: Entry) -> str:
    """Return the docstring of the module that implements the plugin; empty if its source cannot be read.

    The packages around the module are imported, as for the registration; the module itself is not.
    """
    module = entry.factory.partition(":")[0]
    try:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            return ""
        return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    except (ImportError, OSError, SyntaxError, ValueError, AttributeError):
        return ""
