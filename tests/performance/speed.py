"""Measures how fast `hier`, `hier-exact` and `van` draw and train on the CPU beside matrix products, in one process.

Every time is the shortest of several rounds in which all contestants take turns. GEMM is a float32 product of two
1024 x 1024 matrices. `of GEMM` is the rate of useful operations of a draw (`Model.costs`, without masked zeros) divided
by the rate of GEMM, on one thread. A training step is drawing, loss, gradient and Adam; it is compared with a draw of
the same batch size. `naive` is one full forward pass per spin of the same network in torch, without gradient.

The process has the environment of a process that runs a cell, and like it sets numbers below 1e-38 to zero.

Run with `python -m tests.performance.speed [--sizes 16,32,64,128] [--exact 16,32,64,128] [--van 16,32]
[--large 256:32,512:8]`.
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Mapping
from functools import partial

import numba
import torch

from benchmarks.work import Work, draw, training_step
from nisbench.contract.interfaces import Model
from nisbench.harness.execute import worker_environment
from nisbench.nn.dense import AutoregressiveDense
from nisbench.physics.ising import Ising
from nisbench_plugins.hier import Hier
from nisbench_plugins.hier_exact import HierExact
from nisbench_plugins.registration import HierExactOptions, HierOptions

GEMM = 1024


def main() -> None:
    """Print the Markdown tables for hier, van and the large lattices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="16,32,64,128", help="of hier")
    parser.add_argument("--exact", default="16,32,64,128", help="sizes of hier-exact")
    parser.add_argument("--van", default="16,32", help="sizes of van; the naive form at L = 32 takes a minute")
    parser.add_argument("--large", default="256:32,512:8", help="sizes of hier and their batches, for the memory")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    environment = worker_environment(cores)
    if environment != os.environ:  # the C libraries read the environment only when a process starts
        os.execve(sys.executable, [sys.executable, "-m", "tests.performance.speed", *sys.argv[1:]], environment)
    torch.set_flush_denormal(True)
    say = sys.stdout.write
    say("| L | ms per 1000 draws | of GEMM | step/draw | step/draw, Z2 | draws on 2 | steps on 2 | GEMM on 2 |\n")
    say("|---:|---:|---:|---:|---:|---:|---:|---:|\n")
    for L in map(int, filter(None, given.sizes.split(","))):
        say(f"{hier(L, given.batch, given.rounds, two=cores > 1)}\n")
        sys.stdout.flush()
    say("\n| L | hier-exact, ms per 1000 draws | of GEMM | step/draw | draws on 2 | steps on 2 | GEMM on 2 |\n")
    say("|---:|---:|---:|---:|---:|---:|---:|\n")
    for L in map(int, filter(None, given.exact.split(","))):
        say(f"{exact(L, given.batch, given.rounds, two=cores > 1)}\n")
        sys.stdout.flush()
    say("\n| L | van, ms per 1000 draws | naive, ms per 1000 draws | ratio |\n|---:|---:|---:|---:|\n")
    for L in map(int, filter(None, given.van.split(","))):
        say(f"{van(L, given.batch)}\n")
        sys.stdout.flush()
    say("\n| L | batch | hier, s a step | peak of this process so far, GiB |\n|---:|---:|---:|---:|\n")
    for L, batch in (map(int, size.split(":")) for size in given.large.split(",") if size):
        say(f"{large(L, batch)}\n")
        sys.stdout.flush()


def hier(L: int, batch: int, rounds: int, *, two: bool) -> str:
    """Return the table row of hier at one size; `two` adds the times on two threads."""
    plain, averaged = (Hier(Ising(L), HierOptions(z2=z2)) for z2 in (False, True))
    return row(plain, batch, rounds, two=two, averaged=averaged)


def exact(L: int, batch: int, rounds: int, *, two: bool) -> str:
    """Return the table row of hier-exact at one size."""
    return row(HierExact(Ising(L), HierExactOptions()), batch, rounds, two=two)


def row(model: Model, batch: int, rounds: int, *, two: bool, averaged: Model | None = None) -> str:
    """Return the table row of a model; `averaged` is the same with the Z2 average."""
    matrix = torch.ones(GEMM, GEMM)
    works: dict[str, tuple[int, Work]] = {
        "gemm": (1, lambda: torch.mm(matrix, matrix)),
        "draw": (1, drawing(model, batch)),
        "step": (1, training(model, batch)),
    }
    if averaged is not None:
        works |= {"draw z2": (1, drawing(averaged, batch)), "step z2": (1, training(averaged, batch))}
    if two:
        works |= {f"{name} on 2": (2, works[name][1]) for name in ("draw", "step", "gemm")}
    best = least(works, rounds)
    rate = 2 * GEMM**3 / best["gemm"]
    fraction = model.costs()["flops_per_draw"] * batch / best["draw"] / rate
    ratios = [best[f"step{kind}"] / best[f"draw{kind}"] for kind in ("", " z2") if f"step{kind}" in best]
    gains = [f"{best[name] / best[f'{name} on 2']:.2f} x" if two else "one core" for name in ("draw", "step", "gemm")]
    cells = [
        f"{model.target.L}",
        f"{1e6 * best['draw'] / batch:.1f}",
        f"{100 * fraction:.0f} %",
        *(f"{r:.2f}" for r in ratios),
        *gains,
    ]
    return f"| {' | '.join(cells)} |"


def large(L: int, batch: int) -> str:
    """Return the table row of a training step of hier with the Z2 average, on all threads."""
    threads = len(os.sched_getaffinity(0))
    seconds = least({"step": (threads, training(Hier(Ising(L), HierOptions()), batch))}, 2)["step"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    return f"| {L} | {batch} | {seconds:.2f} | {peak:.2f} |"


def van(L: int, batch: int) -> str:
    """Return the table row of van at one size; the naive form runs once."""
    net = AutoregressiveDense(L * L)
    limits = torch.rand(L * L, batch).logit()
    fast = least({"fast": (1, lambda: net.draw(limits))}, 5)["fast"]
    slow = least({"slow": (1, lambda: naive(net, limits))}, 1)["slow"]
    return f"| {L} | {1e6 * fast / batch:.1f} | {1e6 * slow / batch:.0f} | {slow / fast:.0f} |"


@torch.no_grad()
def naive(net: AutoregressiveDense, limits: torch.Tensor) -> torch.Tensor:
    """Return spins (n_spins, n), drawn with one full forward pass per spin."""
    spins = torch.zeros_like(limits)
    for k in range(len(spins)):
        spins[k] = torch.where(net(spins)[k] > limits[k], 1.0, -1.0)
    return spins


def drawing(model: Model, batch: int) -> Work:
    """Return a function that draws a batch with its ln q."""
    return partial(draw, model, torch.Generator().manual_seed(1), batch)


def training(model: Model, batch: int) -> Work:
    """Return a function that makes one step of the reverse-KL training."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        training_step(model, generator, batch)
        optimizer.step()

    return step


def least(works: Mapping[str, tuple[int, Work]], rounds: int) -> dict[str, float]:
    """Return the seconds of each work on its number of threads: the shortest of the rounds."""
    # with more than one round, an extra first round warms up and does not count
    best = dict.fromkeys(works, float("inf"))
    for turn in range(rounds + (rounds > 1)):
        for name, (threads, work) in works.items():
            torch.set_num_threads(threads)
            numba.set_num_threads(threads)
            begin = time.perf_counter()
            work()
            if turn or rounds == 1:
                best[name] = min(best[name], time.perf_counter() - begin)
    return best


if __name__ == "__main__":
    main()
