"""A second, slow reader of interpolation streams, written from docs/format/{interpolation,coder}.md alone."""

from __future__ import annotations

import numpy as np
from coder_reference import CAP, SIDE, PlaneCoder, States

NUMBERS = SIDE + 288
COARSEST = (0, 0, 16, 8, 24, 8, 0, 0)
SCALES = ((256,) * 5, (256, 241, 228, 215, 213))
FURTHEST = 1 << 28

# Around a point of each kind: (quarter, dy, dx); quarters are 0 coarse, 1 centres, 2 besides
FOUR = [
    [(0, -1, -1), (0, -1, 1), (0, 1, -1), (0, 1, 1)],
    [(0, 0, -1), (0, 0, 1), (1, -1, 0), (1, 1, 0)],
    [(0, -1, 0), (0, 1, 0), (1, 0, -1), (1, 0, 1)],
]


def corners(quarter: int, dy: int, dx: int) -> list[tuple[int, int, int]]:
    return [(quarter, a, b) for a in {-dy, dy} for b in {-dx, dx}]


FURTHER = [
    [corners(0, 1, 3), corners(0, 3, 1), corners(0, 3, 3)],
    [None, corners(1, 1, 2), corners(0, 2, 1), 2 * corners(1, 3, 0), 2 * corners(0, 0, 3)],
    [None, corners(1, 2, 1), corners(0, 1, 2), 2 * corners(0, 3, 0), 2 * corners(1, 0, 3), corners(2, 1, 1)],
]
ACROSS = [None, (FOUR[1][:2], FOUR[1][2:]), (FOUR[2][2:], FOUR[2][:2])]  # left and right, above and below
NEAR = [FOUR[0], FOUR[1][:2], FOUR[2]]
FAR = [corners(0, 3, 1) + corners(0, 1, 3), FOUR[1][2:], corners(2, 1, 1)]
SIGNS = [None, FOUR[1][2:], FOUR[2][2:]]
START = [(1, 1), (0, 1), (1, 0)]  # of each kind, on the level's grid
PLACE = [(0, 0), (1, 1), (0, 1)]  # of each quarter


def i32(a):
    return np.asarray(a, np.int64).astype(np.int32).astype(np.int64)


class Grid:
    """The quarters of one plane at one level that are known so far."""

    def __init__(self, coarse: np.ndarray, wrap: bool):
        self.quarters, self.wrap = [coarse], wrap

    def at(self, kind: int, shape: tuple[int, int], neighbour: tuple[int, int, int]) -> np.ndarray:
        quarter, dy, dx = neighbour
        array = self.quarters[quarter]
        (y0, x0), (top, left) = START[kind], PLACE[quarter]
        i = np.arange(shape[0]) + (y0 + dy - top) // 2
        j = np.arange(shape[1]) + (x0 + dx - left) // 2
        n, m = array.shape
        j = j % m if self.wrap else j.clip(0, m - 1)
        return array[i.clip(0, n - 1)[:, None], j]

    def sum(self, kind, shape, neighbours, what=lambda a: a):
        return sum(what(self.at(kind, shape, one)) for one in neighbours)

    def features(self, kind: int, shape: tuple[int, int]) -> tuple[np.ndarray, list[np.ndarray]]:
        mean = i32(self.sum(kind, shape, FOUR[kind]))
        found = []
        for further in FURTHER[kind]:
            if further is None:
                h, v = (self.sum(kind, shape, pair) for pair in ACROSS[kind])
                found.append(i32(2 * (h - v)))
            else:
                found.append(i32(self.sum(kind, shape, further) - mean))
        return mean, found


def depth(h: int, w: int) -> int:
    levels = 0
    while max(h, w) > 8 and min(h, w) > 1 and levels < 8:
        h, w, levels = (h + 1) // 2, (w + 1) // 2, levels + 1
    return levels


def snap(p, d):
    return (2 * p + d) // (2 * d) * d


