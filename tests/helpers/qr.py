"""Reads a QR code as a camera does (ISO/IEC 18004), as far as an address of ours needs it: versions 1 to 6, bytes.

Nothing is damaged here, so the error correction is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

QUIET_ZONE: Final = 4

_BLOCKS: Final = {
    1: ([19], [16], [13], [9]),
    2: ([34], [28], [22], [16]),
    3: ([55], [44], [17] * 2, [13] * 2),
    4: ([80], [32] * 2, [24] * 2, [9] * 4),
    5: ([108], [43] * 2, [15, 15, 16, 16], [11, 11, 12, 12]),
    6: ([68] * 2, [27] * 4, [19] * 4, [15] * 4),
}
"""Data codewords of each block, by version and by level L, M, Q, H."""

_LEVELS: Final = {0b01: 0, 0b00: 1, 0b11: 2, 0b10: 3}

_MASKS: Final[tuple[Callable[[int, int], int], ...]] = (
    lambda y, x: (y + x) % 2,
    lambda y, _: y % 2,
    lambda _, x: x % 3,
    lambda y, x: (y + x) % 3,
    lambda y, x: (y // 2 + x // 3) % 2,
    lambda y, x: y * x % 2 + y * x % 3,
    lambda y, x: (y * x % 2 + y * x % 3) % 2,
    lambda y, x: ((y + x) % 2 + y * x % 3) % 2,
)

Matrix = list[list[bool]]


def read_qr(size: int, path: str) -> str:
    """What a code says whose dark modules are the rectangles of an SVG path."""
    return _decode(_modules(size, path))


def _modules(size: int, path: str) -> Matrix:
    picture = [[False] * size for _ in range(size)]
    drawn = re.findall(r"M(\d+) (\d+)h(\d+)v1h-\d+z", path)
    assert "".join(f"M{x} {y}h{width}v1h-{width}z" for x, y, width in drawn) == path
    for x, y, width in drawn:
        for column in range(int(x), int(x) + int(width)):
            picture[int(y)][column] = True
    inside = slice(QUIET_ZONE, size - QUIET_ZONE)
    assert sum(map(sum, picture)) == sum(sum(row[inside]) for row in picture[inside]), "the quiet zone is quiet"
    return [row[inside] for row in picture[inside]]


def _decode(matrix: Matrix) -> str:
    size = len(matrix)
    version = (size - 17) // 4
    first = [matrix[8][x] for x in (0, 1, 2, 3, 4, 5, 7, 8)] + [matrix[y][8] for y in (7, 5, 4, 3, 2, 1, 0)]
    form = int("".join(str(int(bit)) for bit in first), 2) ^ 0b101010000010010
    blocks = _BLOCKS[version][_LEVELS[form >> 13]]
    mask = _MASKS[form >> 10 & 0b111]
    bits = [int(matrix[y][x]) ^ (not mask(y, x)) for y, x in _places(size, version)]
    codewords = [int("".join(map(str, bits[at : at + 8])), 2) for at in range(0, len(bits) - 7, 8)]
    data: list[list[int]] = [[] for _ in blocks]
    taken = iter(codewords)
    for at in range(max(blocks)):
        for block, length in zip(data, blocks, strict=True):
            if at < length:
                block.append(next(taken))
    stream = "".join(f"{codeword:08b}" for block in data for codeword in block)
    assert stream.startswith("0100"), "bytes"
    length = int(stream[4:12], 2)
    return bytes(int(stream[12 + 8 * at : 20 + 8 * at], 2) for at in range(length)).decode()


def _places(size: int, version: int) -> list[tuple[int, int]]:
    """Where data lie, in their order: up and down in columns of two, from the right."""
    centre = 4 * version + 10

    def is_free(y: int, x: int) -> bool:
        finder = (y < 9 and (x < 9 or x >= size - 8)) or (y >= size - 8 and x < 9)
        aligned = version > 1 and abs(y - centre) <= 2 and abs(x - centre) <= 2
        return not finder and not aligned and 6 not in (y, x)

    places = []
    columns = [x for x in range(size - 1, 0, -1) if (x > 6 and x % 2 == 0) or (x < 6 and x % 2 == 1)]
    for turn, right in enumerate(columns):
        rows = range(size) if turn % 2 else range(size - 1, -1, -1)
        places += [(y, x) for y in rows for x in (right, right - 1) if is_free(y, x)]
    return places
