"""What models are known by: the SHA-256 (FIPS 180-4) of a decoder's file."""

from __future__ import annotations

import hashlib
import re

from frazil.errors import ChecksumError

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(data: bytes) -> str:
    """Return the digest of a model file.

    Examples
    --------
    >>> digest_of(b"")[:20]
    'sha256:e3b0c44298fc1'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def check_digest(data: bytes, digest: str, place: str) -> None:
    """Raise `ChecksumError` unless the digest of ``data`` is ``digest``."""
    found = digest_of(data)
    if found != digest:
        raise ChecksumError(f"{place} is {found}, {digest} was asked for; it was damaged or exchanged")
