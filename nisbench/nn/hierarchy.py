"""The scales of an L x L torus, L = 2^m: frames of lines, crosses inside the blocks they leave, blocks at the end.

Inside a closed loop of known spins a nearest-neighbour model depends on that loop alone (Markov), so that the blocks of
a scale are independent given all that was drawn before. Sites are numbers r L + c. All raise ValueError for another L.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

__all__ = ["Level", "displacements", "exact_blocks", "heat_bath_sites", "known_neighbours", "levels"]


_Site = tuple[int, int]
"""Row and column, on the torus or relative to the corner of a block."""
_Lines = list[list[_Site]]


class Level(nn.Module):
    """The sites that are drawn together in all blocks of a scale, and the sites around them; moves with its model."""

    drawn: Tensor
    """(n_drawn, n_blocks)"""
    border: Tensor
    """(n_border, n_blocks)"""

    def __init__(self, drawn: _Lines, border: _Lines, corners: Sequence[_Site], L: int) -> None:
        """`drawn` and `border` are relative to the corners, one for each block."""
        super().__init__()
        for name, lines in (("drawn", drawn), ("border", border)):
            sites = [_flat(chain(*lines), corner, L) for corner in corners]
            self.register_buffer(name, _sites(sites).T.contiguous(), persistent=False)
        self.lengths = [len(line) for line in (*border, *drawn)]
        """The border and then the drawn sites are straight lines one after the other, of so many sites."""

    @property
    def n_blocks(self) -> int:
        """Blocks of the scale."""
        return self.drawn.shape[1]


def levels(L: int, *, lines: int = 2, smallest: int = 3, bisect: bool = False) -> list[Level]:
    """The levels that networks draw, from the largest scale to blocks of side `smallest`.

    Level 0 draws `lines` full rows and columns (4 L - 4 sites for two, 2 L - 1 for one), every other one the cross of
    each block, bar and arms from end to end or, to `bisect`, their middle first. What is left are the blocks of
    `exact_blocks`, or for smallest = 3 the sites of `heat_bath_sites`.
    """
    side, corners = _first_blocks(L, lines)
    result = [Level(_frame(L, lines), [], [(0, 0)], L)]
    while side >= smallest:
        result.append(Level(_cross(side, bisect), _loop(side), corners, L))
        side, corners = _split(side, corners)
    return result


def exact_blocks(L: int, *, lines: int = 2, largest: int) -> tuple[int, Level]:
    """The blocks, of side `largest` or as large as the lines of level 0 leave them, and their sites row by row.

    They are what `levels` with smallest = largest + 1 leaves; the border is above, right, below and left of a block.
    """
    side, corners = _first_blocks(L, lines)
    while side > largest:
        side, corners = _split(side, corners)
    square = [[(r, c) for c in range(side)] for r in range(side)]
    return side, Level(square, _loop(side), corners, L)


def known_neighbours(level: Level, L: int) -> Tensor:
    """(n_drawn, n_border + n_drawn) float: 1 where a site of the border, or drawn earlier, is next to a drawn one.

    A site that the border holds twice counts once.
    """
    drawn, border = level.drawn[:, 0].tolist(), level.border[:, 0].tolist()
    place = {site: i for i, site in reversed(list(enumerate([*border, *drawn])))}  # the first place of each
    result = torch.zeros(len(drawn), len(border) + len(drawn))
    for k, site in enumerate(drawn):
        for neighbour in _flat([(-1, 0), (0, 1), (1, 0), (0, -1)], divmod(site, L), L):
            if neighbour in place and place[neighbour] < len(border) + k:
                result[k, place[neighbour]] += 1
    return result


def displacements(level: Level, L: int) -> Tensor:
    """(n_drawn, n_border + n_drawn) the class of each pair of a drawn site and one known by then, or itself.

    Pairs on parallel lines have the class of their two lines and of their displacement along them, from 1 on; all the
    others have 0.
    """
    sites = torch.cat([level.border[:, 0], level.drawn[:, 0]])
    parts = []
    for number, part in enumerate(torch.split(torch.stack([sites % L, sites // L]), level.lengths, 1)):
        moves = (part != part[:, :1]).any(1).tolist()  # along a row, along a column
        direction = moves.index(True) if any(moves) else -1  # a line of one site has none
        parts.append(torch.stack([torch.full_like(part[0], i) for i in (number, direction)] + [part[direction]]))
    line, direction, along = torch.cat(parts, 1)
    order, drawn = _sites(range(len(sites))), slice(len(level.border), None)
    shares = (direction[drawn, None] == direction) & (direction >= 0) & (order <= order[drawn, None])
    key = (line[drawn, None] * len(level.lengths) + line) * 2 * L + along[drawn, None] - along + L
    result = torch.zeros_like(key)
    result[shares] = 1 + torch.unique(key[shares], return_inverse=True)[1]
    return result


def heat_bath_sites(L: int) -> tuple[Tensor, Tensor]:
    """The L^2/4 isolated spins that the levels leave, (n,), and their neighbours, (4, n)."""
    _check_extent(L)
    sites = [(r, c) for r in range(1, L, 2) for c in range(1, L, 2)]
    around = [_flat([(-1, 0), (0, 1), (1, 0), (0, -1)], site, L) for site in sites]
    return _sites([r * L + c for r, c in sites]), _sites(around).T.contiguous()


def _check_extent(L: int) -> None:
    if L < 4 or L & (L - 1):
        raise ValueError(f"the hierarchy needs L = 2^m with m >= 2; L = {L}")


def _first_blocks(L: int, lines: int) -> tuple[int, list[_Site]]:
    """Side and corners of the blocks that level 0 leaves."""
    _check_extent(L)
    step = L // lines
    return step - 1, [(r + 1, c + 1) for r in range(0, L, step) for c in range(0, L, step)]


def _split(side: int, corners: list[_Site]) -> tuple[int, list[_Site]]:
    """Side and corners of the blocks that the crosses leave."""
    step = (side + 1) // 2
    return (side - 1) // 2, [(r + i, c + j) for r, c in corners for i in (0, step) for j in (0, step)]


def _frame(L: int, lines: int) -> _Lines:
    """The row and the column of each line, without the sites that came before."""
    at, seen = range(0, L, L // lines), set[_Site]()
    result: _Lines = []
    for line in at:
        for sites in ([(line, c) for c in range(L)], [(r, line) for r in range(L)]):
            result.append([site for site in sites if site not in seen])
            seen.update(sites)
    return result


def _cross(side: int, bisect: bool) -> _Lines:
    """The vertical bar, the left arm and the right arm of a block: 2 side - 1 sites, side = 2^m - 1."""
    middle = side // 2
    bar, arm = _line(side, bisect), _line(middle, bisect)
    return [[(r, middle) for r in bar], [(middle, c) for c in arm], [(middle, middle + 1 + c) for c in arm]]


def _line(length: int, bisect: bool) -> list[int]:
    """0 ... length - 1, for length 2^m - 1 perhaps the middle first, then the middles of the halves, and so on."""
    return sorted(range(length), key=lambda i: -((i + 1) & -(i + 1)) if bisect else i)


def _loop(side: int) -> _Lines:
    """The 4 side sites around a block: top, right, bottom, left."""
    along = range(side)
    return [[(-1, c) for c in along], [(r, side) for r in along], [(side, c) for c in along], [(r, -1) for r in along]]


def _flat(offsets: Iterable[_Site], corner: _Site, L: int) -> list[int]:
    """Sites relative to a corner as r L + c on the torus."""
    return [((corner[0] + r) % L) * L + (corner[1] + c) % L for r, c in offsets]


def _sites(rows: Sequence[Sequence[int]] | Sequence[int]) -> Tensor:
    """Indices, on the CPU even where a model is built on `meta` to learn its size."""
    return torch.tensor(rows, dtype=torch.long, device="cpu")
