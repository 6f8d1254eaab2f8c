"""Figures on the choice of a sampler, on training time and on errors: what they show for stores of known numbers."""

from itertools import combinations
from pathlib import Path

import pytest
from fakes.verdicts import Made, made_store
from figure_files import Text, faults, texts

from nisbench.contract.records import Estimate, Status
from nisbench.report.document import Block, Figure, Fold, Paragraph, Picture, Section, Table
from nisbench.report.figures import draw
from nisbench.report.palette import PALETTE, marks
from nisbench.report.panels import Grid, GridCell, Note, Panel, Point, Series
from nisbench.report.sections.error_bars import error_bars_section
from nisbench.report.sections.quality import quality_section
from nisbench.report.sections.relative_cost import relative_cost_section
from nisbench.report.sections.what_to_use import what_to_use_section
from nisbench.report.sheet import COLUMN, PAGE
from nisbench.results.cells import Results, load

WOLFF = Made("wolff", 8, cost=6e-6)
HIER = Made("hier", 8, ess=1.0, train_s=12.0)
SECTIONS = (what_to_use_section, quality_section, relative_cost_section, error_bars_section)


def results(path: Path, *cells: Made) -> Results:
    return load([made_store(path, *cells)])


def pictures(section: Section) -> dict[str, Picture]:
    return {one.name: one for block in section.figures for one in block.pictures}


def shown(section: Section) -> list[str]:
    """The names of the drawings that are not in a fold."""
    return [one.name for block in section.blocks if isinstance(block, Figure) for one in block.pictures]


def folded(section: Section) -> Fold:
    [found] = [block for block in section.blocks if isinstance(block, Fold)]
    return found


def paragraphs(section: Section) -> str:
    inside = [one for block in section.blocks for one in (block.blocks if isinstance(block, Fold) else [block])]
    return " ".join(block.text for block in inside if isinstance(block, Paragraph))


def panel(section: Section, name: str) -> Panel:
    found = pictures(section)[name].panel
    assert isinstance(found, Panel)
    return found


def grid(section: Section) -> Grid:
    found = pictures(section)["what-to-use"].panel
    assert isinstance(found, Grid)
    return found


def overlapping(svg: str) -> list[tuple[str, str]]:
    found, _, _ = texts(svg)
    return [(a.text, b.text) for a, b in combinations(found, 2) if a.overlaps(b)]


# Total time, and what to use


def test_total_times_and_the_break_even_are_drawn(tmp_path: Path):
    shown = panel(what_to_use_section(results(tmp_path / "run", WOLFF, HIER)), "total-time-L8")
    lines = {one.label: {round(point.x): point.y for point in one.points} for one in shown.series}
    assert lines["wolff"][1000] == pytest.approx(6e-3)
    assert lines["hier"][10**9] == pytest.approx(12 + 1e3)
    [note] = shown.notes
    assert (note.x, note.y, note.text) == (pytest.approx(2.4e6), pytest.approx(14.4), "2.4 million")
    assert shown.title == "Total time, L = 8: wolff up to 2.4 million, then hier"


def test_grid_names_the_winner_its_time_and_its_lead(tmp_path: Path):
    shown = grid(what_to_use_section(results(tmp_path / "run", WOLFF, HIER)))
    assert shown.columns == ("1000", "10⁴", "10⁵", "10⁶", "10⁷", "10⁸", "10⁹")
    [(name, cells)] = shown.rows
    assert name == "L = 8"
    assert [cell.label for cell in cells] == ["wolff"] * 4 + ["hier"] * 3
    assert (cells[3].lines, cells[6].lines) == (("6 s", "2.2×"), ("17 min", "5.9×"))
    assert cells[0].mark == marks(["wolff"])["wolff"]
    drawn = [one.text for one in texts(draw(shown).svg)[0]]
    assert drawn.count("wolff") == drawn.count("hier") == 1  # neighbours share one name


def test_nobody_cheaper_means_one_name_and_no_ring(tmp_path: Path):
    section = what_to_use_section(results(tmp_path / "run", WOLFF, Made("hier", 8, ess=0.05, train_s=12.0)))
    assert panel(section, "total-time-L8").notes == ()
    assert {cell.label for cell in grid(section).rows[0][1]} == {"wolff"}


