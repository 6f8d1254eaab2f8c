"""The page in Chromium: open and folded parts, on a screen, on a phone and on paper; all committed reports."""

import json
from pathlib import Path

import pytest
from figure_files import with_published

from nisbench.contract.records import SCHEMA_VERSION
from nisbench.harness.store import Store

ROOT = Path(__file__).parents[2]
COMMITTED = sorted(path.parent for path in (ROOT / "reports").rglob("plan.json"))
QUICK = {"paper-cpu"}
"""Committed reports that the default suite opens; `slow` opens all."""
DRAWINGS = (Path(__file__).parent / "drawings.js").read_text(encoding="utf-8")
ACCESSIBILITY = (Path(__file__).parent / "accessibility.js").read_text(encoding="utf-8")
SCREEN = 900
FIRST_FOLD = "return document.querySelector('details.section').getBoundingClientRect().top + scrollY"
SUMMARY = "return document.querySelector('.verdict summary').innerText"
VISIBLE = "return document.querySelector(arguments[0]).checkVisibility()"
OPEN = "return [...document.querySelectorAll('details')].filter((one) => one.open).length"


def visible_words(browser) -> int:
    """Words in folded sections that have a place on the page."""
    return browser.run(
        "return [...document.querySelectorAll('details.section > :not(summary)')]"
        ".filter((one) => one.checkVisibility() && one.getBoundingClientRect().height > 0).length"
    )


def test_sixty_cells_show_at_most_six_screens_before_the_first_fold(browser, sixty):
    browser.open(sixty.page, width=1440, height=SCREEN)
    assert browser.run(FIRST_FOLD) <= 6 * SCREEN
    assert browser.run(OPEN) == 0
    assert visible_words(browser) == 0


def test_many_places_and_sizes_show_at_most_six_screens_and_the_rest_in_folds(browser, crowded):
    browser.open(crowded, width=1440, height=SCREEN)
    assert browser.run(FIRST_FOLD) <= 6 * SCREEN
    names = "return [...document.querySelectorAll('{} .picture')].filter((one) => one.checkVisibility()).length"
    panels, words = names.format("#what-to-use"), "return document.querySelector('.verdict').innerText"
    assert browser.run(panels) == 4 + 1
    assert "β = 0.38" not in browser.run(words).replace(browser.run(SUMMARY), "")
    browser.unfold()
    # 6 more panels, a grid of the smaller sizes, and the grids of two other temperatures.
    assert browser.run(panels) == 4 + 1 + 6 + 1 + 2
    assert "β = 0.38 on CPU: At L = 8 use wolff" in browser.run(words)
    browser.open(crowded, width=800, media="print")
    assert browser.run(panels) == 4 + 1 + 6 + 1 + 2


def test_links_open_what_contains_their_target(browser, quick_out):
    browser.open(quick_out / "report.html")
    assert not browser.run(VISIBLE, "#cost table")
    browser.run("document.querySelector('nav a[href=\"#cost\"]').click()")
    browser.wait(VISIBLE, "#cost table")
    # The method card is a fold inside a folded section.
    browser.run("document.querySelector('a[href=\"#method-wolff\"]').click()")
    browser.wait(VISIBLE, "#method-wolff pre")
    assert not browser.run(VISIBLE, "#method-van pre")
    # A status links to the reasons below the table; a second press opens them again.
    for _ in range(2):
        browser.run("document.querySelector('#verdict td a.untrusted').click()")
        browser.wait(VISIBLE, "#reasons table")
        browser.run("document.querySelector('#reasons').open = false")
    assert browser.run("return document.querySelector('#reasons').textContent.includes('gate or cause')")


def test_all_parts_open_and_close_with_one_button(browser, quick_out):
    browser.open(quick_out / "report.html")
    count = browser.run("return document.querySelectorAll('details').length")
    browser.run("document.querySelector('.all').click()")
    assert browser.run(OPEN) == count > 15
    browser.run("document.querySelector('.all').click()")
    assert browser.run(OPEN) == 0


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_paper_shows_every_section(browser, quick_out, scripts):
    browser.open(quick_out / "report.html", width=800, scripts=scripts, media="print")
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    sections = browser.run("return document.querySelectorAll('details.section').length")
    assert visible_words(browser) >= sections
    assert browser.run(VISIBLE, "#method-wolff pre")
    assert not browser.run(VISIBLE, "nav")
    cut = browser.run(
        "return [...document.querySelectorAll('.scroll')]"
        ".filter((one) => getComputedStyle(one).overflowX !== 'visible').length"
    )
    assert cut == 0


def test_printing_opens_folds_and_closes_them_afterwards(browser, quick_out):
    browser.open(quick_out / "report.html")
    browser.run("document.querySelector('#reading').open = true; dispatchEvent(new Event('beforeprint'))")
    count = browser.run("return document.querySelectorAll('details').length")
    assert browser.run(OPEN) == count
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run(OPEN) == 1


def test_folds_open_without_scripts(browser, quick_out):
    browser.open(quick_out / "report.html", scripts=False)
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.run(
        "return [...document.querySelectorAll('details')].every((one) => one.firstElementChild.tagName === 'SUMMARY')"
    )
    browser.run("document.querySelector('#cost summary').click()")
    assert browser.run(VISIBLE, "#cost table")


def test_phone_shows_row_headers_and_two_columns(browser, quick_out):
    browser.open(quick_out / "report.html", width=390)
    heads, inside = browser.run(
        "const box = document.querySelector('#verdict .scroll').getBoundingClientRect();"
        "const cells = [...document.querySelector('#verdict tbody tr').cells];"
        "const inside = cells.filter((one) => one.getBoundingClientRect().right <= box.right + 1);"
        "return [cells.map((one) => one.tagName), inside.length]"
    )
    assert heads[:3] == ["TH", "TH", "TD"]
    assert inside >= 4
    shift = (
        "const box = document.querySelector('#verdict .scroll'); box.scrollLeft = 300;"
        "const head = document.querySelector('#verdict tbody th.sampler').getBoundingClientRect();"
        "return Math.abs(head.left - box.getBoundingClientRect().left)"
    )
    assert browser.run(shift) <= 2, "the name of the row leaves the screen"


@pytest.mark.parametrize(
    "folder",
    [pytest.param(one, id=one.name, marks=() if one.name in QUICK else pytest.mark.slow) for one in COMMITTED],
)
def test_committed_reports_on_screen_phone_and_paper(browser, folder, rebuilt):
    if json.loads((folder / "plan.json").read_text())["schema_version"] != SCHEMA_VERSION:
        pytest.skip("the report is of an earlier version of the files")
    page = rebuilt(folder)[0] / "report.html"
    sizes = sorted(with_published(*(cell.L for cell in Store.open(folder).cells())))
    for width, dark in ((1440, False), (1440, True), (390, False), (390, True)):
        browser.open(page, width=width, height=SCREEN, dark=dark)
        if width == 1440:
            assert browser.run(FIRST_FOLD) <= 6 * SCREEN
        browser.unfold()
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
        assert browser.run(ACCESSIBILITY) == []
        assert browser.complaints == []
    seen, faults = browser.run(DRAWINGS, sizes)
    assert seen > 100
    assert faults == []
    browser.open(page, width=800, media="print")
    assert visible_words(browser) > 12
    assert (page.parent / "report.md").read_text(encoding="utf-8").count("\n") < 150
