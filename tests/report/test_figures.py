"""The drawings of a report, read back from their files: texts stay inside, ticks are sizes, marks have owners."""

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.stores import HOSTILE, StoreMaker
from fakes.verdicts import Made, made_store
from figure_files import faults, texts, with_published

from nisbench.contract.records import Estimate
from nisbench.harness.store import Store
from nisbench.report.charts import quantity_panel, uncrowded, with_limits
from nisbench.report.figures import draw
from nisbench.report.lettering import shortened, width, wrapped
from nisbench.report.page import build_report
from nisbench.report.palette import PALETTE, PAPER, PUBLISHED_MARKERS, marks
from nisbench.report.panels import Panel, Point, Series
from nisbench.report.sections.glance import glance_section
from nisbench.report.sheet import COLUMN
from nisbench.report.sweeps import sweeps
from nisbench.results.cells import load
from nisbench.results.exponents import exponents

STYLE = Path(__file__).parents[2] / "nisbench" / "report" / "templates" / "report.css"


def figures(out: Path) -> list[Path]:
    return sorted((out / "figures").glob("*.svg"))


def test_ticks_are_sizes_and_texts_stay_inside(quick_out: Path):
    assert len(figures(quick_out)) > 20
    assert [fault for path in figures(quick_out) for fault in faults(path, with_published(4, 8, 16))] == []


def test_texts_stay_inside_whatever_the_names_are(hostile_page: Path):
    found = figures(hostile_page.parent)
    assert len(found) > 20
    assert [fault for path in found for fault in faults(path, with_published(4, 8, 64))] == []


def test_negative_control_faults_of_a_drawing_are_seen(tmp_path: Path):
    svg = draw(Panel("p", "title", "L", "y", (Series("a", (Point(4, 1.0), Point(8, 2.0))),))).svg
    file = tmp_path / "p.svg"
    file.write_text(svg)
    assert faults(file, {4.0, 8.0}) == []
    assert faults(file, {4.0}) == ["p.svg: tick '8' is no size of the run"]
    file.write_text(svg.replace(">title<", f">{'title ' * 30}<"))
    assert "leaves the figure" in faults(file)[0]
    [eight] = re.findall(r'x="([\d.]+)" [^>]*>8<', svg)
    [four] = re.findall(r'x="([\d.]+)" [^>]*>4<', svg)
    file.write_text(svg.replace(f'x="{eight}"', f'x="{four}"'))
    assert "ticks '4' and '8' overlap" in faults(file)[0]


@pytest.mark.parametrize("y_scale", ["linear", "log"])
@pytest.mark.parametrize("spread", [0.0, 1e-9, 0.01, 0.3, 2.0, 9.0, 200.0])
def test_ticks_never_overlap_whatever_the_values(spread: float, y_scale: str, tmp_path: Path):
    sizes = (4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 512, 513, 1024)
    points = tuple(Point(L, 3e-5 * 10 ** (spread * k / 12), 1e-7) for k, L in enumerate(sizes))
    panel = Panel("p", "t", "L", "y", (Series("a", points),), y_scale=y_scale)
    for rows in (False, True):
        file = tmp_path / "p.svg"
        file.write_text(draw(replace(panel, rows=rows)).svg)
        assert faults(file, None if rows else set(map(float, sizes))) == []


def test_a_dense_axis_keeps_the_label_of_its_largest_size():
    points = tuple(Point(L, 1.0) for L in (100, 101, 102, 103))
    found, _, _ = texts(draw(Panel("p", "t", "L", "y", (Series("a", points),))).svg)
    assert "103" in [one.text for one in found if one.tick == "x"]


def test_lines_are_broken_at_spaces_and_shortened_in_the_middle():
    assert wrapped("one two three", 9, 60, 2) == ["one two", "three"]
    lines = wrapped("one two three four five six seven", 9, 60, 2)
    assert len(lines) == 2
    assert all(width(line, 9) <= 60 for line in lines)
    assert "…" in lines[1]
    assert shortened("plugin (width=1)", 9, 1000) == "plugin (width=1)"
    assert shortened("plugin (depth=3, width=1)", 9, 80).endswith("=1)")
    assert wrapped("W" * 50, 9, 60, 3) == [shortened("W" * 50, 9, 60)]


# Colours and marks


