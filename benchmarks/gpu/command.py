"""The command line: the stages one after the other, the output folder, the exit code."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.gpu import requirements
from benchmarks.gpu.names import strangers
from benchmarks.gpu.output import Output
from benchmarks.gpu.page import device_name
from benchmarks.gpu.requirements import ROOT
from benchmarks.gpu.stages import STAGES, Command, Stage, run_stages, stage_command, stage_environment
from nisbench.harness.environment import describe

__all__ = ["chosen", "execute", "main"]


def main(words: Sequence[str] | None = None) -> None:
    """Exit code 0 if every stage is done, 1 if some are not, 2 if nothing could be started."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all stages together [8]")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of the results [runs/gpu]")
    parser.add_argument("--stages", type=chosen, default=STAGES, metavar="NAME,...", help="these stages alone [all]")
    parser.add_argument("--dry", action="store_true", help="every stage on the CPU at the smallest sizes")
    parser.add_argument("--adopt", type=Path, metavar="DIR", help="make reports and docs from the results in DIR")
    given = parser.parse_args(words)
    if given.adopt is not None:
        from benchmarks.gpu.adopt import AdoptError, adopt

        try:
            print(adopt(given.adopt, ROOT))  # noqa: T201
        except AdoptError as error:
            _refuse(str(error))
        return
    if not given.minutes > 0:
        _refuse(f"--minutes {given.minutes:g} is not a positive time")
    if strange := strangers(given.out):
        _refuse(f"{given.out} holds {strange[0]}, which is not from this command; give another --out")
    environment = stage_environment(dry=given.dry)
    facts = requirements.device_facts(environment)
    if not given.dry and "device" not in facts:
        _refuse(f"torch {facts['torch']} finds no CUDA device; --dry runs every stage on the CPU")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the stage that runs is ended with this process
    options = f"--minutes {given.minutes:g}{_stage_words(given.stages)}{' --dry' if given.dry else ''}"
    command = f"python -m benchmarks.gpu {options}"
    head = {"dry": given.dry, "provenance": _provenance(command) | facts}
    _say(f"{device_name(head)}: {len(given.stages)} stages in {given.minutes:g} minutes")
    sys.exit(
        execute(
            given.stages,
            given.out,
            head,
            seconds=60 * given.minutes,
            command=stage_command(dry=given.dry),
            environment=environment,
        )
    )


def execute(
    stages: Sequence[Stage],
    out: Path,
    head: Mapping[str, Any],
    *,
    seconds: float,
    command: Command,
    environment: Mapping[str, str],
) -> int:
    """Runs the stages and keeps `out` complete after each; the exit code, 1 if a stage is not done."""
    output = Output(out, head)
    with tempfile.TemporaryDirectory(prefix="nisbench-gpu-") as folder:
        work = Path(folder)
        outcomes = run_stages(stages, seconds=seconds, folder=work, command=command, environment=environment)
        for outcome in outcomes:
            _say(outcome.line)
            if problem := output.add(outcome, work / outcome.stage.name):
                _say(problem)
    _say(f"results: {out}")
    if output.unfinished:
        _say(f"not done: {', '.join(output.unfinished)}")
    return 1 if output.unfinished else 0


def chosen(text: str) -> tuple[Stage, ...]:
    """Stages of a list of names with commas, in their usual order."""
    names = text.split(",")
    known = [stage.name for stage in STAGES]
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no stage; there are {', '.join(known)}")
    return tuple(stage for stage in STAGES if stage.name in names)


def _stage_words(stages: Sequence[Stage]) -> str:
    return "" if tuple(stages) == STAGES else f" --stages {','.join(stage.name for stage in stages)}"


def _provenance(command: str) -> dict[str, Any]:
    own = {"commit": requirements.commit(ROOT), "source": requirements.source_digest(ROOT)}
    return describe(command) | own


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def _refuse(message: str) -> NoReturn:
    sys.stderr.write(f"benchmarks.gpu: {message}\n")
    sys.exit(2)
