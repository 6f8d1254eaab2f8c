"""A target of another distribution, from one file: plan, run, report, export, check."""

import json
from pathlib import Path

import pytest
from fakes.distributions import install

from nisbench.contract.records import Status
from nisbench.harness.store import Store

FILE = Path(__file__).parents[1] / "fakes" / "annni.py"
PLAN = """
name = "stranger"
target = "annni"
reference = "none"
[target_options]
kappa = [0.0, 0.5]
[[group]]
plugins = ["van"]
sizes = [4]
beta = 0.3
train_steps = 20
draws = 2000
[[group]]
plugins = ["wolff"]
target_options.kappa = 0.5
sizes = [4]
beta = 0.3
draws = 2000
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "plan.toml").write_text(PLAN)
    return install(tmp_path / "site", "annni", FILE.read_text())


def test_plan_run_report_export_and_check(nisbench_with, nisbench_here, site, tmp_path):
    code, out, err = nisbench_with(site, "run", "--plan", "plan.toml", "--out", "r")
    assert code == 0, err
    store = Store.open(tmp_path / "r")
    cells = store.cells()
    assert [(c.plugin, c.target_options, c.target_version) for c in cells if c.plugin == "van"] == [
        ("van", {"kappa": 0.0}, "1.0"),
        ("van", {"kappa": 0.5}, "1.0"),
    ]
    states = {(c.plugin, c.target_options["kappa"]): store.state(c.cell_id) for c in cells}
    assert {key[0]: state.status for key, state in states.items()} == {"van": Status.OK, "wolff": Status.UNAVAILABLE}
    assert "wolff needs the couplings of a square lattice" in states["wolff", 0.5].reason
    assert "van annni (kappa=0.0) L=4" in out
    page = (tmp_path / "r" / "report.md").read_text()
    assert "annni (kappa=0.0), β = 0.3" in page
    assert "annni, β = 0.3" in page
    rows = json.loads(nisbench_here(site, "export", "r")[1])
    assert {(row["target"], row["target_options"]) for row in rows} == {("annni", None), ("annni", '{"kappa":0.0}')}
    code, out, _ = nisbench_here(site, "check", "annni", "--option", "annni.kappa=0.25")
    assert (code, out.count("ok  "), out.count("FAIL")) == (0, 9, 0)
    assert "The target has no lattice: not checked." in out
    reason = json.loads(nisbench_here(site, "exact", "--target", "annni", "--format", "json")[1])[0]["reason"]
    assert reason == "the target annni gives no exact values"
    with (site / "annni_reg.py").open("a") as file:
        file.write("# changed without a new version\n")
    code, out, err = nisbench_with(site, "run", "--plan", "plan.toml", "--out", "r", "--no-report")
    assert code == 0, err
    assert "r: 3 cells to run\n" in err  # also wolff, which may run on the changed target
    assert err.count("van annni") == 4  # both cells of van start and end again
    assert "the source of van, wolff has changed since cells finished; these cells run again" in err


def test_another_option_or_version_is_another_cell(nisbench_here, site):
    def planned(*arguments):
        code, out, err = nisbench_here(site, "plan", "--plan", "plan.toml", *arguments)
        assert code == 0, err
        return {line.split()[0] for line in out.splitlines() if line.startswith("van-")}

    first = planned()
    assert len(first) == 2
    assert planned() == first
    assert planned("--option", "annni.kappa=0.5") < first
    assert len(planned("--option", "annni.kappa=0.5,0.6") - first) == 1
    metadata = next(site.glob("annni-1.0.dist-info/METADATA"))
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    assert not planned() & first
    code, _, err = nisbench_here(site, "plan", "--plan", "plan.toml", "--option", "annni.kappa=-1")
    assert (code, err) == (2, "nisbench: options of annni: kappa = -1.0: give a number that is not negative\n")
