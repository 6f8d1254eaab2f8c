"""A real SLURM: munged, slurmctld and slurmd on the loopback interface of this machine run the cells of a plan.

    apt-get install slurmctld slurmd slurm-client munge
    pytest -n 0 -m slow tests/cli/test_slurm.py

The tests need root, these programs and submitit; they are skipped elsewhere. They take some minutes, because SLURM
counts in minutes. docs/dev/reliability.md describes what was seen.
"""

import contextlib
import functools
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time

import pytest
from test_engines import left_behind, numbers, training

from nisbench.contract.records import Status
from nisbench.harness.store import Store

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
    pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed"),
    pytest.mark.skipif(os.getuid() != 0, reason="slurmd needs root"),
]
CONFIGURATION = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=10
MinJobAge=3600
JobRequeue=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
# cred_expire is also the time after which a job that was queued again may start, two minutes by default.


class Cluster:
    """A SLURM of one node."""

    def __init__(self, folder):
        self.folder, self.daemons = folder, {}
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o755)
        key = folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        text = CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0], folder=folder, cores=os.cpu_count(), ports=free_ports(2)
        )
        (folder / "slurm.conf").write_text(text)
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        files = {name: folder / "munge" / name for name in ("socket", "pid-file", "log-file", "seed-file")}
        self.start(
            "munged", "--foreground", "--force", f"--key-file={key}", *(f"--{name}={files[name]}" for name in files)
        )
        self.start("slurmctld", "-D")
        self.start("slurmd", "-D")

    def start(self, *command):
        """Start a daemon in the foreground of a session of its own."""
        with (self.folder / f"{command[0]}.out").open("ab") as out:
            self.daemons[command[0]] = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )

    def ask(self, *command):
        """The output of a command of SLURM."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout

    def lose_the_node(self):
        """Kill slurmd and everything that it has started, as a crash of the node; then start it again."""
        root = self.daemons["slurmd"].pid
        steps = [int(pid) for pid in self.ask("pgrep", "-f", "slurmstepd: \\[").split()]
        for pid in [root, *steps, *below(root), *(pid for step in steps for pid in below(step))]:
            kill(pid)
        self.daemons["slurmd"].wait()
        self.start("slurmd", "-D")

    def stop(self):
        self.ask("scancel", "--me")
        for name in ("slurmd", "slurmctld", "munged"):
            self.daemons[name].terminate()
            self.daemons[name].wait(30)


def free_ports(n):
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def below(pid):
    """All processes below one."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [found for child in map(int, children) for found in (child, *below(child))]


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster that takes jobs."""
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    deadline = time.monotonic() + 60
    while " idle " not in made.ask("sinfo"):
        assert time.monotonic() < deadline, (made.folder / "slurmctld.log").read_text()[-2000:]
        time.sleep(0.5)
    yield made
    made.stop()


@pytest.fixture
def on_slurm(cluster, environment, monkeypatch):
    """Commands of nisbench see the cluster."""
    monkeypatch.setitem(environment, "SLURM_CONF", cluster.environment["SLURM_CONF"])


@pytest.fixture(scope="module")
def slow_plan(start, write_plan, tmp_path_factory):
    """A plan with a reference and a training of about two minutes, and a function: the numbers of a local run."""
    folder, plan = tmp_path_factory.mktemp("local"), write_plan("tilted", "perfect", step_sleep=0.6)
    process = start(folder, "run", "--plan", plan, "--out", "r", "--no-report")

    @functools.cache
    def local():
        _, err = process.communicate(timeout=1200)
        assert process.returncode == 0, err
        return numbers(folder / "r")

    return plan, local


def submit(plan, out, *options):
    words = ["run", "--plan", plan, "--out", out, "--no-report", "--executor", "slurm"]
    return [*words, *(word for option in options for word in ("--slurm", option))]


def ended(out, cluster):
    """True once all cells have ended and no job is left."""
    store = Store.open(out)
    states = [store.state(cell.cell_id) for cell in store.cells()]
    return all(state.finished for state in states) and not cluster.ask("squeue", "--noheader").strip()


def restarts(cluster, out):
    """How often SLURM has queued the job of the training again."""
    (cell,) = [cell for cell in Store.open(out).cells() if cell.plugin == "tilted"]
    jobs = cluster.ask("scontrol", "--oneliner", "show", "jobs").splitlines()
    name = f"{out}/slurm"
    numbers_ = [int(re.search(r"Restarts=(\d+)", line)[1]) for line in jobs if name in line]
    assert numbers_, (cell.cell_id, jobs)
    return max(numbers_)


def test_cells_are_an_array_and_give_the_numbers_of_a_local_run(
    cluster, on_slurm, slow_plan, nisbench, wait_for, tmp_path
):
    plan, local = slow_plan
    out = tmp_path / "r"
    code, printed, err = nisbench(tmp_path, *submit(plan, out, "time=10"))
    assert (code, "3 queued" in printed or "2 queued" in printed) == (0, True), (printed, err)
    queue = cluster.ask("squeue", "--array", "--noheader", "--format=%i %E").splitlines()
    assert len(queue) == 3
    assert sum("afterany" in line for line in queue) == 2  # the other cells wait for the reference
    _, printed, _ = nisbench(tmp_path, *submit(plan, out, "time=10"))
    assert len(cluster.ask("squeue", "--array", "--noheader").splitlines()) <= 3  # no cell is submitted twice
    wait_for(lambda: ended(out, cluster), 900)
    assert numbers(out) == local()
    assert left_behind(out) == []
    code, _, err = nisbench(tmp_path, *submit(plan, out, "time=10"))
    assert (code, "0 cells to run, 3 finished before" in err) == (0, True), err


@pytest.mark.parametrize("how", ["requeue", "node"])
def test_a_killed_job_is_queued_again_and_goes_on(cluster, on_slurm, slow_plan, nisbench, wait_for, tmp_path, how):
    """`scontrol requeue`, as a job of higher priority does it, and a node that crashes and comes back."""
    plan, local = slow_plan
    out = tmp_path / "r"
    code, _, err = nisbench(tmp_path, *submit(plan, out, "time=10"))
    assert code == 0, err
    wait_for(lambda: training(out), 300)
    if how == "node":
        cluster.lose_the_node()
    else:
        running = cluster.ask("squeue", "--array", "--noheader", "--states=RUNNING", "--format=%i").split()
        for job in running:
            cluster.ask("scontrol", "requeue", job)
    wait_for(lambda: ended(out, cluster), 900)
    assert restarts(cluster, out) >= 1
    assert numbers(out) == local()
    assert left_behind(out) == []


def test_the_signal_before_the_walltime_writes_a_checkpoint(cluster, on_slurm, slow_plan, nisbench, wait_for, tmp_path):
    """The walltime is shorter than the training, which needs several attempts."""
    plan, local = slow_plan
    out = tmp_path / "r"
    code, _, err = nisbench(tmp_path, *submit(plan, out, "time=3", "signal_delay_s=60", "requeues=9"))
    assert code == 0, err
    (checkpoints,) = out.glob("cells/tilted-*")
    wait_for(lambda: any(checkpoints.glob("checkpoint*.safetensors")), 600)
    store = Store.open(out)
    wait_for(lambda: ended(out, cluster), 1200)
    assert restarts(cluster, out) >= 1
    assert numbers(out) == local()
    assert {store.state(cell.cell_id).status for cell in store.cells()} <= {Status.OK, Status.UNTRUSTED}
    assert left_behind(out) == []
