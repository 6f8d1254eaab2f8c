"""A file of draws: the configurations that any program drew, with what makes an estimate out of them.

The file is an .npz archive of NumPy with the array `spins` and one of the following.

    log_prob                ln q of each configuration: independent draws of a normalised density q
    log_weight, normalised  ln w of each configuration: independent draws with weights; normalised: E[w] = Z
    chain                   number of the chain of each configuration: correlated draws of p, in the order of drawing

spins is (n, L, L), or (n, n_chains, L, L) for chains without the array `chain`. Nothing is unpickled.
"""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nisbench.errors import InvalidValue
from nisbench.harness.atomic import write_arrays

__all__ = ["Draws", "ReferenceDraws", "checked_draws", "read_draws_file", "write_draws_file"]

DrawsKind = Literal["density", "weighted", "chain"]

_KINDS: dict[str, DrawsKind] = {"log_prob": "density", "log_weight": "weighted", "chain": "chain"}
_P_SIDE = ("reference_spins", "reference_log_prob", "reference_chain")
_FACTS = ("normalised", "beta", "target")
_KEYS = ("spins", *_KINDS, *_P_SIDE, *_FACTS)


@dataclass(frozen=True)
class ReferenceDraws:
    """Configurations of p with the ln q that the owner of q found for them."""

    spins: NDArray[np.int8]
    """(m, L, L)"""
    log_prob: NDArray[np.float64]
    """(m,)"""
    chain: NDArray[np.int64]
    """(m,) number of the chain of each configuration"""


@dataclass(frozen=True)
class Draws:
    """The checked content of a file of draws."""

    kind: DrawsKind
    spins: NDArray[np.int8]
    """(n, L, L), for chains (n, n_chains, L, L)"""
    values: NDArray[np.float64] | None
    """(n,) ln q or ln w; None for chains"""
    normalised: bool
    """True if E[w] = Z"""
    reference: ReferenceDraws | None
    """For the p side of a density; None if the file has none."""
    beta: float | None
    """Inverse temperature that the file states; None if it states none."""
    target: str | None
    """Name of the target that the file states; None if it states none."""
    digest: str
    """SHA-256 of the arrays; the way in which the file is compressed does not matter."""

    @property
    def L(self) -> int:
        """Extent of the lattice."""
        return int(self.spins.shape[-1])


