"""The sections of a bounded chunk, decoded: numbers by one of the methods, then what corrects values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import stored
from frazil.cells import widths
from frazil.cells.numbering import Line, Logs
from frazil.errors import ChecksumError, FormatError, TruncatedError
from frazil.guarantee import preserving, record
from frazil.residuals import patches
from frazil.sealing import sixteen, take, unseal

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.cells import Cells
    from frazil.container import Sections
    from frazil.guarantee.record import Guarantee

WORTH = 2048  # bytes of a stream below which a part of it is not worth two bytes of check
RECORD, MAP, SIGNS, MEANS, POINTS, STREAM, CONSTANT, RAW = "B", "D", "S", "E", "P", "Q", "K", "R"


def rebuild(  # noqa: PLR0917 - what a decoder is told
    sections: Sections,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    level: int,
    known: npt.NDArray[np.bool_] | None,
    base: Any,
) -> npt.NDArray[Any]:
    """Decode what a `Task` wrote, at 1/2**level of the resolution.

    Raises
    ------
    FormatError
        If the sections are none of a bounded chunk of this shape and dtype.
    """
    planes = decode(sections, shape, dtype, level, known, base)
    correct(planes, sections, shape, level, known)
    return planes


def decode(  # noqa: PLR0917 - what a decoder is told
    sections: Sections,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    level: int,
    known: npt.NDArray[np.bool_] | None,
    base: Any,
) -> npt.NDArray[Any]:
    """Decode what the method wrote, without what corrects it; see `rebuild`."""
    said = record.unpack(unseal(take(sections, RECORD, "frazil.bounded")), dtype)
    grid = (slice(None), slice(None, None, 1 << level), slice(None, None, 1 << level))
    if said.method == record.CONSTANT:
        return stored.constant(take(sections, CONSTANT, said.name), shape, dtype)[grid].copy()
    if said.method == record.STORED:
        return stored.read(take(sections, RAW, said.name), shape, dtype)[grid].copy()
    payload = take(sections, STREAM, said.name)
    _check_prefix(said, payload, shape, level)
    cells = with_map(said.cells, sections, shape)
    if cells is None:
        from frazil.residuals import mask

        return mask.decode(payload, shape, dtype, level)
    numbers = _numbers(said.method, payload, shape, cells, known, level, (base, dtype))
    return cells.scale.values(numbers, dtype)


def correct(
    planes: npt.NDArray[Any],
    sections: Sections,
    shape: tuple[int, int, int],
    level: int,
    known: npt.NDArray[np.bool_] | None,
) -> None:
    """Turn signs, shift means, clamp, and put in exact points, in place, as the sections say."""
    said = record.unpack(unseal(sections[RECORD]), planes.dtype)
    if SIGNS in sections:
        cells = with_map(said.cells, sections, shape)
        _apply_signs(planes, said, cells, unseal(sections[SIGNS]), shape, level, known)
    if MEANS in sections:
        preserving.shift(planes, unseal(sections[MEANS]))
    if said.limits is not None:
        low, high = np.array(said.limits, planes.dtype)
        np.clip(planes, low, high, out=planes)
    # the low band of a transform is no sample of the field: nothing to put there
    sampled = said.method in (record.CONSTANT, record.EXACT, record.INTERPOLATION)
    if POINTS in sections and (level == 0 or sampled):
        patches.apply(planes, unseal(sections[POINTS]), shape, level)


def with_map(cells: Cells | None, sections: Sections, shape: tuple[int, int, int]) -> Cells | None:
    """Cells with the map of their widths, if there is one."""
    if cells is None or MAP not in sections:
        return cells
    found = widths.unpack_map(cells.widths.base, unseal(sections[MAP]), shape, _decode_map)
    return replace(cells, widths=found)


def where_signs(
    said: Guarantee,
    planes: npt.NDArray[Any],
    cells: Cells | None,
    known: npt.NDArray[np.bool_] | None,
) -> npt.NDArray[np.bool_]:
    """Points whose sign is stored: those that may have the wrong one.

    What a base codec makes of a point may differ from machine to machine, so all points are stored then.
    """
    sure = said.method in (record.INTERPOLATION, record.WAVELET)
    if not sure or cells is None or not isinstance(cells.scale, Line):
        return np.ones(planes.shape, bool) if known is None else known
    n, y, x = planes.shape
    margin = (np.asarray(cells.widths.expand((n, y, x))) + 4.0) * (cells.scale.unit / 2)
    return preserving.doubtful(planes, margin, known)


def _apply_signs(  # noqa: PLR0917 - what a decoder is told
    planes: npt.NDArray[Any],
    said: Guarantee,
    cells: Cells | None,
    payload: bytes,
    shape: tuple[int, int, int],
    level: int,
    known: npt.NDArray[np.bool_] | None,
) -> None:
    """Turn the signs that were wrong; at a lower resolution only where they do not depend on the rest."""
    if level == 0:
        preserving.apply_signs(planes, payload, where_signs(said, planes, cells, known))
    elif cells is not None and isinstance(cells.scale, Logs):
        full = np.ones(shape, planes.dtype)
        preserving.apply_signs(full, payload, np.ones(shape, bool) if known is None else known)
        planes *= full[:, :: 1 << level, :: 1 << level]


def _numbers(  # noqa: PLR0917 - what a decoder is told
    method: int,
    payload: bytes,
    shape: tuple[int, int, int],
    cells: Cells,
    known: npt.NDArray[np.bool_] | None,
    level: int,
    origin: tuple[Any, np.dtype[Any]],
) -> npt.NDArray[np.int32]:
    if method == record.CONTEXT:
        from frazil.residuals import context

        base, dtype = origin
        if base is None:
            raise FormatError(
                "the chunk holds corrections to a base codec, the array's configuration names none"
            )
        return context.decode(payload, shape, dtype, cells, base, known, level)
    wide = cells.widths.expand(shape)
    if method == record.WAVELET:
        from frazil.wavelet import stream as wavelet

        return wavelet.decode(payload, shape, wide, known, level)
    from frazil.interpolation import stream

    return stream.decode(payload, shape, wide, known, level, aligned=cells.aligned)


def prefix_needed(method: int, head: bytes, shape: tuple[int, int, int], level: int) -> int:
    """Bytes of the stream that a lower resolution takes; `TruncatedError` where ``head`` does not say yet."""
    if method == record.WAVELET:
        from frazil.wavelet import stream as wavelet

        return wavelet.prefix_needed(head, shape, level)
    if method in (record.EXACT, record.INTERPOLATION):
        from frazil.interpolation import stream

        return stream.prefix_needed(head, shape, level)
    if method == record.CONTEXT:
        from frazil.residuals import context

        return context.prefix_needed(head, shape, level)
    return 1 << 62  # all of it


def checks(method: int, payload: bytes, shape: tuple[int, int, int]) -> tuple[int, ...]:
    """Return checks of the parts of a stream that lower resolutions take, for readers of no more of it."""
    found: list[int] = []
    last = len(payload)
    if last < WORTH:
        return ()
    for level in range(1, record.MOST_CHECKS + 1):
        needed = prefix_needed(method, payload, shape, level)
        if needed >= last:
            break
        found.append(sixteen(payload[:needed]))
        last = needed
    return tuple(found)


def _check_prefix(said: Guarantee, payload: bytes, shape: tuple[int, int, int], level: int) -> None:
    if not level or not said.checks:
        return
    needed = prefix_needed(said.method, payload, shape, min(level, len(said.checks)))
    if len(payload) < needed:
        raise TruncatedError(f"{len(payload)} bytes of a stream are too few for level {level}")
    if sixteen(payload[:needed]) != said.checks[min(level, len(said.checks)) - 1]:
        raise ChecksumError(f"the first {needed} bytes of a stream are damaged")


def encode_map(levels: npt.NDArray[np.int32]) -> bytes:
    """Code the levels of a map of widths."""
    from frazil.interpolation import stream

    return stream.encode(levels, 1, None)[0]


def _decode_map(payload: bytes, shape: tuple[int, int, int]) -> npt.NDArray[np.int32]:
    from frazil.interpolation import stream

    return stream.decode(payload, shape, 1, None)
