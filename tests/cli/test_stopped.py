"""A worker that is stopped while it trains: the time is marked, in the result, in the table and in the report."""

import json
import os
import signal
import time
from pathlib import Path

from nisbench.contract.records import Status
from nisbench.harness.store import Store
from nisbench.results.cells import load
from nisbench.results.groups import grouped


def stopped(folder):
    """The process that has stopped in one of its training steps."""
    for path in folder.glob("cells/tilted-*/status.json"):
        pid = json.loads(path.read_text()).get("pid")
        if pid and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return pid
    return None


def test_a_stop_during_training_is_noticed(tmp_path, start, write_plan, wait_for):
    out = tmp_path / "r"
    process = start(tmp_path, "run", "--plan", write_plan("tilted", stops_at=20), "--out", out)
    wait_for(lambda: stopped(out))
    time.sleep(3)
    os.kill(stopped(out), signal.SIGCONT)
    printed, err = process.communicate()
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
