"""report.md explains its words, figures and published values to a reader who has no other page."""

from dataclasses import replace
from pathlib import Path

import pytest
from fakes.stores import StoreMaker
from fakes.verdicts import Made, made_store

from nisbench.contract.records import Estimate, Status
from nisbench.report.document import Document, Fold, Table
from nisbench.report.growth import costs_alone
from nisbench.report.page import build_report
from nisbench.report.sections.cost import cost_section
from nisbench.report.sections.glance import glance_section
from nisbench.report.sections.verdict import verdict_table
from nisbench.report.sentences import verdict_sentences
from nisbench.results.cells import Results, load
from nisbench.results.published import published

WOLFF = Made("wolff", 16, cost=6e-6, error=1e-7)
HIER = Made("hier", 16, ess=0.5, train_s=12.0)


def loaded(path: Path, *cells: Made) -> Results:
    return load([made_store(path, *cells)])


def shortened(results: Results) -> Document:
    """The report with the quality and costs alone."""
    return Document("t", (), (), (glance_section(results),), ())


def break_evens(results: Results) -> dict[str, str]:
    """Sampler -> break-even of the whole budget, as printed."""
    table = verdict_table(results)
    heads = [column.heading for column in table.columns]
    pair = heads.index("sampler"), heads.index("break-even, whole budget")
    return {row[pair[0]].text: row[pair[1]].text for row in table.rows}


# The main table


def test_words_of_the_main_table_are_defined_above_it(tmp_path: Path):
    equal = replace(HIER, plugin="van", ess=1 / 5.5)  # 5.5 us after training against 6.0 us: less than 20 % apart
    results = loaded(tmp_path / "run", WOLFF, HIER, equal, replace(HIER, plugin="other", ess=0.01))
    found = break_evens(results)
    assert (found["van"], found["other"], found["wolff"]) == ("undecided", "not cheaper", "n/a")
    caption = verdict_table(results).caption
    for word in ("With training:", "Break-even:", "undecided:", "not cheaper:", "n/a:"):
        assert word in caption
    assert "Bold, where at least two samplers are trusted:" in caption
    assert "none:" not in caption


def test_nothing_is_explained_that_the_table_does_not_contain(tmp_path: Path):
    caption = verdict_table(loaded(tmp_path / "run", WOLFF, replace(HIER, status=Status.UNTRUSTED))).caption
    assert "Bold" not in caption  # one sampler is trusted
    caption = verdict_table(loaded(tmp_path / "again", WOLFF, replace(WOLFF, plugin="metropolis", cost=2e-5))).caption
    assert "Break-even" not in caption
    assert "Bold" in caption
    missing = replace(HIER, more={"ess_fraction_p": Estimate.missing("no reference")})
    assert "none: no value;" in verdict_table(loaded(tmp_path / "third", WOLFF, missing)).caption


# Variants


def test_the_bare_name_of_a_sampler_is_the_one_with_its_defaults(tmp_path: Path):
    """z2 is on by default, although most variants switch it off."""
    variants = {0.0151: {"z2": True}, 0.0244: {"z2": False}, 0.1709: {"z2": False, "annealing": "none"}}
    cells = [
        replace(HIER, options={"annealing": "linear", **options}, more={"kl_nats": Estimate(kl, 0.002)})
        for kl, options in variants.items()
    ]
    assert (
        "Variants of hier at L = 16 by KL(q‖p) (nats): hier 0.0151(20) < hier (z2=False) 0.0244(20) < hier "
        "(annealing=none, z2=False) 0.1709(20)."
    ) in verdict_sentences(loaded(tmp_path / "run", WOLFF, *cells))


# Figures


def test_figures_are_explained_below_them(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8)
    maker.sampler(8)
    build_report([maker.write(tmp_path / "run")], tmp_path / "out")
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    [place] = [k for k, line in enumerate(lines) if line.endswith("(figures/what-to-use.svg)")]
    assert lines[place + 1] == ""
    for part in ("Upper number: this time.", "Lower number: how many times longer", "Hatched: a tie"):
        assert part in lines[place + 2]
    [source] = {value.source for value in published().values if value.method == "HAN"}
    assert f"\n\nHAN, published: {source}.\n\n" in text


def test_each_published_series_of_the_short_page_has_its_source_once(tmp_path: Path):
    maker = StoreMaker(draws=400)
    for L in (4, 8):
        maker.model("hier", L)
    document = shortened(load([maker.write(tmp_path / "run")]))
    shown = {s.label for one in document.main_pictures for s in one.panel.series if s.role == "published"}
    assert {"HAN, published", "RiGCS, published"} <= shown
    assert sorted(source.partition(": ")[0] for source in document.sources) == sorted(shown)
    maker = StoreMaker(draws=400)
    maker.model("hier", 8, beta=0.3)
    assert shortened(load([maker.write(tmp_path / "cold")])).sources == ()


# Runs that measure costs alone


def costs(path: Path, steps: int) -> Results:
    maker = StoreMaker(draws=400, steps=steps)
    for L in (4, 8, 16):
        maker.model("hier", L)
        maker.model("van", L)
        maker.sampler(L)
    return load([maker.write(path)])


def test_costs_come_first_where_models_were_trained_for_a_few_steps(tmp_path: Path):
    results = costs(tmp_path / "run", 5)
    assert costs_alone(results)
    section = glance_section(results)
    drawn = [one.name for figure in section.figures for one in figure.pictures]
    first = ["train-step-s", "draw-s-per-1000", "peak-host-train-bytes", "peak-host-draw-bytes"]
    assert drawn[:4] == first
    assert "kl-nats" in drawn[4:]
    assert isinstance(section.blocks[-1], Fold)
    assert [one.name for one in shortened(results).main_pictures] == first
    assert not {one.name for figure in cost_section(results).figures for one in figure.pictures} & set(drawn)
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    heads = [column.heading for column in table.columns]
    rows = {(row[0].text, row[1].text): dict(zip(heads, row, strict=True)) for row in table.rows}
    step = rows["van", "one training step (ms)"]
    exact = [2.4e-4 * L**2 * 1000 for L in (4, 8, 16)]
    assert [step[f"L = {L}"].sort for L in (4, 8, 16)] == pytest.approx(exact, rel=0.1)
    assert step["fitted a"].sort == pytest.approx(2.0, abs=0.1)
    assert step["predicted, the two largest"].text == "4.00"
    assert rows["hier", "host peak, training (MiB)"]["a between the two largest"].sort == pytest.approx(1.5, abs=1e-9)
    assert ("wolff", "1000 draws (s)") in rows
    assert ("wolff", "one training step (ms)") not in rows


def test_longer_trainings_one_size_and_no_training_have_the_quality_first(tmp_path: Path):
    assert not costs_alone(costs(tmp_path / "run", 2000))
    seconds = [replace(HIER, L=L, train_s=1.0) for L in (8, 16)]
    assert not costs_alone(loaded(tmp_path / "seconds", *seconds))
    assert not costs_alone(loaded(tmp_path / "chains", WOLFF, replace(WOLFF, L=8)))
    maker = StoreMaker(draws=400, steps=5)
    maker.model("hier", 8)
    assert not costs_alone(load([maker.write(tmp_path / "one")]))
