import importlib.util
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from fakes.stores import HOSTILE, Sixty, StoreMaker, quick, troubled
from fakes.verdicts import Made, made_store

from nisbench.contract.catalog import load_catalog
from nisbench.contract.quantities import KL_NATS
from nisbench.contract.records import Status
from nisbench.harness.store import Store
from nisbench.report import charts
from nisbench.report.figures import draw
from nisbench.report.page import build_report
from nisbench.report.panels import AnyPanel, Drawing

if TYPE_CHECKING:
    from fakes.browser import Browser


@lru_cache(maxsize=300)
def drawn(pickled: bytes) -> Drawing:
    """The drawing of a panel, as SVG alone."""
    return draw(pickle.loads(pickled), pdf=False)


def drawn_once(panel: AnyPanel, **_: Any) -> Drawing:
    """The drawing of a panel, as SVG alone; equal panels are drawn once, because drawing takes most of the time.

    test_page.py and test_figures.py check that equal panels give equal bytes.
    """
    return drawn(pickle.dumps(panel))


@pytest.fixture(autouse=True)
def _drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that a test builds have no PDF. `quick_out` is drawn in full."""
    monkeypatch.setattr(charts, "draw", drawn_once)


@pytest.fixture(scope="session")
def build_once() -> Callable[[Store, Path], Path]:
    """Builds the report on a store with `drawn_once`."""

    def build(store: Store, out: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(charts, "draw", drawn_once)
            return build_report([store], out, catalog=load_catalog())

    return build


@pytest.fixture(scope="session")
def quick_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """hier, van and wolff at L = 4, 8, 16 with two seeds; van is untrusted at L = 16."""
    return quick(seeds=(1, 2)).write(tmp_path_factory.mktemp("quick") / "run")


@pytest.fixture(scope="session")
def quick_out(quick_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on `quick_store`."""
    out = tmp_path_factory.mktemp("quick-report")
    build_report([quick_store], out, catalog=load_catalog())
    return out


@pytest.fixture(scope="session")
def sixty(build_once: Callable[[Store, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Sixty:
    base = tmp_path_factory.mktemp("sixty")
    store = quick(sizes=(4, 8, 16, 32, 64), seeds=(1, 2, 3, 4), draws=1000).write(base / "run")
    return Sixty(build_once(store, base / "out"), len(store.cells()))


PLACES = (0.3, 0.38, 0.44, 0.5, 0.6)


def many_places() -> tuple[Made, ...]:
    """Three samplers and four variants of one, at eight sizes and five temperatures; the best depends on n."""
    sizes = range(8, 72, 8)
    chains = [Made("wolff", L, cost=6e-6, beta=beta) for beta in PLACES for L in sizes]
    models = [
        Made("hier", L, ess=0.9, train_s=2.0 + k, ess_p=0.9, beta=beta, options={"width": k}, more={KL_NATS: 0.1 + k})
        for beta in PLACES
        for L in sizes
        for k in range(4)
    ]
    bad = [Made("van", L, ess=0.1, train_s=9.0, beta=beta, status=Status.UNTRUSTED) for beta in PLACES for L in sizes]
    return (*chains, *models, *bad)


@pytest.fixture(scope="session")
def crowded(build_once: Callable[[Store, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page on `many_places`, with a claim of many checks."""
    base = tmp_path_factory.mktemp("crowded")
    checks = [f"hier: ess_fraction >= 0.{k} at L = {L}" for k in range(1, 9) for L in (8, 16, 24)]
    return build_once(made_store(base / "run", *many_places(), checks=checks), base / "out")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """One Chromium for all tests of pages; they are skipped where it is not installed."""
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from fakes.browser import Browser

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("chromium or chromedriver is not installed")
    base = tmp_path_factory.mktemp("chromium")
    (base / "downloads").mkdir()
    made = Browser(base / "profile", base / "downloads", chromium, driver)
    yield made
    made.driver.quit()


@pytest.fixture(scope="session")
def hostile_page(build_once: Callable[[Store, Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with names that try to break out or have no end, missing numbers and a cell that waits."""
    maker = quick(sizes=(4, 8), draws=400)
    for name in (
        *HOSTILE,
        "W" * 90,
        "a-plugin-whose-author-liked-names-of-many-words-and-never-had-to-write-them-twice",
    ):
        maker.model(name, 4)
        maker.model(name, 8)
    maker.sampler(4, plugin=HOSTILE[0] + "2", seed=3)
    maker.waits(maker.sampler(64))
    out = tmp_path_factory.mktemp("hostile")
    return build_once(maker.write(out / "run", title=" ".join(HOSTILE)), out / "report")


Rebuilt = Callable[[Path], tuple[Path, dict[str, bytes]]]


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """reports/make.py."""
    path = Path(__file__).parents[2] / "reports" / "make.py"
    spec = importlib.util.spec_from_file_location("make_reports", path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def rebuilt(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Rebuilt:
    """The full page of a committed report, built again from its raw data, and the files that are committed of it."""

    @lru_cache
    def build(folder: Path) -> tuple[Path, dict[str, bytes]]:
        page = tmp_path_factory.mktemp(folder.name)
        return page, script.committed(folder, page)

    return build


@pytest.fixture
def troubled_maker() -> StoreMaker:
    return troubled()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
