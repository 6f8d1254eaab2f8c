"""The Python interface: a run from a script, its tables, its trained model and its reference."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import nisbench
from nisbench.contract.records import Status
from nisbench.errors import UserError
from nisbench.harness.engines.slurm import SlurmEngine
from nisbench.results.timing_errors import BUSY_ERROR

SCRIPT = """
import sys
import nisbench
run = nisbench.run(plugins=["hier", "wolff"], sizes=[4, 8], beta=0.3, train_steps=150, draws=4000, out="r",
                   options={"hier.batch_size": 128}, progress=False)
assert "torch" not in sys.modules
print(run)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that a plain script made, without a `__main__` guard."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<nisbench.Run 'r': 6 cells, 6 ok")
    assert done.stderr == ""
    return nisbench.load(folder / "r")


def test_the_same_call_continues_and_the_command_does_the_same(run, capfd):
    environment = run.store.environment()
    assert environment["command"] == (
        "nisbench run --plugins hier,wolff --sizes 4,8 --beta 0.3 --train-steps 150 --draws 4000 "
        "--option hier.batch_size=128 --out r"
    )
    again = nisbench.run(
        plugins="hier,wolff",
        sizes="4,8",
        beta=0.3,
        train_steps=150,
        draws=4000,
        out=run.folder,
        options=["hier.batch_size=128"],
    )
    assert "0 cells to run, 6 finished before" in capfd.readouterr().err
    assert [again.state(cell).status for cell in again.cells] == [Status.OK] * 6


def test_a_part_of_the_cells_runs_and_neighbours_mark_its_times(tmp_path):
    run = nisbench.run(
        plugins="wolff",
        sizes=[2, 3, 4, 5],
        beta=0.3,
        draws=4000,
        reference="none",
        workers=2,
        shard="2/2",
        out=tmp_path / "r",
        progress=False,
    )
    assert [run.state(cell).status for cell in run.cells] == [None, Status.OK, None, Status.OK]
    assert run.store.environment()["command"].endswith(f"--workers 2 --shard 2/2 --out {tmp_path / 'r'}")
    timings = [run.store.result(cell.cell_id).timing for cell in run.cells if run.state(cell).finished]
    assert [timing.concurrent for timing in timings] == [2, 2]
    frame = run.frame()
    cost = frame[frame["quantity"] == "s_per_effective_sample"]
    assert cost["reason"].str.contains("the run worked on up to 2 cells at a time").tolist() == [True, True]
    assert (cost["error"] >= BUSY_ERROR * cost["value"]).all()


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
def test_jobs_are_submitted_from_python(tmp_path, monkeypatch):
    """The engine gets its options, and the recorded command contains them."""
    seen = []
    monkeypatch.setattr(SlurmEngine, "run", lambda engine, *arguments: seen.append(engine.options))
    slurm = {"cluster": "local", "time": 9, "exclusive": True}
    run = nisbench.run(
        plugins="wolff", sizes=2, beta=0.3, draws=200, executor="slurm", slurm=slurm, out=tmp_path / "r", progress=False
    )
    assert seen == [{"cluster": "local", "time": "9", "exclusive": "true"}]
    words = "--executor slurm --slurm cluster=local --slurm time=9 --slurm exclusive=true"
    assert words in run.store.environment()["command"]


def test_frame_and_table_hold_the_same_numbers(run):
    frame, table = run.frame(), run.table()
    assert len(table) == 6
    assert set(frame["cell"].dropna()) == set(table["cell"])
    for _, row in table.iterrows():
        own = frame[(frame["cell"] == row["cell"]) & (frame["quantity"] == "energy")]
        assert own["value"].item() == row["energy"]
    assert table.loc[table["plugin"] == "wolff", "kl_nats"].isna().all()
    assert set(table["seed"]) == {0, 1}


def test_the_trained_model_draws_and_evaluates(run):
    model = run.model("hier", L=4)
    draws = model.sample(2000, beta=0.3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model.log_prob(draws.spins, beta=0.3), draws.log_prob, rtol=0, atol=1e-4)
    log_weight = -0.3 * model.target.energy(draws.spins) - draws.log_prob
    kl = float(-log_weight.mean()) + model.target.exact(0.3)["log_z_per_site"] * 16
    recorded = run.table().set_index(["plugin", "L"]).loc[("hier", 4), "kl_nats"]
    error = float(log_weight.std()) / np.sqrt(2000)
    assert abs(kl - recorded) < 5 * error, (kl, recorded, error)  # untrained weights would be off by about 2 nats


def test_the_reference_is_of_the_right_size(run):
    reference = run.reference(L=8)
    assert reference.spins.shape == (2000, 8, 8)
    assert set(np.unique(reference.spins)) == {-1, 1}


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.model("hier"), r"2 fit: hier L=4 beta=0.3 seed=1 \(cell hier-L4-\w+\), hier L=8"),
        (lambda run: run.model("van"), "none fits"),
        (lambda run: run.reference(), "2 fit"),
        (lambda run: run.reference(L=5), "none fits"),
        (lambda run: nisbench.run(plugins="hie"), "did you mean 'hier'"),
        (lambda run: nisbench.run(sizes=[1]), "--sizes: '1' is not a lattice size"),
        (lambda run: nisbench.run(device="tpu"), "choose auto, cpu or cuda"),
        (lambda run: nisbench.run(workers=0), "--workers: '0' is not a number of workers"),
        (lambda run: nisbench.run(executor="pbs"), "--executor pbs: choose local, dask or slurm"),
        (lambda run: nisbench.run(scheduler="tcp://x:1"), "--scheduler is an option of --executor dask"),
        (lambda run: nisbench.run(slurm={"time": 5}), "--slurm is an option of --executor slurm"),
        (lambda run: nisbench.run(executor="slurm", slurm=["time"]), "give KEY=VALUE"),
        (lambda run: nisbench.run(shard="3/2"), "'3/2' is not a part such as 2/8"),
        (lambda run: nisbench.load("nowhere"), "does not exist"),
    ],
)
def test_what_cannot_be_is_one_line(run, ask, message):
    with pytest.raises(UserError, match=message):
        ask(run)


def test_a_notebook_shows_the_table(run):
    shown = run._repr_html_()
    assert shown.count("<tr") == 5  # head, and two samplers at two sizes
    assert "KL" in shown


def test_the_report_is_written_where_it_is_asked_for(run, tmp_path):
    assert run.report(tmp_path / "out") == tmp_path / "out" / "report.html"
    assert "hier" in (tmp_path / "out" / "report.md").read_text()


def test_importing_nisbench_is_light():
    code = "import nisbench, sys; assert not {'torch', 'pandas', 'numba', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
