import math

import numpy as np
import pytest

from nisbench.harness.store import Store
from nisbench.report.document import Table
from nisbench.report.figures import draw
from nisbench.report.histogram import magnetisation_histogram, overlap_histogram
from nisbench.report.palette import Mark
from nisbench.report.panels import ConfigurationPanel, Panel, Point, Series
from nisbench.report.sections.cost import cost_section
from nisbench.report.sections.free_energy import free_energy_section
from nisbench.results.cells import load


@pytest.mark.parametrize("L", [2, 3, 4, 5, 8, 15, 16, 32, 64, 128])
def test_every_inner_bin_holds_equally_many_magnetisations(L: int):
    n_sites = L * L
    every = np.arange(-n_sites, n_sites + 1, 2, dtype=np.float64)
    found = magnetisation_histogram({"magnetisation": every}, L)
    assert found is not None
    inner = found.density[1:-1]
    assert inner == pytest.approx(np.full(len(inner), inner[0]))
    assert found.edges == pytest.approx(-found.edges[::-1])
    assert (found.density * np.diff(found.edges)).sum() == pytest.approx(1.0)
    assert found.share_positive == pytest.approx(0.5)


def test_histogram_of_overlaps_has_the_weights_of_pairs():
    q = np.array([1.0, -0.5, 0.0])  # of three pairs on the 2 x 2 lattice; the seventh draw has no partner
    flat = overlap_histogram({"overlap": q}, 2)
    assert flat.mean_abs == pytest.approx(0.5)
    assert flat.share_positive == pytest.approx(0.5)
    log_weight = np.log([1, 2, 1, 1, 3, 1, 9])
    found = overlap_histogram({"overlap": q, "log_weight": log_weight}, 2)
    assert found.mean_abs == pytest.approx((2 * 1 + 1 * 0.5) / 6)
    assert overlap_histogram({}, 2) is None


def test_histogram_of_weighted_draws_counts_the_weights():
    series = {"magnetisation": np.array([4.0, -4.0]), "log_weight": np.array([1000.0 + math.log(3.0), 1000.0])}
    found = magnetisation_histogram(series, 2)
    assert found is not None
    assert found.share_positive == pytest.approx(0.75)
    assert found.mean_abs == 1.0
    assert magnetisation_histogram({}, 2) is None
    assert magnetisation_histogram({"magnetisation": np.array([np.nan])}, 2) is None


def test_panel_with_infinite_negative_and_single_values_is_drawn_and_repeats():
    points = (Point(4, 0.1, 0.2), Point(8, math.inf), Point(16, -1.0, 0.1, trusted=False), Point(32, math.nan))
    panel = Panel("p", "title", "L", "y", (Series("a", points), Series("b", (Point(8, 1.0),), Mark(1))), y_scale="log")
    svg = draw(panel).svg
    assert draw(panel) == draw(panel)
    assert svg.startswith("<svg ")
    assert "NaN" not in svg
    assert "nan" not in svg.lower().replace("finance", "")
    assert "a: 0.10(20) at 4, ∞ at 8, −1.00(10) at 16." in panel.alt


def test_configurations_are_pictures():
    spins = np.ones((2, 4, 4), dtype=np.int8)
    spins[1] *= -1
    panel = ConfigurationPanel("c", "title", (("<b>", spins),))
    svg = draw(panel).svg
    assert svg.count("data:image/png;base64,") == 2
    assert "&lt;b&gt;" in svg
    assert "magnetisation per site +1.00, -1.00" in panel.alt


def test_the_nats_of_the_levels_add_up_to_kl(quick_store: Store) -> None:
    """In the store each level of `hier` loses the same; a sampler without levels has no row."""
    tables = [block for block in free_energy_section(load([quick_store])).blocks if isinstance(block, Table)]
    table = next(table for table in tables if table.caption.startswith("How much of the KL divergence each level"))
    headings = [column.heading for column in table.columns]
    first = headings.index("level 0")
    assert headings[first:] == ["level 0", "level 1", "level 2", "KL(q‖p)"]
    shown = [(row[headings.index("L")].sort, [entry.sort for entry in row[first:]]) for row in table.rows]
    assert [L for L, _ in shown] == [4, 8, 16]
    for L, (*levels, kl) in shown:
        own = [float(level) for level in levels if level != ""]
        assert len(own) == {4: 1, 8: 2, 16: 3}[int(L)]
        assert sum(own) == pytest.approx(float(kl))
        assert own[1:] == pytest.approx([(0.011 * int(L)) ** 2 / 2 / len(own)] * (len(own) - 1), rel=0.15)


def test_the_fraction_of_the_matrix_rate_is_operations_over_time_over_rate(quick_store: Store) -> None:
    results = load([quick_store])
    blocks = cost_section(results).blocks
    table = next(
        block for block in blocks if isinstance(block, Table) and block.caption.startswith("The rate of operations")
    )
    fractions = {(row[0].text, row[1].text): row[-1].sort for row in table.rows}
    assert fractions
    for row in results.contest:
        if row.measured and "flops_per_draw" in row.quantities:
            flops, seconds = row.quantities["flops_per_draw"].value, row.quantities["draw_s_per_1000"].value
            assert fractions[str(row.cell.L), row.label] == pytest.approx(1000 * flops / seconds / 1e11, rel=0.02)