def test_no_training_needed(tmp_path: Path):
    section = what_to_use_section(results(tmp_path / "run", WOLFF, Made("other", 8, cost=2e-6)))
    assert {cell.label for cell in grid(section).rows[0][1]} == {"other"}
    assert paragraphs(quality_section(results(tmp_path / "again", WOLFF))).startswith("Nothing was trained")


def test_a_tie_has_no_colour_of_a_sampler(tmp_path: Path):
    section = what_to_use_section(results(tmp_path / "run", WOLFF, Made("another", 8, cost=6.1e-6)))
    cells = grid(section).rows[0][1]
    assert {(cell.label, cell.mark, cell.empty) for cell in cells} == {("another ≈ wolff", None, False)}
    svg = draw(grid(section)).svg
    assert "pattern" in svg
    assert not [colour for colour in PALETTE if colour in svg]


def test_a_tie_of_many_names_the_cheapest_and_counts_the_others(tmp_path: Path):
    others = [Made(f"m{k}", 8, cost=(6.1 + 0.1 * k) * 1e-6) for k in range(4)]
    section = what_to_use_section(results(tmp_path / "run", WOLFF, *others))
    cells = grid(section).rows[0][1]
    assert {(cell.label, cell.lines[1], cell.mark) for cell in cells} == {("wolff", "≈ 4 more", None)}
    drawn = [one.text for one in texts(draw(grid(section)).svg)[0]]
    assert (drawn.count("wolff"), drawn.count("≈ 4 more")) == (1, 7)
    assert "m0 or m1 or m2 or m3 or wolff from 1000" in grid(section).words


def test_alone_one_trusted_and_none_trusted(tmp_path: Path):
    bad = {"ess": 0.5, "train_s": 3.0, "status": Status.UNTRUSTED}
    cells = (WOLFF, Made("wolff", 16, cost=6e-6), Made("hier", 16, **bad), Made("hier", 32, **bad))
    section = what_to_use_section(results(tmp_path / "run", *cells))
    rows = {name: {(cell.label, cell.mark, cell.empty) for cell in row} for name, row in grid(section).rows}
    assert rows == {
        "L = 8": {("wolff, alone", None, True)},
        "L = 16": {("wolff, the only one trusted", None, True)},
        "L = 32": {("none trusted", None, True)},
    }
    assert list(pictures(section)) == ["what-to-use"]


def test_all_untrusted_or_nothing_measured(tmp_path: Path):
    bad = results(tmp_path / "bad", Made("hier", 8, ess=0.5, train_s=3.0, status=Status.UNTRUSTED))
    failed = results(tmp_path / "failed", Made("hier", 8, ess=0.5, train_s=3.0, status=Status.FAILED))
    for section in (make(found) for make in SECTIONS for found in (bad, failed)):
        assert section.blocks
    assert {cell.label for cell in grid(what_to_use_section(bad)).rows[0][1]} == {"none trusted"}
    assert paragraphs(what_to_use_section(failed)).startswith("No trusted sampler")


def test_four_panels_are_open_six_more_are_folded_and_the_rest_is_named(tmp_path: Path):
    cells = [Made("wolff", L, cost=6e-6) for L in range(4, 17)]
    models = [Made("hier", L, ess=1.0, train_s=1.0) for L in range(4, 16)]
    section = what_to_use_section(results(tmp_path / "run", *cells, *models))
    assert shown(section) == [*(f"total-time-L{L}" for L in (12, 13, 14, 15)), "what-to-use"]
    more = [*(f"total-time-L{L}" for L in range(6, 12)), "what-to-use-smaller"]
    assert sorted(pictures(section)) == sorted([*shown(section), *more])
    rows = {name: [row for row, _ in pictures(section)[name].panel.rows] for name in ("what-to-use", more[-1])}
    assert rows == {
        "what-to-use": [f"L = {L}" for L in range(12, 17)],
        "what-to-use-smaller": [f"L = {L}" for L in range(4, 12)],
    }
    assert folded(section).summary == "Total time and what to use: L = 4, 5, 6, 7, 8, 9, 10 and 11"
    assert paragraphs(section) == (
        "No panel for smaller sizes: L = 4 and 5. No panel where fewer than two samplers are trusted: L = 16."
    )


