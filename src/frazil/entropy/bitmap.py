"""Bitmaps, context-coded: tiles first, then the pixels of the mixed ones (docs/format/masks.md).

A bitmap of shape (y, x) is held packed: (y, ceil(x / 8)) bytes, eight pixels a
byte, the leftmost in the high bit. Bits beyond x repeat the last pixel. A tile
is eight bytes above one another, eight by eight pixels. Each row of tiles is
coded in two sweeps: every tile is mixed, all 0 or all 1; then, line by line,
the pixels of its mixed tiles, each under the ten nearest coded pixels, the
template of JBIG (ITU-T T.82, three lines). Where these are equal for eight pixels in a
row, one decision says whether all eight continue them. From the second bitmap
on, the one before lends the pixels around the same place as further context.

Decisions go through a binary range coder (G. N. N. Martin, 1979) with adaptive
probabilities. It computes in integers alone: the bits are the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Model = npt.NDArray[np.int32]

# Probabilities that a bit is 1 have 22 bits in the model and 16 in the coder.
# The n-th decision under a context moves them by about 1 / (n + 1.6) of what is missing.
ONE = 1 << 22
FLOOR = 32  # of 65536: no decision costs more than eleven bits
LIMIT = 255
RATE = np.array([65536 * 5 // (5 * n + 8) for n in range(LIMIT + 1)], np.int64)
# The range is kept above 2**32 in a window of 48 bits, sixteen of which leave at a time.
WINDOW = 1 << 48
BOTTOM = 1 << 32

# Where the contexts of each decision start. Labels of tiles are 0, 1 or 2 (mixed).
#   area   eight tiles as their neighbours are: their label, 2
#   mixed  labels of the tiles W, N, NW, NE: 81                 value  the same
#   run    eight pixels as the ten around them are: line in the tile 8, their value 2
#   break  the run ends here: place in the run 8, the value it had 2
#   pixel  the ten nearest: 1024
AREA, MIXED, VALUE, RUN, BREAK, PIXEL, FIRST = 0, 2, 83, 164, 180, 196, 1220
# The same with the bitmap before at hand: area, times 2 (it agrees); mixed and value, times 3
# (label of its tile); run, times 3 (0, 1 or neither around the run); pixel: the six nearest,
# times 16 (its pixels E, here, W and S).
AREA2, MIXED2, VALUE2, RUN2, PIXEL2, CONTEXTS = 1220, 1224, 1467, 1710, 1758, 2782

signed: Any = np.int64  # a mix of signed and unsigned would be a float to numba
_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
_inline = numba.njit(inline="always", error_model="numpy")


@_inline
def _code(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    bit: int,
    decoding: bool,
    state: int,
    width: int,
    at: int,
    stream: Bytes,
    probability: Model,
    seen: Bytes,
    context: int,
) -> tuple[int, int, int, int]:
    """Code one decision: write ``bit``, or read and return it; without branches on it, which cost a third."""
    p = probability[context]
    n = seen[context]
    bound = (width >> 16) * ((p >> 6) | FLOOR)
    if decoding:
        bit = signed(state < bound)
        state -= bound * (1 - bit)
    else:
        state += bound * (1 - bit)
    width = bound * bit + (width - bound) * (1 - bit)
    probability[context] = p + (((ONE * bit - p) * RATE[n]) >> 16)
    seen[context] = n + (n < LIMIT)
    if width < BOTTOM:
        width <<= 16
        if decoding:
            state <<= 16
            if at + 1 < stream.size:
                state |= (signed(stream[at]) << 8) | signed(stream[at + 1])
            elif at < stream.size:
                state |= signed(stream[at]) << 8
        else:
            if state >= WINDOW:  # carry into what has left already
                state -= WINDOW
                k = at - 1
                while stream[k] == 255:
                    stream[k] = 0
                    k -= 1
                stream[k] += 1
            stream[at] = state >> 40
            stream[at + 1] = (state >> 32) & 255
            state = (state & (BOTTOM - 1)) << 16
        at += 2
    return bit, state, width, at


@_kernel
def _bitmap(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    bitmap: Bytes,
    x: int,
    previous: Bytes,
    decoding: bool,
    state: int,
    width: int,
    at: int,
    stream: Bytes,
    probability: Model,
    seen: Bytes,
) -> tuple[int, int, int]:
    """Code one bitmap, after ``previous`` (without rows if it is the first).

    Returns the coder's state (encoding: the low end of the range; decoding:
    what was read, less the low end), the range's width, and the place in
    ``stream``. One function for both directions: they cannot part.
    """
    y, tiles = bitmap.shape
    second = previous.size > 0
    above = np.zeros(tiles + 2, np.int64)  # labels of the tiles of the row above, with margins
    label = np.zeros(tiles + 2, np.int64)
    for top in range(0, y, 8):
        bottom = min(top + 8, y)
        above, label = label, above
        above[0] = above[1]
        above[tiles + 1] = above[tiles]
        label[0] = above[1]
        mixed = False
        first = 0
        while first < tiles:
            # Tiles that are likely to continue their neighbours: one decision for eight.
            end = min(first + 8, tiles)
            same = label[first]
            alike = same != 2
            for k in range(first, end + 2):
                alike = alike and above[k] == same
            if alike:
                base = AREA + same
                byte = np.uint8(255 * same)
                if second:
                    echo = 1
                    for i in range(top, bottom):
                        for k in range(first, end):
                            if previous[i, k] != byte:
                                echo = 0
                    base = AREA2 + 2 * echo + same
                bit = signed(1)
                if not decoding:
                    for i in range(top, bottom):
                        for k in range(first, end):
                            if bitmap[i, k] != byte:
                                bit = signed(0)
                bit, state, width, at = _code(
                    bit, decoding, state, width, at, stream, probability, seen, base
                )
                if bit:
                    for k in range(first, end):
                        label[k + 1] = same
                    if decoding:
                        for i in range(top, bottom):
                            bitmap[i, first:end] = byte
                    first = end
                    continue
            for t in range(first, end):
                context = label[t] + 3 * above[t + 1] + 9 * above[t] + 27 * above[t + 2]
                base = MIXED
                if second:
                    union, common = previous[top, t], previous[top, t]
                    for i in range(top + 1, bottom):
                        union |= previous[i, t]
                        common &= previous[i, t]
                    context += 81 * (0 if union == 0 else 1 if common == 255 else 2)
                    base = MIXED2
                union, common = bitmap[top, t], bitmap[top, t]
                if not decoding:
                    for i in range(top + 1, bottom):
                        union |= bitmap[i, t]
                        common &= bitmap[i, t]
                bit = signed(union != 0 and common != 255)
                bit, state, width, at = _code(
                    bit, decoding, state, width, at, stream, probability, seen, base + context
                )
                if bit:
                    label[t + 1] = 2
                    mixed = True
                    continue
                bit = signed(union != 0)
                base = VALUE2 if second else VALUE
                bit, state, width, at = _code(
                    bit, decoding, state, width, at, stream, probability, seen, base + context
                )
                label[t + 1] = bit
                if decoding:
                    for i in range(top, bottom):
                        bitmap[i, t] = 255 * bit
            first = end
        if not mixed:
            continue
        for i in range(top, bottom):
            for t in range(tiles):
                if label[t + 1] != 2:
                    continue
                one = signed(bitmap[i - 1, t]) if i > 0 else 0
                two = signed(bitmap[i - 2, t]) if i > 1 else 0
                # The line above with two more pixels at both sides, the second with one more.
                if t > 0:
                    left = signed(bitmap[i, t - 1]) & 3
                    if i > 0:
                        one |= (signed(bitmap[i - 1, t - 1]) & 3) << 8
                    if i > 1:
                        two |= (signed(bitmap[i - 2, t - 1]) & 1) << 8
                else:
                    left = 3 * (one >> 7)
                    one |= left << 8
                    two |= two >> 7 << 8
                if t + 1 < tiles:
                    one = (one << 2) | (signed(bitmap[i - 1, t + 1]) >> 6 if i > 0 else 0)
                    two = (two << 1) | (signed(bitmap[i - 2, t + 1]) >> 7 if i > 1 else 0)
                else:
                    one = (one << 2) | 3 * (one & 1)
                    two = (two << 1) | (two & 1)
                here, below = 0, 0
                if second:
                    here = signed(previous[i, t])
                    here |= (signed(previous[i, t - 1]) & 1) << 8 if t > 0 else here >> 7 << 8
                    here = (here << 1) | (signed(previous[i, t + 1]) >> 7 if t + 1 < tiles else here & 1)
                    below = signed(previous[i + 1, t]) if i + 1 < y else (here >> 1) & 255
                pixels = min(8, x - 8 * t)
                line = left
                byte = signed(bitmap[i, t])
                running = (one == 0 and two == 0 and left == 0) or (one == 4095 and two == 1023 and left == 3)
                continued = left & 1
                if running:
                    context = RUN + 2 * (i - top) + continued
                    if second:
                        echo = 2
                        if (here == 0 and below == 0) or (here == 1023 and below == 255):
                            echo = here & 1
                        context = RUN2 + 16 * echo + 2 * (i - top) + continued
                    bit = signed(byte == 255 * continued)
                    bit, state, width, at = _code(
                        bit, decoding, state, width, at, stream, probability, seen, context
                    )
                    if bit:
                        if decoding:
                            bitmap[i, t] = 255 * continued
                        continue
                k = 0
                while running:
                    bit = (byte >> (7 - k)) & 1
                    if k < pixels - 1:
                        bit, state, width, at = _code(
                            bit,
                            decoding,
                            state,
                            width,
                            at,
                            stream,
                            probability,
                            seen,
                            BREAK + 2 * k + continued,
                        )
                    else:
                        bit = 1 - continued
                    line = (line << 1) | bit
                    running = bit == continued
                    k += 1
                while k < pixels:
                    bit = (byte >> (7 - k)) & 1
                    if second:
                        context = ((two >> (7 - k)) & 2) << 4 | ((one >> (8 - k)) & 7) << 2 | line & 3
                        context = (
                            PIXEL2 + 16 * context + (((here >> (7 - k)) & 7) | ((below >> (7 - k)) & 1) << 3)
                        )
                    else:
                        context = PIXEL + (
                            ((two >> (7 - k)) & 7) << 7 | ((one >> (7 - k)) & 31) << 2 | line & 3
                        )
                    bit, state, width, at = _code(
                        bit, decoding, state, width, at, stream, probability, seen, context
                    )
                    line = (line << 1) | bit
                    k += 1
                if decoding:
                    line &= (1 << pixels) - 1
                    line = (line << (8 - pixels)) | ((1 << (8 - pixels)) - 1) * (line & 1)
                    bitmap[i, t] = line & 255
    return state, width, at


def write_bitmaps(bitmaps: Sequence[Bytes], x: int) -> bytes:
    """Code packed ``bitmaps`` of shape (y, ceil(x / 8)), each after the one before it.

    Returns
    -------
    bytes
        Without the zeros at its end.

    Examples
    --------
    >>> coast = np.packbits(np.tri(64, 200, 20, dtype=bool), axis=1)
    >>> stream = write_bitmaps([coast], 200)
    >>> bool((next(read_bitmaps(stream, (64, 200))) == coast).all()), coast.nbytes, len(stream)
    (True, 1600, 11)
    """
    if not bitmaps:
        return b""
    # A decision can take 11 bits; an adversary gets less than three a pixel on average.
    stream = np.empty(4 * sum(bitmap.size for bitmap in bitmaps) + 8192, np.uint8)
    probability, seen = _fresh()
    state, width, at = 0, WINDOW, 0
    previous = bitmaps[0][:0]
    for bitmap in bitmaps:
        state, width, at = _bitmap(bitmap, x, previous, False, state, width, at, stream, probability, seen)
        previous = bitmap
    # The number in [state, state + width) with the most zeros at its end: the reader supplies zeros.
    for zeros in range(48, -1, -1):
        last = (state + (1 << zeros) - 1) >> zeros << zeros
        if last < state + width:
            break
    number = (int.from_bytes(stream[:at].tobytes(), "big") << 48) + last
    return number.to_bytes(at + 6, "big").rstrip(b"\0")


def read_bitmaps(stream: bytes, shape: tuple[int, int]) -> Iterator[Bytes]:
    """Yield the packed bitmaps of ``shape`` (y, x) that `write_bitmaps` coded, without end.

    Any bytes give bitmaps of the right shape; how many of them mean something
    the caller must know.
    """
    y, x = shape
    data = np.frombuffer(bytearray(stream[6:]), np.uint8)
    probability, seen = _fresh()
    state, width, at = int.from_bytes(stream[:6].ljust(6, b"\0"), "big"), WINDOW, 0
    previous = np.empty((0, -(-x // 8)), np.uint8)
    while True:
        bitmap = np.empty((y, -(-x // 8)), np.uint8)
        state, width, at = _bitmap(bitmap, x, previous, True, state, width, at, data, probability, seen)
        yield bitmap
        previous = bitmap


def _fresh() -> tuple[Model, Bytes]:
    return np.full(CONTEXTS, ONE >> 1, np.int32), np.zeros(CONTEXTS, np.uint8)
