"""Whether decoded values keep the bound that their array promises, chunk by chunk."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import ChunkSpec
from frazil.regions import as_stored, bounds_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    import xarray as xr
    import zarr

    from frazil.transcode import Region

    Index = tuple[int, ...]

SLACK = 1e-6  # of a share, which is recorded in 250ths


class BoundCheck:
    """Compares an array whose codec keeps a bound with its original, and remembers what it finds.

    Errors are computed in float64, of values as they are stored.

    Parameters
    ----------
    array : zarr.Array
        Its codec says the bound, its chunks what they achieved.
    decoded : xarray.Variable
        The same array as xarray opens it: its encoding says how values are stored.
    bounds : xarray.Variable, optional
        Of an "array" bound: that of each point, of some or all of the axes. Without it
        the largest error that each chunk records is taken for its bound.
    """

    def __init__(self, array: zarr.Array[Any], decoded: xr.Variable, bounds: xr.Variable | None) -> None:
        from numcodecs.registry import get_codec

        from frazil.inventory import chunk_entries, frazil_codec

        codec: Any = get_codec(dict(frazil_codec(array) or {}))
        self._codec = codec
        self.limit = codec.limit
        self.share = 0.0
        self._array = array
        self._variable = decoded
        self._bounds = bounds
        self._records = {entry.index: entry for entry in chunk_entries(array) if entry.method is not None}
        # Zarr v2 does not tell codecs the fill value; frazil.to_zarr does where it hands them bounds
        tells = array.metadata.zarr_format == 3 or self.limit.kind == "array"
        self._sentinels = codec.sentinels(array.fill_value if tells else None)
        self._missed: dict[Index, tuple[int, float, float, Index]] = {}
        self._understated: dict[Index, str] = {}
        self._changed: dict[Index, int] = {}

    @property
    def text(self) -> str:
        """The bound, as `frazil.bounds` writes it."""
        recorded = self.limit.kind == "array" and self._bounds is None
        return f"{self.limit.text}{' (as recorded)' if recorded else ''}"

    def add(self, region: Region, original: npt.NDArray[Any], decoded: npt.NDArray[Any]) -> None:
        """Compare a region of whole chunks (or up to the end of the array)."""
        dtype = np.dtype(self._array.dtype)
        ours, theirs = (as_stored(values, self._variable, dtype) for values in (original, decoded))
        for index, at in _chunks_in(region, self._array.chunks):
            inside = tuple(
                slice(a.start - start, a.stop - start) for a, (start, _) in zip(at, region, strict=True)
            )
            self._compare(index, at, ours[inside], theirs[inside])

    def problems(self) -> tuple[str, ...]:
        """Sentences about what is wrong; none where all is well."""
        found = []
        if self._missed:
            points = sum(count for count, *_ in self._missed.values())
            worst = max(self._missed, key=lambda index: self._missed[index][1] - self._missed[index][2])
            _, error, bound, point = self._missed[worst]
            found.append(
                f"misses its bound {self.text} at {points} points of {len(self._missed)} chunks, most in "
                f"chunk {worst}: error {error:.4g} at point {point}, where the bound is {bound:.4g}"
            )
        for index, sentence in itertools.islice(self._understated.items(), 1):
            more = f", and so do {n} more chunks" if (n := len(self._understated) - 1) else ""
            found.append(f"chunk {index} records less than its errors: {sentence}{more}")
        if self._changed:
            index = next(iter(self._changed))
            found.append(
                f"{sum(self._changed.values())} points of {len(self._changed)} chunks hold no data and came "
                f"back as another value, first in chunk {index}"
            )
        return tuple(found)

    def _compare(
        self, index: Index, at: tuple[slice, ...], ours: npt.NDArray[Any], theirs: npt.NDArray[Any]
    ) -> None:
        known = self._known(ours)
        same = (ours == theirs) | ((ours != ours) & (theirs != theirs))  # noqa: PLR0124 - NaN; integers have none
        lost = int(np.count_nonzero(~same & ~known))
        if lost:
            self._changed[index] = lost
        with np.errstate(all="ignore"):
            error = np.abs(theirs.astype("f8") - ours.astype("f8"))
        error[~known | same] = 0
        allowed = np.broadcast_to(self._allowed(index, at, ours, known), error.shape)
        missed = ~(error <= allowed) & (error != 0)
        if missed.any():
            excess = np.where(missed, np.nan_to_num(error, nan=np.inf) - allowed, -np.inf)
            point = np.unravel_index(int(np.nanargmax(excess)), excess.shape)
            place = tuple(int(p) + a.start for p, a in zip(point, at, strict=True))
            count = int(np.count_nonzero(missed))
            self._missed[index] = (count, float(error[point]), float(allowed[point]), place)
        self._against_record(index, error, allowed)

    def _against_record(
        self, index: Index, error: npt.NDArray[np.float64], allowed: npt.NDArray[np.float64]
    ) -> None:
        largest = float(error.max(initial=0))
        with np.errstate(all="ignore"):
            shares = np.where(error > 0, error / allowed, 0)
        share = float(shares.max(initial=0))
        entry = self._records.get(index)
        if self.limit.kind == "array" and self._bounds is None:
            share = min(entry.share or 0.0, 1.0) if entry is not None else 0.0
        self.share = max(self.share, share if not math.isnan(share) else math.inf)
        if entry is None:
            return
        if not largest <= (entry.max_error or 0.0):
            self._understated[index] = f"max error {entry.max_error:.4g}, found is {largest:.4g}"
        elif not min(share, 1.0) <= (entry.share or 0.0) + SLACK:
            self._understated[index] = f"{entry.share:.3f} of the bound, found is {share:.3f}"

    def _allowed(
        self, index: Index, at: tuple[slice, ...], ours: npt.NDArray[Any], known: npt.NDArray[np.bool_]
    ) -> Any:
        """Bounds of the points of a chunk."""
        if self.limit.kind == "array":
            if self._bounds is None:
                entry = self._records.get(index)
                return 0.0 if entry is None or entry.max_error is None else entry.max_error
            return bounds_at(self._bounds, self._variable.dims, at).astype("f8")
        if self.limit.kind == "abs":
            return self.limit.value
        # relative to what the codec saw: with what Zarr puts beyond the edge of the array
        fill = self._array.fill_value
        short = [(0, n - m) for n, m in zip(self._array.chunks, ours.shape, strict=True)]
        if self.limit.kind != "pw_rel" and any(n for _, n in short):
            whole = np.pad(ours, short, constant_values=0 if fill is None else fill)
            known = self._known(whole)
        else:
            whole = ours
        low = whole[known].min() if known.any() else whole.dtype.type(0)
        filled, present = (np.ascontiguousarray(part) for part in (np.where(known, whole, low), known))
        bounds = self.limit.resolve(self._codec.to_stack(filled), self._codec.to_stack(present))
        if isinstance(bounds, float):
            return bounds
        spec = ChunkSpec(whole.shape, bounds.dtype)
        return self._codec.from_stack(bounds, whole.shape, spec)[tuple(slice(n) for n in ours.shape)]

    def _known(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = np.isfinite(values)
        for sentinel in self._sentinels:
            known &= values != np.asarray(sentinel)
        return known


def _chunks_in(region: Region, chunks: Index) -> Iterator[tuple[Index, tuple[slice, ...]]]:
    """Index and slices of each chunk in ``region``, which begins where a chunk does.

    Examples
    --------
    >>> [(index, at[1]) for index, at in _chunks_in(((2, 4), (0, 9)), (2, 5))]
    [((1, 0), slice(0, 5, None)), ((1, 1), slice(5, 9, None))]
    """
    grid = [range(start // n, -(-stop // n)) for (start, stop), n in zip(region, chunks, strict=True)]
    for index in itertools.product(*grid):
        yield (
            index,
            tuple(
                slice(i * n, min(i * n + n, stop))
                for i, n, (_, stop) in zip(index, chunks, region, strict=True)
            ),
        )
