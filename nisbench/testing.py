"""The contract as tests of pytest: `parametrize_with_checks` gives one test for each check of a plugin or target.

pytest is needed to import this module; nisbench itself does without it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nisbench.conformance.checks import Clause, clauses
from nisbench.contract.catalog import load_catalog
from nisbench.contract.plugin_files import use_plugin_file
from nisbench.errors import UnknownName

__all__ = ["parametrize_with_checks"]


def parametrize_with_checks(
    name: str,
    *,
    expected_failures: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    sizes: Sequence[int] = (),
    beta: float | None = None,
    plugin_files: Sequence[str | Path] = (),
) -> pytest.MarkDecorator:
    """Return a decorator for a test function with the argument `check`, which calls `check()`.

    A check that does not apply is skipped with its reason.

    Parameters
    ----------
    name
        Plugin or target that is installed or in one of `plugin_files`.
    expected_failures
        Names of checks that fail, with the reason. Such a test is red as soon as its check passes.
    options
        Options of the plugin or target by name, for example {"width": 2}.
    sizes, beta
        As in `nisbench check`.

    Raises
    ------
    UnknownName
        For a plugin, target or check that does not exist.
    """
    for file in plugin_files:
        use_plugin_file(Path(file))
    expected = dict(expected_failures or {})
    found = clauses(name, load_catalog(), "cpu", {name: options or {}}, sizes=tuple(sizes), beta=beta)
    known = [clause.name for clause in found]
    if unknown := expected.keys() - set(known):
        raise UnknownName("check", min(unknown), known)
    cases = [pytest.param(_test(clause), id=clause.name, marks=_marks(expected.get(clause.name))) for clause in found]
    return pytest.mark.parametrize("check", cases)


def _marks(reason: str | None) -> Sequence[pytest.MarkDecorator]:
    return () if reason is None else (pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError),)


def _test(clause: Clause) -> Callable[[], None]:
    def check() -> None:
        result = clause.run()
        if not result.applicable:
            pytest.skip(result.message)
        assert result.passed, f"{result.message}\n{result.traceback}".rstrip()

    return check
