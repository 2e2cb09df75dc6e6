"""A second, slow reader of codeword indices, written from docs/format/indices.md alone.

It shares no code with frazil; the range decoder is that of the other reference readers.

::

    decode(data, shape, size)               # shape (heads, y, x) or (n, heads, y, x)
    decode(data, shape, size, tensors)      # the model's: "coder.slots", ...
"""

from __future__ import annotations

import bz2

import imagecodecs
import numpy as np
from coder_reference import RATE, SQUASH, STRETCH, TRUST, PlaneCoder

COUNTS = (0, 1, 2, 3, 4, 6, 9, 14)
WORD = 1 << 32


def mixed(value: int, tag: int) -> int:
    x = 256 * value + tag
    u = ((x ^ (x >> 31)) % WORD) * 0x85EBCA6B % WORD
    u ^= u >> 15
    u = u * 0xC2B2AE35 % WORD
    return u ^ (u >> 13)


class Range(PlaneCoder):
    """The range decoder alone."""

    def __init__(self, data: bytes):
        super().__init__(data, 1)

    def pick(self, cumulative: list[int]) -> int:
        z = self.width // cumulative[-1]
        v = min(self.code // z, cumulative[-1] - 1)
        k = max(i for i in range(len(cumulative) - 1) if cumulative[i] <= v)
        self.code -= z * cumulative[k]
        self.width = z * (cumulative[k + 1] - cumulative[k])
        self.fill()
        return k


class Mixing:
    """Tables and decisions of modes 2 and 5."""

    def __init__(self, data: bytes, shape, size: int, tensors=None):
        self.n, self.heads, self.y, self.x = shape
        self.size, self.bits = size, (size - 1).bit_length()
        self.one = 1 << self.bits
        self.contexts, self.trained = (9, 5) if self.heads == 1 else (13, 9)
        self.coder = Range(data)
        self.own_bits = min(16, max(8, (self.n * self.y * self.x * self.bits).bit_length()))
        lines = self.heads * self.bits
        self.features = [
            [[(128 * i) >> self.bits, 64, 64, 64] for i in range(size)] for _ in range(self.heads)
        ]
        if tensors is None:
            self.slot_bits = self.own_bits
            self.slots = [[[1 << 21, 0] for _ in range(1 << self.slot_bits)] for _ in range(self.heads)]
            self.weights = [[137626 // self.contexts] * self.contexts for _ in range(lines)]
            self.cells = [[SQUASH[min(128 * i, 4095)] for i in range(33)] * 9 for _ in range(lines)]
        else:
            slots = tensors["coder.slots"].tolist()
            self.slot_bits = (len(slots[0]) - 1).bit_length()
            self.slots = [[self.unpack(slot) for slot in row] for row in slots]
            self.weights = [[16 * w for w in row] for row in tensors["coder.weights"].tolist()]
            self.cells = tensors["coder.cells"].astype(int).reshape(lines, 9 * 33).tolist()
            if "coder.features" in tensors:
                self.features = tensors["coder.features"].tolist()
        self.own = [[[1 << 21, 0] for _ in range(1 << self.own_bits)] for _ in range(self.heads)]
        self.maps = np.zeros(shape, np.int32)
        self.places = 0

    @staticmethod
    def unpack(slot: int) -> list[int]:
        odds = slot >> 3
        return [64 * SQUASH[(((2 * odds - 31) * 48) >> 1) + 2048], COUNTS[slot % 8]]

    def decode(self) -> np.ndarray:
        for t in range(self.n):
            for i in range(self.y):
                for j in range(self.x):
                    for h in range(self.heads):
                        self.maps[t, h, i, j] = self.index(t, h, i, j)
                    self.places += 1
        return self.maps

    def at(self, t: int, h: int, i: int, j: int) -> int:
        return self.one + int(self.maps[t, h, i, j])

    def high(self, value: int, count: int) -> int:
        return value >> max(self.bits - count, 0)

    def index(self, t: int, h: int, i: int, j: int) -> int:
        first, top, right = j == 0, i == 0, j == self.x - 1
        north = self.one if top else self.at(t, h, i - 1, j)
        west = north if first else self.at(t, h, i, j - 1)
        if top:
            north = west
        north_west = north if top or first else self.at(t, h, i - 1, j - 1)
        north_east = north if top or right else self.at(t, h, i - 1, j + 1)
        before = self.at(t - 1, h, i, j) if t else None
        around = west, north, before or north_west, north_east
        base = self.bases(t, h, i, j, west, north, north_west, north_east, before)
        node = 1
        for d in range(self.bits):
            s = self.bits - d - 1
            if (2 * node + 1) << s >= self.one + self.size:
                node *= 2
                continue
            m = [1 + (v >> s) % 2 if v >> (s + 1) == node else 0 for v in around]
            agree = 3 * m[0] + m[1]
            pattern = 9 * agree + 3 * m[2] + m[3]
            node = 2 * node + self.decide(h, d, base, node, agree, pattern)
        return node - self.one

    def bases(self, t, h, i, j, west, north, north_west, north_east, before) -> list[int]:  # noqa: PLR0917 - the page's letters
        f = self.features[h]
        around = [f[v - self.one] for v in (west, north, north_west, north_east)]
        g = [(3 * (around[0][r] + around[1][r]) + around[2][r] + around[3][r]) >> 6 for r in range(4)]
        hi = self.high
        last = mixed(hi(north_east, 5) if before is None else before, 12)
        base = [
            0,
            mixed(int(before is not None), 1),
            mixed(hi(west, 5), 2),
            mixed(hi(north, 5), 3),
            mixed(16 * g[0] + g[1], 4),
        ]
        if self.heads == 1:
            return [*base, 0, mixed(west, 6), mixed(north, 7), last]
        a = [self.at(t, h - k, i, j) if h >= k else None for k in (1, 2, 3)]
        five = a[0] or hi(north, 4) << 16 | hi(north_east, 4)
        six = a[1] or hi(west, 2) << 32 | hi(north, 2) << 16 | hi(north_east, 2)
        seven = a[2] or 16 * g[2] + g[3]
        eight = hi(west, 4) << 16 | hi(north, 4)
        if h == 1:
            eight |= hi(a[0], 4) << 32
        elif h > 1:
            eight = self.pair(h - 1, a[0]) << 32 | self.pair(h - 2, a[1])
        ten = a[0] or west
        eleven = a[1] or (west if h else north)
        values = (five, 5), (six, 6), (seven, 7), (eight, 8)
        return [*base, *(mixed(*value) for value in values), 0, mixed(ten, 10), mixed(eleven, 11), last]

    def pair(self, head: int, index: int) -> int:
        first, second = self.features[head][index - self.one][:2]
        return (first - first % 8) + (second - second % 8) * 65536

    def decide(self, h: int, d: int, base: list[int], node: int, agree: int, pattern: int) -> int:  # noqa: PLR0917 - the page's letters
        line = h * self.bits + d
        weights, cells = self.weights[line], self.cells[line]
        found = []
        for k in range(self.contexts):
            key = 81 * d + pattern if k == 1 else node
            place = (base[k] + key * 0x9E3779B1) % WORD
            if k < self.trained:
                found.append(self.slots[h][place >> (32 - self.slot_bits)])
            else:
                found.append(self.own[h][place >> (32 - self.own_bits)])
        odds = [STRETCH[p >> 10] * TRUST[c] >> 8 for p, c in found]
        x = sum(w * v for w, v in zip(weights, odds, strict=True)) >> 17
        x = max(-2048, min(2047, x)) + 2048
        p = SQUASH[x]
        a, at = x % 128, 33 * agree + (x >> 7)
        q = (p + ((cells[at] * (128 - a) + cells[at + 1] * a) >> 7)) >> 1
        bit = self.coder.decide(max(6, min(65530, q)))
        cells[at] += ((65535 * bit - cells[at]) * (128 - a)) >> 13
        cells[at + 1] += ((65535 * bit - cells[at + 1]) * a) >> 13
        pace = 4 + 2048 // (self.places + 200)
        miss = ((65536 * bit - p) * pace) >> 2
        for k, slot in enumerate(found):
            weights[k] += (odds[k] * miss + 16384) >> 15
            slot[0] += (((bit << 22) - slot[0]) * RATE[slot[1]]) >> 16
            slot[1] += slot[1] < 250
        return bit


def decode(data: bytes, shape, size: int, tensors=None) -> np.ndarray:
    """Decode a stream."""
    full = tuple(shape) if len(shape) == 4 else (1, *shape)
    count, bits, mode, data = int(np.prod(full)), (size - 1).bit_length(), data[0], data[1:]
    if mode == 0:
        digits = np.unpackbits(np.frombuffer(data, np.uint8))[: count * bits].reshape(count, bits)
        found = digits.astype(int) @ (1 << np.arange(bits)[::-1])
    elif mode == 1:
        coder = Range(data)
        sums = [[0, *np.cumsum(row.astype(int)).tolist()] for row in tensors["coder.frequencies"]]
        found = [
            coder.pick(sums[h])
            for _ in range(full[0])
            for h in range(full[1])
            for _ in range(full[2] * full[3])
        ]
    elif mode in {2, 5}:
        found = Mixing(data, full, size, tensors if mode == 5 else None).decode()
    else:
        raw = bz2.decompress(data) if mode == 3 else imagecodecs.zstd_decode(data)
        found = np.frombuffer(raw, "u1" if size <= 256 else "<u2")
    return np.array(found, np.int32).reshape(shape)