class Decoder:
    def __init__(self, data: bytes, shape, widths, valid, aligned: bool, table: bytes):  # noqa: PLR0917 - what a reader is told
        self.shape, self.widths, self.aligned = shape, widths, aligned
        self.valid = None if valid is None or valid.all() else valid
        first, number = data[0], data[1]
        assert first & 0x87 == 1
        self.wrap, self.scales = bool(first & 16), SCALES[first >> 5 & 1]
        self.levels = depth(*shape[1:])
        at = 2
        self.ends = []
        if first & 64:
            for _ in range(min(self.levels, 5)):
                value = shift = 0
                while True:
                    value |= (data[at] & 127) << shift
                    shift, at = shift + 7, at + 1
                    if data[at - 1] < 128:
                        break
                self.ends.append(value + (self.ends[-1] if self.ends else 0))
        assert number in (0, 1)
        states = States.read(table) if number else States.nothing()
        self.body = at
        self.coder = PlaneCoder(data[at:], 1 if first & 8 else 3, states)
        self.defaults = states.stencils
        self.stencils = {(k, u): [list(map(int, states.stencils[k, u]))] for k in range(3) for u in range(2)}
        self.weights = {(k, u): list(map(int, states.weights[k, u])) for k in range(3) for u in range(2)}

    def cells(self, t: int, level: int, top: int, left: int, step: int):
        scale = self.scales[min(level, 4)]
        d = self.widths if np.ndim(self.widths) == 0 else self.widths[t, top::step, left::step].astype(int)
        return d if self.aligned else (d * scale >> 9) * 2 + 1

    def there(self, t: int, top: int, left: int, step: int):
        return None if self.valid is None else self.valid[t, top::step, left::step]

    def decode(self, level: int) -> np.ndarray:
        n, h, w = self.shape
        stop = min(level, self.levels)
        grids, codes = [], []
        for t in range(n):
            grid, code = self.coarsest(t, grids[-1] if t else None)
            grids.append(grid)
            codes.append(code)
        for at in range(self.levels - 1, stop - 1, -1):
            size = -(-h >> at), -(-w >> at)
            before = None
            for t in range(n):
                before = self.plane(t, at, size, grids[t], codes[t], before)
                grids[t], codes[t] = (self.together(g.quarters, size) for g in before[:2])
        step = 1 << (level - stop)
        return np.array(grids)[:, ::step, ::step]

    def coarsest(self, t: int, before):
        step = 1 << self.levels
        h, w = (-(-v >> self.levels) for v in self.shape[1:])
        valid = self.there(t, 0, 0, step)
        codes = self.coder.plane(h, w, 13 if t else 12, COARSEST, valid=valid)
        d = self.cells(t, self.levels, 0, 0, step) + np.zeros((h, w), int)
        out = np.zeros((h, w), np.int64)
        last = 0
        for i in range(h):
            for j in range(w):
                here = valid is None or valid[i, j]
                north = i > 0 and (valid is None or valid[i - 1, j])
                west = j > 0 and (valid is None or valid[i, j - 1])
                if t:
                    p = before[i, j]
                elif north and west and (valid is None or valid[i - 1, j - 1]):
                    p = out[i, j - 1] + out[i - 1, j] - out[i - 1, j - 1]
                elif north and not west:
                    p = out[i - 1, j]
                else:
                    p = last
                p = max(-FURTHEST, min(FURTHEST, int(p)))
                if self.aligned:
                    p = snap(p, int(d[i, j]))
                if here:
                    last = out[i, j] = i32(p + codes[i, j] * d[i, j])
                else:
                    out[i, j] = p if t else last
        return out, codes

    def plane(self, t, level, size, grid, codes, before):  # noqa: PLR0917 - the page in its order
        unit = 1 << level
        wrap = self.wrap and size[1] % 2 == 0
        values, numbers = Grid(grid, wrap), Grid(codes, wrap)
        flags = Grid(self.there(t, 0, 0, 2 * unit), wrap)
        for kind in range(3):
            down, right = START[kind]
            shape = (size[0] + 1 - down) // 2, (size[1] + 1 - right) // 2
            points = shape[0] * shape[1]
            valid = self.there(t, down * unit, right * unit, 2 * unit)
            d = self.cells(t, level, down * unit, right * unit, 2 * unit)
            inter = self.stencil(level, kind, points, int(t > 0))
            p, texture = self.predict(kind, shape, values, flags, before[0] if inter else None, inter, d)
            if self.aligned:
                p = snap(p, d)
            q0 = before[1].quarters[kind + 1] if t else None
            like = int(t > 0 and (inter or 4 * np.minimum(abs(q0), 4).sum() < points))
            weights = self.energies(level, kind, int(t > 0), like)
            if like:
                m = shape[1]
                columns = np.arange(-1, m + 1)
                q0 = q0[:, columns % m if wrap else columns.clip(0, m - 1)]
            size_of = lambda a: np.minimum(abs(a), CAP)  # noqa: E731 - one word for a short formula
            signs = None
            if kind:
                first, second = (np.sign(numbers.at(kind, shape, one)) for one in SIGNS[kind])
                signs = 3 * first + second + 4
            q = self.coder.plane(
                *shape,
                min(level, 3) * 3 + kind,
                weights,
                numbers.sum(kind, shape, NEAR[kind], size_of),
                numbers.sum(kind, shape, FAR[kind], size_of),
                texture,
                signs,
                q0 if like else None,
                valid,
            )
            values.quarters.append(i32(p + q * d))
            numbers.quarters.append(q)
            flags.quarters.append(valid)
        return values, numbers

    def stencil(self, level: int, kind: int, points: int, later: int) -> int:
        at = SIDE + ((min(level, 5) * 3 + kind) * 2 + later) * 8
        inter = self.coder.bit(at) if later else 0
        at += 1 + 3 * inter
        if self.coder.bit(at):
            return inter
        split = (3, 5, 6)[kind]
        used = 2 * split + 1 if inter else split
        known = self.stencils[kind, inter]
        if self.coder.bit(at + 1):
            self.stencils[kind, inter] = [list(map(int, self.defaults[kind, inter]))]
            return inter
        bands = min(4, max(1, points // 8000))
        if bands > 1 and not self.coder.bit(at + 2):
            bands = 1
        shift = 6 if points < 1500 else 5 if points < 25000 else 4 if points < 100000 else 3
        last, new = known[0], []
        for b in range(bands):
            one = [0] * 13
            for a in range(used):
                which = (0 if a < split else 1 if a == split else 2) + (3 if b else 0)
                value = ((last[a] >> shift) + self.coder.number(NUMBERS + 64 * which)) << shift
                one[a] = max(-32768, min(32768, value))
            new.append(one)
            last = one
        self.stencils[kind, inter] = new
        return inter

    def energies(self, level: int, kind: int, later: int, like: int) -> list[int]:
        weights = self.weights[kind, like]
        if self.coder.bit(SIDE + ((min(level, 5) * 3 + kind) * 2 + later) * 8 + 7):
            for a in range(8):
                value = weights[a] + self.coder.number(NUMBERS + 64 * (6 + (a > 5)))
                weights[a] = max(0, min(255, value))
        return weights

    def predict(self, kind, shape, values, flags, before, inter, d):  # noqa: PLR0917 - the page in its order
        mean, found = values.features(kind, shape)
        texture = sum(np.minimum(abs(f) & 0x7FFFFFFF, (1 << 29) - 1) for f in found[:2])
        if np.ndim(d):
            texture = np.minimum(4 * texture // d, 4095)
        else:
            texture = np.minimum(texture * ((1 << 26) // d) >> 24, 4095)
        if inter:
            mean0, found0 = before.features(kind, shape)
            found = [*found, i32(4 * before.quarters[kind + 1] - mean0), *found0]
        bands = self.stencils[kind, inter]
        of_row = np.array(bands)[np.arange(shape[0]) * len(bands) // shape[0]]
        total = mean * 4096 + 8192
        for a, feature in enumerate(found):
            total = total + of_row[:, a : a + 1] * feature
        p = np.clip(total >> 14, -FURTHEST, FURTHEST)
        if flags.quarters[0] is not None:
            there = [flags.at(kind, shape, one).astype(int) for one in FOUR[kind]]
            count = sum(there)
            part = sum(v * values.at(kind, shape, one) for v, one in zip(there, FOUR[kind], strict=True))
            some = (count > 0) & (count < 4)
            p = np.where(some, part // np.maximum(count, 1), p)
        return p, texture

    def together(self, quarters, size) -> np.ndarray:
        out = np.zeros(size, np.int64)
        out[::2, ::2], out[1::2, 1::2], out[::2, 1::2], out[1::2, ::2] = quarters
        return out


def decode(data, shape, widths, valid=None, level=0, aligned=False, table=b""):  # noqa: PLR0917 - what a reader is told
    """Decode a stream for n planes; ``widths`` an int or an array, ``valid`` an array or None."""
    return Decoder(bytes(data), shape, widths, valid, aligned, table).decode(level)
