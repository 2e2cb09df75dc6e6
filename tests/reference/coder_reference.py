"""A second, slow reader of coded planes, written from docs/format/coder.md alone.

It shares no code with frazil.

::

    tables = States.read(states_1_bin)          # or States.nothing()
    coder = PlaneCoder(data, models=3, states=tables)
    coder.bit(SIDE)                             # one decision
    coder.number(SIDE + 64)                     # a whole number, 64 slots from there on
    coder.plane(n, m, kind, weights, near=..., far=..., texture=..., signs=..., previous=..., valid=...)
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from functools import cache

import numpy as np

ENERGY, SIGN, CALM, SIDE, BESIDE, SIGN2, AROUND, SIGN3 = 0, 26624, 27920, 28112, 30160, 50896, 51040, 78688
SLOTS = {1: 30160, 3: 78832}
CAP = 1 << 18
FURTHEST = (1 << 30) - 1

ROOT = 79383056233333154183471289789


def _tables() -> tuple[list[int], list[int]]:
    one = 1 << 96
    powers = [one]
    for _ in range(5801):
        powers.append((powers[-1] * ROOT + (1 << 95)) >> 96)
    squash = []
    for i in range(4096):
        x = max(-2900, min(2900, 2 * i - 4095))
        odds = powers[2 * abs(x)]
        share = (65536 * (odds if x >= 0 else one) + ((one + odds) >> 1)) // (one + odds)
        squash.append(max(6, min(65530, share)))
    halves = powers[1::2]
    upper = [bisect_right(halves, (one * (2 * i + 4097)) // (4095 - 2 * i)) for i in range(2048)]
    return squash, [-v for v in reversed(upper)] + upper


SQUASH, STRETCH = _tables()
RATE = [327680 // (5 * n + 8) for n in range(512)]
TRUST = [(256 * (20 * n + 12) + 5 * (2 * n + 3)) // (10 * (2 * n + 3)) for n in range(512)]
QUARTER = [min(103, (v**4).bit_length()) for v in range(4096)]
TWELVE = [v if v < 4 else 4 + sum(v >= t for t in (6, 9, 14, 22, 36, 64, 128)) for v in range(4096)]
SIX = [v if v < 3 else 3 + sum(v >= t for t in (5, 10)) for v in range(4096)]


class States:
    """What a coder starts from: ``slots``, ``mix``; ``stencils`` (3, 2, 13) and ``weights`` (3, 2, 8)."""

    def __init__(self, slots: list[int], mix: list[int], stencils: np.ndarray, weights: np.ndarray):
        self.slots, self.mix, self.stencils, self.weights = slots, mix, stencils, weights

    @staticmethod
    @cache
    def nothing() -> States:
        """Return table 0."""
        slots = [1 << 30] * SLOTS[3]
        for ec in range(104):
            energy = max(1, (1 << (ec - 1) // 4) * 5 // 4) if ec else 1
            energy >>= max(0, (ec - 32) >> 2)
            prior = max(64, min(4032, 4096 * energy // (energy + 64))) << 19 | 1
            for kind in range(16):
                at = ENERGY + (kind * 104 + ec) * 16
                for b in (0, 2, 3, 4, 5, 6, 7, 8, 9):
                    slots[at + b] = prior
        for at in range(CALM, SIDE):
            slots[at] = (1 << 22) // (64, 16, 8, 4)[(at - CALM) % 4] << 9 | 2
        stencils = np.zeros((3, 2, 13), int)
        for kind, first in enumerate(([-560, -560, 60], [0, 0, 0, -350, -350], [0, 0, 0, -350, -350, 0])):
            stencils[kind, 0, : len(first)] = first
            both = [*first, 4096, *(-c for c in first)]
            stencils[kind, 1, : len(both)] = both
        weights = np.array([[[8, 8, 16, 4, 16, 0, 0, 0], [8, 4, 12, 4, 12, 0, 0, 16]]] * 3)
        return States(slots, [19661] * 768, stencils, weights)

    @staticmethod
    @cache
    def read(data: bytes) -> States:
        """Read a states-N.bin."""
        raw = zlib.decompress(data[4:])
        size = SLOTS[3]
        slots = []
        for odds, count in zip(raw[:size], raw[size : 2 * size], strict=True):
            index = max(-2048, min(2047, (odds - 128) * 17 >> 1)) + 2048
            slots.append(SQUASH[index] << 15 | count)
        rest = np.frombuffer(raw, "<i2", 768 + 78, 2 * size).astype(int)
        weights = np.frombuffer(raw, "u1", 48, len(raw) - 48).astype(int)
        mix = [16 * int(v) for v in rest[:768]]
        return States(slots, mix, rest[768:].reshape(3, 2, 13), weights.reshape(3, 2, 8))


class PlaneCoder:
    """A decoder of planes, of 1 or 3 models, that starts at the first byte of ``data``."""

    def __init__(self, data: bytes, models: int, states: States | None = None):
        states = states or States.nothing()
        self.models = models
        self.slots = states.slots[: SLOTS[models]]
        self.mix = list(states.mix)
        data = data + bytes(-len(data) % 2)
        self.words = [int.from_bytes(data[i : i + 2], "little") for i in range(0, len(data), 2)]
        self.at = 0
        self.code = self.word() << 32 | self.word() << 16 | self.word()
        self.width = (1 << 48) - 1

    def word(self) -> int:
        """Return the next word; zeros follow the last."""
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else 0

    def decide(self, p: int) -> int:
        """Decode a decision that is 1 with probability p / 65536."""
        part = (self.width >> 16) * p
        bit = int(self.code < part)
        if bit:
            self.width = part
        else:
            self.code -= part
            self.width -= part
        self.fill()
        return bit

    def fill(self) -> None:
        while self.width < 1 << 32:
            self.width <<= 16
            self.code = self.code << 16 | self.word()

    def raw(self, count: int) -> int:
        """Decode ``count`` bits as they are."""
        self.width >>= count
        bits = min(self.code // self.width, (1 << count) - 1)
        self.code -= bits * self.width
        self.fill()
        return bits

    def learn(self, slot: int, bit: int) -> None:
        p, count = self.slots[slot] >> 9, self.slots[slot] & 511
        p += ((bit << 22) - p) * RATE[count] >> 16
        self.slots[slot] = p << 9 | min(count + 1, max(count, 250))

    def bit(self, slot: int) -> int:
        """Decode a decision under one slot."""
        bit = self.decide(max(6, min(65530, self.slots[slot] >> 15)))
        self.learn(slot, bit)
        return bit

    def mixed(self, first: int, second: int, third: int, weights: int) -> int:
        """Decode a decision under three slots, with mixing weights from ``weights`` on."""
        if self.models == 1:
            return self.bit(first)
        each = []
        for slot in (first, second, third):
            s = self.slots[slot]
            each.append(STRETCH[s >> 19] * TRUST[s & 511] >> 8)
        dot = sum(self.mix[weights + a] * each[a] for a in range(3))
        p = SQUASH[max(-2048, min(2047, dot >> 17)) + 2048]
        bit = self.decide(p)
        miss = ((bit << 16) - p) * 5 >> 2
        for a, slot in enumerate((first, second, third)):
            self.mix[weights + a] += (each[a] * miss + 16384) >> 15
            self.learn(slot, bit)
        return bit

    def number(self, slot: int) -> int:
        """Decode a whole number under 64 slots."""
        k = 0
        while k < 30 and self.bit(slot + k):
            k += 1
        value = 1
        for i in reversed(range(k)):
            value = 2 * value + self.bit(slot + 33 + 2 * min(k, 14) if i == k - 1 else slot + 62)
        value -= 1
        return -value if value and self.bit(slot + 63) else value

    def plane(  # noqa: PLR0917 - the page's letters
        self,
        n: int,
        m: int,
        kind: int,
        weights,
        near=None,
        far=None,
        texture=None,
        signs=None,
        previous=None,
        valid=None,
    ) -> np.ndarray:
        """Decode n rows of m numbers.

        near, far, texture (default 0), signs (default 4): arrays (n, m); previous: array (n, m + 2), with a
        column more at each side, or None; valid: array (n, m) or None.
        """
        zeros = np.zeros((n, m), int)
        near = (zeros if near is None else np.asarray(near)).tolist()
        far = (zeros if far is None else np.asarray(far)).tolist()
        texture = (zeros if texture is None else np.asarray(texture)).tolist()
        signs = (zeros + 4 if signs is None else np.asarray(signs)).tolist()
        before = None if previous is None else np.asarray(previous).tolist()
        valid = None if valid is None else np.asarray(valid).tolist()
        w = [int(v) for v in weights]
        rows = [[0] * (m + 2)]  # a column of zeros at each side
        for i in range(n):
            self.row(
                kind,
                w,
                near[i],
                far[i],
                texture[i],
                signs[i],
                before[i] if before else None,
                valid[i] if valid else None,
                rows,
            )
        return np.array(rows[1:], np.int64)[:, 1 : m + 1]

    def row(self, kind, w, near, far, texture, signs, before, valid, rows) -> None:  # noqa: C901, PLR0912, PLR0915, PLR0917 - as the page has it
        m = len(near)
        north = rows[-1]
        here = [0] * (m + 2)
        rows.append(here)
        base = []
        for j in range(m):
            around = min(abs(north[j]) + abs(north[j + 2]), CAP)
            e = w[0] * near[j] + w[1] * far[j] + w[2] * min(abs(north[j + 1]), CAP) + w[3] * around
            e += w[6] * texture[j] >> 2
            if before:
                e += w[7] * min(abs(before[j + 1]), CAP)
            base.append(e)
        west = west2 = 0  # values
        after = 0
        j = -1
        while j < m - 1:
            j += 1
            if j % 16 == 0 and j + 16 <= m and west == 0 and west2 == 0:
                calm = 0
                for e in base[j : j + 16]:
                    calm |= e
                if calm < 4:
                    some = 0
                    if valid is None or any(valid[j : j + 16]):
                        some = self.bit(CALM + kind * 12 + after * 4 + calm)
                        after = 1 + some
                    if not some:
                        j += 15
                        continue
            if valid is not None and not valid[j]:
                west, west2 = 0, west
                continue
            energy = base[j] + w[4] * min(abs(west), CAP) + w[5] * min(abs(west2), CAP)
            octaves = 0
            while energy >= 4096:
                energy >>= 1
                octaves += 1
            ec = min(QUARTER[energy] + 4 * octaves, 103)
            k = max(0, (ec - 32) >> 2)
            k5 = min(k, 5)
            n1, n2 = abs(north[j + 1]) >> k, (abs(north[j]) + abs(north[j + 2])) >> k
            first = ENERGY + (kind * 104 + ec) * 16
            second = ((k5 * 6 + six(abs(west) >> k)) * 6 + six(n1)) * 6 + six((n2 + 1) >> 1)
            if before:
                k5 += 6
                a2 = (2 * abs(before[j + 1]) + abs(before[j]) + abs(before[j + 2])) >> k
            else:
                a2 = far[j] >> k
            third = (k5 * 12 + twelve(2 * (near[j] >> k))) * 12 + twelve(a2)
            second, third = BESIDE + 16 * second, AROUND + 16 * third

            def ask(b, first=first, second=second, third=third):
                return self.mixed(first + b, second + b, third + b, 3 * (16 * kind + b))

            a = 0
            while a < 9 and ask(0 if a == 0 else a + 1):
                a += 1
            if a == 9:
                u = 0
                while ask(min(10 + u, 15)) and u < 30:
                    u += 1
                if u:
                    a = 8 + (1 << u) + self.raw(u)
            if a:
                e = sign(north[j + 1]) + 1
                s = sign(west) + 1
                f = signs[j]
                weights = 3 * (16 * kind + 1)
                minus = self.mixed(
                    SIGN + kind * 81 + 9 * f + 3 * s + e,
                    SIGN2 + kind * 9 + 3 * s + e,
                    SIGN3 + kind * 9 + f,
                    weights,
                )
                if minus:
                    a = -a
            if k:
                a = (a << k) + self.raw(k) - (1 << (k - 1))
            here[j + 1] = max(-FURTHEST, min(FURTHEST, a))
            west, west2 = here[j + 1], west


def six(value: int) -> int:
    return SIX[min(value, 4095)]


def twelve(value: int) -> int:
    return TWELVE[min(value, 4095)]


def sign(value: int) -> int:
    return (value > 0) - (value < 0)
