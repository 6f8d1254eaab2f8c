"""Choose the engine of a run by its name and options, from the command line or from Python."""

from collections.abc import Iterable, Mapping
from typing import Any

from nisbench.errors import InvalidValue, UserError
from nisbench.harness.execute import Engine
from nisbench.harness.values import integer, shown

__all__ = ["EXECUTORS", "choose_engine", "slurm_options"]

EXECUTORS = ("local", "dask", "slurm")


def choose_engine(
    executor: str = "local",
    *,
    workers: Any = 1,
    scheduler: str | None = None,
    slurm: Iterable[str] | Mapping[str, object] = (),
) -> Engine:
    """Return the engine with its options.

    Parameters
    ----------
    executor
        One of EXECUTORS.
    workers
        Number of cells at a time; `slurm` ignores it.
    scheduler
        Address of a Dask cluster; None means a cluster of this machine alone.
    slurm
        Options of SLURM, as texts KEY=VALUE or as a mapping.

    Raises
    ------
    UserError
        For options of another engine, a value that does not fit, or a package that is not installed.
    """
    number, options = integer(1, "number of workers")("--workers", workers), slurm_options(slurm)
    if scheduler is not None and executor != "dask":
        raise UserError("--scheduler is an option of --executor dask")
    if options and executor != "slurm":
        raise UserError("--slurm is an option of --executor slurm")
    if executor == "dask":
        from nisbench.harness.engines.dask import DaskEngine

        return DaskEngine(scheduler, number)
    if executor == "slurm":
        from nisbench.harness.engines.slurm import SlurmEngine

        return SlurmEngine(options)
    if executor == "local":
        from nisbench.harness.engines.local import LocalEngine

        return LocalEngine(number)
    raise InvalidValue(f"--executor {shown(executor)}: choose {', '.join(EXECUTORS[:-1])} or {EXECUTORS[-1]}")


def slurm_options(given: Iterable[str] | Mapping[str, object]) -> dict[str, str]:
    """Return the options as texts by name. Raises UserError for a text that is not KEY=VALUE."""
    if isinstance(given, Mapping):
        return {str(key): "true" if value is True else str(value) for key, value in given.items()}
    pairs = [word.partition("=") for word in ([given] if isinstance(given, str) else given)]
    if wrong := [key for key, _, value in pairs if not key or not value]:
        raise UserError(f"--slurm {wrong[0]}: give KEY=VALUE, for example --slurm time=2:00:00")
    return {key: value for key, _, value in pairs}
