import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.pages import read
from fakes.stores import HOSTILE, Sixty, StoreMaker, quick

from nisbench.contract.records import Estimate, Status
from nisbench.errors import StoreError
from nisbench.harness import atomic as atomic_module
from nisbench.harness import store as store_module
from nisbench.harness.store import Store
from nisbench.report import charts
from nisbench.report.document import Related
from nisbench.report.figures import draw
from nisbench.report.page import build_report

OPEN = ["verdict", "what-to-use", "figures"]
FOLDED = [
    *("claims", "free-energy", "ess", "autocorrelation", "relative-cost", "cost", "quality", "training", "error-bars"),
    *("observables", "magnetisation", "configurations", "published", "failures", "provenance", "cite"),
]


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_same_store_gives_same_bytes_without_torch_whatever_clock_and_hash_seed(
    quick_store: Store, quick_out: Path, tmp_path: Path
):
    code = (
        "import sys; from pathlib import Path; from nisbench.harness.store import Store;"
        "from nisbench.report.page import build_report; from nisbench.contract.catalog import load_catalog;"
        "build_report([Store.open(sys.argv[1])], Path(sys.argv[2]), catalog=load_catalog());"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    environment = {**os.environ, "TZ": "Pacific/Chatham", "PYTHONHASHSEED": "7", "LC_ALL": "C", "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", code, str(quick_store.path), str(tmp_path / "b")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = contents(quick_out), contents(tmp_path / "b")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def in_order(wanted: list[str], found: list[str]) -> bool:
    """True if `found` contains `wanted` in this order; other sections may stand between."""
    return [name for name in found if name in wanted] == wanted


def test_sections_stand_in_order_and_only_the_first_are_open(quick_out: Path):
    out = quick_out
    page = read(out)
    sections = [section["id"] for section in page.all("section")]
    assert in_order([*OPEN, *FOLDED], sections)
    folded = sum(one.get("class") == "section" for one in page.all("details"))
    assert sections[-folded:][0] == FOLDED[0]
    assert not [one for one in page.all("details") if "open" in one]
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", (out / "report.html").read_text(encoding="utf-8"))
    assert [head for head in heads if not head.endswith("?")] == []
    pictures = [one for one in page.all("div") if one.get("class") == "picture"]
    assert len(pictures) == len(list((out / "figures").glob("*.svg"))) > 20
    assert len(page.all("svg")) == len(pictures) + len(page.all("template"))
    assert {path.stem for path in (out / "figures").glob("*.pdf")} == {one["data-name"] for one in pictures}


def test_markdown_is_the_verdict_the_table_and_four_figures(quick_out: Path):
    out = quick_out
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert markdown.count("\n") < 150
    titles = re.findall(r"^## (.*)$", markdown, re.MULTILINE)
    assert titles[:2] == ["Which sampler should you use?", "What does each sampler cost, and how good is it?"]
    rows = [line for line in _table(markdown, "Measured on") if re.match(r"\| \d+ \| (hier|van|wolff)", line)]
    assert len(rows) == 9
    found = re.findall(r"!\[(.*?)\]\(([^)]*)\)", markdown)
    assert len(found) == 4
    assert [link for _, link in found if not (out / link).is_file()] == []


def test_every_picture_is_told_in_a_short_text(quick_out: Path):
    told = [svg["aria-label"] or "" for svg in read(quick_out).all("svg")]
    assert all(10 < len(text) < 250 for text in told)
    alts = re.findall(r"!\[(.*?)\]", (quick_out / "report.md").read_text(encoding="utf-8"))
    assert all(10 < len(alt) < 250 for alt in alts)


def test_other_reports_are_linked(out: Path, tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.sampler(4)
    build_report([maker.write(tmp_path / "run")], out, related=[Related("Another <run>", "../other")])
    assert "../other/report.html" in [one["href"] for one in read(out).all("a")]
    assert "- [Another &lt;run&gt;](../other/report.md)" in (out / "report.md").read_text(encoding="utf-8")


def test_columns_that_never_change_are_stated_once(out: Path, tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.model("hier", 8)
    maker.model("van", 8)
    build_report([maker.write(tmp_path / "run")], out)
    lines = _table((out / "report.md").read_text(encoding="utf-8"), "Measured on")
    assert lines[0].startswith("| sampler | use it for (samples) |")
    assert "ising, β 0.44, L = 8" in read(out).text
    assert "In all rows: status: ok" in read(out).text


def test_page_is_self_contained_and_its_ids_are_unique(quick_out: Path):
    page = read(quick_out)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            target = attributes.get(name)
            # A link to a publication loads nothing until it is pressed.
            paper = tag == "a" and (target or "").startswith("https://doi.org/")
            assert target is None or target.startswith(("#", "data:")) or paper, (tag, name, target)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {href for attributes in page.all("a") if (href := attributes["href"] or "").startswith("#")}
    assert anchors <= {f"#{name}" for name in ids}
    text = (quick_out / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    references = set(re.findall(r"url\(#([^)]*)\)", text)) | set(re.findall(r'xlink:href="#([^"]*)"', text))
    assert references <= set(ids)
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_hostile_names_are_shown_and_do_nothing(hostile_page: Path):
    out = hostile_page.parent
    page = read(out)
    assert page.all("script") == [{"type": "application/json", "id": "data"}, {}]
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert not {"img", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    for name in HOSTILE:
        assert name.replace("\u202e", "\ufffd").replace("\x07", "\ufffd") in page.text
    for file in [out / "report.html", out / "report.md", *(out / "figures").glob("*.svg")]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"<(?:img|iframe)|<script>alert", text), file.name
        assert not re.search("[\x07\u202e]", text), file.name
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)\]\((?!figures/|https://doi.org/)", markdown)
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in _table(markdown, "Measured on")}
    assert len(widths) == 1, "a name broke the columns of a table"


def _table(markdown: str, caption: str) -> list[str]:
    after = markdown[markdown.index(f"\n{caption}") + 1 :].split("\n\n")
    return after[1].splitlines()


def test_unfinished_run_shows_every_cell_with_its_status_and_reason(
    troubled_maker: StoreMaker, out: Path, tmp_path: Path
):
    store = troubled_maker.write(tmp_path / "run")
    build_report([store], out)
    text = read(out).text
    for said in (
        "L = 12 is no power of two",
        "no result after 60 s; give a larger --timeout",
        "RuntimeError: exploded | badly",
        "stopped by the user",
        "waiting for its turn",
        "5 of 15 runs have no numbers (1 unavailable, 1 timeout, 1 failed, 1 interrupted, 1 not started).",
    ):
        assert said in text, said
    for cell in store.cells():
        assert cell.cell_id in text


def test_running_cell_is_called_running(out: Path, tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.sampler(4)
    cell = maker.sampler(8)
    maker.waits(cell)
    store = maker.write(tmp_path / "run")
    store.files(cell.cell_id).write_stage("draw")
    build_report([store], out)
    assert "(1 running)" in read(out).text


@pytest.mark.parametrize("kind", ["nothing ran", "one cell", "all failed", "no cells"])
def test_small_stores_make_a_sensible_page(kind: str, out: Path, tmp_path: Path):
    maker = StoreMaker(draws=400)
    cell = maker.sampler(8) if kind != "no cells" else None
    if kind == "nothing ran":
        maker.waits(cell)
    elif kind == "all failed":
        maker.ends(cell, Status.FAILED, "ImportError: no such module")
    build_report([maker.write(tmp_path / "run")], out)
    page = read(out)
    assert in_order([*OPEN, *FOLDED], [section["id"] or "" for section in page.all("section")])
    if kind == "one cell":
        assert "At L = 8 wolff is the only one run" in page.text
        assert "No cell of this run has a training history." in page.text
        assert "No exponents" in page.text
    else:
        assert "there is nothing to recommend" in page.text
        assert page.all("svg") == []


def test_quantities_without_a_value_are_told_with_their_reason(out: Path, tmp_path: Path):
    maker = quick(sizes=(4,))
    store = maker.write(tmp_path / "run")
    cell = next(cell for cell in store.cells() if cell.plugin == "hier")
    known = store.result(cell.cell_id)
    assert known is not None
    quantities = {name: value for name, value in known.quantities.items() if name not in ("kl_nats", "train_s")}
    quantities["ess_fraction_p"] = Estimate.missing("the reference chain never moved")
    quantities["tau_int_energy"] = Estimate(float("inf"), reason="the chain never moved")
    quantities["widgets_per_draw"] = Estimate(12.5)
    store.files(cell.cell_id).write_result(
        replace(known, status=Status.UNTRUSTED, reason="tau_int_energy is infinite", quantities=quantities)
    )
    build_report([store], out)
    text = read(out).text
    assert "the reference chain never moved" in text
    assert "the chain never moved" in text
    assert "∞" in text
    assert "widgets_per_draw" in text
    assert "NaN" not in text
    assert not re.search(r"\bnan\b", text)


def test_quantity_that_no_cell_holds_is_left_out_with_a_word(out: Path, tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.sampler(4)
    maker.sampler(8)
    build_report([maker.write(tmp_path / "run")], out)
    text = read(out).text
    assert "Not drawn, because no cell of this run has it: relative error of variational F; KL(p‖q)." in text
    assert "No cell of this run has a free energy." in text
    assert not (out / "figures" / "kl-nats.svg").exists()


def test_several_runs_temperatures_and_devices_are_kept_apart(out: Path, tmp_path: Path):
    first, second = StoreMaker(draws=400), StoreMaker(draws=400)
    first.sampler(4)
    second.sampler(4, beta=0.3)
    second.sampler(8, beta=0.3)
    second.sampler(4)  # also in the first run
    stores = [first.write(tmp_path / "a", name="one"), second.write(tmp_path / "b", name="two", title="Other")]
    build_report(stores, out)
    text = read(out).text
    assert "Three samplers up to L = 16 + Other" in text
    assert "1 cells are in more than one of these runs" in text
    assert "ising, β = 0.3 on CPU" in text
    assert "ising, β = 0.44 on CPU" in text
    assert (out / "figures" / "energy-1.svg").exists() or (out / "figures" / "z-energy-1.svg").exists()


def test_what_is_not_drawn_is_announced(out: Path, tmp_path: Path):
    maker = StoreMaker(draws=100)
    for beta in (0.1, 0.2, 0.3, 0.4, 0.44):
        maker.sampler(4, beta=beta)
    for L in (5, 6, 7, 8, 9, 10, 11):
        maker.sampler(L)
    build_report([maker.write(tmp_path / "run")], out)
    text = read(out).text
    assert "The figures show 4 of 5 targets and temperatures, those with the most measured cells" in text
    assert "The figures show the 6 largest of 8 sizes, without L = 4 and 5." in text


def test_nothing_is_announced_where_all_is_drawn(quick_out: Path):
    assert "The figures show" not in read(quick_out).text


def test_damaged_file_is_named(out: Path, tmp_path: Path):
    store = quick(sizes=(4,), draws=400).write(tmp_path / "run")
    file = next((tmp_path / "run" / "cells").glob("hier-*/result.json"))
    file.write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=re.escape(file.parent.name)):
        build_report([store], out)
    assert not (out / "report.html").exists()


def test_unwritable_folder_is_one_clear_error(tmp_path: Path):
    maker = StoreMaker(draws=400)
    maker.sampler(4)
    store = maker.write(tmp_path / "run")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write"):
        build_report([store], tmp_path / "file" / "out")


def test_report_leaves_no_trace_in_matplotlib(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    monkeypatch.setattr(charts, "draw", draw)
    maker = StoreMaker(draws=400)
    maker.sampler(4)
    before = dict(mpl.rcParams)
    build_report([maker.write(tmp_path / "run")], out)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_sixty_cells_fit_into_three_megabytes(sixty: Sixty):
    assert sixty.n_cells == 65
    size = sixty.page.stat().st_size
    assert size <= 3_000_000, f"{size} bytes"


@pytest.mark.slow
def test_five_hundred_cells_make_a_page(out: Path, tmp_path: Path):
    maker = quick(sizes=(4, 6, 8, 12, 16), seeds=range(1, 31), draws=400)
    for L in (4, 8):
        for k in range(15):
            maker.model(f"plugin-{k}", L)
    assert len(maker.cells) > 480
    build_report([maker.write(tmp_path / "run")], out)
    assert (out / "report.html").stat().st_size < 10_000_000


def test_each_file_of_a_run_is_read_once(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    maker = StoreMaker(draws=400)
    maker.model("hier", 4)
    maker.model("hier", 4, seed=2)
    maker.sampler(4)
    store = maker.write(tmp_path / "run")
    opened: Counter[Path] = Counter()

    def count(path: Path) -> bytes:
        opened[path] += 1
        return read(path)

    read = atomic_module.read_bytes
    for module in (atomic_module, store_module):
        monkeypatch.setattr(module, "read_bytes", count)
    build_report([Store(store.path)], out)
    names = {path.name for path in opened}
    assert names >= {"plan.json", "environment.json", "cell.json", "status.json", "result.json", "history.jsonl"}
    assert names >= {"series.npz", "samples.npz"}
    assert {str(path): count for path, count in opened.items() if count > 1} == {}
