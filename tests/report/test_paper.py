"""Figures for one column and tables in LaTeX, written on request."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes.stores import HOSTILE, StoreMaker

from nisbench.cli import cli
from nisbench.report.document import Column, Entry, Table
from nisbench.report.latex import latex_table, latex_text


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `nisbench report RUN --paper` writes."""
    base = tmp_path_factory.mktemp("paper")
    maker = StoreMaker(draws=400, steps=100)
    maker.model(HOSTILE[1], 4)
    maker.sampler(4)
    run = maker.write(base / "run")
    done = CliRunner().invoke(cli, ["report", str(run.path), "--out", str(base / "out"), "--paper"])
    assert done.exit_code == 0, done.output
    return base / "out" / "paper"


def test_every_figure_is_as_wide_as_a_column_with_embedded_fonts(paper: Path):
    names = {path.stem for path in (paper.parent / "figures").glob("*.pdf")}
    found = list((paper / "figures").glob("*.pdf"))
    assert {path.stem for path in found} == names
    assert {"what-to-use", "total-time-L4", "z-histogram", "configurations"} <= names
    for path in found:
        content = path.read_bytes()
        [box] = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ", content)
        assert float(box) == pytest.approx(3.4 * 72, abs=0.1), path.name
        assert b"/CIDFontType2" in content
        assert b"/Type3" not in content


def test_every_table_is_a_tabular_with_as_many_entries_as_columns(paper: Path):
    found = list((paper / "tables").glob("*.tex"))
    assert {"verdict-1.tex", "quality-1.tex"} <= {path.name for path in found}
    for path in found:
        text = path.read_text(encoding="utf-8")
        [columns] = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
        body = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith(r" \\")]
        assert len(rows) > 1
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(columns) - 1}, path.name
        assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_nothing_is_written_without_the_option(quick_out: Path):
    assert (quick_out / "report.html").exists()
    assert not (quick_out / "paper").exists()


def test_text_is_escaped_and_signs_are_mathematics():
    assert latex_text("50 % of a_b & $x^{2}$ \\frac ~") == (
        r"50 \% of a\_b \& \$x\textasciicircum{}\{2\}\$ \textbackslash{}frac \textasciitilde{}"
    )
    assert latex_text("τ_int ≤ 2×10⁻⁵") == r"$\tau$\_int $\leq$ 2$\times$10$^{-5}$"
    assert latex_text("−1.2(3) of KL(q‖p)") == r"$-$1.2(3) of KL(q$\|$p)"


def test_notes_bold_and_units():
    best, missing = Entry("3.4", 3.4, tone="best"), Entry("none", note="no ESS_q", tone="missing")
    rows = ((Entry("hier"), best), (Entry("van"), missing))
    text = latex_table(Table("Cost of 5 %.", (Column("sampler", numeric=False), Column("cost", "s")), rows))
    assert text.splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\caption{Cost of 5 \%.}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"sampler & cost (s) \\",
        r"\midrule",
        r"hier & \textbf{3.4} \\",
        r"van & none$^{1}$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize",
        r"$^{1}$ no ESS\_q\par",
        r"\end{table}",
    ]