def simulated(colours: list[str]) -> dict[str, np.ndarray]:
    """CIELAB coordinates (k, 3) of the colours for normal vision and for three deficiencies (Machado et al. 2009)."""
    code = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours]) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    views = {
        "normal": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }
    return {name: cielab(np.clip(linear @ np.array(matrix).T, 0, 1)) for name, matrix in views.items()}


def cielab(linear: np.ndarray) -> np.ndarray:
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = linear @ np.array(to_xyz).T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def palettes() -> dict[str, list[str]]:
    found = re.findall(r"--series-\d: (#[0-9a-f]{6})", STYLE.read_text())
    assert found[: len(PALETTE)] == list(PALETTE)
    return {"light": found[: len(PALETTE)], "dark": found[len(PALETTE) :]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_differ_for_colour_blind_readers_and_in_grey_print(scheme: str):
    """The five fixed colours are far apart in every view and in lightness; no two colours of the palette are close."""
    colours = palettes()[scheme]
    assert len(colours) == len(PALETTE)
    for view, lab in simulated(colours).items():
        pairs = itertools.combinations(range(len(colours)), 2)
        apart = {(a, b): float(np.linalg.norm(lab[a] - lab[b])) for a, b in pairs}
        assert min(apart.values()) >= 15, (view, min(apart, key=apart.get))
        assert min(distance for (_, b), distance in apart.items() if b < 5) >= 23, view
    lightness = sorted(simulated(colours)["normal"][:5, 0])
    assert np.diff(lightness).min() >= 9, lightness
    # 3 is the contrast that WCAG asks of the parts of a graphic.
    paper = {"light": 100.0, "dark": cielab(np.array([[0.0070, 0.0092, 0.0123]]))[0, 0]}[scheme]
    luminance = [((L + 16) / 116) ** 3 for L in (*simulated(colours)["normal"][:, 0], paper)]
    *own, ground = [value + 0.05 for value in luminance]
    assert min(max(one, ground) / min(one, ground) for one in own) >= 3


def test_a_sampler_has_one_look_in_every_report():
    few, many = marks(["wolff", "hier"]), marks(["hier", "hier-exact", "van", "wolff", "boundary-mps", "my-sampler"])
    assert all(few[name] == many[name] for name in few)
    assert marks(["my-sampler"])["my-sampler"] == many["my-sampler"]
    known = [many[name] for name in ("hier", "hier-exact", "van", "wolff", "boundary-mps")]
    assert len({mark.colour for mark in known}) == len({mark.marker for mark in known}) == 5
    strangers = marks([f"plugin-{k}" for k in range(30)]).values()
    assert not {mark.colour for mark in strangers} & {mark.colour for mark in known}
    assert len({(mark.colour, mark.marker) for mark in strangers}) == 30


def test_variants_share_the_colour_of_their_plugin_and_differ_in_their_marks():
    names = ["hier", *(f"hier (width={k})" for k in range(10)), "van (net=conv)", "van (net=dense)"]
    found = marks(names)
    assert {found[name].colour for name in names if name.startswith("hier")} == {found["hier"].colour}
    assert len({(mark.colour, mark.marker) for mark in found.values()}) == len(names)
    assert found["hier"] == marks(["hier"])["hier"]
    few = marks([f"hier (learning_rate={rate})" for rate in (0.001, 0.003, 0.01, 0.03)])
    assert len({mark.dash for mark in few.values()}) == 4


def test_no_sampler_has_the_mark_of_a_published_value():
    own = {mark.marker for mark in marks([f"plugin-{k}" for k in range(200)]).values()}
    assert not own & set(PUBLISHED_MARKERS)
    assert not {mark.marker for mark in marks(["hier", "van", "wolff"]).values()} & set(PUBLISHED_MARKERS)


def test_same_sampler_has_the_same_colour_in_two_reports(quick_out: Path, tmp_path: Path):
    maker = StoreMaker(draws=400)
    for L in (4, 8):
        maker.sampler(L)
    build_report([maker.write(tmp_path / "run")], tmp_path / "out")
    for out in (quick_out, tmp_path / "out"):
        svg = (out / "figures" / "s-per-effective-sample.svg").read_text()
        assert PALETTE[3] in svg  # wolff


# Which kind of figure


def test_exponent_stands_in_the_legend_only_where_a_power_law_fits(quick_store: Store):
    results = load([quick_store])
    fits = {(fit.series.label, fit.series.quantity): fit for fit in exponents(results.groups)}
    [sweep] = sweeps(results)
    panel = quantity_panel(sweep, "n_parameters", fits=list(fits.values()), log=True)
    assert panel is not None
    labels = [one.label for one in panel.series if one.role == "sampler"]
    assert fits["hier", "n_parameters"].describes
    assert labels[0].startswith("hier: L^2")
    bad = fits["van", "s_per_effective_sample"]
    assert len(bad.series.sizes) == 2
    assert not bad.describes
    panel = quantity_panel(sweep, "s_per_effective_sample", fits=list(fits.values()), log=True)
    assert panel is not None
    assert "van" in [one.label for one in panel.series if one.role == "sampler"]
    assert "van" not in [one.label for one in panel.series if one.role == "fit"]


def test_variants_at_one_size_are_a_dot_plot_sorted_by_value(quick_store: Store, tmp_path: Path):
    maker = StoreMaker(draws=400)
    for k, name in enumerate(("a", "b", "c", "d")):
        maker.model(name, 8, profile="hier" if k % 2 else "van")
    maker.sampler(8)
    [sweep] = sweeps(load([maker.write(tmp_path / "run")]))
    for quantity, up in (("kl_nats", True), ("s_per_effective_sample", True), ("acceptance_rate", False)):
        panel = quantity_panel(sweep, quantity, log=True)
        assert panel is not None
        assert panel.rows
        values = [one.points[0].y for one in panel.series]
        assert values == sorted(values, reverse=not up)
        found, _, _ = texts(draw(panel).svg)
        assert [one.text for one in found if one.tick == "y"] == [one.label for one in panel.series]
    assert not any(quantity_panel(one, "kl_nats").rows for one in sweeps(load([quick_store])))


def test_figures_run_against_beta_where_beta_has_more_values_than_size(tmp_path: Path):
    maker = StoreMaker(draws=400)
    for beta in (0.3, 0.4, 0.44, 0.5, 0.6):
        maker.model("hier", 8, beta=beta)
        maker.sampler(8, beta=beta)
    results = load([maker.write(tmp_path / "run")])
    [sweep] = sweeps(results)
    panel = quantity_panel(sweep, "tau_int_energy")
    assert panel is not None
    assert panel.x_label == "β"
    assert [point.x for point in panel.series[0].points] == [0.3, 0.4, 0.44, 0.5, 0.6]
    found, _, _ = texts(draw(panel).svg)
    assert [one.text for one in found if one.tick == "x"] == ["0.3", "0.4", "0.44", "0.5", "0.6"]


def test_figures_run_against_the_one_number_in_which_variants_differ(tmp_path: Path):
    maker = StoreMaker(draws=400)
    for rate in (0.001, 0.003, 0.01):
        maker.model("hier", 8)
        cell, finish = maker.cells.pop()
        maker.cells.append((replace(cell, options={**cell.options, "learning_rate": rate}), finish))
    maker.sampler(8)
    [sweep] = sweeps(load([maker.write(tmp_path / "run")]))
    panel = quantity_panel(sweep, "tau_int_energy")
    assert panel is not None
    assert panel.x_label == "learning_rate"
    assert panel.title == "τ_int of energy, L = 8"
    own, other, *_ = panel.series
    assert (own.label, [point.x for point in own.points]) == ("hier", [0.001, 0.003, 0.01])
    assert (other.label, other.role, other.shape) == ("wolff", "reference", "line")
    found, _, _ = texts(draw(panel).svg)
    assert [one.text for one in found if one.tick == "x"] == ["0.001", "0.003", "0.01"]


def test_an_ess_near_one_is_drawn_as_its_distance_from_one(tmp_path: Path):
    maker = StoreMaker(draws=2000)
    for L in (4, 8):
        maker.model("hier", L)
    [sweep] = sweeps(load([maker.write(tmp_path / "run")]))
    panels = [quantity_panel(sweep, name) for name in ("ess_fraction", "ess_fraction_p")]
    for panel in panels:
        assert panel is not None
        assert panel.y_label.startswith("1 − ESS per draw")
        assert panel.y_scale == "log"
        assert panel.title.startswith("1 − ESS per draw")
        assert "(0 is perfect)" in panel.title
    assert panels[0].y_limits == panels[1].y_limits
    low, high = panels[0].y_limits
    assert all(low < point.y < high for panel in panels for one in panel.series for point in one.points)
    models = [group for group in sweep.groups if group.trained]
    expected = [1 - group.value("ess_fraction") for group in models]
    assert [point.y for point in panels[0].series[0].points] == pytest.approx(expected)


def test_values_below_a_logarithmic_axis_are_arrows_that_the_page_tells():
    points = (Point(1.0, 0.1), Point(2.0, -0.01), Point(3.0, 0.02))
    for shape in ("points", "curve"):
        panel = Panel("p", "t", "x", "y", (Series("a", points, shape=shape),), x_scale="linear", y_scale="log")
        [traced] = draw(panel).series
        assert [value for *_, value in traced.points] == ["0.1000", "−0.01000", "0.02000"]
        lowest = max(y for _, y, *_ in traced.points)
        assert traced.points[1][1] == lowest


def tiny(*values: tuple[float, float]) -> Panel:
    """A panel of KL at L = 4, 8, ... with these values and errors."""
    points = tuple(Point(4.0 * 2**k, value, error) for k, (value, error) in enumerate(values))
    return Panel("p", "t", "L", "KL", (Series("a", points),), y_scale="log", noisy=True)


def test_a_value_below_two_errors_is_an_upper_limit_on_a_logarithmic_axis():
    raw = tiny((0.1, 0.01), (1e-9, 1e-6), (-3e-6, 1e-6), (2e-3, 1e-3), (1.9e-3, 1e-3))
    shown = with_limits(raw)
    points = [(point.y, point.error, point.limit) for point in shown.series[0].points]
    assert points[0] == (0.1, 0.01, "")
    assert points[1] == (pytest.approx(2.001e-6), None, "upper")
    assert points[2] == (pytest.approx(2e-6), None, "upper")
    assert points[3] == (2e-3, 1e-3, "")
    assert points[4] == (pytest.approx(3.9e-3), None, "upper")
    drawn = draw(shown)
    assert [value for *_, value in drawn.series[0].points][1:3] == ["below 2.001×10⁻⁶", "below 2×10⁻⁶"]
    ticks = [one.text for one in texts(drawn.svg)[0] if one.tick == "y"]
    assert not {"10⁻⁸", "10⁻⁹", "10⁻¹⁰"} & set(ticks), "the axis starts near the smallest error"
    assert "KL against L. a: 0.100(10) at 4, below 2.001×10⁻⁶ at 8" in shown.alt
    for other in (replace(raw, y_scale="linear"), replace(raw, noisy=False)):
        assert with_limits(other) == other


def test_an_upper_limit_is_filled_if_trusted_and_its_arrow_stays_inside():
    shown = with_limits(tiny((0.1, 0.01), (1e-9, 1e-6)))
    hollow = replace(shown.series[0], points=tuple(replace(point, trusted=False) for point in shown.series[0].points))
    assert draw(shown).svg.count(PAPER) < draw(replace(shown, series=(hollow,))).svg.count(PAPER)
    for rows in (False, True):
        drawn = draw(replace(shown, rows=rows))
        [(x, y, *_)] = [point for point in drawn.series[0].points if point[3].startswith("below")]
        # The corners of the axes: lower left, lower right, upper right.
        corners = re.search(
            r'id="p-patch_2">\s*<path d="M ([\d.]+) ([\d.]+) \nL ([\d.]+) [\d.]+ \nL [\d.]+ ([\d.]+)', drawn.svg
        )
        left, bottom, right, top = map(float, corners.groups())
        room = (x - left) / (right - left) if rows else (bottom - y) / (bottom - top)
        assert room > 0.07, "the arrow takes 7 % of the axis"


def test_both_scales_of_the_page_show_the_same_cells(tmp_path: Path):
    cells = [Made("hier", L, ess=0.999, more={"kl_nats": Estimate(1e-7, 1e-6)}, train_s=1.0) for L in (8, 16)]
    section = glance_section(load([made_store(tmp_path / "run", *cells)]))
    [kl] = [one for figure in section.figures for one in figure.pictures if one.name == "kl-nats"]
    told = [point[3] for one in kl.drawing.series if one.label == "hier" for point in one.points]
    assert told == ["below 2.1×10⁻⁶"] * 2
    assert kl.other is not None
    assert [point[3] for one in kl.other.series if one.label == "hier" for point in one.points] == ["0.1(1.0)×10⁻⁶"] * 2


@pytest.mark.parametrize("trusted", [True, False])
def test_arrows_at_the_edge_are_hollow_only_if_untrusted(trusted: bool):
    points = (Point(4.0, 1.0), Point(8.0, math.inf, trusted=trusted))
    svg = draw(Panel("p", "t", "L", "y", (Series("a", points),))).svg
    assert (svg.count(PAPER) > draw(Panel("p", "t", "L", "y", (Series("a", points[:1]),))).svg.count(PAPER)) != trusted


def test_values_whose_marks_lie_on_each_other_share_one_tick():
    points = tuple(Point(beta, 1.0) for beta in (0.3, 0.44, 0.440687, 0.6))
    shown = Panel("p", "t", "β", "y", (Series("a", points),), x_scale="values")
    assert [one.text for one in texts(draw(shown).svg)[0] if one.tick == "x"] == ["0.3", "0.44, 0.4407", "0.6"]
    close = tuple(Point(beta, 1.0) for beta in (0.3, 0.44, 0.4401, 0.4403, 0.4409, 0.6))
    shown = replace(shown, series=(Series("a", close),))
    assert [one.text for one in texts(draw(shown).svg)[0] if one.tick == "x"] == ["0.3", "0.44 to 0.4409", "0.6"]


def test_many_variants_are_grey_lines_with_one_name():
    points = (Point(1.0, 1.0), Point(2.0, 2.0))
    series = [Series(name, points, shape="curve") for name in ("hier", *(f"hier (width={k})" for k in range(12)))]
    shown = uncrowded(series)
    assert [one.label for one in shown if one.named] == ["12 variants with other options", "hier"]
    assert uncrowded(series[:5]) == tuple(series[:5])


def test_a_figure_for_a_column_is_as_wide_as_the_column_and_has_no_title(tmp_path: Path):
    panel = Panel("p", "The title", "L", "a y label", (Series("a", (Point(4, 1.0), Point(8, 2.0))),))
    drawn = draw(panel, sheet=COLUMN)
    found, across, _ = texts(drawn.svg)
    assert across == pytest.approx(3.4 * 72, abs=0.1)
    assert "The title" not in [one.text for one in found]
    assert "font-size: 8px" in drawn.svg
    file = tmp_path / "p.svg"
    file.write_text(drawn.svg)
    assert faults(file, {4.0, 8.0}) == []


def test_exponent_between_the_two_largest_sizes_has_the_error_of_its_costs(quick_store: Store):
    for fit in exponents(load([quick_store]).groups):
        (c, d), (e, f), (L, M) = fit.series.costs[-2:], fit.series.errors[-2:], fit.series.sizes[-2:]
        assert fit.last_two.value == pytest.approx(math.log(d / c) / math.log(M / L))
        expected = Estimate(1.0, math.hypot(e / c, f / d) / math.log(M / L) if e and f else None)
        assert fit.last_two.error == (None if expected.error is None else pytest.approx(expected.error))


def test_fonts_of_a_pdf_are_of_type_42_and_the_svg_names_a_usual_font():
    panel = Panel("p", "τ of KL(q‖p)", "L", "10⁻³", (Series("a", (Point(4, 1e-3), Point(8, 2e-3))),))
    drawn = draw(panel)
    assert drawn.pdf == draw(panel).pdf
    assert b"/CIDFontType2" in drawn.pdf
    assert b"/Type3" not in drawn.pdf
    assert set(re.findall("font-family: ([^;]*);", drawn.svg)) == {"'DejaVu Sans', Verdana, sans-serif"}


def test_hostile_names_are_drawn_as_pdf():
    points = (Point(4, 1.0), Point(8, 2.0))
    for rows in (False, True):
        panel = Panel("p", HOSTILE[0], "L", HOSTILE[4], tuple(Series(name, points) for name in HOSTILE), rows=rows)
        pdf = draw(panel).pdf
        assert pdf.startswith(b"%PDF")
        assert b"/CIDFontType2" in pdf
