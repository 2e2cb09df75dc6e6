"""A codec with a bound for each point, small enough to see through: multiples of a power of two, deflated."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numcodecs
import numpy as np

from frazil import container
from frazil.codecs.base import PlaneCodec
from frazil.errors import ConfigurationError
from frazil.planes import from_planes, to_planes
from frazil.zarr3 import PlaneSerializer


@dataclass(frozen=True, kw_only=True)
class Lattice(PlaneCodec):
    codec_id: ClassVar[str] = "frazil.test_lattice"
    dtypes: ClassVar[tuple[str, ...]] = ("f4", "f8")
    bound: float | str | None = None
    grid: bool = False

    @property
    def wants_bounds(self):
        return self.bound == "array"

    def encode_chunk(self, chunk, *, fill_value=None, bounds=None):
        if (bounds is not None) != self.wants_bounds:
            raise ConfigurationError("bounds for a codec that wants none, or none for one that does")
        if bounds is not None and bounds.shape != chunk.shape:
            raise ConfigurationError(f"bounds of shape {bounds.shape} for a chunk of {chunk.shape}")
        given = np.asarray(self.bound if bounds is None else bounds, "f8")
        keep = ~np.isfinite(chunk) | (chunk == (np.nan if fill_value is None else fill_value))
        keep |= chunk == (np.nan if self.missing is None else self.missing)
        if np.isnan(given[~keep] if given.ndim else given).any():
            raise ConfigurationError("NaN among the bounds")
        step = np.exp2(np.floor(np.log2(np.where(given > 0, given, 1))))
        with np.errstate(invalid="ignore"):
            snapped = (np.rint(chunk / step) * step).astype(chunk.dtype)
        # a little off, so that only its own grid makes it come back the same
        snapped = np.where(keep | (given == 0), chunk, snapped if self.grid else snapped + step / 8)
        spec = container.ChunkSpec(
            chunk.shape, chunk.dtype, fortran=chunk.flags.f_contiguous > chunk.flags.c_contiguous
        )
        values = to_planes(snapped.astype(chunk.dtype))
        return container.pack(
            spec, {"V": zlib.compress(values.astype(values.dtype.newbyteorder("<")).tobytes(), 1)}
        )

    def encode_planes(self, planes, *, spent, valid=None):
        raise NotImplementedError

    def decode_planes(self, sections, shape, dtype, level=0):
        raise NotImplementedError

    def decode_sections(self, spec, sections, level=0):
        values = np.frombuffer(zlib.decompress(sections["V"]), spec.dtype.newbyteorder("<"))
        return from_planes(values.copy(), spec.shape, spec.dtype, fortran=spec.fortran)


class LatticeSerializer(PlaneSerializer):
    codec_id = Lattice.codec_id


def register():
    """Do what an entry point does for an installed codec."""
    import zarr.registry

    numcodecs.register_codec(Lattice)
    zarr.registry.register_codec(Lattice.codec_id, LatticeSerializer)


def within(data, back, bounds):
    """Whether every point keeps its bound, missing ones come back missing, and exact ones exactly."""
    data, back, bounds = np.broadcast_arrays(np.asarray(data), np.asarray(back), np.asarray(bounds))
    known = np.isfinite(data)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(data))
    error = np.abs(back.astype("f8") - data)[known]
    assert (error <= bounds[known] * 1.26).all()  # the eighth, and rounding
    assert (error[bounds[known] == 0] == 0).all()
    return True
