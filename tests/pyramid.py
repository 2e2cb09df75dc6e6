"""A codec small enough to see through: values on a fixed grid, resolutions in order, subsampled exactly."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numcodecs
import numpy as np

from frazil import container
from frazil.codecs.base import PlaneCodec, check_spec
from frazil.zarr3 import PlaneSerializer

TAGS = "CBA"  # section of level 0, 1, 2: coarse ones stand in front


@dataclass(frozen=True, kw_only=True)
class Pyramid(PlaneCodec):
    codec_id: ClassVar[str] = "frazil.test_pyramid"
    dtypes: ClassVar[tuple[str, ...]] = ("f4", "f8", "i2")
    step: float = 0.01
    exact: bool = False

    @property
    def lossless(self):
        return self.exact

    def encode_planes(self, planes, *, spent, valid=None):
        grid = np.rint(planes / self.step).astype("<i4")
        # two of the three are padded, so that prefixes are worth reading
        return {TAGS[r]: zlib.compress(grid[:, :: 1 << r, :: 1 << r].tobytes(), 0) for r in (2, 1, 0)}

    def decode_planes(self, sections, shape, dtype, level=0, *, valid=None):
        n, y, x = shape
        small = (n, -(-y >> level), -(-x >> level))
        grid = np.frombuffer(zlib.decompress(sections[TAGS[level]]), "<i4").reshape(small)
        return (grid * self.step).astype(dtype)

    def bytes_needed(self, prefix, level):
        spans = container.peek(prefix).spans
        if TAGS[level] not in spans:
            raise container.TruncatedError("section not in sight")
        return spans[TAGS[level]][1]

    def decode_prefix(self, prefix, level, *, shape=None, dtype=None):
        head = container.peek(prefix)
        check_spec(head.spec, shape, dtype)
        whole = {t: bytes(prefix[a:b]) for t, (a, b) in head.spans.items() if b <= len(prefix)}
        if TAGS[level] not in whole:
            raise container.TruncatedError(f"level {level} ends behind the {len(prefix)} bytes given")
        return self.decode_sections(head.spec, whole, level)


class PyramidSerializer(PlaneSerializer):
    codec_id = Pyramid.codec_id


def register():
    """Do what an entry point does for an installed codec."""
    import zarr.registry

    numcodecs.register_codec(Pyramid)
    zarr.registry.register_codec(Pyramid.codec_id, PyramidSerializer)
