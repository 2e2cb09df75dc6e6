"""The codecs behind Zarr v3: one thin adapter that holds a codec and asks it for everything.

Zarr v3 finds an adapter by its name through the entry points ``zarr.codecs``,
and the adapter finds its codec by the same name through numcodecs, so a codec
is described once and both formats store the same configuration::

    "codecs": [{"name": "frazil.jp2k", "configuration": {"ratio": 32}}]

A codec of your own gets its Zarr v3 face in two lines::

    class MySerializer(PlaneSerializer):
        codec_id = "my.codec"

A codec whose bounds are an array (`PlaneCodec.wants_bounds`) is given those of
each chunk, from the array ``<name>_bound`` beside: see `frazil.chunk_bounds`.
"""

from __future__ import annotations

import asyncio
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numcodecs.registry import get_codec
from zarr.abc.codec import ArrayBytesCodec, ArrayBytesCodecPartialEncodeMixin

from frazil import chunk_bounds
from frazil.errors import ConfigurationError, LossyRewriteWarning, UnsupportedArrayError

if TYPE_CHECKING:
    import numpy.typing as npt
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

    from frazil.codecs.base import PlaneCodec

_FACES: dict[str, type[PlaneSerializer]] = {}


@dataclass(frozen=True)
class PlaneSerializer(ArrayBytesCodec, ArrayBytesCodecPartialEncodeMixin):
    """A `PlaneCodec` as a Zarr v3 array-to-bytes codec; hashable and picklable, as its codec is.

    Parameters
    ----------
    codec : PlaneCodec
        Does the work; its configuration is what is written to ``zarr.json``.
    """

    codec: PlaneCodec
    codec_id: ClassVar[str] = ""
    is_fixed_size = False  # no annotation: Zarr wants a class attribute here, not a field

    def __init_subclass__(cls) -> None:
        """Remember which adapter stands for which codec."""
        super().__init_subclass__()
        _FACES[cls.codec_id] = cls

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Make the adapter of what ``zarr.json`` says.

        Raises
        ------
        ConfigurationError
            If it holds a key that this version does not know.

        """
        found = data.get("name")
        if found != cls.codec_id:
            raise ConfigurationError(f"expected the metadata of {cls.codec_id}, found those of {found!r}")
        return cls(get_codec({"id": cls.codec_id, **data.get("configuration", {})}))

    def to_dict(self) -> dict[str, Any]:
        """Return what is written to ``zarr.json``."""
        config = self.codec.get_config()
        return {"name": config.pop("id"), "configuration": config}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:  # noqa: ARG002 - Zarr's signature
        """Refuse, when the array is created, a dtype that the codec cannot hold.

        Raises
        ------
        UnsupportedArrayError
            With the dtypes that it holds, and a hint where CF packing made the integers.

        """
        self._check(dtype.to_native_dtype())

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """Check the dtype once more: before Zarr 3.2 nobody validates the codecs inside a shard."""
        self._check(array_spec.dtype.to_native_dtype())
        return self

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Unknown before the chunk is encoded."""
        raise NotImplementedError(
            f"{self.codec.codec_id} does not know the size of a chunk before it is encoded"
        )

    def _check(self, dtype: np.dtype[Any]) -> None:
        try:
            self.codec.check_dtype(dtype)
        except UnsupportedArrayError as error:
            if dtype.kind not in "iu":
                raise
            raise UnsupportedArrayError(
                f"{error}. If CF packing made the integers, drop scale_factor, add_offset and dtype from the "
                "variable's encoding: the codec stores the floats themselves"
            ) from None

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        if self.codec.wants_bounds:
            raise UnsupportedArrayError(
                f"{self.codec.codec_id} takes the bounds of a chunk from the array beside, and Zarr does not "
                "say here which chunk this is: inside shards, where other codecs take part, and under the "
                "FusedCodecPipeline in stores without synchronous access; write with "
                "frazil.to_zarr(ds, store, codec=..., bounds={name: array})"
            )
        return self._encode(chunk_data.as_numpy_array(), chunk_spec)

    def _encode(self, chunk: npt.NDArray[Any], spec: ArraySpec, **options: Any) -> Buffer:
        encoded = self.codec.encode_chunk(chunk, fill_value=spec.fill_value, **options)
        return spec.prototype.buffer.from_bytes(encoded)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        dtype = chunk_spec.dtype.to_native_dtype()
        chunk = self.codec.decode_chunk(chunk_data.as_numpy_array(), shape=chunk_spec.shape, dtype=dtype)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(chunk.astype(dtype, copy=False))

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    async def _encode_partial_single(
        self, byte_setter: Any, chunk_array: NDBuffer, selection: Any, chunk_spec: ArraySpec
    ) -> None:
        whole = _is_whole(selection, chunk_spec.shape)
        stored = None if whole else await byte_setter.get(prototype=chunk_spec.prototype)
        rewrite = (stored, chunk_array, selection, chunk_spec)
        if not self.codec.wants_bounds:
            encoded = await asyncio.to_thread(self._rewrite, *rewrite)
        elif (chunk := await asyncio.to_thread(self._merge, *rewrite)) is not None:
            bounds = await chunk_bounds.read_bounds(byte_setter, chunk_spec.shape)
            found = (chunk, chunk_spec, bounds, byte_setter.path)
            encoded = await asyncio.to_thread(self._encode_within, *found)
        else:
            encoded = None
        await (byte_setter.delete() if encoded is None else byte_setter.set(encoded))

    def _encode_partial_sync(
        self, byte_setter: Any, chunk_array: NDBuffer, selection: Any, chunk_spec: ArraySpec
    ) -> None:
        """Write a part of a chunk under the FusedCodecPipeline of newer Zarr."""
        whole = _is_whole(selection, chunk_spec.shape)
        stored = None if whole else byte_setter.get_sync(prototype=chunk_spec.prototype)
        rewrite = (stored, chunk_array, selection, chunk_spec)
        if not self.codec.wants_bounds:
            encoded = self._rewrite(*rewrite)
        elif (chunk := self._merge(*rewrite)) is not None:
            # In a loop of our own: every thread behind Zarr's may be in this function, waiting as we do.
            bounds = asyncio.run(chunk_bounds.read_bounds(byte_setter, chunk_spec.shape, alone=True))
            encoded = self._encode_within(chunk, chunk_spec, bounds, byte_setter.path)
        else:
            encoded = None
        if encoded is None:
            byte_setter.delete_sync()
        else:
            byte_setter.set_sync(encoded)

    def _rewrite(
        self, stored: Buffer | None, value: NDBuffer, selection: Any, spec: ArraySpec
    ) -> Buffer | None:
        chunk = self._merge(stored, value, selection, spec)
        return None if chunk is None else self._encode(chunk, spec)

    def _merge(
        self, stored: Buffer | None, value: NDBuffer, selection: Any, spec: ArraySpec
    ) -> npt.NDArray[Any] | None:
        """Put ``value`` into the stored chunk; None for a chunk that need not be stored."""
        dtype = spec.dtype.to_native_dtype()
        fill = spec.fill_value if spec.fill_value is not None else spec.dtype.default_scalar()
        if stored is None:
            chunk = np.full(spec.shape, fill, dtype)
        else:
            chunk = self._decode_sync(stored, spec).as_numpy_array().copy()
            if not (self.codec.lossless or getattr(self.codec, "grid", False)):
                # on a fixed grid the points around are what their second encoding makes of them
                self._warn_of_rewrite(chunk, selection, fill)
        part = value.as_numpy_array()
        target = chunk[selection]
        if part.ndim and part.shape != np.shape(target):  # Zarr drops the axes that an integer selects
            part = part.reshape(np.shape(target))
        chunk[selection] = part
        return None if not spec.config.write_empty_chunks and holds_only(chunk, fill) else chunk

    def _encode_within(
        self, chunk: npt.NDArray[Any], spec: ArraySpec, bounds: npt.NDArray[Any], path: str
    ) -> Buffer:
        """Encode a chunk whose bounds were found."""
        chunk_bounds.check_written(chunk, bounds, self.codec.sentinels(spec.fill_value), path)
        return self._encode(chunk, spec, bounds=bounds)

    def _warn_of_rewrite(self, chunk: npt.NDArray[Any], selection: Any, fill: Any) -> None:
        lossy = ~_equals(chunk, fill)
        lossy[selection] = False
        count = int(np.count_nonzero(lossy))
        if count:
            warnings.warn(
                f"this write covers a part of a chunk of shape {chunk.shape}: {count} points around it were "
                f"lossy already and {self.codec.codec_id} encodes them a second time, which adds to their "
                "error; write whole chunks (align region= or append_dim= with the chunks)",
                LossyRewriteWarning,
                stacklevel=2,
            )


