"""The page in Chromium, opened from the file system with no network: what a reader sees, presses and saves."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.stores import StoreMaker
from figure_files import with_published

from nisbench.report.page import build_report

if TYPE_CHECKING:
    from fakes.browser import Browser

DRAWINGS = (Path(__file__).parent / "drawings.js").read_text(encoding="utf-8")
ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text(encoding="utf-8")


def position(browser: "Browser", key: str) -> int:
    """The column of the verdict table with this key."""
    script = (
        "return [...document.querySelector(arguments[0]).tHead.rows[0].cells]"
        ".findIndex((head) => head.dataset.key === arguments[1])"
    )
    return browser.run(script, VERDICT, key)


def column(browser: "Browser", table: str, number: int) -> list[str]:
    return browser.run(
        "return [...document.querySelector(arguments[0]).tBodies[0].rows].filter((row) => !row.hidden)"
        ".map((row) => row.cells[arguments[1]].cloneNode(true))"
        ".map((cell) => { cell.querySelectorAll('.sr, sup').forEach((one) => one.remove()); return cell; })"
        ".map((cell) => cell.textContent)",
        table,
        number,
    )


VERDICT = "#verdict table"


@pytest.mark.parametrize("which", ["plain", "hostile"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_no_error_no_request_no_overflow_no_barrier(browser, quick_out, hostile_page, which, width, dark):
    page = quick_out / "report.html" if which == "plain" else hostile_page
    browser.open(page, width=width, dark=dark)
    browser.unfold()
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), "the page scrolls sideways"
    over = browser.run(
        "return [...document.querySelectorAll('p, h1, h2, nav, figure, .picture, .tools, .tools > *, select')]"
        ".filter((e) => e.getBoundingClientRect().right > window.innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert over == []
    assert browser.run(ACCESSIBILITY) == []
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") != dark
    assert browser.complaints == []
    assert browser.requests == [page.as_uri(), "data:,"] or browser.requests == []


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", ["plain", "hostile"])
def test_texts_of_figures_stay_inside_and_ticks_are_sizes(browser, quick_out, hostile_page, which, width):
    browser.open(quick_out / "report.html" if which == "plain" else hostile_page, width=width)
    browser.unfold()
    seen, faults = browser.run(DRAWINGS, sorted(with_published(4, 8, 16, 64)))
    assert seen > 500
    assert faults == []


def test_negative_control_faults_of_drawings_are_seen(browser, quick_out):
    browser.open(quick_out / "report.html")
    browser.unfold()
    browser.run(
        "const svg = document.querySelector('[data-name=kl-nats] svg');"
        "const ticks = svg.querySelectorAll('[id*=xtick_] text');"
        "ticks[1].setAttribute('x', ticks[0].getAttribute('x')); ticks[1].removeAttribute('transform');"
        "ticks[2].textContent = '13'; [...svg.querySelectorAll('text')].at(-1).textContent = 'long '.repeat(40)"
    )
    faults = " ".join(browser.run(DRAWINGS, [4, 8, 16])[1])
    for said in ("leaves the figure by", 'ticks "4" and "8" overlap', '"13" is no size'):
        assert said in faults


def test_negative_control_the_checks_see_faults(browser, quick_out):
    browser.open(quick_out / "report.html")
    browser.run(
        "document.body.append(document.createElement('button'));"
        "document.querySelector('.lead').style.color = 'rgb(200, 200, 200)';"
        "document.querySelector('main').append(document.createElement('h4'));"
        "document.querySelector('td').remove();"
        "fetch('http://nisbench.invalid/x').catch(() => {}); setTimeout(() => nothing.at.all, 0)"
    )
    browser.hears("nothing is not defined", "Content Security Policy")
    faults = " ".join(browser.run(ACCESSIBILITY))
    assert all(said in faults for said in ("no name: button", "contrast 1.", "heading level 4", "row of"))


def test_tables_sort_and_show_one_size(browser, quick_out):
    browser.open(quick_out / "report.html")
    before = column(browser, VERDICT, 1)
    press = f"document.querySelector('{VERDICT}').tHead.rows[0].cells[arguments[0]].querySelector('button').click()"
    browser.run(press, 1)
    assert column(browser, VERDICT, 1) == sorted(before)
    state = f"return document.querySelector('{VERDICT} th[aria-sort]').getAttribute('aria-sort')"
    assert browser.run(state) == "ascending"
    browser.run(press, 1)
    assert column(browser, VERDICT, 1) == sorted(before, reverse=True)
    browser.run(press, 1)
    assert column(browser, VERDICT, 1) == before

    chip = (
        "const chip = [...document.querySelectorAll('#verdict .chip')].find((one) => one.textContent === arguments[0]);"
        "chip.click(); return chip.getAttribute('aria-pressed')"
    )
    assert browser.run(chip, "4") == "true"
    # A filter of digits would also show 14 and 34 million.
    assert column(browser, VERDICT, 0) == ["4"] * 3
    assert browser.run("return document.querySelector('#verdict .said').textContent") == "3 of 9 rows"
    assert browser.run(chip, "16") == "true"
    assert column(browser, VERDICT, 0) == ["16"] * 3
    assert browser.run(chip, "16") == "false"
    assert len(column(browser, VERDICT, 0)) == 9


def choose(browser: "Browser", value: str) -> None:
    browser.run(
        "const select = document.querySelector('#verdict select'); select.value = arguments[0];"
        "select.dispatchEvent(new Event('change'))",
        value,
    )


def test_ratios_to_a_sampler_and_to_published_values_and_back(browser, quick_out):
    browser.open(quick_out / "report.html")
    options = browser.run("return [...document.querySelectorAll('#verdict select option')].map((o) => o.textContent)")
    assert options == [
        *("no baseline: values", "ratio to hier", "ratio to van", "ratio to wolff"),
        *("ratio to HAN, published", "ratio to RiGCS, published"),
    ]
    cost, kl = position(browser, "s_per_effective_sample"), position(browser, "kl_nats")
    values = browser.run(
        f"return [...document.querySelector('{VERDICT}').tBodies[0].rows]"
        f".map((row) => [row.cells[1].textContent, row.cells[{cost}].dataset.sort])"
    )
    shown = column(browser, VERDICT, cost)
    choose(browser, "=wolff")
    ratios = column(browser, VERDICT, cost)
    assert [text for text, (name, _) in zip(ratios, values, strict=True) if name == "wolff"] == ["×1"] * 3
    expected = float(values[0][1]) / float(next(value for name, value in values if name == "wolff"))
    assert float(ratios[0].removeprefix("×").split("(")[0]) == pytest.approx(expected, rel=0.05)
    assert column(browser, VERDICT, kl)[2] == "–"
    choose(browser, ":HAN")
    ratios = column(browser, VERDICT, kl)
    assert ratios[0] == "–", "nothing is published at L = 4"
    assert ratios[3].startswith("×")
    choose(browser, "")
    assert column(browser, VERDICT, cost) == shown


def test_series_toggle_scale_switches_and_values_are_told(browser, quick_out):
    browser.open(quick_out / "report.html")
    browser.run("window.picture = document.querySelector('[data-name=kl-nats]')")
    line = "return document.querySelector('[id^=\"kl-nats-{}s0-\"]').getAttribute('display')"
    toggle = "const b = document.querySelector('#figures .toggles button'); b.click(); return b.ariaPressed"
    assert browser.run(toggle) == "false"
    assert browser.run(line.format("")) == "none"
    press = "const b = window.picture.querySelector('.scale'); b.click(); return b.textContent"
    assert browser.run(press) == "log scale"
    assert browser.run(line.format("linear-")) == "none", "a hidden series stays hidden on the other scale"
    assert browser.run(toggle) == "true"
    assert browser.run(line.format("linear-")) is None
    assert browser.run(press) == "linear scale"

    key = "window.picture.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))"
    tip = "return window.picture.querySelector('.tip').textContent"
    told = []
    for _ in range(3):
        browser.run(key, "ArrowRight")
        told.append(browser.run(tip))
    shown = column(browser, VERDICT, position(browser, "kl_nats"))[::3]  # three samplers at each size
    assert told[0].startswith("hier at 4: below "), "zero within two errors"
    assert told[1].startswith("hier at 8: ")
    assert told[2] == f"hier at 16: {shown[2]}"
    assert browser.run("return document.querySelectorAll('.ring').length") == 1
    browser.run(key, "Escape")
    assert browser.run("return window.picture.querySelector('.tip').hidden && !document.querySelector('.ring')")


def test_ring_lies_on_the_mark(browser, quick_out):
    """Every point that the page tells has a mark of its series at its place, on both scales."""
    browser.open(quick_out / "report.html")
    apart = browser.run(
        """
        document.querySelectorAll('.scale').forEach((press, i) => { if (i % 2) press.click(); });
        const apart = [];
        let told = 0;
        for (const box of document.querySelectorAll('.picture')) {
          const svg = box.querySelector('svg');
          const name = svg.querySelector('g').id.replace('-figure_1', '');
          (data.drawings[name] || []).forEach((one, k) => {
            const uses = [...svg.querySelectorAll(`[id^="${name}-s${k}-"] use`)];
            const marks = uses.map((use) => [+use.getAttribute('x'), +use.getAttribute('y')]);
            if (!marks.length || /^(training|total-time)/.test(name)) return;  // lines without marks
            for (const [x, y] of one.points) {
              told += 1;
              const near = (mark) => Math.hypot(mark[0] - x, mark[1] - y) < 0.2;
              if (!marks.some(near)) apart.push([name, one.label, x, y]);
            }
          });
        }
        return [told, apart];
        """
    )
    assert apart[0] > 100
    assert apart[1] == []


def test_hover_tells_the_nearest_value(browser, quick_out):
    browser.open(quick_out / "report.html")
    told = browser.run(
        """
        const box = document.querySelector('[data-name=ess-fraction]'), svg = box.querySelector('svg');
        const [x, y, first, second] = data.drawings['ess-fraction'][1].points[2];
        const frame = svg.getBoundingClientRect(), scale = frame.width / svg.viewBox.baseVal.width;
        svg.dispatchEvent(new PointerEvent('pointermove',
          {clientX: frame.left + x * scale + 2, clientY: frame.top + y * scale - 2, bubbles: true}));
        return [box.querySelector('.tip').textContent, `van at ${first}: ${second}`];
        """
    )
    assert told[0] == told[1]


def test_tables_figures_and_quantities_are_saved(browser, quick_out, quick_store):
    browser.open(quick_out / "report.html")
    browser.run("document.querySelector('#verdict .tools > button').click()")
    lines = browser.saved("verdict-table-1.csv").decode().splitlines()
    assert lines[0].startswith("L,sampler,use it for (samples),per eff. sample (s),per eff. sample (s) error,")
    assert "KL(q‖p) (nats),KL(q‖p) (nats) error,ESS q side,ESS q side error" in lines[0]
    assert len(lines) == 10
    cells = [cell.cell_id for cell in quick_store.cells() if cell.plugin == "hier" and cell.L == 4]
    kls = [quick_store.result(cell).quantities["kl_nats"].value for cell in cells]
    saved = dict(zip(*csv.reader(lines[:2]), strict=True))
    assert float(saved["KL(q‖p) (nats)"]) == pytest.approx(sum(kls) / 2)

    browser.run("document.querySelectorAll('[data-name=kl-nats] .tools button:not(.scale)').forEach((b) => b.click())")
    svg = browser.saved("kl-nats.svg").decode()
    assert svg.startswith("<svg ")
    assert "var(--" not in svg
    assert "#0270fa" in svg
    assert browser.saved("kl-nats.png").startswith(b"\x89PNG")

    browser.run("document.querySelectorAll('#provenance summary + .tools button').forEach((b) => b.click())")
    rows = json.loads(browser.saved("quantities.json"))
    found = [row["value"] for row in rows if row["cell"] in cells and row["quantity"] == "kl_nats"]
    assert found == pytest.approx(kls, rel=1e-11)
    assert browser.saved("quantities.csv").count(b"\r\n") == len(rows) + 1
    browser.run("document.querySelector('#cite .save').click()")
    assert browser.saved("nisbench.bib").startswith(b"@software{nisbench,")
    assert browser.complaints == []


def test_without_scripts_everything_is_there_to_read(browser, quick_out):
    browser.open(quick_out / "report.html", scripts=False)
    nodes = browser.command("DOM.getDocument", depth=1)["root"]["nodeId"]

    def count(selector: str) -> int:
        return len(browser.command("DOM.querySelectorAll", nodeId=nodes, selector=selector)["nodeIds"])

    assert count(".tools, .tip") == 0
    assert count("table") > 10
    assert count("svg") > 20
    browser.command("Emulation.setScriptExecutionDisabled", value=False)


def test_page_without_numbers_still_works(browser, tmp_path):
    maker = StoreMaker(draws=400)
    maker.waits(maker.sampler(8))
    browser.open(build_report([maker.write(tmp_path / "run")], tmp_path / "out"))
    assert browser.run(ACCESSIBILITY) == []
    assert browser.complaints == []
