"""Codewords of a vector-quantised autoencoder: whole numbers that an entropy coder knows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from frazil.codecs.learned import LearnedCodec
from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.entropy.indices import IndexStates
    from frazil.models.format import Decoder
    from frazil.models.store import Model

    Ints = npt.NDArray[np.int32]

ROWS = 1 << 13  # vectors that are compared at a time
CODERS = ("auto", "packed", "table", "mixing", "bzip2", "zstd")


@dataclass(frozen=True, kw_only=True)
class Codeword(LearnedCodec):
    """Indices of a model's codewords, one for each block of points and each head, entropy-coded.

    Parameters
    ----------
    model : str or path or Model
        A shipped model's name (`frazil.list_models`), a file, or ``"sha256:..."``.
    coder : {"auto", "packed", "table", "mixing", "bzip2", "zstd"}
        How indices are coded. "auto": the smallest of bits as they are, a table that came with the model,
        and context mixing, chunk by chunk. "bzip2" and "zstd" are there to compare with.
    bound : float or str, optional
        |decoded - original| <= bound at every point, as for `Bounded`.
    missing : float, optional
        See `PlaneCodec`.

    Raises
    ------
    ConfigurationError
        If the model is none for codewords, or there is no such coder.

    Examples
    --------
    >>> import frazil
    >>> from frazil.samples import sample_path
    >>> import xarray as xr
    >>> scene = xr.open_dataset(sample_path("sentinel2"))  # doctest: +SKIP
    """

    codec_id: ClassVar[str] = "frazil.codeword"
    section: ClassVar[str] = "C"
    kind: ClassVar[str] = "codeword"
    coder: Literal["auto", "packed", "table", "mixing", "bzip2", "zstd"] = "auto"

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        if self.coder not in CODERS:
            raise ConfigurationError(f"coder is one of {', '.join(map(repr, CODERS))}, got {self.coder!r}")

    def _write(self, images: npt.NDArray[np.float64], model: Model) -> tuple[bytes, Ints]:
        """Write the indices of the nearest codewords."""
        from frazil.entropy import indices

        decoder = model.decoder
        found = nearest(self.encoder.run(images), decoder.table * self.encoder.table_scale)
        return indices.encode(found, codewords(decoder), index_states(decoder), self.coder), found

    def _read(self, payload: bytes, shape: tuple[int, int, int], model: Model) -> tuple[Ints, Ints]:
        from frazil.entropy import indices

        n, y, x = shape
        decoder = model.decoder
        whole = n, decoder.inputs, y, x
        found = indices.decode(payload, whole, codewords(decoder), index_states(decoder))
        return found, found


def nearest(vectors: npt.NDArray[np.float32], table: npt.NDArray[Any]) -> Ints:
    """Find the codewords next to vectors.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, heads * d, y, x)
    table : ndarray, shape (heads, size, d)

    Returns
    -------
    ndarray of int32, shape (n, heads, y, x)

    Examples
    --------
    >>> nearest(np.array([0.9, 0.2], "f4").reshape(1, 2, 1, 1), np.eye(2)[None])[0, 0, 0, 0]
    np.int32(0)
    """
    n, _, y, x = vectors.shape
    heads, _, depth = table.shape
    found = np.empty((n, heads, y, x), np.int32)
    for head, book in enumerate(table.astype(np.float32)):
        half = (book * book).sum(1) / 2
        for image, target in zip(vectors, found, strict=True):
            points = image[head * depth : (head + 1) * depth].reshape(depth, -1).T
            for first in range(0, y * x, ROWS):
                part = points[first : first + ROWS] @ book.T - half
                target[head].reshape(-1)[first : first + ROWS] = part.argmax(1)
    return found


def codewords(decoder: Decoder) -> int:
    """Entries of a codebook."""
    return int(decoder.size or 1)


@lru_cache(maxsize=32)
def index_states(decoder: Decoder) -> IndexStates | None:
    """Return what the entropy coder knows of a model's indices before the first one."""
    from frazil.entropy.indices import IndexStates

    if not decoder.coder:
        return None
    tensors = {f"coder.{name}": array for name, array in decoder.coder.items()}
    return IndexStates.from_tensors(tensors, decoder.inputs, codewords(decoder))
