"""A store seen as samples: which channels, windows and area, and how they are read."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.data.assembly import Assembly
from frazil.data.batch import Batch
from frazil.data.channels import parse_channels
from frazil.data.normalise import Normaliser
from frazil.data.region import find_area, find_steps, patch_sizes
from frazil.data.stores import StoreReader
from frazil.data.windows import SamplePlan, find_breaks
from frazil.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from frazil.data.assembly import Fields

    Ints = npt.NDArray[np.int64]


class Samples:
    """Windows of steps, channels and points of a store.

    Parameters
    ----------
    store : path, URL, Zarr store, xarray.Dataset or StoreReader
    variables : optional
        Names, or pairs of name and coordinate values: ``["t2m", ("z", [500, 850])]``; default all.
    inputs, targets : sequence of int
        Steps from the anchor of a window; ``targets=[]`` for none.
    stride : int, default 1
        Steps between anchors.
    level : int, default 0
        Resolution 1/2**level along space.
    region : mapping of dimension to slice, optional
        Of coordinate values, both ends included: ``{"lat": slice(70, 30)}``; of points where there are none.
    times : slice, optional
        Of the sample axis: ``slice("2001", "2003")``; windows stay inside.
    patch : mapping of dimension to int, optional
        Cut the area to patches of so many points.
    statics : sequence of str
        Variables without the sample axis.
    normalise : None, "store" or Normaliser
        ``"store"``: mean 0 and standard deviation 1 by the statistics in the store, which are computed and
        written there if they are not (kept in memory where it is read-only).
    missing : float, default 0
        Takes the place of NaN, after normalisation.
    dtype : dtype, default float32
    decode : bool, default True
        False reads latents or codewords instead of fields: whole numbers, unless they are normalised.
    group, sample_dim, spatial, retries
        As `StoreReader` has them.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> t2m = xr.DataArray(np.arange(24.0).reshape(6, 2, 2), dims=("time", "y", "x"), name="t2m")
    >>> samples = Samples(t2m.to_dataset(), inputs=[-1, 0], targets=[1])
    >>> samples.names, len(samples), samples.read([1]).x.ravel()
    (('t2m',), 4, array([0., 1., 2., 3., 4., 5., 6., 7.], dtype=float32))
    """

    def __init__(
        self,
        store: Any,
        *,
        variables: Any = None,
        inputs: Sequence[int] = (-1, 0),
        targets: Sequence[int] = (1,),
        stride: int = 1,
        level: int = 0,
        region: Mapping[str, Any] | None = None,
        times: Any = None,
        patch: Any = None,
        statics: Sequence[str] = (),
        normalise: Any = None,
        missing: float = 0.0,
        dtype: Any = "float32",
        decode: bool = True,
        group: str | None = None,
        sample_dim: str | None = None,
        spatial: Sequence[str] | None = None,
        retries: int = 4,
    ) -> None:
        self.reader = reader = (
            store
            if isinstance(store, StoreReader)
            else StoreReader(
                store,
                group=group,
                level=level,
                sample_dim=sample_dim,
                spatial=None if spatial is None else tuple(spatial),
                decode=decode,
                retries=retries,
            )
        )
        self.variables = variables
        self.channels = parse_channels(reader, variables)
        self.names = tuple(channel.name for channel in self.channels)
        arrays = [reader.array(name) for name in dict.fromkeys(c.variable for c in self.channels)]
        first = arrays[0]
        sizes = {d: first.shape[first.dims.index(d)] for d in (reader.sample_dim, *reader.spatial)}
        steps = reader.coordinate(reader.sample_dim)
        area = find_area(reader, sizes, region or {})
        self.plan = SamplePlan(
            length=sizes[reader.sample_dim],
            inputs=tuple(map(int, inputs)),
            targets=tuple(map(int, targets)),
            stride=stride,
            steps=find_steps(reader, sizes[reader.sample_dim], times),
            breaks=() if steps is None else find_breaks(steps),
            chunk=max(a.chunks[a.dims.index(reader.sample_dim)] for a in arrays),
            area=area,
            patch=patch_sizes(patch, reader.spatial, area),
            area_chunks=tuple(max(a.chunks[a.dims.index(dim)] for a in arrays) for dim in reader.spatial),
        )
        self.steps = np.arange(self.plan.length) if steps is None else steps
        self.normaliser = self._normaliser(normalise)
        self.missing = missing
        integers = not reader.decode and self.normaliser is None and all(a.dtype.kind in "iu" for a in arrays)
        self.dtype = np.result_type(*(a.dtype for a in arrays)) if integers else np.dtype(dtype)
        self.assembly = Assembly(
            reader,
            self.channels,
            self.plan,
            scale=None if self.normaliser is None else self.normaliser.scale_offset(self.channels),
            missing=missing,
            dtype=self.dtype,
        )
        self.static_names = tuple(statics)
        self._static: npt.NDArray[np.float32] | None = None

    def _normaliser(self, wanted: Any) -> Normaliser | None:
        if wanted is None or isinstance(wanted, Normaliser):
            return wanted
        if wanted != "store":
            raise ConfigurationError(f"normalise is None, 'store' or a Normaliser; got {wanted!r}")
        return self._statistics()

    def _statistics(self) -> Normaliser:
        """Statistics of the store; computed, and written there if they can be, where it has none."""
        found = Normaliser.from_store(self.reader, self.variables)
        if found is None:
            found = Normaliser.fit(self.reader.at_level(0), self.variables)
            with contextlib.suppress(StoreError):  # read-only: every reader computes them anew
                found.write(self.reader)
        return found

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.plan.samples)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk of the sample axis, of all channels, decoded."""
        return self.assembly.open_bytes

    def bytes_of(self, samples: int) -> int:
        """Bytes of a batch."""
        return int(samples * np.prod(self.assembly.shape) * self.dtype.itemsize)

    @property
    def static(self) -> npt.NDArray[np.float32] | None:
        """Fields without the sample axis, shape (fields, *space) over the area; None if none were named."""
        if self.static_names and self._static is None:
            self._static = np.stack([self._read_static(name) for name in self.static_names])
        return self._static

    def _read_static(self, name: str) -> npt.NDArray[np.float32]:
        array = self.reader.array(name)
        if array.dims != self.reader.spatial:
            raise ConfigurationError(
                f"{name!r} has the axes {array.dims}; fields in statics= have {self.reader.spatial}"
            )
        field = np.empty(array.shape, np.float32)
        grid = [range(-(-n // c)) for n, c in zip(array.shape, array.chunks, strict=True)]
        for coords in np.ndindex(*(len(r) for r in grid)):
            at = tuple(slice(k * c, k * c + c) for k, c in zip(coords, array.chunks, strict=True))
            field[at] = self.reader.read_chunk(name, coords)
        return field[tuple(slice(low, high) for low, high in self.plan.area)]

    def batch(self, ids: Ints, fields: Fields, **labels: Any) -> Batch:
        """Name the values of some samples."""
        split = len(self.plan.inputs)
        values, valid = fields.values, fields.valid
        patched = self.plan.patch is not None
        return Batch(
            x=values[:, :split],
            y=values[:, split:] if self.plan.targets else None,
            mask=valid[:, :split],
            y_mask=valid[:, split:] if self.plan.targets else None,
            time=self.steps[self.plan.window(ids)],
            index=np.asarray(ids, np.int64),
            channels=self.names,
            static=None if patched else self.static,
            **{"epoch": 0, "superbatch_id": 0, "position": 0, "is_last": True} | labels,
        )

    def read(self, ids: Sequence[int] | Ints) -> Batch:
        """Read some samples, here and now.

        Raises
        ------
        IndexError
            If there is no such sample.
        """
        numbers = np.asarray(ids, np.int64).reshape(-1)
        unknown = numbers[~np.isin(numbers, self.plan.samples)]
        if unknown.size:
            raise IndexError(f"there are no samples {unknown[:5].tolist()}; {len(self)} there are")
        kept = {key: self.assembly.load(key) for key in self.assembly.needs(numbers)}
        return self.batch(numbers, self.assembly.fill(numbers, kept.__getitem__))

    def fingerprint(self) -> str:
        """Hash of the store and of all that decides what a sample holds."""
        scale = self.assembly.scale
        parts = [
            self.reader.fingerprint(),
            self.plan.fingerprint(),
            [list(map(str, (c.name, c.variable, c.at))) for c in self.channels],
            list(self.static_names),
            None if scale is None else [part.astype("<f4").tobytes().hex() for part in scale],
            repr(self.missing),
            str(self.dtype),
        ]
        return "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()
