"""Draws of other programs: the file, its estimates beside those of a plugin, and draws from a finished cell."""

import itertools
import math

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.runs import cell_of, run_here

import nisbench
from nisbench.cli import cli
from nisbench.contract.records import Status
from nisbench.errors import UserError
from nisbench.harness.draw import draw, one_cell
from nisbench.harness.draws_file import checked_draws, read_draws_file, write_draws_file
from nisbench.harness.evaluate import DECLARED
from nisbench.harness.store import Store

L, BETA = 2, 0.3
STATES = np.array(list(itertools.product((-1, 1), repeat=4)), dtype=np.int8).reshape(-1, L, L)
# On the 2 x 2 torus each pair of neighbours is bonded twice.
ENERGY = -2.0 * (STATES * np.roll(STATES, 1, 1) + STATES * np.roll(STATES, 1, 2)).sum((1, 2)) / 2
WEIGHT = np.exp(-BETA * ENERGY)


def perfect(n, seed=1):
    """n independent draws of p with their ln p."""
    p = WEIGHT / WEIGHT.sum()
    drawn = np.random.default_rng(seed).choice(16, size=n, p=p)
    return STATES[drawn], np.log(p[drawn])


@pytest.fixture(scope="module")
def arrays():
    spins, log_prob = perfect(8000)
    return {"spins": spins, "log_prob": log_prob}


def test_a_file_of_numpy_alone_is_a_row_of_the_report(arrays, tmp_path):
    np.savez(tmp_path / "mine.npz", **arrays)
    command = ["evaluate", str(tmp_path / "mine.npz"), "--beta", str(BETA), "--out", str(tmp_path / "r")]
    costs = ["--train-seconds", "3", "--draw-seconds", "2", "--device-name", "A100"]
    done = CliRunner().invoke(cli, [*command, *costs])
    assert done.exit_code == 0, done.output
    assert "mine L=2 beta=0.3" in done.output
    run = nisbench.load(tmp_path / "r")
    (cell,) = run.cells
    found = run.store.result(cell.cell_id).quantities
    assert found["log_z_per_site"].value == pytest.approx(math.log(WEIGHT.sum()) / 4, abs=1e-12)
    assert found["ess_fraction"].value == pytest.approx(1)
    assert (found["train_s"].value, found["train_s"].reason) == (3.0, DECLARED)
    assert (found["draw_s_per_1000"].value, found["s_per_effective_sample"].reason) == (0.25, DECLARED)
    assert run.store.result(cell.cell_id).hardware.device_name == "A100 (declared)"
    page = run.report(tmp_path / "page").with_name("report.md").read_text()
    assert "A100 (declared)" in page
    assert any(DECLARED in path.read_text() for path in (tmp_path / "page").glob("*.*"))


def test_each_kind_of_draws_gives_the_exact_energy(arrays, tmp_path):
    uniform = np.random.default_rng(2).integers(16, size=8000)
    kinds = {
        "chains": {"spins": arrays["spins"].reshape(-1, 8, L, L)},
        "indexed": {"spins": arrays["spins"], "chain": np.arange(8000) % 4},
        "weighted": {"spins": STATES[uniform], "log_weight": np.log(16 * WEIGHT[uniform]), "normalised": True},
    }
    for name, given in kinds.items():
        run = nisbench.evaluate(given, beta=BETA, name=name, out=tmp_path / "r")
    table = run.table().set_index("plugin")
    exact = float((WEIGHT * ENERGY).sum() / WEIGHT.sum()) / 4
    assert set(table["kind"]) == {"sampler"}
    for name in kinds:
        frame = run.frame()
        row = frame[(frame["plugin"] == name) & (frame["quantity"] == "energy")].iloc[0]
        assert abs(row["value"] - exact) < 5 * row["error"], name
        assert row["exact"] == pytest.approx(exact)
    assert table.loc["weighted", "log_z_per_site"] == pytest.approx(math.log(WEIGHT.sum()) / 4, abs=0.02)
    assert math.isnan(table.loc["chains", "draw_s_per_1000"])
    assert len(table) == 3  # all in one run


def test_wrong_log_prob_is_untrusted(arrays, tmp_path):
    wrong = {**arrays, "log_prob": arrays["log_prob"] + 0.1}
    run = nisbench.evaluate(wrong, beta=BETA, name="wrong", out=tmp_path / "r")
    (cell,) = run.cells
    assert run.state(cell).status is Status.UNTRUSTED
    assert "log_z_per_site" in run.state(cell).reason


def test_draws_that_are_returned_twice_are_untrusted(tmp_path):
    rng = np.random.default_rng(5)
    spins = np.repeat(rng.choice(np.array([-1, 1]), size=(2000, 6, 6)), 2, axis=0)
    given = {"spins": spins, "log_prob": np.full(4000, -36 * math.log(2))}
    run = nisbench.evaluate(given, beta=0.01, name="pairs", out=tmp_path / "r")
    (cell,) = run.cells
    assert "repeated" in run.state(cell).reason


