"""Missing values: taken out before a codec sees the planes, put back bit for bit (docs/format/masks.md).

NaN, the infinities and sentinels leave the planes; where they were is coded as
bitmaps (`frazil.entropy.bitmap`), each distinct one once, and the gaps are
closed smoothly (`frazil.filling`).
"""

from __future__ import annotations

import itertools
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Valid = Callable[[], npt.NDArray[np.bool_]]
    Bits = npt.NDArray[np.unsignedinteger[Any]]
    Bytes = npt.NDArray[np.uint8]

# The first byte of the section: 1 to 8 says how many patterns follow; the others are
CANONICAL, NEGATIVE, STORED, DEFLATED = 0, 9, 10, 11
MAX_PATTERNS = 8
NONE, ALL, NEW = 0, 1, 2


def split(planes: npt.NDArray[Any], sentinels: Sequence[Any]) -> tuple[npt.NDArray[Any], bytes]:
    """Take NaN, the infinities and every value equal to a sentinel out of ``planes``.

    Parameters
    ----------
    planes : ndarray
        Shape (n, y, x), native byte order; not modified.
    sentinels : sequence of scalars
        Values that mean "no data". One that the dtype cannot hold matches nothing.

    Returns
    -------
    planes : ndarray
        With the gaps filled; the same object if there are none.
    payload : bytes
        What `join` needs; empty if nothing is missing.

    Examples
    --------
    >>> sst = np.array([[[280, 281], [np.nan, 283]]], np.float32)
    >>> filled, payload = split(sst, [])
    >>> bool(np.isfinite(filled).all()), len(payload)
    (True, 3)
    >>> join(filled, payload, (1, 2, 2), 0)
    >>> filled
    array([[[280., 281.], [ nan, 283.]]], dtype=float32)
    """
    wanted = _sentinel_bits(sentinels, planes.dtype)
    if planes.dtype.kind != "f" and not wanted.size:
        return planes, b""
    from frazil.entropy import missing

    bits = np.ascontiguousarray(planes).view(wanted.dtype)
    exponent, special = _special(planes.dtype)
    n, y, x = planes.shape
    book = _Book(y, x)
    counts, symbols = [], []
    bitmap = np.empty((y, -(-x // 8)), np.uint8)
    for plane in bits:
        counts.append(missing.find(plane, exponent, special, wanted, bitmap))
        symbols.append(book.symbol(bitmap, counts[-1]))
    if not any(counts):
        return planes, b""

    patterns = _palette(bits, symbols, book)
    tail = b""
    if patterns is None:
        code, tail = _raw(bits, symbols, book, sum(counts))
    else:
        code = _palette_code(patterns, planes.dtype)
        for below, i in itertools.product(range(1, len(patterns)), range(n)):
            missing.layer(bits[i], book.bitmap(symbols[i]), patterns, below, bitmap)
            symbols.append(book.symbol(bitmap, -1))
    payload = code + _write_symbols(symbols)
    stream = book.write()
    if patterns is None:
        stream = write_varint(len(stream)) + stream
    return _fill(planes, counts, symbols, book), payload + stream + tail


def join(planes: npt.NDArray[Any], payload: bytes, shape: tuple[int, int, int], level: int) -> None:
    """Write the missing values back into ``planes``, in place.

    Parameters
    ----------
    planes : ndarray
        Shape (n, ceil(y / 2**level), ceil(x / 2**level)), writable, native byte order.
    payload : bytes
        From `split`.
    shape : tuple of int
        (n, y, x) of the planes that were split.
    level : int
        0 for all points; at a higher level a point takes the place of every 2**level-th one.

    Raises
    ------
    FormatError
        If ``payload`` is none that `split` makes for this shape and dtype.
    """
    from frazil.entropy import missing

    work = np.ascontiguousarray(planes)
    bits = work.view(_unsigned(planes.dtype))
    patterns, code, bitmaps, symbols, rest = _parse(payload, shape, planes.dtype)
    n, _, x = shape
    if patterns is None:
        count = sum(_count(bitmaps[symbol], x) for symbol in symbols)
        raw = _read_raw(rest, code, count, bits.dtype)
        at = 0
        for i in range(n):
            if symbols[i] != NONE:
                at = missing.scatter(bits[i], bitmaps[symbols[i]], x, level, raw, at)
    else:
        for k, symbol in enumerate(symbols):
            if symbol != NONE:
                missing.put(bits[k % n], bitmaps[symbol], level, patterns[k // n])
    if work is not planes:
        planes[...] = work


def valid(payload: bytes, shape: tuple[int, int, int], dtype: npt.DTypeLike) -> npt.NDArray[np.bool_]:
    """Tell which points of planes of ``shape`` (n, y, x) hold data, from `split`'s payload.

    Examples
    --------
    >>> _, payload = split(np.array([[[280, 281], [np.nan, 283]]], np.float32), [])
    >>> valid(payload, (1, 2, 2), "f4")
    array([[[ True,  True], [False,  True]]])
    """
    n, _, x = shape
    if not payload:
        return np.ones(shape, np.bool_)
    _, _, bitmaps, symbols, _ = _parse(payload, shape, np.dtype(dtype))
    return np.stack([np.unpackbits(bitmaps[s], axis=1, count=x) == 0 for s in symbols[:n]])


class _Book:
    """The distinct bitmaps of a chunk, in order of appearance, under the symbols of the plane list."""

    def __init__(self, y: int, x: int) -> None:
        self.x, self.points = x, y * x
        self.bitmaps = [np.full((y, -(-x // 8)), byte, np.uint8) for byte in (0, 255)]
        self.symbols = {bitmap.tobytes(): symbol for symbol, bitmap in enumerate(self.bitmaps)}

    def symbol(self, bitmap: Bytes, count: int) -> int:
        """Return the symbol of ``bitmap``, which marks ``count`` points (-1: not counted)."""
        if count == 0:
            return NONE
        symbol = self.symbols.setdefault(bitmap.tobytes(), len(self.bitmaps))
        if symbol == len(self.bitmaps):
            self.bitmaps.append(bitmap.copy())
        return symbol

    def bitmap(self, symbol: int) -> Bytes:
        return self.bitmaps[symbol]

    def write(self) -> bytes:
        if len(self.bitmaps) == NEW:
            return b""
        from frazil.entropy.bitmap import write_bitmaps

        return write_bitmaps(self.bitmaps[NEW:], self.x)


def _fill(planes: npt.NDArray[Any], counts: list[int], symbols: list[int], book: _Book) -> npt.NDArray[Any]:
    from frazil.filling import fill

    filled = np.array(planes, order="C")
    lost = []
    level = None
    for i, count in enumerate(counts):
        if count == book.points:
            lost.append(i)
        elif count:
            fill(filled[i], book.bitmap(symbols[i]))
        if count < book.points and level is None and counts.count(book.points):
            level = filled[i].mean(dtype=np.float64)
    if lost:
        filled[lost] = 0 if level is None else level
    return filled


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


def _special(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Return (exponent, special): bits & exponent == special for NaN and the infinities of ``dtype``."""
    if dtype.kind != "f":
        one = _unsigned(dtype).type(1)
        return one - one, one  # never
    exponent = np.array(np.inf, dtype).view(_unsigned(dtype))[()]
    return exponent, exponent


def _sentinel_bits(sentinels: Sequence[Any], dtype: np.dtype[Any]) -> Bits:
    """Return the bit patterns that equal one of ``sentinels`` in ``dtype`` and are not found anyway."""
    found = []
    for sentinel in sentinels:
        value = float(sentinel)
        if dtype.kind == "f":
            with np.errstate(all="ignore"):
                held = np.array(value, dtype)
            if np.isfinite(held) and (held != 0 or value == 0):
                found += [held, -held] if held == 0 else [held]
        elif value.is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            found.append(np.array(int(value), dtype))
    return np.array(found, dtype).view(_unsigned(dtype))


def _canonical(dtype: np.dtype[Any], sign: int) -> Bits:
    """Return the quiet NaN with an empty payload; processors make the negative one of 0 / 0."""
    return np.copysign(np.full(1, np.nan, dtype), sign).view(_unsigned(dtype))


def _palette(bits: Bits, symbols: list[int], book: _Book) -> Bits | None:
    """Return the distinct patterns of the missing points, the most frequent first; None if too many."""
    from frazil.entropy import missing

    patterns, counts = np.zeros(MAX_PATTERNS, bits.dtype), np.zeros(MAX_PATTERNS, np.int64)
    known = 0
    for plane, symbol in zip(bits, symbols, strict=True):
        if symbol != NONE:
            known = missing.tally(plane, book.bitmap(symbol), patterns, counts, known)
            if known > MAX_PATTERNS:
                return None
    return patterns[:known][np.argsort(-counts[:known], kind="stable")]


def _palette_code(patterns: Bits, dtype: np.dtype[Any]) -> bytes:
    if dtype.kind == "f" and patterns.size == 1:
        for code, sign in ((CANONICAL, 1), (NEGATIVE, -1)):
            if patterns[0] == _canonical(dtype, sign)[0]:
                return bytes([code])
    return bytes([patterns.size]) + patterns.astype(patterns.dtype.newbyteorder("<")).tobytes()


def _raw(bits: Bits, symbols: list[int], book: _Book, count: int) -> tuple[bytes, bytes]:
    """Return the section's first byte and its end: every pattern as it is, deflated if that is smaller."""
    from frazil.entropy import missing

    values = np.empty(count, bits.dtype)
    at = 0
    for plane, symbol in zip(bits, symbols, strict=True):
        if symbol != NONE:
            at = missing.gather(plane, book.bitmap(symbol), values, at)
    stored = values.astype(bits.dtype.newbyteorder("<")).tobytes()
    deflated = zlib.compress(stored)
    return (bytes([DEFLATED]), deflated) if len(deflated) < len(stored) else (bytes([STORED]), stored)


def _read_raw(data: bytes, code: int, count: int, dtype: np.dtype[Any]) -> Bits:
    size = count * dtype.itemsize
    if code == DEFLATED:
        inflate = zlib.decompressobj()
        try:
            data = inflate.decompress(data, size + 1)
        except zlib.error as error:
            raise FormatError(f"the values of the missing points are damaged: {error}") from error
    if len(data) != size:
        raise FormatError(f"{len(data)} bytes of values for {count} missing points of {dtype.itemsize} bytes")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)


def _write_symbols(symbols: list[int]) -> bytes:
    """Write the plane list: an even token is a symbol, an odd one repeats what stood some places before."""
    out = bytearray()
    at = 0
    while at < len(symbols):
        run, back = 0, 0
        # Periods end where the pattern began; more candidates gained nothing worth their time.
        for distance in _distances(symbols, at):
            length = 0
            while at + length < len(symbols) and symbols[at + length] == symbols[at + length - distance]:
                length += 1
            if length > run:
                run, back = length, distance
        if run > 1:
            out += write_varint((run - 1) << 1 | 1) + write_varint(back)
            at += run
        else:
            out += write_varint(symbols[at] << 1)
            at += 1
    return bytes(out)


def _distances(symbols: list[int], at: int) -> list[int]:
    """Distances to the last and the first places where the next symbol stood."""
    places = [at - k for k in range(max(0, at - 256), at) if symbols[k] == symbols[at]]
    return places[-8:] + places[:1]


def _parse(
    payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> tuple[Bits | None, int, list[Bytes], list[int], bytes]:
    """Return the palette (None: raw values), first byte, bitmaps, plane list, and what is left."""
    n, y, x = shape
    if not payload:
        raise TruncatedError("the section of missing values is empty")
    code, at = payload[0], 1
    patterns: Bits | None = None
    unsigned = _unsigned(dtype)
    if code in (CANONICAL, NEGATIVE) and dtype.kind == "f":
        patterns = _canonical(dtype, 1 if code == CANONICAL else -1)
    elif 1 <= code <= MAX_PATTERNS:
        at += code * unsigned.itemsize
        if at > len(payload):
            raise TruncatedError(f"bytes end inside the {code} patterns of missing values")
        patterns = np.frombuffer(payload[1:at], unsigned.newbyteorder("<")).astype(unsigned)
    elif code not in (STORED, DEFLATED):
        raise FormatError(f"section of missing values of {dtype} starts with {code}, which no frazil writes")
    symbols, at = _read_symbols(payload, at, n * (1 if patterns is None else patterns.size))
    stop = len(payload)
    if patterns is None:
        size, at = read_varint(payload, at, "length of the bitmaps")
        stop = at + size
        if stop > len(payload):
            raise TruncatedError(
                f"bytes end inside the bitmaps of missing values, {stop - len(payload)} too early"
            )
    book = _Book(y, x)
    bitmaps = book.bitmaps
    new = max(symbols, default=NONE) - ALL
    if new > 0:
        from frazil.entropy.bitmap import read_bitmaps

        bitmaps += itertools.islice(read_bitmaps(payload[at:stop], (y, x)), new)
    return patterns, code, bitmaps, symbols, payload[stop:]


def _read_symbols(payload: bytes, at: int, total: int) -> tuple[list[int], int]:
    symbols: list[int] = []
    new = NEW
    while len(symbols) < total:
        token, at = read_varint(payload, at, "list of planes")
        if token & 1:
            run = (token >> 1) + 1
            back, at = read_varint(payload, at, "list of planes")
            if not 1 <= back <= len(symbols) or run > total - len(symbols):
                raise FormatError(
                    f"list of planes repeats {run} from {back} before plane {len(symbols)} of {total}"
                )
            period = symbols[-back:]
            symbols += itertools.islice(itertools.cycle(period), run)
        else:
            if token >> 1 > new:
                raise FormatError(f"list of planes names bitmap {token >> 1}, {new - NEW} are known")
            new += token >> 1 == new
            symbols.append(token >> 1)
    return symbols, at


def _count(bitmap: Bytes, x: int) -> int:
    return int(np.unpackbits(bitmap, axis=1, count=x).sum(dtype=np.int64)) if math.prod(bitmap.shape) else 0
