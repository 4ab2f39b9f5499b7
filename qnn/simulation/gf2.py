"""Linear algebra over bits: masks are vectors, addition is exclusive or."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def independent(masks: Iterable[int]) -> list[int]:
    """The masks that are not sums of earlier ones."""
    pivots: dict[int, int] = {}
    chosen = []
    for mask in masks:
        if rest := _rest(mask, pivots):
            pivots[rest.bit_length()] = rest
            chosen.append(mask)
    return chosen


def _rest(mask: int, pivots: dict[int, int]) -> int:
    while mask and mask.bit_length() in pivots:
        mask ^= pivots[mask.bit_length()]
    return mask


def completed(masks: Iterable[int], n: int) -> list[int]:
    """A basis of n vectors: the independent masks, then single bits, the highest first."""
    return independent([*masks, *(1 << b for b in range(n - 1, -1, -1))])


def image(columns: Sequence[int], mask: int) -> int:
    """The linear map with these images of single bits, applied to a mask."""
    total = 0
    while mask:
        bit = mask & -mask
        total ^= columns[bit.bit_length() - 1]
        mask ^= bit
    return total


def transposed_image(columns: Sequence[int], mask: int) -> int:
    """The transpose of that map, applied to a mask."""
    return sum(((mask & column).bit_count() & 1) << t for t, column in enumerate(columns))


def inverse(columns: Sequence[int]) -> list[int]:
    """Images of single bits under the inverse of an invertible map."""
    n = len(columns)
    rows = [(column, 1 << t) for t, column in enumerate(columns)]
    for bit in range(n):
        place = next(i for i in range(bit, n) if rows[i][0] >> bit & 1)
        rows[bit], rows[place] = rows[place], rows[bit]
        pivot = rows[bit]
        rows = [(a ^ pivot[0], b ^ pivot[1]) if i != bit and a >> bit & 1 else (a, b) for i, (a, b) in enumerate(rows)]
    return [b for _, b in rows]
