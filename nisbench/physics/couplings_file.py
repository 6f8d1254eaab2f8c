"""Lattices read from a file of couplings: a NumPy archive, a SciPy sparse matrix or a text with a line for each bond.

npz: arrays `right` and `down` of shape (L, L), optionally `field` of shape (L, L) or (n_sites,) (`square_lattice`).
Sparse npz: the matrix J (n_sites, n_sites), saved by `scipy.sparse.save_npz`, with each bond once: J_ij or J_ji. The
instances `2D_EA_PM` of cqsl/sparse-twobody-arnn (I. Biazzo, D. Wu, G. Carleo, Mach. Learn.: Sci. Technol. 5, 025074
(2024), method TwoBo) have this format; they lie on the torus. A diagonal entry is a field.
Text: a line `i j J` for each bond and a line `i i h` for each field, in any order; # starts a comment. Site
(row, column) has the number row * L + column, counted from 0. If the number L^2 occurs and the number 0 does not, the
count starts at 1. Bonds and fields without a line are 0.
"""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nisbench.errors import InvalidValue
from nisbench.physics.lattice import Boundary, Lattice, square_lattice

__all__ = ["read_couplings"]

_Array = NDArray[np.float64]
_Entry = tuple[str, int, int, float]
"""Place in the file for messages, i, j, J_ij or h_i."""


def read_couplings(path: str | Path, L: int, boundary: Boundary = "free") -> Lattice:
    """Return the L x L lattice in the file. `Lattice.digest` is the hash of its content.

    Raises InvalidValue, one line with the file's name, if the file is missing or malformed, if it describes another L,
    or if it couples sites that are not neighbours under `boundary`.
    """
    path = Path(path)
    try:
        right, down, field = _read_npz(path, L) if path.suffix == ".npz" else _read_text(path, L)
        lattice = square_lattice(L, boundary, right=right, down=down, field=field)
        if boundary == "free" and (right[:, -1].any() or down[-1].any()):
            raise InvalidValue("it has bonds that wrap around; give boundary=torus, or set them to 0")
    except OSError as error:
        raise InvalidValue(f"couplings file {path}: {error.strerror or error}") from error
    except InvalidValue as error:
        raise InvalidValue(f"couplings file {path}: {error}") from error
    return lattice


def _read_npz(path: Path, L: int) -> tuple[_Array, _Array, _Array]:
    """Return right, down and field."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidValue("it is not an archive of numeric arrays; write it with numpy.savez") from error
    if {"format", "data", "shape"} <= arrays.keys():
        return _placed(_sparse_entries(path, L), L)
    missing = {"right", "down"} - arrays.keys()
    unknown = arrays.keys() - {"right", "down", "field"}
    if missing or unknown:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise InvalidValue(f"it contains {found}; it needs the arrays right and down, and may have field")
    arrays.setdefault("field", np.zeros(arrays["right"].shape))
    for name, array in arrays.items():
        if array.dtype.kind not in "iuf":
            raise InvalidValue(f"{name} has the type {array.dtype}; give real numbers")
        if name != "field" and array.ndim != 2:
            raise InvalidValue(f"{name} has the shape {array.shape}; give an array (L, L)")
    return arrays["right"], arrays["down"], arrays["field"]


def _sparse_entries(path: Path, L: int) -> list[_Entry]:
    """Return the entries of a sparse matrix."""
    try:
        matrix = sparse.coo_array(sparse.load_npz(path))
    except (ValueError, KeyError, NotImplementedError) as error:
        raise InvalidValue("it is not a sparse matrix; write it with scipy.sparse.save_npz") from error
    if matrix.shape != (L * L, L * L):
        raise InvalidValue(f"the matrix has the shape {matrix.shape}; the {L} x {L} lattice needs ({L * L}, {L * L})")
    if matrix.data.dtype.kind not in "iuf" or not np.isfinite(matrix.data).all():
        raise InvalidValue("the matrix contains entries that are not finite real numbers")
    entries = zip(matrix.row.tolist(), matrix.col.tolist(), matrix.data.tolist(), strict=True)
    return [(f"entry ({i}, {j})", i, j, float(value)) for i, j, value in entries if value]


def _read_text(path: Path, L: int) -> tuple[_Array, _Array, _Array]:
    """Return right, down and field."""
    entries = _entries(path)
    sites = {site for _, i, j, _ in entries for site in (i, j)}
    offset = 1 if L * L in sites and 0 not in sites else 0
    return _placed([(place, i - offset, j - offset, value) for place, i, j, value in entries], L)


def _placed(entries: list[_Entry], L: int) -> tuple[_Array, _Array, _Array]:
    """Return right, down and field with the values of the entries; sites are counted from 0."""
    right, down, field = (np.full((L, L), np.nan) for _ in range(3))
    for place, i, j, value in entries:
        if not (0 <= i < L * L and 0 <= j < L * L):
            raise InvalidValue(f"{place}: a site is not on the {L} x {L} lattice; sites are 0 ... {L * L - 1}")
        places = [(field, divmod(i, L))] if i == j else _places(right, down, divmod(i, L), divmod(j, L))
        if not places:
            raise InvalidValue(f"{place}: the sites are not neighbours on the {L} x {L} square lattice")
        empty = [(array, index) for array, index in places if np.isnan(array[index])]
        if not empty:
            raise InvalidValue(f"{place}: this bond or field has a value already")
        array, index = empty[0]
        array[index] = value
    return np.nan_to_num(right), np.nan_to_num(down), np.nan_to_num(field)


def _entries(path: Path) -> list[_Entry]:
    """Return the entry of each line that is not empty, with the sites as written."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidValue("it is neither .npz nor text") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            first, second, coupling = words
            entry = (f"line {number}", int(first), int(second), float(coupling))
        except ValueError:
            raise InvalidValue(
                f"line {number} is {line.strip()[:40]!r}; write i j J, two site numbers and a number"
            ) from None
        if not np.isfinite(entry[3]):
            raise InvalidValue(f"line {number}: {words[2]} is not a finite number")
        entries.append(entry)
    if not entries:
        raise InvalidValue("it has no line with a bond")
    return entries


def _places(
    right: _Array, down: _Array, a: tuple[int, int], b: tuple[int, int]
) -> list[tuple[_Array, tuple[int, int]]]:
    """Return the array entries of the bonds between two sites; two bonds on the L = 2 torus, none if not neighbours."""
    L = len(right)
    places = []
    for start, end in ((a, b), (b, a)):
        row, column = start
        if end == (row, (column + 1) % L):
            places.append((right, start))
        if end == ((row + 1) % L, column):
            places.append((down, start))
    return sorted(places, key=lambda place: place[1])  # the bond that does not wrap around comes first
