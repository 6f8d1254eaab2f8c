"""A worker that is stopped while it trains: the time is marked, in the result, in the table and in the report."""

import json
import os
import signal
import time

from nisbench.contract.records import Status
from nisbench.harness.store import Store
from nisbench.results.cells import load
from nisbench.results.groups import grouped


def training(folder):
    """The process that trains, once most of its time goes into steps: the evaluations are spaced more and more."""
    for path in folder.glob("cells/tilted-*/history.jsonl"):
        record = json.loads(path.with_name("status.json").read_text())
        if len(path.read_text().splitlines()) > 12 and record["status"] == "running":
            return record["pid"]
    return None


def test_a_stop_during_training_is_noticed(tmp_path, start, write_plan, wait_for):
    out = tmp_path / "r"
    process = start(tmp_path, "run", "--plan", write_plan("tilted", step_sleep=0.02), "--out", out)
    wait_for(lambda: training(out))
    worker = training(out)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(3)
    os.kill(worker, signal.SIGCONT)
    printed, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    store = Store.open(out)
    (cell,) = [cell for cell in store.cells() if cell.plugin == "tilted"]
    result = store.result(cell.cell_id)
    assert result.status in (Status.OK, Status.UNTRUSTED), result.reason
    assert result.timing.phases["train"].stopped_s > 1
    assert result.timing.disturbed("train")
    assert "busy machine" in printed
    assert "train: stopped for" in printed
    assert "train: stopped for" in (out / "report.md").read_text() + (out / "report.html").read_text()
    (group,) = [group for group in grouped(load([store]).rows) if group.label.startswith("tilted")]
    training_time = group.estimate("train_s")
    assert training_time.error >= 0.25 * training_time.value
    assert "busy machine" in training_time.reason