def test_figures_of_the_place_with_most_to_compare_are_open(tmp_path: Path):
    cells = [
        Made(name, L, cost=6e-6, beta=beta) for beta in (0.3, 0.44) for L in (8, 16) for name in ("wolff", "other")
    ]
    third = [Made("third", L, cost=6e-6, beta=0.44) for L in (8, 16)]
    alone = Made("wolff", 8, cost=6e-6, beta=0.6)
    section = what_to_use_section(results(tmp_path / "run", *cells, *third, alone))
    assert shown(section) == ["total-time-L8-2", "total-time-L16-2", "what-to-use-2"]
    assert folded(section).summary == "Total time and what to use: ising, β = 0.3; ising, β = 0.6"
    inside = set(pictures(section)) - set(shown(section))
    assert inside == {"total-time-L8-1", "total-time-L16-1", "what-to-use-1", "what-to-use-3"}


def test_crowded_panel_keeps_the_samplers_closest_to_the_smallest_total(tmp_path: Path):
    cells = [Made(f"m{k}", 8, ess=1 / (1 + k), train_s=1.0 + k) for k in range(12)]
    shown = panel(what_to_use_section(results(tmp_path / "run", WOLFF, *cells)), "total-time-L8")
    assert {one.label for one in shown.series} == {"wolff", "m0", "m1", "m2", "m3", "m4"}


def test_crowded_panel_keeps_the_sampler_with_which_variants_are_compared(tmp_path: Path):
    variants = [Made("hier", 8, ess=0.9 - 0.05 * k, train_s=1.0, options={"width": 2 + k}) for k in range(9)]
    default = Made("hier", 8, ess=0.01, train_s=1.0, options={"width": 1})
    section = what_to_use_section(results(tmp_path / "run", WOLFF, default, *variants))
    shown = [one.label for one in panel(section, "total-time-L8").series]
    assert len(shown) == 6
    assert {"hier", "wolff"} <= set(shown)
    [drawn, _] = [block for block in section.blocks if isinstance(block, Figure)]
    assert "always those with which variants are compared" in drawn.caption


def test_machines_get_grids_of_their_own(tmp_path: Path):
    section = what_to_use_section(
        results(tmp_path / "run", WOLFF, Made("hier", 8, ess=1.0, train_s=1.0, machine="Big"))
    )
    titles = {one.panel.title for one in pictures(section).values() if isinstance(one.panel, Grid)}
    assert titles == {"What to use, Big", "What to use, Imaginary CPU 3000"}


# Drawing


def lines(*ends: float) -> tuple[Series, ...]:
    looks = marks([f"s{k}" for k in range(len(ends))])
    points = [(Point(1e3, 1.0, 0.2), Point(1e9, end, 0.1 * end)) for end in ends]
    return tuple(Series(f"s{k}", points[k], looks[f"s{k}"], shape="curve") for k in range(len(ends)))


@pytest.mark.parametrize("sheet", [PAGE, COLUMN])
@pytest.mark.parametrize("ends", [(9.0, 9.0, 9.0), (1.0, 1.0, 1.0, 1.0, 1.0), (1.0, 1e6), (5e5, 1e6, 1e6)])
def test_names_at_the_ends_of_lines_do_not_overlap(ends: tuple[float, ...], sheet, tmp_path: Path):
    shown = Panel("p", "t", "n", "y", lines(*ends), x_scale="log", y_scale="log")
    svg = draw(shown, sheet=sheet).svg
    assert overlapping(svg) == []
    for k in range(len(ends)):
        assert f'id="p-legend-{k}-name"' in svg
        assert f'id="p-legend-{k}-mark"' in svg
    assert "legend_1" not in svg
    (tmp_path / "p.svg").write_text(svg)
    assert faults(tmp_path / "p.svg") == []


