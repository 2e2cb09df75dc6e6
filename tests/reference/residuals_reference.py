"""A second, slow reader of corrections, written from docs/format/residuals.md alone.

It shares no code with frazil. JPEG 2000 packets are decoded by imagecodecs, Blosc2 chunks by blosc2.
"""

from __future__ import annotations

import math
import struct

import blosc2
import imagecodecs
import jp2k_reference as jp2k
import numpy as np
from coder_reference import PlaneCoder
from wavelet_reference import foretell, wrap

WEIGHTS = (8, 2, 10, 5, 10, 3, 4, 0)
ALPHA, BETA, GAMMA, DELTA, K2 = -26610918, -888859, 14812790, 7440810, 25389436
REACH = 1 << 29


class Bytes(jp2k.Bytes):
    def signed(self) -> int:
        value = self.varint()
        return -(value + 1 >> 1) if value & 1 else value >> 1


def codes(data: bytes, shape: tuple[int, int, int], valid=None, hints=None) -> np.ndarray:
    """Decode a stream of codes; ``hints``: near, far and texture, each of ``shape``."""
    n, y, x = shape
    out = np.zeros(shape, np.int64)
    source = Bytes(data)
    flags = source.byte()
    if flags == 0:
        return out
    assert flags & 15 == 1
    weights = list(source.take(8)) if flags & 0x80 else list(WEIGHTS)
    coder = PlaneCoder(source.rest(), 1 if flags & 0x10 else 3)
    before = None
    for p in range(n):
        near, far, texture = (None, None, None) if hints is None else (hint[p] for hint in hints)
        there = None if valid is None else valid[p]
        q = coder.plane(y, x, 0, weights, near, far, texture, previous=before, valid=there)
        if flags & 0x20:
            before = np.pad(q, ((0, 0), (1, 1)))
        if flags & 0x40:
            for i in range(y):
                for j in range(x):
                    west, north = q[i, j - 1] if j else 0, q[i - 1, j]
                    guess = west if i == 0 else north if j == 0 else foretell(west, north, q[i - 1, j - 1])
                    q[i, j] += guess
        out[p] = q
    return wrap(out)


def context(payload: bytes, shape, widths, valid=None, level: int = 0, *, rerun=None, aligned=False):
    """Decode numbers; ``rerun(bytes, level)`` gives the numbers of a codec's bytes."""
    source = Bytes(payload)
    flags = source.byte()
    kind, doubt, step = flags & 15, 0, 1 << level
    if kind == 0:
        base = np.full(shape, source.signed(), np.int64)[:, ::step, ::step]
    elif kind == 1:
        doubt = source.varint()
        base = rerun(source.take(source.varint()), level)
    else:
        assert kind == 2
        base = from_indices(source, shape, level)
    if level:
        return base
    c = [source.signed() for _ in range(12)] if flags & 0x10 else [0] * 12
    c = [max(-(1 << 20), min(1 << 20, v)) for v in c]
    d = np.broadcast_to(np.asarray(widths, np.int64), shape) - 2 * doubt
    assert d.min() >= 1
    hints = bends(base, d) if flags & 0x20 else None
    k = codes(source.rest(), shape, valid, hints)
    if kind == 1:
        c[4] = c[5] = 0
    return close(base, k, d, c, valid, aligned)


def close(base, k, d, c, valid, aligned):  # noqa: PLR0917 - the page's letters
    n, y, x = base.shape
    wide = np.pad(base, ((0, 0), (1, 1), (1, 1)), mode="edge").tolist()
    rows, widths = k.tolist(), d.tolist()
    last = [[0] * (x + 4) for _ in range(y + 2)]
    out = np.empty(base.shape, np.int64)
    for p in range(n):
        here = [
            [0] * (x + 4) for _ in range(y + 2)
        ]  # e, with two columns more at each side, a row above, below
        for i in range(y):
            mine, above, b = here[i + 1], here[i], wide[p][i + 1]
            upper, lower = wide[p][i], wide[p][i + 2]
            for j in range(x):
                e, v = j + 2, b[j + 1]
                if valid is not None and not valid[p, i, j]:
                    out[p, i, j] = v
                    continue
                f = [mine[e - 1], above[e], above[e - 1], above[e + 1]]
                f += [b[j] + b[j + 2] - 2 * v, upper[j + 1] + lower[j + 1] - 2 * v]
                f += [last[i + 1][e], last[i + 1][e - 1], last[i + 1][e + 1], last[i][e], last[i + 2][e]]
                f += [mine[e - 2]]
                guess = (sum(a * t for a, t in zip(c, f, strict=True)) + 512) >> 10
                guess = max(-REACH, min(REACH, guess))
                w = widths[p][i][j]
                if aligned:
                    guess = (2 * (v + guess) + w) // (2 * w) * w - v
                mine[e] = max(-2 * REACH, min(2 * REACH, guess + rows[p][i][j] * w))
                out[p, i, j] = v + mine[e]
        last = here
    return wrap(out)


