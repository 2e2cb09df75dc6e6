"""From the bytes of a stored chunk to its values, without Zarr's pipeline.

Zarr decodes in an event loop that all threads share, which costs about half a
millisecond a chunk. Here the thread that wants a chunk reads and decodes it by
itself, with the same codecs, straight into the caller's memory where the codec
can. What is not known here (transposition, array-to-array codecs of v3, unusual
shard indices) is left to Zarr: `find_chain` returns None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.errors import ChecksumError, ChunkMismatchError, TruncatedError

if TYPE_CHECKING:
    import numpy.typing as npt
    import zarr

    from frazil.codecs.base import PlaneCodec

_CRC_SIZE = 4
_NATIVE = {"zstd": "zstd", "blosc": "blosc", "gzip": "gzip"}  # Zarr v3's names of numcodecs' codecs


class Crc32c:
    """The checksum of four bytes that Zarr v3's codec ``crc32c`` appends."""

    codec_id = "crc32c"

    def decode(self, data: Any) -> Any:
        """Return ``data`` without its checksum.

        Raises
        ------
        ChecksumError
            If it does not match.
        """
        import google_crc32c

        view = memoryview(data)
        if len(view) < _CRC_SIZE:
            raise TruncatedError(f"{len(view)} bytes are too few for a checksum")
        content = bytes(view[:-_CRC_SIZE])
        if int(google_crc32c.value(content)) != int.from_bytes(view[-_CRC_SIZE:], "little"):
            raise ChecksumError("the chunk does not match its checksum: it is damaged")
        return content


@dataclass(frozen=True)
class Chain:
    """The codecs of an array in the order of decoding, and the shards around them.

    Parameters
    ----------
    chunks : tuple of int
        Shape of what is encoded at once.
    dtype : numpy.dtype
        Of the decoded values, in the byte order in which they are stored.
    order : {"C", "F"}
        In which the values of a chunk follow each other.
    codecs : tuple
        Bytes-to-bytes codecs with the ``decode(data)`` of numcodecs, last applied first.
    planes : PlaneCodec or None
        The frazil codec that makes the array, if one does.
    per_shard : tuple of int or None
        Chunks in a shard along each axis.
    index_first, index_checked : bool
        Where the shard's index stands, and whether a CRC-32C follows it.
    """

    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    order: str = "C"
    codecs: tuple[Any, ...] = ()
    planes: PlaneCodec | None = None
    per_shard: tuple[int, ...] | None = None
    index_first: bool = False
    index_checked: bool = True

    @property
    def nbytes(self) -> int:
        """Bytes of a decoded chunk."""
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def into(self) -> bool:
        """Whether `decode_into` saves the copy that `decode` would make."""
        return (
            self.planes is None
            and self.order == "C"
            and bool(self.codecs)
            and self.codecs[-1].codec_id in _CLAIMED
        )

    def decode(self, data: bytes) -> npt.NDArray[Any]:
        """Decode a whole chunk, shape `chunks`; may share memory with ``data``.

        Raises
        ------
        FormatError
            If the bytes hold more or less than the chunk, or a codec of ours found damage.
        Exception
            Whatever another codec raises on damaged bytes.
        """
        buffer: Any = data
        last = len(self.codecs) - 1
        for k, codec in enumerate(self.codecs):
            claimed = _CLAIMED.get(codec.codec_id)
            if claimed and k == last and self.planes is None:
                self._check_size(claimed(buffer))
            buffer = codec.decode(buffer)
        if self.planes is not None:
            return self.planes.decode_chunk(buffer, shape=self.chunks, dtype=self.dtype)
        flat = _as_bytes(buffer)
        self._check_size(flat.size)
        return flat.view(self.dtype).reshape(self.chunks, order=self.order)  # type: ignore[call-overload,no-any-return]

    def decode_into(self, data: bytes, out: npt.NDArray[Any]) -> None:
        """Decode a whole chunk into ``out``, C-contiguous, of shape `chunks` and `dtype`; see `into`."""
        *before, last = self.codecs
        buffer: Any = data
        for codec in before:
            buffer = codec.decode(buffer)
        size = _CLAIMED[last.codec_id](buffer)
        self._check_size(size)
        if size is None:  # the codec would leave the end of a larger output as it is
            flat = _as_bytes(last.decode(buffer))
            self._check_size(flat.size)
            np.copyto(out, flat.view(self.dtype).reshape(self.chunks))
        else:
            last.decode(buffer, out=out)

    def _check_size(self, found: int | None) -> None:
        if found is not None and found != self.nbytes:
            raise ChunkMismatchError(
                f"the chunk holds {found} bytes, the array's chunks of shape {self.chunks} and dtype "
                f"{self.dtype} have {self.nbytes}"
            )


