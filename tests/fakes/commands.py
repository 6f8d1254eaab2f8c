"""Commands that start no cells, in this process: the imports of a new one would take most of the time."""

import sys
from typing import Any

import pytest

from nisbench.cli import main


def command_here(monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: Any) -> tuple[int, str, str]:
    """Runs `nisbench` with these arguments: (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["nisbench", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0), *capsys.readouterr()


def forget_modules(before: set[str], *folders: Any) -> None:
    """Lets this process forget the modules of these folders that it has imported since `before`."""
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(tuple(map(str, folders))):
            del sys.modules[name]
