"""A second, slow reader of section M, written from docs/format/masks.md alone."""

from __future__ import annotations

import zlib

import numpy as np
from jp2k_reference import Bytes


class Bits:
    """The range decoder, and the contexts of all bitmaps."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 6
        self.code, self.width = int.from_bytes(data[:6].ljust(6, b"\0"), "big"), 1 << 48
        self.contexts: dict[int, tuple[int, int]] = {}

    def decide(self, context: int) -> int:
        p, s = self.contexts.get(context, (1 << 21, 0))
        bound = (self.width >> 16) * (p >> 6 | 32)
        bit = int(self.code < bound)
        if bit:
            self.width = bound
        else:
            self.code, self.width = self.code - bound, self.width - bound
        p += ((1 << 22) * bit - p) * (327680 // (5 * s + 8)) >> 16
        self.contexts[context] = p, min(s + 1, 255)
        if self.width < 1 << 32:
            self.width <<= 16
            more = self.data[self.at : self.at + 2].ljust(2, b"\0")
            self.code, self.at = self.code << 16 | int.from_bytes(more, "big"), self.at + 2
        return bit


def bitmap(bits: Bits, y: int, x: int, p: np.ndarray | None) -> np.ndarray:  # noqa: C901 - the page in its order
    out = np.zeros((y, x), int)
    tiles = -(-x // 8)
    above = [0] * tiles

    def in_p(i, j):
        return int(p[min(i, y - 1), max(0, min(j, x - 1))])

    for top in range(0, y, 8):
        rows = slice(top, min(top + 8, y))
        row: list[int] = []
        while len(row) < tiles:
            c0 = len(row)
            c1 = min(c0 + 8, tiles)
            around = {row[-1] if row else above[0], above[max(c0 - 1, 0)], above[min(c1, tiles - 1)]}
            around |= set(above[c0:c1])
            if len(around) == 1 and 2 not in around:
                s = around.pop()
                e = int(p is not None and (p[rows, 8 * c0 : 8 * c1] == s).all())
                if bits.decide(s if p is None else 1220 + 2 * e + s):
                    row += [s] * (c1 - c0)
                    out[rows, 8 * c0 : 8 * c1] = s
                    continue
            for t in range(c0, c1):
                w = row[-1] if row else above[0]
                c = w + 3 * above[t] + 9 * above[max(t - 1, 0)] + 27 * above[min(t + 1, tiles - 1)]
                columns = slice(8 * t, 8 * t + 8)
                if p is not None:
                    tile = p[rows, columns]
                    label = 1 if tile.all() else 2 if tile.any() else 0
                    c += 81 * label
                if bits.decide((2 if p is None else 1224) + c):
                    row.append(2)
                    continue
                row.append(bits.decide((83 if p is None else 1467) + c))
                out[rows, columns] = row[-1]
        for i in range(rows.start, rows.stop):
            for t in (t for t in range(tiles) if row[t] == 2):
                line(bits, out, i, i - top, 8 * t, in_p if p is not None else None)
        above = row
    return out


def line(bits: Bits, out: np.ndarray, i: int, r: int, a: int, in_p) -> None:  # noqa: C901, PLR0917 - the page's letters
    x = out.shape[1]
    here, zero = out[i], np.zeros(x, int)
    north = out[i - 1] if i > 0 else zero
    over = out[i - 2] if i > 1 else zero

    def at_here(j):
        return int(here[j] if j >= 0 else north[0])

    def at(array, j):
        return int(array[max(0, min(j, x - 1))])

    end = min(a + 8, x)
    v = at_here(a - 1)
    left = [at_here(a - 2), v]
    around = [at(north, j) for j in range(a - 2, a + 10)] + [at(over, j) for j in range(a - 1, a + 9)]
    j = a
    if set(left + around) == {v}:
        if in_p is None:
            context = 164 + 2 * r + v
        else:
            same = {in_p(i, k) for k in range(a - 1, a + 9)} | {in_p(i + 1, k) for k in range(a, a + 8)}
            e = 2 if len(same) == 2 else same.pop()
            context = 1710 + 16 * e + 2 * r + v
        if bits.decide(context):
            here[a:end] = v
            return
        while True:
            here[j] = 1 - v if j == end - 1 else bits.decide(180 + 2 * (j - a) + v)
            j += 1
            if here[j - 1] != v:
                break
    for k in range(j, end):
        two = 2 * at_here(k - 2) + at_here(k - 1)
        if in_p is None:
            c = 0
            for pixel in [at(over, k + d) for d in (-1, 0, 1)] + [at(north, k + d) for d in range(-2, 3)]:
                c = 2 * c + pixel
            here[k] = bits.decide(196 + 4 * c + two)
        else:
            c = at(over, k)
            for d in (-1, 0, 1):
                c = 2 * c + at(north, k + d)
            four = 8 * in_p(i + 1, k) + 4 * in_p(i, k - 1) + 2 * in_p(i, k) + in_p(i, k + 1)
            here[k] = bits.decide(1758 + 16 * (4 * c + two) + four)


def read(section: bytes, shape: tuple[int, int, int], dtype: np.dtype):  # noqa: C901 - the page in its order
    """Return which points hold data, and a function that puts the others into planes of values."""
    n, y, x = shape
    source = Bytes(section[:-2])
    code = source.byte()
    unsigned = np.dtype(f"<u{dtype.itemsize}")
    patterns = np.zeros(1, unsigned)
    if code in (0, 9):
        nan = {2: 0x7E00, 4: 0x7FC00000, 8: 0x7FF8 << 48}[dtype.itemsize]
        patterns[0] = nan | (code == 9) << (8 * dtype.itemsize - 1)
    elif code < 9:
        patterns = np.frombuffer(source.take(code * dtype.itemsize), unsigned)
    symbols: list[int] = []
    while len(symbols) < n * len(patterns):
        t = source.varint()
        if t % 2:
            d = source.varint()
            for _ in range((t + 1) // 2):
                symbols.append(symbols[-d])
        else:
            symbols.append(t // 2)
    stream = source.take(source.varint()) if code > 9 else source.rest()
    bits = Bits(stream)
    bitmaps = [np.zeros((y, x), int), np.ones((y, x), int)]
    for k in range(2, max(symbols) + 1):
        bitmaps.append(bitmap(bits, y, x, bitmaps[-1] if k > 2 else None))
    layers = np.array([bitmaps[s] for s in symbols], bool).reshape(len(patterns), n, y, x)
    if code > 9:
        raw = source.rest()
        each = np.frombuffer(zlib.decompress(raw) if code == 11 else raw, unsigned)

    def put(planes: np.ndarray, step: int) -> None:
        view = planes.view(unsigned.newbyteorder("="))
        if code > 9:
            full = np.zeros(shape, unsigned)
            full[layers[0]] = each
            view[layers[0][:, ::step, ::step]] = full[:, ::step, ::step][layers[0][:, ::step, ::step]]
            return
        for pattern, layer in zip(patterns, layers, strict=True):
            view[layer[:, ::step, ::step]] = pattern

    return ~layers[0], put