def find_chain(array: zarr.Array[Any]) -> Chain | None:
    """Say how to decode the chunks of ``array``; None if only Zarr knows."""
    from zarr.codecs import ShardingCodec

    metadata: Any = array.metadata
    if metadata.zarr_format == 2:
        return _chain_v2(array)
    grid = metadata.chunk_grid
    if not hasattr(grid, "chunk_shape"):  # chunks of different shapes
        return None
    dtype = np.dtype(array.dtype)
    shard = metadata.codecs[0]
    if not isinstance(shard, ShardingCodec):
        return _chain_v3(metadata.codecs, tuple(grid.chunk_shape), dtype)
    inner = _chain_v3(shard.codecs, tuple(shard.chunk_shape), dtype)
    index = [codec.to_dict() for codec in shard.index_codecs]
    names = [part["name"] for part in index]
    plain = names in (["bytes"], ["bytes", "crc32c"]) and not _is_big(index[0])
    if inner is None or len(metadata.codecs) > 1 or not plain:
        return None
    per_shard = tuple(s // c for s, c in zip(grid.chunk_shape, inner.chunks, strict=True))
    return replace(
        inner,
        per_shard=per_shard,
        index_first="start" in str(shard.index_location),
        index_checked="crc32c" in names,
    )


def _chain_v2(array: zarr.Array[Any]) -> Chain | None:
    from frazil.codecs.base import PlaneCodec

    metadata: Any = array.metadata
    dtype = np.dtype(array.dtype)
    chain = [*(metadata.filters or ()), *([metadata.compressor] if metadata.compressor else [])]
    chain.reverse()
    order = str(metadata.order)
    chunks = tuple(array.chunks)
    if chain and isinstance(chain[-1], PlaneCodec):
        return Chain(chunks, dtype, order, tuple(chain[:-1]), chain[-1])
    return Chain(chunks, dtype, order, tuple(chain))


def _chain_v3(stored: Any, chunks: tuple[int, ...], dtype: np.dtype[Any]) -> Chain | None:
    """Chain of an array's codecs, those of a shard's chunks left to the caller."""
    from frazil.zarr3 import PlaneSerializer

    first, *rest = stored
    codecs = tuple(_bytes_codec(codec.to_dict()) for codec in reversed(rest))
    if any(codec is None for codec in codecs):
        return None
    if isinstance(first, PlaneSerializer):
        return Chain(chunks, dtype, "C", codecs, first.codec)
    start = first.to_dict()
    if start["name"] != "bytes":
        return None
    return Chain(chunks, dtype.newbyteorder(">" if _is_big(start) else "<"), "C", codecs)


def _bytes_codec(stored: dict[str, Any]) -> Any:
    """Codec with numcodecs' ``decode`` for a bytes-to-bytes codec of Zarr v3; None if there is none."""
    from numcodecs.errors import UnknownCodecError
    from numcodecs.registry import get_codec

    name = str(stored["name"])
    if name == "crc32c":
        return Crc32c()
    if name not in _NATIVE and not name.startswith("numcodecs."):
        return None
    config = (
        {} if name in _NATIVE else stored.get("configuration", {})
    )  # decoding needs none of v3's settings
    try:
        return get_codec({"id": _NATIVE.get(name, name.removeprefix("numcodecs.")), **config})
    except (UnknownCodecError, TypeError, ValueError):
        return None


def _is_big(bytes_codec: dict[str, Any]) -> bool:
    return "big" in str(bytes_codec.get("configuration", {}).get("endian", "little"))


def _as_bytes(buffer: Any) -> npt.NDArray[np.uint8]:
    """View what a codec returned as bytes, in the order in which they lie in memory, as Zarr does."""
    from numcodecs.compat import ensure_contiguous_ndarray

    if isinstance(buffer, (bytes, bytearray, memoryview)):
        return np.frombuffer(buffer, np.uint8)
    return np.asarray(ensure_contiguous_ndarray(buffer)).reshape(-1, order="A").view(np.uint8)


def _zstd_size(data: Any) -> int | None:
    """Bytes that a Zstandard frame says it holds (RFC 8878, 3.1.1.1); None if it does not say."""
    head = bytes(data[:18])
    if len(head) < 6 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    flag, single = head[4] >> 6, head[4] >> 5 & 1
    start = 5 + (not single) + (0, 1, 2, 4)[head[4] & 3]
    width = (1 if single else 0, 2, 4, 8)[flag]
    if not width or len(head) < start + width:
        return None
    return int.from_bytes(head[start : start + width], "little") + (256 if width == 2 else 0)


def _blosc_size(data: Any) -> int | None:
    """Bytes that a Blosc 1 buffer says it holds."""
    return int.from_bytes(bytes(data[4:8]), "little") if len(data) >= 16 else None


_CLAIMED = {"zstd": _zstd_size, "blosc": _blosc_size}
