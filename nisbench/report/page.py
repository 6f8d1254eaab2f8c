"""Writes report.html, report.md and figures/ for stores. The same stores and catalog give the same bytes."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nisbench.contract.catalog import Catalog
from nisbench.harness.atomic import guard, write_text
from nisbench.harness.store import Store
from nisbench.report.data import COLOURS, page_data, sort_key
from nisbench.report.document import Code, Document, Entry, Figure, Fold, Paragraph, Picture, Related, Table
from nisbench.report.methods import Method, methods_of
from nisbench.report.panels import Drawing, visible
from nisbench.report.paper import write_paper
from nisbench.report.sections.autocorrelation import autocorrelation_section
from nisbench.report.sections.citing import citing_section
from nisbench.report.sections.configurations import configurations_section
from nisbench.report.sections.cost import cost_section
from nisbench.report.sections.error_bars import error_bars_section
from nisbench.report.sections.ess import ess_section
from nisbench.report.sections.failures import failures_section
from nisbench.report.sections.free_energy import free_energy_section
from nisbench.report.sections.glance import glance_section
from nisbench.report.sections.magnetisation import magnetisation_section
from nisbench.report.sections.observables import observables_section
from nisbench.report.sections.provenance import provenance_section
from nisbench.report.sections.published import published_section
from nisbench.report.sections.quality import quality_section
from nisbench.report.sections.relative_cost import relative_cost_section
from nisbench.report.sections.training import training_section
from nisbench.report.sections.verdict import claims_section, verdict_section
from nisbench.report.sections.what_to_use import what_to_use_section
from nisbench.report.sentences import lead_sentences, verdict_blocks
from nisbench.report.spoken import spoken, spoken_unit
from nisbench.report.tables import REASONS
from nisbench.results.cells import Results, load
from nisbench.results.derived import with_derived

__all__ = ["build_report", "rendered"]

_OPEN = (
    verdict_section,
    what_to_use_section,
    glance_section,
)
"""The sections that a reader sees at once, in order."""

_FOLDED = (
    claims_section,
    free_energy_section,
    ess_section,
    autocorrelation_section,
    relative_cost_section,
    cost_section,
    quality_section,
    training_section,
    error_bars_section,
    observables_section,
    magnetisation_section,
    configurations_section,
    published_section,
    failures_section,
    provenance_section,
)
"""The sections of which a reader first sees the heading, in order; the section on citing comes last."""

_MOST_ROWS = 50
"""Rows of a table in the Markdown."""
_MOST_PAGE_ROWS = 200
"""Rows of a table in report.html: a browser opens the page at once, and the page stays below 10 MB."""
_SCRIPTS = ("tables.js", "figures.js", "report.js")


def build_report(
    stores: Sequence[Store],
    out: Path,
    *,
    catalog: Catalog | None = None,
    related: Sequence[Related] = (),
    paper: bool = False,
) -> Path:
    """Writes report.html, report.md and figures/ for the runs in `stores` into `out`; returns the path of report.html.

    The report of a half-finished run shows the cells that have ended. Raises StoreError if a file of a store is damaged
    or if the folder cannot be written.

    Parameters
    ----------
    catalog
        Describes the methods: names in full, publications, BibTeX, method cards. Without it they are left out.
    related
        Other reports on the same question, to which the page links.
    paper
        Also write paper/, with figures for one column and tables in LaTeX.
    """
    results = with_derived(load(stores))
    document = _document(results, methods_of(results, catalog), tuple(related))
    guard(out, lambda: (out / "figures").mkdir(parents=True, exist_ok=True))
    for picture in document.pictures:
        write_text(out / "figures" / f"{picture.name}.svg", _standalone(picture))
        _write(out / "figures" / f"{picture.name}.pdf", picture.drawing.pdf)
    markdown = (
        _environment()
        .get_template("report.md.j2")
        .render(document=document, most_rows=_MOST_ROWS, page_rows=_MOST_PAGE_ROWS, reasons=REASONS)
    )
    write_text(out / "report.md", markdown)
    write_text(out / "report.html", rendered(document, results))
    if paper:
        write_paper(document, out / "paper")
    return out / "report.html"


def rendered(document: Document, results: Results) -> str:
    """The document as one HTML page; the script of the page can save `results`."""
    # One element, so that one hash in the content security policy admits it.
    script = "".join(_source(name) for name in _SCRIPTS)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            document=document,
            style=Markup(_source("report.css")),
            script=Markup(script),
            script_hash=_hash(script),
            data=Markup(page_data(document, results)),
        )
    )


def _document(results: Results, methods: tuple[Method, ...], related: tuple[Related, ...]) -> Document:
    return Document(
        title=" + ".join(dict.fromkeys(str(run.plan.get("title") or run.name) for run in results.runs)),
        lead=lead_sentences(results),
        verdict=verdict_blocks(results),
        open=tuple(make(results) for make in _OPEN),
        folded=(*(make(results) for make in _FOLDED), citing_section(results, methods)),
        methods=methods,
        related=related,
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("nisbench.report", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_visible,
    )
    kinds = {"paragraph": Paragraph, "code": Code, "table": Table, "figure": Figure, "fold": Fold}
    environment.tests.update({name: _test(kind) for name, kind in kinds.items()})
    environment.filters.update({"inline": _inline, "md": _markdown, "key": sort_key, "fence": _fence, "entry": _entry})
    environment.filters["page_rows"] = lambda table: table.first(_MOST_PAGE_ROWS)
    environment.filters.update({"spoken": spoken, "unit": spoken_unit})
    return environment


def _visible(value: object) -> object:
    """Text without characters that a reader cannot see or that a file cannot contain; other values unchanged."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _test(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


def _source(name: str) -> str:
    return (resources.files("nisbench.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """Hash of the script for the content security policy: no other script runs, whatever text a name contains."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _write(path: Path, content: bytes) -> None:
    guard(path, lambda: path.write_bytes(content))


def _standalone(picture: Picture) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n{picture.drawing.svg}\n'


def _inline(drawing: Drawing, alt: str) -> Markup:
    """The drawing as part of the page: its colours are variables, so that they follow the light and dark scheme."""
    svg = drawing.svg
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    # matplotlib repeats its default style in every drawing; the style of the page replaces it.
    svg = re.sub(r"\s*<style.*?</style>", "", svg, count=1, flags=re.DOTALL)
    label = Markup.escape(alt)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _markdown(text: object) -> str:
    """Plain text on one line, with every character escaped that Markdown or HTML could read as markup."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*_{}\[\]#|~$^])", r"\\\1", escaped)
    return re.sub(r"\s+", " ", escaped).strip()


def _entry(entry: Entry) -> str:
    """The text of a table entry in Markdown."""
    if entry.tone == "code" and not set(entry.text) & set("`|\\\n"):
        return f"`{entry.text}`"
    text = _markdown(entry.text)
    return f"**{text}**" if entry.tone == "best" else text


def _fence(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
