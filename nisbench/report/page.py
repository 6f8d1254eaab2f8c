"""Stores -> report.html, report.md and figures/: the same content twice, and the same bytes for the same stores."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nisbench.harness.atomic import guard, write_text
from nisbench.harness.store import Store
from nisbench.report import draws, evidence, provenance, quality
from nisbench.report.comparison import compared
from nisbench.report.cost import cost_section
from nisbench.report.data import COLOURS, page_data, sort_key
from nisbench.report.document import Code, Document, Entry, Figure, Paragraph, Picture, Table, join
from nisbench.report.panels import Drawing, visible
from nisbench.report.results import Results, load
from nisbench.report.verdict import devices, verdict_section, verdict_sentences

__all__ = ["build_report", "rendered"]

_SECTIONS = (
    verdict_section,
    quality.free_energy_section,
    quality.ess_section,
    quality.autocorrelation_section,
    cost_section,
    evidence.training_section,
    evidence.observables_section,
    draws.magnetisation_section,
    draws.configurations_section,
    provenance.published_section,
    provenance.failures_section,
    provenance.provenance_section,
)


_SCRIPTS = ("tables.js", "figures.js", "report.js")


def build_report(stores: Sequence[Store], out: Path) -> Path:
    """Writes report.html, report.md and figures/ for the runs in `stores` into `out`; the path of report.html.

    A run that is half finished gives a report of what is there. Raises StoreError for a damaged file of a store and
    for a folder that cannot be written.
    """
    results = compared(load(stores))
    document = _document(results)
    guard(out, lambda: (out / "figures").mkdir(parents=True, exist_ok=True))
    for picture in document.pictures:
        write_text(out / "figures" / f"{picture.name}.svg", _standalone(picture))
        _write(out / "figures" / f"{picture.name}.pdf", picture.drawing.pdf)
    markdown = _environment().get_template("report.md.j2").render(document=document)
    write_text(out / "report.md", markdown)
    write_text(out / "report.html", rendered(document, results))
    return out / "report.html"


def rendered(document: Document, results: Results) -> str:
    """The document as one HTML page; `results` are what its script can save."""
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


def _document(results: Results) -> Document:
    return Document(
        title=" + ".join(dict.fromkeys(str(run.plan.get("title") or run.name) for run in results.runs)),
        lead=tuple(_lead(results)),
        verdict=verdict_sentences(results),
        sections=tuple(make(results) for make in _SECTIONS),
    )


def _lead(results: Results) -> list[str]:
    """What was run, on what."""
    told = list(dict.fromkeys(str(run.plan.get("description")) for run in results.runs if run.plan.get("description")))
    ended = sum(row.status is not None for row in results.rows)
    problems = join(results.problems) if len(results.problems) < 5 else f"{len(results.problems)} targets and betas"
    references = sum(row.cell.reference_draws > 0 for row in results.rows)
    state = (
        f"{len(results.rows)} cells, {references} of them references, {ended} ended; {problems or 'nothing to sample'}"
    )
    return [*told, f"{state}; {devices(results)}."]


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
    kinds = {"paragraph": Paragraph, "code": Code, "table": Table, "figure": Figure}
    environment.tests.update({name: _test(kind) for name, kind in kinds.items()})
    environment.filters.update({"inline": _inline, "md": _markdown, "key": sort_key, "fence": _fence, "entry": _entry})
    return environment


def _visible(value: object) -> object:
    """What is put into a page, without characters that a reader cannot see or a file cannot hold."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _test(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kind)


def _source(name: str) -> str:
    return (resources.files("nisbench.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """What the content security policy knows the script by; no other script runs, whatever a name holds."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _write(path: Path, content: bytes) -> None:
    guard(path, lambda: path.write_bytes(content))


def _standalone(picture: Picture) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n{picture.drawing.svg}\n'


def _inline(drawing: Drawing, alt: str) -> Markup:
    """The drawing with its colours as variables of the page, so that they follow light and dark."""
    svg = drawing.svg
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"\s*<style.*?</style>", "", svg, count=1, flags=re.DOTALL)
    label = Markup.escape(alt)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def _markdown(text: object) -> str:
    """Plain text with everything that Markdown or HTML could take for markup made harmless, on one line."""
    escaped = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\`*_{}\[\]#|~$^])", r"\\\1", escaped)
    return re.sub(r"\s+", " ", escaped).strip()


def _entry(entry: Entry) -> str:
    """The text of a table's entry in Markdown."""
    if entry.tone == "code" and not set(entry.text) & set("`|\\\n"):
        return f"`{entry.text}`"
    text = _markdown(entry.text)
    return f"**{text}**" if entry.tone == "best" else text


def _fence(text: str) -> str:
    """A code block whose fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
