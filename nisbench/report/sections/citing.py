"""Section with the BibTeX to cite, and the method cards of the samplers."""

from collections.abc import Sequence

from nisbench.report.document import Block, Code, Fold, Paragraph, Section
from nisbench.report.methods import Method, bibtex
from nisbench.results.cells import Results

__all__ = ["citing_section"]


def citing_section(results: Results, methods: Sequence[Method]) -> Section:
    """BibTeX of nisbench and of every method of the run, and the method cards."""
    blocks: list[Block] = [
        Paragraph("Please cite nisbench and the methods whose numbers you use."),
        Code(bibtex(results, methods)),
        *(_card(method) for method in methods),
    ]
    return Section("cite", "How do you cite this, and what are these samplers?", tuple(blocks), "Cite this")


def _card(method: Method) -> Fold:
    """The method card of a plugin behind its name."""
    told = [method.remark] if method.remark else []
    told += [f"Publication: {method.citation}."] if method.citation else []
    card: list[Block] = [Code(method.card)] if method.card else [Paragraph("The plugin has no method card.")]
    return Fold(f"{method.name}: {method.summary}", (*map(Paragraph, told), *card), method.anchor)