def test_lines_that_end_elsewhere_and_long_names_get_a_legend():
    one, two = lines(5.0, 9.0)
    short = Series("s2", one.points[:1], two.mark, shape="curve")
    long = Series("a name that takes half of the figure", two.points, two.mark, shape="curve")
    for other in (short, long):
        svg = draw(Panel("p", "t", "n", "y", (one, other), x_scale="log", y_scale="log")).svg
        assert "legend_1" in svg


@pytest.mark.parametrize("places", [(1.1e3, 9.9e8), (1e6, 1.2e6), (1e8, 3e8, 9e8), (2e3,)])
def test_texts_of_break_evens_do_not_overlap(places: tuple[float, ...], tmp_path: Path):
    notes = tuple(Note(x, 2.0, "345 million") for x in places)
    shown = Panel("p", "t", "n", "y", lines(5.0, 9.0), x_scale="log", y_scale="log", notes=notes)
    for sheet in (PAGE, COLUMN):
        svg = draw(shown, sheet=sheet).svg
        assert overlapping(svg) == []
        (tmp_path / "p.svg").write_text(svg)
        assert faults(tmp_path / "p.svg") == []


@pytest.mark.parametrize("sheet", [PAGE, COLUMN])
def test_texts_of_a_grid_stay_in_their_cells(sheet, tmp_path: Path):
    look = marks(["W" * 60])["W" * 60]
    names = ["W" * 60, "hier-exact ≈ wolff ≈ a-very-long-name", "hier", "none trusted", "wolff, alone", "a", "$x^{2}$"]
    cells = tuple(
        GridCell(name, ("3000 h", "16 000×")[: 1 + k % 3], look if k % 3 else None) for k, name in enumerate(names)
    )
    columns = tuple(f"10{k}" for k in "³⁴⁵⁶⁷⁸⁹")
    shown = Grid("p", "W " * 99, "effective samples", columns, (("L = 512", cells), ("L = 1024", cells[::-1])), "words")
    svg = draw(shown, sheet=sheet).svg
    assert overlapping(svg) == []
    (tmp_path / "p.svg").write_text(svg)
    assert faults(tmp_path / "p.svg") == []
    assert "16 000×" in [one.text for one in texts(svg)[0]]  # numbers are not shortened


def test_negative_control_overlaps_are_seen():
    [(a, b)] = [(Text("a", 0, 0, 9, 9, ""), Text("b", 5, 5, 12, 12, ""))]
    assert a.overlaps(b)
    shown = Panel("p", "t", "n", "y", lines(5.0, 9.0), x_scale="log", y_scale="log")
    [x] = {one.left for one in texts(draw(shown).svg)[0] if one.text == "s0"}
    assert x > 0
    svg = draw(shown).svg.replace(">s0<", f">{'s0 ' * 40}<").replace(">s1<", f">{'s1 ' * 40}<")
    assert any(one.right > 338.4 for one in texts(svg)[0])


# Quality, relative cost, errors


def trained(name: str, L: int, train_s: float, kl: float, history: tuple[tuple[float, float], ...] = ()) -> Made:
    ess = history[-1][1] if history else 0.9  # the draws of the cell agree with the end of its training
    return Made(name, L, ess=ess, train_s=train_s, more={"kl_nats": Estimate(kl, 0.1 * kl)}, history=history)


def test_front_joins_the_samplers_that_no_other_one_beats(tmp_path: Path):
    found = results(tmp_path / "run", trained("a", 8, 1.0, 0.5), trained("b", 8, 9.0, 0.1), trained("c", 8, 9.0, 0.2))
    shown = panel(quality_section(found), "pareto-L8")
    series = {one.label: [(point.x, point.y) for point in one.points] for one in shown.series}
    assert series["Pareto front"] == [(1.0, 0.5), (9.0, 0.5), (9.0, 0.1)]
    assert series["c"] == [(9.0, 0.2)]


