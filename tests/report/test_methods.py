"""How a page names methods and cites them, and how it says numbers and units."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.pages import read

from nisbench.contract.catalog import Catalog, load_catalog
from nisbench.harness.store import Store
from nisbench.report.document import Entry
from nisbench.report.methods import bibtex, methods_of
from nisbench.report.spoken import spoken
from nisbench.results.cells import load


def test_methods_are_named_in_full_with_paper_card_and_bibtex(quick_out: Path):
    page = read(quick_out)
    links = {one["aria-label"]: one["href"] for one in page.all("a") if "aria-label" in one}
    assert links["paper of wolff"] == "https://doi.org/10.1103/PhysRevLett.62.361"
    assert "van: variational autoregressive network of full width" in page.text
    for name in ("hier", "van", "wolff"):
        assert links[f"method card of {name}"] == f"#method-{name}"
    assert {one["id"] for one in page.all("details") if "id" in one} >= {"method-hier", "method-van", "method-wolff"}
    assert "Samples     p(s) = exp(-beta E) / Z of a pairwise model on the square lattice" in page.text
    for key in ("@software{nisbench", "@article{Wolff1989", "@article{Wu2019", "@article{Bialas2022"):
        assert page.text.count(key) == 1
    assert "@misc" not in page.text


def test_bibtex_of_nisbench_is_that_of_the_citation_file(quick_store: Store):
    cited = (Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8")
    title = re.search(r'^title: "(.*)"$', cited, re.MULTILINE)
    assert title is not None
    text = bibtex(load([quick_store]), ())
    assert title[1] in text
    assert "The nisbench developers" in text
    assert "version = {0.1.0}" in text


def test_a_method_without_bibtex_is_cited_by_its_text_and_other_versions_are_named(quick_store: Store):
    results = load([quick_store])
    entry = load_catalog().plugins["wolff"]
    catalog = Catalog(
        {"wolff": replace(entry, bibtex="", version="9.9"), "van": replace(entry, factory="no.such:C")}, {}
    )
    van, wolff = methods_of(results, catalog)
    assert "% wolff: U. Wolff" in bibtex(results, [wolff])
    assert wolff.remark == "The run used version 0.1.0; this card is of version 9.9."
    assert wolff.paper == ""
    assert van.card == ""
    assert methods_of(results, None) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1.4875(12)", "1.4875 plus or minus 0.0012"),
        ("−3.0(2.1)", "−3.0 plus or minus 2.1"),
        ("8.6(7)×10⁻⁷", "8.6 plus or minus 0.7, times 10 to the power -7"),
        ("1.4(5)×10⁷ (1.3 s)", "1.4 plus or minus 0.5, times 10 to the power 7 (1.3 s)"),
        ("120(30)", "120 plus or minus 30"),
        ("n/a", ""),
        ("0.5", ""),
    ],
)
def test_errors_are_spoken(text: str, said: str):
    assert spoken(Entry(text)) == said


def test_units_are_spoken(quick_out: Path):
    page = read(quick_out)
    assert "per eff. sample (s) in seconds" in re.sub(r"\s+", " ", page.text)
