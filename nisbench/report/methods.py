"""The methods of a run: their names in full, publications and method cards, and the BibTeX to cite."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nisbench.contract.cards import method_card
from nisbench.contract.catalog import Catalog
from nisbench.results.cells import Results

__all__ = ["Method", "bibtex", "methods_of"]

_NISBENCH = """@software{{nisbench,
  author  = {{{{The nisbench developers}}}},
  title   = {{nisbench: a benchmark suite for samplers of lattice models}},
  version = {{{version}}}
}}"""
"""The entry of CITATION.cff."""


@dataclass(frozen=True)
class Method:
    """One plugin of the run, as its registration describes it."""

    name: str
    summary: str
    """The name in full."""
    citation: str
    bibtex: str
    card: str
    """The method card; empty if the plugin has none."""
    remark: str = ""
    """A sentence on a version that differs from that of the run."""

    @property
    def anchor(self) -> str:
        """Anchor of the method on the page."""
        return f"method-{re.sub('[^A-Za-z0-9]', '-', self.name)}"

    @property
    def paper(self) -> str:
        """Address of the publication; empty if it is not known."""
        found = re.search(r"\bdoi\s*=\s*[{\"]\s*([^\s{}\"]+)", self.bibtex)
        return f"https://doi.org/{found[1]}" if found else ""


def methods_of(results: Results, catalog: Catalog | None) -> tuple[Method, ...]:
    """The methods of the run that the catalog contains, models first; none without a catalog."""
    if catalog is None:
        return ()
    plugins = dict.fromkeys(plugin for _, plugin in sorted({(r.cell.kind, r.cell.plugin) for r in results.rows}))
    return tuple(_method(results, catalog, name) for name in plugins if name in catalog.plugins)


def _method(results: Results, catalog: Catalog, name: str) -> Method:
    entry = catalog.plugins[name]
    ran = sorted({row.cell.plugin_version for row in results.rows if row.cell.plugin == name})
    other = [version for version in ran if version != entry.version]
    remark = f"The run used version {', '.join(other)}; this card is of version {entry.version}." if other else ""
    return Method(name, entry.summary, entry.citation, entry.bibtex, method_card(entry), remark)


def bibtex(results: Results, methods: Sequence[Method]) -> str:
    """BibTeX of nisbench, with the version that ran, and of every method; each entry once."""
    return "\n\n".join(dict.fromkeys(_entries(results, methods)))


def _entries(results: Results, methods: Sequence[Method]) -> Iterator[str]:
    versions = dict.fromkeys(str(run.environment.get("nisbench") or "unknown") for run in results.runs)
    yield _NISBENCH.format(version=", ".join(versions) or "unknown")
    for method in methods:
        if method.bibtex:
            yield method.bibtex.strip()
        elif method.citation:
            yield f"% {method.name}: {' '.join(method.citation.split())}"
