"""JPEG 2000 and a truncated residual: a mask of where it is not zero, and its values there.

Data and bounds are scaled to 16 bits by the extremes of the chunk. JPEG 2000
takes the levels at some ratio. Where its error r exceeds the bound e (both in
levels), r is rounded, half to even, to a multiple of S = 2**floor(log2(2 e)),
which misses it by no more than e; elsewhere it is dropped. The mask of these
points, a bit each, and the multiples go through Blosc2 (ZSTD, bit-shuffle): see
`frazil.residuals.truncated`. Less JPEG 2000 means more residual: a
golden-section search finds the ratio with the smallest sum.

Bounds that vary have an S at each point; it is stored where there is a
residual, so that the reader needs no bounds. The wavelet is the 5/3 one, in
integers: a reader on any machine finds the very levels that the writer found.
Where bounds are less than four levels, there are more of them, up to 2**22.

The payload (docs/format/residuals.md)::

    1        bits of a level, 16 to 22, + 0x20 if there is a residual; 0: all points hold one value
    2 x      smallest and largest value, little-endian in the dtype of the planes; one of them for 0
    varint   bytes of each resolution but the last, coarsest first
    varint   bytes of all packets
    ...      JPEG 2000 packets, in the progression RPCL, of one component a plane
    ...      the truncated residual, if there is one
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import FormatError, TruncatedError
from frazil.jpeg2000.codestream import MAX_COMPONENTS, Layout, assemble, decompositions, dissect
from frazil.planes import reduced
from frazil.residuals import truncated
from frazil.residuals.golden import smallest
from frazil.residuals.scaled import FEWEST_BITS, MOST_BITS, Levels
from frazil.scaling import MINMAX, Linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Integers = npt.NDArray[np.int32]
    Valid = npt.NDArray[np.bool_]
    Bounds = float | npt.NDArray[np.float64]

RESIDUAL = 0x20


def write(levels: Levels, ratio: float) -> tuple[bytes, int]:
    """Encode at a ratio of the planes' bytes to JPEG 2000's; return the payload, and the latter."""
    ends = levels.scale.values.astype(levels.dtype.newbyteorder("<")).tobytes()
    if levels.constant:
        return b"\0" + ends[: levels.dtype.itemsize], 0
    from frazil.jpeg2000 import openjpeg

    numbers, bits = levels.numbers, levels.bits
    n, y, x = numbers.shape
    layout = Layout((n, y, x), bits, decompositions(y, x), reversible=True)

    def fill(k: int, out: Integers) -> None:
        out[...] = numbers[k]

    body, lengths = dissect(openjpeg.encode(fill, layout, size=max(int(levels.nbytes / ratio), 1)), layout)
    index = b"".join(map(write_varint, (*lengths[:-1], len(body))))
    residual = truncated.pack(numbers, _unpack(layout, body), levels.slack, levels.valid)
    head = bytes([bits | (RESIDUAL if residual else 0)])
    return head + ends + index + body + residual, len(body)


def search(chunks: Sequence[Levels]) -> tuple[float, list[bytes]]:
    """Find the ratio at which ``chunks`` together take the fewest bytes, in at most 18 encodings of each.

    Returns
    -------
    ratio : float
    payloads : list of bytes
        Of the chunks, at that ratio.
    """
    best: tuple[float, float, list[bytes]] = (math.inf, 1.0, [])

    def cost(ratio: float) -> float:
        nonlocal best
        trials = [write(chunk, ratio) for chunk in chunks]
        payloads, bodies = [payload for payload, _ in trials], sum(body for _, body in trials)
        # JPEG 2000 has an end in both directions. Beyond it all ratios cost the same: walk back to it.
        asked = sum(chunk.nbytes for chunk in chunks) / ratio
        total = sum(map(len, payloads)) + 1e-3 * abs(math.log(asked / max(bodies, 1)))
        best = min(best, (total, ratio, payloads), key=lambda trial: trial[0])
        return total

    varied = [chunk.ratios() for chunk in chunks if not chunk.constant]
    if varied:
        smallest(cost, min(low for low, _ in varied), max(high for _, high in varied))
    else:
        cost(1.0)
    return best[1:]


def encode(
    planes: npt.NDArray[Any], bound: Bounds, valid: Valid | None = None, *, ratio: float | None = None
) -> bytes:
    """Encode planes so that (almost) every point keeps its bound.

    Parameters
    ----------
    planes : ndarray, shape (n, y, x)
        Finite, of any number type in native byte order.
    bound : float or ndarray of float64, shape (n, y, x)
        Absolute, 0 or more. Up to a hundredth of the points, those whose
        bounds are far below the others', may exceed them: store these beside.
    valid : ndarray of bool, shape (n, y, x), optional
        False at points that may come back as anything.
    ratio : float, optional
        Bytes of the planes over bytes of JPEG 2000, the residual not counted.
        By default that with the smallest total, see `search`.

    Returns
    -------
    bytes

    Raises
    ------
    NoRoomError
        If this method cannot keep bounds as small as these, or the range is
        beyond what float64 can divide; store losslessly.

    Examples
    --------
    >>> y, x = np.mgrid[0:64, 0:96]
    >>> field = np.sin(x / 9 + y / 17)[None].astype(np.float32)
    >>> payload = encode(field, 0.01)
    >>> again = decode(payload, field.shape, field.dtype)
    >>> bool((abs(again - field) <= 0.01).all()), field.nbytes // len(payload) > 20
    (True, True)
    """
    levels = Levels.of(planes, bound, valid)
    return search([levels])[1][0] if ratio is None else write(levels, ratio)[0]


def decode(
    payload: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any], level: int = 0
) -> npt.NDArray[Any]:
    """Decode what `encode` returned, at 1/2**level of the resolution.

    Above level 0 that is JPEG 2000 alone: no bound holds there.

    Returns
    -------
    ndarray, shape (n, ceil(y / 2**level), ceil(x / 2**level))
        Writable.

    Raises
    ------
    FormatError
        If the bytes are none that `encode` makes for this shape and dtype.
    """
    from frazil.levels import from_levels

    n, y, x = shape
    native = np.dtype(dtype)
    if not payload:
        raise TruncatedError("the payload of the mask method is empty")
    bits, residual = payload[0] & ~RESIDUAL, bool(payload[0] & RESIDUAL)
    at = 1 + native.itemsize * (2 if payload[0] else 1)
    if at > len(payload):
        raise TruncatedError(f"payload ends after {len(payload)} bytes, inside the extremes")
    ends = np.frombuffer(payload[1:at], native.newbyteorder("<"))
    if not payload[0]:
        return np.full((n, reduced(y, level), reduced(x, level)), ends[0], native)
    low, high = map(float, ends)
    if not (FEWEST_BITS <= bits <= MOST_BITS and low < high and math.isfinite(high - low)):
        raise FormatError(f"impossible head of the mask method: {bits} bits for values from {low} to {high}")
    if n > MAX_COMPONENTS:
        raise FormatError(f"chunk claims {n} components, a codestream holds at most {MAX_COMPONENTS}")
    layout = Layout(shape, bits, decompositions(y, x), reversible=True)
    lengths = []
    for _ in range(layout.decompositions + 1):
        length, at = read_varint(payload, at, "length of a resolution")
        lengths.append(length)
    stop = at + lengths[-1]
    if stop > len(payload) or sum(lengths[:-1]) > lengths[-1]:
        raise TruncatedError(f"{len(payload) - at} bytes hold the packets, their index speaks of {lengths}")
    direct = min(level, layout.decompositions)
    numbers = _unpack(
        layout, payload[at : at + sum(lengths[:-direct])] if direct else payload[at:stop], direct
    )
    if residual and not level:
        truncated.apply(numbers, payload[stop:], bits)
    skip = 1 << (level - direct)
    numbers = np.ascontiguousarray(numbers[:, ::skip, ::skip])
    low, step = Linear(MINMAX, (1 << bits) - 1, np.array([[low, high]])).line(0)
    planes = np.empty(numbers.shape, native)
    work = np.empty(numbers.shape[1:], "f8")
    for plane, values in zip(planes, numbers, strict=True):
        from_levels(values, low, step, (1 << bits) - 1, 0, work)
        plane[...] = np.rint(work, out=work) if native.kind in "iu" else work
    return planes


def _unpack(layout: Layout, body: bytes, level: int = 0) -> Integers:
    """Decode packets to levels (n, y, x)."""
    from frazil.jpeg2000 import openjpeg

    n, y, x = layout.shape
    numbers = np.empty((n, reduced(y, level), reduced(x, level)), np.int32)
    openjpeg.decode(assemble(layout, body, level), numbers.__setitem__, numbers.shape)
    return numbers
