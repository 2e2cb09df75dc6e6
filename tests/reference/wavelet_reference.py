"""A second, slow reader of wavelet streams, written from docs/format/wavelet.md alone.

It shares no code with frazil; numbers are read by `coder_reference`.
"""

from __future__ import annotations

import math

import numpy as np
from coder_reference import SIDE, PlaneCoder, States

CAP, TEXTURE = 1 << 18, 4095
FURTHEST = (1 << 30) - 1
WEIGHTS, POINT_WEIGHTS = (1, 3, 9, 2, 14, 1, 1, 0), (8, 2, 8, 4, 8, 2, 2, 0)
ALPHA, BETA, GAMMA, DELTA = -103949, -3472, 57862, 29066


class Head:
    def __init__(self, stream: bytes, levels: int):
        self.at = 0
        first, second = stream[0], stream[1]
        self.at = 2

        def varint() -> int:
            value, shift = 0, 0
            while True:
                byte = stream[self.at]
                self.at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        assert first & 15 == 1
        self.models = 1 if first & 0x10 else 3
        self.codes, self.across = bool(first & 0x20), bool(first & 0x40)
        self.places, self.table = (second & 31) - 16, second >> 5
        middle = varint()
        self.middle = -(middle + 1 >> 1) if middle & 1 else middle >> 1
        step = varint()
        self.step = (256 + step % 256) << step // 256
        self.ends: list[int] = []  # for each level, coarse to fine
        grown = varint()
        if grown:
            self.ends.append(grown)
            while len(self.ends) < levels:
                self.ends.append(self.ends[-1] + varint())


def wrap(a: np.ndarray) -> np.ndarray:
    return (a + (1 << 31)) % (1 << 32) - (1 << 31)


def norm(halves: int) -> int:
    return math.isqrt((1 << 40) >> halves)


