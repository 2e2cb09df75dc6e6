"""Planes of small whole numbers, coded point by point with mixed adaptive contexts.

A point's ENERGY E, a weighted sum of the magnitudes known around it, foretells
its own. It chooses the width 2^k of the cells in which the number is counted (R. F. Rice, 1979),
and the context of each binary decision: zero?, more than 1 .. 8?, then the
length of the rest (P. Elias, 1975), then the sign; the k low bits follow as
they are. Probabilities of up to three contexts are mixed in the domain of log
odds by weights that learn (M. Mahoney, 2005), and go to a range coder
(G. N. N. Martin, 1979). Where all is calm, one decision stands for sixteen zeros.

All of it is whole numbers. Planes are int32 with a rim of ``PAD`` points:
value (i, j) lies at [i + PAD, j + PAD].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.tables import ENERGIES, LIMIT, QUARTER, RATE, SIX, SQUASH, STRETCH, TRUST, TWELVE
from frazil.errors import TruncatedError

if TYPE_CHECKING:
    import numpy.typing as npt

    Plane = npt.NDArray[np.int32]
    Words = npt.NDArray[np.uint16]
    Machine = npt.NDArray[np.int64]

PAD = 2
CLASSES = 16  # kinds of planes that a stream may tell apart
BINS = 16  # decisions about one number: 0 zero, 1 sign, 2 .. 9 unary, 10 .. 15 length
SEGMENT = 16
CAP = 1 << 18  # magnitudes count no more than this as context: energies are sums of int32
FURTHEST = (1 << 30) - 1  # the largest magnitude of a number
CELLS = 32  # energies below this class are counted in cells of 1

# Where the slots of each context start: `ENERGY`, its signs, the zero segments and whatever
# else the stream says; then those of the second and third model.
ENERGY = 0
SIGN = CLASSES * ENERGIES * BINS
CALM = SIGN + CLASSES * 81
SIDE = CALM + CLASSES * 12
BESIDE = SIDE + 2048
SIGN2 = BESIDE + 6 * 6 * 36 * BINS
AROUND = SIGN2 + CLASSES * 9
SIGN3 = AROUND + 2 * 6 * 144 * BINS
SLOTS = {1: BESIDE, 3: SIGN3 + CLASSES * 9}

BOTTOM = 1 << 32
LOW = BOTTOM - 1
WINDOW = (1 << 48) - 1

signed: Any = np.int64  # a mix of signed and unsigned would be a float to numba
small: Any = np.int32
index: Any = np.uintp  # an index that cannot be negative: numba would test each signed one
_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def _six(v: Any) -> Any:
    """Return ``SIX[v]``."""
    return signed(v > 0) + signed(v > 1) + signed(v > 2) + signed(v > 4) + signed(v > 9)


@_kernel
def _twelve(v: Any) -> Any:
    """Return ``TWELVE[v]``."""
    few = signed(v > 0) + signed(v > 1) + signed(v > 2) + signed(v > 3) + signed(v > 5) + signed(v > 8)
    return few + signed(v > 13) + signed(v > 21) + signed(v > 35) + signed(v > 63) + signed(v > 127)


def _plane_coder(models: int, decoding: bool) -> Any:
    """Compile the coder for 1 or 3 ``models``.

    It is one function: a helper that takes arrays would count references inside the
    loop, four fifths of the time. Decisions are coded in three places: of zero segments, of zero (where
    most numbers end), all others. Bits that nobody can foretell choose by masks, not branches.
    """

    @_kernel
    def code_plane(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
        q: Plane,
        valid: npt.NDArray[np.uint8],
        masked: bool,
        n: int,
        m: int,
        kind: int,
        near: Plane,
        far: Plane,
        texture: Plane,
        signs: Plane,
        previous: Plane,
        inter: bool,
        weights: npt.NDArray[np.int64],
        slots: Plane,
        mix: Plane,
        machine: Machine,
        words: Words,
    ) -> None:
        low = machine[0]
        width = machine[1]
        at = machine[2]
        end = words.size
        base = np.zeros(m, np.int32)
        beside = np.zeros(m, np.int32)
        around = np.zeros(m, np.int32)
        w0 = small(weights[0])
        w1 = small(weights[1])
        w2 = small(weights[2])
        w3 = small(weights[3])
        w4 = signed(weights[4])
        w5 = signed(weights[5])
        w6 = small(weights[6])
        w7 = small(weights[7])
        cap = small(CAP)
        c1 = 0
        c2 = 0
        t0 = signed(0)
        t1 = signed(0)
        t2 = signed(0)
        s1 = small(0)
        s2 = small(0)
        p = signed(0)
        ws = kind * BINS * models
        mix0 = signed(mix[ws])
        mix1 = signed(mix[ws + 1]) if models > 1 else signed(0)
        mix2 = signed(mix[ws + 2]) if models > 1 else signed(0)
        for i in range(n):
            y = i + PAD
            g1 = near[y]
            g2 = far[y]
            tx = texture[y]
            here = q[y]
            north = q[y - 1]
            v = valid[y * masked]
            sg = signs[y]
            pq = previous[y * inter]
            for k in range(PAD):
                here[k] = 0
                here[PAD + m + k] = 0
            if i == 0:
                north[:] = 0
            for j in range(m):
                x = j + PAD
                base[j] = (
                    w0 * g1[x]
                    + w1 * g2[x]
                    + w2 * min(abs(north[x]), cap)
                    + w3 * min(abs(north[x - 1]) + abs(north[x + 1]), cap)
                    + ((w6 * tx[x]) >> 2)
                )
            if inter:
                for j in range(m):
                    base[j] += w7 * min(abs(pq[j + PAD]), cap)
            if models > 1:  # the contexts where k = 0; comparisons, which go on many points at a time
                for j in range(m):
                    x = j + PAD
                    n1 = small(min(abs(north[x]), cap))
                    n2 = small((min(abs(north[x - 1]), cap) + min(abs(north[x + 1]), cap) + 1) >> 1)
                    beside[j] = BESIDE + (_six(n1) * 6 + _six(n2)) * BINS
                if inter:
                    for j in range(m):
                        x = j + PAD
                        a2 = small(
                            2 * min(abs(pq[x]), cap) + min(abs(pq[x - 1]), cap) + min(abs(pq[x + 1]), cap)
                        )
                        around[j] = _twelve(a2)
                    for j in range(m):
                        a1 = small(2 * g1[j + PAD])
                        around[j] = AROUND + ((6 * 12 + _twelve(a1)) * 12 + around[j]) * BINS
                else:
                    for j in range(m):
                        x = j + PAD
                        a1 = small(2 * g1[x])
                        around[j] = AROUND + (_twelve(a1) * 12 + _twelve(g2[x])) * BINS
            west = signed(0)
            west2 = signed(0)
            sign_west = signed(1)
            j = -1
            after = 0
            while j < m - 1:
                j += 1
                x = j + PAD
                if (j & (SEGMENT - 1)) == 0 and j + SEGMENT <= m and west == 0 and west2 == 0:
                    calm = small(0)
                    some = small(0)
                    there = signed(SEGMENT)
                    for e in range(j, j + SEGMENT):
                        calm |= base[index(e)]
                    if calm < 4:
                        if masked:
                            there = signed(0)
                            for e in range(x, x + SEGMENT):
                                there += v[index(e)]
                        if not decoding:
                            for e in range(x, x + SEGMENT):
                                some |= here[index(e)]
                        bit = 0
                        if there:
                            c0 = CALM + kind * 12 + after * 4 + calm
                            s0 = slots[index(c0)]
                            p = min(max(signed(s0 >> 15), 6), 65530)
                            part = (width >> 16) * p
                            if decoding:
                                if low < part:
                                    bit = 1
                                    width = part
                                else:
                                    low -= part
                                    width -= part
                                if width < BOTTOM:
                                    low <<= 16
                                    if at < end:
                                        low |= signed(words[index(at)])
                                    at += 1
                                    width <<= 16
                            else:
                                bit = 1 if some != 0 else 0
                                if bit:
                                    width = part
                                else:
                                    low += part
                                    width -= part
                                if width < BOTTOM:
                                    if low > WINDOW:
                                        low &= WINDOW
                                        z = at - 1
                                        while words[z] == 65535:
                                            words[z] = 0
                                            z -= 1
                                        words[z] += 1
                                    words[index(at)] = low >> 32
                                    at += at < end - 4
                                    low = (low & LOW) << 16
                                    width <<= 16
                            g = s0 & 511
                            one = bit << 22
                            slots[index(c0)] = (
                                s0 + ((((one - (s0 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                            )
                            after = 1 + bit
                        if bit == 0:
                            for e in range(x, x + SEGMENT):
                                here[index(e)] = 0
                            sign_west = signed(1)
                            j += SEGMENT - 1
                            continue
                if masked and v[index(x)] == 0:
                    here[index(x)] = 0
                    west2 = west
                    west = signed(0)
                    sign_west = signed(1)
                    continue
                energy = base[index(j)] + w4 * min(west, CAP) + w5 * min(west2, CAP)
                if energy < 4096:
                    ec = signed(QUARTER[index(energy)])
                else:
                    e = energy
                    more = 0
                    while e >= 4096:
                        e >>= 1
                        more += 4
                    ec = min(signed(QUARTER[index(e)]) + more, ENERGIES - 1)
                k = max(0, (ec - CELLS) >> 2)
                c0 = ENERGY + (kind * ENERGIES + ec) * BINS
                if models > 1:
                    c1 = signed(beside[index(j)])
                    c2 = signed(around[index(j)])
                    if k == 0:
                        c1 += signed(SIX[index(min(west, 4095))]) * (36 * BINS)
                    else:
                        n1 = signed(abs(north[x])) >> k
                        n2 = (signed(abs(north[x - 1])) + abs(north[x + 1])) >> k
                        k5 = min(k, 5)
                        c1 = (
                            BESIDE
                            + (
                                (k5 * 6 + signed(SIX[min(west >> k, 4095)])) * 36
                                + signed(SIX[min(n1, 4095)]) * 6
                                + signed(SIX[min((n2 + 1) >> 1, 4095)])
                            )
                            * BINS
                        )
                        a1 = signed(g1[x]) >> k
                        if inter:
                            a2 = (2 * signed(abs(pq[x])) + abs(pq[x - 1]) + abs(pq[x + 1])) >> k
                            k5 += 6
                        else:
                            a2 = signed(g2[x]) >> k
                        c2 = (
                            AROUND
                            + (
                                (k5 * 12 + signed(TWELVE[min(a1 * 2, 4095)])) * 12
                                + signed(TWELVE[min(a2, 4095)])
                            )
                            * BINS
                        )
                half = (1 << k) >> 1
                h = signed(0)
                if not decoding:
                    h = signed(here[index(x)]) + half
                # The first decision, zero?, apart from the others: most end here.
                s0 = slots[index(c0)]
                if models == 1:
                    p = min(max(signed(s0 >> 15), 6), 65530)
                else:
                    t0 = signed(small(STRETCH[index(s0 >> 19)]) * TRUST[index(s0 & 511)]) >> 8
                    s1 = slots[index(c1)]
                    t1 = signed(small(STRETCH[index(s1 >> 19)]) * TRUST[index(s1 & 511)]) >> 8
                    s2 = slots[index(c2)]
                    t2 = signed(small(STRETCH[index(s2 >> 19)]) * TRUST[index(s2 & 511)]) >> 8
                    dot = mix0 * t0 + mix1 * t1 + mix2 * t2
                    p = signed(SQUASH[index(min(max(dot >> 17, -2048), 2047) + 2048)])
                part = (width >> 16) * p
                if decoding:
                    bit = signed(low < part)
                    low -= part & (bit - 1)
                    width += -part + ((2 * part - width) & -bit)
                    if width < BOTTOM:
                        low <<= 16
                        if at < end:
                            low |= signed(words[index(at)])
                        at += 1
                        width <<= 16
                else:
                    bit = signed((h >> k) != 0)
                    low += part & (bit - 1)
                    width += -part + ((2 * part - width) & -bit)
                    if width < BOTTOM:
                        if low > WINDOW:
                            low &= WINDOW
                            z = at - 1
                            while words[z] == 65535:
                                words[z] = 0
                                z -= 1
                            words[z] += 1
                        words[index(at)] = low >> 32
                        at += at < end - 4
                        low = (low & LOW) << 16
                        width <<= 16
                one = bit << 22
                g = s0 & 511
                slots[index(c0)] = s0 + ((((one - (s0 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                if models > 1:
                    miss = (((bit << 16) - p) * 5) >> 2
                    mix0 += (t0 * miss + 16384) >> 15
                    mix1 += (t1 * miss + 16384) >> 15
                    mix2 += (t2 * miss + 16384) >> 15
                    g = s1 & 511
                    slots[index(c1)] = s1 + ((((one - (s1 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                    g = s2 & 511
                    slots[index(c2)] = s2 + ((((one - (s2 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                if bit == 0 and k == 0:
                    here[index(x)] = 0
                    west2 = west
                    west = signed(0)
                    sign_west = signed(1)
                    continue
                a = signed(0)
                negative = 0
                r = signed(0)
                ah = signed(0)
                length = 0
                if not decoding:
                    r = h & ((1 << k) - 1)
                    h >>= k
                    ah = abs(h)
                    if ah > 8:
                        while ((ah - 8) >> length) > 1:
                            length += 1
                if bit:
                    a = signed(1)
                    b = 2
                    phase = 0
                    u = 0
                    while True:
                        s0 = slots[index(c0 + b)]
                        if models == 1:
                            p = min(max(signed(s0 >> 15), 6), 65530)
                        else:
                            ws = (kind * BINS + b) * models
                            t0 = signed(small(STRETCH[index(s0 >> 19)]) * TRUST[index(s0 & 511)]) >> 8
                            s1 = slots[index(c1 + b)]
                            t1 = signed(small(STRETCH[index(s1 >> 19)]) * TRUST[index(s1 & 511)]) >> 8
                            s2 = slots[index(c2 + b)]
                            t2 = signed(small(STRETCH[index(s2 >> 19)]) * TRUST[index(s2 & 511)]) >> 8
                            dot = mix[index(ws)] * t0 + mix[index(ws + 1)] * t1 + mix[index(ws + 2)] * t2
                            p = signed(SQUASH[index(min(max(dot >> 17, -2048), 2047) + 2048)])
                        part = (width >> 16) * p
                        if decoding:
                            bit = signed(low < part)
                            low -= part & (bit - 1)
                            width += -part + ((2 * part - width) & -bit)
                            if width < BOTTOM:
                                low <<= 16
                                if at < end:
                                    low |= signed(words[index(at)])
                                at += 1
                                width <<= 16
                        else:
                            if phase == 0:
                                bit = 1 if ah > a else 0
                            elif phase == 1:
                                bit = 1 if u < length else 0
                            else:
                                bit = 1 if h < 0 else 0
                            low += part & (bit - 1)
                            width += -part + ((2 * part - width) & -bit)
                            if width < BOTTOM:
                                if low > WINDOW:
                                    low &= WINDOW
                                    z = at - 1
                                    while words[z] == 65535:
                                        words[z] = 0
                                        z -= 1
                                    words[z] += 1
                                words[index(at)] = low >> 32
                                at += at < end - 4
                                low = (low & LOW) << 16
                                width <<= 16
                        one = bit << 22
                        g = s0 & 511
                        slots[index(c0 + b)] = (
                            s0 + ((((one - (s0 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                        )
                        if models > 1:
                            miss = (((bit << 16) - p) * 5) >> 2
                            mix[index(ws)] += (t0 * miss + 16384) >> 15
                            mix[index(ws + 1)] += (t1 * miss + 16384) >> 15
                            mix[index(ws + 2)] += (t2 * miss + 16384) >> 15
                            g = s1 & 511
                            slots[index(c1 + b)] = (
                                s1 + ((((one - (s1 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                            )
                            g = s2 & 511
                            slots[index(c2 + b)] = (
                                s2 + ((((one - (s2 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                            )
                        if phase == 0:
                            if bit:
                                a += 1
                                b = a + 1
                                if a == 9:
                                    phase = 1
                                continue
                        elif phase == 1:
                            if bit and u < 30:
                                u += 1
                                b = min(b + 1, 15)
                                continue
                            if u:  # the u bits below the leading one of a - 8
                                z = width >> u
                                width = z
                                if decoding:
                                    f = max(0, min(low // z, (1 << u) - 1))
                                    low -= f * z
                                    while width < BOTTOM:
                                        low <<= 16
                                        if at < end:
                                            low |= signed(words[index(at)])
                                        at += 1
                                        width <<= 16
                                else:
                                    f = (ah - 8) - (1 << u)
                                    low += f * z
                                    while width < BOTTOM:
                                        if low > WINDOW:
                                            low &= WINDOW
                                            z = at - 1
                                            while words[z] == 65535:
                                                words[z] = 0
                                                z -= 1
                                            words[z] += 1
                                        words[index(at)] = low >> 32
                                        at += at < end - 4
                                        low = (low & LOW) << 16
                                        width <<= 16
                                a = 8 + (1 << u) + f
                        else:
                            negative = bit
                            break
                        phase = 2
                        b = 1
                        e = signed(np.sign(north[index(x)])) + 1
                        f = signed(sg[index(x)])
                        c0 = SIGN - 1 + kind * 81 + f * 9 + sign_west * 3 + e
                        if models > 1:
                            c1 = SIGN2 - 1 + kind * 9 + sign_west * 3 + e
                            c2 = SIGN3 - 1 + kind * 9 + f
                if k:
                    z = width >> k
                    width = z
                    if decoding:
                        r = max(0, min(low // z, (1 << k) - 1))
                        low -= r * z
                        while width < BOTTOM:
                            low <<= 16
                            if at < end:
                                low |= signed(words[index(at)])
                            at += 1
                            width <<= 16
                    else:
                        low += r * z
                        while width < BOTTOM:
                            if low > WINDOW:
                                low &= WINDOW
                                z = at - 1
                                while words[z] == 65535:
                                    words[z] = 0
                                    z -= 1
                                words[z] += 1
                            words[index(at)] = low >> 32
                            at += at < end - 4
                            low = (low & LOW) << 16
                            width <<= 16
                if decoding:
                    f = ((-a if negative else a) << k) + r - half
                    here[index(x)] = max(-FURTHEST, min(FURTHEST, f))
                west2 = west
                f = signed(here[index(x)])
                west = abs(f)
                sign_west = signed(f > 0) - signed(f < 0) + 1
        if models > 1:
            ws = kind * BINS * models
            mix[ws] = mix0
            mix[ws + 1] = mix1
            mix[ws + 2] = mix2
        machine[0] = low
        machine[1] = width
        machine[2] = at

    return code_plane


#: ``(q, valid, masked, n, m, kind, near, far, texture, signs, previous, inter, weights, slots, mix, machine,
#: words)``: code the n x m numbers of ``q`` (int32, within FURTHEST; all planes are padded by `PAD`, and the
#: coder writes zeros into the rim of ``q``). ``near`` and ``far``: energies of numbers already known (0 ..
#: 24 CAP); ``texture``: any further hint (0 .. 4095); ``signs``: 0 .. 8, what signs were seen around;
#: ``previous``: numbers of the plane before, used if ``inter``; ``valid``: uint8, used if ``masked``: the
#: others become 0. ``weights``: 8 of 0 .. 255, in 1/64: near, far, N, NW + NE, W, WW, texture / 4, previous.
#: ``kind``: 0 .. CLASSES - 1. ``slots``, ``mix``: from `fresh`; ``machine``, ``words``: `writer`, `reader`.
encode_best = _plane_coder(3, False)
decode_best = _plane_coder(3, True)
encode_fast = _plane_coder(1, False)
decode_fast = _plane_coder(1, True)


@_kernel
def code_bit(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    bit: int, slot: int, decoding: bool, slots: Plane, machine: Machine, words: Words
) -> int:
    """Code one decision under a slot of its own; return it."""
    low = machine[0]
    width = machine[1]
    at = machine[2]
    s = signed(slots[slot])
    part = (width >> 16) * min(max(s >> 15, 6), 65530)
    if decoding:
        if low < part:
            bit = 1
            width = part
        else:
            bit = 0
            low -= part
            width -= part
        if width < BOTTOM:
            low <<= 16
            if at < words.size:
                low |= signed(words[index(at)])
            at += 1
            width <<= 16
    else:
        if bit:
            width = part
        else:
            low += part
            width -= part
        if width < BOTTOM:
            if low > WINDOW:
                low &= WINDOW
                z = at - 1
                while words[z] == 65535:
                    words[z] = 0
                    z -= 1
                words[z] += 1
            words[index(at)] = low >> 32
            at += at < words.size - 4
            low = (low & LOW) << 16
            width <<= 16
    g = s & 511
    slots[slot] = ((s >> 9) + ((((bit << 22) - (s >> 9)) * RATE[index(g)]) >> 16)) << 9 | (g + (g < LIMIT))
    machine[0] = low
    machine[1] = width
    machine[2] = at
    return bit


@_kernel
def code_number(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    value: int, slot: int, decoding: bool, slots: Plane, machine: Machine, words: Words
) -> int:
    """Code a whole number of up to 30 bits and a sign: its length, its bits from the second on, its sign.

    It uses 64 slots from ``slot`` on: 32 for the length, 31 for the two highest
    bits below the leading one, 1 for the sign; lower bits share the last of them.
    """
    size = abs(value) + 1
    length = 0
    while not decoding and (size >> length) > 1:
        length += 1
    k = 0
    while k < 30 and code_bit(signed(k < length), slot + k, decoding, slots, machine, words):
        k += 1
    number = 1
    for i in range(k - 1, -1, -1):
        below = slot + 32 + (min(k, 14) * 2 + (number & 1) if i == k - 1 else 30)
        number = number << 1 | code_bit((size >> i) & 1, below, decoding, slots, machine, words)
    number -= 1
    if number and code_bit(signed(value < 0), slot + 63, decoding, slots, machine, words):
        return -number
    return number


def writer(points: int) -> tuple[Machine, Words]:
    """Return the state of an empty range coder and room for some ``points`` numbers."""
    return np.array([0, WINDOW, 1, 0], np.int64), np.zeros(2 * points + 4096, np.uint16)


def reader(data: bytes | memoryview) -> tuple[Machine, Words]:
    """Return the state in which decoding ``data`` starts, and its words.

    Behind the end of ``data`` the coder reads zeros; `exhausted` tells.
    """
    raw = bytes(data)
    words = np.frombuffer(raw + b"\0" * (-len(raw) % 2), "<u2").astype(np.uint16)
    first = int.from_bytes(raw[:6].ljust(6, b"\0"), "little")
    first = (first & 0xFFFF) << 32 | (first & 0xFFFF0000) | first >> 32
    return np.array([first, WINDOW, 3, 0], np.int64), words


def overflown(machine: Machine, words: Words) -> bool:
    """Whether the room of `writer` was too small: what was coded is void, try with more."""
    return bool(machine[2] >= words.size - 4)


def finish(machine: Machine, words: Words) -> bytes:
    """Return what the coder has written, less up to six zeros at its end: `reader` supplies them."""
    low, width, at = (int(part) for part in machine[:3])
    for zeros in range(48, -1, -1):  # the number in [low, low + width) with the most zeros at its end
        last = (low + (1 << zeros) - 1) >> zeros << zeros
        if last < low + width:
            break
    units = [*words[1:at].tolist(), 0, 0, 0]
    if last > WINDOW:
        k = at - 2
        while units[k] == 65535:
            units[k] = 0
            k -= 1
        units[k] += 1
    units[-3:] = [last >> 32 & 65535, last >> 16 & 65535, last & 65535]
    data = np.array(units, "<u2").tobytes()
    return data[:-6] + data[-6:].rstrip(b"\0")


def check(machine: Machine, words: Words) -> None:
    """Raise unless the numbers decoded so far lie within the words there were.

    Raises
    ------
    TruncatedError
        If the decoder had to read far beyond the end.
    """
    if machine[2] > words.size + 3:
        msg = f"the coded numbers end after {2 * words.size} bytes, which is too early"
        raise TruncatedError(msg)


def fresh(models: int = 3) -> tuple[Plane, Plane]:
    """Return slots and mixing weights as they are before the first decision.

    A slot holds a probability that the bit is 1, in 22 bits, above how many
    decisions made it, in 9.
    """
    slots = np.full(SLOTS[models], (1 << 21) << 9, np.int32)
    prior = np.empty(ENERGIES, np.int32)
    for ec in range(ENERGIES):  # a geometric distribution whose mean is the energy
        energy = max(1, (1 << (ec - 1) // 4) * 5 // 4) if ec else 1
        energy >>= max(0, (ec - CELLS) >> 2)
        prior[ec] = max(64, min(4032, (energy << 12) // (energy + 64))) << 19 | 1
    first = slots[:SIGN].reshape(CLASSES, ENERGIES, BINS)
    first[:, :, 0] = prior
    first[:, :, 2:10] = prior[:, None]
    calm = np.array([(1 << 22) // k << 9 | 2 for k in (64, 16, 8, 4)], np.int32)
    slots[CALM:SIDE].reshape(-1, 4)[:] = calm
    mix = np.full(CLASSES * BINS * models, 19661 if models > 1 else 65536, np.int32)
    return slots, mix
