"""Running any base codec: one of ours, or one of numcodecs.

What a base codec gives back may differ on another machine where it computes in
floating point. By how much is its DOUBT, in the units of the values: nothing
for whole numbers and lossless codecs, a level for an engine's 9/7 transform. A codec of
another package is taken at its word: it has to decode to the same values
everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.container import read_varint, write_varint
from frazil.errors import ConfigurationError, EngineError, FormatError, FrazilError, TruncatedError
from frazil.planes import reduced

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Planes = npt.NDArray[Any]


def codec(base: Any) -> Any:
    """Return the codec that ``base``, a codec or the configuration of one, stands for.

    Raises
    ------
    ConfigurationError
        If there is no such codec.
    """
    if hasattr(base, "encode") and hasattr(base, "decode"):
        return base
    if not isinstance(base, dict) or not isinstance(base.get("id"), str):
        raise ConfigurationError(
            f"a base is a codec, or its configuration with an 'id', got {type(base).__name__}"
        )
    import numcodecs

    try:
        return numcodecs.get_codec(dict(base))
    except FrazilError:
        raise
    except Exception as problem:
        raise ConfigurationError(f"there is no base codec {base['id']!r}: {problem}") from problem


def name(base: Any) -> str:
    """Return what messages call a codec."""
    return str(getattr(base, "codec_id", None) or type(base).__name__)


def run(base: Any, planes: Planes) -> tuple[bytes, Planes, float]:
    """Encode finite ``planes`` by a base codec, and decode them again.

    Parameters
    ----------
    base : codec or dict
        A `frazil.codecs.base.PlaneCodec`, a codec of numcodecs, or the configuration of either.
    planes : ndarray, shape (n, y, x)
        In native byte order, contiguous.

    Returns
    -------
    encoded : bytes
    decoded : ndarray
        Of the shape and dtype of ``planes``.
    doubt : float
        By how much decoded values may differ on another machine, in the units of the values.

    Raises
    ------
    EngineError
        If the codec raises, or what it returns is no encoding or no planes.

    Examples
    --------
    >>> from numcodecs import Quantize
    >>> planes = np.linspace(0, 1, 12, dtype="f4").reshape(1, 3, 4)
    >>> encoded, decoded, doubt = run(Quantize(digits=1, dtype="f4"), planes)
    >>> float(decoded[0, 0, 1]), doubt
    (0.0625, 0.0)
    """
    chosen = codec(base)
    planes = np.ascontiguousarray(planes)
    try:
        if hasattr(chosen, "encode_planes"):
            # a learned codec as a base need not keep to what its model is trusted with
            as_base = getattr(chosen, "encode_as_base", None)
            sections = as_base(planes) if as_base else chosen.encode_planes(planes, spent=0)
            encoded = pack(sections)
            doubt = _doubt(sections, planes)
        else:
            # A copy: a codec may hand back the very memory that it was given.
            encoded, doubt = _bytes(chosen.encode(planes.copy())), 0.0
    except FrazilError:
        raise
    except Exception as problem:
        raise EngineError(
            f"the base codec {name(chosen)} could not encode {planes.dtype} planes of shape {planes.shape}: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    try:
        return encoded, rerun(chosen, encoded, _stack(planes.shape), planes.dtype), doubt
    except FormatError as problem:
        raise EngineError(
            f"the base codec {name(chosen)} does not read what it wrote: {problem}"
        ) from problem


def rerun(
    base: Any, encoded: bytes, shape: tuple[int, int, int], dtype: np.dtype[Any], level: int = 0
) -> Planes:
    """Decode what `run` encoded, at 1/2**level of the resolution.

    Codecs that know no resolutions give every 2**level-th point. Values that
    are not finite become 0.

    Raises
    ------
    FormatError
        If the codec cannot decode the bytes, or to something else than planes of ``shape`` and ``dtype``.
    """
    chosen = codec(base)
    small = (shape[0], reduced(shape[1], level), reduced(shape[2], level))
    try:
        if hasattr(chosen, "decode_planes"):
            planes = np.asarray(chosen.decode_planes(unpack(encoded), shape, dtype, level))
        else:
            planes = _array(chosen.decode(encoded), shape, dtype, name(chosen))[
                :, :: 1 << level, :: 1 << level
            ]
    except FormatError:
        raise
    except Exception as problem:
        raise FormatError(
            f"the base codec {name(chosen)} cannot decode its {len(encoded)} bytes: "
            f"{type(problem).__name__}: {problem}"
        ) from problem
    if planes.shape != small or planes.dtype != dtype:
        raise FormatError(
            f"the base codec {name(chosen)} decoded {planes.dtype} of shape {planes.shape}, "
            f"expected {dtype} of shape {small}"
        )
    if dtype.kind == "f":
        finite = np.isfinite(planes)
        if not finite.all():
            return np.where(finite, planes, dtype.type(0))
    return np.ascontiguousarray(planes)


def pack(sections: Mapping[str, bytes]) -> bytes:
    """Write sections one behind the other: tag, length, payload.

    Examples
    --------
    >>> unpack(pack({"S": b"ab", "J": b"cde"}))
    {'S': b'ab', 'J': b'cde'}
    """
    return b"".join(tag.encode() + write_varint(len(data)) + bytes(data) for tag, data in sections.items())


def unpack(encoded: bytes) -> dict[str, bytes]:
    """Read what `pack` wrote."""
    sections, at = {}, 0
    while at < len(encoded):
        tag = chr(encoded[at])
        length, at = read_varint(encoded, at + 1, f"length of section {tag!r} of the base")
        if at + length > len(encoded):
            raise TruncatedError(f"section {tag!r} of the base has {len(encoded) - at} of its {length} bytes")
        sections[tag] = bytes(encoded[at : at + length])
        at += length
    return sections


def _stack(shape: tuple[int, ...]) -> tuple[int, int, int]:
    n, y, x = shape
    return n, y, x


def _doubt(sections: Mapping[str, bytes], planes: Planes) -> float:
    """One level of JPEG 2000 where it is not reversible; sections of other codecs are whole numbers' work."""
    if not sections.keys() >= {"S", "J"}:
        return 0.0
    from frazil.jpeg2000.section import read_head, stacked
    from frazil.scaling import Linear
    from frazil.scaling import unpack as read_scale

    scale = read_scale(sections["S"], len(planes), planes.dtype)
    head = read_head(sections["J"], stacked(_stack(planes.shape), scale))
    if not isinstance(scale, Linear) or head.layout.reversible:
        return 0.0
    return max(scale.line(k)[1] for k in range(len(scale.values)))


def _bytes(encoded: Any) -> bytes:
    """Bytes of what a codec returned: bytes, or an array of anything."""
    if isinstance(encoded, (bytes, bytearray, memoryview)):
        return bytes(encoded)
    return np.ascontiguousarray(encoded).tobytes()


def _array(decoded: Any, shape: tuple[int, int, int], dtype: np.dtype[Any], who: str) -> Planes:
    """Planes of what a codec returned: an array of any shape, or bytes."""
    flat = np.ascontiguousarray(decoded) if isinstance(decoded, np.ndarray) else np.frombuffer(decoded, "u1")
    flat = flat.reshape(-1)
    if flat.dtype.itemsize == 1 and dtype.itemsize > 1 and flat.nbytes == np.prod(shape) * dtype.itemsize:
        flat = flat.view(dtype)
    if flat.dtype.newbyteorder("=") != dtype or flat.size != np.prod(shape):
        raise FormatError(
            f"the base codec {who} decoded {flat.size} values of {flat.dtype}, "
            f"expected {np.prod(shape)} of {dtype}"
        )
    return flat.astype(dtype, copy=False).reshape(shape)
