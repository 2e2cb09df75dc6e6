"""Quantised latents, coded channel by channel with trained means and energies.

What is known foretells each latent twice. A weighted sum of values - its neighbours coded before it, all
of the channels coded before it - is its MEAN, and the difference to it is coded. A weighted sum of the
magnitudes of such differences is its ENERGY, how large that one may be (autoregressive priors, linear and in
whole numbers: D. Minnen et al. 2018, arXiv:1809.02736). The energy chooses the width 2^k of the cells in
which the difference is counted (R. F. Rice, 1979) and, with the fraction of the mean, the contexts of each
binary decision: zero?, more than 1 .. 8?, the length of the rest (P. Elias, 1975), the sign. Three contexts
are mixed as in the `frazil.entropy.coder` of planes, whose range coder and tables these are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.coder import BOTTOM, LOW, WINDOW, code_bit
from frazil.entropy.latent_planes import (
    PAD,
    RINGS,
    add_kin,
    add_taps,
    energy_class,
    repeat_edges,
    total,
    write_rings,
)
from frazil.entropy.tables import ENERGIES, LIMIT, RATE, SQUASH, STRETCH, TRUST

if TYPE_CHECKING:
    import numpy.typing as npt

    Longs = npt.NDArray[np.int64]
    Ints = npt.NDArray[np.int32]
    Words = npt.NDArray[np.uint16]

FURTHEST = 1 << 20  # the largest magnitude of a latent
CAP = 1 << 18  # differences count no more than this as context
BINS = 16  # decisions about one number: 0 zero, 1 sign, 2 .. 9 unary, 10 .. 15 length
CELLS = 33  # energies below this class, in 1/256, are counted in cells of 1
FRACTIONS = 8
CAUSAL = 6  # W, N, NW, NE, WW, NN
PARTS = 24  # classes of each part of the energy
SETS = 16  # of mixing weights
LEADING = 24  # channels whose means are corrected as their plane goes on
COMPANIONS = 5  # the channels they are corrected by: 1, 2, 3 lower, and the first two
PATIENCE = 1 << 18  # 64 points' worth of doubt about a correction

# Where the slots of each context start; those of channels come last.
BOTH = ENERGIES * FRACTIONS * BINS
CALM = BOTH + PARTS * PARTS * BINS
CHANNEL = CALM + 64
MIX = SETS * BINS * 3

#: Bits of a decision of probability (i + 1/2) / 8192; only `choose_latents` asks, no decoder.
COST = -np.log2((np.arange(8192) + 0.5) / 8192)

signed: Any = np.int64  # a mix of signed and unsigned would be a float to numba
index: Any = np.uintp  # an index that cannot be negative: numba would test each signed one
_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


def _latent_coder(decoding: bool, choosing: bool = False) -> Any:
    """Compile the coder; it is one function so that encoder and decoder cannot part."""

    @_kernel
    def code_latents(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
        latents: npt.NDArray[np.int32],
        step: int,
        own: Ints,
        shifts: Ints,
        offsets: Ints,
        tap_starts: Ints,
        taps: Ints,
        tap_weights: Ints,
        floors: Ints,
        near: Ints,
        kin_starts: Ints,
        kins: Ints,
        kin_weights: Ints,
        slots: Ints,
        mix: Ints,
        machine: Longs,
        words: Words,
        exact: npt.NDArray[np.float32],
        worth: npt.NDArray[np.float64],
    ) -> None:
        samples, channels, h, w = latents.shape
        turns = min(own.shape[0], samples)  # only a second kind of samples looks at the one before
        values = np.zeros((turns, channels, h + 2 * PAD, w + 2 * PAD), np.int32)
        rings = np.zeros((turns, channels, RINGS, h, w), np.int32)
        sizes = np.zeros((h + 2 * PAD, w + 2 * PAD), np.int32)
        mean = np.zeros((h, w), np.int64)
        kindred = np.zeros((h, w), np.int64)
        last = np.zeros((h, w), np.int64)
        normal = np.zeros((min(LEADING, channels), h, w), np.int64)  # differences over energies, in 1/64
        along = np.zeros((LEADING, COMPANIONS), np.int64)
        across = np.full((LEADING, COMPANIONS), PATIENCE, np.int64)
        slope = np.zeros(COMPANIONS, np.int64)
        companion = np.zeros(COMPANIONS, np.int64)
        end = words.size
        for sample in range(samples):
            now = sample % turns
            kind = min(sample, own.shape[0] - 1)
            last[:] = 0
            for c in range(channels):
                # what lower channels and the sample before say, for the whole plane
                shift = signed(shifts[kind, c])
                mean[:] = (signed(offsets[kind, c]) << shift) // (64 * step)
                t = kind * channels + c
                add_taps(values, now, taps, tap_weights, tap_starts[t], tap_starts[t + 1], mean)
                kindred[:] = 0
                add_kin(rings, now, kins, kin_weights, kin_starts[t], kin_starts[t + 1], kindred)
                floor = signed(floors[kind, c, 0]) // step + floors[kind, c, 1]
                furthest = signed(FURTHEST) << shift
                middle = (signed(1) << shift) >> 1
                m0, m1, m2 = signed(own[kind, c, 0]), signed(own[kind, c, 1]), signed(own[kind, c, 2])
                m3, m4, m5 = signed(own[kind, c, 3]), signed(own[kind, c, 4]), signed(own[kind, c, 5])
                n0, n1, n2 = signed(near[kind, c, 0]), signed(near[kind, c, 1]), signed(near[kind, c, 2])
                n3, n4 = signed(near[kind, c, 3]), signed(near[kind, c, 4])
                plane = values[now, c]
                plane[:] = 0
                some = signed(0)
                if not decoding:
                    for i in range(h):
                        row = latents[sample, c, i]
                        for j in range(w):
                            some |= row[j]
                e = CALM + (energy_class(total(kindred, floor) >> 8) >> 1)
                if code_bit(signed(some != 0), e, decoding, slots, machine, words) == 0:
                    rings[now, c] = 0
                    last[:] = 0
                    if c < LEADING:
                        normal[c] = 0
                    continue
                companions = 0
                if c < LEADING:
                    companions = min(c, COMPANIONS)
                    for e in range(companions):
                        companion[e] = c - 1 - e if e < 3 else companions - 1 - e
                low = machine[0]
                width = machine[1]
                at = machine[2]
                sizes[:] = 0
                for i in range(h):
                    y = i + PAD
                    here, north, north2 = plane[y], plane[y - 1], plane[y - 2]
                    size, above, above2 = sizes[y], sizes[y - 1], sizes[y - 2]
                    row, out, given = mean[i], kindred[i], latents[sample, c, i]
                    if i > 0:  # a neighbour beyond an edge is the nearest one known
                        for e in range(PAD):
                            here[e] = north[PAD]
                            size[e] = above[PAD]
                    for j in range(w):
                        x = j + PAD
                        if i == 0:
                            for e in range(x - 1, x + 2):
                                north[e] = here[x - 1]
                                above[e] = size[x - 1]
                            north2[x] = here[x - 1]
                            above2[x] = size[x - 1]
                        m = (
                            row[j]
                            + m0 * here[x - 1]
                            + m1 * north[x]
                            + m2 * north[x - 1]
                            + m3 * north[x + 1]
                            + m4 * here[x - 2]
                            + m5 * north2[x]
                        )
                        alone = (
                            floor
                            + n0 * size[x - 1]
                            + n1 * above[x]
                            + n2 * (above[x - 1] + above[x + 1])
                            + n3 * size[x - 2]
                            + n4 * above2[x]
                        )
                        m = min(max(m, -furthest), furthest)
                        energy = (alone + out[j]) >> 6
                        plain = m
                        turn = signed(0)
                        if companions:
                            for e in range(companions):
                                slope[e] = (along[c, e] << 12) // across[c, e]
                                turn += slope[e] * normal[companion[e], i, j]
                            turn = min(max(turn >> 12, -64), 64)
                            m += ((turn * (min(energy, 1 << 28) + 77)) << shift) >> 14
                        whole = (m + middle) >> shift
                        fraction = ((m - (whole << shift)) << 6) >> shift  # -32 .. 31
                        ec = energy_class(energy)
                        eo = energy_class(alone >> 6)
                        ek = energy_class(out[j] >> 6)
                        k = max(0, (ec - CELLS) >> 2)
                        half = (1 << k) >> 1
                        f = min(3, abs(fraction) >> 3) if k == 0 else 4 + min(k, 3)
                        c0 = (ec * FRACTIONS + f) * BINS
                        c1 = BOTH + (min(PARTS - 1, eo >> 1) * PARTS + min(PARTS - 1, ek >> 1)) * BINS
                        c2 = CHANNEL + (c * FRACTIONS + f) * BINS
                        if choosing:  # 0 or one of the two next to the exact one, by error and bits
                            best = np.inf
                            z = signed(0)
                            for e in range(3):
                                v = signed(np.floor(exact[sample, c, i, j])) + e if e < 2 else signed(0)
                                v = min(max(v, -FURTHEST), FURTHEST)
                                h0 = (v - whole + half) >> k
                                a = abs(h0)
                                p = slots[index(c0)] >> 18
                                bits = COST[p if a else 8191 - p] + k
                                for b in range(2, min(a, 8) + 2 if a else 2):
                                    p = slots[index(c0 + b)] >> 18
                                    bits += COST[p if b <= a else 8191 - p]
                                if a > 8:
                                    bits += 2 * np.log2(a - 8) + 1
                                if a:
                                    f = (fraction + 32) >> 3
                                    p = slots[index((ec * FRACTIONS + f) * BINS + 1)] >> 18
                                    bits += COST[p if h0 < 0 else 8191 - p]
                                price = (exact[sample, c, i, j] - v) ** 2 + worth[c] * bits
                                if price < best:
                                    best = price
                                    z = v
                            given[j] = z
                        r = signed(0)
                        v = signed(0)
                        a = signed(0)
                        ah = signed(0)
                        length = 0
                        if not decoding:
                            v = signed(given[j]) - whole + half
                            r = v & ((1 << k) - 1)
                            v >>= k
                            ah = abs(v)
                            if ah > 8:
                                while ((ah - 8) >> length) > 1:
                                    length += 1
                        b = 0
                        phase = 0
                        u = 0
                        negative = 0
                        ws = min(SETS - 1, ec >> 2) * BINS * 3
                        while True:
                            s0 = slots[index(c0 + b)]
                            s1 = slots[index(c1 + b)]
                            s2 = slots[index(c2 + b)]
                            t0 = (signed(STRETCH[index(s0 >> 19)]) * TRUST[index(s0 & 511)]) >> 8
                            t1 = (signed(STRETCH[index(s1 >> 19)]) * TRUST[index(s1 & 511)]) >> 8
                            t2 = (signed(STRETCH[index(s2 >> 19)]) * TRUST[index(s2 & 511)]) >> 8
                            z = ws + b * 3
                            dot = mix[index(z)] * t0 + mix[index(z + 1)] * t1 + mix[index(z + 2)] * t2
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
                                if b == 0:
                                    bit = signed(ah > 0)
                                elif b == 1:
                                    bit = signed(v < 0)
                                elif phase == 0:
                                    bit = signed(ah > a)
                                else:
                                    bit = signed(u < length)
                                low += part & (bit - 1)
                                width += -part + ((2 * part - width) & -bit)
                                if width < BOTTOM:
                                    if low > WINDOW:
                                        low &= WINDOW
                                        e = at - 1
                                        while words[e] == 65535:
                                            words[e] = 0
                                            e -= 1
                                        words[e] += 1
                                    words[index(at)] = low >> 32
                                    at += at < end - 4
                                    low = (low & LOW) << 16
                                    width <<= 16
                            one = bit << 22
                            miss = (bit << 16) - p
                            mix[index(z)] += (t0 * miss + 32768) >> 16
                            mix[index(z + 1)] += (t1 * miss + 32768) >> 16
                            mix[index(z + 2)] += (t2 * miss + 32768) >> 16
                            g = s0 & 511
                            slots[index(c0 + b)] = (
                                s0 + ((((one - (s0 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                            )
                            g = s1 & 511
                            slots[index(c1 + b)] = (
                                s1 + ((((one - (s1 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                            )
                            g = s2 & 511
                            slots[index(c2 + b)] = (
                                s2 + ((((one - (s2 >> 9)) * RATE[index(g)]) >> 16) << 9) + (g < LIMIT)
                            )
                            if b == 1:
                                negative = bit
                                break
                            if b == 0:
                                if bit == 0:
                                    break
                                a = signed(1)
                                b = 2
                                continue
                            if phase == 0:
                                if bit:
                                    a += 1
                                    b += 1
                                    if a == 9:
                                        phase = 1
                                    continue
                            elif bit and u < 30:
                                u += 1
                                b = min(b + 1, BINS - 1)
                                continue
                            elif u:  # the u bits below the leading one of a - 8
                                z = width >> u
                                width = z
                                if decoding:
                                    e = max(0, min(low // z, (1 << u) - 1))
                                    low -= e * z
                                    while width < BOTTOM:
                                        low <<= 16
                                        if at < end:
                                            low |= signed(words[index(at)])
                                        at += 1
                                        width <<= 16
                                else:
                                    e = (ah - 8) - (1 << u)
                                    low += e * z
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
                                a = 8 + (1 << u) + e
                            b = 1
                            f = (fraction + 32) >> 3
                            c0 = (ec * FRACTIONS + f) * BINS
                            c1 = BOTH + (min(a, 8) * 16 + ((fraction + 32) >> 2)) * BINS
                            c2 = CHANNEL + (c * FRACTIONS + last[i, j] + 1) * BINS
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
                            v = ((-a if negative else a) << k) + r - half
                            given[j] = min(max(v + whole, -FURTHEST), FURTHEST)
                        v = signed(given[j])
                        here[x] = v
                        size[x] = min(abs(v - whole), CAP)
                        last[i, j] = signed(v > whole) - signed(v < whole)
                        if c < LEADING:
                            e = ((((v << shift) - plain) << 6) >> shift) * 256 // (min(energy, 1 << 28) + 77)
                            e = min(max(e, -256), 256)
                            normal[c, i, j] = e
                            e -= turn
                            for z in range(companions):
                                x0 = normal[companion[z], i, j]
                                along[c, z] += x0 * (e + ((slope[z] * x0) >> 12))
                                across[c, z] += x0 * x0
                    for e in range(PAD):
                        here[PAD + w + e] = here[PAD + w - 1]
                        size[PAD + w + e] = size[PAD + w - 1]
                        here[e] = here[PAD]
                        size[e] = size[PAD]
                    if i == 0:
                        north[:] = here
                        above[:] = size
                machine[0] = low
                machine[1] = width
                machine[2] = at
                repeat_edges(plane)
                repeat_edges(sizes)
                write_rings(sizes, rings[now, c])
                if decoding and at > end + 3:
                    return

    return code_latents


encode_latents = _latent_coder(False)
decode_latents = _latent_coder(True)
choose_latents = _latent_coder(False, True)  # also writes the latents, near ``exact``
