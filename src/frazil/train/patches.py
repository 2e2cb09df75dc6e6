"""Random pieces of fields to train on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from torch import Tensor


def patches(
    fields: Sequence[npt.NDArray[Any]],
    *,
    size: tuple[int, int],
    batch: int,
    seed: int,
    turn: bool = False,
) -> Iterator[Tensor]:
    """Draw batches of pieces without end.

    Parameters
    ----------
    fields : sequence of ndarray, shape (C, y, x), float32
        Normalised.
    size : tuple of int
        Of a piece; smaller where a field is.
    batch : int
        Pieces in a batch.
    seed : int
    turn : bool
        Whether pieces are flipped and transposed at random: satellite scenes may be, maps of the
        weather have a north.

    Yields
    ------
    Tensor, shape (batch, C, *size), float32

    Examples
    --------
    >>> field = np.zeros((3, 40, 50), "f4")
    >>> next(patches([field], size=(16, 32), batch=4, seed=0)).shape
    torch.Size([4, 3, 16, 32])
    """
    rng = np.random.default_rng(seed)
    while True:
        pieces = []
        for _ in range(batch):
            field = fields[int(rng.integers(len(fields)))]
            height, width = min(size[0], field.shape[1]), min(size[1], field.shape[2])
            top = int(rng.integers(field.shape[1] - height + 1))
            left = int(rng.integers(field.shape[2] - width + 1))
            piece = field[:, top : top + height, left : left + width]
            if turn:
                if rng.random() < 0.5:
                    piece = piece[:, ::-1]
                if rng.random() < 0.5:
                    piece = piece[:, :, ::-1]
                if height == width and rng.random() < 0.5:
                    piece = piece.transpose(0, 2, 1)
            pieces.append(torch.from_numpy(np.ascontiguousarray(piece)))
        yield torch.stack(pieces)
