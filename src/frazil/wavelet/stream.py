"""Planes of whole numbers as wavelet coefficients, and codes for points that these leave outside their cells.

The stream (docs/format/wavelet.md)::

    bytes    field
    1        version (1), + 0x10 for the fast profile, + 0x20 if points have codes, + 0x40 if the planes were
             transformed across
    1        binary places of the transform, + 16; + 32 times the table of initial states
    varint   the number that the transform takes as 0, zigzag
    varint   step of the coefficients in cell widths: c stands for (256 + c % 256) << c // 256, in 2**-32
    varint   for each level, coarse to fine: by how many bytes what it needs of the rest is longer than what
             the level before needs. A first 0, and no others: all levels need all
    ...      numbers, `frazil.entropy.coder`: bands coarse to fine, each of all planes; then codes of points

Decoding is arithmetic of whole numbers. What the encoder chooses (step, energy
weights) is in the stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.entropy import coder
from frazil.errors import FormatError, TruncatedError
from frazil.planes import reduced
from frazil.wavelet import choice, coding, lifting, points, quantiser, states
from frazil.wavelet.bands import LEVEL, NORM_BITS, Layout, across, layout
from frazil.wavelet.states import NEWEST

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int32]
    Rows = npt.NDArray[np.int64]
    Valid = npt.NDArray[np.bool_]

VERSION = 1
FAST, CORRECTED, ACROSS = 0x10, 0x20, 0x40
ROOM = 26  # bits of the largest number that goes into the transform, which may grow it 16-fold
PLACES = 6  # binary places: more change no field's size
LEAST_PLACES = -8
MOST_STEP = 1024.0
STEP_CODES = 34 << 8  # up to 1024 cells
SMALL = 256  # bytes from which a stream says where its levels end
ALL = 1 << 62
AHEAD = 8  # bytes that the decoder reads ahead
THRESHOLD = 0.55  # of a step, from which magnitudes round up, as foretold
PRICE = 0.05  # squared steps that a bit is worth where points are corrected
#: Streams of fewer bits a point, or of fewer points, are hard to foretell: a few steps are tried in earnest.
SPARSE, FEW = 0.1, 1 << 16
LOOKED = 1 << 18  # points that a choice of step looks at, or somewhat more


@dataclass(frozen=True)
class Head:
    """What the first bytes of a stream say.

    ``table``: of initial states, `frazil.wavelet.states`. ``step``: its code. ``ends``: from level 0 on, how
    many bytes of the numbers a level needs; empty where all need all. ``start``: where the numbers start.
    """

    fast: bool
    corrected: bool
    across: bool
    table: int
    places: int
    middle: int
    step: int
    ends: list[int]
    start: int

    def pack(self) -> bytes:
        """Write the head; ``start`` follows from it."""
        flags = VERSION | FAST * self.fast | CORRECTED * self.corrected | ACROSS * self.across
        zigzag = 2 * self.middle if self.middle >= 0 else -2 * self.middle - 1
        grown = [end - before for before, end in pairwise([0, *self.ends[::-1]])] or [0]
        return bytes([flags, self.places + 16 | self.table << 5]) + b"".join(
            map(write_varint, (zigzag, self.step, *grown))
        )

    @classmethod
    def unpack(cls, stream: bytes | memoryview, levels: int) -> Head:
        """Read the head of a stream of planes of so many levels.

        Raises
        ------
        TruncatedError
            If the stream ends inside it.
        FormatError
            If it is none, or of a newer version.
        """
        if len(stream) < 2:
            raise TruncatedError(f"the wavelet stream ends after {len(stream)} bytes, inside its head")
        flags, places, at = stream[0], stream[1] & 31, 2
        if flags & 15 != VERSION or flags & ~(15 | FAST | CORRECTED | ACROSS):
            raise FormatError(
                f"wavelet stream of kind {flags:#x}, this frazil reads {VERSION}; upgrade frazil"
            )
        zigzag, at = read_varint(stream, at, "wavelet stream's middle")
        step, at = read_varint(stream, at, "wavelet stream's step")
        if not (LEAST_PLACES <= places - 16 <= PLACES and zigzag < 1 << 33 and step < STEP_CODES):
            raise FormatError(f"impossible wavelet stream: {places - 16} places, step {step}")
        ends = [0]
        while len(ends) <= max(levels, 1):
            grown, at = read_varint(stream, at, "wavelet stream's levels")
            if not grown:
                break
            ends.append(ends[-1] + grown)
        if len(ends) not in {1, levels + 1}:
            raise FormatError(f"wavelet stream lists {len(ends) - 1} of {levels} levels")
        middle = -(zigzag + 1 >> 1) if zigzag & 1 else zigzag >> 1
        return cls(
            bool(flags & FAST),
            bool(flags & CORRECTED),
            bool(flags & ACROSS),
            stream[1] >> 5,
            places - 16,
            middle,
            step,
            ends[:0:-1],
            at,
        )


@dataclass(frozen=True)
class _Work:
    """What does not depend on the step: the transformed planes and what is known of their points."""

    tile: Layout
    numbers: Ints
    cells: Ints
    valid: Valid | None
    there: npt.NDArray[np.uint8]
    coefficients: Ints
    middle: int
    places: int
    fast: bool
    across: bool = False
    table: int = NEWEST

    def attempt(self, step: float, price: float, room: int = 4) -> tuple[bytes, Ints]:
        """Encode at a step; ``room``: numbers a point to make room for."""
        tile, (n, y, x) = self.tile, self.numbers.shape
        code = _step_code(step)
        scales = _scales(tile, n, code, self.places, self.across)
        pools = np.zeros((n, tile.size), np.int32)
        sums = np.zeros((tile.levels + 1, 2, 2))
        for p in range(n):
            quantiser.quantise(
                self.coefficients[p], _of(self.cells, p), tile.bands, scales[p], price, pools[p], sums
            )
        shifts = quantiser.shifts(sums)
        slots, mix = states.load(self.table).start(1 if self.fast else 3)
        machine, words = coder.writer(room * self.numbers.size)
        marks = np.zeros(tile.levels + 1, np.int64)
        coding.code_bands(
            False, self.fast, pools, tile.bands, tile.parents, 0, shifts, slots, mix, machine, words, marks
        )
        rebuilt = _restore(tile, pools, self.cells, scales, shifts, 0, self.across)
        codes = np.zeros((n, y + 2 * coder.PAD, x + 2 * coder.PAD), np.int32)
        masked, off = self.valid is not None, 0
        for p in range(n):
            cell = _of(self.cells, p)
            points.uncenter(rebuilt[p], y, x, self.middle, self.places, rebuilt[p])
            off += points.misses(self.numbers[p], rebuilt[p], cell, _of(self.there, p), masked, codes[p])
        if off:
            weights = np.zeros(8, np.int64)
            for p in range(n):
                there = _of(self.there, p)
                coding.code_points(
                    False,
                    self.fast,
                    codes[p],
                    pools[_near(p, n, self.across)],
                    tile.bands,
                    there,
                    masked,
                    p == 0,
                    weights,
                    slots,
                    mix,
                    machine,
                    words,
                )
                points.correct(rebuilt[p], _of(self.cells, p), codes[p])
        if coder.overflown(machine, words):
            return self.attempt(step, price, 4 * room)
        body = coder.finish(machine, words)
        ends: list[int] = []
        if len(body) >= SMALL:
            for mark in marks[:0:-1].tolist():  # coarse to fine; each is longer than the one before
                ends.append(max(min(2 * (mark - 1) + AHEAD, len(body)), (ends or [0])[-1] + 1))
        head = Head(
            self.fast, off > 0, self.across, self.table, self.places, self.middle, code, ends[::-1], 0
        )
        return head.pack() + body, rebuilt

    def foretell(self, steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Estimate the bits at each of ``steps``."""
        n, y, x = self.numbers.shape
        unit = 2.0 ** (self.places - NORM_BITS)
        planes = n if self.across else max(1, min(n, LOOKED // (y * x)))
        every = max(1, min(8, planes * y * x // LOOKED))
        if self.across:
            counts = choice.block_counts(None if self.valid is None else self.valid[n // 2], y, x)
            mixed = choice.Forecast.start(steps, counts, every)
            norms = across(n)[1] / (1 << NORM_BITS)
            for p in range(n):
                fade = min(1.0, float(norms[p])) ** (2 * choice.FADE)
                mixed.add(
                    self.coefficients[p], _of(self.cells, p), self.tile,
                    unit=unit * float(norms[p]), threshold=THRESHOLD, fade=fade,
                )  # fmt: skip
            return mixed.total(n)
        total: npt.NDArray[np.float64] = np.zeros(len(steps))
        for k in range(planes):
            p = (2 * k + 1) * n // (2 * planes)
            counts = choice.block_counts(None if self.valid is None else self.valid[p], y, x)
            plane = choice.Forecast.start(steps, counts, every)
            plane.add(self.coefficients[p], _of(self.cells, p), self.tile, unit=unit, threshold=THRESHOLD)
            total += plane.total(1)
        return np.asarray(total * (n / planes))


def encode(
    numbers: Ints,
    widths: int | Ints,
    valid: Valid | None,
    *,
    profile: str = "best",
    step: float | None = None,
) -> tuple[bytes, Ints]:
    """Encode planes so that each valid point comes back within its cell.

    Parameters
    ----------
    numbers : ndarray of int32, shape (n, y, x)
        Magnitudes up to 2**28; smooth where ``valid`` is false.
    widths : int, or ndarray of int32, shape (n, y, x)
        Of the cells, odd.
    valid : ndarray of bool, shape (n, y, x), optional
        Where it is false, a point may come back as anything.
    profile : {"best", "fast"}
        "fast" mixes no contexts.
    step : float, optional
        Quantiser step of the coefficients in cell widths, up to 1024. A small one means small errors
        in the mean and few points to correct; by default, the one that takes the fewest bytes.

    Returns
    -------
    stream : bytes
    rebuilt : ndarray of int32, shape (n, y, x)
        What `decode` returns: within (width - 1) / 2 of ``numbers`` where valid.

    Examples
    --------
    >>> numbers = np.arange(64, dtype=np.int32).reshape(1, 8, 8) ** 2
    >>> stream, rebuilt = encode(numbers, 45, None)
    >>> int(abs(rebuilt - numbers).max()) <= 22
    True
    >>> bool((decode(stream, (1, 8, 8), 45, None) == rebuilt).all())
    True
    """
    if not numbers.size:
        return b"", numbers.astype(np.int32)
    steps = choice.STEPS if step is None else np.array([min(step, MOST_STEP)])
    work, bits = _choose(numbers, widths, valid, profile, steps)
    if step is not None:
        return work.attempt(step, PRICE)
    step = choice.best(bits)
    best = work.attempt(step, PRICE)
    if float(bits.min()) > SPARSE * numbers.size and numbers.size > FEW:
        return best
    for factor in (1.5, 1 / 1.5):
        candidate = step
        for _ in range(2):
            candidate *= factor
            other = work.attempt(candidate, PRICE)
            if len(other[0]) >= len(best[0]):
                break
            best = other
        if candidate != step * factor:
            break
    return best


def estimate(numbers: Ints, widths: int | Ints, valid: Valid | None) -> float:
    """Estimate the bytes of `encode`'s stream, in a fifth of the time.

    Where a point takes more than 0.2 bits it is 10 % off at most; where it takes a hundredth, up to a half.
    """
    return 1.04 * float(_choose(numbers, widths, valid, "best", choice.STEPS)[1].min()) / 8 + 40


def decode(
    stream: bytes | memoryview,
    shape: tuple[int, int, int],
    widths: int | Ints,
    valid: Valid | None,
    level: int = 0,
) -> Ints:
    """Decode planes, or their low band.

    Parameters
    ----------
    stream : bytes-like
        From `encode`, or its first `prefix_needed` bytes.
    shape : tuple of int
        Of the planes, (n, y, x).
    widths, valid
        As given to `encode`.
    level : int, default 0
        0 gives what `encode` returned. A higher one gives the low band of so many halvings of y and x, at
        the scale of the numbers; no bound holds there.

    Returns
    -------
    ndarray of int32, shape (n, ceil(y / 2**level), ceil(x / 2**level))

    Raises
    ------
    FormatError
        If the stream cannot be one.
    TruncatedError
        If it ends too early.
    """
    n, y, x = shape
    if 0 in shape:
        return np.empty((n, reduced(y, level), reduced(x, level)), np.int32)
    tile = layout(y, x)
    head = Head.unpack(stream, tile.levels)
    cells = _cells(widths)
    scales = _scales(tile, n, head.step, head.places, head.across)
    stop = min(level, tile.levels)
    pools = np.zeros((n, tile.size), np.int32)
    slots, mix = states.load(head.table).start(1 if head.fast else 3)
    machine, words = coder.reader(memoryview(stream)[head.start :])
    marks, shifts = np.zeros(tile.levels + 1, np.int64), np.zeros((tile.levels + 1, 2), np.int64)
    coding.code_bands(
        True, head.fast, pools, tile.bands, tile.parents, stop, shifts, slots, mix, machine, words, marks
    )
    coder.check(machine, words)
    rebuilt = _restore(tile, pools, cells, scales, shifts, stop, head.across)
    there, weights = _padded(valid), np.zeros(8, np.int64)
    corrected = head.corrected and stop == 0
    codes = np.zeros((y + 2 * coder.PAD, x + 2 * coder.PAD) if corrected else (0, 0), np.int32)
    for p in range(n):
        points.uncenter(rebuilt[p], *tile.shapes[stop], head.middle, head.places, rebuilt[p])
        if corrected:
            coding.code_points(
                True,
                head.fast,
                codes,
                pools[_near(p, n, head.across)],
                tile.bands,
                _of(there, p),
                valid is not None,
                p == 0,
                weights,
                slots,
                mix,
                machine,
                words,
            )
            points.correct(rebuilt[p], _of(cells, p), codes)
    coder.check(machine, words)
    every = 1 << (level - stop)
    return np.ascontiguousarray(rebuilt[:, ::every, ::every])


def prefix_needed(head: bytes | memoryview, shape: tuple[int, int, int], level: int) -> int:
    """Return how many of a stream's first bytes `decode` needs for ``level``; `ALL` if that is all of them.

    Parameters
    ----------
    head : bytes-like
        The first bytes of the stream; 64 are enough for the planes of a chunk.

    Raises
    ------
    TruncatedError
        If they are too few to tell.
    """
    tile = layout(*shape[1:])
    found = Head.unpack(head, tile.levels)
    if not found.ends or level == 0:
        return ALL
    return found.start + found.ends[min(level, tile.levels - 1)]


def _prepare(
    numbers: Ints, widths: int | Ints, valid: Valid | None, profile: str, *, through: bool = False
) -> _Work:
    """Transform; ``through``: across the planes as well."""
    numbers = np.require(numbers, np.int32, ["C", "W"])
    n, y, x = numbers.shape
    tile = layout(y, x)
    low, high = int(numbers.min()), int(numbers.max())
    middle = (low + high) // 2
    places = max(LEAST_PLACES, min(PLACES, ROOM - max(high - middle, middle - low).bit_length()))
    coefficients = np.empty((n, y, x), np.int32)
    for p in range(n):
        points.center(numbers[p], middle, places, coefficients[p])
    if through:
        lifting.forward_across(coefficients.reshape(n, -1), across(n)[0])
    for p in range(n):
        lifting.forward(coefficients[p], y, x, tile.levels)
    cells, there = _cells(widths), _padded(valid)
    return _Work(tile, numbers, cells, valid, there, coefficients, middle, places, profile == "fast", through)


def _choose(
    numbers: Ints,
    widths: int | Ints,
    valid: Valid | None,
    profile: str,
    steps: npt.NDArray[np.float64],
) -> tuple[_Work, npt.NDArray[np.float64]]:
    """Transform, across the planes where that takes fewer bits; return the bits at each of ``steps``."""
    work = _prepare(numbers, widths, valid, profile)
    bits = work.foretell(steps) if len(steps) > 1 or len(numbers) > 1 else np.zeros(1)
    if len(numbers) > 1:
        other = _prepare(numbers, widths, valid, profile, through=True)
        fewer = other.foretell(steps)
        if fewer.min() < bits.min():
            return other, fewer
    return work, bits


def _restore(  # noqa: PLR0917 - as many as decoding has
    tile: Layout, pools: Ints, cells: Ints, scales: Rows, shifts: Rows, stop: int, through: bool
) -> Ints:
    """Compute the planes, or their low bands at level ``stop``, from the steps of their coefficients."""
    known = tile.bands[:, LEVEL] > stop
    known[0] = True
    n, (h, w) = len(pools), tile.shapes[stop]
    work = np.zeros(tile.shape, np.int32)
    out = np.empty((n, h, w), np.int32)
    for p in range(n):
        quantiser.dequantise(pools[p], _of(cells, p), tile.bands[known], scales[p][known], shifts, work)
        lifting.inverse(work, *tile.shape, tile.levels, stop)
        out[p] = work[:h, :w]
    if through:
        lifting.inverse_across(out.reshape(n, -1), across(n)[0])
    return out


def _near(p: int, n: int, through: bool) -> int:
    """Return whose coefficients say most about the points of plane ``p``: its own, or its low plane's."""
    return p >> across(n)[0] if through else p


def _step_code(step: float) -> int:
    """Return the code of the step next to ``step``."""
    fraction, exponent = math.frexp(min(max(step, 2.0**-24), 0.99 * MOST_STEP))
    return ((exponent + 23) << 8) + min(round((fraction - 0.5) * 512), 255)


def _scales(tile: Layout, n: int, code: int, places: int, through: bool) -> Rows:
    """Return each plane's and band's step for cells of width 1, times ``2 ** STEP_BITS``."""
    step = (256 + (code & 255)) << (code >> 8)  # in 2**-32
    scales = tile.norms * step >> (NORM_BITS + 32 - quantiser.STEP_BITS - places)
    if not through:
        return np.asarray(np.broadcast_to(np.maximum(scales, 1), (n, len(scales))))
    norms = across(n)[1][:, None]
    fine = (scales >> NORM_BITS) * norms + ((scales & ((1 << NORM_BITS) - 1)) * norms >> NORM_BITS)
    return np.asarray(np.maximum(fine, 1))


def _cells(widths: int | Ints) -> Ints:
    return (
        np.full((1, 1, 1), widths, np.int32)
        if np.ndim(widths) == 0
        else np.require(widths, np.int32, ["C", "W"])
    )


def _of(planes: npt.NDArray[Any], p: int) -> npt.NDArray[Any]:
    """Return plane ``p``, or the one that is everybody's."""
    return np.asarray(planes[p if len(planes) > 1 else 0])


def _padded(valid: Valid | None) -> npt.NDArray[np.uint8]:
    if valid is None:
        return np.ones((1, 1, 1), np.uint8)
    pad = coder.PAD
    return np.pad(valid.astype(np.uint8), ((0, 0), (pad, pad), (pad, pad)))
