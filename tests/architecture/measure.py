"""Measures the source of a checkout: lengths, imports, comments, docstrings and typed names of quantities.

Nothing of the checkout is imported: its files are parsed with `ast` and `tokenize`. The names of the quantities come
from the table of the current code, so that an older checkout is measured with the same list.

Run with `python -m tests.architecture.measure [CHECKOUT ...]` from the root of the repository. It prints a Markdown
table with one column per checkout (default: this one). docs/dev/house.md shows the table.
"""

import argparse
import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nisbench.contract.quantities import FAMILIES, QUANTITIES

__all__ = ["Function", "Graph", "SourceFile", "cycles", "floors", "graph_of", "reachable", "read"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("nisbench", "plugins")
TABLE = "nisbench.contract.quantities"
PRAGMAS = ("type:", "noqa", "pragma:", "fmt:")
"""Comments that speak to a tool. They do not count as comments."""

Graph = Mapping[str, set[str]]
"""The modules that each module imports."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """One function or method."""

    name: str
    lines: int
    """Number of lines without blank lines and without the docstring."""


@dataclass(frozen=True)
class SourceFile:
    """One Python file of a checkout."""

    name: str
    """Path from the root of the checkout."""
    module: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, filename=self.name)

    @property
    def lines(self) -> int:
        """Number of lines that are not blank, docstrings and comments included."""
        return _filled(self.text.splitlines())

    @property
    def functions(self) -> list[Function]:
        """All functions and methods, also nested ones."""
        nodes = (n for n in ast.walk(self.tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)))
        return [Function(node.name, self._length(node)) for node in nodes]

    @property
    def comments(self) -> int:
        """Number of comments, without those that speak to a tool."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        texts = (token.string.lstrip("#! ") for token in tokens if token.type == tokenize.COMMENT)
        return sum(not text.startswith(PRAGMAS) for text in texts)

    @property
    def docstrings(self) -> list[int]:
        """Number of filled lines of each docstring of the module, its classes and its functions."""
        found = (_docstring(node) for node in ast.walk(self.tree) if isinstance(node, Documented))
        return [self._span(docstring) for docstring in found if docstring]

    @property
    def quantity_literals(self) -> list[str]:
        """Names of quantities that the file spells as strings; parts of f-strings count if they begin a family."""
        strings = (n.value for n in ast.walk(self.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
        return [text for text in strings if text in QUANTITIES or text in {family.prefix for family in FAMILIES}]

    def imports(self, modules: Iterable[str]) -> set[str]:
        """Return which of `modules` the file imports, also inside functions and under TYPE_CHECKING."""
        known = set(modules)
        found = {name for node in ast.walk(self.tree) for name in self._imported(node, known)}
        return found & known - {self.module}

    def _imported(self, node: ast.AST, known: set[str]) -> Iterator[str]:
        """Yield the modules that one statement imports; `from package import module` is an import of the module."""
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            inside = self.module.split(".") if self.name.endswith("__init__.py") else self.module.split(".")[:-1]
            above = inside[: len(inside) - node.level + 1] if node.level else []
            package = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                module = f"{package}.{alias.name}"
                yield module if module in known else package

    def _length(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        """Return the filled lines of a function from `def` to its end, without the docstring."""
        docstring = _docstring(node)
        return self._span(node) - (self._span(docstring) if docstring else 0)

    def _span(self, node: ast.stmt) -> int:
        """Return the number of lines of a statement that are not blank."""
        return _filled(self.text.splitlines()[node.lineno - 1 : node.end_lineno])


def _filled(lines: Iterable[str]) -> int:
    return sum(bool(line.strip()) for line in lines)


def _docstring(node: Documented) -> ast.Expr | None:
    """Return the statement that is the docstring, or None."""
    return node.body[0] if ast.get_docstring(node) is not None and isinstance(node.body[0], ast.Expr) else None


def read(root: Path, folders: Iterable[str] = PACKAGES) -> list[SourceFile]:
    """Return the Python files below some folders of a checkout, sorted by path."""
    paths = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    return [_source_file(path.relative_to(root), path.read_text(encoding="utf-8")) for path in paths]


def _source_file(path: Path, text: str) -> SourceFile:
    parts = path.with_suffix("").parts
    inside = parts[1:] if parts[0] == "plugins" else parts
    return SourceFile(str(path), ".".join(inside[:-1] if inside[-1] == "__init__" else inside), text)


def graph_of(files: Iterable[SourceFile]) -> dict[str, set[str]]:
    """Return the modules that each module imports."""
    by_module = {file.module: file for file in files}
    return {module: file.imports(by_module) for module, file in by_module.items()}


def rooms_of(graph: Graph) -> dict[str, set[str]]:
    """Return the same graph between rooms: packages and modules directly below nisbench, and the plugins as one."""

    def room(module: str) -> str:
        parts = module.split(".")
        return ".".join(parts[:2]) if parts[0] == "nisbench" else parts[0]

    found: dict[str, set[str]] = {}
    for module, targets in graph.items():
        found.setdefault(room(module), set()).update(room(target) for target in targets)
    return {name: targets - {name} for name, targets in found.items()}


def reachable(graph: Graph) -> dict[str, set[str]]:
    """Return all modules that each module imports directly or indirectly."""
    found = {module: set(targets) for module, targets in graph.items()}
    for middle in graph:  # Warshall's algorithm: paths through one more module in every turn
        for module in graph:
            if middle in found[module]:
                found[module] |= found[middle]
    return found


def cycles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or through other modules."""
    below = reachable(graph)
    groups = {tuple(sorted(other for other in below[m] if m in below[other])) for m in graph if m in below[m]}
    return [list(group) for group in sorted(groups)]


def floors(graph: Graph) -> int:
    """Return the number of modules in the longest chain of imports; modules of one cycle stand on the same floor."""
    below = reachable(graph)
    heights: dict[str, int] = {}
    # a module comes after all modules below it; the second key puts a cycle before a module that imports only the cycle
    for module in sorted(graph, key=lambda name: (len(below[name]), name not in below[name])):
        under = [heights[other] for other in below[module] if module not in below[other]]
        heights[module] = 1 + max(under, default=0)
    return max(heights.values(), default=0)


def arrows(graph: Graph) -> int:
    """Return the number of pairs of modules of which the first imports the second."""
    return sum(map(len, graph.values()))


def measured(root: Path) -> dict[str, str]:
    """Return the rows of the table for one checkout."""
    files = read(root)
    graph = graph_of(files)
    rooms = rooms_of(graph)
    report = {m: {t for t in ts if ".report." in t} for m, ts in graph.items() if ".report." in m}
    groups = cycles(graph)
    lines = sum(file.lines for file in files)
    comments = sum(file.comments for file in files)
    docstrings = [length for file in files for length in file.docstrings]
    spelled = [file.quantity_literals for file in files if file.module != TABLE and file.quantity_literals]
    return {
        "files": str(len(files)),
        "lines": str(lines),
        **_lengths("file", {file.name: file.lines for file in files}, 300),
        **_lengths("function", {f"{f.name} ({s.name})": f.lines for s in files for f in s.functions}, 60),
        "rooms": str(len(rooms)),
        "arrows between rooms": str(arrows(rooms)),
        "floors of rooms": str(floors(rooms)),
        "arrows between files": str(arrows(graph)),
        "floors of files": str(floors(graph)),
        "floors of files inside report": str(floors(report)),
        "cycles between files": f"{len(groups)} ({sum(map(len, groups))} files)" if groups else "0",
        "spelled names of quantities": f"{sum(map(len, spelled))} in {len(spelled)} files",
        "comments": f"{comments} ({100 * comments / lines:.1f} % of lines)",
        "docstrings": f"{len(docstrings)} ({100 * sum(docstrings) / lines:.0f} % of lines)",
    }


def _lengths(what: str, lengths: Mapping[str, int], limit: int) -> dict[str, str]:
    """Return median, longest and the number of those that are not below the limit."""
    longest = max(lengths, key=lambda name: lengths[name])
    return {
        f"median {what}, lines": f"{statistics.median(lengths.values()):g}",
        f"longest {what}, lines": f"{lengths[longest]}: {longest}",
        f"{what}s of {limit} lines or more": str(sum(length >= limit for length in lengths.values())),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT], help="folders with nisbench/ and plugins/")
    checkouts = parser.parse_args().checkouts
    columns = [measured(path) for path in checkouts]
    sys.stdout.write(f"| | {' | '.join(path.resolve().name for path in checkouts)} |\n|---|{'---|' * len(columns)}\n")
    for name in columns[0]:
        sys.stdout.write(f"| {name} | {' | '.join(column[name] for column in columns)} |\n")


if __name__ == "__main__":
    main()
