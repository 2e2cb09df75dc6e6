"""Small decoders as text, to stand in the configuration of the arrays that need them."""

from __future__ import annotations

import base64
import zlib

from frazil.errors import ConfigurationError, FormatError
from frazil.models.digests import check_digest

LARGEST = 1 << 18
LARGEST_TEXT = 400_000


def fits_inline(data: bytes) -> bool:
    """Whether a decoder's file is small enough (256 KiB) to stand in a configuration."""
    return len(data) <= LARGEST


def to_inline(data: bytes) -> str:
    """Write a decoder's file as text: zlib (RFC 1950), then base 85 in the alphabet of RFC 1924.

    Raises
    ------
    ConfigurationError
        If it is larger than 256 KiB.

    Examples
    --------
    >>> to_inline(b"a model")
    'c-l);$jwhl%>e)jtpbw'
    """
    if not fits_inline(data):
        raise ConfigurationError(
            f"a decoder of {len(data)} bytes is too large for a configuration (at most {LARGEST}); store it "
            "beside the arrays with frazil.models.write_models"
        )
    return base64.b85encode(zlib.compress(data, 9)).decode("ascii")


def from_inline(text: str, digest: str) -> bytes:
    """Invert `to_inline`, and check the digest.

    Raises
    ------
    FormatError
        If the text is none that `to_inline` wrote; `ChecksumError` if it is another model.
    """
    if not isinstance(text, str) or len(text) > LARGEST_TEXT:
        raise FormatError(f"an inlined model is a text of at most {LARGEST_TEXT} characters")
    try:
        packed = base64.b85decode(text)
        reader = zlib.decompressobj()
        data = reader.decompress(packed, LARGEST + 1)
    except (ValueError, zlib.error) as error:
        raise FormatError(f"the inlined model is damaged: {error}") from error
    if len(data) > LARGEST or not reader.eof or reader.unused_data:
        raise FormatError(f"the inlined model is damaged: it is no stream of at most {LARGEST} bytes")
    check_digest(data, digest, "the inlined model")
    return data