class BoundedSerializer(PlaneSerializer):
    """`frazil.Bounded` in Zarr v3."""

    codec_id = "frazil.bounded"


class CodewordSerializer(PlaneSerializer):
    """`frazil.Codeword` in Zarr v3."""

    codec_id = "frazil.codeword"


class LatentSerializer(PlaneSerializer):
    """`frazil.Latent` in Zarr v3."""

    codec_id = "frazil.latent"


class JP2KSerializer(PlaneSerializer):
    """`frazil.JP2K` in Zarr v3."""

    codec_id = "frazil.jp2k"


def serializer(codec: PlaneCodec) -> PlaneSerializer:
    """Return the Zarr v3 face of ``codec``.

    Parameters
    ----------
    codec : PlaneCodec
        Any codec whose adapter is defined.

    Raises
    ------
    ConfigurationError
        If no adapter bears the codec's name.

    Examples
    --------
    >>> import frazil
    >>> serializer(frazil.JP2K(ratio=32)).to_dict()["name"]
    'frazil.jp2k'
    """
    if codec.codec_id not in _FACES:
        raise ConfigurationError(
            f"{codec.codec_id} has no Zarr v3 face; subclass frazil.zarr3.PlaneSerializer with "
            f"codec_id = {codec.codec_id!r} and name it among the entry points zarr.codecs"
        )
    return _FACES[codec.codec_id](codec)


def _is_whole(selection: Any, shape: tuple[int, ...]) -> bool:
    parts = selection if isinstance(selection, tuple) else (selection,)
    return len(parts) == len(shape) and all(
        isinstance(part, slice) and part.indices(length) == (0, length, 1)
        for part, length in zip(parts, shape, strict=True)
    )


def holds_only(chunk: npt.NDArray[Any], fill: Any) -> bool:
    """Whether every point of ``chunk`` is ``fill``, so that the chunk need not be stored.

    Examples
    --------
    >>> holds_only(np.full(3, np.nan), np.nan), holds_only(np.arange(3), 0)
    (True, False)
    """
    return bool(_equals(chunk, fill).all())


def _equals(chunk: npt.NDArray[Any], fill: Any) -> npt.NDArray[np.bool_]:
    same = np.asarray(chunk == fill)
    return same | np.isnan(chunk) if chunk.dtype.kind == "f" and np.isnan(fill) else same
