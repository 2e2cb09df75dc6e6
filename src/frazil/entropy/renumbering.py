"""Number codewords so that near numbers are near words.

The codebook is split in two halves of equal number along its first principal
axis, each half again, and so on: a balanced k-d tree along principal axes (J. L.
Bentley, 1975; R. F. Sproull, 1991). The high bits of a number are then a coarse
cluster, which is what `frazil.entropy.indices` makes use of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def renumber(codebook: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the order in which codewords are to be numbered.

    Parameters
    ----------
    codebook : ndarray, shape (K, d), float
        Finite.

    Returns
    -------
    ndarray, shape (K,), int64
        ``order``: the renumbered codebook is ``codebook[order]``; index i becomes ``np.argsort(order)[i]``.

    Examples
    --------
    >>> renumber(np.array([[3.0], [0], [2], [1]])).tolist()
    [1, 3, 2, 0]
    """
    words = np.asarray(codebook, np.float64)
    order = np.arange(len(words))
    # Whole blocks of a power of two, so that bits of the number are branches of the tree.
    block = 1 << max(len(words) - 1, 0).bit_length()
    while block > 1:
        for first in range(0, len(words), block):
            part = order[first : first + block]
            if len(part) > 1:
                order[first : first + block] = part[np.argsort(_along(words[part]), kind="stable")]
        block >>= 1
    return order


def _along(words: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return coordinates of ``words`` along their first principal axis."""
    centred = words - words.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    axis = axis * (1.0 if axis[np.argmax(np.abs(axis))] >= 0 else -1.0)  # a sign of the library's choice
    return np.asarray(centred @ axis)
