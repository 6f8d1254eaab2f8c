import math

import numpy as np
import pytest

from nisbench.contract.records import Cell
from nisbench.harness.store import Store
from nisbench.physics.kaufman import log_z
from nisbench.report.cost import cost_section
from nisbench.report.document import Table
from nisbench.report.figures import draw
from nisbench.report.histogram import magnetisation_histogram
from nisbench.report.numbers import as_printed, concise, count, power_of_ten, score, significant
from nisbench.report.panels import ConfigurationPanel, Panel, Point, Series
from nisbench.report.published import published
from nisbench.report.quality import free_energy_section
from nisbench.report.results import load


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.48753, 0.0012, "1.4875(12)"),
        (-1.487525, 0.000045, "−1.48752(4)"),
        (238.387, 1.23, "238.4(1.2)"),
        (3_123_456, 41_234, "3.12(4)×10⁶"),
        (1.2e-7, 3e-9, "1.200(30)×10⁻⁷"),
        (0.0, 0.02, "0.000(20)"),
        (12.3, 45.0, "12(45)"),
        (math.inf, None, "∞"),
        (2.0, 1e-15, "2"),
        (0.12345, None, "0.1235"),
        (0.00012345, None, "1.234×10⁻⁴"),
        (2_100_224.0, None, "2.1×10⁶"),
        (131_840.0, None, "131\N{NARROW NO-BREAK SPACE}840"),
    ],
)
def test_numbers_carry_their_error_in_the_last_digits(value: float, error: float | None, text: str):
    assert concise(value, error) == text


def test_other_forms_of_numbers():
    assert (score(-0.01), score(1.26), score(-26.0)) == ("0.0", "+1.3", "−26.0")
    assert [power_of_ten(x) for x in (0.01, 100, 1e4, 2e-5, 1e-5)] == ["0.01", "100", "10⁴", "2×10⁻⁵", "10⁻⁵"]
    assert (as_printed(0.55), as_printed(4.2e-5), as_printed(-60.07376)) == ("0.55", "4.2×10⁻⁵", "−60.07376")
    assert count(560) == "560"
    assert significant(math.pi, 3) == "3.14"


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


def test_histogram_of_weighted_draws_counts_the_weights():
    series = {"magnetisation": np.array([4.0, -4.0]), "log_weight": np.array([1000.0 + math.log(3.0), 1000.0])}
    found = magnetisation_histogram(series, 2)
    assert found is not None
    assert found.share_positive == pytest.approx(0.75)
    assert found.mean_abs == 1.0
    assert magnetisation_histogram({}, 2) is None
    assert magnetisation_histogram({"magnetisation": np.array([np.nan])}, 2) is None


def test_published_values_agree_with_exact_ln_z():
    """KL = signal + ln Z and relative error = KL/ln Z, within the digits printed."""
    checked = 0
    for value in published().values:
        if "signal" not in value.quantities or value.L == 128:
            continue
        exact = log_z(value.L, value.beta)
        kl = value.quantities["signal"].value + exact
        assert kl == pytest.approx(value.quantities["kl_nats"].value, abs=6e-4), value
        relative = value.quantities["relative_free_energy_error"].value
        assert kl / exact == pytest.approx(relative, rel=0.05), value
        checked += 1
    assert checked == 8


def test_predictions_belong_to_plugin_and_options():
    cell = Cell("van", "model", "1", {"net": "dense"}, "ising", 8, 0.44, 1, 10)
    found = published().prediction(cell, "n_parameters")
    assert found is not None
    assert found.exponent((8, 16, 32)) == pytest.approx(4.0)
    conv = Cell("van", "model", "1", {"net": "conv"}, "ising", 8, 0.44, 1, 10)
    assert published().prediction(conv, "n_parameters") is None
    hier = published().prediction(Cell("hier", "model", "1", {}, "ising", 8, 0.44, 1, 10), "flops_per_draw")
    assert hier is not None
    # (16 + 36 (m - 2)) L^2 at L = 8 and 16: 52 x 64 and 88 x 256
    assert hier.exponent((8, 16)) == pytest.approx(math.log(88 * 256 / (52 * 64)) / math.log(2))


def test_panel_with_infinite_negative_and_single_values_is_drawn_and_repeats():
    points = (Point(4, 0.1, 0.2), Point(8, math.inf), Point(16, -1.0, 0.1, trusted=False), Point(32, math.nan))
    panel = Panel("p", "title", "L", "y", (Series("a", points), Series("b", (Point(8, 1.0),), 1)), y_scale="log")
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
    table = next(table for table in tables if table.caption.startswith("Where the nats are lost"))
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
    table = next(block for block in blocks if isinstance(block, Table) and block.caption.startswith("How close"))
    fractions = {(row[0].text, row[1].text): row[-1].sort for row in table.rows}
    assert fractions
    for row in results.contest:
        if row.measured and "flops_per_draw" in row.quantities:
            flops, seconds = row.quantities["flops_per_draw"].value, row.quantities["draw_s_per_1000"].value
            assert fractions[str(row.cell.L), row.label] == pytest.approx(1000 * flops / seconds / 1e11)
