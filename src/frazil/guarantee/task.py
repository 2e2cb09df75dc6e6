"""A chunk on its way through the methods that keep a bound: each attempt is decoded again and compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil import cells as cells_
from frazil import stored
from frazil.cells import widths
from frazil.cells.numbering import Line, Logs
from frazil.container import write_varint
from frazil.errors import FormatError
from frazil.guarantee import preserving, record
from frazil.guarantee.rebuilding import (
    CONSTANT,
    MAP,
    MEANS,
    POINTS,
    RAW,
    RECORD,
    SIGNS,
    STREAM,
    checks,
    correct,
    decode,
    encode_map,
    where_signs,
    with_map,
)
from frazil.guarantee.record import Guarantee
from frazil.residuals import patches
from frazil.sealing import seal, unseal

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.cells import Cells
    from frazil.container import Sections

CORRECTIONS = {SIGNS, MEANS, POINTS}
FEW = 8  # more than one exact point in so many: better all of them


@dataclass(frozen=True)
class Settled:
    """Sections that keep the bound, and the planes that they decode to."""

    sections: Sections
    planes: npt.NDArray[Any]

    @property
    def size(self) -> int:
        """Bytes of the sections in a container, without what is around all of them."""
        return sum(len(payload) + 1 + len(write_varint(len(payload))) for payload in self.sections.values())


@dataclass(frozen=True)
class Task:
    """Planes, and what their errors may be.

    Parameters
    ----------
    planes : ndarray, shape (n, y, x)
        Finite, native byte order.
    wide : ndarray
        The same, float16 as float32.
    known : ndarray of bool, shape (n, y, x), or None
        Where there are data; None: everywhere.
    allowed : float or ndarray of float64, shape (n, y, x)
        The bound.
    base : codec, optional
        Whose errors are corrected.
    fraction : float, optional
        The bound over the magnitude of the value, where it is so given; no value is 0 then.
    limits : tuple of float, optional
        Decoded values are clamped to these.
    keep : tuple of str
        "sign", "mean": what else is kept.
    grid : bool
    profile : {"best", "fast"}
    """

    planes: npt.NDArray[Any]
    wide: npt.NDArray[Any]
    known: npt.NDArray[np.bool_] | None
    allowed: float | npt.NDArray[np.float64]
    base: Any = None
    fraction: float | None = None
    limits: tuple[float, float] | None = None
    keep: tuple[str, ...] = ()
    grid: bool = False
    profile: str = "best"

    def cells(self, share: float = 1.0, finer: int = 1) -> Cells | None:
        """Numbers and cells for ``share`` of the bound, with ``finer`` times as many units as it takes."""
        if self.fraction is not None and self.planes.dtype.itemsize > 2:
            return cells_.relative(self.planes, self.fraction * share, self.known)
        return cells_.fit(
            self.wide, self.allowed * share, dtype=self.planes.dtype, grid=self.grid, finer=finer
        )

    def constant(self) -> Sections | None:
        """One value that is within the bound of every point, if there is one."""
        wide = self.wide if self.known is None else self.wide[self.known]
        if not wide.size:
            return self.sections(record.CONSTANT, {CONSTANT: stored.one(self.planes)})
        if wide.dtype.kind == "f":
            low, high = float(wide.min()), float(wide.max())
        else:
            low, high = int(wide.min()), int(wide.max())
        if low == high:
            value = wide.reshape(-1)[:1]
        elif self.grid:
            return None
        else:
            if isinstance(self.allowed, float):
                if not high - low <= 2 * self.allowed:
                    return None
                least, most = high - self.allowed, low + self.allowed
            else:
                allowed = self.allowed if self.known is None else self.allowed[self.known]
                near = wide.astype("f8").reshape(-1)
                with np.errstate(over="ignore"):
                    ends = (near - allowed.reshape(-1)).max(), (near + allowed.reshape(-1)).min()
                least, most = map(float, ends)
            if not least <= most:
                return None
            middle = least / 2 + most / 2
            if not math.isfinite(middle):  # anything goes
                middle = low / 2 + high / 2
            value = np.array([round(middle) if self.planes.dtype.kind in "iu" else middle])
        if low != high and self.limits is not None:
            value = np.clip(value, *self.limits)
        one = np.asarray(value, self.planes.dtype).reshape(1, 1, 1)
        return self.sections(record.CONSTANT, {CONSTANT: stored.one(one)})

    def interpolated(self, cells: Cells) -> Sections:
        """Encode by closed-loop interpolation."""
        from frazil.interpolation import stream

        wide = cells.widths.expand(self._shape)
        payload, _ = stream.encode(
            self._numbers(cells, wide), wide, self.known, profile=self.profile, aligned=cells.aligned
        )
        return self.sections(record.INTERPOLATION, {STREAM: payload}, cells)

    def _numbers(self, cells: Cells, wide: int | npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Round to numbers; on a grid that varies straight to its points: twice rounded is further away."""
        scale = cells.scale
        if not cells.aligned or isinstance(wide, int) or not isinstance(scale, Line):
            return scale.numbers(self.wide)
        steps = np.rint((self.wide.astype("f8") - scale.origin) / (scale.unit * wide))
        return np.asarray(steps * wide, np.int32)

    def transformed(self, cells: Cells, step: float | None = None) -> Sections:
        """Encode by a wavelet transform, and correct it."""
        from frazil.wavelet import stream

        payload, _ = stream.encode(
            cells.scale.numbers(self.wide),
            cells.widths.expand(self._shape),
            self.known,
            profile=self.profile,
            step=step,
        )
        return self.sections(record.WAVELET, {STREAM: payload}, cells)

    def corrected(self, cells: Cells) -> Sections:
        """Encode by a base codec, and correct it."""
        from frazil.residuals import context

        payload, _ = context.encode(self.wide, cells, self.base, self.known, profile=self.profile)
        return self.sections(record.CONTEXT, {STREAM: payload}, cells)

    def masked(self) -> Sections:
        """Encode by the method of the WeatherGenerator report D1.2."""
        from frazil.residuals import mask

        payload = mask.encode(self.planes, self.allowed, self.known, ratio=self.base.ratio)
        return self.sections(record.MASK, {STREAM: payload})

    def exactly(self) -> list[Sections]:
        """Ways to lose nothing."""
        ways = [self.sections(record.STORED, {RAW: stored.write(self.planes)})]
        exact = cells_.exact(self.planes)
        if exact is not None and self.planes.size > 64:
            from frazil.interpolation import stream

            payload, _ = stream.encode(exact.scale.numbers(self.planes), 1, self.known, profile=self.profile)
            ways.append(self.sections(record.EXACT, {STREAM: payload}, exact))
        return ways

    @property
    def _shape(self) -> tuple[int, int, int]:
        n, y, x = self.planes.shape
        return n, y, x

    def sections(self, method: int, payload: Sections, cells: Cells | None = None) -> Sections:
        """Put the record before what a method wrote."""
        limits = self.limits if method >= record.INTERPOLATION else None
        said = Guarantee(method=method, cells=cells, limits=limits)
        head = {RECORD: seal(said.pack(self.planes.dtype))}
        if cells is not None and cells.widths.levels is not None:
            head[MAP] = seal(widths.pack_map(cells.widths, encode_map))
        return head | payload

    def settle(self, sections: Sections) -> Settled | None:
        """Decode, compare, put in exactly what misses its bound, and record the largest error.

        None where too many points miss it.
        """
        said = record.unpack(unseal(sections[RECORD]), self.planes.dtype)
        decoded = decode(sections, self._shape, self.planes.dtype, 0, self.known, self.base)

        def corrected(more: Sections) -> tuple[Sections, npt.NDArray[Any]]:
            longer = _before_stream(sections, more)
            planes = decoded.copy() if longer.keys() & CORRECTIONS or said.limits else decoded
            correct(planes, longer, self._shape, 0, self.known)
            return longer, planes

        sections, again = corrected({})
        if self._needs_signs(said):
            # on what the reader has at this point: neither shifted nor clamped yet
            where = where_signs(said, decoded, with_map(said.cells, sections, self._shape), self.known)
            signs = preserving.write_signs(self.planes, decoded, where)
            sections, again = corrected({SIGNS: seal(signs)} if signs else {})
        if "mean" in self.keep:
            tolerated = preserving.tolerated(self.allowed, self.known, len(self.planes))
            off = preserving.mean_errors(self.planes, again, self.known)
            if (np.abs(off) > tolerated).any():
                if said.method < record.INTERPOLATION:
                    return None
                shifts = np.clip(-off, -3e38, 3e38).astype("<f4").tobytes()
                sections, again = corrected({MEANS: seal(shifts)})
        error, share, missed = self._compare(again)
        if missed:
            if missed > self.planes.size // FEW + 1:
                return None
            points = patches.write(self.planes, np.flatnonzero(self._missed(again).reshape(-1)))
            sections, again = corrected({POINTS: seal(points)})
            error, share, missed = self._compare(again)
            if missed:
                raise FormatError(f"{missed} points miss their bound after they were stored exactly")
        if "mean" in self.keep:
            off = preserving.mean_errors(self.planes, again, self.known)
            if (np.abs(off) > tolerated).any():
                return None
        parts = checks(said.method, sections[STREAM], self._shape) if STREAM in sections else ()
        packed = replace(said, max_error=error, share=share, checks=parts).pack(self.planes.dtype)
        return Settled(sections | {RECORD: seal(packed)}, again)

    def _compare(self, again: npt.NDArray[Any]) -> tuple[float, float, int]:
        """Largest error, largest error over bound, and points that miss what they have to keep."""
        from frazil.cells import rounding

        wide = again.astype(self.wide.dtype, copy=False).reshape(-1)
        known = np.zeros(0, bool) if self.known is None else self.known.reshape(-1)
        before = self.wide.reshape(-1)
        if isinstance(self.allowed, float):
            error, missed = rounding.errors(before, wide, known, self.allowed)
            share = error / self.allowed if error else 0.0
        else:
            error, share, missed = rounding.errors_varying(before, wide, known, self.allowed.reshape(-1))
        if "sign" in self.keep:
            missed = int(np.count_nonzero(self._missed(again)))
        return error, share, missed

    def _needs_signs(self, said: Guarantee) -> bool:
        if said.cells is not None and isinstance(said.cells.scale, Logs):
            return bool((self.planes < 0).any())
        return "sign" in self.keep and said.method >= record.INTERPOLATION

    def _missed(self, again: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        with np.errstate(all="ignore"):
            error = np.abs(again.astype("f8") - self.wide.astype("f8"))
        missed: npt.NDArray[np.bool_] = ~(error <= self.allowed)
        if "sign" in self.keep:
            missed |= np.sign(again) != np.sign(self.planes)
        return missed if self.known is None else missed & self.known


def _before_stream(sections: Sections, more: Sections) -> Sections:
    """Readers of a prefix need it before the stream."""
    last = {tag: sections[tag] for tag in (STREAM,) if tag in sections}
    return {tag: payload for tag, payload in sections.items() if tag not in last} | more | last
