"""A second, slow reader of coded latents, after docs/format/latent-coder.md.

It shares no code with frazil; the range decoder is that of the other reference readers.

::

    decode(data, (n, k, h, w), None, step)          # what a reader without a model's tensors starts from
    decode(data, (n, k, h, w), tensors, step)       # the model's: "coder.shifts", ...
"""

from __future__ import annotations

import numpy as np
from coder_reference import QUARTER, SQUASH, STRETCH, TRUST, PlaneCoder

PARTS, CALM, CHANNELS = 13312, 22528, 22592
MOST = 1 << 20
PLACES = ((0, 0), (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, 1), (1, 0), (1, -1), (1, 1))
RINGS = (PLACES[:1], (PLACES[1], PLACES[2], PLACES[5], PLACES[6]), (PLACES[3], PLACES[4], *PLACES[7:]))


def clamp(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))


def energy_class(energy: int) -> int:
    halvings = 0
    while energy >= 4096:
        energy >>= 1
        halvings += 1
    return min(103, QUARTER[energy] + 4 * halvings)


def fresh(k: int) -> dict[str, np.ndarray]:
    """Return the tensors that stand for none."""
    odds, counts = [128] * (CHANNELS + 128 * k), [0] * (CHANNELS + 128 * k)
    for ec in range(104):
        energy = max(1, 5 * 2 ** ((ec - 1) // 4) // 4) if ec else 1
        energy >>= max(0, (ec - 33) >> 2)
        share = clamp(4096 * energy // (energy + 256), 64, 4032)
        for f in range(8):
            for b in (0, *range(2, 10)):
                odds[16 * (8 * ec + f) + b] = clamp(128 + round(STRETCH[share] / 17), 0, 255)
                counts[16 * (8 * ec + f) + b] = 1
    kins = [
        [3 * source + ring for source in (c - 1, c - 2) if source >= 0 for ring in (0, 1)] for c in range(k)
    ]
    flat = [kin for each in kins for kin in each]
    tensors = {
        "shifts": [[14] * k],
        "offsets": [[0] * k],
        "own": [[[0] * 6] * k],
        "tap_counts": [[0] * k],
        "taps": [],
        "tap_weights": [],
        "floors": [[[1600, 160]] * k],
        "near": [[[4000, 4000, 1200, 600, 600]] * k],
        "kin_counts": [[len(each) for each in kins]],
        "kins": flat,
        "kin_weights": [1600, 300] * (len(flat) // 2),
        "odds": odds,
        "counts": counts,
        "mix": [1500] * 768,
    }
    return {f"coder.{name}": np.array(part, np.int64) for name, part in tensors.items()}


def companions(c: int) -> list[int]:
    if c >= 24:
        return []
    return [c - 1, c - 2, c - 3, 1, 0] if c >= 6 else list(range(c - 1, -1, -1))


class Latents(PlaneCoder):
    """A decoder of one stream."""

    def __init__(self, data: bytes, shape, tensors, step: int):
        super().__init__(data, 1)
        self.n, self.k, self.h, self.w = shape
        self.step = step
        tensors = fresh(self.k) if tensors is None else tensors
        self.t = {name.removeprefix("coder."): np.asarray(part).tolist() for name, part in tensors.items()}
        self.slots = [
            64 * SQUASH[((o - 128) * 17 >> 1) + 2048] << 9 | count
            for o, count in zip(self.t["odds"], self.t["counts"], strict=True)
        ]
        self.mix = [16 * v for v in self.t["mix"]]
        self.taps = self.split("tap_counts", "taps", "tap_weights")
        self.kins = self.split("kin_counts", "kins", "kin_weights")
        self.along = [[0] * 5 for _ in range(24)]
        self.across = [[1 << 18] * 5 for _ in range(24)]

    def split(self, counts: str, numbers: str, weights: str):
        pairs = iter(zip(self.t[numbers], self.t[weights], strict=True))
        return [[[next(pairs) for _ in range(count)] for count in row] for row in self.t[counts]]

    def ask(self, slots: list[int], at: int) -> int:
        """Decode a mixed decision."""
        t = [STRETCH[self.slots[s] >> 19] * TRUST[self.slots[s] & 511] >> 8 for s in slots]
        d = sum(self.mix[at + e] * t[e] for e in range(3)) >> 17
        p = SQUASH[clamp(d, -2048, 2047) + 2048]
        bit = self.decide(p)
        miss = 65536 * bit - p
        for e, slot in enumerate(slots):
            self.mix[at + e] += (t[e] * miss + 32768) >> 16
            self.learn(slot, bit)
        return bit

    def zeros(self) -> list[list[int]]:
        return [[0] * self.w for _ in range(self.h)]

    def nearest(self, plane, i: int, j: int) -> int:
        return plane[clamp(i, 0, self.h - 1)][clamp(j, 0, self.w - 1)]

    def decode(self) -> np.ndarray:
        out, before = [], ([], [])
        for sample in range(self.n):
            z = min(sample, len(self.t["shifts"]) - 1)
            self.numbers, self.differences, self.normal = [], [], []
            self.last = self.zeros()
            for c in range(self.k):
                self.numbers.append(self.zeros())
                self.differences.append(self.zeros())
                self.normal.append(self.zeros())
                self.plane(z, c, before)
            out.append(self.numbers)
            before = self.numbers, self.differences
        return np.array(out, np.int32).reshape(self.n, self.k, self.h, self.w)

    def plane(self, z: int, c: int, before) -> None:
        def source(now, then, number):
            return now[number] if number < self.k else then[number - self.k]

        shift = self.t["shifts"][z][c]
        offset = (self.t["offsets"][z][c] << shift) // (64 * self.step)
        mean = [[offset] * self.w for _ in range(self.h)]
        kin = self.zeros()
        points = [(i, j) for i in range(self.h) for j in range(self.w)]
        for tap, weight in self.taps[z][c]:
            plane = source(self.numbers, before[0], tap // 9)
            down, right = PLACES[tap % 9]
            for i, j in points:
                mean[i][j] += weight * self.nearest(plane, i + down, j + right)
        for number, weight in self.kins[z][c]:
            plane = source(self.differences, before[1], number // 3)
            for i, j in points:
                ring = (self.nearest(plane, i + down, j + right) for down, right in RINGS[number % 3])
                kin[i][j] += weight * sum(ring)
        first, second = self.t["floors"][z][c]
        floor = first // self.step + second
        expected = floor * self.h * self.w + sum(map(sum, kin))
        if not self.bit(CALM + (energy_class(expected >> 8) >> 1)):
            self.last = self.zeros()
            return
        for i, j in points:
            self.point(z, c, i, j, mean[i][j], kin[i][j], floor)

    def neighbours(self, plane, i: int, j: int) -> tuple[int, ...]:
        """Return W, N, NW, NE, WW, NN."""
        here = plane[i]
        if i == 0:
            west = here[j - 1] if j else 0
            return west, west, west, west, here[j - 2] if j > 1 else 0, west
        above = plane[i - 1]
        return (
            here[j - 1] if j else above[0],
            above[j],
            above[j - 1] if j else above[0],
            above[min(j + 1, self.w - 1)],
            here[j - 2] if j > 1 else above[0],
            plane[max(i - 2, 0)][j],
        )

    def point(self, z, c, i, j, m, kin, floor) -> None:  # noqa: PLR0917 - the page's letters
        shift = self.t["shifts"][z][c]
        m += sum(
            a * b for a, b in zip(self.t["own"][z][c], self.neighbours(self.numbers[c], i, j), strict=True)
        )
        m = plain = clamp(m, -MOST << shift, MOST << shift)
        west, north, nw, ne, west2, north2 = self.neighbours(self.differences[c], i, j)
        sizes = west, north, nw + ne, west2, north2
        alone = floor + sum(a * b for a, b in zip(self.t["near"][z][c], sizes, strict=True))
        energy = (alone + kin) >> 6
        full = min(energy, 1 << 28) + 77
        normals = [self.normal[other][i][j] for other in companions(c)]
        slopes = [(self.along[c][e] << 12) // self.across[c][e] for e in range(len(normals))]
        turn = clamp(sum(a * b for a, b in zip(slopes, normals, strict=True)) >> 12, -64, 64)
        m += ((turn * full) << shift) >> 14
        whole = (m + ((1 << shift) >> 1)) >> shift
        fraction = ((m - (whole << shift)) << 6) >> shift

        ec = energy_class(energy)
        eo, ek = (min(23, energy_class(part >> 6) >> 1) for part in (alone, kin))
        low = max(0, (ec - 33) >> 2)
        f = 4 + min(low, 3) if low else min(3, abs(fraction) >> 3)
        weights = 48 * min(15, ec >> 2)
        slots = 16 * (8 * ec + f), PARTS + 16 * (24 * eo + ek), CHANNELS + 16 * (8 * c + f)
        a = self.magnitude(slots, weights)
        if a:
            slots = (
                16 * (8 * ec + ((fraction + 32) >> 3)),
                PARTS + 16 * (16 * min(a, 8) + ((fraction + 32) >> 2)),
                CHANNELS + 16 * (8 * c + self.last[i][j] + 1),
            )
            if self.ask([s + 1 for s in slots], weights + 3):
                a = -a
        if low:
            a = (a << low) + self.raw(low) - (1 << (low - 1))
        y = clamp(a + whole, -MOST, MOST)
        self.numbers[c][i][j] = y
        self.differences[c][i][j] = min(abs(y - whole), 1 << 18)
        self.last[i][j] = (y > whole) - (y < whole)
        if c < 24:
            normal = ((((y << shift) - plain) << 6) >> shift) * 256 // full
            normal = self.normal[c][i][j] = clamp(normal, -256, 256)
            for e, x in enumerate(normals):
                self.along[c][e] += x * (normal - turn + (slopes[e] * x >> 12))
                self.across[c][e] += x * x

    def magnitude(self, slots, weights: int) -> int:
        def ask(b: int) -> int:
            return self.ask([s + b for s in slots], weights + 3 * b)

        a = 0
        while a < 9 and ask(a + 1 if a else 0):
            a += 1
        if a == 9:
            u = 0
            while ask(min(10 + u, 15)) and u < 30:
                u += 1
            if u:
                a = 8 + (1 << u) + self.raw(u)
        return a


def decode(data: bytes, shape, states, step: int) -> np.ndarray:
    """Decode a stream to latents of ``shape`` (n, k, h, w)."""
    if 0 in shape:
        return np.zeros(shape, np.int32)
    return Latents(data, shape, states, step).decode()
