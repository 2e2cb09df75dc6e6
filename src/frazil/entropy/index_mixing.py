"""Codeword indices, decided bit by bit from the highest, with mixed adaptive contexts.

Where codewords are numbered so that near numbers are near words, the bits of an
index walk down a tree of ever smaller clusters of codewords. Each decision is
foretold by several contexts: indices around, how far this one has agreed with
them, earlier heads at the same place. Their log odds are mixed by weights that
learn (M. Mahoney, "Adaptive weighing of context models for lossless data
compression", 2005), and go to the range coder of `frazil.entropy.coder`. Some
contexts begin with what training has left them, the others learn each stream afresh.

All of it is whole numbers. ``docs/format/indices.md`` has it in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy.coder import BOTTOM, LOW, WINDOW
from frazil.entropy.tables import LIMIT, RATE, SQUASH, STRETCH, TRUST

if TYPE_CHECKING:
    import numpy.typing as npt

    Indices = npt.NDArray[np.int32]
    Slots = npt.NDArray[np.int32]
    Longs = npt.NDArray[np.int64]
    Words = npt.NDArray[np.uint16]

FEW, MANY = 9, 13  # contexts of a decision: one head, several
TRAINED = {FEW: 5, MANY: 9}  # the first of them; the others are of this stream alone
CELLS = 33  # of the map that refines the mixed probability
NODE = 0x9E3779B1  # multipliers of hashes: 2**32 / golden ratio; those of xxHash and murmur3
SPREAD = 0x85EBCA6B
AGAIN = 0xC2B2AE35
MASK = 0xFFFFFFFF

signed: Any = np.int64
index: Any = np.uintp
_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel
def _mixed(value: Any) -> Any:
    """Return 32 bits that depend on all bits of ``value``, 0 .. 2**63 - 1."""
    h = ((value ^ (value >> 31)) * SPREAD) & MASK
    h ^= h >> 15
    h = (h * AGAIN) & MASK
    return h ^ (h >> 13)


def _coder(contexts: int, decoding: bool) -> Any:
    """Compile the coder for `FEW` or `MANY` contexts."""
    trained = TRAINED[contexts]

    @_kernel
    def code_indices(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
        indices: Indices,
        size: int,
        bits: int,
        features: Longs,
        slots: Slots,
        own: Slots,
        weights: Slots,
        cells: Slots,
        machine: Longs,
        words: Words,
    ) -> None:
        low = machine[0]
        width = machine[1]
        at = machine[2]
        end = words.size
        count, heads, n, m = indices.shape
        one = signed(1) << bits
        last = one + size
        shift = 32
        while 1 << (32 - shift) < slots.shape[1]:
            shift -= 1
        shift_own = 32
        while 1 << (32 - shift_own) < own.shape[1]:
            shift_own -= 1
        s5 = max(bits - 5, 0)
        s4 = max(bits - 4, 0)
        s2 = max(bits - 2, 0)
        base = np.zeros(contexts, np.int64)
        where = np.zeros(contexts, np.int64)
        odds = np.zeros(contexts, np.int64)
        p = signed(0)
        symbol = signed(0)
        coded = signed(0)
        for t in range(count):
            for i in range(n):
                if decoding and at > end + 3:
                    break
                for j in range(m):
                    pace = 4 + 2048 // (coded + 200)  # weights learn fast at first
                    coded += 1
                    for h in range(heads):
                        here = indices[index(t), index(h)]
                        west = one
                        if j > 0:
                            west = one + here[index(i), index(j - 1)]
                        elif i > 0:
                            west = one + here[index(i - 1), index(j)]
                        north = west
                        if i > 0:
                            north = one + here[index(i - 1), index(j)]
                        north_west = north
                        if i > 0 and j > 0:
                            north_west = one + here[index(i - 1), index(j - 1)]
                        north_east = north
                        if i > 0 and j < m - 1:
                            north_east = one + here[index(i - 1), index(j + 1)]
                        if not decoding:
                            symbol = one + here[index(i), index(j)]
                        f = features[index(h)]
                        g = 3 * (f[index(west - one)] + f[index(north - one)])
                        g += f[index(north_west - one)] + f[index(north_east - one)]
                        pair = (g >> 6 & 15) << 4 | (g >> 22 & 15)
                        before = north_east >> s5
                        corner = north_west
                        if t > 0:
                            before = one + indices[index(t - 1), index(h), index(i), index(j)]
                            corner = before
                        root = _mixed(signed(t > 0) << 8 | 1)
                        base[2] = _mixed((west >> s5) << 8 | 2)
                        base[3] = _mixed((north >> s5) << 8 | 3)
                        base[4] = _mixed(pair << 8 | 4)
                        base[contexts - 1] = _mixed(before << 8 | 12)
                        if contexts == FEW:
                            base[6] = _mixed(west << 8 | 6)
                            base[7] = _mixed(north << 8 | 7)
                        else:
                            six = (west >> s2) << 32 | (north >> s2) << 16 | north_east >> s2
                            seven = (g >> 38 & 15) << 4 | (g >> 54 & 15)
                            if h == 0:
                                five = (north >> s4) << 16 | north_east >> s4
                                eight = (west >> s4) << 16 | north >> s4
                                ten = west
                                eleven = north
                            else:
                                a = one + indices[index(t), index(h - 1), index(i), index(j)]
                                five = a
                                eight = (a >> s4) << 32 | (west >> s4) << 16 | north >> s4
                                ten = a
                                eleven = west
                                if h > 1:
                                    b = one + indices[index(t), index(h - 2), index(i), index(j)]
                                    f = features[index(h - 1)]
                                    g = features[index(h - 2), index(b - one)]
                                    six = b
                                    eight = (f[index(a - one)] & 0x780078) << 32 | (g & 0x780078)
                                    eleven = b
                                if h > 2:
                                    seven = one + indices[index(t), index(h - 3), index(i), index(j)]
                            base[5] = _mixed(five << 8 | 5)
                            base[6] = _mixed(six << 8 | 6)
                            base[7] = _mixed(seven << 8 | 7)
                            base[8] = _mixed(eight << 8 | 8)
                            base[10] = _mixed(ten << 8 | 10)
                            base[11] = _mixed(eleven << 8 | 11)
                        node = signed(1)
                        table = slots[index(h)]
                        fresh = own[index(h)]
                        for d in range(bits):
                            down = bits - d - 1
                            if ((node << 1 | 1) << down) >= last:
                                node <<= 1  # codewords of the other half do not exist
                                continue
                            x = west >> down
                            agree = (1 + (x & 1)) * signed((x >> 1) == node)
                            x = north >> down
                            agree = agree * 3 + (1 + (x & 1)) * signed((x >> 1) == node)
                            pattern = agree
                            x = corner >> down
                            pattern = pattern * 3 + (1 + (x & 1)) * signed((x >> 1) == node)
                            x = north_east >> down
                            pattern = pattern * 3 + (1 + (x & 1)) * signed((x >> 1) == node)
                            key = node * NODE
                            line = weights[index(h * bits + d)]
                            dot = signed(0)
                            base[1] = root + (d * 81 + pattern) * NODE - key
                            for k in range(trained):
                                z = ((base[index(k)] + key) & MASK) >> shift
                                where[index(k)] = z
                                s = table[index(z)]
                                v = (signed(STRETCH[index(s >> 19)]) * signed(TRUST[index(s & 511)])) >> 8
                                odds[index(k)] = v
                                dot += v * line[index(k)]
                            for k in range(trained, contexts):
                                z = ((base[index(k)] + key) & MASK) >> shift_own
                                where[index(k)] = z
                                s = fresh[index(z)]
                                v = (signed(STRETCH[index(s >> 19)]) * signed(TRUST[index(s & 511)])) >> 8
                                odds[index(k)] = v
                                dot += v * line[index(k)]
                            dot = min(max(dot >> 17, -2048), 2047) + 2048
                            p = signed(SQUASH[index(dot)])
                            cell = ((h * bits + d) * 9 + agree) * CELLS + (dot >> 7)
                            share = dot & 127
                            c0 = signed(cells[index(cell)])
                            c1 = signed(cells[index(cell + 1)])
                            q = (p + ((c0 * (128 - share) + c1 * share) >> 7)) >> 1
                            q = min(max(q, 6), 65530)
                            part = (width >> 16) * q
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
                                bit = (symbol >> down) & 1
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
                            node = node << 1 | bit
                            miss = (((bit << 16) - p) * pace) >> 2
                            full = bit * 65535
                            cells[index(cell)] = c0 + (((full - c0) * (128 - share)) >> 13)
                            cells[index(cell + 1)] = c1 + (((full - c1) * share) >> 13)
                            top = bit << 22
                            for k in range(contexts):
                                line[index(k)] += (odds[index(k)] * miss + 16384) >> 15
                            for k in range(trained):
                                z = where[index(k)]
                                s = table[index(z)]
                                r = s & 511
                                table[index(z)] = (
                                    s + ((((top - (s >> 9)) * RATE[index(r)]) >> 16) << 9) + (r < LIMIT)
                                )
                            for k in range(trained, contexts):
                                z = where[index(k)]
                                s = fresh[index(z)]
                                r = s & 511
                                fresh[index(z)] = (
                                    s + ((((top - (s >> 9)) * RATE[index(r)]) >> 16) << 9) + (r < LIMIT)
                                )
                        if decoding:
                            here[index(i), index(j)] = node - one
        machine[0] = low
        machine[1] = width
        machine[2] = at

    return code_indices


#: ``(indices, size, bits, features, slots, own, weights, cells, machine, words)``: code ``indices``, int32
#: (n, heads, y, x), contiguous, below ``size``, each in ``bits`` decisions or less; one head, or not one.
#: Tables are from `frazil.entropy.index_states`; all but the first change: ``features`` (heads, size), four
#: of 0 .. 127 in 16 bits each; ``slots``, ``own`` (heads, a power of two); ``weights`` (heads * bits,
#: contexts); ``cells`` (heads * bits * 9 * CELLS,). ``machine``, ``words``: `coder.writer`, `coder.reader`.
encode_one = _coder(FEW, False)
decode_one = _coder(FEW, True)
encode_many = _coder(MANY, False)
decode_many = _coder(MANY, True)


def _table_coder(decoding: bool) -> Any:
    @_kernel
    def code_table(indices: Indices, cumulative: Longs, machine: Longs, words: Words) -> None:
        low = machine[0]
        width = machine[1]
        at = machine[2]
        end = words.size
        count, heads, n, m = indices.shape
        size = cumulative.shape[1] - 1
        symbol = signed(0)
        for t in range(count):
            for h in range(heads):
                total = cumulative[index(h), index(size)]
                for i in range(n):
                    if decoding and at > end + 3:
                        break
                    for j in range(m):
                        z = width // total
                        if decoding:
                            f = min(low // z, total - 1)
                            symbol = signed(0)
                            beyond = signed(size)
                            while beyond - symbol > 1:
                                middle = (symbol + beyond) >> 1
                                if cumulative[index(h), index(middle)] <= f:
                                    symbol = middle
                                else:
                                    beyond = middle
                            indices[index(t), index(h), index(i), index(j)] = symbol
                        else:
                            symbol = signed(indices[index(t), index(h), index(i), index(j)])
                        first = cumulative[index(h), index(symbol)]
                        width = z * (cumulative[index(h), index(symbol + 1)] - first)
                        if decoding:
                            low -= z * first
                            while width < BOTTOM:
                                low <<= 16
                                if at < end:
                                    low |= signed(words[index(at)])
                                at += 1
                                width <<= 16
                        else:
                            low += z * first
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
        machine[0] = low
        machine[1] = width
        machine[2] = at

    return code_table


#: ``(indices, cumulative, machine, words)``: code maps as independent draws of each head's frequencies.
encode_table = _table_coder(False)
decode_table = _table_coder(True)
