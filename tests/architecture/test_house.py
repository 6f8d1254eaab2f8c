"""Files and functions stay short, and no files import each other in a circle."""

import pytest

from tests.architecture.measure import PACKAGES, ROOT, SourceFile, cycles, floors, graph_of, read

FILES = read(ROOT, (*PACKAGES, "benchmarks"))
LIMIT_OF_A_FILE = 300
LIMIT_OF_A_FUNCTION = 60
"""Lines are counted without blank lines, because the formatter sets many of them around short functions. The docstring
of a function does not count either: a list of parameters makes a function easier to read."""

LONGER_FILES = {
    "nisbench/contract/records.py": 330,  # the records of all other modules, which a newcomer reads first and at once
}
"""Files with a limit of their own, and the reason."""
LONGER_FUNCTIONS = {"run": 65}  # nisbench.run: each of its twenty arguments has a line
"""Functions with a limit of their own."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_and_functions_are_short(file):
    assert file.lines < LONGER_FILES.get(file.name, LIMIT_OF_A_FILE)
    long = {f.name: f.lines for f in file.functions if f.lines >= LONGER_FUNCTIONS.get(f.name, LIMIT_OF_A_FUNCTION)}
    assert not long


def test_every_exception_is_a_file_of_the_code():
    assert set(LONGER_FILES) <= {file.name for file in FILES}


def test_no_files_import_each_other():
    """Imports inside functions and under TYPE_CHECKING count."""
    assert cycles(graph_of(FILES)) == []


def test_no_file_imports_the_worker():
    """Workers are processes of their own: `harness/execute.py` starts them by name."""
    assert not [module for module, imports in graph_of(FILES).items() if "nisbench.harness.worker" in imports]


def made(**texts: str) -> list[SourceFile]:
    return [SourceFile(f"{name}.py", name, text) for name, text in texts.items()]


def test_cycles_are_seen_wherever_the_import_stands():
    files = made(
        a="import b",
        b="def f():\n    from c import x",
        c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a",
        d="import a",
    )
    graph = graph_of(files)
    assert graph == {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert cycles(graph) == [["a", "b", "c"]]
    assert floors(graph) == 2
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_imports_are_those_of_modules():
    package = SourceFile("pkg/__init__.py", "pkg", "from . import a")
    inner = SourceFile("pkg/a.py", "pkg.a", "from pkg.b import name\nfrom .c import other\nimport os")
    leaves = [SourceFile(f"pkg/{name}.py", f"pkg.{name}", "") for name in "bc"]
    assert graph_of([package, inner, *leaves]) == {
        "pkg": {"pkg.a"},
        "pkg.a": {"pkg.b", "pkg.c"},
        "pkg.b": set(),
        "pkg.c": set(),
    }


def test_lines_comments_and_docstrings_are_counted():
    (file,) = made(
        a='"""One."""\n\n# why\nx: int = "energy"  # type: ignore\n\n\ndef f():\n    """Two."""\n\n    return 1\n'
    )
    assert (file.lines, file.comments, file.docstrings) == (6, 1, [1, 1])
    assert [(f.name, f.lines) for f in file.functions] == [("f", 2)]
    assert file.quantity_literals == ["energy"]