def bends(base: np.ndarray, d: np.ndarray):
    _, y, x = base.shape

    def b(i: int, j: int) -> np.ndarray:
        rows, columns = np.clip(np.arange(y) + i, 0, y - 1), np.clip(np.arange(x) + j, 0, x - 1)
        return base[:, rows][:, :, columns]

    here = b(0, 0)
    near = abs(b(0, 1) - 2 * here + b(0, -1)) + abs(b(1, 0) - 2 * here + b(-1, 0))
    near += abs(b(1, 1) + here - b(0, 1) - b(1, 0))
    far = abs(b(0, 2) - 2 * here + b(0, -2)) + abs(b(2, 0) - 2 * here + b(-2, 0))
    texture = abs(b(0, 1) - b(0, -1)) + abs(b(1, 0) - b(-1, 0))
    return (
        np.minimum(16 * near // d, 1 << 16),
        np.minimum(8 * far // d, 1 << 16),
        np.minimum(16 * texture // d, 4095),
    )


def from_indices(
    source: Bytes, shape: tuple[int, int, int], level: int
) -> np.ndarray:  # the page in its order
    n, y, x = shape
    first = source.byte()
    bits, ht = first & 0x7F, bool(first & 0x80)
    base_step = np.frombuffer(b"\0\0" + source.take(2), "<f4")[0] if ht else np.float32(0)
    lines = [struct.unpack("<ff", source.take(8)) for _ in range(source.varint())]
    decompositions = min(5, int(math.log2(min(y, x))))
    lengths = [source.varint() for _ in range(decompositions + 1)]
    if ht and n > 32:
        source.take(source.varint())
    r = min(level, decompositions)
    d = decompositions - r
    body = source.take(sum(lengths[: d + 1]))
    small = -(-y // (1 << r)), -(-x // (1 << r))

    names = [("LL", decompositions)]
    names += [(name, k) for k in range(decompositions, 0, -1) for name in ("HL", "LH", "HH")]
    fields = [jp2k.ht_field(base_step, *b) if ht else jp2k.ebcot_field(bits, *b) for b in names]
    fields = fields[: 3 * d + 1]
    q = indices(body, (n, *small), [field >> 11 for field in fields], d, ht)

    out = np.empty((n, *small), np.int64)
    for p in range(n):
        offset, step = lines[p if len(lines) > 1 else 0]
        places = max(0, min(6, 26 - math.frexp(step * 2.0**bits)[1]))
        unit = step * 2.0**places
        deltas = []
        for (name, _), field in zip(names, fields, strict=False):
            more = {"LL": 0, "HL": 1, "LH": 1, "HH": 2}[name]
            delta = 2.0 ** (bits + more - (field >> 11)) * (1 + (field & 2047) / 2048)
            deltas.append((delta * (2.0**24 / K2) if name == "HH" else delta) * unit)
        shift = max(0, min(22 - math.frexp(max(deltas))[1], 50))
        values = []
        for band, delta in zip(q, deltas, strict=True):
            size = (2 * abs(band[p]) + 1) * round(delta * 2.0**shift) + (1 << shift) >> shift + 1
            values.append(wrap(np.where(band[p] == 0, 0, np.sign(band[p]) * size)))
        plane = inverse97(values)
        middle_level = (1 << bits - 1) - (4096 if ht else 0)
        middle = round((offset + middle_level * step) * 2.0**places)
        out[p] = np.clip((plane + middle + ((1 << places) >> 1)) >> places, -REACH, REACH)
    rest = 1 << level - r
    return out[:, ::rest, ::rest]


def indices(body: bytes, shape: tuple[int, int, int], exponents: list[int], d: int, ht: bool) -> list:
    """Quantiser indices of the bands in the order of QCD, each (n, h, w): as if they were those of 5/3."""
    n, y, x = shape

    def segment(marker: int, contents: bytes) -> bytes:
        return struct.pack(">HH", marker, len(contents) + 2) + contents

    size = struct.pack(">HIIIIIIIIH", 0x4000 if ht else 0, x, y, 0, 0, x, y, 0, 0, n)
    out = b"\xff\x4f" + segment(0xFF51, size + bytes([0x80 | 30, 1, 1]) * n)
    if ht:
        out += segment(0xFF50, struct.pack(">IH", 0x00020000, 31))
    out += segment(0xFF52, struct.pack(">BBHBBBBBB", 0, 2, 1, 0, d, 4, 4, 0x40 if ht else 0, 1))
    out += segment(0xFF5C, bytes([(1 if ht else 2) << 5]) + bytes(e << 3 for e in exponents))
    out += struct.pack(">HHHIBBH", 0xFF90, 10, 0, 14 + len(body), 0, 1, 0xFF93)
    samples = imagecodecs.jpeg2k_decode(out + body + b"\xff\xd9", planar=True if n > 1 else None)
    low = np.asarray(samples).reshape(shape).astype(np.int64)
    bands = []
    for _ in range(d):  # the forward 5/3 transform
        (low, hl), (lh, hh) = (split53(half.transpose(0, 2, 1)) for half in split53(low))
        low, hl, lh, hh = (band.transpose(0, 2, 1) for band in (low, hl, lh, hh))
        bands = [hl, lh, hh, *bands]
    return [low, *bands]


def split53(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Low and high band along the middle axis."""
    even, odd = a[:, ::2], a[:, 1::2]
    after = even[:, np.minimum(np.arange(odd.shape[1]) + 1, even.shape[1] - 1)]
    high = odd - (even[:, : odd.shape[1]] + after >> 1)
    i = np.arange(even.shape[1])
    before, beside = high[:, np.maximum(i - 1, 0)], high[:, np.minimum(i, high.shape[1] - 1)]
    return even + (before + beside + 2 >> 2), high


def inverse97(bands: list) -> np.ndarray:
    low = bands[0]
    for at in range(1, len(bands), 3):
        hl, lh, hh = bands[at : at + 3]
        low = wrap(low * K2 + (1 << 23) >> 24)
        low = join97(join97(low, lh).T, join97(hl, hh).T).T
    return low


def join97(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    def step(target, other, first, factor):
        i = np.arange(len(target)) + first
        a, b = (other[np.clip(k, 0, len(other) - 1)] for k in (i - 1, i))
        return wrap(target - ((a + b) * factor + (1 << 23) >> 24))

    low = step(low, high, 0, DELTA)
    high = step(high, low, 1, GAMMA)
    low = step(low, high, 0, BETA)
    high = step(high, low, 1, ALPHA)
    out = np.empty((len(low) + len(high), low.shape[1]), np.int64)
    out[::2], out[1::2] = low, high
    return out


def numbers_on_line(values: np.ndarray, origin: float, unit: float) -> np.ndarray:
    """Numbers of what a codec's bytes decode to."""
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0)
    far = ((1 << 28) - 1) * unit
    numbers = np.rint((np.clip(values.astype("f8"), origin - far, origin + far) - origin) * (1 / unit))
    return np.clip(numbers, -(1 << 28), 1 << 28).astype(np.int64)


def sections(encoded: bytes) -> dict[str, bytes]:
    """Sections of a codec of frazil."""
    source, found = Bytes(encoded), {}
    while source.at < len(encoded):
        tag = chr(source.byte())
        found[tag] = source.take(source.varint())
    return found


def mask(payload: bytes, shape: tuple[int, int, int], dtype, level: int = 0) -> np.ndarray:
    n, y, x = shape
    step = 1 << level
    source = Bytes(payload)
    first = source.byte()
    dtype = np.dtype(dtype)
    low = np.frombuffer(source.take(dtype.itemsize), dtype.newbyteorder("<"))[0]
    if first == 0:
        return np.full(shape, low, dtype)[:, ::step, ::step]
    high = np.frombuffer(source.take(dtype.itemsize), dtype.newbyteorder("<"))[0]
    bits = first & 31
    decompositions = min(5, int(math.log2(min(y, x))))
    lengths = [source.varint() for _ in range(decompositions)]
    body = source.take(source.varint())
    r = min(level, decompositions)
    if r:
        body = body[: sum(lengths[: decompositions + 1 - r])]
    small = n, -(-y // (1 << r)), -(-x // (1 << r))
    stream = jp2k.codestream(body, small, bits, decompositions, r, False, True, np.float32(0))
    samples = imagecodecs.jpeg2k_decode(stream, planar=True if n > 1 else None)
    levels = np.asarray(samples).reshape(small).astype(np.int64)
    top = (1 << bits) - 1
    if first & 0x20 and not level:
        add_residual(levels, source, top)
    levels = np.clip(levels, 0, top)[:, :: 1 << level - r, :: 1 << level - r]
    low, high = float(low), float(high)
    width = (high - low) / top
    while low + top * width > high:
        width = math.nextafter(width, 0)
    values = low + levels.astype("f8") * width
    return np.rint(values).astype(dtype) if dtype.kind in "iu" else values.astype(dtype)


def add_residual(levels: np.ndarray, source: Bytes, top: int) -> None:
    head = source.byte()
    packed = np.frombuffer(blosc2.decompress2(source.take(source.varint())), "u1")
    where = np.unpackbits(packed, count=levels.size).astype(bool).reshape(levels.shape)
    exponents = head & 31
    if exponents == 31:
        exponents = np.frombuffer(blosc2.decompress2(source.take(source.varint())), "u1").astype(np.int64)
    width = 1 << (head >> 5)
    v = np.frombuffer(blosc2.decompress2(source.rest()), f"<u{width}").astype(np.int64)
    away = ((v >> 1) + 1) << exponents
    levels[where] = np.clip(levels[where] + np.where(v & 1, -away, away), 0, top)
