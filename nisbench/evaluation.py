"""The function `nisbench.evaluate`: draws of another program as a run."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nisbench.harness.values import assignments, parse_beta, parse_seconds
from nisbench.python import Run

__all__ = ["evaluate"]


def evaluate(
    draws: str | Path | Mapping[str, Any],
    *,
    beta: float | str,
    out: str | Path,
    target: str = "ising",
    options: Mapping[str, Any] | Iterable[str] = (),
    name: str | None = None,
    train_seconds: float | str | None = None,
    draw_seconds: float | str | None = None,
    device_name: str | None = None,
    device: str = "cpu",
    command: str = "nisbench.evaluate",
) -> Run:
    """Evaluate draws that another program made, and return the run with their cell.

    Parameters
    ----------
    draws
        Path of an .npz file, or its arrays by name: spins (n, L, L) of -1 and +1 with one of log_prob, log_weight and
        chain, (n,) each. Spins (n, n_chains, L, L) are chains without another array. `normalised` = True declares
        E[w] = Z. reference_spins (m, L, L) and reference_log_prob (m,), ln q of configurations of p, add the p side.
    out
        Run folder. A run that is there gets the cell in addition.
    options
        Options of the target.
    name
        Name of the sampler in tables; by default the name of the file.
    train_seconds, draw_seconds, device_name, device
        Declared costs of the training and of all draws together, with the name and the kind of the device. They are
        marked as declared.

    Raises
    ------
    UserError
        For a file, a value or a folder that does not fit.
    """
    from nisbench.harness.evaluate import Declared
    from nisbench.harness.evaluate import evaluate as evaluate_draws

    given = (options,) if isinstance(options, str) else options
    train_s = None if train_seconds is None else parse_seconds("--train-seconds", train_seconds)
    draw_s = None if draw_seconds is None else parse_seconds("--draw-seconds", draw_seconds)
    store, _ = evaluate_draws(
        draws,
        target=target,
        beta=parse_beta("--beta", beta),
        options=tuple(assignments(given) if isinstance(given, Mapping) else given),
        name=name,
        declared=Declared(train_s, draw_s, device_name, device),
        out=Path(out),
        command=command,
    )
    return Run(store.path)
