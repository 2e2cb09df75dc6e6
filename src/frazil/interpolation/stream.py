"""A stack of whole numbers in cells of given widths: the stream of the interpolation coder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import ConfigurationError, FormatError, TruncatedError

if TYPE_CHECKING:
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int32]

VERSION = 1
FAST, WRAP, FINER, MARKED = 8, 16, 32, 64
TABLE = 1  # of initial states: frazil.entropy.states
PLAIN = 512  # shorter streams do not say where their levels end
MARKS = 5
# Cells of coarser levels, in 1/256 of the finest: smaller ones pay where the finest has next to nothing.
SCALES = ((256, 256, 256, 256, 256), (256, 241, 228, 215, 213))


def encode(
    numbers: Numbers,
    widths: int | Numbers,
    valid: npt.NDArray[np.bool_] | None,
    *,
    profile: str = "best",
    aligned: bool = False,
) -> tuple[bytes, Numbers]:
    """Code ``numbers`` so that each comes back within its cell.

    Parameters
    ----------
    numbers : int32 array, shape (n, y, x)
        None beyond 2**28.
    widths : int or int32 array, shape (n, y, x)
        Width of the cells: odd, so that |rebuilt - numbers| <= (width - 1) / 2.
    valid : bool array, shape (n, y, x), or None
        Where there are numbers; elsewhere anything comes back, the same in every decoder.
    profile : {"best", "fast"}
        How many contexts foretell a number: three, or one.
    aligned : bool
        Make every rebuilt number a multiple of its width, which then may be even:
        |rebuilt - numbers| <= width / 2, and coding it again changes nothing.

    Returns
    -------
    stream : bytes
    rebuilt : int32 array, shape (n, y, x)
        What `decode` makes of it.

    Raises
    ------
    ConfigurationError
        If there is no such profile.

    Examples
    --------
    >>> ramp = np.add.outer(np.arange(64), np.arange(96)).astype(np.int32)[None]
    >>> stream, rebuilt = encode(ramp, 5, None)
    >>> int(abs(rebuilt - ramp).max()), len(stream) < 99
    (2, True)
    >>> bool((decode(stream, (1, 64, 96), 5, None) == rebuilt).all())
    True
    """
    from frazil.entropy import coder, states
    from frazil.interpolation.pyramid import depth, walk

    table = states.load(TABLE)
    _, h, w = numbers.shape
    if numbers.size == 0:
        return bytes([VERSION, TABLE]), np.empty(numbers.shape, np.int32)
    numbers = _plain(numbers, np.int32)
    if profile not in {"best", "fast"}:
        raise ConfigurationError(f"profile is {profile!r}; it can be 'best' or 'fast'")
    fast = profile == "fast"
    varying, cells = _widths(widths)
    masked = valid is not None and not valid.all()
    mask = _plain(valid, np.bool_).view(np.uint8) if masked else np.ones((1, 1, 1), np.uint8)
    levels = depth(h, w)
    # a single column has no second neighbour to the left, around the globe or not
    wrap = w > 1 << levels and meets(numbers, valid if masked else None)
    finer = not aligned and is_smooth(numbers[0], cells[0], mask[0] if masked else None)
    rebuilt = np.empty(numbers.shape, np.int32)
    marks = np.zeros(levels + 1, np.int64)
    room = numbers.size // 2
    while True:
        slots, mix = table.start(1 if fast else 3)
        machine, words = coder.writer(room)
        walk(
            False,
            fast,
            aligned,
            wrap,
            numbers,
            masked,
            mask,
            varying,
            cells,
            scales_of(finer),
            0,
            table.stencils,
            table.weights.copy(),
            slots,
            mix,
            machine,
            words,
            marks,
            rebuilt,
            h,
            w,
        )
        if not coder.overflown(machine, words):
            break
        room *= 4
    body = coder.finish(machine, words)
    first = VERSION | FAST * fast | WRAP * wrap | FINER * finer
    if len(body) < PLAIN:
        return bytes([first, TABLE]) + body, rebuilt
    ends = [2 * (int(mark) + 2) for mark in marks[1 : MARKS + 1]][::-1]
    steps = np.diff(ends, prepend=0).tolist()
    head = bytes([first | MARKED, TABLE]) + b"".join(write_varint(step) for step in steps)
    return head + body, rebuilt


def decode(  # noqa: PLR0917 - the interface that all streams of numbers share
    stream: bytes | memoryview,
    shape: tuple[int, int, int],
    widths: int | Numbers,
    valid: npt.NDArray[np.bool_] | None,
    level: int = 0,
    aligned: bool = False,
) -> Numbers:
    """Return ``rebuilt[:, :: 2**level, :: 2**level]`` of `encode`; above level 0 a prefix will do.

    Raises
    ------
    FormatError
        If the stream is of a version that this frazil does not know.
    TruncatedError
        If it ends too early.
    """
    from frazil.entropy import coder, states
    from frazil.interpolation.pyramid import depth, walk

    n, h, w = shape
    levels = depth(h, w)
    first, number, _, body = _head(stream, levels)
    table = states.load(number)
    stop = min(level, levels)
    fast = bool(first & FAST)
    varying, cells = _widths(widths)
    masked = valid is not None and not valid.all()
    mask = _plain(valid, np.bool_).view(np.uint8) if masked else np.ones((1, 1, 1), np.uint8)
    out = np.empty((n, -(-h >> stop), -(-w >> stop)), np.int32)
    if out.size == 0:
        return np.empty((n, -(-h >> level), -(-w >> level)), np.int32)
    slots, mix = table.start(1 if fast else 3)
    machine, words = coder.reader(memoryview(stream)[body:])
    walk(
        True,
        fast,
        aligned,
        bool(first & WRAP),
        np.zeros((1, 1, 1), np.int32),
        masked,
        mask,
        varying,
        cells,
        scales_of(bool(first & FINER)),
        stop,
        table.stencils,
        table.weights.copy(),
        slots,
        mix,
        machine,
        words,
        np.zeros(levels + 1, np.int64),
        out,
        h,
        w,
    )
    coder.check(machine, words)
    rest = level - stop
    return np.ascontiguousarray(out[:, :: 1 << rest, :: 1 << rest]) if rest else out


def prefix_needed(head: bytes, shape: tuple[int, int, int], level: int) -> int:
    """Return how many bytes of the stream that starts with ``head`` `decode` needs for ``level``.

    For level 0, and where the stream is short, that may be more than there are.

    Raises
    ------
    TruncatedError
        If ``head`` is too short to tell.
    """
    from frazil.interpolation.pyramid import depth

    levels = depth(shape[1], shape[2])
    first, _, ends, body = _head(head, levels)
    if not first & MARKED:
        return body + PLAIN
    if level == 0 or not ends:  # one row or column has no lower levels
        return 1 << 62
    return body + ends[min(level, len(ends)) - 1]


def _head(stream: bytes | memoryview, levels: int) -> tuple[int, int, list[int], int]:
    if len(stream) < 2:
        raise TruncatedError(f"the stream of numbers has {len(stream)} bytes, its head alone takes two")
    first, table = stream[0], stream[1]
    if first & 7 != VERSION or first & 128:
        raise FormatError(
            f"the stream of numbers starts with {first}, this frazil reads version {VERSION}; upgrade frazil"
        )
    at, ends = 2, []
    if first & MARKED:
        end = 0
        for _ in range(min(levels, MARKS)):
            step, at = read_varint(stream, at, "length of a level")
            end += step
            ends.append(end)
    return first, table, ends[::-1], at


def _widths(widths: int | Numbers) -> tuple[bool, Numbers]:
    if isinstance(widths, np.ndarray) and widths.ndim:
        return True, _plain(widths, np.int32)
    return False, np.full((1, 1, 1), widths, np.int32)


def _plain(array: Any, dtype: Any) -> Any:
    """Return what numba has compiled for: contiguous and writeable."""
    return np.require(array, dtype, ["C", "W"])


def scales_of(finer: bool) -> Any:
    """Return the widths of each level's cells, in 1/256 of the finest's."""
    scales = SCALES[finer]
    return np.array([scales[min(level, 4)] for level in range(9)], np.int64)


def meets(numbers: Numbers, valid: Any) -> bool:
    """Whether the first and last columns look like neighbours."""
    n, h, w = numbers.shape
    if w < 16 or w % 2 or n * h < 8:
        return False
    rows = slice(None, None, max(1, n * h // 4096))
    flat = numbers.reshape(-1, w)[rows]
    ends = flat[:, [-2, -1, 0, 1]].astype(np.int64)
    steps = np.abs(np.diff(ends, axis=1))
    if valid is not None:
        there = valid.reshape(-1, w)[rows][:, [-2, -1, 0, 1]].all(axis=1)
        if there.sum() < 8:
            return False
        steps = steps[there]
    across, beside = steps[:, 1].sum(), steps[:, 0].sum() + steps[:, 2].sum()
    return bool(3 * beside > 4 * across) if beside else False


def is_smooth(plane: Numbers, widths: Numbers, valid: Any) -> bool:
    """Whether fewer than 2 % of the points are half a bound from the mean of their neighbours."""
    h, w = plane.shape
    if min(h, w) < 3:
        return False
    rows = np.arange(1, h - 1) if plane.size < 50000 else np.arange(1, h - 1, 16)
    x = plane
    mean4 = x[rows - 1, 1:-1].astype(np.int64) + x[rows + 1, 1:-1] + x[rows, :-2] + x[rows, 2:]
    off = np.abs(4 * x[rows, 1:-1].astype(np.int64) - mean4) > (
        widths[rows, 1:-1] if widths.size > 1 else widths[0, 0]
    )
    if valid is not None:
        v = valid
        there = v[rows, 1:-1] & v[rows - 1, 1:-1] & v[rows + 1, 1:-1] & v[rows, :-2] & v[rows, 2:]
        off = off[there.astype(bool)]
    return bool(off.size and off.mean() < 0.02)


def warm() -> None:
    """Compile what `encode` and `decode` need, which takes a minute the first time."""
    numbers = np.arange(4096, dtype=np.int32).reshape(1, 64, 64)
    stream, _ = encode(numbers, 5, None)
    decode(stream, numbers.shape, 5, None)
