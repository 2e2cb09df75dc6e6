"""Stacks of small whole numbers, mostly 0, coded by what lies around each of them.

The numbers may be codes of residuals, corrections, or a map. What is coded is
the numbers themselves, or their distance from what the median edge detector of
JPEG-LS (ITU-T T.87) foretells, where that is shorter. Contexts are numbers
already coded, and hints that the decoder has as well; see `frazil.entropy.coder`.

The stream (docs/format/residuals.md)::

    1        0: all numbers are 0, and no more follows. Otherwise 1, + 0x10 for the fast profile,
             + 0x20 if the plane before is a context, + 0x40 if distances are coded, + 0x80 if weights follow
    8        the weights of the energies, in 1/64
    ...      numbers, `frazil.entropy.coder`, plane after plane
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from frazil.entropy import coder
from frazil.entropy.coder import PAD, decode_best, decode_fast, encode_best, encode_fast
from frazil.errors import FormatError, TruncatedError, UnsupportedArrayError
from frazil.wavelet.weights import fit

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]
    Hints = tuple[Codes, Codes, Codes]

VERSION, FAST, INTER, DISTANCES, WEIGHTS = 1, 0x10, 0x20, 0x40, 0x80
DEFAULT = (8, 2, 10, 5, 10, 3, 4, 0)  # near, far, N, NW + NE, W, WW, texture / 4, previous
MANY = 3000  # points, and a tenth of it numbers other than 0, from which weights of their own are sent
FEW = 1 << 28  # magnitudes whose distances stay within 30 bits

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")
signed: Any = np.int64  # as numba needs it; to a type checker a number
_inline = numba.njit(nogil=True, forceinline=True, error_model="numpy")


@_inline
def _foretold(above: Any, west: int, x: int, first_row: bool, first_column: bool) -> Any:
    """Predict from W, N and NW."""
    north, corner = signed(above[x]), signed(above[x - 1])
    if first_row:
        return west
    if first_column:
        return north
    return max(min(west, north), min(max(west, north), west + north - corner))


@_kernel
def _code_stack(  # noqa: PLR0917 - numba kernels have no keyword-only arguments
    codes: Any,
    valid: Any,
    masked: bool,
    near: Any,
    far: Any,
    texture: Any,
    inter: bool,
    distances: bool,
    decoding: bool,
    fast: bool,
    weights: Any,
    slots: Any,
    mix: Any,
    machine: Any,
    words: Any,
) -> None:
    """Code ``codes``, shape (n, y, x); the hints have rims, and one plane where all share it."""
    n, h, w = codes.shape
    hints = near.shape[0] > 1
    planes = np.zeros((2, h + 2 * PAD, w + 2 * PAD), np.int32)
    flat = np.full((h + 2 * PAD, w + 2 * PAD), 4, np.int32)
    there = np.ones((h + 2 * PAD if masked else 1, w + 2 * PAD if masked else 1), np.uint8)
    above = np.zeros(w + 1, np.int64)
    for p in range(n):
        q, last = planes[p & 1], planes[(p + 1) & 1]
        a, b, c = near[p * hints], far[p * hints], texture[p * hints]
        if masked:
            there[PAD : h + PAD, PAD : w + PAD] = valid[p]
        if not decoding:
            above[:] = 0
            for i in range(h):
                row, out = codes[p, i], q[i + PAD]
                if not distances:
                    out[PAD : w + PAD] = row
                    continue
                west = signed(0)
                for j in range(w):
                    guess = _foretold(above, west, j + 1, i == 0, j == 0)
                    west = signed(row[j])
                    out[j + PAD] = west - guess
                above[1:] = row
        with_last = inter and p > 0
        if decoding and fast:
            decode_fast(
                q, there, masked, h, w, 0, a, b, c, flat, last, with_last, weights, slots, mix, machine, words
            )
        elif decoding:
            decode_best(
                q, there, masked, h, w, 0, a, b, c, flat, last, with_last, weights, slots, mix, machine, words
            )
        elif fast:
            encode_fast(
                q, there, masked, h, w, 0, a, b, c, flat, last, with_last, weights, slots, mix, machine, words
            )
        else:
            encode_best(
                q, there, masked, h, w, 0, a, b, c, flat, last, with_last, weights, slots, mix, machine, words
            )
        if decoding:
            above[:] = 0
            for i in range(h):
                row, out = codes[p, i], q[i + PAD]
                if not distances:
                    row[:] = out[PAD : w + PAD]
                    continue
                west = signed(0)
                for j in range(w):
                    guess = _foretold(above, west, j + 1, i == 0, j == 0)
                    row[j] = np.int32(guess + out[j + PAD])
                    west = signed(row[j])
                above[1:] = row


@_kernel
def _cost(codes: Any, distances: bool) -> float:
    """Bits of the magnitudes, roughly."""
    n, h, w = codes.shape
    total = 0.0
    above = np.zeros(w + 1, np.int64)
    for p in range(n):
        above[:] = 0
        for i in range(h):
            row = codes[p, i]
            west = signed(0)
            for j in range(w):
                guess = _foretold(above, west, j + 1, i == 0, j == 0) if distances else 0
                west = signed(row[j])
                total += np.log2(1.0 + abs(west - guess))
            above[1:] = row
    return total


def encode_codes(
    codes: Codes, valid: Valid | None = None, *, profile: str = "best", hints: Hints | None = None
) -> bytes:
    """Code a stack of whole numbers.

    Parameters
    ----------
    codes : ndarray of int32, shape (n, y, x)
        Magnitudes below 2**30.
    valid : ndarray of bool, shape (n, y, x), optional
        Where it is false, nothing is coded, and 0 comes back.
    profile : {"best", "fast"}
        Three mixed contexts, or one.
    hints : tuple of three ndarrays of int32, shape (n, y + 2 * PAD, x + 2 * PAD), optional
        What the decoder knows as well: ``near``, ``far`` and ``texture`` of `frazil.entropy.coder`.

    Returns
    -------
    bytes
        One byte where all numbers are 0.

    Raises
    ------
    UnsupportedArrayError
        If a number is too large.

    Examples
    --------
    >>> codes = np.zeros((1, 64, 64), np.int32)
    >>> len(encode_codes(codes))
    1
    >>> codes[0, 20, 30:34] = 1, -1, 2, 1
    >>> stream = encode_codes(codes)
    >>> bool((decode_codes(stream, codes.shape) == codes).all()), len(stream) < 20
    (True, True)
    """
    if valid is not None:
        codes = np.where(valid, codes, 0).astype(np.int32, copy=False)
    if not codes.any():
        return b"\0"
    largest = max(-int(codes.min()), int(codes.max()))
    if largest > coder.FURTHEST:
        raise UnsupportedArrayError(f"a number of {largest} is too large to code; at most {coder.FURTHEST}")
    codes = np.ascontiguousarray(codes)
    distances = hints is None and valid is None and largest < FEW and _cost(codes, True) < _cost(codes, False)
    flags = VERSION | FAST * (profile == "fast") | DISTANCES * distances
    weights, body = np.array(DEFAULT, np.int64), b""
    near, far, texture = hints or _nothing(codes.shape)
    if codes.size >= MANY and np.count_nonzero(codes) * 10 >= MANY and not distances:
        inter = _fit(codes, valid, (near, far, texture), weights)
        flags |= WEIGHTS | INTER * inter
        body = weights.astype("u1").tobytes()
    room = codes.size
    while True:
        slots, mix = coder.fresh(1 if flags & FAST else 3)
        machine, words = coder.writer(room)
        _run(codes, valid, (near, far, texture), flags, False, weights, (slots, mix, machine, words))
        if not coder.overflown(machine, words):
            return bytes([flags]) + body + coder.finish(machine, words)
        room *= 2


def decode_codes(
    data: bytes | memoryview,
    shape: tuple[int, int, int],
    valid: Valid | None = None,
    *,
    hints: Hints | None = None,
) -> Codes:
    """Decode what `encode_codes` returned, given the same ``valid`` and ``hints``.

    Returns
    -------
    ndarray of int32, of ``shape`` (n, y, x)

    Raises
    ------
    FormatError
        If the bytes are no such stream.
    """
    if not data:
        raise TruncatedError("a stream of codes is empty")
    codes = np.zeros(shape, np.int32)
    flags = data[0]
    if flags == 0:
        return codes
    if flags & 15 != VERSION:
        raise FormatError(f"a stream of codes starts with {flags}; upgrade frazil to read this array")
    at, weights = 1, np.array(DEFAULT, np.int64)
    if flags & WEIGHTS:
        at += len(DEFAULT)
        if len(data) < at:
            raise TruncatedError("a stream of codes ends inside its weights")
        weights = np.frombuffer(data, "u1", len(DEFAULT), 1).astype(np.int64)
    if codes.size:
        state = (*coder.fresh(1 if flags & FAST else 3), *coder.reader(data[at:]))
        _run(codes, valid, hints or _nothing(shape), flags, True, weights, state)
        coder.check(*state[2:])
    return codes


def _run(  # noqa: PLR0917 - what the kernel takes
    codes: Codes,
    valid: Valid | None,
    hints: Hints,
    flags: int,
    decoding: bool,
    weights: npt.NDArray[np.int64],
    state: tuple[Any, Any, Any, Any],
) -> None:
    there = np.ones((1, 1, 1), np.uint8) if valid is None else np.ascontiguousarray(valid).view(np.uint8)
    inter, distances, fast = (bool(flags & flag) for flag in (INTER, DISTANCES, FAST))
    _code_stack(
        codes, there, valid is not None, *hints, inter, distances, decoding, fast, weights, *state
    )  # fmt: skip


def _nothing(shape: tuple[int, ...]) -> Hints:
    flat = np.zeros((1, shape[1] + 2 * PAD, shape[2] + 2 * PAD), np.int32)
    return flat, flat, flat


def _fit(codes: Codes, valid: Valid | None, hints: Hints, weights: npt.NDArray[np.int64]) -> bool:
    """Fit the weights to the plane that has most to code; tell whether the plane before it helps."""
    n, h, w = codes.shape
    counts = np.count_nonzero(codes, axis=(1, 2))
    p = int(counts[1:].argmax()) + 1 if n > 1 else 0
    q, last = (np.zeros((h + 2 * PAD, w + 2 * PAD), np.int32) for _ in range(2))
    there: npt.NDArray[np.uint8] = np.ones((1, 1), np.uint8)
    inside = (slice(PAD, h + PAD), slice(PAD, w + PAD))
    q[inside], last[inside] = codes[p], codes[p - 1]
    if valid is not None:
        there = np.zeros(q.shape, np.uint8)
        there[inside] = valid[p]
    near, far, texture = (hint[p if len(hint) > 1 else 0] for hint in hints)
    fit(q, there, valid is not None, near, far, texture, last, n > 1, weights)
    return n > 1 and int(weights[7]) > 0
