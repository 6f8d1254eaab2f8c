"""The scales of an L x L torus, L = 2^m: a frame of full lines, then crosses or columns of the blocks inside.

By the Markov property the spins inside a closed loop of known spins depend on that loop alone in a nearest-neighbour
model. The blocks of a scale are therefore independent once all larger scales are drawn. Sites are numbered r L + c.
The public functions raise ValueError if L is not 2^m with m >= 2.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

__all__ = ["Level", "displacements", "distances", "exact_blocks", "heat_bath_sites", "known_neighbours", "levels"]


_Site = tuple[int, int]
"""Row and column, on the torus or relative to the corner of a block."""
_Lines = list[list[_Site]]


class Level(nn.Module):
    """Sites that are drawn together in all blocks of a scale, and the sites around them.

    A module with buffers, so that the sites move to a device with the model.
    """

    drawn: Tensor
    """(n_drawn, n_blocks)"""
    border: Tensor
    """(n_border, n_blocks)"""
    bonds: Tensor
    """(2, n_bonds, n_blocks) the two ends of each bond between a drawn site and the border or an earlier drawn site"""

    def __init__(self, drawn: _Lines, border: _Lines, corners: Sequence[_Site], L: int) -> None:
        """`drawn` and `border` are relative to the corners, one for each block."""
        super().__init__()
        for name, lines in (("drawn", drawn), ("border", border)):
            sites = [_flat(chain(*lines), corner, L) for corner in corners]
            self.register_buffer(name, _sites(sites).T.contiguous(), persistent=False)
        later, earlier = _sites(_bonded(self, L)).T
        ends = torch.stack([self.drawn[later], torch.cat([self.border, self.drawn])[earlier]])
        self.register_buffer("bonds", ends, persistent=False)
        self.lengths = [len(line) for line in (*border, *drawn)]
        """Numbers of sites of the straight lines that make up the border and then the drawn sites."""

    @property
    def n_blocks(self) -> int:
        """Number of blocks of the scale."""
        return self.drawn.shape[1]


def levels(L: int, *, lines: int = 2, largest: int = 1, strip: int = 1, bisect: bool = False) -> list[Level]:
    """Return the levels that networks draw, from the largest scale down to blocks of at most `largest` columns.

    Level 0 draws `lines` full rows and columns: 4 L - 4 sites for two lines, 2 L - 1 for one. Every other level draws
    the cross of each block, or, in blocks of at most `strip` rows, the middle column alone. Bars and arms are drawn
    from end to end, or with `bisect` from the middle outwards by halves. The remaining sites are the blocks of
    `exact_blocks`, or for largest = 1 and strip = 1 the sites of `heat_bath_sites`.
    """
    scales = _scales(L, lines, largest, strip)[:-1]
    result = [Level(_frame(L, lines), [], [(0, 0)], L)]
    for rows, columns, corners in scales:
        drawn = _cross(rows, bisect) if rows > strip else [_bar(rows, columns, bisect)]
        result.append(Level(drawn, _loop(rows, columns), corners, L))
    return result


def exact_blocks(L: int, *, lines: int = 2, largest: int, strip: int = 1) -> tuple[tuple[int, int], Level]:
    """Return the rows and columns of the blocks that remain after the levels, and their sites.

    The columns are `largest`, or less if the frame leaves smaller blocks. The drawn sites of a block are row by row,
    its border is above, right, below, left.
    """
    rows, columns, corners = _scales(L, lines, largest, strip)[-1]
    inside = [[(r, c) for c in range(columns)] for r in range(rows)]
    return (rows, columns), Level(inside, _loop(rows, columns), corners, L)


def known_neighbours(level: Level, L: int) -> Tensor:
    """(n_drawn, n_border + n_drawn) float: 1 where a border or an earlier drawn site is a neighbour of a drawn site."""
    result = torch.zeros(len(level.drawn), len(level.border) + len(level.drawn))
    for k, j in _bonded(level, L):
        result[k, j] += 1
    return result


def displacements(level: Level, L: int) -> Tensor:
    """(n_drawn, n_border + n_drawn) int: class of each pair of a drawn site with a site before it or with itself.

    Two pairs on parallel lines have the same class, 1 or larger, if their lines and their displacements along the lines
    are the same. All other pairs have class 0.
    """
    sites = torch.cat([level.border[:, 0], level.drawn[:, 0]])
    parts = []  # (3, sites) for each line: its number, its direction, the position of each site along it
    for number, part in enumerate(torch.split(torch.stack([sites % L, sites // L]), level.lengths, 1)):
        moves = (part != part[:, :1]).any(1).tolist()  # [the column varies, the row varies]
        direction = moves.index(True) if any(moves) else -1  # a line of one site has none
        parts.append(torch.stack([torch.full_like(part[0], i) for i in (number, direction)] + [part[direction]]))
    line, direction, along = torch.cat(parts, 1)
    order, drawn = _sites(range(len(sites))), slice(len(level.border), None)
    shares = (direction[drawn, None] == direction) & (direction >= 0) & (order <= order[drawn, None])
    # one number for (line, line, displacement); the displacement lies between -L and L
    key = (line[drawn, None] * len(level.lengths) + line) * 2 * L + along[drawn, None] - along + L
    result = torch.zeros_like(key)
    result[shares] = 1 + torch.unique(key[shares], return_inverse=True)[1]
    return result


def distances(level: Level, L: int) -> Tensor:
    """(n_drawn, n_border + n_drawn) float: distance of each drawn site from each site, on the torus."""
    sites = torch.cat([level.border[:, 0], level.drawn[:, 0]])
    apart = level.drawn[:, :1] - sites, level.drawn[:, :1] // L - sites // L
    column, row = (torch.minimum(moves % L, -moves % L).float() for moves in apart)
    return torch.hypot(column, row)


def heat_bath_sites(L: int) -> tuple[Tensor, Tensor]:
    """The L^2/4 isolated sites that remain after `levels(L)`, (n,), and their neighbours, (4, n)."""
    _check_extent(L)
    sites = [(r, c) for r in range(1, L, 2) for c in range(1, L, 2)]
    around = [_flat(_around((0, 0)), site, L) for site in sites]
    return _sites([r * L + c for r, c in sites]), _sites(around).T.contiguous()


def _bonded(level: Level, L: int) -> list[tuple[int, int]]:
    """Each drawn site with each neighbour that is on the border or drawn before it: places in drawn, border + drawn.

    A site that appears twice in the border counts once.
    """
    drawn, border = level.drawn[:, 0].tolist(), level.border[:, 0].tolist()
    place = {site: i for i, site in reversed(list(enumerate([*border, *drawn])))}  # the first place of each site
    around = ((k, r, c) for k, site in enumerate(drawn) for r, c in _around(divmod(site, L)))
    pairs = ((k, place.get(r % L * L + c % L, len(border) + len(drawn))) for k, r, c in around)
    return [(k, j) for k, j in pairs if j < len(border) + k]


def _around(site: _Site) -> list[_Site]:
    """The four neighbours of a site, which may lie beyond the edges."""
    r, c = site
    return [(r - 1, c), (r, c + 1), (r + 1, c), (r, c - 1)]


def _check_extent(L: int) -> None:
    if L < 4 or L & (L - 1):
        raise ValueError(f"the hierarchy needs L = 2^m with m >= 2; L = {L}")


def _scales(L: int, lines: int, largest: int, strip: int) -> list[tuple[int, int, list[_Site]]]:
    """Rows, columns and upper left corners of the blocks that remain after level 0, after level 1, ...

    All are squares until `strip`. The blocks inside a block are successive blocks of the next scale: four after a
    cross, two after a column.
    """
    _check_extent(L)
    step = L // lines
    rows = columns = step - 1
    corners = [(r + 1, c + 1) for r in range(0, L, step) for c in range(0, L, step)]
    result = [(rows, columns, corners)]
    while columns > largest:
        step = (columns + 1) // 2
        starts = [0]  # of the rows of the blocks inside
        if rows > strip:
            starts, rows = [0, step], rows // 2
        columns //= 2
        corners = [(r + i, c + j) for r, c in corners for i in starts for j in (0, step)]
        result.append((rows, columns, corners))
    return result


def _frame(L: int, lines: int) -> _Lines:
    """A row and a column for each line, without the sites of earlier rows and columns."""
    at, seen = range(0, L, L // lines), set[_Site]()
    result: _Lines = []
    for line in at:
        for sites in ([(line, c) for c in range(L)], [(r, line) for r in range(L)]):
            result.append([site for site in sites if site not in seen])
            seen.update(sites)
    return result


def _bar(rows: int, columns: int, bisect: bool) -> list[_Site]:
    """The middle column of a block."""
    return [(r, columns // 2) for r in _line(rows, bisect)]


def _cross(side: int, bisect: bool) -> _Lines:
    """The vertical bar, the left arm and the right arm of a square block: 2 side - 1 sites, side = 2^m - 1."""
    middle = side // 2
    arm = _line(middle, bisect)
    return [_bar(side, side, bisect), [(middle, c) for c in arm], [(middle, middle + 1 + c) for c in arm]]


def _line(length: int, bisect: bool) -> list[int]:
    """0 ... length - 1; with `bisect`, for length 2^m - 1, the middle first, then the middles of the halves, ..."""
    # the largest power of 2 that divides i + 1 is largest at the middle
    return sorted(range(length), key=lambda i: -((i + 1) & -(i + 1)) if bisect else i)


def _loop(rows: int, columns: int) -> _Lines:
    """The 2 (rows + columns) sites around a block: top, right, bottom, left."""
    across, along = range(columns), range(rows)
    top, bottom = [(-1, c) for c in across], [(rows, c) for c in across]
    return [top, [(r, columns) for r in along], bottom, [(r, -1) for r in along]]


def _flat(offsets: Iterable[_Site], corner: _Site, L: int) -> list[int]:
    """Numbers r L + c of the sites at some offsets from a corner, on the torus."""
    return [((corner[0] + r) % L) * L + (corner[1] + c) % L for r, c in offsets]


def _sites(rows: Sequence[Sequence[int]] | Sequence[int]) -> Tensor:
    """Site numbers as a tensor, on the CPU even where a model is built on `meta` to count its parameters."""
    return torch.tensor(rows, dtype=torch.long, device="cpu")