def test_goals_that_are_not_reached_are_open_ends(tmp_path: Path):
    good = ((1.0, 0.3), (2.0, 0.6), (3.0, 0.7), (9.0, 0.85))
    bad = ((1.0, 0.1), (2.0, 0.2), (7.0, 0.3))
    cells = (trained("hier", 8, 9.0, 0.1, good), trained("hier", 16, 9.0, 0.1, bad), trained("van", 8, 9.0, 0.2, bad))
    section = quality_section(results(tmp_path / "run", *cells))
    shown = panel(section, "time-to-ess-fraction-0-5")
    points = {one.label: [(point.x, point.y, point.limit) for point in one.points] for one in shown.series}
    assert points == {"hier": [(8, 2.0, ""), (16, 7.0, "lower")], "van": [(8, 7.0, "lower")]}
    assert paragraphs(section) == "No sampler reached ESS ≥ 0.9 with all of its seeds."
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    assert [column.heading for column in table.columns] == ["L", "sampler", "ESS ≥ 0.5", "ESS ≥ 0.9"]
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["8", "hier", "2", "> 9"],
        ["8", "van", "> 7", "> 7"],
        ["16", "hier", "> 7", "> 7"],
    ]
    [told] = [one for one in draw(shown).series if one.label == "van"]
    assert told.points[0][3] == "above 7"


def test_one_size_makes_rows_with_the_unreached_ones_last(tmp_path: Path):
    good, late = ((1.0, 0.6), (2.0, 0.6)), ((1.0, 0.1), (5.0, 0.6), (6.0, 0.6))
    never = ((1.0, 0.1), (3.0, 0.1))
    histories = {"z": never, "a": late, "m": good}
    cells = [trained(name, 8, 9.0, 0.1, history) for name, history in histories.items()]
    shown = panel(quality_section(results(tmp_path / "run", *cells)), "time-to-ess-fraction-0-5")
    assert shown.rows
    assert [one.label for one in shown.series] == ["m", "a", "z"]


def test_arrow_of_an_open_end_stays_below_the_frame():
    points = (Point(8, 1.0), Point(16, 100.0, limit="lower"))
    for y_scale in ("log", "linear"):
        shown = Panel("p", "t", "L", "y", (Series("a", points),), y_scale=y_scale)
        drawn = draw(shown)
        top = min(y for _, y, *_ in drawn.series[0].points)
        assert top > 22  # points of room above the mark, for an arrow of 7 % of an axis of 162 points


def test_relative_cost_has_a_band_around_one(tmp_path: Path):
    cells = [Made("wolff", L, cost=4e-6) for L in (8, 16)] + [Made("hier", L, ess=0.5, train_s=1.0) for L in (8, 16)]
    shown = panel(relative_cost_section(results(tmp_path / "run", *cells)), "relative-cost")
    hier, band = shown.series
    assert [(point.x, point.y) for point in hier.points] == [(8, 0.5), (16, 0.5)]
    assert (band.shape, band.label) == ("band", "as cheap as wolff")
    assert [(point.y, point.error) for point in band.points] == [(1.0, 0.2), (1.0, 0.2)]


def test_histogram_counts_the_z_scores_of_trusted_runs(tmp_path: Path):
    def made(name: str, z: float, status: Status = Status.OK) -> Made:
        return Made(name, 8, cost=1e-6, more={"energy": Estimate(-1.4 + 0.1 * z, 0.1, exact=-1.4)}, status=status)

    zs = (-0.5, 0.5, 1.5, 7.0)
    cells = [made(f"m{k}", z) for k, z in enumerate(zs)] + [made("bad", 3.0, Status.UNTRUSTED)]
    section = error_bars_section(results(tmp_path / "run", *cells))
    steps = panel(section, "z-histogram").series[0].points
    assert {point.x: point.y for point in steps if point.y} == {-1.0: 1, 0.0: 1, 1.0: 1, 3.0: 1}
    assert paragraphs(section) == "2 of 4 z-scores are within ±1; right errors give 3."


def blocks(section: Section, kind: type[Block]) -> list[Block]:
    return [block for block in section.blocks if isinstance(block, kind)]


def test_every_figure_of_these_sections_has_words(tmp_path: Path):
    found = results(tmp_path / "run", WOLFF, trained("hier", 8, 9.0, 0.1), trained("van", 8, 3.0, 0.3))
    for make in SECTIONS:
        section = make(found)
        assert all(len(one.alt) > 30 for one in pictures(section).values())
        assert section.title.endswith("?")
        assert blocks(section, Figure) or blocks(section, Paragraph)