def read_draws_file(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file. Raises InvalidValue if it is not an .npz file of plain arrays."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise InvalidValue(f"{path} contains one array without a name; write the file with numpy.savez")
        with loaded as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise InvalidValue(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        advice = "write plain arrays of numbers with numpy.savez"
        raise InvalidValue(f"{path} cannot be read ({' '.join(str(error).split())}); {advice}") from error


def write_draws_file(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file that `read_draws_file` reads."""
    write_arrays(path, arrays)


def checked_draws(where: str, arrays: Mapping[str, Any]) -> Draws:
    """Return the content of a file of draws. Raises InvalidValue, whose message begins with `where`."""
    found = {name: np.asarray(value) for name, value in arrays.items()}
    if unknown := [name for name in found if name not in _KEYS]:
        raise InvalidValue(f"{where} has an array '{unknown[0]}'; it may have: {', '.join(_KEYS)}")
    if "spins" not in found:
        raise InvalidValue(f"{where} has no array 'spins'; it has: {', '.join(found) or 'nothing'}")
    spins = _spins(f"{where}, spins", found["spins"])
    key = _the_key(where, found, spins.ndim)
    spins, values = _joined(where, spins, key, found)
    return Draws(
        kind=_KINDS[key],
        spins=spins,
        values=values,
        normalised=_normalised(where, found, key),
        reference=_reference(where, found, key, spins.shape[-1]),
        beta=float(found["beta"]) if "beta" in found else None,
        target=str(found["target"]) if "target" in found else None,
        digest=_digest(found),
    )


def _the_key(where: str, found: Mapping[str, NDArray[Any]], axes: int) -> str:
    """Return the array that states the kind of the draws."""
    keys = [key for key in _KINDS if key in found]
    if axes == 4:
        if keys:
            raise InvalidValue(f"{where}: spins of four axes (n, n_chains, L, L) are chains; leave out '{keys[0]}'")
        return "chain"
    if len(keys) != 1:
        given = " and ".join(keys) or "none of them"
        raise InvalidValue(f"{where} needs one of log_prob, log_weight and chain beside spins; it has {given}")
    return keys[0]


def _spins(where: str, given: NDArray[Any]) -> NDArray[np.int8]:
    """Return the configurations as int8."""
    shape = given.shape
    if len(shape) not in (3, 4) or shape[-1] != shape[-2] or 0 in shape:
        raise InvalidValue(f"{where} has the shape {shape}; give (n, L, L), or (n, n_chains, L, L) for chains")
    if given.dtype.kind not in "iuf":
        raise InvalidValue(f"{where} has the type {given.dtype}; give numbers -1 and +1")
    if not ((given == 1) | (given == -1)).all():
        found = np.unique(given.ravel()[:100_000])[:5]
        advice = "give 2 * spins - 1" if set(found.tolist()) <= {0, 1} else "give -1 and +1"
        raise InvalidValue(f"{where} has the values {', '.join(f'{value:g}' for value in found)}; {advice}")
    return given.astype(np.int8)


def _joined(
    where: str, spins: NDArray[np.int8], key: str, found: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.int8], NDArray[np.float64] | None]:
    """Return the configurations, chains as (n, n_chains, L, L), and ln q or ln w."""
    if spins.ndim == 4:
        return spins, None
    values = _numbers(f"{where}, {key}", found[key], len(spins))
    if key != "chain":
        return spins, values
    names, counts = np.unique(values, return_counts=True)
    if counts.min() != counts.max():
        lengths = f"from {counts.min()} to {counts.max()} draws"
        raise InvalidValue(f"{where}: the {len(names)} chains have {lengths}; give chains of equal length")
    # (n, L, L) -> (n_chains, n, L, L) -> (n, n_chains, L, L); the order within a chain is that of drawing
    return np.stack([spins[values == name] for name in names], axis=1), None


def _numbers(where: str, given: NDArray[Any], n: int) -> NDArray[np.float64]:
    """Return (n,) numbers as float64. Infinite values and NaN stay; the gates judge them."""
    if given.shape != (n,) or given.dtype.kind not in "iuf":
        raise InvalidValue(f"{where} has the shape {given.shape} and the type {given.dtype}; give ({n},) numbers")
    return given.astype(np.float64)


def _normalised(where: str, found: Mapping[str, NDArray[Any]], key: str) -> bool:
    if "normalised" not in found:
        return False
    value = found["normalised"]
    if key != "log_weight" or value.shape != () or value not in (0, 1):
        raise InvalidValue(f"{where}: normalised is True or False and belongs to log_weight")
    return bool(value)


def _reference(where: str, found: Mapping[str, NDArray[Any]], key: str, L: int) -> ReferenceDraws | None:
    """Return the configurations of p with their ln q; None if there are none."""
    given = [name for name in _P_SIDE if name in found]
    if not given:
        return None
    if key != "log_prob" or not {"reference_spins", "reference_log_prob"} <= set(given):
        raise InvalidValue(f"{where}: reference_spins and reference_log_prob belong together and to log_prob")
    spins = _spins(f"{where}, reference_spins", found["reference_spins"])
    if spins.ndim != 3 or spins.shape[-1] != L:
        raise InvalidValue(f"{where}: reference_spins has the shape {spins.shape}; give (m, {L}, {L})")
    m = len(spins)
    chain = found.get("reference_chain", np.arange(m))
    return ReferenceDraws(
        spins,
        _numbers(f"{where}, reference_log_prob", found["reference_log_prob"], m),
        _numbers(f"{where}, reference_chain", chain, m).astype(np.int64),
    )


def _digest(found: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(found):
        array = np.ascontiguousarray(found[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()
