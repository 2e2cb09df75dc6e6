"""Which of the built-in methods takes fewer bytes, found out cheaply.

Interpolation is the smaller one on single planes unless next to nothing is
left to code; of stacks, whose planes may have much or little in common, a
piece is coded both ways (benchmarks/bounded.py, docs/decisions/0006-two-methods.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from frazil.cells.numbering import Line
from frazil.guarantee.rebuilding import STREAM

if TYPE_CHECKING:
    from frazil.cells import Cells
    from frazil.container import Sections
    from frazil.guarantee.task import Task

SMALL = 1 << 17  # points of a chunk that may well be coded twice
PIECE = 70_000  # points of the piece of a larger stack; of fewer the wavelet tries several steps in earnest
SIDES = ((64, 96), (128, 192))  # rows and columns of the piece; more if there are few planes
PLANES = 16
WORTH = 0.97  # the wavelet takes twice the time: for less than 3 % it is not worth it
LITTLE, LESS = 0.5, 0.08  # bits a point of interpolation, of small and of large planes, below which it is


def attempts(task: Task, cells: Cells) -> list[Sections]:
    """Encode ``task`` by the method that promises fewer bytes, or by both; the smaller one first."""
    if cells.aligned or not isinstance(cells.scale, Line):
        return [task.interpolated(cells)]
    small = task.planes.size <= SMALL
    if len(task.planes) > 1 and not small:
        ways = [task.interpolated, task.transformed]
        if _transform_is_smaller(task, cells):
            ways.reverse()
        first = ways[0](cells)
        if 8 * len(first[STREAM]) > LESS * task.planes.size:
            return [first]
        return sorted((first, ways[1](cells)), key=lambda sections: len(sections[STREAM]))
    first = task.interpolated(cells)
    bits = 8 * len(first[STREAM]) / task.planes.size
    if len(task.planes) == 1 and bits > (LITTLE if small else LESS):
        return [first]
    return sorted((first, task.transformed(cells)), key=lambda sections: len(sections[STREAM]))


def _transform_is_smaller(task: Task, cells: Cells) -> bool:
    """Code a piece from the middle both ways."""
    from frazil.interpolation import stream as interpolation
    from frazil.wavelet import stream as wavelet

    n, y, x = task.planes.shape
    sizes = (0, 0, 0)
    for rows, columns in SIDES:
        height, width = min(rows, y), min(columns, x)
        sizes = (min(n, max(PLANES, -(-PIECE // (height * width)))), height, width)
        if math.prod(sizes) >= PIECE:
            break
    piece = tuple(
        slice((length - size) // 2, (length - size) // 2 + size)
        for length, size in zip((n, y, x), sizes, strict=True)
    )
    numbers = cells.scale.numbers(np.ascontiguousarray(task.wide[piece]))
    widths = cells.widths.expand((n, y, x))
    some = widths if isinstance(widths, int) else np.ascontiguousarray(widths[piece])
    known = None if task.known is None else np.ascontiguousarray(task.known[piece])
    if known is not None and not known.any():
        return False
    ours, _ = interpolation.encode(numbers, some, known, profile=task.profile)
    theirs, _ = wavelet.encode(numbers, some, known, profile=task.profile)
    return len(theirs) < WORTH * len(ours)
