"""Sections that stand before others, with a check of their own for readers of a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import google_crc32c

from frazil.errors import ChecksumError, FormatError

if TYPE_CHECKING:
    from frazil.container import Sections


def seal(payload: bytes) -> bytes:
    """Put two bytes behind a section: a check for the reader of a prefix, who never sees the CRC."""
    return payload + _check(payload)


def unseal(section: bytes) -> bytes:
    """Invert `seal`; raise `ChecksumError` if the section was damaged or cut."""
    payload, check = section[:-2], section[-2:]
    if _check(payload) != check:
        raise ChecksumError(f"section of {len(payload)} bytes is damaged, or only a part of it was read")
    return payload


def take(sections: Sections, tag: str, codec_id: str) -> bytes:
    """Return section ``tag``, or say that these are another codec's bytes."""
    if tag not in sections:
        found = ", ".join(sections) or "nothing"
        raise FormatError(
            f"{codec_id} needs section {tag!r}, the chunk holds {found}: was another codec used?"
        )
    return sections[tag]


def sixteen(data: bytes) -> int:
    """Return the low 16 bits of the CRC-32C of ``data``."""
    return int(google_crc32c.value(data) & 0xFFFF)


def _check(data: bytes) -> bytes:
    return sixteen(data).to_bytes(2, "little")
