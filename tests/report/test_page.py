import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fakes.stores import HOSTILE, Sixty, StoreMaker, quick

from nisbench.contract.records import Estimate, Status
from nisbench.errors import StoreError
from nisbench.harness import store as store_module
from nisbench.harness.store import Store
from nisbench.report.page import build_report

SECTIONS = [
    *(
        "verdict",
        "what-to-use",
        "free-energy",
        "ess",
        "autocorrelation",
        "relative-cost",
        "cost",
        "quality",
        "training",
    ),
    *("error-bars", "observables", "magnetisation", "configurations", "published", "failures", "provenance"),
]


class Page(HTMLParser):
    """Every start tag with its attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._quiet = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._quiet += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        self.text += "" if self._quiet else data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(out: Path) -> Page:
    return Page((out / "report.html").read_text(encoding="utf-8"))


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_same_store_gives_same_bytes_without_torch_whatever_clock_and_hash_seed(
    quick_store: Store, quick_out: Path, tmp_path: Path
):
    code = (
        "import sys; from pathlib import Path; from nisbench.harness.store import Store;"
        "from nisbench.report.page import build_report; build_report([Store.open(sys.argv[1])], Path(sys.argv[2]));"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    environment = {**os.environ, "TZ": "Pacific/Chatham", "PYTHONHASHSEED": "7", "LC_ALL": "C", "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", code, str(quick_store.path), str(tmp_path / "b")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = contents(quick_out), contents(tmp_path / "b")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_sections_stand_in_order_in_both_prints(quick_out: Path):
    out = quick_out
    page, markdown = read(out), (out / "report.md").read_text(encoding="utf-8")
    assert [section["id"] for section in page.all("section")] == SECTIONS
    titles = re.findall(r"^## (.*)$", markdown, re.MULTILINE)
    assert titles[0] == "Verdict"
    assert len(titles) == 1 + len(SECTIONS)
    assert len(page.all("table")) == len(re.findall(r"^\|(?:-+:?\|)+$", markdown, re.MULTILINE))
    pictures = [one for one in page.all("div") if one.get("class") == "picture"]
    assert len(pictures) == markdown.count("](figures/") == len(list((out / "figures").glob("*.svg"))) > 20
    assert len(page.all("svg")) == len(pictures) + len(page.all("template"))
    assert {path.stem for path in (out / "figures").glob("*.pdf")} == {one["data-name"] for one in pictures}


def test_links_of_the_markdown_resolve_and_every_picture_is_told(quick_out: Path):
    out = quick_out
    found = re.findall(r"!\[(.*?)\]\(([^)]*)\)", (out / "report.md").read_text(encoding="utf-8"))
    assert found
    assert all(len(alt) > 20 for alt, _ in found)
    assert [link for _, link in found if not (out / link).is_file()] == []
    assert all(len(svg["aria-label"] or "") > 20 for svg in read(out).all("svg"))


def test_page_is_self_contained_and_its_ids_are_unique(quick_out: Path):
    page = read(quick_out)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            target = attributes.get(name)
            assert target is None or target.startswith(("#", "data:")), (tag, name, target)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = {attributes["href"] for attributes in page.all("a")}
    assert anchors <= {f"#{name}" for name in ids}
    text = (quick_out / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"url\((.)", text)) == {"#"}
    references = set(re.findall(r"url\(#([^)]*)\)", text)) | set(re.findall(r'xlink:href="#([^"]*)"', text))
    assert references <= set(ids)
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_hostile_names_are_shown_and_do_nothing(out: Path, tmp_path: Path):
    maker = quick(sizes=(4,), draws=400)
    for name in HOSTILE:
        maker.model(name, 4)
    maker.sampler(4, plugin=HOSTILE[0] + "2", seed=3)
    build_report([maker.write(tmp_path / "run", title=" ".join(HOSTILE))], out)
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
    assert not re.search(r"(?<!\\)\]\((?!figures/)", markdown)
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
        "5 of 15 cells have no numbers (1 unavailable, 1 timeout, 1 failed, 1 interrupted, 1 not started).",
    ):
        assert said in text, said
    for cell in store.cells():
        assert cell.cell_id in text


def test_running_cell_is_called_running(out: Path, tmp_path: Path):
    maker = quick(sizes=(4,))
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
    assert [section["id"] for section in page.all("section")] == SECTIONS
    if kind == "one cell":
        assert "At L = 8 wolff is the only one run" in page.text
        assert "Nothing was trained in this run." in page.text
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
    assert "Not drawn, because no cell of this run has it: relative error of variational F; KL(q‖p); KL(p‖q)." in text
    assert "No cell of this run has a free energy." in text
    assert not (out / "figures" / "kl-nats.svg").exists()


def test_several_runs_temperatures_and_devices_are_kept_apart(out: Path, tmp_path: Path):
    first, second = quick(sizes=(4,), draws=400), StoreMaker(draws=400)
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


def test_unwritable_folder_is_one_clear_error(quick_store: Store, tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write"):
        build_report([quick_store], tmp_path / "file" / "out")


def test_report_leaves_no_trace_in_matplotlib(out: Path, tmp_path: Path):
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    maker = StoreMaker(draws=400)
    maker.sampler(4)
    before = dict(mpl.rcParams)
    build_report([maker.write(tmp_path / "run")], out)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_sixty_cells_build_in_ten_seconds_into_three_megabytes(sixty: Sixty):
    assert sixty.n_cells == 65
    size = sixty.page.stat().st_size
    assert sixty.seconds <= 10, f"{sixty.seconds:.1f} s"
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


def test_each_file_of_a_run_is_read_once(quick_store: Store, out: Path, monkeypatch: pytest.MonkeyPatch):
    opened: Counter[Path] = Counter()

    def count(read: Callable[[Path], object], path: Path) -> object:
        opened[path] += path.exists()
        return read(path)

    for name in ("read_json", "read_arrays", "read_history"):
        monkeypatch.setattr(store_module, name, partial(count, getattr(store_module, name)))
    build_report([quick_store], out)
    names = {path.name for path, count in opened.items() if count}
    assert names >= {"plan.json", "environment.json", "cell.json", "status.json", "result.json", "history.jsonl"}
    assert names >= {"series.npz", "samples.npz"}
    assert {str(path): count for path, count in opened.items() if count > 1} == {}
