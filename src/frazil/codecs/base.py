"""What every frazil codec is: planes in, named byte sections out."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ndarray_copy

from frazil import container, masks
from frazil.container import ChunkSpec, Sections
from frazil.errors import (
    ChunkMismatchError,
    ConfigurationError,
    TruncatedError,
    UnsupportedArrayError,
)
from frazil.planes import from_planes, reduced, stack_shape, to_planes
from frazil.sealing import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from frazil.masks import Valid

MASK = "M"


@dataclass(frozen=True, kw_only=True)
class PlaneCodec(Codec):  # type: ignore[misc]
    """Base class: a subclass names itself and supplies two methods.

    The fields of the dataclass are the configuration. They are what is written
    to the array's metadata, so they are JSON values or other codecs; a field
    that is ``None`` is left out.

    Parameters
    ----------
    missing : float or int, optional
        A value that stands for "no data" besides NaN and the infinities, in
        the units of the array. It comes back bit for bit, and it does not
        disturb its neighbours. Zarr v3 adds the array's fill value by itself;
        in Zarr v2 a codec cannot see the fill value, so name it here.
    """

    codec_id: ClassVar[str]
    dtypes: ClassVar[tuple[str, ...]] = container.DTYPES
    missing: float | None = None

    @property
    def lossless(self) -> bool:
        """Whether every array comes back bit for bit with these settings."""
        return False

    @property
    def wants_bounds(self) -> bool:
        """Whether `encode_chunk` has to be told, by ``bounds=``, what the errors may be."""
        return False

    def reduced_meaning(self, level: int) -> str:  # noqa: ARG002 - for codecs whose samples have a meaning of their own
        """Say what the samples of ``level`` are, for the attributes of arrays opened there; may be empty."""
        return ""

    @abstractmethod
    def encode_planes(self, planes: npt.NDArray[Any], *, spent: int, valid: Valid | None = None) -> Sections:
        """Encode finite ``planes`` of shape (n, y, x), native byte order.

        ``spent`` is what container and mask take already, in bytes, for codecs
        that aim at a size. ``valid()`` gives a bool array of the planes' shape:
        where it is false, the point was filled in and may come back as anything.
        """

    @abstractmethod
    def decode_planes(
        self,
        sections: Sections,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        level: int = 0,
        *,
        valid: Valid | None = None,
    ) -> npt.NDArray[Any]:
        """Decode to planes of ``shape`` (n, y, x), or 1/2**level of it in y and x; writable, own memory.

        ``valid`` is what `encode_planes` was given, at full resolution.
        """

    def stack_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Shape (n, y, x) of the planes of a chunk of ``shape``, as `to_stack` makes them."""
        return stack_shape(shape)

    def to_stack(self, chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View ``chunk`` as planes of shape (n, y, x); a codec may want another axis right before y and x."""
        return to_planes(chunk)

    def from_stack(
        self, planes: npt.NDArray[Any], shape: tuple[int, ...], spec: ChunkSpec
    ) -> npt.NDArray[Any]:
        """Invert `to_stack` for a chunk of ``shape``, that of ``spec`` or of a lower resolution."""
        return from_planes(planes, shape, spec.dtype, fortran=spec.fortran)

    def sentinels(self, fill_value: Any = None) -> list[Any]:
        """Values that are taken out of the planes and come back bit for bit, besides NaN and infinities."""
        return [value for value in (self.missing, fill_value) if value is not None]

    def encode(self, buf: Any) -> bytes:
        """Encode an array of shape (..., y, x) as one container.

        Raises
        ------
        UnsupportedArrayError
            If the dtype is none of `dtypes`.

        """
        return self.encode_chunk(np.asarray(buf))

    def encode_chunk(self, chunk: npt.NDArray[Any], *, fill_value: Any = None, **given: Any) -> bytes:
        """Encode like `encode`, treating ``fill_value`` as missing too.

        What else is ``given`` goes to `encode_planes`, for codecs that take more than the values.
        """
        self.check_dtype(chunk.dtype)
        fortran = chunk.ndim > 1 and bool(chunk.flags.f_contiguous) and not chunk.flags.c_contiguous
        spec = ChunkSpec(chunk.shape, chunk.dtype, fortran)
        if not chunk.size:
            return container.pack(spec, {})
        planes, mask = masks.split(self.to_stack(chunk), self.sentinels(fill_value))
        sections: Sections = {MASK: seal(mask)} if mask else {}
        spent = container.overhead(spec, chunk.nbytes, 2 + len(sections)) + sum(map(len, sections.values()))
        valid = partial(masks.valid, mask, planes.shape, planes.dtype) if mask else None
        return container.pack(spec, sections | self.encode_planes(planes, spent=spent, valid=valid, **given))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode one container, into ``out`` if it is given.

        Raises
        ------
        FormatError
            If the bytes are truncated, damaged, foreign or too new (see `frazil.errors`).

        """
        chunk = self.decode_chunk(buf)
        if out is None:
            return chunk
        target = ensure_contiguous_ndarray(out)
        if target.nbytes != chunk.nbytes:
            raise ChunkMismatchError(f"chunk holds {chunk.nbytes} bytes, out= has room for {target.nbytes}")
        return ndarray_copy(chunk, out)

    def decode_chunk(
        self,
        buf: Any,
        *,
        level: int = 0,
        shape: tuple[int, ...] | None = None,
        dtype: np.dtype[Any] | None = None,
    ) -> npt.NDArray[Any]:
        """Decode one container, at 1/2**level of its resolution in y and x.

        Parameters
        ----------
        buf : bytes-like
            The container.
        level : int, default 0
            0 is the full resolution.
        shape, dtype : optional
            What the Zarr array says its chunks are; anything else is refused
            before memory is allocated for it.

        Returns
        -------
        ndarray
            Shape (..., ceil(y / 2**level), ceil(x / 2**level)).

        """
        data = memoryview(ensure_contiguous_ndarray(buf).view("u1").reshape(-1)).cast("B")
        if shape is not None or dtype is not None:
            check_spec(container.peek(data).spec, shape, dtype)
        spec, sections = container.unpack(data)
        return self.decode_sections(spec, sections, level)

    def decode_sections(
        self, spec: ChunkSpec, sections: Mapping[str, bytes], level: int = 0
    ) -> npt.NDArray[Any]:
        """Decode what `container.unpack` returned."""
        n, y, x = self.stack_shape(spec.shape)
        small = (n, reduced(y, level), reduced(x, level))
        cut = spec.shape[:-2] + small[3 - min(len(spec.shape), 2) :]
        native = spec.dtype.newbyteorder("=")
        if 0 in spec.shape:
            return np.empty(cut, spec.dtype, order="F" if spec.fortran else "C")
        rest = {tag: payload for tag, payload in sections.items() if tag != MASK}
        mask = unseal(sections[MASK]) if MASK in sections else b""
        valid = partial(masks.valid, mask, (n, y, x), native) if mask else None
        planes = self.decode_planes(rest, (n, y, x), native, level, valid=valid)
        if mask:
            masks.join(planes, mask, (n, y, x), level)
        return self.from_stack(planes, cut, spec)

    def bytes_needed(self, prefix: bytes, level: int) -> int:  # noqa: ARG002 - for codecs that store resolutions in order
        """How many of a container's first bytes `decode_prefix` needs for ``level``.

        Parameters
        ----------
        prefix : bytes
            The first bytes of the container, as many as were read so far.
        level : int
            The resolution, 1/2**level in y and x.

        Raises
        ------
        TruncatedError
            If the prefix is too short to tell; read more and ask again.

        """
        return container.peek(prefix).total

    def decode_prefix(
        self,
        prefix: bytes,
        level: int,
        *,
        shape: tuple[int, ...] | None = None,
        dtype: np.dtype[Any] | None = None,
    ) -> npt.NDArray[Any]:
        """Decode at 1/2**level of the resolution from the first `bytes_needed` bytes of a container.

        Arguments and errors are those of `decode_chunk`.
        """
        head = container.peek(prefix)
        check_spec(head.spec, shape, dtype)
        if len(prefix) >= head.total:
            return self.decode_chunk(prefix[: head.total], level=level)
        if len(prefix) < self.bytes_needed(prefix, level):
            raise TruncatedError(f"{len(prefix)} bytes of a chunk are too few for level {level}")
        container.check_earned(head)
        sections = {tag: bytes(prefix[start:stop]) for tag, (start, stop) in head.spans.items()}
        return self.decode_sections(head.spec, sections, level)

    def decode_latents(
        self,
        buf: Any,  # noqa: ARG002 - for codecs that have latents
        *,
        shape: tuple[int, ...] | None = None,  # noqa: ARG002 - as above
        dtype: np.dtype[Any] | None = None,  # noqa: ARG002 - as above
    ) -> npt.NDArray[Any]:
        """Decode one container no further than its latents, to train in latent space.

        Arguments are those of `decode_chunk`. A codec that has latents returns
        them with shape (samples of the chunk, k, y', x'), integer or float.

        Raises
        ------
        UnsupportedArrayError
            If this codec has none.

        """
        raise UnsupportedArrayError(
            f"{self.codec_id} has no latents; decode the fields instead (decode=True)"
        )

    def check_dtype(self, dtype: Any) -> None:
        """Refuse a dtype that this codec cannot hold, with a sentence."""
        given = np.dtype(dtype)
        if given.str[1:] not in self.dtypes:
            raise UnsupportedArrayError(
                f"{self.codec_id} cannot hold dtype {given}; it holds {', '.join(self.dtypes)}. "
                "Convert the array, or give this variable a lossless codec"
            )

    def get_config(self) -> dict[str, Any]:
        """Return the configuration as JSON values, for the array's metadata."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"id": self.codec_id} | {k: _as_json(v) for k, v in values.items() if v is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make a codec of the configuration that `get_config` returned.

        Raises
        ------
        ConfigurationError
            If it holds a key that this version does not know.

        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(config) - known - {"id"})
        if unknown:
            raise ConfigurationError(
                f"{cls.codec_id} does not know {', '.join(map(repr, unknown))}; "
                f"it knows {', '.join(sorted(known))}. "
                "If the array was written by a newer frazil, upgrade to read it"
            )
        return cls(**{k: v for k, v in config.items() if k != "id"})

    def encoding(self, zarr_format: int = 3, **others: Any) -> dict[str, Any]:
        """Return what ``xr.Dataset.to_zarr(encoding={name: ...})`` wants for this codec.

        Parameters
        ----------
        zarr_format : {3, 2}
            The format that the store is written in.
        **others
            Further keys of xarray's encoding, such as ``chunks``, ``shards`` or ``fill_value``.

        Returns
        -------
        dict
            With the default compressor switched off, which would only cost time.

        Examples
        --------
        >>> import frazil
        >>> frazil.JP2K(ratio=32).encoding(zarr_format=2, chunks=(1, 721, 1440))
        {'compressors': [JP2K(...ratio=32...)], 'filters': None, 'chunks': (1, 721, 1440)}
        """
        if zarr_format == 2:
            return {"compressors": [self], "filters": None, **others}
        if zarr_format != 3:
            raise ConfigurationError(f"zarr_format is 2 or 3, got {zarr_format!r}")
        from frazil.zarr3 import serializer

        return {"serializer": serializer(self), "compressors": None, "filters": None, **others}


def _as_json(value: Any) -> Any:
    """Return codecs as their configuration, numpy's numbers as Python's."""
    if isinstance(value, Codec):
        return value.get_config()
    if hasattr(value, "to_json"):
        return value.to_json()
    return value.item() if isinstance(value, np.generic) else value


def check_spec(spec: ChunkSpec, shape: tuple[int, ...] | None, dtype: np.dtype[Any] | None) -> None:
    """Compare what a chunk holds with what its array declares."""
    if shape is not None and spec.shape != tuple(shape):
        raise ChunkMismatchError(f"chunk holds shape {spec.shape}, the array's chunks are {tuple(shape)}")
    if dtype is not None and spec.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        raise ChunkMismatchError(f"chunk holds dtype {spec.dtype}, the array is {dtype}")