def bands(y: int, x: int):
    """Shapes of the low bands, and (level, orientation, h, w, norm), coarse to fine."""
    shapes = [(y, x)]
    while max(shapes[-1]) > 8 and len(shapes) <= 24:
        h, w = shapes[-1]
        shapes.append((-(-h // 2), -(-w // 2)))
    splits = [0]
    for h, w in shapes[:-1]:
        splits.append(splits[-1] + (h > 1) + (w > 1))
    levels = len(shapes) - 1
    found = [(levels, 0, *shapes[-1], max(norm(splits[-1]), 1))]
    for level in range(levels, 0, -1):
        (h, w), (up, left) = shapes[level - 1], shapes[level]
        once = norm(splits[level - 1])
        one = once if h > 1 and w > 1 else once * 75340 // 65536
        for orientation, rows, columns, size in (
            (1, up, w - left, one),
            (2, h - up, left, one),
            (3, h - up, w - left, once * 86612 // 65536),
        ):
            if rows and columns:
                found.append((level, orientation, rows, columns, max(size, 1)))
    return shapes, found


def across(n: int) -> tuple[int, list[int]]:
    counts = [n]
    while len(counts) <= 4 and counts[-1] > 1:
        counts.append(-(-counts[-1] // 2))
    levels = len(counts) - 1
    norms = [norm(levels)] * counts[-1]
    for level in range(levels, 0, -1):
        norms += [max(norm(level - 1) * 75340 >> 16, 1)] * (counts[level - 1] - counts[level])
    return levels, norms


def lift(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Undo the transform along the first axis."""

    def step(target, other, first, factor):
        i = np.arange(len(target)) + first
        a, b = (other[np.clip(k, 0, len(other) - 1)] for k in (i - 1, i))
        return wrap(target - wrap(wrap(a + b) * factor + (1 << 15) >> 16))

    low = step(low, high, 0, DELTA)
    high = step(high, low, 1, GAMMA)
    low = step(low, high, 0, BETA)
    high = step(high, low, 1, ALPHA)
    out = np.empty((len(low) + len(high), *low.shape[1:]), np.int64)
    out[::2], out[1::2] = low, high
    return out


def scale(low: np.ndarray, gain: int) -> np.ndarray:
    return wrap(low * gain + (1 << 15) >> 16)


def inverse(low: np.ndarray, details: dict[int, np.ndarray]) -> np.ndarray:
    """Undo a level: the low band and its details along x (1), along y (2), along both (3)."""
    low = scale(low, 99181 if 1 in details and 2 in details else 80621)
    if 2 in details:
        low = lift(low, details[2])
        if 1 in details:
            details[1] = lift(details[1], details[3])
    return lift(low.T, details[1].T).T if 1 in details else low


def inverse_across(stack: np.ndarray) -> np.ndarray:
    levels, _ = across(len(stack))
    for level in range(levels, 0, -1):
        count = len(stack)
        for _ in range(level - 1):
            count = -(-count // 2)
        up = -(-count // 2)
        stack[:count] = lift(scale(stack[:up], 80621), stack[up:count])
    return stack


def size(q: np.ndarray) -> np.ndarray:
    return np.minimum(abs(q), CAP)


def at(q: np.ndarray | None, h: int, w: int, top: int = 0, left: int = 0, halvings: int = 0) -> np.ndarray:  # noqa: PLR0917 - i, j and what is done to them
    """The numbers at (i + top, j + left) >> halvings for i < h, j < w; 0 beyond the edges."""
    if q is None:
        return np.zeros((h, w), np.int64)
    i, j = (np.arange(h) >> halvings) + top, (np.arange(w) >> halvings) + left
    rows, columns = q.shape
    inside = ((i >= 0) & (i < rows))[:, None] & ((j >= 0) & (j < columns))
    return np.where(inside, q[np.clip(i, 0, rows - 1)][:, np.clip(j, 0, columns - 1)], 0)


def energy(q: np.ndarray | None) -> np.ndarray | None:
    if q is None:
        return None
    s, (h, w) = size(q), q.shape
    return 2 * s + at(s, h, w, 0, -1) + at(s, h, w, 0, 1) + at(s, h, w, -1) + at(s, h, w, 1)


def band_contexts(plane: dict, level: int, o: int, h: int, w: int):
    parents = {k: at(energy(plane.get((level + 1, k))), h, w, 0, 0, 1) for k in (1, 2, 3)}
    near = parents[o] + 1 >> 1
    texture = np.minimum(sum(parents[k] for k in (1, 2, 3) if k != o), TEXTURE)
    along_x, along_y = plane.get((level, 1)), plane.get((level, 2))
    if o == 1 or along_x is None:
        return near, texture, texture
    a = size(along_x)
    if o == 2:
        far = at(a, h, w, 0, -1) + at(a, h, w) + at(a, h, w, 1, -1) + at(a, h, w, 1)
    else:
        b = size(along_y)
        far = at(a, h, w) + at(a, h, w, 1) + at(b, h, w) + at(b, h, w, 0, 1)
    return near, far, texture


def point_contexts(plane: dict, y: int, x: int):
    energies = []
    for level in (1, 2):
        total = np.zeros((-(-y // (1 << level)), -(-x // (1 << level))), np.int64)
        for o in (1, 2, 3):
            q = plane.get((level, o))
            if q is not None:
                total[: q.shape[0], : q.shape[1]] += size(q)
        energies.append(total)
    fine, coarse = energies
    far = sum(at(fine, y, x, i, j, 1) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
    return at(fine, y, x, 0, 0, 1), far, np.minimum(at(coarse, y, x, 0, 0, 2), TEXTURE)


def read_weights(coder: PlaneCoder, default, points: int) -> list[int]:
    if points < 3000:
        return list(default)
    return [max(0, min(255, w + coder.number(SIDE + 64 + 64 * k))) for k, w in enumerate(default)]


def low_band(coder: PlaneCoder, h: int, w: int, before: np.ndarray | None) -> np.ndarray:
    by_before = before is not None and coder.bit(SIDE + 1)
    q = coder.plane(h, w, 12, WEIGHTS)
    for i in range(h):
        for j in range(w):
            if by_before:
                guess = before[i, j]
            elif i == 0:
                guess = q[i, j - 1] if j else 0
            elif j == 0:
                guess = q[i - 1, j]
            else:
                guess = foretell(q[i, j - 1], q[i - 1, j], q[i - 1, j - 1])
            q[i, j] = max(-FURTHEST, min(FURTHEST, q[i, j] + guess))
    return q


def foretell(west: int, north: int, corner: int) -> int:
    return max(min(west, north), min(max(west, north), west + north - corner))


def decode(  # noqa: PLR0917 - what the page says a reader is told, in its order
    stream: bytes, shape: tuple[int, int, int], widths, valid, tables: dict[int, States], level: int = 0
) -> np.ndarray:
    """Decode the numbers; ``widths``: an integer or an array of ``shape``; ``tables``: initial states."""
    n, y, x = shape
    shapes, layout = bands(y, x)
    levels = len(shapes) - 1
    head = Head(stream, levels)
    cells = np.broadcast_to(np.asarray(widths, np.int64), shape)
    stop = min(level, levels)
    layout = [band for band in layout if band[1] == 0 or band[0] > stop]
    coder = PlaneCoder(stream[head.at :], head.models, tables[head.table])
    planes, shifts = read_bands(coder, n, layout)
    rounds, norms = across(n)
    stack = np.empty((n, *shapes[stop]), np.int64)
    for p in range(n):
        norm_across = norms[p] if head.across else None
        coefficients = dequantise(planes[p], cells[p], layout, shifts, head, norm_across)
        low = coefficients[levels, 0]
        for depth in range(levels, stop, -1):
            low = inverse(low, {o: coefficients[depth, o] for o in (1, 2, 3) if (depth, o) in coefficients})
        stack[p] = low
    if head.across:
        stack = inverse_across(stack)
    if head.places > 0:
        stack = stack + (1 << head.places - 1) >> head.places
    stack = wrap((stack << max(-head.places, 0)) + head.middle)
    if head.codes and stop == 0:
        weights = read_weights(coder, POINT_WEIGHTS, y * x)
        for p in range(n):
            contexts = point_contexts(planes[p >> rounds if head.across else p], y, x)
            there = None if valid is None else valid[p]
            stack[p] += cells[p] * coder.plane(y, x, 13, weights, *contexts, valid=there)
        stack = wrap(stack)
    every = 1 << level - stop
    return stack[:, ::every, ::every].astype(np.int32)


def read_bands(coder: PlaneCoder, n: int, layout):
    planes: list[dict[tuple[int, int], np.ndarray]] = [{} for _ in range(n)]
    levels, _, h, w, _ = layout[0]
    for p in range(n):
        planes[p][levels, 0] = low_band(coder, h, w, planes[p - 1][levels, 0] if p else None)
    shifts: dict[int, tuple[int, int]] = {}
    for depth, o, h, w, _ in layout[1:]:
        if depth not in shifts:
            shifts[depth] = 0, 0
            if n * h * w >= 400:
                both = [coder.number(SIDE + 640 + 64 * k) for k in (0, 1)]
                shifts[depth] = max(-64, min(64, both[0])), max(-64, min(64, both[1]))
        weights = read_weights(coder, WEIGHTS, h * w)
        for plane in planes:
            contexts = band_contexts(plane, depth, o, h, w)
            plane[depth, o] = coder.plane(h, w, 3 * min(depth - 1, 3) + o - 1, weights, *contexts)
    return planes, shifts


def dequantise(plane: dict, cells: np.ndarray, layout, shifts, head: Head, norm_across: int | None) -> dict:  # noqa: PLR0917 - read once, in this order
    y, x = cells.shape
    coefficients = {}
    for depth, o, h, w, band_norm in layout:
        step = band_norm * head.step >> (28 - head.places)
        step = max(step if norm_across is None else step * norm_across >> 20, 1)
        i, j = (np.minimum(np.arange(k) << depth, last - 1) for k, last in ((h, y), (w, x)))
        q = plane[depth, o]
        one, more = shifts[depth] if o else (0, 0)
        magnitude = 64 * abs(q) + np.where(abs(q) == 1, one, more)
        value = magnitude * (step * cells[i][:, j]) + (1 << 29) >> 30
        coefficients[depth, o] = wrap(np.where(q == 0, 0, np.sign(q) * value))
    return coefficients