def test_the_p_side_sees_what_the_draws_cannot(tmp_path):
    """Draws of one mode with their own ln q look perfect; configurations of p show that the other mode is missing."""
    magnetised = STATES.sum((1, 2)) > 0
    q = np.where(magnetised, WEIGHT, 1e-9 * WEIGHT)
    q /= q.sum()
    drawn = np.random.default_rng(3).choice(16, size=4000, p=q)
    spins, _ = perfect(4000, seed=4)
    index = ((spins.reshape(-1, 4) > 0) * 2 ** np.arange(3, -1, -1)).sum(1)
    given = {"spins": STATES[drawn], "log_prob": np.log(q[drawn])}
    sides = {"reference_spins": spins, "reference_log_prob": np.log(q[index])}
    run = nisbench.evaluate({**given, **sides}, beta=BETA, name="one-mode", out=tmp_path / "r")
    (cell,) = run.cells
    assert "sides disagree" in run.state(cell).reason or "ess_fraction_p" in run.state(cell).reason


def test_draws_of_a_trained_cell_evaluate_to_its_numbers(tmp_path):
    store = run_here(tmp_path / "r", plugins="van", train_steps=30, draws=4000)
    cell = cell_of(store, plugin="van")
    arrays = draw(store, cell, 4000, seed=1)
    assert np.array_equal(arrays["spins"], draw(store, one_cell(store, "van-"), 4000, seed=1)["spins"])
    assert not np.array_equal(arrays["spins"], draw(store, cell, 4000)["spins"])
    write_draws_file(tmp_path / "x.npz", arrays)
    run = nisbench.evaluate(tmp_path / "x.npz", beta=0.3, name="again", out=tmp_path / "r")
    frame = run.frame()
    for name in ("log_z_per_site", "kl_nats", "energy"):
        ours, theirs = (frame[(frame.plugin == p) & (frame.quantity == name)].iloc[0] for p in ("van", "again"))
        assert abs(ours.value - theirs.value) < 5 * math.hypot(ours.error, theirs.error), name
    with pytest.raises(UserError, match=r"states beta = 0\.3"):
        nisbench.evaluate(tmp_path / "x.npz", beta=0.4, name="again", out=tmp_path / "r")
    with pytest.raises(UserError, match="no cell fits"):
        one_cell(store, "hier")


def test_chains_are_drawn_too(tmp_path):
    store = run_here(tmp_path / "r", plugins="wolff", draws=400)
    arrays = draw(store, cell_of(store, plugin="wolff"), 100)
    assert arrays["spins"].shape == (13, 8, 4, 4)
    assert checked_draws("x", arrays).kind == "chain"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spins": None}, "has no array 'spins'"),
        ({"spins": (STATES + 1) // 2, "log_prob": np.zeros(16)}, "give 2 \\* spins - 1"),
        ({"spins": STATES[:, :, :1]}, "has the shape"),
        ({"spins": STATES == 1}, "has the type bool"),
        ({"log_prob": None}, "one of log_prob, log_weight and chain"),
        ({"log_weight": np.zeros(8000)}, "has log_prob and log_weight"),
        ({"log_prob": np.zeros(3)}, "has the shape \\(3,\\)"),
        ({"log_q": np.zeros(3)}, "has an array 'log_q'"),
        ({"normalised": True}, "belongs to log_weight"),
        ({"log_prob": None, "chain": np.arange(8000) > 10}, "has the shape \\(8000,\\) and the type bool"),
        ({"log_prob": None, "chain": (np.arange(8000) > 10).astype(int)}, "chains have from 11 to 7989 draws"),
        ({"reference_spins": STATES}, "belong together"),
        ({"target": "villain"}, "states the target 'villain'"),
    ],
)
def test_what_does_not_fit_is_one_line_and_writes_nothing(arrays, change, message, tmp_path):
    given = {name: value for name, value in {**arrays, **change}.items() if value is not None}
    with pytest.raises(UserError, match=message) as refused:
        nisbench.evaluate(given, beta=BETA, out=tmp_path / "r")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r").exists()


def test_files_that_are_not_plain_arrays_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "object.npz", spins=np.array(["x", None], dtype=object))
    np.save(tmp_path / "single.npy", arrays["spins"])
    (tmp_path / "text.npz").write_text("no")
    for name, message in (("object", "allow_pickle=False"), ("text", "cannot be read"), ("none", "does not exist")):
        with pytest.raises(UserError, match=message):
            read_draws_file(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match="one array without a name"):
        read_draws_file(tmp_path / "single.npy")
    with pytest.raises(UserError, match="is an installed plugin"):
        nisbench.evaluate(arrays, beta=BETA, name="wolff", out=tmp_path / "r")


def test_a_run_keeps_its_plan_when_draws_join_it(arrays, tmp_path):
    store = run_here(tmp_path / "r", plugins="wolff", draws=400)
    before = store.plan()
    nisbench.evaluate(arrays, beta=BETA, name="mine", out=tmp_path / "r")
    plan = Store.open(tmp_path / "r").plan()
    assert (plan["name"], plan["command"]) == (before["name"], before["command"])
    assert set(before["cells"]) < set(plan["cells"])
    # The command of the run finds nothing to do, and keeps the draws.
    again = run_here(tmp_path / "r", plugins="wolff", draws=400)
    assert again.plan()["cells"] == plan["cells"]
