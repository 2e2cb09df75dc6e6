"""Chunks to test with: there and back, mutated, and sealed again behind a correct checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from frazil import container
from frazil.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt


def reseal(chunk: bytes) -> bytes:
    """Give a mutated container the length and the CRC-32C that belong to its bytes.

    Parameters
    ----------
    chunk : bytes
        A container that was changed, cut or lengthened; its last four bytes
        are taken for the old checksum.

    Returns
    -------
    bytes
        Which `frazil.container.unpack` believes, if the header still makes sense.

    Examples
    --------
    >>> spec = container.ChunkSpec((2, 3), np.dtype("<f4"))
    >>> data = container.pack(spec, {"J": b"abc"})
    >>> container.unpack(reseal(data.replace(b"abc", b"abXYc")))[1]
    {'J': b'abXYc'}
    """
    body = bytes(chunk[: -container.CRC_SIZE])
    start = len(container.MAGIC) + 1
    try:
        _, after = container.read_varint(body, start, "length")
    except FormatError:
        pass  # no length to mend: the checksum alone
    else:
        rest = len(body) - after + start + container.CRC_SIZE
        total = next(n for n in range(rest + 1, rest + 11) if rest + len(container.write_varint(n)) == n)
        body = body[:start] + container.write_varint(total) + body[after:]
    return body + int(google_crc32c.value(body)).to_bytes(container.CRC_SIZE, "little")


def roundtrip(codec: Any, chunk: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Encode and decode ``chunk``."""
    return np.asarray(codec.decode(codec.encode(chunk)))


def mutants(data: bytes, count: int) -> Iterator[bytes]:
    """Damage ``data`` behind its version byte in ``count`` ways, and make its checksum right again."""
    rng = np.random.default_rng(20240229)
    for _ in range(count):
        mutant = bytearray(data)
        style = rng.integers(6)
        at = int(rng.integers(4, len(data) - container.CRC_SIZE))
        if style == 0:
            del mutant[at : at + int(rng.integers(1, 20))]
        elif style == 1:
            mutant[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif style == 2:
            mutant[at : at + 4] = rng.bytes(4)
        else:
            for where in rng.integers(4, len(data) - container.CRC_SIZE, int(rng.integers(1, 5))):
                mutant[where] = (
                    int(rng.integers(256)) if style == 3 else mutant[where] ^ (1 << int(rng.integers(8)))
                )
        yield reseal(bytes(mutant))
